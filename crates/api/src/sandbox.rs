//! What requests do to sandboxes: find, make, change. Each writes what is desired and lets the engine do the rest.

use daytona_wire::api::sandbox::{CreateSandbox, ResizeSandbox, UpdateSandboxNetworkSettings};
use store::StoreError;
use types::inspection::Inspection;
use types::sandbox::{Desired, Network, Observed, Sandbox};
use types::{SandboxId, random};

use crate::callers::Caller;
use crate::error::ApiError;
use crate::lifecycle;
use crate::limits;
use crate::settings::Region;
use crate::state::ApiState;

/// How often a change is tried on a newer row before the caller is asked to.
const TRIES: u32 = 10;
/// Length of the secret of preview links, as in the contract.
const AUTH_TOKEN_CHARACTERS: usize = 32;

/// Finds a sandbox of the caller's organisation.
pub(crate) async fn find(state: &ApiState, caller: &Caller, reference: &str) -> Result<Sandbox, ApiError> {
    let found = state.store.sandbox_find(caller.organization_id, reference).await?;
    found.ok_or_else(|| ApiError::SandboxNotFound { reference: reference.to_owned() })
}

/// Makes a sandbox and waits a while until it takes commands.
pub(crate) async fn create(
    state: &ApiState,
    caller: &Caller,
    asked: CreateSandbox,
) -> Result<Sandbox, ApiError> {
    let sandbox = draft(state, caller, asked).await?;
    state.store.sandbox_insert(&sandbox).await.map_err(|error| match error {
        StoreError::Taken { key, .. } => ApiError::NameTaken { name: key },
        error => error.into(),
    })?;
    let sandbox = settle_for_good(state, sandbox).await?;
    if sandbox.observed == Observed::Error {
        let reason = sandbox.error_reason.unwrap_or_default();
        // The caller learns the reason and no id: nobody would ever delete what this request made.
        let id = sandbox.id.to_string();
        let leaving = change(state, caller, &id, |row| Ok(lifecycle::delete(row))).await?;
        state.engine.wake_with(leaving);
        return Err(ApiError::FailedToStart { reason });
    }
    Ok(sandbox)
}

/// Checks a request for a new sandbox and writes it out in full.
async fn draft(state: &ApiState, caller: &Caller, asked: CreateSandbox) -> Result<Sandbox, ApiError> {
    limits::built(&asked)?;
    let settings = &state.settings;
    let id = SandboxId::random(state.random.as_ref());
    let name = asked.name.clone().filter(|name| !name.is_empty()).unwrap_or_else(|| id.to_string());
    limits::name(&name)?;
    let user = asked.user.clone().unwrap_or_default();
    limits::user(&user)?;
    let intervals = limits::intervals(&asked, settings)?;
    let region = region(asked.target.as_deref(), &settings.region)?;
    let snapshot_name = asked.snapshot.clone().filter(|name| !name.is_empty());
    let snapshot_name = snapshot_name.unwrap_or_else(|| settings.default_snapshot.clone());
    limits::snapshot(&snapshot_name)?;
    let snapshot = state.runner.snapshot(&snapshot_name).await?;
    let snapshot =
        snapshot.ok_or_else(|| ApiError::invalid(format!("Snapshot {snapshot_name} not found")))?;
    let resources = limits::resources(&asked, snapshot.resources, settings)?;
    let network = new_network(&asked)?;
    let env = asked.env.unwrap_or_default();
    limits::env(&env)?;
    let labels = asked.labels.unwrap_or_default();
    limits::labels(&labels)?;
    let now = state.clock.now();
    Ok(Sandbox {
        id,
        organization_id: caller.organization_id,
        name,
        snapshot: snapshot.name,
        image: snapshot.image,
        region,
        user,
        env,
        labels,
        public: asked.public.unwrap_or(false),
        network,
        network_applied: None,
        resources,
        resources_applied: None,
        intervals,
        desired: Desired::Started,
        stop_forced: false,
        observed: Observed::Absent,
        error_reason: None,
        auth_token: auth_token(state),
        daemon_version: None,
        created_at: now,
        updated_at: now,
        last_activity_at: now,
        generation: 1,
    })
}

fn region(target: Option<&str>, region: &Region) -> Result<String, ApiError> {
    match target {
        None | Some("") => Ok(region.id.clone()),
        Some(target) if target == region.id || target == region.name => Ok(region.id.clone()),
        Some(target) => Err(ApiError::invalid(format!("Region {target} not found"))),
    }
}

