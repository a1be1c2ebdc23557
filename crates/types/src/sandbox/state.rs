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
    /// Keeps its files in the object storage alone.
    Archived,
    /// Keeps its memory and its processes, which do not run.
    Paused,
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
    /// Its processes are there and do not run.
    Paused,
    /// Its files are in the object storage, and nowhere else.
    Archived,
}

impl Desired {
    /// Every value, for tables and tests.
    pub const ALL: [Self; 5] = [Self::Started, Self::Stopped, Self::Destroyed, Self::Archived, Self::Paused];

    /// Returns the contract's word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Started => "started",
            Self::Stopped => "stopped",
            Self::Destroyed => "destroyed",
            Self::Archived => "archived",
            Self::Paused => "paused",
        }
    }

    /// Reads the contract's word.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == text)
    }
}

impl Observed {
    /// Every value, for tables and tests.
    pub const ALL: [Self; 9] = [
        Self::Unknown,
        Self::Absent,
        Self::Started,
        Self::Stopped,
        Self::Ended,
        Self::Error,
        Self::Destroyed,
        Self::Paused,
        Self::Archived,
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
            Self::Paused => "paused",
            Self::Archived => "archived",
        }
    }

    /// Reads the word the store keeps.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == text)
    }
}

/// What is done next about a sandbox of which something was asked and something seen. What the row tells beside that
/// pair (limits, network policy, backup, snapshot, repair) is the engine's to add.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Move {
    /// Nothing: it is what was asked for, or only a person may go on.
    Rest,
    /// Look at the host.
    Look,
    /// Make its files, and start it.
    Make,
    /// Start it.
    Start,
    /// End its processes.
    Stop,
    /// Hold its processes.
    Pause,
    /// Let its processes go on.
    Resume,
    /// Bring its files into the object storage, and remove them here.
    Archive,
    /// Bring its files back.
    Restore,
    /// Remove everything.
    Destroy,
}

impl Move {
    /// Returns what is seen when it succeeds; `None` where that is for the host to say, or nothing is done.
    pub const fn leads_to(self) -> Option<Observed> {
        match self {
            Self::Rest | Self::Look => None,
            Self::Make | Self::Start | Self::Resume => Some(Observed::Started),
            Self::Stop | Self::Restore => Some(Observed::Stopped),
            Self::Pause => Some(Observed::Paused),
            Self::Archive => Some(Observed::Archived),
            Self::Destroy => Some(Observed::Destroyed),
        }
    }

    /// Returns the verb.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Rest => "rest",
            Self::Look => "look",
            Self::Make => "make",
            Self::Start => "start",
            Self::Stop => "stop",
            Self::Pause => "pause",
            Self::Resume => "resume",
            Self::Archive => "archive",
            Self::Restore => "restore",
            Self::Destroy => "destroy",
        }
    }
}

/// The table of transitions: total, and the only one.
pub const fn next(desired: Desired, observed: Observed) -> Move {
    match (desired, observed) {
        // What is gone stays gone.
        (_, Observed::Destroyed)
        // A sandbox in error waits for a person: doing more by itself could lose files.
        | (Desired::Started | Desired::Stopped | Desired::Archived | Desired::Paused, Observed::Error)
        | (Desired::Started, Observed::Started)
        | (Desired::Stopped, Observed::Stopped | Observed::Ended)
        | (Desired::Archived, Observed::Archived)
        // Where nothing runs, there is nothing to hold: it stays as it is.
        | (Desired::Paused, Observed::Paused | Observed::Stopped | Observed::Ended | Observed::Archived) => {
            Move::Rest
        }
        (Desired::Destroyed, _) => Move::Destroy,
        (_, Observed::Unknown) => Move::Look,
        // Whatever was asked for means that files are there, so files are made first.
        (_, Observed::Absent) => Move::Make,
        (Desired::Started, Observed::Stopped | Observed::Ended) => Move::Start,
        (Desired::Started, Observed::Paused) => Move::Resume,
        (Desired::Started | Desired::Stopped, Observed::Archived) => Move::Restore,
        (Desired::Stopped | Desired::Archived, Observed::Started | Observed::Paused) => Move::Stop,
        (Desired::Archived, Observed::Stopped | Observed::Ended) => Move::Archive,
        (Desired::Paused, Observed::Started) => Move::Pause,
    }
}

/// Tells whether nothing is left to do for `desired` once `observed` was seen.
pub const fn at_rest(desired: Desired, observed: Observed) -> bool {
    matches!(next(desired, observed), Move::Rest)
}

