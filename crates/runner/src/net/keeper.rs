//! Looks after rules and links on a thread of its own: whoever flushes the rules finds them there again a moment
//! later, and links get their notes while nobody waits for it.

use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use linux::link;
use linux::netlink::Socket;

use crate::net::error::NetError;
use crate::net::rules::Rules;

/// How long a host without rules may go unnoticed.
const PERIOD: Duration = Duration::from_secs(1);

/// The thread; it ends when this is dropped.
#[derive(Debug)]
pub(super) struct Keeper {
    notes: Option<mpsc::Sender<Note>>,
    thread: Option<JoinHandle<()>>,
    /// What the last look found wrong and could not mend.
    trouble: Arc<Mutex<Option<String>>>,
}

/// What a link is to be marked with, for people.
#[derive(Debug)]
struct Note {
    link: String,
    text: String,
}

impl Keeper {
    /// Starts to look; `route` is for the notes.
    pub(super) fn start(rules: Arc<Rules>, mut route: Socket) -> Result<Self, NetError> {
        let (notes, received) = mpsc::channel::<Note>();
        let trouble = Arc::new(Mutex::new(None));
        let seen = trouble.clone();
        let look = move || {
            let mut looked = Instant::now();
            loop {
                match received.recv_timeout(PERIOD.saturating_sub(looked.elapsed())) {
                    // A link that is gone needs no note.
                    Ok(Note { link, text }) => drop(link::set_alias(&mut route, &link, &text)),
                    Err(RecvTimeoutError::Timeout) => {}
                    Err(RecvTimeoutError::Disconnected) => return,
                }
                if looked.elapsed() >= PERIOD {
                    let found = rules.check().err().map(|error| linux::errno::chain(&error));
                    *seen.lock().unwrap_or_else(PoisonError::into_inner) = found;
                    looked = Instant::now();
                }
            }
        };
        let thread = std::thread::Builder::new().name("net-keeper".to_owned()).spawn(look);
        let thread = thread.map_err(|source| NetError::Thread { name: "net-keeper", source })?;
        Ok(Self { notes: Some(notes), thread: Some(thread), trouble })
    }

    /// Marks a link soon. On the way of a request it would wait for whoever is making links.
    pub(super) fn note(&self, link: String, text: String) {
        if let Some(notes) = &self.notes {
            // Without the thread there is no note, which nothing depends on.
            let _ = notes.send(Note { link, text });
        }
    }

    /// Returns why the rules are not as they should be; `None` when they are.
    pub(super) fn trouble(&self) -> Option<String> {
        self.trouble.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        drop(self.notes.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
