//! Objects as files of this host. All calls block.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, ErrorKind};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use fs_err as fs;
use types::OrganizationId;

use crate::error::{S3Error, file};
use crate::key::{self, Key, Named};
use crate::quota::Usage;
use crate::record::{self, Record};

/// Holds the objects.
const OBJECTS: &str = "objects";
/// Holds what is being written; emptied at each start.
const STAGING: &str = "staging";
/// Holds uploads in parts.
const UPLOADS: &str = "uploads";

/// What must hold for an object to be written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Condition {
    /// Nothing.
    Always,
    /// There is no such object.
    Absent,
    /// It has this tag; `None` is any.
    Tag(Option<String>),
}

/// The directory that holds all of it.
#[derive(Debug)]
pub(crate) struct Disk {
    root: PathBuf,
    /// Held while a name comes or goes, so that conditions hold and no directory goes under a file.
    names: Mutex<()>,
}

/// A file that nobody sees yet; dropped, it is gone.
#[derive(Debug)]
pub(crate) struct Staged {
    pub(crate) file: File,
    path: PathBuf,
    is_kept: bool,
}

impl Drop for Staged {
    fn drop(&mut self) {
        if !self.is_kept {
            // What stays is removed at the next start.
            let _ = fs::remove_file(&self.path);
        }
    }
}

impl Staged {
    /// Gives the file a name; whatever had that name is gone.
    pub(crate) fn rename(mut self, path: &Path) -> Result<(), S3Error> {
        fs::rename(&self.path, path).map_err(file("rename a file to", path))?;
        self.is_kept = true;
        Ok(())
    }
}

