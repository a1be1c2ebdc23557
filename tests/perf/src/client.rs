//! One kept connection to the server, so that what is measured is the server.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::Value;

/// How much is handed to the kernel at once.
const PIECE_BYTES: usize = 1024 * 1024;

/// A connection that asks with one key.
#[derive(Debug)]
pub(crate) struct Client {
    stream: BufReader<TcpStream>,
    host: String,
    key: String,
}

/// How the body of an answer is delimited.
#[derive(Debug, Clone, Copy)]
enum Length {
    Known(u64),
    Chunked,
}

impl Client {
    /// Connects to `http://host:port`.
    pub(crate) fn connect(url: &str, key: &str) -> Result<Self> {
        let host = url.strip_prefix("http://").context("the server's URL is not http")?.to_owned();
        let stream = TcpStream::connect(&host).with_context(|| format!("connect to {host}"))?;
        stream.set_nodelay(true)?;
        Ok(Self { stream: BufReader::new(stream), host, key: key.to_owned() })
    }

    /// Sends a request and returns the body of its answer, which must be a success.
    pub(crate) fn send(&mut self, method: &str, path: &str, body: &Value) -> Result<Value> {
        let body = body.to_string();
        let mut request = self.head(method, path, "application/json", body.len() as u64);
        request.push_str(&body);
        self.stream.get_mut().write_all(request.as_bytes())?;
        self.answer(method, path)
    }

    /// Asks for something and returns the body of the answer as it came.
    pub(crate) fn fetch(&mut self, path: &str) -> Result<Vec<u8>> {
        let head = self.head("GET", path, "application/json", 0);
        self.stream.get_mut().write_all(head.as_bytes())?;
        let length = self.start_of_answer("GET", path)?;
        self.body(length)
    }

    /// Uploads `bytes` bytes of one value as a bare body.
    pub(crate) fn upload(&mut self, path: &str, bytes: u64) -> Result<()> {
        let head = self.head("POST", path, "application/octet-stream", bytes);
        let piece = vec![b'x'; PIECE_BYTES];
        let stream = self.stream.get_mut();
        stream.write_all(head.as_bytes())?;
        let mut left = bytes;
        while left > 0 {
            let wanted = usize::try_from(left).unwrap_or(PIECE_BYTES).min(PIECE_BYTES);
            stream.write_all(piece.get(..wanted).unwrap_or_default())?;
            left -= wanted as u64;
        }
        self.answer("POST", path).map(drop)
    }

    /// Sends a form that was put together before.
    pub(crate) fn send_form(&mut self, path: &str, boundary: &str, form: &[u8]) -> Result<Value> {
        let kind = format!("multipart/form-data; boundary={boundary}");
        let head = self.head("POST", path, &kind, form.len() as u64);
        let stream = self.stream.get_mut();
        stream.write_all(head.as_bytes())?;
        stream.write_all(form)?;
        self.answer("POST", path)
    }

    /// Downloads a file and returns how many bytes it had.
    pub(crate) fn download(&mut self, path: &str) -> Result<u64> {
        let head = self.head("GET", path, "application/json", 0);
        self.stream.get_mut().write_all(head.as_bytes())?;
        let Length::Known(length) = self.start_of_answer("GET", path)? else {
            bail!("GET {path}: a file came without its length");
        };
        let mut piece = vec![0; PIECE_BYTES];
        let mut left = length;
        while left > 0 {
            let read = self.stream.read(&mut piece)?;
            ensure!(read > 0, "GET {path}: the answer ended {left} bytes early");
            left = left.checked_sub(read as u64).context("more came than was promised")?;
        }
        Ok(length)
    }

    fn head(&self, method: &str, path: &str, kind: &str, length: u64) -> String {
        format!(
            "{method} {path} HTTP/1.1\r\nHost: {}\r\nAuthorization: Bearer {}\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\n\r\n",
            self.host, self.key,
        )
    }

    fn answer(&mut self, method: &str, path: &str) -> Result<Value> {
        let length = self.start_of_answer(method, path)?;
        let text = self.body(length)?;
        if text.is_empty() {
            return Ok(Value::Null);
        }
        serde_json::from_slice(&text).with_context(|| format!("read the answer to {method} {path}"))
    }

    /// Reads an answer's head; anything but a success is an error with its body.
    fn start_of_answer(&mut self, method: &str, path: &str) -> Result<Length> {
        let status = self.line()?;
        let mut length = Length::Known(0);
        loop {
            let line = self.line()?.to_ascii_lowercase();
            if line.is_empty() {
                break;
            }
            if let Some(value) = line.strip_prefix("content-length:") {
                length = Length::Known(value.trim().parse()?);
            }
            if line.starts_with("transfer-encoding:") && line.contains("chunked") {
                length = Length::Chunked;
            }
        }
        if !status.contains(" 200 ") {
            let text = self.body(length)?;
            bail!("{method} {path}: {status}: {}", String::from_utf8_lossy(&text));
        }
        Ok(length)
    }

    fn body(&mut self, length: Length) -> Result<Vec<u8>> {
        match length {
            Length::Known(length) => self.bytes(usize::try_from(length)?),
            Length::Chunked => self.chunks(),
        }
    }

    fn line(&mut self) -> Result<String> {
        let mut line = String::new();
        if self.stream.read_line(&mut line)? == 0 {
            bail!("the server closed the connection");
        }
        Ok(line.trim_end().to_owned())
    }

    fn bytes(&mut self, length: usize) -> Result<Vec<u8>> {
        let mut bytes = vec![0; length];
        self.stream.read_exact(&mut bytes)?;
        Ok(bytes)
    }

    fn chunks(&mut self) -> Result<Vec<u8>> {
        let mut all = Vec::new();
        loop {
            let length = usize::from_str_radix(self.line()?.trim(), 16)?;
            all.extend(self.bytes(length)?);
            self.line()?;
            if length == 0 {
                return Ok(all);
            }
        }
    }
}
