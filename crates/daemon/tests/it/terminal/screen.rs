//! Full-screen programs, driven through a model of the screen.

use serde_json::json;

use super::{Client, start};
use crate::harness::TestDaemon;

/// A client that keeps what a person would see.
struct Screen {
    client: Client,
    model: vt100::Parser,
}

impl Screen {
    async fn open(daemon: &TestDaemon) -> Self {
        Self { client: Client::create(daemon, "s").await, model: vt100::Parser::new(24, 80, 0) }
    }

    async fn type_in(&mut self, text: &str) {
        self.client.type_in(text).await;
    }

    fn lines(&self) -> Vec<String> {
        let (_, columns) = self.model.screen().size();
        self.model.screen().rows(0, columns).map(|row| row.trim_end().to_owned()).collect()
    }

    /// Waits until the screen looks as it should.
    async fn until(&mut self, what: &str, looks: impl Fn(&[String]) -> bool) {
        let deadline = tokio::time::Instant::now() + std::time::Duration::from_secs(20);
        loop {
            let shown = std::mem::take(&mut self.client.seen);
            self.model.process(&shown);
            if looks(&self.lines()) {
                return;
            }
            let more = tokio::time::timeout_at(deadline, self.client.more()).await;
            assert!(more.is_ok(), "never: {what}; the screen is\n{}", self.lines().join("\n"));
        }
    }
}

/// The shell's own prompt, or what the machine's start-up files make of it for root.
fn has_prompt(lines: &[String]) -> bool {
    lines.iter().any(|line| line.ends_with(['$', '#']))
}

/// Returns a screen unless the program is not on this machine.
async fn with(daemon: &TestDaemon, program: &str) -> Option<Screen> {
    let found = daemon.execute(json!({"command": format!("command -v {program}")})).await;
    if found.0 != 0 {
        println!("skipped: `{program}` is not installed here; the tests with the SDKs run it in an image");
        return None;
    }
    Some(Screen::open(daemon).await)
}

#[tokio::test]
async fn vim_edits_a_file_and_follows_the_size() {
    let daemon = start();
    let Some(mut screen) = with(&daemon, "vim").await else { return };
    screen.type_in("vim -N -u NONE -i NONE -n text\r").await;
    screen
        .until("an empty file", |lines| lines[1] == "~" && lines[22] == "~" && lines[23].contains("text"))
        .await;
    assert!(screen.model.screen().alternate_screen());
    screen.type_in("ihello\rworld\x1bggx").await;
    screen
        .until("the edited text", |lines| lines[0] == "ello" && lines[1] == "world" && lines[2] == "~")
        .await;
    daemon.post("/process/pty/s/resize", json!({"cols": 60, "rows": 10})).await;
    screen.model.screen_mut().set_size(10, 60);
    screen.type_in(":set nu\r").await;
    screen
        .until("ten lines", |lines| lines.len() == 10 && lines[0].trim() == "1 ello" && lines[8] == "~")
        .await;
    screen.type_in(":wq\r").await;
    screen.until("the shell again", has_prompt).await;
    assert!(!screen.model.screen().alternate_screen());
    assert_eq!(std::fs::read_to_string(daemon.work().join("text")).expect("read"), "ello\nworld\n");
}

#[tokio::test]
async fn less_turns_pages() {
    let daemon = start();
    let Some(mut screen) = with(&daemon, "less").await else { return };
    let lines: Vec<String> = (1..=200).map(|number| format!("line {number}")).collect();
    let text = lines.join("\n") + "\n";
    std::fs::write(daemon.work().join("long"), text).expect("write");
    screen.type_in("less long\r").await;
    screen.until("the first page", |lines| lines[0] == "line 1" && lines[22] == "line 23").await;
    screen.type_in(" ").await;
    screen.until("the second page", |lines| lines[0] == "line 24" && lines[22] == "line 46").await;
    screen.type_in("G").await;
    screen.until("the last page", |lines| lines[22] == "line 200").await;
    screen.type_in("g").await;
    screen.until("the first page again", |lines| lines[0] == "line 1" && lines[22] == "line 23").await;
    screen.type_in("q").await;
    screen.until("the shell again", has_prompt).await;
    assert_eq!(screen.client.run("echo al''ive").await, "alive");
}

#[tokio::test]
async fn top_and_htop_draw_their_tables() {
    for program in ["top", "htop"] {
        let daemon = start();
        let Some(mut screen) = with(&daemon, program).await else { continue };
        screen.type_in(&format!("{program}\r")).await;
        let has_table = |lines: &[String]| {
            lines.iter().any(|line| line.contains("PID") && line.to_uppercase().contains("COMMAND"))
        };
        screen.until("the table", has_table).await;
        screen.type_in("q").await;
        screen.until("the shell again", has_prompt).await;
    }
}
