//! Keeps true: a sandbox that is said to run does run.

use tracing::{error, info, warn};
use types::sandbox::{Desired, Observed, Sandbox};

use crate::act::{Seen, ended, found, reason};
use crate::driver::Driver;
use crate::loops::sandbox::Keeper;

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

/// Looks at one sandbox and writes what is new. The write names the generation that was read before the look: when a
/// request or a step came between, what was seen may be old, and it is dropped.
pub(crate) async fn look(driver: &Driver<Keeper>, sandbox: Sandbox) {
    let keeper = driver.reconciler();
    let id = sandbox.id;
    if sandbox.desired == Desired::Destroyed {
        return; // its removal looks for itself
    }
    let seen = match keeper.runner.observe(id).await {
        Ok(look) => found(&sandbox, look),
        Err(error) => {
            warn!(sandbox.id = %id, reason = reason(&error), "cannot look at a sandbox");
            return;
        }
    };
    let claimed = sandbox.observed;
    // What is in error stays so until its files are found again.
    let found_again = matches!(seen, Seen::Running | Seen::Stopped | Seen::Ended { .. });
    if claimed == Observed::Error && !found_again {
        return;
    }
    let updated = seen.apply(sandbox, keeper.clock.now());
    if updated.observed == claimed || seen == Seen::Unknown {
        return;
    }
    let updated = if matches!(seen, Seen::Stopped | Seen::Ended { .. }) { ended(updated) } else { updated };
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
