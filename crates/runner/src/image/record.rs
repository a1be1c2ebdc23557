//! What is kept of an image besides its layers.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// What an image says of itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Image {
    /// The name users write; of one that was pulled, its manifest's digest.
    pub name: String,
    /// Directories below `layers`, topmost first; each is named by the SHA-256 of its archive, or of its tree.
    pub layers: Vec<String>,
    /// Who runs commands, unless the sandbox says otherwise.
    pub user: String,
    /// Where commands run; empty means the user's home.
    pub working_directory: String,
    /// Variables every command gets.
    pub environment: Vec<(String, String)>,
    /// The program that it starts; empty when it names none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub entrypoint: Vec<String>,
    /// Its arguments, or the program where there is no entrypoint.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub command: Vec<String>,
    /// Notes of whoever made it.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// Ports that it serves on, such as `8080/tcp`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub exposed_ports: Vec<String>,
    /// What its layers hold; zero where nobody counted.
    #[serde(default)]
    pub size_bytes: u64,
    /// Which archive it came from, so that importing it again costs nothing.
    #[serde(default)]
    pub(super) source: Source,
    /// What is known of one that was made of a sandbox.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) captured: Option<Captured>,
    /// Whether it can be had again, and goes when nobody uses it and the disk fills up.
    #[serde(default)]
    pub(super) is_removable: bool,
}

/// What is known of an image that was made of a sandbox.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Captured {
    /// What it adds to the image that the sandbox was made from.
    pub(super) added_bytes: u64,
    /// Whether it goes with the last sandbox that was made from it.
    pub(super) is_forgotten: bool,
}

/// Tells one archive from another without reading it whole.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Source {
    pub(super) path: PathBuf,
    pub(super) bytes: u64,
    pub(super) modified_ms: u64,
}

/// What an import is told besides the archive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Description {
    /// The name users will write.
    pub name: String,
    /// Who runs commands.
    pub user: String,
    /// Where commands run.
    pub working_directory: String,
    /// Variables every command gets.
    pub environment: Vec<(String, String)>,
}

/// How processes of an image are started.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Config {
    /// Who runs commands.
    pub user: String,
    /// Where commands run.
    pub working_directory: String,
    /// Variables every command gets.
    pub environment: Vec<(String, String)>,
    /// The program that it starts.
    pub entrypoint: Vec<String>,
    /// Its arguments, or the program where there is no entrypoint.
    pub command: Vec<String>,
    /// Notes of whoever made it.
    pub labels: BTreeMap<String, String>,
    /// Ports that it serves on, such as `8080/tcp`.
    pub exposed_ports: Vec<String>,
}

impl Image {
    /// Makes the record of an image that goes again when nobody uses it.
    pub(super) fn removable(name: String, layers: Vec<String>, config: Config, size_bytes: u64) -> Self {
        let Config { user, working_directory, environment, entrypoint, command, labels, exposed_ports } =
            config;
        Self {
            name,
            layers,
            user,
            working_directory,
            environment,
            entrypoint,
            command,
            labels,
            exposed_ports,
            size_bytes,
            source: Source::default(),
            captured: None,
            is_removable: true,
        }
    }

    /// Returns how its processes are started.
    pub fn config(&self) -> Config {
        Config {
            user: self.user.clone(),
            working_directory: self.working_directory.clone(),
            environment: self.environment.clone(),
            entrypoint: self.entrypoint.clone(),
            command: self.command.clone(),
            labels: self.labels.clone(),
            exposed_ports: self.exposed_ports.clone(),
        }
    }

    /// Tells whether an import under its name would change nothing but its files.
    pub(super) fn matches(&self, description: &Description) -> bool {
        self.user == description.user
            && self.working_directory == description.working_directory
            && self.environment == description.environment
    }
}
