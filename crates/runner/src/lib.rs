//! One host: makes sandboxes real, and finds them again after a crash.
//!
//! Must not know: the database, HTTP, who asked. Start at [`host::Host`]; the hot path is [`boot`].
//! Invariants: nothing on the host outlives its sandbox, because mounts and loop devices belong to descriptors and
//! links to namespaces; everything else is named after the sandbox or its place; the image is never trusted.
#![forbid(unsafe_code)]

pub mod net;
pub mod error;
pub mod place;
pub mod image;
pub mod sandbox;
pub mod spawner;
pub mod share;
pub mod pack;
mod stock;
mod steps;
mod barrier;
pub mod pool;
pub mod settings;
pub mod ruins;
pub mod roll;
mod table;
pub mod volume;
pub mod ground;
pub mod cell;
pub mod boot;
mod held;
mod begun;
mod staging;
mod lent;
pub mod host;
mod pause;
mod resize;
pub mod recover;
pub mod fork;
pub mod backup;
mod capture;
mod shed;
pub mod build;
mod work;
pub mod doctor;
mod ending;
mod condition;
mod isolation;
mod egress;
mod link;
mod attach;
