//! Sandboxes to what clients see of them.

use daytona_wire::api::sandbox as wire;
use engine::Awake;
use types::egress::Egress;
use types::inspection::{self, Inspection};
use types::sandbox::{Failure, Sandbox};

use crate::lifecycle::power;
use crate::moment;
use crate::settings::Settings;
use crate::view;

/// The contract's word for our class of isolation.
const CLASS: &str = "container";
/// What the contract calls the image's own user.
pub(crate) const IMAGE_USER: &str = "daytona";

/// Shows a sandbox in full.
pub fn full(sandbox: Sandbox, settings: &Settings) -> wire::Sandbox {
    let (reported, desired) = (sandbox.reported(), sandbox.reported_desired());
    let recoverable = power::recoverable(&sandbox);
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
        network_allow_list: list(&sandbox.network.allow_list),
        domain_allow_list: list(&sandbox.network.domain_allow_list),
        target: sandbox.region,
        cpu: sandbox.resources.cpu,
        gpu: sandbox.resources.gpu,
        memory: sandbox.resources.memory_gib,
        disk: sandbox.resources.disk_gib,
        kvm: false,
        spot: false,
        state: reported.to_owned(),
        desired_state: desired.to_owned(),
        error_reason: sandbox.error_reason,
        failure: sandbox.failure.map(failure),
        recoverable,
        backup_state: sandbox.backup.state.as_str().to_owned(),
        backup_created_at: sandbox.backup.at.map(moment::write),
        auto_stop_interval: sandbox.intervals.auto_stop,
        auto_pause_interval: sandbox.intervals.auto_pause,
        auto_archive_interval: sandbox.intervals.auto_archive,
        auto_delete_interval: sandbox.intervals.auto_delete,
        auto_destroy_at: sandbox.destroy_at.map(moment::write),
        queue_timeout: sandbox.queue_timeout.map(minutes),
        queue_timed_out_at: sandbox.queue_timed_out_at.map(moment::write),
        warm_pool_id: sandbox.warm_pool_id.map(|id| id.to_string()),
        build_info: None,
        linked_sandbox_id: sandbox.linked_id.map(|id| id.to_string()),
        parent_id: sandbox.parent_id.map(|id| id.to_string()),
        volumes: sandbox.volumes.into_iter().map(view::volume::mount).collect(),
        sandbox_class: CLASS.to_owned(),
        created_at: moment::write(sandbox.created_at),
        updated_at: moment::write(sandbox.updated_at),
        last_activity_at: moment::write(sandbox.last_activity_at),
        daemon_version: sandbox.daemon_version,
        toolbox_proxy_url: settings.toolbox_proxy_url.clone(),
        isolation: None,
        conditions: None,
        awake: None,
    }
}

/// Shows several in full.
pub(crate) fn all(sandboxes: Vec<Sandbox>, settings: &Settings) -> Vec<wire::Sandbox> {
    sandboxes.into_iter().map(|sandbox| full(sandbox, settings)).collect()
}

/// Shows a sandbox in a list.
pub(crate) fn item(sandbox: Sandbox, settings: &Settings) -> wire::SandboxListItem {
    let (reported, desired) = (sandbox.reported(), sandbox.reported_desired());
    let recoverable = power::recoverable(&sandbox);
    wire::SandboxListItem {
        id: sandbox.id.to_string(),
        organization_id: sandbox.organization_id.to_string(),
        name: sandbox.name,
        target: sandbox.region,
        sandbox_class: CLASS.to_owned(),
        state: reported.to_owned(),
        desired_state: desired.to_owned(),
        snapshot: sandbox.snapshot,
        user: user(sandbox.user),
        error_reason: sandbox.error_reason,
        recoverable,
        public: sandbox.public,
        network_block_all: sandbox.network.block_all,
        network_allow_list: list(&sandbox.network.allow_list),
        domain_allow_list: list(&sandbox.network.domain_allow_list),
        cpu: sandbox.resources.cpu,
        gpu: sandbox.resources.gpu,
        memory: sandbox.resources.memory_gib,
        disk: sandbox.resources.disk_gib,
        spot: false,
        labels: sandbox.labels,
        backup_state: sandbox.backup.state.as_str().to_owned(),
        auto_stop_interval: sandbox.intervals.auto_stop,
        auto_pause_interval: sandbox.intervals.auto_pause,
        auto_archive_interval: sandbox.intervals.auto_archive,
        auto_delete_interval: sandbox.intervals.auto_delete,
        auto_destroy_at: sandbox.destroy_at.map(moment::write),
        queue_timeout: sandbox.queue_timeout.map(minutes),
        queue_timed_out_at: sandbox.queue_timed_out_at.map(moment::write),
        warm_pool_id: sandbox.warm_pool_id.map(|id| id.to_string()),
        created_at: moment::write(sandbox.created_at),
        updated_at: moment::write(sandbox.updated_at),
        last_activity_at: moment::write(sandbox.last_activity_at),
        daemon_version: sandbox.daemon_version,
        toolbox_proxy_url: settings.toolbox_proxy_url.clone(),
    }
}

fn minutes(seconds: u32) -> u32 {
    seconds.div_ceil(60)
}

fn failure(failure: Failure) -> wire::SandboxFailure {
    let Failure { cause, evidence, remedy } = failure;
    wire::SandboxFailure { cause, evidence, remedy }
}

fn user(user: String) -> String {
    if user.is_empty() { IMAGE_USER.to_owned() } else { user }
}

fn list<T: ToString>(entries: &[T]) -> Option<String> {
    let texts: Vec<String> = entries.iter().map(ToString::to_string).collect();
    (!texts.is_empty()).then(|| texts.join(","))
}

/// Shows a sandbox with what a look at its host told.
pub(crate) fn inspected(
    sandbox: Sandbox,
    found: Inspection,
    awake: Vec<Awake>,
    settings: &Settings,
) -> wire::Sandbox {
    let layer = |layer: inspection::Layer| wire::IsolationLayer {
        name: layer.name,
        in_force: layer.in_force,
        detail: layer.detail,
    };
    let isolation = found.isolation.map(|isolation| wire::Isolation {
        class: isolation.class,
        kernel: isolation.kernel,
        layers: isolation.layers.into_iter().map(layer).collect(),
    });
    let condition = |condition: inspection::Condition| wire::Condition {
        cause: condition.cause.as_str().to_owned(),
        evidence: condition.evidence,
        remedy: condition.remedy,
        count: condition.count,
    };
    let conditions: Vec<_> = found.conditions.into_iter().map(condition).collect();
    let conditions = (!conditions.is_empty()).then_some(conditions);
    let reason = |awake: Awake| wire::AwakeReason { reason: awake.reason.to_owned(), detail: awake.detail };
    let awake: Vec<_> = awake.into_iter().map(reason).collect();
    let awake = (!awake.is_empty()).then_some(awake);
    wire::Sandbox { isolation, conditions, awake, ..full(sandbox, settings) }
}

/// Shows what became of the packets and names that a sandbox asked for.
pub(crate) fn egress(found: Egress) -> wire::SandboxEgress {
    let decision = |decision: types::egress::Decision| wire::EgressDecision {
        at: moment::write(decision.at),
        destination: decision.destination,
        port: decision.port,
        protocol: decision.protocol,
        name: decision.name,
        rule: decision.rule,
        allowed: decision.allowed,
    };
    let decisions = found.decisions.into_iter().map(decision).collect();
    wire::SandboxEgress { allowed: found.allowed, refused: found.refused, decisions }
}