/// Changes what is desired of a sandbox: reads it, applies `change`, and writes if nobody else did meanwhile, else again.
pub(crate) async fn change(
    state: &ApiState,
    caller: &Caller,
    reference: &str,
    change: impl Fn(Sandbox) -> Result<Sandbox, ApiError> + Send,
) -> Result<Sandbox, ApiError> {
    for _ in 0..TRIES {
        let current = find(state, caller, reference).await?;
        let wanted = change(current.clone())?;
        if wanted == current {
            return Ok(current);
        }
        let wanted = Sandbox { updated_at: state.clock.now(), ..wanted };
        if let Some(written) = state.store.sandbox_update_desired(wanted).await? {
            return Ok(written);
        }
    }
    Err(ApiError::Modified)
}

/// Wakes the engine about a row just written and waits a while for rest.
pub(crate) async fn settle(state: &ApiState, sandbox: Sandbox) -> Result<Sandbox, ApiError> {
    let settled = state.engine.settle(sandbox.clone(), state.settings.patience).await?;
    Ok(settled.unwrap_or(Sandbox { observed: Observed::Destroyed, ..sandbox }))
}

/// As [`settle`], and beside it brings the row onto the disk: what was made stays made, and what was deleted deleted,
/// when the power fails right after the answer.
pub(crate) async fn settle_for_good(state: &ApiState, sandbox: Sandbox) -> Result<Sandbox, ApiError> {
    let (settled, synced) = tokio::join!(settle(state, sandbox), state.store.sync());
    synced?;
    settled
}

/// Draws a secret for preview links.
pub(crate) fn auth_token(state: &ApiState) -> String {
    random::lowercase_token(state.random.as_ref(), AUTH_TOKEN_CHARACTERS)
}

/// Reads a changed network policy. Shutting clears the lists; a list opens what it lists; opening alone clears them too.
pub(crate) fn network(asked: &UpdateSandboxNetworkSettings, current: Network) -> Result<Network, ApiError> {
    let Network { allow_list, domain_allow_list, block_all } = current;
    let networks = asked.network_allow_list.as_deref().map(limits::network_allow_list).transpose()?;
    let names = asked.domain_allow_list.as_deref().map(limits::domain_allow_list).transpose()?;
    match (asked.network_block_all, &networks, &names) {
        (None, None, None) => Err(ApiError::invalid("At least one network setting must be provided")),
        (Some(true), _, _) => Ok(Network::blocked()),
        (Some(false), None, None) => Ok(Network::default()),
        (asked, _, _) => {
            let listed =
                networks.iter().any(|list| !list.is_empty()) || names.iter().any(|list| !list.is_empty());
            let network = Network {
                // Clearing a list of a shut sandbox does not open it.
                block_all: block_all && asked.is_none() && !listed,
                allow_list: networks.unwrap_or(allow_list),
                domain_allow_list: names.unwrap_or(domain_allow_list),
            };
            Ok(network)
        }
    }
}

/// Reads the network policy of a new sandbox.
fn new_network(asked: &CreateSandbox) -> Result<Network, ApiError> {
    let list = |text: &Option<String>| text.as_deref().unwrap_or_default().to_owned();
    let allow_list = limits::network_allow_list(&list(&asked.network_allow_list))?;
    let domain_allow_list = limits::domain_allow_list(&list(&asked.domain_allow_list))?;
    Ok(match asked.network_block_all {
        Some(true) => Network::blocked(),
        _ => Network { block_all: false, allow_list, domain_allow_list },
    })
}

/// Changes the limits and waits until they hold. What cannot be met leaves the sandbox as it was.
pub(crate) async fn resize(
    state: &ApiState,
    caller: &Caller,
    reference: &str,
    asked: ResizeSandbox,
) -> Result<Sandbox, ApiError> {
    let change = |sandbox: Sandbox| {
        let sandbox = lifecycle::resize(sandbox)?;
        let resources = limits::resized(&asked, sandbox.resources, &state.settings)?;
        Ok(Sandbox { resources, ..sandbox })
    };
    let written = self::change(state, caller, reference, change).await?;
    let wanted = written.resources;
    let settled = settle(state, written).await?;
    if settled.resources == wanted || settled.resizing() {
        return Ok(settled);
    }
    Err(ApiError::ResizeRefused { reason: settled.error_reason.unwrap_or_default() })
}

/// Asks the host how a sandbox is isolated and what it has run into. The row is worth an answer without it.
pub(crate) async fn inspect(state: &ApiState, sandbox: &Sandbox) -> Inspection {
    if sandbox.observed != Observed::Started {
        return Inspection::default();
    }
    match state.runner.inspect(sandbox.id).await {
        Ok(inspection) => inspection,
        Err(error) => {
            tracing::warn!(sandbox.id = %sandbox.id, error = &error as &dyn std::error::Error, "cannot inspect a sandbox");
            Inspection::default()
        }
    }
}
