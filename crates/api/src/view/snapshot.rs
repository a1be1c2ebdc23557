//! Snapshots to what clients see of them.

use std::collections::HashMap;

use daytona_wire::api::build as wire_build;
use daytona_wire::api::snapshot as wire;
use types::BuildId;
use types::build::{Build, Recipe};
use types::snapshot::{SavedSnapshot, SnapshotState};

use crate::moment;
use crate::settings::Settings;

/// The contract's word for our class of isolation.
const CLASS: &str = "container";
const GIB: f64 = 1_073_741_824.0;

/// Shows a snapshot, with what it was built from if that is among `builds`.
pub(crate) fn snapshot(
    saved: SavedSnapshot,
    builds: &HashMap<BuildId, Build>,
    settings: &Settings,
) -> wire::SnapshotDto {
    let build = saved.build_id.and_then(|id| builds.get(&id));
    wire::SnapshotDto { build_info: build.and_then(info), ..own(saved, settings) }
}

/// Shows a snapshot, without what it was built from.
pub fn own(saved: SavedSnapshot, settings: &Settings) -> wire::SnapshotDto {
    let is_there = matches!(saved.state, SnapshotState::Active | SnapshotState::Inactive);
    // Clients look for the word behind the colon; the name before it opens nothing.
    let reference = saved.reference.unwrap_or_else(|| format!("daytona-{}:daytona", saved.id));
    wire::SnapshotDto {
        id: saved.id.to_string(),
        organization_id: saved.organization_id.map(|id| id.to_string()),
        general: saved.organization_id.is_none(),
        name: saved.name,
        image_name: saved.image_name,
        state: saved.state.as_str().to_owned(),
        size: (is_there && saved.size_bytes > 0).then(|| gib(saved.size_bytes)),
        entrypoint: saved.entrypoint,
        cpu: saved.resources.cpu,
        gpu: saved.resources.gpu,
        mem: saved.resources.memory_gib,
        disk: saved.resources.disk_gib,
        error_reason: saved.error_reason,
        created_at: moment::write(saved.created_at),
        updated_at: moment::write(saved.updated_at),
        last_used_at: saved.last_used_at.map(moment::write),
        region_ids: vec![settings.region.id.clone()],
        reference,
        build_info: None,
        source_sandbox_id: saved.source_sandbox_id.map(|id| id.to_string()),
        sandbox_class: CLASS.to_owned(),
    }
}

/// Shows what an image was built from; nothing for one that was pulled.
pub(crate) fn info(build: &Build) -> Option<wire_build::BuildInfo> {
    let Recipe::Dockerfile { text, contexts } = &build.recipe else { return None };
    Some(wire_build::BuildInfo {
        dockerfile_content: Some(text.clone()),
        context_hashes: Some(contexts.clone()),
        created_at: moment::write(build.created_at),
        updated_at: moment::write(build.updated_at),
        snapshot_ref: build.reference(),
    })
}

#[expect(clippy::cast_precision_loss, reason = "a size for people; 53 bits are enough for any disk")]
fn gib(bytes: u64) -> f64 {
    bytes as f64 / GIB
}
