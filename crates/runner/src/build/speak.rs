//! What a step's sandbox says: its program's output while it runs, and how it ended.
//!
//! The daemon inside is ours, but what runs beside it is not: what comes is believed as little as the step's output.

use std::io::{self, Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use serde_json::Value;

/// How often whoever waits is asked whether to go on.
const PAUSE: Duration = Duration::from_millis(100);
/// The longest head of an answer, and the longest line that tells a length.
const MOST_HEAD_BYTES: usize = 16 << 10;
/// The longest answer that is read whole.
const MOST_ANSWER_BYTES: usize = 256 << 10;

/// Passes on what the program prints until it ends, and returns its exit code. `go_on` is asked again and again.
pub(super) fn follow<E: From<io::Error>>(
    socket: &Path,
    go_on: &dyn Fn() -> Result<(), E>,
    print: &mut dyn FnMut(&[u8]),
) -> Result<i64, E> {
    let mut marks = Marks::default();
    let mut unmarked = |part: &[u8]| print(&marks.take(part));
    Answer::ask(socket, "/process/session/entrypoint/logs?follow=true", go_on)?.read(go_on, &mut unmarked)?;
    print(&marks.rest());
    let mut text = Vec::new();
    let mut keep = |part: &[u8]| {
        let room = MOST_ANSWER_BYTES.saturating_sub(text.len());
        text.extend_from_slice(part.get(..room).unwrap_or(part));
    };
    Answer::ask(socket, "/process/session/entrypoint", go_on)?.read(go_on, &mut keep)?;
    let session: Value = serde_json::from_slice(&text).map_err(io::Error::from)?;
    let code = session.pointer("/commands/0/exitCode").and_then(Value::as_i64);
    code.ok_or_else(|| invalid("the step ended without an exit code").into())
}

/// Takes the marks out of a log that say to which stream what follows belongs: three bytes 1, or three bytes 2. The daemon
/// sees to it that no output looks like one.
#[derive(Default)]
struct Marks {
    /// The bytes that may become a mark.
    byte: u8,
    count: usize,
}

impl Marks {
    fn take(&mut self, part: &[u8]) -> Vec<u8> {
        let mut text = Vec::with_capacity(part.len());
        for byte in part {
            if *byte != self.byte || self.count == 0 {
                text.append(&mut self.rest());
            }
            match byte {
                1 | 2 => (self.byte, self.count) = (*byte, (self.count + 1) % 3),
                other => text.push(*other),
            }
        }
        text
    }

    /// Returns what did not become one.
    fn rest(&mut self) -> Vec<u8> {
        vec![self.byte; std::mem::take(&mut self.count)]
    }
}

fn invalid(reason: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, reason.to_owned())
}

struct Answer {
    stream: UnixStream,
    /// What was read and not taken.
    buffer: Vec<u8>,
    is_chunked: bool,
}

impl Answer {
    fn ask<E: From<io::Error>>(
        socket: &Path,
        path: &str,
        go_on: &dyn Fn() -> Result<(), E>,
    ) -> Result<Self, E> {
        let mut stream = UnixStream::connect(socket)?;
        stream.set_read_timeout(Some(PAUSE))?;
        stream.set_write_timeout(Some(Duration::from_secs(10)))?;
        let request = format!("GET {path} HTTP/1.1\r\nhost: sandbox\r\nconnection: close\r\n\r\n");
        stream.write_all(request.as_bytes())?;
        let mut answer = Self { stream, buffer: Vec::new(), is_chunked: false };
        let status = answer.line(go_on)?;
        if status.split(' ').nth(1) != Some("200") {
            return Err(invalid(&format!("the daemon answered `{status}`")).into());
        }
        let mut bytes = 0;
        loop {
            let line = answer.line(go_on)?.to_ascii_lowercase();
            bytes += line.len();
            if line.is_empty() || bytes > MOST_HEAD_BYTES {
                return Ok(answer);
            }
            answer.is_chunked |= line.starts_with("transfer-encoding:") && line.contains("chunked");
        }
    }

