//! Terminals (the contract calls them PTYs).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A terminal to make.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct PtyCreateRequest {
    /// Its name; a new one when absent.
    pub id: Option<String>,
    /// The directory its shell starts in; the sandbox's work directory when absent.
    pub cwd: Option<String>,
    /// Variables of its shell besides those of the sandbox.
    pub envs: Option<BTreeMap<String, String>>,
    /// Characters in a line, at most 1000; 80 when absent.
    pub cols: Option<u32>,
    /// Lines, at most 1000; 24 when absent.
    pub rows: Option<u32>,
    /// Whether its shell is started only when the first client connects.
    pub lazy_start: Option<bool>,
}

/// A terminal that was made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct PtyCreateResponse {
    /// Its name.
    pub session_id: String,
}

/// What is known of a terminal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct PtySessionInfo {
    /// Its name.
    pub id: String,
    /// The directory its shell starts in.
    pub cwd: String,
    /// The variables that were asked for.
    pub envs: BTreeMap<String, String>,
    /// Characters in a line.
    pub cols: u32,
    /// Lines.
    pub rows: u32,
    /// When it was made, RFC 3339.
    pub created_at: String,
    /// Whether its shell runs.
    pub active: bool,
    /// Whether its shell waits for the first client.
    pub lazy_start: bool,
}

/// All terminals.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PtyListResponse {
    /// Those whose shell has not ended.
    pub sessions: Vec<PtySessionInfo>,
}

/// A new size.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PtyResizeRequest {
    /// Characters in a line.
    #[schema(minimum = 1, maximum = 1000)]
    pub cols: u32,
    /// Lines.
    #[schema(minimum = 1, maximum = 1000)]
    pub rows: u32,
}

/// A terminal that was deleted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PtyDeleteResponse {
    /// What was done.
    pub message: String,
}

/// What a client is told in a text frame; the output itself travels in binary frames.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "status", rename_all = "lowercase")]
pub enum Status {
    /// The shell runs; output follows.
    Connected,
    /// The shell has ended.
    Exited(PtyExit),
}

/// How a shell ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PtyExit {
    /// Its exit code; 128 + n for signal n.
    pub exit_code: i32,
    /// Why it is not 0.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exit_reason: Option<String>,
}

/// A text frame.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename = "control")]
pub struct Control {
    /// What it tells.
    #[serde(flatten)]
    pub status: Status,
}

impl From<i32> for PtyExit {
    fn from(exit_code: i32) -> Self {
        let exit_reason = match exit_code {
            0 => None,
            130 => Some("Ctrl+C".to_owned()),
            137 => Some("SIGKILL".to_owned()),
            143 => Some("SIGTERM".to_owned()),
            129..=192 => Some(format!("signal {}", exit_code - 128)),
            _ => Some("non-zero exit".to_owned()),
        };
        Self { exit_code, exit_reason }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_read_as_the_sdks_expect() {
        let text = |status| serde_json::to_string(&Control { status }).expect("JSON");
        assert_eq!(text(Status::Connected), r#"{"type":"control","status":"connected"}"#);
        let cases = [
            (0, r#"{"type":"control","status":"exited","exitCode":0}"#),
            (1, r#"{"type":"control","status":"exited","exitCode":1,"exitReason":"non-zero exit"}"#),
            (130, r#"{"type":"control","status":"exited","exitCode":130,"exitReason":"Ctrl+C"}"#),
            (137, r#"{"type":"control","status":"exited","exitCode":137,"exitReason":"SIGKILL"}"#),
            (143, r#"{"type":"control","status":"exited","exitCode":143,"exitReason":"SIGTERM"}"#),
            (139, r#"{"type":"control","status":"exited","exitCode":139,"exitReason":"signal 11"}"#),
        ];
        for (code, expected) in cases {
            assert_eq!(text(Status::Exited(code.into())), expected);
        }
    }
}
