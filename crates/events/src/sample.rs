//! Rows that tests start from.

pub(crate) use testkit::sample::sandbox;
use types::resource::Resources;
use types::snapshot::{SavedSnapshot, SnapshotState};
use types::{OrganizationId, SandboxId, SnapshotId, Timestamp};

/// A snapshot of an organisation's sandbox.
pub(crate) fn snapshot(id: u128, organization: u128, state: SnapshotState) -> SavedSnapshot {
    let id = SnapshotId::from_u128(id);
    let organization_id = Some(OrganizationId::from_u128(organization));
    SavedSnapshot {
        state,
        source_sandbox_id: Some(SandboxId::from_u128(1)),
        resources: Resources::default(),
        size_bytes: 1,
        ..SavedSnapshot::new(id, organization_id, "a snapshot".to_owned(), Timestamp::UNIX_EPOCH)
    }
}
