//! Linked sandboxes: they reach each other by address and by name, whatever else they may reach, and nobody else does.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::time::{Duration, Instant};

use runner::net::{Membership, Network, Settings};
use types::sandbox;

use crate::internet::{
    A, AAAA, Internet, NameServer, REFUSED, Reply, STRANGER, WEB, ask, ask_over_tcp, list, question,
    write_labels,
};
use crate::namespace::available;
use crate::world::{FAR, Sandbox, World, arrives, arrives_from, passes, policy, sandbox_id, udp};

const PORT: u16 = 7000;
const NO_SUCH_NAME: u8 = 3;

/// The membership of a sandbox that is called `name`, linked to the one whose place was `owner` at first.
fn member(owner: Option<u32>, name: &str) -> Membership {
    Membership {
        organization_id: "organization".to_owned(),
        owner_id: owner.map(sandbox_id),
        name: name.to_owned(),
    }
}

/// Makes a sandbox that is linked, or that others are linked to.
fn linked(
    world: &World,
    network: &Network,
    index: u32,
    policy: &sandbox::Network,
    membership: &Membership,
) -> Sandbox {
    let sandbox = world.sandbox_under(network, index, policy);
    world.host.run(|| network.join(index, membership)).expect("joined");
    sandbox
}

fn reaches(from: &Sandbox, to: &Sandbox) -> bool {
    arrives(&from.namespace, &to.namespace, to.link.address, PORT).is_some()
}

fn reaches_over_tcp(from: &Sandbox, to: &Sandbox, port: u16) -> bool {
    let address = SocketAddr::from((to.link.address, port));
    let _listener = to.namespace.run(|| TcpListener::bind(address)).expect("bound");
    from.namespace.run(|| TcpStream::connect_timeout(&address, Duration::from_millis(400))).is_ok()
}

fn pings(from: &Sandbox, to: &Sandbox) -> bool {
    from.pings(to.link.address)
}

/// The first label is one, dots and all.
fn asks(from: &Sandbox, name: &str, kind: u16) -> crate::internet::Told {
    let bytes = question(&write_labels(&[name.as_bytes()]), kind);
    ask(&from.namespace, SocketAddr::from((FAR, 53)), &bytes).expect("an answer")
}

#[test]
fn linked_sandboxes_reach_each_other_on_all_ports_and_nobody_else_does() {
    if !available("linked_sandboxes_reach_each_other_on_all_ports_and_nobody_else_does") {
        return;
    }
    let world = World::new();
    let network = world.open(&Settings::default(), &[]).expect("the network opens");
    let owner = linked(&world, &network, 1, &policy(false), &member(None, "owner"));
    let follower = linked(&world, &network, 2, &policy(false), &member(Some(1), "first"));
    let second = linked(&world, &network, 3, &policy(false), &member(Some(1), "second"));
    let third = linked(&world, &network, 4, &policy(false), &member(None, "third"));
    let foreign = Membership { organization_id: "other".to_owned(), ..member(Some(1), "foreign") };
    let foreign = linked(&world, &network, 5, &policy(false), &foreign);
    for (from, to) in [(&owner, &follower), (&follower, &owner), (&follower, &second), (&second, &owner)] {
        assert_eq!(
            arrives(&from.namespace, &to.namespace, to.link.address, PORT),
            Some(IpAddr::V4(from.link.address)),
            "with its own address"
        );
        assert!(reaches_over_tcp(from, to, 1) && reaches_over_tcp(from, to, 65_535));
        assert!(pings(from, to));
    }
    for stranger in [&third, &foreign] {
        for one in [&owner, &follower, &second] {
            for (from, to) in [(stranger, one), (one, stranger)] {
                assert!(!reaches(from, to) && !reaches_over_tcp(from, to, 80) && !pings(from, to));
            }
        }
    }
    assert_eq!(
        arrives(&owner.namespace, &world.host, follower.link.gateway, PORT),
        None,
        "the host is no mate"
    );
    assert!(arrives(&follower.namespace, &world.far, FAR, PORT).is_some(), "and the way out is as it was");
    // What is told of one is not taken for the word of all: a link is cut for one, and for all with the owner's end.
    world.host.run(|| network.detach(2)).expect("detached");
    assert!(!reaches(&owner, &follower) && reaches(&owner, &second) && reaches(&second, &owner));
    world.without_rules(network);
    assert!(reaches(&third, &owner) && reaches(&owner, &foreign), "only the rules kept them apart");
}

