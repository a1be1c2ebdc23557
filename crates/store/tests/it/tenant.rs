//! Users, organisations and keys.

use std::time::Duration;

use store::StoreError;
use store::api_key::hash;
use testkit::{TestClock, app, sample};
use types::api_key::{ApiKey, Permission};
use types::organization::Role;
use types::user::User;
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

#[tokio::test]
async fn a_user_is_welcomed_once_however_often_they_come() {
    let (store, _directory) = app::store().await.unwrap();
    let now = TestClock::default().now();
    let ada = sample::user("ada", now);
    for (number, name) in [(1, "Ada"), (2, "Ada"), (3, "Countess")] {
        let user = User { name: name.to_owned(), email_verified: number > 1, ..ada.clone() };
        let personal = sample::organization(OrganizationId::from_u128(number), &ada);
        store.user_welcome(&user, &personal).await.unwrap();
        assert_eq!(store.user_get(&ada.id).await.unwrap(), Some(user));
    }
    let listed = store.organization_list_of(&ada.id).await.unwrap();
    assert_eq!(listed.iter().map(|one| one.id).collect::<Vec<_>>(), [OrganizationId::from_u128(1)]);
    let role =
        async |number| store.organization_role(OrganizationId::from_u128(number), &ada.id).await.unwrap();
    assert_eq!((role(1).await, role(2).await), (Some(Role::Owner), None));
}

#[tokio::test]
async fn who_makes_an_organisation_owns_it_and_nobody_else() {
    let (store, _directory) = app::store().await.unwrap();
    let now = TestClock::default().now();
    let (ada, eve) = (sample::user("ada", now), sample::user("eve", now));
    let shared = types::organization::Organization {
        personal: false,
        ..sample::organization(OrganizationId::from_u128(9), &ada)
    };
    for (user, number) in [(&ada, 1), (&eve, 2)] {
        store
            .user_welcome(user, &sample::organization(OrganizationId::from_u128(number), user))
            .await
            .unwrap();
    }
    store.organization_insert(&shared).await.unwrap();
    assert_eq!(store.organization_role(shared.id, &ada.id).await.unwrap(), Some(Role::Owner));
    assert_eq!(store.organization_role(shared.id, &eve.id).await.unwrap(), None);
    let listed = store.organization_list_of(&ada.id).await.unwrap();
    assert_eq!(listed.iter().map(|one| one.personal).collect::<Vec<_>>(), [true, false]);
    assert_eq!(store.organization_list_of(&eve.id).await.unwrap().len(), 1);
}
