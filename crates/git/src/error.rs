//! What can go wrong, and the word of the contract for each.

use std::error::Error as _;
use std::fmt::Write as _;
use std::io;

use serde::{Deserialize, Serialize};

/// The words that programs act on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Code {
    /// Credentials are missing or wrong.
    GitAuthFailed,
    /// There is no repository.
    GitRepoNotFound,
    /// There is no such branch or commit.
    GitBranchNotFound,
    /// There is such a branch already.
    GitBranchExists,
    /// The remote has commits that would be lost.
    GitPushRejected,
    /// Local changes would be lost.
    GitDirtyWorktree,
    /// Two changes need a human or an agent to decide.
    GitMergeConflict,
    /// The remote could not be spoken with.
    GitTransportFailed,
    /// The remote said no.
    GitRemoteRejected,
    /// The request makes no sense.
    BadRequest,
    /// The remote or the file system forbids it.
    Forbidden,
    /// A file or remote does not exist.
    NotFound,
    /// Something is in the way.
    Conflict,
    /// Nobody's fault but ours.
    InternalServerError,
}

impl Code {
    /// Returns the HTTP status of the contract.
    pub const fn status(self) -> u16 {
        match self {
            Self::BadRequest => 400,
            Self::GitAuthFailed => 401,
            Self::Forbidden => 403,
            Self::GitRepoNotFound | Self::GitBranchNotFound | Self::NotFound => 404,
            Self::GitBranchExists
            | Self::GitPushRejected
            | Self::GitDirtyWorktree
            | Self::GitMergeConflict
            | Self::Conflict => 409,
            Self::GitRemoteRejected => 422,
            Self::InternalServerError => 500,
            Self::GitTransportFailed => 502,
        }
    }

    /// Returns the word of the contract.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::GitAuthFailed => "GIT_AUTH_FAILED",
            Self::GitRepoNotFound => "GIT_REPO_NOT_FOUND",
            Self::GitBranchNotFound => "GIT_BRANCH_NOT_FOUND",
            Self::GitBranchExists => "GIT_BRANCH_EXISTS",
            Self::GitPushRejected => "GIT_PUSH_REJECTED",
            Self::GitDirtyWorktree => "GIT_DIRTY_WORKTREE",
            Self::GitMergeConflict => "GIT_MERGE_CONFLICT",
            Self::GitTransportFailed => "GIT_TRANSPORT_FAILED",
            Self::GitRemoteRejected => "GIT_REMOTE_REJECTED",
            Self::BadRequest => "BAD_REQUEST",
            Self::Forbidden => "FORBIDDEN",
            Self::NotFound => "NOT_FOUND",
            Self::Conflict => "CONFLICT",
            Self::InternalServerError => "INTERNAL_SERVER_ERROR",
        }
    }
}

/// A failed operation.
#[derive(Debug, thiserror::Error)]
pub enum GitError {
    /// The remote wants credentials, or other ones.
    #[error("{url} refused access: {reason}")]
    Authentication {
        /// Where, without credentials.
        url: String,
        /// What to send.
        reason: String,
    },
    /// The remote knows who asks, and forbids it.
    #[error("{url} forbids this (HTTP 403); use credentials that may do it")]
    RemoteForbids {
        /// Where, without credentials.
        url: String,
    },
    /// The remote has no such repository, or hides it.
    #[error("no repository at {url}; check the URL, and send credentials if it is private")]
    NoRemoteRepository {
        /// Where, without credentials.
        url: String,
    },
    /// The directory is no repository.
    #[error(
        "`{path}` is not a git repository; give the top directory of one, or make it with /git/init or /git/clone"
    )]
    NoRepository {
        /// The directory.
        path: String,
    },
    /// The repository belongs to somebody else.
    #[error(
        "`{path}` belongs to another user, whose settings could be a trap; if you trust it, add it to `safe.directory` \
         with `git config --global --add safe.directory {path}`"
    )]
    ForeignRepository {
        /// The directory.
        path: String,
    },
    /// There is no such branch, tag or commit.
    #[error("no branch, tag or commit `{name}` {place}; list the branches to see what is there")]
    NoRevision {
        /// As requested.
        name: String,
        /// Where it was looked for.
        place: String,
    },
    /// The branch is there already.
    #[error("a branch `{name}` exists already; check it out, or choose another name")]
    BranchExists {
        /// The branch.
        name: String,
    },
    /// The remote's branch has commits that this one does not have.
    #[error("push `{branch}`: {reason}; pull first, then push again")]
    PushRejected {
        /// The branch.
        branch: String,
        /// Whose words.
        reason: String,
    },
    /// The remote refused after it had understood.
    #[error("{url} refused: {reason}")]
    RemoteRejected {
        /// Where, without credentials.
        url: String,
        /// The remote's words.
        reason: String,
    },
    /// Local changes would be overwritten.
    #[error("{action}: local changes would be overwritten{files}; commit or restore them first")]
    DirtyWorktree {
        /// What was attempted.
        action: &'static str,
        /// Which, introduced by a colon; empty when unknown.
        files: String,
    },
    /// A merge left conflicts in the working tree.
    #[error(
        "{action}: conflicts in {files}; edit, add and commit them, or give up with /git/reset and mode `hard`"
    )]
    MergeConflict {
        /// What was attempted.
        action: &'static str,
        /// The files.
        files: String,
    },
    /// The remote could not be spoken with.
    #[error("speak with {url}: {reason}")]
    Transport {
        /// Where, without credentials.
        url: String,
        /// What happened.
        reason: String,
    },
    /// The request makes no sense.
    #[error("bad request: {reason}")]
    Invalid {
        /// What is wrong and what to send instead.
        reason: String,
    },
    /// A file, remote or other thing is not there.
    #[error("not found: {what}")]
    NotFound {
        /// What, and what to do.
        what: String,
    },
    /// Something is in the way.
    #[error("conflict: {reason}")]
    Conflict {
        /// What, and what to do.
        reason: String,
    },
    /// libgit2 failed.
    #[error("{action}")]
    Library {
        /// What was attempted.
        action: &'static str,
        /// Its words.
        #[source]
        source: git2::Error,
    },
    /// The file system failed.
    #[error("{action} `{path}`")]
    File {
        /// What was attempted.
        action: &'static str,
        /// On what.
        path: String,
        /// The kernel's answer.
        #[source]
        source: io::Error,
    },
}

