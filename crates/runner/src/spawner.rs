//! A small single-threaded process that clones, because a server with threads must not (see `docs/decisions`).
//!
//! It holds no secrets and no state: a request with descriptors in, a process id and its descriptor out. It ends
//! when the runner does; the sandboxes it made do not.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::process::{Command, Stdio};
use std::sync::{Mutex, PoisonError};

use linux::errno::CallError;
use linux::namespace::{self, SingleThreaded};
use linux::seccomp::Filter;
use serde::{Deserialize, Serialize};

use crate::error::{RunnerError, chain};
use crate::place::IDS_PER_SANDBOX;
use crate::sandbox::init::{self, Inherited, Plan};

const POLICY: &str = include_str!("../policy/seccomp-x86_64.json");
/// The filter that the spawner itself has and its children inherit. It is long, and installing it costs the kernel
/// 1.5 ms, more than all mounts of a sandbox together.
const POLICY_INHERITED: [&str; 1] = ["known"];
/// The filters that each child adds. Where several refuse a call the last one's error is seen.
const POLICY_ADDED: [&str; 2] = ["refused", "absent"];

/// Compiles every filter that a sandbox ends up with.
pub(crate) fn policy() -> Result<Filter, linux::seccomp::PolicyError> {
    Filter::compile(POLICY, &[POLICY_INHERITED.as_slice(), &POLICY_ADDED].concat())
}

/// How long the spawner may take to clone; far more than it needs on a busy host.
const ANSWER_TIMEOUT_MS: u32 = 30_000;

/// How long a mount may take: a disk that is held may keep it waiting, and nobody is cloned meanwhile.
const ATTACH_TIMEOUT_MS: u32 = 5_000;
/// What the child says that put it there.
const ATTACHED: &str = "attached";

/// Asks for one process. The message carries the control socket, the daemon program, the events and the doors of its control
/// groups and, where the host has version 2 ones, the group's directory.
#[derive(Debug, Serialize, Deserialize)]
struct Request {
    id_base: u32,
    /// How many descriptors are events.
    events: usize,
    /// Whether the last descriptor is a version 2 group.
    into_group: bool,
    plan: Plan,
}

/// What is asked for.
#[derive(Debug, Serialize, Deserialize)]
enum Order {
    /// A process.
    Spawn(Request),
    /// A mount for a process that runs. The message carries its descriptor, its root directory and the mount, detached.
    Attach {
        /// Where it goes inside.
        path: String,
    },
}

/// The answer; a good one carries the process's descriptor.
#[derive(Debug, Serialize, Deserialize)]
enum Answer {
    Started { pid: i32 },
    Attached,
    Failed { reason: String },
}

/// The runner's end of the spawner.
#[derive(Debug)]
pub struct Spawner {
    /// The program and arguments that run [`serve`].
    command: Vec<String>,
    /// Replaced when the process is found dead.
    socket: Mutex<Option<OwnedFd>>,
}

/// A process in namespaces of its own, waiting for its root file system.
#[derive(Debug)]
pub struct Spawned {
    /// Its id on the host.
    pub pid: i32,
    /// Its descriptor.
    pub pidfd: OwnedFd,
}

impl Spawner {
    /// Will start `command`, whose standard input is the socket, with the first request.
    pub fn new(command: Vec<String>) -> Self {
        Self { command, socket: Mutex::new(None) }
    }

    /// Clones a process whose ids start at `id_base`; it goes on with [`init::run`].
    pub fn spawn(
        &self,
        id_base: u32,
        plan: Plan,
        inherited: &Inherited,
        group: Option<&OwnedFd>,
    ) -> Result<Spawned, RunnerError> {
        let order = Order::Spawn(Request {
            id_base,
            events: inherited.events.len(),
            into_group: group.is_some(),
            plan,
        });
        let mut descriptors = vec![inherited.control.as_fd(), inherited.daemon.as_fd()];
        descriptors.extend(inherited.events.iter().map(AsFd::as_fd));
        descriptors.extend(inherited.doors.iter().map(AsFd::as_fd));
        descriptors.extend(group.map(AsFd::as_fd));
        match self.ask(&order, &descriptors)? {
            (Answer::Started { pid }, Some(pidfd)) => Ok(Spawned { pid, pidfd }),
            (Answer::Started { pid }, None) => {
                Err(RunnerError::Refused { reason: format!("no descriptor of {pid}") })
            }
            (Answer::Attached, _) => Err(RunnerError::Refused { reason: "it attached a mount".to_owned() }),
            (Answer::Failed { reason }, _) => Err(RunnerError::Refused { reason }),
        }
    }

