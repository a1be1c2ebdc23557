//! Lists of networks and of names: what is listed is reached, what is not is not, and changes count at once.

use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};

use runner::net::Network;
use types::sandbox;

use crate::internet::{
    A, AAAA, Internet, MIRROR, NO_ERROR, PORT, REFUSED, Reply, SERVER_FAILURE, STRANGER, WEB, ask, ask_from,
    ask_over_tcp, list, question, write_labels,
};
use crate::namespace::available;
use crate::world::{FAR, Sandbox, UPLINK, World, arrives, passes, policy};

/// Opens the network with one sandbox under a policy.
fn start(internet: &Internet, wanted: &sandbox::Network) -> (Network, Sandbox) {
    let network = internet.world.open(&Internet::settings(), &[]).expect("the network opens");
    let sandbox = internet.world.sandbox_under(&network, 1, wanted);
    (network, sandbox)
}

#[test]
fn a_listed_name_is_reached_once_it_was_looked_up() {
    if !available("a_listed_name_is_reached_once_it_was_looked_up") {
        return;
    }
    let internet = Internet::new();
    let (_network, sandbox) = start(&internet, &list(&[], &["web.example.com", "*.cdn.example.com"]));
    internet.names.set("stranger.org", Reply::Addresses(vec![STRANGER], 60));
    internet.names.set("a.b.cdn.example.com", Reply::Addresses(vec![MIRROR], 7200));
    internet.names.set("cdn.example.com", Reply::Addresses(vec![STRANGER], 60));
    assert!(!sandbox.connects(WEB), "no connection without a lookup");
    let told = sandbox.lookup("WeB.exAmple.cOm");
    assert_eq!((told.outcome, told.addresses.as_slice(), told.ttl_s), (NO_ERROR, &[WEB][..], Some(60)));
    assert!(sandbox.connects(WEB));
    assert!(!sandbox.connects(STRANGER));
    let told = sandbox.lookup("a.b.cdn.example.com");
    assert_eq!(
        (told.addresses.as_slice(), told.ttl_s),
        (&[MIRROR][..], Some(3600)),
        "no longer than the pin"
    );
    assert!(sandbox.connects(MIRROR));
    assert_eq!(internet.names.asked(), ["web.example.com", "a.b.cdn.example.com"]);
    for name in [
        "stranger.org",
        "cdn.example.com",
        "example.com",
        "com",
        "xweb.example.com",
        "web.example.com.stranger.org",
        "a.web.example.com",
        "xcdn.example.com",
        "a.cdn.example.com.org",
    ] {
        assert_eq!(sandbox.lookup(name).outcome, REFUSED, "{name}");
    }
    assert_eq!(internet.names.asked(), [""; 0], "nobody was even asked for them");
    assert_eq!(internet.foreign.asked(), [""; 0]);
    // Over UDP nothing could tell which of the names at an address is meant.
    assert_eq!(arrives(&sandbox.namespace, &internet.world.far, WEB, PORT), None);
    assert!(sandbox.connects(WEB));
}

