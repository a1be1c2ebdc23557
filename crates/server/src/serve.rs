//! Starts everything in order and stops it in reverse.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use api::callers::Callers;
use api::state::{ApiState, Parts};
use api::telemetry::Telemetry;
use axum::Router;
use engine::Engine;
use engine::port::Runner;
use fs_err as fs;
use runner::host::Host;
use runner::net;
use service::config::Config;
use service::field::Chain;
use service::{Settings, Tasks, env};
use store::Store;
use store::db::Opened;
use tokio::net::TcpListener;
use tokio::sync::mpsc::UnboundedReceiver;
use tokio_rustls::TlsAcceptor;
use tracing::{error, info, warn};
use types::resource::Resources;
use types::{Clock, Random, SandboxId, SystemClock, SystemRandom};

use crate::bootstrap::{AdminKey, bootstrap};
use crate::claim::Claim;
use crate::directory::Rows;
use crate::embedded;
use crate::error::ServerError;
use crate::events::{self, Listened};
use crate::gate::Gate;
use crate::local::LocalRunner;
use crate::login;
use crate::objects;
use crate::tls::Tls;
use crate::uploads::Uploads;
use crate::wake::Waker;
use crate::{adopt, general, image};

/// How long requests and steps under way may take after the signal to end.
const SHUTDOWN_GRACE: Duration = Duration::from_secs(10);
/// Where servers of one host agree who uses which network.
const LOCKS: &str = "/run/daytona";
/// How often the log is told of trouble with the firewall's rules.
const TROUBLE_PERIOD: Duration = Duration::from_secs(5);
/// Size of a volume. Its disk is sparse: what nobody wrote takes no room on the host.
const VOLUME_BYTES: u64 = 100 << 30;
/// How many disks and first processes are kept ready for sandboxes of the usual size.
const READY: usize = 8;
/// Processes and threads of one sandbox.
const PROCESSES: u32 = 4096;
/// How long a daemon may take to answer; far more than it needs on a busy host.
const BOOT_TIMEOUT_MS: u32 = 30_000;
/// How long processes have between the request to end and the kill.
const STOP_GRACE_MS: u32 = 5_000;
/// Asked for names where this host's own resolvers cannot be reached from a sandbox.
const PUBLIC_RESOLVERS: [std::net::Ipv4Addr; 2] =
    [std::net::Ipv4Addr::new(1, 1, 1, 1), std::net::Ipv4Addr::new(8, 8, 8, 8)];

/// A server that answers.
#[derive(Debug)]
pub struct Server {
    tasks: Tasks,
    engine: Engine,
    store: Store,
    host: Arc<Host>,
    /// What happened to the admin's key.
    pub admin_key: AdminKey,
    /// Where users reach it.
    pub url: String,
    /// Held as long as the host is.
    claim: Claim,
}