    /// Puts a detached mount at `path` of the file system that the first process of a sandbox sees.
    pub fn attach(
        &self,
        pidfd: impl AsFd,
        pid: i32,
        mount: impl AsFd,
        path: &str,
    ) -> Result<(), RunnerError> {
        let root = format!("/proc/{pid}/root");
        let root = linux::mount::open_root(&root).map_err(|source| RunnerError::Spawn { source })?;
        let order = Order::Attach { path: path.to_owned() };
        match self.ask(&order, &[pidfd.as_fd(), root.as_fd(), mount.as_fd()])? {
            (Answer::Attached, _) => Ok(()),
            (Answer::Started { .. }, _) => {
                Err(RunnerError::Refused { reason: "it started a process".to_owned() })
            }
            (Answer::Failed { reason }, _) => Err(RunnerError::Attach { path: path.to_owned(), reason }),
        }
    }

    /// Asks the spawner, which is started when it does not run, and waits for its answer.
    fn ask(
        &self,
        order: &Order,
        descriptors: &[BorrowedFd<'_>],
    ) -> Result<(Answer, Option<OwnedFd>), RunnerError> {
        let failed = |source: CallError| RunnerError::Spawn { source };
        let request = serde_json::to_vec(order)
            .map_err(|source| RunnerError::Encode { what: "order to the spawner", source })?;
        let mut guard = self.socket.lock().unwrap_or_else(PoisonError::into_inner);
        let socket = match guard.take() {
            Some(socket) => socket,
            None => self.launch()?,
        };
        // A socket that failed once is not put back: the next request starts a new spawner.
        linux::socket::send(&socket, &request, descriptors).map_err(failed)?;
        let answers = linux::process::wait(&socket, ANSWER_TIMEOUT_MS);
        if !answers.map_err(|source| RunnerError::Launch { program: "the spawner".to_owned(), source })? {
            return Err(RunnerError::Refused { reason: format!("no answer within {ANSWER_TIMEOUT_MS} ms") });
        }
        let mut buffer = [0; 4096];
        let (length, answered) = linux::socket::receive(&socket, &mut buffer).map_err(failed)?;
        let answer = serde_json::from_slice(buffer.get(..length).unwrap_or_default());
        let answer = answer.map_err(|source| RunnerError::Decode { what: "spawn answer", source })?;
        *guard = Some(socket);
        Ok((answer, answered.into_iter().next()))
    }

    fn launch(&self) -> Result<OwnedFd, RunnerError> {
        let (ours, theirs) = linux::socket::pair().map_err(|source| RunnerError::Spawn { source })?;
        let Some((program, arguments)) = self.command.split_first() else {
            return Err(RunnerError::Refused { reason: "no spawner program is configured".to_owned() });
        };
        let mut command = Command::new(program);
        command.args(arguments).stdin(Stdio::from(theirs)).stdout(Stdio::null()).env_clear();
        // Detached from the terminal's process group, so that Ctrl-C reaches the server alone.
        std::os::unix::process::CommandExt::process_group(&mut command, 0);
        let child =
            command.spawn().map_err(|source| RunnerError::Launch { program: program.clone(), source })?;
        // Reaped by its own thread: it lives as long as the runner.
        std::thread::spawn(move || {
            let mut child = child;
            child.wait()
        });
        Ok(ours)
    }
}

/// Serves requests from `socket` until the runner closes it. Call it first thing in `main`, before any thread, with the
/// standard input itself: its children replace that, and must not keep the socket, which tells the runner that the
/// spawner is gone.
pub fn serve(socket: impl AsFd) -> Result<(), RunnerError> {
    let failed = |source: CallError| RunnerError::Spawn { source };
    let proof = SingleThreaded::prove().map_err(failed)?;
    namespace::keep_capabilities_as_any_user().map_err(failed)?;
    // Whoever wants to know how a child ended holds its descriptor.
    linux::process::forget_ended_children(true).map_err(failed)?;
    let compile =
        |names: &[&str]| Filter::compile(POLICY, names).map_err(|source| RunnerError::Policy { source });
    compile(&POLICY_INHERITED)?.install().map_err(failed)?;
    let filter = compile(&POLICY_ADDED)?;
    let mut buffer = vec![0; 64 * 1024];
    loop {
        let (length, descriptors) = linux::socket::receive(&socket, &mut buffer).map_err(failed)?;
        if length == 0 {
            return Ok(());
        }
        let message = buffer.get(..length).unwrap_or_default();
        let done = match serde_json::from_slice(message) {
            Ok(Order::Spawn(request)) => spawn(&proof, &filter, &request, descriptors).map(Some),
            Ok(Order::Attach { path }) => attach(&proof, &path, descriptors).map(|()| None),
            Err(error) => Err(error.to_string()),
        };
        let answer = match done {
            Ok(Some(spawned)) => {
                let text = encode(&Answer::Started { pid: spawned.pid });
                linux::socket::send(&socket, &text, &[spawned.pidfd.as_fd()])
            }
            Ok(None) => linux::socket::send(&socket, &encode(&Answer::Attached), &[]),
            Err(reason) => linux::socket::send(&socket, &encode(&Answer::Failed { reason }), &[]),
        };
        answer.map_err(failed)?;
    }
}

fn encode(answer: &Answer) -> Vec<u8> {
    serde_json::to_vec(answer).unwrap_or_default()
}

/// Clones one child; the reason of a failure is text because it crosses to another process.
fn spawn(
    proof: &SingleThreaded,
    filter: &Filter,
    request: &Request,
    descriptors: Vec<OwnedFd>,
) -> Result<Spawned, String> {
    let mut descriptors = descriptors.into_iter();
    let mut next = || descriptors.next().ok_or_else(|| "a descriptor is missing".to_owned());
    let (control, daemon) = (next()?, next()?);
    let events = (0..request.events).map(|_| next()).collect::<Result<Vec<_>, _>>()?;
    let mut doors: Vec<OwnedFd> = descriptors.collect();
    let group = if request.into_group { doors.pop() } else { None };
    let (ready, go) =
        rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).map_err(|error| error.to_string())?;
    let mut go = Some(go);
    let plan = &request.plan;
    let mut inherited = Some(Inherited { control, daemon, events, doors });
    let body = || {
        // Our copy of the writing end would keep the read below waiting when the parent gives up.
        drop(go.take());
        // The ids are ours only once the parent has written the maps.
        let mut byte = [0];
        let waited = rustix::io::read(&ready, &mut byte);
        match (waited, inherited.take()) {
            (Ok(1), Some(inherited)) => become_daemon(plan, filter, inherited),
            _ => 1,
        }
    };
    // What the kernel counts for each user, it counts for the one who made the namespace too: a sandbox made by root
    // could use up root's share, and with it that of all others.
    namespace::act_as(request.id_base).map_err(|error| chain(&error))?;
    let child = namespace::spawn(proof, namespace::ALL, group.as_ref().map(AsFd::as_fd), body);
    namespace::act_as(0).map_err(|error| chain(&error))?;
    let child = child.map_err(|error| chain(&error))?;
    let mapped = namespace::write_id_maps(child.pid, request.id_base, IDS_PER_SANDBOX)
        .map_err(|error| chain(&error))
        .and_then(|()| rustix::io::write(go_end(go.as_ref())?, b"g").map_err(|error| error.to_string()));
    if let Err(reason) = mapped {
        let _ = linux::process::kill(&child.pidfd);
        return Err(reason);
    }
    Ok(Spawned { pid: child.pid, pidfd: child.pidfd })
}

