//! What the events ask of the control plane.

use async_trait::async_trait;
use serde_json::Value;
use tokio::sync::broadcast::Receiver;
use types::sandbox::Sandbox;
use types::snapshot::{SavedSnapshot, SnapshotChange};
use types::{OrganizationId, SandboxId};

/// Knows who holds which token, which sandboxes there are, and how they are shown.
#[async_trait]
pub trait Directory: std::fmt::Debug + Send + Sync {
    /// Returns the organisation that the bearer of `token` may hear of: the key's own, or `wanted` when somebody logged in
    /// and is a member of it. It is asked again while a socket lives.
    async fn authenticate(
        &self,
        token: &str,
        wanted: Option<OrganizationId>,
    ) -> Result<OrganizationId, Refusal>;

    /// Returns the sandboxes whose ids follow `after`, in the order of ids and of all organisations; destroyed ones too
    /// as far as they are remembered. An empty page is the end.
    async fn sandboxes(&self, after: Option<SandboxId>) -> Result<Vec<Sandbox>, Refusal>;

    /// Returns the snapshots of all organisations.
    async fn snapshots(&self) -> Result<Vec<SavedSnapshot>, Refusal>;

    /// Shows a sandbox as every other answer does.
    fn show(&self, sandbox: &Sandbox) -> Value;

    /// Shows a snapshot as every other answer does.
    fn show_snapshot(&self, snapshot: &SavedSnapshot) -> Value;
}

/// The rows as they are written.
#[derive(Debug)]
pub struct Changes {
    /// Of sandboxes.
    pub sandboxes: Receiver<Sandbox>,
    /// Of snapshots.
    pub snapshots: Receiver<SnapshotChange>,
}

/// Why nothing is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// The token is not valid, or no longer.
    Unauthorized,
    /// The answer is not known now.
    Unavailable,
}
