//! Messages as language servers send them: headers, an empty line, as many bytes as the headers say.

use std::io::{Error, ErrorKind, Result};

use serde::Serialize;
use tokio::io::{AsyncBufRead, AsyncBufReadExt as _, AsyncReadExt as _};

/// The longest message either way; the symbols of a very large document take some megabytes.
pub const MESSAGE_BYTES: usize = 16 * 1024 * 1024;
const HEADER_BYTES: usize = 4 * 1024;
/// How much of what is not understood is repeated.
const SHOWN_BYTES: usize = 80;

/// Returns a message with its headers.
pub fn write(message: &impl Serialize) -> Result<Vec<u8>> {
    let body = serde_json::to_vec(message)?;
    if body.len() > MESSAGE_BYTES {
        return Err(Error::other(format!(
            "the message has {} bytes and at most {MESSAGE_BYTES} may be sent",
            body.len()
        )));
    }
    let mut frame = format!("Content-Length: {}\r\n\r\n", body.len()).into_bytes();
    frame.extend_from_slice(&body);
    Ok(frame)
}

/// Reads one message; `None` at the end.
pub async fn read(reader: &mut (impl AsyncBufRead + Unpin)) -> Result<Option<Vec<u8>>> {
    let Some(length) = read_headers(reader).await? else { return Ok(None) };
    let mut body = Vec::new();
    // Grows with what comes, not with what was promised.
    reader.take(length as u64).read_to_end(&mut body).await?;
    if body.len() < length { Ok(None) } else { Ok(Some(body)) }
}

/// Reads up to the empty line and returns the promised length.
async fn read_headers(reader: &mut (impl AsyncBufRead + Unpin)) -> Result<Option<usize>> {
    let (mut length, mut left) = (None, HEADER_BYTES);
    loop {
        let mut line = Vec::new();
        if (&mut *reader).take(left as u64).read_until(b'\n', &mut line).await? == 0 && left > 0 {
            return Ok(None);
        }
        left -= line.len();
        if line.last() != Some(&b'\n') {
            return if left == 0 { Err(garbage(&line)) } else { Ok(None) };
        }
        let text = line.trim_ascii();
        if text.is_empty() {
            return length.map(Some).ok_or_else(|| garbage(&line));
        }
        let Some(colon) = memchr::memchr(b':', text) else { return Err(garbage(text)) };
        let (name, value) = text.split_at(colon);
        if name.trim_ascii().eq_ignore_ascii_case(b"content-length") {
            let value = value.get(1..).unwrap_or_default().trim_ascii();
            let bytes = std::str::from_utf8(value).ok().and_then(|value| value.parse().ok());
            length = Some(bytes.filter(|bytes| *bytes <= MESSAGE_BYTES).ok_or_else(|| garbage(text))?);
        }
    }
}

fn garbage(line: &[u8]) -> Error {
    let shown = String::from_utf8_lossy(line.get(..SHOWN_BYTES).unwrap_or(line)).escape_debug().to_string();
    let reason = format!(
        "it wrote `{shown}` to its standard output, which is not the header of a message of at most {MESSAGE_BYTES} bytes"
    );
    Error::new(ErrorKind::InvalidData, reason)
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn messages(mut bytes: &[u8]) -> std::result::Result<Vec<String>, String> {
        let mut messages = Vec::new();
        while let Some(message) = read(&mut bytes).await.map_err(|error| error.to_string())? {
            messages.push(String::from_utf8(message).expect("UTF-8"));
        }
        Ok(messages)
    }

    #[tokio::test]
    async fn what_is_written_is_read() {
        let mut bytes = write(&"ü").expect("frame");
        bytes.extend(write(&[1, 2]).expect("frame"));
        assert_eq!(messages(&bytes).await, Ok(vec!["\"ü\"".to_owned(), "[1,2]".to_owned()]));
    }

    #[tokio::test]
    async fn headers_are_read_as_others_write_them() {
        let bytes = b"content-LENGTH:  2 \nContent-Type: application/vscode-jsonrpc; charset=utf-8\r\n\r\n{}";
        assert_eq!(messages(bytes).await, Ok(vec!["{}".to_owned()]));
        for cut in 0..bytes.len() {
            assert_eq!(messages(&bytes[..cut]).await, Ok(vec![]), "{cut}");
        }
    }

    #[tokio::test]
    async fn garbage_is_told_without_being_kept() {
        let long = "x".repeat(100_000);
        let long_header = format!("A: {long}\r\nContent-Length: 2\r\n\r\n{{}}");
        for bytes in [
            "Welcome to my server!\n",
            "\r\n",
            "Content-Type: x\r\n\r\n{}",
            "Content-Length: -1\r\n\r\n",
            "Content-Length: 16777217\r\n\r\n",
            "Content-Length: 99999999999999999999999\r\n\r\n",
            "Content-Length: \u{1b}[31m\r\n\r\n",
            &long,
            &long_header,
        ] {
            let error = messages(bytes.as_bytes()).await.expect_err(bytes);
            assert!(error.len() < 300 && !error.contains('\u{1b}'), "{error}");
        }
    }

    #[tokio::test]
    async fn too_long_a_message_is_not_sent() {
        write(&"x".repeat(MESSAGE_BYTES)).expect_err("too long");
    }
}
