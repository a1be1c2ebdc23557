//! Language servers (LSP).

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Which language server is meant: there is one for each language and project.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct LspServerRequest {
    /// `python`, `typescript` or `javascript`.
    pub language_id: String,
    /// The project's directory.
    pub path_to_project: String,
}

/// Names a document of a project.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct LspDocumentRequest {
    /// `python`, `typescript` or `javascript`.
    pub language_id: String,
    /// The project's directory.
    pub path_to_project: String,
    /// The document: `file://` and its path.
    pub uri: String,
}

/// A place in a document; both numbers count from 0.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct LspPosition {
    /// The line.
    pub line: u32,
    /// The character in the line, in UTF-16 units.
    pub character: u32,
}

/// A piece of a document.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct LspRange {
    /// Where it begins.
    pub start: LspPosition,
    /// Where it ends.
    pub end: LspPosition,
}

/// A piece of a named document.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct LspLocation {
    /// The document, as the language server writes it.
    pub uri: String,
    /// Where in it.
    #[serde(default)]
    pub range: LspRange,
}

/// Something that has a name in a program.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct LspSymbol {
    /// What it is, by the numbers of the protocol: 5 is a class, 6 a method, 12 a function.
    pub kind: i64,
    /// Where it is.
    pub location: LspLocation,
    /// Its name.
    pub name: String,
}

/// How completions came to be asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct CompletionContext {
    /// 1: asked for; 2: a character was typed; 3: asked for again because the last list was incomplete.
    pub trigger_kind: i64,
    /// The character that was typed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trigger_character: Option<String>,
}

/// Asks what could be written at a place.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct LspCompletionParams {
    /// `python`, `typescript` or `javascript`.
    pub language_id: String,
    /// The project's directory.
    pub path_to_project: String,
    /// The document: `file://` and its path.
    pub uri: String,
    /// The place.
    pub position: LspPosition,
    /// How it came to be asked for.
    #[serde(default)]
    pub context: Option<CompletionContext>,
}

/// What could be written at a place.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct CompletionList {
    /// Whether there are more than these.
    pub is_incomplete: bool,
    /// The proposals.
    pub items: Vec<CompletionItem>,
}

/// One proposal; what the language server leaves out is left out.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct CompletionItem {
    /// What to show.
    pub label: String,
    /// What it is, by the numbers of the protocol: 3 is a function, 7 a class.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<i64>,
    /// More about it, such as its type.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    /// Its documentation: a text, or an object with `kind` and `value`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub documentation: Option<serde_json::Value>,
    /// What to sort it by.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sort_text: Option<String>,
    /// What to compare with what was typed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub filter_text: Option<String>,
    /// What to write; the label when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub insert_text: Option<String>,
}
