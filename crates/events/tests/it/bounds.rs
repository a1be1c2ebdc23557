//! Many sockets, and slow ones.

use std::time::Duration;

use events::Settings;
use types::sandbox::{Desired, Observed, Sandbox};

use crate::ground::{ground, row};

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_reads_nothing_loses_its_socket_and_slows_nobody() {
    const EVENTS: i64 = 4_000;
    let settings = Settings {
        queue_messages: 4_096,
        queue_bytes: 2 << 20,
        write_patience: Duration::from_millis(500),
        ..Settings::default()
    };
    let ground = ground(settings).await;
    let dead: Vec<_> = [ground.client("one").await, ground.client("one").await].into();
    let mut alive = ground.client("one").await;
    // 40 MB: far more than the kernel keeps for a socket.
    let heavy = |generation: i64| {
        let observed = if generation % 2 == 0 { Observed::Started } else { Observed::Stopped };
        let row = row(1, 1, generation, Desired::Started, observed);
        Sandbox { labels: [("weight".to_owned(), "x".repeat(10_000))].into(), ..row }
    };
    ground.write(&heavy(1));
    assert_eq!(alive.event().await.0, "sandbox.created");
    for generation in 2..=EVENTS {
        ground.write(&heavy(generation));
        let (_, payload) = alive.event().await;
        let expected = if generation % 2 == 0 { "started" } else { "starting" };
        assert_eq!(payload["newState"], expected, "{generation}");
    }
    // The dead are gone without anybody having waited for them; the last socket is the one that lives.
    let only_one = async {
        while ground.tasks.running().iter().filter(|name| **name == "event socket").count() > 1 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), only_one).await.expect("dead clients are dropped");
    drop(dead);
}

#[tokio::test]
async fn there_are_only_so_many_sockets_and_strangers() {
    let settings = Settings { sockets: 4, strangers: 2, sockets_per_organization: 2, ..Settings::default() };
    let ground = ground(settings).await;
    let strangers = [ground.socket().await, ground.socket().await];
    assert!(ground.try_socket().await.is_err(), "a third stranger waits outside");
    drop(strangers);
    ground.no_sockets().await;
    let mut ones = vec![ground.client("one").await, ground.client("one").await];
    let mut third = ground.socket().await;
    third.text().await;
    third.send(r#"40{"token":"one"}"#).await;
    assert_eq!(third.text().await, r#"44{"message":"Too many connections"}"#);
    drop(third);
    let mut two = ground.client("two").await;
    // A place that is given up is free again.
    ones.pop();
    let mut back = loop {
        let mut client = ground.socket().await;
        client.text().await;
        client.send(r#"40{"token":"one"}"#).await;
        if client.text().await.starts_with("40") {
            break client;
        }
        drop(client);
        tokio::time::sleep(Duration::from_millis(20)).await;
    };
    ground.write(&row(1, 1, 1, Desired::Started, Observed::Absent));
    ground.write(&row(2, 2, 1, Desired::Started, Observed::Absent));
    for client in [&mut back, &mut two] {
        assert_eq!(client.event().await.0, "sandbox.created");
    }
}
