//! Objects in a directory.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use crate::ground::{Ground, an_unfinished_object_never_was, explain, objects_are_kept};
use storage::settings::Settings;

#[test]
fn objects_are_kept_in_a_directory() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("objects");
    let ground = Ground::open(&Settings::Directory(path.clone()));
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o700);
    ground.storage.check().map_err(explain).unwrap();
    objects_are_kept(&ground);
    // Nothing stays of what was removed, directories included.
    assert_eq!(files_below(&path), 0);
}

#[test]
fn an_unfinished_object_leaves_no_file() {
    let home = tempfile::tempdir().unwrap();
    let ground = Ground::open(&Settings::Directory(home.path().to_owned()));
    an_unfinished_object_never_was(&ground);
    // It is taken away behind our back.
    for _ in 0..100 {
        if files_below(home.path()) == 0 {
            return;
        }
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    assert_eq!(files_below(home.path()), 0);
}

#[test]
fn a_directory_that_cannot_be_made_is_named() {
    let home = tempfile::tempdir().unwrap();
    let taken = home.path().join("taken");
    std::fs::write(&taken, "").unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let opened = storage::ObjectStorage::open(&Settings::Directory(taken.clone()), runtime.handle().clone());
    let said = explain(opened.unwrap_err());
    assert!(said.contains(taken.to_str().unwrap()), "{said}");
}

fn files_below(path: &Path) -> usize {
    std::fs::read_dir(path).unwrap().map(|entry| entry.unwrap()).fold(0, |sum, entry| {
        sum + if entry.file_type().unwrap().is_dir() { files_below(&entry.path()) } else { 1 }
    })
}
