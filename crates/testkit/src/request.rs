//! One HTTP/1.1 request over any stream, for tests that speak to a real server or daemon.

use std::io::{self, Read, Write};

use serde_json::Value;

/// Sends a request with a JSON body and reads the answer to its end: status and body.
pub fn request(
    mut stream: impl Read + Write,
    method: &str,
    path: &str,
    key: &str,
    body: &Value,
) -> io::Result<(u16, Value)> {
    let body = body.to_string();
    let head = format!(
        "{method} {path} HTTP/1.1\r\nHost: test\r\nAuthorization: Bearer {key}\r\nContent-Type: application/json\r\n\
         Content-Length: {}\r\nConnection: close\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes())?;
    stream.write_all(body.as_bytes())?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let broken = || io::Error::new(io::ErrorKind::InvalidData, answer.clone());
    let status = answer.split(' ').nth(1).and_then(|code| code.parse().ok()).ok_or_else(broken)?;
    let (head, body) = answer.split_once("\r\n\r\n").ok_or_else(broken)?;
    let chunked = head.to_ascii_lowercase().contains("transfer-encoding: chunked");
    let body = if chunked { unchunk(body) } else { body.to_owned() };
    Ok((status, serde_json::from_str(&body).unwrap_or(Value::String(body))))
}

fn unchunk(mut body: &str) -> String {
    let mut whole = String::new();
    while let Some((size, rest)) = body.split_once("\r\n") {
        let Some(chunk) = usize::from_str_radix(size.trim(), 16).ok().and_then(|size| rest.get(..size))
        else {
            break;
        };
        whole.push_str(chunk);
        body = rest.get(chunk.len()..).unwrap_or_default().trim_start_matches("\r\n");
    }
    whole
}
