//! Starts programs from a multi-threaded process (clone(2), execve(2), wait(2)).
//!
//! The child shares the parent's memory until it executes (`CLONE_VM | CLONE_VFORK`), which is what makes starting
//! one cost the same however large the parent is. Everything the child needs is prepared before the clone; between
//! clone and exec it makes raw system calls only, on a stack of its own, and reports a failure by writing to the
//! memory it shares. The parent's thread is suspended meanwhile, so nobody else looks at that memory.

use std::ffi::{CStr, CString};
use std::io;
use std::os::fd::{AsRawFd as _, BorrowedFd, FromRawFd as _, OwnedFd};
use std::sync::Mutex;

use rustix::process::{Pid, WaitOptions, WaitStatus};

use crate::credential::Credentials;
use crate::errno::{CallError, Context as _, checked};

/// The first descriptor above the three standard streams.
const FIRST_FREE: i32 = 3;
/// Enough for the child's few frames of raw system calls.
const STACK_BYTES: usize = 64 * 1024;
/// The highest signal number plus one (signal(7)).
const SIGNAL_END: i32 = 65;
/// The kernel's signal set has one bit per signal.
const SET_BYTES: usize = 8;

/// A program to start, ready to the last byte.
#[derive(Debug)]
pub struct Program<'a> {
    /// The executable's path; it is not searched for.
    pub path: CString,
    /// The arguments, the program's own name first.
    pub arguments: Vec<CString>,
    /// The whole environment, `NAME=value` each.
    pub environment: Vec<CString>,
    /// The directory to start in, entered with the child's credentials; the parent's when absent.
    pub directory: Option<CString>,
    /// Standard input, output and error, then what becomes descriptor 3, 4 and so on.
    pub descriptors: Vec<BorrowedFd<'a>>,
    /// Who the child acts as; the parent's own credentials when absent.
    pub credentials: Option<Credentials>,
    /// Whether standard input is a terminal that becomes the controlling one of the child's session (`tty_ioctl(4)`).
    pub is_terminal: bool,
}

/// A program that could not be started.
#[derive(Debug, thiserror::Error)]
pub enum SpawnError {
    /// The starting directory could not be entered.
    #[error("enter directory {directory}")]
    Directory {
        /// The directory.
        directory: String,
        /// The kernel's answer.
        #[source]
        source: io::Error,
    },
    /// The program could not be executed.
    #[error("execute {program}")]
    Execute {
        /// The executable's path.
        program: String,
        /// The kernel's answer.
        #[source]
        source: io::Error,
    },
    /// Another step between clone and exec failed.
    #[error("prepare a child process")]
    Prepare(#[source] CallError),
}

/// How a child ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// It exited with this code.
    Code(i32),
    /// This signal killed it.
    Signal(i32),
}

/// Where a process says how readily it may be ended when memory runs out (`proc_pid_oom_score_adj(5)`). The kernel
/// changes the child alone, although it shares its memory, because its parent waits for it as vfork(2) does.
const OOM_SCORE: &CStr = c"/proc/self/oom_score_adj";
/// Before everything that asked for nothing, after what asked to go first.
const OOM_VALUE: &[u8] = b"500";

/// The steps of the child, for its report.
const STEPS: [&str; 9] =
    ["", "setsid", "dup3", "setgroups", "setresgid", "setresuid", "chdir", "execve", "ioctl TIOCSCTTY"];
const STEP_SESSION: i32 = 1;
const STEP_DESCRIPTOR: i32 = 2;
const STEP_GROUPS: i32 = 3;
const STEP_GROUP: i32 = 4;
const STEP_USER: i32 = 5;
const STEP_DIRECTORY: i32 = 6;
const STEP_EXECUTE: i32 = 7;
const STEP_TERMINAL: i32 = 8;

/// What the child reads, and the two numbers that it writes before it gives up.
struct Plan {
    path: *const libc::c_char,
    arguments: *const *const libc::c_char,
    environment: *const *const libc::c_char,
    directory: *const libc::c_char,
    descriptors: *const i32,
    descriptor_count: i32,
    credentials: Option<RawCredentials>,
    is_terminal: bool,
    failed_step: i32,
    failed_errno: i32,
}

