//! What the proxy asks of the control plane. The answers may be cached there; here nothing is remembered.

use std::path::PathBuf;

use async_trait::async_trait;
use types::SandboxId;

use crate::error::ProxyError;
use crate::signed::SignedCall;

/// Knows who may use which sandbox and where it is.
#[async_trait]
pub trait Directory: std::fmt::Debug + Send + Sync {
    /// Decides whether whoever shows this may call the sandbox named in a path. The SDKs always write the id;
    /// whether a name is accepted as well is decided here.
    async fn authorize(&self, proof: Proof<'_>, sandbox: &str) -> Result<Grant, Refusal>;

    /// Resumes a paused sandbox that a call may resume, and returns when it runs; at once where it does. Asked once for all
    /// calls that wait.
    async fn wake(&self, sandbox_id: SandboxId) -> Result<(), Refusal>;

    /// Returns where the sandbox's daemon listens.
    fn socket(&self, sandbox_id: SandboxId) -> PathBuf;

    /// Takes note that the sandbox is in use. Called when a request begins and every 50 seconds while it lives, so it
    /// must return at once.
    fn touched(&self, sandbox_id: SandboxId);
}

/// What a caller shows for its right to call one sandbox.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Proof<'a> {
    /// The key of a member of its organisation.
    Key(&'a str),
    /// The sandbox's own secret of preview links.
    Token(&'a str),
    /// A signature over this very call, whose time is not over; it holds with the sandbox's signing key or not at all.
    Signature(&'a SignedCall),
}

impl std::fmt::Debug for Proof<'_> {
    /// Says which, never what: secrets do not belong in a log.
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(match self {
            Self::Key(_) => "Key",
            Self::Token(_) => "Token",
            Self::Signature(_) => "Signature",
        })
    }
}

/// Leave to call a sandbox.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Grant {
    /// The sandbox.
    pub sandbox_id: SandboxId,
    /// Whether it is paused, or about to be or to go on, and to be woken before the call.
    pub is_asleep: bool,
}

/// Why a call is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// What was shown is not valid. A token or a signature for a sandbox that is none is just that.
    Unauthorized,
    /// The key is valid and may not do this.
    Forbidden,
    /// There is no such sandbox, or it is another tenant's: the two must not be told apart.
    NotFound,
    /// The sandbox is paused, and what goes on uses more than there is room for.
    NoRoom {
        /// What is full.
        reason: String,
    },
    /// The sandbox does not run.
    NotRunning {
        /// The contract's word for what it does.
        state: String,
    },
    /// The answer is not known now.
    Unavailable,
}

impl From<Refusal> for ProxyError {
    /// Says the same to the caller.
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Unauthorized => Self::WrongProof { reasons: "what was shown is not valid".to_owned() },
            Refusal::Forbidden => Self::Forbidden,
            Refusal::NotFound => Self::NotFound,
            Refusal::NotRunning { state } => Self::NotRunning { state },
            Refusal::NoRoom { reason } => Self::NoRoom { reason },
            Refusal::Unavailable => Self::Unavailable,
        }
    }
}
