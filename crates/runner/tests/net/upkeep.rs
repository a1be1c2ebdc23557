//! Lists survive what befalls a server: its end, its return, somebody who flushes the rules, a flood of lookups.

use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::time::{Duration, Instant};

use runner::net::{Membership, Running};
use types::egress::{Decision, Egress};

use crate::internet::{A, Internet, MIRROR, PORT, REFUSED, STRANGER, WEB, ask, list, question, write_labels};
use crate::namespace::available;
use crate::world::{FAR, arrives, arrives_from, passes, policy, sandbox_id, udp};

#[test]
fn lists_hold_while_the_server_is_dead_and_are_taken_over_by_the_next() {
    if !available("lists_hold_while_the_server_is_dead_and_are_taken_over_by_the_next") {
        return;
    }
    let internet = Internet::new();
    let (world, settings) = (&internet.world, Internet::settings());
    let network = world.open(&settings, &[]).expect("the network opens");
    let wanted = list(&["192.31.196.11"], &["web.example.com"]);
    let sandbox = world.sandbox_under(&network, 1, &wanted);
    let gone = world.sandbox_under(&network, 2, &wanted);
    assert!(!sandbox.connects(WEB));
    assert_eq!(sandbox.lookup("web.example.com").addresses, [WEB]);
    let listener = world.far.run(|| TcpListener::bind((WEB, 8443))).expect("bound");
    let inner = sandbox.namespace.run(|| TcpStream::connect((WEB, 8443))).expect("connected");
    let outer = listener.accept().expect("accepted").0;
    let before = world.host.run(|| network.egress(1)).expect("read");
    drop(network);

    assert!(sandbox.connects(WEB) && sandbox.connects(MIRROR) && !sandbox.connects(STRANGER));
    let bytes = question(&write_labels(&[b"web", b"example", b"com"]), A);
    let socket = sandbox.namespace.run(|| UdpSocket::bind("0.0.0.0:0")).expect("bound");
    socket.connect((FAR, 53)).expect("connected");
    socket.set_read_timeout(Some(Duration::from_millis(500))).expect("set");
    let _ = socket.send(&bytes);
    assert!(socket.recv(&mut [0; 512]).is_err(), "nobody answers");
    assert!(internet.foreign.asked().is_empty(), "and the question goes nowhere else");

    let running = [sandbox.running_under(&wanted)];
    let network = world.open(&settings, &running).expect("the network opens again");
    assert_eq!(network.report().orphans_removed, std::slice::from_ref(&gone.link.link_name));
    assert!(sandbox.connects(WEB), "what was looked up before still holds");
    assert!(passes(&inner, &outer, 5000) && passes(&outer, &inner, 5000));
    assert_eq!(sandbox.lookup("web.example.com").addresses, [WEB]);
    assert_eq!(sandbox.lookup("stranger.org").outcome, REFUSED);
    let after = world.host.run(|| network.egress(1)).expect("read");
    assert!(after.refused >= before.refused && after.allowed >= before.allowed, "{before:?} {after:?}");
    let table = world.host.command("nft list table inet daytona");
    assert!(!table.contains("_0002") && !table.contains("dt-0002"), "{table}");
    drop(network);

    // A list that changed while nobody looked: what is not on it any more is not taken over.
    let other = list(&[], &["other.example.com"]);
    let running = [sandbox.running_under(&other)];
    let _network = world.open(&settings, &running).expect("the network opens again");
    assert!(!sandbox.connects(WEB) && !sandbox.connects(MIRROR));
    assert!(!passes(&inner, &outer, 400));
}

