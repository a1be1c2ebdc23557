//! The images of this host: unpacked layers, shared by all sandboxes, and a record for each name.

pub mod unpack;
mod attribute;
pub mod upper;
mod capture;
mod collect;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, RwLock};
use std::time::UNIX_EPOCH;

use fs_err as fs;
use rustix::fs::{FlockOperation, flock};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::error::RunnerError;

/// Begins the name of a directory into which an archive is being unpacked.
const INCOMING: &str = "incoming-";

/// What an image says of itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Image {
    /// The name users write.
    pub name: String,
    /// Directories below `layers`, topmost first; each is named by the SHA-256 of its archive.
    pub layers: Vec<String>,
    /// Who runs commands, unless the sandbox says otherwise.
    pub user: String,
    /// Where commands run; empty means the user's home.
    pub working_directory: String,
    /// Variables every command gets.
    pub environment: Vec<(String, String)>,
    /// Which archive it came from, so that importing it again costs nothing.
    #[serde(default)]
    source: Source,
    /// What is known of one that was made of a sandbox.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    captured: Option<Captured>,
}

/// What is known of an image that was made of a sandbox.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct Captured {
    /// What it adds to the image that the sandbox was made from.
    added_bytes: u64,
    /// Whether it goes with the last sandbox that was made from it.
    is_forgotten: bool,
}

/// Tells one archive from another without reading it whole.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Source {
    path: PathBuf,
    bytes: u64,
    modified_ms: u64,
}

/// What an import is told besides the archive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Description {
    /// The name users will write.
    pub name: String,
    /// Who runs commands.
    pub user: String,
    /// Where commands run.
    pub working_directory: String,
    /// Variables every command gets.
    pub environment: Vec<(String, String)>,
}

/// The directory that keeps images.
#[derive(Debug, Clone)]
pub struct Store {
    root: PathBuf,
    /// Held to read by whoever begins to use an image that may be forgotten, and to write by whoever removes.
    uses: Arc<RwLock<()>>,
}

impl Store {
    /// Opens the store below `data_directory`, making it when missing.
    pub fn open(data_directory: &Path) -> Result<Self, RunnerError> {
        let root = data_directory.join("images");
        for directory in [&root.join("layers"), &root.join("names"), &root.join(collect::PINS)] {
            fs::create_dir_all(directory).map_err(|source| file("make directory", directory, source))?;
        }
        // Layers hold setuid programs of images: no other user of the host may reach them.
        let private = std::os::unix::fs::PermissionsExt::from_mode(0o700);
        fs::set_permissions(&root, private).map_err(|source| file("protect", &root, source))?;
        let store = Self { root, uses: Arc::default() };
        store.make_mount_points()?;
        Ok(store)
    }

    /// Makes the layer that [`Store::mount_points`] names.
    fn make_mount_points(&self) -> Result<(), RunnerError> {
        let layer = self.mount_points();
        let mode = |path: &Path, mode| {
            let mode = std::os::unix::fs::PermissionsExt::from_mode(mode);
            fs::set_permissions(path, mode).map_err(|source| file("protect", path, source))
        };
        for name in ["", "proc", "sys", "dev", "etc"] {
            let directory = layer.join(name);
            fs::create_dir_all(&directory).map_err(|source| file("make directory", &directory, source))?;
            mode(&directory, 0o755)?;
        }
        for name in ["etc/hosts", "etc/hostname", "etc/resolv.conf"] {
            let path = layer.join(name);
            fs::write(&path, "").map_err(|source| file("write", &path, source))?;
            mode(&path, 0o644)?;
        }
        Ok(())
    }

    /// Returns the layer that goes below all others: empty directories and files to mount on, for images that lack
    /// them. Made in the sandbox's own layer they would cost each create a write to its disk.
    pub fn mount_points(&self) -> PathBuf {
        self.root.join("mount-points")
    }

