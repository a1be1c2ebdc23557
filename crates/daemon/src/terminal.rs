//! Terminals: a shell on a pseudo-terminal each, with any number of clients.

pub mod sequence;
pub mod feed;
pub mod shell;

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use daytona_wire::toolbox::terminal::PtySessionInfo;
use linux::terminal::Window;
use types::Timestamp;

use crate::error::DaemonError;
use crate::execution::Executor;
use crate::file::blocking;
use crate::program::Launch;
use feed::{Feed, Viewer};
use shell::Shell;

/// How many terminals there may be; what the sandbox's device file system has room for is more.
pub const TERMINALS: usize = 64;
/// How many ended terminals are remembered, to tell them from those that never were.
const REMEMBERED: usize = 64;
/// The longest line, and the most lines.
pub const WINDOW_SIDE: u32 = 1000;
const ID_BYTES: usize = 256;
/// What the contract has beside the names.
const RESERVED: &str = "create-connect";
/// How long a deletion waits for the shell to be gone.
const END_WITHIN: Duration = Duration::from_secs(5);
/// What terminals are said to understand.
const KIND: &str = "xterm-256color";

/// All of them.
#[derive(Debug, Default)]
pub struct Terminals {
    table: Arc<Mutex<Table>>,
}

#[derive(Debug, Default)]
struct Table {
    terminals: BTreeMap<String, Arc<Terminal>>,
    ended: VecDeque<String>,
}

/// A terminal to make.
#[derive(Debug)]
pub struct Request {
    /// Its name.
    pub id: String,
    /// The shell's path.
    pub shell: String,
    /// The whole environment of the shell.
    pub variables: BTreeMap<String, String>,
    /// The part of it that was asked for.
    pub asked: BTreeMap<String, String>,
    /// The directory the shell starts in.
    pub directory: String,
    /// Its size.
    pub window: Window,
    /// Whether the shell waits for the first client.
    pub is_lazy: bool,
    /// Whether it is one of those that anybody may connect to; else it is not listed.
    pub is_listed: bool,
    /// When it was asked for.
    pub now: Timestamp,
}

/// One terminal.
#[derive(Debug)]
pub struct Terminal {
    id: String,
    launch: Launch,
    asked: BTreeMap<String, String>,
    is_lazy: bool,
    is_listed: bool,
    created_at: Timestamp,
    window: Mutex<Window>,
    stage: Mutex<Stage>,
    /// One starts it; others who come meanwhile wait here.
    starting: tokio::sync::Mutex<()>,
    feed: Arc<Feed>,
}

#[derive(Debug, Clone)]
enum Stage {
    Waiting,
    Running(Shell),
    Ended,
}

/// A client's hold on a terminal.
#[derive(Debug)]
pub struct Attachment {
    /// What it sees.
    pub viewer: Viewer,
    /// What it types into.
    pub shell: Shell,
}

/// Takes a terminal back unless it is kept.
#[derive(Debug)]
pub struct Registration<'a> {
    terminals: &'a Terminals,
    terminal: Arc<Terminal>,
    is_kept: bool,
}

impl Registration<'_> {
    /// The terminal.
    pub const fn terminal(&self) -> &Arc<Terminal> {
        &self.terminal
    }

    /// Describes the terminal.
    pub fn info(&self) -> PtySessionInfo {
        self.terminal.info()
    }

    /// Leaves the terminal in place.
    pub fn keep(mut self) -> Arc<Terminal> {
        self.is_kept = true;
        Arc::clone(&self.terminal)
    }
}

impl Drop for Registration<'_> {
    fn drop(&mut self) {
        if !self.is_kept {
            self.terminals.discard(&self.terminal);
        }
    }
}

