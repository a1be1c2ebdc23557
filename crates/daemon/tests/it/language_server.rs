//! Language servers: one that misbehaves on demand, and real ones.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};

use crate::harness::{Answer, TestDaemon, encode, eventually, is_running, unique};

const FAKE: &str = include_str!("language_server/fake.py");
const UNINITIALIZED: &str = "LSP_SERVER_NOT_INITIALIZED";

/// A daemon whose Python language server is the fake one, with one project.
struct Bench {
    daemon: TestDaemon,
    language: &'static str,
}

impl Bench {
    fn start(mode: &str) -> Self {
        let daemon = TestDaemon::start_with(|settings| {
            let work = PathBuf::from(settings.work_dir.clone().expect("work directory"));
            let bin = work.join("bin");
            std::fs::create_dir_all(&bin).expect("directory");
            let program = bin.join("pylsp");
            std::fs::write(&program, format!("#!/usr/bin/env python3\n{FAKE}")).expect("write");
            std::fs::set_permissions(&program, Permissions::from_mode(0o755)).expect("executable");
            let path = settings.env.get("PATH").cloned().unwrap_or_default();
            settings.env.insert("PATH".into(), format!("{}:{path}", bin.display()));
            settings.env.insert("FAKE_MODE".into(), mode.into());
            settings.env.insert("FAKE_SLEEP".into(), unique("98761@@"));
        });
        let bench = Self { daemon, language: "python" };
        std::fs::create_dir(bench.project()).expect("project");
        bench.write("greeter.py", "class Greeter:\n    pass\n");
        bench
    }

    fn project(&self) -> PathBuf {
        self.daemon.work().join("project")
    }

    fn write(&self, name: &str, text: &str) {
        std::fs::write(self.project().join(name), text).expect("write");
    }

    /// What the fake server was told, line by line.
    fn told(&self) -> Vec<String> {
        let text = std::fs::read_to_string(self.project().join("told.log")).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }

    async fn post(&self, operation: &str, mut body: Value) -> Answer {
        body["languageId"] = self.language.into();
        body["pathToProject"] = "project".into();
        self.daemon.post(&format!("/lsp/{operation}"), body).await
    }

    async fn start_server(&self) {
        let answer = self.post("start", json!({})).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
    }

    async fn symbols_of(&self, uri: &str) -> Answer {
        let language = self.language;
        let uri = encode(uri);
        self.daemon
            .get(&format!("/lsp/document-symbols?languageId={language}&pathToProject=project&uri={uri}"))
            .await
    }

    async fn search(&self, query: &str) -> Answer {
        let language = self.language;
        self.daemon
            .get(&format!("/lsp/workspacesymbols?query={query}&languageId={language}&pathToProject=project"))
            .await
    }

    async fn complete(&self, uri: &str, line: u32, character: u32) -> Answer {
        let position = json!({ "line": line, "character": character });
        self.post("completions", json!({ "uri": uri, "position": position })).await
    }
}

fn names(answer: &Answer) -> Vec<String> {
    assert_eq!(answer.status, 200, "{}", answer.text());
    let symbols = answer.json();
    let symbols = symbols.as_array().expect("a list").iter();
    symbols.map(|symbol| symbol["name"].as_str().expect("a name").to_owned()).collect()
}

fn has_python() -> bool {
    let has = Command::new("python3").arg("--version").output().is_ok_and(|output| output.status.success());
    if !has {
        println!("skipped: the fake language server needs python3");
    }
    has
}

