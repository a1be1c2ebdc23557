//! The rules every sandbox link lives under. `policy/egress.json` says which destinations are denied, and why.

use std::fmt;
use std::net::Ipv4Addr;

use linux::nft::rule::{End, Side, Statement, Transport};
use linux::nft::set::{Element, KeyKind};
use linux::nft::{Family, Hook, Transaction};
use serde::Deserialize;

use crate::net::address::Names;
use crate::net::subnet::{self, InvalidSubnet, Subnet};

/// The links that something passes, each with its address. Every set says what may pass, so that a lookup that
/// fails, as it may while the kernel changes a set, drops a packet and lets none slip.
pub(super) const MEMBERS: &str = "members";
const REACHABLE: &str = "reachable";
const RESOLVERS: &str = "resolvers";
const DOMAIN_PORT: u16 = 53;

/// The data file is not what this version expects.
#[derive(Debug, thiserror::Error)]
pub enum PolicyError {
    /// It is no such JSON.
    #[error("parse policy/egress.json")]
    Syntax {
        /// What is wrong with it.
        source: serde_json::Error,
    },
    /// One of its networks is none.
    #[error("read a network of policy/egress.json")]
    Subnet {
        /// Which one.
        source: InvalidSubnet,
    },
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    denied: Vec<Entry>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    network: String,
    /// For readers of the file; an entry without one is an error.
    #[serde(rename = "reason")]
    _reason: String,
}

/// Returns the destinations that are denied unless the operator allows them.
pub(super) fn denied_by_default() -> Result<Vec<Subnet>, PolicyError> {
    let file: File = serde_json::from_str(include_str!("../../policy/egress.json"))
        .map_err(|source| PolicyError::Syntax { source })?;
    let parsed: Result<Vec<Subnet>, InvalidSubnet> =
        file.denied.iter().map(|entry| entry.network.parse()).collect();
    parsed.map_err(|source| PolicyError::Subnet { source })
}

/// What the rules of one instance are made from.
#[derive(Debug, Clone)]
pub(super) struct Policy {
    pub(super) names: Names,
    pub(super) pool: Subnet,
    pub(super) allowed: Vec<Subnet>,
    pub(super) denied: Vec<Subnet>,
    pub(super) resolvers: Vec<Ipv4Addr>,
}

/// A chain of rules; one without a hook is jumped to.
struct Chain {
    name: &'static str,
    hook: Option<Hook>,
    rules: Vec<Vec<Statement>>,
}

impl Policy {
    /// Returns the transaction that replaces all rules and elements by these, with those of running sandboxes.
    /// `in_place`, packets meet the old rules or the new ones, never none; the kernel refuses that when the table is
    /// of a version with other kinds of chains or sets, and only then it is replaced as a whole.
    pub(super) fn install(&self, members: &[Element], in_place: bool) -> Transaction {
        let mut transaction = Transaction::of(Family::Inet, &self.names.table);
        if in_place {
            transaction.create_table();
        } else {
            transaction.replace_table();
        }
        let chains = self.chains();
        for chain in &chains {
            transaction.renew_chain(chain.name, chain.hook);
        }
        for (name, kind) in [
            (MEMBERS, KeyKind::LinkAndAddress),
            (REACHABLE, KeyKind::AddressRange),
            (RESOLVERS, KeyKind::Address),
        ] {
            transaction.renew_set(name, kind);
        }
        transaction.add_elements(MEMBERS, members);
        let reachable = subnet::reachable(&self.denied, &self.allowed).into_iter();
        let reachable: Vec<Element> =
            reachable.map(|(first, last)| Element::AddressRange(first, last)).collect();
        transaction.add_elements(REACHABLE, &reachable);
        let resolvers: Vec<Element> = self.resolvers.iter().copied().map(Element::Address).collect();
        transaction.add_elements(RESOLVERS, &resolvers);
        for chain in &chains {
            for rule in &chain.rules {
                transaction.append_rule(chain.name, rule);
            }
        }
        transaction
    }

    /// The rules, in the order of a packet's way. Chains that are jumped to come first, as the kernel wants them.
    fn chains(&self) -> Vec<Chain> {
        use Statement::{Accept, Counter, Drop, Established, Jump, LinkPrefix, Masquerade};
        let from = || LinkPrefix(Side::In, self.names.link_prefix.clone());
        let to = || LinkPrefix(Side::Out, self.names.link_prefix.clone());
        let hooked = |name, hook, rules| Chain { name, hook: Some(hook), rules };
        let pool = || Statement::AddressWithin(End::Source, self.pool.first(), self.pool.prefix());
        let outward = Statement::LinkPrefixNot(Side::Out, self.names.link_prefix.clone());
        vec![
            claim(),
            self.outbound(),
            inbound(),
            // Before connection tracking: a blocked or lying sandbox does not even cost an entry there.
            hooked("arriving", Hook::RawPrerouting, vec![vec![from(), Jump("claim".to_owned())]]),
            hooked("to_host", Hook::Input, vec![vec![from(), Counter, Drop]]),
            hooked(
                "through",
                Hook::Forward,
                vec![vec![from(), Jump("outbound".to_owned())], vec![to(), Jump("inbound".to_owned())]],
            ),
            // The host answers for connections that it forwards (an unreachable network, a packet too big), and
            // starts none: sandboxes are reached over Unix sockets.
            hooked(
                "from_host",
                Hook::Output,
                vec![vec![to(), Established, Accept], vec![to(), Counter, Drop]],
            ),
            hooked("leaving", Hook::SourceNat, vec![vec![pool(), outward, Masquerade]]),
        ]
    }

