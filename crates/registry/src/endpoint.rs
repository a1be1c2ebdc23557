//! Where a registry is, and how it is spoken to: its address, its certificates, its client.

use reqwest::Url;

use crate::error::RegistryError;
use crate::reference::{self, DOCKER_HUB};
use crate::settings::{Credentials, Host, Mirror, Settings};

/// Where Docker Hub's registry really is.
const DOCKER_HUB_ADDRESS: &str = "registry-1.docker.io";

/// One registry, or a mirror of one.
#[derive(Debug, Clone)]
pub(crate) struct Endpoint {
    /// For messages, and for the origin of what came from it.
    pub(crate) host: String,
    /// `scheme://host:port/`.
    base: Url,
    /// Comes before repositories; empty, or ends with a slash.
    prefix: String,
    /// The operator's own credentials, for a mirror.
    pub(crate) credentials: Option<Credentials>,
    pub(crate) client: reqwest::Client,
    pub(crate) is_mirror: bool,
}

impl Endpoint {
    /// Makes the endpoint of a registry that has settings of its own, or of one that has none, with `client`.
    pub(crate) fn of(
        host: &str,
        settings: Option<&Host>,
        client: reqwest::Client,
    ) -> Result<Self, RegistryError> {
        let address = if host == DOCKER_HUB { DOCKER_HUB_ADDRESS } else { host };
        let scheme = if settings.is_some_and(|settings| settings.plain_http) { "http" } else { "https" };
        let base =
            Url::parse(&format!("{scheme}://{address}/")).map_err(|error| wrong(host, &error.to_string()))?;
        Ok(Self {
            host: host.to_owned(),
            base,
            prefix: String::new(),
            credentials: None,
            client,
            is_mirror: false,
        })
    }

    /// Makes the endpoint of a mirror.
    pub(crate) fn of_mirror(mirror: &Mirror) -> Result<Self, RegistryError> {
        let refused = |reason: &str| wrong(&mirror.url, reason);
        let mut base = Url::parse(&mirror.url).map_err(|error| refused(&error.to_string()))?;
        let has_more = base.query().is_some() || base.fragment().is_some();
        let has_user = !base.username().is_empty() || base.password().is_some();
        if !matches!(base.scheme(), "http" | "https") || has_more || has_user {
            return Err(refused("a mirror is http(s)://host[:port][/prefix] and nothing else"));
        }
        let prefix = base.path().trim_matches('/').to_owned();
        let prefix = if prefix.is_empty() { prefix } else { prefix + "/" };
        base.set_path("/");
        let host = base.host_str().unwrap_or_default();
        let host = base.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"));
        let client = client(&mirror.url, mirror.ca_pem.as_deref())?;
        Ok(Self { host, base, prefix, credentials: mirror.credentials.clone(), client, is_mirror: true })
    }

    /// Tells whether it is spoken to without TLS.
    pub(crate) fn is_plain(&self) -> bool {
        self.base.scheme() == "http"
    }

    /// Returns the address of a path below `/v2/`, or of what the registry says comes next.
    pub(crate) fn url(&self, path: &str) -> Result<Url, RegistryError> {
        self.base.join(path).map_err(|error| wrong(&self.host, &error.to_string()))
    }

    /// Tells whether an address is the registry itself: there, and only there, credentials go.
    pub(crate) fn is_itself(&self, url: &Url) -> bool {
        self.base.origin() == url.origin()
    }

    /// Tells whether the registry may send us there: nobody who reads along may be let in by the way.
    pub(crate) fn may_lead_to(&self, url: &Url) -> bool {
        (url.scheme() == "https" || (self.is_plain() && url.scheme() == "http")) && url.host_str().is_some()
    }

    /// Returns the repository as this registry calls it.
    pub(crate) fn repository(&self, repository: &str) -> String {
        format!("{}{repository}", self.prefix)
    }
}

