//! The rules as reviewed.

use std::net::Ipv4Addr;

use super::*;
use crate::net::denied::denied_by_default;

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
        "10.210.0.1",
    ] {
        let address: Ipv4Addr = address.parse().expect("an address");
        assert!(policy().denies(address).is_some(), "{address}");
    }
    for address in ["1.1.1.1", "172.32.0.1", "192.169.0.1", "100.128.0.1", "223.255.255.255", "151.101.0.223"]
    {
        let address: Ipv4Addr = address.parse().expect("an address");
        assert_eq!(policy().denies(address), None, "{address}");
    }
}

#[test]
fn the_operator_opens_what_is_denied_but_never_the_pool() {
    let mut policy = policy();
    policy.allowed = vec!["10.0.0.0/8".parse().expect("a subnet")];
    assert_eq!(policy.denies(Ipv4Addr::new(10, 1, 2, 3)), None);
    assert!(policy.denies(Ipv4Addr::new(10, 210, 2, 3)).is_some());
    let told = policy.denies(Ipv4Addr::new(169, 254, 169, 254));
    assert!(
        told.is_some_and(|told| told.starts_with("denied range 169.254.0.0/16: link-local: cloud metadata"))
    );
}
