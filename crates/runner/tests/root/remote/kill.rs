//! A server that is killed in the middle of a pull.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use runner::error::chain;

use super::ground::{Place, file, open_registry, order, plain, settings};

/// Tells a child what to pull, and where to.
const ORDER: &str = "DAYTONA_TEST_PULL_CHILD";

/// The server that is killed; alone it has nothing to do.
#[test]
#[expect(clippy::disallowed_methods, reason = "how the test speaks to the process that it kills")]
fn the_one_that_is_killed() {
    let Ok(told) = std::env::var(ORDER) else { return };
    let (home, name) = told.split_once(' ').unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().worker_threads(2).build().unwrap();
    let settings = settings(&[super::ground::host(name)]);
    let remote = runner::image::remote::Remote::open(&settings, runtime.handle().clone()).unwrap();
    let store = runner::image::Store::open(home.as_ref()).unwrap();
    store.pull(&remote, &order(name, None), &|_| {}).map_err(|error| chain(&error)).unwrap();
}

#[test]
fn a_pull_that_is_killed_anywhere_is_finished_by_the_next() {
    let server = open_registry();
    let noise: Vec<u8> = (0..20_000_000_u32).map(|at| (at.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    let name = format!("{}/large:1", server.address());
    let layers: Vec<_> =
        (0..3_u8).map(|number| plain(&file(&format!("f{number}"), &noise[usize::from(number)..]))).collect();
    let wanted = Place::new(&[server.address()]);
    wanted.seed(&name, None, &layers);
    let (mut in_blobs, mut in_layers) = (0, 0);
    for round in 0..8_u64 {
        let place = Place::new(&[server.address()]);
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "remote::kill::the_one_that_is_killed", "--nocapture"])
            .env(ORDER, format!("{} {name}", place.home.path().display()))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        // Killed when so many archives or layers are there, at least in part.
        let stage = |place: &Place| match round % 2 {
            0 => place.list("blobs").len(),
            _ => place.list("layers").len(),
        };
        let wanted = usize::try_from(round / 2 % 3 + 1).unwrap();
        let begun = Instant::now();
        while stage(&place) < wanted && child.try_wait().unwrap().is_none() {
            assert!(begun.elapsed() < Duration::from_mins(2));
            std::thread::sleep(Duration::from_millis(1));
        }
        let _ = child.kill();
        child.wait().unwrap();
        in_blobs += place.list("blobs").len();
        in_layers += place.list("layers").iter().filter(|name| name.starts_with("incoming-")).count();
        let pulled = place.pull(&name, None).map_err(|error| chain(&error)).unwrap();
        assert_eq!(pulled.image.layers.len(), 3);
        for (number, layer) in pulled.image.layers.iter().rev().enumerate() {
            let content = std::fs::read(place.store.layer(layer).join(format!("f{number}"))).unwrap();
            assert!(content == noise[number..], "in round {round}");
        }
        assert_eq!(place.list("blobs"), [""; 0]);
        assert_eq!(place.list("layers").len(), 3);
    }
    println!("killed 8 pulls: {in_blobs} archives and {in_layers} layers were there in part");
}
