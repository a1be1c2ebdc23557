//! What a host is told when it opens.

use std::path::PathBuf;

use crate::net;

/// What a host is told.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Holds images and sandboxes.
    pub data_directory: PathBuf,
    /// Tells two hosts on one machine apart: names groups, tables and links.
    pub instance: String,
    /// The program and arguments that run [`crate::spawner::serve`] on their standard input.
    pub spawner: Vec<String>,
    /// The first host id of the first sandbox; each has 65,536.
    pub id_base: u32,
    /// How many sandboxes there are ids for.
    pub id_ranges: u32,
    /// How links are made.
    pub network: net::Settings,
    /// Lines of `/etc/resolv.conf` inside.
    pub resolvers: Vec<String>,
    /// How many disks to keep ready, and their size.
    pub ready_disks: usize,
    /// Size of the disks that are kept ready.
    pub ready_disk_bytes: u64,
    /// Size of the disk of a volume.
    pub volume_bytes: u64,
    /// How many first processes to keep ready, and what they may use until it is known whose they are: the usual
    /// limits, which then need no change.
    pub ready_cells: usize,
    /// Their processor time, in thousandths of one processor.
    pub ready_cpu_thousandths: u32,
    /// Their memory.
    pub ready_memory_bytes: u64,
    /// Bound on processes and threads of one sandbox.
    pub processes: u32,
    /// How long a daemon may take to answer.
    pub boot_timeout_ms: u32,
    /// How long processes have between the request to end and the kill.
    pub grace_ms: u32,
}
