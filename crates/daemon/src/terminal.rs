//! Terminals: a shell on a pseudo-terminal each, with any number of clients.

/// All of them.
#[derive(Debug, Default)]
pub struct Terminals {}
