//! Keeps true: the images that snapshots and sandboxes need are on the host, each made once, and those that nobody needs
//! are not.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use jiff::SignedDuration;
use store::{Store, StoreError};
use tokio::sync::{Notify, Semaphore};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};
use types::build::{Build, BuildState, Made, Recipe};
use types::registry::{self, Login};
use types::resource::bytes_as_text;
use types::{BuildId, Clock, Timestamp};

use crate::act::reason;
use crate::deadline::{Deadlines, Failed};
use crate::driver::{Driver, Reconcile};
use crate::loops::patience::{LONGEST_PAUSE, Patience, pause};
use crate::port::{Class, ImageOrder, Runner, RunnerError};

/// A request that asks for an image writes its row first and what needs it right after.
const WISHED: SignedDuration = SignedDuration::from_mins(1);

/// Brings images to one runner.
#[derive(Debug)]
pub(crate) struct Maker {
    pub(crate) store: Store,
    pub(crate) runner: Arc<dyn Runner>,
    pub(crate) clock: Arc<dyn Clock>,
    /// How many images are pulled at once.
    pub(crate) pulling: Semaphore,
    /// How many are built at once.
    pub(crate) building: Semaphore,
    pub(crate) deadlines: Deadlines,
    pub(crate) first_pause: Duration,
    pub(crate) give_up_after: Duration,
    /// The largest image.
    pub(crate) largest_bytes: Option<u64>,
    /// How long one that was built and that nobody needs stays, because the same may be asked for again.
    pub(crate) kept_for: Duration,
    pub(crate) stopping: CancellationToken,
}

/// What to do after a look at a build.
enum Turn {
    /// Look again.
    Again,
    /// Nothing.
    Rest,
}

#[async_trait]
impl Reconcile for Maker {
    type Key = BuildId;
    type Row = Build;

    async fn reconcile(&self, id: BuildId, _hint: Option<Build>, woken: &Notify) -> Option<Build> {
        let mut patience = Patience::new(self.first_pause);
        while !self.stopping.is_cancelled() {
            let looked = match self.store.build_get(id).await {
                Ok(None) => return None,
                Ok(Some(build)) => match self.turn(&build, &mut patience, woken).await {
                    Ok(Turn::Rest) => return Some(build),
                    Ok(Turn::Again) => Ok(()),
                    Err(error) => Err(error),
                },
                Err(error) => Err(error),
            };
            if let Err(error) = looked {
                error!(%id, error = &error as &dyn std::error::Error, "cannot read or write a build");
                pause(&mut patience, woken, LONGEST_PAUSE, &self.stopping).await;
            }
        }
        None
    }

    async fn moving(&self) -> Vec<BuildId> {
        match self.store.build_list_moving().await {
            Ok(ids) => ids,
            Err(error) => {
                error!(error = &error as &dyn std::error::Error, "cannot list the builds that go on");
                Vec::new()
            }
        }
    }
}

impl Maker {
    async fn turn(&self, build: &Build, patience: &mut Patience, woken: &Notify) -> Result<Turn, StoreError> {
        self.store.snapshot_follow(build, self.clock.now()).await?;
        match (build.state, self.store.build_is_needed(build.id).await?) {
            (BuildState::Pending | BuildState::Running, true) => self.make(build, patience, woken).await,
            (BuildState::Idle, true) => {
                self.write(build.id, BuildState::Pending, None, None).await.map(|()| Turn::Again)
            }
            (BuildState::Done | BuildState::Failed, true) => Ok(Turn::Rest),
            (BuildState::Done, false) if self.may_be_asked_for_again(build) => Ok(Turn::Rest),
            // Whoever needs it from here on finds that it is to be made.
            (BuildState::Done, false) => {
                self.write(build.id, BuildState::Pending, None, None).await.map(|()| Turn::Again)
            }
            (BuildState::Pending | BuildState::Running, false) => self.let_go(build).await,
            (BuildState::Idle | BuildState::Failed, false) => self.forget(build).await.map(|()| Turn::Rest),
        }
    }

    fn may_be_asked_for_again(&self, build: &Build) -> bool {
        let kept_for = SignedDuration::try_from(self.kept_for).unwrap_or(SignedDuration::MAX);
        build.recipe.is_built() && self.clock.now().duration_since(build.last_used_at) < kept_for
    }

    /// Makes an image, unless nobody needs it any more or the engine ends; the next engine goes on.
    async fn make(&self, build: &Build, patience: &mut Patience, woken: &Notify) -> Result<Turn, StoreError> {
        let began = Instant::now();
        let made = tokio::select! {
            made = self.prepare(build) => made?,
            () = self.unneeded(build.id, woken) => return Ok(Turn::Again),
            () = self.stopping.cancelled() => return Ok(Turn::Rest),
        };
        match made.and_then(|made| self.within_bounds(made)) {
            Ok(made) => {
                let (took_ms, bytes) = (began.elapsed().as_millis(), made.size_bytes);
                info!(id = %build.id, took_ms, bytes, "brought an image to the host");
                self.write(build.id, BuildState::Done, Some(made), None).await?;
            }
            Err(failed) => {
                let reason = reason(&failed.error);
                let again =
                    failed.error.class == Class::Retry && !failed.late && !patience.ended(self.give_up_after);
                warn!(id = %build.id, class = ?failed.error.class, again, reason, "cannot bring an image to the host");
                if again {
                    pause(patience, woken, Duration::MAX, &self.stopping).await;
                } else {
                    self.forget_image(build).await;
                    self.write(build.id, BuildState::Failed, None, Some(reason)).await?;
                }
            }
        }
        Ok(Turn::Again)
    }

