//! A client for our own server: HTTP/1.1, one request per connection, JSON both ways.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use serde_json::Value;

/// What came back.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: String,
}

/// One server and the key it is asked with.
#[derive(Debug)]
pub(crate) struct Client {
    key: String,
}

impl Client {
    pub(crate) fn new(key: &str) -> Self {
        Self { key: key.to_owned() }
    }

    /// Asks and expects success with a JSON body.
    pub(crate) fn json(&self, method: &str, url: &str, body: Option<&Value>) -> Result<Value> {
        let answer = self.send(method, url, body)?;
        if !(200..300).contains(&answer.status) {
            bail!("{method} {url} answered {}: {}", answer.status, answer.body.trim());
        }
        serde_json::from_str(&answer.body).with_context(|| format!("reading the answer of {method} {url}"))
    }

    /// Asks and returns whatever is answered.
    pub(crate) fn send(&self, method: &str, url: &str, body: Option<&Value>) -> Result<Answer> {
        let (authority, path) = split(url)?;
        let mut stream =
            TcpStream::connect(authority).with_context(|| format!("connecting to {authority}"))?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(Duration::from_mins(2)))?;
        let text = body.map(Value::to_string).unwrap_or_default();
        let mut head = format!("{method} {path} HTTP/1.1\r\nHost: {authority}\r\nConnection: close\r\n");
        if !self.key.is_empty() {
            head = head + "Authorization: Bearer " + &self.key + "\r\n";
        }
        if body.is_some() {
            head.push_str("Content-Type: application/json\r\n");
        }
        head = head + "Content-Length: " + &text.len().to_string() + "\r\n\r\n";
        // One write, so that a small request is one packet.
        stream.write_all((head + &text).as_bytes()).with_context(|| format!("sending {method} {url}"))?;
        read(&mut BufReader::new(stream)).with_context(|| format!("reading the answer of {method} {url}"))
    }
}

fn split(url: &str) -> Result<(&str, &str)> {
    let Some(rest) = url.strip_prefix("http://") else { bail!("{url}: only http:// is spoken here") };
    Ok(match rest.find('/') {
        Some(at) => rest.split_at(at),
        None => (rest, "/"),
    })
}

fn read(reader: &mut BufReader<TcpStream>) -> Result<Answer> {
    let mut line = String::new();
    reader.read_line(&mut line)?;
    let status = line.split_whitespace().nth(1).and_then(|word| word.parse().ok());
    let Some(status) = status else { bail!("not an HTTP status line: {line:?}") };
    let (mut length, mut chunked) = (None, false);
    loop {
        line.clear();
        if reader.read_line(&mut line)? == 0 || line.trim().is_empty() {
            break;
        }
        let Some((name, value)) = line.split_once(':') else { continue };
        match name.trim().to_ascii_lowercase().as_str() {
            "content-length" => length = value.trim().parse::<u64>().ok(),
            "transfer-encoding" => chunked = value.trim().eq_ignore_ascii_case("chunked"),
            _ => {}
        }
    }
    let mut body = Vec::new();
    if chunked {
        read_chunks(reader, &mut body)?;
    } else {
        reader.take(length.unwrap_or(u64::MAX)).read_to_end(&mut body)?;
    }
    Ok(Answer { status, body: String::from_utf8_lossy(&body).into_owned() })
}

fn read_chunks(reader: &mut BufReader<TcpStream>, body: &mut Vec<u8>) -> Result<()> {
    loop {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        let digits = line.trim().split(';').next().unwrap_or_default();
        let size = u64::from_str_radix(digits, 16).with_context(|| format!("chunk size {line:?}"))?;
        if size == 0 {
            return Ok(());
        }
        reader.take(size).read_to_end(body)?;
        reader.read_line(&mut line)?;
    }
}
