//! Keeps true: rows of destroyed sandboxes go after a day, no snapshot is for ever on its way in or out, and
//! those that nobody uses are put out of use.

use jiff::SignedDuration;
use store::StoreError;
use tracing::{error, info, warn};
use types::snapshot::SnapshotState;

use crate::driver::Driver;
use crate::loops::build;
use crate::loops::sandbox::Keeper;

const KEPT: SignedDuration = SignedDuration::from_hours(24);

/// A request that asks for a snapshot writes its row first and its wish right after.
const WISHED: SignedDuration = SignedDuration::from_mins(1);

/// Ends what requests and crashes left half done, and forgets links that hold no more.
pub(crate) async fn leftovers(driver: Driver<Keeper>) {
    let keeper = driver.reconciler();
    if let Err(error) = clear(keeper).await {
        error!(error = &error as &dyn std::error::Error, "cannot clear what requests left");
    }
}

async fn clear(keeper: &Keeper) -> Result<(), StoreError> {
    let now = keeper.clock.now();
    let before = now.checked_sub(WISHED).unwrap_or(now);
    match keeper.store.snapshot_fail_orphans(before, now).await? {
        0 => {}
        rows => info!(rows, "failed snapshots that nobody takes"),
    }
    keeper.store.signed_preview_purge(now).await?;
    if let Some(unused_since) = keeper.unused_after.and_then(|after| now.checked_sub(after).ok()) {
        for snapshot in keeper.store.snapshot_deactivate_unused(unused_since, now).await? {
            info!(snapshot.id = %snapshot.id, "put a snapshot out of use that nobody used");
        }
    }
    build::unneeded(&keeper.builds).await?;
    for snapshot in keeper.store.snapshot_list_in(SnapshotState::Removing).await? {
        if snapshot.build_id.is_some() {
            keeper.store.snapshot_delete(snapshot.id).await?;
            continue;
        }
        match keeper.runner.forget(&snapshot.image).await {
            Ok(()) => keeper.store.snapshot_delete(snapshot.id).await?,
            Err(error) => {
                warn!(snapshot.id = %snapshot.id, error = &error as &dyn std::error::Error, "cannot remove an image yet");
            }
        }
    }
    Ok(())
}

/// Forgets what was gone long enough.
pub(crate) async fn purge(driver: Driver<Keeper>) {
    let keeper = driver.reconciler();
    let Ok(before) = keeper.clock.now().checked_sub(KEPT) else {
        return;
    };
    match keeper.store.sandbox_purge(before).await {
        Ok(0) => {}
        Ok(rows) => info!(rows, "forgot destroyed sandboxes"),
        Err(error) => error!(error = &error as &dyn std::error::Error, "cannot forget destroyed sandboxes"),
    }
}
