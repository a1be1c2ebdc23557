//! A connection against servers that misbehave, in memory and with a clock that does not wait.

use serde_json::json;
use tokio::io::{DuplexStream, duplex};

use super::*;

/// The server's side of a connection.
struct Fake {
    input: BufReader<DuplexStream>,
    output: DuplexStream,
    complaints: DuplexStream,
    exit: oneshot::Sender<i32>,
}

impl Fake {
    async fn hear(&mut self) -> Value {
        let message = frame::read(&mut self.input).await.expect("a message").expect("no end");
        serde_json::from_slice(&message).expect("JSON")
    }

    async fn say(&mut self, message: Value) {
        self.output.write_all(&frame::write(&message).expect("frame")).await.expect("write");
    }
}

fn connection() -> (Connection, Fake) {
    let (input, its_input) = duplex(4096);
    let (output, its_output) = duplex(4096);
    let (complaints, its_complaints) = duplex(4096);
    let (exit, ended) = oneshot::channel();
    // A fake that is dropped has not exited: that is told by its output alone.
    let exits = async move {
        match ended.await {
            Ok(code) => code,
            Err(_) => std::future::pending().await,
        }
    };
    let ends = Ends { input, output, complaints, exit: exits };
    let connection = Connection::begin("fake", ends, json!([{ "uri": "file:///p" }]));
    let input = BufReader::new(its_input);
    (connection, Fake { input, output: its_output, complaints: its_complaints, exit })
}

async fn ask(connection: &Connection) -> Result<String, DaemonError> {
    connection.ask("x/ask", json!({}), ANSWER_WITHIN).await.map(|answer| answer.get().to_owned())
}

fn code(error: &DaemonError) -> &'static str {
    error.status_and_code().1
}

#[tokio::test]
async fn answers_find_their_questions_in_any_order() {
    let (connection, mut fake) = connection();
    let server = async {
        let (first, second) = (fake.hear().await, fake.hear().await);
        fake.say(json!({ "jsonrpc": "2.0", "method": "news", "params": [1] })).await;
        fake.say(json!({ "jsonrpc": "2.0", "id": 9999, "result": "nobody asked" })).await;
        fake.say(json!({ "jsonrpc": "2.0", "id": "text", "result": 1 })).await;
        fake.say(json!({ "jsonrpc": "2.0", "id": second["id"], "error": { "code": -1, "message": "no" } }))
            .await;
        fake.say(json!({ "jsonrpc": "2.0", "id": first["id"], "result": null })).await;
    };
    let (first, second, ()) = tokio::join!(ask(&connection), ask(&connection), server);
    assert_eq!(first.expect("an answer"), "null");
    let refused = second.expect_err("refused");
    assert_eq!(code(&refused), "BAD_REQUEST");
    assert!(refused.message().contains("no (code -1)"), "{}", refused.message());
}

#[tokio::test]
async fn what_the_server_asks_is_answered_before_it_answers() {
    let (connection, mut fake) = connection();
    let server = async {
        let question = fake.hear().await;
        fake.say(json!({ "jsonrpc": "2.0", "id": "a", "method": "workspace/workspaceFolders" })).await;
        assert_eq!(
            fake.hear().await,
            json!({ "jsonrpc": "2.0", "id": "a", "result": [{ "uri": "file:///p" }] })
        );
        fake.say(json!({ "jsonrpc": "2.0", "id": question["id"], "result": 7 })).await;
    };
    let (answer, ()) = tokio::join!(ask(&connection), server);
    assert_eq!(answer.expect("an answer"), "7");
}

#[tokio::test(start_paused = true)]
async fn a_silent_server_is_given_up_and_told_so() {
    let (connection, mut fake) = connection();
    let error = ask(&connection).await.expect_err("silence");
    assert_eq!(code(&error), "REQUEST_TIMEOUT");
    let asked = fake.hear().await;
    let given_up = fake.hear().await;
    assert_eq!((&given_up["method"], &given_up["params"]["id"]), (&json!("$/cancelRequest"), &asked["id"]));
    // It is there all the same, and a late answer disturbs nobody.
    fake.say(json!({ "jsonrpc": "2.0", "id": asked["id"], "result": "late" })).await;
    let server = async {
        let question = fake.hear().await;
        fake.say(json!({ "jsonrpc": "2.0", "id": question["id"], "result": "now" })).await;
    };
    let (answer, ()) = tokio::join!(ask(&connection), server);
    assert_eq!(answer.expect("an answer"), "\"now\"");
}

