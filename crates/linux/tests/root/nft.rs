//! Tables as `nft` prints them, and the price of changing them.

use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use linux::netlink::{Family as Protocol, Socket};
use linux::nflog::Listener;
use linux::nft::rule::{End, Side, Statement, Transport};
use linux::nft::set::{Element, KeyKind, Limit};
use linux::nft::{Family, Hook, Transaction, flow, inspect};

use crate::namespace::{Namespace, available};

fn open() -> Socket {
    Socket::open(Protocol::Netfilter).expect("netlink opens")
}

fn rules() -> Vec<Vec<Statement>> {
    use Statement::{
        Accept, AddressIn, AddressNotIn, AddressWithin, Counter, Drop, Established, Goto, Invalid, Jump,
        LinkAndAddressIn, LinkAndAddressNotIn, LinkAndOpenedToIn, LinkIn, LinkPrefix, LinkPrefixNot,
        LinkVerdict, Log, NotIpv4, OpenedToWithin, Opening, Port, Protocol, Redirected,
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
        vec![LinkIn(Side::In, "meter".into()), Log("too much".into(), 77)],
        vec![LinkVerdict(Side::In, "ways".into())],
        vec![Opening, LinkAndAddressIn(Side::Out, End::Source, "pinned".into()), Goto("other".into())],
        vec![AddressNotIn(End::Destination, "denied".into()), Protocol(Transport::Udp), Drop],
        vec![LinkAndOpenedToIn(Side::Out, "pinned".into()), Accept],
        vec![OpenedToWithin(network, 16), Accept],
        vec![OpenedToWithin(network, 32), AddressWithin(End::Source, network, 32), Accept],
        vec![Redirected, Port(Transport::Udp, 20_053), Accept],
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
    transaction.renew_chain("before", Some(Hook::DestinationNat));
    for (name, kind) in [
        ("members", KeyKind::LinkAndAddress),
        ("denied", KeyKind::AddressRange),
        ("resolvers", KeyKind::Address),
        ("links", KeyKind::Link),
        ("meter", KeyKind::LinkMeter(Limit { per_second: 5, burst: 20 })),
        ("ways", KeyKind::LinkVerdict),
        ("pinned", KeyKind::LinkAndAddressForAWhile),
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
    let pin = Element::LinkAndAddressFor {
        link: "dt-0001".into(),
        address: Ipv4Addr::new(192, 0, 2, 80),
        timeout_ms: 600_000,
        comment: "example.org".into(),
    };
    transaction.add_elements("pinned", &[pin]);
    transaction.add_elements("links", &[Element::Link("dt-0001".into())]);
    transaction.add_elements("meter", &[Element::Link("dt-0001".into())]);
    transaction.add_elements("ways", &[Element::LinkJump("dt-0001".into(), "other".into())]);
    for rule in rules() {
        transaction.append_rule("through", &rule);
    }
    transaction.append_rule("before", &[Statement::Port(Transport::Udp, 53), Statement::RedirectTo(20_053)]);
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
        "type nat hook prerouting priority dstnat; policy accept;",
        "udp dport 53 redirect to :20053",
        "elements = { \"dt-0001\" }",
        "elements = { \"dt-0001\" counter limit rate 5/second burst 20 packets }",
        "elements = { \"dt-0001\" : jump other }",
        "type ifname : verdict",
        "flags timeout",
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
            rules().len()
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

#[test]
fn elements_tell_their_time_their_comment_and_their_count() {
    if !available("elements_tell_their_time_their_comment_and_their_count") {
        return;
    }
    let host = Namespace::new("host");
    host.run(|| {
        let mut socket = open();
        let before = inspect::generation(&mut socket).expect("read");
        table().commit(&mut socket).expect("the table is installed");
        assert_eq!(inspect::generation(&mut socket).expect("read"), before + 1);
        let list = |socket: &mut Socket, set| {
            inspect::list_elements(socket, Family::Inet, "house", set).expect("listed")
        };
        let pinned = list(&mut socket, "pinned");
        assert_eq!(pinned.len(), 1);
        assert_eq!((pinned[0].link.as_str(), pinned[0].comment.as_str()), ("dt-0001", "example.org"));
        assert_eq!(pinned[0].address, Some(Ipv4Addr::new(192, 0, 2, 80)));
        let left = pinned[0].expires_in_ms.expect("it goes by itself");
        assert!((500_000..=600_000).contains(&left), "{left}");
        assert_eq!(list(&mut socket, "meter")[0].packets, Some(0));
        let find = |socket: &mut Socket, name: &str| {
            let key = Element::Link(name.into());
            inspect::find_element(socket, Family::Inet, "house", "meter", &key).expect("asked")
        };
        assert_eq!(find(&mut socket, "dt-0001").and_then(|found| found.packets), Some(0));
        assert_eq!(find(&mut socket, "dt-0002"), None);

        // A chain with rules goes once nothing leads to it.
        let mut transaction = Transaction::of(Family::Inet, "house");
        transaction.remove_elements("ways", &[Element::LinkJump("dt-0001".into(), "other".into())]);
        transaction.renew_chain("through", Some(Hook::Forward));
        transaction.delete_chain("other");
        transaction.delete_chain("never there");
        transaction.commit(&mut socket).expect("committed");
        assert!(!crate::namespace::run("nft list table inet house").contains("chain other"));
        // And so does a set with elements, once no rule looks anything up in it.
        let sets = |socket: &mut Socket| inspect::list_sets(socket, Family::Inet, "house").expect("listed");
        assert_eq!(sets(&mut socket).len(), 7);
        let mut transaction = Transaction::of(Family::Inet, "house");
        transaction.delete_set("pinned", KeyKind::LinkAndAddressForAWhile);
        transaction.delete_set("never there", KeyKind::Address);
        transaction.commit(&mut socket).expect("committed");
        let left = sets(&mut socket);
        assert!(left.len() == 6 && !left.contains(&"pinned".to_owned()), "{left:?}");
        assert_eq!(inspect::list_sets(&mut socket, Family::Inet, "castle").expect("none"), [""; 0]);
    });
}

#[test]
fn a_listener_hears_what_a_rule_reports_and_is_the_only_one() {
    if !available("a_listener_hears_what_a_rule_reports_and_is_the_only_one") {
        return;
    }
    let host = Namespace::new("host");
    host.run(|| {
        crate::namespace::run("ip link set lo up");
        let mut listener = Listener::open(77).expect("opened");
        assert_eq!(Listener::open(77).expect_err("one only").errno(), 1);
        let mut transaction = Transaction::of(Family::Inet, "house");
        transaction.create_table();
        transaction.renew_set("meter", KeyKind::LinkMeter(Limit { per_second: 1, burst: 3 }));
        transaction.add_elements("meter", &[Element::Link("lo".into())]);
        transaction.renew_chain("in", Some(Hook::Input));
        let metered = Statement::LinkIn(Side::In, "meter".into());
        transaction.append_rule(
            "in",
            &[Statement::Port(Transport::Udp, 9), metered, Statement::Log("ninth".into(), 77)],
        );
        transaction.commit(&mut open()).expect("committed");
        let socket = std::net::UdpSocket::bind("127.0.0.1:0").expect("bound");
        for _ in 0..20 {
            // Nobody listens there: the error of one is told to the next.
            let _ = socket.send_to(b"hello", "127.0.0.1:9");
        }
        let mut heard = Vec::new();
        let deadline = Instant::now() + Duration::from_mins(1);
        while heard.len() < 3 && Instant::now() < deadline {
            listener
                .listen(Duration::from_millis(200), |report| {
                    heard.push((report.link_index, report.heading.to_vec(), report.packet.to_vec()));
                })
                .expect("heard");
        }
        assert!((3..20).contains(&heard.len()), "the limit holds back the others: {}", heard.len());
        let (link, heading, packet) = &heard[0];
        assert_eq!((*link, heading.as_slice()), (Some(1), &b"ninth"[..]));
        assert_eq!(packet[9], 17, "a UDP packet");
        assert_eq!(&packet[22..24], &9_u16.to_be_bytes());
        let meter = inspect::list_elements(&mut open(), Family::Inet, "house", "meter").expect("listed");
        assert_eq!(meter[0].packets, Some(20), "the counter counts all");
    });
}
