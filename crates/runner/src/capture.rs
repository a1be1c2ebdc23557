//! Snapshots of sandboxes: an image is made of what one has changed, and is forgotten again.

use std::collections::BTreeSet;

use crate::backup;
use crate::error::RunnerError;
use crate::host::Host;
use crate::sandbox::disk;
use crate::table::Entry;

const CAPTURE: &str = "take a snapshot";

impl Host {
    /// Makes the image `name` of the files that a sandbox has now, running, paused or stopped; returns how much it adds
    /// to the image that the sandbox was made from. One that is here already is left as it is.
    pub fn capture(&self, id: &str, name: &str) -> Result<u64, RunnerError> {
        let images = &self.ground.images;
        if let Some(added_bytes) = images.captured(name)? {
            return Ok(added_bytes);
        }
        // The sandbox is free to go on from here.
        let (still, base) =
            self.with(id, |entry| Ok((self.still(CAPTURE, id, entry)?, base_of(id, entry)?)))?;
        let upper = disk::look_into(&still.path);
        let upper =
            upper.map_err(|source| RunnerError::Kernel { action: CAPTURE, id: id.to_owned(), source })?;
        images.capture(id, name, &base, &upper, still.first_id, || backup::unchanged(CAPTURE, id, &still))
    }

    /// Removes an image that was made of a sandbox, once no sandbox on this host was made from it and none that left it
    /// for the object storage. Until then it stays, for those alone. One that is not here is forgotten already.
    pub fn forget(&self, name: &str) -> Result<(), RunnerError> {
        if self.ground.images.forget(name)? { self.collect_images() } else { Ok(()) }
    }

    /// Removes what nobody needs of images that were forgotten.
    pub(crate) fn collect_images(&self) -> Result<(), RunnerError> {
        self.ground.images.collect(|| self.images_in_use())
    }

    /// Lists the images of the sandboxes that are here.
    pub(crate) fn images_in_use(&self) -> BTreeSet<String> {
        let image = |id: String| {
            let found = self
                .table
                .with(&id, |entry| Ok(entry.record.as_ref().map(|record| record.spec.image.clone())));
            found.ok().flatten().flatten()
        };
        self.table.ids().into_iter().filter_map(image).collect()
    }
}

fn base_of(id: &str, entry: &Entry) -> Result<String, RunnerError> {
    let record = entry.record.as_ref();
    record.map(|record| record.spec.image.clone()).ok_or_else(|| RunnerError::Missing { id: id.to_owned() })
}
