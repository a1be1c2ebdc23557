//! The Python process of a context, and the descriptors it is spoken to through.

use std::collections::BTreeMap;
use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::sync::Arc;

use tokio::net::UnixStream;
use tokio::net::unix::pipe;

use crate::error::DaemonError;
use crate::execution::{Child, Executor};
use crate::interpreter::message::Answer;
use crate::output::Decoder;
use crate::program::{Launch, find, memory_file};

/// What the process runs; see there.
const SCRIPT: &str = include_str!("worker.py");
/// Short, because it is what users see in a list of processes.
const LOADER: &str = "exec(compile(open(4, 'rb').read(), '<daytona>', 'exec'), {'__name__': 'daytona'})";
/// How much is read at once; as text in a frame it may take six times as much.
const PIECE_BYTES: usize = 16 * 1024;
/// What is heard before the first call and between calls answers none.
const NO_CALL: u64 = 0;
/// More than the longest answer that the script gives.
const ANSWER_BYTES: usize = 2 * 1024 * 1024;

/// A Python process that runs the calls of one context.
#[derive(Debug)]
pub struct Worker {
    /// The process; dropping it kills everything it has started.
    pub child: Child,
    /// Where it takes orders and gives answers.
    pub control: Control,
    /// What it and its children print.
    pub stdout: Stream,
    /// The same, for standard error.
    pub stderr: Stream,
}

impl Worker {
    /// Starts a process.
    pub fn start(
        executor: &Arc<Executor>,
        variables: BTreeMap<String, String>,
        directory: &str,
    ) -> Result<Self, DaemonError> {
        let failed = |step| move |source: io::Error| DaemonError::Execution { step, source };
        let (name, path) = ["python3", "python"]
            .into_iter()
            .find_map(|name| Some((name, find(name, &variables)?)))
            .ok_or(DaemonError::NoPython)?;
        let (ours, theirs) =
            std::os::unix::net::UnixStream::pair().map_err(failed("open a pair of sockets"))?;
        let launch = Launch {
            title: format!("{name} interpreter"),
            path,
            arguments: [name, "-c", LOADER].map(str::to_owned).to_vec(),
            variables,
            directory: directory.to_owned(),
            input: None,
            extra: vec![theirs.into(), memory_file("interpreter", SCRIPT.as_bytes())?],
        };
        let input = std::fs::File::open("/dev/null").map_err(failed("open /dev/null"))?;
        let (stdout, stdout_writer) = Stream::open(executor)?;
        let (stderr, stderr_writer) = Stream::open(executor)?;
        let descriptors = [input.as_fd(), stdout_writer.as_fd(), stderr_writer.as_fd()];
        let child = executor.launch(&launch, descriptors, false)?;
        let socket = ours.set_nonblocking(true).and_then(|()| UnixStream::from_std(ours));
        let socket = socket.map_err(failed("watch a socket"))?;
        let control = Control { socket, inbox: Vec::new(), is_ready: false, is_open: true };
        Ok(Self { child, control, stdout, stderr })
    }

    /// Waits between calls and returns when the process cannot take another one.
    ///
    /// What is printed meanwhile, by threads and children of past calls, belongs to no call and is dropped: nobody may have
    /// to wait for a call to come before it can go on.
    pub async fn idle(&mut self) {
        while self.control.is_open {
            tokio::select! {
                _ = self.child.wait() => return,
                () = self.control.ready() => drop(self.control.read(NO_CALL)),
                () = self.stdout.ready(), if self.stdout.is_open => drop(self.stdout.read()),
                () = self.stderr.ready(), if self.stderr.is_open => drop(self.stderr.read()),
            }
        }
    }
}

/// The way orders go in and answers come out.
#[derive(Debug)]
pub struct Control {
    socket: UnixStream,
    inbox: Vec<u8>,
    /// Whether the process has been heard of: it says so before its first call.
    pub is_ready: bool,
    /// Whether the process still has its end of it.
    pub is_open: bool,
}

impl Control {
    /// Waits until there is something to read.
    pub async fn ready(&self) {
        // A failure shows when it is read.
        let _ = self.socket.readable().await;
    }

