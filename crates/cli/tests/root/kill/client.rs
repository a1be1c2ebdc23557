//! A client that remembers what it was told, and afterwards holds the server to it.

use std::path::PathBuf;
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use crate::chance::Chance;
use crate::serving::ask;

/// How many sandboxes one client has at most.
const SANDBOXES: usize = 3;
/// Counts for as long as the sandbox runs, and leaves every number in a file.
const WORKER: &str = "rm -f /tmp/count /tmp/worker; sh -c 'echo $$ > /tmp/worker; i=0; \
    while true; do i=$((i+1)); echo $i >> /tmp/count; sleep 0.2; done' > /dev/null 2>&1 & \
    while ! test -s /tmp/count; do sleep 0.01; done";

/// Where a sandbox may be found at rest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rest {
    Started,
    Stopped,
    Gone,
}

/// What a client knows of one of its sandboxes. Each list holds one value, and two while a request is under way.
#[derive(Debug, Clone)]
struct Known {
    name: String,
    id: Option<String>,
    rests: Vec<Rest>,
    labels: Vec<String>,
    blocked: Vec<bool>,
    processors: Vec<u64>,
    /// The first process and how far its worker had counted, once it has one.
    life: Option<(i64, usize)>,
    /// Whether the mark was written into its files.
    marked: bool,
}

/// How a request ended.
enum Answer {
    Done(Value),
    /// The server went away before it answered.
    Cut,
}

/// One client with its sandboxes.
#[derive(Debug)]
pub(crate) struct Client {
    number: usize,
    home: PathBuf,
    chance: Chance,
    made: usize,
    known: Vec<Known>,
    /// Images whose import said that it was done.
    pub(crate) images: Vec<String>,
    /// How many requests were cut off, by operation.
    pub(crate) cut: Vec<&'static str>,
    pub(crate) done: usize,
}

impl Client {
    pub(crate) fn new(number: usize, home: PathBuf, chance: Chance) -> Self {
        Self {
            number,
            home,
            chance,
            made: 0,
            known: Vec::new(),
            images: Vec::new(),
            cut: Vec::new(),
            done: 0,
        }
    }

    /// Holds a server at rest to everything that was said before, and narrows what is known to what it is.
    pub(crate) fn verify(&mut self, address: &(String, String)) {
        let mut kept = Vec::new();
        for mut known in std::mem::take(&mut self.known) {
            let item = find(address, &known.name);
            let rest = match item.as_ref().map(|item| text(item, "state")) {
                None => Rest::Gone,
                Some("started") => Rest::Started,
                Some("stopped") => Rest::Stopped,
                Some(_) => panic!("{known:?} is {item:?}"),
            };
            assert!(known.rests.contains(&rest), "found {rest:?}: {known:?}");
            let Some(item) = item else { continue };
            let id = text(&item, "id").to_owned();
            assert!(known.id.as_ref().is_none_or(|known| *known == id), "{known:?} is {item}");
            known.id = Some(id.clone());
            known.rests = vec![rest];
            let label = item.pointer("/labels/v").and_then(Value::as_str).unwrap_or_default().to_owned();
            assert!(known.labels.contains(&label), "label {label}: {known:?}");
            known.labels = vec![label];
            let blocked = item.get("networkBlockAll").and_then(Value::as_bool).unwrap_or_default();
            assert!(known.blocked.contains(&blocked), "blocked {blocked}: {known:?}");
            known.blocked = vec![blocked];
            let processors = item.get("cpu").and_then(Value::as_u64).unwrap_or_default();
            assert!(known.processors.contains(&processors), "{processors} processors: {known:?}");
            known.processors = vec![processors];
            match rest {
                Rest::Started => self.verify_life(address, &id, &mut known),
                _ => known.life = None,
            }
            kept.push(known);
        }
        self.known = kept;
    }