#[test]
fn hostile_names_are_refused_and_nobody_is_asked() {
    if !available("hostile_names_are_refused_and_nobody_is_asked") {
        return;
    }
    let internet = Internet::new();
    let (_network, sandbox) = start(&internet, &list(&[], &["*.example.com", "web.example.com"]));
    let server = SocketAddr::from((FAR, 53));
    let long = [b'a'; 63];
    let names: [&[&[u8]]; 9] = [
        &[b"stranger.org\0", b"example", b"com"],
        &[b"stranger", b"org\0.example.com"],
        &[b"a.b", b"example", b"com"],
        &[b"a b", b"example", b"com"],
        &[b"a\r\nb", b"example", b"com"],
        &[b"\xff\xfe", b"example", b"com"],
        &[b"*", b"example", b"com"],
        &[b"web", b"example", b"com\0"],
        &[],
    ];
    for labels in names {
        let told = ask(&sandbox.namespace, server, &question(&write_labels(labels), A));
        assert_eq!(told.map(|told| told.outcome), Some(REFUSED), "{labels:?}");
    }
    let too_long = question(&write_labels(&[&long, &long, &long, &long, b"example", b"com"]), A);
    assert_eq!(ask(&sandbox.namespace, server, &too_long).map(|told| told.outcome), Some(1));
    // A name that refers to another place of the message, and more than one question.
    let mut twice = question(&write_labels(&[b"web", b"example", b"com"]), A);
    twice[5] = 2;
    twice.extend_from_slice(&[0xc0, 12, 0, 1, 0, 1]);
    assert_eq!(ask(&sandbox.namespace, server, &twice).map(|told| told.outcome), Some(1));
    let name = write_labels(&[b"web", b"example", b"com"]);
    for kind in [AAAA, 65, 64, 255, 16, 5, 6, 252] {
        let told = ask(&sandbox.namespace, server, &question(&name, kind)).expect("an answer");
        assert_eq!((told.outcome, told.addresses.len()), (NO_ERROR, 0), "type {kind}");
    }
    let mut chaos = question(&name, A);
    let last = chaos.len() - 1;
    chaos[last] = 3;
    assert_eq!(ask(&sandbox.namespace, server, &chaos).map(|told| told.outcome), Some(REFUSED));
    assert_eq!(internet.names.asked(), [""; 0]);
    assert!(!sandbox.connects(WEB));
}

#[test]
fn a_name_that_answers_with_a_forbidden_address_gets_no_answer() {
    if !available("a_name_that_answers_with_a_forbidden_address_gets_no_answer") {
        return;
    }
    let internet = Internet::new();
    let (network, sandbox) = start(&internet, &list(&[], &["*.example.com"]));
    let other = internet.world.sandbox_under(&network, 2, &policy(false));
    let forbidden = [
        Ipv4Addr::new(169, 254, 169, 254),
        Ipv4Addr::new(10, 50, 0, 53),
        Ipv4Addr::LOCALHOST,
        Ipv4Addr::new(10, 210, 77, 77),
        other.link.address,
        other.link.gateway,
        UPLINK,
        Ipv4Addr::UNSPECIFIED,
        Ipv4Addr::BROADCAST,
    ];
    for address in forbidden {
        internet.names.set("trap.example.com", Reply::Addresses(vec![address], 60));
        let told = sandbox.lookup("trap.example.com");
        assert_eq!((told.outcome, told.addresses.len()), (REFUSED, 0), "{address}");
        let pinned = internet.world.host.command("nft list set inet daytona pinned");
        assert!(!pinned.contains("trap"), "{address}: {pinned}");
    }
    internet.names.set("mixed.example.com", Reply::Addresses(vec![forbidden[0], WEB, forbidden[1]], 60));
    assert_eq!(sandbox.lookup("mixed.example.com").addresses, [WEB]);
    let alias = Reply::Alias("elsewhere.stranger.org".to_owned(), vec![MIRROR]);
    internet.names.set("alias.example.com", alias);
    assert_eq!(sandbox.lookup("alias.example.com").addresses, [MIRROR], "only the asked name must be listed");
    assert!(sandbox.connects(MIRROR));
    assert!(!sandbox.connects(forbidden[0]) && !sandbox.connects(forbidden[1]));
    let rules: Vec<String> =
        network.egress(1).expect("read").decisions.into_iter().map(|decision| decision.rule).collect();
    let trap = "name answers with a denied address: 169.254.169.254, denied range 169.254.0.0/16: link-local";
    assert!(rules.iter().any(|rule| rule.starts_with(trap)), "{rules:?}");
    assert!(rules.iter().any(|rule| rule.contains("192.31.196.1, address of the host")), "{rules:?}");
    assert!(rules.iter().any(|rule| rule.contains("10.210.77.77, address of sandboxes")), "{rules:?}");
}

