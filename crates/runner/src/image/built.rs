//! What builds keep: layers that their steps made, and which step made which, so that the same step is not done twice.
//!
//! A build syncs its layers once, at its end, and only then notes its steps: after a crash in between, nobody has the
//! layers and they go.

use std::collections::BTreeSet;
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use fs_err as fs;
use serde::{Deserialize, Serialize};

use crate::error::RunnerError;
use crate::image::draft::{MADE_LAYER, uncopied};
use crate::image::hold::{Held, Turn};
use crate::image::unpack::MOST_DEPTH;
use crate::image::upper;
use crate::image::{Config, Image, Store, file};

/// Holds a file for each step that is known.
pub(super) const STEPS: &str = "steps";
/// An empty layer.
pub(super) const NOTHING: &str = "nothing";
/// How many steps are known at most; those that were used longest ago are forgotten.
const MOST_STEPS: usize = 4096;

/// What a step comes to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Outcome {
    /// Its layer; `None` when it changes no file.
    pub(crate) layer: Option<String>,
    /// What that holds.
    pub(crate) bytes: u64,
}

impl Store {
    /// Returns an empty directory, for images without a layer.
    pub(crate) fn nothing(&self) -> PathBuf {
        self.root.join(NOTHING)
    }

    /// Makes a layer of the directory `upper`, to which nobody writes, and keeps it as long as what is returned is held.
    /// It survives no power cut before [`Store::keep_steps`].
    pub(crate) fn make_layer(&self, upper: &OwnedFd, first_id: u32) -> Result<(Outcome, Held), RunnerError> {
        let draft = self.draft()?;
        let tree = draft.tree();
        let copied = upper::copy(upper, &tree, &draft.aside(), first_id, "made").map_err(uncopied)?;
        let mut names = fs::read_dir(&tree).map_err(|source| file("list", &tree, source))?;
        if names.next().is_none() {
            return Ok((Outcome { layer: None, bytes: 0 }, self.hold([])));
        }
        let layer = format!("{MADE_LAYER}{}", copied.digest);
        let held = self.hold([layer.clone()]);
        let place = self.layer(&layer);
        self.note_made(&layer, copied.bytes)?;
        match fs::rename(&tree, &place) {
            // The same files were made before.
            Err(_) if place.is_dir() => {}
            renamed => renamed.map_err(|source| file("rename", &place, source))?,
        }
        Ok((Outcome { layer: Some(layer), bytes: copied.bytes }, held))
    }

    /// Makes everything that was written survive a power cut.
    fn sync(&self) -> Result<(), RunnerError> {
        let opened = std::fs::File::open(&self.root).map_err(|source| file("open", &self.root, source))?;
        rustix::fs::syncfs(&opened).map_err(|error| file("write", &self.root, error.into()))
    }

    fn step_path(&self, key: &str) -> PathBuf {
        self.root.join(STEPS).join(key)
    }

    /// Finds what a step came to before, and keeps its layer as long as what is returned is held.
    pub(crate) fn step(&self, key: &str) -> Option<(Outcome, Held)> {
        let path = self.step_path(key);
        let outcome: Outcome = serde_json::from_slice(&fs::read(&path).ok()?).ok()?;
        // Held first and looked at then: whoever removes layers does it the other way round.
        let held = self.hold(outcome.layer.clone());
        if outcome.layer.as_ref().is_some_and(|layer| !self.layer(layer).is_dir()) {
            return None;
        }
        let _ = std::fs::File::options().write(true).open(&path).and_then(|it| {
            let now = rustix::fs::Timespec { tv_sec: 0, tv_nsec: rustix::fs::UTIME_NOW };
            let times = rustix::fs::Timestamps { last_access: now, last_modification: now };
            Ok(rustix::fs::futimens(&it, &times)?)
        });
        Some((outcome, held))
    }

    /// Keeps what steps come to, for builds that come later.
    pub(crate) fn keep_steps(&self, steps: &[(String, Outcome)]) -> Result<(), RunnerError> {
        if steps.is_empty() {
            return Ok(());
        }
        self.sync()?;
        self.note_steps(steps)
    }

    /// Notes what steps come to, whose layers were synced. What a power cut leaves half written counts as unknown.
    fn note_steps(&self, steps: &[(String, Outcome)]) -> Result<(), RunnerError> {
        for (key, outcome) in steps {
            let path = self.step_path(key);
            let text = serde_json::to_vec(outcome)
                .map_err(|source| RunnerError::Encode { what: "build step", source })?;
            linux::replace::replace_soon(&path, &text, 0o600)
                .map_err(|source| file("write", &path, source))?;
        }
        let known = self.steps()?;
        for (_, path) in known.iter().take(known.len().saturating_sub(MOST_STEPS)) {
            let _ = fs::remove_file(path);
        }
        Ok(())
    }

    /// Lists the files of known steps, those that were used longest ago first.
    fn steps(&self) -> Result<Vec<(u128, PathBuf)>, RunnerError> {
        let directory = self.root.join(STEPS);
        let entries = fs::read_dir(&directory).map_err(|source| file("list", &directory, source))?;
        let mut steps = Vec::new();
        for path in entries.filter_map(|entry| Some(entry.ok()?.path())) {
            let modified = fs::metadata(&path).and_then(|metadata| metadata.modified()).ok();
            let since = modified.and_then(|time| time.duration_since(UNIX_EPOCH).ok());
            steps.push((since.unwrap_or_default().as_millis(), path));
        }
        steps.sort();
        Ok(steps)
    }

    /// Lists the layers of known steps, which stay.
    pub(super) fn step_layers(&self) -> Result<BTreeSet<String>, RunnerError> {
        let mut layers = BTreeSet::new();
        for (_, path) in self.steps()? {
            let text = match fs::read(&path) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                text => text.map_err(|source| file("read", &path, source))?,
            };
            match serde_json::from_slice::<Outcome>(&text) {
                Ok(outcome) => layers.extend(outcome.layer),
                // Half written when the power went.
                Err(_) => drop(fs::remove_file(&path)),
            }
        }
        Ok(layers)
    }

    /// Forgets all steps; their layers go with the last image that has them.
    pub(super) fn forget_steps(&self) -> Result<(), RunnerError> {
        for (_, path) in self.steps()? {
            let _ = fs::remove_file(path);
        }
        Ok(())
    }

    /// Waits until nobody else builds the same. `stop` is asked again and again; `None` once it says so.
    pub(crate) fn build_turn(&self, name: &str, stop: impl Fn() -> bool) -> Option<Turn> {
        self.turns.take(&format!("build {name}"), stop)
    }
}

impl Image {
    /// Describes files that have no name yet.
    pub(crate) fn unnamed(layers: Vec<String>, config: Config) -> Self {
        Self::removable(String::new(), layers, config, 0)
    }
}

impl Store {
    /// Counts what layers hold of which nobody did.
    pub(crate) fn weigh(&self, layers: &[String]) -> u64 {
        layers.iter().map(|layer| weigh(&self.layer(layer), 0)).sum()
    }
}

fn weigh(directory: &Path, depth: usize) -> u64 {
    let Ok(entries) = fs::read_dir(directory) else { return 0 };
    let weight = |entry: fs::DirEntry| match entry.metadata() {
        Ok(metadata) if metadata.is_dir() && depth < MOST_DEPTH => weigh(&entry.path(), depth + 1),
        Ok(metadata) if metadata.is_file() => metadata.len(),
        _ => 0,
    };
    entries.filter_map(Result::ok).map(weight).sum()
}
