//! Images of tenants, brought to this host: pulled, or built.

use std::io::Read;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use api::settings::PushRegistry;
use engine::port::{Class, ImageOrder, RunnerError};
use registry::{Credentials, Reference};
use runner::build::error::BuildError;
use runner::build::{BuildOrder, Cancel, Log, SourceError, Sources};
use runner::error::{Class as HostClass, RunnerError as HostError, chain};
use runner::host::Host;
use runner::image::draft::NewImage;
use runner::image::pull::{PullOrder, Pulled};
use runner::image::remote::{Progress, Remote};
use s3::context::Contexts;
use service::Settings;
use service::settings::{ImageSettings, RegistrySettings};
use tokio_util::sync::CancellationToken;
use tracing::warn;
use types::OrganizationId;
use types::build::{IDLE, Made, Recipe};
use types::registry::{Login, Password, host_of_reference};
use types::sandbox::Network;

use crate::build_log::{BuildLog, BuildLogs};
use crate::discretion;
use crate::error::ServerError;

/// The largest image, in GiB, while nobody says another.
const LARGEST_GIB: u32 = 64;
/// What the steps of a build may use: more than most sandboxes, because somebody waits.
const STEP_CPU_THOUSANDTHS: u32 = 2_000;
const STEP_MEMORY_BYTES: u64 = 4 << 30;
const STEP_DISK_BYTES: u64 = 20 << 30;
/// Longer than the engine waits, which ends it then.
const TIMEOUT: Duration = Duration::from_hours(2);

/// Brings images here. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Images {
    pub(crate) host: Arc<Host>,
    pub(crate) remote: Remote,
    /// What clients uploaded to copy from.
    pub(crate) contexts: Contexts,
    pub(crate) logs: BuildLogs,
    /// How much the layers of an image that is pulled may hold.
    pub(crate) most_bytes: u64,
}

impl Images {
    /// Pulls or builds; blocks, until `stop` at the latest.
    pub(crate) fn prepare(&self, order: &ImageOrder, stop: &CancellationToken) -> Result<Made, RunnerError> {
        let log = self.logs.begin(order.id);
        let made = match &order.recipe {
            Recipe::Pull { reference } => self.pull(order, reference, &log, stop),
            Recipe::Dockerfile { text, contexts } => self.build(order, text, contexts, &log, stop),
        };
        if let Err(error) = &made {
            let cause = std::error::Error::source(error).map(|cause| format!(": {cause}"));
            log.line(&format!("error: {error}{}", cause.unwrap_or_default()));
        }
        made
    }

    fn pull(
        &self,
        order: &ImageOrder,
        reference: &str,
        log: &BuildLog,
        stop: &CancellationToken,
    ) -> Result<Made, RunnerError> {
        let pulled = self.fetch(reference, &order.logins, log, stop).map_err(|error| told(&error))?;
        let (mut config, digest) = (pulled.image.config(), pulled.digest.hex().to_owned());
        if let Some(words) = order.entrypoint.as_ref().filter(|words| **words != config.entrypoint) {
            // What only waits is nothing that has to run.
            config.entrypoint = if words.iter().eq(&IDLE) { Vec::new() } else { words.clone() };
            config.command.clear();
        }
        let entrypoint = config.entrypoint.clone();
        let Pulled { image, .. } = pulled;
        // Under a name of its tenant's own: by its digest it is nobody's.
        let name = Some(order.image.clone());
        let (layers, size_bytes) = (image.layers, image.size_bytes);
        let _held = self.host.images().hold(layers.iter().cloned());
        if stop.is_cancelled() {
            return Err(told(&HostError::Stopped { image: reference.to_owned() }));
        }
        let image = NewImage { name, layers, config, size_bytes };
        self.host.images().put_image(image).map_err(|error| told(&error))?;
        Ok(Made { digest, size_bytes, entrypoint })
    }

