//! Room on the disk: images that can be had again go when it fills up, and when they are removed by name.

use std::collections::BTreeSet;

use crate::error::RunnerError;
use crate::host::Host;
use crate::image::shed::Marks;

impl Host {
    /// Removes images that can be had again while the file system is fuller than `marks` allow, those that were used
    /// longest ago first. None goes from which a sandbox was made that is here or may come back, none in `needed`, which
    /// are those of snapshots and caches, and none that is being pulled. Returns the names of what went.
    pub fn shed_images(&self, needed: &BTreeSet<String>, marks: Marks) -> Result<Vec<String>, RunnerError> {
        self.ground.images.shed(|| self.images_in_use(), needed, marks)
    }

    /// Removes an image that was pulled or built, and the layers that no other has. One that is not here is removed
    /// already; one that sandboxes need is not, and says so.
    pub fn remove_image(&self, name: &str) -> Result<(), RunnerError> {
        self.ground.images.remove_one(name, || self.images_in_use())
    }
}
