//! A client that goes away takes its request along: the daemon sees its connection end.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::routing::get;
use futures_util::StreamExt as _;
use futures_util::stream;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::house::{House, KEY, RUNNING, eventually};

/// Sets a flag when the daemon drops what it was doing.
struct Flag(Arc<AtomicBool>);

impl Drop for Flag {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

async fn ask(house: &House, method: &str, body: &str) -> tokio::net::TcpStream {
    let mut client = house.client().await;
    let request = format!(
        "{method} /toolbox/{RUNNING}/x HTTP/1.1\r\nhost: a\r\nauthorization: Bearer {KEY}\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    client.write_all(request.as_bytes()).await.expect("writes");
    client
}

#[tokio::test]
async fn before_the_answer() {
    for (method, body) in [("GET", ""), ("POST", "{\"command\":\"sleep 1000\"}")] {
        let (started, dropped) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
        let (start, flag) = (Arc::clone(&started), Arc::clone(&dropped));
        let router = Router::new().fallback(move |body: Bytes| {
            let (start, flag) = (Arc::clone(&start), Flag(Arc::clone(&flag)));
            async move {
                let _flag = flag;
                start.store(!body.is_empty() || method == "GET", Ordering::SeqCst);
                std::future::pending::<()>().await;
            }
        });
        let house = House::with_daemon(router).await;
        let client = ask(&house, method, body).await;
        eventually("the daemon got the request", || started.load(Ordering::SeqCst)).await;
        assert!(!dropped.load(Ordering::SeqCst));
        drop(client);
        eventually("the daemon dropped the request", || dropped.load(Ordering::SeqCst)).await;
        eventually("nothing is left", || house.tasks.running() == ["listener"]).await;
    }
}

#[tokio::test]
async fn in_the_middle_of_the_answer() {
    let dropped = Arc::new(AtomicBool::new(false));
    let flag = Arc::clone(&dropped);
    let router = Router::new().route(
        "/x",
        get(move || {
            let flag = Flag(Arc::clone(&flag));
            async move {
                let first = stream::iter([Ok::<_, Infallible>(Bytes::from_static(b"first"))]);
                let never = stream::pending().map(move |never| {
                    let _flag = &flag;
                    never
                });
                Body::from_stream(first.chain(never))
            }
        }),
    );
    let house = House::with_daemon(router).await;
    let mut client = ask(&house, "GET", "").await;
    let mut seen = Vec::new();
    while !String::from_utf8_lossy(&seen).contains("first") {
        assert!(client.read_buf(&mut seen).await.expect("reads") > 0);
    }
    assert!(!dropped.load(Ordering::SeqCst));
    drop(client);
    eventually("the daemon dropped the answer", || dropped.load(Ordering::SeqCst)).await;
    eventually("nothing is left", || house.tasks.running() == ["listener"]).await;
}
