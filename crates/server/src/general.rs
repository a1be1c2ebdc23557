//! Everybody's snapshots: the images that the operator brought to this host. And room on the disk, which images of tenants
//! give up before others.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use runner::host::Host;
use runner::image::shed::Marks;
use service::field::Chain;
use store::snapshot::general_id;
use store::{Store, StoreError};
use tracing::{info, warn};
use types::Clock;
use types::build::BUILT;
use types::snapshot::{CAPTURED, SavedSnapshot, SnapshotState};

use crate::build_log::BuildLogs;
use crate::error::ServerError;

/// Begins the names of images that were pulled and that nobody may name.
const PULLED: &str = "sha256:";
/// How often it is looked whether the disk fills up.
const ROOM_PERIOD: Duration = Duration::from_mins(5);

/// Tells whether an image is one that everybody may name.
pub(crate) fn is_general(name: &str) -> bool {
    ![CAPTURED, BUILT, PULLED].into_iter().any(|reserved| name.starts_with(reserved))
}

/// Gives every image of the operator's a row, and takes the rows away whose images are gone.
pub(crate) async fn register(store: &Store, host: &Arc<Host>, clock: &dyn Clock) -> Result<(), ServerError> {
    let failed = |source| ServerError::Store { action: "note the images of this host", source };
    let host = host.clone();
    let listed = tokio::task::spawn_blocking(move || host.images().list()).await;
    let listed = listed.map_err(|_| ServerError::Worker { action: "list images" })?;
    let images = listed.map_err(|source| ServerError::Runner { source })?;
    let mut names = BTreeSet::new();
    for image in images.into_iter().filter(|image| is_general(&image.name)) {
        let row = SavedSnapshot {
            image: image.name.clone(),
            state: SnapshotState::Active,
            reference: Some(image.name.clone()),
            size_bytes: image.size_bytes,
            ..SavedSnapshot::new(general_id(&image.name), None, image.name.clone(), clock.now())
        };
        names.insert(image.name);
        match store.snapshot_insert(&row).await {
            Ok(()) | Err(StoreError::Taken { .. }) => {}
            Err(error) => return Err(failed(error)),
        }
    }
    for snapshot in store.snapshot_list_general().await.map_err(failed)? {
        if !names.contains(&snapshot.image) {
            store.snapshot_delete(snapshot.id).await.map_err(failed)?;
        }
    }
    Ok(())
}

/// Removes what builds said of which nothing else is known.
pub(crate) async fn sweep(store: &Store, logs: &BuildLogs) -> Result<(), ServerError> {
    let failed = |source| ServerError::Store { action: "look for builds", source };
    for id in logs.list().unwrap_or_default() {
        if store.build_get(id).await.map_err(failed)?.is_none()
            && let Err(error) = logs.remove(id)
        {
            warn!(%id, %error, "cannot remove what a build said");
        }
    }
    Ok(())
}

/// Makes room while the disk is too full: what no snapshot and no sandbox needs, and can be had again, goes.
pub(crate) async fn keep_room(store: Store, host: Arc<Host>) {
    loop {
        tokio::time::sleep(ROOM_PERIOD).await;
        let needed: BTreeSet<String> = match store.image_pins().await {
            Ok(pins) => pins.into_iter().collect(),
            Err(error) => {
                warn!("cannot tell which images are needed: {}", Chain(&error));
                continue;
            }
        };
        let shed = host.clone();
        let gone = tokio::task::spawn_blocking(move || shed.shed_images(&needed, Marks::default())).await;
        match gone {
            Ok(Ok(gone)) if gone.is_empty() => {}
            Ok(Ok(gone)) => info!("the disk filled up: removed {} images that nobody needs", gone.len()),
            Ok(Err(error)) => warn!("cannot make room on the disk: {}", Chain(&error)),
            // The panic's own words are in the log already.
            Err(_) => {}
        }
    }
}
