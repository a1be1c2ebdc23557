//! What the proxy asks of the control plane. The answers may be cached there; here nothing is remembered.

use std::path::PathBuf;

use async_trait::async_trait;
use types::SandboxId;

/// Knows who may use which sandbox and where it is.
#[async_trait]
pub trait Directory: std::fmt::Debug + Send + Sync {
    /// Decides whether the bearer of a key may call the sandbox named in a path. The SDKs always write the id;
    /// whether a name is accepted as well is decided here.
    async fn authorize(&self, bearer: &str, sandbox: &str) -> Result<Grant, Refusal>;

    /// Returns where the sandbox's daemon listens.
    fn socket(&self, sandbox_id: SandboxId) -> PathBuf;

    /// Takes note that the sandbox is in use. Called when a request begins and every 50 seconds while it lives, so it
    /// must return at once.
    fn touched(&self, sandbox_id: SandboxId);
}

/// Leave to call a running sandbox.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Grant {
    /// The sandbox.
    pub sandbox_id: SandboxId,
}

/// Why a call is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// The key is not valid.
    Unauthorized,
    /// The key is valid and may not do this.
    Forbidden,
    /// There is no such sandbox, or it is another tenant's: the two must not be told apart.
    NotFound,
    /// The sandbox does not run.
    NotRunning {
        /// The contract's word for what it does.
        state: String,
    },
    /// The answer is not known now.
    Unavailable,
}
