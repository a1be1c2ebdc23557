//! Rows to reality: makes what was observed equal to what was desired.
//!
//! Must not know: HTTP, how a host does anything (that is behind [`port::Runner`]). Start at [`engine::Engine`]; what it
//! decides is [`plan::plan`], what it does is [`act::act`]. Invariants: one sandbox has one step at a time; a step is one
//! call that may be repeated; a wake is a reason to look, and what is done follows from the row alone, read or handed over
//! as just written; only this crate writes `observed`. Steps are planned by the one table of `types::sandbox::state`; what
//! becomes due by itself is [`due::due`]; why something failed is [`diagnose::diagnose`].
#![forbid(unsafe_code)]

pub mod port;
pub mod plan;
pub mod diagnose;
pub mod seen;
pub mod act;
pub mod due;
pub mod awake;
pub mod warm;
pub mod deadline;
mod driver;
mod loops;
pub mod engine;

pub use awake::{Awake, KeepAwake};
pub use deadline::Deadlines;
pub use engine::{Engine, Settings};
