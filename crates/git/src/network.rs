//! What the sandbox's environment says about reaching the network: proxies and certificates.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use ureq::tls::{Certificate, PemItem, RootCerts, TlsConfig, parse_pem};

use crate::error::GitError;
use crate::location::Url;

/// The variables that matter to a job; whoever starts it passes these, when they are set.
pub const VARIABLES: [&str; 11] = [
    "HOME",
    "http_proxy",
    "HTTP_PROXY",
    "https_proxy",
    "HTTPS_PROXY",
    "all_proxy",
    "ALL_PROXY",
    "no_proxy",
    "NO_PROXY",
    "SSL_CERT_FILE",
    "GIT_SSL_CAINFO",
];

/// Where images keep the certificates that they trust.
const BUNDLES: [&str; 5] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
    "/etc/ssl/cert.pem",
];
/// More than all authorities of the world need.
const MOST_BYTES: u64 = 16 << 20;

/// The way to the network.
#[derive(Debug, Clone, Default)]
pub struct Network {
    variables: BTreeMap<String, String>,
}

impl Network {
    /// Keeps what matters of a set of variables.
    pub fn new(variables: &BTreeMap<String, String>) -> Self {
        let matters = |name: &String| VARIABLES.contains(&name.as_str());
        let kept = variables.iter().filter(|(name, value)| matters(name) && !value.is_empty());
        Self { variables: kept.map(|(name, value)| (name.clone(), value.clone())).collect() }
    }

    /// Returns the home directory, `/` where none is known.
    pub fn home(&self) -> PathBuf {
        PathBuf::from(self.variable(&["HOME"]).unwrap_or("/"))
    }

    fn variable(&self, names: &[&str]) -> Option<&str> {
        names.iter().find_map(|name| self.variables.get(*name)).map(String::as_str)
    }

    /// Returns the proxy that leads to `url`, if one is set and the host is no exception.
    pub fn proxy(&self, url: &Url) -> Result<Option<ureq::Proxy>, GitError> {
        let names: &[&str] = if url.is_encrypted {
            &["https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"]
        } else {
            &["http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"]
        };
        let Some(proxy) = self.variable(names) else { return Ok(None) };
        if self.variable(&["no_proxy", "NO_PROXY"]).is_some_and(|list| is_exception(list, &url.host)) {
            return Ok(None);
        }
        ureq::Proxy::new(proxy).map(Some).map_err(|_| GitError::Invalid {
            // Not the value: it may hold a password.
            reason: "the proxy in the sandbox's environment is not a URL that can be used; \
                     set it as http://host:port"
                .to_owned(),
        })
    }

    /// Returns whom to trust: what the environment names, else what the image has, else the list built in.
    pub fn tls(&self, is_unverified: bool) -> Result<TlsConfig, GitError> {
        let roots = match self.variable(&["GIT_SSL_CAINFO", "SSL_CERT_FILE"]) {
            Some(path) => read(Path::new(path))?,
            None => match BUNDLES.iter().map(Path::new).find(|path| path.is_file()) {
                Some(path) => read(path)?,
                None => RootCerts::WebPki,
            },
        };
        let provider = std::sync::Arc::new(rustls::crypto::ring::default_provider());
        Ok(TlsConfig::builder()
            .root_certs(roots)
            .disable_verification(is_unverified)
            .unversioned_rustls_crypto_provider(provider)
            .build())
    }
}

fn read(path: &Path) -> Result<RootCerts, GitError> {
    let failed = |source| GitError::File {
        action: "read the certificates to trust from",
        path: path.to_string_lossy().into_owned(),
        source,
    };
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(failed)?;
    if !file.metadata().map_err(failed)?.is_file() {
        return Err(failed(std::io::ErrorKind::InvalidInput.into()));
    }
    file.take(MOST_BYTES).read_to_end(&mut bytes).map_err(failed)?;
    let certificates: Vec<Certificate<'static>> = parse_pem(&bytes)
        .filter_map(|item| match item {
            Ok(PemItem::Certificate(certificate)) => Some(certificate),
            _ => None,
        })
        .collect();
    Ok(RootCerts::from(certificates))
}

/// Whether a list such as `localhost,.internal,10.0.0.1` names the host: itself, or a domain that it is in.
fn is_exception(list: &str, host: &str) -> bool {
    list.split(',').map(|entry| entry.trim().to_ascii_lowercase()).filter(|entry| !entry.is_empty()).any(
        |entry| {
            let entry = entry.trim_start_matches('*').trim_start_matches('.');
            entry.is_empty()
                || host == entry
                || host.strip_suffix(entry).is_some_and(|rest| rest.ends_with('.'))
        },
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::location::Location;

    #[test]
    fn proxies_are_chosen_by_scheme_and_exception() {
        let variables: BTreeMap<_, _> = [
            ("http_proxy", "http://plain:1"),
            ("HTTPS_PROXY", "http://secure:2"),
            ("no_proxy", "localhost, .internal,*.example"),
            ("OTHER", "x"),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .into();
        let network = Network::new(&variables);
        for (url, expected) in [
            ("http://h/", Some("plain")),
            ("https://h/", Some("secure")),
            ("https://localhost/", None),
            ("https://a.internal/", None),
            ("https://internal/", None),
            ("https://a.example:1/", None),
            ("https://notinternal/", Some("secure")),
        ] {
            let Ok((Location::Http(parsed), _)) = Location::parse(url) else { panic!("{url}") };
            let proxy = network.proxy(&parsed).expect(url);
            assert_eq!(proxy.as_ref().map(|proxy| proxy.host().to_owned()).as_deref(), expected, "{url}");
        }
    }
}
