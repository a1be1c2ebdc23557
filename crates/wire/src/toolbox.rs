//! The toolbox: what the daemon inside a sandbox answers, one file per noun.

pub mod info;
pub mod environment;
pub mod chart;
pub mod process;
pub mod file;
pub mod system;
pub mod session;
pub mod terminal;
pub mod interpreter;
pub mod repository;
pub mod language_server;
pub mod port;

/// Every operation of the toolbox contract, one per line: method, path, versions, separated by tabs; `#` starts a
/// comment.
pub const OPERATIONS: &str = include_str!("../contract/toolbox.tsv");

/// One operation of the contract.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Operation {
    /// The HTTP method, in capitals.
    pub method: &'static str,
    /// The path, with `{name}` for a segment that varies.
    pub path: &'static str,
    /// The versions of the contract that have it, separated by commas.
    pub versions: &'static str,
}

/// Reads [`OPERATIONS`].
pub fn operations() -> impl Iterator<Item = Operation> {
    OPERATIONS.lines().filter(|line| !line.starts_with('#')).filter_map(|line| {
        let mut fields = line.split('\t');
        Some(Operation { method: fields.next()?, path: fields.next()?, versions: fields.next()? })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_contract_is_sorted_complete_and_without_duplicates() {
        let listed: Vec<_> = operations().collect();
        assert_eq!(listed.len(), OPERATIONS.lines().count() - 1, "one header line, then operations only");
        let mut sorted: Vec<_> = listed.iter().map(|operation| (operation.path, operation.method)).collect();
        let as_written = sorted.clone();
        sorted.sort_unstable();
        sorted.dedup();
        assert_eq!(as_written, sorted);
        let has = |version: &str| {
            listed.iter().filter(|operation| operation.versions.split(',').any(|one| one == version)).count()
        };
        assert_eq!(
            (has("0.190"), has("0.205")),
            (92, 104),
            "the published documents, and the one left out of them"
        );
    }
}
