//! What a sandbox uses, at one moment.

/// One sample.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Metrics {
    /// Processors that it may use.
    pub cpu_limit: f64,
    /// How much of that it used, in hundredths.
    pub cpu_used_percent: f64,
    /// Memory that it may use.
    pub memory_limit_bytes: u64,
    /// Memory that it uses.
    pub memory_used_bytes: u64,
    /// The part of that which is page cache.
    pub memory_cache_bytes: u64,
    /// Size of its disk.
    pub disk_total_bytes: u64,
    /// What of that is used.
    pub disk_used_bytes: u64,
}
