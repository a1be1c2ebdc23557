//! The terminal for browsers.

use tokio_tungstenite::tungstenite::Message;

use super::{Client, listed, start};
use crate::harness::{eventually, is_running, unique};

#[tokio::test]
async fn the_page_is_served_and_loads_nothing() {
    let daemon = start();
    let page = daemon.get("/terminal/").await;
    assert_eq!(page.status, 200);
    assert_eq!(page.header("content-type"), "text/html; charset=utf-8");
    assert!(page.header("content-security-policy").starts_with("default-src 'none'"));
    let text = page.text();
    for wrong in ["http://", "https://", "src=", "href=", "import ", "{nonce}", "{page}"] {
        assert!(!text.contains(wrong), "{wrong}");
    }
    assert_eq!(text.matches("</script>").count(), 1, "nothing in it ends it");
    // What may run is what came with this very answer.
    let nonce =
        |page: &str| page.split("nonce=\"").nth(1).and_then(|rest| rest.split('"').next()).map(str::to_owned);
    let own = nonce(&text).expect("a nonce");
    assert!(page.header("content-security-policy").contains(&format!("script-src 'nonce-{own}';")));
    assert_ne!(nonce(&daemon.get("/terminal/").await.text()), Some(own));
    daemon.get("/terminal/files/screen.js").await.error(404, "NOT_FOUND");
    daemon.get("/terminal/ws").await.error(400, "BAD_REQUEST");
}

#[tokio::test]
async fn a_page_has_a_shell_of_its_own_that_ends_with_it() {
    let daemon = start();
    let socket = daemon.websocket("/terminal/ws", &[]).await;
    let mut client = Client { socket, seen: Vec::new() };
    assert_eq!(client.run("pwd").await, "/");
    client.socket.send(Message::text(r#"{"rows": 33, "cols": 77}"#)).await;
    assert_eq!(client.run("stty size").await, "33 77");
    // Not a size: typed. Out of range: neither.
    client.socket.send(Message::text(r#"{"rows": 0, "cols": 5000}"#)).await;
    client.socket.send(Message::text("echo ty''ped {}\r")).await;
    client.until("typed {}\r\n").await;
    assert_eq!(client.run("stty size").await, "33 77");
    assert!(listed(&daemon).await.is_empty(), "nobody else may connect to it");

    let sleep = unique("sleep 4715@@");
    client.type_in(&format!("{sleep} &\r")).await;
    eventually("it runs", || is_running(&sleep)).await;
    drop(client);
    eventually("it ends with the page", || !is_running(&sleep)).await;
}

#[tokio::test]
async fn a_hostile_page_does_not_connect() {
    let daemon = start();
    for headers in [
        &[("origin", "https://evil.example")][..],
        &[("origin", "null")],
        &[("origin", "http://daemon"), ("x-forwarded-host", "sandbox.example")],
    ] {
        daemon.refused_websocket("/terminal/ws", &[], headers).await.error(403, "FORBIDDEN");
    }
}
