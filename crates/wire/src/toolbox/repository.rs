//! Git repositories: what operations on them take and tell.

use std::fmt;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A password or token: it is written to the wire and nowhere else.
#[derive(Clone, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
#[serde(transparent)]
pub struct Secret(pub String);

impl fmt::Debug for Secret {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("***")
    }
}

/// A repository to clone.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
pub struct GitCloneRequest {
    /// Where it is.
    pub url: String,
    /// The directory that it becomes.
    pub path: String,
    /// The branch or tag to check out; the remote's default branch when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub branch: Option<String>,
    /// The commit to check out; HEAD is then on no branch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub commit_id: Option<String>,
    /// How many commits of history to fetch; all when absent or 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub depth: Option<i64>,
    /// Whether the server's certificate may be anybody's, for this call only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub insecure_skip_tls: Option<bool>,
    /// Used only together with the password, and only with the host of the URL.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub username: Option<String>,
    /// A password or token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub password: Option<Secret>,
}

/// Files to put into the index.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
pub struct GitAddRequest {
    /// The repository's directory.
    pub path: String,
    /// Paths below it; `.` for all.
    pub files: Vec<String>,
}

/// A branch to make and check out.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
pub struct GitBranchRequest {
    /// The repository's directory.
    pub path: String,
    /// The branch.
    pub name: String,
}

/// A branch to delete.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
pub struct GitDeleteBranchRequest {
    /// The repository's directory.
    pub path: String,
    /// The branch.
    pub name: String,
}

/// What to check out.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
pub struct GitCheckoutRequest {
    /// The repository's directory.
    pub path: String,
    /// A branch, or a commit.
    pub branch: String,
}

/// A commit to make of what the index holds.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
pub struct GitCommitRequest {
    /// The repository's directory.
    pub path: String,
    /// What the commit does.
    pub message: String,
    /// The author's name.
    pub author: String,
    /// The author's address.
    pub email: String,
    /// Whether a commit without changes may be made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub allow_empty: Option<bool>,
}

/// A commit that was made.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
pub struct GitCommitResponse {
    /// Its id.
    pub hash: String,
}

/// A commit of the history.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
pub struct GitCommitInfo {
    /// Its id.
    pub hash: String,
    /// What it does.
    pub message: String,
    /// The author's name.
    pub author: String,
    /// The author's address.
    pub email: String,
    /// When the author made it, RFC 3339.
    pub timestamp: String,
}

/// What to pull.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
pub struct GitPullRequest {
    /// The repository's directory.
    pub path: String,
    /// The remote; `origin` when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remote: Option<String>,
    /// The remote's branch; the upstream of the current branch when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub branch: Option<String>,
    /// Used only together with the password, and only with the remote's host.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub username: Option<String>,
    /// A password or token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub password: Option<Secret>,
}

/// What to push.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
pub struct GitPushRequest {
    /// The repository's directory.
    pub path: String,
    /// The remote; `origin` when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remote: Option<String>,
    /// The branch; the current one when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub branch: Option<String>,
    /// Whether the remote's branch becomes the upstream of the branch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub set_upstream: Option<bool>,
    /// Used only together with the password, and only with the remote's host.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub username: Option<String>,
    /// A password or token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub password: Option<Secret>,
}

/// A repository to make.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
pub struct GitInitRequest {
    /// Its directory.
    pub path: String,
    /// Whether it has no working tree.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bare: Option<bool>,
    /// The first branch's name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub initial_branch: Option<String>,
}

/// A remote to add.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
pub struct GitAddRemoteRequest {
    /// The repository's directory.
    pub path: String,
    /// The remote's name.
    pub name: String,
    /// Where it is.
    pub url: String,
    /// Whether to fetch from it at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fetch: Option<bool>,
    /// Whether it replaces one of the same name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub overwrite: Option<bool>,
}

