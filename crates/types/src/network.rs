//! Where packets may go: IPv4 networks in CIDR notation, and patterns of domain names.

use std::fmt;
use std::net::Ipv4Addr;
use std::str::FromStr;

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
        if text.contains('/') {
            text.parse().ok()
        } else {
            text.parse().ok().map(|address| Self::around(address, 32))
        }
    }

    /// Reads `a.b.c.d/n` and makes the network that the address is in.
    pub fn parse_around(text: &str) -> Option<Self> {
        split(text).map(|(address, prefix_length)| Self::around(address, prefix_length))
    }

    /// Makes the network of `prefix_length` leading bits, at most 32, that `address` is in.
    pub fn around(address: Ipv4Addr, prefix_length: u8) -> Self {
        let whole = Self { address, prefix_length: prefix_length.min(32) };
        Self { address: Ipv4Addr::from(u32::from(address) & whole.mask()), ..whole }
    }

    /// Tells whether the address is in it.
    pub fn contains(self, address: Ipv4Addr) -> bool {
        u32::from(address) & self.mask() == u32::from(self.address)
    }

    /// Returns its last address.
    pub fn last(self) -> Ipv4Addr {
        Ipv4Addr::from(u32::from(self.address) | !self.mask())
    }

    /// Returns how many addresses it has.
    pub fn size(self) -> u64 {
        1 << (32 - u64::from(self.prefix_length))
    }

    fn mask(self) -> u32 {
        u32::MAX.checked_shl(32 - u32::from(self.prefix_length)).unwrap_or(0)
    }
}

/// Reads an address, `/` and a length.
fn split(text: &str) -> Option<(Ipv4Addr, u8)> {
    let (address, digits) = text.split_once('/')?;
    let plain = digits.len() <= 2 && digits.bytes().all(|byte| byte.is_ascii_digit());
    Some((address.parse().ok()?, digits.parse().ok().filter(|length| plain && *length <= 32)?))
}

/// The text names no network.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is no IPv4 network: expected an address without host bits, `/` and a length from 0 to 32")]
pub struct InvalidNetwork {
    /// The text that was given.
    pub text: String,
}

impl FromStr for Ipv4Network {
    type Err = InvalidNetwork;

    /// Reads `a.b.c.d/n`, whose bits after the prefix are zero.
    fn from_str(text: &str) -> Result<Self, InvalidNetwork> {
        let whole =
            |(address, length)| Some(Self::around(address, length)).filter(|it| it.address == address);
        split(text).and_then(whole).ok_or_else(|| InvalidNetwork { text: text.to_owned() })
    }
}

impl fmt::Display for Ipv4Network {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}/{}", self.address, self.prefix_length)
    }
}

/// A domain name, or all names below one: `example.com` or `*.example.com`. Lower case, without a final dot.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct DomainPattern {
    name: String,
    below: bool,
}

/// The longest name and the longest part between two dots, in bytes (RFC 1035).
const NAME_BYTES: usize = 253;
const LABEL_BYTES: usize = 63;

impl DomainPattern {
    /// Reads a name of letters, digits, `-` and `_`, with `*.` before it for the names below. An address is no name.
    pub fn parse(text: &str) -> Option<Self> {
        let (below, name) = text.strip_prefix("*.").map_or((false, text), |name| (true, name));
        let name = name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase();
        let plain = |label: &str| {
            let known = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
            !label.is_empty()
                && label.len() <= LABEL_BYTES
                && label.bytes().all(known)
                && !label.starts_with('-')
                && !label.ends_with('-')
        };
        // A last part of digits alone names no domain: such a text is an address, or would be taken for one.
        let numeric =
            name.rsplit('.').next().is_some_and(|last| last.bytes().all(|byte| byte.is_ascii_digit()));
        let fits = name.len() <= NAME_BYTES && name.split('.').all(plain) && !numeric;
        fits.then_some(Self { name, below })
    }

    /// Tells whether `name`, in lower case and without a final dot, is meant. `*.example.com` does not mean
    /// `example.com` itself.
    pub fn matches(&self, name: &str) -> bool {
        match name.strip_suffix(self.name.as_str()) {
            Some("") => !self.below,
            Some(rest) => self.below && rest.ends_with('.') && rest.len() > 1,
            None => false,
        }
    }
}

impl fmt::Display for DomainPattern {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let star = if self.below { "*." } else { "" };
        write!(formatter, "{star}{}", self.name)
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

    #[test]
    fn only_whole_networks_are_read_and_they_print_as_read() {
        for text in ["0.0.0.0/0", "10.0.0.0/8", "192.0.2.7/32", "255.255.255.254/31"] {
            let network: Ipv4Network = text.parse().expect("a network");
            assert_eq!(network.to_string(), text);
            assert!(network.contains(network.address) && network.contains(network.last()));
        }
        for text in
            ["", "10.0.0.0", "10.0.0.1/8", "10.0.0.0/33", "10.0.0.0/-1", "10.0.0/8", "::/0", "10.0.0.0/8 "]
        {
            assert!(text.parse::<Ipv4Network>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_network_holds_its_addresses_and_no_others() {
        let network = Ipv4Network::around(Ipv4Addr::new(10, 1, 2, 3), 8);
        assert_eq!(network.to_string(), "10.0.0.0/8");
        assert_eq!(network.last(), Ipv4Addr::new(10, 255, 255, 255));
        assert!(
            network.contains(Ipv4Addr::new(10, 9, 9, 9)) && !network.contains(Ipv4Addr::new(11, 0, 0, 0))
        );
        let everything = Ipv4Network::around(Ipv4Addr::new(9, 9, 9, 9), 0);
        assert!(everything.contains(Ipv4Addr::BROADCAST) && everything.contains(Ipv4Addr::UNSPECIFIED));
    }

    #[test]
    fn patterns_mean_the_name_or_what_is_below_it() {
        let pattern = |text: &str| DomainPattern::parse(text).expect(text);
        for (text, name, meant) in [
            ("Example.COM.", "example.com", true),
            ("example.com", "www.example.com", false),
            ("example.com", "badexample.com", false),
            ("*.example.com", "example.com", false),
            ("*.example.com", "a.b.example.com", true),
            ("*.example.com", "badexample.com", false),
            ("*.example.com", ".example.com", false),
            ("_dmarc.x-y.org", "_dmarc.x-y.org", true),
        ] {
            assert_eq!(pattern(text).matches(name), meant, "{text} {name}");
        }
        assert_eq!(pattern("*.Example.com").to_string(), "*.example.com");
    }

    #[test]
    fn what_is_no_name_is_no_pattern() {
        let long = "a".repeat(64);
        let longer = format!("{}example.com", "abcdefg.".repeat(31));
        let none = [
            "",
            "*",
            "*.",
            "*.*.com",
            "a..b",
            ".com",
            "1.2.3.4",
            "*.4",
            "a b.com",
            "-a.com",
            "a-.com",
            "ex\0.com",
            "é.com",
            "http://x.com",
        ];
        for text in none.into_iter().chain([long.as_str(), longer.as_str()]) {
            assert_eq!(DomainPattern::parse(text), None, "{text}");
        }
    }
}