#[tokio::test]
async fn a_server_has_a_whole_life() {
    if !has_python() {
        return;
    }
    let bench = Bench::start("asks");
    bench.start_server().await;
    bench.start_server().await;
    // As SDKs send it: a path, relative or not, with nothing encoded.
    let uri = "file://project/greeter.py";
    for _ in 0..2 {
        assert_eq!(bench.post("did-open", json!({ "uri": uri })).await.status, 200);
    }
    let answer = bench.symbols_of(uri).await;
    assert_eq!(names(&answer), ["Greeter"]);
    let path = bench.project().join("greeter.py");
    let symbol = answer.json()[0].clone();
    assert_eq!(symbol["kind"], 5);
    assert_eq!(symbol["location"]["uri"], format!("file://{}", path.display()));
    assert_eq!(symbol["location"]["range"]["end"], json!({ "line": 0, "character": 9 }));
    let answer = bench.complete(&format!("file://{}", path.display()), 1, 4).await;
    let expected = json!({ "isIncomplete": true, "items": [{ "label": "1:4", "kind": 3 }] });
    assert_eq!(answer.json(), expected, "{}", answer.text());
    assert_eq!(bench.post("did-close", json!({ "uri": uri })).await.status, 200);
    assert_eq!(bench.post("did-close", json!({ "uri": uri })).await.status, 200);
    assert_eq!(bench.post("stop", json!({})).await.status, 200);
    assert_eq!(bench.told(), ["open greeter.py python 1", "close greeter.py", "exit"]);
    bench.post("stop", json!({})).await.error(400, UNINITIALIZED);
}

#[tokio::test]
async fn what_changed_meanwhile_is_told_before_the_question() {
    if !has_python() {
        return;
    }
    let bench = Bench::start("tree");
    bench.start_server().await;
    // Not opened by anybody.
    assert_eq!(names(&bench.symbols_of("file://project/greeter.py").await), ["Greeter", "inner"]);
    bench.write("greeter.py", "class Other:\n");
    assert_eq!(names(&bench.symbols_of("project/greeter.py").await), ["Other", "inner"]);
    assert_eq!(names(&bench.symbols_of("project/greeter.py").await), ["Other", "inner"]);
    assert_eq!(bench.told(), ["open greeter.py python 1", "change greeter.py 2"]);
    bench.write("a b%20c.py", "class Spaced:\n");
    assert_eq!(names(&bench.symbols_of("file://project/a b%20c.py").await), ["Spaced", "inner"]);
    assert_eq!(names(&bench.symbols_of("file://project/a%20b%2520c.py").await), ["Spaced", "inner"]);
    bench.symbols_of("file://project/none.py").await.error(404, "FILE_NOT_FOUND");
    bench.symbols_of("file://project").await.error(400, "INVALID_FILE_PATH");
    bench.symbols_of("http://project/greeter.py").await.error(400, "BAD_REQUEST");
}

#[tokio::test]
async fn a_project_is_searched_by_the_server_or_document_by_document() {
    if !has_python() {
        return;
    }
    for mode in ["searches", ""] {
        let bench = Bench::start(mode);
        bench.start_server().await;
        let answer = bench.search("GREET").await;
        assert_eq!(names(&answer), ["Greeter"], "{mode}");
        assert_eq!(answer.header("x-daytona-truncated"), "false");
    }
    let bench = Bench::start("");
    // More than stay open.
    for number in 0..40 {
        bench.write(&format!("m{number:02}.py"), &format!("class C{number:02}:\n"));
    }
    bench.start_server().await;
    assert_eq!(names(&bench.search("").await).len(), 41);
    assert_eq!(names(&bench.search("c1").await).len(), 10);
    let told = bench.told();
    let count = |word: &str| told.iter().filter(|line| line.starts_with(word)).count();
    assert_eq!(count("open") - count("close"), 32);
}

#[tokio::test]
async fn without_a_server_everything_says_how_to_start_one() {
    let bench = Bench::start("");
    let uri = "file://project/greeter.py";
    let answers = [
        bench.post("stop", json!({})).await,
        bench.post("did-open", json!({ "uri": uri })).await,
        bench.post("did-close", json!({ "uri": uri })).await,
        bench.complete(uri, 0, 0).await,
        bench.symbols_of(uri).await,
        bench.search("x").await,
    ];
    for answer in answers {
        let message = answer.error(400, UNINITIALIZED);
        assert!(message.contains("/lsp/start") && message.contains("/project"), "{message}");
    }
}

