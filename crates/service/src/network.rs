//! An IPv4 network in CIDR notation, as settings write it.

use std::fmt;
use std::net::Ipv4Addr;

/// An address and how many of its leading bits name the network.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ipv4Network {
    /// The first address.
    pub address: Ipv4Addr,
    /// Leading bits that all addresses share, 0 to 32.
    pub prefix_length: u8,
}

impl Ipv4Network {
    /// Reads `a.b.c.d/n`; a bare address is a network of one. Bits after the prefix must be zero, so that a slip such
    /// as `10.1.0.0/8` is noticed.
    pub fn parse(text: &str) -> Option<Self> {
        let (address, prefix_length) = match text.split_once('/') {
            Some((address, digits)) => {
                let plain = digits.len() <= 2 && digits.bytes().all(|byte| byte.is_ascii_digit());
                (address, digits.parse().ok().filter(|length| plain && *length <= 32)?)
            }
            None => (text, 32),
        };
        let network = Self { address: address.parse().ok()?, prefix_length };
        (u32::from(network.address) & !network.mask() == 0).then_some(network)
    }

    /// Returns how many addresses it has.
    pub fn size(self) -> u64 {
        1 << (32 - u64::from(self.prefix_length))
    }

    fn mask(self) -> u32 {
        u32::MAX.checked_shl(32 - u32::from(self.prefix_length)).unwrap_or(0)
    }
}

impl fmt::Display for Ipv4Network {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}/{}", self.address, self.prefix_length)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_is_a_network() {
        for (text, shown, size) in [
            ("10.0.0.0/8", "10.0.0.0/8", 1 << 24),
            ("192.168.1.7", "192.168.1.7/32", 1),
            ("0.0.0.0/0", "0.0.0.0/0", 1 << 32),
        ] {
            let network = Ipv4Network::parse(text).expect(text);
            assert_eq!((network.to_string().as_str(), network.size()), (shown, size));
        }
    }

    #[test]
    fn refuses_the_rest() {
        for text in [
            "",
            "10.0.0.0/33",
            "10.1.0.0/8",
            "10.0.0.0/+8",
            "10.0.0.0/",
            "10.0.0/8",
            "fd00::/8",
            "x/8",
            "1.2.3.4/032",
        ] {
            assert_eq!(Ipv4Network::parse(text), None, "{text}");
        }
    }
}