impl Disk {
    /// Opens the directory, and removes what was not finished when it was last used.
    pub(crate) fn open(root: &Path) -> Result<Self, S3Error> {
        let staging = root.join(STAGING);
        match fs::remove_dir_all(&staging) {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                return Err(file("empty directory", &staging)(error));
            }
            _ => {}
        }
        for directory in [root, &staging, &root.join(OBJECTS), &root.join(UPLOADS)] {
            fs::create_dir_all(directory)
                .and_then(|()| fs::set_permissions(directory, std::fs::Permissions::from_mode(0o700)))
                .map_err(file("make directory", directory))?;
        }
        Ok(Self { root: root.to_owned(), names: Mutex::new(()) })
    }

    /// Begins a file; `token` is a name that no other has.
    pub(crate) fn stage(&self, token: &str) -> Result<Staged, S3Error> {
        let path = self.root.join(STAGING).join(token);
        let opened = File::options().read(true).write(true).create_new(true).open(&path);
        let file = opened.map_err(file("make file", &path))?;
        Ok(Staged { file, path, is_kept: false })
    }

    /// Returns where uploads in parts are kept.
    pub(crate) fn uploads(&self) -> PathBuf {
        self.root.join(UPLOADS)
    }

    fn path(&self, key: &Key) -> PathBuf {
        self.root.join(OBJECTS).join(key.path())
    }

    /// Makes a written file the object of a key, so that it stays even when the power goes; returns the size of the
    /// object that it replaces.
    pub(crate) fn commit(
        &self,
        staged: Staged,
        key: &Key,
        condition: &Condition,
    ) -> Result<Option<u64>, S3Error> {
        let path = self.path(key);
        staged.file.sync_all().map_err(file("write", &staged.path))?;
        let _held = self.names.lock().unwrap_or_else(PoisonError::into_inner);
        let old = match self.find(key) {
            Ok(found) => found.map(|(_, record)| record),
            // What cannot be read any more can be replaced.
            Err(S3Error::Damaged { .. }) => Some(Record::default()),
            Err(error) => return Err(error),
        };
        let holds = match condition {
            Condition::Always => true,
            Condition::Absent => old.is_none(),
            Condition::Tag(None) => old.is_some(),
            Condition::Tag(Some(tag)) => old.as_ref().is_some_and(|record| record.etag == *tag),
        };
        if !holds {
            return Err(S3Error::Condition { key: key.to_string() });
        }
        let parent = path.parent().unwrap_or(&self.root);
        self.make_directories(parent).map_err(file("make directory", parent))?;
        staged.rename(&path)?;
        sync_directory(parent).map_err(file("write directory", parent))?;
        Ok(old.map(|record| record.bytes))
    }

    /// Makes directories that stay.
    fn make_directories(&self, path: &Path) -> io::Result<()> {
        let objects = self.root.join(OBJECTS);
        let mut missing = Vec::new();
        let mut known = path;
        while known != objects && !known.try_exists()? {
            missing.push(known);
            known = known.parent().unwrap_or(&objects);
        }
        for directory in missing.into_iter().rev() {
            fs::create_dir(directory)?;
            sync_directory(directory.parent().unwrap_or(&objects))?;
        }
        Ok(())
    }

    /// Opens an object.
    pub(crate) fn find(&self, key: &Key) -> Result<Option<(File, Record)>, S3Error> {
        let path = self.path(key);
        let opened = match File::open(&path) {
            Ok(opened) => opened,
            Err(error) if is_absent(&error) => return Ok(None),
            Err(error) => return Err(file("open", &path)(error)),
        };
        let record = record::read(&opened).map_err(file("read", &path))?;
        let record = record.ok_or(S3Error::Damaged { path })?;
        Ok(Some((opened, record)))
    }

    /// Removes an object, and directories that hold nothing more; returns its size.
    pub(crate) fn remove(&self, key: &Key) -> Result<Option<u64>, S3Error> {
        let path = self.path(key);
        let _held = self.names.lock().unwrap_or_else(PoisonError::into_inner);
        let bytes = match self.find(key) {
            Ok(None) => return Ok(None),
            Ok(Some((_, record))) => record.bytes,
            // What is damaged can be removed, too.
            Err(S3Error::Damaged { .. }) => 0,
            Err(error) => return Err(error),
        };
        fs::remove_file(&path).map_err(file("remove", &path))?;
        let objects = self.root.join(OBJECTS);
        let above = path.ancestors().skip(1).take_while(|above| *above != objects);
        for directory in above {
            // It holds something: so do all above it.
            if fs::remove_dir(directory).is_err() {
                break;
            }
        }
        Ok(Some(bytes))
    }

    /// Walks over the keys that begin with `prefix`, in no order.
    pub(crate) fn walk(&self, prefix: &str, mut visit: impl FnMut(&str, &Path)) -> Result<(), S3Error> {
        let top = self.root.join(OBJECTS).join(key::directory(prefix));
        let whole = prefix.rsplit_once('/').map(|(whole, _)| format!("{whole}/")).unwrap_or_default();
        let mut left = vec![(top, whole.into_bytes())];
        while let Some((directory, above)) = left.pop() {
            let entries = match fs::read_dir(&directory) {
                Ok(entries) => entries,
                Err(error) if is_absent(&error) => continue,
                Err(error) => return Err(file("list", &directory)(error)),
            };
            for entry in entries {
                let entry = entry.map_err(file("list", &directory))?;
                let name = entry.file_name();
                let mut key = above.clone();
                match key::read(Path::new(&name)) {
                    None => {}
                    Some(Named::Directory(more)) => {
                        key.extend(more);
                        left.push((entry.path(), key));
                    }
                    Some(Named::Object(more)) => {
                        key.extend(more);
                        if let Some(key) =
                            std::str::from_utf8(&key).ok().filter(|key| key.starts_with(prefix))
                        {
                            visit(key, &entry.path());
                        }
                    }
                }
            }
        }
        Ok(())
    }

    /// Lists what begins with `prefix`: the first `most` of what `entry` makes of keys, in order.
    pub(crate) fn list<Entry: Ord>(
        &self,
        prefix: &str,
        most: usize,
        entry: impl Fn(&str) -> Option<Entry>,
    ) -> Result<BTreeSet<Entry>, S3Error> {
        let mut first = BTreeSet::new();
        self.walk(prefix, |key, _| {
            first.extend(entry(key));
            if first.len() > most {
                first.pop_last();
            }
        })?;
        Ok(first)
    }

    /// Returns what is known of an object that was listed; `None` when it is gone.
    pub(crate) fn record(&self, key: &str) -> Result<Option<Record>, S3Error> {
        let owner = key.split('/').next().and_then(|owner| owner.parse().ok());
        let key = owner.map(|owner| Key::of(owner, key)).transpose()?.flatten();
        match key.map(|key| self.find(&key)).transpose() {
            Ok(found) => Ok(found.flatten().map(|(_, record)| record)),
            Err(S3Error::Damaged { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Finds out what an organisation keeps, uploads in parts included.
    pub(crate) fn usage(&self, organization: OrganizationId) -> Result<Usage, S3Error> {
        let mut usage = Usage::default();
        self.walk(&key::prefix(organization), |_, path| {
            usage.add(fs::metadata(path).map_or(0, |metadata| metadata.len()));
        })?;
        let uploads = self.uploads().join(organization.to_string());
        for upload in entries(&uploads)? {
            for part in entries(&upload)? {
                usage.add(fs::metadata(&part).map_or(0, |metadata| metadata.len()));
            }
        }
        Ok(usage)
    }
}

/// Returns what a directory holds: nothing when it is not there.
pub(crate) fn entries(directory: &Path) -> Result<Vec<PathBuf>, S3Error> {
    let listed = match fs::read_dir(directory) {
        Ok(listed) => listed,
        Err(error) if is_absent(&error) => return Ok(Vec::new()),
        Err(error) => return Err(file("list", directory)(error)),
    };
    let paths: Result<Vec<_>, _> = listed.map(|entry| Ok(entry?.path())).collect();
    paths.map_err(file("list", directory))
}

fn is_absent(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory)
}

fn sync_directory(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}