/// Returns the contract's word for a sandbox of which `desired` was asked and `observed` seen.
///
/// A change under way shows as the transitional word at once, so that a client that reads the answer to its own
/// request sees that it was taken.
pub const fn reported(desired: Desired, observed: Observed) -> &'static str {
    match (desired, observed) {
        (_, Observed::Destroyed) => "destroyed",
        (Desired::Destroyed, _) => "destroying",
        (_, Observed::Error) | (Desired::Stopped | Desired::Paused, Observed::Ended) => "error",
        (Desired::Started, Observed::Absent | Observed::Unknown) => "creating",
        (Desired::Started, Observed::Started) => "started",
        (Desired::Started, Observed::Stopped | Observed::Ended) => "starting",
        (Desired::Started, Observed::Paused) => "resuming",
        (Desired::Started | Desired::Stopped, Observed::Archived) => "restoring",
        (Desired::Stopped, Observed::Started | Observed::Absent | Observed::Unknown | Observed::Paused) => {
            "stopping"
        }
        (Desired::Stopped | Desired::Paused, Observed::Stopped) => "stopped",
        (Desired::Archived | Desired::Paused, Observed::Archived) => "archived",
        (Desired::Archived, _) => "archiving",
        (Desired::Paused, Observed::Paused) => "paused",
        (Desired::Paused, _) => "pausing",
    }
}

/// What a row tells beside its pair, as far as the contract has a word for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Overlay {
    /// Its limits are being changed.
    Resizing,
    /// A snapshot of it is being taken.
    Snapshotting,
    /// Its files are being made of another's.
    Forking,
    /// Its files are being repaired, from its backup or where they are.
    Repairing,
    /// Its image is to be built.
    PendingBuild,
    /// Its image is being built.
    Building,
    /// Its image could not be built.
    BuildFailed,
}

impl Overlay {
    /// Every value, for tables and tests.
    pub const ALL: [Self; 7] = [
        Self::Resizing,
        Self::Snapshotting,
        Self::Forking,
        Self::Repairing,
        Self::PendingBuild,
        Self::Building,
        Self::BuildFailed,
    ];

    /// Returns the contract's word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Resizing => "resizing",
            Self::Snapshotting => "snapshotting",
            Self::Forking => "forking",
            Self::Repairing => "restoring",
            Self::PendingBuild => "pending_build",
            Self::Building => "building_snapshot",
            Self::BuildFailed => "build_failed",
        }
    }
}

/// What a resize under way is called where the contract asks for the desired state.
pub const RESIZED: &str = "resized";

/// The contract's 22 words for states, and why a word is never shown here.
pub const WORDS: [(&str, Option<&str>); 22] = [
    ("creating", None),
    ("restoring", None),
    ("destroyed", None),
    ("destroying", None),
    ("started", None),
    ("stopped", None),
    ("starting", None),
    ("stopping", None),
    ("error", None),
    ("build_failed", None),
    ("pending_build", None),
    ("building_snapshot", None),
    ("unknown", Some("while a host is being looked at, the word of what was asked for is shown")),
    ("pulling_snapshot", Some("an image is on the host before a sandbox can be made from it")),
    ("archived", None),
    ("archiving", None),
    ("resizing", None),
    ("snapshotting", None),
    ("forking", None),
    ("pausing", None),
    ("paused", None),
    ("resuming", None),
];

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

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
    fn the_words_that_can_be_shown_are_those_that_are_shown() {
        let pairs =
            Desired::ALL.into_iter().flat_map(|desired| Observed::ALL.map(|observed| (desired, observed)));
        let shown: BTreeSet<_> = pairs.map(|(desired, observed)| reported(desired, observed)).collect();
        let shown: BTreeSet<_> = shown.into_iter().chain(Overlay::ALL.map(Overlay::as_str)).collect();
        let listed: BTreeSet<_> =
            WORDS.into_iter().filter(|(_, never)| never.is_none()).map(|(word, _)| word).collect();
        assert_eq!(shown, listed);
        assert_eq!(WORDS.into_iter().collect::<BTreeSet<_>>().len(), 22);
    }

    #[test]
    fn every_move_leads_nearer() {
        for desired in Desired::ALL {
            for observed in Observed::ALL {
                let (mut seen, mut moves) = (observed, 0);
                while let Some(after) = next(desired, seen).leads_to() {
                    seen = after;
                    moves += 1;
                    assert!(moves < 5, "{desired:?} {observed:?} never rests");
                }
                let looks = next(desired, seen) == Move::Look;
                assert!(looks || at_rest(desired, seen), "{desired:?} {observed:?}");
            }
        }
    }

    #[test]
    fn only_words_of_a_change_are_shown_while_there_is_something_to_do() {
        for desired in Desired::ALL {
            for observed in Observed::ALL {
                let word = reported(desired, observed);
                let is_change = word.ends_with("ing");
                assert_eq!(is_change, !at_rest(desired, observed), "{desired:?} {observed:?} {word}");
            }
        }
    }

    #[test]
    fn destroying_never_rests_before_everything_is_gone() {
        for observed in Observed::ALL {
            assert_eq!(at_rest(Desired::Destroyed, observed), observed == Observed::Destroyed);
        }
    }
}
