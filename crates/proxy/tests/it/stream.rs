//! Bodies of any length pass with bounded memory and without delay.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::Request;
use axum::routing::{get, post};
use futures_util::stream;
use http_body_util::BodyExt as _;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::house::{House, KEY, RUNNING, eventually};

const MEBIBYTE: usize = 1 << 20;
const BODY_MEBIBYTES: usize = 200;

fn head(method: &str, path: &str, headers: &str) -> String {
    format!(
        "{method} /toolbox/{RUNNING}{path} HTTP/1.1\r\nhost: a\r\nauthorization: Bearer {KEY}\r\n\
         connection: close\r\n{headers}\r\n"
    )
}

/// The highest memory of this process so far, which holds client, proxy and daemon.
fn peak_memory_mebibytes() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").expect("status");
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).expect("a peak");
    let kibibytes: usize =
        line.split_whitespace().nth(1).and_then(|word| word.parse().ok()).expect("a number");
    kibibytes / 1024
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn long_bodies_pass_in_little_memory() {
    let router = Router::new()
        .route(
            "/up",
            post(|request: Request| async move {
                let mut body = request.into_body();
                let mut length = 0;
                while let Some(Ok(frame)) = body.frame().await {
                    length += frame.data_ref().map_or(0, Bytes::len);
                }
                length.to_string()
            }),
        )
        .route(
            "/down",
            get(async || {
                let block = Bytes::from(vec![7_u8; MEBIBYTE]);
                Body::from_stream(stream::iter(
                    (0..BODY_MEBIBYTES).map(move |_| Ok::<_, Infallible>(block.clone())),
                ))
            }),
        );
    let house = House::with_daemon(router).await;
    let before = peak_memory_mebibytes();

    let mut client = house.client().await;
    let length = format!("content-length: {}\r\n", BODY_MEBIBYTES * MEBIBYTE);
    client.write_all(head("POST", "/up", &length).as_bytes()).await.expect("writes");
    let block = vec![7_u8; MEBIBYTE];
    for _ in 0..BODY_MEBIBYTES {
        client.write_all(&block).await.expect("writes");
    }
    let mut answer = String::new();
    client.read_to_string(&mut answer).await.expect("reads");
    assert!(answer.ends_with(&(BODY_MEBIBYTES * MEBIBYTE).to_string()), "{answer}");

    let mut client = house.client().await;
    client.write_all(head("GET", "/down", "").as_bytes()).await.expect("writes");
    let mut buffer = vec![0_u8; MEBIBYTE];
    let mut received = 0;
    loop {
        match client.read(&mut buffer).await.expect("reads") {
            0 => break,
            length => received += length,
        }
    }
    assert!(received > BODY_MEBIBYTES * MEBIBYTE, "{received} bytes, of which some frame the chunks");
    let grown = peak_memory_mebibytes() - before;
    assert!(grown < 64, "memory grew by {grown} MiB while {BODY_MEBIBYTES} MiB passed each way");
}

#[tokio::test]
async fn the_first_bytes_do_not_wait_for_the_last() {
    let (sender, receiver) = tokio::sync::oneshot::channel::<()>();
    let receiver = Arc::new(tokio::sync::Mutex::new(Some(receiver)));
    let router = Router::new().route(
        "/slow",
        get(move || {
            let receiver = Arc::clone(&receiver);
            async move {
                let last = async move {
                    if let Some(receiver) = receiver.lock().await.take() {
                        let _ = receiver.await;
                    }
                    Ok::<_, Infallible>(Bytes::from_static(b"last"))
                };
                let first = stream::iter([Ok(Bytes::from_static(b"first"))]);
                Body::from_stream(futures_util::StreamExt::chain(first, stream::once(last)))
            }
        }),
    );
    let house = House::with_daemon(router).await;
    let mut client = house.client().await;
    client.write_all(head("GET", "/slow", "").as_bytes()).await.expect("writes");
    let mut seen = Vec::new();
    while !String::from_utf8_lossy(&seen).contains("first") {
        let length = tokio::time::timeout(Duration::from_mins(1), client.read_buf(&mut seen)).await;
        assert!(length.expect("the first bytes come at once").expect("reads") > 0);
    }
    sender.send(()).expect("the daemon waits");
    let mut rest = String::new();
    client.read_to_string(&mut rest).await.expect("reads");
    assert!(rest.contains("last"), "{rest}");
}

#[tokio::test]
async fn a_slow_reader_holds_the_sandbox_back() {
    let produced = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&produced);
    let router = Router::new().route(
        "/endless",
        get(move || {
            let count = Arc::clone(&count);
            async move {
                let block = Bytes::from(vec![0_u8; MEBIBYTE]);
                Body::from_stream(stream::iter(std::iter::repeat_with(move || {
                    count.fetch_add(1, Ordering::SeqCst);
                    Ok::<_, Infallible>(block.clone())
                })))
            }
        }),
    );
    let house = House::with_daemon(router).await;
    let mut client = house.client().await;
    client.write_all(head("GET", "/endless", "").as_bytes()).await.expect("writes");
    eventually("something is produced", || produced.load(Ordering::SeqCst) > 0).await;
    tokio::time::sleep(Duration::from_millis(500)).await;
    let ahead = produced.load(Ordering::SeqCst);
    assert!((1..32).contains(&ahead), "{ahead} MiB were produced for a client that reads nothing");
}