    /// The same process runs on, and so does what it runs; the files are those that were written.
    fn verify_life(&self, address: &(String, String), id: &str, known: &mut Known) {
        let pid = first_process(&self.home, id);
        if let Some((process, counted)) = known.life {
            assert_eq!(pid, process, "{known:?} was started anew");
            let told = execute(address, id, "kill -0 $(cat /tmp/worker) && cat /tmp/count");
            let numbers: Vec<usize> = told.lines().filter_map(|line| line.parse().ok()).collect();
            assert!(numbers.iter().copied().eq(1..=numbers.len()), "output was lost: {known:?}: {told}");
            assert!(numbers.len() >= counted && !numbers.is_empty(), "{known:?}: {told}");
            known.life = Some((pid, numbers.len()));
        } else {
            execute(address, id, WORKER);
            known.life = Some((pid, 0));
        }
        if known.marked {
            assert_eq!(execute(address, id, "cat /home/daytona/mark"), known.name, "{known:?}");
        } else {
            execute(address, id, &format!("echo {} > /home/daytona/mark", known.name));
            known.marked = true;
        }
    }

    /// Tells which sandboxes it knows by id.
    pub(crate) fn count(&self) -> usize {
        self.known.len()
    }

    /// Works until the server goes away.
    pub(crate) fn work(&mut self, address: &(String, String)) {
        loop {
            let (operation, answer) = self.one(address);
            match answer {
                Answer::Done(_) => self.done += 1,
                Answer::Cut => {
                    self.cut.push(operation);
                    return;
                }
            }
        }
    }

    fn one(&mut self, address: &(String, String)) -> (&'static str, Answer) {
        self.known.retain(|known| known.rests != [Rest::Gone]);
        if self.known.is_empty() || (self.known.len() < SANDBOXES && self.chance.once_in(3)) {
            return ("create", self.create(address));
        }
        let index = usize::try_from(self.chance.below(self.known.len() as u64)).unwrap();
        let draw = self.chance.below(17);
        let known = &mut self.known[index];
        let id = known.id.clone().unwrap();
        let started = known.rests == [Rest::Started];
        match draw {
            0..=2 => ("delete", delete(address, &id, known)),
            3..=5 if started => ("stop", stop(address, &id, known, self.chance.once_in(2))),
            6 if !started => ("network", network(address, &id, known)),
            _ if !started => ("start", start(address, &id, known)),
            6..=7 => ("label", label(address, &id, known, self.chance.below(1000))),
            8..=9 => ("network", network(address, &id, known)),
            10..=11 => ("upload", upload(address, &id)),
            14 => ("resize", resize(address, &id, known)),
            12 => ("list", send(address, "GET", "/api/sandbox", &json!({}))),
            13 => ("import", self.import(address)),
            _ => (
                "execute",
                send(address, "POST", &tool(&id, "process/execute"), &json!({ "command": "echo x" })),
            ),
        }
    }

    fn create(&mut self, address: &(String, String)) -> Answer {
        self.made += 1;
        let name = format!("k-{}-{}", self.number, self.made);
        let block = self.chance.once_in(4);
        let body = json!({ "name": name, "labels": { "v": "0" }, "networkBlockAll": block });
        self.known.push(Known {
            name,
            id: None,
            rests: vec![Rest::Started, Rest::Gone],
            labels: vec!["0".to_owned()],
            blocked: vec![block],
            processors: vec![1],
            life: None,
            marked: false,
        });
        let answer = send(address, "POST", "/api/sandbox", &body);
        if let (Answer::Done(sandbox), Some(known)) = (&answer, self.known.last_mut()) {
            known.id = Some(text(sandbox, "id").to_owned());
            known.rests = vec![Rest::Started];
        }
        answer
    }

    /// Imports an image beside the running server; now and then the import itself is killed.
    fn import(&mut self, address: &(String, String)) -> Answer {
        let name = format!("i-{}-{}", self.number, self.chance.below(1 << 40));
        let archive = self.home.join(format!("{name}.tar"));
        let mut bytes = std::fs::read(self.home.join("tiny.tar")).unwrap();
        // Padding makes it another layer.
        bytes.extend(name.bytes());
        std::fs::write(&archive, bytes).unwrap();
        let mut importing = Command::new(env!("CARGO_BIN_EXE_daytona"))
            .args(["image", "import", "--name", &name, "--user", "daytona", "--data-dir"])
            .args([&self.home, &archive])
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        if self.chance.once_in(2) {
            std::thread::sleep(self.chance.pause(60));
            let _ = importing.kill();
        }
        let ended = importing.wait().unwrap();
        std::fs::remove_file(&archive).unwrap();
        if ended.success() {
            self.images.push(name);
        }
        send(address, "GET", "/api/health", &json!({}))
    }
}

