//! Where a layer came from: who may have it without fetching it again, and whether it can be removed.
//!
//! A layer's name is the digest of its content, which is no secret: it stands in configurations that are shown around. So
//! a registry's word that a caller may have the archive counts only for the registry from which the archive came; from any
//! other it is fetched again, which proves that the caller has it.

use std::collections::BTreeSet;
use std::io;
use std::path::PathBuf;

use fs_err as fs;
use registry::Descriptor;
use serde::{Deserialize, Serialize};

use crate::error::RunnerError;
use crate::image::{Store, file};

/// Holds a file for each layer that did not come with an imported archive.
pub(super) const SOURCES: &str = "sources";
/// How many repositories are remembered of a layer.
const MOST_REPOSITORIES: usize = 32;

/// What is known of a layer.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Provenance {
    /// What its files hold.
    pub(super) bytes: u64,
    /// The archives that were unpacked to it, as registries have them.
    #[serde(default)]
    pub(super) blobs: Vec<Descriptor>,
    /// Where such an archive is: `host/repository`.
    #[serde(default)]
    pub(super) repositories: BTreeSet<String>,
    /// Its directories of which no archive says anything; see `mend`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) implied: Vec<PathBuf>,
    /// An imported archive has it, too, so it stays.
    #[serde(default)]
    pub(super) is_imported: bool,
}

impl Provenance {
    /// Tells whether the registry of `repository` has given this archive before.
    pub(super) fn is_known_to(&self, blob: &Descriptor, repository: &str) -> bool {
        let host = |repository: &str| repository.split('/').next().unwrap_or_default().to_owned();
        let asked = host(repository);
        self.blobs.iter().any(|known| known.digest == blob.digest && known.size == blob.size)
            && self.repositories.iter().any(|known| host(known) == asked)
    }

    /// Adds where an archive was found.
    pub(super) fn add(&mut self, blob: &Descriptor, repository: &str) {
        if !self.blobs.iter().any(|known| known.digest == blob.digest) {
            self.blobs.push(Descriptor { platform: None, ..blob.clone() });
        }
        if self.repositories.len() < MOST_REPOSITORIES {
            self.repositories.insert(repository.to_owned());
        }
    }
}

impl Store {
    fn source_of(&self, layer: &str) -> PathBuf {
        self.root.join(SOURCES).join(format!("{layer}.json"))
    }

    /// Reads what is known of a layer; `None` of one that was only imported.
    pub(super) fn provenance(&self, layer: &str) -> Result<Option<Provenance>, RunnerError> {
        let path = self.source_of(layer);
        match fs::read(&path) {
            // One that cannot be read is of no use; the layer is fetched again.
            Ok(text) => Ok(serde_json::from_slice(&text).ok()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(file("read", &path, source)),
        }
    }

    /// Writes what is known of a layer, before the layer itself gets its place: one without is never removed.
    pub(super) fn keep_provenance(
        &self,
        layer: &str,
        change: impl FnOnce(Provenance) -> Provenance,
    ) -> Result<(), RunnerError> {
        let turn = self.turns.take(&format!("source {layer}"), || false);
        let known = self.provenance(layer)?;
        let before = known.clone().unwrap_or_else(|| Provenance {
            // Nobody knows where it is from: running sandboxes may have it under any name.
            is_imported: self.layer(layer).is_dir(),
            ..Provenance::default()
        });
        let was_imported = before.is_imported;
        let mut after = change(before);
        after.is_imported |= was_imported;
        if known.as_ref() != Some(&after) {
            let text = serde_json::to_vec(&after)
                .map_err(|source| RunnerError::Encode { what: "source of a layer", source })?;
            let path = self.source_of(layer);
            linux::replace::replace(&path, &text, 0o600).map_err(|source| file("write", &path, source))?;
        }
        drop(turn);
        Ok(())
    }

    /// Notes a layer that is made on this host, before it gets its place. What a power cut takes of it goes with the layer.
    pub(super) fn note_made(&self, layer: &str, bytes: u64) -> Result<(), RunnerError> {
        let path = self.source_of(layer);
        let text = serde_json::to_vec(&Provenance { bytes, ..Provenance::default() })
            .map_err(|source| RunnerError::Encode { what: "source of a layer", source })?;
        linux::replace::replace_soon(&path, &text, 0o600).map_err(|source| file("write", &path, source))
    }

    /// Notes that an imported archive has this layer.
    pub(super) fn mark_imported(&self, layer: &str) -> Result<(), RunnerError> {
        if self.provenance(layer)?.is_none() {
            return Ok(());
        }
        self.keep_provenance(layer, |known| Provenance { is_imported: true, ..known })
    }

    /// Forgets what was known of a layer that is gone.
    pub(super) fn forget_provenance(&self, layer: &str) {
        let _ = fs::remove_file(self.source_of(layer));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_registry_that_gave_an_archive_is_believed() {
        let blob = |content: &[u8]| Descriptor {
            media_type: String::new(),
            digest: registry::Digest::of(content),
            size: 1,
            platform: None,
        };
        let mut known = Provenance::default();
        known.add(&blob(b"a"), "one.example:5000/team/x");
        assert!(known.is_known_to(&blob(b"a"), "one.example:5000/other"));
        assert!(!known.is_known_to(&blob(b"a"), "one.example/team/x"));
        assert!(!known.is_known_to(&blob(b"a"), "evil.example/team/x"));
        assert!(!known.is_known_to(&blob(b"b"), "one.example:5000/team/x"));
        assert!(!known.is_known_to(&Descriptor { size: 2, ..blob(b"a") }, "one.example:5000/team/x"));
    }
}
