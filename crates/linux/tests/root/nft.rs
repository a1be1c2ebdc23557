//! Tables as `nft` prints them, and the price of changing them.

use std::net::Ipv4Addr;
use std::time::Instant;

use linux::netlink::{Family as Protocol, Socket};
use linux::nft::rule::{End, Side, Statement, Transport};
use linux::nft::set::{Element, KeyKind};
use linux::nft::{Family, Hook, Transaction, flow, inspect};

use crate::namespace::{Namespace, available};

fn open() -> Socket {
    Socket::open(Protocol::Netfilter).expect("netlink opens")
}

fn rules() -> Vec<Vec<Statement>> {
    use Statement::{
        Accept, AddressIn, AddressWithin, Counter, Drop, Established, Invalid, Jump, LinkAndAddressNotIn,
        LinkPrefix, LinkPrefixNot, NotIpv4, Port,
    };
    let network = Ipv4Addr::new(10, 210, 0, 0);
    vec![
        vec![LinkPrefix(Side::In, "dt-".into()), NotIpv4, Counter, Drop],
        vec![LinkPrefixNot(Side::Out, "dt-".into()), Jump("other".into())],
        vec![LinkAndAddressNotIn(Side::In, End::Source, "members".into()), Counter, Drop],
        vec![LinkAndAddressNotIn(Side::Out, End::Destination, "members".into()), Counter, Drop],
        vec![AddressWithin(End::Source, network, 16), Accept],
        vec![AddressWithin(End::Destination, network, 19), Accept],
        vec![AddressIn(End::Destination, "denied".into()), Counter, Drop],
        vec![AddressIn(End::Source, "resolvers".into()), Port(Transport::Udp, 53), Accept],
        vec![Port(Transport::Tcp, 8443), Accept],
        vec![Established, Accept],
        vec![Invalid, Drop],
    ]
}

fn table() -> Transaction {
    let mut transaction = Transaction::of(Family::Inet, "house");
    transaction.create_table();
    for (name, hook) in [("early", Hook::RawPrerouting), ("in", Hook::Input), ("out", Hook::Output)] {
        transaction.renew_chain(name, Some(hook));
    }
    transaction.renew_chain("other", None);
    transaction.renew_chain("through", Some(Hook::Forward));
    transaction.renew_chain("behind", Some(Hook::SourceNat));
    for (name, kind) in [
        ("members", KeyKind::LinkAndAddress),
        ("denied", KeyKind::AddressRange),
        ("resolvers", KeyKind::Address),
    ] {
        transaction.renew_set(name, kind);
    }
    transaction.add_elements("members", &[member(0)]);
    let last = Ipv4Addr::BROADCAST;
    transaction.add_elements(
        "denied",
        &[
            Element::AddressRange(Ipv4Addr::new(10, 0, 0, 0), Ipv4Addr::new(10, 255, 255, 255)),
            Element::AddressRange(Ipv4Addr::new(192, 0, 2, 7), Ipv4Addr::new(192, 0, 2, 9)),
            Element::AddressRange(Ipv4Addr::new(224, 0, 0, 0), last),
        ],
    );
    transaction.add_elements("resolvers", &[Element::Address(Ipv4Addr::new(192, 0, 2, 53))]);
    for rule in rules() {
        transaction.append_rule("through", &rule);
    }
    transaction
        .append_rule("behind", &[Statement::LinkPrefixNot(Side::Out, "dt-".into()), Statement::Masquerade]);
    transaction
}

fn member(number: u32) -> Element {
    Element::LinkAndAddress(format!("dt-{number:012x}"), Ipv4Addr::from_bits(0x0ad2_0001 + number * 2))
}

#[test]
fn nft_prints_what_we_print() {
    if !available("nft_prints_what_we_print") {
        return;
    }
    let host = Namespace::new("host");
    host.run(|| table().commit(&mut open())).expect("the table is installed");
    let printed = host.command("nft -s list table inet house");
    let lines: Vec<&str> = printed.lines().map(str::trim).collect();
    for rule in rules() {
        let ours = rule.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ");
        assert!(lines.contains(&ours.as_str()), "`{ours}` is not in\n{printed}");
    }
    for part in [
        "type filter hook prerouting priority raw; policy accept;",
        "type filter hook input priority filter; policy accept;",
        "type filter hook forward priority filter; policy accept;",
        "type filter hook output priority filter; policy accept;",
        "type nat hook postrouting priority srcnat; policy accept;",
        "oifname != \"dt-*\" masquerade",
        "type ifname . ipv4_addr",
        "elements = { \"dt-000000000000\" . 10.210.0.1 }",
        "elements = { 10.0.0.0/8, 192.0.2.7-192.0.2.9,",
        "224.0.0.0/3 }",
        "elements = { 192.0.2.53 }",
    ] {
        assert!(lines.contains(&part), "`{part}` is not in\n{printed}");
    }
}

