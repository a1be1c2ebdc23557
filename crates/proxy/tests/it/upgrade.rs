//! Upgrades: the daemon's answer passes, then bytes both ways.

use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::http::{Response, StatusCode};
use axum::routing::get;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::house::{House, KEY, RUNNING, TOKEN, eventually};

/// Answers 101, greets, and sends back whatever comes until `quit`.
async fn echo(mut request: Request) -> Response<Body> {
    let protocol = request.headers().get("sec-websocket-protocol").cloned();
    let upgrade = hyper::upgrade::on(&mut request);
    tokio::spawn(async move {
        let mut stream = TokioIo::new(upgrade.await.expect("upgrades"));
        stream.write_all(b"hello").await.expect("writes");
        let mut buffer = [0; 1024];
        while let Ok(length) = stream.read(&mut buffer).await {
            let part = buffer.get(..length).unwrap_or_default();
            if length == 0 || part == b"quit" {
                break;
            }
            stream.write_all(part).await.expect("writes");
        }
        let _ = stream.shutdown().await;
    });
    let mut answer = Response::builder()
        .status(StatusCode::SWITCHING_PROTOCOLS)
        .header("connection", "upgrade")
        .header("upgrade", "websocket")
        .header("sec-websocket-accept", "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    if let Some(protocol) = protocol {
        answer = answer.header("sec-websocket-protocol", protocol);
    }
    answer.body(Body::empty()).expect("a response")
}

async fn house() -> House {
    House::with_daemon(Router::new().route("/ws", get(echo))).await
}

async fn ask(house: &House, path: &str) -> (TcpStream, String) {
    ask_with(house, path, &format!("authorization: Bearer {KEY}\r\n")).await
}

async fn ask_with(house: &House, path: &str, headers: &str) -> (TcpStream, String) {
    let mut client = house.client().await;
    let request = format!(
        "GET /toolbox/{RUNNING}{path} HTTP/1.1\r\nhost: a\r\n{headers}connection: Upgrade\r\n\
         upgrade: websocket\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\nsec-websocket-version: 13\r\n\
         sec-websocket-protocol: X-Daytona-Pty-Exit-Control\r\n\r\n"
    );
    client.write_all(request.as_bytes()).await.expect("writes");
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(client.read_u8().await.expect("a head"));
    }
    (client, String::from_utf8(head).expect("text").to_lowercase())
}

async fn expect(client: &mut TcpStream, text: &str) {
    let mut buffer = vec![0; text.len()];
    let reading = client.read_exact(&mut buffer);
    tokio::time::timeout(Duration::from_mins(1), reading).await.expect("in time").expect("reads");
    assert_eq!(String::from_utf8_lossy(&buffer), text);
}

#[tokio::test]
async fn bytes_pass_both_ways_after_101() {
    let house = house().await;
    let (mut client, head) = ask(&house, "/ws").await;
    assert!(head.starts_with("http/1.1 101"), "{head}");
    for header in [
        "connection: upgrade",
        "upgrade: websocket",
        "sec-websocket-protocol: x-daytona-pty-exit-control",
        "sec-websocket-accept: ",
    ] {
        assert!(head.contains(header), "{header} in {head}");
    }
    expect(&mut client, "hello").await;
    for word in ["one", "two", "three"] {
        client.write_all(word.as_bytes()).await.expect("writes");
        expect(&mut client, word).await;
    }
    client.write_all(b"quit").await.expect("writes");
    let mut rest = Vec::new();
    tokio::time::timeout(Duration::from_mins(1), client.read_to_end(&mut rest))
        .await
        .expect("ends")
        .expect("reads");
    assert!(rest.is_empty());
    eventually("the tunnel is over", || !house.tasks.running().contains(&"sandbox tunnel")).await;
}

#[tokio::test]
async fn a_client_that_leaves_ends_the_tunnel() {
    let house = house().await;
    let (mut client, _) = ask(&house, "/ws").await;
    expect(&mut client, "hello").await;
    assert!(house.tasks.running().contains(&"sandbox tunnel"));
    drop(client);
    eventually("the tunnel is over", || house.tasks.running().iter().all(|name| *name == "listener")).await;
}

#[tokio::test]
async fn a_refused_upgrade_is_an_answer_like_any_other() {
    let house = house().await;
    let (_, head) = ask(&house, "/missing").await;
    assert!(head.starts_with("http/1.1 404"), "{head}");
    assert!(!head.contains("upgrade"), "{head}");
}

#[tokio::test]
async fn shutdown_ends_a_tunnel() {
    let house = house().await;
    let (mut client, _) = ask(&house, "/ws").await;
    expect(&mut client, "hello").await;
    assert!(house.tasks.finish(Duration::from_mins(1)).await.is_empty());
    let mut rest = Vec::new();
    let _ = client.read_to_end(&mut rest).await;
}

#[tokio::test]
async fn a_browser_opens_a_tunnel_with_the_token_in_its_address() {
    let house = house().await;
    let path = format!("/ws?DAYTONA_SANDBOX_AUTH_KEY={TOKEN}");
    let (mut client, head) = ask_with(&house, &path, "origin: https://page.example\r\n").await;
    assert!(head.starts_with("http/1.1 101"), "{head}");
    expect(&mut client, "hello").await;
    let (_, head) = ask_with(&house, "/ws?DAYTONA_SANDBOX_AUTH_KEY=wrong", "").await;
    assert!(head.starts_with("http/1.1 401"), "{head}");
}
