//! What is said of snapshots, and of the registries that their images come from.

use std::path::PathBuf;
use std::time::Duration;

use crate::config::limit;
use crate::env;
use crate::error::ServiceError;
use crate::setting::Setting;
use crate::settings::{ImageSettings, PushRegistrySettings, RegistrySettings};
use crate::values::{self, Values};

/// Reads all of it.
pub(super) fn image(values: &Values) -> Result<ImageSettings, ServiceError> {
    let minutes = values.require(&env::SNAPSHOT_DEACTIVATION_TIMEOUT, values::count)?;
    Ok(ImageSettings {
        snapshots: limit(values, &env::SNAPSHOT_QUOTA)?,
        largest_gib: limit(values, &env::MAX_SNAPSHOT_SIZE)?,
        unused_after: (minutes > 0).then(|| Duration::from_secs(u64::from(minutes) * 60)),
        registries: RegistrySettings {
            mirrors: values.require(&env::REGISTRY_MIRRORS, mirrors)?,
            insecure: values.require(&env::INSECURE_REGISTRIES, hosts)?,
            certificates: values.require(&env::REGISTRY_CERTIFICATES, certificates)?,
        },
        push: push(values)?,
    })
}

/// Reads the registry that clients push to, of which everything is said or nothing.
fn push(values: &Values) -> Result<Option<PushRegistrySettings>, ServiceError> {
    let parts = [
        &env::TRANSIENT_REGISTRY_URL,
        &env::TRANSIENT_REGISTRY_ADMIN,
        &env::TRANSIENT_REGISTRY_PASSWORD,
        &env::TRANSIENT_REGISTRY_PROJECT_ID,
    ];
    if !parts.into_iter().any(|part| values.is_said(part)) {
        return Ok(None);
    }
    let needed = |setting: &Setting| {
        values.refuse(setting, "said too, since other settings of this registry are".to_owned())
    };
    let url = values.read(&env::TRANSIENT_REGISTRY_URL, values::url)?;
    let username = values.read(&env::TRANSIENT_REGISTRY_ADMIN, values::line)?;
    let password = values.read(&env::TRANSIENT_REGISTRY_PASSWORD, values::key)?;
    Ok(Some(PushRegistrySettings {
        url: url.ok_or_else(|| needed(&env::TRANSIENT_REGISTRY_URL))?,
        username: username.ok_or_else(|| needed(&env::TRANSIENT_REGISTRY_ADMIN))?,
        password: password.ok_or_else(|| needed(&env::TRANSIENT_REGISTRY_PASSWORD))?,
        project: values.read(&env::TRANSIENT_REGISTRY_PROJECT_ID, values::line)?.unwrap_or_default(),
    }))
}

fn parts(text: &str) -> impl Iterator<Item = &str> {
    text.split(',').map(str::trim).filter(|part| !part.is_empty())
}

fn host(text: &str) -> Option<String> {
    let text = values::authority(text.trim())?;
    Some(text.to_ascii_lowercase())
}

fn hosts(text: &str) -> Option<Vec<String>> {
    parts(text).map(host).collect()
}

fn mirrors(text: &str) -> Option<Vec<(String, String)>> {
    let pair = |part: &str| {
        let (registry, url) = part.split_once('=')?;
        Some((host(registry)?, values::url(url.trim())?))
    };
    parts(text).map(pair).collect()
}

fn certificates(text: &str) -> Option<Vec<(String, PathBuf)>> {
    let pair = |part: &str| {
        let (registry, path) = part.split_once('=')?;
        Some((host(registry)?, values::path(path.trim())?))
    };
    parts(text).map(pair).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_read_whole_or_not_at_all() {
        assert_eq!(mirrors(""), Some(Vec::new()));
        let mirror = |host: &str, url: &str| (host.to_owned(), url.to_owned());
        assert_eq!(
            mirrors("Docker.io=https://m.example:5000/hub/, ghcr.io=http://10.0.0.1"),
            Some(vec![
                mirror("docker.io", "https://m.example:5000/hub"),
                mirror("ghcr.io", "http://10.0.0.1")
            ])
        );
        assert_eq!(
            hosts("localhost:5000,r.example"),
            Some(vec!["localhost:5000".into(), "r.example".into()])
        );
        assert_eq!(
            certificates("r.example:5000=/etc/ca.pem"),
            Some(vec![("r.example:5000".to_owned(), PathBuf::from("/etc/ca.pem"))])
        );
        for text in ["docker.io", "docker.io=m.example", "=https://m.example", "a b=https://m.example"] {
            assert_eq!(mirrors(text), None, "{text}");
        }
        assert_eq!(hosts("https://r.example"), None);
        assert_eq!(certificates("r.example=ca.pem"), None);
    }
}