#[test]
fn a_linked_sandbox_cannot_lie_about_its_address() {
    if !available("a_linked_sandbox_cannot_lie_about_its_address") {
        return;
    }
    let world = World::new();
    let network = world.open(&Settings::default(), &[]).expect("the network opens");
    let owner = linked(&world, &network, 1, &policy(false), &member(None, "owner"));
    let follower = linked(&world, &network, 2, &policy(true), &member(Some(1), "first"));
    let second = linked(&world, &network, 3, &policy(false), &member(Some(1), "second"));
    for link in ["all", follower.link.link_name.as_str(), second.link.link_name.as_str()] {
        world.host.command(&format!("sysctl -qw net.ipv4.conf.{link}.rp_filter=0"));
    }
    let foreign = [owner.link.address, Ipv4Addr::new(10, 210, 9, 9), Ipv4Addr::new(192, 31, 196, 77)];
    let lie = |from: &Sandbox, address: Ipv4Addr, to: &Sandbox| {
        let sender = udp(&from.namespace, address, 0);
        arrives_from(&sender, &to.namespace, to.link.address.into(), PORT)
    };
    for address in foreign {
        for (from, to) in [(&follower, &second), (&second, &follower)] {
            from.namespace.command(&format!("ip addr add {address}/32 dev eth0"));
            assert_eq!(lie(from, address, to), None, "{address}");
            from.namespace.command(&format!("ip addr del {address}/32 dev eth0"));
        }
    }
    world.without_rules(network);
    let address = Ipv4Addr::new(192, 31, 196, 77);
    second.namespace.command(&format!("ip addr add {address}/32 dev eth0"));
    assert_eq!(lie(&second, address, &follower), Some(address.into()), "only the rules kept it away");
}

#[test]
fn names_and_ids_lead_to_neighbours_and_win_over_the_world_s() {
    if !available("names_and_ids_lead_to_neighbours_and_win_over_the_world_s") {
        return;
    }
    let internet = Internet::new();
    let world = &internet.world;
    let network = world.open(&Internet::settings(), &[]).expect("the network opens");
    let owner = linked(world, &network, 1, &policy(false), &member(None, "My-DB"));
    let follower = linked(world, &network, 2, &policy(false), &member(Some(1), "worker"));
    let third = linked(world, &network, 3, &policy(false), &member(None, "third"));
    for name in ["my-db", "worker"] {
        internet.foreign.set(name, Reply::Addresses(vec![STRANGER], 60));
    }
    for (from, name, to) in [
        (&follower, "my-db", &owner),
        (&follower, "MY-db", &owner),
        (&follower, owner.id.as_str(), &owner),
        (&owner, "worker", &follower),
        (&owner, follower.id.as_str(), &follower),
        (&owner, "my-db", &owner),
    ] {
        let told = asks(from, name, A);
        assert_eq!((told.addresses.as_slice(), told.ttl_s), (&[to.link.address][..], Some(5)), "{name}");
        let bytes = question(&write_labels(&[name.as_bytes()]), A);
        let told = ask_over_tcp(&from.namespace, SocketAddr::from((FAR, 53)), &bytes).expect("an answer");
        assert_eq!(told.addresses, [to.link.address], "{name} over TCP");
        let told = asks(from, name, AAAA);
        assert_eq!((told.outcome, told.addresses.len()), (0, 0), "{name} has no other address");
    }
    assert_eq!(internet.foreign.asked(), [""; 0], "no such name leaves the host");
    // Outside of the group they mean what they mean to the world.
    assert_eq!(asks(&third, "my-db", A).addresses, [STRANGER]);
    assert_eq!(asks(&third, &owner.id, A).outcome, NO_SUCH_NAME);
    assert_eq!(asks(&owner, "third", A).outcome, NO_SUCH_NAME);
    // Everything else is handed on to whom it was asked of.
    assert_eq!(follower.lookup("web.example.com").addresses, [STRANGER]);
    assert_eq!(follower.lookup("my-db.example.com").outcome, NO_SUCH_NAME);
    let many: Vec<Ipv4Addr> = (0..60).map(|number| Ipv4Addr::from_bits(0xc01f_c464 + number)).collect();
    internet.foreign.set("many.example.com", Reply::Addresses(many.clone(), 60));
    let bytes = question(&write_labels(&[b"many", b"example", b"com"]), A);
    let server = SocketAddr::from((FAR, 53));
    assert!(ask(&follower.namespace, server, &bytes).expect("an answer").truncated);
    assert_eq!(ask_over_tcp(&follower.namespace, server, &bytes).expect("an answer").addresses, many);
    internet.foreign.set("silent.example.com", Reply::Silence);
    assert_eq!(follower.lookup("silent.example.com").outcome, 2);
    internet.foreign.set("forged.example.com", Reply::AfterForgeries(WEB));
    assert_eq!(follower.lookup("forged.example.com").addresses, [WEB]);
    assert_eq!(internet.names.asked(), [""; 0], "the host's own name server is nobody's business");
}

