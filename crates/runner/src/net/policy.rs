//! The rules every sandbox link lives under.
//!
//! Every set says what may pass, so that a lookup that fails, as it may while the kernel changes a set, drops a packet
//! and lets none slip.

use std::fmt;
use std::net::Ipv4Addr;

use linux::nft::rule::{End, Side, Statement, Transport};
use linux::nft::set::{Element, KeyKind, Limit};
use linux::nft::{Family, Hook, Transaction};
use types::network::Ipv4Network;

use crate::net::address::Names;
use crate::net::denied::Denied;
use crate::net::range;
use crate::net::reason::Reason;

/// The links that something passes, each with its address.
pub(super) const MEMBERS: &str = "members";
/// The links of sandboxes without a list.
pub(super) const OPEN: &str = "open";
/// The links of sandboxes with a list.
pub(super) const LISTED: &str = "listed";
/// The links of sandboxes whose network is shut: only to tell why.
pub(super) const BLOCKED: &str = "blocked";
/// Leads from a link to the chain with the networks on its sandbox's list, and to the one for the answers from there.
pub(super) const RANGES: &str = "ranges";
pub(super) const ANSWERS: &str = "answers";
/// The links with addresses that the resolver gave out lately, where new connections may go.
pub(super) const PINNED: &str = "pinned";
/// The same for longer, for connections that are open already.
pub(super) const LINGERING: &str = "lingering";
/// Count, link by link, and limit what is told.
pub(super) const REFUSED: &str = "refused";
pub(super) const ALLOWED: &str = "allowed";
/// Limits, link by link, how many connections begin.
pub(super) const PACE: &str = "pace";
const REACHABLE: &str = "reachable";
const RESOLVERS: &str = "resolvers";
pub(super) const DOMAIN_PORT: u16 = 53;

/// What is told of one sandbox: enough to see what it tries, too little to be a burden.
const REFUSED_LIMIT: Limit = Limit { per_second: 5, burst: 64 };
const ALLOWED_LIMIT: Limit = Limit { per_second: 2, burst: 64 };
/// Every connection stays in the host's table for half a minute and more, and the table is everybody's.
const PACE_LIMIT: Limit = Limit { per_second: 500, burst: 4000 };

/// What the rules of one instance are made from.
#[derive(Debug, Clone)]
pub(super) struct Policy {
    pub(super) names: Names,
    pub(super) pool: Ipv4Network,
    pub(super) allowed: Vec<Ipv4Network>,
    pub(super) denied: Vec<Denied>,
    pub(super) resolvers: Vec<Ipv4Addr>,
    /// Where the host's own resolver listens, on the host's end of each link.
    pub(super) resolver_port: u16,
    /// Where packets are reported; `None` where this kernel cannot.
    pub(super) log_group: Option<u16>,
}

/// A chain of rules; one without a hook is jumped to.
struct Chain {
    name: String,
    hook: Option<Hook>,
    rules: Vec<Vec<Statement>>,
}

impl Policy {
    /// Tells why no sandbox may reach an address; `None` when one may.
    pub(super) fn denies(&self, address: Ipv4Addr) -> Option<String> {
        if self.pool.contains(address) {
            return Some(format!("address of sandboxes {}", self.pool));
        }
        if self.allowed.iter().any(|network| network.contains(address)) {
            return None;
        }
        let denied = self.denied.iter().find(|denied| denied.network.contains(address))?;
        Some(format!("denied range {}: {}", denied.network, denied.reason))
    }

    /// Starts a change of this instance's table.
    pub(super) fn transaction(&self) -> Transaction {
        Transaction::of(Family::Inet, &self.names.table)
    }