impl Server {
    /// Starts every role and listens; `listener` is a port that the caller holds already. `spawner` is the command that
    /// runs [`runner::spawner::serve`] on its standard input.
    pub async fn start(
        config: &Config,
        listener: Option<std::net::TcpListener>,
        spawner: Vec<String>,
    ) -> Result<Self, ServerError> {
        let settings = &config.settings;
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let random: Arc<dyn Random> = Arc::new(SystemRandom);
        let data_directory = prepare(&settings.data_dir)?;
        let said = config.values.is_said(&env::SANDBOX_NETWORK);
        let claim = Claim::take(&data_directory, &settings.sandbox, said, Path::new(LOCKS))?;
        let dead: Vec<String> = claim.dead.iter().map(|instance| group_parent(instance)).collect();
        let removed =
            runner::ruins::remove_groups(&dead).and_then(|()| runner::ruins::remove_rules(&claim.dead));
        if let Err(error) = removed {
            warn!("cannot clean up after other servers: {}", Chain(&error));
        }
        let store = open_store(&data_directory.join("daytona.db")).await?;
        let given = settings.api.admin_api_key.as_ref().map(service::secret::Secret::expose);
        let orders = runner::roll::read(&data_directory);
        let lost = adopt::organization(&orders);
        let (admin_key, organization) =
            bootstrap(&store, &data_directory, given, lost, &*clock, &*random).await?;
        let storage = objects::open(settings, &data_directory).await?;
        let uploads = Uploads::open(settings, &data_directory, clock.clone(), random.clone()).await?;
        let url = &settings.api.public_url;
        let tls = Tls::prepare(settings.tls.as_ref(), &data_directory, url, clock.clone())?;
        let logs = image::logs(&data_directory)?;
        let host =
            open_host(settings, &claim, data_directory, spawner, clock.clone(), random.clone()).await?;
        adopt::adopt(&store, &host, orders, organization, &*clock, &*random).await?;

        general::register(&store, &host, &*clock).await?;
        general::sweep(&store, &logs).await?;
        let images = image::open(settings, &host, logs, uploads.contexts())?;

        let tasks = Tasks::new();
        tasks.spawn_until_shutdown("room for images", general::keep_room(store.clone(), host.clone()));
        tasks.spawn_until_shutdown("look at the object storage", objects::tell_trouble(storage.clone()));
        let (ended, news) = tokio::sync::mpsc::unbounded_channel();
        let local = Arc::new(LocalRunner::new(host.clone(), storage, tasks.clone(), images, ended));
        let runner: Arc<dyn Runner> = local.clone();
        let engine =
            Engine::start(store.clone(), runner.clone(), clock.clone(), &image::engine_settings(settings))
                .await;
        watch_running(&store, &local).await?;
        tasks.spawn_until_shutdown("ended sandboxes", look_at_ended(engine.clone(), news));
        tasks.spawn_until_shutdown("firewall's rules", tell_network_trouble(host.clone()));

        let people = login::people(&settings.api.oidc, &store, &clock, &random, &tasks)?;
        let callers = Arc::new(Callers::new(store.clone(), clock.clone(), people));
        let rows = Rows {
            gate: Gate { store: store.clone(), callers: callers.clone() },
            waker: Waker {
                store: store.clone(),
                engine: engine.clone(),
                clock: clock.clone(),
                quota: settings.api.quota,
            },
            host: host.clone(),
            clock: clock.clone(),
            tasks: tasks.clone(),
            touched: std::sync::Mutex::default(),
        };
        let telemetry = Arc::new(Telemetry::new(settings.telemetry_period));
        let sampling = telemetry.clone().run(store.clone(), runner.clone(), clock.clone());
        tasks.spawn_until_shutdown("samples of what sandboxes use", sampling);
        engine.keep_warm(random.clone(), settings.api.quota);
        tasks.spawn_until_shutdown("unfinished uploads", uploads.clone().sweep());
        let bucket = uploads.router();
        let shown = api::Settings { uploads: Some(Arc::new(uploads)), ..api_settings(settings) };
        let state = ApiState::new(Parts {
            store: store.clone(),
            engine: engine.clone(),
            runner,
            clock: clock.clone(),
            random: random.clone(),
            settings: shown.clone(),
            callers: callers.clone(),
            telemetry,
        });
        let source = Listened { store: store.clone(), callers, settings: shown };
        let events = events::serve(&settings.events, source, random, &tasks);
        let toolbox = proxy::router(proxy::ProxyState::new(Arc::new(rows), clock, tasks.clone()));
        let api = api::router(state).merge(events).merge(bucket);
        listen(settings, listener, &api, &toolbox, tls.acceptor()?, &tasks).await?;
        tasks.spawn_until_shutdown("certificates", tls.renew());
        let url = settings.api.public_url.clone();
        Ok(Self { tasks, engine, store, host, admin_key, url, claim })
    }

    /// Serves until a signal asks to end, then lets what is under way finish. Sandboxes go on.
    pub async fn run(self, mut signals: service::shutdown::Signals) {
        signals.cancel(self.tasks.shutdown()).await;
        let late = self.tasks.finish(SHUTDOWN_GRACE).await;
        if !late.is_empty() {
            warn!("ended without waiting for: {}", late.join(", "));
        }
        if !self.engine.shutdown(SHUTDOWN_GRACE).await {
            warn!("some sandboxes were changing; the next start looks at them again");
        }
        let host = self.host;
        match tokio::task::spawn_blocking(move || host.close()).await {
            Ok(Err(error)) => warn!("cannot clean up this host: {}", Chain(&error)),
            Ok(Ok(false)) => info!("sandboxes go on without the server"),
            _ => {}
        }
        self.store.close().await;
        info!("stopped");
        // Everything is closed. What is left goes on a thread that nobody waits for, the claim last: whoever takes it
        // next must not meet us.
        let rest = (self.engine, self.tasks, self.store, self.claim);
        let _ = std::thread::Builder::new().name("last".to_owned()).spawn(move || drop(rest));
    }
}