#[test]
fn hostile_names_break_nothing_and_their_sandboxes_are_found_by_id() {
    if !available("hostile_names_break_nothing_and_their_sandboxes_are_found_by_id") {
        return;
    }
    let internet = Internet::new();
    let world = &internet.world;
    let network = world.open(&Internet::settings(), &[]).expect("the network opens");
    let owner = linked(world, &network, 1, &policy(true), &member(None, "owner"));
    let follower = linked(world, &network, 2, &policy(false), &member(Some(1), "worker"));
    let long = "x".repeat(100_000);
    let names = [
        "localhost",
        "metadata",
        "metadata.google.internal",
        "web.example.com",
        "a\" }; flush ruleset; #",
        "a b",
        "a\0b",
        "ü",
        "*",
        "",
        &follower.id,
        &long,
    ];
    for name in names {
        world.host.run(|| network.join(1, &member(None, name))).expect("joined");
        assert_eq!(asks(&follower, &owner.id, A).addresses, [owner.link.address], "{name:.20}");
        assert_eq!(asks(&follower, &follower.id, A).addresses, [follower.link.address], "{name:.20}");
        let asked = name.len() < 64 && !name.is_empty() && name != follower.id;
        let is_owner = |told: crate::internet::Told| told.addresses.contains(&owner.link.address);
        assert!(!asked || !is_owner(asks(&follower, name, A)), "{name}");
        assert!(reaches(&follower, &owner), "{name:.20}");
    }
    let asked = internet.foreign.asked();
    assert!(asked.contains(&"metadata.google.internal".to_owned()), "it is the world's: {asked:?}");
    assert_eq!(follower.lookup("web.example.com").addresses, [STRANGER], "a name with dots is the world's");
    // The owner has no list and is shut: it is told of its neighbours only, and what it asks goes nowhere.
    assert_eq!(asks(&owner, "worker", A).addresses, [follower.link.address]);
    internet.foreign.asked();
    assert_eq!(asks(&owner, "elsewhere", A).outcome, REFUSED);
    assert_eq!((internet.foreign.asked(), internet.names.asked()), (vec![], vec![]));
    // Of two with the same name it is the owner.
    world.host.run(|| network.join(1, &member(None, "WORKER"))).expect("joined");
    assert_eq!(asks(&follower, "worker", A).addresses, [owner.link.address]);
}

