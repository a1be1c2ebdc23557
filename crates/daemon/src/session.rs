//! Shells that live on between commands, each with its commands and their logs.

/// All of them.
#[derive(Debug, Default)]
pub struct Sessions {}
