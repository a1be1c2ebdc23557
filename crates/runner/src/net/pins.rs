//! The addresses that a sandbox's names have: for a while for new connections, for longer for those that are open.
//!
//! A name's owner decides what its addresses are, and may change them. An address is good for new connections only as
//! long as the answer that named it, and at least a minute, because programs keep answers longer than they should. A
//! connection that was opened in that time may go on for a day after the last answer: downloads and sessions live
//! longer than answers. It is still the same connection to the same address.

use std::collections::HashMap;
use std::net::Ipv4Addr;

use crate::net::access::Pinned;

/// The shortest and the longest time for new connections.
pub(super) const SHORTEST_S: u32 = 60;
pub(super) const LONGEST_S: u32 = 3600;
/// What a program gets besides the answer's own time, to use it.
const GRACE_MS: i64 = 5_000;
/// The time for open connections.
const LINGERING_MS: i64 = 24 * 3600 * 1000;
/// Addresses of one sandbox; beyond, the one that was named the longest ago goes.
const MOST: usize = 512;

/// The addresses of one sandbox.
#[derive(Debug, Clone, Default)]
pub(super) struct Pins(HashMap<Ipv4Addr, Pin>);

#[derive(Debug, Clone, PartialEq, Eq)]
struct Pin {
    name: String,
    /// Until when new connections may go there, and until when open ones may go on.
    opens_until_ms: i64,
    lingers_until_ms: i64,
}

impl Pins {
    /// Adds a name's addresses; returns what is new, and what had to go for it.
    pub(super) fn add(
        &mut self,
        name: &str,
        addresses: &[Ipv4Addr],
        ttl_s: u32,
        now_ms: i64,
    ) -> (Vec<Pinned>, Vec<Pinned>) {
        let opens_until_ms = now_ms + i64::from(ttl_s.clamp(SHORTEST_S, LONGEST_S)) * 1000 + GRACE_MS;
        let mut new = Vec::with_capacity(addresses.len());
        for address in addresses {
            let before = self.0.get(address).map_or(i64::MIN, |pin| pin.opens_until_ms);
            let pin = Pin {
                name: name.to_owned(),
                opens_until_ms: opens_until_ms.max(before),
                lingers_until_ms: now_ms + LINGERING_MS,
            };
            new.push(pin.left(*address, now_ms));
            self.0.insert(*address, pin);
        }
        let mut dropped = self.drop_gone(now_ms);
        while self.0.len() > MOST {
            let oldest = self.0.iter().min_by_key(|(_, pin)| pin.lingers_until_ms);
            let Some(address) = oldest.map(|(address, _)| *address) else { break };
            dropped.extend(self.0.remove(&address).map(|pin| pin.left(address, now_ms)));
        }
        (new, dropped)
    }

    /// Takes over what is in the kernel.
    pub(super) fn adopt(&mut self, pinned: &Pinned, now_ms: i64) {
        let after = |time_ms: u64| now_ms.saturating_add(i64::try_from(time_ms).unwrap_or(i64::MAX));
        let pin = self.0.entry(pinned.address).or_insert_with(|| Pin {
            name: pinned.name.clone(),
            opens_until_ms: now_ms,
            lingers_until_ms: now_ms,
        });
        pin.opens_until_ms = pin.opens_until_ms.max(after(pinned.opens_for_ms));
        pin.lingers_until_ms = pin.lingers_until_ms.max(after(pinned.lingers_for_ms));
    }

    /// Keeps only addresses of names that `is_listed`; returns the others.
    pub(super) fn retain(&mut self, is_listed: impl Fn(&str) -> bool) -> Vec<Pinned> {
        let gone: Vec<Pinned> = self
            .0
            .iter()
            .filter(|(_, pin)| !is_listed(&pin.name))
            .map(|(address, pin)| pin.left(*address, i64::MAX))
            .collect();
        for pinned in &gone {
            self.0.remove(&pinned.address);
        }
        gone
    }

    /// Returns what is left of all of them.
    pub(super) fn left(&mut self, now_ms: i64) -> Vec<Pinned> {
        self.drop_gone(now_ms);
        self.0.iter().map(|(address, pin)| pin.left(*address, now_ms)).collect()
    }

    /// Returns the name that an address was last given out for.
    pub(super) fn name_of(&self, address: Ipv4Addr) -> Option<String> {
        self.0.get(&address).map(|pin| pin.name.clone())
    }

    fn drop_gone(&mut self, now_ms: i64) -> Vec<Pinned> {
        self.0.retain(|_, pin| pin.lingers_until_ms > now_ms);
        Vec::new()
    }
}

impl Pin {
    fn left(&self, address: Ipv4Addr, now_ms: i64) -> Pinned {
        let left = |until_ms: i64| u64::try_from(until_ms.saturating_sub(now_ms)).unwrap_or(0);
        let (opens_for_ms, lingers_for_ms) = (left(self.opens_until_ms), left(self.lingers_until_ms));
        Pinned { address, name: self.name.clone(), opens_for_ms, lingers_for_ms }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(number: u32) -> Ipv4Addr {
        Ipv4Addr::from_bits(0xc000_0200 + number)
    }

    #[test]
    fn times_are_bounded_and_never_shortened() {
        let mut pins = Pins::default();
        for (ttl_s, opens_for_ms) in [(0, 65_000), (300, 305_000), (90_000, 3_605_000), (10, 3_605_000)] {
            let (new, dropped) = pins.add("example.com", &[address(1)], ttl_s, 0);
            assert_eq!((new[0].opens_for_ms, new[0].lingers_for_ms), (opens_for_ms, 86_400_000));
            assert!(dropped.is_empty());
        }
        assert_eq!(pins.left(3_605_001)[0].opens_for_ms, 0, "only open connections are left");
        assert!(pins.left(86_400_000).is_empty());
    }

    #[test]
    fn what_was_named_the_longest_ago_goes_first() {
        let mut pins = Pins::default();
        for number in 0..u32::try_from(MOST).expect("it is small") {
            pins.add("a.example.com", &[address(number)], 60, i64::from(number));
        }
        pins.add("b.example.com", &[address(0)], 60, 1000);
        let (_, dropped) = pins.add("c.example.com", &[address(9999)], 60, 1001);
        assert_eq!(dropped.iter().map(|pin| pin.address).collect::<Vec<_>>(), [address(1)]);
        assert_eq!(pins.name_of(address(0)).as_deref(), Some("b.example.com"));
        assert_eq!(pins.name_of(address(1)), None);
    }

    #[test]
    fn names_that_are_listed_no_more_take_their_addresses_along() {
        let mut pins = Pins::default();
        pins.add("a.example.com", &[address(1), address(2)], 60, 0);
        pins.add("b.example.com", &[address(2)], 60, 0);
        let gone = pins.retain(|name| name == "b.example.com");
        assert_eq!(gone.iter().map(|pin| pin.address).collect::<Vec<_>>(), [address(1)]);
        assert_eq!(pins.left(0).len(), 1);
    }

    #[test]
    fn what_the_kernel_has_is_taken_over() {
        let mut pins = Pins::default();
        let pinned = |opens_for_ms, lingers_for_ms| Pinned {
            address: address(1),
            name: "a.example.com".to_owned(),
            opens_for_ms,
            lingers_for_ms,
        };
        pins.adopt(&pinned(500, 500), 1000);
        pins.adopt(&pinned(0, 9000), 1000);
        assert_eq!(pins.left(1000), [pinned(500, 9000)]);
    }
}