struct RawCredentials {
    user_id: u32,
    group_id: u32,
    groups: *const u32,
    group_count: usize,
}

/// Starts `program` as the leader of a session of its own, and returns once it executes or could not.
///
/// Signal dispositions and the signal mask are the defaults, every descriptor but the given ones is closed, and
/// nothing forbids it to gain privileges. The caller must reap it.
pub fn spawn(program: &Program<'_>) -> Result<Pid, SpawnError> {
    // Sources are lifted above every target, so that placing one never overwrites the next.
    let lift_to = FIRST_FREE + i32::try_from(program.descriptors.len()).unwrap_or(0);
    let lifted = program
        .descriptors
        .iter()
        .map(|descriptor| rustix::io::fcntl_dupfd_cloexec(descriptor, lift_to))
        .collect::<Result<Vec<OwnedFd>, _>>()
        .context("fcntl", "F_DUPFD_CLOEXEC")
        .map_err(SpawnError::Prepare)?;
    let sources: Vec<i32> = lifted.iter().map(OwnedFd::as_raw_fd).collect();
    let arguments = pointers(&program.arguments);
    let environment = pointers(&program.environment);
    let mut plan = Plan {
        path: program.path.as_ptr(),
        arguments: arguments.as_ptr(),
        environment: environment.as_ptr(),
        directory: program.directory.as_deref().map_or(std::ptr::null(), CStr::as_ptr),
        descriptors: sources.as_ptr(),
        descriptor_count: i32::try_from(sources.len()).unwrap_or(0),
        credentials: program.credentials.as_ref().map(|credentials| RawCredentials {
            user_id: credentials.user_id,
            group_id: credentials.group_id,
            groups: credentials.groups.as_ptr(),
            group_count: credentials.groups.len(),
        }),
        is_terminal: program.is_terminal,
        failed_step: 0,
        failed_errno: 0,
    };
    let pid = clone_and_wait_for_exec(&mut plan).map_err(SpawnError::Prepare)?;
    if plan.failed_step == 0 {
        return Ok(pid);
    }
    // The child is dead by its own report; take its status so that nobody else has to.
    let _ = rustix::process::waitpid(Some(pid), WaitOptions::empty());
    Err(failure(program, &plan))
}

fn failure(program: &Program<'_>, plan: &Plan) -> SpawnError {
    let source = io::Error::from_raw_os_error(plan.failed_errno);
    match plan.failed_step {
        STEP_DIRECTORY => SpawnError::Directory {
            directory: program.directory.as_deref().map(display).unwrap_or_default(),
            source,
        },
        STEP_EXECUTE => SpawnError::Execute { program: display(&program.path), source },
        step => {
            let call =
                usize::try_from(step).ok().and_then(|step| STEPS.get(step)).copied().unwrap_or("clone");
            SpawnError::Prepare(CallError { call, operand: display(&program.path), source })
        }
    }
}

fn display(text: &CStr) -> String {
    text.to_string_lossy().into_owned()
}

fn pointers(strings: &[CString]) -> Vec<*const libc::c_char> {
    strings.iter().map(|string| string.as_ptr()).chain(std::iter::once(std::ptr::null())).collect()
}

