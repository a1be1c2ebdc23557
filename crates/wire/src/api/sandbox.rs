//! Sandboxes as clients see and ask for them.

pub mod inspection;
pub mod full;
pub mod list;
pub mod create;
pub mod change;
pub mod access;

pub use access::{PortPreviewUrl, SignedPortPreviewUrl, ToolboxProxyUrl};
pub use change::{
    CreateSandboxSnapshot, ForkSandbox, ResizeSandbox, SandboxLabels, UpdateSandboxNetworkSettings,
    UpdateSandboxSecrets,
};
pub use create::CreateSandbox;
pub use full::{AwakeReason, Sandbox, SandboxFailure, SandboxVolume};
pub use inspection::{Condition, EgressDecision, Isolation, IsolationLayer, SandboxEgress};
pub use list::{ListSandboxesResponse, PaginatedSandboxes, SandboxListItem};
