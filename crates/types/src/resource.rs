//! What a sandbox may use.

/// Limits of one sandbox. Whole units, because the contract's are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Resources {
    /// Virtual processors.
    pub cpu: u32,
    /// Graphics processors.
    pub gpu: u32,
    /// Memory in GiB.
    pub memory_gib: u32,
    /// Writable disk in GiB.
    pub disk_gib: u32,
}

impl Default for Resources {
    /// The contract's default for a sandbox that names none: 1 vCPU, 1 GiB memory, 3 GiB disk.
    fn default() -> Self {
        Self { cpu: 1, gpu: 0, memory_gib: 1, disk_gib: 3 }
    }
}
