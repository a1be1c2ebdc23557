//! Gets what was written onto the disk, for those who promise it to a client.
//!
//! `SQLite` is told to leave that to the kernel (`synchronous = NORMAL`): every commit survives a crash of the server,
//! and a power cut may take the last seconds. Whoever answers a client that something is there, or is gone, waits here
//! for one `fdatasync`, which it shares with all who wait at the same time, beside other work.

use std::fs::File;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::Mutex;

/// The write-ahead log as a file that can be synced.
#[derive(Debug, Clone)]
pub(crate) struct Durable(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    log: File,
    /// Counts requests; each is served by a sync that begins after it.
    asked: AtomicU64,
    /// The last request that was served.
    served: Mutex<u64>,
}

impl Durable {
    /// Takes the open log. It holds no lock of `SQLite`'s, so that another descriptor of it disturbs nobody.
    pub(crate) fn new(log: File) -> Self {
        Self(Arc::new(Inner { log, asked: AtomicU64::new(0), served: Mutex::new(0) }))
    }

    /// Returns when everything that was committed before the call is on the disk.
    pub(crate) async fn sync(&self) -> io::Result<()> {
        let mine = self.0.asked.fetch_add(1, Ordering::SeqCst) + 1;
        let mut served = self.0.served.lock().await;
        if *served >= mine {
            return Ok(());
        }
        let latest = self.0.asked.load(Ordering::SeqCst);
        let inner = self.0.clone();
        let synced = tokio::task::spawn_blocking(move || inner.log.sync_data()).await;
        synced.map_err(io::Error::other)??;
        *served = latest;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn those_who_wait_together_share_a_sync() {
        let durable = Durable::new(tempfile::tempfile().unwrap());
        let waiting: Vec<_> = (0..50)
            .map(|_| {
                tokio::spawn({
                    let durable = durable.clone();
                    async move { durable.sync().await }
                })
            })
            .collect();
        for one in waiting {
            one.await.unwrap().unwrap();
        }
        assert_eq!(*durable.0.served.lock().await, 50);
        durable.sync().await.unwrap();
        assert_eq!(*durable.0.served.lock().await, 51);
    }
}