    /// Reads the image of that name.
    pub fn find(&self, name: &str) -> Result<Option<Image>, RunnerError> {
        let path = self.record(name);
        match fs::read(&path) {
            Ok(text) => serde_json::from_slice(&text)
                .map(Some)
                .map_err(|source| RunnerError::Decode { what: "image record", source }),
            // A name too long to be a file's was never imported.
            Err(error)
                if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::InvalidFilename) =>
            {
                Ok(None)
            }
            Err(source) => Err(file("read", &path, source)),
        }
    }

    /// Reads the image of that name and makes sure that all of it is here.
    pub fn find_whole(&self, name: &str) -> Result<Image, RunnerError> {
        let image = self.find(name)?.ok_or_else(|| RunnerError::ImageMissing { name: name.to_owned() })?;
        match image.layers.iter().find(|digest| !self.layer(digest).is_dir()) {
            Some(digest) => Err(RunnerError::LayerMissing { name: name.to_owned(), digest: digest.clone() }),
            None => Ok(image),
        }
    }

    /// Lists all images, by name.
    pub fn list(&self) -> Result<Vec<Image>, RunnerError> {
        let directory = self.root.join("names");
        let entries = fs::read_dir(&directory).map_err(|source| file("list", &directory, source))?;
        let mut images = Vec::new();
        for entry in entries {
            let path = entry.map_err(|source| file("list", &directory, source))?.path();
            if path.extension().is_none_or(|extension| extension != "json") {
                continue;
            }
            let text = fs::read(&path).map_err(|source| file("read", &path, source))?;
            images.push(
                serde_json::from_slice(&text)
                    .map_err(|source| RunnerError::Decode { what: "image record", source })?,
            );
        }
        images.sort_by(|left: &Image, right| left.name.cmp(&right.name));
        Ok(images)
    }

    /// Returns where a layer is unpacked.
    pub fn layer(&self, digest: &str) -> PathBuf {
        self.root.join("layers").join(digest)
    }

    /// Unpacks a tar archive of a whole root file system under a name; an archive that is here already costs
    /// nothing. Returns the image and whether anything was unpacked.
    pub fn import(&self, archive: &Path, description: Description) -> Result<(Image, bool), RunnerError> {
        let source = describe(archive)?;
        if let Some(known) = self.find(&description.name)? {
            let here = known.layers.iter().all(|digest| self.layer(digest).is_dir());
            if here && known.source == source && known.matches(&description) {
                return Ok((known, false));
            }
        }
        let (digest, unpacked) = self.unpack(archive)?;
        let Description { name, user, working_directory, environment } = description;
        let layers = vec![digest];
        let image = Image { name, layers, user, working_directory, environment, source, captured: None };
        self.save(&image)?;
        Ok((image, unpacked))
    }

    fn save(&self, image: &Image) -> Result<(), RunnerError> {
        let text = serde_json::to_vec_pretty(image)
            .map_err(|source| RunnerError::Encode { what: "image record", source })?;
        let path = self.record(&image.name);
        linux::replace::replace(&path, &text, 0o600).map_err(|source| file("write", &path, source))
    }

    /// Unpacks beside the layers and renames at the end: a layer is whole or not there, after a power cut too.
    fn unpack(&self, archive: &Path) -> Result<(String, bool), RunnerError> {
        self.sweep()?;
        let (incoming, opened) = self.incoming()?;
        let unpacked = Self::unpack_into(archive, &incoming);
        let placed = unpacked.and_then(|digest| {
            let layer = self.layer(&digest);
            if layer.is_dir() {
                return Ok((digest, false));
            }
            rustix::fs::syncfs(&opened).map_err(|error| file("write", &incoming, error.into()))?;
            fs::rename(&incoming, &layer).map_err(|source| file("rename", &layer, source))?;
            linux::replace::sync_directory_of(&layer).map_err(|source| file("rename", &layer, source))?;
            Ok((digest, true))
        });
        if !matches!(placed, Ok((_, true))) {
            let _ = fs::remove_dir_all(&incoming);
        }
        placed
    }

    /// Makes a directory to unpack into. Its lock tells others that somebody works there, and is released with this
    /// process, however it ends.
    fn incoming(&self) -> Result<(PathBuf, std::fs::File), RunnerError> {
        // One process may import several at once.
        static NEXT: AtomicU32 = AtomicU32::new(0);
        for _ in 0..8 {
            let number = NEXT.fetch_add(1, Ordering::Relaxed);
            let name = format!("{INCOMING}{}-{number}", std::process::id());
            let path = self.root.join("layers").join(name);
            let _ = fs::remove_dir_all(&path);
            fs::create_dir(&path).map_err(|source| file("make directory", &path, source))?;
            let opened = match std::fs::File::open(&path) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                opened => opened.map_err(|source| file("open", &path, source))?,
            };
            // Another import may have taken it for one that was killed, before it was locked.
            if flock(&opened, FlockOperation::NonBlockingLockExclusive).is_ok() && path.is_dir() {
                return Ok((path, opened));
            }
        }
        Err(file("make directory", &self.root.join("layers"), io::ErrorKind::ResourceBusy.into()))
    }

    /// Removes what imports left that were killed.
    fn sweep(&self) -> Result<(), RunnerError> {
        let directory = self.root.join("layers");
        let entries = fs::read_dir(&directory).map_err(|source| file("list", &directory, source))?;
        for path in entries.filter_map(|entry| Some(entry.ok()?.path())) {
            let is_incoming =
                path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(INCOMING.as_bytes()));
            if !is_incoming {
                continue;
            }
            let Ok(opened) = std::fs::File::open(&path) else { continue };
            if flock(&opened, FlockOperation::NonBlockingLockExclusive).is_ok() {
                match fs::remove_dir_all(&path) {
                    Err(error) if error.kind() != io::ErrorKind::NotFound => {
                        return Err(file("remove", &path, error));
                    }
                    _ => {}
                }
            }
        }
        Ok(())
    }

    fn unpack_into(archive: &Path, directory: &Path) -> Result<String, RunnerError> {
        let opened = fs::File::open(archive).map_err(|source| file("open", archive, source))?;
        let mut reader =
            Hashing { inner: io::BufReader::with_capacity(1 << 20, opened), hash: Sha256::new() };
        unpack::unpack(&mut reader, directory).map_err(|source| RunnerError::ImageInvalid {
            archive: archive.display().to_string(),
            reason: source.to_string(),
        })?;
        // The archive's padding counts for its digest too.
        io::copy(&mut reader, &mut io::sink()).map_err(|source| file("read", archive, source))?;
        Ok(types::hex::encode(&reader.hash.finalize()))
    }

    /// Names may hold anything; file names may not.
    fn record(&self, name: &str) -> PathBuf {
        let mut encoded = String::new();
        for byte in name.bytes() {
            if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.') {
                encoded.push(char::from(byte));
            } else {
                encoded.push('%');
                encoded.push_str(&types::hex::encode(&[byte]));
            }
        }
        self.root.join("names").join(encoded + ".json")
    }
}

