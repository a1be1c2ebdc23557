//! Makes the store that settings describe.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use fs_err as fs;
use object_store::aws::AmazonS3Builder;
use object_store::local::LocalFileSystem;
use object_store::{ClientOptions, ObjectStore, RetryConfig};

use crate::error::{Answer, StorageError};
use crate::settings::S3;

/// How long the other side may take to accept a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// How long it may say nothing in the middle of an answer. The whole of one may take as long as it likes.
const SILENCE_TIMEOUT: Duration = Duration::from_mins(1);
/// A service that is restarted comes back within this; whoever waits is told after it.
const RETRY_TIMEOUT: Duration = Duration::from_secs(30);
const MOST_RETRIES: usize = 6;

/// Opens the directory `path`, making it when missing.
pub(crate) fn directory(path: &Path) -> Result<Arc<dyn ObjectStore>, StorageError> {
    let failed = |error: &(dyn std::error::Error + 'static)| StorageError::Open {
        place: path.display().to_string(),
        source: Answer::new(error, &[]),
    };
    let private = std::os::unix::fs::PermissionsExt::from_mode(0o700);
    fs::create_dir_all(path)
        .and_then(|()| fs::set_permissions(path, private))
        .and_then(|()| sweep(path))
        .map_err(|error| failed(&error))?;
    let store = LocalFileSystem::new_with_prefix(path).map_err(|error| failed(&error))?;
    // What is told to be there is there after a power cut, too: whoever is told removes the original.
    Ok(Arc::new(store.with_fsync(true).with_automatic_cleanup(true)))
}

/// Removes what a crash left half written: files that the library names after their object with `#` and a number.
fn sweep(directory: &Path) -> std::io::Result<()> {
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        let is_half = entry.file_name().to_string_lossy().rsplit_once('#').is_some_and(|(_, number)| {
            !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit())
        });
        // Links are not followed: nobody but us puts anything here.
        let kind = entry.file_type()?;
        if kind.is_dir() {
            sweep(&entry.path())?;
        } else if kind.is_file() && is_half {
            fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

/// Opens a bucket; nothing is sent yet.
pub fn bucket(settings: &S3) -> Result<Arc<dyn ObjectStore>, StorageError> {
    // Fails when there is one already, which is as good.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let is_plain = settings.endpoint.as_deref().is_some_and(|endpoint| endpoint.starts_with("http://"));
    let options = ClientOptions::new()
        .with_timeout_disabled()
        .with_connect_timeout(CONNECT_TIMEOUT)
        .with_read_timeout(SILENCE_TIMEOUT)
        .with_allow_http(is_plain)
        // A host without certificates can still speak to a service that needs none.
        .with_no_system_certificates(is_plain);
    let retry =
        RetryConfig { max_retries: MOST_RETRIES, retry_timeout: RETRY_TIMEOUT, ..RetryConfig::default() };
    let mut builder = AmazonS3Builder::new()
        .with_region(&settings.region)
        .with_bucket_name(&settings.bucket)
        .with_access_key_id(&settings.access_key)
        .with_secret_access_key(&settings.secret_key)
        .with_virtual_hosted_style_request(!settings.path_style)
        .with_allow_http(is_plain)
        .with_client_options(options)
        .with_retry(retry);
    if let Some(endpoint) = &settings.endpoint {
        builder = builder.with_endpoint(endpoint_of(endpoint, settings));
    }
    let store = builder.build().map_err(|error| StorageError::Open {
        place: place(settings),
        source: Answer::new(&error, &[settings.access_key.clone(), settings.secret_key.clone()]),
    })?;
    Ok(Arc::new(store))
}

/// The library takes the address of a bucket, where that stands in the host name.
fn endpoint_of(endpoint: &str, settings: &S3) -> String {
    match endpoint.split_once("://") {
        Some((scheme, rest)) if !settings.path_style => format!("{scheme}://{}.{rest}", settings.bucket),
        _ => endpoint.to_owned(),
    }
}

/// Names a bucket for people.
pub(crate) fn place(settings: &S3) -> String {
    let endpoint = settings.endpoint.clone().unwrap_or_else(|| format!("Amazon S3 in {}", settings.region));
    format!("{endpoint}, bucket {}", settings.bucket)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_written_files_go_and_objects_stay() {
        let home = tempfile::tempdir().unwrap();
        let below = home.path().join("sandboxes/a");
        std::fs::create_dir_all(&below).unwrap();
        for name in ["object", "object#1", "object#x", "other#12"] {
            std::fs::write(below.join(name), "x").unwrap();
        }
        directory(home.path()).unwrap();
        let mut names: Vec<_> =
            std::fs::read_dir(&below).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        names.sort();
        assert_eq!(names, ["object", "object#x"]);
    }
}
