//! Keys that come and go, and providers that do not answer.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use identity::keys::{RENEWAL, SPACING};
use identity::{Flaw, IdentityError};
use serde_json::json;
use testkit::issuer::{Key, token};

use crate::judge::Ground;

/// Far more than anything here takes.
const PATIENCE: Duration = Duration::from_secs(10);

/// Waits until a token is judged so.
async fn comes_to(ground: &Ground, token: &str, expected: Option<Flaw>) {
    let reached = async {
        while ground.flaw(token).await != expected {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    assert!(tokio::time::timeout(PATIENCE, reached).await.is_ok(), "it does not come to {expected:?}");
}

async fn has_no_keys(ground: &Ground) -> bool {
    matches!(ground.verifier.verify(&ground.token("rsa")).await, Err(IdentityError::NoKeys { .. }))
}

#[tokio::test]
async fn a_new_key_is_found_and_an_old_one_forgotten() {
    let ground = Ground::start().await;
    let old = ground.token("curve");
    assert_eq!(ground.flaw(&old).await, None);
    ground.issuer.publish("next", Arc::new(Key::p256().unwrap()));
    let next = ground.token("next");
    assert_eq!(ground.flaw(&next).await, Some(Flaw::UnknownKey), "the provider was asked just now");
    ground.clock.advance(SPACING);
    assert_eq!(ground.flaw(&next).await, None);
    assert_eq!(ground.issuer.asked(), 2);
    ground.issuer.withdraw("curve");
    assert_eq!(ground.flaw(&old).await, None, "nobody asked since");
    ground.clock.advance(RENEWAL);
    assert_eq!(ground.flaw(&old).await, Some(Flaw::UnknownKey), "whoever comes first waits for new keys");
    assert_eq!(ground.flaw(&next).await, None);
}

#[tokio::test]
async fn a_key_that_was_exchanged_under_its_name_is_found() {
    let ground = Ground::start().await;
    assert_eq!(ground.flaw(&ground.token("curve")).await, None);
    ground.issuer.publish("curve", Arc::new(Key::p256().unwrap()));
    let next = ground.token("curve");
    assert_eq!(ground.flaw(&next).await, Some(Flaw::Signature));
    ground.clock.advance(RENEWAL);
    assert_eq!(ground.flaw(&next).await, None);
    // Without a name there is no other sign that the key is a new one.
    ground.issuer.publish("curve", Arc::new(Key::p256().unwrap()));
    let curve = ground.issuer.key("curve").unwrap();
    let nameless = token(&json!({"alg": "ES256"}), &ground.claims(), |bytes| curve.sign(bytes)).unwrap();
    ground.clock.advance(SPACING);
    assert_eq!(ground.flaw(&nameless).await, None);
}

#[tokio::test]
async fn strangers_cannot_make_us_ask_often() {
    let ground = Ground::start().await;
    let own = Key::p256().unwrap();
    for round in 1..=3 {
        for number in 0..100 {
            let header = json!({"alg": "ES256", "kid": format!("made up {round} {number}")});
            let forged = token(&header, &ground.claims(), |bytes| own.sign(bytes)).unwrap();
            assert_eq!(ground.flaw(&forged).await, Some(Flaw::UnknownKey));
        }
        assert_eq!(ground.issuer.asked(), round);
        ground.clock.advance(SPACING);
    }
    assert_eq!(ground.flaw(&ground.token("rsa")).await, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn many_at_once_ask_once() {
    let ground = Arc::new(Ground::start().await);
    let token = ground.token("rsa");
    let crowd: Vec<_> = (0..200)
        .map(|_| {
            let (ground, token) = (ground.clone(), token.clone());
            tokio::spawn(async move { ground.flaw(&token).await })
        })
        .collect();
    for one in crowd {
        assert_eq!(one.await.unwrap(), None);
    }
    assert_eq!(ground.issuer.asked(), 1);
}

#[tokio::test]
async fn who_leaves_does_not_take_the_answer_along() {
    let ground = Ground::start().await;
    let token = ground.token("rsa");
    {
        let mut left = pin!(ground.verifier.verify(&token));
        let first = left.as_mut().poll(&mut Context::from_waker(Waker::noop()));
        assert!(matches!(first, Poll::Pending));
    }
    assert_eq!(ground.flaw(&token).await, None);
    assert_eq!(ground.issuer.asked(), 1);
}

#[tokio::test]
async fn a_provider_that_is_away_at_first_is_found_later() {
    let ground = Ground::start().await;
    ground.issuer.go_away(true);
    assert!(has_no_keys(&ground).await);
    ground.issuer.go_away(false);
    assert!(has_no_keys(&ground).await, "it was asked just now");
    ground.clock.advance(SPACING);
    assert_eq!(ground.flaw(&ground.token("rsa")).await, None);
}

#[tokio::test]
async fn a_provider_that_goes_away_locks_nobody_out() {
    let ground = Ground::start().await;
    assert_eq!(ground.flaw(&ground.token("rsa")).await, None);
    ground.issuer.go_away(true);
    let stranger = Key::p256().unwrap();
    for _ in 0..5 {
        ground.clock.advance(RENEWAL);
        assert_eq!(ground.flaw(&ground.token("rsa")).await, None);
        let header = json!({"alg": "ES256", "kid": "stranger"});
        let forged = token(&header, &ground.claims(), |bytes| stranger.sign(bytes)).unwrap();
        assert_eq!(ground.flaw(&forged).await, Some(Flaw::UnknownKey));
    }
    ground.issuer.publish("next", Arc::new(Key::p256().unwrap()));
    ground.issuer.go_away(false);
    ground.clock.advance(SPACING);
    comes_to(&ground, &ground.token("next"), None).await;
}

#[tokio::test]
async fn a_clock_that_is_set_back_stops_no_question() {
    let ground = Ground::start().await;
    ground.clock.advance(Duration::from_hours(24));
    assert_eq!(ground.flaw(&ground.token("rsa")).await, None);
    ground.issuer.publish("next", Arc::new(Key::p256().unwrap()));
    ground.clock.set_back(Duration::from_hours(24));
    comes_to(&ground, &ground.token("next"), None).await;
}

#[tokio::test]
async fn odd_answers_are_no_keys() {
    let ground = Ground::start().await;
    for answer in [
        (500, "broken".to_owned()),
        (404, String::new()),
        (302, String::new()),
        (200, String::new()),
        (200, "<html>".to_owned()),
        (200, "{}".to_owned()),
        (200, "[".repeat(100_000)),
        (200, format!("{{\"keys\":[],\"padding\":\"{}\"}}", "x".repeat(1 << 20))),
    ] {
        let shown = answer.1.chars().take(20).collect::<String>();
        ground.issuer.answer_instead(Some(answer));
        ground.clock.advance(SPACING);
        assert!(has_no_keys(&ground).await, "{shown}");
    }
    ground.issuer.answer_instead(Some((200, r#"{"keys":[{"kty":"oct","k":"c2VjcmV0"},7]}"#.to_owned())));
    ground.clock.advance(SPACING);
    assert_eq!(ground.flaw(&ground.token("rsa")).await, Some(Flaw::UnknownKey), "none is an answer");
    ground.issuer.answer_instead(None);
    ground.clock.advance(SPACING);
    assert_eq!(ground.flaw(&ground.token("rsa")).await, None);
}

#[tokio::test]
async fn a_provider_that_says_it_is_another_is_not_believed() {
    let ground = Ground::start().await;
    ground.issuer.call_itself("https://login.example.com");
    assert!(has_no_keys(&ground).await);
    assert_eq!(ground.issuer.asked(), 0, "nor are its keys fetched");
    ground.issuer.call_itself(&format!("{}/", ground.issuer.url));
    ground.clock.advance(SPACING);
    assert_eq!(ground.flaw(&ground.token("rsa")).await, None, "a final slash is nothing");
}
