//! The one table of states: what can be asked for, what can be seen, and what the contract calls each pair.

/// What a request asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Desired {
    /// Runs.
    Started,
    /// Keeps its files, runs nothing.
    Stopped,
    /// Is gone.
    Destroyed,
}

/// What was last seen on the host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Observed {
    /// Nothing is known: look before acting.
    Unknown,
    /// Nothing is there yet.
    Absent,
    /// Runs and answers.
    Started,
    /// Its files are there, nothing runs.
    Stopped,
    /// Its files are there; its processes ended although nobody had asked for it. The sandbox's reason says why.
    Ended,
    /// The last step failed for good; the sandbox's reason says why.
    Error,
    /// Its files, links and limits are gone.
    Destroyed,
}

impl Desired {
    /// Every value, for tables and tests.
    pub const ALL: [Self; 3] = [Self::Started, Self::Stopped, Self::Destroyed];

    /// Returns the contract's word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Started => "started",
            Self::Stopped => "stopped",
            Self::Destroyed => "destroyed",
        }
    }

    /// Reads the contract's word.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == text)
    }
}

impl Observed {
    /// Every value, for tables and tests.
    pub const ALL: [Self; 7] = [
        Self::Unknown,
        Self::Absent,
        Self::Started,
        Self::Stopped,
        Self::Ended,
        Self::Error,
        Self::Destroyed,
    ];

    /// Returns the word the store keeps.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Absent => "absent",
            Self::Started => "started",
            Self::Stopped => "stopped",
            Self::Ended => "ended",
            Self::Error => "error",
            Self::Destroyed => "destroyed",
        }
    }

    /// Reads the word the store keeps.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == text)
    }
}

/// Returns the contract's word for a sandbox of which `desired` was asked and `observed` seen.
///
/// A change under way shows as the transitional word at once, so that a client that reads the answer to its own
/// request sees that it was taken.
pub const fn reported(desired: Desired, observed: Observed) -> &'static str {
    match (desired, observed) {
        (_, Observed::Destroyed) => "destroyed",
        (Desired::Destroyed, _) => "destroying",
        (_, Observed::Error) | (Desired::Stopped, Observed::Ended) => "error",
        (Desired::Started, Observed::Absent | Observed::Unknown) => "creating",
        (Desired::Started, Observed::Started) => "started",
        (Desired::Started, Observed::Stopped | Observed::Ended) => "starting",
        (Desired::Stopped, Observed::Started | Observed::Absent | Observed::Unknown) => "stopping",
        (Desired::Stopped, Observed::Stopped) => "stopped",
    }
}

/// Tells whether nothing is left to do for `desired` once `observed` was seen.
pub const fn at_rest(desired: Desired, observed: Observed) -> bool {
    matches!(
        (desired, observed),
        (Desired::Started, Observed::Started | Observed::Error)
            | (Desired::Stopped, Observed::Stopped | Observed::Ended | Observed::Error)
            | (Desired::Destroyed, Observed::Destroyed)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_read_back() {
        for state in Desired::ALL {
            assert_eq!(Desired::parse(state.as_str()), Some(state));
        }
        for state in Observed::ALL {
            assert_eq!(Observed::parse(state.as_str()), Some(state));
        }
    }

    #[test]
    fn destroying_never_rests_before_everything_is_gone() {
        for observed in Observed::ALL {
            assert_eq!(at_rest(Desired::Destroyed, observed), observed == Observed::Destroyed);
        }
    }
}
