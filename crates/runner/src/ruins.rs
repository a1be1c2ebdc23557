//! What a killed server leaves on the host and no sandbox uses: found and removed at the next start.

use std::io;
use std::path::Path;

use fs_err as fs;
use linux::cgroup::Hierarchy;

use crate::error::RunnerError;
use crate::net;

/// Removes the sockets in `directory` of what does not run: a crash came in the middle of a start, and whoever connects
/// would wait for an answer that never comes.
pub(crate) fn sweep_sockets(
    directory: &Path,
    runs: impl Fn(&str) -> Result<bool, RunnerError>,
) -> Result<(), RunnerError> {
    let listed = |source| RunnerError::File { action: "list", path: directory.to_owned(), source };
    for entry in fs::read_dir(directory).map_err(listed)? {
        let path = entry.map_err(listed)?.path();
        if runs(path.file_name().and_then(|name| name.to_str()).unwrap_or_default())? {
            continue;
        }
        match fs::remove_file(&path) {
            Err(source) if source.kind() != io::ErrorKind::NotFound => {
                return Err(RunnerError::File { action: "remove", path, source });
            }
            _ => {}
        }
    }
    Ok(())
}

/// Removes the control groups of other servers of this host that were killed; those in which something still runs
/// stay. `instances` are the names that their hosts had.
pub fn remove_groups(instances: &[String]) -> Result<(), RunnerError> {
    if instances.is_empty() {
        return Ok(());
    }
    let failed = |source| RunnerError::Host { action: "remove the control groups of dead servers", source };
    let hierarchy = Hierarchy::detect().map_err(failed)?;
    for instance in instances {
        for place in hierarchy.list(instance) {
            // The kernel refuses to remove a group with processes or groups in it, here and below.
            let _ = hierarchy.group(instance, &place).remove();
        }
        match hierarchy.group("", instance).remove() {
            Err(error) if error.errno() == rustix::io::Errno::BUSY.raw_os_error() => {}
            Err(error) if error.errno() == rustix::io::Errno::NOTEMPTY.raw_os_error() => {}
            removed => removed.map_err(failed)?,
        }
    }
    Ok(())
}

/// Removes the firewall rules of other servers of this host that were killed: every packet of the host walks through
/// them. Those of servers whose sandboxes still run stay. `instances` are the names that their networks had.
pub fn remove_rules(instances: &[String]) -> Result<(), RunnerError> {
    instances
        .iter()
        .try_for_each(|instance| net::remove_rules(instance))
        .map_err(|source| RunnerError::NetworkHost { source })
}