    /// Returns the transaction that replaces all rules by these, without what belongs to one sandbox; `behind` adds
    /// that. `in_place`, packets meet the old rules or the new ones, never none; the kernel refuses that when the
    /// table is of a version with other kinds of chains or sets, and only then it is replaced as a whole. Of the
    /// chains that are there, `stale` go.
    pub(super) fn install(
        &self,
        in_place: bool,
        stale: &[String],
        behind: impl FnOnce(&mut Transaction),
    ) -> Transaction {
        let mut transaction = self.transaction();
        if in_place {
            transaction.create_table();
        } else {
            transaction.replace_table();
        }
        let chains = self.chains();
        for chain in &chains {
            transaction.renew_chain(&chain.name, chain.hook);
        }
        for (name, kind) in SETS {
            transaction.renew_set(name, kind);
        }
        if in_place {
            for chain in stale {
                transaction.delete_chain(chain);
            }
        }
        let denied: Vec<Ipv4Network> = self.denied.iter().map(|denied| denied.network).collect();
        let reachable = range::reachable(&denied, &self.allowed).into_iter();
        let reachable: Vec<Element> =
            reachable.map(|(first, last)| Element::AddressRange(first, last)).collect();
        transaction.add_elements(REACHABLE, &reachable);
        let resolvers: Vec<Element> = self.resolvers.iter().copied().map(Element::Address).collect();
        transaction.add_elements(RESOLVERS, &resolvers);
        behind(&mut transaction);
        for chain in &chains {
            for rule in &chain.rules {
                transaction.append_rule(&chain.name, rule);
            }
        }
        transaction
    }

    /// Returns the names of all chains that are not a sandbox's own.
    pub(super) fn chain_names(&self) -> Vec<String> {
        self.chains().into_iter().map(|chain| chain.name).collect()
    }

    /// The rules, in the order of a packet's way. Chains that are jumped to come first, as the kernel wants them.
    fn chains(&self) -> Vec<Chain> {
        use Statement::{Accept, Counter, Drop, Established, Jump, LinkIn, Masquerade, Port, RedirectTo};
        let from = || Statement::LinkPrefix(Side::In, self.names.link_prefix.clone());
        let to = || Statement::LinkPrefix(Side::Out, self.names.link_prefix.clone());
        let outward = Statement::LinkPrefixNot(Side::Out, self.names.link_prefix.clone());
        let hooked = |name: &str, hook, rules| Chain { name: name.to_owned(), hook: Some(hook), rules };
        let pool = Statement::AddressWithin(End::Source, self.pool.address, self.pool.prefix_length);
        let lookup = |transport| {
            let port = Port(transport, DOMAIN_PORT);
            vec![LinkIn(Side::In, LISTED.to_owned()), port, RedirectTo(self.resolver_port)]
        };
        let mut chains: Vec<Chain> = Reason::REFUSALS.iter().map(|reason| self.refusal(*reason)).collect();
        chains.extend([
            self.counted(),
            opening(),
            allowance(),
            asked(),
            claim(),
            unrestricted(),
            listed_tcp(),
            listed_udp(),
            restricted(),
            self.outbound(),
            answers(),
            inbound(),
            self.to_us(),
            // Before connection tracking: a blocked or lying sandbox does not even cost an entry there.
            hooked("arriving", Hook::RawPrerouting, vec![vec![from(), Jump("claim".to_owned())]]),
            // Whom a sandbox with a list asks for names, it is our resolver that answers.
            hooked("asking", Hook::DestinationNat, vec![lookup(Transport::Udp), lookup(Transport::Tcp)]),
            hooked("to_host", Hook::Input, vec![vec![from(), Jump("to_us".to_owned())]]),
            hooked(
                "through",
                Hook::Forward,
                vec![vec![from(), Jump("outbound".to_owned())], vec![to(), Jump("inbound".to_owned())]],
            ),
            // The host answers what it was asked (a name, or for connections that it forwards: an unreachable
            // network, a packet too big), and starts nothing: sandboxes are reached over Unix sockets.
            hooked(
                "from_host",
                Hook::Output,
                vec![vec![to(), Established, Accept], vec![to(), Counter, Drop]],
            ),
            hooked("leaving", Hook::SourceNat, vec![vec![pool, outward, Masquerade]]),
        ]);
        chains
    }

    /// Counts and tells, and drops. The first rule ends early when there is nothing to count or too much to tell.
    fn refusal(&self, reason: Reason) -> Chain {
        let rules = vec![self.meter(REFUSED, reason), vec![Statement::Drop]];
        Chain { name: reason.chain(), hook: None, rules }
    }

    fn counted(&self) -> Chain {
        let rules = vec![self.meter(ALLOWED, Reason::Allowed), vec![Statement::Accept]];
        Chain { name: "counted".to_owned(), hook: None, rules }
    }