    /// Waits for a permit and makes the call.
    async fn prepare(&self, build: &Build) -> Result<Result<Made, Failed>, StoreError> {
        let (permits, limit, word) = match build.recipe {
            Recipe::Pull { .. } => (&self.pulling, self.deadlines.pulling, "pulling the image"),
            Recipe::Dockerfile { .. } => (&self.building, self.deadlines.building, "building the image"),
        };
        let Ok(_permit) = permits.acquire().await else {
            // They are never closed.
            return Ok(Err(Failed::late(word)));
        };
        self.write(build.id, BuildState::Running, None, None).await?;
        if let Some(running) = self.store.build_get(build.id).await? {
            self.store.snapshot_follow(&running, self.clock.now()).await?;
        }
        let order = ImageOrder {
            id: build.id,
            organization_id: build.organization_id,
            image: Build::image_of(build.id),
            recipe: build.recipe.clone(),
            entrypoint: match build.recipe {
                Recipe::Pull { .. } => self.store.snapshot_entrypoint(build.id).await?,
                Recipe::Dockerfile { .. } => None,
            },
            logins: self.logins(build).await,
        };
        Ok(match tokio::time::timeout(limit, self.runner.prepare(&order)).await {
            Ok(done) => done.map_err(Failed::from),
            Err(_) => Err(Failed::late(word)),
        })
    }

    /// Returns what the organisation shows to registries. Where that cannot be read, what needs no login works all the
    /// same, and what does is refused by the registry.
    async fn logins(&self, build: &Build) -> Vec<Login> {
        let known = self.store.registry_logins(build.organization_id).await.unwrap_or_else(|error| {
            error!(id = %build.id, error = &error as &dyn std::error::Error, "cannot read the logins of registries");
            Vec::new()
        });
        match &build.recipe {
            Recipe::Dockerfile { .. } => known,
            Recipe::Pull { reference } => {
                let host = registry::host_of_reference(reference);
                known.into_iter().filter(|login| login.host == host).collect()
            }
        }
    }

    fn within_bounds(&self, made: Made) -> Result<Made, Failed> {
        let Some(largest) = self.largest_bytes.filter(|largest| made.size_bytes > *largest) else {
            return Ok(made);
        };
        let action = format!(
            "Snapshot size {} exceeds the maximum allowed snapshot size ({})",
            bytes_as_text(made.size_bytes),
            bytes_as_text(largest)
        );
        Err(RunnerError { class: Class::Reject, action, source: None }.into())
    }

    /// Waits until nobody needs a build any more.
    async fn unneeded(&self, id: BuildId, woken: &Notify) {
        loop {
            woken.notified().await;
            // Whoever writes next asks again.
            if let Ok(false) = self.store.build_is_needed(id).await {
                return;
            }
        }
    }

    /// Removes what nobody needs.
    async fn let_go(&self, build: &Build) -> Result<Turn, StoreError> {
        if !self.forget_image(build).await {
            // The next look at what nobody needs tries again.
            return Ok(Turn::Rest);
        }
        self.write(build.id, BuildState::Idle, None, None).await?;
        Ok(Turn::Again)
    }

    async fn forget_image(&self, build: &Build) -> bool {
        match self.runner.forget(&Build::image_of(build.id)).await {
            Ok(()) => true,
            Err(error) => {
                warn!(id = %build.id, error = &error as &dyn std::error::Error, "cannot remove an image yet");
                false
            }
        }
    }

    /// Forgets a build that ended and to which nothing refers, with what it said.
    async fn forget(&self, build: &Build) -> Result<(), StoreError> {
        let before = self.clock.now().checked_sub(WISHED).unwrap_or(Timestamp::MIN);
        if !self.store.build_delete(build, before).await? {
            return Ok(());
        }
        if let Err(error) = self.runner.forget_build_log(build.id).await {
            warn!(id = %build.id, error = &error as &dyn std::error::Error, "cannot remove what a build said");
        }
        Ok(())
    }

    /// Writes a state, on top of whatever requests wrote meanwhile.
    async fn write(
        &self,
        id: BuildId,
        state: BuildState,
        made: Option<Made>,
        error_reason: Option<String>,
    ) -> Result<(), StoreError> {
        while let Some(build) = self.store.build_get(id).await? {
            let updated_at = self.clock.now();
            let (made, error_reason) = (made.clone(), error_reason.clone());
            let build = Build { state, made, error_reason, updated_at, ..build };
            if self.store.build_update(build).await?.is_some() {
                break;
            }
        }
        Ok(())
    }

    /// Asks for what is said to be on the host and is not: somebody removed it while no server ran.
    pub(crate) async fn look_at_all_first(&self) -> Result<(), StoreError> {
        for id in self.store.build_list_in(BuildState::Done).await? {
            if let Ok(None) = self.runner.snapshot(&Build::image_of(id)).await {
                warn!(%id, "an image is gone from the host; it is made again if somebody needs it");
                self.write(id, BuildState::Pending, None, None).await?;
            }
        }
        Ok(())
    }
}

/// Looks at every build that nobody needs.
pub(crate) async fn unneeded(driver: &Driver<Maker>) -> Result<(), StoreError> {
    let maker = driver.reconciler();
    let before = maker.clock.now().checked_sub(WISHED).unwrap_or(Timestamp::MIN);
    for id in maker.store.build_list_unneeded(before).await? {
        driver.wake(id, None);
    }
    Ok(())
}
