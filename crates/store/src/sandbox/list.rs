//! What a list of sandboxes is asked for, and what it answers.

use types::sandbox::Sandbox;
use types::{SandboxId, Timestamp};

/// Which sandboxes of an organisation; an empty filter lets all through.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// Start of the id.
    pub id_prefix: Option<String>,
    /// Start of the name, whatever its case.
    pub name_prefix: Option<String>,
    /// Labels that must all be there with these values.
    pub labels: Vec<(String, String)>,
    /// Words for states as they are reported, any of them; `None` lets every state through.
    pub states: Option<Vec<String>>,
    /// Whether those that failed on their way out are listed too.
    pub errored_deleted: bool,
    /// Whether those that wait in warm pools are listed too.
    pub warm: bool,
    /// Names of snapshots, any of them.
    pub snapshots: Vec<String>,
    /// Regions, any of them.
    pub regions: Vec<String>,
    /// Least and most virtual processors.
    pub cpu: Range<u32>,
    /// Least and most graphics processors.
    pub gpu: Range<u32>,
    /// Least and most memory in GiB.
    pub memory_gib: Range<u32>,
    /// Least and most disk in GiB.
    pub disk_gib: Range<u32>,
    /// Public ones or private ones only.
    pub public: Option<bool>,
    /// Only those that a repair may help, or only the others.
    pub recoverable: Option<bool>,
    /// When made.
    pub created_at: Range<Timestamp>,
    /// When last used.
    pub last_activity_at: Range<Timestamp>,
    /// When deleted whatever they do then; bounds pass over those without such a time.
    pub destroy_at: Range<Timestamp>,
}

/// Two bounds, both included.
#[derive(Debug, Clone, Copy)]
pub struct Range<T> {
    /// The least value let through.
    pub least: Option<T>,
    /// The greatest value let through.
    pub most: Option<T>,
}

impl<T> Default for Range<T> {
    fn default() -> Self {
        Self { least: None, most: None }
    }
}

impl<T: PartialOrd + Copy> Range<T> {
    /// Tells whether it has no bounds.
    pub(crate) const fn is_open(&self) -> bool {
        self.least.is_none() && self.most.is_none()
    }

    /// Tells whether a value is within the bounds.
    pub(crate) fn holds(&self, value: T) -> bool {
        self.least.as_ref().is_none_or(|least| *least <= value)
            && self.most.as_ref().is_none_or(|most| value <= *most)
    }
}

/// What a list is ordered by; the id decides between equals.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SortField {
    /// The id.
    Id,
    /// The name.
    Name,
    /// Virtual processors.
    Cpu,
    /// Memory.
    Memory,
    /// Disk.
    Disk,
    /// When made.
    CreatedAt,
    /// When last changed.
    UpdatedAt,
    /// When last used.
    LastActivityAt,
    /// The snapshot's name.
    Snapshot,
    /// The region.
    Region,
    /// The word for its state.
    State,
}

/// A place in an ordered list: the last row that the caller has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cursor {
    /// The row's value of the sort field when it was listed.
    pub value: SortValue,
    /// The row's id.
    pub id: SandboxId,
}

/// A value of a sort field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SortValue {
    /// A number or a moment in milliseconds.
    Integer(i64),
    /// A text.
    Text(String),
}

/// Order and page of a list.
#[derive(Debug, Clone)]
pub struct Page {
    /// What it is ordered by.
    pub sort: SortField,
    /// Greatest first.
    pub descending: bool,
    /// Only rows after this one.
    pub after: Option<Cursor>,
    /// Rows to skip.
    pub offset: u32,
    /// The most rows.
    pub limit: u32,
}

/// One page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// Its rows, in order.
    pub rows: Vec<Sandbox>,
    /// Where the next page begins, if there is one.
    pub next: Option<Cursor>,
    /// How many sandboxes the filter lets through on all pages together.
    pub total: u64,
}