#[test]
fn a_name_that_changes_its_answer_moves_new_connections_only() {
    if !available("a_name_that_changes_its_answer_moves_new_connections_only") {
        return;
    }
    let internet = Internet::new();
    let (_network, sandbox) = start(&internet, &list(&[], &["web.example.com"]));
    let listener = internet.world.far.run(|| TcpListener::bind((WEB, 8443))).expect("bound");
    assert_eq!(sandbox.lookup("web.example.com").addresses, [WEB]);
    let inner = sandbox.namespace.run(|| TcpStream::connect((WEB, 8443))).expect("connected");
    let outer = listener.accept().expect("accepted").0;
    internet.names.set("web.example.com", Reply::Addresses(vec![MIRROR], 0));
    assert!(!sandbox.connects(MIRROR), "nobody looked it up yet");
    assert!(sandbox.connects(WEB), "the first answer still holds");
    assert_eq!(sandbox.lookup("web.example.com").addresses, [MIRROR]);
    assert!(sandbox.connects(MIRROR) && sandbox.connects(WEB));
    // The first answer's time is over; the kernel does this by itself after a minute.
    let link = &sandbox.link.link_name;
    internet.world.host.command(&format!("nft delete element inet daytona pinned {{ {link} . {WEB} }}"));
    assert!(!sandbox.connects(WEB), "no new connection to where the name was");
    assert!(passes(&inner, &outer, 5000) && passes(&outer, &inner, 5000), "the open one goes on");
    assert!(sandbox.connects(MIRROR));
}

#[test]
fn questions_to_any_name_server_come_to_ours() {
    if !available("questions_to_any_name_server_come_to_ours") {
        return;
    }
    let internet = Internet::new();
    let (_network, sandbox) = start(&internet, &list(&[], &["*.example.com"]));
    let bytes = question(&write_labels(&[b"web", b"example", b"com"]), A);
    let servers =
        [FAR, STRANGER, Ipv4Addr::new(10, 50, 0, 53), sandbox.link.gateway, Ipv4Addr::new(1, 1, 1, 1)];
    for server in servers.map(|address| SocketAddr::from((address, 53))) {
        let told = ask(&sandbox.namespace, server, &bytes).expect("an answer");
        assert_eq!(told.addresses, [WEB], "{server}");
        let told = ask_over_tcp(&sandbox.namespace, server, &bytes).expect("an answer");
        assert_eq!(told.addresses, [WEB], "{server} over TCP");
    }
    assert_eq!(internet.foreign.asked(), [""; 0]);
    // The resolver's own port is nobody's to call.
    let port = internet.world.host.command("nft list chain inet daytona to_us");
    let port: u16 = port
        .split("udp dport ")
        .nth(1)
        .and_then(|rest| rest.split(' ').next())
        .expect("it")
        .parse()
        .expect("a port");
    let direct = SocketAddr::from((sandbox.link.gateway, port));
    assert!(ask_over_tcp(&sandbox.namespace, direct, &bytes).is_none());
    let listening = internet.world.host.command("ss -Hlntu");
    let ours: Vec<&str> = listening.lines().filter(|line| line.contains(&format!(":{port} "))).collect();
    assert!(!ours.is_empty() && ours.iter().all(|line| line.contains("10.210.0.2:")), "{listening}");
}