/// Opens the database. A damaged one is replaced by what can be saved of it: refusing to start would keep everybody from
/// sandboxes that are unharmed. The damaged file stays.
async fn open_store(path: &Path) -> Result<Store, ServerError> {
    let failed = |source| ServerError::Store { action: "open the tables", source };
    let Opened { store, repair } = Store::open_or_repair(path).await.map_err(failed)?;
    if let Some(repair) = repair {
        let saved = repair
            .saved
            .iter()
            .map(|(table, rows, whole)| format!("{table} {rows}{}", if *whole { "" } else { " (not all)" }));
        error!(
            "the database {} was damaged ({}). Rows saved: {}. The damaged file is kept as {}. Sandboxes of this host \
             are taken in from its own records; keys that were lost must be made anew",
            path.display(),
            repair.damage,
            saved.collect::<Vec<_>>().join(", "),
            repair.aside.display()
        );
    }
    Ok(store)
}

/// Names the control groups of a server.
fn group_parent(instance: &str) -> String {
    format!("daytona-{instance}")
}

/// Makes the data directory, readable by root alone, and returns its one true path.
fn prepare(directory: &Path) -> Result<PathBuf, ServerError> {
    let private = std::os::unix::fs::PermissionsExt::from_mode(0o700);
    fs::create_dir_all(directory)
        .and_then(|()| fs::set_permissions(directory, private))
        .and_then(|()| fs::canonicalize(directory))
        .map_err(|source| ServerError::File { action: "make directory", path: directory.to_owned(), source })
}

async fn open_host(
    settings: &Settings,
    claim: &Claim,
    data_directory: PathBuf,
    spawner: Vec<String>,
    clock: Arc<dyn Clock>,
    random: Arc<dyn Random>,
) -> Result<Arc<Host>, ServerError> {
    let daemon = embedded::daemon()?;
    let known = fs::read_to_string("/etc/resolv.conf").unwrap_or_default();
    let mut resolvers = net::resolver::name_servers(&known);
    if resolvers.is_empty() {
        resolvers.extend(PUBLIC_RESOLVERS);
    }
    let usual = Resources::default();
    let host_settings = runner::settings::Settings {
        data_directory,
        instance: group_parent(&claim.instance),
        spawner,
        id_base: claim.id_base,
        id_ranges: settings.sandbox.id_range_count,
        resolvers: resolvers.iter().map(|address| format!("nameserver {address}")).collect(),
        network: net::Settings {
            instance: claim.instance.clone(),
            pool: claim.network,
            allowed: settings.sandbox.network_allow.clone(),
            resolvers,
            upstreams: net::resolver::upstreams(&known),
            ..net::Settings::default()
        },
        ready_disks: READY,
        ready_disk_bytes: u64::from(usual.disk_gib) << 30,
        volume_bytes: VOLUME_BYTES,
        ready_cells: READY,
        ready_cpu_thousandths: usual.cpu * 1000,
        ready_memory_bytes: u64::from(usual.memory_gib) << 30,
        processes: PROCESSES,
        boot_timeout_ms: BOOT_TIMEOUT_MS,
        grace_ms: STOP_GRACE_MS,
    };
    let opened = tokio::task::spawn_blocking(move || Host::open(host_settings, daemon, clock, random)).await;
    let opened = opened.unwrap_or_else(|_| {
        Err(runner::error::RunnerError::Worker { action: "preparation", id: "none".to_owned() })
    });
    let host = opened.map_err(|source| ServerError::Runner { source })?;
    let report = host.network_report();
    if report.forwarding_enabled {
        info!("turned on IPv4 forwarding, without which sandboxes reach nothing");
    }
    for warning in report.warnings.iter().chain(host.warnings()) {
        warn!("{warning}");
    }
    Ok(Arc::new(host))
}

/// Tells the log when the firewall's rules cannot be kept in force, and when they are again.
async fn tell_network_trouble(host: Arc<Host>) {
    let mut known = None;
    loop {
        tokio::time::sleep(TROUBLE_PERIOD).await;
        let trouble = host.network_trouble();
        if trouble != known {
            if let Some(trouble) = &trouble {
                error!("sandboxes are not held by the firewall's rules: {trouble}");
            } else {
                info!("the firewall's rules are in force again");
            }
            known = trouble;
        }
    }
}

