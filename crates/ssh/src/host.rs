//! What a connection finds: the sandbox's shell, its environment, its directory. Passed to the process as JSON.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::host_key::SEED_BYTES;

/// What the process is started with.
#[derive(Debug, Serialize, Deserialize)]
pub struct Host {
    /// The secret from which the host key is made.
    pub seed: [u8; SEED_BYTES],
    /// The user's shell.
    pub shell: String,
    /// Where programs start.
    pub directory: String,
    /// The whole environment of programs.
    pub variables: BTreeMap<String, String>,
    /// The program that serves files, and its arguments, its own name first.
    pub file_server: (String, Vec<String>),
}