impl Image {
    fn matches(&self, description: &Description) -> bool {
        self.user == description.user
            && self.working_directory == description.working_directory
            && self.environment == description.environment
    }
}

fn describe(archive: &Path) -> Result<Source, RunnerError> {
    let path = fs::canonicalize(archive).map_err(|source| file("find", archive, source))?;
    let metadata = fs::metadata(&path).map_err(|source| file("read", &path, source))?;
    let modified =
        metadata.modified().ok().and_then(|time| time.duration_since(UNIX_EPOCH).ok()).unwrap_or_default();
    let modified_ms = u64::try_from(modified.as_millis()).unwrap_or(u64::MAX);
    Ok(Source { path, bytes: metadata.len(), modified_ms })
}

fn file(action: &'static str, path: &Path, source: io::Error) -> RunnerError {
    RunnerError::File { action, path: path.to_owned(), source }
}

/// Passes bytes on and takes their digest.
struct Hashing<R> {
    inner: R,
    hash: Sha256,
}

impl<R: io::Read> io::Read for Hashing<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        self.hash.update(buffer.get(..read).unwrap_or_default());
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_become_safe_file_names() {
        let store = Store { root: PathBuf::from("/s"), uses: Arc::default() };
        assert_eq!(store.record("../a/b:1"), PathBuf::from("/s/names/..%2fa%2fb%3a1.json"));
    }
}
