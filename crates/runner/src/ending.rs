//! How sandboxes end: stopped, removed, or by themselves.

use crate::error::RunnerError;
use crate::ground;
use crate::host::{Host, Look, Presence};
use crate::sandbox::condition;
use crate::sandbox::spec::Record;
use crate::table::Entry;

/// Said of a sandbox that is here and cannot be used.
const ASIDE: &str = "its record on the host is damaged; its files were put aside there, for the operator";

impl Host {
    /// Ends every process; with `force` without asking them first. The files stay.
    pub fn stop(&self, id: &str, force: bool) -> Result<(), RunnerError> {
        self.with(id, |entry| {
            if let Some(pidfd) = entry.process.take() {
                if !force && linux::process::terminate(&pidfd).is_ok() {
                    // The daemon keeps the grace itself; a second more and it is taken for stuck.
                    let _ = linux::process::wait(&pidfd, self.settings.grace_ms.saturating_add(1000));
                }
                ground::end(&pidfd);
            }
            self.tidy(entry)
        })
    }

    /// Removes everything of a sandbox; one that is not here is already removed.
    pub fn destroy(&self, id: &str) -> Result<(), RunnerError> {
        let destroyed = self.table.with(id, |entry| {
            if let Some(pidfd) = entry.process.take() {
                ground::end(&pidfd);
            }
            entry.new_disk = None;
            self.ground.release(id, entry.index)?;
            entry.record = None;
            entry.home.remove()?;
            self.remove(id, entry);
            Ok(())
        });
        destroyed?;
        self.home(id).remove_aside()
    }

    /// Looks at a sandbox.
    pub fn observe(&self, id: &str) -> Result<Look, RunnerError> {
        let seen = self.table.with(id, |entry| {
            if entry.alive() {
                return Ok(Look { presence: Presence::Started, ended: None });
            }
            self.note_end(entry)?;
            let Some(record) = &entry.record else {
                return Ok(Look { presence: Presence::Absent, ended: None });
            };
            Ok(Look { presence: Presence::Stopped, ended: record.ended.clone() })
        });
        let ended = || self.home(id).is_aside().then(|| ASIDE.to_owned());
        seen.map(|seen| seen.unwrap_or_else(|| Look { presence: Presence::Absent, ended: ended() }))
    }

    /// Takes note of a first process that ended although nobody had asked for it, and releases what it held.
    pub(crate) fn note_end(&self, entry: &mut Entry) -> Result<(), RunnerError> {
        let Some(process) = &entry.process else { return Ok(()) };
        if let Some(record) = &mut entry.record {
            record.ended = Some(condition::ended(process, &record.spec, &self.ground.group(entry.index)));
        }
        self.tidy(entry)?;
        entry.process = None;
        Ok(())
    }

    /// Releases what a sandbox holds only while it runs.
    pub(crate) fn tidy(&self, entry: &mut Entry) -> Result<(), RunnerError> {
        let Some(record) = &entry.record else { return Ok(()) };
        let id = record.spec.id.clone();
        if record.process.is_some() {
            let ended = Record { process: None, ..record.clone() };
            entry.keep(ended)?;
        }
        if let Some(disk) = entry.new_disk.take() {
            // It is kept, so it shall survive a power cut too; one that fails here is as safe as it was.
            let _ = disk.set_barriers().map(|()| entry.home.sync());
        }
        entry.home.remove_socket()?;
        self.ground.release(&id, entry.index)
    }
}
