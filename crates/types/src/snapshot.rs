//! What a sandbox starts from.

use crate::resource::Resources;

/// A named image with the resources its sandboxes get.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshot {
    /// The name users write.
    pub name: String,
    /// The image's reference in the runner's image store.
    pub image: String,
    /// What sandboxes from it may use.
    pub resources: Resources,
}
