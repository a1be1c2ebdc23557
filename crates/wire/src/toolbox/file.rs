//! Files of the sandbox: what they are, where text is in them, how they come and go.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// What is known of a file or directory without reading it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct FileInfo {
    /// The last part of its path.
    pub name: String,
    /// Its whole path.
    pub path: String,
    /// Its size in bytes.
    pub size: u64,
    /// Type and permission letters, such as `-rw-r--r--`.
    pub mode: String,
    /// When it last changed, as older SDKs print it.
    pub mod_time: String,
    /// When it last changed, RFC 3339.
    pub modified_at: String,
    /// Whether it is a directory.
    pub is_dir: bool,
    /// The owner's user id.
    pub owner: String,
    /// The owning group's id.
    pub group: String,
    /// The permission bits in octal, such as `0644`.
    pub permissions: String,
}

/// A line that contains the text searched for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Match {
    /// The file's path.
    pub file: String,
    /// The line's number, from 1.
    pub line: u64,
    /// The line without its end.
    pub content: String,
}

/// The paths whose last part matches a pattern.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SearchFilesResponse {
    /// Whole paths.
    pub files: Vec<String>,
}

/// A text to replace in files.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ReplaceRequest {
    /// The files' paths.
    pub files: Vec<String>,
    /// The text to look for, taken literally.
    pub pattern: String,
    /// What to put in its place.
    pub new_value: String,
}

/// What became of one file of a [`ReplaceRequest`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ReplaceResult {
    /// The path as requested.
    pub file: String,
    /// Whether every occurrence is replaced; none is a success too.
    pub success: bool,
    /// Why not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// The files to download at once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct FilesDownloadRequest {
    /// Their paths.
    pub paths: Vec<String>,
}

/// A file that arrived.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct UploadedFile {
    /// The last part of its path.
    pub name: String,
    /// Its whole path.
    pub path: String,
    /// What it is: `file`.
    #[serde(rename = "type")]
    pub kind: String,
}

/// One file of several that arrived.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct FsFileResult {
    /// The path as requested.
    pub path: String,
    /// How many bytes were written.
    pub bytes: u64,
}

/// What became of several files.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct UploadFilesResponse {
    /// Those that arrived.
    pub files: Vec<FsFileResult>,
    /// Why the others did not.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<String>,
}