impl GitError {
    /// Returns the word of the contract.
    pub fn code(&self) -> Code {
        match self {
            Self::Authentication { .. } => Code::GitAuthFailed,
            Self::RemoteForbids { .. } | Self::ForeignRepository { .. } => Code::Forbidden,
            Self::NoRemoteRepository { .. } | Self::NoRepository { .. } => Code::GitRepoNotFound,
            Self::NoRevision { .. } => Code::GitBranchNotFound,
            Self::BranchExists { .. } => Code::GitBranchExists,
            Self::PushRejected { .. } => Code::GitPushRejected,
            Self::RemoteRejected { .. } => Code::GitRemoteRejected,
            Self::DirtyWorktree { .. } => Code::GitDirtyWorktree,
            Self::MergeConflict { .. } => Code::GitMergeConflict,
            Self::Transport { .. } => Code::GitTransportFailed,
            Self::Invalid { .. } => Code::BadRequest,
            Self::NotFound { .. } => Code::NotFound,
            Self::Conflict { .. } => Code::Conflict,
            Self::Library { source, .. } => match source.code() {
                git2::ErrorCode::InvalidSpec | git2::ErrorCode::Ambiguous => Code::BadRequest,
                git2::ErrorCode::Locked => Code::Conflict,
                git2::ErrorCode::Owner => Code::Forbidden,
                _ => Code::InternalServerError,
            },
            Self::File { source, .. } => match source.kind() {
                io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => Code::Forbidden,
                io::ErrorKind::NotFound => Code::NotFound,
                io::ErrorKind::AlreadyExists | io::ErrorKind::NotADirectory => Code::Conflict,
                _ => Code::InternalServerError,
            },
        }
    }

    /// Returns the whole chain of causes as one sentence.
    pub fn message(&self) -> String {
        let mut message = self.to_string();
        let mut cause = self.source();
        while let Some(error) = cause {
            // libgit2's own text without the numbers that the binding adds.
            let _ = match error.downcast_ref::<git2::Error>() {
                Some(error) => write!(message, ": {}", error.message()),
                None => write!(message, ": {error}"),
            };
            cause = error.source();
        }
        message
    }
}

/// Names the action that a call of libgit2 was part of.
pub trait During<T> {
    /// Turns the library's error into ours.
    fn during(self, action: &'static str) -> Result<T, GitError>;
}

impl<T> During<T> for Result<T, git2::Error> {
    fn during(self, action: &'static str) -> Result<T, GitError> {
        self.map_err(|source| match source.code() {
            git2::ErrorCode::Conflict | git2::ErrorCode::Uncommitted => {
                GitError::DirtyWorktree { action, files: String::new() }
            }
            git2::ErrorCode::Unmerged => GitError::MergeConflict { action, files: "the index".to_owned() },
            _ => GitError::Library { action, source },
        })
    }
}
