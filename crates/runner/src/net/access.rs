//! What belongs to one sandbox in the table: elements of sets, and two chains when networks are on its list.

use std::net::Ipv4Addr;

use linux::nft::Transaction;
use linux::nft::rule::{End, Statement};
use linux::nft::set::Element;
use types::sandbox;

use crate::net::group;
use crate::net::sets::{
    ALLOWED, ANSWERS, BLOCKED, GROUPS, LINGERING, LISTED, MATES, MEMBERS, NAMED, OPEN, PACE, PINNED, RANGES,
    REFUSED,
};

/// A sandbox's end of the wire.
#[derive(Debug, Clone)]
pub(super) struct Wire {
    pub(super) index: u32,
    /// The link's name.
    pub(super) link: String,
    /// The address inside.
    pub(super) address: Ipv4Addr,
}

/// Returns the sets that a sandbox's link is in under a policy, being linked with others or not.
pub(super) fn classes(policy: &sandbox::Network, linked: bool) -> Vec<&'static str> {
    let mut sets = match (policy.block_all, policy.listed(), linked) {
        (true, _, false) => return vec![REFUSED, BLOCKED],
        (true, _, true) => vec![BLOCKED, LISTED],
        (false, true, _) => vec![LISTED],
        (false, false, true) => vec![OPEN, NAMED],
        (false, false, false) => vec![OPEN],
    };
    sets.extend([REFUSED, ALLOWED, PACE]);
    sets
}

/// An address that the resolver gave out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Pinned {
    pub(super) address: Ipv4Addr,
    /// The name that was asked for.
    pub(super) name: String,
    /// How long new connections may go there; 0 when not any more.
    pub(super) opens_for_ms: u64,
    /// How long open connections may go on.
    pub(super) lingers_for_ms: u64,
}

impl Wire {
    fn key(&self) -> Element {
        Element::Link(self.link.clone())
    }

    fn member(&self) -> Element {
        Element::LinkAndAddress(self.link.clone(), self.address)
    }

    /// The chain with the networks that the sandbox may open connections to.
    fn ranges(&self) -> String {
        format!("ranges_{:04x}", self.index)
    }

    /// The chain for what comes back from there.
    fn answers(&self) -> String {
        format!("answers_{:04x}", self.index)
    }

    /// Returns the names of the sandbox's own chains under a policy.
    pub(super) fn chains(&self, policy: &sandbox::Network) -> Vec<String> {
        let has = !policy.block_all && !policy.allow_list.is_empty();
        if has { vec![self.ranges(), self.answers()] } else { Vec::new() }
    }

    /// Lets through what the policy allows, and what goes to the sandboxes of the group with this number. Nothing may
    /// be in force for the link before.
    pub(super) fn grant(&self, transaction: &mut Transaction, policy: &sandbox::Network, group: Option<u32>) {
        transaction.add_elements(MEMBERS, &[self.member()]);
        for set in classes(policy, group.is_some()) {
            transaction.add_elements(set, &[self.key()]);
        }
        if let Some(number) = group {
            for (map, element) in self.doors(number) {
                transaction.add_elements(map, &[element]);
            }
            transaction.add_elements(&group::mates(number), &[Element::Address(self.address)]);
        }
        if self.chains(policy).is_empty() {
            return;
        }
        let (ranges, answers) = (self.ranges(), self.answers());
        for chain in [&ranges, &answers] {
            transaction.renew_chain(chain, None);
        }
        for network in &policy.allow_list {
            let (first, prefix) = (network.address, network.prefix_length);
            let to = Statement::AddressWithin(End::Destination, first, prefix);
            transaction.append_rule(&ranges, &[to, Statement::Goto("allow".to_owned())]);
            transaction.append_rule(&answers, &[Statement::OpenedToWithin(first, prefix), Statement::Accept]);
        }
        transaction.add_elements(RANGES, &[Element::LinkJump(self.link.clone(), ranges)]);
        transaction.add_elements(ANSWERS, &[Element::LinkJump(self.link.clone(), answers)]);
    }

    /// The elements that lead from the link into the chains of its group.
    fn doors(&self, number: u32) -> [(&'static str, Element); 2] {
        let door = |chain| Element::LinkJump(self.link.clone(), chain);
        [(GROUPS, door(group::passage(number))), (MATES, door(group::mates(number)))]
    }

    /// Takes back everything but the counters, whether it is there or not, and the chains that came with a policy. A
    /// group's own must be there.
    pub(super) fn revoke(
        &self,
        transaction: &mut Transaction,
        policy: Option<&sandbox::Network>,
        group: Option<u32>,
    ) {
        transaction.remove_elements(MEMBERS, &[self.member()]);
        for set in [OPEN, LISTED, NAMED, BLOCKED] {
            transaction.remove_elements(set, &[self.key()]);
        }
        if let Some(number) = group {
            for (map, element) in self.doors(number) {
                transaction.remove_elements(map, &[element]);
            }
            transaction.remove_elements(&group::mates(number), &[Element::Address(self.address)]);
        }
        if policy.is_none_or(|policy| self.chains(policy).is_empty()) {
            return;
        }
        for (map, chain) in [(RANGES, self.ranges()), (ANSWERS, self.answers())] {
            // What an element leads to must be there, even when it is added only to be removed.
            transaction.renew_chain(&chain, None);
            transaction.remove_elements(map, &[Element::LinkJump(self.link.clone(), chain.clone())]);
            transaction.delete_chain(&chain);
        }
    }

    /// Takes the counters back, whether they are there or not.
    pub(super) fn forget(&self, transaction: &mut Transaction) {
        for set in [REFUSED, ALLOWED, PACE] {
            transaction.remove_elements(set, &[self.key()]);
        }
    }

    /// Lets connections go to an address. One that was pinned before gets its time anew.
    pub(super) fn pin(&self, transaction: &mut Transaction, pins: &[Pinned]) {
        self.unpin(transaction, pins);
        for (set, time) in
            [(PINNED, (|pin| pin.opens_for_ms) as fn(&Pinned) -> u64), (LINGERING, |pin| pin.lingers_for_ms)]
        {
            let elements: Vec<Element> = pins
                .iter()
                .filter(|pin| time(pin) > 0)
                .map(|pin| Element::LinkAndAddressFor {
                    link: self.link.clone(),
                    address: pin.address,
                    timeout_ms: time(pin),
                    comment: pin.name.clone(),
                })
                .collect();
            transaction.add_elements(set, &elements);
        }
    }

    /// Takes pinned addresses back, whether they are there or not.
    pub(super) fn unpin(&self, transaction: &mut Transaction, pins: &[Pinned]) {
        let key = |pin: &Pinned| Element::LinkAndAddress(self.link.clone(), pin.address);
        let keys: Vec<Element> = pins.iter().map(key).collect();
        for set in [PINNED, LINGERING] {
            transaction.remove_elements(set, &keys);
        }
    }
}
