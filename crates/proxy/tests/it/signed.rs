//! Calls with a signature in place of a key reach the file that was signed for, and nothing else.

use std::sync::{Arc, Mutex};

use axum::Router;
use axum::extract::{Request, State};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, Mac as _};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use sha2::Sha256;

use crate::house::{House, SIGNING_KEY};

/// Signs as the SDKs do.
pub(crate) fn sign(method: &str, path: &str, expires: &str) -> String {
    let mut code = Hmac::<Sha256>::new_from_slice(SIGNING_KEY.as_bytes()).expect("a key of any length");
    code.update(format!("v1:files:{method}:{path}:{expires}").as_bytes());
    format!("v1_{}", URL_SAFE_NO_PAD.encode(code.finalize().into_bytes()))
}

fn download(path: &str, expires: &str) -> String {
    let signature = sign("GET", path, expires);
    let path = utf8_percent_encode(path, NON_ALPHANUMERIC);
    format!("/files/download?path={path}&expires={expires}&signature={signature}")
}

/// What the daemon was asked, as it came.
type Seen = Arc<Mutex<Vec<(String, Vec<String>)>>>;

async fn house() -> (House, Seen) {
    let seen = Seen::default();
    let note = async |State(seen): State<Seen>, request: Request| {
        let names = request.headers().keys().map(ToString::to_string).collect();
        seen.lock().expect("seen").push((request.uri().to_string(), names));
        "content"
    };
    let router = Router::new().fallback(note).with_state(Arc::clone(&seen));
    (House::with_daemon(router).await, seen)
}

#[tokio::test]
async fn a_signature_opens_what_it_was_made_for() {
    let (house, seen) = house().await;
    let path = "/home/a b&path=/etc/shadow#?%2F+é";
    for expires in ["0", "4000000000"] {
        let answer = house.call_without_key("GET", &download(path, expires), "", "").await;
        assert_eq!((answer.status, answer.body.as_str()), (200, "content"));
        // Opened as a page, it is nobody's.
        assert_eq!(answer.header("content-security-policy"), Some("sandbox"));
        assert_eq!(answer.header("x-content-type-options"), Some("nosniff"));
    }
    let signature = sign("POST", "up", "0");
    let call = format!("/files/upload-v2?signature={signature}&path=up&expires=0&more=1");
    assert_eq!(house.call_without_key("POST", &call, "", "file").await.status, 200);
    let seen = seen.lock().expect("seen");
    let asked: Vec<&str> = seen.iter().map(|(uri, _)| uri.as_str()).collect();
    let written = "/files/download?path=/home/a%20b%26path%3D/etc/shadow%23%3F%252F%2B%C3%A9";
    assert_eq!(asked, [written, written, "/files/upload-v2?path=up"]);
    assert_eq!(house.touches(), 3, "a signed call is a use of the sandbox");
}

#[tokio::test]
async fn everything_else_stays_shut() {
    let (house, seen) = house().await;
    let good = download("/x", "0");
    for (method, path, message) in [
        ("GET", download("/x", "1"), "has expired"),
        ("GET", download("/x", "0") + "&path=/etc/shadow", "once each"),
        ("GET", good.replace("%2Fx", "%2Fy"), "signature is not valid"),
        ("GET", good.replace("expires=0", "expires=4000000000"), "signature is not valid"),
        ("GET", good.replace("=v1_", "=v2_"), "signature is not valid"),
        ("POST", good.clone(), "missing authentication"),
        ("HEAD", good.clone(), ""),
        ("GET", good.replace("download", "info"), "missing authentication"),
        ("GET", good.replace("download", "%64ownload"), "missing authentication"),
        ("GET", good.replace("/files", "//files"), "missing authentication"),
        ("GET", good.replace("/files", "/x/../files"), "missing authentication"),
        ("GET", "/files/download?path=/x&expires=0".to_owned(), "missing authentication"),
        ("POST", "/process/execute?path=/x&expires=0&signature=v1_".to_owned(), "missing authentication"),
    ] {
        let answer = house.call_without_key(method, &path, "", "").await;
        assert_eq!(answer.status, 401, "{method} {path}");
        if method != "HEAD" {
            let body = answer.json();
            assert_eq!((&body["code"], &body["source"]), (&"UNAUTHORIZED".into(), &"DAYTONA_PROXY".into()));
            assert!(body["message"].as_str().is_some_and(|text| text.contains(message)), "{body}");
        }
    }
    // A signature for one sandbox is none for another, and tells nothing of it.
    for other in [2, 3, 9].map(types::SandboxId::from_u128) {
        let request = format!("GET /toolbox/{other}{good} HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n");
        let answer = house.raw(request.as_bytes()).await;
        assert!(answer.starts_with("HTTP/1.1 401"), "{answer}");
    }
    assert!(seen.lock().expect("seen").is_empty(), "the daemon saw nothing of all this");
    assert_eq!(house.touches(), 0);
}

