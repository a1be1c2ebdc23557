//! The engine as others hold it: starts the loops, takes hints, lets callers wait for rest.

use std::sync::Arc;
use std::time::Duration;

use store::{Store, StoreError};
use tokio::sync::{Notify, Semaphore, mpsc};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::error;
use types::quota::Quota;
use types::sandbox::Sandbox;
use types::volume::Volume;
use types::{BuildId, Clock, Random, SandboxId};

use crate::awake::{self, Awake, KeepAwake, Looks};
use crate::deadline::Deadlines;
use crate::driver::Driver;
use crate::loops::build::Maker;
use crate::loops::sandbox::{Keeper, Permits};
use crate::loops::warm::Filling;
use crate::loops::{liveness, purge, timer, volume, warm};
use crate::port::Runner;

/// How long a look waits for a step under way; later, the next look at all finds it.
const LOOK_PATIENCE: Duration = Duration::from_secs(30);

/// How the engine paces itself.
#[derive(Debug, Clone)]
pub struct Settings {
    /// How often it looks for sandboxes that are not at rest; a wake is faster.
    pub scan_period: Duration,
    /// How often it looks whether what is said to run does run.
    pub liveness_period: Duration,
    /// How often it looks whose time has come to stop, pause, be archived or go.
    pub timer_period: Duration,
    /// How often it forgets rows of destroyed sandboxes.
    pub purge_period: Duration,
    /// How many sandboxes are made or started at once.
    pub concurrent_starts: usize,
    /// How many sandboxes are made of others at once.
    pub concurrent_forks: usize,
    /// How many backups, restores and snapshots run at once.
    pub concurrent_copies: usize,
    /// How many images are pulled at once.
    pub concurrent_pulls: usize,
    /// How many images are built at once.
    pub concurrent_builds: usize,
    /// How many stops, removals and other steps run at once.
    pub concurrent_ends: usize,
    /// How long it waits after a first failure; after each one more, twice as long.
    pub first_pause: Duration,
    /// How long a step that may be retried is retried before the sandbox is in error. Removal is never given up.
    pub give_up_after: Duration,
    /// How long a step may take.
    pub deadlines: Deadlines,
    /// Which work keeps a sandbox awake whose label does not say: by default none, as in the contract.
    pub keep_awake: KeepAwake,
    /// The largest image of a snapshot.
    pub largest_image_bytes: Option<u64>,
    /// After how long a snapshot that nobody used is put out of use, and the image of a build goes that nobody needs.
    pub unused_after: Option<Duration>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            scan_period: Duration::from_secs(10),
            liveness_period: Duration::from_mins(1),
            timer_period: Duration::from_secs(10),
            purge_period: Duration::from_mins(10),
            concurrent_starts: 32,
            concurrent_forks: 16,
            concurrent_copies: 6,
            concurrent_pulls: 4,
            concurrent_builds: 2,
            concurrent_ends: 128,
            first_pause: Duration::from_millis(100),
            give_up_after: Duration::from_mins(5),
            deadlines: Deadlines::default(),
            keep_awake: KeepAwake::default(),
            largest_image_bytes: None,
            // The contract's 14 days.
            unused_after: Some(Duration::from_hours(14 * 24)),
        }
    }
}

/// Makes rows real. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Engine {
    driver: Driver<Keeper>,
    builds: Driver<Maker>,
}

impl Engine {
    /// Looks at every sandbox that has something on the host, so that what a former process left is known, goes on with what
    /// was cut off, and starts the loops.
    pub async fn start(
        store: Store,
        runner: Arc<dyn Runner>,
        clock: Arc<dyn Clock>,
        settings: &Settings,
    ) -> Self {
        let stopping = CancellationToken::new();
        let (others, changed) = mpsc::unbounded_channel();
        let permits = Permits {
            starting: Semaphore::new(settings.concurrent_starts),
            most_starting: settings.concurrent_starts,
            forking: Semaphore::new(settings.concurrent_forks),
            copying: Semaphore::new(settings.concurrent_copies),
            waiting: Semaphore::new(Semaphore::MAX_PERMITS),
            ending: Semaphore::new(settings.concurrent_ends),
        };
        let builds = Self::makers(&store, &runner, &clock, settings, &stopping);
        let keeper = Keeper {
            store,
            runner,
            clock,
            permits,
            deadlines: settings.deadlines.clone(),
            first_pause: settings.first_pause,
            give_up_after: settings.give_up_after,
            keep_awake: settings.keep_awake,
            looks: Looks::default(),
            builds: builds.clone(),
            unused_after: settings.unused_after,
            others,
            steps: TaskTracker::new(),
            taken: Notify::new(),
            stopping: stopping.clone(),
        };
        let driver = Driver::new(keeper, stopping);
        driver.follow(changed, |sandbox: &Sandbox| sandbox.id);
        liveness::look_at_all_first(&driver).await;
        if let Err(error) = builds.reconciler().look_at_all_first().await {
            error!(error = &error as &dyn std::error::Error, "cannot look whether images are on the host");
        }
        builds.clone().scan().await;
        builds.every(settings.scan_period, Driver::scan);
        driver.clone().scan().await;
        driver.every(settings.scan_period, Driver::scan);
        driver.every(settings.liveness_period, liveness::look_at_all);
        driver.every(settings.timer_period, timer::look_at_the_clock);
        driver.every(settings.scan_period, volume::settle_all);
        driver.every(settings.purge_period, purge::purge);
        driver.every(settings.purge_period, purge::leftovers);
        Self { driver, builds }
    }

