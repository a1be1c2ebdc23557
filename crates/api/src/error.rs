//! Every failure to its status, code and message: the only place that chooses them.

use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use engine::port::{Class, RunnerError};
use identity::IdentityError;
use store::StoreError;
use types::quota::Dimension;

/// Why a request failed. The display texts of the first group are the contract's words; clients compare them.
#[derive(Debug, thiserror::Error)]
pub enum ApiError {
    /// There is no key, or it is unknown or expired.
    #[error("Invalid credentials")]
    InvalidCredentials,
    /// There is no login provider, and a token came.
    #[error("Invalid credentials: this server takes API keys only, because it has no login provider")]
    NoLoginProvider,
    /// The token is good, and its user is no member of the organisation that the request names, if it names one.
    #[error("Invalid authentication context")]
    NoMember,
    /// The key may not do this.
    #[error("Access denied")]
    AccessDenied,
    /// No such sandbox in the caller's organisation.
    #[error("Sandbox with ID or name {reference} not found")]
    SandboxNotFound {
        /// What the caller wrote.
        reference: String,
    },
    /// It was not forked from another.
    #[error("Sandbox with ID or name {reference} has no parent")]
    NoParent {
        /// What the caller wrote.
        reference: String,
    },
    /// No such snapshot for the caller's organisation.
    #[error("Snapshot with ID or name {reference} not found")]
    SnapshotNotFound {
        /// What the caller wrote.
        reference: String,
    },
    /// The name is in use.
    #[error("Snapshot with name \"{name}\" already exists for this organization")]
    SnapshotNameTaken {
        /// The name.
        name: String,
    },
    /// No such volume in the caller's organisation.
    #[error("Volume with ID {reference} not found")]
    VolumeNotFound {
        /// What the caller wrote.
        reference: String,
    },
    /// No volume of that name in the caller's organisation.
    #[error("Volume with name {name} not found")]
    VolumeNameNotFound {
        /// What the caller wrote.
        name: String,
    },
    /// A sandbox has it.
    #[error("Volume {name} cannot be deleted: a sandbox has it; delete that sandbox first")]
    VolumeInUse {
        /// Its name.
        name: String,
    },
    /// No such warm pool in the caller's organisation.
    #[error("Warm pool with ID {reference} not found")]
    WarmPoolNotFound {
        /// What the caller wrote.
        reference: String,
    },
    /// There is a pool of the same snapshot in the same region.
    #[error("Warm pool for snapshot \"{snapshot}\" already exists in this region; change its size instead")]
    WarmPoolTaken {
        /// The snapshot.
        snapshot: String,
    },
    /// Nobody has the sandbox yet.
    #[error("Sandbox {id} waits in a warm pool; create a sandbox from its snapshot to get it, or delete it")]
    WaitsInPool {
        /// The sandbox.
        id: String,
    },
    /// The organisation has as many snapshots as it may have.
    #[error("Snapshot quota exceeded. Maximum allowed: {most}")]
    SnapshotQuota {
        /// The most.
        most: u32,
    },
    /// It was made from a snapshot.
    #[error("Sandbox with ID or name {reference} has no build logs: it was not made from a Dockerfile")]
    NotFromDockerfile {
        /// What the caller wrote.
        reference: String,
    },
    /// No such registry in the caller's organisation.
    #[error("Docker registry with ID {reference} not found")]
    RegistryNotFound {
        /// What the caller wrote.
        reference: String,
    },
    /// The organisation has as many registries as it may have.
    #[error("You have reached the maximum number of registries")]
    TooManyRegistries,
    /// There is no registry that clients may push to.
    #[error(
        "No registry to push to is configured on this server; use buildInfo, or push to a registry of your own and add it with POST /docker-registry"
    )]
    NoPushRegistry,
    /// There is nowhere to put what a build needs.
    #[error("Object storage is not configured")]
    NoObjectStorage,
    /// The snapshot belongs to everyone.
    #[error("Snapshot {name} is general: only its operator may change or delete it")]
    SnapshotIsGeneral {
        /// The name.
        name: String,
    },
    /// No such path, or not with this method.
    #[error("Cannot {method} {path}")]
    NoRoute {
        /// The method.
        method: String,
        /// The path.
        path: String,
    },
    /// The name is in use.
    #[error("Sandbox with name {name} already exists")]
    NameTaken {
        /// The name.
        name: String,
    },
    /// Another change must end first.
    #[error("Sandbox state change in progress")]
    StateChangeInProgress,
    /// Others kept writing the same sandbox.
    #[error("Sandbox was modified by another operation")]
    Modified,
    /// The sandbox was made and did not start.
    #[error("Sandbox failed to start: {reason}")]
    FailedToStart {
        /// Why.
        reason: String,
    },
    /// The host cannot meet new limits; the old ones hold.
    #[error("Sandbox was not resized: {reason}")]
    ResizeRefused {
        /// Why, and what helps.
        reason: String,
    },
    /// The request breaks a rule, which the sentence names.
    #[error("{rule}")]
    Invalid {
        /// The rule, in the contract's words where it has any.
        rule: String,
    },
    /// The organisation's sandboxes would use more together than they may. The first line is the contract's.
    #[error(
        "Total {} limit exceeded. Maximum allowed: {most}{}.\nStop, archive or delete sandboxes that are not needed, or ask the operator of this server for a larger quota",
        quota_word(*.dimension), quota_unit(*.dimension)
    )]
    QuotaExceeded {
        /// What would be too much.
        dimension: Dimension,
        /// The most.
        most: u32,
    },
    /// The body is too long.
    #[error("request body is longer than {limit_bytes} bytes")]
    BodyTooLarge {
        /// The most that is read.
        limit_bytes: usize,
    },
    /// The operation is part of the contract and not built yet.
    #[error("{operation} is not built yet; the conformance table lists what is (cargo x conformance)")]
    NotBuilt {
        /// Method and path.
        operation: String,
    },
    /// The field is part of the contract and not built yet. Ignoring it could run code with less protection than asked.
    #[error("`{field}` is not built yet: leave it out or empty")]
    FieldNotBuilt {
        /// The field, as the client spells it.
        field: &'static str,
    },
    /// Keys could not be checked.
    #[error("Temporary authentication service error")]
    Authenticate(#[source] StoreError),
    /// Tokens could not be checked.
    #[error("Temporary authentication service error")]
    Judge(#[source] IdentityError),
    /// The disk of the database has no room.
    #[error(
        "The disk of the control plane is full: delete sandboxes that are not needed, or ask its operator for room"
    )]
    Full(#[source] StoreError),
    /// The rows could not be read or written.
    #[error("An unexpected error occurred.")]
    Store(#[source] StoreError),
    /// The runner could not answer.
    #[error("The sandbox host is not available: try again")]
    RunnerAway(#[source] RunnerError),
    /// The runner failed.
    #[error("An unexpected error occurred.")]
    Runner(#[source] RunnerError),
}

/// What the finishing layer needs to write the body; it alone knows path and time.
#[derive(Debug, Clone)]
pub(crate) struct Failure {
    pub(crate) status: StatusCode,
    pub(crate) code: &'static str,
    pub(crate) message: String,
}

impl ApiError {
    /// Names a broken rule.
    pub(crate) fn invalid(rule: impl Into<String>) -> Self {
        Self::Invalid { rule: rule.into() }
    }

    /// Tells whether what was shown is worth nothing, to whomever and whenever.
    pub const fn is_refusal_of_credentials(&self) -> bool {
        matches!(self, Self::InvalidCredentials | Self::NoLoginProvider)
    }

    /// Returns status and code.
    pub fn status(&self) -> (StatusCode, &'static str) {
        match self {
            Self::Invalid { .. }
            | Self::QuotaExceeded { .. }
            | Self::SnapshotQuota { .. }
            | Self::TooManyRegistries
            | Self::FailedToStart { .. }
            | Self::ResizeRefused { .. } => (StatusCode::BAD_REQUEST, "BAD_REQUEST"),
            Self::InvalidCredentials | Self::NoLoginProvider => (StatusCode::UNAUTHORIZED, "UNAUTHORIZED"),
            Self::AccessDenied | Self::NoMember | Self::SnapshotIsGeneral { .. } => {
                (StatusCode::FORBIDDEN, "FORBIDDEN")
            }
            Self::SandboxNotFound { .. }
            | Self::NoParent { .. }
            | Self::SnapshotNotFound { .. }
            | Self::NotFromDockerfile { .. }
            | Self::RegistryNotFound { .. }
            | Self::WarmPoolNotFound { .. }
            | Self::VolumeNotFound { .. }
            | Self::VolumeNameNotFound { .. }
            | Self::NoRoute { .. } => (StatusCode::NOT_FOUND, "NOT_FOUND"),
            Self::NameTaken { .. }
            | Self::SnapshotNameTaken { .. }
            | Self::WarmPoolTaken { .. }
            | Self::WaitsInPool { .. }
            | Self::VolumeInUse { .. }
            | Self::StateChangeInProgress
            | Self::Modified => (StatusCode::CONFLICT, "CONFLICT"),
            Self::BodyTooLarge { .. } => (StatusCode::PAYLOAD_TOO_LARGE, "PAYLOAD_TOO_LARGE"),
            Self::NotBuilt { .. } | Self::FieldNotBuilt { .. } => {
                (StatusCode::NOT_IMPLEMENTED, "NOT_IMPLEMENTED")
            }
            Self::NoObjectStorage
            | Self::NoPushRegistry
            | Self::Authenticate(_)
            | Self::Judge(_)
            | Self::RunnerAway(_)
            | Self::Full(_) => (StatusCode::SERVICE_UNAVAILABLE, "SERVICE_UNAVAILABLE"),
            Self::Store(_) | Self::Runner(_) => (StatusCode::INTERNAL_SERVER_ERROR, "INTERNAL_SERVER_ERROR"),
        }
    }
}

impl From<IdentityError> for ApiError {
    /// Says nothing of what is wrong with a token: whoever made it up would learn from it.
    fn from(error: IdentityError) -> Self {
        match error {
            IdentityError::Token { .. } => Self::InvalidCredentials,
            error => Self::Judge(error),
        }
    }
}

impl From<StoreError> for ApiError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Quota { dimension, most } => Self::QuotaExceeded { dimension, most },
            error if error.is_full() => Self::Full(error),
            error => Self::Store(error),
        }
    }
}