/// Checks the settings and makes the endpoints of all that have some.
pub(crate) fn configured(settings: &Settings) -> Result<Vec<(String, Vec<Endpoint>)>, RegistryError> {
    let mut all = Vec::new();
    for (name, host) in &settings.hosts {
        let known = reference::host(name).map_err(|reason| wrong(name, reason))?;
        if known != *name {
            return Err(wrong(name, &format!("its name is {known}")));
        }
        let mut endpoints = host.mirrors.iter().map(Endpoint::of_mirror).collect::<Result<Vec<_>, _>>()?;
        endpoints.push(Endpoint::of(name, Some(host), client(name, host.ca_pem.as_deref())?)?);
        all.push((name.clone(), endpoints));
    }
    Ok(all)
}

/// Makes a client that trusts the certificates of this host and those in `ca_pem`.
pub(crate) fn client(host: &str, ca_pem: Option<&[u8]>) -> Result<reqwest::Client, RegistryError> {
    // Fails when there is one already, which is as good.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let certificates = match ca_pem {
        None => Vec::new(),
        Some(pem) => reqwest::Certificate::from_pem_bundle(pem)
            .ok()
            .filter(|found| !found.is_empty())
            .ok_or_else(|| wrong(host, "its certificates are no PEM"))?,
    };
    let builder = || {
        reqwest::Client::builder()
            .user_agent(concat!("daytona/", env!("CARGO_PKG_VERSION")))
            // Where a registry sends us is looked at, and gets no credentials.
            .redirect(reqwest::redirect::Policy::none())
            .referer(false)
            .connect_timeout(std::time::Duration::from_secs(10))
            .http1_only()
    };
    let built = builder().tls_certs_merge(certificates.clone()).build();
    match built {
        // A host without certificates can still speak to a registry that needs no others.
        Err(_) => builder().tls_certs_only(certificates).build(),
        built => built,
    }
    .map_err(|source| RegistryError::Prepare { source })
}

fn wrong(host: &str, reason: &str) -> RegistryError {
    RegistryError::Settings { host: host.to_owned(), reason: reason.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mirror(url: &str) -> Result<Endpoint, RegistryError> {
        Endpoint::of_mirror(&Mirror { url: url.to_owned(), ca_pem: None, credentials: None })
    }

    #[test]
    fn mirrors_have_a_host_and_a_prefix() {
        let plain = mirror("http://127.0.0.1:5000/hub/").unwrap();
        assert_eq!(
            (plain.host.as_str(), plain.repository("library/x").as_str()),
            ("127.0.0.1:5000", "hub/library/x")
        );
        assert_eq!(mirror("https://mirror.example").unwrap().repository("a"), "a");
        for wrong in
            ["mirror.example", "ftp://a", "https://u:p@a", "https://a/?x=1", "https://a/#x", "https://"]
        {
            assert!(mirror(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn credentials_stay_with_the_registry_and_with_tls() {
        let secure = Endpoint::of("registry.example", None, reqwest_client()).unwrap();
        let url = |text: &str| Url::parse(text).unwrap();
        for (to, is_itself, may_lead) in [
            ("https://registry.example/v2/", true, true),
            ("https://registry.example:443/v2/", true, true),
            ("https://registry.example:444/v2/", false, true),
            ("https://other.example/v2/", false, true),
            ("http://registry.example/v2/", false, false),
            ("file:///etc/passwd", false, false),
        ] {
            assert_eq!(
                (secure.is_itself(&url(to)), secure.may_lead_to(&url(to))),
                (is_itself, may_lead),
                "{to}"
            );
        }
        let host = Host { plain_http: true, ..Host::default() };
        let plain = Endpoint::of("127.0.0.1:5000", Some(&host), reqwest_client()).unwrap();
        assert!(plain.may_lead_to(&url("http://storage.example/x")));
        assert!(!plain.may_lead_to(&url("ftp://storage.example/x")));
    }

    fn reqwest_client() -> reqwest::Client {
        client("test", None).unwrap()
    }
}
