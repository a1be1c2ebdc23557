//! Coming in, staying and being put out.

use std::time::Duration;

use events::Settings;
use types::sandbox::{Desired, Observed};

use crate::ground::{ground, organization, row};

#[tokio::test]
async fn a_good_key_is_let_in_and_a_wrong_one_is_told() {
    let ground = ground(Settings::default()).await;
    let mut client = ground.client("one").await;
    client.send("2probe").await;
    assert_eq!(client.text().await, "3probe");
    client.send("41").await;
    for said in [r#"40{"token":"three"}"#, "40", "40{}", r#"40{"token":7}"#, r#"40{"token":"a.b.c"}"#, "40[["]
    {
        let mut client = ground.socket().await;
        assert!(client.text().await.starts_with("0{"));
        client.send(said).await;
        assert_eq!(client.text().await, r#"44{"message":"Unauthorized"}"#, "{said}");
    }
    ground.no_sockets().await;
}

#[tokio::test]
async fn a_key_that_cannot_be_checked_is_not_called_wrong() {
    let ground = ground(Settings::default()).await;
    *ground.directory.unavailable.lock().expect("lock") = true;
    let mut client = ground.socket().await;
    client.text().await;
    client.send(r#"40{"token":"one"}"#).await;
    assert_eq!(client.text().await, r#"44{"message":"Unavailable"}"#);
}

#[tokio::test]
async fn there_is_one_namespace() {
    let ground = ground(Settings::default()).await;
    let mut client = ground.socket().await;
    client.text().await;
    client.send(r#"40/admin,{"token":"one"}"#).await;
    assert_eq!(client.text().await, r#"44/admin,{"message":"Invalid namespace"}"#);
    client.send(r#"40/,{"token":"one"}"#).await;
    assert!(client.text().await.starts_with("40{"));
}

#[tokio::test]
async fn pings_go_on_and_a_silent_client_is_dropped() {
    let settings = Settings {
        ping_interval: Duration::from_millis(30),
        ping_timeout: Duration::from_secs(3),
        ..Settings::default()
    };
    let ground = ground(settings).await;
    let mut lively = ground.client("one").await;
    for _ in 0..20 {
        assert_eq!(lively.text().await, "2");
        lively.send("3").await;
    }
    let mut silent = ground.client("one").await;
    loop {
        match silent.text().await.as_str() {
            "2" => {}
            "gone" | "close 0" => break,
            other => panic!("{other}"),
        }
    }
}

#[tokio::test]
async fn who_says_nothing_is_put_out() {
    let settings = Settings { connect_patience: Duration::from_millis(100), ..Settings::default() };
    let ground = ground(settings).await;
    let mut client = ground.socket().await;
    client.text().await;
    assert_eq!(client.text().await, "close 1008");
    ground.no_sockets().await;
}

#[tokio::test]
async fn a_key_that_is_revoked_ends_its_sockets_alone() {
    let settings = Settings { check_period: Duration::from_millis(50), ..Settings::default() };
    let ground = ground(settings).await;
    let (mut one, mut two) = (ground.client("one").await, ground.client("two").await);
    ground.directory.keys.lock().expect("lock").remove("one");
    assert_eq!(one.text().await, "41");
    assert_eq!(one.text().await, "close 1008");
    tokio::time::sleep(Duration::from_millis(200)).await;
    ground.write(&row(1, 2, 1, Desired::Started, Observed::Absent));
    assert_eq!(two.event().await.0, "sandbox.created");
}

#[tokio::test]
async fn a_key_that_became_another_organisations_ends_its_sockets() {
    let settings = Settings { check_period: Duration::from_millis(50), ..Settings::default() };
    let ground = ground(settings).await;
    let mut one = ground.client("one").await;
    ground.directory.keys.lock().expect("lock").insert("one".to_owned(), organization(2));
    assert_eq!(one.text().await, "41");
}

#[tokio::test]
async fn a_short_trouble_with_the_rows_costs_no_socket_and_a_long_one_does() {
    let settings = Settings { check_period: Duration::from_millis(500), ..Settings::default() };
    let ground = ground(settings).await;
    let mut client = ground.client("one").await;
    *ground.directory.unavailable.lock().expect("lock") = true;
    tokio::time::sleep(Duration::from_millis(1_200)).await;
    *ground.directory.unavailable.lock().expect("lock") = false;
    ground.write(&row(1, 1, 1, Desired::Started, Observed::Absent));
    assert_eq!(client.event().await.0, "sandbox.created");
    *ground.directory.unavailable.lock().expect("lock") = true;
    assert_eq!(client.text().await, "41");
}

#[tokio::test]
async fn shutdown_sends_everybody_away() {
    let ground = ground(Settings::default()).await;
    let mut stranger = ground.socket().await;
    stranger.text().await;
    let mut client = ground.client("one").await;
    let late = ground.tasks.finish(Duration::from_mins(1)).await;
    assert_eq!(late, Vec::<&str>::new());
    assert_eq!(client.text().await, "close 1001");
    assert_eq!(stranger.text().await, "close 1001");
}

#[tokio::test]
async fn who_logged_in_hears_of_the_organisation_that_they_name_and_belong_to() {
    let settings = Settings { check_period: Duration::from_millis(50), ..Settings::default() };
    let ground = ground(settings).await;
    let (first, second, foreign) = (organization(1), organization(2), organization(3));
    ground.directory.members.lock().expect("lock").insert("ada".to_owned(), vec![first, second]);
    let refused = r#"44{"message":"Unauthorized"}"#;
    let welcome = r#"40{"sid":""#;
    for (parameters, expected) in [
        ("source=test".to_owned(), refused),
        (format!("organizationId={foreign}"), refused),
        ("organizationId=".to_owned(), refused),
        ("organizationId=Personal".to_owned(), refused),
        (format!("organizationId={}", "0".repeat(5_000)), refused),
        (format!("organizationId={first}"), welcome),
        (format!("source=test&organizationId={second}"), welcome),
    ] {
        let mut client = ground.socket_with(&parameters).await.expect("a socket");
        assert!(client.text().await.starts_with("0{"));
        client.send(r#"40{"token":"ada"}"#).await;
        let answer = client.text().await;
        assert!(answer.starts_with(expected), "{parameters}: {answer}");
    }
    let mut client = ground.socket_with(&format!("organizationId={second}")).await.expect("a socket");
    client.text().await;
    client.send(r#"40{"token":"ada"}"#).await;
    assert!(client.text().await.starts_with(welcome));
    ground.write(&row(1, 1, 1, Desired::Started, Observed::Absent));
    ground.write(&row(2, 2, 1, Desired::Started, Observed::Absent));
    let (name, payload) = client.event().await;
    assert_eq!(
        (name.as_str(), &payload["id"]),
        ("sandbox.created", &serde_json::json!(types::SandboxId::from_u128(2).to_string()))
    );
    // Put out of the organisation, or at the end of the token.
    ground.directory.members.lock().expect("lock").insert("ada".to_owned(), vec![first]);
    assert_eq!(client.text().await, "41");
    assert_eq!(client.text().await, "close 1008");
}
