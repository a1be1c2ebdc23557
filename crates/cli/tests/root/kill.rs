//! Two hundred times `kill -9` while clients work: what ran goes on, what was promised holds, nothing is left over.

mod client;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Barrier;
use std::time::Duration;

use serde_json::json;

use crate::agree::{agree, at_rest};
use crate::chance::Chance;
use crate::serving::{Serving, census};
use client::Client;

const KILLS: usize = 200;
const CLIENTS: usize = 4;
/// What kills are spread over.
const OPERATIONS: [&str; 10] =
    ["create", "delete", "stop", "start", "label", "network", "upload", "execute", "import", "resize"];

#[test]
fn two_hundred_kills_under_load_lose_nothing_and_leave_nothing() {
    let mut chance = Chance::from_environment("DAYTONA_TEST_SEED");
    let home = tempfile::tempdir().unwrap();
    // What the host holds when a server came and went.
    Serving::start(home.path()).stop();
    let before = census(home.path());
    let mut serving = Serving::launch(home.path());
    let mut clients: Vec<Client> =
        (0..CLIENTS).map(|number| Client::new(number, home.path().to_owned(), chance.branch())).collect();
    let mut kills = 0;
    let mut while_starting = 0;
    let mut spawners = 0;
    // A few more where chance has spared an operation so far.
    while kills < KILLS || (kills < 2 * KILLS && !missed(&clients).is_empty()) {
        let items = at_rest(&serving);
        agree(home.path(), &items);
        let spawner = chance.once_in(4);
        spawners += usize::from(spawner);
        round(serving, &mut clients, &mut chance, spawner);
        kills += 1;
        while chance.once_in(3) {
            Serving::start_and_kill(home.path(), chance.pause(100));
            kills += 1;
            while_starting += 1;
        }
        serving = Serving::launch(home.path());
    }
    let items = at_rest(&serving);
    agree(home.path(), &items);
    report(&clients, kills, while_starting, spawners);
    for client in &mut clients {
        client.verify(&serving.address());
    }
    let known: usize = clients.iter().map(Client::count).sum();
    assert_eq!(items.len(), known, "a sandbox is there that no client made: {items:?}");
    images_are_whole(&serving, home.path(), &clients);
    leave(serving, home.path(), &before);
}

/// Lets all clients work and kills the server in the middle of it, now and then its spawner before.
fn round(serving: Serving, clients: &mut [Client], chance: &mut Chance, spawner: bool) {
    let address = serving.address();
    let ready = Barrier::new(clients.len() + 1);
    std::thread::scope(|scope| {
        for client in clients {
            let (ready, address) = (&ready, &address);
            scope.spawn(move || {
                let verified =
                    std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| client.verify(address)));
                ready.wait();
                if let Err(failure) = verified {
                    std::panic::resume_unwind(failure);
                }
                client.work(address);
            });
        }
        ready.wait();
        if spawner {
            std::thread::sleep(chance.pause(80));
            serving.kill_spawner();
        }
        std::thread::sleep(chance.pause(150));
        if chance.once_in(8) {
            // While it ends in an orderly way.
            serving.ask_to_end();
            std::thread::sleep(chance.pause(40));
        }
        serving.crash();
    });
}

/// Lists the operations that no kill has cut off yet.
fn missed(clients: &[Client]) -> Vec<&'static str> {
    let is_missed = |operation: &&str| !clients.iter().any(|client| client.cut.contains(operation));
    OPERATIONS.into_iter().filter(is_missed).collect()
}

fn report(clients: &[Client], kills: usize, while_starting: usize, spawners: usize) {
    let mut cut: BTreeMap<&str, usize> = BTreeMap::new();
    for operation in clients.iter().flat_map(|client| &client.cut) {
        *cut.entry(operation).or_default() += 1;
    }
    let done: usize = clients.iter().map(|client| client.done).sum();
    eprintln!("{kills} kills, {while_starting} of them while starting; {spawners} spawners killed alone");
    eprintln!("{done} requests done, cut off: {cut:?}");
    assert_eq!(missed(clients), [""; 0], "no kill hit these");
}

/// Every image whose import was said to be done can be used, and killed imports leave nothing.
fn images_are_whole(serving: &Serving, home: &Path, clients: &[Client]) {
    let images: Vec<_> = clients.iter().flat_map(|client| &client.images).collect();
    for image in images.iter().take(10) {
        let (status, sandbox) = serving
            .ask("POST", "/api/sandbox", &json!({ "snapshot": image, "name": format!("of-{image}") }))
            .unwrap();
        assert_eq!(status, 200, "{sandbox}");
    }
    let import = |name: &str| crate::serving::import(home, name);
    import("last");
    let layers = std::fs::read_dir(home.join("images/layers")).unwrap();
    for layer in layers {
        let name = layer.unwrap().file_name().into_string().unwrap();
        assert!(!name.contains("incoming"), "{name} was left by an import that was killed");
    }
}

/// Deletes everything; then the host holds nothing for this server any more.
fn leave(serving: Serving, home: &Path, before: &testkit::census::Census) {
    serving.delete_all();
    agree(home, &[]);
    serving.stop();
    let gone = || census(home) == *before;
    for _ in 0..600 {
        if gone() {
            break;
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    assert_eq!(census(home), *before);
}