/// A remote.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
pub struct GitRemote {
    /// Its name.
    pub name: String,
    /// Where it is, without credentials.
    pub url: String,
}

/// All remotes.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
pub struct ListRemotesResponse {
    /// In the order of their names.
    pub remotes: Vec<GitRemote>,
}

/// All local branches.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
pub struct ListBranchResponse {
    /// In the order of their names.
    pub branches: Vec<String>,
    /// The one that is checked out; empty when HEAD is on none.
    pub current: String,
}

/// Where to set HEAD, the index and the files.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
pub struct GitResetRequest {
    /// The repository's directory.
    pub path: String,
    /// `soft`, `mixed`, `hard`, `merge` or `keep`; `mixed` when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mode: Option<String>,
    /// The revision; HEAD when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<String>,
    /// The only paths to reset in the index; all when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub files: Option<Vec<String>>,
}

/// Files to restore.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
pub struct GitRestoreRequest {
    /// The repository's directory.
    pub path: String,
    /// Paths below it; `.` for all.
    pub files: Vec<String>,
    /// Whether to restore the index.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub staged: Option<bool>,
    /// Whether to restore the working tree; so it is when neither is said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub worktree: Option<bool>,
    /// The revision to restore from; the index for the working tree alone, else HEAD.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
}

/// A setting of git.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
pub struct GitSetConfigRequest {
    /// Such as `user.name`.
    pub key: String,
    /// The value.
    pub value: String,
    /// `global`, `local` or `system`; `global` when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scope: Option<String>,
    /// The repository's directory, for the local scope.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
}

/// Which setting of git to read.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct GitGetConfigRequest {
    /// Such as `user.name`.
    pub key: String,
    /// `global`, `local` or `system`; `global` when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scope: Option<String>,
    /// The repository's directory, for the local scope.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
}

/// A setting's value.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
pub struct GitConfigResponse {
    /// The value; null when it is not set.
    pub value: Option<String>,
}

/// Who makes commits.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
pub struct GitConfigureUserRequest {
    /// The name.
    pub name: String,
    /// The address.
    pub email: String,
    /// `global`, `local` or `system`; `global` when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scope: Option<String>,
    /// The repository's directory, for the local scope.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
}

/// Credentials to keep for one host.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
pub struct GitAuthenticateRequest {
    /// The user's name there.
    pub username: String,
    /// A password or token.
    #[schema(value_type = String)]
    pub password: Secret,
    /// The host, with a port where it is not the usual one; `github.com` when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// `https` or `http`; `https` when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub protocol: Option<String>,
}

/// How a file differs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub enum Status {
    /// It does not.
    Unmodified,
    /// It is not in the index.
    Untracked,
    /// Its contents, type or mode differ.
    Modified,
    /// It is new.
    Added,
    /// It is gone.
    Deleted,
    /// It had another name.
    Renamed,
    /// It is like another.
    Copied,
    /// A merge could not decide.
    #[serde(rename = "Updated but unmerged")]
    UpdatedButUnmerged,
}

/// A file that differs from the last commit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct FileStatus {
    /// Its path in the repository.
    pub name: String,
    /// Its earlier path, when it was renamed.
    pub extra: String,
    /// How the index differs from the last commit.
    pub staging: Status,
    /// How the working tree differs from the index.
    pub worktree: Status,
}

/// The state of a repository.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct GitStatus {
    /// The branch that is checked out; `HEAD` when it is none.
    pub current_branch: String,
    /// All files that differ.
    pub file_status: Vec<FileStatus>,
    /// Commits that the upstream branch does not have.
    pub ahead: usize,
    /// Commits of the upstream branch that this one does not have.
    pub behind: usize,
    /// Whether the remote has the branch, as far as is known here.
    pub branch_published: bool,
    /// Whether HEAD is on no branch.
    pub detached: bool,
    /// The upstream branch, such as `origin/main`; empty when none is set.
    pub upstream: String,
}
