//! Hostile input: a clear 4xx in the contract's shape, never a 500, and nothing left behind.

use axum::body::Body;
use axum::http::Request;
use serde_json::{Value, json};
use testkit::{Answer, TestApi};

/// Sends raw bytes as a body.
async fn post(api: &TestApi, path: &str, body: impl Into<Body>) -> Answer {
    let request = Request::post(path).header("authorization", format!("Bearer {}", api.key));
    api.send(request.body(body.into()).unwrap()).await
}

/// Checks the shape that every failure has.
#[track_caller]
fn assert_refused(answer: &Answer, status: u16, case: &str) {
    let body = answer.json();
    assert_eq!(answer.status, status, "{case}: {body}");
    assert_eq!(body["statusCode"], status, "{case}");
    assert_eq!(body["source"], "DAYTONA_API", "{case}");
    for field in ["error", "message", "code", "path", "method", "timestamp"] {
        assert!(body[field].as_str().is_some_and(|text| !text.is_empty()), "{case}: {field} in {body}");
    }
    assert!(answer.headers.contains_key("x-daytona-api-version"), "{case}");
    assert_eq!(answer.headers["content-type"], "application/json", "{case}");
}

async fn assert_nothing_left(api: &TestApi) {
    assert!(api.runner.is_empty());
    assert_eq!(api.call("GET", "/api/sandbox", Value::Null).await.json()["items"], json!([]));
}

#[tokio::test]
async fn names() {
    let api = TestApi::start().await.unwrap();
    for name in [
        "a\0b",
        "line\nbreak",
        "\u{7f}",
        "\u{85}",
        " ",
        " a",
        "a ",
        "<b>x</b>",
        "a<",
        "http://x",
        "HTTPS://x",
        "www.x.y",
        "WwW.x",
        &"x".repeat(256),
        &"ü".repeat(256),
    ] {
        assert_refused(&api.call("POST", "/api/sandbox", json!({"name": name})).await, 400, name);
    }
    assert_nothing_left(&api).await;
    for name in [
        "..",
        ".",
        "../../etc/passwd",
        "a;rm -rf /",
        "$(id)",
        "%2e%2e",
        "'; DROP TABLE sandbox; --",
        &"ü".repeat(255),
    ] {
        let created = api.call("POST", "/api/sandbox", json!({"name": name})).await;
        assert_eq!(created.text("name"), name, "odd, and harmless: a name is only ever a column");
    }
}

#[tokio::test]
async fn snapshots() {
    let api = TestApi::start().await.unwrap();
    let long = "Snapshot xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx… not found: a name has at most 255 bytes and no control characters";
    let short = "Snapshot ab… not found: a name has at most 255 bytes and no control characters";
    let percent = "%".repeat(100);
    for (name, message) in [
        (&*"x".repeat(300), long),
        (&*"x".repeat(256), long),
        (&*"x".repeat(1_000_000), long),
        ("a\0b", short),
        ("a\nb", short),
        ("a\u{85}b", short),
        (&*percent, &*format!("Snapshot {percent} not found")),
        (&*"x".repeat(255), &*format!("Snapshot {} not found", "x".repeat(255))),
        ("../../../etc", "Snapshot ../../../etc not found"),
    ] {
        let answer = api.call("POST", "/api/sandbox", json!({"snapshot": name})).await;
        assert_refused(&answer, 400, message);
        assert_eq!(answer.text("message"), message);
    }
    // Characters are not bytes.
    let answer = api.call("POST", "/api/sandbox", json!({"snapshot": "ü".repeat(200)})).await;
    assert_refused(&answer, 400, "400 bytes in 200 characters");
    assert!(answer.text("message").contains("at most 255 bytes"), "{}", answer.text("message"));
    assert_nothing_left(&api).await;
}

#[tokio::test]
async fn filters_of_lists() {
    let api = TestApi::start().await.unwrap();
    for list in ["/api/sandbox", "/api/sandbox/paginated"] {
        for field in ["name", "id"] {
            for text in ["x".repeat(256), "%25".repeat(256), "%C3%BC".repeat(256), "x".repeat(50_001)] {
                let answer = api.call("GET", &format!("{list}?{field}={text}"), Value::Null).await;
                assert_refused(&answer, 400, field);
                let expected = format!("{field} must be at most 255 characters long");
                assert_eq!(answer.text("message"), expected, "{list}");
            }
            for text in ["x".repeat(255), "%25".repeat(255), "%F0%9F%98%80".repeat(255)] {
                let answer = api.call("GET", &format!("{list}?{field}={text}"), Value::Null).await;
                assert_eq!(answer.status, 200, "{list} {field}: {}", answer.json());
            }
        }
    }
}

