//! Egress through a host: the policy of a running sandbox, kept over a stop and a restart of the server, and told.

use std::time::{Duration, Instant};

use types::egress::Egress;
use types::network::DomainPattern;
use types::sandbox::Network;

use crate::ground::{Ground, explain, order};

#[test]
fn a_list_holds_over_stop_and_restart_and_refusals_are_told_with_their_rule() {
    let mut ground = Ground::new();
    let spec = order();
    let id = spec.id.clone();
    ground.host().create(&spec).map_err(explain).unwrap();
    assert_eq!(ground.host().egress(&id).unwrap(), Egress::default());

    ground.execute(&id, "nc -w 1 169.254.169.254 80 < /dev/null");
    let told = await_rule(&ground, &id, "denied range 169.254.0.0/16: link-local");
    assert!(told.refused > 0 && told.decisions.iter().all(|one| one.port == Some(80)), "{told:?}");

    let listed = DomainPattern::parse("*.example.com").unwrap();
    let network = Network { domain_allow_list: vec![listed], ..Network::default() };
    ground.host().set_network(&id, &network).map_err(explain).unwrap();
    let ask = |ground: &Ground| {
        let (code, said) = ground.execute(&id, "nslookup stranger.org");
        assert_ne!(code, 0, "{said}");
        await_rule(ground, &id, "name not on the allow list");
    };
    ask(&ground);
    ground.host().stop(&id, false).map_err(explain).unwrap();
    await_rule(&ground, &id, "name not on the allow list"); // the last words of one that has stopped
    ground.host().start(&id).map_err(explain).unwrap();
    assert_eq!(ground.host().egress(&id).unwrap(), Egress::default(), "a new start, a new count");
    ask(&ground);
    ground = ground.reopen();
    ask(&ground);

    ground.host().set_network(&id, &Network::blocked()).map_err(explain).unwrap();
    ground.execute(&id, "nc -w 1 9.9.9.9 80 < /dev/null");
    await_rule(&ground, &id, "the network is blocked");
    ground.host().destroy(&id).map_err(explain).unwrap();
    assert!(ground.host().egress(&id).is_err(), "nobody is there to tell of");
}

/// Waits for a decision by that rule; they come a moment after the packet.
fn await_rule(ground: &Ground, id: &str, rule: &str) -> Egress {
    let start = Instant::now();
    loop {
        let egress = ground.host().egress(id).unwrap();
        if egress.decisions.iter().any(|one| !one.allowed && one.rule.starts_with(rule)) {
            return egress;
        }
        assert!(start.elapsed() < Duration::from_mins(1), "no `{rule}` in {egress:#?}");
        std::thread::sleep(Duration::from_millis(20));
    }
}
