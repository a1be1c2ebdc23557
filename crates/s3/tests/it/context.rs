//! What builds read is what clients uploaded.

use std::io::Read as _;
use std::sync::Arc;

use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt as _};
use s3::context::Contexts;
use types::OrganizationId;

use crate::harness::{Endpoint, content, organization};

async fn read(bucket: Option<Arc<dyn ObjectStore>>) {
    let home = tempfile::tempdir().unwrap();
    let endpoint = Endpoint::start_before(home.path(), bucket).await;
    let client = endpoint.client(organization());
    let bytes = content((9 << 20) + 1);
    let key = Path::from(format!("{}/0123abc/context.tar", organization()));
    client.put(&key, bytes.clone().into()).await.unwrap();
    let contexts = Contexts::new(endpoint.store.clone(), tokio::runtime::Handle::current());
    let reading = tokio::task::spawn_blocking(move || {
        let mut context = contexts.open(organization(), "0123abc").unwrap().unwrap();
        let mut read = Vec::new();
        context.read_to_end(&mut read).unwrap();
        assert_eq!(context.bytes, u64::try_from(read.len()).unwrap());
        for hash in ["", "other", "..", "../0123abc", "0123abc/context.tar/.."] {
            assert!(contexts.open(organization(), hash).unwrap().is_none(), "{hash}");
        }
        assert!(contexts.open(OrganizationId::from_u128(9), "0123abc").unwrap().is_none());
        read
    });
    assert!(reading.await.unwrap() == bytes);
}

#[tokio::test(flavor = "multi_thread")]
async fn from_files() {
    read(None).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn from_a_bucket() {
    read(Some(Arc::new(InMemory::new()))).await;
}