#[test]
fn flushed_rules_are_back_in_a_moment() {
    if !available("flushed_rules_are_back_in_a_moment") {
        return;
    }
    let internet = Internet::new();
    let world = &internet.world;
    let network = world.open(&Internet::settings(), &[]).expect("the network opens");
    let listed = world.sandbox_under(&network, 1, &list(&["192.31.196.11"], &["web.example.com"]));
    let open = world.sandbox_under(&network, 2, &policy(false));
    listed.lookup("web.example.com");
    let counted = || world.host.command("nft list table inet daytona").lines().count();
    let lines = counted();
    for damage in [
        "nft flush ruleset",
        "nft delete table inet daytona",
        "nft flush chain inet daytona outbound",
        "nft flush chain inet daytona arriving",
        "nft delete chain inet daytona to_host",
        "nft flush set inet daytona members",
        "nft flush set inet daytona open",
        "nft insert rule inet daytona outbound accept",
    ] {
        world.host.command(damage);
        let start = Instant::now();
        let whole = || {
            let table = crate::namespace::try_run(&format!(
                "ip netns exec {} nft list table inet daytona",
                world.host.name
            ));
            table.0 && table.1.lines().count() == lines && !table.1.contains("chain outbound {\n\t\taccept")
        };
        while !whole() {
            let table = || world.host.command("nft list table inet daytona");
            assert!(
                start.elapsed() < Duration::from_secs(20),
                "{damage}: {:?} {}",
                network.trouble(),
                table()
            );
            std::thread::sleep(Duration::from_millis(20));
        }
        assert!(listed.connects(WEB) && listed.connects(MIRROR) && !listed.connects(STRANGER), "{damage}");
        assert!(open.connects(STRANGER), "{damage}");
        assert_eq!(arrives(&open.namespace, &listed.namespace, listed.link.address, 7000), None, "{damage}");
    }
    assert_eq!(network.trouble(), None);
    assert!(!world.host.run(|| network.check()).expect("looked"), "nothing is left to mend");
}

