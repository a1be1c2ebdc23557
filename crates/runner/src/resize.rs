//! New limits for a sandbox, running or not.

use linux::cgroup::Group;
use linux::errno::CallError;
use types::resource::bytes_as_text;

use crate::error::RunnerError;
use crate::host::Host;
use crate::sandbox::disk;
use crate::sandbox::spec::Spec;
use crate::table::Entry;

impl Host {
    /// Puts new limits in force; a disk only grows. What cannot be met changes nothing. A crash leaves the record with
    /// the old limits or the new ones: when this is asked again, or the sandbox is started, the rest follows.
    pub fn resize(
        &self,
        id: &str,
        cpu_thousandths: u32,
        memory_bytes: u64,
        disk_bytes: u64,
    ) -> Result<(), RunnerError> {
        self.with(id, |entry| {
            if !entry.alive() {
                // One that ended a moment ago still has its disk mounted.
                self.note_end(entry)?;
            }
            let record = entry.record.clone();
            let mut record = record.ok_or_else(|| RunnerError::Missing { id: id.to_owned() })?;
            let before = record.spec.clone();
            if disk_bytes < before.disk_bytes {
                let (wanted, present) = (bytes_as_text(disk_bytes), bytes_as_text(before.disk_bytes));
                return Err(RunnerError::DiskShrinks { id: id.to_owned(), wanted, present });
            }
            record.spec.cpu_thousandths = cpu_thousandths;
            record.spec.memory_bytes = memory_bytes;
            record.spec.disk_bytes = disk_bytes;
            if !entry.alive() {
                return grow_at_rest(entry, &record.spec).and_then(|()| entry.keep(record));
            }
            let group = self.ground.group(entry.index);
            self.change(&group, &record.spec)?;
            let grown = grow_in_use(entry, &record.spec).and_then(|()| entry.keep(record));
            grown.inspect_err(|_| {
                // What was in force a moment ago can be so again; a disk that has grown is no harm.
                let _ = self.change(&group, &before);
            })
        })
    }

    fn change(&self, group: &Group, spec: &Spec) -> Result<(), RunnerError> {
        group.change(&spec.limits(self.ground.processes)).map_err(|source| {
            let id = spec.id.clone();
            if source.errno() == rustix::io::Errno::BUSY.raw_os_error() {
                let used = bytes_as_text(group.usage().memory_bytes);
                return RunnerError::MemoryInUse { id, wanted: bytes_as_text(spec.memory_bytes), used };
            }
            RunnerError::Kernel { action: "change the limits", id, source }
        })
    }
}

/// The limits of a sandbox that does not run are those of its next start.
pub(crate) fn grow_at_rest(entry: &Entry, spec: &Spec) -> Result<(), RunnerError> {
    disk::grow(&entry.home.disk(), spec.disk_bytes).map_err(|source| failed(spec, source))
}

pub(crate) fn grow_in_use(entry: &Entry, spec: &Spec) -> Result<(), RunnerError> {
    disk::grow_in_use(&entry.home.disk(), spec.disk_bytes).map_err(|source| {
        if source.errno() == rustix::io::Errno::PERM.raw_os_error() {
            return RunnerError::DiskInUse { id: spec.id.clone(), source };
        }
        failed(spec, source)
    })
}

fn failed(spec: &Spec, source: CallError) -> RunnerError {
    RunnerError::Kernel { action: "grow the disk", id: spec.id.clone(), source }
}
