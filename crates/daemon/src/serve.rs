//! The daemon's life: become init, resolve the user, answer requests, and end with everything that runs.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::Write as _;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;

use axum::serve::ListenerExt as _;
use linux::cgroup::Events;
use linux::credential::{Credentials, assume_files, try_files};
use rustix::process::Signal;
use tokio::signal::unix::{SignalKind, signal};
use types::SystemClock;

use crate::daemon::{Daemon, VERSION};
use crate::error::DaemonError;
use crate::http::router::router;
use crate::program::Launch;
use crate::settings::Settings;
use crate::tree;

/// File operations wait on disks, not processors; more threads would only cost memory.
const FILE_THREADS: usize = 16;
const THREAD_STACK_BYTES: usize = 512 * 1024;
/// How long an idle file thread is kept: in a sandbox that is full of processes no new one could be started, and file
/// operations must still work then.
const THREAD_IDLE: Duration = Duration::from_hours(24);
/// How much of a file may be on its way to the proxy: twice as much as usual, for half as many changes between the two.
const SEND_BUFFER_BYTES: usize = 512 * 1024;
/// How much freed memory is kept: what one upload has in its hands at a time.
const KEPT_BYTES: i32 = 2 * 1024 * 1024;
/// How often stopping processes are looked at.
const POLL: Duration = Duration::from_millis(5);
/// What new files may be used for by default: by others, to read.
const UMASK: u32 = 0o022;

/// Runs the daemon until it is told to end. The caller must not have started a thread or opened a file.
pub fn run(settings: &Settings) -> Result<(), DaemonError> {
    linux::heap::keep_freed(KEPT_BYTES);
    let ready = linux::child::inherit(settings.ready_fd)?;
    let outcome = linux::child::inherit(settings.listener_fd).map_err(DaemonError::from);
    // In order, up to the first that is not there: without them causes are not told, which stops nobody.
    let events = settings.event_fds.iter().map_while(|number| linux::child::inherit(*number).ok());
    let events = Events::new(events.collect::<Vec<_>>());
    let started = outcome.and_then(|listener| {
        become_init()?;
        let daemon = Daemon::new(settings, events, Box::new(SystemClock))?;
        let runtime = runtime(&daemon.account.credentials)?;
        Ok((listener, daemon, runtime))
    });
    match started {
        Ok((listener, daemon, runtime)) => {
            let result = runtime.block_on(live(&daemon, settings, listener, ready));
            // Without waiting for a thread that a stuck file system may hold for ever.
            runtime.shutdown_background();
            result
        }
        Err(error) => {
            announce(ready, &format!("E{}", error.message()));
            Err(error)
        }
    }
}

/// Takes in orphans, and keeps the sandbox's processes out of this one's memory.
fn become_init() -> Result<(), DaemonError> {
    let failed = |step| move |error: rustix::io::Errno| DaemonError::Runtime { step, source: error.into() };
    // Root inside may send what it likes, and only the request to end is obeyed. Run by hand, it ends as programs do.
    if rustix::process::getpid() == rustix::process::Pid::INIT {
        linux::process::ignore_signals_but(&[Signal::TERM, Signal::CHILD])?;
    }
    // The first process of a namespace inherits orphans anyway; this makes it so when run by hand, too.
    rustix::process::set_child_subreaper(Some(rustix::process::getpid()))
        .map_err(failed("inherit orphans"))?;
    rustix::process::set_dumpable_behavior(rustix::process::DumpableBehavior::NotDumpable)
        .map_err(failed("forbid to be traced"))?;
    rustix::process::umask(rustix::fs::Mode::from_raw_mode(UMASK));
    Ok(())
}

