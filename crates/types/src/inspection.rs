//! What a look at a running sandbox tells: how it is isolated, and what it has run into.

/// What a host found when it looked at one sandbox.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Inspection {
    /// How it is isolated; `None` when it does not run.
    pub isolation: Option<Isolation>,
    /// What it has run into since it started; empty when all is well.
    pub conditions: Vec<Condition>,
}

/// The isolation in force, as probed, not as configured.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Isolation {
    /// The class, such as `container`.
    pub class: String,
    /// Whose kernel it runs on: `shared` or `own`.
    pub kernel: String,
    /// Every layer that the class has, whether or not it holds.
    pub layers: Vec<Layer>,
}

/// One layer of an isolation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layer {
    /// Its name, such as `seccomp`.
    pub name: String,
    /// Whether it was found to hold.
    pub in_force: bool,
    /// What was found.
    pub detail: String,
}

/// Something a sandbox has run into, with what helps.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Condition {
    /// What it is.
    pub cause: Cause,
    /// What was found, with numbers.
    pub evidence: String,
    /// What to do about it.
    pub remedy: String,
    /// How often it happened, or 1 for what lasts.
    pub count: u64,
}

/// What can stand in the way of a sandbox's work.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Cause {
    /// Processes were killed at the memory limit.
    OutOfMemory,
    /// No space is left on its disk.
    DiskFull,
    /// No more files fit on its disk.
    InodesFull,
    /// It has as many processes as it may.
    ProcessLimit,
}

impl Cause {
    /// Returns the word that clients see.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::OutOfMemory => "out-of-memory",
            Self::DiskFull => "disk-full",
            Self::InodesFull => "inodes-full",
            Self::ProcessLimit => "process-limit",
        }
    }
}
