//! What a Dockerfile says: instructions, stages, variables, and the steps that a build takes.
//!
//! Must not know: files, images, sandboxes. Start at [`Dockerfile::parse`], then [`plan::Plan::new`], then
//! [`evaluation::Evaluation`]. Invariants: pure; no text of any kind makes it panic, loop or grow without bound; what is
//! not built is an error with its line and a remedy.
#![forbid(unsafe_code)]

pub mod error;
mod word;
mod text;
pub mod path;
pub mod pattern;
pub mod ignore;
pub mod mount;
pub mod instruction;
mod copy;
mod read;
pub mod plan;
pub mod config;
pub mod evaluation;
pub mod key;

pub use error::Error;
pub use read::{Dockerfile, Stage};
