//! What only one server may use: its data directory, and the addresses and ids of its sandboxes.

use std::fs::File;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};

use fs_err as fs;
use runner::net::subnet::Subnet;
use runner::place::IDS_PER_SANDBOX;
use rustix::fs::{FlockOperation, flock};
use service::settings::SandboxSettings;
use sha2::{Digest as _, Sha256};

use crate::error::ServerError;

/// How many servers one host can hold that say no network of their own.
const SLOTS: u8 = 10;

/// What was claimed; released with the process, however it ends.
#[derive(Debug)]
pub(crate) struct Claim {
    /// A short name that differs between servers of one host.
    pub(crate) instance: String,
    /// Addresses of sandboxes.
    pub(crate) network: Subnet,
    /// First id of sandboxes.
    pub(crate) id_base: u32,
    /// Hold the locks.
    _locks: [File; 2],
}

impl Claim {
    /// Claims the data directory and a network: the one that was said, or else the first free one of ten.
    pub(crate) fn take(
        data_directory: &Path,
        sandbox: &SandboxSettings,
        said: bool,
        locks: &Path,
    ) -> Result<Self, ServerError> {
        let path = data_directory.join("lock");
        let directory = lock(&path)?.ok_or(ServerError::DirectoryInUse { path })?;
        let private = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        fs::create_dir_all(locks).and_then(|()| fs::set_permissions(locks, private)).map_err(|source| {
            ServerError::File { action: "make directory", path: locks.to_owned(), source }
        })?;
        let instance = instance(data_directory);
        let chosen = data_directory.join("network");
        let earlier = fs::read_to_string(&chosen).ok().and_then(|text| text.trim().parse::<u8>().ok());
        let slots = match earlier {
            _ if said => 0..1,
            // Sandboxes of an earlier run have its addresses and ids.
            Some(slot) if slot < SLOTS => slot..slot + 1,
            _ => 0..SLOTS,
        };
        for slot in slots {
            let network = shifted(sandbox.network.address, sandbox.network.prefix_length, slot);
            let name = network.to_string().replace('/', "_");
            let Some(held) = lock(&locks.join(format!("network-{name}.lock")))? else { continue };
            let free = runner::net::is_free(network, &instance);
            if !free.map_err(|source| ServerError::Network { source })? {
                continue;
            }
            fs::write(&chosen, slot.to_string()).map_err(|source| ServerError::File {
                action: "write",
                path: chosen.clone(),
                source,
            })?;
            let ids = u32::from(slot).saturating_mul(sandbox.id_range_count).saturating_mul(IDS_PER_SANDBOX);
            let id_base = sandbox.id_range_start.saturating_add(ids);
            return Ok(Self { instance, network, id_base, _locks: [directory, held] });
        }
        Err(ServerError::NetworkInUse { network: sandbox.network.to_string() })
    }
}

/// Returns the `slot`th network of the same size after the first.
fn shifted(first: Ipv4Addr, prefix: u8, slot: u8) -> Subnet {
    let size = 1_u32.checked_shl(32 - u32::from(prefix)).unwrap_or_default();
    Subnet::around(
        Ipv4Addr::from_bits(first.to_bits().wrapping_add(size.wrapping_mul(u32::from(slot)))),
        prefix,
    )
}

/// Locks a file for as long as it is open; `None` when another process holds it.
fn lock(path: &PathBuf) -> Result<Option<File>, ServerError> {
    let failed = |action, source| ServerError::File { action, path: path.clone(), source };
    let opened = File::options().create(true).truncate(false).write(true).open(path);
    let file = opened.map_err(|source| failed("open", source))?;
    match flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(Some(file)),
        Err(rustix::io::Errno::WOULDBLOCK) => Ok(None),
        Err(error) => Err(failed("lock", error.into())),
    }
}

/// Derives a name from the data directory, so that a restarted server finds what it left on the host.
pub fn instance(data_directory: &Path) -> String {
    let digest = Sha256::digest(data_directory.as_os_str().as_encoded_bytes());
    types::hex::encode(digest.get(..3).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;
    use service::network::Ipv4Network;

    #[test]
    fn two_servers_never_share() {
        let home = tempfile::tempdir().unwrap();
        let network = Ipv4Network::parse("10.231.0.0/20").unwrap();
        let sandbox = SandboxSettings {
            network,
            network_allow: vec![],
            id_range_start: 1_000_000,
            id_range_count: 4096,
        };
        let (one, two) = (home.path().join("one"), home.path().join("two"));
        for directory in [&one, &two] {
            std::fs::create_dir(directory).unwrap();
        }
        let locks = home.path().join("locks");
        let first = Claim::take(&one, &sandbox, false, &locks).unwrap();
        let second = Claim::take(&two, &sandbox, false, &locks).unwrap();
        assert_ne!(first.instance, second.instance);
        assert_eq!(second.network.to_string(), "10.231.16.0/20");
        assert_eq!(second.id_base - first.id_base, 4096 * IDS_PER_SANDBOX);
        assert!(matches!(
            Claim::take(&one, &sandbox, false, &locks),
            Err(ServerError::DirectoryInUse { .. })
        ));
        drop((first, second));
        let again = Claim::take(&two, &sandbox, false, &locks).unwrap();
        assert_eq!(again.network.to_string(), "10.231.16.0/20", "a server keeps the network it had");
        let _first = Claim::take(&one, &sandbox, false, &locks).unwrap();
        drop(again);
        assert!(matches!(Claim::take(&two, &sandbox, true, &locks), Err(ServerError::NetworkInUse { .. })));
    }
}
