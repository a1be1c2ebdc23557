//! Shells that live on between commands, their commands, and what those printed.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A session to make.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct CreateSessionRequest {
    /// Its name: anything but `entrypoint`.
    #[serde(default)]
    pub session_id: String,
}

/// A session.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Session {
    /// Its name.
    pub session_id: String,
    /// Its commands, the oldest first: those that wait or run, and the last 200 that have ended.
    pub commands: Vec<Command>,
}

/// A command of a session.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Command {
    /// Its name.
    pub id: String,
    /// Its text; of one longer than 4 KiB the beginning.
    pub command: String,
    /// Its exit code, once it has ended: 128 + n when signal n killed it, -1 when it could not run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exit_code: Option<i32>,
}

/// A command to run in a session.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct SessionExecuteRequest {
    /// The command, as typed into a shell.
    #[serde(default)]
    pub command: String,
    /// Whether to answer at once instead of waiting for its end.
    #[serde(default)]
    pub run_async: Option<bool>,
    /// The older name of `runAsync`.
    #[serde(default, rename = "async")]
    pub is_async: Option<bool>,
    /// Whether to keep what is typed into it out of its log.
    #[serde(default)]
    pub suppress_input_echo: Option<bool>,
}

/// A command that was started in a session; all but its name is null until it has ended.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct SessionExecuteResponse {
    /// The command's name.
    pub cmd_id: String,
    /// Both streams as they came, each line behind three bytes 1 for standard output or 2 for standard error; without
    /// those for SDKs that know nothing of them.
    pub output: Option<String>,
    /// Standard output.
    pub stdout: Option<String>,
    /// Standard error.
    pub stderr: Option<String>,
    /// The exit code.
    pub exit_code: Option<i32>,
}

/// What a command has printed so far.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SessionCommandLogsResponse {
    /// Both streams as they came, each line behind three bytes 1 for standard output or 2 for standard error.
    pub output: String,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
}

/// Something to type into a command.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SessionSendInputRequest {
    /// The text; a line feed is added where it does not end with one.
    #[serde(default)]
    pub data: String,
}
