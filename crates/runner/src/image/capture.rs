//! Images made of sandboxes: the layers of the image that a sandbox was made from, and what it changed on top.

use std::os::fd::OwnedFd;

use crate::error::RunnerError;
use crate::image::record::{Captured, Source};
use crate::image::upper::{self, UpperError};
use crate::image::{Image, Store, file};

/// Begins the directories of layers that were made of sandboxes: they can be removed with the images that have them,
/// and no archive has such a digest.
pub(super) const CAPTURED_LAYER: &str = "captured-";
/// The kernel stacks 500; a snapshot of a snapshot of a snapshot has one more each time.
const MOST_LAYERS: usize = 400;

impl Store {
    /// Returns how much an image that was made of a sandbox adds, `None` when there is no such image.
    pub(crate) fn captured(&self, name: &str) -> Result<Option<u64>, RunnerError> {
        let known =
            self.find(name)?.filter(|image| image.layers.iter().all(|layer| self.layer(layer).is_dir()));
        Ok(known.and_then(|image| image.captured).map(|captured| captured.added_bytes))
    }

    /// Makes the image `name` of the sandbox `id`, which was made from `base` and whose changes are in the directory
    /// `upper`, to which nobody writes; `first_id` is its root. `settled` is asked before anything is kept. Returns
    /// how much it adds.
    pub(crate) fn capture(
        &self,
        id: &str,
        name: &str,
        base: &str,
        upper: &OwnedFd,
        first_id: u32,
        settled: impl FnOnce() -> Result<(), RunnerError>,
    ) -> Result<u64, RunnerError> {
        let refused = |reason| RunnerError::CannotCapture { id: id.to_owned(), reason };
        let draft = self.draft()?;
        let tree = draft.tree();
        let copied =
            upper::copy(upper, &tree, &draft.aside(), first_id, name).map_err(|error| match error {
                UpperError::Refused(reason) => refused(reason),
                UpperError::Copy { path, source } => file("copy", path.as_ref(), source),
            })?;
        draft.sync()?;
        settled()?;
        // Nobody removes what the image is made of until it has a name.
        let _uses = self.used();
        let base = self.find_whole(base)?;
        if base.layers.len() >= MOST_LAYERS {
            let reason = format!("it has {MOST_LAYERS} layers, and more cannot be stacked");
            return Err(refused(reason));
        }
        let digest = format!("{CAPTURED_LAYER}{}", copied.digest);
        draft.place(&self.layer(&digest))?;
        let layers = std::iter::once(digest).chain(base.layers).collect();
        let captured = Some(Captured { added_bytes: copied.bytes, is_forgotten: false });
        let (name, source) = (name.to_owned(), Source::default());
        let size_bytes = base.size_bytes.saturating_add(copied.bytes);
        self.save(&Image { name, layers, source, captured, size_bytes, is_removable: false, ..base })?;
        Ok(copied.bytes)
    }
}
