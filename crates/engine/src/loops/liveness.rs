//! Keeps true: a sandbox that is said to run does run.

use tracing::{error, info, warn};
use types::sandbox::{Desired, Observed, Sandbox};

use crate::act::{found, reason};
use crate::driver::Driver;
use crate::loops::sandbox::Keeper;
use crate::seen::{Seen, ended};

/// Looks at every sandbox that has something on the host, before anything else is done: a former process may have been
/// killed after a step and before its write, and requests may have changed since what the row asks for.
pub(crate) async fn look_at_all_first(driver: &Driver<Keeper>) {
    match driver.reconciler().store.sandbox_list_on_host().await {
        Ok(sandboxes) => {
            for sandbox in sandboxes.into_iter().filter(|sandbox| sandbox.desired != Desired::Destroyed) {
                look_now(driver, sandbox).await;
            }
        }
        Err(error) => {
            error!(error = &error as &dyn std::error::Error, "cannot list the sandboxes of this host");
        }
    }
}

/// Looks at every sandbox that claims to run, or of which nothing is known.
pub(crate) async fn look_at_all(driver: Driver<Keeper>) {
    match driver.reconciler().store.sandbox_list_claimed().await {
        Ok(sandboxes) => {
            for sandbox in sandboxes {
                look(&driver, sandbox).await;
            }
        }
        Err(error) => {
            error!(error = &error as &dyn std::error::Error, "cannot list the sandboxes that claim to run");
        }
    }
}

/// Looks at one sandbox that rests: a step that is under way changes the host without a write until it ends, and looks for
/// itself.
pub(crate) async fn look(driver: &Driver<Keeper>, sandbox: Sandbox) {
    // What is gone stays gone: that nothing is found of it is no news.
    if sandbox.observed == Observed::Destroyed {
        return;
    }
    if sandbox.at_rest() {
        look_now(driver, sandbox).await;
    } else {
        driver.wake(sandbox.id, None);
    }
}

/// Looks at one sandbox and writes what is new. The write names the generation that was read before the look: when a
/// request or a step came between, what was seen may be old, and it is dropped.
async fn look_now(driver: &Driver<Keeper>, sandbox: Sandbox) {
    let keeper = driver.reconciler();
    let id = sandbox.id;
    let seen = match keeper.runner.observe(id).await {
        Ok(look) => found(&sandbox, look),
        Err(error) => {
            warn!(sandbox.id = %id, reason = reason(&error), "cannot look at a sandbox");
            return;
        }
    };
    let claimed = sandbox.observed;
    // What is in error stays so until its files are found again.
    let seen = match (claimed, seen) {
        (Observed::Error, Seen::Stopped) => {
            Seen::Ended { reason: sandbox.error_reason.clone().unwrap_or_default() }
        }
        // Where nothing is to run, it matters only that nothing does.
        (Observed::Error | Observed::Stopped | Observed::Ended, seen @ (Seen::Running | Seen::Paused))
        | (Observed::Error, seen @ Seen::Ended { .. }) => seen,
        (Observed::Error | Observed::Stopped | Observed::Ended, _) => return,
        (_, seen) => seen,
    };
    let updated = seen.apply(sandbox, keeper.clock.now());
    if updated.observed == claimed || seen == Seen::Unknown {
        return;
    }
    let updated = if seen == Seen::Stopped { ended(updated) } else { updated };
    match keeper.store.sandbox_update_observed(updated).await {
        Ok(Some(written)) => {
            info!(sandbox.id = %id, claimed = claimed.as_str(), seen = written.observed.as_str(), "a sandbox changed");
            driver.wake(id, Some(written));
        }
        Ok(None) => driver.wake(id, None),
        Err(error) => {
            error!(sandbox.id = %id, error = &error as &dyn std::error::Error, "cannot write a sandbox");
        }
    }
}