const fn quota_word(dimension: Dimension) -> &'static str {
    match dimension {
        Dimension::Cpu => "CPU",
        Dimension::Memory => "memory",
        Dimension::Disk => "disk",
        Dimension::Sandboxes => "sandbox",
    }
}

const fn quota_unit(dimension: Dimension) -> &'static str {
    match dimension {
        Dimension::Cpu | Dimension::Sandboxes => "",
        Dimension::Memory | Dimension::Disk => "GiB",
    }
}

impl From<RunnerError> for ApiError {
    fn from(error: RunnerError) -> Self {
        match error.class {
            Class::Retry => Self::RunnerAway(error),
            Class::Reject | Class::Gone | Class::Bug => Self::Runner(error),
        }
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let (status, code) = self.status();
        // Of keys that cannot be had the log is told once, not by everybody who shows what looks like a token.
        let is_told = matches!(
            self,
            Self::NotBuilt { .. }
                | Self::FieldNotBuilt { .. }
                | Self::Judge(_)
                | Self::NoPushRegistry
                | Self::NoObjectStorage
        );
        if status.is_server_error() && !is_told {
            tracing::error!(error = &self as &dyn std::error::Error, "a request failed");
        }
        let mut response = status.into_response();
        response.extensions_mut().insert(Failure { status, code, message: self.to_string() });
        response
    }
}
