//! What the runner tells the daemon when it starts it: one JSON document.
//!
//! Passed as the single argument, `daytona-daemon '{"listener_fd": 3, …}'`, or, where it may be too long for one
//! argument (128 KiB), as `daytona-daemon fd:5`: then descriptor 5 holds the document.

use std::collections::BTreeMap;
use std::io::Read as _;

use serde::{Deserialize, Serialize};

use crate::error::DaemonError;

/// The settings of one daemon. Unknown fields are ignored: the runner may be newer.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Settings {
    /// The inherited descriptor of a Unix stream socket that already listens.
    pub listener_fd: i32,
    /// The inherited descriptor that hears `R<version>\n` when requests are answered, or `E<message>` before the
    /// daemon gives up; it is closed afterwards.
    pub ready_fd: i32,
    /// The sandbox's id; commands see it as `DAYTONA_SANDBOX_ID`.
    #[serde(default)]
    pub sandbox_id: String,
    /// Who commands and file operations act as: a name, a number, or either with `:group`; empty means root.
    #[serde(default)]
    pub user: String,
    /// The user's home; from /etc/passwd when absent.
    #[serde(default)]
    pub home: Option<String>,
    /// Where commands start and relative paths begin; the home when absent.
    #[serde(default)]
    pub work_dir: Option<String>,
    /// The sandbox's environment variables.
    #[serde(default)]
    pub env: BTreeMap<String, String>,
    /// A program to start with the sandbox, as the user; its output is the log of the session `entrypoint`.
    #[serde(default)]
    pub entrypoint: Vec<String>,
    /// Processors the sandbox may keep busy, for `/system/metrics`; what the kernel shows when absent.
    #[serde(default)]
    pub cpu_count: Option<u32>,
    /// Memory the sandbox may use, for `/system/metrics`; what the kernel shows when absent.
    #[serde(default)]
    pub memory_bytes: Option<u64>,
    /// Inherited descriptors that tell when a limit is hit, and the limits in force: what `linux::cgroup::Events` takes,
    /// in its order; without them nothing is told.
    #[serde(default)]
    pub event_fds: Vec<i32>,
    /// How long processes have to end by themselves when the sandbox stops.
    #[serde(default = "default_grace_ms")]
    pub grace_ms: u64,
}

const fn default_grace_ms() -> u64 {
    5_000
}

impl Settings {
    /// Reads the program's single argument.
    pub fn from_argument(argument: &str) -> Result<Self, DaemonError> {
        let invalid = |reason: String| DaemonError::Settings { reason };
        let Some(number) = argument.strip_prefix("fd:") else {
            return serde_json::from_str(argument).map_err(|error| invalid(error.to_string()));
        };
        let number = number.parse().map_err(|_| invalid(format!("`{argument}` names no descriptor")))?;
        let mut document = String::new();
        std::fs::File::from(linux::child::inherit(number)?)
            .read_to_string(&mut document)
            .map_err(|error| invalid(format!("read `{argument}`: {error}")))?;
        serde_json::from_str(&document).map_err(|error| invalid(error.to_string()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_descriptors_are_enough_and_newer_fields_are_ignored() {
        let settings =
            Settings::from_argument(r#"{"listener_fd": 3, "ready_fd": 4, "newer": 1}"#).expect("settings");
        assert_eq!((settings.listener_fd, settings.ready_fd, settings.grace_ms), (3, 4, 5_000));
        assert!(settings.user.is_empty() && settings.work_dir.is_none());
    }

    #[test]
    fn nonsense_is_refused_with_its_place() {
        for (argument, part) in
            [("{}", "listener_fd"), ("x", "expected value"), ("fd:x", "`fd:x`"), ("fd:1", "")]
        {
            let error = Settings::from_argument(argument).expect_err(argument).message();
            assert!(error.contains(part), "{argument}: {error}");
        }
    }
}
