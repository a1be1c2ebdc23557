//! Names of images, as people write them.
//!
//! A name has up to four parts, `host[:port]/repository[:tag][@digest]`. Without a host it is Docker Hub's, without a tag
//! `latest`. Whoever writes it is not trusted: what is no host, repository or tag is refused, so that none can change the
//! path or the query of a request.

use std::fmt;
use std::str::FromStr;

use crate::digest::Digest;
use crate::error::RegistryError;

/// The registry of names that have no host.
pub const DOCKER_HUB: &str = "docker.io";
const DOCKER_HUB_ALIASES: [&str; 3] = ["index.docker.io", "registry-1.docker.io", "registry.hub.docker.com"];
/// Holds Docker Hub's own images.
const DOCKER_HUB_LIBRARY: &str = "library";
const DEFAULT_TAG: &str = "latest";
const MOST_NAME_BYTES: usize = 512;
const MOST_REPOSITORY_BYTES: usize = 255;
const MOST_HOST_BYTES: usize = 253;
const MOST_TAG_BYTES: usize = 128;

/// The name of an image in a registry.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Reference {
    registry: String,
    repository: String,
    tag: Option<String>,
    digest: Option<Digest>,
}

impl Reference {
    /// Returns the registry, `host` or `host:port`.
    pub fn registry(&self) -> &str {
        &self.registry
    }

    /// Returns the repository within the registry.
    pub fn repository(&self) -> &str {
        &self.repository
    }

    /// Returns the tag; none when only a digest was written.
    pub fn tag(&self) -> Option<&str> {
        self.tag.as_deref()
    }

    /// Returns the digest, when one was written: it alone decides then.
    pub fn digest(&self) -> Option<&Digest> {
        self.digest.as_ref()
    }

    /// Returns the same image by digest.
    #[must_use]
    pub fn with_digest(&self, digest: Digest) -> Self {
        Self { digest: Some(digest), ..self.clone() }
    }

    /// Returns what stands for this image in the path of a request.
    pub(crate) fn selector(&self) -> String {
        match (&self.digest, &self.tag) {
            (Some(digest), _) => digest.to_string(),
            (None, Some(tag)) => tag.clone(),
            (None, None) => DEFAULT_TAG.to_owned(),
        }
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}/{}", self.registry, self.repository)?;
        if let Some(tag) = &self.tag {
            write!(formatter, ":{tag}")?;
        }
        match &self.digest {
            Some(digest) => write!(formatter, "@{digest}"),
            None => Ok(()),
        }
    }
}

impl FromStr for Reference {
    type Err = RegistryError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        parse(text).map_err(|reason| RegistryError::Reference {
            name: text.chars().take(MOST_NAME_BYTES).flat_map(char::escape_default).collect(),
            reason,
        })
    }
}

fn parse(text: &str) -> Result<Reference, &'static str> {
    if text.is_empty() {
        return Err("it is empty");
    }
    if text.len() > MOST_NAME_BYTES {
        return Err("it is longer than 512 bytes");
    }
    if text.contains("://") {
        return Err("it must not begin with a scheme such as https://");
    }
    let (name, digest) = match text.split_once('@') {
        Some((name, digest)) => {
            let digest = digest.parse().map_err(|_| "its digest is none of SHA-256")?;
            (name, Some(digest))
        }
        None => (text, None),
    };
    // A colon before the last slash belongs to the host.
    let (name, tag) = match name.rsplit_once(':') {
        Some((name, tag)) if !tag.contains('/') => (name, Some(tag)),
        _ => (name, None),
    };
    if tag.is_some_and(|tag| !is_tag(tag)) {
        return Err("its tag must be up to 128 letters, digits, `_`, `.` and `-`");
    }
    let (registry, repository) = match name.split_once('/') {
        Some((first, rest)) if looks_like_host(first) => (host(first)?, rest.to_owned()),
        _ => (DOCKER_HUB.to_owned(), name.to_owned()),
    };
    let repository = if registry == DOCKER_HUB && !repository.contains('/') {
        format!("{DOCKER_HUB_LIBRARY}/{repository}")
    } else {
        repository
    };
    if repository.len() > MOST_REPOSITORY_BYTES || !repository.split('/').all(is_component) {
        return Err("its path must be lowercase letters and digits, joined by `.`, `_`, `-` and `/`");
    }
    let tag = tag.map(ToOwned::to_owned);
    let tag = if digest.is_none() { tag.or_else(|| Some(DEFAULT_TAG.to_owned())) } else { tag };
    Ok(Reference { registry, repository, tag, digest })
}

/// The first part is a host when it could be no part of a repository, or is what everybody takes for a host.
fn looks_like_host(first: &str) -> bool {
    first.contains(['.', ':', '['])
        || first == "localhost"
        || first.bytes().any(|byte| byte.is_ascii_uppercase())
}

/// Reads `host` or `host:port`; an address of IP version 6 stands in brackets.
pub(crate) fn host(text: &str) -> Result<String, &'static str> {
    const REASON: &str = "its host must be a name or an address, and its port a number";
    let (name, port) = if let Some(rest) = text.strip_prefix('[') {
        let (address, after) = rest.split_once(']').ok_or(REASON)?;
        address.parse::<std::net::Ipv6Addr>().map_err(|_| REASON)?;
        let port = match after {
            "" => None,
            after => Some(after.strip_prefix(':').ok_or(REASON)?),
        };
        (format!("[{address}]"), port)
    } else {
        let (name, port) = text.split_once(':').map_or((text, None), |(name, port)| (name, Some(port)));
        (name.to_ascii_lowercase(), port)
    };
    let is_label = |label: &str| {
        !label.is_empty()
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
    };
    if name.len() > MOST_HOST_BYTES || !(name.starts_with('[') || name.split('.').all(is_label)) {
        return Err(REASON);
    }
    if DOCKER_HUB_ALIASES.contains(&name.as_str()) || name == DOCKER_HUB {
        return Ok(DOCKER_HUB.to_owned());
    }
    let Some(port) = port else { return Ok(name) };
    // Neither a sign nor zeros in front: one registry has one name.
    let number = port.parse::<u16>().ok().filter(|number| *number > 0 && number.to_string() == port);
    Ok(format!("{name}:{}", number.ok_or(REASON)?))
}

fn is_tag(tag: &str) -> bool {
    let is_start = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    tag.len() <= MOST_TAG_BYTES
        && tag.bytes().next().is_some_and(is_start)
        && tag.bytes().all(|byte| is_start(byte) || matches!(byte, b'.' | b'-'))
}

/// A part of a repository: runs of lowercase letters and digits, joined by `.`, `_`, `__` or dashes.
fn is_component(part: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let bytes = part.as_bytes();
    if !(bytes.first().copied().is_some_and(is_plain) && bytes.last().copied().is_some_and(is_plain)) {
        return false;
    }
    let joints = part.split(|character: char| character.is_ascii() && is_plain(character as u8));
    joints
        .filter(|joint| !joint.is_empty())
        .all(|joint| matches!(joint, "." | "_" | "__") || joint.bytes().all(|byte| byte == b'-'))
}

#[cfg(test)]
mod tests;
