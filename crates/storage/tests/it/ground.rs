//! A runtime for the storage, and what every storage must be able to do.

use std::io::{Read as _, Write as _};

use storage::key::Shelf;
use storage::settings::Settings;
use storage::{Key, ObjectStorage, StorageError};
use tokio::runtime::Runtime;
use types::{OrganizationId, SandboxId, SystemRandom};

/// A storage with the runtime that it needs.
pub(crate) struct Ground {
    pub(crate) storage: ObjectStorage,
    _runtime: Runtime,
}

impl Ground {
    pub(crate) fn open(settings: &Settings) -> Self {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let storage = ObjectStorage::open(settings, runtime.handle().clone()).map_err(explain).unwrap();
        Self { storage, _runtime: runtime }
    }

    pub(crate) fn write(&self, key: &Key, content: &[u8]) -> Result<u64, StorageError> {
        let mut upload = self.storage.upload(key, content.len() as u64);
        // In pieces that fit no part.
        for piece in content.chunks(1_000_003) {
            upload.write_all(piece).map_err(|error| StorageError::of(error).unwrap())?;
        }
        upload.finish()
    }

    pub(crate) fn read(&self, key: &Key) -> Result<Vec<u8>, StorageError> {
        let mut download = self.storage.download(key)?;
        let mut content = Vec::new();
        download.read_to_end(&mut content).map_err(|error| StorageError::of(error).unwrap())?;
        assert_eq!(download.bytes, content.len() as u64);
        Ok(content)
    }

    pub(crate) fn sizes(&self, of: Shelf) -> Vec<u64> {
        let listed = self.storage.list(of).map_err(explain).unwrap();
        let mut sizes: Vec<u64> = listed.iter().map(|object| object.bytes).collect();
        sizes.sort_unstable();
        sizes
    }
}

pub(crate) fn shelf() -> Shelf {
    Shelf { organization: OrganizationId::random(&SystemRandom), sandbox: SandboxId::random(&SystemRandom) }
}

/// Prints an error with its causes.
#[expect(clippy::needless_pass_by_value, reason = "the shape that `map_err` wants")]
pub(crate) fn explain(error: StorageError) -> String {
    let cause = std::error::Error::source(&error).map(ToString::to_string).unwrap_or_default();
    format!("{error}: {cause}")
}

/// Bytes that do not repeat soon.
pub(crate) fn content(bytes: usize) -> Vec<u8> {
    let mut state = 1_u64;
    let mut step = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 56) as u8
    };
    (0..bytes).map(|_| step()).collect()
}

/// Objects of all sizes come back as they were written; lists and removals see one sandbox's objects alone.
pub(crate) fn objects_are_kept(ground: &Ground) {
    let (mine, others) = (shelf(), shelf());
    // Nothing, less than a part, parts exactly, and a few parts with a rest.
    let sizes = [0, 5, 8 << 20, 16 << 20, (21 << 20) + 17];
    let keys: Vec<Key> = sizes.iter().map(|_| Key::new(mine, &SystemRandom)).collect();
    for (key, size) in keys.iter().zip(sizes) {
        let content = content(size);
        assert_eq!(ground.write(key, &content).map_err(explain).unwrap(), size as u64);
        assert!(ground.read(key).map_err(explain).unwrap() == content, "{size} bytes came back otherwise");
    }
    let stranger = Key::new(others, &SystemRandom);
    ground.write(&stranger, b"stays").map_err(explain).unwrap();
    assert_eq!(ground.sizes(mine), sizes.map(|size| size as u64));
    // Written again, an object is the new one.
    ground.write(&keys[1], b"other").map_err(explain).unwrap();
    assert_eq!(ground.read(&keys[1]).map_err(explain).unwrap(), b"other");
    ground.storage.remove(&keys[0]).map_err(explain).unwrap();
    ground.storage.remove(&keys[0]).map_err(explain).unwrap();
    let missing = ground.read(&keys[0]).map_err(explain).unwrap_err();
    assert!(missing.contains(&keys[0].to_string()) && missing.contains("is not there"), "{missing}");
    ground.storage.remove_all(mine, Some(&keys[1])).map_err(explain).unwrap();
    assert_eq!(ground.sizes(mine), [5]);
    ground.storage.remove_all(mine, None).map_err(explain).unwrap();
    assert_eq!(ground.sizes(mine), [0; 0]);
    assert_eq!(ground.read(&stranger).map_err(explain).unwrap(), b"stays");
    ground.storage.remove_all(others, None).map_err(explain).unwrap();
}

/// What is not finished never was.
pub(crate) fn an_unfinished_object_never_was(ground: &Ground) {
    let (shelf, bytes) = (shelf(), content(20 << 20));
    let key = Key::new(shelf, &SystemRandom);
    let mut upload = ground.storage.upload(&key, 0);
    upload.write_all(&bytes).unwrap();
    drop(upload);
    assert_eq!(ground.sizes(shelf), [0; 0]);
    ground.read(&key).unwrap_err();
}
