//! A child in namespaces of its own (clone3(2), `user_namespaces(7)`).

use std::io;
use std::os::fd::AsRawFd as _;
use std::os::fd::{BorrowedFd, FromRawFd as _, OwnedFd};

use crate::errno::{CallError, Context as _, checked};

/// Proof that this process has one thread, which is what makes running Rust code in a forked child sound: no other
/// thread can hold a lock that the child would wait for.
#[derive(Debug)]
pub struct SingleThreaded(());

impl SingleThreaded {
    /// Counts the threads of this process. The caller must not start any afterwards.
    pub fn prove() -> Result<Self, CallError> {
        let threads = std::fs::read_dir("/proc/self/task").context("readdir", "/proc/self/task")?.count();
        if threads == 1 {
            return Ok(Self(()));
        }
        let source = io::Error::other(format!("{threads} threads are running"));
        Err(CallError { call: "clone3", operand: "from a process with several threads".into(), source })
    }
}

/// Every namespace a sandbox has of its own.
pub const ALL: u64 = (libc::CLONE_NEWUSER
    | libc::CLONE_NEWNS
    | libc::CLONE_NEWPID
    | libc::CLONE_NEWNET
    | libc::CLONE_NEWIPC
    | libc::CLONE_NEWUTS
    | libc::CLONE_NEWCGROUP) as u64;

/// A child process: its id, and a descriptor that stays its own even when the id is used again.
#[derive(Debug)]
pub struct Child {
    /// The process id, in the caller's namespace.
    pub pid: i32,
    /// Becomes readable when the process has ended.
    pub pidfd: OwnedFd,
}

/// Runs `body` in a child with the namespaces of `flags`, in the v2 control group `cgroup` when one is given; the
/// child ends with the status that `body` returns.
pub fn spawn(
    _proof: &SingleThreaded,
    flags: u64,
    cgroup: Option<BorrowedFd<'_>>,
    body: impl FnOnce() -> i32,
) -> Result<Child, CallError> {
    const CLONE_INTO_CGROUP: u64 = 0x2_0000_0000;
    let mut pidfd: i32 = -1;
    // SAFETY: `clone_args` is plain data for which all zeros is a valid value.
    let mut arguments: libc::clone_args = unsafe { std::mem::zeroed() };
    arguments.flags = flags | libc::CLONE_PIDFD as u64;
    arguments.pidfd = std::ptr::from_mut(&mut pidfd) as u64;
    arguments.exit_signal = libc::SIGCHLD as u64;
    if let Some(cgroup) = cgroup {
        arguments.flags |= CLONE_INTO_CGROUP;
        arguments.cgroup = u64::from(cgroup.as_raw_fd().unsigned_abs());
    }
    // SAFETY: without CLONE_VM the child gets a copy of the whole address space, and `_proof` says that no other
    // thread could have left a lock held in that copy, so the child may run ordinary code.
    let result = unsafe {
        libc::syscall(
            libc::SYS_clone3,
            std::ptr::from_mut(&mut arguments),
            std::mem::size_of::<libc::clone_args>(),
        )
    };
    let pid = checked(result).context("clone3", format_args!("flags={flags:#x}"))?;
    if pid == 0 {
        let status = body();
        // SAFETY: `_exit` never returns and runs no destructors of the parent's copies.
        unsafe { libc::_exit(status) }
    }
    // SAFETY: the kernel stored a fresh descriptor that nobody else owns.
    let pidfd = unsafe { OwnedFd::from_raw_fd(pidfd) };
    let pid = i32::try_from(pid).map_err(io::Error::other).context("clone3", "process id")?;
    Ok(Child { pid, pidfd })
}

/// Gives the user namespace of `pid` the `count` ids from `base` on as its ids from 0 on.
pub fn write_id_maps(pid: i32, base: u32, count: u32) -> Result<(), CallError> {
    let map = format!("0 {base} {count}\n");
    for file in ["uid_map", "gid_map"] {
        let path = format!("/proc/{pid}/{file}");
        std::fs::write(&path, &map).context("write", path)?;
    }
    Ok(())
}

/// Enters the user and the mount namespace of a process and becomes root there (setns(2)). The caller has one thread.
pub fn join(pidfd: impl std::os::fd::AsFd) -> Result<(), CallError> {
    use rustix::thread::{ThreadNameSpaceType, move_into_thread_name_spaces};
    let kinds = ThreadNameSpaceType::USER | ThreadNameSpaceType::MOUNT;
    move_into_thread_name_spaces(pidfd.as_fd(), kinds).context("setns", "user and mount namespace")?;
    become_root()
}

/// Opens the user namespace of `pid`.
pub fn user_namespace(pid: i32) -> Result<OwnedFd, CallError> {
    let path = format!("/proc/{pid}/ns/user");
    std::fs::File::open(&path).map(OwnedFd::from).context("open", path)
}

/// Keeps this process's capabilities when its effective user changes (capabilities(7), `SECBIT_NO_SETUID_FIXUP`). New
/// user namespaces start without it.
pub fn keep_capabilities_as_any_user() -> Result<(), CallError> {
    let bits = rustix::thread::CapabilitiesSecureBits::NO_SETUID_FIXUP;
    rustix::thread::set_capabilities_secure_bits(bits).context("prctl PR_SET_SECUREBITS", "NO_SETUID_FIXUP")
}

/// Makes `user` the one in whose name this process does what follows; 0 is itself again.
pub fn act_as(user: u32) -> Result<(), CallError> {
    use rustix::process::Uid;
    let effective = Uid::from_raw(user);
    rustix::thread::set_thread_res_uid(Uid::ROOT, effective, Uid::ROOT).context("setresuid", user)
}

/// Becomes root of the namespace this process is in, with no other group.
pub fn become_root() -> Result<(), CallError> {
    use rustix::process::{Gid, Uid};
    let (user, group) = (Uid::ROOT, Gid::ROOT);
    rustix::thread::set_thread_groups(&[]).context("setgroups", "none")?;
    rustix::thread::set_thread_res_gid(group, group, group).context("setresgid", 0)?;
    rustix::thread::set_thread_res_uid(user, user, user).context("setresuid", 0)
}
