//! Volumes that a sandbox gets while it runs.

use crate::error::RunnerError;
use crate::host::Host;
use crate::sandbox::spec::Mount;

const ATTACH: &str = "mount a volume";

impl Host {
    /// Mounts a volume into a sandbox, now if it runs and at each start; one that is at that path already stays.
    pub fn attach(&self, id: &str, wanted: &Mount) -> Result<(), RunnerError> {
        self.with(id, |entry| {
            let missing = || RunnerError::Missing { id: id.to_owned() };
            let mut record = entry.record.clone().ok_or_else(missing)?;
            if record.spec.volumes.contains(wanted) {
                return Ok(());
            }
            let kernel = |source| RunnerError::Kernel { action: ATTACH, id: id.to_owned(), source };
            if entry.alive()
                && let Some(process) = record.process
            {
                let namespace = linux::namespace::user_namespace(process.pid).map_err(kernel)?;
                let mounted = self.ground.volumes.mount(wanted, &namespace)?;
                let pidfd = entry.process.as_ref().ok_or_else(missing)?;
                self.ground.spawner.attach(pidfd, process.pid, &mounted, &wanted.path)?;
            }
            // Written last: what could not be mounted is not tried again at the next start.
            record.spec.volumes.push(wanted.clone());
            entry.keep(record)
        })
    }
}
