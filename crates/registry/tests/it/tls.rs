//! A certificate authority of the test's own.

use std::path::PathBuf;

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use tempfile::TempDir;

/// An authority, and a certificate that it gave to this machine.
pub(crate) struct Authority {
    home: TempDir,
    pub(crate) pem: Vec<u8>,
}

impl Authority {
    pub(crate) fn new() -> Self {
        let home = tempfile::tempdir().unwrap();
        let key = KeyPair::generate().unwrap();
        let mut of_authority = CertificateParams::new(Vec::new()).unwrap();
        of_authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let pem = of_authority.self_signed(&key).unwrap().pem();
        let issuer = Issuer::new(of_authority, key);
        let server_key = KeyPair::generate().unwrap();
        let names = vec!["localhost".to_owned(), "127.0.0.1".to_owned()];
        let certificate = CertificateParams::new(names).unwrap().signed_by(&server_key, &issuer).unwrap();
        std::fs::write(home.path().join("certificate.pem"), certificate.pem()).unwrap();
        std::fs::write(home.path().join("key.pem"), server_key.serialize_pem()).unwrap();
        Self { home, pem: pem.into_bytes() }
    }

    pub(crate) fn certificate(&self) -> PathBuf {
        self.home.path().join("certificate.pem")
    }

    pub(crate) fn key(&self) -> PathBuf {
        self.home.path().join("key.pem")
    }
}
