//! What the content of an upload is checked against, and what is remembered of it.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use s3s::checksum::ChecksumHasher;
use s3s::crypto::{Checksum as _, Crc32, Crc32c, Crc64Nvme, Md5, Sha1, Sha256};
use s3s::dto::Checksum;
use types::hex;

use crate::error::S3Error;

/// The algorithms, as records and headers name them.
pub(crate) const ALGORITHMS: [&str; 5] = ["crc32", "crc32c", "crc64nvme", "sha1", "sha256"];

/// What the sender announced, in base64: `md5`, and checksums by their algorithm.
#[derive(Debug, Clone, Default)]
pub(crate) struct Claims {
    pub(crate) md5: Option<String>,
    pub(crate) checksums: BTreeMap<&'static str, String>,
}

/// Digests in the making.
pub(crate) struct Digests {
    md5: Md5,
    others: ChecksumHasher,
}

/// Digests of a whole content.
#[derive(Debug, Clone)]
pub(crate) struct Digested {
    pub(crate) md5: [u8; 16],
    pub(crate) checksums: BTreeMap<String, String>,
}

impl Digests {
    /// Makes those of the named algorithms, and MD5, which entity tags are made of.
    pub(crate) fn new<'name>(algorithms: impl IntoIterator<Item = &'name str>) -> Self {
        let mut others = ChecksumHasher::default();
        for algorithm in algorithms {
            match algorithm {
                "crc32" => others.crc32 = Some(Crc32::new()),
                "crc32c" => others.crc32c = Some(Crc32c::new()),
                "crc64nvme" => others.crc64nvme = Some(Crc64Nvme::new()),
                "sha1" => others.sha1 = Some(Sha1::new()),
                "sha256" => others.sha256 = Some(Sha256::new()),
                _ => {}
            }
        }
        Self { md5: Md5::new(), others }
    }

    pub(crate) fn update(&mut self, bytes: &[u8]) {
        self.md5.update(bytes);
        self.others.update(bytes);
    }

    pub(crate) fn finish(self) -> Digested {
        Digested { md5: self.md5.finalize(), checksums: by_name(self.others.finalize()) }
    }
}

impl Digested {
    /// Returns the entity tag of an object that came in one piece.
    pub(crate) fn etag(&self) -> String {
        hex::encode(&self.md5)
    }

    /// Compares with what was announced.
    pub(crate) fn check(&self, claims: &Claims) -> Result<(), S3Error> {
        if claims.md5.as_ref().is_some_and(|claimed| *claimed != STANDARD.encode(self.md5)) {
            return Err(S3Error::Digest { digest: "Content-MD5" });
        }
        for (algorithm, claimed) in &claims.checksums {
            if self.checksums.get(*algorithm) != Some(claimed) {
                return Err(S3Error::Digest { digest: "checksum" });
            }
        }
        Ok(())
    }
}

/// Puts checksums under the names of their algorithms.
pub(crate) fn by_name(checksum: Checksum) -> BTreeMap<String, String> {
    let all = [
        ("crc32", checksum.checksum_crc32),
        ("crc32c", checksum.checksum_crc32c),
        ("crc64nvme", checksum.checksum_crc64nvme),
        ("sha1", checksum.checksum_sha1),
        ("sha256", checksum.checksum_sha256),
    ];
    all.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_announced_is_compared() {
        let mut digests = Digests::new(["crc32", "sha256"]);
        digests.update(b"hel");
        digests.update(b"lo");
        let digested = digests.finish();
        assert_eq!(digested.etag(), "5d41402abc4b2a76b9719d911017c592");
        assert_eq!(digested.checksums.get("crc32").map(String::as_str), Some("NhCmhg=="));
        digested.check(&Claims::default()).unwrap();
        let right = Claims {
            md5: Some("XUFAKrxLKna5cZ2REBfFkg==".to_owned()),
            checksums: [("crc32", "NhCmhg==".to_owned())].into(),
        };
        digested.check(&right).unwrap();
        let wrong_md5 = Claims { md5: Some("x".to_owned()), ..right.clone() };
        let wrong_crc = Claims { checksums: [("crc32", "NhCmhh==".to_owned())].into(), ..right.clone() };
        let not_made = Claims { checksums: [("sha1", "x".to_owned())].into(), ..right };
        for wrong in [wrong_md5, wrong_crc, not_made] {
            assert!(matches!(digested.check(&wrong), Err(S3Error::Digest { .. })), "{wrong:?}");
        }
    }
}
