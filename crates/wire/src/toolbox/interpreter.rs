//! The code interpreter: contexts that keep their state.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A context to make.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct CreateContextRequest {
    /// The directory to work in; the work directory when absent.
    #[serde(default)]
    pub cwd: Option<String>,
    /// `python`, which is also what absent means.
    #[serde(default)]
    pub language: Option<String>,
}

/// A context: a program that keeps its state from one call to the next.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct InterpreterContext {
    /// Whether it takes calls; one that is listed does.
    pub active: bool,
    /// When it was made.
    pub created_at: String,
    /// The directory it works in.
    pub cwd: String,
    /// Its name.
    pub id: String,
    /// Its language.
    pub language: String,
}

/// The contexts that were made, without the default one.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ListContextsResponse {
    /// The contexts, the oldest first.
    pub contexts: Vec<InterpreterContext>,
}

/// The one text that a client sends: code to run.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct InterpreterRequest {
    /// The code.
    #[serde(default)]
    pub code: String,
    /// The context to run it in; the default one when absent.
    #[serde(default)]
    pub context_id: Option<String>,
    /// Environment variables for this call alone.
    #[serde(default)]
    pub envs: Option<BTreeMap<String, String>>,
    /// Seconds after which it is interrupted; 600 when absent, never when 0.
    #[serde(default)]
    pub timeout: Option<f64>,
}

/// One text that the server sends while code runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "type", rename_all = "lowercase")]
pub enum InterpreterFrame {
    /// Standard output.
    Stdout {
        /// What was printed.
        text: String,
    },
    /// Standard error.
    Stderr {
        /// What was printed.
        text: String,
    },
    /// The code failed.
    Error {
        /// The kind of error, such as `ValueError`.
        name: String,
        /// What it says.
        value: String,
        /// Where it happened, as the language prints it; empty where there is no such place.
        traceback: String,
    },
    /// The call is over.
    Control {
        /// How.
        text: InterpreterControl,
    },
}

/// How a call ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum InterpreterControl {
    /// By itself, well or with an error.
    Completed,
    /// By an interrupt.
    Interrupted,
}