#[test]
fn links_hold_under_every_policy_and_open_nothing_else() {
    if !available("links_hold_under_every_policy_and_open_nothing_else") {
        return;
    }
    let internet = Internet::new();
    let world = &internet.world;
    let network = world.open(&Internet::settings(), &[]).expect("the network opens");
    let listed = list(&["192.31.196.11"], &["web.example.com"]);
    let owner = linked(world, &network, 1, &policy(true), &member(None, "owner"));
    let follower = linked(world, &network, 2, &listed, &member(Some(1), "worker"));
    let third = world.sandbox(&network, 3, false);
    let address = SocketAddr::from((owner.link.address, 8443));
    let listener = owner.namespace.run(|| TcpListener::bind(address)).expect("bound");
    let inner = follower.namespace.run(|| TcpStream::connect(address)).expect("connected");
    let outer = listener.accept().expect("accepted").0;
    for wanted in [policy(true), listed.clone(), policy(false), listed.clone(), policy(true)] {
        world.host.run(|| network.admit(&owner.id, 1, &wanted)).expect("changed");
        assert!(passes(&inner, &outer, 5000) && passes(&outer, &inner, 5000), "{wanted:?}");
        for (from, to) in [(&owner, &follower), (&follower, &owner)] {
            assert!(reaches(from, to) && reaches_over_tcp(from, to, 80) && pings(from, to), "{wanted:?}");
        }
        assert_eq!(asks(&owner, "worker", A).addresses, [follower.link.address]);
        assert_eq!(asks(&follower, "owner", A).addresses, [owner.link.address]);
        assert!(!reaches(&third, &owner) && !reaches(&owner, &third));
        let world_opens = !wanted.block_all && !wanted.listed();
        assert_eq!(owner.connects(STRANGER), world_opens, "{wanted:?}");
        assert!(!owner.connects(Ipv4Addr::new(169, 254, 169, 254)) && !follower.connects(STRANGER));
    }
    assert_eq!(owner.lookup("web.example.com").outcome, REFUSED);
    assert_eq!(follower.lookup("web.example.com").addresses, [WEB]);
    assert!(follower.connects(WEB));
    // A name server in a sandbox is its neighbours' to ask, whatever their list says.
    let names = NameServer::start(&owner.namespace, SocketAddr::from((owner.link.address, 53)));
    names.set("inside", Reply::Addresses(vec![Ipv4Addr::new(192, 0, 2, 1)], 60));
    let bytes = question(&write_labels(&[b"inside"]), A);
    let told = ask(&follower.namespace, SocketAddr::from((owner.link.address, 53)), &bytes);
    assert_eq!(told.expect("an answer").addresses, [Ipv4Addr::new(192, 0, 2, 1)]);
}

#[test]
fn links_come_and_go_and_names_follow() {
    if !available("links_come_and_go_and_names_follow") {
        return;
    }
    let internet = Internet::new();
    let world = &internet.world;
    let network = world.open(&Internet::settings(), &[]).expect("the network opens");
    let empty = world.host.command("nft list table inet daytona");
    // The follower is there first, and alone.
    let follower = linked(world, &network, 2, &policy(false), &member(Some(1), "worker"));
    let alone = || world.host.command("nft list table inet daytona");
    assert!(!alone().contains("group_"), "nobody is linked with nobody");
    assert_eq!(asks(&follower, "owner", A).outcome, NO_SUCH_NAME);
    // One socket for all questions: an entry of the connection table must not keep it on its old way.
    let socket = follower.namespace.run(|| std::net::UdpSocket::bind("0.0.0.0:0")).expect("bound");
    let same_socket = || {
        let bytes = question(&write_labels(&[b"owner"]), A);
        crate::internet::ask_from(&socket, SocketAddr::from((FAR, 53)), &bytes).expect("an answer").addresses
    };
    assert_eq!(same_socket(), [Ipv4Addr::UNSPECIFIED; 0]);
    let owner = linked(world, &network, 1, &policy(false), &member(None, "owner"));
    assert_eq!(same_socket(), [owner.link.address]);
    assert!(reaches(&owner, &follower) && reaches(&follower, &owner));
    let address = SocketAddr::from((owner.link.address, 8443));
    let listener = owner.namespace.run(|| TcpListener::bind(address)).expect("bound");
    let inner = follower.namespace.run(|| TcpStream::connect(address)).expect("connected");
    let outer = listener.accept().expect("accepted").0;
    assert!(passes(&inner, &outer, 5000));

    world.host.run(|| network.detach(1)).expect("detached");
    assert!(!passes(&inner, &outer, 400), "an open connection ends with the link");
    assert_eq!(same_socket(), [Ipv4Addr::UNSPECIFIED; 0]);
    assert!(!alone().contains("group_") && !alone().contains("mates_"), "{}", alone());
    assert!(follower.connects(WEB));
    drop((inner, outer, listener, owner));

    // Somebody else has its address now, and nothing of its links.
    let heir = linked(world, &network, 1, &policy(false), &member(None, "owner"));
    // Its id is that of the place, which the follower is linked to; a sandbox of another tenant is not.
    world.host.run(|| network.detach(1)).expect("detached");
    drop(heir);
    let stranger = Membership { organization_id: "other".to_owned(), ..member(None, "owner") };
    let heir = linked(world, &network, 1, &policy(false), &stranger);
    assert!(!reaches(&heir, &follower) && !reaches(&follower, &heir));
    assert_eq!(asks(&follower, "owner", A).outcome, NO_SUCH_NAME);

    // The owner comes back in another place.
    let place = 7;
    let back = world.sandbox_as(&network, place, &sandbox_id(1), &policy(false));
    world.host.run(|| network.join(place, &member(None, "owner"))).expect("joined");
    assert_eq!(same_socket(), [back.link.address]);
    assert!(reaches(&follower, &back) && reaches(&back, &follower) && !reaches(&follower, &heir));
    for index in [place, 2, 1] {
        world.host.run(|| network.detach(index)).expect("detached");
        world.host.run(|| network.detach(index)).expect("detached twice is no error");
    }
    assert_eq!(alone(), empty, "nothing is left");
}