/// Waits until the decisions of a place satisfy `test`; they come a moment after the packet.
fn wait(read: impl Fn() -> Egress, test: impl Fn(&Egress) -> bool) -> Egress {
    let start = Instant::now();
    loop {
        let egress = read();
        if test(&egress) || start.elapsed() > Duration::from_mins(1) {
            return egress;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn rules(egress: &Egress, allowed: bool) -> Vec<(String, Option<u16>, &str, &str)> {
    let told = |decision: &Decision| decision.allowed == allowed;
    let decisions = egress.decisions.iter().filter(|decision| told(decision));
    decisions
        .map(|one| (one.destination.clone(), one.port, one.protocol.as_str(), one.rule.as_str()))
        .collect()
}

#[test]
fn decisions_are_counted_and_told_with_the_rule_that_decided() {
    if !available("decisions_are_counted_and_told_with_the_rule_that_decided") {
        return;
    }
    let internet = Internet::new();
    let world = &internet.world;
    let network = world.open(&Internet::settings(), &[]).expect("the network opens");
    assert_eq!(network.report().warnings, [""; 0]);
    let sandbox = world.sandbox_under(&network, 1, &list(&["192.31.196.11"], &["web.example.com"]));
    let other = world.sandbox_under(&network, 2, &policy(false));
    let blocked = world.sandbox_under(&network, 3, &policy(true));
    world.host.command(&format!("sysctl -qw net.ipv4.conf.{}.rp_filter=0", sandbox.link.link_name));
    world.host.command("sysctl -qw net.ipv4.conf.all.rp_filter=0");
    let send = |address: std::net::Ipv4Addr, port| {
        let _ = udp(&sandbox.namespace, sandbox.link.address, 0).send_to(b"x", (address, port));
    };
    let metadata = std::net::Ipv4Addr::new(169, 254, 169, 254);
    for address in [metadata, STRANGER, other.link.address, sandbox.link.gateway, MIRROR] {
        send(address, 7000);
    }
    sandbox.lookup("web.example.com");
    sandbox.lookup("stranger.org");
    send(WEB, 443);
    assert!(sandbox.connects(WEB));
    sandbox.namespace.command("ip addr add 192.31.196.77/32 dev eth0");
    let liar = udp(&sandbox.namespace, std::net::Ipv4Addr::new(192, 31, 196, 77), 0);
    assert_eq!(arrives_from(&liar, &world.far, FAR.into(), 7000), None);

    let read = |index| world.host.run(|| network.egress(index)).expect("read");
    let egress = wait(|| read(1), |egress| rules(egress, false).len() >= 7 && rules(egress, true).len() >= 3);
    let refused = rules(&egress, false);
    for (destination, port, protocol, rule) in [
        (metadata.to_string(), 7000, "udp", "denied range 169.254.0.0/16: link-local"),
        (STRANGER.to_string(), 7000, "udp", "not on the allow list"),
        (other.link.address.to_string(), 7000, "udp", "address of another sandbox"),
        (sandbox.link.gateway.to_string(), 7000, "udp", "address of the host"),
        ("stranger.org".to_owned(), 53, "dns", "name not on the allow list"),
        (WEB.to_string(), 443, "udp", "listed names are reached over TCP only"),
        (FAR.to_string(), 7000, "udp", "spoofed source 192.31.196.77"),
    ] {
        let found = refused.iter().any(|told| {
            (&told.0, told.1, told.2) == (&destination, Some(port), protocol) && told.3.starts_with(rule)
        });
        assert!(found, "{destination} {rule}: {refused:#?}");
    }
    assert_eq!((egress.refused, refused.len()), (7, 7));
    let allowed = rules(&egress, true);
    for (destination, protocol, rule) in [
        (WEB.to_string(), "tcp", "domain web.example.com on the allow list"),
        (MIRROR.to_string(), "udp", "network 192.31.196.11/32 on the allow list"),
        ("web.example.com".to_owned(), "dns", "domain web.example.com on the allow list"),
    ] {
        let found = allowed.iter().any(|told| (&told.0, told.2, told.3) == (&destination, protocol, rule));
        assert!(found, "{destination} {rule}: {allowed:#?}");
    }
    assert_eq!(egress.allowed, 3);
    let named = egress.decisions.iter().find(|one| one.destination == WEB.to_string() && one.allowed);
    assert_eq!(named.and_then(|one| one.name.as_deref()), Some("web.example.com"));

    assert!(!blocked.connects(WEB));
    let egress = wait(|| read(3), |egress| !egress.decisions.is_empty());
    assert_eq!(rules(&egress, false)[0], (WEB.to_string(), Some(PORT), "tcp", "the network is blocked"));
    assert_eq!(read(2), Egress::default(), "the other did nothing");
    assert!(other.connects(WEB));
    let egress = wait(|| read(2), |egress| !egress.decisions.is_empty());
    assert_eq!(rules(&egress, true), [(WEB.to_string(), Some(PORT), "tcp", "no allow list")]);
}

#[test]
fn a_flood_is_counted_whole_told_in_part_and_hurts_nobody_else() {
    if !available("a_flood_is_counted_whole_told_in_part_and_hurts_nobody_else") {
        return;
    }
    const FLOOD: u64 = 20_000;
    let internet = Internet::new();
    let world = &internet.world;
    let network = world.open(&Internet::settings(), &[]).expect("the network opens");
    let wanted = list(&[], &["web.example.com"]);
    let (loud, quiet) =
        (world.sandbox_under(&network, 1, &wanted), world.sandbox_under(&network, 2, &wanted));
    let socket = udp(&loud.namespace, loud.link.address, 0);
    let mut sent = 0;
    for _ in 0..FLOOD {
        sent += u64::from(socket.send_to(b"x", (STRANGER, 7000)).is_ok());
    }
    let read = |index| world.host.run(|| network.egress(index)).expect("read");
    let egress = wait(|| read(1), |egress| egress.decisions.len() >= 64);
    assert_eq!(egress.refused, sent, "every packet is counted");
    assert_eq!(egress.decisions.len(), 64, "and the last are told");

    let server = SocketAddr::from((FAR, 53));
    let bytes = question(&write_labels(&[b"web", b"example", b"com"]), A);
    let asking = loud.namespace.run(|| UdpSocket::bind("0.0.0.0:0")).expect("bound");
    asking.connect(server).expect("connected");
    for _ in 0..2000 {
        let _ = asking.send(&bytes);
    }
    assert_eq!(ask(&quiet.namespace, server, &bytes).expect("an answer").addresses, [WEB]);
    assert!(quiet.connects(WEB));
    let egress = wait(|| read(1), |egress| egress.refused > sent);
    assert!(egress.decisions.iter().any(|one| one.rule == "too many lookups at once"), "{egress:?}");
    assert_eq!(read(2).refused, 0);
    let asked = internet.names.asked().len();
    assert!(asked < 500, "the host's name server was spared: {asked}");
    // A connection that says nothing is closed, and many of them are too many.
    let connect = || TcpStream::connect_timeout(&server, Duration::from_secs(2));
    let idle: Vec<_> = (0..40).map(|_| loud.namespace.run(connect)).collect();
    assert_eq!(ask(&quiet.namespace, server, &bytes).expect("an answer").addresses, [WEB]);
    drop(idle);
}

#[test]
fn nobody_fills_the_host_s_table_of_connections() {
    if !available("nobody_fills_the_host_s_table_of_connections") {
        return;
    }
    let internet = Internet::new();
    let world = &internet.world;
    let network = world.open(&Internet::settings(), &[]).expect("the network opens");
    let loud = world.sandbox_under(&network, 1, &policy(false));
    let asking = world.sandbox_under(&network, 2, &list(&[], &["web.example.com"]));
    let quiet = world.sandbox_under(&network, 3, &policy(false));
    let start = Instant::now();
    for sandbox in [&loud, &asking] {
        let to = if sandbox.index == 1 { STRANGER } else { FAR };
        let sockets: Vec<_> = (0..20).map(|_| udp(&sandbox.namespace, sandbox.link.address, 0)).collect();
        for port in 1..=1000 {
            for socket in &sockets {
                // A question to the resolver takes the same port each time: only its source tells it apart.
                let port = if sandbox.index == 1 { port } else { 53 };
                let _ = socket.send_to(b"x", (to, port));
            }
        }
    }
    let most = 2 * 4000 + 2 * 500 * (start.elapsed().as_secs() + 1) + 100;
    let count = world.host.run(|| std::fs::read_to_string("/proc/sys/net/netfilter/nf_conntrack_count"));
    let count: u64 = count.expect("read").trim().parse().expect("a number");
    println!("{count} connections are known after 20,000 were tried");
    assert!(count < most, "{count} of {most}");
    assert!(quiet.connects(WEB), "the others have their own pace");
    let read = || world.host.run(|| network.egress(1)).expect("read");
    let egress = wait(read, |egress| !rules(egress, false).is_empty());
    assert!(egress.refused > 10_000, "{}", egress.refused);
    assert_eq!(egress.allowed + egress.refused, 20_000);
    assert_eq!(rules(&egress, false)[0].3, "too many new connections at once");
}

#[test]
fn many_lists_are_installed_at_once() {
    if !available("many_lists_are_installed_at_once") {
        return;
    }
    const PLACES: u32 = 300;
    let internet = Internet::new();
    let world = &internet.world;
    let networks: Vec<String> = (0..10).map(|number| format!("192.31.{number}.0/24")).collect();
    let networks: Vec<&str> = networks.iter().map(String::as_str).collect();
    let running: Vec<Running> = (0..PLACES)
        .map(|index| Running {
            sandbox_id: sandbox_id(index),
            index,
            policy: list(&networks, &["*.example.com"]),
            membership: Membership::default(),
        })
        .collect();
    let start = Instant::now();
    let network = world.open(&Internet::settings(), &running).expect("the network opens");
    println!("opened with {PLACES} lists of ten networks in {:?}", start.elapsed());
    let table = world.host.command("nft list table inet daytona");
    assert_eq!(table.matches("chain ranges_").count(), 300);
    assert_eq!(table.matches("goto allow").count(), 3000 + 5);
    world.host.run(|| {
        let start = Instant::now();
        assert!(!network.check().expect("looked"));
        println!("looked in {:?}", start.elapsed());
        network.install().expect("installed");
        for index in 0..PLACES {
            network.detach(index).expect("detached");
        }
    });
    let table = world.host.command("nft list table inet daytona");
    assert!(!table.contains("_00") && !table.contains("dt-0"), "{table}");
}
