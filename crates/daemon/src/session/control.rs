//! The descriptor on which a session's shell tells that a command has ended; commands do not have it.

use std::future::pending;

use tokio::net::unix::pipe;

/// More than any message; what is longer is none.
const LINE_BYTES: usize = 64;

/// The daemon's end of it.
#[derive(Debug)]
pub struct Control {
    pipe: Option<pipe::Receiver>,
    line: Vec<u8>,
}

impl Control {
    /// Listens to this pipe.
    pub const fn new(pipe: pipe::Receiver) -> Self {
        Self { pipe: Some(pipe), line: Vec::new() }
    }

    /// Waits for the end of a command; returns its exit code. May be given up and called again.
    pub async fn ended(&mut self, number: u64) -> i32 {
        loop {
            if let Some(code) = self.poll(number) {
                return code;
            }
            match &self.pipe {
                Some(pipe) => drop(pipe.readable().await),
                // The shell is gone, which others tell.
                None => pending().await,
            }
        }
    }

    /// Returns the exit code of a command whose end has been told by now.
    pub fn poll(&mut self, number: u64) -> Option<i32> {
        loop {
            let mut bytes = Vec::with_capacity(LINE_BYTES);
            match self.pipe.as_ref()?.try_read_buf(&mut bytes) {
                Ok(0) => self.pipe = None,
                Ok(_) => {}
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => return None,
                Err(_) => self.pipe = None,
            }
            for byte in bytes {
                if byte == b'\n' {
                    let line = std::mem::take(&mut self.line);
                    if let Some(code) = parse(&line, number) {
                        return Some(code);
                    }
                } else if self.line.len() < LINE_BYTES {
                    self.line.push(byte);
                }
            }
        }
    }
}

/// Reads `<number> <code>`.
fn parse(line: &[u8], number: u64) -> Option<i32> {
    let (named, code) = std::str::from_utf8(line).ok()?.split_once(' ')?;
    (named.parse() == Ok(number)).then_some(())?;
    code.parse::<u8>().ok().map(i32::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_command_that_runs_can_end() {
        assert_eq!(parse(b"3 0", 3), Some(0));
        assert_eq!(parse(b"3 255", 3), Some(255));
        for line in ["", "3", "2 0", "3 256", "3 -1", "3  1", "x 0", "3 0 "] {
            assert_eq!(parse(line.as_bytes(), 3), None, "{line}");
        }
        assert_eq!(parse(b"3 \xff", 3), None);
    }

    #[tokio::test]
    async fn nonsense_is_passed_over_and_the_end_of_the_pipe_tells_nothing() {
        let (mut writer, reader) = pipe::pipe().expect("pipe");
        let mut control = Control::new(reader);
        let long = [vec![b'1'; 500], b"\n7 4\n".to_vec()].concat();
        tokio::io::AsyncWriteExt::write_all(&mut writer, &long).await.expect("write");
        assert_eq!(control.ended(7).await, 4);
        drop(writer);
        let waited = tokio::time::timeout(std::time::Duration::from_millis(20), control.ended(8));
        waited.await.expect_err("nobody told");
        assert_eq!(control.poll(8), None);
    }
}
