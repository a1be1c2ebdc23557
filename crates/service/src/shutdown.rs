//! The end: turns a signal of the operator into a cancelled token that every task watches.

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tracing::info;

use crate::error::ServiceError;

/// Signals that ask the process to end (signal(7)).
#[derive(Debug)]
pub struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

/// Begins to listen; from then on the signals no longer end the process by themselves.
pub fn listen() -> Result<Signals, ServiceError> {
    Ok(Signals {
        terminate: register(SignalKind::terminate(), "SIGTERM")?,
        interrupt: register(SignalKind::interrupt(), "SIGINT")?,
    })
}

impl Signals {
    /// Waits for the next signal and returns its name.
    pub async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
        }
    }

    /// Waits for a signal, then cancels the token. A second call lets the caller cut the grace time short.
    pub async fn cancel(&mut self, shutdown: &CancellationToken) {
        let name = self.next().await;
        info!("shutting down on {name}");
        shutdown.cancel();
    }
}

fn register(kind: SignalKind, name: &'static str) -> Result<Signal, ServiceError> {
    signal(kind).map_err(|source| ServiceError::ListenForSignal { signal: name, source })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_signal_cancels_the_token() {
        let mut signals = listen().expect("listens");
        let shutdown = CancellationToken::new();
        let itself = std::process::id().to_string();
        let status = std::process::Command::new("kill").args(["-TERM", &itself]).status().expect("kill runs");
        assert!(status.success());
        signals.cancel(&shutdown).await;
        assert!(shutdown.is_cancelled());
    }
}
