//! Python programs that keep their state between calls, one per context.

/// All of them.
#[derive(Debug, Default)]
pub struct Interpreter {}