    /// Brings an image of a registry here, and says how far that is.
    fn fetch(
        &self,
        reference: &str,
        logins: &[Login],
        log: &BuildLog,
        stop: &CancellationToken,
    ) -> Result<Pulled, HostError> {
        let parsed: Reference = reference.parse().map_err(|source| HostError::Registry { source })?;
        let host = host_of_reference(reference);
        let login = logins.iter().find(|login| login.host == host);
        let credentials = login.map(|login| Credentials {
            username: login.username.clone(),
            password: login.password.expose().to_owned(),
        });
        log.line(&format!("pulling {reference}"));
        let (order, told) = (
            PullOrder { reference: parsed, credentials, most_bytes: self.most_bytes, stop: stop.clone() },
            AtomicUsize::new(0),
        );
        let progress = |now: Progress| {
            // A line for each layer: nobody reads one for each piece.
            if told.fetch_max(now.layers_done, Ordering::Relaxed) < now.layers_done {
                let Progress { done_bytes, total_bytes, layers_done, layers } = now;
                let (done, total) = (done_bytes >> 20, total_bytes >> 20);
                log.line(&format!("{layers_done} of {layers} layers, {done} of {total} MiB"));
            }
        };
        let pulled = self.host.images().pull(&self.remote, &order, &progress)?;
        log.line(&format!("pulled {} ({} MiB)", pulled.digest, pulled.image.size_bytes >> 20));
        Ok(pulled)
    }

    fn build(
        &self,
        order: &ImageOrder,
        text: &str,
        contexts: &[String],
        log: &BuildLog,
        stop: &CancellationToken,
    ) -> Result<Made, RunnerError> {
        let wanted = BuildOrder {
            organization_id: order.organization_id.to_string(),
            image: order.image.clone(),
            dockerfile: text.to_owned(),
            contexts: contexts.to_vec(),
            arguments: Vec::new(),
            target: None,
            cpu_thousandths: STEP_CPU_THOUSANDTHS,
            memory_bytes: STEP_MEMORY_BYTES,
            disk_bytes: STEP_DISK_BYTES,
            network: Network::default(),
            timeout: TIMEOUT,
        };
        let cancel = Cancel::default();
        let sources = Tenant { images: self, order, log, stop };
        let done = std::thread::scope(|scope| {
            let ended = CancellationToken::new();
            let guard = ended.clone().drop_guard();
            let (cancel, runtime) = (&cancel, tokio::runtime::Handle::current());
            scope.spawn(move || {
                runtime.block_on(async {
                    tokio::select! {
                        () = stop.cancelled() => cancel.cancel(),
                        () = ended.cancelled() => {}
                    }
                });
            });
            let made = self.host.build(&wanted, &sources, log, cancel);
            drop(guard);
            made
        });
        let made = done.map_err(|error| refused(&error))?;
        Ok(Made { digest: made.digest, size_bytes: made.size_bytes, entrypoint: made.entrypoint })
    }
}

impl Log for BuildLog {
    fn line(&self, line: &str) {
        Self::line(self, line);
    }
}

/// Where the build of one tenant gets its files from.
struct Tenant<'build> {
    images: &'build Images,
    order: &'build ImageOrder,
    log: &'build BuildLog,
    stop: &'build CancellationToken,
}

impl Sources for Tenant<'_> {
    fn base(&self, reference: &str, _log: &dyn Log) -> Result<String, SourceError> {
        let pulled = self.images.fetch(reference, &self.order.logins, self.log, self.stop);
        pulled.map(|pulled| pulled.image.name).map_err(|error| {
            warn!("cannot get a base image: {}", chain(&error));
            SourceError::from(told(&error))
        })
    }

    fn context(&self, hash: &str) -> Result<Box<dyn Read + Send>, SourceError> {
        let organization: OrganizationId = self.order.organization_id;
        match self.images.contexts.open(organization, hash)? {
            Some(context) => Ok(Box::new(context)),
            None => Err(format!(
                "nothing was uploaded as {hash}: upload it with the credentials of GET /object-storage/push-access"
            )
            .into()),
        }
    }
}