fn clone_and_wait_for_exec(plan: &mut Plan) -> Result<Pid, CallError> {
    // A stack from the heap would do, but u128 keeps it aligned as the ABI wants.
    let mut stack = vec![0_u128; STACK_BYTES / size_of::<u128>()];
    let top = stack.as_mut_ptr_range().end.cast::<libc::c_void>();
    // No handler of the parent may run in the child, which shares its memory: all signals wait.
    let mut all = std::mem::MaybeUninit::<libc::sigset_t>::uninit();
    let mut before = std::mem::MaybeUninit::<libc::sigset_t>::uninit();
    // SAFETY: both sets are valid to write; sigfillset initialises the one that pthread_sigmask reads.
    unsafe {
        libc::sigfillset(all.as_mut_ptr());
        libc::pthread_sigmask(libc::SIG_SETMASK, all.as_ptr(), before.as_mut_ptr());
    }
    let flags = libc::CLONE_VM | libc::CLONE_VFORK | libc::SIGCHLD;
    // SAFETY: `run_child` follows the rules at the top of this file; `stack` and `plan` outlive the child's use of
    // them because CLONE_VFORK suspends this thread until the child executes or exits.
    let result = unsafe { libc::clone(run_child, top, flags, std::ptr::from_mut(plan).cast()) };
    let outcome = checked(i64::from(result));
    // SAFETY: `before` was initialised above.
    unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, before.as_ptr(), std::ptr::null_mut()) };
    drop(stack);
    outcome.context("clone", "CLONE_VM | CLONE_VFORK")?;
    Pid::from_raw(result).ok_or_else(|| CallError {
        call: "clone",
        operand: result.to_string(),
        source: io::Error::from(io::ErrorKind::InvalidData),
    })
}

/// The child: raw system calls only, no allocation, no lock, no panic.
extern "C" fn run_child(argument: *mut libc::c_void) -> libc::c_int {
    let plan = argument.cast::<Plan>();
    // SAFETY: `argument` is the parent's `Plan`, which nobody else touches while its thread is suspended.
    unsafe {
        let step = prepare(&*plan);
        let step = if step == 0 {
            libc::execve((*plan).path, (*plan).arguments, (*plan).environment);
            STEP_EXECUTE
        } else {
            step
        };
        (*plan).failed_errno = *libc::__errno_location();
        (*plan).failed_step = step;
        // `exit` would run the parent's exit handlers on shared memory.
        libc::_exit(127)
    }
}

/// Does everything before the exec; returns the step that failed, `errno` saying why, or 0.
///
/// # Safety
/// Only in the child of `clone_and_wait_for_exec`, with the plan made by `spawn`.
unsafe fn prepare(plan: &Plan) -> i32 {
    // SAFETY: the pointers of the plan are valid until exec; every call is async-signal-safe.
    unsafe {
        if libc::syscall(libc::SYS_setsid) < 0 {
            return STEP_SESSION;
        }
        // Before the mask opens: a handler of the parent must not run here. Rust ignores SIGPIPE, children must not.
        // The kernel's own structure, all zero: the default action, no flags, nothing masked. Not the C library's
        // sigaction(3), which hides two signals that may have been inherited as ignored.
        let default = [0_u64; 4];
        let mut signal = 1;
        while signal < SIGNAL_END {
            // SIGKILL and SIGSTOP refuse, as they may.
            libc::syscall(
                libc::SYS_rt_sigaction,
                signal,
                default.as_ptr(),
                std::ptr::null_mut::<u64>(),
                SET_BYTES,
            );
            signal += 1;
        }
        let mut index = 0;
        while index < plan.descriptor_count {
            // The source is never equal to its target, so this also clears close-on-exec.
            if libc::syscall(libc::SYS_dup3, *plan.descriptors.offset(index as isize), index, 0) < 0 {
                return STEP_DESCRIPTOR;
            }
            index += 1;
        }
        if plan.is_terminal && libc::syscall(libc::SYS_ioctl, 0, libc::TIOCSCTTY, 0) < 0 {
            return STEP_TERMINAL;
        }
        // Whatever else is open closes at exec, even what a library opened without saying so. Best effort: kernels
        // before 5.11 have no CLOEXEC flag here, and all of this project's descriptors carry it anyway.
        libc::syscall(libc::SYS_close_range, index, u32::MAX, libc::CLOSE_RANGE_CLOEXEC);
        // When memory runs out the kernel ends a command, not the one who started it. Best effort: without /proc the
        // kernel chooses by size alone.
        let score = libc::syscall(libc::SYS_openat, libc::AT_FDCWD, OOM_SCORE.as_ptr(), libc::O_WRONLY);
        if score >= 0 {
            libc::syscall(libc::SYS_write, score, OOM_VALUE.as_ptr(), OOM_VALUE.len());
            libc::syscall(libc::SYS_close, score);
        }
        if let Some(credentials) = &plan.credentials {
            // Raw calls: the C library's would signal the parent's threads to follow.
            if libc::syscall(libc::SYS_setgroups, credentials.group_count, credentials.groups) < 0 {
                return STEP_GROUPS;
            }
            let group = credentials.group_id;
            if libc::syscall(libc::SYS_setresgid, group, group, group) < 0 {
                return STEP_GROUP;
            }
            let user = credentials.user_id;
            if libc::syscall(libc::SYS_setresuid, user, user, user) < 0 {
                return STEP_USER;
            }
        }
        if !plan.directory.is_null() && libc::syscall(libc::SYS_chdir, plan.directory) < 0 {
            return STEP_DIRECTORY;
        }
        let mut none: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&raw mut none);
        libc::sigprocmask(libc::SIG_SETMASK, &raw const none, std::ptr::null_mut());
        0
    }
}

