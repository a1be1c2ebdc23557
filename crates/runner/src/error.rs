//! What can go wrong on a host, by the action that failed.

use std::io;
use std::path::PathBuf;

use linux::errno::CallError;

use crate::net::NetError;

/// What to do about a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// The host was busy or short of something: try again.
    Retry,
    /// The request or the image is at fault.
    Reject,
    /// The sandbox is not on this host.
    Gone,
}

/// A failed action of the runner.
#[derive(Debug, thiserror::Error)]
pub enum RunnerError {
    /// The image store has no such image.
    #[error("find image {name}: it was never imported on this host")]
    ImageMissing { name: String },
    /// The archive is not what it claims to be.
    #[error("import {archive}: {reason}")]
    ImageInvalid { archive: String, reason: String },
    /// A file of the runner could not be read or written.
    #[error("{action} {}", path.display())]
    File { action: &'static str, path: PathBuf, source: io::Error },
    /// A kernel call for a sandbox failed.
    #[error("{action} of sandbox {id}")]
    Kernel { action: &'static str, id: String, source: CallError },
    /// The host itself could not be prepared.
    #[error("{action}")]
    Host { action: &'static str, source: CallError },
    /// The network could not be prepared or changed.
    #[error("connect sandbox {id}")]
    Network { id: String, source: NetError },
    /// The host's network could not be prepared.
    #[error("prepare the network for sandboxes")]
    NetworkHost { source: NetError },
    /// The spawner could not be reached.
    #[error("reach the spawner")]
    Spawn { source: CallError },
    /// The spawner's program could not be started.
    #[error("start {program} as the spawner")]
    Launch { program: String, source: io::Error },
    /// The spawner refused.
    #[error("clone the first process: {reason}")]
    Refused { reason: String },
    /// The policy file is broken.
    #[error("read the seccomp policy")]
    Policy { source: linux::seccomp::PolicyError },
    /// The first process failed before the daemon answered.
    #[error("start the daemon of sandbox {id}: {reason}")]
    Boot { id: String, reason: String },
    /// The host cannot limit what sandboxes use.
    #[error(
        "limit what sandboxes use: this host has no control groups for {missing}; mount them, or boot with cgroup v2"
    )]
    Unlimited { missing: String },
    /// The sandbox is not here.
    #[error("find sandbox {id} on this host")]
    Missing { id: String },
    /// All addresses and id ranges are in use.
    #[error(
        "find a free place for sandbox {id}: all {places} are taken; delete sandboxes or widen --sandbox-network"
    )]
    Full { id: String, places: u32 },
    /// A message could not be written.
    #[error("encode {what}")]
    Encode { what: &'static str, source: serde_json::Error },
    /// A message could not be read.
    #[error("decode {what}")]
    Decode { what: &'static str, source: serde_json::Error },
    /// A worker thread ended without an answer.
    #[error("finish {action} of sandbox {id}: its worker stopped")]
    Worker { action: &'static str, id: String },
}

impl RunnerError {
    /// Tells what to do about it.
    pub fn class(&self) -> Class {
        match self {
            Self::ImageMissing { .. } | Self::ImageInvalid { .. } | Self::Boot { .. } => Class::Reject,
            Self::Missing { .. } => Class::Gone,
            _ => Class::Retry,
        }
    }
}

/// Prints an error with its causes, for text that leaves this process.
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(next) = cause {
        text.push_str(": ");
        text.push_str(&next.to_string());
        cause = next.source();
    }
    text
}