#[tokio::test]
async fn what_cannot_be_started_says_why() {
    let bench = Bench::start("");
    let start = async |language: &str, project: &str| {
        let body = json!({ "languageId": language, "pathToProject": project });
        bench.daemon.post("/lsp/start", body).await
    };
    start("cobol", "project").await.error(400, "BAD_REQUEST");
    start("python", "").await.error(400, "INVALID_FILE_PATH");
    start("python", "no/such").await.error(404, "FILE_NOT_FOUND");
    start("python", "project/greeter.py").await.error(400, "INVALID_FILE_PATH");
    bench
        .daemon
        .post("/lsp/start", json!({ "languageId": "python" }))
        .await
        .error(400, "INVALID_REQUEST_BODY");
    bench.daemon.get("/lsp/document-symbols?languageId=python").await.error(400, "BAD_REQUEST");

    let bare = TestDaemon::start_with(|settings| {
        settings.env.insert("PATH".into(), "/no/such".into());
        settings.home = Some("/no/such".into());
    });
    for (language, remedy) in
        [("python", "pip install"), ("typescript", "npm install"), ("javascript", "npm install")]
    {
        let answer = bare.post("/lsp/start", json!({ "languageId": language, "pathToProject": "." })).await;
        let message = answer.error(400, UNINITIALIZED);
        assert!(message.contains(remedy), "{message}");
    }
    if !has_python() {
        return;
    }
    for (mode, expected) in [("exits", "No module named pylsp"), ("greets", "Welcome!")] {
        let bench = Bench::start(mode);
        let message = bench.post("start", json!({})).await.error(500, "INTERNAL_SERVER_ERROR");
        assert!(message.contains(expected), "{message}");
        bench.symbols_of("file://project/greeter.py").await.error(400, UNINITIALIZED);
    }
}

#[tokio::test]
async fn a_crash_is_reported_and_the_server_can_be_started_again() {
    if !has_python() {
        return;
    }
    for (mode, expected) in [
        ("crash", "exit code 7; its last words were: I cannot go on"),
        ("killed", "exit code 137"),
        ("garbage", "this is no message"),
    ] {
        let bench = Bench::start(mode);
        bench.start_server().await;
        let uri = "file://project/greeter.py";
        for answer in [bench.complete(uri, 0, 0).await, bench.symbols_of(uri).await] {
            let message = answer.error(400, UNINITIALIZED);
            assert!(message.contains(expected) && message.contains("/lsp/start"), "{message}");
        }
        bench.post("did-close", json!({ "uri": uri })).await.error(400, UNINITIALIZED);
        bench.start_server().await;
        assert_eq!(names(&bench.symbols_of(uri).await), ["Greeter"]);
    }
    let bench = Bench::start("nonsense");
    bench.start_server().await;
    bench.complete("file://project/greeter.py", 0, 0).await.error(500, "INTERNAL_SERVER_ERROR");
    assert_eq!(names(&bench.symbols_of("file://project/greeter.py").await), ["Greeter"]);
}

#[tokio::test]
async fn whatever_a_server_started_ends_with_it() {
    if !has_python() {
        return;
    }
    let bench = Bench::start("family");
    bench.start_server().await;
    eventually("its child runs", || is_running("sleep 98761@@")).await;
    assert_eq!(bench.post("stop", json!({})).await.status, 200);
    eventually("its child is gone", || !is_running("sleep 98761@@")).await;
}

#[tokio::test]
async fn servers_are_bounded() {
    if !has_python() {
        return;
    }
    let bench = Bench::start("");
    let start = async |number: usize| {
        let project = format!("p{number}");
        std::fs::create_dir_all(bench.daemon.work().join(&project)).expect("project");
        bench.daemon.post("/lsp/start", json!({ "languageId": "python", "pathToProject": project })).await
    };
    for number in 0..8 {
        let answer = start(number).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
    }
    let message = start(8).await.error(429, "TOO_MANY_REQUESTS");
    assert!(message.contains("/lsp/stop"), "{message}");
    assert_eq!(start(3).await.status, 200, "one that runs already");
    let stopped =
        bench.daemon.post("/lsp/stop", json!({ "languageId": "python", "pathToProject": "./p3/" })).await;
    assert_eq!(stopped.status, 200, "{}", stopped.text());
    assert_eq!(start(8).await.status, 200);
}

/// Returns the directory of a real server's program: the host's own, or one that is installed below the target
/// directory once; says why not when it cannot be had.
fn real(program: &str, name: &str, install: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    if let Some(found) = std::env::split_paths(&path).find(|place| runs(&place.join(program))) {
        return Some(found);
    }
    let place = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    if !runs(&place.join("bin").join(program)) {
        // Whatever was left half-way is in the way.
        let _ = std::fs::remove_dir_all(&place);
        let output = Command::new("sh").args(["-c", install, "sh"]).arg(&place).output().expect("sh");
        if !output.status.success() {
            let why = String::from_utf8_lossy(&output.stderr).into_owned();
            println!("skipped: {program} cannot be installed here; the end-to-end suite covers it: {why}");
            return None;
        }
    }
    Some(place.join("bin"))
}

