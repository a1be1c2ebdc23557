//! Volumes: files that outlive sandboxes, and that several may have at once.

use crate::clock::Timestamp;
use crate::id::{OrganizationId, VolumeId};

/// A volume as the control plane knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Volume {
    /// Its id.
    pub id: VolumeId,
    /// The tenant it belongs to.
    pub organization_id: OrganizationId,
    /// Unique in its organisation while it is not deleted.
    pub name: String,
    /// How far it is.
    pub state: VolumeState,
    /// Why it is in `VolumeState::Error`.
    pub error_reason: Option<String>,
    /// When it was made.
    pub created_at: Timestamp,
    /// When anything of it last changed.
    pub updated_at: Timestamp,
    /// When a sandbox was last made with it.
    pub last_used_at: Option<Timestamp>,
}

/// How far a volume is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum VolumeState {
    /// Its place on the host is being made.
    Creating,
    /// It can be mounted.
    Ready,
    /// Its files are being removed.
    Deleting,
    /// It is gone; its row is a memory.
    Deleted,
    /// It could not be made.
    Error,
}

impl VolumeState {
    /// Every value, for tables and tests.
    pub const ALL: [Self; 5] = [Self::Creating, Self::Ready, Self::Deleting, Self::Deleted, Self::Error];

    /// Returns the contract's word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Creating => "creating",
            Self::Ready => "ready",
            Self::Deleting => "deleting",
            Self::Deleted => "deleted",
            Self::Error => "error",
        }
    }

    /// Reads the contract's word.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == text)
    }
}

/// Where a sandbox has a volume.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VolumeMount {
    /// The volume.
    pub volume_id: VolumeId,
    /// Where it is inside: an absolute path that [`refused_mount_path`] does not refuse.
    pub path: String,
    /// The directory of the volume that is shown, that [`refused_subpath`] does not refuse; the whole volume without one.
    pub subpath: Option<String>,
    /// Whether the sandbox may only read.
    pub is_read_only: bool,
}

/// The longest path, in bytes: the paths of all mounts travel in one message.
const PATH_BYTES: usize = 1_024;
/// The longest name between two slashes, in bytes (`NAME_MAX`).
const NAME_BYTES: usize = 255;
/// The most names in a path: each is a call while a sandbox starts.
const NAMES: usize = 64;
/// Directories that belong to the kernel or to the image's own programs, as in the contract.
const RESERVED: [&str; 9] = ["proc", "sys", "dev", "boot", "etc", "bin", "sbin", "lib", "lib64"];

/// Tells why nothing can be mounted at a path; nothing when it can.
pub fn refused_mount_path(path: &str) -> Option<&'static str> {
    let Some(rest) = path.strip_prefix('/') else { return Some("must be an absolute path") };
    let rest = rest.strip_suffix('/').unwrap_or(rest);
    if rest.is_empty() {
        return Some("must not be the root directory");
    }
    if let Some(reason) = refused_names(path, rest) {
        return Some(reason);
    }
    let first = rest.split('/').next().unwrap_or_default();
    RESERVED.contains(&first).then_some("must not be in a directory of the system")
}

/// Tells why a directory of a volume cannot be shown; nothing when it can.
pub fn refused_subpath(path: &str) -> Option<&'static str> {
    if path.starts_with('/') {
        return Some("must not begin with a slash");
    }
    refused_names(path, path.strip_suffix('/').unwrap_or(path))
}

/// Checks the names of a path whose outer slashes are gone.
fn refused_names(whole: &str, names: &str) -> Option<&'static str> {
    let names: Vec<&str> = names.split('/').collect();
    if whole.len() > PATH_BYTES || names.len() > NAMES || names.iter().any(|name| name.len() > NAME_BYTES) {
        return Some("is too long");
    }
    if whole.chars().any(char::is_control) {
        return Some("must not hold control characters");
    }
    if names.iter().any(|name| name.is_empty()) {
        return Some("must not hold an empty name");
    }
    names.iter().any(|name| matches!(*name, "." | "..")).then_some("must not hold `.` or `..`")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_to_mount_are_those_of_the_contract() {
        for good in ["/data", "/home/daytona/vol", "/data/", "/procx", "/mnt/etc", "/a b"] {
            assert_eq!(refused_mount_path(good), None, "{good}");
        }
        let long = format!("/{}", "x".repeat(256));
        let deep = "/x".repeat(65);
        for bad in [
            "",
            "data",
            "/",
            "//",
            "//data",
            "/data//x",
            "/data/./x",
            "/data/../x",
            "/data/..",
            "/data/.",
            "/proc",
            "/sys/x",
            "/dev",
            "/boot",
            "/etc/x",
            "/bin",
            "/sbin",
            "/lib",
            "/lib64/x",
            "/a\0b",
            &long,
            &deep,
        ] {
            assert!(refused_mount_path(bad).is_some(), "{bad}");
        }
    }

    #[test]
    fn parts_of_volumes_stay_in_them() {
        for good in ["a", "a/b", "a/b/", "..a", "a b"] {
            assert_eq!(refused_subpath(good), None, "{good}");
        }
        for bad in ["", "/", "/a", "..", "a/../b", "a//b", "./a", "a/.", "a\0"] {
            assert!(refused_subpath(bad).is_some(), "{bad}");
        }
    }

    #[test]
    fn words_read_back() {
        for state in VolumeState::ALL {
            assert_eq!(VolumeState::parse(state.as_str()), Some(state));
        }
    }
}
