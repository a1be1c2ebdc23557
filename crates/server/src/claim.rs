//! What only one server may use: its data directory, and the addresses and ids of its sandboxes.

use std::fs::File;
use std::net::Ipv4Addr;
use std::ops::Range;
use std::path::Path;

use fs_err as fs;
use runner::place::IDS_PER_SANDBOX;
use rustix::fs::{FlockOperation, flock};
use service::settings::SandboxSettings;
use sha2::{Digest as _, Sha256};
use types::network::Ipv4Network;

use crate::error::ServerError;
use crate::neighbour;

/// How many servers one host can hold that say no network of their own.
const SLOTS: u8 = 10;

/// What was claimed; released with the process, however it ends.
#[derive(Debug)]
pub(crate) struct Claim {
    /// A short name that differs between servers of one host.
    pub(crate) instance: String,
    /// Addresses of sandboxes.
    pub(crate) network: Ipv4Network,
    /// First id of sandboxes.
    pub(crate) id_base: u32,
    /// Servers of this host that were killed and left control groups behind.
    pub(crate) dead: Vec<String>,
    /// Hold the locks.
    _locks: [File; 3],
    _entry: neighbour::Held,
}

impl Claim {
    /// Claims the data directory, a network (the one that was said, or else the first free one of ten), and apart from
    /// it the first free range of ids.
    pub(crate) fn take(
        data_directory: &Path,
        sandbox: &SandboxSettings,
        said: bool,
        locks: &Path,
    ) -> Result<Self, ServerError> {
        let path = data_directory.join("lock");
        let directory = lock(&path)?.ok_or(ServerError::DirectoryInUse { path })?;
        let readable = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        fs::create_dir_all(locks).and_then(|()| fs::set_permissions(locks, readable)).map_err(|source| {
            ServerError::File { action: "make directory", path: locks.to_owned(), source }
        })?;
        let instance = instance(data_directory);
        let registry = neighbour::Registry::open(locks, &instance)?;
        let ground = Ground { data_directory, neighbours: registry.neighbours() };
        // Directories from before ids were claimed apart have those of their network; a new one has neither yet.
        let id_slots = ground.slots(&["ids", "network"]);
        let (network, addresses) = ground.network(sandbox, said, locks, &instance)?;
        let (id_base, ids) = ground.ids(sandbox, id_slots, locks)?;
        let last = id_base.saturating_add(sandbox.id_range_count.saturating_mul(IDS_PER_SANDBOX) - 1);
        let entry = registry.enter(&neighbour::Entry {
            data_directory: data_directory.to_owned(),
            addresses: (network.address.to_bits(), network.last().to_bits()),
            ids: (id_base, last),
        })?;
        let dead = registry.dead();
        Ok(Self { instance, network, id_base, dead, _locks: [directory, addresses, ids], _entry: entry })
    }
}

/// What is known when ranges are chosen.
struct Ground<'a> {
    data_directory: &'a Path,
    neighbours: Vec<neighbour::Entry>,
}

impl Ground<'_> {
    /// Claims a network; the lock is on those addresses.
    fn network(
        &self,
        sandbox: &SandboxSettings,
        said: bool,
        locks: &Path,
        instance: &str,
    ) -> Result<(Ipv4Network, File), ServerError> {
        let path = locks.join("addresses");
        let slots = if said { 0..1 } else { self.slots(&["network"]) };
        let settled = said || slots.len() == 1;
        for slot in slots {
            let network = shifted(sandbox.network.address, sandbox.network.prefix_length, slot);
            let range = (network.address.to_bits(), network.last().to_bits());
            if !settled && self.neighbours.iter().any(|entry| overlap(entry.addresses, range)) {
                continue;
            }
            // A descriptor for each: what turns out not to be free is not kept from others.
            let file = open(&path)?;
            if !try_lock(&file, range, &path)? {
                continue;
            }
            let free = runner::net::is_free(network, instance);
            if free.map_err(|source| ServerError::Network { source })? {
                if !said {
                    self.choose("network", slot)?;
                }
                return Ok((network, file));
            }
        }
        Err(ServerError::NetworkInUse { network: sandbox.network.to_string() })
    }

    /// Claims ids; the lock is on those ids. They are claimed apart from the network: two servers that each say a
    /// network of their own must not share ids either.
    fn ids(
        &self,
        sandbox: &SandboxSettings,
        slots: Range<u8>,
        locks: &Path,
    ) -> Result<(u32, File), ServerError> {
        let file = open(&locks.join("ids"))?;
        let count = sandbox.id_range_count.saturating_mul(IDS_PER_SANDBOX);
        let settled = slots.len() == 1;
        for slot in slots {
            let first = u32::from(slot)
                .checked_mul(count)
                .and_then(|shift| sandbox.id_range_start.checked_add(shift));
            let Some((first, last)) =
                first.and_then(|first| Some((first, first.checked_add(count.checked_sub(1)?)?)))
            else {
                break;
            };
            if !settled && self.neighbours.iter().any(|entry| overlap(entry.ids, (first, last))) {
                continue;
            }
            if try_lock(&file, (first, last), &locks.join("ids"))? {
                self.choose("ids", slot)?;
                return Ok((first, file));
            }
        }
        Err(ServerError::IdsInUse { start: sandbox.id_range_start })
    }

    /// Returns the slots to try: only the one of an earlier run, because its sandboxes have that slot's addresses and
    /// ids, or else all.
    fn slots(&self, names: &[&str]) -> Range<u8> {
        let earlier = names.iter().find_map(|name| {
            let text = fs::read_to_string(self.data_directory.join(name)).ok()?;
            text.trim().parse::<u8>().ok().filter(|slot| *slot < SLOTS)
        });
        earlier.map_or(0..SLOTS, |slot| slot..slot + 1)
    }

    fn choose(&self, name: &str, slot: u8) -> Result<(), ServerError> {
        let path = self.data_directory.join(name);
        let chosen = slot.to_string();
        if fs::read_to_string(&path).is_ok_and(|known| known == chosen) {
            return Ok(());
        }
        linux::replace::replace(&path, chosen.as_bytes(), 0o600).map_err(|source| ServerError::File {
            action: "write",
            path,
            source,
        })
    }
}

