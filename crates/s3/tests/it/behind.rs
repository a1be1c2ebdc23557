//! An endpoint in front of a bucket: another endpoint, which clients of the first never see.

use std::sync::Arc;

use futures_util::TryStreamExt as _;
use object_store::path::Path;
use object_store::{Error, ObjectStore as _, ObjectStoreExt as _, PutMode, PutOptions};

use crate::harness::{Endpoint, content, organization};

#[tokio::test(flavor = "multi_thread")]
async fn objects_are_in_the_bucket_under_their_keys() {
    let (behind_home, home) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let behind = Endpoint::start(behind_home.path()).await;
    let bucket = Arc::new(behind.client(organization()));
    let front = Endpoint::start_before(home.path(), Some(bucket.clone())).await;
    let client = front.client(organization());
    let key = |rest: &str| Path::from(format!("{}/{rest}", organization()));
    for length in [3, (9 << 20) + 5] {
        let bytes = content(length);
        client.put(&key("h/context.tar"), bytes.clone().into()).await.unwrap();
        assert!(bucket.get(&key("h/context.tar")).await.unwrap().bytes().await.unwrap() == bytes);
        assert!(client.get(&key("h/context.tar")).await.unwrap().bytes().await.unwrap() == bytes);
        let part = client.get_range(&key("h/context.tar"), 1..3).await.unwrap();
        assert!(part == bytes[1..3]);
    }
    let once = PutOptions { mode: PutMode::Create, ..PutOptions::default() };
    let again = client.put_opts(&key("h/context.tar"), "x".into(), once).await;
    assert!(matches!(again, Err(Error::AlreadyExists { .. })), "{again:?}");
    let below = Path::from(organization().to_string());
    let listed: Vec<_> = client.list(Some(&below)).try_collect().await.unwrap();
    assert_eq!(listed.len(), 1);
    client.delete(&key("h/context.tar")).await.unwrap();
    assert!(matches!(bucket.head(&key("h/context.tar")).await, Err(Error::NotFound { .. })));
    assert!(matches!(client.get(&key("h/context.tar")).await, Err(Error::NotFound { .. })));
}
