//! What needs the real kernel and root: sandboxes made, stopped, found again and removed.

mod ground;
mod life;
mod image;
mod recovery;