/// Puts a mount into the file system of a process that runs. A child does it, because whoever enters another's namespaces
/// does not come back; it is seen by nobody inside, whose process ids are others.
fn attach(proof: &SingleThreaded, path: &str, descriptors: Vec<OwnedFd>) -> Result<(), String> {
    let Ok([pidfd, root, mount]) = <[OwnedFd; 3]>::try_from(descriptors) else {
        return Err("a descriptor is missing".to_owned());
    };
    let (heard, said) =
        rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).map_err(|error| error.to_string())?;
    let mut said = Some(said);
    let body = || {
        let Some(said) = said.take() else { return 1 };
        let placed = namespace::join(&pidfd)
            .and_then(|()| linux::mount::ensure_place(&root, path, false))
            .and_then(|place| linux::mount::attach(&mount, place));
        let word = placed.map_or_else(|error| chain(&error), |()| ATTACHED.to_owned());
        // When nobody listens, nobody waits for it.
        let _ = rustix::io::write(&said, word.as_bytes());
        0
    };
    let child = namespace::spawn(proof, 0, None, body).map_err(|error| chain(&error))?;
    drop(said);
    let patience = linux::process::wait(&heard, ATTACH_TIMEOUT_MS);
    if !patience.map_err(|error| error.to_string())? {
        let _ = linux::process::kill(&child.pidfd);
        return Err(format!("no answer within {ATTACH_TIMEOUT_MS} ms"));
    }
    let mut buffer = [0; 1024];
    let length = rustix::io::read(&heard, &mut buffer).map_err(|error| error.to_string())?;
    let word = String::from_utf8_lossy(buffer.get(..length).unwrap_or_default());
    match word.as_ref() {
        ATTACHED => Ok(()),
        "" => Err("it ended without a word".to_owned()),
        reason => Err(reason.to_owned()),
    }
}