impl Terminals {
    /// Adds a terminal, without a shell yet.
    pub async fn register(&self, request: Request) -> Result<Registration<'_>, DaemonError> {
        check_id(&request.id)?;
        check_directory(request.directory.clone()).await?;
        let terminal = Arc::new(Terminal::new(request));
        let mut table = lock(&self.table);
        let id = &terminal.id;
        if table.terminals.contains_key(id) {
            return Err(DaemonError::TerminalExists { id: id.clone() });
        }
        if table.terminals.len() >= TERMINALS {
            return Err(DaemonError::TooManyTerminals { limit: TERMINALS });
        }
        table.ended.retain(|ended| ended != id);
        table.terminals.insert(id.clone(), Arc::clone(&terminal));
        Ok(Registration { terminals: self, terminal, is_kept: false })
    }

    /// Returns all that are listed, by name.
    pub fn list(&self) -> Vec<PtySessionInfo> {
        let table = lock(&self.table);
        table
            .terminals
            .values()
            .filter(|terminal| terminal.is_listed)
            .map(|terminal| terminal.info())
            .collect()
    }

    /// Returns one of those that are listed.
    pub fn get(&self, id: &str) -> Result<Arc<Terminal>, DaemonError> {
        let table = lock(&self.table);
        let found = table.terminals.get(id).filter(|terminal| terminal.is_listed);
        found.cloned().ok_or_else(|| DaemonError::NoSuchTerminal { id: id.to_owned() })
    }

    /// Changes the size of a terminal for all its clients.
    pub fn resize(&self, id: &str, window: Window) -> Result<PtySessionInfo, DaemonError> {
        let ended = || DaemonError::TerminalEnded { id: id.to_owned() };
        let terminal = self.get(id).map_err(|missing| {
            if lock(&self.table).ended.iter().any(|known| known == id) { ended() } else { missing }
        })?;
        if !terminal.resize(window)? {
            return Err(ended());
        }
        Ok(terminal.info())
    }

    /// Connects a client; starts the shell if none runs yet.
    pub async fn attach(
        &self,
        executor: &Arc<Executor>,
        terminal: &Arc<Terminal>,
    ) -> Result<Attachment, DaemonError> {
        // Before the start: so it sees the very first output, as it was written.
        let viewer = terminal.feed.view()?;
        let shell = self.start(executor, terminal).await?;
        Ok(Attachment { viewer, shell })
    }

    /// Starts the shell unless it runs already.
    pub async fn start(
        &self,
        executor: &Arc<Executor>,
        terminal: &Arc<Terminal>,
    ) -> Result<Shell, DaemonError> {
        let _only_one = terminal.starting.lock().await;
        match terminal.stage() {
            Stage::Running(shell) => return Ok(shell),
            Stage::Ended => return Err(DaemonError::NoSuchTerminal { id: terminal.id.clone() }),
            Stage::Waiting => {}
        }
        let (table, ending) = (Arc::clone(&self.table), Arc::clone(terminal));
        let ended = move || {
            *ending.lock_stage() = Stage::Ended;
            forget(&table, &ending, true);
        };
        let feed = Arc::clone(&terminal.feed);
        let window = terminal.window();
        let shell = Shell::start(executor, &terminal.launch, window, feed, ended).await?;
        {
            let mut stage = terminal.lock_stage();
            // Deleted while it was being started.
            if matches!(*stage, Stage::Ended) {
                shell.kill();
                return Err(DaemonError::NoSuchTerminal { id: terminal.id.clone() });
            }
            *stage = Stage::Running(shell.clone());
        }
        // It may have been changed meanwhile; the same size again is no news to anybody.
        shell.resize(terminal.window())?;
        Ok(shell)
    }

    /// Ends a terminal and everything that was started in it.
    pub async fn delete(&self, id: &str) -> Result<(), DaemonError> {
        let terminal = self.get(id)?;
        if self.discard(&terminal) {
            // The kill cannot be refused; a process that the kernel holds is not waited for.
            let _ = tokio::time::timeout(END_WITHIN, terminal.feed.ended()).await;
        }
        Ok(())
    }

    /// Takes a terminal out and kills what runs in it; returns whether anything runs.
    pub fn discard(&self, terminal: &Arc<Terminal>) -> bool {
        forget(&self.table, terminal, false);
        match std::mem::replace(&mut *terminal.lock_stage(), Stage::Ended) {
            Stage::Running(shell) => {
                shell.kill();
                true
            }
            Stage::Waiting | Stage::Ended => false,
        }
    }
}

