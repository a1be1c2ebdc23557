//! Processes prepared before anybody asks for a sandbox.

use crate::ground::{Ground, explain, order};
use crate::life::settled;

fn wait_until(what: &str, holds: impl Fn() -> bool) {
    let began = std::time::Instant::now();
    while !holds() {
        assert!(began.elapsed().as_secs() < 60, "it never came true that {what}");
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
}

#[test]
fn they_become_sandboxes_are_replaced_and_leave_nothing() {
    let ground = Ground::new();
    let before = ground.census();
    let ground = ground.with_cells(2);
    let links = || ground.census().links.len();
    wait_until("two are prepared", || links() == 2);
    let specs = [order(), order(), order()];
    for spec in &specs {
        ground.host().create(spec).map_err(explain).unwrap();
        assert_eq!(
            ground.execute(&spec.id, "read name < /etc/hostname; echo $name $GREETING").1,
            format!("{} hello", spec.id)
        );
    }
    wait_until("they are replaced", || links() == 5);
    for spec in &specs {
        ground.host().destroy(&spec.id).unwrap();
    }
    wait_until("only the prepared ones are left", || links() == 2);
    let ground = ground.with_cells(0);
    settled(&ground, &before);
}

#[test]
fn a_full_host_says_so_and_gives_its_last_places_to_sandboxes() {
    let ground = Ground::new().with_places(3).with_cells(3);
    wait_until("all places are prepared", || ground.census().links.len() == 3);
    let specs = [order(), order(), order(), order()];
    for spec in specs.iter().take(3) {
        ground.host().create(spec).map_err(explain).unwrap();
    }
    let refused = ground.host().create(&specs[3]).map_err(explain).unwrap_err();
    assert!(refused.contains("all 3 are taken"), "{refused}");
    ground.host().destroy(&specs[0].id).unwrap();
    wait_until("the place is free again", || ground.host().create(&specs[3]).is_ok());
}

#[test]
fn one_that_was_killed_is_passed_over() {
    let ground = Ground::new().with_cells(2);
    wait_until("two are prepared", || ground.census().links.len() == 2);
    for pid in ground.first_processes() {
        let pidfd = linux::process::open(pid).unwrap().unwrap();
        linux::process::kill(&pidfd).unwrap();
        linux::process::wait(&pidfd, 60_000).unwrap();
    }
    let spec = order();
    ground.host().create(&spec).map_err(explain).unwrap();
    assert_eq!(ground.execute(&spec.id, "echo alive").1, "alive");
}

#[test]
fn they_end_with_a_crashed_server() {
    let ground = Ground::new().with_cells(2);
    wait_until("two are prepared", || ground.census().links.len() == 2);
    let pids = ground.first_processes();
    assert_eq!(pids.len(), 2);
    // What a crash does: every descriptor is closed, and nothing else.
    let ground = ground.with_cells(0);
    for pid in pids {
        let ended = || {
            linux::process::open(pid).unwrap().is_none_or(|pidfd| linux::process::wait(&pidfd, 0).unwrap())
        };
        wait_until("a prepared process ended", ended);
    }
    assert!(ground.census().groups.is_empty(), "{:?}", ground.census().groups);
}