fn runtime(credentials: &Credentials) -> Result<tokio::runtime::Runtime, DaemonError> {
    let failed = |source| DaemonError::Runtime { step: "start the runtime", source };
    let is_root = rustix::process::geteuid().is_root();
    let user = (is_root && !credentials.is_root()).then(|| credentials.clone());
    if let Some(user) = &user {
        // Tried once where it can be told; what fails here would fail on every thread.
        try_files(user)?;
    }
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .max_blocking_threads(FILE_THREADS)
        .thread_stack_size(THREAD_STACK_BYTES)
        .thread_keep_alive(THREAD_IDLE)
        .on_thread_start(move || {
            // Best effort: without it the same happens a little later.
            let _ = linux::child::hear_nothing_of_children();
            if user.as_ref().is_some_and(|user| assume_files(user).is_err()) {
                // A thread that acts as root on the user's behalf would be a hole; rather no daemon at all.
                std::process::abort();
            }
        })
        .build()
        .map_err(failed)
}

async fn live(
    daemon: &Arc<Daemon>,
    settings: &Settings,
    listener: OwnedFd,
    ready: OwnedFd,
) -> Result<(), DaemonError> {
    let started = async {
        let failed = |step| move |source| DaemonError::Runtime { step, source };
        let listener = std::os::unix::net::UnixListener::from(listener);
        listener.set_nonblocking(true).map_err(failed("listen"))?;
        let listener = tokio::net::UnixListener::from_std(listener).map_err(failed("listen"))?;
        let child_ended = signal(SignalKind::child()).map_err(failed("watch for ended processes"))?;
        let terminate = signal(SignalKind::terminate()).map_err(failed("watch for the end"))?;
        start_entrypoint(daemon, settings).await?;
        // Cheap to ask, and proves that the socket is one.
        listener.local_addr().map_err(failed("listen"))?;
        Ok((listener, child_ended, terminate))
    };
    let (listener, child_ended, mut terminate) = match started.await {
        Ok(parts) => parts,
        Err(error) => {
            let error: DaemonError = error;
            announce(ready, &format!("E{}", error.message()));
            return Err(error);
        }
    };
    announce(ready, &format!("R{VERSION}\n"));
    // The first file thread, before anybody can fill the sandbox with processes. Not before the announcement: whoever
    // waits for it would wait for a thread to be started, which takes longer than all the rest.
    drop(tokio::task::spawn_blocking(|| ()));
    let listener = listener.tap_io(|stream| {
        // Best effort: a host may allow less, and what is sent is the same.
        let _ = rustix::net::sockopt::set_socket_send_buffer_size(stream, SEND_BUFFER_BYTES);
    });
    let server = axum::serve(listener, router(Arc::clone(daemon)));
    tokio::select! {
        result = server.into_future() => {
            result.map_err(|source| DaemonError::Runtime { step: "accept connections", source })
        }
        () = daemon.executor.reaper.run(child_ended) => Ok(()),
        _ = terminate.recv() => {
            end_all(daemon, Duration::from_millis(settings.grace_ms)).await;
            Ok(())
        }
    }
}

/// Tells the runner how the start went; it may have lost interest, which is no reason to stop.
fn announce(ready: OwnedFd, message: &str) {
    let _ = File::from(ready).write_all(message.as_bytes());
}

/// Starts the sandbox's own program; one that cannot be started says so in its log and is no reason not to serve.
async fn start_entrypoint(daemon: &Daemon, settings: &Settings) -> Result<(), DaemonError> {
    let Some(program) = settings.entrypoint.first() else { return Ok(()) };
    let variables = daemon.environment.with(None)?;
    let found = if program.contains('/') { None } else { crate::program::find(program, &variables) };
    let launch = Launch {
        title: settings.entrypoint.join(" "),
        path: found.unwrap_or_else(|| program.clone()),
        arguments: settings.entrypoint.clone(),
        variables,
        directory: daemon.origin.work_dir.clone(),
        input: None,
        extra: Vec::new(),
    };
    daemon.sessions.entrypoint.start(&daemon.executor, launch, &daemon.sessions.stock).await
}

/// Asks every process to end, waits, and kills the rest.
async fn end_all(daemon: &Daemon, grace: Duration) {
    let deadline = tokio::time::Instant::now() + grace;
    let mut asked = BTreeSet::new();
    while tree::ask_everybody(&mut asked) > 0 && tokio::time::Instant::now() < deadline {
        tokio::time::sleep(POLL).await;
        daemon.executor.reaper.collect();
    }
    tree::kill_everybody();
}
