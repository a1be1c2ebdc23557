//! The images of this host: unpacked layers, shared by all sandboxes, and a record for each name.

pub mod allowance;
mod attribute;
pub mod unpack;
pub mod upper;
mod hold;
mod record;
mod provenance;
mod inflate;
pub mod draft;
pub(crate) mod built;
pub mod remote;
mod layer;
mod mend;
pub mod pull;
mod bundle;
pub mod push;
mod capture;
pub mod shed;
mod collect;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, RwLock};
use std::time::UNIX_EPOCH;

use fs_err as fs;

use crate::error::RunnerError;
use crate::image::allowance::Allowance;
use crate::image::draft::Draft;
use crate::image::hold::{Holds, Turns};
use crate::image::inflate::Hashing;
use crate::image::record::Source;

pub use hold::Held;
pub use record::{Config, Description, Image};

/// The directory that keeps images.
#[derive(Debug, Clone)]
pub struct Store {
    root: PathBuf,
    /// Held to read by whoever begins to use an image that may be forgotten, and to write by whoever removes.
    uses: Arc<RwLock<()>>,
    /// Layers that no image has yet.
    holds: Arc<Holds>,
    /// Who fetches or writes what.
    turns: Arc<Turns>,
}

impl Store {
    /// Opens the store below `data_directory`, making it when missing.
    pub fn open(data_directory: &Path) -> Result<Self, RunnerError> {
        let root = data_directory.join("images");
        for name in [
            "layers",
            "names",
            collect::PINS,
            provenance::SOURCES,
            layer::BLOBS,
            built::STEPS,
            built::NOTHING,
        ] {
            let directory = root.join(name);
            fs::create_dir_all(&directory).map_err(|source| file("make directory", &directory, source))?;
        }
        // Layers hold setuid programs of images: no other user of the host may reach them.
        let private = std::os::unix::fs::PermissionsExt::from_mode(0o700);
        fs::set_permissions(&root, private).map_err(|source| file("protect", &root, source))?;
        let store = Self { root, uses: Arc::default(), holds: Arc::default(), turns: Arc::default() };
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
        let draft = self.draft()?;
        let digest = Self::unpack_into(archive, &draft)?;
        draft.sync()?;
        // Until the image has its name, nobody removes the layer.
        let alone = self.alone()?;
        self.mark_imported(&digest)?;
        let unpacked = draft.place(&self.layer(&digest))?;
        let Description { name, user, working_directory, environment } = description;
        let config = Config { user, working_directory, environment, ..Config::default() };
        let image = Image { source, is_removable: false, ..Image::removable(name, vec![digest], config, 0) };
        self.save(&image)?;
        drop(alone);
        Ok((image, unpacked))
    }

    fn save(&self, image: &Image) -> Result<(), RunnerError> {
        let text = serde_json::to_vec_pretty(image)
            .map_err(|source| RunnerError::Encode { what: "image record", source })?;
        let path = self.record(&image.name);
        linux::replace::replace(&path, &text, 0o600).map_err(|source| file("write", &path, source))
    }

    fn unpack_into(archive: &Path, draft: &Draft) -> Result<String, RunnerError> {
        let opened = fs::File::open(archive).map_err(|source| file("open", archive, source))?;
        let mut reader = Hashing::new(io::BufReader::with_capacity(1 << 20, opened));
        let unpacked = unpack::unpack(&mut reader, &draft.tree(), &Allowance::default());
        unpacked.map_err(|source| RunnerError::ImageInvalid {
            archive: archive.display().to_string(),
            reason: source.to_string(),
        })?;
        Ok(reader.finish())
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_become_safe_file_names() {
        let root = PathBuf::from("/s");
        let store = Store { root, uses: Arc::default(), holds: Arc::default(), turns: Arc::default() };
        assert_eq!(store.record("../a/b:1"), PathBuf::from("/s/names/..%2fa%2fb%3a1.json"));
    }
}
