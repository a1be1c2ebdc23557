//! Where objects are kept.

use std::fmt;
use std::path::PathBuf;

/// Where objects are kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Settings {
    /// In this directory, which is made when missing.
    Directory(PathBuf),
    /// In a bucket.
    S3(S3),
}

/// A bucket of any service that speaks S3.
#[derive(Clone, PartialEq, Eq)]
pub struct S3 {
    /// Its address, with `http://` or `https://`; that of Amazon's region when absent.
    pub endpoint: Option<String>,
    /// Its region.
    pub region: String,
    /// The bucket, which must exist.
    pub bucket: String,
    /// Who we are.
    pub access_key: String,
    /// What proves it.
    pub secret_key: String,
    /// Whether the bucket stands in the path of an address and not in its host name.
    pub path_style: bool,
}

impl fmt::Debug for S3 {
    /// Leaves the keys out.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("S3")
            .field("endpoint", &self.endpoint)
            .field("region", &self.region)
            .field("bucket", &self.bucket)
            .field("path_style", &self.path_style)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formatting_shows_no_key() {
        let shown = format!(
            "{:?}",
            Settings::S3(S3 {
                endpoint: None,
                region: "us-east-1".to_owned(),
                bucket: "files".to_owned(),
                access_key: "who-we-are".to_owned(),
                secret_key: "what-proves-it".to_owned(),
                path_style: true,
            })
        );
        assert!(shown.contains("files"));
        assert!(!shown.contains("who-we-are") && !shown.contains("what-proves-it"), "{shown}");
    }
}
