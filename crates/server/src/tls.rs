//! TLS for clients that insist on it: with a certificate that the operator gives, or one that this server makes, signed
//! by an authority of its own that hosts can be told to trust.

use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use fs_err as fs;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};
use rustls::crypto::ring::{default_provider, sign};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use service::settings::TlsSettings;
use service::tls::{AUTHORITY, AUTHORITY_KEY};
use sha2::{Digest as _, Sha256};
use tokio_rustls::TlsAcceptor;
use tracing::warn;
use types::clock::Timestamp;
use types::{Clock, hex};

use crate::error::ServerError;

/// How long the authority is good for.
const AUTHORITY_DAYS: i64 = 7300;
/// How long a certificate is good for; clients take none that is good for much more than a year.
const CERTIFICATE_DAYS: i64 = 390;
/// How often a new one is made, or the operator's is read again.
const RENEWAL: Duration = Duration::from_hours(12);
/// Clocks of clients may be late.
const GRACE_DAYS: i64 = 2;
/// One day.
const DAY_SECONDS: i64 = 86_400;

/// Where certificates come from.
#[derive(Debug)]
enum Source {
    /// Files of the operator.
    Given(TlsSettings),
    /// Our own authority, for these names.
    Own { key: String, names: Vec<String> },
}

/// What TLS is spoken with.
#[derive(Debug)]
pub(crate) struct Tls {
    source: Source,
    current: Arc<Current>,
    clock: Arc<dyn Clock>,
}

/// The certificate of new connections.
#[derive(Debug)]
struct Current(RwLock<Arc<CertifiedKey>>);

impl ResolvesServerCert for Current {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.0.read().unwrap_or_else(PoisonError::into_inner).clone())
    }
}

impl Tls {
    /// Prepares a certificate for a server that users reach at `public_url`.
    pub(crate) fn prepare(
        given: Option<&TlsSettings>,
        data_directory: &Path,
        public_url: &str,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, ServerError> {
        let source = match given {
            Some(given) => Source::Given(given.clone()),
            None => Source::Own { key: authority(data_directory, clock.now())?, names: names(public_url) },
        };
        let current = Arc::new(Current(RwLock::new(Arc::new(source.certificate(clock.now())?))));
        Ok(Self { source, current, clock })
    }

    /// Returns what agrees with clients.
    pub(crate) fn acceptor(&self) -> Result<TlsAcceptor, ServerError> {
        let builder = rustls::ServerConfig::builder_with_provider(Arc::new(default_provider()));
        let builder = builder.with_safe_default_protocol_versions().map_err(refused)?;
        let mut config = builder.with_no_client_auth().with_cert_resolver(self.current.clone());
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(TlsAcceptor::from(Arc::new(config)))
    }

    /// Makes or reads a new certificate in time, again and again. Connections that are there keep theirs.
    pub(crate) async fn renew(self) {
        loop {
            tokio::time::sleep(RENEWAL).await;
            match self.source.certificate(self.clock.now()) {
                Ok(new) => {
                    *self.current.0.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(new);
                }
                Err(error) => warn!("TLS keeps its certificate: {}", service::field::Chain(&error)),
            }
        }
    }
}

impl Source {
    fn certificate(&self, now: Timestamp) -> Result<CertifiedKey, ServerError> {
        match self {
            Self::Given(given) => read(given),
            Self::Own { key, names } => issue(key, names, now),
        }
    }
}

fn refused(source: rustls::Error) -> ServerError {
    ServerError::Tls { source }
}

fn unmade(source: rcgen::Error) -> ServerError {
    ServerError::Certificate { source }
}

/// Reads what the operator gives.
fn read(given: &TlsSettings) -> Result<CertifiedKey, ServerError> {
    let text = |path: &Path| {
        let read = fs::read(path);
        read.map_err(|source| ServerError::File { action: "read", path: path.to_owned(), source })
    };
    let parsed: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&text(&given.certificate)?)
        .map(|one| one.map(CertificateDer::into_owned))
        .collect();
    let chain = parsed.unwrap_or_default();
    let key = PrivateKeyDer::from_pem_slice(&text(&given.key)?).ok();
    let (Some(key), false) = (key, chain.is_empty()) else {
        return Err(ServerError::NoCertificate { path: given.certificate.clone() });
    };
    CertifiedKey::from_der(chain, key, &default_provider()).map_err(refused)
}

/// Returns the authority's key, in PEM; the first start makes it, and the certificate that others trust.
fn authority(data_directory: &Path, now: Timestamp) -> Result<String, ServerError> {
    let (certificate, key) = (data_directory.join(AUTHORITY), data_directory.join(AUTHORITY_KEY));
    if let (Ok(_), Ok(key)) = (fs::read(&certificate), fs::read_to_string(&key)) {
        return Ok(key);
    }
    let made = KeyPair::generate().map_err(unmade)?;
    let text = made.serialize_pem();
    let signed = authority_params(&made, now).self_signed(&made).map_err(unmade)?;
    for (path, text, mode) in [(&key, &text, 0o600), (&certificate, &signed.pem(), 0o644)] {
        write(path, text, mode).map_err(|source| ServerError::File {
            action: "write",
            path: path.clone(),
            source,
        })?;
    }
    Ok(text)
}