#[tokio::test]
async fn bodies() {
    let api = TestApi::start().await.unwrap();
    let deep = format!("{}1{}", r#"{"secrets":["#.repeat(5_000), "]}".repeat(5_000));
    let wide = format!(r#"{{"x":[{}1]}}"#, "[],".repeat(100_000));
    let cases: [(&str, Vec<u8>); 22] = [
        ("cut off", br#"{"name": "x"#.to_vec()),
        ("not JSON", b"name=x&cpu=1".to_vec()),
        ("two values", b"{} {}".to_vec()),
        ("a list", b"[]".to_vec()),
        ("null", b"null".to_vec()),
        ("a text", br#""x""#.to_vec()),
        ("not UTF-8", b"{\"name\": \"\xff\"}".to_vec()),
        ("half a surrogate", br#"{"name": "\ud800"}"#.to_vec()),
        ("deep", deep.into_bytes()),
        ("name is a number", br#"{"name": 1}"#.to_vec()),
        ("cpu is a text", br#"{"cpu": "1"}"#.to_vec()),
        ("cpu is a fraction", br#"{"cpu": 1.5}"#.to_vec()),
        ("cpu is huge", br#"{"cpu": 1e400}"#.to_vec()),
        ("cpu is beyond 64 bits", br#"{"cpu": 99999999999999999999}"#.to_vec()),
        ("public is a text", br#"{"public": "yes"}"#.to_vec()),
        ("env is a list", br#"{"env": ["A=1"]}"#.to_vec()),
        ("env holds a number", br#"{"env": {"A": 1}}"#.to_vec()),
        ("env holds null", br#"{"env": {"A": null}}"#.to_vec()),
        ("a field twice", br#"{"name": "a", "name": "b"}"#.to_vec()),
        ("volumes is an object", br#"{"volumes": {}}"#.to_vec()),
        ("labels is a text", br#"{"labels": "{}"}"#.to_vec()),
        ("a byte order mark", b"\xef\xbb\xbf{}".to_vec()),
    ];
    for (case, body) in cases {
        let answer = post(&api, "/api/sandbox", body).await;
        assert_refused(&answer, 400, case);
        assert!(answer.text("message").starts_with("request body: "), "{case}: {}", answer.text("message"));
        assert!(answer.text("message").contains(" at line 1 column "), "{case}: {}", answer.text("message"));
    }
    assert_nothing_left(&api).await;
    assert_eq!(
        post(&api, "/api/sandbox", wide).await.status,
        200,
        "unknown fields are ignored, however wide"
    );
}

#[tokio::test]
async fn sizes() {
    let api = TestApi::start().await.unwrap();
    let limit = 1 << 20;
    let long = format!(r#"{{"x": "{}"}}"#, "x".repeat(limit));
    assert_refused(&post(&api, "/api/sandbox", long.clone()).await, 413, "too long");
    // Nothing announces this one's length.
    let chunks = (0..64).map(|_| Ok::<_, std::io::Error>(vec![b' '; 65_536]));
    let stream = Body::from_stream(futures_util::stream::iter(chunks));
    let answer = post(&api, "/api/sandbox", stream).await;
    assert_refused(&answer, 413, "too long without a length");
    assert_eq!(answer.text("message"), "request body is longer than 1048576 bytes");
    let lie = Request::post("/api/sandbox")
        .header("authorization", format!("Bearer {}", api.key))
        .header("content-length", "99999999999999");
    assert_refused(&api.send(lie.body(Body::from("{}")).unwrap()).await, 413, "announced too long");
    let anonymous = Request::post("/api/sandbox").body(Body::from(long)).unwrap();
    assert_refused(&api.send(anonymous).await, 401, "who asks comes before what was sent");

    let many: serde_json::Map<_, _> = (0..1_025).map(|number| (number.to_string(), json!(""))).collect();
    let big = json!({"A": "x".repeat(128 * 1024)});
    for field in ["env", "labels"] {
        for map in [json!(many), big.clone(), json!({"": "x"}), json!({"A\0": "x"}), json!({"A": "\0"})] {
            assert_refused(&api.call("POST", "/api/sandbox", json!({field: map})).await, 400, field);
        }
    }
    assert_refused(&api.call("POST", "/api/sandbox", json!({"env": {"A=B": "x"}})).await, 400, "env");
    for user in ["a b", "root\n", "../x", "-x", "a/b", &"u".repeat(65), "\u{430}dmin"] {
        assert_refused(&api.call("POST", "/api/sandbox", json!({"user": user})).await, 400, user);
    }
    assert_nothing_left(&api).await;
    for user in ["root", "1000", "1000:1000", "daytona", "www-data", "_apt", "svc$"] {
        assert_eq!(api.call("POST", "/api/sandbox", json!({"user": user})).await.text("user"), user);
    }
}

#[tokio::test]
async fn paths() {
    let api = TestApi::start().await.unwrap();
    for (path, status) in [
        ("/api/sandbox/%ff%fe", 400),
        ("/api/sandbox/%00", 404),
        ("/api/sandbox/..%2f..%2fetc%2fpasswd", 404),
        ("/api/sandbox/%27%20OR%201%3D1%20--", 404),
        ("/api/sandbox/nope", 404),
        ("/api/sandbox/00000000-0000-0000-0000-000000000000", 404),
        ("/api/sandbox/", 404),
        ("/api/sandbox//start", 404),
        ("/api/nope", 404),
        ("/api", 404),
        ("/api/", 404),
        ("/api/sandbox/x/y/z", 404),
    ] {
        assert_refused(&api.call("GET", path, Value::Null).await, status, path);
    }
    let long = format!("/api/sandbox/{}", "x".repeat(50_000));
    assert_refused(&api.call("GET", &long, Value::Null).await, 404, "a long path");
    let answer = api.call("PATCH", "/api/sandbox/x?a=b", Value::Null).await;
    assert_refused(&answer, 404, "a method that no one has");
    assert_eq!(answer.text("message"), "Cannot PATCH /api/sandbox/x");
    assert_eq!(answer.text("path"), "/api/sandbox/x?a=b");
    assert_eq!(answer.text("method"), "PATCH");
}

#[tokio::test]
async fn labels_of_a_living_sandbox() {
    let api = TestApi::start().await.unwrap();
    api.call("POST", "/api/sandbox", json!({"name": "box", "labels": {"a": "b"}})).await;
    for body in [
        Value::Null,
        json!({}),
        json!({"labels": null}),
        json!({"labels": {"a": 1}}),
        json!({"labels": {"": ""}}),
    ] {
        let case = body.to_string();
        assert_refused(&api.call("PUT", "/api/sandbox/box/labels", body).await, 400, &case);
    }
    assert_eq!(api.call("GET", "/api/sandbox/box", Value::Null).await.json()["labels"], json!({"a": "b"}));
}

#[tokio::test]
async fn what_is_asked_of_a_living_sandbox() {
    let api = TestApi::start().await.unwrap();
    api.call("POST", "/api/sandbox", json!({"name": "box"})).await;
    let before = api.call("GET", "/api/sandbox/box", Value::Null).await.json();
    let deep = format!("{}1{}", r#"{"name":"#.repeat(5_000), "}".repeat(5_000));
    for path in ["fork", "snapshot"] {
        for (case, body) in [
            ("cut off", br#"{"name": "x"#.to_vec()),
            ("a list", br#"["x"]"#.to_vec()),
            ("null", b"null".to_vec()),
            ("not UTF-8", b"{\"name\": \"\xff\"}".to_vec()),
            ("deep", deep.clone().into_bytes()),
            ("a number", br#"{"name": 1}"#.to_vec()),
            ("an object", br#"{"name": {}}"#.to_vec()),
            ("twice", br#"{"name": "a", "name": "b"}"#.to_vec()),
        ] {
            let answer = post(&api, &format!("/api/sandbox/box/{path}"), body).await;
            assert_refused(&answer, 400, &format!("{path}: {case}"));
        }
        let long = format!(r#"{{"x": "{}"}}"#, "x".repeat(1 << 20));
        assert_refused(&post(&api, &format!("/api/sandbox/box/{path}"), long).await, 413, path);
        for name in ["a\0b", "line\nbreak", "<b>x</b>", "http://x", " ", &"x".repeat(256)] {
            let answer = api.call("POST", &format!("/api/sandbox/box/{path}"), json!({"name": name})).await;
            assert_refused(&answer, 400, &format!("{path}: {name}"));
        }
    }
    for path in [
        "recover?skipStart=perhaps",
        "stop?force=2",
        "autopause/1e3",
        "autopause/%2d1",
        "ttl/9999999999999999999999",
        "ttl/%00",
        "forks?includeDestroyed=%ff",
    ] {
        let method = if path.starts_with("forks") { "GET" } else { "POST" };
        let answer = api.call(method, &format!("/api/sandbox/box/{path}"), Value::Null).await;
        assert_refused(&answer, 400, path);
    }
    // A token is only ever compared.
    for token in ["..%2f..%2fetc", "%27%20OR%201%3D1%20--", "%00", &"x".repeat(20_000)] {
        let path = format!("/api/sandbox/box/ports/80/signed-preview-url/{token}/expire");
        assert_eq!(api.call("POST", &path, Value::Null).await.status, 200, "{token:.40}");
    }
    assert_eq!(
        api.call("GET", "/api/sandbox/box", Value::Null).await.json(),
        before,
        "nothing happened to it"
    );
    assert_eq!(api.runner.len(), 1);
}

#[tokio::test]
async fn references_of_snapshots() {
    let api = TestApi::start().await.unwrap();
    for reference in [
        "..%2f..%2fetc%2fpasswd",
        "captured%2f..%2fdefault",
        "%00",
        "%27%20OR%201%3D1%20--",
        "00000000-0000-0000-0000-000000000000",
        &"x".repeat(50_000),
    ] {
        for method in ["GET", "DELETE"] {
            let answer = api.call(method, &format!("/api/snapshots/{reference}"), Value::Null).await;
            assert_refused(&answer, 404, &format!("{method} {reference:.40}"));
        }
    }
    assert_refused(&api.call("GET", "/api/snapshots/%ff", Value::Null).await, 400, "not UTF-8");
    for query in ["name=", "sourceSandboxId=%27", "limit=", "page="] {
        let answer = api.call("GET", &format!("/api/snapshots?{query}"), Value::Null).await;
        assert_eq!(answer.status, 200, "{query}");
    }
    let long = "x".repeat(256);
    let answer = api.call("GET", &format!("/api/snapshots?name={long}"), Value::Null).await;
    assert_refused(&answer, 400, "a long name");
}
