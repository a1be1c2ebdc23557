//! Users, organisations and keys.

use std::time::Duration;

use store::StoreError;
use store::api_key::hash;
use testkit::{TestClock, app, sample};
use types::api_key::{ApiKey, Permission};
use types::{ApiKeyId, Clock as _, OrganizationId};

#[tokio::test]
async fn a_key_is_found_by_its_hash_and_its_text_is_nowhere() {
    let (store, directory) = app::store().await.unwrap();
    let clock = TestClock::default();
    let owner = sample::user("ada", clock.now());
    let organization = sample::organization(OrganizationId::from_u128(1), &owner);
    let key = sample::api_key(
        ApiKeyId::from_u128(2),
        "dtn_secret_text",
        &organization,
        &[Permission::WriteSandboxes],
    );
    let until = clock.now() + Duration::from_mins(1);
    let key = ApiKey { expires_at: Some(until), ..key };
    store.user_insert(&owner).await.unwrap();
    store.organization_insert(&organization).await.unwrap();
    store.api_key_insert(&key).await.unwrap();

    assert_eq!(store.api_key_find(&hash("dtn_secret_text")).await.unwrap(), Some(key.clone()));
    assert_eq!(store.api_key_find(&hash("dtn_other")).await.unwrap(), None);
    assert_eq!(store.organization_get_personal(&owner.id).await.unwrap(), Some(organization.clone()));
    assert_eq!(store.organization_get(organization.id).await.unwrap(), Some(organization));
    assert!(matches!(store.api_key_insert(&key).await, Err(StoreError::Taken { noun: "API key", .. })));
    store.close().await;
    for file in std::fs::read_dir(directory.path()).unwrap() {
        let bytes = std::fs::read(file.unwrap().path()).unwrap();
        assert!(!bytes.windows(15).any(|window| window == b"dtn_secret_text"));
    }
}

#[tokio::test]
async fn a_deleted_key_is_gone_and_a_user_has_one_personal_organisation() {
    let (store, _directory) = app::store().await.unwrap();
    let owner = sample::user("ada", TestClock::default().now());
    let organization = sample::organization(OrganizationId::from_u128(1), &owner);
    let key = sample::api_key(ApiKeyId::from_u128(2), "text", &organization, &Permission::ALL);
    store.user_insert(&owner).await.unwrap();
    store.organization_insert(&organization).await.unwrap();
    store.api_key_insert(&key).await.unwrap();
    assert!(store.api_key_delete(key.id).await.unwrap());
    assert!(!store.api_key_delete(key.id).await.unwrap());
    assert_eq!(store.api_key_find(&key.hash).await.unwrap(), None);
    let second = sample::organization(OrganizationId::from_u128(3), &owner);
    assert!(matches!(store.organization_insert(&second).await, Err(StoreError::Taken { .. })));
}

#[tokio::test]
async fn a_key_of_nobody_is_refused() {
    let (store, _directory) = app::store().await.unwrap();
    let owner = sample::user("ghost", TestClock::default().now());
    let organization = sample::organization(OrganizationId::from_u128(1), &owner);
    let key = sample::api_key(ApiKeyId::from_u128(2), "text", &organization, &Permission::ALL);
    assert!(matches!(store.api_key_insert(&key).await, Err(StoreError::Query { .. })));
}
