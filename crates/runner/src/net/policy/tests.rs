//! The rules as reviewed.

use super::*;

use std::net::Ipv4Addr;

fn policy() -> Policy {
    Policy {
        names: Names::of(""),
        pool: "10.210.0.0/16".parse().expect("a subnet"),
        allowed: Vec::new(),
        denied: denied_by_default().expect("the data file is good"),
        resolvers: Vec::new(),
        resolver_port: 20_053,
        log_group: Some(77),
    }
}

#[test]
fn the_rules_read_as_reviewed() {
    const REVIEWED: &str = include_str!("reviewed.txt");
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
        assert!(denied.iter().any(|denied| denied.network.contains(address)), "{address}");
    }
    for address in ["1.1.1.1", "172.32.0.1", "192.169.0.1", "100.128.0.1", "223.255.255.255", "151.101.0.223"]
    {
        let address: Ipv4Addr = address.parse().expect("an address");
        assert!(!denied.iter().any(|denied| denied.network.contains(address)), "{address}");
    }
}
