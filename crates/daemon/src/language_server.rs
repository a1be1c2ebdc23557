//! Language servers: started, asked, and restarted after a crash.

pub mod language;
pub mod document;
pub mod frame;
pub mod protocol;
pub mod connection;
pub mod server;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use crate::environment::Environment;
use crate::error::DaemonError;
use crate::execution::Executor;
use crate::file::blocking;
use crate::file::path::Origin;
use crate::language_server::language::Language;
use crate::language_server::server::{Server, check_project};
use crate::program::Launch;

/// How many may run: each takes some hundred megabytes of the sandbox's memory.
const SERVERS: usize = 8;

/// Which one is meant.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Key {
    /// The language.
    pub language: Language,
    /// The project's directory.
    pub project: PathBuf,
}

impl Key {
    /// Reads the names on the wire.
    pub fn new(origin: &Origin, language_id: &str, path_to_project: &str) -> Result<Self, DaemonError> {
        let language = Language::from_id(language_id)?;
        let project = origin.resolve("start a language server in", path_to_project)?;
        Ok(Self { language, project })
    }
}

/// Where one is or will be; held while it starts, so that it starts once.
type Slot = Arc<tokio::sync::Mutex<Option<Arc<Server>>>>;

/// All of them.
#[derive(Debug, Default)]
pub struct LanguageServers {
    slots: Mutex<BTreeMap<Key, Slot>>,
}

impl LanguageServers {
    /// Starts a server and waits until it is ready; one that runs already is fine.
    pub async fn start(
        &self,
        key: Key,
        executor: &Arc<Executor>,
        environment: &Environment,
        origin: &Origin,
    ) -> Result<(), DaemonError> {
        let (language, project) = (key.language, key.project.clone());
        let (variables, home) = (environment.with(None)?, origin.home.clone());
        let launch = blocking(move || {
            check_project(&project)?;
            let path =
                language.find(&variables, &project, &home).ok_or(DaemonError::LanguageServerMissing {
                    program: language.program(),
                    remedy: language.remedy(),
                })?;
            let words = std::iter::once(language.program()).chain(language.arguments().iter().copied());
            Ok(Launch {
                title: language.program().to_owned(),
                path,
                arguments: words.map(str::to_owned).collect(),
                variables,
                directory: project.to_string_lossy().into_owned(),
                input: None,
                extra: Vec::new(),
            })
        })
        .await?;
        let slot = self.slot(&key)?;
        let mut slot = slot.lock().await;
        if slot.as_ref().is_none_or(|server| server.is_over()) {
            *slot = None;
            *slot = Some(Arc::new(Server::start(executor, &launch, key.language, key.project).await?));
        }
        Ok(())
    }

    /// Stops a server.
    pub async fn stop(&self, key: &Key) -> Result<(), DaemonError> {
        let slot = self.find(key)?;
        let server = slot.lock().await.take().ok_or_else(|| absent(key))?;
        match Arc::try_unwrap(server) {
            Ok(server) => server.end().await,
            // Somebody waits for an answer, and is told.
            Err(shared) => shared.kill(),
        }
        Ok(())
    }

    /// Returns a server that was started; it may have ended meanwhile, which it will say itself.
    pub async fn get(&self, key: &Key) -> Result<Arc<Server>, DaemonError> {
        let slot = self.find(key)?;
        let server = slot.lock().await.clone();
        server.ok_or_else(|| absent(key))
    }

    fn find(&self, key: &Key) -> Result<Slot, DaemonError> {
        let slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        slots.get(key).cloned().ok_or_else(|| absent(key))
    }

    /// Returns the place of a server, made when there is room for one more.
    fn slot(&self, key: &Key) -> Result<Slot, DaemonError> {
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        if !slots.contains_key(key) {
            // One that is locked is in use. What ended is kept only to say why, which is no reason to refuse another.
            let is_full = slots.len() >= SERVERS;
            slots.retain(|_, slot| {
                Arc::strong_count(slot) > 1
                    || slot.try_lock().map_or(true, |server| {
                        server.as_ref().is_some_and(|server| !is_full || !server.is_over())
                    })
            });
            if slots.len() >= SERVERS {
                let what = format!("{SERVERS} language servers run already; stop one with /lsp/stop first");
                return Err(DaemonError::LanguageServerLimit { what });
            }
        }
        Ok(Arc::clone(slots.entry(key.clone()).or_default()))
    }
}

fn absent(key: &Key) -> DaemonError {
    let project = key.project.to_string_lossy().into_owned();
    DaemonError::LanguageServerAbsent { language: key.language.id(), project }
}
