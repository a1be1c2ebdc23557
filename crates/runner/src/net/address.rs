//! Names and addresses: both follow from the instance, the sandbox's id and its index, so nothing is remembered.

use std::net::Ipv4Addr;

use sha2::{Digest, Sha256};

use crate::net::subnet::Subnet;

/// Links have names of at most 15 bytes.
const LINK_NAME_BYTES: usize = 15;
/// Digits of a sandbox's id that fit behind the shortest prefix: 48 random bits.
const ID_DIGITS: usize = 12;
/// Length of the prefix of a pair's network: two addresses, neither of them wasted (RFC 3021).
pub(super) const PAIR_PREFIX: u8 = 31;

/// How the objects of one server on this machine are named.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Names {
    /// Its table of packet filter rules.
    pub table: String,
    /// What the name of each of its links starts with. No prefix is the start of another.
    pub link_prefix: String,
}

impl Names {
    /// Derives the names of an instance; the empty one gets the plain names.
    pub fn of(instance: &str) -> Self {
        if instance.is_empty() {
            return Self { table: "daytona".to_owned(), link_prefix: "dt-".to_owned() };
        }
        let mark = mark(instance);
        Self { table: format!("daytona_{mark}"), link_prefix: format!("dt{mark}-") }
    }

    /// Returns the name of a sandbox's link; `None` when the id has too few digits to tell sandboxes apart.
    pub fn link(&self, sandbox_id: &str) -> Option<String> {
        let wanted = (LINK_NAME_BYTES - self.link_prefix.len().min(LINK_NAME_BYTES)).min(ID_DIGITS);
        let digits: String = sandbox_id.chars().filter(char::is_ascii_hexdigit).take(wanted).collect();
        (digits.len() == wanted).then(|| format!("{}{}", self.link_prefix, digits.to_ascii_lowercase()))
    }
}

/// Three characters that stand for an instance: one of 29,791, without vowels so that they spell nothing.
fn mark(instance: &str) -> String {
    const ALPHABET: &[u8; 31] = b"0123456789bcdfghjklmnpqrstvwxyz";
    let digest = Sha256::digest(instance.as_bytes());
    let character =
        |byte: &u8| ALPHABET.get(usize::from(byte % 31)).map_or('0', |letter| char::from(*letter));
    digest.iter().take(3).map(character).collect()
}

/// The two addresses of a sandbox's link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pair {
    /// The host's end: the sandbox's gateway.
    pub host: Ipv4Addr,
    /// The sandbox's end.
    pub sandbox: Ipv4Addr,
}

/// Returns how many pairs the pool has.
pub fn capacity(pool: Subnet) -> u32 {
    (pool.last().to_bits() - pool.first().to_bits()).div_ceil(2)
}

/// Returns the pair of an index: addresses `2 × index` and `2 × index + 1` of the pool; `None` beyond its end.
pub fn pair(pool: Subnet, index: u32) -> Option<Pair> {
    if index >= capacity(pool) {
        return None;
    }
    let host = pool.first().to_bits() + index * 2;
    Some(Pair { host: Ipv4Addr::from_bits(host), sandbox: Ipv4Addr::from_bits(host + 1) })
}

#[cfg(test)]
mod tests {
    use super::{Names, capacity, pair};

    #[test]
    fn names_fit_the_kernel_and_tell_instances_apart() {
        let plain = Names::of("");
        let id = "0a1b2c3d-4e5f-4789-8abc-def012345678";
        assert_eq!(plain.link(id).as_deref(), Some("dt-0a1b2c3d4e5f"));
        assert_eq!(plain.table, "daytona");
        let other = Names::of("demo");
        assert_eq!(other.link(id).map(|name| name.len()), Some(15));
        assert_ne!(other, Names::of("test"));
        assert!(!other.link_prefix.starts_with(&plain.link_prefix));
        assert!(!plain.link_prefix.starts_with(&other.link_prefix));
        assert_eq!(plain.link("abc"), None);
    }

    #[test]
    fn each_index_has_two_addresses_of_the_pool() {
        let pool = "10.210.0.0/16".parse().expect("a network");
        assert_eq!(capacity(pool), 32_768);
        let text = |index| pair(pool, index).map(|pair| format!("{} {}", pair.host, pair.sandbox));
        assert_eq!(text(0).as_deref(), Some("10.210.0.0 10.210.0.1"));
        assert_eq!(text(300).as_deref(), Some("10.210.2.88 10.210.2.89"));
        assert_eq!(text(32_767).as_deref(), Some("10.210.255.254 10.210.255.255"));
        assert_eq!(text(32_768), None);
        assert_eq!(capacity("192.0.2.0/31".parse().expect("a network")), 1);
        assert_eq!(capacity("192.0.2.0/32".parse().expect("a network")), 0);
    }
}