    fn meter(&self, set: &str, reason: Reason) -> Vec<Statement> {
        let mut rule = vec![Statement::LinkIn(Side::In, set.to_owned())];
        rule.extend(self.log_group.map(|group| Statement::Log(reason.heading().to_owned(), group)));
        rule
    }

    /// Where a sandbox's packets may go. No shortcut for accepted connections: a change counts at once.
    fn outbound(&self) -> Chain {
        use Statement::{AddressWithin, Counter, Drop, Goto, Invalid, LinkIn, LinkPrefix};
        let within_pool = AddressWithin(End::Destination, self.pool.address, self.pool.prefix_length);
        let rules = vec![
            vec![LinkPrefix(Side::Out, self.names.link_prefix.clone()), refuse(Reason::Sandbox)],
            // Addresses of the pool that nobody has would otherwise leave through the default route.
            vec![within_pool, refuse(Reason::Sandbox)],
            // What fits no connection is not translated: it would leave with the sandbox's own address.
            vec![Invalid, Counter, Drop],
            vec![LinkIn(Side::In, OPEN.to_owned()), Goto("unrestricted".to_owned())],
            vec![Goto("restricted".to_owned())],
        ];
        Chain { name: "outbound".to_owned(), hook: None, rules }
    }

    /// What the host takes from a sandbox: questions that were redirected to its resolver.
    fn to_us(&self) -> Chain {
        use Statement::{Goto, LinkIn, Port, Redirected};
        let question = |transport| {
            let port = Port(transport, self.resolver_port);
            vec![LinkIn(Side::In, LISTED.to_owned()), Redirected, port, Goto("asked".to_owned())]
        };
        let rules = vec![question(Transport::Udp), question(Transport::Tcp), vec![refuse(Reason::Host)]];
        Chain { name: "to_us".to_owned(), hook: None, rules }
    }
}

const SETS: [(&str, KeyKind); 13] = [
    (MEMBERS, KeyKind::LinkAndAddress),
    (OPEN, KeyKind::Link),
    (LISTED, KeyKind::Link),
    (BLOCKED, KeyKind::Link),
    (RANGES, KeyKind::LinkVerdict),
    (ANSWERS, KeyKind::LinkVerdict),
    (PINNED, KeyKind::LinkAndAddressForAWhile),
    (LINGERING, KeyKind::LinkAndAddressForAWhile),
    (REFUSED, KeyKind::LinkMeter(REFUSED_LIMIT)),
    (ALLOWED, KeyKind::LinkMeter(ALLOWED_LIMIT)),
    (PACE, KeyKind::LinkMeter(PACE_LIMIT)),
    (REACHABLE, KeyKind::AddressRange),
    (RESOLVERS, KeyKind::Address),
];

fn refuse(reason: Reason) -> Statement {
    Statement::Goto(reason.chain())
}

fn allow() -> Statement {
    Statement::Goto("allow".to_owned())
}

/// What the policy allows: a packet that opens a connection is looked at once more.
fn allowance() -> Chain {
    let rules =
        vec![vec![Statement::Opening, Statement::Goto("opening".to_owned())], vec![Statement::Accept]];
    Chain { name: "allow".to_owned(), hook: None, rules }
}

/// Counts and tells what opens a connection, unless too many were opened just before.
fn opening() -> Chain {
    let paced = Statement::LinkIn(Side::In, PACE.to_owned());
    let rules = vec![vec![paced, Statement::Goto("counted".to_owned())], vec![refuse(Reason::Pace)]];
    Chain { name: "opening".to_owned(), hook: None, rules }
}

/// Questions to our resolver, which counts them itself.
fn asked() -> Chain {
    let paced = Statement::LinkIn(Side::In, PACE.to_owned());
    let rules = vec![
        vec![Statement::Opening, paced, Statement::Accept],
        vec![Statement::Opening, refuse(Reason::Pace)],
        vec![Statement::Accept],
    ];
    Chain { name: "asked".to_owned(), hook: None, rules }
}

