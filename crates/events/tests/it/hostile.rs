//! What no client of ours sends.

use std::time::Duration;

use events::Settings;
use futures_util::SinkExt as _;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio_tungstenite::tungstenite::Message;
use types::sandbox::{Desired, Observed};

use crate::ground::{Ground, ground, row};

/// Tells whether a server that was sent all that still serves.
async fn still_serves(ground: &Ground, number: u128) {
    let mut client = ground.client("two").await;
    ground.write(&row(number, 2, 1, Desired::Started, Observed::Absent));
    assert_eq!(client.event().await.0, "sandbox.created");
}

#[tokio::test]
async fn hostile_frames_end_their_socket_and_nothing_else() {
    let settings = Settings { packet_bytes: 4_096, ..Settings::default() };
    let ground = ground(settings).await;
    let deep = format!("40{}", "[".repeat(4_000));
    let long = format!("40{{\"token\":\"{}\"}}", "a".repeat(8_000));
    let texts = [
        "",
        "0",
        "5",
        "9",
        "4",
        "44",
        "45",
        "451-[\"a\",{\"_placeholder\":true,\"num\":0}]",
        "49",
        "\u{0}",
        "٤0",
        "40/\u{202e},{}",
        "1",
        "41",
        "2\u{1f600}",
        deep.as_str(),
        long.as_str(),
    ];
    for (number, text) in texts.into_iter().enumerate() {
        for is_known in [false, true] {
            let mut client = if is_known {
                ground.client("one").await
            } else {
                let mut socket = ground.socket().await;
                socket.text().await;
                socket
            };
            // The server may have gone already in the middle of what is too long.
            let _ = client.stream.send(Message::text(text)).await;
            let mut seen = client.text().await;
            while !(seen == "gone" || seen.starts_with("close")) {
                // Allowed while somebody is a stranger: an answer, then the end.
                assert!(seen.starts_with('3') || seen.starts_with("44"), "{text:?}: {seen}");
                if seen.starts_with('3') {
                    break;
                }
                seen = client.text().await;
            }
        }
        still_serves(&ground, 100 + number as u128).await;
    }
    let mut client = ground.client("one").await;
    client.stream.send(Message::binary(vec![4, 0, 255])).await.expect("send");
    assert_eq!(client.text().await, "close 1008");
    still_serves(&ground, 1).await;
}

#[tokio::test]
async fn saying_twice_who_one_is_ends_the_socket() {
    let ground = ground(Settings::default()).await;
    let mut client = ground.client("one").await;
    client.send(r#"40{"token":"two"}"#).await;
    assert_eq!(client.text().await, "close 1008");
}

#[tokio::test]
async fn events_of_clients_are_ignored_and_too_many_end_the_socket() {
    let settings = Settings { packets_per_interval: 50, ..Settings::default() };
    let ground = ground(settings).await;
    for is_control in [false, true] {
        let mut client = ground.client("one").await;
        for _ in 0..51 {
            let frame = if is_control {
                Message::Ping(Vec::new().into())
            } else {
                Message::text(r#"42["hello",{}]"#)
            };
            if client.stream.send(frame).await.is_err() {
                break;
            }
        }
        let end = client.text().await;
        assert!(end == "close 1008" || end == "gone", "{end}");
    }
}

#[tokio::test]
async fn bytes_that_are_no_web_socket_end_the_connection() {
    let ground = ground(Settings::default()).await;
    let head = "GET /api/socket.io/?EIO=4&transport=websocket HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
        Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n";
    // An unmasked frame, reserved bits, an endless length, a fragment that never ends, text that is not UTF-8.
    let frames: [&[u8]; 5] = [
        b"\x81\x0240",
        b"\xf1\x80\0\0\0\0",
        b"\x81\xff\x7f\xff\xff\xff\xff\xff\xff\xff\0\0\0\0",
        b"\x01\x80\0\0\0\0\x81\x80\0\0\0\0",
        b"\x81\x82\0\0\0\0\xff\xfe",
    ];
    for (number, frame) in frames.into_iter().enumerate() {
        let mut stream = tokio::net::TcpStream::connect(&ground.address).await.expect("connect");
        stream.write_all(head.as_bytes()).await.expect("write");
        stream.write_all(frame).await.expect("write");
        let mut answer = Vec::new();
        let read = tokio::time::timeout(Duration::from_secs(20), stream.read_to_end(&mut answer)).await;
        assert!(read.is_ok(), "frame {number} ends the connection");
        assert!(answer.starts_with(b"HTTP/1.1 101"), "frame {number}");
        still_serves(&ground, 200 + number as u128).await;
    }
    ground.no_sockets().await;
}

#[tokio::test]
async fn requests_that_are_no_sockets_are_answered() {
    let ground = ground(Settings::default()).await;
    for (line, expected) in [
        ("GET /api/socket.io/?EIO=4&transport=polling", r#""message":"Transport unknown""#),
        ("POST /api/socket.io/?EIO=4&transport=polling&sid=a", r#""message":"Transport unknown""#),
        ("GET /api/socket.io/?EIO=3&transport=websocket", r#""message":"Unsupported protocol version""#),
        ("GET /api/socket.io/?EIO=4&transport=websocket&sid=%00", r#""message":"Session ID unknown""#),
        ("DELETE /api/socket.io/?EIO=4&transport=websocket", r#""message":"Bad handshake method""#),
        ("GET /api/socket.io/?EIO=4&transport=websocket", r#""message":"Bad request""#),
        ("GET /api/socket.io", r#""message":"Transport unknown""#),
    ] {
        let mut stream = tokio::net::TcpStream::connect(&ground.address).await.expect("connect");
        let request = format!("{line} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.expect("write");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.expect("read");
        assert!(answer.starts_with("HTTP/1.1 400") && answer.contains(expected), "{line}: {answer}");
    }
}
