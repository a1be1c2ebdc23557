//! How much the sandboxes of an organisation may use together, and what each of them counts for.

use crate::sandbox::{Desired, Observed, Sandbox};

/// The most that the sandboxes of one organisation may use together; `None` is no bound.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Quota {
    /// Virtual processors.
    pub cpu: Option<u32>,
    /// Memory in GiB.
    pub memory_gib: Option<u32>,
    /// Disk in GiB.
    pub disk_gib: Option<u32>,
    /// How many sandboxes.
    pub sandboxes: Option<u32>,
}

/// One thing that a quota bounds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dimension {
    /// Virtual processors.
    Cpu,
    /// Memory in GiB.
    Memory,
    /// Disk in GiB.
    Disk,
    /// How many sandboxes.
    Sandboxes,
}

/// What a sandbox counts for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Usage {
    /// Virtual processors.
    pub cpu: u32,
    /// Memory in GiB.
    pub memory_gib: u32,
    /// Disk in GiB.
    pub disk_gib: u32,
    /// One, or none.
    pub sandboxes: u32,
}

impl Dimension {
    /// Every value, in the order in which a caller is told of one that is full.
    pub const ALL: [Self; 4] = [Self::Cpu, Self::Memory, Self::Disk, Self::Sandboxes];
}

impl Quota {
    /// Tells whether nothing is bounded.
    pub fn is_unlimited(&self) -> bool {
        Dimension::ALL.into_iter().all(|dimension| self.most(dimension).is_none())
    }

    /// Returns the bound of one thing.
    pub const fn most(&self, dimension: Dimension) -> Option<u32> {
        match dimension {
            Dimension::Cpu => self.cpu,
            Dimension::Memory => self.memory_gib,
            Dimension::Disk => self.disk_gib,
            Dimension::Sandboxes => self.sandboxes,
        }
    }

    /// Returns the bounds of what `after` uses more of than `before`, and no others: whoever is over a bound may still do
    /// what makes it no worse.
    #[must_use]
    pub fn of_growth(&self, before: Usage, after: Usage) -> Self {
        let grown = |dimension| self.most(dimension).filter(|_| after.of(dimension) > before.of(dimension));
        Self {
            cpu: grown(Dimension::Cpu),
            memory_gib: grown(Dimension::Memory),
            disk_gib: grown(Dimension::Disk),
            sandboxes: grown(Dimension::Sandboxes),
        }
    }
}

impl Usage {
    /// Returns what a sandbox counts for: processors and memory while it runs or is on the way there, its disk as long as
    /// it is on the host. What is archived or on its way out counts for nothing, nor does what failed, as in the contract;
    /// one whose processes ended by themselves has a disk like any that is stopped.
    pub const fn by(sandbox: &Sandbox) -> Self {
        let Sandbox { resources, desired, observed, .. } = sandbox;
        // What failed counts for nothing until it is repaired: then it is on its way back.
        let returns = matches!(observed, Observed::Error)
            && sandbox.recovering
            && !matches!(desired, Desired::Destroyed);
        if !returns && !keeps_disk(*desired, *observed) {
            return Self { cpu: 0, memory_gib: 0, disk_gib: 0, sandboxes: 0 };
        }
        let (cpu, memory_gib) =
            if computes(*desired, *observed) { (resources.cpu, resources.memory_gib) } else { (0, 0) };
        Self { cpu, memory_gib, disk_gib: resources.disk_gib, sandboxes: 1 }
    }

    /// Returns how much it is of one thing.
    pub const fn of(&self, dimension: Dimension) -> u32 {
        match dimension {
            Dimension::Cpu => self.cpu,
            Dimension::Memory => self.memory_gib,
            Dimension::Disk => self.disk_gib,
            Dimension::Sandboxes => self.sandboxes,
        }
    }
}

/// Tells whether a sandbox in these states counts for its disk. The store asks the same of rows, in SQL.
pub const fn keeps_disk(desired: Desired, observed: Observed) -> bool {
    !matches!(desired, Desired::Destroyed)
        && match observed {
            Observed::Error | Observed::Destroyed => false,
            Observed::Archived => matches!(desired, Desired::Started | Desired::Stopped),
            _ => true,
        }
}

/// Tells whether a sandbox that counts for its disk counts for its processors and memory too.
pub const fn computes(desired: Desired, observed: Observed) -> bool {
    match observed {
        Observed::Started => true,
        Observed::Unknown | Observed::Absent => !matches!(desired, Desired::Archived),
        _ => matches!(desired, Desired::Started),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sandbox::state::reported;

    #[test]
    fn what_counts_for_what_is_as_the_contract_says() {
        for desired in Desired::ALL {
            for observed in Observed::ALL {
                let disk = keeps_disk(desired, observed);
                let compute = disk && computes(desired, observed);
                let expected = match reported(desired, observed) {
                    "destroyed" | "destroying" | "archived" => (false, false),
                    // Whose processes ended by themselves can be started again: its disk is kept for that.
                    "error" => (observed == Observed::Ended, false),
                    "stopped" | "paused" => (true, false),
                    // Until its processes are gone.
                    "archiving" => (true, observed == Observed::Started),
                    // A stop of what is paused or absent ends nothing that computes, or nothing yet.
                    "stopping" | "restoring" | "pausing" => (true, compute),
                    "creating" | "started" | "starting" | "resuming" => (true, true),
                    other => panic!("{desired:?} {observed:?}: {other}"),
                };
                assert_eq!((disk, compute), expected, "{desired:?} {observed:?}");
            }
        }
        assert!(computes(Desired::Stopped, Observed::Started), "stopping");
        assert!(computes(Desired::Paused, Observed::Started), "pausing");
        assert!(computes(Desired::Started, Observed::Archived), "restoring");
    }

    #[test]
    fn only_growth_is_bounded() {
        let quota = Quota { cpu: Some(4), disk_gib: Some(9), ..Quota::default() };
        let before = Usage { cpu: 4, memory_gib: 1, disk_gib: 3, sandboxes: 1 };
        let more_disk = Usage { disk_gib: 5, ..before };
        assert_eq!(quota.of_growth(before, more_disk), Quota { disk_gib: Some(9), ..Quota::default() });
        assert!(quota.of_growth(before, Usage { memory_gib: 9, cpu: 1, ..before }).is_unlimited());
    }
}
