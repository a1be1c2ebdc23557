//! What belongs to one group of linked sandboxes in the table: a set of their addresses, and two chains.

use std::collections::BTreeSet;

use linux::nft::Transaction;
use linux::nft::rule::{End, Statement};
use linux::nft::set::KeyKind;

use crate::net::reason::Reason;

/// The kind of the set.
pub(super) const KIND: KeyKind = KeyKind::Address;

/// The chain that lets packets to the members through.
pub(super) fn passage(number: u32) -> String {
    format!("group_{number:x}")
}

/// The chain that leaves packets to the members as they are, and the set of the members' addresses.
pub(super) fn mates(number: u32) -> String {
    format!("mates_{number:x}")
}

/// Returns the names of the chains and of the sets of groups.
pub(super) fn names(numbers: &BTreeSet<u32>) -> (Vec<String>, Vec<String>) {
    let sets: Vec<String> = numbers.iter().copied().map(mates).collect();
    (numbers.iter().copied().map(passage).chain(sets.iter().cloned()).collect(), sets)
}

/// Makes the chains and the empty set of a group.
pub(super) fn open(transaction: &mut Transaction, number: u32) {
    let (passage, mates) = (passage(number), mates(number));
    transaction.renew_chain(&passage, None);
    transaction.renew_chain(&mates, None);
    transaction.renew_set(&mates, KIND);
    let to = || Statement::AddressIn(End::Destination, mates.clone());
    transaction.append_rule(&passage, &[to(), Statement::Goto(Reason::Linked.heading().to_owned())]);
    transaction.append_rule(&mates, &[to(), Statement::Accept]);
}

/// Removes them; nothing may lead to the chains any more.
pub(super) fn close(transaction: &mut Transaction, number: u32) {
    transaction.delete_chain(&passage(number));
    transaction.delete_chain(&mates(number));
    transaction.delete_set(&mates(number), KIND);
}
