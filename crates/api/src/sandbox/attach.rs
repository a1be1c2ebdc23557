//! Volumes that a sandbox gets later.

use daytona_wire::api::sandbox::SandboxVolume;
use types::sandbox::{Desired, Observed, Sandbox};
use types::volume::VolumeMount;

use crate::callers::Caller;
use crate::error::ApiError;
use crate::sandbox::row;
use crate::state::ApiState;
use crate::volume;

/// Mounts a volume into a sandbox, now if it runs, and at each start.
pub(crate) async fn attach(
    state: &ApiState,
    caller: &Caller,
    reference: &str,
    asked: &SandboxVolume,
) -> Result<Sandbox, ApiError> {
    row::find(state, caller, reference).await?;
    let wanted = volume::mount(state, caller, asked).await?;
    let written = row::change(state, caller, reference, |sandbox| with_mount(sandbox, &wanted)).await?;
    state.store.volume_touch(wanted.volume_id, state.clock.now()).await?;
    let Err(error) = state.runner.attach(written.id, &wanted).await else { return Ok(written) };
    let id = written.id.to_string();
    row::change(state, caller, &id, |sandbox| Ok(without_mount(sandbox, &wanted))).await?;
    Err(error.into())
}

fn with_mount(sandbox: Sandbox, wanted: &VolumeMount) -> Result<Sandbox, ApiError> {
    let rests = matches!(
        (sandbox.desired, sandbox.observed),
        (Desired::Started, Observed::Started) | (Desired::Stopped, Observed::Stopped | Observed::Ended)
    );
    if !rests {
        return Err(ApiError::invalid("Sandbox must be started or stopped to mount a volume"));
    }
    volume::admit(&sandbox.volumes, wanted)?;
    let volumes = sandbox.volumes.iter().cloned().chain([wanted.clone()]).collect();
    Ok(Sandbox { volumes, ..sandbox })
}

fn without_mount(sandbox: Sandbox, unwanted: &VolumeMount) -> Sandbox {
    let volumes = sandbox.volumes.iter().filter(|mount| *mount != unwanted).cloned().collect();
    Sandbox { volumes, ..sandbox }
}
