//! What a credential does not open.

use futures_util::StreamExt as _;
use object_store::path::Path;
use object_store::signer::Signer as _;
use object_store::{Error, ObjectStore as _, ObjectStoreExt as _};
use s3::credential::{Credential, LIFETIME_SECONDS};
use types::OrganizationId;

use crate::harness::{Endpoint, QUOTA_BYTES, content, organization};

fn is_denied(error: &Error) -> bool {
    matches!(error, Error::PermissionDenied { .. } | Error::Unauthenticated { .. })
        || ["AccessDenied", "ExpiredToken", "InvalidToken", "InvalidAccessKeyId", "SignatureDoesNotMatch"]
            .iter()
            .any(|code| format!("{error:?}").contains(code))
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_reaches_what_is_anothers() {
    let home = tempfile::tempdir().unwrap();
    let endpoint = Endpoint::start(home.path()).await;
    let own = endpoint.client(organization());
    let other = OrganizationId::from_u128(0x5678);
    let stranger = endpoint.client(other);
    let key = Path::from(format!("{}/secret", organization()));
    own.put(&key, "mine".into()).await.unwrap();
    assert!(is_denied(&stranger.get(&key).await.unwrap_err()));
    assert!(is_denied(&stranger.put(&key, "theirs".into()).await.unwrap_err()));
    assert!(stranger.head(&key).await.is_err());
    assert!(is_denied(&stranger.put_multipart(&key).await.map(drop).unwrap_err()));
    assert!(is_denied(&stranger.copy(&key, &Path::from(format!("{other}/copy"))).await.unwrap_err()));
    let at = Path::from(organization().to_string());
    assert!(is_denied(&stranger.list(Some(&at)).next().await.unwrap().unwrap_err()));
    assert!(is_denied(&stranger.list(None).next().await.unwrap().unwrap_err()));
    for name in ["x", &format!("{other}"), &format!("{}x/y", organization())] {
        assert!(is_denied(&own.put(&Path::from(name), "x".into()).await.unwrap_err()), "{name}");
    }
    assert!(stranger.delete(&key).await.is_err());
    assert_eq!(own.get(&key).await.unwrap().bytes().await.unwrap(), "mine");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_credential_is_whole_and_ends() {
    let home = tempfile::tempdir().unwrap();
    let endpoint = Endpoint::start(home.path()).await;
    let given = endpoint.credential(organization());
    let key = Path::from(format!("{}/x", organization()));
    endpoint.client_with(&given).put(&key, "x".into()).await.unwrap();
    let other = endpoint.credential(organization());
    for wrong in [
        Credential { session_token: other.session_token.clone(), ..given.clone() },
        Credential { session_token: "none".to_owned(), ..given.clone() },
        Credential { secret: other.secret.clone(), ..given.clone() },
        Credential { access_key: other.access_key.clone(), ..given.clone() },
        Credential { access_key: "AKIAIOSFODNN7EXAMPLE".to_owned(), ..given.clone() },
    ] {
        let refused = endpoint.client_with(&wrong).get(&key).await.unwrap_err();
        assert!(is_denied(&refused), "{refused:?}");
    }
    endpoint.clock.put(LIFETIME_SECONDS + 60);
    let late = endpoint.client_with(&given).get(&key).await.unwrap_err();
    assert!(is_denied(&late), "{late:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn signed_addresses_open_one_object_and_unsigned_ones_none() {
    let home = tempfile::tempdir().unwrap();
    let endpoint = Endpoint::start(home.path()).await;
    let client = endpoint.client(organization());
    let key = Path::from(format!("{}/x", organization()));
    client.put(&key, "by address".into()).await.unwrap();
    let lasts = std::time::Duration::from_mins(5);
    let signed = client.signed_url(axum::http::Method::GET, &key, lasts).await.unwrap();
    let options = || reqwest::Client::builder().tls_certs_only([]).build().unwrap();
    let read = options().get(signed.as_str()).send().await.unwrap();
    assert_eq!(read.status().as_u16(), 200);
    assert_eq!(read.text().await.unwrap(), "by address");
    let bent = signed.as_str().replace("/x?", "/y?");
    assert_eq!(options().get(bent).send().await.unwrap().status().as_u16(), 403);
    let bare = format!("{}/daytona/{key}", endpoint.url);
    for method in ["GET", "HEAD", "PUT", "POST", "DELETE"] {
        let sent = options().request(method.parse().unwrap(), &bare).send().await.unwrap();
        assert_eq!(sent.status().as_u16(), 403, "{method}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_keeps_more_than_the_quota() {
    let home = tempfile::tempdir().unwrap();
    let endpoint = Endpoint::start(home.path()).await;
    let client = endpoint.client(organization());
    let key = |name: &str| Path::from(format!("{}/{name}", organization()));
    let half = usize::try_from(QUOTA_BYTES / 2 + 1).unwrap();
    client.put(&key("one"), content(half).into()).await.unwrap();
    let refused = client.put(&key("two"), content(half).into()).await.unwrap_err();
    assert!(format!("{refused:?}").contains("QuotaExceeded"), "{refused:?}");
    // What was refused is not counted, what is deleted no more, and what is known after a new start is the same.
    client.put(&key("small"), "x".into()).await.unwrap();
    drop(endpoint);
    let endpoint = Endpoint::start(home.path()).await;
    let client = endpoint.client(organization());
    assert!(client.put(&key("two"), content(half).into()).await.is_err());
    client.delete(&key("one")).await.unwrap();
    client.put(&key("two"), content(half).into()).await.unwrap();
    assert_eq!(std::fs::read_dir(home.path().join("staging")).unwrap().count(), 0);
}