#[test]
fn long_answers_are_cut_and_asked_for_again_over_tcp() {
    if !available("long_answers_are_cut_and_asked_for_again_over_tcp") {
        return;
    }
    let internet = Internet::new();
    let (_network, sandbox) = start(&internet, &list(&[], &["many.example.com"]));
    let many: Vec<Ipv4Addr> = (0..120).map(|number| Ipv4Addr::from_bits(0xc01f_c464 + number)).collect();
    internet.names.set("many.example.com", Reply::Addresses(many.clone(), 60));
    let bytes = question(&write_labels(&[b"many", b"example", b"com"]), A);
    let server = SocketAddr::from((FAR, 53));
    let told = ask(&sandbox.namespace, server, &bytes).expect("an answer");
    assert!(told.truncated && told.addresses.is_empty());
    let told = ask_over_tcp(&sandbox.namespace, server, &bytes).expect("an answer");
    assert_eq!(told.addresses, many[..32], "and no more than that");
    let mut roomy = bytes;
    roomy[11] = 1;
    roomy.extend_from_slice(&[0, 0, 41, 16, 0, 0, 0, 0, 0, 0, 0]);
    assert_eq!(ask(&sandbox.namespace, server, &roomy).map(|told| told.addresses.len()), Some(32));
    let pinned = internet.world.host.command("nft list set inet daytona pinned");
    assert_eq!(pinned.matches("many.example.com").count(), 32, "only what was told is pinned");
}

#[test]
fn forged_and_missing_answers_lead_nowhere() {
    if !available("forged_and_missing_answers_lead_nowhere") {
        return;
    }
    let internet = Internet::new();
    let (_network, sandbox) = start(&internet, &list(&[], &["*.example.com"]));
    internet.names.set("forged.example.com", Reply::AfterForgeries(WEB));
    assert_eq!(sandbox.lookup("forged.example.com").addresses, [WEB]);
    internet.names.set("silent.example.com", Reply::Silence);
    assert_eq!(sandbox.lookup("silent.example.com").outcome, SERVER_FAILURE);
    assert_eq!(sandbox.lookup("absent.example.com").outcome, 3, "no such name");
    assert!(sandbox.connects(WEB) && !sandbox.connects(STRANGER));
}

#[test]
fn listed_networks_are_reached_and_denied_ones_are_not() {
    if !available("listed_networks_are_reached_and_denied_ones_are_not") {
        return;
    }
    let internet = Internet::new();
    let wanted = list(&["192.31.196.10/31", "169.254.0.0/16", "10.0.0.0/8", "192.31.196.1"], &[]);
    let (network, sandbox) = start(&internet, &wanted);
    let far = &internet.world.far;
    for address in [WEB, MIRROR] {
        assert!(sandbox.connects(address), "{address}");
        assert!(arrives(&sandbox.namespace, far, address, 7000).is_some(), "{address} over UDP");
    }
    for address in [STRANGER, Ipv4Addr::new(169, 254, 169, 254), Ipv4Addr::new(10, 50, 0, 53)] {
        assert!(!sandbox.connects(address), "{address}");
        assert_eq!(arrives(&sandbox.namespace, far, address, 7000), None, "{address} over UDP");
    }
    assert_eq!(
        arrives(&sandbox.namespace, &internet.world.host, UPLINK, 7000),
        None,
        "the host is no network"
    );
    assert_eq!(sandbox.lookup("web.example.com").outcome, REFUSED, "a list means that no name leaves either");
    assert_eq!(internet.names.asked(), [""; 0]);
    assert_eq!(arrives(&sandbox.namespace, far, WEB, 53), None, "nor hidden in a question to a listed host");
    assert!(!sandbox.pings(WEB), "neither TCP nor UDP");
    internet.world.host.run(|| network.admit(&sandbox.id, 1, &policy(false))).expect("changed");
    assert!(sandbox.pings(WEB), "only the list kept it away");
}

#[test]
fn both_lists_together_allow_what_either_does() {
    if !available("both_lists_together_allow_what_either_does") {
        return;
    }
    let internet = Internet::new();
    let (_network, sandbox) = start(&internet, &list(&["192.31.196.11"], &["web.example.com"]));
    assert!(sandbox.connects(MIRROR) && !sandbox.connects(WEB));
    sandbox.lookup("web.example.com");
    assert!(sandbox.connects(WEB) && !sandbox.connects(STRANGER));
}

