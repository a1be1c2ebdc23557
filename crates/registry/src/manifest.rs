//! Manifests and configurations (OCI image specification; Docker's version 2, schema 2).
//!
//! Pure: bytes in, checked values out. Unknown members are passed over, as both specifications ask.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::digest::Digest;

/// The most bytes that a manifest or an index may have; registries are told to allow as much.
pub const MOST_MANIFEST_BYTES: usize = 4 << 20;
/// The most bytes that a configuration may have.
pub const MOST_CONFIG_BYTES: usize = 4 << 20;
/// The most layers that an image may have, as other engines have it.
pub const MOST_LAYERS: usize = 127;

pub(crate) const OCI_INDEX: &str = "application/vnd.oci.image.index.v1+json";
pub(crate) const OCI_MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
pub(crate) const DOCKER_LIST: &str = "application/vnd.docker.distribution.manifest.list.v2+json";
pub(crate) const DOCKER_MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";
/// What is asked for, in one header.
pub(crate) const ACCEPTED: &str = "application/vnd.oci.image.index.v1+json, application/vnd.oci.image.manifest.v1+json, \
     application/vnd.docker.distribution.manifest.list.v2+json, application/vnd.docker.distribution.manifest.v2+json";

/// The configuration of an image that is pushed.
pub const OCI_CONFIG: &str = "application/vnd.oci.image.config.v1+json";
/// A layer that is pushed, compressed with gzip.
pub const OCI_LAYER_GZIP: &str = "application/vnd.oci.image.layer.v1.tar+gzip";
/// A layer that is pushed, compressed with zstd.
pub const OCI_LAYER_ZSTD: &str = "application/vnd.oci.image.layer.v1.tar+zstd";

/// What can be unpacked. Which compression it is, its first bytes tell.
const LAYERS: [&str; 5] = [
    "application/vnd.oci.image.layer.v1.tar",
    OCI_LAYER_GZIP,
    OCI_LAYER_ZSTD,
    "application/vnd.docker.image.rootfs.diff.tar",
    "application/vnd.docker.image.rootfs.diff.tar.gzip",
];

/// Points to content in a repository.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Descriptor {
    /// What it is.
    #[serde(default)]
    pub media_type: String,
    /// What it must hash to.
    pub digest: Digest,
    /// How many bytes it has.
    pub size: u64,
    /// For which machine an image is, in an index.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub platform: Option<Platform>,
}

/// A kind of machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Platform {
    /// As Go calls it: `amd64`, `arm64`.
    #[serde(default)]
    pub architecture: String,
    /// As Go calls it: `linux`.
    #[serde(default)]
    pub os: String,
    /// Of the architecture: `v8`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub variant: Option<String>,
}

impl Platform {
    /// Returns this machine's.
    pub fn here() -> Self {
        let architecture = match std::env::consts::ARCH {
            "x86_64" => "amd64",
            "aarch64" => "arm64",
            other => other,
        };
        Self { architecture: architecture.to_owned(), os: "linux".to_owned(), variant: None }
    }

    fn name(&self) -> String {
        format!("{}/{}", self.os, self.architecture)
    }
}

/// The manifest of one image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Manifest {
    /// Its configuration.
    pub config: Descriptor,
    /// Its layers, lowest first.
    pub layers: Vec<Descriptor>,
}

/// What a registry has under a name.
#[derive(Debug)]
pub(crate) enum Document {
    Index(Vec<Descriptor>),
    Manifest(Manifest),
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Raw {
    schema_version: Option<u32>,
    media_type: Option<String>,
    config: Option<Descriptor>,
    layers: Option<Vec<Descriptor>>,
    manifests: Option<Vec<RawEntry>>,
}

/// Entries of an index that are no images at all, signatures for example, may lack what images have.
#[derive(Deserialize)]
#[serde(untagged)]
enum RawEntry {
    Known(Descriptor),
    Other(serde::de::IgnoredAny),
}

/// Reads a document; `content_type` is what the registry says it is. The reason of a refusal completes "the registry …".
pub(crate) fn read(body: &[u8], content_type: Option<&str>) -> Result<Document, String> {
    let raw: Raw = serde_json::from_slice(body).map_err(|error| format!("sent no manifest: {error}"))?;
    if raw.schema_version == Some(1) {
        return Err(
            "has only a manifest of the old schema 1; push the image again with a newer tool".to_owned()
        );
    }
    let told = content_type.map(|text| text.split(';').next().unwrap_or_default().trim());
    let told = told
        .filter(|told| !matches!(*told, "" | "application/json" | "text/plain" | "application/octet-stream"));
    let kind = match (raw.media_type.as_deref(), told) {
        // One document must not be two things to two readers.
        (Some(inner), Some(outer)) if inner != outer => {
            return Err("sent a manifest that says it is of another type than the answer does".to_owned());
        }
        (inner, outer) => inner.or(outer),
    };
    let is_index = match kind {
        Some(OCI_INDEX | DOCKER_LIST) => true,
        Some(OCI_MANIFEST | DOCKER_MANIFEST) => false,
        None => raw.manifests.is_some(),
        Some(_) => return Err("sent a manifest of a type that is none of an image".to_owned()),
    };
    match (is_index, raw.manifests, raw.config, raw.layers) {
        (true, Some(entries), None, None) => Ok(Document::Index(
            entries
                .into_iter()
                .filter_map(|entry| match entry {
                    RawEntry::Known(entry) => Some(entry),
                    RawEntry::Other(_) => None,
                })
                .collect(),
        )),
        (false, None, Some(config), Some(layers)) => Ok(Document::Manifest(Manifest { config, layers })),
        _ => Err("sent a manifest that lacks a part, or has parts of both kinds".to_owned()),
    }
}

/// Chooses the image for a machine.
pub(crate) fn choose<'a>(entries: &'a [Descriptor], wanted: &Platform) -> Result<&'a Descriptor, String> {
    let fits = |entry: &&Descriptor| {
        entry.platform.as_ref().is_some_and(|it| it.os == wanted.os && it.architecture == wanted.architecture)
    };
    // The plainest variant runs on every machine of the architecture.
    let rank = |entry: &&Descriptor| match entry.platform.as_ref().and_then(|it| it.variant.as_deref()) {
        None | Some("" | "v8" | "v1") => 0,
        Some(_) => 1,
    };
    if let Some(found) = entries.iter().filter(fits).min_by_key(rank) {
        return Ok(found);
    }
    match entries {
        [only] if only.platform.is_none() => Ok(only),
        _ => {
            let mut there: Vec<String> =
                entries.iter().filter_map(|entry| entry.platform.as_ref()).map(Platform::name).collect();
            there.retain(|name| {
                name.bytes().all(|byte| byte.is_ascii_graphic())
                    && name.len() < 40
                    && name != "unknown/unknown"
            });
            there.sort_unstable();
            there.dedup();
            there.truncate(16);
            let there = if there.is_empty() { "nothing".to_owned() } else { there.join(", ") };
            Err(format!("it is there for {there}, and this host needs {}", wanted.name()))
        }
    }
}

