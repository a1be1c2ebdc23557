//! What a failure came from, in words for programs that act on them: pure.

use types::sandbox::Failure;

use crate::port::Class;

/// What a failure came from. The words are stable: agents decide by them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Cause {
    /// The sandbox or the host had no memory left.
    OutOfMemory,
    /// A disk was full.
    DiskFull,
    /// The image is not on the host.
    ImageMissing,
    /// The host has no room for another sandbox.
    HostFull,
    /// It took longer than it may.
    Timeout,
    /// The network of the sandbox could not be made or changed.
    Network,
    /// The object storage could not be reached.
    StorageUnavailable,
    /// What came back from the object storage is not what was put there.
    BackupCorrupt,
    /// The files are not on the host any more.
    FilesMissing,
    /// The sandbox that it was forked from is gone.
    ParentGone,
    /// The sandbox that it is linked to is gone.
    OwnerGone,
    /// What is asked for cannot be met with what is in use.
    LimitsInUse,
    /// Its processes ended by themselves.
    Ended,
    /// None of these.
    Unknown,
}

/// Signs of a cause in a reason, lowercase; the first that is found counts. They are what the kernel and the runner say.
const SIGNS: &[(&str, Cause)] = &[
    ("timeout while", Cause::Timeout),
    ("no space left on device", Cause::DiskFull),
    ("storage limit", Cause::DiskFull),
    ("disk quota exceeded", Cause::DiskFull),
    ("quota exceeded", Cause::DiskFull),
    ("cannot allocate memory", Cause::OutOfMemory),
    ("out of memory", Cause::OutOfMemory),
    ("are in use; end processes", Cause::LimitsInUse),
    ("disks only grow", Cause::LimitsInUse),
    ("stop the sandbox first", Cause::LimitsInUse),
    ("never imported on this host", Cause::ImageMissing),
    ("is not on this host any more", Cause::ImageMissing),
    ("find a free place", Cause::HostFull),
    ("forked from is gone", Cause::ParentGone),
    ("linked to is gone", Cause::OwnerGone),
    ("files are gone", Cause::FilesMissing),
    ("is damaged, ", Cause::BackupCorrupt),
    ("object storage", Cause::StorageUnavailable),
    ("network", Cause::Network),
    ("connect sandbox", Cause::Network),
    ("first process ended", Cause::Ended),
    ("first process was killed", Cause::Ended),
    ("timed out", Cause::Timeout),
];

impl Cause {
    /// Every value, for tables and tests.
    pub const ALL: [Self; 14] = [
        Self::OutOfMemory,
        Self::DiskFull,
        Self::ImageMissing,
        Self::HostFull,
        Self::Timeout,
        Self::Network,
        Self::StorageUnavailable,
        Self::BackupCorrupt,
        Self::FilesMissing,
        Self::ParentGone,
        Self::OwnerGone,
        Self::LimitsInUse,
        Self::Ended,
        Self::Unknown,
    ];

