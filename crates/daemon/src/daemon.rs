//! Everything a request may need: one value, shared by all of them.

use std::sync::Arc;

use linux::cgroup::Events;
use types::Clock;
use types::random::{Random, SystemRandom, hex_token};

use crate::account::{Account, Directory};
use crate::environment::Environment;
use crate::error::DaemonError;
use crate::execution::Executor;
use crate::file::path::Origin;
use crate::interpreter::{Interpreter, Surroundings};
use crate::language_server::LanguageServers;
use crate::metrics::Meter;
use crate::output::Budget;
use crate::program::shell;
use crate::reaper::Reaper;
use crate::session::Sessions;
use crate::settings::Settings;
use crate::shell::ShellAccess;
use crate::terminal::Terminals;

/// The version that `/version` tells.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// The daemon's state.
#[derive(Debug)]
pub struct Daemon {
    /// Who commands and file operations act as.
    pub account: Account,
    /// The shell that runs commands.
    pub shell: String,
    /// Where relative paths begin.
    pub origin: Origin,
    /// What commands find in their environment.
    pub environment: Environment,
    /// What runs them.
    pub executor: Arc<Executor>,
    /// What measures the sandbox.
    pub meter: Meter,
    /// Shells that are kept between commands.
    pub sessions: Sessions,
    /// Terminals.
    pub terminals: Terminals,
    /// Python programs that keep their state between calls.
    pub interpreter: Interpreter,
    /// Language servers.
    pub language_servers: LanguageServers,
    /// What SSH connections share.
    pub shell_access: ShellAccess,
    /// The time.
    pub clock: Box<dyn Clock>,
    random: Box<dyn Random>,
}

impl Daemon {
    /// Resolves the settings against the sandbox's own files; `events` tell when its limits are hit.
    pub fn new(settings: &Settings, events: Events, clock: Box<dyn Clock>) -> Result<Arc<Self>, DaemonError> {
        let mut account = Directory::read().account(&settings.user)?;
        if let Some(home) = settings.home.as_ref().filter(|home| !home.is_empty()) {
            account.home.clone_from(home);
        }
        let shell = shell(&account);
        let environment = Environment::new(settings, &account, &shell)?;
        let is_directory = |path: &str| std::fs::metadata(path).is_ok_and(|metadata| metadata.is_dir());
        let work_dir = match settings.work_dir.as_ref().filter(|directory| !directory.is_empty()) {
            Some(directory) => directory.clone(),
            None if is_directory(&account.home) => account.home.clone(),
            None => "/".to_owned(),
        };
        let events = Arc::new(events);
        let executor = Arc::new(Executor {
            events: Arc::clone(&events),
            credentials: account.credentials.clone(),
            reaper: Reaper::default(),
            budget: Budget::default(),
            random: Box::new(SystemRandom),
        });
        let meter = Meter::new(settings.cpu_count, settings.memory_bytes, events, clock.now());
        let origin = Origin { work_dir, home: account.home.clone() };
        let random = Box::new(SystemRandom);
        Ok(Arc::new(Self {
            account,
            shell,
            origin,
            environment,
            executor,
            meter,
            sessions: Sessions::default(),
            terminals: Terminals::default(),
            interpreter: Interpreter::default(),
            language_servers: LanguageServers::default(),
            shell_access: ShellAccess::default(),
            clock,
            random,
        }))
    }

    /// Returns what the interpreter needs of the rest.
    pub fn surroundings(&self) -> Surroundings<'_> {
        Surroundings {
            executor: &self.executor,
            environment: &self.environment,
            origin: &self.origin,
            id: self.token(),
            now: self.clock.now(),
        }
    }

    /// Returns a name that nobody can have guessed.
    pub fn token(&self) -> String {
        hex_token(&*self.random, 8)
    }
}
