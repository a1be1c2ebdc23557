//! Veth pairs between namespaces: what both ends look like from outside, and that none is left behind.

use std::net::Ipv4Addr;
use std::os::fd::AsFd;
use std::time::Instant;

use linux::link::{self, Inside, Pair};
use linux::netlink::{Family, Socket};

use crate::namespace::{Namespace, available};

const GATEWAY: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 0);
const ADDRESS: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 1);
const INSIDE: Inside<'_> = Inside { name: "eth0", address: ADDRESS, prefix: 31, gateway: GATEWAY };

fn pair<'a>(name: &'a str, peer_namespace: link::Namespace<'a>) -> Pair<'a> {
    Pair {
        name,
        alias: "sandbox one",
        peer_name: "eth0",
        peer_namespace,
        mtu_bytes: 1400,
        address: GATEWAY,
        prefix: 31,
    }
}

fn open() -> Socket {
    Socket::open(Family::Route).expect("netlink opens")
}

#[test]
fn both_ends_are_as_asked_and_packets_pass() {
    if !available("both_ends_are_as_asked_and_packets_pass") {
        return;
    }
    let (host, sandbox) = (Namespace::new("host"), Namespace::new("sandbox"));
    let inside = sandbox.open();
    for peer in [link::Namespace::OfProcess(sandbox.pid()), link::Namespace::Open(inside.as_fd())] {
        host.run(|| link::create_pair(&mut open(), &pair("dt-one", peer))).expect("the pair is created");
        sandbox.run(|| link::configure_inside(&mut open(), &INSIDE)).expect("the inside is configured");

        let outside = host.command("ip -details addr show dt-one") + &host.command("ip link show dt-one");
        assert!(outside.contains("mtu 1400"), "{outside}");
        assert!(outside.contains("alias sandbox one"), "{outside}");
        assert!(outside.contains("inet 10.77.0.0/31"), "{outside}");
        assert!(!outside.contains("inet6"), "{outside}");
        let settings = "/proc/sys/net/ipv4/conf/dt-one";
        for (setting, value) in [("forwarding", "1"), ("rp_filter", "1"), ("arp_ignore", "1")] {
            assert_eq!(host.command(&format!("cat {settings}/{setting}")).trim(), value, "{setting}");
        }
        let eth0 = sandbox.command("ip addr show eth0");
        assert!(eth0.contains("mtu 1400") && eth0.contains("inet 10.77.0.1/31"), "{eth0}");
        assert!(!eth0.contains("inet6"), "{eth0}");
        let route = sandbox.command("ip route show default");
        assert!(route.contains("default via 10.77.0.0 dev eth0"), "{route}");
        assert!(sandbox.command("ip link show lo").contains("UP"));
        sandbox.run(|| {
            let here = std::net::UdpSocket::bind((ADDRESS, 0)).expect("the address is ours");
            let there =
                host.run(|| std::net::UdpSocket::bind((GATEWAY, 0)).expect("the address is the host's"));
            here.send_to(b"hello", there.local_addr().expect("bound")).expect("sent");
            there.set_read_timeout(Some(std::time::Duration::from_secs(5))).expect("set");
            assert_eq!(there.recv(&mut [0; 16]).expect("it arrives"), 5);
        });

        assert!(host.run(|| link::delete(&mut open(), "dt-one")).expect("deleted"));
        assert!(!host.run(|| link::delete(&mut open(), "dt-one")).expect("nothing to delete is no error"));
    }
}

#[test]
fn a_refusal_names_the_call_and_the_link_and_leaves_nothing() {
    if !available("a_refusal_names_the_call_and_the_link_and_leaves_nothing") {
        return;
    }
    let (host, sandbox) = (Namespace::new("host"), Namespace::new("sandbox"));
    let peer = link::Namespace::OfProcess(sandbox.pid());
    let create = |pair: &Pair<'_>| host.run(|| link::create_pair(&mut open(), pair));
    let bad_prefix = Pair { prefix: 33, ..pair("dt-one", peer) };
    let error = create(&bad_prefix).expect_err("no prefix is that long");
    assert_eq!(error.errno(), 22, "{error}");
    assert_eq!(error.to_string(), "add address 10.77.0.0/33 to dt-one (ipv4: Invalid prefix length)");
    assert_eq!(host.run(|| link::list(&mut open(), "")).expect("listed").len(), 1, "only lo is left");

    let no_such = Pair { peer_namespace: link::Namespace::OfProcess(0x3fff_ffff), ..pair("dt-one", peer) };
    assert_eq!(create(&no_such).expect_err("no such process").errno(), 3);
    let long = Pair { name: "a-name-that-is-too-long", ..pair("dt-one", peer) };
    assert!(
        create(&long).expect_err("too long").to_string().starts_with("create link a-name-that-is-too-long")
    );

    create(&pair("dt-one", peer)).expect("created");
    let error = create(&pair("dt-one", peer)).expect_err("it exists");
    assert_eq!(error.errno(), 17, "{error}");
    let links = host.run(|| link::list(&mut open(), "dt-")).expect("listed");
    assert_eq!(links.len(), 1);
    assert_eq!(
        (links[0].name.as_str(), links[0].alias.as_str(), links[0].mtu_bytes),
        ("dt-one", "sandbox one", 1400)
    );
    assert_eq!(host.run(|| link::list(&mut open(), "other-")).expect("listed"), []);
}

#[test]
fn the_default_routes_link_gives_the_largest_packet() {
    if !available("the_default_routes_link_gives_the_largest_packet") {
        return;
    }
    let host = Namespace::new("host");
    let mtu = || host.run(|| link::default_route_mtu(&mut open())).expect("routes are listed");
    assert_eq!(mtu(), None);
    host.command("ip link add far type veth peer name near");
    host.command("ip link set far up mtu 1280");
    host.command("ip link set near up mtu 1390");
    host.command("ip addr add 192.0.2.1/24 dev near");
    host.command("ip route add default via 192.0.2.2 metric 50");
    assert_eq!(mtu(), Some(1390));
    host.command("ip route add default dev far metric 10");
    assert_eq!(mtu(), Some(1280));
    host.command("ip route replace default metric 5 nexthop via 192.0.2.2 nexthop via 192.0.2.3");
    assert_eq!(mtu(), Some(1390));
}

#[test]
fn two_hundred_pairs_leave_none() {
    if !available("two_hundred_pairs_leave_none") {
        return;
    }
    let (host, sandbox) = (Namespace::new("host"), Namespace::new("sandbox"));
    let before = host.run(|| link::list(&mut open(), "")).expect("listed");
    let (mut created, mut configured, mut deleted) = (Vec::new(), Vec::new(), Vec::new());
    for round in 0..200 {
        let name = format!("dt-{round:012x}");
        let peer = link::Namespace::OfProcess(sandbox.pid());
        created.push(host.run(|| {
            let start = Instant::now();
            link::create_pair(&mut open(), &pair(&name, peer)).expect("created");
            start.elapsed()
        }));
        configured.push(sandbox.run(|| {
            let start = Instant::now();
            link::configure_inside(&mut open(), &INSIDE).expect("configured");
            start.elapsed()
        }));
        deleted.push(host.run(|| {
            let start = Instant::now();
            assert!(link::delete(&mut open(), &name).expect("deleted"));
            start.elapsed()
        }));
    }
    assert_eq!(host.run(|| link::list(&mut open(), "")).expect("listed"), before);
    for (step, mut times) in [("create", created), ("configure inside", configured), ("delete", deleted)] {
        times.sort();
        println!("veth {step}: median {:?}, p95 {:?}", times[100], times[190]);
    }
}