    /// Waits until something can be written.
    pub async fn writable(&self) {
        let _ = self.socket.writable().await;
    }

    /// Writes what can be written now, and returns how much that was.
    pub fn write(&mut self, bytes: &[u8]) -> usize {
        match self.socket.try_write(bytes) {
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => 0,
            Err(_) => {
                self.is_open = false;
                0
            }
        }
    }

    /// Reads once, and returns the answer to call `number` when it is there.
    pub fn read(&mut self, number: u64) -> Option<Answer> {
        let mut buffer = [0_u8; PIECE_BYTES];
        match self.socket.try_read(&mut buffer) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => None,
            Ok(0) | Err(_) => {
                self.is_open = false;
                None
            }
            Ok(count) => self.take(buffer.get(..count).unwrap_or_default(), number),
        }
    }

    /// Reads all that a process which has ended left behind.
    pub fn read_last(&mut self, number: u64) -> Option<Answer> {
        let mut buffer = [0_u8; PIECE_BYTES];
        while self.is_open {
            // Past the runtime, whose idea of readiness may be a moment old.
            match rustix::io::read(&self.socket, &mut buffer) {
                Ok(0) | Err(_) => return None,
                Ok(count) => {
                    let answer = self.take(buffer.get(..count).unwrap_or_default(), number);
                    if answer.is_some() {
                        return answer;
                    }
                }
            }
        }
        None
    }

    fn take(&mut self, bytes: &[u8], number: u64) -> Option<Answer> {
        self.inbox.extend_from_slice(bytes);
        let mut found = None;
        while let Some(end) = memchr::memchr(b'\n', &self.inbox) {
            let line: Vec<u8> = self.inbox.drain(..=end).collect();
            // What is no answer, or one to another call, was written by the code that ran: it harms only itself.
            let answer = serde_json::from_slice::<Answer>(&line).ok();
            self.is_ready = true;
            found = found.or(answer.filter(|answer| answer.number == number));
        }
        if self.inbox.len() > ANSWER_BYTES {
            self.inbox = Vec::new();
            self.is_open = false;
        }
        found
    }
}

/// One of the two ways that output comes out.
#[derive(Debug)]
pub struct Stream {
    pipe: pipe::Receiver,
    decoder: Decoder,
    /// Whether anybody can still write to it.
    pub is_open: bool,
}

impl Stream {
    fn open(executor: &Executor) -> Result<(Self, OwnedFd), DaemonError> {
        let failed = |source| DaemonError::Execution { step: "watch a pipe", source };
        let (reader, writer) = executor.pipe()?;
        let pipe = pipe::Receiver::from_owned_fd(reader).map_err(failed)?;
        Ok((Self { pipe, decoder: Decoder::default(), is_open: true }, writer))
    }

    /// Waits until there is something to read.
    pub async fn ready(&self) {
        let _ = self.pipe.readable().await;
    }

    /// Reads once, and returns what is text by now; it may be nothing.
    pub fn read(&mut self) -> String {
        let mut buffer = [0_u8; PIECE_BYTES];
        match self.pipe.try_read(&mut buffer) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => String::new(),
            Ok(0) | Err(_) => {
                self.is_open = false;
                String::new()
            }
            Ok(count) => self.decoder.decode(buffer.get(..count).unwrap_or_default()),
        }
    }

    /// Returns how many bytes are waiting.
    pub fn waiting_bytes(&self) -> usize {
        let waiting = rustix::io::ioctl_fionread(&self.pipe).unwrap_or(0);
        usize::try_from(waiting).unwrap_or(usize::MAX)
    }

    /// Reads at most `limit` of the bytes that are waiting; returns how many there were, and what is text by now.
    pub fn read_waiting(&mut self, limit: usize) -> (usize, String) {
        let mut buffer = [0_u8; PIECE_BYTES];
        let room = buffer.get_mut(..limit.min(PIECE_BYTES)).unwrap_or_default();
        let count = rustix::io::read(&self.pipe, room).unwrap_or(0);
        (count, self.decoder.decode(buffer.get(..count).unwrap_or_default()))
    }

    /// Ends the text: what comes next belongs to another call.
    pub fn finish(&mut self) -> Option<String> {
        self.decoder.finish()
    }
}
