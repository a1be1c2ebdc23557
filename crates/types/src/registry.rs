//! Registries that an organisation pulls its images from.

use std::fmt;

use crate::clock::Timestamp;
use crate::id::{OrganizationId, RegistryId};

/// The most that one organisation may have, as in the contract.
pub const MOST: u32 = 100;

/// What everybody calls the registry that references without a host are about.
pub const DOCKER_HUB: &str = "docker.io";

/// A registry, without its password.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Registry {
    /// Its id.
    pub id: RegistryId,
    /// The tenant it belongs to.
    pub organization_id: OrganizationId,
    /// Its display name.
    pub name: String,
    /// Where it is; see [`normalised`].
    pub url: String,
    /// Who asks it for images.
    pub username: String,
    /// The part of it that is used; empty for all.
    pub project: String,
    /// When it was made.
    pub created_at: Timestamp,
    /// When anything of it last changed.
    pub updated_at: Timestamp,
}

/// What is shown to a registry to be let in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Login {
    /// The registry's host, with its port if it has one.
    pub host: String,
    /// Who asks.
    pub username: String,
    /// What proves it.
    pub password: Password,
}

/// A password, which nothing prints.
#[derive(Clone, PartialEq, Eq)]
pub struct Password(String);

impl Password {
    /// Wraps a text.
    pub const fn new(text: String) -> Self {
        Self(text)
    }

    /// Returns the text, for whoever sends it.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Password(…)")
    }
}

/// Writes a registry's URL in one way: without a final slash, and every name of Docker's own registry as `docker.io`.
pub fn normalised(url: &str) -> String {
    let url = url.trim().trim_end_matches('/');
    if is_docker_hub(&host(url)) { DOCKER_HUB.to_owned() } else { url.to_owned() }
}

/// Returns the host of a registry's URL, in lower case, with its port if it has one.
pub fn host(url: &str) -> String {
    let behind = url.split_once("://").map_or(url, |(_, rest)| rest);
    let end = behind.find(['/', '?', '#']).unwrap_or(behind.len());
    behind.get(..end).unwrap_or_default().to_ascii_lowercase()
}

/// Returns the host that an image's reference names; that of Docker's own registry where it names none.
pub fn host_of_reference(reference: &str) -> String {
    match reference.split_once('/') {
        Some((first, _)) if first.contains(['.', ':']) || first == "localhost" => {
            let host = first.to_ascii_lowercase();
            if is_docker_hub(&host) { DOCKER_HUB.to_owned() } else { host }
        }
        _ => DOCKER_HUB.to_owned(),
    }
}

fn is_docker_hub(host: &str) -> bool {
    ["docker.io", "index.docker.io", "registry-1.docker.io", "registry.hub.docker.com", "hub.docker.com"]
        .contains(&host)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_written_in_one_way() {
        for (url, expected, expected_host) in [
            ("https://index.docker.io/v1/", "docker.io", "docker.io"),
            ("docker.io", "docker.io", "docker.io"),
            ("https://registry-1.docker.io", "docker.io", "docker.io"),
            ("HTTPS://Docker.IO/", "docker.io", "docker.io"),
            ("https://ghcr.io/", "https://ghcr.io", "ghcr.io"),
            (
                " registry.example.com:5000/team/ ",
                "registry.example.com:5000/team",
                "registry.example.com:5000",
            ),
        ] {
            assert_eq!(normalised(url), expected, "{url}");
            assert_eq!(host(&normalised(url)), expected_host, "{url}");
        }
    }

    #[test]
    fn a_reference_names_a_host_or_means_the_one_that_everybody_means() {
        for (reference, expected) in [
            ("debian:12", "docker.io"),
            ("library/debian:12", "docker.io"),
            ("index.docker.io/library/debian:12", "docker.io"),
            ("localhost/own:1", "localhost"),
            ("localhost:5000/own:1", "localhost:5000"),
            ("Ghcr.io/team/own:1", "ghcr.io"),
            ("team/own:1", "docker.io"),
        ] {
            assert_eq!(host_of_reference(reference), expected, "{reference}");
        }
    }

    #[test]
    fn a_password_is_not_printed() {
        let login = Login {
            host: "a".to_owned(),
            username: "b".to_owned(),
            password: Password::new("hush".to_owned()),
        };
        assert!(!format!("{login:?}").contains("hush"));
    }
}
