//! What root inside may do (capabilities(7)).

use rustix::thread::{CapabilitySet, CapabilitySets};

use crate::errno::{CallError, Context as _};

/// What is left to root inside a sandbox: enough to install packages, change owners and users, and bind low ports.
/// Everything is confined to the sandbox's own user namespace. Not among them: mounting (`SYS_ADMIN`), changing
/// the network (`NET_ADMIN`), tracing across users (`SYS_PTRACE`), modules, time, devices.
pub const KEPT: CapabilitySet = CapabilitySet::CHOWN
    .union(CapabilitySet::DAC_OVERRIDE)
    .union(CapabilitySet::FOWNER)
    .union(CapabilitySet::FSETID)
    .union(CapabilitySet::KILL)
    .union(CapabilitySet::SETGID)
    .union(CapabilitySet::SETUID)
    .union(CapabilitySet::SETPCAP)
    .union(CapabilitySet::NET_BIND_SERVICE)
    .union(CapabilitySet::NET_RAW)
    .union(CapabilitySet::SYS_CHROOT)
    .union(CapabilitySet::AUDIT_WRITE)
    .union(CapabilitySet::SETFCAP);

/// Gives up everything but [`KEPT`], for this process and all that it will execute.
pub fn drop_all_but_kept() -> Result<(), CallError> {
    for bit in 0..64 {
        let capability = CapabilitySet::from_bits_retain(1 << bit);
        if KEPT.contains(capability) {
            continue;
        }
        match rustix::thread::remove_capability_from_bounding_set(capability) {
            // The kernel knows fewer capabilities than 64: past the last one there is nothing to drop.
            Ok(()) | Err(rustix::io::Errno::INVAL) => {}
            Err(error) => return Err(error).context("prctl PR_CAPBSET_DROP", bit),
        }
    }
    let sets = CapabilitySets { effective: KEPT, permitted: KEPT, inheritable: CapabilitySet::empty() };
    rustix::thread::set_capabilities(None, sets).context("capset", "kept")
}
