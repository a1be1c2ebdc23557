//! The ranges of addresses that are left between networks.

use std::net::Ipv4Addr;

use types::network::Ipv4Network;

/// A range of addresses, from the first to the last.
pub(super) type Range = (Ipv4Addr, Ipv4Addr);

/// Returns every address that is not denied, or allowed all the same, as ranges in order that neither overlap nor
/// touch.
pub(super) fn reachable(denied: &[Ipv4Network], allowed: &[Ipv4Network]) -> Vec<Range> {
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

fn whole(networks: &[Ipv4Network]) -> Vec<Range> {
    networks.iter().map(|network| (network.address, network.last())).collect()
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
    use types::network::Ipv4Network;

    use super::reachable;

    fn networks(texts: &[&str]) -> Vec<Ipv4Network> {
        texts.iter().map(|text| text.parse().expect("a network")).collect()
    }

    #[test]
    fn reachable_is_what_is_not_denied_and_what_is_allowed() {
        let text = |denied: &[&str], allowed: &[&str]| -> Vec<String> {
            let ranges = reachable(&networks(denied), &networks(allowed));
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
