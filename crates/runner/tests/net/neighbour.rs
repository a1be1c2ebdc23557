//! Others on the same host: a second server, Docker's leftovers, a link that uses our addresses.

use runner::net::{NetError, Settings};

use crate::namespace::available;
use crate::world::{FAR, World, arrives, policy};

const PORT: u16 = 7000;

#[test]
fn two_servers_on_one_host_do_not_meet() {
    if !available("two_servers_on_one_host_do_not_meet") {
        return;
    }
    let world = World::new();
    let second = Settings {
        instance: "second".to_owned(),
        pool: "10.211.0.0/16".parse().expect("a subnet"),
        ..Settings::default()
    };
    let one = world.open(&Settings::default(), &[]).expect("the first opens");
    let mine = world.sandbox(&one, 1, false);
    let two = world.open(&second, &[]).expect("the second opens");
    let other = world.sandbox(&two, 1, false);
    assert_eq!(mine.id, other.id);
    for sandbox in [&mine, &other] {
        assert!(arrives(&sandbox.namespace, &world.far, FAR, PORT).is_some(), "{:?}", sandbox.link);
    }
    assert_eq!(arrives(&mine.namespace, &other.namespace, other.link.address, PORT), None);
    world.host.run(|| two.admit(&other.id, 1, &policy(true))).expect("blocked");
    assert!(arrives(&mine.namespace, &world.far, FAR, PORT).is_some());
    assert_eq!(arrives(&other.namespace, &world.far, FAR, PORT), None);
    // A restart of one takes nothing of the other for an orphan.
    drop(two);
    let two = world.open(&second, &[]).expect("opened again");
    assert_eq!(two.report().orphans_removed, std::slice::from_ref(&other.link.link_name));
    assert!(world.host.run(|| two.remove()).expect("removed"));
    assert!(arrives(&mine.namespace, &world.far, FAR, PORT).is_some());

    let same_pool = Settings { instance: "third".to_owned(), ..Settings::default() };
    assert!(matches!(world.open(&same_pool, &[]), Err(NetError::PoolTaken { .. })));
}

#[test]
fn a_pool_that_the_host_uses_is_refused() {
    if !available("a_pool_that_the_host_uses_is_refused") {
        return;
    }
    let world = World::new();
    world.host.command("ip addr add 10.210.4.1/24 dev uplink");
    let error = world.open(&Settings::default(), &[]).expect_err("the pool is in use");
    assert_eq!(
        error.to_string(),
        "use the address pool 10.210.0.0/16: 10.210.4.1 belongs to the link uplink of this host"
    );
    assert!(!world.host.command("nft list ruleset").contains("daytona"), "nothing was changed");
}

#[test]
fn docker_s_default_drop_is_lifted_for_our_links_only() {
    if !available("docker_s_default_drop_is_lifted_for_our_links_only") {
        return;
    }
    let world = World::new();
    for command in [
        "nft add table ip filter",
        "nft add chain ip filter FORWARD { type filter hook forward priority filter; policy drop; }",
        "nft add chain ip filter DOCKER-USER",
        "nft add rule ip filter FORWARD counter jump DOCKER-USER",
        "nft add rule ip filter DOCKER-USER counter return",
    ] {
        world.host.command(command);
    }
    let before = world.host.command("nft -s list table ip filter");
    for _ in 0..2 {
        let network = world.open(&Settings::default(), &[]).expect("the network opens");
        assert_eq!(network.report().warnings, [""; 0]);
        let sandbox = world.sandbox(&network, 1, false);
        assert!(arrives(&sandbox.namespace, &world.far, FAR, PORT).is_some());
        let rules = world.host.command("nft list chain ip filter DOCKER-USER");
        assert_eq!(rules.matches("dt-").count(), 2, "{rules}");
        drop(sandbox);
    }
    let network = world.open(&Settings::default(), &[]).expect("the network opens");
    assert!(world.host.run(|| network.remove()).expect("removed"));
    assert_eq!(world.host.command("nft -s list table ip filter"), before);

    world.host.command("nft delete table ip filter");
    world.host.command("nft add table inet wall");
    world
        .host
        .command("nft add chain inet wall stop { type filter hook forward priority filter; policy drop; }");
    let network = world.open(&Settings::default(), &[]).expect("the network opens");
    assert_eq!(network.report().warnings.len(), 1);
    assert!(network.report().warnings[0].starts_with("chain stop of table wall drops"));
    drop(network);
    world.host.command("nft delete table inet wall");
    world.host.command("nft add table ip wall");
    world.host.command("nft add chain ip wall in { type filter hook input priority filter; policy drop; }");
    let network = world.open(&Settings::default(), &[]).expect("the network opens");
    let warnings = &network.report().warnings;
    assert!(warnings.len() == 1 && warnings[0].contains("resolve no name unless it accepts port 20053"));
}