#[tokio::test]
async fn a_key_goes_first_and_its_failure_is_not_the_end() {
    let (house, seen) = house().await;
    let good = download("/x", "0");
    for (headers, status) in [
        ("authorization: Bearer bad\r\n", 200),
        ("authorization: Basic Z29vZA==\r\n", 200),
        ("authorization: Bearer good\r\n", 200),
    ] {
        assert_eq!(house.call_without_key("GET", &good, headers, "").await.status, status, "{headers}");
    }
    let bad = good.replace("=v1_", "=v1_A");
    let answer = house.call_without_key("GET", &bad, "authorization: Bearer bad\r\n", "").await;
    assert_eq!(answer.status, 401);
    let message = answer.json()["message"].to_string();
    assert!(
        message.contains("the API key or JWT is not valid,") && message.contains("signature is not valid"),
        "{message}"
    );
    // Nothing of the key or the signature goes on to the sandbox, whichever was enough.
    for (uri, headers) in &*seen.lock().expect("seen") {
        assert!(!uri.contains("signature") && !uri.contains("expires"), "{uri}");
        assert!(!headers.iter().any(|name| name == "authorization"), "{headers:?}");
    }
}

#[tokio::test]
async fn pages_of_any_origin_may_use_a_signed_address() {
    let (house, _) = house().await;
    let good = download("/x", "0");
    let page = "origin: https://page.example\r\n";
    let answer = house.call_without_key("GET", &good, page, "").await;
    assert_eq!(
        (answer.status, answer.header("access-control-allow-origin")),
        (200, Some("https://page.example"))
    );
    let asked = format!("{page}access-control-request-method: POST\r\n");
    let answer = house.call_without_key("OPTIONS", "/files/upload-v2?path=x", &asked, "").await;
    assert_eq!(answer.status, 204);
    // A page reads a refusal too.
    let answer = house.call_without_key("GET", &download("/x", "1"), page, "").await;
    assert_eq!(
        (answer.status, answer.header("access-control-allow-origin")),
        (401, Some("https://page.example"))
    );
}

/// Queries that readers of queries disagree about: whatever the proxy lets through, the daemon's own reader finds the
/// path that was signed in it.
#[tokio::test]
async fn the_daemon_reads_the_path_that_was_signed() {
    let (house, seen) = house().await;
    let signature = sign("GET", "/x", "0");
    let names = ["path", "p%61th", "%70ath", "path%00", "Path", "path[]", "pa+th", ";path", "path;", "%ff"];
    let values =
        ["/x", "%2Fx", "/etc/shadow", "/x%00/etc", "/x;path=/etc", "/x%26path=/etc", "+/x", "%ff", "%", ""];
    let mut let_through = 0;
    for name in names {
        for value in values {
            for query in [
                format!("{name}={value}&expires=0&signature={signature}"),
                format!("path=/x&{name}={value}&expires=0&signature={signature}"),
                format!("{name}={value}&path=/x&expires=0&signature={signature}"),
                format!("path=/x&expires=0&signature={signature}&{name}={value}"),
            ] {
                let call = format!("/files/download?{query}");
                let answer = house.call_without_key("GET", &call, "", "").await;
                let came = std::mem::take(&mut *seen.lock().expect("seen"));
                assert_eq!(answer.status == 200, came.len() == 1, "{query}");
                for (uri, _) in came {
                    let (_, written) = uri.split_once('?').expect("a query");
                    let read = daemon::http::extract::Query::parse(written).expect("readable");
                    assert_eq!(read.required("path").expect("a path"), "/x", "{query} went on as {uri}");
                    let_through += 1;
                }
            }
        }
    }
    assert!(let_through > 100, "only {let_through} queries put the daemon's reader to the test");
}