/// Whether a packet is what it claims to be; the first look at everything that a sandbox sends.
fn claim() -> Chain {
    use Statement::{Counter, Drop, LinkAndAddressNotIn, LinkIn, NotIpv4};
    let rules = vec![
        vec![NotIpv4, Counter, Drop],
        vec![LinkIn(Side::In, BLOCKED.to_owned()), refuse(Reason::Blocked)],
        vec![LinkAndAddressNotIn(Side::In, End::Source, MEMBERS.to_owned()), refuse(Reason::Spoofed)],
    ];
    Chain { name: "claim".to_owned(), hook: None, rules }
}

/// For sandboxes without a list: what the operator lets everyone reach, and the name servers.
fn unrestricted() -> Chain {
    use Statement::{AddressIn, Port};
    let to_resolver = |transport| {
        vec![AddressIn(End::Destination, RESOLVERS.to_owned()), Port(transport, DOMAIN_PORT), allow()]
    };
    let rules = vec![
        to_resolver(Transport::Udp),
        to_resolver(Transport::Tcp),
        vec![AddressIn(End::Destination, REACHABLE.to_owned()), allow()],
        vec![refuse(Reason::Denied)],
    ];
    Chain { name: "unrestricted".to_owned(), hook: None, rules }
}

/// For sandboxes with a list: what is on it, of what the operator lets everyone reach.
fn restricted() -> Chain {
    use Statement::{AddressNotIn, Goto, Port, Protocol};
    let rules = vec![
        // Only a connection from before the list, or one that the rewriting of destinations missed, comes here.
        vec![Port(Transport::Udp, DOMAIN_PORT), refuse(Reason::Lookup)],
        vec![Port(Transport::Tcp, DOMAIN_PORT), refuse(Reason::Lookup)],
        vec![AddressNotIn(End::Destination, REACHABLE.to_owned()), refuse(Reason::Denied)],
        vec![Protocol(Transport::Tcp), Goto("listed_tcp".to_owned())],
        vec![Protocol(Transport::Udp), Goto("listed_udp".to_owned())],
        vec![refuse(Reason::Protocol)],
    ];
    Chain { name: "restricted".to_owned(), hook: None, rules }
}

fn listed_tcp() -> Chain {
    use Statement::{Established, LinkAndAddressIn, LinkVerdict};
    let at = |set: &str| LinkAndAddressIn(Side::In, End::Destination, set.to_owned());
    let rules = vec![
        vec![LinkVerdict(Side::In, RANGES.to_owned())],
        vec![at(PINNED), allow()],
        vec![Established, at(LINGERING), allow()],
        vec![refuse(Reason::Unlisted)],
    ];
    Chain { name: "listed_tcp".to_owned(), hook: None, rules }
}

/// UDP only to networks, not to names: an address that a name pins is often shared by many names, and over QUIC
/// nothing outside can tell which one is meant.
fn listed_udp() -> Chain {
    let rules =
        vec![vec![Statement::LinkVerdict(Side::In, RANGES.to_owned())], vec![refuse(Reason::Unlisted)]];
    Chain { name: "listed_udp".to_owned(), hook: None, rules }
}

/// What may come to a sandbox: answers.
fn inbound() -> Chain {
    use Statement::{Counter, Drop, Established, Jump, LinkAndAddressNotIn, NotIpv4};
    let rules = vec![
        vec![NotIpv4, Counter, Drop],
        vec![LinkAndAddressNotIn(Side::Out, End::Destination, MEMBERS.to_owned()), Counter, Drop],
        vec![Established, Jump("answering".to_owned())],
        vec![Counter, Drop],
    ];
    Chain { name: "inbound".to_owned(), hook: None, rules }
}

/// Answers, by where the connection was opened to: a message about it from a router on the way counts too.
fn answers() -> Chain {
    use Statement::{Accept, LinkAndOpenedToIn, LinkIn, LinkVerdict, Protocol};
    let rules = vec![
        vec![LinkIn(Side::Out, OPEN.to_owned()), Accept],
        vec![LinkVerdict(Side::Out, ANSWERS.to_owned())],
        vec![Protocol(Transport::Udp), Statement::Counter, Statement::Drop],
        vec![LinkAndOpenedToIn(Side::Out, LINGERING.to_owned()), Accept],
    ];
    Chain { name: "answering".to_owned(), hook: None, rules }
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
mod tests;
