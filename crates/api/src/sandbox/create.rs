//! New sandboxes.

use daytona_wire::api::sandbox::CreateSandbox;
use store::StoreError;
use types::build::{Build, BuildState, Recipe};
use types::resource::Resources;
use types::sandbox::{Observed, Preparation, Sandbox};
use types::{OrganizationId, SandboxId};

use crate::callers::Caller;
use crate::error::ApiError;
use crate::lifecycle::{copy as rules, power, timer};
use crate::sandbox::{network, row, warm};
use crate::state::ApiState;
use crate::{build, limits, snapshot, volume};

/// Makes a sandbox and waits a while until it takes commands.
pub(crate) async fn create(
    state: &ApiState,
    caller: &Caller,
    asked: CreateSandbox,
) -> Result<Sandbox, ApiError> {
    let sandbox = draft(state, caller, asked).await?;
    if let Some(taken) = warm::take(state, &sandbox).await? {
        return Ok(taken);
    }
    make(state, caller, sandbox).await
}

/// Writes a new row and waits a while until its sandbox takes commands. What cannot be made leaves nothing.
pub(crate) async fn make(state: &ApiState, caller: &Caller, sandbox: Sandbox) -> Result<Sandbox, ApiError> {
    state.store.sandbox_admit(&sandbox, &state.settings.quota).await.map_err(|error| match error {
        StoreError::Taken { key, .. } => ApiError::NameTaken { name: key },
        error => error.into(),
    })?;
    if sandbox.preparing() {
        // A build takes as long as it takes: clients follow its words.
        state.engine.wake_with(sandbox.clone());
        state.store.sync().await?;
        return Ok(sandbox);
    }
    let sandbox = row::settle_for_good(state, sandbox).await?;
    if sandbox.observed == Observed::Error {
        let reason = sandbox.error_reason.unwrap_or_default();
        // The caller learns the reason and no id: nobody would ever delete what this request made.
        let id = sandbox.id.to_string();
        let leaving = row::change(state, caller, &id, |row| power::delete(row, 0)).await?;
        state.engine.wake_with(leaving);
        return Err(ApiError::FailedToStart { reason });
    }
    Ok(sandbox)
}

/// Checks a request for a new sandbox and writes it out in full. What needs others comes last, so that a refused request
/// touches nothing.
async fn draft(state: &ApiState, caller: &Caller, asked: CreateSandbox) -> Result<Sandbox, ApiError> {
    limits::built(&asked)?;
    let settings = &state.settings;
    let mut sandbox = blank(state, caller.organization_id, asked.name.clone())?;
    sandbox.user = asked.user.clone().unwrap_or_default();
    limits::user(&sandbox.user)?;
    sandbox.intervals = limits::intervals(&asked, settings)?;
    sandbox.region = limits::region(asked.target.as_deref(), settings)?;
    sandbox.network = network::fresh(&asked)?;
    sandbox.env = asked.env.clone().unwrap_or_default();
    limits::env(&sandbox.env)?;
    sandbox.labels = asked.labels.clone().unwrap_or_default();
    limits::labels(&sandbox.labels)?;
    sandbox.public = asked.public.unwrap_or(false);
    sandbox.queue_timeout = limits::queue_timeout_seconds(asked.queue_timeout)?;
    let minutes = asked.ttl_minutes.map_or(Ok(0), limits::time_to_live)?;
    sandbox.destroy_at = timer::end(minutes, sandbox.created_at)?;
    if let Some(owner) = asked.linked_sandbox.as_deref().filter(|owner| !owner.is_empty()) {
        let owner = row::find(state, caller, owner).await?;
        rules::link(&owner, sandbox.intervals.auto_delete)?;
        sandbox.linked_id = Some(owner.id);
    }
    sandbox.volumes = volume::mounts(state, caller, asked.volumes.as_deref().unwrap_or_default()).await?;
    let snapshot = asked.snapshot.as_deref().filter(|name| !name.is_empty());
    if let Some(info) = asked.build_info.clone() {
        let refused = |other: &str| {
            ApiError::invalid(format!("Cannot specify a {other} when using a build info entry"))
        };
        if snapshot.is_some() {
            return Err(refused("snapshot"));
        }
        if sandbox.linked_id.is_some() {
            return Err(refused("linked sandbox"));
        }
        sandbox.resources = limits::resources(&asked, Resources::default(), settings)?;
        return built(state, sandbox, build::dockerfile(info)?).await;
    }
    let snapshot = snapshot::resolve(state, caller, snapshot.unwrap_or(&settings.default_snapshot)).await?;
    sandbox.resources = limits::resources(&asked, snapshot.resources, settings)?;
    Ok(Sandbox { snapshot: snapshot.name, image: snapshot.image, ..sandbox })
}

/// Lets a sandbox start from what a Dockerfile makes; the same Dockerfile as before makes nothing new.
async fn built(state: &ApiState, sandbox: Sandbox, recipe: Recipe) -> Result<Sandbox, ApiError> {
    let build = build::want(state, sandbox.organization_id, recipe).await?;
    let known = if build.state == BuildState::Done { BuildState::Done } else { BuildState::Pending };
    let preparation = Some(Preparation { build_id: build.id, state: known });
    let (snapshot, image) = (build.reference(), Build::image_of(build.id));
    Ok(Sandbox { snapshot, image, preparation, ..sandbox })
}

/// Returns a sandbox that is to be made, with an id, secrets and a time of its own and nothing else. Without a name it is
/// called by its id.
pub(crate) fn blank(
    state: &ApiState,
    organization_id: OrganizationId,
    name: Option<String>,
) -> Result<Sandbox, ApiError> {
    let (id, now) = (SandboxId::random(state.random.as_ref()), state.clock.now());
    let blank = Sandbox::new(id, organization_id, state.random.as_ref(), now);
    let name = name.filter(|name| !name.is_empty()).unwrap_or_else(|| blank.name.clone());
    limits::name(&name)?;
    Ok(Sandbox { name, ..blank })
}