    fn makers(
        store: &Store,
        runner: &Arc<dyn Runner>,
        clock: &Arc<dyn Clock>,
        settings: &Settings,
        stopping: &CancellationToken,
    ) -> Driver<Maker> {
        let maker = Maker {
            store: store.clone(),
            runner: Arc::clone(runner),
            clock: Arc::clone(clock),
            pulling: Semaphore::new(settings.concurrent_pulls),
            building: Semaphore::new(settings.concurrent_builds),
            deadlines: settings.deadlines.clone(),
            first_pause: settings.first_pause,
            give_up_after: settings.give_up_after,
            largest_bytes: settings.largest_image_bytes,
            kept_for: settings.unused_after.unwrap_or(Duration::MAX),
            stopping: stopping.clone(),
        };
        Driver::new(maker, stopping.clone())
    }

    /// Hints that an image may have to be made, or that one may go. Returns at once.
    pub fn wake_build(&self, id: BuildId) {
        self.builds.wake(id, None);
    }

    /// Keeps the warm pools full from now on: what is made for them stays within the quota of their organisations.
    pub fn keep_warm(&self, random: Arc<dyn Random>, quota: Quota) {
        let filling = Filling { random, quota };
        self.driver.spawn(|driver| warm::keep(driver, filling));
    }

    /// Hints that a warm pool was changed, or a sandbox taken out of one. Returns at once.
    pub fn refill(&self) {
        self.driver.reconciler().taken.notify_one();
    }

    /// Makes or removes the files of a volume, as its row says. Returns the row as it is then; what cannot be done yet is
    /// tried again by itself.
    pub async fn settle_volume(&self, volume: Volume) -> Result<Volume, StoreError> {
        self.driver.reconciler().settle_volume(volume).await
    }

    /// Does the same, and returns at once.
    pub fn settle_volume_later(&self, volume: Volume) {
        self.driver.spawn(|driver| async move {
            let id = volume.id;
            if let Err(error) = driver.reconciler().settle_volume(volume).await {
                tracing::error!(volume.id = %id, error = &error as &dyn std::error::Error, "cannot write a volume");
            }
        });
    }

    /// Hints that a sandbox may have something to do. Returns at once; without the hint the next scan finds it.
    pub fn wake(&self, id: SandboxId) {
        self.driver.wake(id, None);
    }

    /// Hints as [`Engine::wake`] does, and hands over the row just written, which saves a read.
    pub fn wake_with(&self, sandbox: Sandbox) {
        self.driver.wake(sandbox.id, Some(sandbox));
    }

    /// Wakes the engine about a row just written and waits until the sandbox rests, at most for `patience`. Returns the
    /// row as it is then, `None` when the sandbox is gone.
    pub async fn settle(&self, sandbox: Sandbox, patience: Duration) -> Result<Option<Sandbox>, StoreError> {
        let id = sandbox.id;
        self.wake_with(sandbox);
        self.wait(id, patience).await
    }

    /// Waits until a sandbox rests, at most for `patience`. Returns the row as it is then, `None` when it is gone.
    pub async fn wait(&self, id: SandboxId, patience: Duration) -> Result<Option<Sandbox>, StoreError> {
        match self.driver.wait(id, patience).await {
            Some(sandbox) => Ok(Some(sandbox)),
            None => self.driver.reconciler().store.sandbox_get(id).await,
        }
    }

    /// Looks at one sandbox once it rests: the runner saw it end. The message is only a reason to look.
    pub async fn look(&self, id: SandboxId) -> Result<(), StoreError> {
        if let Some(sandbox) = self.wait(id, LOOK_PATIENCE).await? {
            liveness::look(&self.driver, sandbox).await;
        }
        Ok(())
    }

    /// Says what keeps a sandbox awake, and until when; nothing for one that does not run. What it works on is told from
    /// the second look on, where it is to stay awake for that.
    pub async fn awake(&self, sandbox: &Sandbox) -> Vec<Awake> {
        let keeper = self.driver.reconciler();
        let now = keeper.clock.now();
        let mut reasons = awake::reasons(sandbox, now);
        if !reasons.is_empty() {
            reasons.extend(keeper.work(sandbox, now).await.unwrap_or_default());
        }
        reasons
    }

    /// Takes no more work and waits for the steps under way, at most for `grace`. Returns whether all ended; what did
    /// not is found again at the next start.
    pub async fn shutdown(&self, grace: Duration) -> bool {
        let (sandboxes, builds) = tokio::join!(self.driver.shutdown(grace), self.builds.shutdown(grace));
        sandboxes && builds
    }
}
