//! Python programs that keep their state between calls, one per context.

pub mod message;
pub mod worker;
pub mod turn;
pub mod context;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use daytona_wire::toolbox::interpreter::{CreateContextRequest, InterpreterContext, InterpreterRequest};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

use types::Timestamp;

use crate::environment::Environment;
use crate::error::DaemonError;
use crate::execution::Executor;
use crate::file::blocking;
use crate::file::path::Origin;
use crate::interpreter::context::Context;
use crate::interpreter::message::{Call, Event};

/// The context of calls that name none.
pub const DEFAULT_CONTEXT: &str = "default";
/// The only language.
const LANGUAGE: &str = "python";
/// How many contexts there may be beside the default one; each may have a process.
const CONTEXTS: usize = 64;
/// How many calls may run and wait in all contexts together.
const CALLS: usize = 64;
/// How long a call may run that does not say.
const DEFAULT_TIMEOUT: Duration = Duration::from_mins(10);
/// How many frames wait for a slow client.
const FRAMES: usize = 2;

/// What of the daemon a context is made with.
#[derive(Debug)]
pub struct Surroundings<'daemon> {
    /// What runs its process.
    pub executor: &'daemon Arc<Executor>,
    /// What its process finds in its environment.
    pub environment: &'daemon Environment,
    /// Where its directory is looked for.
    pub origin: &'daemon Origin,
    /// The name that it gets, should it have none.
    pub id: String,
    /// The time.
    pub now: Timestamp,
}

/// All contexts.
#[derive(Debug)]
pub struct Interpreter {
    contexts: Mutex<Vec<Context>>,
    calls: Arc<Semaphore>,
}

impl Default for Interpreter {
    fn default() -> Self {
        Self { contexts: Mutex::default(), calls: Arc::new(Semaphore::new(CALLS)) }
    }
}

impl Interpreter {
    /// Takes the right to make one call, before its code is read.
    pub fn admit(&self) -> Result<OwnedSemaphorePermit, DaemonError> {
        let permit = Arc::clone(&self.calls).try_acquire_owned();
        permit.map_err(|_| DaemonError::TooManyCalls { limit: CALLS })
    }

    /// Returns the contexts that were made, without the default one.
    pub fn list(&self) -> Vec<InterpreterContext> {
        let contexts = self.lock();
        contexts.iter().filter(|context| context.id != DEFAULT_CONTEXT).map(describe).collect()
    }

    /// Removes a context and kills its process with everything that has started.
    pub async fn delete(&self, id: &str) -> Result<(), DaemonError> {
        if id == DEFAULT_CONTEXT {
            let reason =
                "the default context cannot be deleted; make one of your own to be able to".to_owned();
            return Err(DaemonError::Invalid { reason });
        }
        let context = {
            let mut contexts = self.lock();
            let position = contexts.iter().position(|context| context.id == id);
            position.map(|position| contexts.remove(position))
        };
        let context = context.ok_or_else(|| no_such(id))?;
        context.end().await;
        Ok(())
    }

    /// Makes a context; its process is started by its first call.
    pub async fn create(
        &self,
        surroundings: Surroundings<'_>,
        request: CreateContextRequest,
    ) -> Result<InterpreterContext, DaemonError> {
        let language = request.language.filter(|language| !language.is_empty());
        if let Some(other) = language.filter(|language| language != LANGUAGE) {
            let shown: String = other.chars().take(40).collect();
            let reason =
                format!("unsupported language `{}`: the interpreter knows python", shown.escape_debug());
            return Err(DaemonError::Invalid { reason });
        }
        let directory = match request.cwd.as_deref().filter(|cwd| !cwd.is_empty()) {
            None => surroundings.origin.work_dir.clone(),
            Some(cwd) => existing_directory(surroundings.origin, cwd).await?,
        };
        let mut contexts = self.lock();
        if contexts.iter().filter(|context| context.id != DEFAULT_CONTEXT).count() >= CONTEXTS {
            return Err(DaemonError::TooManyContexts { limit: CONTEXTS });
        }
        let context = context(&surroundings, surroundings.id.clone(), directory);
        let described = describe(&context);
        contexts.push(context);
        Ok(described)
    }

