//! What a sandbox is busy with.

/// A look at what a sandbox does by itself.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Work {
    /// Its processes, the daemon left out.
    pub processes: Vec<WorkingProcess>,
    /// Its open TCP connections, those of the daemon left out.
    pub connections: u32,
}

/// A process of a sandbox.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WorkingProcess {
    /// Its id inside.
    pub pid: u32,
    /// Its command line, shortened.
    pub command: String,
    /// Processor time that it has used so far.
    pub cpu_milliseconds: u64,
}