    /// Where a sandbox's packets may go. No shortcut for accepted connections: a change counts at once.
    fn outbound(&self) -> Chain {
        use Statement::{Accept, AddressIn, AddressWithin, Counter, Drop, Invalid, LinkPrefix, Port};
        let within_pool = AddressWithin(End::Destination, self.pool.first(), self.pool.prefix());
        let to_resolver = |transport| {
            vec![AddressIn(End::Destination, RESOLVERS.to_owned()), Port(transport, DOMAIN_PORT), Accept]
        };
        let rules = vec![
            vec![LinkPrefix(Side::Out, self.names.link_prefix.clone()), Counter, Drop],
            // Addresses of the pool that nobody has would otherwise leave through the default route.
            vec![within_pool, Counter, Drop],
            // What fits no connection is not translated: it would leave with the sandbox's own address.
            vec![Invalid, Counter, Drop],
            to_resolver(Transport::Udp),
            to_resolver(Transport::Tcp),
            vec![AddressIn(End::Destination, REACHABLE.to_owned()), Accept],
            vec![Counter, Drop],
        ];
        Chain { name: "outbound", hook: None, rules }
    }
}

/// Whether a packet is what it claims to be; the first look at everything that a sandbox sends.
fn claim() -> Chain {
    use Statement::{Counter, Drop, LinkAndAddressNotIn, NotIpv4};
    let rules = vec![
        vec![NotIpv4, Counter, Drop],
        vec![LinkAndAddressNotIn(Side::In, End::Source, MEMBERS.to_owned()), Counter, Drop],
    ];
    Chain { name: "claim", hook: None, rules }
}

/// What may come to a sandbox: answers.
fn inbound() -> Chain {
    use Statement::{Accept, Counter, Drop, Established, LinkAndAddressNotIn, NotIpv4};
    let rules = vec![
        vec![NotIpv4, Counter, Drop],
        vec![LinkAndAddressNotIn(Side::Out, End::Destination, MEMBERS.to_owned()), Counter, Drop],
        vec![Established, Accept],
        vec![Counter, Drop],
    ];
    Chain { name: "inbound", hook: None, rules }
}

/// Prints the rules as `nft` would.
impl fmt::Display for Policy {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for chain in self.chains() {
            writeln!(formatter, "chain {}", chain.name)?;
            for rule in chain.rules {
                let words: Vec<String> = rule.iter().map(ToString::to_string).collect();
                writeln!(formatter, "  {}", words.join(" "))?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy() -> Policy {
        Policy {
            names: Names::of(""),
            pool: "10.210.0.0/16".parse().expect("a subnet"),
            allowed: Vec::new(),
            denied: denied_by_default().expect("the data file is good"),
            resolvers: Vec::new(),
        }
    }

    #[test]
    fn the_rules_read_as_reviewed() {
        const REVIEWED: &str = r#"chain claim
  meta nfproto != ipv4 counter drop
  iifname . ip saddr != @members counter drop
chain outbound
  oifname "dt-*" counter drop
  ip daddr 10.210.0.0/16 counter drop
  ct state invalid counter drop
  ip daddr @resolvers udp dport 53 accept
  ip daddr @resolvers tcp dport 53 accept
  ip daddr @reachable accept
  counter drop
chain inbound
  meta nfproto != ipv4 counter drop
  oifname . ip daddr != @members counter drop
  ct state established,related accept
  counter drop
chain arriving
  iifname "dt-*" jump claim
chain to_host
  iifname "dt-*" counter drop
chain through
  iifname "dt-*" jump outbound
  oifname "dt-*" jump inbound
chain from_host
  oifname "dt-*" ct state established,related accept
  oifname "dt-*" counter drop
chain leaving
  ip saddr 10.210.0.0/16 oifname != "dt-*" masquerade
"#;
        assert_eq!(policy().to_string(), REVIEWED);
    }

    #[test]
    fn no_denied_destination_is_forgotten() {
        let denied = policy().denied;
        for address in [
            "0.0.0.0",
            "10.0.0.1",
            "100.64.0.1",
            "127.0.0.1",
            "169.254.169.254",
            "172.16.0.1",
            "172.31.255.255",
            "192.168.1.1",
            "224.0.0.1",
            "239.255.255.255",
            "255.255.255.255",
            "168.63.129.16",
        ] {
            let address: Ipv4Addr = address.parse().expect("an address");
            assert!(denied.iter().any(|subnet| subnet.contains(address)), "{address}");
        }
        for address in
            ["1.1.1.1", "172.32.0.1", "192.169.0.1", "100.128.0.1", "223.255.255.255", "151.101.0.223"]
        {
            let address: Ipv4Addr = address.parse().expect("an address");
            assert!(!denied.iter().any(|subnet| subnet.contains(address)), "{address}");
        }
    }
}