#[test]
fn a_transaction_with_one_mistake_changes_nothing() {
    if !available("a_transaction_with_one_mistake_changes_nothing") {
        return;
    }
    let host = Namespace::new("host");
    host.run(|| {
        let mut socket = open();
        table().commit(&mut socket).expect("the table is installed");
        let mut transaction = table();
        transaction.append_rule("through", &[Statement::Jump("nowhere".into())]);
        let error = transaction.commit(&mut socket).expect_err("there is no such chain");
        assert_eq!((error.call, error.errno()), ("add rule to", 2), "{error}");
        // The same socket is still good, though answers of the refused transaction may wait in it.
        assert_eq!(
            inspect::list_rules(&mut socket, Family::Inet, "house", "through").expect("listed").len(),
            11
        );
        Transaction::of(Family::Inet, "house").commit(&mut socket).expect("no change is no error");
    });
}

#[test]
fn adding_and_removing_may_be_repeated() {
    if !available("adding_and_removing_may_be_repeated") {
        return;
    }
    let host = Namespace::new("host");
    host.run(|| {
        let mut socket = open();
        table().commit(&mut socket).expect("the table is installed");
        for add in [true, true, false, false, true] {
            let mut transaction = Transaction::of(Family::Inet, "house");
            if add {
                transaction.add_elements("members", &[member(7)]);
            } else {
                transaction.remove_elements("members", &[member(7)]);
            }
            transaction.commit(&mut socket).expect("committed");
            let printed = crate::namespace::run("nft list set inet house members");
            assert_eq!(printed.contains("10.210.0.15"), add, "{printed}");
            assert!(printed.contains("dt-000000000000"), "the other element stays: {printed}");
        }
    });
}

#[test]
fn commented_rules_are_found_and_deleted() {
    if !available("commented_rules_are_found_and_deleted") {
        return;
    }
    let host = Namespace::new("host");
    host.run(|| {
        let mut socket = open();
        crate::namespace::run("nft add table ip filter");
        crate::namespace::run(
            "nft add chain ip filter FORWARD { type filter hook forward priority 0; policy drop; }",
        );
        crate::namespace::run("nft add rule ip filter FORWARD counter");
        let chains = inspect::list_chains(&mut socket).expect("listed");
        assert_eq!(chains.len(), 1);
        assert!(chains[0].drops_by_default && chains[0].forwards);
        assert_eq!((chains[0].name.as_str(), chains[0].family), ("FORWARD", Family::Ipv4));

        let mut transaction = Transaction::of(Family::Ipv4, "filter");
        let rule = [Statement::LinkPrefix(Side::In, "dt-".into()), Statement::Accept];
        transaction.prepend_rule("FORWARD", &rule, "ours");
        transaction.commit(&mut socket).expect("committed");
        let printed = crate::namespace::run("nft list chain ip filter FORWARD");
        assert!(printed.contains("iifname \"dt-*\" accept comment \"ours\"\n\t\tcounter"), "{printed}");
        let rules = inspect::list_rules(&mut socket, Family::Ipv4, "filter", "FORWARD").expect("listed");
        assert_eq!(rules.iter().map(|rule| rule.comment.as_str()).collect::<Vec<_>>(), ["ours", ""]);
        let mut transaction = Transaction::of(Family::Ipv4, "filter");
        transaction.delete_rule("FORWARD", rules[0].handle);
        transaction.commit(&mut socket).expect("committed");
        let rules = inspect::list_rules(&mut socket, Family::Ipv4, "filter", "FORWARD").expect("listed");
        assert_eq!(rules.iter().map(|rule| rule.comment.as_str()).collect::<Vec<_>>(), [""]);
        assert_eq!(
            flow::forget_flows(&mut socket, Ipv4Addr::new(10, 0, 0, 1)).ok(),
            Some(true),
            "kernel 6.10 on"
        );
    });
}

#[test]
fn a_table_of_ten_thousand_elements_is_installed_at_once() {
    if !available("a_table_of_ten_thousand_elements_is_installed_at_once") {
        return;
    }
    let host = Namespace::new("host");
    host.run(|| {
        let mut socket = open();
        let start = Instant::now();
        table().commit(&mut socket).expect("installed");
        println!("nft install of an empty table: {:?}", start.elapsed());
        let start = Instant::now();
        table().commit(&mut socket).expect("installed");
        println!("nft replacement: {:?}", start.elapsed());
        let mut transaction = table();
        transaction.add_elements("members", &(1..10_000).map(member).collect::<Vec<_>>());
        let start = Instant::now();
        transaction.commit(&mut socket).expect("installed");
        println!("nft replacement with 10,000 elements: {:?}", start.elapsed());
        let printed = crate::namespace::run("nft list set inet house members");
        assert_eq!(printed.matches("dt-").count(), 10_000);
        for (change, add) in [("add", true), ("remove", false)] {
            let mut times: Vec<_> = (10_000..11_000)
                .map(|number| {
                    let start = Instant::now();
                    let mut transaction = Transaction::of(Family::Inet, "house");
                    if add {
                        transaction.add_elements("members", &[member(number)]);
                    } else {
                        transaction.remove_elements("members", &[member(number)]);
                    }
                    transaction.commit(&mut socket).expect("committed");
                    start.elapsed()
                })
                .collect();
            times.sort();
            println!("nft {change} one element: median {:?}, p95 {:?}", times[500], times[950]);
        }
    });
}
