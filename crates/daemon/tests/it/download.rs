//! Files leave whole, in parts, or many at once, byte for byte.

use axum::http::Request;
use serde_json::{Value, json};

use crate::harness::TestDaemon;
use crate::upload::{Field, send_form};

#[tokio::test]
async fn ranges_are_served() {
    let daemon = TestDaemon::start();
    daemon.shell("printf 0123456789 > f; : > empty").await;
    for (range, status, body, content_range) in [
        ("bytes=2-4", 206, "234", "bytes 2-4/10"),
        ("bytes=7-", 206, "789", "bytes 7-9/10"),
        ("bytes=-2", 206, "89", "bytes 8-9/10"),
        ("bytes=0-1,3-4", 200, "0123456789", ""),
        ("nonsense", 200, "0123456789", ""),
    ] {
        let request =
            Request::get("/files/download?path=f").header("range", range).body("".into()).expect("request");
        let answer = daemon.send(request).await;
        assert_eq!((answer.status.as_u16(), answer.text().as_str()), (status, body), "{range}");
        assert_eq!(answer.header("content-range"), content_range);
        assert_eq!(answer.header("content-length"), body.len().to_string());
    }
    let request =
        Request::get("/files/download?path=f").header("range", "bytes=10-").body("".into()).expect("request");
    let answer = daemon.send(request).await;
    answer.error(416, "RANGE_NOT_SATISFIABLE");
    assert_eq!(answer.header("content-range"), "bytes */10");
    let answer = daemon.get("/files/download?path=empty").await;
    assert_eq!((answer.status.as_u16(), answer.header("content-length")), (200, "0"));
    assert_eq!(
        daemon.get("/files/download?path=f").await.header("content-disposition"),
        "attachment; filename=\"f\"; filename*=utf-8''f"
    );
    assert!(daemon.get("/files/download?path=/proc/version").await.text().starts_with("Linux"));
    let answer = daemon.call("HEAD", "/files/download?path=f", "").await;
    assert_eq!((answer.status.as_u16(), answer.header("content-length"), answer.body.len()), (200, "10", 0));
}

/// A part of a form: its headers and its contents.
struct Part {
    head: String,
    contents: Vec<u8>,
}

/// Reads a form strictly, trusting the lengths that it promises.
fn parse(content_type: &str, mut body: &[u8]) -> Vec<Part> {
    let boundary = content_type.strip_prefix("multipart/form-data; boundary=").expect("the exact type");
    let mut parts = Vec::new();
    loop {
        body = body.strip_prefix(format!("--{boundary}").as_bytes()).expect("a boundary");
        if body == b"--\r\n" {
            return parts;
        }
        body = body.strip_prefix(b"\r\n").expect("a line feed");
        let end = body.windows(4).position(|window| window == b"\r\n\r\n").expect("headers");
        let head = String::from_utf8(body[..end].to_vec()).expect("ASCII");
        assert!(head.is_ascii(), "{head}");
        let length = head.lines().find_map(|line| line.strip_prefix("Content-Length: ")).expect("a length");
        let length: usize = length.parse().expect("a number");
        let rest = &body[end + 4..];
        parts.push(Part { head, contents: rest[..length].to_vec() });
        body = rest[length..].strip_prefix(b"\r\n").expect("a line feed");
    }
}

#[tokio::test]
async fn many_files_come_as_parts_with_errors_among_them() {
    let daemon = TestDaemon::start();
    let odd = "é \"q\" a/b.txt";
    let binary: Vec<u8> = (0..=255).cycle().take(700_000).collect();
    let fields: [Field<'_>; 6] = [
        ("files[0].path", None, odd.as_bytes()),
        ("files[0].file", None, b"odd"),
        ("files[1].path", None, b"empty"),
        ("files[1].file", None, b""),
        ("files[2].path", None, b"bin"),
        ("files[2].file", None, &binary),
    ];
    assert_eq!(send_form(&daemon, "/files/bulk-upload", &fields).await.status, 200);
    let paths = json!({"paths": [odd, "missing\r\nX: y", "empty", "bin", ".", "a\u{0}b"]});
    let answer = daemon.post("/files/bulk-download", paths).await;
    assert_eq!(answer.status, 200);
    let parts = parse(answer.header("content-type"), &answer.body);
    let heads: Vec<_> =
        parts.iter().map(|part| part.head.lines().next().expect("a line").to_owned()).collect();
    let start = "Content-Disposition: form-data; name=";
    assert_eq!(
        heads,
        [
            format!(
                "{start}\"file\"; filename=\"%C3%A9 %22q%22 a/b.txt\"; filename*=utf-8''%C3%A9%20%22q%22%20a%2Fb.txt"
            ),
            format!(
                "{start}\"error\"; filename=\"missing%0D%0AX: y\"; filename*=utf-8''missing%0D%0AX%3A%20y"
            ),
            format!("{start}\"file\"; filename=\"empty\"; filename*=utf-8''empty"),
            format!("{start}\"file\"; filename=\"bin\"; filename*=utf-8''bin"),
            format!("{start}\"error\"; filename=\".\"; filename*=utf-8''."),
            format!("{start}\"error\"; filename=\"a%00b\"; filename*=utf-8''a%00b"),
        ]
    );
    assert_eq!(
        (parts[0].contents.as_slice(), parts[2].contents.as_slice()),
        (b"odd".as_slice(), b"".as_slice())
    );
    assert!(parts[3].contents == binary);
    for (index, status, code) in
        [(1, 404, "FILE_NOT_FOUND"), (4, 400, "INVALID_FILE_PATH"), (5, 400, "INVALID_FILE_PATH")]
    {
        let error: Value = serde_json::from_slice(&parts[index].contents).expect("JSON");
        assert_eq!(
            (&error["statusCode"], &error["code"], &error["source"]),
            (&json!(status), &json!(code), &json!("DAYTONA_DAEMON"))
        );
        assert!(error["message"].is_string());
    }
    daemon.post("/files/bulk-download", json!({"paths": []})).await.error(400, "BAD_REQUEST");
    daemon.post("/files/bulk-download", json!({})).await.error(400, "INVALID_REQUEST_BODY");
}
