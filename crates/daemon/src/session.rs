//! Shells that live on between commands, each with its commands and their logs.

pub mod mark;
pub mod record;
pub mod allowance;
pub mod segment;
pub mod stock;
pub mod log;
pub mod command;
pub mod reader;
pub mod roster;
pub mod exchange;
pub mod control;
pub mod collect;
pub mod shell;
pub mod life;
pub mod entrypoint;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::error::DaemonError;
use crate::session::allowance::Allowance;
use crate::session::command::Command;
use crate::session::entrypoint::Entrypoint;
use crate::session::life::Session;
use crate::session::stock::Stock;

/// How many sessions there may be.
const SESSIONS: usize = 300;
/// How much memory the texts of commands that wait may take.
const WAITING_BYTES: usize = 64 * 1024 * 1024;
/// How long a session's name may be.
const NAME_BYTES: usize = 256;

/// All of them.
#[derive(Debug)]
pub struct Sessions {
    table: Mutex<BTreeMap<String, Arc<Session>>>,
    /// The limits that all logs share.
    pub stock: Arc<Stock>,
    /// The limit that all waiting commands share.
    pub waiting: Allowance,
    /// The sandbox's own program.
    pub entrypoint: Entrypoint,
}

impl Default for Sessions {
    fn default() -> Self {
        Self {
            table: Mutex::default(),
            stock: Arc::default(),
            waiting: Allowance::new(WAITING_BYTES),
            entrypoint: Entrypoint::default(),
        }
    }
}

impl Sessions {
    /// Makes a session of this name, which `start` starts.
    pub fn create(
        &self,
        id: &str,
        start: impl FnOnce(&Arc<Stock>) -> Result<Arc<Session>, DaemonError>,
    ) -> Result<(), DaemonError> {
        check(id)?;
        let mut table = self.table();
        if table.contains_key(id) {
            return Err(DaemonError::SessionExists { session_id: id.to_owned() });
        }
        if table.len() >= SESSIONS {
            return Err(DaemonError::TooManySessions { limit: SESSIONS });
        }
        table.insert(id.to_owned(), start(&self.stock)?);
        Ok(())
    }

    /// Returns the session of this name.
    pub fn get(&self, id: &str) -> Result<Arc<Session>, DaemonError> {
        self.table().get(id).cloned().ok_or_else(|| absent(id))
    }

    /// Returns a command of a session.
    pub fn command(&self, id: &str, command_id: &str) -> Result<Arc<Command>, DaemonError> {
        let found = if id == entrypoint::SESSION {
            self.entrypoint.command().filter(|command| command.id == command_id)
        } else {
            self.get(id)?.roster.get(command_id)
        };
        found.ok_or_else(|| DaemonError::NoSuchCommand {
            session_id: id.to_owned(),
            command_id: command_id.to_owned(),
        })
    }

    /// Returns all sessions, by name.
    pub fn list(&self) -> Vec<Arc<Session>> {
        self.table().values().cloned().collect()
    }

    /// Takes a session off the list; whoever took it ends it.
    pub fn remove(&self, id: &str) -> Result<Arc<Session>, DaemonError> {
        if id == entrypoint::SESSION {
            return Err(DaemonError::SessionReserved);
        }
        self.table().remove(id).ok_or_else(|| absent(id))
    }

    fn table(&self) -> MutexGuard<'_, BTreeMap<String, Arc<Session>>> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn absent(id: &str) -> DaemonError {
    if id == entrypoint::SESSION {
        DaemonError::SessionReserved
    } else {
        DaemonError::NoSuchSession { session_id: id.to_owned() }
    }
}

fn check(id: &str) -> Result<(), DaemonError> {
    if id == entrypoint::SESSION {
        return Err(DaemonError::SessionReserved);
    }
    let reason = if id.is_empty() {
        "`sessionId` is empty; send a name"
    } else if id.len() > NAME_BYTES {
        "`sessionId` is longer than 256 bytes; send a shorter name"
    } else if id.chars().any(char::is_control) {
        "`sessionId` contains a control character; send a name without"
    } else {
        return Ok(());
    };
    Err(DaemonError::Invalid { reason: reason.to_owned() })
}