    /// Puts code into the queue of its context; what it prints comes out of the returned channel, which closes without an end
    /// when the context is deleted.
    pub fn submit(
        &self,
        surroundings: &Surroundings<'_>,
        request: InterpreterRequest,
    ) -> Result<mpsc::Receiver<Event>, DaemonError> {
        if request.code.trim().is_empty() {
            let reason = "code cannot be empty or whitespace-only; send the code to run".to_owned();
            return Err(DaemonError::Invalid { reason });
        }
        // Only to have their names checked.
        surroundings.environment.with(request.envs.as_ref())?;
        let (events, frames) = mpsc::channel(FRAMES);
        let call = Call {
            code: request.code,
            variables: request.envs.unwrap_or_default(),
            environment: surroundings.environment.with(None)?,
            timeout: timeout(request.timeout)?,
            events,
        };
        let id = request.context_id.filter(|id| !id.is_empty()).unwrap_or_else(|| DEFAULT_CONTEXT.to_owned());
        let mut contexts = self.lock();
        if id == DEFAULT_CONTEXT && !contexts.iter().any(|context| context.id == id) {
            let directory = surroundings.origin.work_dir.clone();
            contexts.push(context(surroundings, id.clone(), directory));
        }
        let context = contexts.iter().find(|context| context.id == id).ok_or_else(|| no_such(&id))?;
        if !context.submit(call) {
            return Err(DaemonError::TooManyCalls { limit: CALLS });
        }
        Ok(frames)
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Context>> {
        self.contexts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn existing_directory(origin: &Origin, cwd: &str) -> Result<String, DaemonError> {
    let path = origin.resolve("work in", cwd)?;
    blocking(move || {
        if std::fs::metadata(&path).is_ok_and(|metadata| metadata.is_dir()) {
            return Ok(path.to_string_lossy().into_owned());
        }
        let reason = format!("cwd `{}` is not a directory; make it first", path.display());
        Err(DaemonError::Invalid { reason })
    })
    .await
}

/// Reads a limit in seconds: absent is the default, 0 is none.
fn timeout(seconds: Option<f64>) -> Result<Option<Duration>, DaemonError> {
    let Some(seconds) = seconds else { return Ok(Some(DEFAULT_TIMEOUT)) };
    match Duration::try_from_secs_f64(seconds) {
        Ok(Duration::ZERO) => Ok(None),
        Ok(timeout) => Ok(Some(timeout)),
        // Longer than anything can run.
        Err(_) if seconds > 0.0 => Ok(None),
        Err(_) => {
            let reason = format!("timeout is {seconds}; use seconds from 0, which means no limit");
            Err(DaemonError::Invalid { reason })
        }
    }
}

fn context(surroundings: &Surroundings<'_>, id: String, directory: String) -> Context {
    Context::new(Arc::clone(surroundings.executor), id, directory, surroundings.now, CALLS)
}

fn describe(context: &Context) -> InterpreterContext {
    InterpreterContext {
        active: true,
        created_at: format!("{:.3}", context.created_at),
        cwd: context.directory.clone(),
        id: context.id.clone(),
        language: LANGUAGE.to_owned(),
    }
}

fn no_such(id: &str) -> DaemonError {
    DaemonError::NoSuchContext { id: id.chars().take(40).collect::<String>().escape_debug().to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_seconds_and_zero_is_none() {
        assert_eq!(timeout(None).expect("default"), Some(DEFAULT_TIMEOUT));
        assert_eq!(timeout(Some(0.0)).expect("none"), None);
        assert_eq!(timeout(Some(1.5)).expect("some"), Some(Duration::from_millis(1500)));
        assert_eq!(timeout(Some(1e300)).expect("for ever"), None);
        for nonsense in [-1.0, -1e300, f64::NAN, f64::NEG_INFINITY] {
            timeout(Some(nonsense)).expect_err("nonsense");
        }
    }
}
