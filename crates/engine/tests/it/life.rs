//! From every pair of asked and seen, through failures, requests, crashes and time, the loops reach rest and lose nothing.

use std::sync::Arc;
use std::time::Duration;

use engine::plan::plan;
use engine::port::{Class, Runner as _};
use engine::{Deadlines, Engine, Settings};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use store::Store;
use tempfile::TempDir;
use testkit::{FakeRunner, TestClock, sample};
use types::resource::Resources;
use types::sandbox::{Backup, BackupState, Desired, Network, Observed, Sandbox};
use types::snapshot::{SavedSnapshot, SnapshotState};
use types::{Clock as _, OrganizationId, SandboxId, SnapshotId};

const TENANT: OrganizationId = OrganizationId::from_u128(1);
const ID: SandboxId = SandboxId::from_u128(1);
/// Runs of each pair.
const CASES: u32 = 3;
/// Longer than it takes to rest; what shrinks a failure waits so long each time.
const SOON: Duration = Duration::from_secs(8);
const CALLS: [&str; 13] = [
    "create",
    "start",
    "stop",
    "destroy",
    "observe",
    "set_network",
    "resize",
    "pause",
    "resume",
    "backup",
    "release",
    "restore",
    "capture",
];

/// What happens to a sandbox.
#[derive(Debug, Clone)]
enum Happening {
    Asked(Desired),
    AskedForSnapshot,
    AskedForBackup,
    AskedToRecover { skip_start: bool },
    AskedForLimits(u32),
    AskedToShut(bool),
    Fails { call: &'static str, class: Class, late: bool },
    EndsByItself,
    TimePasses { minutes: u64 },
    EngineWorks { ms: u64 },
    ServerCrashes,
}

fn happening() -> impl Strategy<Value = Happening> {
    let class = prop::sample::select(vec![Class::Retry, Class::Reject, Class::Gone, Class::Bug]);
    let desired = prop::sample::select(Desired::ALL.to_vec());
    prop_oneof![
        4 => desired.prop_map(Happening::Asked),
        1 => Just(Happening::AskedForSnapshot),
        1 => Just(Happening::AskedForBackup),
        1 => any::<bool>().prop_map(|skip_start| Happening::AskedToRecover { skip_start }),
        1 => (1..4_u32).prop_map(Happening::AskedForLimits),
        1 => any::<bool>().prop_map(Happening::AskedToShut),
        4 => (prop::sample::select(CALLS.to_vec()), class, any::<bool>())
            .prop_map(|(call, class, late)| Happening::Fails { call, class: honest(call, class), late }),
        1 => Just(Happening::EndsByItself),
        1 => (1..20_000_u64).prop_map(|minutes| Happening::TimePasses { minutes }),
        4 => (0..8_u64).prop_map(|ms| Happening::EngineWorks { ms }),
        2 => Just(Happening::ServerCrashes),
    ]
}

/// A host that says of what is there that it is gone would lie: after a removal nobody looks again.
fn honest(call: &str, class: Class) -> Class {
    let is_removal = matches!(call, "destroy" | "release");
    if is_removal && class == Class::Gone { Class::Retry } else { class }
}

/// A host and a database that outlive servers.
struct World {
    runner: Arc<FakeRunner>,
    clock: Arc<TestClock>,
    directory: TempDir,
}

/// A server that works, on a runtime of its own, so that it can be killed between any two of its words.
struct Server {
    store: Store,
    engine: Engine,
    snapshots: u128,
}

impl World {
    async fn server(&self) -> Server {
        let store = Store::open(&self.directory.path().join("daytona.db")).await.unwrap();
        let loops = Duration::from_millis(4);
        let settings = Settings {
            scan_period: loops,
            liveness_period: loops,
            timer_period: loops,
            first_pause: Duration::from_millis(1),
            give_up_after: Duration::from_millis(40),
            deadlines: Deadlines { starting: SOON, creating: SOON, ..Deadlines::default() },
            ..Settings::default()
        };
        let (runner, clock) = (Arc::<FakeRunner>::clone(&self.runner), Arc::<TestClock>::clone(&self.clock));
        let engine = Engine::start(store.clone(), runner, clock, &settings).await;
        Server { store, engine, snapshots: 0 }
    }

