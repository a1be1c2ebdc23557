//! Tells clients what becomes of their sandboxes, over Socket.IO v4.
//!
//! Must not know: where rows are kept, how a sandbox is shown, what a key looks like. Start at [`serve::EventsState`].
//! Invariants: a socket hears of its own organisation alone, and only while its key or token is good; nothing is told
//! that did not happen; a client that reads slowly loses its socket and nobody else waits for it; nothing that a client sends can
//! end the process or be kept without bound.
#![forbid(unsafe_code)]

#[cfg(test)]
mod sample;
pub mod settings;
pub mod directory;
mod packet;
mod queue;
mod rooms;
mod memory;
mod catalogue;
mod hub;
mod session;
pub mod serve;

pub use directory::{Changes, Directory, Refusal};
pub use serve::{EventsState, router};
pub use settings::Settings;
