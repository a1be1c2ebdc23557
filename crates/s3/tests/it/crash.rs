//! What a start does with what the last end left.

use object_store::ObjectStoreExt as _;
use object_store::path::Path;

use crate::harness::{Endpoint, content, organization};

#[tokio::test(flavor = "multi_thread")]
async fn half_written_files_go_and_objects_and_uploads_stay() {
    let home = tempfile::tempdir().unwrap();
    let key = Path::from(format!("{}/x", organization()));
    let mut upload;
    {
        let endpoint = Endpoint::start(home.path()).await;
        let client = endpoint.client(organization());
        client.put(&key, "whole".into()).await.unwrap();
        upload = client.put_multipart(&Path::from(format!("{}/y", organization()))).await.unwrap();
        upload.put_part(content(5 << 20).into()).await.unwrap();
    }
    std::fs::write(home.path().join("staging/left"), "half").unwrap();
    let endpoint = Endpoint::start(home.path()).await;
    assert_eq!(std::fs::read_dir(home.path().join("staging")).unwrap().count(), 0);
    let client = endpoint.client(organization());
    assert_eq!(client.get(&key).await.unwrap().bytes().await.unwrap(), "whole");
    let uploads = home.path().join("uploads").join(organization().to_string());
    assert_eq!(std::fs::read_dir(&uploads).unwrap().count(), 1);
    assert_eq!(endpoint.store.sweep().await.unwrap(), 0);
    endpoint.clock.put(25 * 3600);
    assert_eq!(endpoint.store.sweep().await.unwrap(), 1);
    assert_eq!(std::fs::read_dir(&uploads).unwrap().count(), 0);
    drop(upload);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_object_is_told_and_can_be_replaced() {
    let home = tempfile::tempdir().unwrap();
    let endpoint = Endpoint::start(home.path()).await;
    let client = endpoint.client(organization());
    let key = Path::from(format!("{}/x", organization()));
    client.put(&key, "whole".into()).await.unwrap();
    let path = home.path().join("objects").join(format!("{}@", organization())).join("x!");
    let file = std::fs::File::options().write(true).open(path).unwrap();
    file.set_len(3).unwrap();
    let told = client.get(&key).await.unwrap_err();
    assert!(!format!("{told:?}").contains("objects/"), "{told:?}");
    client.put(&key, "again".into()).await.unwrap();
    assert_eq!(client.get(&key).await.unwrap().bytes().await.unwrap(), "again");
}
