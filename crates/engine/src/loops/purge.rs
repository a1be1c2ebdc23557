//! Keeps true: rows of destroyed sandboxes go after a day.

use jiff::SignedDuration;
use tracing::{error, info};

use crate::driver::Driver;
use crate::loops::sandbox::Keeper;

const KEPT: SignedDuration = SignedDuration::from_hours(24);

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
