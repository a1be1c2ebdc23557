//! The settings as plain values, one section for each library.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use crate::secret::Secret;
use types::network::Ipv4Network;
use types::quota::Quota;

/// Everything that was resolved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// Where everything that must survive a restart is kept.
    pub data_dir: PathBuf,
    /// What the process listens on.
    pub listen: ListenSettings,
    /// The control plane's.
    pub api: ApiSettings,
    /// The host's.
    pub sandbox: SandboxSettings,
    /// Where archived sandboxes and backups are kept; `None` is a directory of the data directory.
    pub bucket: Option<BucketSettings>,
    /// Snapshots', and those of the registries that their images come from.
    pub image: ImageSettings,
    /// Bytes that one organisation may keep of what its clients upload.
    pub object_storage_quota_bytes: u64,
    /// With what TLS is spoken; `None` is a certificate that the server makes.
    pub tls: Option<TlsSettings>,
    /// The events'.
    pub events: EventSettings,
    /// How often it is measured what every running sandbox uses.
    pub telemetry_period: Duration,
    /// The log's.
    pub log: LogSettings,
}

/// What is said of snapshots and registries.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ImageSettings {
    /// How many snapshots in use one organisation may have.
    pub snapshots: Option<u32>,
    /// The largest image, in GiB.
    pub largest_gib: Option<u32>,
    /// After how long an unused snapshot is put out of use.
    pub unused_after: Option<Duration>,
    /// How registries are reached.
    pub registries: RegistrySettings,
    /// The registry that clients may push to.
    pub push: Option<PushRegistrySettings>,
}

/// How registries are reached; what is not said is reached over HTTPS with the certificates that the host trusts.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RegistrySettings {
    /// A registry's host, and what is asked before it; in order.
    pub mirrors: Vec<(String, String)>,
    /// Hosts that are spoken to without TLS.
    pub insecure: Vec<String>,
    /// A registry's host, and a file of certificates in PEM that are trusted for it too.
    pub certificates: Vec<(String, PathBuf)>,
}

/// A registry that clients may push to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PushRegistrySettings {
    /// Where it is.
    pub url: String,
    /// Who pushes.
    pub username: String,
    /// What proves it.
    pub password: Secret,
    /// The part of it that is pushed to.
    pub project: String,
}

/// A certificate and its key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsSettings {
    /// PEM file with the certificate, and those between it and its authority.
    pub certificate: PathBuf,
    /// PEM file with the key.
    pub key: PathBuf,
}

/// How clients are told of changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EventSettings {
    /// Whether they are not.
    pub disabled: bool,
    /// How often a client is asked whether it is there.
    pub ping_interval: Duration,
}

/// What the process listens on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListenSettings {
    /// API and proxy.
    pub api: SocketAddr,
    /// The proxy alone, when it has a port of its own.
    pub proxy: Option<SocketAddr>,
}

/// What the control plane tells and allows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiSettings {
    /// Where users reach the server, without a trailing slash.
    pub public_url: String,
    /// Where users reach the dashboard.
    pub dashboard_url: String,
    /// What stands before `/<sandbox id>/…`: ends in `/toolbox`, without a trailing slash.
    pub toolbox_url: String,
    /// Pattern of preview addresses, with `{{PORT}}` and `{{sandboxId}}` in it.
    pub proxy_template_url: String,
    /// Host of the proxy, with its port if any.
    pub proxy_domain: String,
    /// `http` or `https`.
    pub proxy_protocol: String,
    /// Key of the first admin, when the operator chose it.
    pub admin_api_key: Option<Secret>,
    /// Name of the snapshot used when a request names none.
    pub default_snapshot: String,
    /// Id of the one region.
    pub region_id: String,
    /// Its name for people.
    pub region_name: String,
    /// The longest auto-archive interval, in minutes.
    pub max_auto_archive_interval_minutes: u32,
    /// Name of this deployment.
    pub environment: String,
    /// The identity provider that clients are told of.
    pub oidc: OidcSettings,
    /// The most that one sandbox may ask for.
    pub limits: LimitSettings,
    /// The most that the sandboxes of one organisation may use together.
    pub quota: Quota,
}

/// The identity provider that clients are told of.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OidcSettings {
    /// Client id.
    pub client_id: Option<String>,
    /// Issuer.
    pub issuer: Option<String>,
    /// Issuer as browsers reach it.
    pub public_issuer: Option<String>,
    /// Audience of its tokens.
    pub audience: Option<String>,
}

/// The most that one sandbox may ask for; `None` is what the host has.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct LimitSettings {
    /// Virtual processors.
    pub cpu: Option<u32>,
    /// Memory in GiB.
    pub memory_gib: Option<u32>,
    /// Disk in GiB.
    pub disk_gib: Option<u32>,
}

/// What sandboxes share on their host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SandboxSettings {
    /// Where their addresses come from.
    pub network: Ipv4Network,
    /// Private networks they may reach all the same.
    pub network_allow: Vec<Ipv4Network>,
    /// First id on the host that their users are mapped to.
    pub id_range_start: u32,
    /// How many ranges of 65,536 ids follow.
    pub id_range_count: u32,
}

/// A bucket of an S3 service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BucketSettings {
    /// The service's address; Amazon's when absent.
    pub endpoint: Option<String>,
    /// The bucket's region.
    pub region: String,
    /// Its name.
    pub bucket: String,
    /// Who we are.
    pub access_key: Secret,
    /// What proves it.
    pub secret_key: Secret,
    /// Whether the bucket stands in the path of addresses.
    pub path_style: bool,
}

/// What is logged, and how.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LogSettings {
    /// The least important level; `None` logs nothing.
    pub level: Option<tracing::Level>,
    /// Whether lines are JSON objects.
    pub json: bool,
}
