//! What can go wrong with a registry, by the action that failed.

use std::io;

/// A failed action of the registry client. Nothing that the other side said is in it but its status and its error code.
#[derive(Debug, thiserror::Error)]
pub enum RegistryError {
    /// The name of an image cannot be read.
    #[error("read the image name {name}: {reason}")]
    Reference { name: String, reason: &'static str },
    /// It is no digest that is understood.
    #[error("read the digest {text}: it must be sha256: and 64 lowercase hexadecimal digits")]
    Digest { text: String },
    /// A setting is wrong.
    #[error("use the settings of registry {host}: {reason}")]
    Settings { host: String, reason: String },
    /// The client cannot be made.
    #[error("prepare requests to registries")]
    Prepare { source: reqwest::Error },
    /// The registry did not answer.
    #[error("{action} {what}: {host} did not answer")]
    Send { action: &'static str, what: String, host: String, source: reqwest::Error },
    /// It stopped in the middle, or is too slow to ever end.
    #[error("{action} {what}: {host} sent nothing for too long")]
    Stalled { action: &'static str, what: String, host: String },
    /// It wants somebody else, or credentials at all.
    #[error("{action} {what}: {host} refused the credentials with status {status}; {remedy}")]
    Denied { action: &'static str, what: String, host: String, status: u16, remedy: &'static str },
    /// It does not have that.
    #[error("{action} {what}: {host} has no such image or part; check name, tag and who may see it")]
    Missing { action: &'static str, what: String, host: String },
    /// It wants fewer requests.
    #[error(
        "{action} {what}: {host} allows no more requests for now; try later, or sign in to be allowed more"
    )]
    Limited { action: &'static str, what: String, host: String },
    /// It said no.
    #[error("{action} {what}: {host} answered {status}{code}")]
    Status { action: &'static str, what: String, host: String, status: u16, code: String },
    /// It answered something that breaks the protocol or a promise.
    #[error("{action} {what}: {host} {reason}")]
    Answer { action: &'static str, what: String, host: String, reason: String },
    /// The image cannot be used here, whatever the registry does.
    #[error("use image {name}: {reason}")]
    Image { name: String, reason: String },
    /// Content is not what its name says.
    #[error("{action} {digest}: {reason}")]
    Content { action: &'static str, digest: String, reason: String },
    /// A file of ours could not be read or written.
    #[error("{action} the copy of {digest}")]
    File { action: &'static str, digest: String, source: io::Error },
}

/// What to do about a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// The registry is away, slow or busy: another try may work.
    Retry,
    /// Name, credentials or content are at fault.
    Reject,
}

impl RegistryError {
    /// Tells what to do about it.
    pub fn class(&self) -> Class {
        match self {
            Self::Send { .. } | Self::Stalled { .. } | Self::Limited { .. } | Self::File { .. } => {
                Class::Retry
            }
            Self::Status { status, .. } if *status >= 500 => Class::Retry,
            _ => Class::Reject,
        }
    }

    /// Tells whether the registry says that there is no such thing, or that it is not for us.
    pub fn is_absence(&self) -> bool {
        matches!(self, Self::Missing { .. } | Self::Denied { .. })
    }
}