#[test]
fn a_change_counts_at_once_and_for_open_connections() {
    if !available("a_change_counts_at_once_and_for_open_connections") {
        return;
    }
    let internet = Internet::new();
    let World { host, far } = &internet.world;
    let (network, sandbox) = start(&internet, &policy(false));
    let change = |wanted: sandbox::Network| {
        host.run(|| network.admit(&sandbox.id, 1, &wanted)).expect("changed");
    };
    let open = |address: Ipv4Addr| {
        let listener = far.run(|| TcpListener::bind((address, 8443))).expect("bound");
        let inner = sandbox.namespace.run(|| TcpStream::connect((address, 8443))).expect("connected");
        (inner, listener.accept().expect("accepted").0)
    };
    let (to_web, web) = open(WEB);
    let (to_mirror, mirror) = open(MIRROR);
    let both = |first: bool, second: bool, step: &str| {
        let patience = |passing: bool| if passing { 10_000 } else { 400 };
        assert_eq!(passes(&to_web, &web, patience(first)), first, "{step}: out");
        assert_eq!(passes(&web, &to_web, patience(first)), first, "{step}: in");
        assert_eq!(passes(&to_mirror, &mirror, patience(second)), second, "{step}: out");
        assert_eq!(passes(&mirror, &to_mirror, patience(second)), second, "{step}: in");
    };
    both(true, true, "open");
    // One socket for all questions: an entry of the connection table must not keep it on its old way.
    let socket = sandbox.namespace.run(|| UdpSocket::bind("0.0.0.0:0")).expect("bound");
    let bytes = question(&write_labels(&[b"web", b"example", b"com"]), A);
    let same_socket = || ask_from(&socket, SocketAddr::from((FAR, 53)), &bytes).map(|told| told.addresses);
    assert_eq!(same_socket(), Some(vec![STRANGER]));
    assert_eq!(sandbox.lookup("web.example.com").addresses, [STRANGER], "the foreign server is asked");
    change(list(&["192.31.196.10"], &[]));
    both(true, false, "one network");
    assert_eq!(sandbox.lookup("web.example.com").outcome, REFUSED);
    change(list(&[], &["web.example.com"]));
    both(false, false, "a name that nobody looked up");
    assert_eq!(same_socket(), Some(vec![WEB]));
    both(true, false, "a name that was");
    change(list(&["192.31.196.11"], &["web.example.com"]));
    both(true, true, "both");
    assert!(sandbox.connects(WEB), "what was looked up before is still listed");
    change(policy(true));
    both(false, false, "blocked");
    change(list(&[], &["web.example.com"]));
    assert!(!sandbox.connects(WEB), "what was looked up before the block is forgotten");
    change(policy(false));
    both(true, true, "open again");
    assert_eq!(same_socket(), Some(vec![STRANGER]));
    assert_eq!(sandbox.lookup("web.example.com").addresses, [STRANGER]);
    let chains = host.command("nft list table inet daytona");
    assert!(!chains.contains("ranges_") && !chains.contains("answers_"), "{chains}");
}

#[test]
fn two_sandboxes_have_nothing_of_each_other_s_lists() {
    if !available("two_sandboxes_have_nothing_of_each_other_s_lists") {
        return;
    }
    let internet = Internet::new();
    let (network, one) = start(&internet, &list(&[], &["web.example.com"]));
    let two = internet.world.sandbox_under(&network, 2, &list(&["192.31.196.11"], &["other.example.com"]));
    one.lookup("web.example.com");
    assert!(one.connects(WEB) && !one.connects(MIRROR));
    assert!(two.connects(MIRROR) && !two.connects(WEB));
    assert_eq!(two.lookup("web.example.com").outcome, REFUSED);
    internet.world.host.run(|| network.detach(1)).expect("detached");
    assert!(!one.connects(WEB));
    assert!(two.connects(MIRROR));
    let table = internet.world.host.command("nft list table inet daytona");
    assert!(!table.contains("dt-0001"), "{table}");
}
