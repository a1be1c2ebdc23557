//! An object storage of the test's own, and what a sandbox's files look like from inside.
#![cfg(test)]

use std::path::{Path, PathBuf};

use runner::backup::Saved;
use runner::error::RunnerError;
use runner::sandbox::spec::Spec;
use storage::key::Shelf;
use storage::settings::Settings;
use storage::{Key, ObjectStorage};
use tempfile::TempDir;
use types::{OrganizationId, SystemRandom};

use crate::ground::{Ground, explain, order};

/// A directory of objects that goes away with it.
pub(crate) struct Objects {
    pub(crate) storage: ObjectStorage,
    pub(crate) home: PathBuf,
    organization: OrganizationId,
    _directory: Option<TempDir>,
    _runtime: tokio::runtime::Runtime,
}

impl Objects {
    pub(crate) fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let objects = Self::at(directory.path());
        Self { _directory: Some(directory), ..objects }
    }

    /// Keeps objects in a directory that is the test's.
    pub(crate) fn at(home: &Path) -> Self {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let settings = Settings::Directory(home.to_owned());
        let storage = ObjectStorage::open(&settings, runtime.handle().clone()).unwrap();
        let organization = OrganizationId::from_u128(7);
        Self { storage, home: home.to_owned(), organization, _directory: None, _runtime: runtime }
    }

    pub(crate) fn shelf(&self, spec: &Spec) -> Shelf {
        Shelf { organization: self.organization, sandbox: spec.id.parse().unwrap() }
    }

    pub(crate) fn backup(
        &self,
        ground: &Ground,
        spec: &Spec,
        kept: Option<&Key>,
    ) -> Result<Saved, RunnerError> {
        ground.host().backup(&spec.id, self.shelf(spec), kept, &self.storage)
    }

    pub(crate) fn restore(&self, ground: &Ground, spec: &Spec, saved: &Saved) -> Result<(), RunnerError> {
        ground.host().restore(spec, &saved.object, &saved.digest, &self.storage)
    }

    /// Stops a sandbox and takes it off the host.
    pub(crate) fn archive(&self, ground: &Ground, spec: &Spec) -> Saved {
        ground.host().stop(&spec.id, true).map_err(explain).unwrap();
        let saved = self.backup(ground, spec, None).map_err(explain).unwrap();
        ground.host().release(&spec.id).map_err(explain).unwrap();
        saved
    }

    /// Returns where an object lies.
    pub(crate) fn file(&self, key: &Key) -> PathBuf {
        self.home.join(key.to_string())
    }

    /// Counts the objects of a sandbox.
    pub(crate) fn count(&self, spec: &Spec) -> usize {
        self.storage.list(self.shelf(spec)).unwrap().len()
    }

    /// Counts the files, finished or not.
    pub(crate) fn files(&self) -> usize {
        files_below(&self.home)
    }

    /// A key that no object has.
    pub(crate) fn key(&self, spec: &Spec) -> Key {
        Key::new(self.shelf(spec), &SystemRandom)
    }
}

fn files_below(path: &Path) -> usize {
    let entries =
        std::fs::read_dir(path).map(|entries| entries.map(|entry| entry.unwrap()).collect::<Vec<_>>());
    entries.unwrap_or_default().iter().fold(0, |sum, entry| {
        sum + if entry.file_type().unwrap().is_dir() { files_below(&entry.path()) } else { 1 }
    })
}

/// Prints a line for each file of the sandbox and the digest of its content: kind, mode, owner, time, names, target.
/// Not looked at is what is mounted, and the root itself, which each sandbox has of its own.
const TREE: &str = r#"busybox find / -xdev | busybox sort | while read -r file; do
case "$file" in /|/proc*|/sys*|/dev*|/etc/hosts|/etc/hostname|/etc/resolv.conf) continue;; esac
if [ -h "$file" ]; then busybox stat -c '%n %f %u %g %Y' "$file"; busybox readlink "$file"
elif [ -d "$file" ]; then busybox stat -c '%n %f %u %g %Y' "$file"
else busybox stat -c '%n %f %u %g %Y %s %h %t %T' "$file"; [ -f "$file" ] && busybox sha256sum < "$file"; fi
done; true"#;

/// Reads the whole tree of a sandbox that runs.
pub(crate) fn tree(ground: &Ground, id: &str) -> String {
    let (code, said) = ground.execute(id, TREE);
    assert_eq!(code, 0, "{said}");
    assert!(said.lines().count() > 40, "{said}");
    said
}

/// Puts one of everything into a sandbox, and takes away some of what the image has.
pub(crate) fn furnish(ground: &Ground, id: &str) {
    let script = r#"set -e; cd /root
echo kept > file; busybox ln file other-name; busybox ln -s /etc/shadow link; busybox ln -s /nowhere broken
echo '#!/bin/sh' > program; chmod 4755 program; mkdir -p deep/er/still; echo x > deep/er/still/file
busybox mkfifo pipe; busybox chown 1000:1000 deep/er; chmod 1777 deep
dd if=/dev/zero of=sparse bs=1 count=1 seek=20000000 2> /dev/null; dd if=/dev/urandom of=noise bs=1M count=3 2> /dev/null
busybox touch -d '2001-02-03 04:05:06' file; busybox touch "name with
a line"
rm /bin/grep; busybox rm -r /home; mkdir /home; echo new > /home/file
busybox rm -r /tmp; mkdir /tmp; chmod 1777 /tmp; busybox mv /etc/group /etc/group.moved; echo more >> /etc/passwd"#;
    let (code, said) = ground.execute(id, script);
    assert_eq!(code, 0, "{said}");
}

/// Makes a sandbox with one of everything in it; returns its order and what it holds.
pub(crate) fn furnished(ground: &Ground) -> (Spec, String) {
    let spec = order();
    ground.host().create(&spec).map_err(explain).unwrap();
    furnish(ground, &spec.id);
    let files = tree(ground, &spec.id);
    (spec, files)
}
