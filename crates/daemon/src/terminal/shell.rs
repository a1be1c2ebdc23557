//! A shell on a pseudo-terminal, and what carries bytes between the two sides.

use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use linux::child::SpawnError;
use linux::terminal::{Pair, Window};
use tokio::io::unix::AsyncFd;
use tokio::sync::{Notify, mpsc};

use crate::error::DaemonError;
use crate::execution::{Child, Executor};
use crate::file::blocking;
use crate::program::Launch;
use crate::terminal::feed::Feed;

/// How many frames of input may wait for a program that does not read.
const WAITING_FRAMES: usize = 16;
/// How long a client may wait for such a program.
const INPUT_WITHIN: Duration = Duration::from_secs(10);
const READ_BYTES: usize = 16 * 1024;
/// How much is read of what was printed before the end: more than the kernel keeps, less than the feed does.
const LAST_BYTES: usize = 128 * 1024;

/// A shell that runs.
#[derive(Debug, Clone)]
pub struct Shell {
    screen: Arc<AsyncFd<OwnedFd>>,
    input: mpsc::Sender<Bytes>,
    kill: Arc<Notify>,
}

impl Shell {
    /// Opens a terminal and starts a shell on it; `ended` is called when it has ended and before anybody is told.
    pub async fn start(
        executor: &Arc<Executor>,
        launch: &Launch,
        window: Window,
        feed: Arc<Feed>,
        ended: impl FnOnce() + Send + 'static,
    ) -> Result<Self, DaemonError> {
        // On a thread with the user's permissions: so the device is the user's, and programs can open it by name.
        let open = move || linux::terminal::open(window).map_err(DaemonError::Terminal);
        let Pair { screen, line } = blocking(open).await?;
        let watched = |source| DaemonError::Execution { step: "watch a terminal", source };
        #[expect(
            deprecated,
            reason = "what replaces it is unsafe; this descriptor is owned and never replaced"
        )]
        let screen = Arc::new(AsyncFd::new(screen).map_err(watched)?);
        let child = executor.launch(launch, [line.as_fd(); 3], true).map_err(explain)?;
        let (input, waiting) = mpsc::channel(WAITING_FRAMES);
        let kill = Arc::new(Notify::new());
        let shell = Self { screen: Arc::clone(&screen), input, kill: Arc::clone(&kill) };
        tokio::spawn(async move {
            let exit_code = drive(child, &screen, waiting, &kill, &feed).await;
            // Kept until now: without any program on it a terminal would report an error instead of output.
            drop(line);
            ended();
            feed.end(exit_code);
        });
        Ok(shell)
    }

    /// Types something; waits while the program has not read what was typed before, and refuses when it never does.
    pub async fn write(&self, input: Bytes) -> Result<(), Unread> {
        tokio::time::timeout(INPUT_WITHIN, self.input.send(input))
            .await
            .map_err(|_| Unread)?
            .map_err(|_| Unread)
    }

    /// Changes the size.
    pub fn resize(&self, window: Window) -> Result<(), DaemonError> {
        linux::terminal::resize(self.screen.get_ref(), window).map_err(DaemonError::Terminal)
    }

    /// Asks for the end of the shell and of everything that it has started.
    pub fn kill(&self) {
        self.kill.notify_one();
    }
}

/// Input that nobody reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unread;

/// A directory that is not there is the caller's mistake.
fn explain(error: DaemonError) -> DaemonError {
    match error {
        DaemonError::Spawn(SpawnError::Directory { directory, source }) => DaemonError::Invalid {
            reason: format!(
                "a terminal cannot start in `{directory}`: {source}; use a directory that exists"
            ),
        },
        other => other,
    }
}

/// Carries bytes both ways until the shell ends; returns its exit code.
async fn drive(
    mut child: Child,
    screen: &AsyncFd<OwnedFd>,
    input: mpsc::Receiver<Bytes>,
    kill: &Notify,
    feed: &Feed,
) -> i32 {
    let (exit_code, is_killed) = tokio::select! {
        biased;
        end = wait(&mut child, kill) => end,
        never = async { tokio::join!(show(screen, feed), type_in(screen, input)) } => match never.0 {},
    };
    let _ = show_last(screen, feed);
    if is_killed {
        // Again, for what was started meanwhile.
        drop(child);
    } else {
        // As after any logout: what was left in the background on purpose goes on.
        child.leave();
    }
    exit_code
}

async fn wait(child: &mut Child, kill: &Notify) -> (i32, bool) {
    tokio::select! {
        exit_code = child.wait() => (exit_code, false),
        () = kill.notified() => {
            child.kill();
            (child.wait().await, true)
        }
    }
}

/// Passes on what is shown, as fast as anybody looks at it.
async fn show(screen: &AsyncFd<OwnedFd>, feed: &Feed) -> std::convert::Infallible {
    let mut buffer = vec![0_u8; READ_BYTES];
    loop {
        feed.room().await;
        let Ok(mut ready) = screen.readable().await else { return std::future::pending().await };
        match ready.try_io(|screen| Ok(rustix::io::read(screen, &mut buffer)?)) {
            Ok(Ok(length)) if length > 0 => feed.push(buffer.get(..length).unwrap_or_default()),
            // Nothing there after all.
            Err(_) => {}
            Ok(Err(error)) if error.kind() == io::ErrorKind::Interrupted => {}
            // Only the end of the shell can follow.
            Ok(_) => return std::future::pending().await,
        }
        // A program that prints without end must not keep the only thread.
        tokio::task::yield_now().await;
    }
}

/// Types what clients send, in the order in which it came.
async fn type_in(screen: &AsyncFd<OwnedFd>, mut input: mpsc::Receiver<Bytes>) -> std::convert::Infallible {
    while let Some(mut bytes) = input.recv().await {
        while !bytes.is_empty() {
            let Ok(mut ready) = screen.writable().await else { return std::future::pending().await };
            match ready.try_io(|screen| Ok(rustix::io::write(screen, &bytes)?)) {
                Ok(Ok(length)) => bytes = bytes.slice(length.min(bytes.len())..),
                Err(_) => {}
                Ok(Err(error)) if error.kind() == io::ErrorKind::Interrupted => {}
                Ok(Err(_)) => return std::future::pending().await,
            }
        }
    }
    std::future::pending().await
}

/// Reads what was shown when the shell ended, and no more: a program in the background may never stop printing.
fn show_last(screen: &AsyncFd<OwnedFd>, feed: &Feed) -> io::Result<()> {
    let mut buffer = vec![0_u8; READ_BYTES];
    let mut left = LAST_BYTES;
    while left > 0 {
        // Past the runtime, whose idea of readiness may be a moment old.
        let length = match rustix::io::read(screen.get_ref(), &mut buffer) {
            Ok(0) | Err(rustix::io::Errno::AGAIN) => return Ok(()),
            Ok(length) => length,
            Err(rustix::io::Errno::INTR) => continue,
            Err(error) => return Err(error.into()),
        };
        feed.push(buffer.get(..length).unwrap_or_default());
        left = left.saturating_sub(length);
    }
    Ok(())
}
