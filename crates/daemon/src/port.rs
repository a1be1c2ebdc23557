//! Which ports are listened on, and the way to them.

pub mod listening;
pub mod header;
pub mod exchange;
