//! How a sandbox is isolated: probed at its first process, not read from settings.
//!
//! Everything is read from outside, where the sandbox cannot answer for the kernel, and anew for every question: limits
//! and rules may have changed since the last.

mod layer;

use std::os::fd::AsFd as _;
use std::path::Path;

use rustix::fs::SealFlags;
use types::inspection::Isolation;

use crate::error::{RunnerError, chain};
use crate::host::Host;
use crate::isolation::layer::{COVERED, Evidence, NAMESPACES};
use crate::net::address::Names;
use crate::sandbox::spec::{Process, Record};

impl Host {
    /// Probes how a running sandbox is isolated; `None` when it does not run.
    pub fn isolation(&self, id: &str) -> Result<Option<Isolation>, RunnerError> {
        let looked = self.table.with(id, |entry| {
            let record = entry.record.clone().filter(|_| entry.alive());
            Ok(record.and_then(|record| Some((record.process?, record, entry.index))))
        })?;
        let Some((process, record, index)) = looked.flatten() else { return Ok(None) };
        let evidence = self.evidence(process, &record, index);
        // The process may have ended while it was looked at, and its id may be another's now.
        if !process.is_alive() {
            return Ok(None);
        }
        Ok(Some(Isolation {
            class: "container".to_owned(),
            kernel: "shared".to_owned(),
            layers: layer::layers(&evidence),
        }))
    }

    fn evidence(&self, process: Process, record: &Record, index: u32) -> Evidence {
        let pid = process.pid;
        let read = |file: &str| std::fs::read_to_string(format!("/proc/{pid}/{file}")).unwrap_or_default();
        let group = self.ground.group(index);
        let names = Names::of(&self.settings.network.instance);
        Evidence {
            status: read("status"),
            id_map: read("uid_map"),
            mounts: read("mountinfo"),
            absent: COVERED.into_iter().filter(|path| !Path::new(path).exists()).collect(),
            shared_namespaces: NAMESPACES
                .into_iter()
                .filter(|name| {
                    let (its, ours) = (format!("/proc/{pid}/ns/{name}"), format!("/proc/self/ns/{name}"));
                    // One that cannot be read is not known to be its own.
                    link(&its).is_empty() || link(&its) == link(&ours)
                })
                .collect(),
            program: link(&format!("/proc/{pid}/exe")),
            is_sealed: is_sealed(pid),
            limits: group.limits().map_err(|error| chain(&error)),
            is_limited: group.processes().contains(&pid),
            ordered: record.spec.limits(self.ground.processes),
            root_bytes: root_bytes(pid),
            disk_bytes: record.spec.disk_bytes,
            has_link: Path::new("/sys/class/net").join(names.link(index)).exists(),
            // Looks at the host's rules, and puts back what somebody took away.
            rules: self.ground.network.check().map(drop).map_err(|error| chain(&error)),
            trouble: self.ground.network.trouble(),
            policy: record.spec.network(),
        }
    }
}

/// Reads where a link of `/proc` leads; empty when it is not there.
fn link(path: &str) -> String {
    std::fs::read_link(path).map(|target| target.to_string_lossy().into_owned()).unwrap_or_default()
}

/// Tells whether the program of a process is memory that nobody can change.
fn is_sealed(pid: i32) -> bool {
    let wanted = SealFlags::WRITE | SealFlags::GROW | SealFlags::SHRINK | SealFlags::SEAL;
    std::fs::File::open(format!("/proc/{pid}/exe")).is_ok_and(|program| {
        rustix::fs::fcntl_get_seals(program.as_fd()).is_ok_and(|seals| seals.contains(wanted))
    })
}

/// Returns the size of the file system that a process has as its root.
fn root_bytes(pid: i32) -> Option<u64> {
    let found = rustix::fs::statfs(format!("/proc/{pid}/root")).ok()?;
    found.f_blocks.checked_mul(u64::try_from(found.f_bsize).ok()?)
}
