//! Subnets in CIDR notation, and the disjoint ranges that a set of them covers.

use std::fmt;
use std::net::Ipv4Addr;
use std::str::FromStr;

/// An IPv4 network such as `10.0.0.0/8`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Subnet {
    first: u32,
    prefix: u8,
}

/// The text names no network.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is no IPv4 network: expected an address without host bits, `/` and a length from 0 to 32")]
pub struct InvalidSubnet {
    /// The text that was given.
    pub text: String,
}

impl Subnet {
    /// Makes the network that `address` is in.
    pub const fn around(address: Ipv4Addr, prefix: u8) -> Self {
        let prefix = if prefix > 32 { 32 } else { prefix };
        Self { first: address.to_bits() & mask(prefix), prefix }
    }

    /// Returns its first address.
    pub const fn first(self) -> Ipv4Addr {
        Ipv4Addr::from_bits(self.first)
    }

    /// Returns its last address.
    pub const fn last(self) -> Ipv4Addr {
        Ipv4Addr::from_bits(self.first | !mask(self.prefix))
    }

    /// Returns the length of its prefix.
    pub const fn prefix(self) -> u8 {
        self.prefix
    }

    /// Returns whether the address is in it.
    pub const fn contains(self, address: Ipv4Addr) -> bool {
        address.to_bits() & mask(self.prefix) == self.first
    }
}

const fn mask(prefix: u8) -> u32 {
    if prefix == 0 { 0 } else { u32::MAX << (32 - prefix) }
}

impl FromStr for Subnet {
    type Err = InvalidSubnet;

    fn from_str(text: &str) -> Result<Self, InvalidSubnet> {
        let parsed = text.split_once('/').and_then(|(address, prefix)| {
            let address: Ipv4Addr = address.parse().ok()?;
            let prefix: u8 = prefix.parse().ok().filter(|prefix| *prefix <= 32)?;
            Some(Self::around(address, prefix)).filter(|network| network.first() == address)
        });
        parsed.ok_or_else(|| InvalidSubnet { text: text.to_owned() })
    }
}

impl fmt::Display for Subnet {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}/{}", self.first(), self.prefix)
    }
}

/// Returns what the networks cover together, as ranges in order that neither overlap nor touch.
pub fn cover(networks: &[Subnet]) -> Vec<(Ipv4Addr, Ipv4Addr)> {
    let mut sorted: Vec<(Ipv4Addr, Ipv4Addr)> =
        networks.iter().map(|network| (network.first(), network.last())).collect();
    sorted.sort_unstable();
    let mut ranges: Vec<(Ipv4Addr, Ipv4Addr)> = Vec::with_capacity(sorted.len());
    for (first, last) in sorted {
        match ranges.last_mut() {
            Some((_, end)) if first.to_bits() <= end.to_bits().saturating_add(1) => *end = last.max(*end),
            _ => ranges.push((first, last)),
        }
    }
    ranges
}

#[cfg(test)]
mod tests {
    use super::{Subnet, cover};

    fn networks(texts: &[&str]) -> Vec<Subnet> {
        texts.iter().map(|text| text.parse().expect("a network")).collect()
    }

    #[test]
    fn only_whole_networks_are_read_and_they_print_as_read() {
        for text in ["0.0.0.0/0", "10.0.0.0/8", "192.0.2.7/32", "255.255.255.254/31"] {
            let network: Subnet = text.parse().expect("a network");
            assert_eq!(network.to_string(), text);
            assert!(network.contains(network.first()) && network.contains(network.last()));
        }
        for text in
            ["", "10.0.0.0", "10.0.0.1/8", "10.0.0.0/33", "10.0.0.0/-1", "10.0.0/8", "::/0", "10.0.0.0/8 "]
        {
            assert!(text.parse::<Subnet>().is_err(), "{text}");
        }
    }

    #[test]
    fn overlapping_and_touching_networks_become_one_range() {
        let covered = |texts: &[&str]| -> Vec<String> {
            cover(&networks(texts)).iter().map(|(first, last)| format!("{first}-{last}")).collect()
        };
        assert_eq!(covered(&[]), [""; 0]);
        assert_eq!(
            covered(&[
                "240.0.0.0/4",
                "10.1.0.0/16",
                "224.0.0.0/4",
                "10.0.0.0/8",
                "10.0.0.0/16",
                "11.0.0.0/32"
            ]),
            ["10.0.0.0-11.0.0.0", "224.0.0.0-255.255.255.255"]
        );
        assert_eq!(covered(&["0.0.0.0/0", "1.2.3.4/32"]), ["0.0.0.0-255.255.255.255"]);
        assert_eq!(covered(&["1.0.0.0/32", "1.0.0.2/32"]), ["1.0.0.0-1.0.0.0", "1.0.0.2-1.0.0.2"]);
    }
}
