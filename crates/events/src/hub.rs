//! Rows to events: the one task that tells.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::sync::broadcast::error::RecvError;
use tokio::time::sleep;
use tracing::{debug, warn};
use types::sandbox::Sandbox;
use types::snapshot::SnapshotChange;

use crate::catalogue::{Catalogue, News};
use crate::directory::{Changes, Directory, Refusal};
use crate::memory::{Change, Memory};
use crate::packet;
use crate::rooms::{Rooms, tell};

/// How long to wait before rows are read again that could not be.
const RETRY: Duration = Duration::from_secs(1);

/// Turns rows, as they are written, into events for whoever listens.
#[derive(Debug)]
pub(crate) struct Hub {
    directory: Arc<dyn Directory>,
    rooms: Arc<Rooms>,
    memory: Memory,
    catalogue: Catalogue,
}

impl Hub {
    /// Knows nothing yet.
    pub(crate) fn new(directory: Arc<dyn Directory>, rooms: Arc<Rooms>) -> Self {
        Self { directory, rooms, memory: Memory::default(), catalogue: Catalogue::default() }
    }

    /// Tells of every change until no more rows can come. The rows that are there at the start are no news. When rows
    /// came faster than they could be told, all are read again: what is told then is what became of them.
    pub(crate) async fn run(mut self, mut changes: Changes) {
        self.read_all(false).await;
        loop {
            let missed = tokio::select! {
                sandbox = changes.sandboxes.recv() => match sandbox {
                    Ok(sandbox) => {
                        self.take(&sandbox, true);
                        continue;
                    }
                    Err(missed) => missed,
                },
                snapshot = changes.snapshots.recv() => match snapshot {
                    Ok(change) => {
                        self.take_snapshot(&change, true);
                        continue;
                    }
                    Err(missed) => missed,
                },
            };
            match missed {
                RecvError::Lagged(missed) => {
                    debug!("{missed} changes were missed; all rows are read again");
                    self.read_all(true).await;
                }
                RecvError::Closed => return,
            }
        }
    }

    /// Reads every row, however long it takes until that works.
    async fn read_all(&mut self, aloud: bool) {
        let mut warned = false;
        while let Err(Refusal::Unavailable | Refusal::Unauthorized) = self.read_pages(aloud).await {
            if !warned {
                warn!("cannot read the rows, so nobody is told of their changes; trying again");
                warned = true;
            }
            sleep(RETRY).await;
        }
    }

    async fn read_pages(&mut self, aloud: bool) -> Result<(), Refusal> {
        let mut there = HashSet::new();
        let mut after = None;
        loop {
            let page = self.directory.sandboxes(after).await?;
            let Some(last) = page.last() else { break };
            after = Some(last.id);
            for sandbox in &page {
                there.insert(sandbox.id);
                self.take(sandbox, aloud);
            }
            // A page is some work; others have some too.
            tokio::task::yield_now().await;
        }
        self.memory.keep_only(&there);
        let snapshots = self.directory.snapshots().await?;
        self.catalogue.keep_only(&snapshots.iter().map(|snapshot| snapshot.id).collect());
        for snapshot in snapshots {
            self.take_snapshot(&SnapshotChange::Written(snapshot), aloud);
        }
        Ok(())
    }

    fn take(&mut self, sandbox: &Sandbox, aloud: bool) {
        let changes = self.memory.take(sandbox);
        if changes.is_empty() || !aloud {
            return;
        }
        let listeners = self.rooms.listeners(sandbox.organization_id);
        if listeners.is_empty() {
            return;
        }
        let shown = self.directory.show(sandbox);
        for change in changes {
            let (name, payload) = event(change, &shown);
            tell(&listeners, &packet::event(name, &payload));
        }
    }

    fn take_snapshot(&mut self, change: &SnapshotChange, aloud: bool) {
        let Some(news) = self.catalogue.take(change).filter(|_| aloud) else { return };
        let (SnapshotChange::Written(snapshot) | SnapshotChange::Deleted(snapshot)) = change;
        // Of what is everybody's, nobody in particular is told.
        let Some(organization_id) = snapshot.organization_id else { return };
        let listeners = self.rooms.listeners(organization_id);
        if !listeners.is_empty() {
            let (name, payload) = snapshot_event(news, self.directory.show_snapshot(snapshot));
            tell(&listeners, &packet::event(name, &payload));
        }
    }
}

/// Returns the name of an event of a snapshot and what it carries.
fn snapshot_event(news: News, shown: Value) -> (&'static str, Value) {
    match news {
        News::Created => ("snapshot.created", shown),
        News::State { old, new } => {
            let payload = json!({ "snapshot": shown, "oldState": old, "newState": new });
            ("snapshot.state.updated", payload)
        }
        News::Removed => ("snapshot.removed", shown),
    }
}

/// Returns the name of an event of a sandbox and what it carries.
fn event(change: Change, shown: &Value) -> (&'static str, Value) {
    match change {
        Change::Created => ("sandbox.created", shown.clone()),
        Change::Desired { old, new } => {
            let payload = json!({ "sandbox": shown, "oldDesiredState": old, "newDesiredState": new });
            ("sandbox.desired-state.updated", payload)
        }
        Change::State { old, new } => {
            let payload = json!({ "sandbox": shown, "oldState": old, "newState": new });
            ("sandbox.state.updated", payload)
        }
    }
}
