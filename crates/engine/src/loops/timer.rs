//! Keeps true: a sandbox whose time has come stops, pauses, is archived or goes.

use std::time::Duration;

use tracing::{error, info, warn};
use types::Timestamp;
use types::sandbox::{Desired, Sandbox};

use crate::act::reason;
use crate::awake::{Awake, KeepAwake};
use crate::driver::Driver;
use crate::due::{Due, due};
use crate::loops::sandbox::Keeper;
use crate::port::Class;

/// How long a look at a sandbox's work may take.
const WORK_PATIENCE: Duration = Duration::from_millis(500);

/// Looks at every sandbox whose time may have come.
pub(crate) async fn look_at_the_clock(driver: Driver<Keeper>) {
    let keeper = driver.reconciler();
    let now = keeper.clock.now();
    keeper.looks.forget_before(now);
    match keeper.store.sandbox_list_due(now).await {
        Ok(sandboxes) => {
            for sandbox in sandboxes {
                turn(&driver, sandbox, now).await;
            }
        }
        Err(error) => {
            error!(error = &error as &dyn std::error::Error, "cannot list the sandboxes that are due");
        }
    }
}

/// Writes what a sandbox's time has come for, unless it was used or changed since it was read.
async fn turn(driver: &Driver<Keeper>, sandbox: Sandbox, now: Timestamp) {
    let keeper = driver.reconciler();
    let Some(idle) = due(&sandbox, now, false) else {
        return;
    };
    let works =
        if idle.is_about_idleness(&sandbox) { keeper.works(&sandbox, now).await } else { Some(false) };
    let Some(works) = works else {
        return; // the next look tells
    };
    let desired = match due(&sandbox, now, works) {
        None => return,
        Some(Due::Touch) => return keeper.touch(&sandbox, now).await,
        Some(Due::Stop) => Desired::Stopped,
        Some(Due::Pause) => Desired::Paused,
        Some(Due::Archive) => Desired::Archived,
        Some(Due::Destroy) => Desired::Destroyed,
    };
    let id = sandbox.id;
    match keeper.store.sandbox_expire(sandbox, desired, now).await {
        Ok(Some(written)) => {
            info!(sandbox.id = %id, desired = desired.as_str(), "a sandbox's time has come");
            driver.wake(id, Some(written));
        }
        // Somebody used or changed it just now.
        Ok(None) => {}
        Err(error) => {
            error!(sandbox.id = %id, error = &error as &dyn std::error::Error, "cannot write a sandbox");
        }
    }
}

impl Keeper {
    /// Tells whether a sandbox works that is to stay awake for it; `None` while that is not known.
    async fn works(&self, sandbox: &Sandbox, now: Timestamp) -> Option<bool> {
        self.work(sandbox, now).await.map(|work| !work.is_empty())
    }

    /// Returns the work that keeps a sandbox awake; `None` while that is not known: it takes two looks.
    pub(crate) async fn work(&self, sandbox: &Sandbox, now: Timestamp) -> Option<Vec<Awake>> {
        let keep = KeepAwake::of(sandbox, self.keep_awake);
        if keep.is_never() {
            return Some(Vec::new());
        }
        // Another may hold the sandbox for long, and everybody's timers wait for this.
        let look = tokio::time::timeout(WORK_PATIENCE, self.runner.work(sandbox.id)).await;
        let Ok(look) = look else {
            return None;
        };
        match look {
            Ok(work) => self.looks.add(sandbox.id, keep, work, now),
            // A host that was busy is asked again. One that cannot tell keeps nobody awake for ever.
            Err(error) => {
                warn!(sandbox.id = %sandbox.id, reason = reason(&error), "cannot tell what a sandbox works on");
                if error.class == Class::Retry { None } else { Some(Vec::new()) }
            }
        }
    }

    async fn touch(&self, sandbox: &Sandbox, now: Timestamp) {
        if let Err(error) = self.store.sandbox_touch(sandbox.id, now).await {
            error!(sandbox.id = %sandbox.id, error = &error as &dyn std::error::Error, "cannot note a sandbox's work");
        }
    }
}
