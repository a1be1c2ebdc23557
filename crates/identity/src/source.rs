//! Where the keys of a login provider come from: two documents, fetched with care.

use std::time::Duration;

use reqwest::{Client, redirect};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::error::IdentityError;
use crate::key::{KeySet, Published};
use crate::settings::Settings;

/// Where every provider describes itself.
const DESCRIPTION: &str = "/.well-known/openid-configuration";
/// How long a connection may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// How long one document may take.
const TIMEOUT: Duration = Duration::from_secs(10);
/// The longest document that is read; the longest there are hold the groups and certificates of large companies.
const LONGEST_BYTES: usize = 512 << 10;

/// Asks one provider.
#[derive(Debug)]
pub(crate) struct Source {
    client: Client,
    settings: Settings,
}

#[derive(Debug, Deserialize)]
struct Description {
    issuer: String,
    jwks_uri: String,
}

impl Source {
    /// Prepares to ask; nothing is sent yet.
    pub(crate) fn new(settings: Settings) -> Result<Self, IdentityError> {
        // Fails when there is one already, which is as good.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let builder = Client::builder()
            // A provider that moved is told to us by its operator, not by whoever answers in its place.
            .redirect(redirect::Policy::none())
            .connect_timeout(CONNECT_TIMEOUT)
            .timeout(TIMEOUT)
            .user_agent(concat!("daytona/", env!("CARGO_PKG_VERSION")));
        // What speaks plain HTTP is beside us: no certificate is needed and no proxy is on the way.
        let builder = if settings.is_plain() {
            builder.tls_certs_only([]).no_proxy()
        } else {
            builder.https_only(true)
        };
        let prepared = builder.build();
        let client =
            prepared.map_err(|source| IdentityError::Prepare { issuer: settings.issuer.clone(), source })?;
        Ok(Self { client, settings })
    }

    /// Fetches the keys that are published now.
    pub(crate) async fn fetch(&self) -> Result<KeySet, IdentityError> {
        let url = format!("{}{DESCRIPTION}", self.settings.issuer);
        let description: Description = self.read(&url).await?;
        if !self.settings.is_issuer(&description.issuer) {
            return Err(IdentityError::OtherIssuer { url, said: description.issuer });
        }
        let Some(address) = self.reachable(&description.jwks_uri) else {
            return Err(IdentityError::KeyAddress { url, address: description.jwks_uri });
        };
        let published: Published = self.read(&address).await?;
        Ok(KeySet::of(published))
    }

    /// Returns the address of the keys as it is reached from here: a provider that browsers reach elsewhere may tell us
    /// what it tells them. Keys do not come over a worse line than their description.
    fn reachable(&self, address: &str) -> Option<String> {
        let public = self.settings.public_issuer.as_deref();
        let rest =
            public.and_then(|public| address.strip_prefix(public)).filter(|rest| rest.starts_with('/'));
        let address =
            rest.map_or_else(|| address.to_owned(), |rest| format!("{}{rest}", self.settings.issuer));
        let is_good =
            address.starts_with("https://") || (self.settings.is_plain() && address.starts_with("http://"));
        is_good.then_some(address)
    }

    async fn read<T: DeserializeOwned>(&self, url: &str) -> Result<T, IdentityError> {
        let failed = |source| IdentityError::Fetch { url: url.to_owned(), source };
        let mut response = self.client.get(url).send().await.map_err(failed)?;
        let status = response.status().as_u16();
        if status != 200 {
            return Err(IdentityError::Status { url: url.to_owned(), status });
        }
        let mut bytes = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(failed)? {
            if bytes.len() + chunk.len() > LONGEST_BYTES {
                return Err(IdentityError::TooLong { url: url.to_owned(), limit_bytes: LONGEST_BYTES });
            }
            bytes.extend_from_slice(&chunk);
        }
        serde_json::from_slice(&bytes).map_err(|source| IdentityError::Read { url: url.to_owned(), source })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reachable(issuer: &str, public: Option<&str>, address: &str) -> Option<String> {
        let settings = Settings {
            issuer: issuer.to_owned(),
            public_issuer: public.map(str::to_owned),
            audience: "daytona".to_owned(),
        };
        Source { client: Client::builder().tls_certs_only([]).build().unwrap(), settings }.reachable(address)
    }

    #[test]
    fn keys_come_over_no_worse_line_and_from_where_we_reach_them() {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let (inner, outer) = ("http://dex:5556/dex", Some("https://login.test/dex"));
        for (issuer, public, address, expected) in [
            ("https://a.test", None, "https://b.test/keys", Some("https://b.test/keys")),
            ("https://a.test", None, "http://a.test/keys", None),
            ("https://a.test", None, "file:///etc/passwd", None),
            (inner, None, "http://dex:5556/dex/keys", Some("http://dex:5556/dex/keys")),
            (inner, outer, "https://login.test/dex/keys", Some("http://dex:5556/dex/keys")),
            (inner, outer, "https://login.test/dextra", Some("https://login.test/dextra")),
            (inner, outer, "gopher://dex", None),
        ] {
            assert_eq!(reachable(issuer, public, address).as_deref(), expected, "{issuer} {address}");
        }
    }
}