/// Keeps the news of ended children away from the calling thread: another thread of the process is told instead
/// (signal(7)). Woken for it, an idle thread would only pass it on.
pub fn hear_nothing_of_children() -> Result<(), CallError> {
    let mut set = std::mem::MaybeUninit::<libc::sigset_t>::uninit();
    // SAFETY: sigemptyset initialises the set that the other two calls use; no handler runs differently for it.
    let result = unsafe {
        libc::sigemptyset(set.as_mut_ptr());
        libc::sigaddset(set.as_mut_ptr(), libc::SIGCHLD);
        libc::pthread_sigmask(libc::SIG_BLOCK, set.as_ptr(), std::ptr::null_mut())
    };
    if result == 0 {
        Ok(())
    } else {
        Err(io::Error::from_raw_os_error(result)).context("pthread_sigmask", "SIGCHLD")
    }
}

/// Takes the status of any one child that has ended; `None` when none has.
pub fn reap() -> Option<(Pid, Exit)> {
    loop {
        match rustix::process::wait(WaitOptions::NOHANG) {
            Ok(Some((pid, status))) => {
                if let Some(exit) = exit_of(status) {
                    return Some((pid, exit));
                }
            }
            Err(rustix::io::Errno::INTR) => {}
            Ok(None) | Err(_) => return None,
        }
    }
}

fn exit_of(status: WaitStatus) -> Option<Exit> {
    let code = status.exit_status().map(Exit::Code);
    code.or_else(|| status.terminating_signal().map(Exit::Signal))
}

/// Sends `signal` to every process of this pid namespace but this one (kill(2)).
///
/// Refuses unless the caller is the namespace's first process: anywhere else it would reach the whole machine.
pub fn signal_all(signal: rustix::process::Signal) -> Result<(), CallError> {
    if std::process::id() != 1 {
        return Err(io::Error::from_raw_os_error(libc::EPERM)).context("kill", "-1 while not process 1");
    }
    // SAFETY: kill takes two integers and touches no memory.
    checked(i64::from(unsafe { libc::kill(-1, signal.as_raw()) })).context("kill", -1).map(drop)
}

/// Descriptors that `inherit` gave out: each has one owner.
static INHERITED: Mutex<Vec<i32>> = Mutex::new(Vec::new());

/// Takes ownership of a descriptor that the parent process left open for this one, and makes it close on exec.
///
/// Call it first thing in `main`: the number must be one that the parent promised and that nothing in this process
/// opened itself. A number is given out once; a closed one and the standard streams are refused.
pub fn inherit(descriptor: i32) -> Result<OwnedFd, CallError> {
    let mut taken = INHERITED.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    if descriptor < FIRST_FREE || taken.contains(&descriptor) {
        return Err(io::Error::from_raw_os_error(libc::EBADF)).context("inherit descriptor", descriptor);
    }
    // SAFETY: fcntl with F_SETFD touches no memory; on a closed descriptor it fails.
    let result = unsafe { libc::fcntl(descriptor, libc::F_SETFD, libc::FD_CLOEXEC) };
    checked(i64::from(result)).context("fcntl", format_args!("F_SETFD {descriptor}"))?;
    taken.push(descriptor);
    // SAFETY: it is open, and by the rule above nothing else in this process owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(descriptor) })
}

#[cfg(test)]
mod tests;
