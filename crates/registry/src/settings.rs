//! How registries are reached: what the operator says, per host.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

/// A name and a password, or a token in its place, for one registry.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    /// Who.
    pub username: String,
    /// The secret.
    pub password: String,
}

impl fmt::Debug for Credentials {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Credentials({}, …)", self.username)
    }
}

/// All of it.
#[derive(Debug, Clone)]
pub struct Settings {
    /// By registry, as [`crate::Reference::registry`] names it. A registry that is not here is reached over HTTPS
    /// with the certificates that this host trusts.
    pub hosts: BTreeMap<String, Host>,
    /// How long a registry may say nothing, and how long it may take for the first 64 KiB of an answer and each further.
    pub silence: Duration,
    /// How long to wait before a second try; the third waits four times as long, and so on.
    pub retry_pause: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            hosts: BTreeMap::new(),
            silence: Duration::from_mins(1),
            retry_pause: Duration::from_millis(250),
        }
    }
}

/// What is special about one registry.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Host {
    /// Asked before it, in this order, when something is fetched. A user's credentials are never sent to a mirror.
    pub mirrors: Vec<Mirror>,
    /// It is spoken to without TLS, and so is its token service.
    pub plain_http: bool,
    /// Certificates, in PEM, that are trusted besides those of this host.
    pub ca_pem: Option<Vec<u8>>,
}

/// A registry that has copies of another's images.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mirror {
    /// `https://host[:port][/prefix]` or the same with `http`; the prefix comes before each repository.
    pub url: String,
    /// Certificates, in PEM, that are trusted besides those of this host.
    pub ca_pem: Option<Vec<u8>>,
    /// The operator's own. Whatever they may see, everybody may who can pull on this server.
    pub credentials: Option<Credentials>,
}
