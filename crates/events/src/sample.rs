//! Rows that tests start from.

pub(crate) use testkit::sample::sandbox;
use types::resource::Resources;
use types::snapshot::{SavedSnapshot, SnapshotState};
use types::{OrganizationId, SandboxId, SnapshotId, Timestamp};

/// A snapshot of an organisation's sandbox.
pub(crate) fn snapshot(id: u128, organization: u128, state: SnapshotState) -> SavedSnapshot {
    SavedSnapshot {
        id: SnapshotId::from_u128(id),
        organization_id: OrganizationId::from_u128(organization),
        name: "a snapshot".to_owned(),
        image: SavedSnapshot::image_of(SnapshotId::from_u128(id)),
        state,
        error_reason: None,
        source_sandbox_id: SandboxId::from_u128(id),
        resources: Resources::default(),
        size_bytes: 1,
        created_at: Timestamp::UNIX_EPOCH,
        updated_at: Timestamp::UNIX_EPOCH,
        last_used_at: None,
    }
}
