//! What a sandbox can and cannot reach, each prohibition with the proof that only the rules are in the way.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use runner::net::Settings;

use crate::namespace::available;
use crate::world::{FAR, UPLINK, World, arrives, arrives_at_last, arrives_from, passes, policy, udp};

const PORT: u16 = 7000;

#[test]
fn a_sandbox_reaches_the_far_end_through_nat_and_nothing_reaches_it() {
    if !available("a_sandbox_reaches_the_far_end_through_nat_and_nothing_reaches_it") {
        return;
    }
    let world = World::new();
    let network = world.open(&Settings::default(), &[]).expect("the network opens");
    assert!(network.report().forwarding_enabled);
    assert_eq!(network.report().warnings, [""; 0]);
    let sandbox = world.sandbox(&network, 3, false);
    assert_eq!(sandbox.link.mtu_bytes, 1400, "as the uplink");
    assert_eq!(arrives(&sandbox.namespace, &world.far, FAR, PORT), Some(UPLINK.into()), "translated");

    world.far.command(&format!("ip route add 10.210.0.0/16 via {UPLINK}"));
    let inside = sandbox.link.address;
    assert_eq!(arrives(&world.far, &sandbox.namespace, inside, PORT), None, "nothing comes in from outside");
    assert_eq!(arrives(&world.host, &sandbox.namespace, inside, PORT), None, "nor from the host");
    world.without_rules(network);
    assert_eq!(arrives(&world.far, &sandbox.namespace, inside, PORT), Some(FAR.into()));
    assert_eq!(arrives(&world.host, &sandbox.namespace, inside, PORT), Some(sandbox.link.gateway.into()));
}

#[test]
fn a_sandbox_reaches_neither_the_host_nor_private_addresses_nor_metadata() {
    if !available("a_sandbox_reaches_neither_the_host_nor_private_addresses_nor_metadata") {
        return;
    }
    let world = World::new();
    let settings = Settings {
        allowed: vec!["192.168.7.0/24".parse().expect("a subnet")],
        denied: vec!["192.31.196.128/25".parse().expect("a subnet")],
        resolvers: vec![Ipv4Addr::new(10, 50, 0, 53)],
        ..Settings::default()
    };
    world.far.command("ip addr add 192.31.196.200/32 dev lo");
    let network = world.open(&settings, &[]).expect("the network opens");
    let sandbox = world.sandbox(&network, 0, false);
    let reaches = |address: Ipv4Addr, port| arrives(&sandbox.namespace, &world.far, address, port).is_some();
    let reaches_host = |address: Ipv4Addr| arrives(&sandbox.namespace, &world.host, address, PORT).is_some();
    let denied = [
        Ipv4Addr::new(169, 254, 169, 254),
        Ipv4Addr::new(10, 50, 0, 53),
        Ipv4Addr::new(192, 168, 8, 8),
        Ipv4Addr::new(172, 16, 3, 3),
        Ipv4Addr::new(100, 64, 1, 1),
        Ipv4Addr::new(192, 31, 196, 200),
    ];
    for address in denied {
        assert!(!reaches(address, PORT), "{address}");
    }
    let resolver = Ipv4Addr::new(10, 50, 0, 53);
    assert!(reaches(resolver, 53), "the resolver's port is open");
    assert!(!reaches(resolver, 54), "and no other");
    assert!(reaches(Ipv4Addr::new(192, 168, 7, 7), PORT), "the operator allowed it");
    assert!(reaches(FAR, PORT));
    for address in [UPLINK, sandbox.link.gateway] {
        assert!(!reaches_host(address), "{address} is the host's");
    }
    world.without_rules(network);
    for address in denied {
        assert!(reaches(address, PORT), "{address}: only the rules kept it away");
    }
    for address in [UPLINK, sandbox.link.gateway] {
        assert!(reaches_host(address), "{address}: only the rules kept it away");
    }
}

#[test]
fn sandboxes_do_not_reach_each_other() {
    if !available("sandboxes_do_not_reach_each_other") {
        return;
    }
    let world = World::new();
    // Even when the operator allows the whole pool.
    let settings = Settings { allowed: vec!["10.0.0.0/8".parse().expect("a subnet")], ..Settings::default() };
    let network = world.open(&settings, &[]).expect("the network opens");
    let (one, two) = (world.sandbox(&network, 1, false), world.sandbox(&network, 2, false));
    let reaches = || arrives(&one.namespace, &two.namespace, two.link.address, PORT);
    assert_eq!(reaches(), None);
    // The other's gateway is an address of the host.
    assert_eq!(arrives(&one.namespace, &world.host, two.link.gateway, PORT), None);
    world.without_rules(network);
    assert_eq!(reaches(), Some(one.link.address.into()));
    assert!(arrives(&one.namespace, &world.host, two.link.gateway, PORT).is_some());
}

