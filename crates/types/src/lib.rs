//! What a sandbox *is*: pure data, no io, no async, no wire format.
//!
//! Must not know: databases, HTTP, Linux. Start at [`sandbox::Sandbox`]; its transitions are one table in
//! [`sandbox::state`]. Invariants: every id is typed; time and chance enter only through [`clock::Clock`] and
//! [`random::Random`].
#![forbid(unsafe_code)]
#![warn(missing_docs)]

pub mod clock;
pub mod hex;
pub mod random;
pub mod id;
pub mod resource;
pub mod network;
pub mod inspection;
pub mod egress;
pub mod work;
pub mod metric;
pub mod user;
pub mod api_key;
pub mod organization;
pub mod build;
pub mod registry;
pub mod volume;
pub mod sandbox;
pub mod quota;
pub mod snapshot;
pub mod warm_pool;

pub use clock::{Clock, SystemClock, Timestamp};
pub use id::{
    ApiKeyId, BuildId, OrganizationId, RegistryId, SandboxId, SnapshotId, UserId, VolumeId, WarmPoolId,
};
pub use random::{Random, SystemRandom};
