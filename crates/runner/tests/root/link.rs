//! Linked sandboxes through a host: they find each other by name from their first process on, over stops, restarts of the
//! server and the end of either.

use runner::sandbox::spec::Spec;

use crate::ground::{Ground, explain, order};
use crate::life::settled;

fn named(name: &str, owner: Option<&Spec>) -> Spec {
    Spec { name: name.to_owned(), linked: owner.map(|owner| owner.id.clone()), ..order() }
}

/// Serves a word to whoever connects, again and again.
fn serve(ground: &Ground, spec: &Spec, word: &str) {
    let command = format!("while true; do echo {word} | nc -l -p 7000; done > /dev/null 2>&1 &");
    assert_eq!(ground.execute(&spec.id, &command).0, 0);
}

/// Connects to a host by name or address and returns what it says; nothing when nobody answers.
fn try_hear(ground: &Ground, spec: &Spec, host: &str) -> String {
    ground.execute(&spec.id, &format!("nc -w 2 {host} 7000 < /dev/null 2> /dev/null")).1
}

/// The same for what must answer: the listener of the one that was served before may be about to be opened again.
fn hear(ground: &Ground, spec: &Spec, host: &str) -> String {
    (0..5).map(|_| try_hear(ground, spec, host)).find(|heard| !heard.is_empty()).unwrap_or_default()
}

fn address(ground: &Ground, spec: &Spec) -> String {
    let address = ground.execute(&spec.id, "ip -4 addr show eth0 | grep -o 'inet [0-9.]*'").1;
    address.trim_start_matches("inet ").to_owned()
}

#[test]
fn linked_sandboxes_find_each_other_over_stops_and_restarts() {
    let mut ground = Ground::new();
    let before = ground.census();
    let owner = named("Owner-Box", None);
    let follower = named("follower", Some(&owner));
    let second = named("a\"b; flush ruleset", Some(&owner));
    let third = named("third", None);
    for spec in [&owner, &follower, &second, &third] {
        ground.host().create(spec).map_err(explain).unwrap();
        serve(&ground, spec, &spec.id);
    }
    let meet = |ground: &Ground| {
        for (from, host, to) in [
            (&follower, "owner-box", &owner),
            (&follower, owner.id.as_str(), &owner),
            (&owner, "FOLLOWER", &follower),
            (&second, "follower", &follower),
            (&follower, second.id.as_str(), &second),
        ] {
            assert_eq!(hear(ground, from, host), to.id, "{host}");
        }
        let address = |spec| address(ground, spec);
        assert_eq!(hear(ground, &second, &address(&owner)), owner.id, "by address");
        for host in ["owner-box", owner.id.as_str(), &address(&owner)] {
            assert_eq!(try_hear(ground, &third, host), "", "{host} is not for others");
        }
        assert_eq!(try_hear(ground, &owner, &address(&third)), "");
    };
    meet(&ground);

    // A stop and a start of either; a sandbox that starts alone is joined.
    ground.host().stop(&owner.id, true).map_err(explain).unwrap();
    assert_eq!(try_hear(&ground, &follower, "owner-box"), "");
    assert_eq!(hear(&ground, &follower, &second.id), second.id, "the others go on");
    for spec in [&follower, &second] {
        ground.host().stop(&spec.id, true).map_err(explain).unwrap();
    }
    for spec in [&follower, &owner, &second] {
        ground.host().start(&spec.id).map_err(explain).unwrap();
        serve(&ground, spec, &spec.id);
    }
    meet(&ground);

    ground = ground.reopen();
    meet(&ground);

    // A change of the policy is no change of the links.
    ground.host().set_network(&follower.id, &types::sandbox::Network::blocked()).map_err(explain).unwrap();
    meet(&ground);
    let egress = ground.host().egress(&follower.id).unwrap();
    assert!(egress.decisions.iter().any(|one| one.allowed && one.rule == "link"), "{egress:#?}");

    // Another name counts at once; another organization's sandbox is nobody's neighbour, whatever its record says.
    ground.host().set_link(&owner.id, "renamed", None).map_err(explain).unwrap();
    assert_eq!(hear(&ground, &second, "renamed"), owner.id);
    assert_eq!(try_hear(&ground, &second, "owner-box"), "");
    let thief = Spec { organization_id: "other".to_owned(), ..named("thief", Some(&owner)) };
    ground.host().create(&thief).map_err(explain).unwrap();
    serve(&ground, &thief, &thief.id);
    for host in ["renamed", &address(&ground, &owner)] {
        assert_eq!(try_hear(&ground, &thief, host), "", "{host}");
    }
    assert_eq!(try_hear(&ground, &owner, &address(&ground, &thief)), "");

    ground.host().destroy(&owner.id).map_err(explain).unwrap();
    assert_eq!(try_hear(&ground, &follower, "renamed"), "");
    for spec in [&follower, &second, &third, &thief] {
        ground.host().destroy(&spec.id).map_err(explain).unwrap();
    }
    settled(&ground, &before);
}

#[test]
fn a_paused_neighbour_answers_late_and_a_fork_has_no_links() {
    let ground = Ground::new();
    let before = ground.census();
    let owner = named("owner", None);
    let follower = named("follower", Some(&owner));
    for spec in [&owner, &follower] {
        ground.host().create(spec).map_err(explain).unwrap();
        serve(&ground, spec, &spec.id);
    }
    assert_eq!(hear(&ground, &follower, "owner"), owner.id);
    let child = named("child", None);
    ground.host().fork(&follower.id, &child).map_err(explain).unwrap();
    assert_ne!(address(&ground, &child), address(&ground, &follower));
    assert_eq!(try_hear(&ground, &child, &address(&ground, &owner)), "");
    assert_eq!(try_hear(&ground, &child, &address(&ground, &follower)), "");

    // The kernel takes a connection for processes that stand still; who waits is answered when they go on.
    ground.host().pause(&owner.id).map_err(explain).unwrap();
    let ask = "while [ ! -s /tmp/late ]; do nc -w 2 owner 7000 < /dev/null > /tmp/late 2> /dev/null; sleep 0.1; done &";
    ground.execute(&follower.id, ask);
    let late = || ground.execute(&follower.id, "cat /tmp/late").1;
    std::thread::sleep(std::time::Duration::from_millis(500));
    assert_eq!(late(), "");
    ground.host().resume(&owner.id).map_err(explain).unwrap();
    let start = std::time::Instant::now();
    while late() != owner.id {
        assert!(start.elapsed() < std::time::Duration::from_mins(1), "no answer");
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    for spec in [&child, &follower, &owner] {
        ground.host().destroy(&spec.id).map_err(explain).unwrap();
    }
    settled(&ground, &before);
}