impl Terminal {
    fn new(request: Request) -> Self {
        let name = request.shell.rsplit('/').next().unwrap_or(&request.shell).to_owned();
        let mut variables = request.variables;
        if !request.asked.contains_key("TERM") {
            variables.insert("TERM".to_owned(), KIND.to_owned());
        }
        let launch = Launch {
            title: name.clone(),
            path: request.shell,
            arguments: vec![name, "-i".to_owned(), "-l".to_owned()],
            variables,
            directory: request.directory,
            input: None,
            extra: Vec::new(),
        };
        Self {
            id: request.id,
            launch,
            asked: request.asked,
            is_lazy: request.is_lazy,
            is_listed: request.is_listed,
            created_at: request.now,
            window: Mutex::new(request.window),
            stage: Mutex::new(Stage::Waiting),
            starting: tokio::sync::Mutex::default(),
            feed: Arc::default(),
        }
    }

    /// Describes it.
    pub fn info(&self) -> PtySessionInfo {
        let window = self.window();
        PtySessionInfo {
            id: self.id.clone(),
            cwd: self.launch.directory.clone(),
            envs: self.asked.clone(),
            cols: window.columns.into(),
            rows: window.rows.into(),
            created_at: self.created_at.to_string(),
            active: matches!(self.stage(), Stage::Running(_)),
            lazy_start: self.is_lazy,
        }
    }

    /// Changes its size; returns whether there is anything left to change.
    pub fn resize(&self, window: Window) -> Result<bool, DaemonError> {
        *self.window.lock().unwrap_or_else(PoisonError::into_inner) = window;
        match self.stage() {
            Stage::Running(shell) => shell.resize(window).map(|()| true),
            Stage::Waiting => Ok(true),
            Stage::Ended => Ok(false),
        }
    }

    fn window(&self) -> Window {
        *self.window.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn stage(&self) -> Stage {
        self.lock_stage().clone()
    }

    fn lock_stage(&self) -> MutexGuard<'_, Stage> {
        self.stage.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn lock(table: &Mutex<Table>) -> MutexGuard<'_, Table> {
    table.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Takes a terminal out of the table, and remembers one that ended by itself.
fn forget(table: &Mutex<Table>, terminal: &Arc<Terminal>, is_remembered: bool) {
    let mut table = lock(table);
    // Another may have its name by now.
    if !table.terminals.get(&terminal.id).is_some_and(|known| Arc::ptr_eq(known, terminal)) {
        return;
    }
    table.terminals.remove(&terminal.id);
    if is_remembered && terminal.is_listed {
        if table.ended.len() >= REMEMBERED {
            table.ended.pop_front();
        }
        table.ended.push_back(terminal.id.clone());
    }
}

/// Reads a size as requests give it; nothing and 0 stand for the usual one.
pub fn window(columns: Option<u32>, rows: Option<u32>) -> Result<Window, DaemonError> {
    let side = |name: &str, value: Option<u32>, usual: u16| match value {
        None | Some(0) => Ok(usual),
        Some(value) => u16::try_from(value).ok().filter(|_| value <= WINDOW_SIDE).ok_or_else(|| {
            let reason = format!("`{name}` is {value}; a terminal has 1 to {WINDOW_SIDE} of them");
            DaemonError::Invalid { reason }
        }),
    };
    Ok(Window { columns: side("cols", columns, 80)?, rows: side("rows", rows, 24)? })
}

fn check_id(id: &str) -> Result<(), DaemonError> {
    let reason = if id.is_empty() || id.len() > ID_BYTES {
        format!("the id of a terminal has 1 to {ID_BYTES} bytes")
    } else if id.chars().any(char::is_control) {
        "the id of a terminal has no control characters".to_owned()
    } else if id == RESERVED {
        format!("`{RESERVED}` is the name of an operation; choose another id")
    } else {
        return Ok(());
    };
    Err(DaemonError::Invalid { reason })
}

/// Checked early, so that whoever asks hears of it, and not only the first client.
async fn check_directory(directory: String) -> Result<(), DaemonError> {
    blocking(move || {
        let refused = |problem: String| DaemonError::Invalid {
            reason: format!(
                "a terminal cannot start in `{directory}`: {problem}; use a directory that exists"
            ),
        };
        match std::fs::metadata(&directory) {
            Ok(metadata) if metadata.is_dir() => Ok(()),
            Ok(_) => Err(refused("it is not a directory".to_owned())),
            Err(error) => Err(refused(error.to_string())),
        }
    })
    .await
}