    /// Returns the stable word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::OutOfMemory => "out-of-memory",
            Self::DiskFull => "disk-full",
            Self::ImageMissing => "image-missing",
            Self::HostFull => "host-full",
            Self::Timeout => "timeout",
            Self::Network => "network",
            Self::StorageUnavailable => "storage-unavailable",
            Self::BackupCorrupt => "backup-corrupt",
            Self::FilesMissing => "files-missing",
            Self::ParentGone => "parent-gone",
            Self::OwnerGone => "owner-gone",
            Self::LimitsInUse => "limits-in-use",
            Self::Ended => "ended",
            Self::Unknown => "unknown",
        }
    }

    /// Returns what helps.
    pub const fn remedy(self) -> &'static str {
        match self {
            Self::OutOfMemory => {
                "Start it again with less to do at once, or resize it to more memory; if the host itself has none left, delete or stop other sandboxes."
            }
            Self::DiskFull => {
                "Recover it, which adds some disk, then delete files or resize it to more disk; if the host's own disk is full, delete or archive sandboxes."
            }
            Self::ImageMissing => {
                "Import the image on this host with `daytona image import`, or create from another snapshot."
            }
            Self::HostFull => {
                "Delete or archive sandboxes, or create with `queueTimeout`, which waits for room."
            }
            Self::Timeout => "Try it again; if it fails the same way, look at the load of the host.",
            Self::Network => {
                "Try it again; if it fails the same way, run `daytona doctor` on the host, which tells what its network lacks."
            }
            Self::StorageUnavailable => {
                "Try it again when the object storage answers; its settings are under `storage` of `daytona config show`."
            }
            Self::BackupCorrupt => {
                "The copy in the object storage is not what was stored; restore that object from its own backup, then recover the sandbox."
            }
            Self::FilesMissing => {
                "Recover it, which helps if it has a completed backup; else delete it and create it anew."
            }
            Self::ParentGone => "Fork another sandbox, or create from a snapshot.",
            Self::OwnerGone => "Link it to a sandbox that is there, or create it without a link.",
            Self::LimitsInUse => "Free what is in use, or stop the sandbox, and ask again.",
            Self::Ended => "Start it again; its files are as they were.",
            Self::Unknown => {
                "Try it again; if it fails the same way, delete it, and look into the log of the server for the id of the sandbox."
            }
        }
    }

    /// Finds the cause in a reason.
    pub fn of(reason: &str) -> Self {
        let reason = reason.to_lowercase();
        SIGNS.iter().find(|(sign, _)| reason.contains(sign)).map_or(Self::Unknown, |(_, cause)| *cause)
    }

    /// Returns the failure with this cause.
    pub fn failure(self, evidence: &str) -> Failure {
        Failure {
            cause: self.as_str().to_owned(),
            evidence: evidence.to_owned(),
            remedy: self.remedy().to_owned(),
        }
    }
}

/// Reads a reason into a failure.
pub fn diagnose(reason: &str) -> Failure {
    Cause::of(reason).failure(reason)
}

/// Tells whether a failure is of a host that has no room now and may have later.
pub fn is_full(class: Class, reason: &str) -> bool {
    class == Class::Retry || Cause::of(reason) == Cause::HostFull
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn what_the_kernel_and_the_runner_say_has_its_cause() {
        for (reason, cause) in [
            ("write disk.ext4: No space left on device (os error 28)", Cause::DiskFull),
            ("clone the first process: Cannot allocate memory (os error 12)", Cause::OutOfMemory),
            ("find image x: it was never imported on this host", Cause::ImageMissing),
            ("find a free place: all 4 are taken; delete sandboxes", Cause::HostFull),
            ("timeout while starting", Cause::Timeout),
            ("connect sandbox 1: install the rules", Cause::Network),
            ("reach the object storage: connection refused", Cause::StorageUnavailable),
            (
                "restore sandbox 1: its backup b is damaged, it ends early; copy of the object storage",
                Cause::BackupCorrupt,
            ),
            ("its files are gone from the host", Cause::FilesMissing),
            ("its first process was killed by signal 9", Cause::Ended),
            ("its first process ended while no server was watching", Cause::Ended),
            ("start as the test said: a cause", Cause::Unknown),
            ("", Cause::Unknown),
        ] {
            assert_eq!(Cause::of(reason), cause, "{reason}");
        }
    }

    #[test]
    fn words_are_told_apart_and_every_cause_has_a_remedy() {
        let words: HashSet<_> = Cause::ALL.iter().map(|cause| cause.as_str()).collect();
        assert_eq!(words.len(), Cause::ALL.len());
        for cause in Cause::ALL {
            assert!(cause.remedy().ends_with('.'), "{cause:?}");
            let failure = cause.failure("what was seen");
            assert_eq!(
                (failure.cause.as_str(), failure.evidence.as_str()),
                (cause.as_str(), "what was seen")
            );
        }
    }
}