fn runs(program: &Path) -> bool {
    Command::new(program).arg("--version").output().is_ok_and(|output| output.status.success())
}

fn real_bench(place: &Path, language: &'static str) -> Bench {
    let daemon = TestDaemon::start_with(|settings| {
        let path = settings.env.get("PATH").cloned().unwrap_or_default();
        settings.env.insert("PATH".into(), format!("{}:{path}", place.display()));
    });
    let bench = Bench { daemon, language };
    std::fs::create_dir(bench.project()).expect("project");
    bench
}

/// Asks again while a slow machine makes a real server late.
async fn patiently(ask: impl AsyncFn() -> Answer) -> Answer {
    for _ in 0..10 {
        let answer = ask().await;
        if answer.status != 408 {
            return answer;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("a real server never answers");
}

#[tokio::test]
async fn python_is_understood_by_the_real_server() {
    let install = "python3 -m venv \"$1\" && \"$1/bin/pip\" install --quiet python-lsp-server";
    let Some(place) = real("pylsp", "pylsp", install) else { return };
    let bench = real_bench(&place, "python");
    bench.write("greeter.py", "class Greeter:\n    def greet(self):\n        pass\n\n\ng = Greeter()\ng.\n");
    let start = patiently(async || bench.post("start", json!({})).await).await;
    assert_eq!(start.status, 200, "{}", start.text());
    let uri = "file://project/greeter.py";
    assert_eq!(bench.post("did-open", json!({ "uri": uri })).await.status, 200);
    let symbols = names(&patiently(async || bench.symbols_of(uri).await).await);
    assert!(symbols.contains(&"Greeter".to_owned()) && symbols.contains(&"greet".to_owned()), "{symbols:?}");
    assert_eq!(names(&patiently(async || bench.search("Greeter").await).await), ["Greeter"]);
    let proposals = patiently(async || bench.complete(uri, 6, 2).await).await.json();
    let labels: Vec<_> =
        proposals["items"].as_array().expect("items").iter().map(|item| &item["label"]).collect();
    assert!(
        labels.iter().any(|label| label.as_str().is_some_and(|label| label.starts_with("greet"))),
        "{labels:?}"
    );
    assert_eq!(bench.post("stop", json!({})).await.status, 200);
}

#[tokio::test]
async fn typescript_is_understood_by_the_real_server() {
    // Those that the image for tests has.
    let install = "npm install --global --prefix \"$1\" --no-audit --no-fund typescript@5.9.3 \
                   typescript-language-server@4.4.1";
    let Some(place) = real("typescript-language-server", "typescript", install) else { return };
    for language in ["typescript", "javascript"] {
        let bench = real_bench(&place, language);
        let name = if language == "typescript" { "greeter.ts" } else { "greeter.js" };
        bench.write(name, "export class Greeter { greet() { return 1 } }\nconst g = new Greeter()\ng.\n");
        let start = patiently(async || bench.post("start", json!({})).await).await;
        assert_eq!(start.status, 200, "{}", start.text());
        // Before anything is opened, which this server needs.
        let found = names(&patiently(async || bench.search("Greeter").await).await);
        assert!(found.contains(&"Greeter".to_owned()), "{found:?}");
        let uri = format!("file://project/{name}");
        assert_eq!(bench.post("did-open", json!({ "uri": uri })).await.status, 200);
        let symbols = names(&patiently(async || bench.symbols_of(&uri).await).await);
        assert!(
            symbols.contains(&"Greeter".to_owned()) && symbols.contains(&"greet".to_owned()),
            "{symbols:?}"
        );
        let proposals = patiently(async || bench.complete(&uri, 2, 2).await).await.json();
        let items = proposals["items"].as_array().expect("items");
        assert!(items.iter().any(|item| item["label"] == "greet"), "{proposals}");
        assert_eq!(bench.post("stop", json!({})).await.status, 200);
    }
}
