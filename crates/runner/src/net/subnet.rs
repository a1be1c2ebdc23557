//! Subnets in CIDR notation, and the ranges that are left between them.

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

/// A range of addresses, from the first to the last.
pub type Range = (Ipv4Addr, Ipv4Addr);

/// Returns every address that is not denied, or allowed all the same, as ranges in order that neither overlap nor
/// touch.
pub fn reachable(denied: &[Subnet], allowed: &[Subnet]) -> Vec<Range> {
    let mut ranges = Vec::new();
    let mut next = Some(0_u32);
    for (first, last) in join(whole(denied)) {
        if let Some(start) = next.filter(|start| *start < first.to_bits()) {
            ranges.push((Ipv4Addr::from_bits(start), Ipv4Addr::from_bits(first.to_bits() - 1)));
        }
        next = last.to_bits().checked_add(1);
    }
    ranges.extend(next.map(|start| (Ipv4Addr::from_bits(start), Ipv4Addr::BROADCAST)));
    ranges.extend(whole(allowed));
    join(ranges)
}

fn whole(subnets: &[Subnet]) -> Vec<Range> {
    subnets.iter().map(|subnet| (subnet.first(), subnet.last())).collect()
}

/// Sorts ranges and makes one of those that overlap or touch.
fn join(mut ranges: Vec<Range>) -> Vec<Range> {
    ranges.sort_unstable();
    let mut joined: Vec<Range> = Vec::with_capacity(ranges.len());
    for (first, last) in ranges {
        match joined.last_mut() {
            Some((_, end)) if first.to_bits() <= end.to_bits().saturating_add(1) => *end = last.max(*end),
            _ => joined.push((first, last)),
        }
    }
    joined
}

#[cfg(test)]
mod tests {
    use super::{Subnet, reachable};

    fn subnets(texts: &[&str]) -> Vec<Subnet> {
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
    fn reachable_is_what_is_not_denied_and_what_is_allowed() {
        let text = |denied: &[&str], allowed: &[&str]| -> Vec<String> {
            let ranges = reachable(&subnets(denied), &subnets(allowed));
            ranges.iter().map(|(first, last)| format!("{first}-{last}")).collect()
        };
        assert_eq!(text(&[], &[]), ["0.0.0.0-255.255.255.255"]);
        assert_eq!(text(&["0.0.0.0/0"], &[]), [""; 0]);
        assert_eq!(text(&["0.0.0.0/0", "1.2.3.4/32"], &["1.2.3.4/31"]), ["1.2.3.4-1.2.3.5"]);
        assert_eq!(text(&["0.0.0.0/0"], &["0.0.0.0/0"]), ["0.0.0.0-255.255.255.255"]);
        assert_eq!(
            text(
                &["240.0.0.0/4", "0.0.0.0/8", "10.1.0.0/16", "224.0.0.0/4", "10.0.0.0/8", "11.0.0.0/32"],
                &[]
            ),
            ["1.0.0.0-9.255.255.255", "11.0.0.1-223.255.255.255"]
        );
        assert_eq!(text(&["0.0.0.0/1"], &["126.0.0.0/8", "127.0.0.0/8"]), ["126.0.0.0-255.255.255.255"]);
        assert_eq!(
            text(&["128.0.0.0/1"], &["255.255.255.255/32"]),
            ["0.0.0.0-127.255.255.255", "255.255.255.255-255.255.255.255"]
        );
    }
}