/// Makes of a host's failure one that a tenant may read.
fn told(error: &HostError) -> RunnerError {
    let class = match error.class() {
        HostClass::Retry => Class::Retry,
        HostClass::Reject => Class::Reject,
        HostClass::Gone => Class::Gone,
    };
    let whole = chain(error);
    // What a registry answers is about names that the tenant wrote.
    let is_told = matches!(error, HostError::Registry { .. });
    let action = if is_told { whole.clone() } else { discretion::without_paths(&whole) };
    if action != whole {
        warn!("cannot bring an image here, with paths: {whole}");
    }
    RunnerError { class, action, source: None }
}

fn refused(error: &BuildError) -> RunnerError {
    if let BuildError::Host(error) = error {
        return told(error);
    }
    let class = match error.class() {
        HostClass::Retry => Class::Retry,
        HostClass::Reject => Class::Reject,
        HostClass::Gone => Class::Gone,
    };
    // The rest is about what the tenant wrote, paths and all.
    let mut action = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        action.push_str(": ");
        action.push_str(&error.to_string());
        cause = error.source();
    }
    RunnerError { class, action, source: None }
}

/// Opens the words of builds.
pub(crate) fn logs(data_directory: &Path) -> Result<BuildLogs, ServerError> {
    let failed = |source| ServerError::File {
        action: "keep what builds say in",
        path: data_directory.to_owned(),
        source,
    };
    BuildLogs::open(data_directory).map_err(failed)
}

/// Prepares to pull and to build.
pub(crate) fn open(
    settings: &Settings,
    host: &Arc<Host>,
    logs: BuildLogs,
    contexts: Contexts,
) -> Result<Images, ServerError> {
    let registries = registries(&settings.image.registries)?;
    let remote = Remote::open(&registries, tokio::runtime::Handle::current());
    let remote = remote.map_err(|source| ServerError::Runner { source })?;
    let most_bytes = largest_bytes(&settings.image);
    Ok(Images { host: host.clone(), remote, contexts, logs, most_bytes })
}

fn largest_bytes(settings: &ImageSettings) -> u64 {
    u64::from(settings.largest_gib.unwrap_or(LARGEST_GIB)) << 30
}

/// Returns how the engine keeps images.
pub(crate) fn engine_settings(settings: &Settings) -> engine::Settings {
    engine::Settings {
        largest_image_bytes: Some(largest_bytes(&settings.image)),
        unused_after: settings.image.unused_after,
        ..engine::Settings::default()
    }
}

/// Returns where clients may push.
pub(crate) fn push_registry(settings: &ImageSettings) -> Option<PushRegistry> {
    let push = settings.push.as_ref()?;
    Some(PushRegistry {
        url: push.url.clone(),
        username: push.username.clone(),
        password: Password::new(push.password.expose().to_owned()),
        project: push.project.clone(),
    })
}

/// Returns how registries are reached.
fn registries(told: &RegistrySettings) -> Result<registry::Settings, ServerError> {
    let mut settings = registry::Settings::default();
    for (host, url) in &told.mirrors {
        let mirror = registry::settings::Mirror { url: url.clone(), ca_pem: None, credentials: None };
        settings.hosts.entry(host.clone()).or_default().mirrors.push(mirror);
    }
    for host in &told.insecure {
        settings.hosts.entry(host.clone()).or_default().plain_http = true;
    }
    for (host, path) in &told.certificates {
        let pem = fs_err::read(path);
        let pem = pem.map_err(|source| ServerError::File { action: "read", path: path.clone(), source })?;
        let known = settings.hosts.entry(host.clone()).or_default();
        known.ca_pem.get_or_insert_default().extend_from_slice(&pem);
        // A mirror is reached at its own name, and may have the certificate of its registry's operator.
    }
    for host in settings.hosts.values_mut() {
        let known = host.ca_pem.clone();
        for mirror in &mut host.mirrors {
            mirror.ca_pem.clone_from(&known);
        }
    }
    Ok(settings)
}