impl Manifest {
    /// Refuses what cannot be unpacked here; `most_bytes` bounds what is fetched.
    pub(crate) fn check(&self, most_bytes: u64) -> Result<(), String> {
        if self.layers.len() > MOST_LAYERS {
            return Err(format!("it has {} layers, and {MOST_LAYERS} can be stacked", self.layers.len()));
        }
        if self.config.size > u64::try_from(MOST_CONFIG_BYTES).unwrap_or(u64::MAX) {
            return Err("its configuration has more than 4 MiB".to_owned());
        }
        for layer in &self.layers {
            if !LAYERS.contains(&layer.media_type.as_str()) {
                let kind: String =
                    layer.media_type.chars().take(100).flat_map(char::escape_default).collect();
                return Err(format!(
                    "it has a part of the type {kind}, which is no layer that can be unpacked"
                ));
            }
        }
        let total = self.layers.iter().try_fold(0_u64, |sum, layer| sum.checked_add(layer.size));
        match total {
            Some(total) if total <= most_bytes => Ok(()),
            _ => Err(format!("its layers have more than {most_bytes} bytes, compressed")),
        }
    }

    /// Counts what is fetched.
    pub fn download_bytes(&self) -> u64 {
        self.layers.iter().fold(self.config.size, |sum, layer| sum.saturating_add(layer.size))
    }
}

/// What an image says of itself.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Configuration {
    /// For which machine.
    #[serde(default)]
    pub architecture: String,
    /// For which kernel.
    #[serde(default)]
    pub os: String,
    /// How processes are started.
    #[serde(default)]
    pub config: Option<Process>,
    /// What the layers must hash to once they are decompressed.
    pub rootfs: RootFileSystem,
}

/// How processes of an image are started.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Process {
    /// Who runs them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// Where.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub working_dir: Option<String>,
    /// `NAME=value`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub env: Option<Vec<String>>,
    /// The program and its first arguments.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub entrypoint: Option<Vec<String>>,
    /// Its further arguments, or the program when there is no entrypoint.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cmd: Option<Vec<String>>,
    /// Notes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub labels: Option<BTreeMap<String, String>>,
    /// `8080/tcp`, each with an empty object.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exposed_ports: Option<BTreeMap<String, serde_json::Value>>,
}

/// The layers of an image, decompressed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RootFileSystem {
    /// Always `layers`.
    #[serde(rename = "type", default)]
    pub kind: String,
    /// Lowest first.
    #[serde(default)]
    pub diff_ids: Vec<Digest>,
}

impl Configuration {
    /// Reads the configuration of `manifest` and compares both.
    pub(crate) fn read(body: &[u8], manifest: &Manifest, wanted: &Platform) -> Result<Self, String> {
        let configuration: Self = serde_json::from_slice(body)
            .map_err(|error| format!("its configuration cannot be read: {error}"))?;
        let layers = manifest.layers.len();
        let told = configuration.rootfs.diff_ids.len();
        if told != layers {
            return Err(format!("its manifest has {layers} layers and its configuration {told}"));
        }
        let there = Platform {
            architecture: configuration.architecture.clone(),
            os: configuration.os.clone(),
            variant: None,
        };
        // Images that were put together by hand may say nothing.
        let is_other = |there: &str, wanted: &str| !there.is_empty() && there != wanted;
        if is_other(&there.architecture, &wanted.architecture) || is_other(&there.os, &wanted.os) {
            let name: String = there.name().chars().take(40).flat_map(char::escape_default).collect();
            return Err(format!("it is for {name}, and this host needs {}", wanted.name()));
        }
        Ok(configuration)
    }
}

#[cfg(test)]
mod tests;