#[test]
fn links_hold_while_the_server_is_dead_and_are_rebuilt_by_the_next() {
    if !available("links_hold_while_the_server_is_dead_and_are_rebuilt_by_the_next") {
        return;
    }
    let internet = Internet::new();
    let (world, settings) = (&internet.world, Internet::settings());
    let network = world.open(&settings, &[]).expect("the network opens");
    let memberships = [member(None, "owner"), member(Some(1), "worker"), member(Some(1), "late")];
    let [owner, follower, late] = [(1, false), (2, true), (3, false)].map(|(index, block_all)| {
        let place = usize::try_from(index).expect("small") - 1;
        linked(world, &network, index, &policy(block_all), &memberships[place])
    });
    let address = SocketAddr::from((owner.link.address, 8443));
    let listener = owner.namespace.run(|| TcpListener::bind(address)).expect("bound");
    let inner = follower.namespace.run(|| TcpStream::connect(address)).expect("connected");
    let outer = listener.accept().expect("accepted").0;
    drop(network);
    assert!(passes(&inner, &outer, 5000) && reaches(&owner, &follower) && reaches(&late, &follower));

    let running = [(&owner, false), (&follower, true), (&late, false)].map(|(sandbox, block_all)| {
        let place = usize::try_from(sandbox.index).expect("small") - 1;
        runner::net::Running { membership: memberships[place].clone(), ..sandbox.running(block_all) }
    });
    let network = world.open(&settings, &running).expect("the network opens again");
    assert!(passes(&inner, &outer, 5000) && passes(&outer, &inner, 5000), "the connection survived");
    assert_eq!(asks(&follower, "owner", A).addresses, [owner.link.address]);
    assert_eq!(asks(&owner, "late", A).addresses, [late.link.address]);
    assert!(!world.host.run(|| network.check()).expect("looked"), "nothing is to be mended");
    let table = |world: &World| {
        let list = format!("ip netns exec {} nft -s list table inet daytona", world.host.name);
        crate::namespace::try_run(&list).1.lines().count()
    };
    let whole = table(world);
    for damage in
        ["nft flush ruleset", "nft flush map inet daytona groups", "nft flush map inet daytona mates", "set"]
    {
        let sets = world.host.command("nft list sets inet");
        let set = sets.split_whitespace().find(|word| word.starts_with("mates_")).expect("a set of mates");
        let flush = format!("nft flush set inet daytona {set}");
        world.host.command(if damage == "set" { &flush } else { damage });
        let start = Instant::now();
        while table(world) != whole {
            assert!(start.elapsed() < Duration::from_secs(20), "{damage}: {:?}", network.trouble());
            std::thread::sleep(Duration::from_millis(20));
        }
        assert!(reaches(&late, &owner) && reaches(&owner, &follower), "{damage}");
        assert_eq!(asks(&follower, "owner", A).addresses, [owner.link.address], "{damage}");
    }
    drop(network);

    // The record of one says now that it is linked with nobody.
    let mut running = running;
    running[2].membership = member(None, "late");
    let network = world.open(&settings, &running).expect("the network opens again");
    assert!(!reaches(&late, &owner) && !reaches(&follower, &late) && reaches(&owner, &follower));
    drop(network);
    let running = [running[1].clone()];
    let network = world.open(&settings, &running).expect("the network opens again");
    let table = world.host.command("nft list table inet daytona");
    assert!(!table.contains("group_") && !table.contains("mates_"), "{table}");
    drop(network);
}

