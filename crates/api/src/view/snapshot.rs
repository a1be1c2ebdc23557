//! Snapshots to what clients see of them.

use daytona_wire::api::snapshot as wire;
use types::Timestamp;
use types::resource::Resources;
use types::snapshot::{SavedSnapshot, Snapshot, SnapshotState};

use crate::moment;
use crate::settings::Settings;
use crate::snapshot::page::{Known, general_id};

/// The contract's word for our class of isolation.
const CLASS: &str = "container";
const GIB: f64 = 1_073_741_824.0;

/// Shows a snapshot.
pub(crate) fn snapshot(known: Known, settings: &Settings) -> wire::SnapshotDto {
    match known {
        Known::Own(saved) => own(saved, settings),
        Known::General(snapshot) => general(snapshot, settings),
    }
}

pub fn own(saved: SavedSnapshot, settings: &Settings) -> wire::SnapshotDto {
    let is_taken = saved.state == SnapshotState::Active;
    wire::SnapshotDto {
        organization_id: Some(saved.organization_id.to_string()),
        general: false,
        state: saved.state.as_str().to_owned(),
        size: is_taken.then(|| gib(saved.size_bytes)),
        error_reason: saved.error_reason,
        created_at: moment::write(saved.created_at),
        updated_at: moment::write(saved.updated_at),
        last_used_at: saved.last_used_at.map(moment::write),
        // Clients look for the word behind the colon; the name before it opens nothing.
        reference: format!("daytona-{}:daytona", saved.id),
        source_sandbox_id: Some(saved.source_sandbox_id.to_string()),
        ..blank(saved.id.to_string(), saved.name, saved.resources, settings)
    }
}

/// Nobody noted when an image was brought to the host: its times are the beginning of time.
fn general(snapshot: Snapshot, settings: &Settings) -> wire::SnapshotDto {
    let id = general_id(&snapshot.name).to_string();
    wire::SnapshotDto { reference: snapshot.image, ..blank(id, snapshot.name, snapshot.resources, settings) }
}

fn blank(id: String, name: String, resources: Resources, settings: &Settings) -> wire::SnapshotDto {
    wire::SnapshotDto {
        id,
        organization_id: None,
        general: true,
        name,
        state: SnapshotState::Active.as_str().to_owned(),
        size: None,
        entrypoint: None,
        cpu: resources.cpu,
        gpu: resources.gpu,
        mem: resources.memory_gib,
        disk: resources.disk_gib,
        error_reason: None,
        created_at: moment::write(Timestamp::UNIX_EPOCH),
        updated_at: moment::write(Timestamp::UNIX_EPOCH),
        last_used_at: None,
        region_ids: vec![settings.region.id.clone()],
        reference: String::new(),
        source_sandbox_id: None,
        sandbox_class: CLASS.to_owned(),
    }
}

#[expect(clippy::cast_precision_loss, reason = "a size for people; 53 bits are enough for any disk")]
fn gib(bytes: u64) -> f64 {
    bytes as f64 / GIB
}
