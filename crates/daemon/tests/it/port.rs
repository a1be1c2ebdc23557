//! Which ports are listened on, and the way to what listens.

use std::net::{Ipv4Addr, Ipv6Addr};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::ws::{Message, WebSocketUpgrade};
use axum::http::{HeaderMap, Request, StatusCode, Uri};
use axum::response::IntoResponse;
use axum::routing::any;
use http_body_util::BodyExt as _;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use crate::harness::{TestDaemon, eventually};

/// Listens on a port that may be asked for; another test run begins to look elsewhere.
async fn listen_in_range() -> TcpListener {
    let first = std::process::id() % 7_000;
    for step in 0..7_000 {
        let port = u16::try_from(3_000 + (first + step) % 7_000).expect("a port");
        if let Ok(listener) = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await {
            return listener;
        }
    }
    panic!("no port is free");
}

fn port_of(listener: &TcpListener) -> u16 {
    listener.local_addr().expect("address").port()
}

/// Serves an application on a port of its own.
async fn serve(application: Router) -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("listen");
    let port = port_of(&listener);
    tokio::spawn(async move { axum::serve(listener, application).await });
    port
}

#[tokio::test]
async fn a_port_is_in_use_while_somebody_listens() {
    let daemon = TestDaemon::start();
    let listener = listen_in_range().await;
    let port = port_of(&listener);
    let ports = daemon.get("/port").await.json()["ports"].clone();
    let ports: Vec<u16> = serde_json::from_value(ports).expect("ports");
    assert!(ports.contains(&port) && ports.is_sorted_by(|a, b| a < b), "{ports:?}");
    let path = format!("/port/{port}/in-use");
    assert_eq!(daemon.get(&path).await.json(), json!({ "isInUse": true }));
    drop(listener);
    assert_eq!(daemon.get(&path).await.json(), json!({ "isInUse": false }));
    for port in ["2999", "10000", "0", "-1", "70000", "x", "%20", "3000x"] {
        let message = daemon.get(&format!("/port/{port}/in-use")).await.error(400, "BAD_REQUEST");
        assert!(message.contains("3000 to 9999"), "{message}");
    }
}

/// Tells how a request arrived.
async fn tell(method: axum::http::Method, uri: Uri, headers: HeaderMap, body: Bytes) -> impl IntoResponse {
    let headers: Vec<_> = headers
        .iter()
        .map(|(name, value)| format!("{name}: {}", String::from_utf8_lossy(value.as_bytes())))
        .collect();
    let told = json!({
        "method": method.as_str(), "uri": uri.to_string(), "headers": headers,
        "body": String::from_utf8_lossy(&body),
    });
    let headers = [("connection", "x-hop"), ("x-hop", "1"), ("x-mine", "2"), ("location", "/elsewhere")];
    (StatusCode::IM_A_TEAPOT, headers, told.to_string())
}

#[tokio::test]
async fn a_request_arrives_as_it_was_sent() {
    let daemon = TestDaemon::start();
    let port = serve(Router::new().fallback(tell)).await;
    for (method, path, arrives) in [
        ("GET", "", "/"),
        ("GET", "/", "/"),
        ("POST", "?a=%20b", "/?a=%20b"),
        ("DELETE", "/a%2Fb//c/../d?x=1&x=%F0&y=+/?", "/a%2Fb//c/../d?x=1&x=%F0&y=+/?"),
        ("PROPFIND", "/x", "/x"),
    ] {
        let request = Request::builder()
            .method(method)
            .uri(format!("/proxy/{port}{path}"))
            .header("host", "d.example")
            .header("connection", "X-Only-Here")
            .header("x-only-here", "1")
            .header("authorization", "Basic eA==")
            .header("cookie", "a=1");
        let answer = daemon.send(request.body("body".into()).expect("request")).await;
        assert_eq!(answer.status, 418, "{}", answer.text());
        let told = answer.json();
        assert_eq!(
            (&told["method"], &told["uri"], &told["body"]),
            (&json!(method), &json!(arrives), &json!("body"))
        );
        let headers = told["headers"].to_string();
        for header in ["authorization: Basic eA==", "cookie: a=1", "x-forwarded-host: d.example"] {
            assert!(headers.contains(header), "{headers}");
        }
        assert!(headers.contains(&format!("\"host: localhost:{port}\"")), "{headers}");
        assert!(!headers.contains("x-only-here") && !headers.contains("\"connection"), "{headers}");
        assert_eq!(
            (answer.header("x-mine"), answer.header("location"), answer.header("x-hop")),
            ("2", "/elsewhere", "")
        );
    }
}

