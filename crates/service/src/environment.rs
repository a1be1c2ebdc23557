//! The environment as a value, so that resolving settings is a pure function.

use std::collections::BTreeMap;

/// Variables by name. An empty one counts as not set, because compose files write `NAME=${NAME:-}`.
pub type Environment = BTreeMap<String, String>;

/// Copies the process's environment; the only place that reads it. Text that is not UTF-8 is kept with marks in place
/// of the bytes that cannot be shown, so that a setting holding them is refused by name.
pub fn of_process() -> Environment {
    std::env::vars_os()
        .map(|(name, value)| (name.to_string_lossy().into_owned(), value.to_string_lossy().into_owned()))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sees_what_whoever_started_it_set() {
        assert_eq!(
            of_process().get("CARGO_MANIFEST_DIR").map(String::as_str),
            Some(env!("CARGO_MANIFEST_DIR"))
        );
    }
}