/// Watches what ran already when the server started.
async fn watch_running(store: &Store, local: &LocalRunner) -> Result<(), ServerError> {
    let failed = |source| ServerError::Store { action: "list sandboxes", source };
    let running = store.sandbox_list_claimed().await;
    for sandbox in running.map_err(failed)? {
        local.watch(sandbox.id);
    }
    Ok(())
}

/// Has the engine look at every sandbox that is said to have ended.
async fn look_at_ended(engine: Engine, mut news: UnboundedReceiver<SandboxId>) {
    while let Some(id) = news.recv().await {
        if let Err(error) = engine.look(id).await {
            warn!(sandbox.id = %id, "cannot look at a sandbox that ended: {}", Chain(&error));
        }
    }
}

async fn listen(
    settings: &Settings,
    listener: Option<std::net::TcpListener>,
    api: &Router,
    toolbox: &Router,
    acceptor: TlsAcceptor,
    tasks: &Tasks,
) -> Result<(), ServerError> {
    let address = settings.listen.api;
    let listener = match listener {
        Some(listener) => adopt(listener).map_err(|source| ServerError::Listen { address, source })?,
        None => bind(address).await?,
    };
    let everything = api.clone().merge(toolbox.clone());
    let secured = Some(acceptor.clone());
    tasks.spawn("listener", proxy::listen::listen_secured(listener, everything, tasks.clone(), secured));
    if let Some(address) = settings.listen.proxy {
        let listener = bind(address).await?;
        let (toolbox, secured) = (toolbox.clone(), Some(acceptor));
        let listening = proxy::listen::listen_secured(listener, toolbox, tasks.clone(), secured);
        tasks.spawn("proxy listener", listening);
    }
    Ok(())
}

fn adopt(listener: std::net::TcpListener) -> std::io::Result<TcpListener> {
    listener.set_nonblocking(true)?;
    TcpListener::from_std(listener)
}

async fn bind(address: SocketAddr) -> Result<TcpListener, ServerError> {
    TcpListener::bind(address).await.map_err(|source| ServerError::Listen { address, source })
}

fn api_settings(settings: &Settings) -> api::Settings {
    let told = &settings.api;
    let most = host_resources();
    api::Settings {
        environment: told.environment.clone(),
        default_snapshot: told.default_snapshot.clone(),
        region: api::settings::Region { id: told.region_id.clone(), name: told.region_name.clone() },
        toolbox_proxy_url: told.toolbox_url.clone(),
        proxy_template_url: told.proxy_template_url.clone(),
        dashboard_url: told.dashboard_url.clone(),
        oidc: api::settings::Oidc {
            issuer: told.oidc.public_issuer.clone().or_else(|| told.oidc.issuer.clone()).unwrap_or_default(),
            client_id: told.oidc.client_id.clone().unwrap_or_default(),
            audience: told.oidc.audience.clone().unwrap_or_default(),
        },
        most_per_sandbox: Resources {
            cpu: told.limits.cpu.unwrap_or(most.cpu),
            gpu: 0,
            memory_gib: told.limits.memory_gib.unwrap_or(most.memory_gib),
            disk_gib: told.limits.disk_gib.unwrap_or(most.disk_gib),
        },
        quota: told.quota,
        snapshot_quota: settings.image.snapshots,
        push_registry: image::push_registry(&settings.image),
        longest_auto_archive_minutes: told.max_auto_archive_interval_minutes,
        ..api::Settings::at(&told.public_url)
    }
}

/// Returns what the host has: nobody is told that a sandbox can have more. Disks are sparse, so theirs is the bound
/// that the formatter has.
fn host_resources() -> Resources {
    let cpu = std::thread::available_parallelism()
        .map_or(1, |count| u32::try_from(count.get()).unwrap_or(u32::MAX));
    let memory = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let kibibytes = memory
        .lines()
        .find_map(|line| line.strip_prefix("MemTotal:")?.trim().split(' ').next()?.parse().ok());
    let memory_gib = kibibytes.map_or(1, |kibibytes: u64| kibibytes.div_ceil(1 << 20));
    Resources { cpu, gpu: 0, memory_gib: u32::try_from(memory_gib).unwrap_or(u32::MAX), disk_gib: 1024 }
}
