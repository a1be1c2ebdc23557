//! What this host can and cannot enforce, with the remedy for each: tried where that is cheap, not guessed.
//!
//! Nothing that is tried stays: every attempt takes back what it made.

pub mod finding;
mod attempt;
mod fact;
mod judge;

use std::path::Path;

pub use finding::{Finding, Mark};

/// Examines this host for a server that will keep its data in `data_directory`, which need not exist yet. The caller
/// must not have started a thread.
pub fn examine(data_directory: &Path) -> Vec<Finding> {
    judge::judge(&fact::Facts::gather(data_directory))
}
