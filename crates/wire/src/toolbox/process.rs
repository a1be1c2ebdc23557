//! Running a command or a piece of code to its end.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::toolbox::chart::Chart;

/// A shell command to run.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ExecuteRequest {
    /// The command, as typed into a shell.
    pub command: String,
    /// The directory to start in; the work directory when absent.
    #[serde(default)]
    pub cwd: Option<String>,
    /// Environment variables on top of the sandbox's.
    #[serde(default)]
    pub envs: Option<BTreeMap<String, String>>,
    /// Seconds after which the command and everything it started is killed; never when absent or 0.
    #[serde(default)]
    pub timeout: Option<i64>,
}

/// How a command ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ExecuteResponse {
    /// The exit code; 128 + n when signal n killed it, -1 when it could not be started.
    pub exit_code: i32,
    /// Standard output and standard error, interleaved as written.
    pub result: String,
    /// Which limit of the sandbox it hit, when it ended badly and one was hit: `out-of-memory`, `disk-full`,
    /// `inodes-full` or `process-limit`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cause: Option<String>,
    /// What was found, with numbers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub evidence: Option<String>,
    /// What to do about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remedy: Option<String>,
}

/// A program text to run.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct CodeRunRequest {
    /// The program text.
    pub code: String,
    /// `python`, `javascript` or `typescript`.
    #[serde(default)]
    pub language: String,
    /// Arguments for the program.
    #[serde(default)]
    pub argv: Option<Vec<String>>,
    /// Environment variables on top of the sandbox's.
    #[serde(default)]
    pub envs: Option<BTreeMap<String, String>>,
    /// Seconds after which the program and everything it started is killed; never when absent or 0.
    #[serde(default)]
    pub timeout: Option<i64>,
}

/// How a program ended, and what it drew.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct CodeRunResponse {
    /// The exit code; 128 + n when signal n killed it, -1 when it could not be started.
    pub exit_code: i32,
    /// Standard output and standard error, interleaved as written.
    pub result: String,
    /// What it made besides text; absent when nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub artifacts: Option<CodeRunArtifacts>,
    /// Which limit of the sandbox it hit, when it ended badly and one was hit: `out-of-memory`, `disk-full`,
    /// `inodes-full` or `process-limit`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cause: Option<String>,
    /// What was found, with numbers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub evidence: Option<String>,
    /// What to do about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remedy: Option<String>,
}

/// What a program made besides text.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct CodeRunArtifacts {
    /// The figures it showed, in order.
    pub charts: Vec<Chart>,
}