#[test]
fn a_sandbox_cannot_lie_about_its_address_or_speak_ipv6() {
    if !available("a_sandbox_cannot_lie_about_its_address_or_speak_ipv6") {
        return;
    }
    let world = World::new();
    let network = world.open(&Settings::default(), &[]).expect("the network opens");
    let (one, two) = (world.sandbox(&network, 1, false), world.sandbox(&network, 2, false));
    // The kernel's own check of the way back would hide ours.
    for link in ["all", one.link.link_name.as_str()] {
        world.host.command(&format!("sysctl -qw net.ipv4.conf.{link}.rp_filter=0"));
    }
    let foreign = [two.link.address, Ipv4Addr::new(192, 31, 196, 77), Ipv4Addr::new(10, 99, 0, 1)];
    for address in foreign {
        one.namespace.command(&format!("ip addr add {address}/32 dev eth0"));
        assert_eq!(
            arrives_from(&udp(&one.namespace, address, 0), &world.far, FAR.into(), PORT),
            None,
            "{address}"
        );
    }
    let (near, far) =
        (Ipv6Addr::new(0xfd00, 1, 0, 0, 0, 0, 0, 2), Ipv6Addr::new(0xfd00, 2, 0, 0, 0, 0, 0, 2));
    world.host.command("sysctl -qw net.ipv6.conf.all.forwarding=1");
    for (namespace, link, address) in [
        (&one.namespace, "eth0", "fd00:1::2"),
        (&world.host, one.link.link_name.as_str(), "fd00:1::1"),
        (&world.host, "uplink", "fd00:2::1"),
        (&world.far, "uplink", "fd00:2::2"),
    ] {
        namespace.command(&format!("ip -6 addr add {address}/64 dev {link} nodad"));
    }
    one.namespace.command("ip -6 route add default via fd00:1::1");
    world.far.command("ip -6 route add default via fd00:2::1");
    assert_eq!(arrives(&one.namespace, &world.far, far, PORT), None, "out");
    assert_eq!(arrives(&world.far, &one.namespace, near, PORT), None, "in");
    world.without_rules(network);
    for address in foreign {
        let lie = arrives_from(&udp(&one.namespace, address, 0), &world.far, FAR.into(), PORT);
        assert_eq!(lie, Some(address.into()), "only the rules kept it away");
    }
    assert_eq!(arrives_at_last(&one.namespace, &world.far, far, PORT), Some(near.into()));
    assert_eq!(arrives_at_last(&world.far, &one.namespace, near, PORT), Some(IpAddr::from(far)));
}

#[test]
fn block_all_stops_an_open_connection_and_its_end_lets_it_go_on() {
    if !available("block_all_stops_an_open_connection_and_its_end_lets_it_go_on") {
        return;
    }
    let world = World::new();
    let network = world.open(&Settings::default(), &[]).expect("the network opens");
    let sandbox = world.sandbox(&network, 9, false);
    let block = |block_all| {
        let changed = world.host.run(|| network.admit(&sandbox.id, sandbox.index, &policy(block_all)));
        changed.expect("the rules change");
    };
    let listener = world.far.run(|| TcpListener::bind((FAR, PORT))).expect("bound");
    let address = SocketAddr::from((FAR, PORT));
    let connect =
        || sandbox.namespace.run(|| TcpStream::connect_timeout(&address, Duration::from_millis(400)));
    let inner = connect().expect("connected");
    let outer = listener.accept().expect("accepted").0;
    assert!(passes(&inner, &outer, 5000));
    assert!(passes(&outer, &inner, 5000));
    block(false); // what holds may be asked for
    block(true);
    block(true);
    assert!(!passes(&inner, &outer, 400), "out");
    assert!(!passes(&outer, &inner, 400), "in");
    assert!(connect().is_err(), "no new connection either");
    assert_eq!(arrives(&sandbox.namespace, &world.far, FAR, 53), None);
    block(false);
    assert!(passes(&inner, &outer, 10_000), "out again");
    assert!(passes(&outer, &inner, 10_000), "in again");
    assert!(connect().is_ok());

    let blocked = world.sandbox(&network, 10, true);
    assert_eq!(arrives(&blocked.namespace, &world.far, FAR, PORT), None, "blocked from its first packet on");
}