#[tokio::test(start_paused = true)]
async fn a_server_that_does_not_read_holds_nobody_for_ever() {
    let (connection, _fake) = connection();
    let text = "x".repeat(MESSAGE_BYTES / 4);
    for _ in 0..3 {
        connection.tell("x/tell", &text).await.expect("there is room for this");
    }
    let error = connection.tell("x/tell", &text).await.expect_err("no room");
    assert_eq!(code(&error), "REQUEST_TIMEOUT");
    assert_eq!(
        code(&connection.tell("x/tell", "x".repeat(MESSAGE_BYTES)).await.expect_err("long")),
        "BAD_REQUEST"
    );
}

#[tokio::test(start_paused = true)]
async fn questions_are_bounded() {
    let (connection, _fake) = connection();
    let open: Vec<_> = (0..QUESTIONS).map(|_| connection.open().expect("room")).collect();
    assert_eq!(code(&ask(&connection).await.expect_err("too many")), "TOO_MANY_REQUESTS");
    drop(open);
    assert_eq!(code(&ask(&connection).await.expect_err("silence")), "REQUEST_TIMEOUT");
    assert!(connection.shared.lock().waiting.is_empty());
}

#[tokio::test]
async fn an_end_is_told_with_its_reason() {
    let garbage = b"Traceback (most recent call last)\n".as_slice();
    let huge = b"Content-Length: 99999999999\r\n\r\n".as_slice();
    let no_json = b"Content-Length: 3\r\n\r\n{]}".as_slice();
    let batch = b"Content-Length: 4\r\n\r\n[{}]".as_slice();
    for (bytes, expected) in [
        (garbage, "Traceback (most recent call last)"),
        (huge, "Content-Length: 99999999999"),
        (no_json, "not JSON-RPC"),
        (batch, "not JSON-RPC"),
    ] {
        let (connection, mut fake) = connection();
        let server = async move {
            fake.hear().await;
            fake.complaints.write_all(b"I do not feel well\n").await.expect("write");
            fake.output.write_all(bytes).await.expect("write");
        };
        let (answer, ()) = tokio::join!(ask(&connection), server);
        let error = answer.expect_err("garbage");
        assert_eq!(code(&error), "LSP_SERVER_NOT_INITIALIZED");
        assert!(error.message().contains(expected), "{}", error.message());
        assert!(error.message().contains("I do not feel well"), "{}", error.message());
        assert!(connection.is_over());
        assert_eq!(ask(&connection).await.expect_err("over").message(), error.message());
        assert_eq!(
            code(&connection.tell("x/tell", 1).await.expect_err("over")),
            "LSP_SERVER_NOT_INITIALIZED"
        );
    }
}

#[tokio::test]
async fn an_exit_is_told_with_its_code_and_the_end_of_its_complaints() {
    let (connection, mut fake) = connection();
    let server = async move {
        fake.hear().await;
        fake.complaints.write_all(&b"early ".repeat(1_000)).await.expect("write");
        fake.complaints.write_all(b"No module named pylsp").await.expect("write");
        fake.exit.send(3).expect("exit");
        drop((fake.output, fake.complaints));
    };
    let (answer, ()) = tokio::join!(ask(&connection), server);
    let message = answer.expect_err("exit").message();
    assert!(message.contains("exit code 3") && message.contains("No module named pylsp"), "{message}");
    assert!(message.len() < LAST_WORDS_BYTES + 300, "{}", message.len());
}

#[tokio::test]
async fn whoever_waits_is_told_that_it_was_stopped() {
    let (connection, mut fake) = connection();
    let stop = async {
        fake.hear().await;
        connection.end("it was stopped");
    };
    let (answer, ()) = tokio::join!(ask(&connection), stop);
    assert!(answer.expect_err("stopped").message().contains("it was stopped"));
}

#[tokio::test]
async fn a_server_that_asks_and_never_reads_is_heard_all_the_same() {
    let (connection, mut fake) = connection();
    let server = async {
        let question = fake.hear().await;
        // More than may wait: what does not fit is not answered.
        for id in 0..10_000 {
            fake.say(json!({ "jsonrpc": "2.0", "id": id, "method": "workspace/workspaceFolders" })).await;
        }
        fake.say(json!({ "jsonrpc": "2.0", "id": question["id"], "result": "heard" })).await;
    };
    let (answer, ()) = tokio::join!(ask(&connection), server);
    assert_eq!(answer.expect("an answer"), "\"heard\"");
}