#[tokio::test]
async fn bodies_stream_both_ways_without_a_limit() {
    const BYTES: usize = 48 * 1024 * 1024;
    let echo = async |request: Request<Body>| request.into_body();
    let daemon = TestDaemon::start();
    let port =
        serve(Router::new().fallback(any(echo)).layer(axum::extract::DefaultBodyLimit::disable())).await;
    let (sender, body) = tokio::sync::mpsc::channel::<Result<Bytes, std::io::Error>>(1);
    let body = Body::from_stream(futures_util::stream::unfold(body, async |mut body| {
        body.recv().await.map(|piece| (piece, body))
    }));
    let request = Request::post(format!("/proxy/{port}/")).header("host", "d").body(body).expect("request");
    let mut connection = daemon.connect().await;
    let mut response = connection.send_request(request).await.expect("an answer before the end of the body");
    // Each piece comes back before the next is sent.
    for piece in ["first", "second"] {
        sender.send(Ok(piece.into())).await.expect("send");
        let mut back = Vec::new();
        while back.len() < piece.len() {
            let frame = response.frame().await.expect("a frame").expect("whole");
            back.extend_from_slice(&frame.into_data().expect("data"));
        }
        assert_eq!(back, piece.as_bytes());
    }
    let pump = async {
        let piece = Bytes::from(vec![7; 64 * 1024]);
        for _ in 0..BYTES / piece.len() {
            sender.send(Ok(piece.clone())).await.expect("send");
        }
        drop(sender);
    };
    let drain = async {
        let mut bytes = 0;
        while let Some(frame) = response.frame().await {
            bytes += frame.expect("whole").into_data().expect("data").len();
        }
        bytes
    };
    let ((), bytes) = tokio::join!(pump, drain);
    assert_eq!(bytes, BYTES);
}

#[tokio::test]
async fn web_sockets_pass() {
    let echo = async |upgrade: WebSocketUpgrade| {
        upgrade.protocols(["mine"]).on_upgrade(async |mut socket| {
            while let Some(Ok(message)) = socket.recv().await {
                if matches!(message, Message::Text(_) | Message::Binary(_)) {
                    socket.send(message).await.expect("send");
                }
            }
        })
    };
    let daemon = TestDaemon::start();
    let port = serve(Router::new().route("/ws", any(echo))).await;
    let mut socket = daemon.websocket(&format!("/proxy/{port}/ws?x=1"), &["other", "mine"]).await;
    assert_eq!(socket.protocol.as_deref(), Some("mine"));
    for text in ["hello", &"x".repeat(300_000)] {
        socket.send(text).await;
        assert_eq!(socket.next().await.into_text().expect("text").as_str(), text);
    }
    socket.send(tokio_tungstenite::tungstenite::Message::Close(None)).await;
    assert!(socket.next().await.is_close());
    let refused = daemon.refused_websocket(&format!("/proxy/{port}/none"), &[], &[]).await;
    assert_eq!(refused.status, 404);
}

#[tokio::test]
async fn a_server_that_listens_on_the_newer_protocol_alone_is_found() {
    let listener = match TcpListener::bind((Ipv6Addr::LOCALHOST, 0)).await {
        Ok(listener) => listener,
        Err(error) => {
            println!("skipped: this machine has no IPv6: {error}");
            return;
        }
    };
    let port = port_of(&listener);
    tokio::spawn(async move { axum::serve(listener, Router::new().fallback(tell)).await });
    let daemon = TestDaemon::start();
    assert_eq!(daemon.get(&format!("/proxy/{port}/")).await.status, 418);
}

