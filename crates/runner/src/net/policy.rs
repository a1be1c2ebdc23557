//! The rules every sandbox link lives under.
//!
//! Every set says what may pass, so that a lookup that fails, as it may while the kernel changes a set, drops a packet
//! and lets none slip.

use std::fmt;
use std::net::Ipv4Addr;

use linux::nft::rule::{End, Side, Statement, Transport};
use linux::nft::set::Element;
use linux::nft::{Family, Hook, Transaction};
use types::network::Ipv4Network;

use crate::net::address::Names;
use crate::net::denied::Denied;
use crate::net::group;
use crate::net::range;
use crate::net::reason::Reason;
use crate::net::sets::{
    ALLOWED, ANSWERS, BLOCKED, GROUPS, LINGERING, LISTED, MATES, MEMBERS, NAMED, OPEN, PACE, PINNED, RANGES,
    REACHABLE, REFUSED, RESOLVERS, SETS,
};

pub(super) const DOMAIN_PORT: u16 = 53;

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

/// What belongs to nobody any more. All sets that come and go are of one kind.
#[derive(Debug, Default)]
pub(super) struct Stale {
    pub(super) chains: Vec<String>,
    pub(super) sets: Vec<String>,
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
    /// chains and sets that are there, `stale` go.
    pub(super) fn install(
        &self,
        in_place: bool,
        stale: &Stale,
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
            for chain in &stale.chains {
                transaction.delete_chain(chain);
            }
            for set in &stale.sets {
                transaction.delete_set(set, group::KIND);
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
        use Statement::{Accept, Counter, Drop, Established, Jump, Masquerade};
        let from = || Statement::LinkPrefix(Side::In, self.names.link_prefix.clone());
        let to = || Statement::LinkPrefix(Side::Out, self.names.link_prefix.clone());
        let outward = Statement::LinkPrefixNot(Side::Out, self.names.link_prefix.clone());
        let hooked = |name: &str, hook, rules| Chain { name: name.to_owned(), hook: Some(hook), rules };
        let pool = Statement::AddressWithin(End::Source, self.pool.address, self.pool.prefix_length);
        let mut chains: Vec<Chain> = Reason::REFUSALS.iter().map(|reason| self.refusal(*reason)).collect();
        chains.extend([
            self.counted(Reason::Allowed),
            self.counted(Reason::Linked),
            opening(Reason::Allowed),
            opening(Reason::Linked),
            linked(),
            allowance(),
            asked(),
            shut(),
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
            hooked("asking", Hook::DestinationNat, self.asking()),
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

    fn counted(&self, reason: Reason) -> Chain {
        let rules = vec![self.meter(ALLOWED, reason), vec![Statement::Accept]];
        Chain { name: reason.chain(), hook: None, rules }
    }

    fn meter(&self, set: &str, reason: Reason) -> Vec<Statement> {
        let mut rule = vec![Statement::LinkIn(Side::In, set.to_owned())];
        rule.extend(self.log_group.map(|group| Statement::Log(reason.heading().to_owned(), group)));
        rule
    }

    /// Where a sandbox's packets may go. No shortcut for accepted connections: a change counts at once.
    fn outbound(&self) -> Chain {
        use Statement::{AddressWithin, Counter, Drop, Goto, Invalid, LinkIn, LinkPrefix, LinkVerdict};
        let within_pool = AddressWithin(End::Destination, self.pool.address, self.pool.prefix_length);
        let rules = vec![
            vec![within_pool.clone(), LinkVerdict(Side::In, GROUPS.to_owned())],
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

    /// Which questions for names it is our resolver that answers. A name server in a sandbox that the asker is linked
    /// with is asked itself; one without a list may ask others than the usual ones itself, too.
    fn asking(&self) -> Vec<Vec<Statement>> {
        use Statement::{AddressIn, LinkIn, LinkVerdict, Port, RedirectTo};
        let redirect = RedirectTo(self.resolver_port);
        let usual = AddressIn(End::Destination, RESOLVERS.to_owned());
        let mut rules = vec![vec![LinkVerdict(Side::In, MATES.to_owned())]];
        for transport in [Transport::Udp, Transport::Tcp] {
            let (listed, port) = (LinkIn(Side::In, LISTED.to_owned()), Port(transport, DOMAIN_PORT));
            rules.push(vec![listed, port.clone(), redirect.clone()]);
            rules.push(vec![LinkIn(Side::In, NAMED.to_owned()), usual.clone(), port, redirect.clone()]);
        }
        rules
    }

    /// What the host takes from a sandbox: questions that were redirected to its resolver.
    fn to_us(&self) -> Chain {
        use Statement::{Goto, LinkIn, Port, Redirected};
        let mut rules = Vec::new();
        for set in [LISTED, NAMED] {
            for transport in [Transport::Udp, Transport::Tcp] {
                let port = Port(transport, self.resolver_port);
                let asked = Goto("asked".to_owned());
                rules.push(vec![LinkIn(Side::In, set.to_owned()), Redirected, port, asked]);
            }
        }
        rules.push(vec![refuse(Reason::Host)]);
        Chain { name: "to_us".to_owned(), hook: None, rules }
    }
}

fn refuse(reason: Reason) -> Statement {
    Statement::Goto(reason.chain())
}

fn allow() -> Statement {
    Statement::Goto("allow".to_owned())
}

/// What the policy allows: a packet that opens a connection is looked at once more.
fn allowance() -> Chain {
    let rules =
        vec![vec![Statement::Opening, Statement::Goto(opening_of(Reason::Allowed))], vec![Statement::Accept]];
    Chain { name: "allow".to_owned(), hook: None, rules }
}

/// What goes to a sandbox that the sender is linked with.
fn linked() -> Chain {
    let opening = vec![Statement::Opening, Statement::Goto(opening_of(Reason::Linked))];
    Chain { name: "linked".to_owned(), hook: None, rules: vec![opening, vec![Statement::Accept]] }
}

/// Counts and tells what opens a connection, unless too many were opened just before.
fn opening(reason: Reason) -> Chain {
    let paced = Statement::LinkIn(Side::In, PACE.to_owned());
    let rules = vec![vec![paced, Statement::Goto(reason.chain())], vec![refuse(Reason::Pace)]];
    Chain { name: opening_of(reason), hook: None, rules }
}

fn opening_of(reason: Reason) -> String {
    format!("opening_{}", reason.heading())
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
    use Statement::{Counter, Drop, Goto, LinkAndAddressNotIn, LinkIn, NotIpv4};
    let rules = vec![
        vec![NotIpv4, Counter, Drop],
        vec![LinkAndAddressNotIn(Side::In, End::Source, MEMBERS.to_owned()), refuse(Reason::Spoofed)],
        vec![LinkIn(Side::In, BLOCKED.to_owned()), Goto("shut".to_owned())],
    ];
    Chain { name: "claim".to_owned(), hook: None, rules }
}

/// What leaves a sandbox whose network is shut: packets to those that it is linked with, and questions for their names.
fn shut() -> Chain {
    use Statement::{Accept, LinkIn, LinkVerdict, Port};
    let question =
        |transport| vec![LinkIn(Side::In, LISTED.to_owned()), Port(transport, DOMAIN_PORT), Accept];
    let rules = vec![
        vec![LinkVerdict(Side::In, MATES.to_owned())],
        question(Transport::Udp),
        question(Transport::Tcp),
        vec![refuse(Reason::Blocked)],
    ];
    Chain { name: "shut".to_owned(), hook: None, rules }
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