    /// Writes the first row, and brings the host to where it says.
    async fn begin(&self, desired: Desired, observed: Observed, auto_delete: i32) {
        let store = Store::open(&self.directory.path().join("daytona.db")).await.unwrap();
        let now = self.clock.now();
        let owner = sample::user("ada", now);
        store.user_insert(&owner).await.unwrap();
        store.organization_insert(&sample::organization(TENANT, &owner)).await.unwrap();
        let mut row = Sandbox { desired, observed, ..sample::sandbox(ID, TENANT, now) };
        row.intervals.auto_delete = auto_delete;
        let ran = !matches!(observed, Observed::Absent | Observed::Unknown);
        row.daemon_version = ran.then(|| FakeRunner::DAEMON_VERSION.to_owned());
        let host = match observed {
            Observed::Started | Observed::Paused | Observed::Absent => observed,
            Observed::Unknown => Observed::Absent,
            _ => Observed::Stopped,
        };
        self.runner.put(ID, host, Network::default());
        if observed == Observed::Archived {
            self.runner.put_backup(ID);
            self.runner.release(ID).await.unwrap();
            row.backup = Backup { state: BackupState::Completed, at: Some(now), ..Backup::default() };
        }
        store.sandbox_insert(&row).await.unwrap();
        store.close().await;
    }
}

impl Server {
    async fn row(&self) -> Option<Sandbox> {
        self.store.sandbox_get(ID).await.unwrap()
    }

    /// Writes as a request does: on the row as it is, again if somebody else was faster. What is to go is not asked back.
    async fn ask(&self, change: impl Fn(Sandbox) -> Option<Sandbox>) {
        while let Some(row) = self.row().await.filter(|row| row.desired != Desired::Destroyed) {
            let Some(wanted) = change(row) else {
                return;
            };
            if let Some(written) = self.store.sandbox_update_desired(wanted).await.unwrap() {
                self.engine.wake_with(written);
                return;
            }
        }
    }

    async fn snapshot(&mut self, world: &World) {
        self.snapshots += 1;
        let id = SnapshotId::from_u128(
            self.snapshots + u128::from(world.clock.now().as_millisecond().unsigned_abs()),
        );
        let Some(row) = self.row().await else {
            return;
        };
        let snapshot = SavedSnapshot {
            state: SnapshotState::Snapshotting,
            source_sandbox_id: Some(ID),
            resources: row.resources,
            ..SavedSnapshot::new(id, Some(TENANT), id.to_string(), row.created_at)
        };
        if copyable(&row) && self.store.snapshot_get(id).await.unwrap().is_none() {
            self.store.snapshot_insert(&snapshot).await.unwrap();
            let wanted = Sandbox { capture: Some(id), ..row };
            match self.store.sandbox_update_desired(wanted).await.unwrap() {
                Some(written) => self.engine.wake_with(written),
                None => self.store.snapshot_delete(id).await.unwrap(),
            }
        }
    }

    async fn happen(&mut self, world: &World, happening: &Happening) {
        match happening {
            Happening::Asked(desired) => {
                self.ask(|row| Some(Sandbox { desired: *desired, ..row })).await;
            }
            Happening::AskedForSnapshot => self.snapshot(world).await,
            Happening::AskedForBackup => {
                let pending = |row: Sandbox| Sandbox {
                    backup: Backup { state: BackupState::Pending, ..row.backup.clone() },
                    ..row
                };
                self.ask(|row| copyable(&row).then(|| pending(row))).await;
            }
            Happening::AskedToRecover { skip_start } => {
                let desired = if *skip_start { Desired::Stopped } else { Desired::Started };
                let may = |row: &Sandbox| {
                    row.recoverable && matches!(row.observed, Observed::Error | Observed::Ended)
                };
                self.ask(|row| may(&row).then_some(Sandbox { desired, recovering: true, ..row })).await;
            }
            Happening::AskedForLimits(cpu) => {
                self.ask(|row| Some(Sandbox { resources: Resources { cpu: *cpu, ..row.resources }, ..row }))
                    .await;
            }
            Happening::AskedToShut(block_all) => {
                let network = Network { block_all: *block_all, ..Network::default() };
                self.ask(|row| Some(Sandbox { network: network.clone(), ..row })).await;
            }
            Happening::Fails { call, class, late: false } => world.runner.fail(call, &[*class]),
            Happening::Fails { call, class, late: true } => world.runner.fail_late(call, &[*class]),
            Happening::EndsByItself => {
                world.runner.end(ID, "its first process was killed by signal 9");
                self.engine.look(ID).await.unwrap();
            }
            Happening::TimePasses { minutes } => world.clock.advance(Duration::from_mins(*minutes)),
            Happening::EngineWorks { ms } => tokio::time::sleep(Duration::from_millis(*ms)).await,
            Happening::ServerCrashes => {}
        }
    }