fn delete(address: &(String, String), id: &str, known: &mut Known) -> Answer {
    known.rests.push(Rest::Gone);
    let answer = send(address, "DELETE", &format!("/api/sandbox/{id}"), &json!({}));
    if matches!(answer, Answer::Done(_)) {
        known.rests = vec![Rest::Gone];
    }
    answer
}

fn stop(address: &(String, String), id: &str, known: &mut Known, force: bool) -> Answer {
    known.rests.push(Rest::Stopped);
    let answer = send(address, "POST", &format!("/api/sandbox/{id}/stop?force={force}"), &json!({}));
    if matches!(answer, Answer::Done(_)) {
        known.rests = vec![Rest::Stopped];
        known.life = None;
    }
    answer
}

fn start(address: &(String, String), id: &str, known: &mut Known) -> Answer {
    known.rests.push(Rest::Started);
    let answer = send(address, "POST", &format!("/api/sandbox/{id}/start"), &json!({}));
    if matches!(answer, Answer::Done(_)) {
        known.rests = vec![Rest::Started];
    }
    answer
}

fn label(address: &(String, String), id: &str, known: &mut Known, value: u64) -> Answer {
    let value = value.to_string();
    known.labels.push(value.clone());
    let body = json!({ "labels": { "v": value } });
    let answer = send(address, "PUT", &format!("/api/sandbox/{id}/labels"), &body);
    if matches!(answer, Answer::Done(_)) {
        known.labels = vec![value];
    }
    answer
}

fn network(address: &(String, String), id: &str, known: &mut Known) -> Answer {
    let block = known.blocked != [true];
    known.blocked.push(block);
    let body = json!({ "networkBlockAll": block });
    let answer = send(address, "POST", &format!("/api/sandbox/{id}/network-settings"), &body);
    if matches!(answer, Answer::Done(_)) {
        known.blocked = vec![block];
    }
    answer
}

fn resize(address: &(String, String), id: &str, known: &mut Known) -> Answer {
    let processors = if known.processors == [1] { 2 } else { 1 };
    known.processors.push(processors);
    let body = json!({ "cpu": processors });
    let answer = send(address, "POST", &format!("/api/sandbox/{id}/resize"), &body);
    if matches!(answer, Answer::Done(_)) {
        known.processors = vec![processors];
    }
    answer
}

fn upload(address: &(String, String), id: &str) -> Answer {
    let body = Value::String("u".repeat(200_000));
    send(address, "POST", &tool(id, "files/upload-v2?path=/tmp/uploaded"), &body)
}

fn tool(id: &str, call: &str) -> String {
    format!("/toolbox/{id}/{call}")
}

/// Sends a request that must succeed unless the server goes away.
fn send((host, key): &(String, String), method: &str, path: &str, body: &Value) -> Answer {
    match ask(host, key, method, path, body) {
        Ok((200..=299, answer)) => Answer::Done(answer),
        Ok((status, answer)) => panic!("{method} {path}: {status}: {answer}"),
        Err(_) => Answer::Cut,
    }
}

fn execute((host, key): &(String, String), id: &str, command: &str) -> String {
    let body = json!({ "command": command, "timeout": 20 });
    let (status, answer) = ask(host, key, "POST", &tool(id, "process/execute"), &body).unwrap();
    assert_eq!(status, 200, "{command} in {id}: {answer}");
    assert_eq!(answer.get("exitCode").and_then(Value::as_i64), Some(0), "{command} in {id}: {answer}");
    text(&answer, "result").trim().to_owned()
}

fn find((host, key): &(String, String), name: &str) -> Option<Value> {
    let (status, item) = ask(host, key, "GET", &format!("/api/sandbox/{name}"), &json!({})).unwrap();
    assert!(status == 200 || status == 404, "{name}: {status}: {item}");
    (status == 200).then_some(item)
}

fn first_process(home: &std::path::Path, id: &str) -> i64 {
    let record = std::fs::read_to_string(home.join("sandboxes").join(id).join("sandbox.json")).unwrap();
    let record: Value = serde_json::from_str(&record).unwrap();
    record.pointer("/process/pid").and_then(Value::as_i64).unwrap()
}

fn text<'value>(value: &'value Value, field: &str) -> &'value str {
    value.get(field).and_then(Value::as_str).unwrap_or_default()
}
