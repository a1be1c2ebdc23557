//! Who is let into the object storage.

use std::sync::Arc;

use api::object_storage::{Grant, Uploads, Way};
use serde_json::{Value, json};
use testkit::TestApi;
use types::OrganizationId;
use types::api_key::Permission;

const PATH: &str = "/api/object-storage/push-access";

#[derive(Debug)]
struct Told;

impl Uploads for Told {
    fn grant(&self, organization: OrganizationId, way: Way) -> Grant {
        Grant {
            access_key: format!("key of {organization}"),
            secret: "secret".to_owned(),
            session_token: "token".to_owned(),
            url: format!("{way:?}"),
            bucket: "daytona".to_owned(),
            region: "us-east-1".to_owned(),
        }
    }
}

#[tokio::test]
async fn access_is_told_in_the_contracts_words_to_those_who_may_build() {
    let api = TestApi::start_with(|settings| settings.uploads = Some(Arc::new(Told))).await.unwrap();
    let organization = api.organization_id.to_string();
    for permission in [Permission::WriteSnapshots, Permission::WriteSandboxes] {
        let key = api.key_with(&[permission]).await.unwrap();
        let told = api.call_as(&key, "GET", PATH, Value::Null).await;
        assert_eq!(told.status, 200);
        let expected = json!({
            "accessKey": format!("key of {organization}"), "secret": "secret", "sessionToken": "token",
            "storageUrl": "Tls", "organizationId": organization, "bucket": "daytona", "region": "us-east-1",
        });
        assert_eq!(told.json(), expected);
    }
    let reader = api.key_with(&[Permission::ReadVolumes]).await.unwrap();
    assert_eq!(api.call_as(&reader, "GET", PATH, Value::Null).await.status, 403);
}

#[tokio::test]
async fn without_an_object_storage_it_is_said() {
    let api = TestApi::start().await.unwrap();
    let told = api.call("GET", PATH, Value::Null).await;
    assert_eq!(told.status, 503);
    assert_eq!(told.text("message"), "Object storage is not configured");
}