    /// Waits until nothing changes any more, and the host is what the row says.
    async fn comes_to_rest(&self, world: &World) {
        let rest = async {
            loop {
                let Some(row) = self.row().await else {
                    return;
                };
                assert_eq!(plan(&row).is_none(), row.at_rest(), "{row:?}");
                let host = match (row.observed, world.runner.observed(ID)) {
                    // What was brought back and is not needed any more may be there too: a crash came between, and the
                    // next restore brings the same.
                    (Observed::Archived, Observed::Absent | Observed::Stopped)
                    | (Observed::Stopped | Observed::Ended, Observed::Stopped)
                    | (Observed::Error, _) => true,
                    (row, host) => row == host,
                };
                if row.at_rest() && host {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        let rests = tokio::time::timeout(SOON, rest).await.is_ok();
        assert!(rests, "never at rest: {:?}, host {:?}", self.row().await, world.runner.observed(ID));
    }
}

/// Tells whether the files of a sandbox may be copied now, as the API does.
fn copyable(row: &Sandbox) -> bool {
    let has_files = matches!(row.observed, Observed::Started | Observed::Stopped | Observed::Paused);
    row.at_rest() && has_files && row.desired != Desired::Destroyed
}

/// Lets a sandbox live.
fn live(desired: Desired, observed: Observed, auto_delete: i32, happenings: &[Happening]) {
    let directory = tempfile::tempdir().unwrap();
    let world = World { runner: Arc::default(), clock: Arc::default(), directory };
    runtime().block_on(world.begin(desired, observed, auto_delete));
    for call in CALLS {
        world.runner.delay(call, Duration::from_micros(300));
    }
    let lives: Vec<_> =
        happenings.split_inclusive(|happening| matches!(happening, Happening::ServerCrashes)).collect();
    for life in lives {
        // The runtime is dropped without a word to the engine, in the middle of whatever it does.
        runtime().block_on(async {
            let mut server = world.server().await;
            for happening in life {
                server.happen(&world, happening).await;
            }
        });
    }
    world.runner.heal();
    runtime().block_on(async {
        let server = world.server().await;
        server.comes_to_rest(&world).await;
        assert_eq!(world.runner.losses(), Vec::<String>::new());
        let snapshots = server.store.snapshot_list(TENANT).await.unwrap();
        let open = snapshots.iter().find(|snapshot| snapshot.state == SnapshotState::Snapshotting);
        assert_eq!(open, None, "{:?}", server.row().await);
        server.ask(|row| Some(Sandbox { desired: Desired::Destroyed, ..row })).await;
        let gone = async {
            while server.row().await.is_some() {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        assert!(tokio::time::timeout(SOON, gone).await.is_ok(), "{:?}", server.row().await);
        assert!(world.runner.is_empty() && !world.runner.has_backup(ID));
        assert!(server.store.sandbox_was_destroyed(ID).await.unwrap());
    });
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

#[test]
fn whatever_happens_it_comes_to_rest_and_loses_nothing() {
    let pairs =
        Desired::ALL.into_iter().flat_map(|desired| Observed::ALL.map(|observed| (desired, observed)));
    // What is gone is read by nobody.
    for (desired, observed) in pairs.filter(|(_, observed)| *observed != Observed::Destroyed) {
        let config =
            Config { cases: CASES, failure_persistence: None, max_shrink_iters: 12, ..Config::default() };
        let lives = (prop::collection::vec(happening(), 0..14), prop::sample::select(vec![-1, 0, 30]));
        let mut runner = TestRunner::new(config);
        let result = runner.run(&lives, |(happenings, auto_delete)| {
            live(desired, observed, auto_delete, &happenings);
            Ok(())
        });
        assert!(result.is_ok(), "{desired:?} {observed:?}: {}", result.unwrap_err());
    }
}
