//! Compares what the API says with what the host holds: nothing is missing, and nothing belongs to nobody.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::{Duration, Instant};

use runner::net::address::Names;
use serde_json::{Value, json};
use testkit::census::Census;

use crate::serving::{Serving, census};

/// The most processes that a server prepares ahead; those of a dead one are gone when the next one answers.
const MOST_AHEAD: usize = 16;
/// States in which nothing is under way.
const AT_REST: [&str; 3] = ["started", "stopped", "error"];

/// Waits until every sandbox is at rest and returns them all, those in error too.
pub(crate) fn at_rest(serving: &Serving) -> Vec<Value> {
    let deadline = Instant::now() + Duration::from_mins(1);
    loop {
        let path = "/api/sandbox?limit=200&includeErroredDeleted=true";
        let (status, page) = serving.ask("GET", path, &json!({})).unwrap();
        assert_eq!(status, 200, "{page}");
        let items = page.get("items").and_then(Value::as_array).cloned().unwrap_or_default();
        if items.iter().all(|item| AT_REST.contains(&text(item, "state"))) {
            return items;
        }
        assert!(Instant::now() < deadline, "not at rest: {items:?}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Waits until the host holds exactly what `items` say; the kernel takes some things away a moment later.
pub(crate) fn agree(home: &Path, items: &[Value]) {
    let deadline = Instant::now() + Duration::from_mins(1);
    loop {
        let wrong = differences(home, items);
        if wrong.is_empty() {
            return;
        }
        assert!(Instant::now() < deadline, "API and host differ: {wrong:#?}\n{items:#?}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn differences(home: &Path, items: &[Value]) -> Vec<String> {
    let mut wrong = Vec::new();
    let host = census(home);
    let ids: BTreeSet<String> = items.iter().map(|item| text(item, "id").to_owned()).collect();
    let in_state = |state: &'static str| {
        items.iter().filter(move |item| text(item, "state") == state).map(|item| text(item, "id"))
    };
    let started: BTreeSet<String> = in_state("started").map(str::to_owned).collect();
    for id in in_state("error") {
        wrong.push(format!("{id} is in error"));
    }
    let named = |found: &BTreeSet<String>, below: &str| -> BTreeSet<String> {
        found.iter().filter_map(|path| path.split_once(below)).map(|(_, name)| name.to_owned()).collect()
    };
    let mut compare = |what: &str, found: BTreeSet<String>, wanted: &BTreeSet<String>| {
        for id in wanted.symmetric_difference(&found) {
            let there = if found.contains(id) { "is there for nobody" } else { "is missing" };
            wrong.push(format!("{what} {id} {there}"));
        }
    };
    compare("directory", named(&host.files, "sandboxes/"), &ids);
    let sockets = named(&host.files, "run/").into_iter().filter(|name| is_id(name)).collect();
    compare("socket", sockets, &started);
    let loops = host.loops.iter().filter_map(|path| path.strip_suffix("/disk.ext4")?.rsplit('/').next());
    compare("loop device", loops.map(str::to_owned).collect(), &started);
    let places: BTreeSet<u32> = started.iter().filter_map(|id| place(home, id)).collect();
    let taken: BTreeSet<u32> = ids.iter().filter_map(|id| place(home, id)).collect();
    if places.len() != started.len() || taken.len() != ids.len() {
        wrong.push("two sandboxes have one place, or one has none".to_owned());
    }
    wrong.extend(of_places("group", &grouped(&host), &places, &taken));
    wrong.extend(of_places("link", &linked(home, &host), &places, &taken));
    for id in &started {
        if !runs(home, id) {
            wrong.push(format!("the process of {id} is not there"));
        }
    }
    wrong
}

/// Compares the places that have something of a kind with those of sandboxes that run; a place that no sandbox has at
/// all may be that of a process prepared ahead.
fn of_places(
    what: &str,
    found: &BTreeSet<u32>,
    running: &BTreeSet<u32>,
    taken: &BTreeSet<u32>,
) -> Vec<String> {
    let missing = running.difference(found).map(|place| format!("{what} of place {place} is missing"));
    let left = found.difference(running).filter(|place| taken.contains(place));
    let left = left.map(|place| format!("{what} of place {place} is there, and its sandbox does not run"));
    let ahead: Vec<_> = found.difference(taken).collect();
    let much = (ahead.len() > MOST_AHEAD).then(|| format!("{what} is there for nobody: places {ahead:?}"));
    missing.chain(left).chain(much).collect()
}

fn grouped(host: &Census) -> BTreeSet<u32> {
    let names = host.groups.iter().filter_map(|path| path.rsplit('/').next());
    names.filter_map(|name| name.strip_prefix("place-")?.parse().ok()).collect()
}

fn linked(home: &Path, host: &Census) -> BTreeSet<u32> {
    let names = Names::of(&server::instance(&home.canonicalize().unwrap()));
    (0..4096).filter(|place| host.links.contains(&names.link(*place))).collect()
}

/// Tells whether the process that the host's record names is there.
fn runs(home: &Path, id: &str) -> bool {
    let record = record(home, id);
    let pid = record.pointer("/process/pid").and_then(Value::as_i64).and_then(|pid| i32::try_from(pid).ok());
    let start_time = record.pointer("/process/start_time").and_then(Value::as_u64);
    pid.is_some_and(|pid| start_time.is_some() && linux::process::start_time(pid) == start_time)
}

/// Reads which place the host gave a sandbox.
fn place(home: &Path, id: &str) -> Option<u32> {
    u32::try_from(record(home, id).get("index")?.as_u64()?).ok()
}

fn record(home: &Path, id: &str) -> Value {
    let path = home.join("sandboxes").join(id).join("sandbox.json");
    serde_json::from_str(&std::fs::read_to_string(path).unwrap_or_default()).unwrap_or_default()
}

fn is_id(name: &str) -> bool {
    name.parse::<types::SandboxId>().is_ok()
}

fn text<'value>(value: &'value Value, field: &str) -> &'value str {
    value.get(field).and_then(Value::as_str).unwrap_or_default()
}