fn overlap(left: (u32, u32), right: (u32, u32)) -> bool {
    left.0 <= right.1 && right.0 <= left.1
}

fn open(path: &Path) -> Result<File, ServerError> {
    let opened = File::options().create(true).truncate(false).write(true).open(path);
    opened.map_err(|source| ServerError::File { action: "open", path: path.to_owned(), source })
}

/// Locks a range of numbers for as long as the file is open; tells whether it was free.
fn try_lock(file: &File, (first, last): (u32, u32), path: &Path) -> Result<bool, ServerError> {
    let range = u64::from(first)..u64::from(last) + 1;
    linux::range_lock::try_lock(file, &range).map_err(|source| ServerError::File {
        action: "lock",
        path: path.to_owned(),
        source,
    })
}

/// Returns the `slot`th network of the same size after the first.
fn shifted(first: Ipv4Addr, prefix: u8, slot: u8) -> Ipv4Network {
    let size = 1_u32.checked_shl(32 - u32::from(prefix)).unwrap_or_default();
    Ipv4Network::around(
        Ipv4Addr::from_bits(first.to_bits().wrapping_add(size.wrapping_mul(u32::from(slot)))),
        prefix,
    )
}

/// Locks a file for as long as it is open; `None` when another process holds it.
fn lock(path: &Path) -> Result<Option<File>, ServerError> {
    let failed = |action, source| ServerError::File { action, path: path.to_owned(), source };
    let file = open(path)?;
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
    use types::network::Ipv4Network;

    fn settings(network: &str) -> SandboxSettings {
        let network = Ipv4Network::parse(network).unwrap();
        SandboxSettings { network, network_allow: vec![], id_range_start: 1_000_000, id_range_count: 4096 }
    }

    #[test]
    fn two_servers_never_share() {
        let home = tempfile::tempdir().unwrap();
        let sandbox = settings("10.231.0.0/20");
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

    #[test]
    fn two_servers_that_say_their_networks_have_ids_of_their_own() {
        let home = tempfile::tempdir().unwrap();
        let locks = home.path().join("locks");
        let claim = |name: &str, network: &str| {
            let directory = home.path().join(name);
            std::fs::create_dir_all(&directory).unwrap();
            Claim::take(&directory, &settings(network), true, &locks)
        };
        let first = claim("one", "10.232.0.0/24").unwrap();
        let second = claim("two", "10.232.1.0/24").unwrap();
        assert_eq!(second.id_base - first.id_base, 4096 * IDS_PER_SANDBOX);
        // A network inside another's is not free either.
        assert!(matches!(claim("three", "10.232.0.128/25"), Err(ServerError::NetworkInUse { .. })));
        drop((first, second));
        assert_eq!(claim("two", "10.232.1.0/24").unwrap().id_base, 1_000_000 + 4096 * IDS_PER_SANDBOX);
    }

    #[test]
    fn what_sandboxes_of_a_dead_server_use_is_not_given_to_another() {
        let home = tempfile::tempdir().unwrap();
        let locks = home.path().join("locks");
        let (one, two) = (home.path().join("one"), home.path().join("two"));
        std::fs::create_dir_all(one.join("sandboxes/some")).unwrap();
        std::fs::create_dir_all(&two).unwrap();
        let sandbox = settings("10.231.160.0/24");
        let first = Claim::take(&one, &sandbox, false, &locks).unwrap();
        let (network, ids, dead) = (first.network, first.id_base, first.instance.clone());
        drop(first);
        let second = Claim::take(&two, &sandbox, false, &locks).unwrap();
        assert!(second.network != network && second.id_base != ids);
        assert_eq!(second.dead, [dead]);
        let again = Claim::take(&one, &sandbox, false, &locks).unwrap();
        assert_eq!((again.network, again.id_base), (network, ids));
        assert!(again.dead.is_empty(), "the second lives");
    }
}
