//! What a caller can do about a sandbox that does not run. Pure.

use serde::Serialize;

/// What is in a call's way, in fields for programs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Obstacle {
    /// The contract's word for what the sandbox does.
    pub(crate) state: String,
    /// A stable identifier.
    pub(crate) cause: String,
    /// What was found.
    pub(crate) evidence: String,
    /// What helps.
    pub(crate) remedy: &'static str,
}

impl Obstacle {
    /// Explains that a paused sandbox has no room to go on.
    pub(crate) fn no_room(reason: &str) -> Self {
        Self {
            state: "paused".to_owned(),
            cause: "quota-exceeded".to_owned(),
            evidence: reason.lines().next().unwrap_or_default().to_owned(),
            remedy: "stop, archive or delete sandboxes that are not needed, then call again",
        }
    }

    /// Explains a state in which no call is taken.
    pub(crate) fn of(state: &str) -> Self {
        Self {
            state: state.to_owned(),
            cause: format!("sandbox-{state}"),
            evidence: format!("the sandbox's state is `{state}`"),
            remedy: remedy(state),
        }
    }
}

/// Returns what helps in a state.
pub(crate) fn remedy(state: &str) -> &'static str {
    match state {
        "stopped" => "start it first, with POST /sandbox/{id}/start",
        "paused" => {
            "resume it with POST /sandbox/{id}/start; with an auto-pause interval, the next call would resume it"
        }
        "archived" => "start it first, with POST /sandbox/{id}/start; its files come back from the backup",
        "stopping" | "pausing" | "archiving" => "wait until that is done, then start it again",
        "error" | "build_failed" => {
            "read `errorReason` of GET /sandbox/{id}; then start it again, or recover it where it says `recoverable`"
        }
        "destroying" | "destroyed" => "make another one: it does not come back",
        _ => "wait until its state is `started`, then call again",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_state_has_its_way_out() {
        for (state, word) in [
            ("stopped", "start it first"),
            ("paused", "resume it"),
            ("archived", "backup"),
            ("archiving", "wait until that is done"),
            ("resuming", "wait until its state"),
            ("restoring", "wait until its state"),
            ("creating", "wait until its state"),
            ("error", "errorReason"),
            ("destroying", "another one"),
        ] {
            let obstacle = Obstacle::of(state);
            assert!(obstacle.remedy.contains(word), "{state}");
            assert_eq!((obstacle.state.as_str(), obstacle.cause), (state, format!("sandbox-{state}")));
        }
    }
}