#[test]
fn linked_traffic_is_counted_and_told_as_such() {
    if !available("linked_traffic_is_counted_and_told_as_such") {
        return;
    }
    let internet = Internet::new();
    let world = &internet.world;
    let network = world.open(&Internet::settings(), &[]).expect("the network opens");
    let owner = linked(world, &network, 1, &policy(true), &member(None, "owner"));
    let follower = linked(world, &network, 2, &policy(false), &member(Some(1), "my worker"));
    let third = world.sandbox(&network, 3, false);
    assert!(reaches(&owner, &follower));
    assert_eq!(asks(&follower, "owner", A).addresses, [owner.link.address]);
    assert!(reaches_over_tcp(&follower, &owner, 8443));
    assert!(!reaches(&follower, &third) && !owner.connects(WEB));
    let told = |index: u32, allowed: bool, wanted: usize| {
        let start = Instant::now();
        loop {
            let egress = world.host.run(|| network.egress(index)).expect("read");
            let decisions: Vec<_> =
                egress.decisions.iter().filter(|one| one.allowed == allowed).cloned().collect();
            if decisions.len() >= wanted || start.elapsed() > Duration::from_mins(1) {
                return (egress, decisions);
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    };
    let (egress, allowed) = told(1, true, 1);
    let (peer, id) = (follower.link.address.to_string(), follower.id.clone());
    assert_eq!((egress.allowed, allowed.len()), (1, 1), "{egress:#?}");
    assert_eq!((&allowed[0].destination, allowed[0].rule.as_str()), (&peer, "link"));
    assert_eq!(
        (allowed[0].port, allowed[0].name.clone()),
        (Some(PORT), Some(id)),
        "by id: its name is no host's"
    );
    assert_eq!(told(1, false, 1).1[0].rule, "the network is blocked");
    let (egress, allowed) = told(2, true, 2);
    let lines: Vec<_> = allowed.iter().map(|one| (one.protocol.as_str(), one.rule.as_str())).collect();
    assert_eq!((egress.allowed, lines), (2, vec![("dns", "link"), ("tcp", "link")]));
    assert_eq!(allowed[1].name.as_deref(), Some("owner"));
    assert_eq!(told(2, false, 1).1[0].rule, "address of another sandbox");
}

#[test]
fn many_come_and_go_at_once() {
    if !available("many_come_and_go_at_once") {
        return;
    }
    const GROUPS: u32 = 4;
    const FOLLOWERS: u32 = 24;
    let world = World::new();
    let network = world.open(&Settings::default(), &[]).expect("the network opens");
    let empty = world.host.command("nft list table inet daytona");
    let start = Instant::now();
    std::thread::scope(|scope| {
        for group in 0..GROUPS {
            for follower in 0..FOLLOWERS {
                let (network, world) = (&network, &world);
                scope.spawn(move || {
                    let owner = group * FOLLOWERS;
                    let index = owner + follower;
                    let membership = member((follower > 0).then_some(owner), &format!("name-{follower}"));
                    world.host.run(|| {
                        for round in 0..4 {
                            network
                                .admit(&sandbox_id(index), index, &policy(round % 2 == 0))
                                .expect("admitted");
                            network.join(index, &membership).expect("joined");
                            if round < 3 {
                                network.detach(index).expect("detached");
                            }
                        }
                    });
                });
            }
        }
    });
    println!("{} changes of links in {:?}", GROUPS * FOLLOWERS * 7, start.elapsed());
    let table = world.host.command("nft list table inet daytona");
    assert_eq!(table.matches("chain group_").count(), 4, "{table}");
    assert_eq!(table.matches(": jump group_").count(), 96);
    assert!(!world.host.run(|| network.check()).expect("looked"), "what is there is what should be");
    world.host.run(|| {
        for index in 0..GROUPS * FOLLOWERS {
            network.detach(index).expect("detached");
        }
    });
    assert_eq!(world.host.command("nft list table inet daytona"), empty);
}
