//! What requests do to sandboxes: find, make, change. Each writes what is desired and lets the engine do the rest.

use daytona_wire::api::sandbox::{CreateSandbox, UpdateSandboxNetworkSettings};
use store::StoreError;
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
        error => ApiError::Store(error),
    })?;
    let sandbox = settle(state, sandbox).await?;
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
        network: Network { block_all: asked.network_block_all.unwrap_or(false) },
        network_applied: None,
        resources,
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

/// Draws a secret for preview links.
pub(crate) fn auth_token(state: &ApiState) -> String {
    random::lowercase_token(state.random.as_ref(), AUTH_TOKEN_CHARACTERS)
}

/// Reads a new network policy. A list that is not built is refused: ignoring it would leave the network open.
pub(crate) fn network(asked: &UpdateSandboxNetworkSettings, current: Network) -> Result<Network, ApiError> {
    let lists =
        [("networkAllowList", &asked.network_allow_list), ("domainAllowList", &asked.domain_allow_list)];
    for (field, list) in lists {
        if list.as_ref().is_some_and(|list| !list.trim().is_empty()) {
            return Err(ApiError::FieldNotBuilt { field });
        }
    }
    let cleared = lists.iter().any(|(_, list)| list.is_some());
    match asked.network_block_all {
        Some(block_all) => Ok(Network { block_all }),
        None if cleared => Ok(current),
        None => Err(ApiError::invalid("At least one network setting must be provided")),
    }
}
