//! Listens to what the rules report, on a thread of its own, and writes it down in the ledger.

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use linux::nflog::{Listener, Report};

use crate::net::error::NetError;
use crate::net::ledger::{Entry, Ledger};
use crate::net::reason::{BLOCKED, LINK, NO_LIST, Reason};
use crate::net::rules::Rules;

/// How long the end of the thread may be waited for.
const PATIENCE: Duration = Duration::from_millis(200);
const TCP: u8 = 6;
const UDP: u8 = 17;
const ICMP: u8 = 1;

/// The thread; it ends when this is dropped.
#[derive(Debug)]
pub(super) struct Watch {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

/// What a packet's headers say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Headers {
    source: Ipv4Addr,
    destination: Ipv4Addr,
    protocol: u8,
    port: Option<u16>,
}

impl Watch {
    /// Starts to listen.
    pub(super) fn start(
        mut listener: Listener,
        rules: Arc<Rules>,
        ledger: Arc<Ledger>,
    ) -> Result<Self, NetError> {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = stop.clone();
        let listen = move || {
            while !stopped.load(Ordering::Relaxed) {
                let heard = listener.listen(PATIENCE, |report| {
                    if let Some((index, entry)) = judge(&rules, &report) {
                        ledger.note(index, entry);
                    }
                });
                if heard.is_err() {
                    std::thread::sleep(PATIENCE);
                }
            }
        };
        let thread = std::thread::Builder::new().name("net-watch".to_owned()).spawn(listen);
        let thread = thread.map_err(|source| NetError::Thread { name: "net-watch", source })?;
        Ok(Self { stop, thread: Some(thread) })
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Tells whose packet it was, and what to write down about it.
fn judge(rules: &Rules, report: &Report<'_>) -> Option<(u32, Entry)> {
    let index = rules.place_of(report.link_index?)?;
    let reason = Reason::of(report.heading)?;
    let headers = read(report.packet)?;
    let policy = rules.policy_of(index)?;
    let name = match reason {
        Reason::Linked => rules.neighbour_at(index, headers.destination),
        _ => rules.name_of(index, headers.destination),
    };
    let entry = Entry {
        destination: headers.destination.to_string(),
        port: headers.port,
        protocol: word(headers.protocol),
        rule: describe(rules, reason, headers, &policy, name.as_deref()),
        name,
        allowed: reason.allows(),
    };
    Some((index, entry))
}

fn describe(
    rules: &Rules,
    reason: Reason,
    headers: Headers,
    policy: &types::sandbox::Network,
    name: Option<&str>,
) -> String {
    let destination = headers.destination;
    let text = match reason {
        Reason::Linked => LINK,
        Reason::Allowed => return allowance(policy, destination, name),
        Reason::Denied => {
            let denied = rules.policy.denies(destination);
            return denied.unwrap_or_else(|| "denied by the operator".to_owned());
        }
        Reason::Spoofed => return format!("spoofed source {}", headers.source),
        Reason::Blocked => BLOCKED,
        Reason::Sandbox => "address of another sandbox",
        Reason::Host => "address of the host",
        Reason::Lookup => "name server behind the resolver's back",
        Reason::Protocol => "neither TCP nor UDP, and there is an allow list",
        Reason::Unlisted if name.is_some() && headers.protocol == UDP => {
            "listed names are reached over TCP only"
        }
        Reason::Unlisted => "not on the allow list",
        Reason::Pace => "too many new connections at once",
    };
    text.to_owned()
}

fn allowance(policy: &types::sandbox::Network, destination: Ipv4Addr, name: Option<&str>) -> String {
    if !policy.listed() {
        return NO_LIST.to_owned();
    }
    if let Some(network) = policy.allow_list.iter().find(|network| network.contains(destination)) {
        return format!("network {network} on the allow list");
    }
    let pattern = name.and_then(|name| policy.domain_allow_list.iter().find(|pattern| pattern.matches(name)));
    pattern.map_or_else(|| "allow list".to_owned(), |pattern| format!("domain {pattern} on the allow list"))
}

fn word(protocol: u8) -> String {
    match protocol {
        TCP => "tcp".to_owned(),
        UDP => "udp".to_owned(),
        ICMP => "icmp".to_owned(),
        number => number.to_string(),
    }
}

/// Reads an IPv4 header and the port behind it (RFC 791).
fn read(packet: &[u8]) -> Option<Headers> {
    let first = *packet.first()?;
    let header_bytes = usize::from(first & 0x0f) * 4;
    if first >> 4 != 4 || header_bytes < 20 {
        return None;
    }
    let address = |at: usize| Some(Ipv4Addr::from(*packet.get(at..)?.first_chunk::<4>()?));
    let protocol = *packet.get(9)?;
    let ports = packet.get(header_bytes..).filter(|_| protocol == TCP || protocol == UDP);
    let port = ports.and_then(|ports| ports.get(2..)?.first_chunk()).map(|port| u16::from_be_bytes(*port));
    Some(Headers { source: address(12)?, destination: address(16)?, protocol, port })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_are_read_and_broken_ones_are_not() {
        let mut packet = vec![0x46, 0, 0, 0, 0, 0, 0, 0, 64, 6, 0, 0, 10, 210, 0, 1, 192, 0, 2, 7];
        packet.extend_from_slice(&[0, 0, 0, 0, 0x30, 0x39, 0x01, 0xbb]);
        let read_back = read(&packet).expect("it is a packet");
        assert_eq!((read_back.destination.to_string().as_str(), read_back.port), ("192.0.2.7", Some(443)));
        for length in 0..packet.len() {
            let cut = read(&packet[..length]);
            assert!(cut.is_none_or(|headers| headers.port.is_none()), "{length}");
        }
        for broken in [0x66, 0x40, 0x44] {
            packet[0] = broken;
            assert_eq!(read(&packet), None);
        }
    }
}
