//! What needs the real kernel and root: sandboxes made, stopped, found again and removed.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test that fails says so by panicking"
)]

mod ground;
mod life;
mod image;
mod cells;
mod recovery;
mod egress;
mod link;
mod containment;
mod image_hostile;
mod pool;
mod limits;
mod resize;
mod pause;
mod work;
mod recover;
mod fork;
mod objects;
mod backup;
mod capture;
mod remote;
mod volume;
mod build;