/// Returns the parent's writing end, which only the child gives away.
fn go_end(go: Option<&OwnedFd>) -> Result<&OwnedFd, String> {
    go.ok_or_else(|| "the pipe to the child is closed".to_owned())
}

/// Runs in the child; its exit status is only read when the daemon could not start.
fn become_daemon(plan: &Plan, filter: &Filter, inherited: Inherited) -> i32 {
    let Ok(control) = inherited.control.try_clone() else { return 1 };
    let Err(error) = init::run(plan, filter, inherited);
    let message = format!("E{}", chain(&error));
    // When the runner is gone nobody is left to tell.
    let _ = linux::socket::send(&control, message.as_bytes(), &[]);
    1
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde_json::Value;

    use super::*;

    fn calls(policy: &Value, filter: &str) -> BTreeSet<String> {
        let entries = policy.pointer(&format!("/{filter}/filter")).and_then(Value::as_array).unwrap();
        entries.iter().map(|entry| entry.get("syscall").and_then(Value::as_str).unwrap().to_owned()).collect()
    }

    #[test]
    fn what_only_the_spawner_may_do_is_refused_to_sandboxes() {
        let policy: Value = serde_json::from_str(POLICY).unwrap();
        let refused: BTreeSet<String> =
            POLICY_ADDED.iter().flat_map(|filter| calls(&policy, filter)).collect();
        for call in
            ["mount", "move_mount", "fsopen", "pivot_root", "bpf", "io_uring_setup", "keyctl", "clone3"]
        {
            assert!(refused.contains(call), "{call}");
        }
        let known = policy.pointer("/known/filter").and_then(Value::as_array).unwrap();
        for entry in known {
            let comment = entry.get("comment").and_then(Value::as_str).unwrap();
            let call = entry.get("syscall").and_then(Value::as_str).unwrap();
            assert!(!comment.contains("refused by a later filter") || refused.contains(call), "{call}");
        }
        Filter::compile(POLICY, &POLICY_INHERITED).unwrap();
        Filter::compile(POLICY, &POLICY_ADDED).unwrap();
    }
}
