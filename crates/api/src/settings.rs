//! What the deployment says; resolved once by the server and handed in.

use std::sync::Arc;
use std::time::Duration;

use types::quota::Quota;
use types::registry::Password;
use types::resource::Resources;
use types::sandbox::Intervals;

use crate::object_storage::Uploads;

/// What the interface shows and allows.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Our version, in every response and in `GET /config`.
    pub version: String,
    /// The deployment's name.
    pub environment: String,
    /// The snapshot of a sandbox that names none.
    pub default_snapshot: String,
    /// The region that sandboxes run in.
    pub region: Region,
    /// Where every toolbox is reached, without a final slash.
    pub toolbox_proxy_url: String,
    /// How preview URLs look, with `{{PORT}}` and `{{sandboxId}}`.
    pub proxy_template_url: String,
    /// Where this interface is, without a final slash.
    pub api_url: String,
    /// Where the dashboard is.
    pub dashboard_url: String,
    /// Where people log in.
    pub oidc: Oidc,
    /// The most that one sandbox may use.
    pub most_per_sandbox: Resources,
    /// The most that the sandboxes of one organisation may use together.
    pub quota: Quota,
    /// How many snapshots in use one organisation may have.
    pub snapshot_quota: Option<u32>,
    /// Where clients may put what a build needs.
    pub uploads: Option<Arc<dyn Uploads>>,
    /// Where clients may push images.
    pub push_registry: Option<PushRegistry>,
    /// The most volumes of one organisation; without a bound when missing.
    pub volume_quota: Option<u32>,
    /// The longest wait before a stopped sandbox is archived, in minutes.
    pub longest_auto_archive_minutes: u32,
    /// The longest request body.
    pub body_limit_bytes: usize,
    /// How long create, start and stop wait for the sandbox before they answer with the state it is in.
    pub patience: Duration,
}

/// Where sandboxes run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Region {
    /// Its id, the `target` of a sandbox.
    pub id: String,
    /// Its name, accepted in place of the id.
    pub name: String,
}

/// A registry that clients may push images to. Everybody who may make snapshots is told its password.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PushRegistry {
    /// Where it is.
    pub url: String,
    /// Who pushes.
    pub username: String,
    /// What proves it.
    pub password: Password,
    /// The part of it that is pushed to.
    pub project: String,
}

/// A login provider; empty texts when only API keys are accepted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Oidc {
    /// The issuer's URL.
    pub issuer: String,
    /// Our id at the provider.
    pub client_id: String,
    /// The audience of access tokens.
    pub audience: String,
}

impl Settings {
    /// Returns what holds for a server reached at `public_url` when nothing else is said.
    pub fn at(public_url: &str) -> Self {
        let public_url = public_url.trim_end_matches('/');
        let (scheme, host) = public_url.split_once("://").unwrap_or(("http", public_url));
        Self {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            environment: "production".to_owned(),
            default_snapshot: "default".to_owned(),
            region: Region { id: "us".to_owned(), name: "us".to_owned() },
            toolbox_proxy_url: format!("{public_url}/toolbox"),
            proxy_template_url: format!("{scheme}://{{{{PORT}}}}-{{{{sandboxId}}}}.{host}"),
            api_url: format!("{public_url}/api"),
            dashboard_url: format!("{public_url}/dashboard"),
            oidc: Oidc::default(),
            most_per_sandbox: Resources { cpu: 4, gpu: 0, memory_gib: 8, disk_gib: 10 },
            quota: Quota::default(),
            volume_quota: None,
            snapshot_quota: None,
            uploads: None,
            push_registry: None,
            longest_auto_archive_minutes: Intervals::LONGEST_AUTO_ARCHIVE,
            body_limit_bytes: 1 << 20,
            patience: Duration::from_secs(2),
        }
    }
}