    /// Reads more; false at the end.
    fn more<E: From<io::Error>>(&mut self, go_on: &dyn Fn() -> Result<(), E>) -> Result<bool, E> {
        let mut part = [0; 16 << 10];
        loop {
            go_on()?;
            match self.stream.read(&mut part) {
                Ok(0) => return Ok(false),
                Ok(read) => {
                    self.buffer.extend_from_slice(part.get(..read).unwrap_or_default());
                    return Ok(true);
                }
                Err(error) if is_pause(&error) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    fn line<E: From<io::Error>>(&mut self, go_on: &dyn Fn() -> Result<(), E>) -> Result<String, E> {
        loop {
            if let Some(end) = self.buffer.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.buffer.drain(..=end).collect();
                return Ok(String::from_utf8_lossy(&line).trim_end().to_owned());
            }
            if self.buffer.len() > MOST_HEAD_BYTES {
                return Err(invalid("the daemon's answer has too long a line").into());
            }
            if !self.more(go_on)? {
                return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
            }
        }
    }

    /// Passes the body on, to its end.
    fn read<E: From<io::Error>>(
        mut self,
        go_on: &dyn Fn() -> Result<(), E>,
        take: &mut dyn FnMut(&[u8]),
    ) -> Result<(), E> {
        if !self.is_chunked {
            loop {
                take(&std::mem::take(&mut self.buffer));
                if !self.more(go_on)? {
                    return Ok(());
                }
            }
        }
        loop {
            let size = self.line(go_on)?;
            let size = size.split(';').next().unwrap_or_default();
            let mut left = usize::from_str_radix(size, 16).map_err(|_| invalid("a chunk without a size"))?;
            if left == 0 {
                return Ok(());
            }
            while left > 0 {
                if self.buffer.is_empty() && !self.more(go_on)? {
                    return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
                }
                let part = left.min(self.buffer.len());
                take(self.buffer.get(..part).unwrap_or_default());
                self.buffer.drain(..part);
                left -= part;
            }
            self.line(go_on)?;
        }
    }
}

fn is_pause(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut | io::ErrorKind::Interrupted)
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixListener;

    use super::*;

    fn serve(answers: &'static [&'static str]) -> (tempfile::TempDir, std::path::PathBuf) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("socket");
        let listener = UnixListener::bind(&path).unwrap();
        std::thread::spawn(move || {
            for answer in answers {
                let (mut stream, _) = listener.accept().unwrap();
                let mut request = [0; 1024];
                let _ = stream.read(&mut request).unwrap();
                stream.write_all(answer.as_bytes()).unwrap();
            }
        });
        (directory, path)
    }

    fn talk(answers: &'static [&'static str]) -> (io::Result<i64>, String) {
        let (_directory, path) = serve(answers);
        let mut printed = Vec::new();
        let code = follow::<io::Error>(&path, &|| Ok(()), &mut |part| printed.extend_from_slice(part));
        (code, String::from_utf8(printed).unwrap())
    }

    const CHUNKED: &str =
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\none\r\n4;x=y\r\n\ntwo\r\n0\r\n\r\n";

    #[test]
    fn output_comes_in_chunks_and_the_code_after_it() {
        let session = "HTTP/1.1 200 OK\r\ncontent-type: x\r\n\r\n{\"commands\":[{\"exitCode\":3}]}";
        let (code, printed) = talk(Box::leak(Box::new([CHUNKED, session])));
        assert_eq!((code.unwrap(), printed.as_str()), (3, "one\ntwo"));
    }

    #[test]
    fn marks_are_taken_out_wherever_they_are_cut() {
        let log = b"\x01\x01\x01out\x02\x02\x02\x02\x02e\x01\x02\x01\x01\x01\x01!\x01\x01";
        for size in 1..log.len() {
            let mut marks = Marks::default();
            let mut text: Vec<u8> = log.chunks(size).flat_map(|part| marks.take(part)).collect();
            text.append(&mut marks.rest());
            assert_eq!(text, b"out\x02\x02e\x01\x02\x01!\x01\x01", "{size}");
        }
    }

    #[test]
    fn nonsense_is_an_error_and_no_panic() {
        for answers in [
            &["HTTP/1.1 500 no\r\n\r\n"][..],
            &["HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"],
            &["HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\nabc"],
            &["HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab"],
            &[""],
            &[CHUNKED, "HTTP/1.1 200 OK\r\n\r\n{}"],
        ] {
            assert!(talk(answers).0.is_err(), "{answers:?}");
        }
    }
}
