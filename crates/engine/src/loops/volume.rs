//! Keeps true: every volume has a place for its files, and none that is deleted has one.

use store::StoreError;
use tracing::{error, info, warn};
use types::volume::{Volume, VolumeState};

use crate::act::reason;
use crate::driver::Driver;
use crate::loops::sandbox::Keeper;
use crate::port::Class;

/// Goes on with what a crash or a busy host left half done.
pub(crate) async fn settle_all(driver: Driver<Keeper>) {
    let keeper = driver.reconciler();
    match keeper.store.volume_list_moving().await {
        Ok(volumes) => {
            for volume in volumes {
                if let Err(error) = keeper.settle_volume(volume).await {
                    error!(error = &error as &dyn std::error::Error, "cannot write a volume");
                }
            }
        }
        Err(error) => {
            error!(error = &error as &dyn std::error::Error, "cannot list the volumes on their way");
        }
    }
}

impl Keeper {
    /// Does the one thing that there is to do about a volume. Returns its row as it is then; what could not be done yet is
    /// tried again later.
    pub(crate) async fn settle_volume(&self, volume: Volume) -> Result<Volume, StoreError> {
        let before = volume.state;
        let done = match before {
            VolumeState::Creating => self.runner.volume_create(volume.id).await,
            VolumeState::Deleting => self.runner.volume_delete(volume.id).await,
            VolumeState::Ready | VolumeState::Deleted | VolumeState::Error => return Ok(volume),
        };
        let (state, error_reason) = match (before, done) {
            (VolumeState::Creating, Ok(())) => (VolumeState::Ready, None),
            (_, Ok(())) => (VolumeState::Deleted, None),
            (VolumeState::Creating, Err(error)) if error.class != Class::Retry => {
                (VolumeState::Error, Some(reason(&error)))
            }
            (_, Err(error)) => {
                warn!(volume.id = %volume.id, reason = reason(&error), "cannot make or remove a volume yet");
                return Ok(volume);
            }
        };
        let name = match state {
            VolumeState::Deleted => format!("{}-deleted", volume.name),
            _ => volume.name.clone(),
        };
        let settled = Volume { state, error_reason, name, updated_at: self.clock.now(), ..volume };
        if self.store.volume_settle(&settled, before).await? {
            info!(volume.id = %settled.id, state = settled.state.as_str(), "a volume is settled");
            return Ok(settled);
        }
        // Somebody else did it meanwhile.
        Ok(self.store.volume_get(settled.id).await?.unwrap_or(settled))
    }
}
