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
                let group = self.ground.group(entry.index);
                // One that is paused goes on for as long as it may take to end.
                if !force && group.thaw().is_ok() && linux::process::terminate(&pidfd).is_ok() {
                    // The daemon keeps the grace itself; a second more and it is taken for stuck.
                    let _ = linux::process::wait(&pidfd, self.settings.grace_ms.saturating_add(1000));
                }
                ground::end(&pidfd, &group);
            }
            self.tidy(entry)
        })
    }

    /// Removes everything of a sandbox; one that is not here is already removed.
    pub fn destroy(&self, id: &str) -> Result<(), RunnerError> {
        self.begun.give_up(id);
        let destroyed = self.table.with(id, |entry| {
            if let Some(pidfd) = entry.process.take() {
                ground::end(&pidfd, &self.ground.group(entry.index));
            }
            let image = entry.record.as_ref().map(|record| record.spec.image.clone());
            self.clear(id, entry)?;
            Ok(image)
        });
        let image = destroyed?.flatten();
        self.home(id).remove_aside()?;
        let was_pinned = self.ground.images.unpin(id)?;
        let is_last = image.map_or(Ok(was_pinned), |image| self.ground.images.is_forgotten(&image))?;
        if is_last { self.collect_images() } else { Ok(()) }
    }

    /// Removes what this host has of a sandbox that does not run, and gives its place back.
    pub(crate) fn clear(&self, id: &str, entry: &mut Entry) -> Result<(), RunnerError> {
        self.begun.give_up(id);
        entry.new_disk = None;
        self.ground.release(id, entry.index)?;
        entry.record = None;
        entry.home.remove()?;
        self.remove(id, entry);
        Ok(())
    }

    /// Looks at a sandbox.
    pub fn observe(&self, id: &str) -> Result<Look, RunnerError> {
        let seen = self.table.with(id, |entry| {
            self.let_die(entry);
            if entry.alive() {
                // The kernel knows, also after a restart of this host.
                let is_paused = self.ground.group(entry.index).is_frozen();
                let presence = if is_paused { Presence::Paused } else { Presence::Started };
                return Ok(Look { presence, ended: None });
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

    /// Lets a paused sandbox go on whose first process was killed: where version 1 holds it, it cannot even die.
    fn let_die(&self, entry: &Entry) {
        let (Some(pidfd), Some(process)) = (&entry.process, entry.record.as_ref().and_then(|it| it.process))
        else {
            return;
        };
        if linux::process::is_doomed(process.pid) && self.ground.group(entry.index).thaw().is_ok() {
            // Looked at too early, it is found at the next look.
            let _ = linux::process::wait(pidfd, 1000);
        }
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
