//! Sandboxes to what clients see of them.

use daytona_wire::api::sandbox as wire;
use types::sandbox::{Sandbox, state};

use crate::moment;
use crate::settings::Settings;

/// The contract's word for our class of isolation.
const CLASS: &str = "container";
/// No backups are made.
const BACKUP: &str = "None";
/// What the contract calls the image's own user.
const IMAGE_USER: &str = "daytona";

/// Shows a sandbox in full.
pub(crate) fn full(sandbox: Sandbox, settings: &Settings) -> wire::Sandbox {
    wire::Sandbox {
        id: sandbox.id.to_string(),
        organization_id: sandbox.organization_id.to_string(),
        name: sandbox.name,
        snapshot: sandbox.snapshot,
        user: user(sandbox.user),
        env: sandbox.env,
        labels: sandbox.labels,
        public: sandbox.public,
        network_block_all: sandbox.network.block_all,
        target: sandbox.region,
        cpu: sandbox.resources.cpu,
        gpu: sandbox.resources.gpu,
        memory: sandbox.resources.memory_gib,
        disk: sandbox.resources.disk_gib,
        kvm: false,
        spot: false,
        state: state::reported(sandbox.desired, sandbox.observed).to_owned(),
        desired_state: sandbox.desired.as_str().to_owned(),
        error_reason: sandbox.error_reason,
        recoverable: false,
        backup_state: BACKUP.to_owned(),
        auto_stop_interval: sandbox.intervals.auto_stop,
        auto_archive_interval: sandbox.intervals.auto_archive,
        auto_delete_interval: sandbox.intervals.auto_delete,
        volumes: Vec::new(),
        sandbox_class: CLASS.to_owned(),
        created_at: moment::write(sandbox.created_at),
        updated_at: moment::write(sandbox.updated_at),
        last_activity_at: moment::write(sandbox.last_activity_at),
        daemon_version: sandbox.daemon_version,
        toolbox_proxy_url: settings.toolbox_proxy_url.clone(),
    }
}

/// Shows a sandbox in a list.
pub(crate) fn item(sandbox: Sandbox, settings: &Settings) -> wire::SandboxListItem {
    wire::SandboxListItem {
        id: sandbox.id.to_string(),
        organization_id: sandbox.organization_id.to_string(),
        name: sandbox.name,
        target: sandbox.region,
        sandbox_class: CLASS.to_owned(),
        state: state::reported(sandbox.desired, sandbox.observed).to_owned(),
        desired_state: sandbox.desired.as_str().to_owned(),
        snapshot: sandbox.snapshot,
        user: user(sandbox.user),
        error_reason: sandbox.error_reason,
        recoverable: false,
        public: sandbox.public,
        network_block_all: sandbox.network.block_all,
        cpu: sandbox.resources.cpu,
        gpu: sandbox.resources.gpu,
        memory: sandbox.resources.memory_gib,
        disk: sandbox.resources.disk_gib,
        spot: false,
        labels: sandbox.labels,
        backup_state: BACKUP.to_owned(),
        auto_stop_interval: sandbox.intervals.auto_stop,
        auto_archive_interval: sandbox.intervals.auto_archive,
        auto_delete_interval: sandbox.intervals.auto_delete,
        created_at: moment::write(sandbox.created_at),
        updated_at: moment::write(sandbox.updated_at),
        last_activity_at: moment::write(sandbox.last_activity_at),
        daemon_version: sandbox.daemon_version,
        toolbox_proxy_url: settings.toolbox_proxy_url.clone(),
    }
}

fn user(user: String) -> String {
    if user.is_empty() { IMAGE_USER.to_owned() } else { user }
}