#[tokio::test]
async fn what_cannot_be_reached_says_why() {
    let daemon = TestDaemon::start();
    // Taken, so that nobody else listens on it.
    let taken = tokio::net::TcpSocket::new_v4().expect("socket");
    taken.bind((Ipv4Addr::LOCALHOST, 0).into()).expect("bind");
    let port = taken.local_addr().expect("address").port();
    let message = daemon.get(&format!("/proxy/{port}/x")).await.error(502, "BAD_GATEWAY");
    assert!(message.contains(&format!("port {port}")) && message.contains("listens"), "{message}");
    for port in ["2280", "22220"] {
        daemon.get(&format!("/proxy/{port}/")).await.error(403, "FORBIDDEN");
    }
    for port in ["0", "65536", "x", "-1"] {
        daemon.get(&format!("/proxy/{port}/")).await.error(400, "BAD_REQUEST");
    }
    daemon.get("/proxy").await.error(404, "NOT_FOUND");
}

#[tokio::test]
async fn the_web_terminal_is_where_the_contract_has_it() {
    let daemon = TestDaemon::start();
    let page = daemon.get("/proxy/22222/").await;
    assert_eq!(page.status, 200, "{}", page.text());
    // All of it is in the page: behind the proxy it has no origin, so it may load nothing.
    assert!(
        page.text().contains("<script type=\"module\" nonce=\"") && !page.text().contains("src="),
        "{}",
        page.text()
    );
    assert_eq!(daemon.get("/proxy/22222").await.header("location"), "22222/");
    daemon.get("/proxy/22222/none").await.error(404, "NOT_FOUND");
    let mut socket = daemon.websocket("/proxy/22222/ws", &[]).await;
    socket.send(r#"{"rows": 20, "cols": 70}"#).await;
    socket.send("echo $((6 * 7))-$(stty size)\n").await;
    let mut shown = String::new();
    while !shown.contains("42-20 70") {
        shown.push_str(&String::from_utf8_lossy(&socket.next().await.into_data()));
    }
}

/// Listens and answers each connection with these bytes after it has read something, then closes it.
async fn answer_with(bytes: &'static [u8]) -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("listen");
    let port = port_of(&listener);
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let _ = stream.read(&mut [0; 4096]).await;
            let _ = stream.write_all(bytes).await;
        }
    });
    port
}

#[tokio::test]
async fn what_is_no_http_server_is_told() {
    let daemon = TestDaemon::start();
    for bytes in
        [b"".as_slice(), b"SSH-2.0-OpenSSH_9.2\r\n", b"HTTP/9 200 OK\r\n\r\n", b"HTTP/1.1 999999\r\n\r\n"]
    {
        let port = answer_with(bytes).await;
        let message = daemon.get(&format!("/proxy/{port}/")).await.error(502, "BAD_GATEWAY");
        assert!(message.contains(&format!("port {port}")), "{message}");
    }
    // Older and sloppier ones are understood.
    let old = answer_with(b"HTTP/1.0 200 OK\r\nBad Header: 1\r\nX-Mine: 2\r\n\r\nto the end").await;
    let answer = daemon.get(&format!("/proxy/{old}/")).await;
    assert_eq!(
        (answer.status.as_u16(), answer.text().as_str(), answer.header("x-mine")),
        (200, "to the end", "2")
    );
    // An answer that breaks off breaks off here, too.
    let cut = answer_with(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf").await;
    let request =
        Request::get(format!("/proxy/{cut}/")).header("host", "d").body(Body::empty()).expect("request");
    let response = daemon.connect().await.send_request(request).await.expect("the head");
    response.into_body().collect().await.expect_err("half a body");
}

#[tokio::test]
async fn an_exchange_that_is_given_up_ends_at_the_server_too() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("listen");
    let port = port_of(&listener);
    let daemon = TestDaemon::start();
    let request =
        Request::get(format!("/proxy/{port}/")).header("host", "d").body(Body::empty()).expect("request");
    let mut connection = daemon.connect().await;
    let asked = tokio::spawn(async move { connection.send_request(request).await.map(drop) });
    let (mut stream, _) = listener.accept().await.expect("accept");
    let mut head = [0; 4096];
    assert!(stream.read(&mut head).await.expect("read") > 0);
    asked.abort();
    let mut is_closed = false;
    while !is_closed {
        is_closed = matches!(stream.read(&mut head).await, Ok(0) | Err(_));
    }
    let told: Value = daemon.get("/version").await.json();
    assert!(told["version"].is_string());
    eventually("the daemon lives", || daemon.ready.starts_with('R')).await;
}
