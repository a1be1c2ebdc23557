//! Clients and sandboxes that mean harm.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::Router;
use axum::extract::Request;
use http_body_util::BodyExt as _;

use crate::house::{Answer, House, RUNNING};

/// A daemon that counts requests and remembers nothing else.
async fn counting() -> (House, Arc<AtomicUsize>) {
    let requests = Arc::new(AtomicUsize::new(0));
    let seen = Arc::clone(&requests);
    let router = Router::new().fallback(move |request: Request| {
        seen.fetch_add(1, Ordering::SeqCst);
        async move {
            let length = request.into_body().collect().await.map_or(0, |body| body.to_bytes().len());
            format!("read {length}")
        }
    });
    (House::with_daemon(router).await, requests)
}

#[tokio::test]
async fn odd_heads_get_a_status_and_do_no_harm() {
    let (house, requests) = counting().await;
    let id = RUNNING;
    let key = "authorization: Bearer good\r\nconnection: close\r\nhost: a\r\n";
    let long = "x".repeat(70_000);
    let middling = "x".repeat(60_000);
    let many = "x-many: 1\r\n".repeat(101);
    for (what, request, status, arrives) in [
        ("dots", format!("GET /toolbox/../../etc/passwd HTTP/1.1\r\n{key}\r\n"), 404, 0),
        ("dots after the id", format!("GET /toolbox/{id}/../other/x HTTP/1.1\r\n{key}\r\n"), 200, 1),
        ("encoded NUL", format!("GET /toolbox/{id}/x%00 HTTP/1.1\r\n{key}\r\n"), 200, 1),
        ("raw NUL", format!("GET /toolbox/{id}/x\0 HTTP/1.1\r\n{key}\r\n"), 400, 0),
        ("NUL in a header", format!("GET /toolbox/{id}/x HTTP/1.1\r\nx: \0\r\n{key}\r\n"), 400, 0),
        ("absolute form", format!("GET http://evil.example/toolbox/{id}/x HTTP/1.1\r\n{key}\r\n"), 200, 1),
        ("CONNECT", format!("CONNECT evil.example:80 HTTP/1.1\r\n{key}\r\n"), 404, 0),
        ("TRACE", format!("TRACE /toolbox/{id}/x HTTP/1.1\r\n{key}\r\n"), 405, 0),
        ("made-up method", format!("BREW /toolbox/{id}/x HTTP/1.1\r\n{key}\r\n"), 200, 1),
        ("HTTP/1.0", format!("GET /toolbox/{id}/x HTTP/1.0\r\n{key}\r\n"), 200, 1),
        ("a long header", format!("GET /toolbox/{id}/x HTTP/1.1\r\nx: {long}\r\n{key}\r\n"), 431, 0),
        (
            "a long path",
            format!("GET /toolbox/{id}/{middling} HTTP/1.1\r\nx: {middling}\r\n{key}\r\n"),
            431,
            0,
        ),
        ("many headers", format!("GET /toolbox/{id}/x HTTP/1.1\r\n{many}{key}\r\n"), 431, 0),
        ("a folded header", format!("GET /toolbox/{id}/x HTTP/1.1\r\nx: a\r\n b\r\n{key}\r\n"), 400, 0),
        (
            "two lengths",
            format!("POST /toolbox/{id}/x HTTP/1.1\r\ncontent-length: 1\r\ncontent-length: 2\r\n{key}\r\nab"),
            400,
            0,
        ),
        (
            "a negative length",
            format!("POST /toolbox/{id}/x HTTP/1.1\r\ncontent-length: -1\r\n{key}\r\n"),
            400,
            0,
        ),
        (
            "an odd coding",
            format!(
                "POST /toolbox/{id}/x HTTP/1.1\r\ntransfer-encoding: chunked, identity\r\n{key}\r\n0\r\n\r\n"
            ),
            400,
            0,
        ),
        (
            "a broken chunk",
            format!("POST /toolbox/{id}/x HTTP/1.1\r\ntransfer-encoding: chunked\r\n{key}\r\nzz\r\n"),
            400,
            1,
        ),
    ] {
        requests.store(0, Ordering::SeqCst);
        let text = house.raw(request.as_bytes()).await;
        assert!(!text.is_empty(), "{what}: no answer");
        let answer = Answer::read(&text);
        assert_eq!(answer.status, status, "{what}: {answer:?}");
        let arrived = requests.load(Ordering::SeqCst);
        assert!(arrived <= arrives && (status >= 400 || arrived == arrives), "{what}: {arrived} arrived");
    }
    assert_eq!(house.raw(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await, "", "another protocol is hung up on");
    assert_eq!(house.call("GET", "/x", "", "").await.status, 200, "it still serves");
}

#[tokio::test]
async fn a_request_hidden_in_a_body_needs_a_key_of_its_own() {
    let (house, requests) = counting().await;
    let hidden = format!("GET /toolbox/{RUNNING}/hidden HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n");
    let key = "authorization: Bearer good\r\nhost: a\r\n";
    for (lengths, answer) in [
        ("content-length: 200\r\ntransfer-encoding: chunked\r\n", None),
        ("transfer-encoding: chunked\r\ncontent-length: 200\r\n", None),
        ("transfer-encoding: chunked\r\n", Some("HTTP/1.1 401")),
    ] {
        requests.store(0, Ordering::SeqCst);
        let request = format!("POST /toolbox/{RUNNING}/x HTTP/1.1\r\n{key}{lengths}\r\n0\r\n\r\n{hidden}");
        let answers = house.raw(request.as_bytes()).await;
        assert!(answers.starts_with("HTTP/1.1 200"), "{answers}");
        assert!(answers.contains("read 0"), "the length by chunks is the one that counts: {answers}");
        let next = answers.find("read 0").and_then(|end| answers.get(end + "read 0".len()..));
        match (next, answer) {
            (Some(next), Some(answer)) => assert!(next.starts_with(answer), "{answers}"),
            (next, _) => assert_eq!(next, Some(""), "two lengths end the connection: {answers}"),
        }
        assert_eq!(requests.load(Ordering::SeqCst), 1, "{lengths}");
    }
}

#[tokio::test]
async fn a_header_cannot_smuggle_one_of_ours_away() {
    let (house, requests) = counting().await;
    // Naming a header in `Connection` removes it on the way; that must not touch what the proxy itself decides by.
    let answer = house.call("GET", "/x", "connection: authorization, content-length, host\r\n", "").await;
    assert_eq!((answer.status, requests.load(Ordering::SeqCst)), (200, 1));
}

#[tokio::test]
async fn a_sandbox_that_speaks_nonsense_is_a_502() {
    for answer in [
        &b"nonsense\r\n\r\n"[..],
        b"",
        b"HTTP/1.1 200",
        b"HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: evil\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: -5\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nx: a\0b\r\n\r\n",
    ] {
        let house = House::with_raw_daemon(answer).await;
        let got = house.call("GET", "/x", "", "").await;
        assert_eq!(got.status, 502, "{}: {got:?}", String::from_utf8_lossy(answer));
        assert_eq!(got.json()["code"], "SANDBOX_UNREACHABLE");
    }
}

#[tokio::test]
async fn a_body_that_breaks_off_is_seen_to_break_off() {
    let house = House::with_raw_daemon(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhalf").await;
    let got = house.call("GET", "/x", "", "").await;
    assert_eq!((got.status, got.header("content-length"), got.body.as_str()), (200, Some("100"), "half"));
    let house =
        House::with_raw_daemon(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n4\r\nhalf\r\n").await;
    let got = house.call("GET", "/x", "", "").await;
    assert!(got.body.contains("half") && !got.body.contains("\r\n0\r\n"), "{got:?}");
}
