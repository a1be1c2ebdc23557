//! Where the data will be.

use std::time::Duration;

use crate::doctor::fact::{Facts, Storage};
use crate::doctor::finding::Finding;

/// Below this, an image and one sandbox may not fit.
const LITTLE_BYTES: u64 = 10 << 30;
/// Below this, nothing fits.
const NO_BYTES: u64 = 1 << 30;
/// Slower than this, every change of a sandbox's state is felt.
const SLOW: Duration = Duration::from_millis(25);

pub(super) fn judge(facts: &Facts) -> Vec<Finding> {
    match &facts.storage {
        Ok(storage) => {
            vec![kind(storage), space(storage), files(storage), copies(storage), durability(storage)]
        }
        Err(reason) => vec![Finding::missing(
            "data directory",
            format!("nothing can be written: {reason}"),
            "make the directory, or say another one: --data-dir",
        )],
    }
}

fn kind(storage: &Storage) -> Finding {
    let name = "data directory";
    match storage.kind {
        0xEF53 => Finding::good(name, "on ext4"),
        0x5846_5342 => Finding::good(name, "on XFS"),
        0x9123_683E => Finding::good(name, "on btrfs"),
        0x2FC1_2FC1 => Finding::good(name, "on ZFS"),
        0x0102_1994 => Finding::weak(
            name,
            "on tmpfs: everything is gone after a reboot",
            "say a directory on a disk: --data-dir",
        ),
        0x794C_7630 => Finding::weak(
            name,
            "on an overlay, as inside a container",
            "say a directory on a disk or a volume: --data-dir",
        ),
        0x6969 | 0x6573_5546 | 0xFF53_4D42 | 0xFE53_4D42 => Finding::missing(
            name,
            "on a network or user-space file system",
            "say a directory on a local disk: --data-dir",
        ),
        other => Finding::note(name, format!("on a file system of kind {other:#x}")),
    }
}

fn space(storage: &Storage) -> Finding {
    let found = format!("{} MiB free", storage.free_bytes >> 20);
    let remedy = "free some, or say a directory on a larger disk: --data-dir";
    match storage.free_bytes {
        bytes if bytes < NO_BYTES => Finding::missing("space", found, remedy),
        bytes if bytes < LITTLE_BYTES => Finding::weak("space", found, remedy),
        _ => Finding::good("space", found),
    }
}

fn files(storage: &Storage) -> Finding {
    let found = format!("{} more files fit", storage.free_files);
    // Some file systems make room for files as they come, and say 0.
    if storage.total_files == 0 || storage.free_files > 200_000 {
        return Finding::good("files", found);
    }
    Finding::weak("files", found, "use a file system made with more inodes (mkfs.ext4 -i)")
}

fn copies(storage: &Storage) -> Finding {
    if storage.shares_blocks {
        return Finding::good("copies", "files can share blocks");
    }
    Finding::note("copies", "files cannot share blocks; sparse copies are made")
}

fn durability(storage: &Storage) -> Finding {
    let name = "write-through";
    match storage.write_through {
        Some(time) if time <= SLOW => Finding::good(name, format!("{} µs for 4 KiB", time.as_micros())),
        Some(time) => Finding::weak(
            name,
            format!("{} ms for 4 KiB: every change of a state waits for it", time.as_millis()),
            "keep the data directory on a local SSD",
        ),
        None => Finding::missing(name, "the file system cannot write through", "use another file system"),
    }
}
