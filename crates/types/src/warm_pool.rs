//! Warm pools: sandboxes that run already, so that a create takes one instead of making one.

use crate::clock::Timestamp;
use crate::id::{OrganizationId, WarmPoolId};
use crate::resource::Resources;

/// The most sandboxes that one pool keeps ready.
pub const LARGEST: u32 = 1_000;

/// A pool of an organisation: so many sandboxes of one snapshot in one region, with the snapshot's resources, the image's
/// user and no variables of their own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WarmPool {
    /// Its id.
    pub id: WarmPoolId,
    /// The tenant it belongs to; its sandboxes count for that one's quota.
    pub organization_id: OrganizationId,
    /// Name of the snapshot that its sandboxes are made from.
    pub snapshot: String,
    /// The region that they run in.
    pub region: String,
    /// How many are to be ready; none drains it.
    pub size: u32,
    /// What each may use: what the snapshot said when it was last looked at.
    pub resources: Resources,
    /// Why it is not full, when that is not only a matter of time.
    pub error_reason: Option<String>,
    /// When it was made.
    pub created_at: Timestamp,
    /// When anything of it last changed.
    pub updated_at: Timestamp,
}
