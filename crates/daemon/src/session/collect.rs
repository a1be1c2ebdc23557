//! Brings what a command prints into its log: all of it until the command ends, and then what it left behind prints.

use std::io;
use std::sync::Arc;

use tokio::net::unix::pipe;
use tokio::sync::{oneshot, watch};

use crate::session::command::Command;
use crate::session::mark::Stream;
use crate::session::stock::Stock;

/// As much as a pipe holds.
const READ_BYTES: usize = 64 * 1024;

/// The two ends that are read.
#[derive(Debug)]
pub struct Outputs {
    command: Arc<Command>,
    pipes: [Option<pipe::Receiver>; 2],
}

impl Outputs {
    /// Reads a command's standard output and standard error from these pipes.
    pub fn new(command: Arc<Command>, pipes: [pipe::Receiver; 2]) -> Self {
        Self { command, pipes: pipes.map(Some) }
    }

    /// Collects until the command has ended, and then as long as somebody holds its output and its session is there.
    pub async fn collect(
        mut self,
        mut end: oneshot::Receiver<i32>,
        stock: Arc<Stock>,
        mut is_gone: watch::Receiver<bool>,
    ) {
        let exit_code = loop {
            let stream = tokio::select! {
                // Whoever would tell is gone only with everything else.
                exit_code = &mut end => break exit_code.unwrap_or(-1),
                stream = self.readable() => stream,
            };
            self.read(stream).await;
        };
        self.drain().await;
        self.command.end(exit_code).await;
        // A server that was started in the background goes on printing; it must not stumble over a closed pipe.
        let Ok(_turn) = stock.late.try_acquire() else { return };
        while self.pipes.iter().any(Option::is_some) {
            let stream = tokio::select! {
                stream = self.readable() => stream,
                _ = is_gone.wait_for(|is_gone| *is_gone) => return,
            };
            self.read(stream).await;
        }
    }

    /// Waits until there is something to read; for ever when both have ended.
    async fn readable(&self) -> Stream {
        let [output, errors] = &self.pipes;
        tokio::select! {
            () = ready(output.as_ref()) => Stream::Output,
            () = ready(errors.as_ref()) => Stream::Errors,
        }
    }

    /// Reads once. Not to be given up: what was read would be lost.
    async fn read(&mut self, stream: Stream) {
        let pipe = self.pipe(stream);
        let mut bytes = Vec::with_capacity(READ_BYTES);
        match pipe.as_ref().map(|pipe| pipe.try_read_buf(&mut bytes)) {
            Some(Ok(0)) => *pipe = None,
            Some(Err(error)) if error.kind() != io::ErrorKind::WouldBlock => *pipe = None,
            _ => self.command.log.append(stream, &bytes).await,
        }
    }

    /// Reads what is in the pipes now, and no more: what runs in the background may never stop printing.
    async fn drain(&mut self) {
        for stream in Stream::BOTH {
            let Some(pipe) = self.pipe(stream).take() else { continue };
            let mut left = rustix::io::ioctl_fionread(&pipe).unwrap_or(0);
            while left > 0 {
                let mut bytes =
                    Vec::with_capacity(usize::try_from(left).unwrap_or(READ_BYTES).min(READ_BYTES));
                // Past the runtime, whose idea of readiness may be a moment old.
                match rustix::io::read(&pipe, rustix::buffer::spare_capacity(&mut bytes)) {
                    Ok(0) | Err(_) => break,
                    Ok(_) => {}
                }
                left = left.saturating_sub(bytes.len() as u64);
                self.command.log.append(stream, &bytes).await;
            }
            *self.pipe(stream) = Some(pipe);
        }
    }

    const fn pipe(&mut self, stream: Stream) -> &mut Option<pipe::Receiver> {
        let [output, errors] = &mut self.pipes;
        match stream {
            Stream::Output => output,
            Stream::Errors => errors,
        }
    }
}

async fn ready(pipe: Option<&pipe::Receiver>) {
    match pipe {
        // What is wrong with it, reading tells.
        Some(pipe) => drop(pipe.readable().await),
        None => std::future::pending().await,
    }
}
