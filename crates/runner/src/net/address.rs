//! Names and addresses: both follow from the instance and the place's index, so nothing is remembered.

use std::net::Ipv4Addr;

use sha2::{Digest, Sha256};

use types::network::Ipv4Network;

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

    /// Returns the name of a place's link: at most 14 bytes, of the 15 that the kernel takes.
    pub fn link(&self, index: u32) -> String {
        format!("{}{index:04x}", self.link_prefix)
    }

    /// Returns the first group of packet reports to try: far from those that people choose, and different for each
    /// instance.
    pub(super) fn log_group(&self) -> u16 {
        let digest = Sha256::digest(self.table.as_bytes());
        0x8000 | digest.first_chunk().map_or(0, |pair| u16::from_be_bytes(*pair))
    }

    /// Returns the place of a link; `None` when the name is none of ours.
    pub fn place(&self, link: &str) -> Option<u32> {
        let digits = link.strip_prefix(self.link_prefix.as_str())?;
        u32::from_str_radix(digits, 16).ok().filter(|index| self.link(*index) == link)
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
pub fn capacity(pool: Ipv4Network) -> u32 {
    (pool.last().to_bits() - pool.address.to_bits()).div_ceil(2)
}

/// Returns the pair of an index: addresses `2 × index` and `2 × index + 1` of the pool; `None` beyond its end.
pub fn pair(pool: Ipv4Network, index: u32) -> Option<Pair> {
    if index >= capacity(pool) {
        return None;
    }
    let host = pool.address.to_bits() + index * 2;
    Some(Pair { host: Ipv4Addr::from_bits(host), sandbox: Ipv4Addr::from_bits(host + 1) })
}

#[cfg(test)]
mod tests {
    use super::{Names, capacity, pair};

    #[test]
    fn names_fit_the_kernel_and_tell_instances_apart() {
        let plain = Names::of("");
        assert_eq!(plain.link(300), "dt-012c");
        assert_eq!(plain.table, "daytona");
        let other = Names::of("demo");
        assert_eq!(other.link(u32::MAX).len(), 14);
        for index in [0, 1, 0xffff, 0x1_0000, u32::MAX] {
            assert_eq!(other.place(&other.link(index)), Some(index));
        }
        for stranger in ["dt-0001", "eth0", "", &format!("{}1", other.link_prefix), &other.link_prefix] {
            assert_eq!(other.place(stranger), None, "{stranger}");
        }
        assert_ne!(other, Names::of("test"));
        assert!(!other.link_prefix.starts_with(&plain.link_prefix));
        assert!(!plain.link_prefix.starts_with(&other.link_prefix));
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
