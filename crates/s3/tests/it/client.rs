//! What an ordinary client does.

use futures_util::TryStreamExt as _;
use object_store::path::Path;
use object_store::{
    Attribute, Attributes, Error, ObjectStore as _, ObjectStoreExt as _, PutMode, PutOptions, WriteMultipart,
};

use crate::harness::{Endpoint, content, organization};

fn key(rest: &str) -> Path {
    Path::from(format!("{}/{rest}", organization()))
}

#[tokio::test(flavor = "multi_thread")]
async fn an_object_comes_back_as_it_was_written() {
    let home = tempfile::tempdir().unwrap();
    let endpoint = Endpoint::start(home.path()).await;
    let client = endpoint.client(organization());
    for length in [0, 1, 5, 1 << 20, (3 << 20) + 7] {
        let bytes = content(length);
        let attributes = Attributes::from_iter([
            (Attribute::ContentType, "application/x-tar"),
            (Attribute::Metadata("made-by".into()), "a test"),
        ]);
        let options = PutOptions { attributes, ..PutOptions::default() };
        client.put_opts(&key("hash/context.tar"), bytes.clone().into(), options).await.unwrap();
        let found = client.get(&key("hash/context.tar")).await.unwrap();
        assert_eq!(found.attributes.get(&Attribute::ContentType).unwrap().as_ref(), "application/x-tar");
        let metadata = found.attributes.get(&Attribute::Metadata("made-by".into())).unwrap();
        assert_eq!(metadata.as_ref(), "a test");
        assert_eq!(found.meta.size, u64::try_from(length).unwrap());
        assert!(found.bytes().await.unwrap() == bytes, "{length}");
    }
    let bytes = content((3 << 20) + 7);
    for range in [0..1_u64, 5..100, (1 << 20) - 3..(2 << 20) + 9, (3 << 20)..(3 << 20) + 7] {
        let part = client.get_range(&key("hash/context.tar"), range.clone()).await.unwrap();
        let from = usize::try_from(range.start).unwrap()..usize::try_from(range.end).unwrap();
        assert!(part == bytes[from], "{range:?}");
    }
    client.delete(&key("hash/context.tar")).await.unwrap();
    assert!(matches!(client.head(&key("hash/context.tar")).await, Err(Error::NotFound { .. })));
    // Nothing stays of it, not even directories.
    let left: Vec<_> = std::fs::read_dir(home.path().join("objects")).unwrap().collect();
    assert!(left.is_empty(), "{left:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_in_parts_is_whole_or_not_there() {
    let home = tempfile::tempdir().unwrap();
    let endpoint = Endpoint::start(home.path()).await;
    let client = endpoint.client(organization());
    let bytes = content((17 << 20) + 3);
    let upload = client.put_multipart(&key("big/context.tar")).await.unwrap();
    let mut write = WriteMultipart::new_with_chunk_size(upload, 5 << 20);
    write.write(&bytes);
    write.wait_for_capacity(1).await.unwrap();
    assert!(matches!(client.head(&key("big/context.tar")).await, Err(Error::NotFound { .. })));
    let written = write.finish().await.unwrap();
    assert!(written.e_tag.unwrap().ends_with("-4\""));
    assert!(client.get(&key("big/context.tar")).await.unwrap().bytes().await.unwrap() == bytes);
    let mut other = client.put_multipart(&key("other/context.tar")).await.unwrap();
    other.put_part(content(5 << 20).into()).await.unwrap();
    other.abort().await.unwrap();
    assert!(matches!(client.head(&key("other/context.tar")).await, Err(Error::NotFound { .. })));
    let uploads = home.path().join("uploads").join(organization().to_string());
    assert_eq!(std::fs::read_dir(uploads).unwrap().count(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn listings_are_in_order_and_fold_what_shares_a_delimiter() {
    let home = tempfile::tempdir().unwrap();
    let endpoint = Endpoint::start(home.path()).await;
    let client = endpoint.client(organization());
    // A key that others begin with, and characters that paths do not take as they are.
    for rest in ["a", "a/b", "a/c d", "a/ü%2f", "ab", "b/c/d"] {
        client.put(&Path::parse(format!("{}/{rest}", organization())).unwrap(), "x".into()).await.unwrap();
    }
    let prefix = Path::from(organization().to_string());
    let listed: Vec<_> = client.list(Some(&prefix)).try_collect().await.unwrap();
    let mut names: Vec<_> = listed.iter().map(|one| one.location.to_string()).collect();
    names.sort();
    assert_eq!(names.len(), 6, "{names:?}");
    let folded = client.list_with_delimiter(Some(&prefix)).await.unwrap();
    let below: Vec<_> = folded.common_prefixes.iter().map(|one| one.filename().unwrap()).collect();
    assert_eq!(below, ["a", "b"]);
    assert_eq!(folded.objects.len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn conditions_hold() {
    let home = tempfile::tempdir().unwrap();
    let endpoint = Endpoint::start(home.path()).await;
    let client = endpoint.client(organization());
    let once = || PutOptions { mode: PutMode::Create, ..PutOptions::default() };
    let first = client.put_opts(&key("a"), "1".into(), once()).await.unwrap();
    let again = client.put_opts(&key("a"), "2".into(), once()).await;
    assert!(matches!(again, Err(Error::AlreadyExists { .. })), "{again:?}");
    let change = PutOptions { mode: PutMode::Update(first.clone().into()), ..PutOptions::default() };
    client.put_opts(&key("a"), "3".into(), change.clone()).await.unwrap();
    let late = client.put_opts(&key("a"), "4".into(), change).await;
    assert!(matches!(late, Err(Error::Precondition { .. })), "{late:?}");
    let options = object_store::GetOptions { if_none_match: first.e_tag, ..Default::default() };
    assert_eq!(client.get_opts(&key("a"), options).await.unwrap().bytes().await.unwrap(), "3");
    client.copy(&key("a"), &key("b")).await.unwrap();
    assert_eq!(client.get(&key("b")).await.unwrap().bytes().await.unwrap(), "3");
}
