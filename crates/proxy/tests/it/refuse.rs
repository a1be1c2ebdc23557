//! Refusals: the right status, in the one error shape, and the daemon sees nothing.

use serde_json::Value;

use crate::house::{Answer, GONE, House, RUNNING, STOPPED, UNKNOWN};

async fn ask(house: &House, path: &str, headers: &str) -> Answer {
    let request = format!("GET {path} HTTP/1.1\r\nhost: a\r\nconnection: close\r\n{headers}\r\n");
    Answer::read(&house.raw(request.as_bytes()).await)
}

#[tokio::test]
async fn every_refusal_has_its_status_and_shape() {
    let house = House::open().await;
    let good = "authorization: Bearer good\r\n";
    let stranger = types::SandboxId::from_u128(9);
    for (path, headers, status, code, message) in [
        (format!("/toolbox/{RUNNING}/x"), "", 401, "UNAUTHORIZED", "missing authentication"),
        (format!("/toolbox/{RUNNING}/x"), "authorization: Bearer bad\r\n", 401, "UNAUTHORIZED", "not valid"),
        (
            format!("/toolbox/{RUNNING}/x"),
            "authorization: Basic Z29vZA==\r\n",
            401,
            "UNAUTHORIZED",
            "missing",
        ),
        (
            format!("/toolbox/{RUNNING}/x"),
            "authorization: Bearer good\r\nauthorization: Bearer good\r\n",
            401,
            "UNAUTHORIZED",
            "missing",
        ),
        (format!("/toolbox/{stranger}/x"), good, 404, "SANDBOX_NOT_FOUND", "sandbox not found"),
        ("/toolbox/some-name/x".to_owned(), good, 404, "SANDBOX_NOT_FOUND", "sandbox not found"),
        (
            format!("/toolbox/{STOPPED}/x"),
            good,
            409,
            "SANDBOX_NOT_RUNNING",
            "sandbox is stopped, not started",
        ),
        (format!("/toolbox/{UNKNOWN}/x"), good, 503, "SERVICE_UNAVAILABLE", "temporary failure"),
        (format!("/toolbox/{GONE}/x?y=1"), good, 502, "SANDBOX_UNREACHABLE", "No such file or directory"),
        ("/toolbox/".to_owned(), good, 404, "NOT_FOUND", "no sandbox is named"),
        ("/toolbox//x".to_owned(), good, 404, "NOT_FOUND", "no sandbox is named"),
        ("/toolbox/a%2fb/x".to_owned(), good, 400, "BAD_REQUEST", "does not name a sandbox id"),
    ] {
        let answer = ask(&house, &path, headers).await;
        let body = answer.json();
        assert_eq!(answer.status, status, "{path} {body}");
        assert_eq!(answer.header("content-type"), Some("application/json"));
        let mut keys: Vec<&String> = body.as_object().expect("an object").keys().collect();
        keys.sort();
        let always = ["code", "error", "message", "method", "path", "source", "statusCode", "timestamp"];
        let obstacle = ["cause", "evidence", "remedy", "state"];
        let mut expected = always.to_vec();
        expected.extend(obstacle.iter().filter(|_| status == 409));
        expected.sort_unstable();
        assert_eq!(keys, expected);
        assert_eq!(body["statusCode"], status);
        assert_eq!(body["code"], code);
        assert_eq!(body["source"], "DAYTONA_PROXY");
        assert_eq!(body["path"], Value::String(path));
        assert_eq!(body["method"], "GET");
        assert!(body["message"].as_str().is_some_and(|text| text.contains(message)), "{body}");
        let timestamp = body["timestamp"].as_str().expect("a timestamp");
        assert!(timestamp.len() == 24 && timestamp.ends_with('Z'), "{timestamp}");
    }
    assert_eq!(house.touches(), 1, "only the one whose daemon is gone was let through");
}

#[tokio::test]
async fn a_refusal_tells_no_path_of_the_host() {
    let house = House::open().await;
    let answer = ask(&house, &format!("/toolbox/{GONE}/x"), "authorization: Bearer good\r\n").await;
    let socket = proxy::Directory::socket(&*house.directory, GONE);
    let place = socket.parent().and_then(|path| path.to_str()).expect("a directory");
    assert!(!answer.body.contains(place), "{}", answer.body);
}
