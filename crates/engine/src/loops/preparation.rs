//! Sandboxes that wait for their images.

use std::time::Duration;

use store::StoreError;
use types::BuildId;
use types::build::BuildState;
use types::sandbox::{Observed, Sandbox};

use crate::deadline::Failed;
use crate::loops::sandbox::Keeper;
use crate::port::{Class, RunnerError};
use crate::seen::Seen;

/// How long a sandbox that waits goes without a look at its build's row.
const LOOK_PERIOD: Duration = Duration::from_secs(1);
/// The same until it is known to be under way.
const FIRST_LOOK_PERIOD: Duration = Duration::from_millis(100);

impl Keeper {
    /// Tells who makes images that one may not be needed any more.
    pub(crate) fn leave_build(&self, sandbox: &Sandbox) {
        let left = sandbox.preparation.filter(|_| sandbox.observed == Observed::Destroyed);
        if let Some(preparation) = left {
            self.builds.wake(preparation.build_id, None);
        }
    }

    /// Waits for the image of a sandbox.
    pub(crate) async fn await_build(&self, sandbox: &Sandbox, id: BuildId) -> Result<Seen, Failed> {
        let away = |error: StoreError| RunnerError {
            class: Class::Retry,
            action: format!("read the build of sandbox {}", sandbox.id),
            source: Some(error.into()),
        };
        let refused =
            |action: String| Failed::from(RunnerError { class: Class::Reject, action, source: None });
        let known = sandbox.preparation.map(|preparation| preparation.state);
        let period = if known == Some(BuildState::Running) { LOOK_PERIOD } else { FIRST_LOOK_PERIOD };
        self.builds.wake(id, None);
        loop {
            let waited = self.builds.wait(id, period).await;
            if self.stopping.is_cancelled() {
                let action = "wait for a build: the server ends".to_owned();
                return Err(RunnerError { class: Class::Retry, action, source: None }.into());
            }
            let Some(build) = self.store.build_get(id).await.map_err(away)? else {
                return Err(refused("the build of its image was removed".to_owned()));
            };
            match build.state {
                BuildState::Done => return Ok(Seen::Prepared),
                BuildState::Failed => return Err(refused(build.error_reason.unwrap_or_default())),
                BuildState::Running if known != Some(BuildState::Running) => return Ok(Seen::Preparing),
                BuildState::Running | BuildState::Pending | BuildState::Idle => {}
            }
            if waited.is_some() {
                self.builds.wake(id, None);
            }
            tokio::time::sleep(FIRST_LOOK_PERIOD).await;
        }
    }
}