/// Writes a file so that it is there whole or not at all.
fn write(path: &Path, text: &str, mode: u32) -> std::io::Result<()> {
    let beside = path.with_extension("new");
    let mut options = std::fs::OpenOptions::new();
    let mut file = options.write(true).create(true).truncate(true).mode(mode).open(&beside)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    fs::rename(&beside, path)
}

/// Says what the authority is: the same for the same key, so that what it signs can be told from that of others.
fn authority_params(key: &KeyPair, now: Timestamp) -> CertificateParams {
    let mut params = CertificateParams::default();
    let digest = hex::encode(&Sha256::digest(key.public_key_raw()));
    let name = format!("Daytona server {}", digest.get(..12).unwrap_or_default());
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    date(&mut params, now, AUTHORITY_DAYS);
    params
}

/// Says from when to when a certificate is good.
fn date(params: &mut CertificateParams, now: Timestamp, days: i64) {
    let day = |days: i64| {
        let second = now.as_second().saturating_add(days.saturating_mul(DAY_SECONDS));
        let date = Timestamp::from_second(second).unwrap_or(now).to_zoned(jiff::tz::TimeZone::UTC).date();
        rcgen::date_time_ymd(date.year().into(), date.month().unsigned_abs(), date.day().unsigned_abs())
    };
    params.not_before = day(-GRACE_DAYS);
    params.not_after = day(days);
}

/// Signs a certificate for `names` with a key that nobody else ever sees.
fn issue(authority: &str, names: &[String], now: Timestamp) -> Result<CertifiedKey, ServerError> {
    let authority = KeyPair::from_pem(authority).map_err(unmade)?;
    let issuer = Issuer::new(authority_params(&authority, now), authority);
    let key = KeyPair::generate().map_err(unmade)?;
    let mut params = CertificateParams::new(names).map_err(unmade)?;
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, "Daytona server");
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params.use_authority_key_identifier_extension = true;
    date(&mut params, now, CERTIFICATE_DAYS);
    let signed = params.signed_by(&key, &issuer).map_err(unmade)?;
    let secret = PrivateKeyDer::try_from(key.serialize_der());
    let secret =
        secret.map_err(|_| ServerError::Certificate { source: rcgen::Error::CouldNotParseKeyPair })?;
    let key = sign::any_supported_type(&secret).map_err(refused)?;
    Ok(CertifiedKey::new(vec![signed.der().clone()], key))
}

/// Returns the names under which clients reach this server.
fn names(public_url: &str) -> Vec<String> {
    let mut names = vec!["localhost".to_owned(), "127.0.0.1".to_owned(), "::1".to_owned()];
    let host = host(public_url);
    if !host.is_empty() && !names.contains(&host) {
        // Previews of sandboxes are one level below.
        if host.parse::<std::net::IpAddr>().is_err() {
            names.push(format!("*.{host}"));
        }
        names.push(host);
    }
    names
}

/// Returns the host of an address, without its port.
fn host(url: &str) -> String {
    let authority = url.split_once("://").map_or(url, |(_, rest)| rest);
    let authority = authority.split('/').next().unwrap_or_default();
    if let Some((address, _)) = authority.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        return address.to_owned();
    }
    authority.split_once(':').map_or(authority, |(host, _)| host).to_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_the_public_address_and_of_this_machine() {
        assert_eq!(names("http://localhost:3000"), ["localhost", "127.0.0.1", "::1"]);
        let named = names("https://Box.example.com:8443/x");
        assert_eq!(named[3..], ["*.box.example.com", "box.example.com"]);
        assert_eq!(names("http://10.0.0.7:3000")[3..], ["10.0.0.7"]);
        assert_eq!(names("http://[fe80::1]:3000")[3..], ["fe80::1"]);
    }

    #[test]
    fn the_authority_stays_and_its_key_is_for_root_alone() {
        use std::os::unix::fs::PermissionsExt as _;
        let home = tempfile::tempdir().unwrap();
        let now = Timestamp::from_second(1_800_000_000).unwrap();
        let made = authority(home.path(), now).unwrap();
        assert_eq!(authority(home.path(), now).unwrap(), made);
        let secret = fs::metadata(home.path().join(AUTHORITY_KEY)).unwrap();
        assert_eq!(secret.permissions().mode() & 0o777, 0o600);
        let certificate = fs::read_to_string(home.path().join(AUTHORITY)).unwrap();
        assert!(certificate.starts_with("-----BEGIN CERTIFICATE-----"), "{certificate}");
        issue(&made, &names("http://localhost"), now).unwrap();
    }

    #[test]
    fn what_is_no_certificate_is_refused() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("x.pem");
        fs::write(&path, "nothing").unwrap();
        let given = TlsSettings { certificate: path.clone(), key: path };
        assert!(matches!(read(&given), Err(ServerError::NoCertificate { .. })));
    }
}
