//! Processes that are not our children (`pidfd_open(2)`, `proc_pid_stat(5)`).

use std::os::fd::{AsFd, AsRawFd as _, OwnedFd};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal};

use crate::child::Exit;
use crate::errno::{CallError, Context as _};

/// Opens a descriptor of the process `pid`, `None` when there is no such process.
pub fn open(pid: i32) -> Result<Option<OwnedFd>, CallError> {
    let Some(id) = Pid::from_raw(pid) else { return Ok(None) };
    match rustix::process::pidfd_open(id, PidfdFlags::empty()) {
        Ok(pidfd) => Ok(Some(pidfd)),
        Err(rustix::io::Errno::SRCH) => Ok(None),
        Err(error) => Err(error).context("pidfd_open", pid),
    }
}

/// Returns when `pid` was started, in clock ticks since boot: with the id it names a process for good.
pub fn start_time(pid: i32) -> Option<u64> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The second field is the command in parentheses and may hold anything; the start time is the 22nd field.
    let (_, after) = text.rsplit_once(") ")?;
    after.split(' ').nth(19)?.parse().ok()
}

/// Returns what tells this run of the kernel from every other: the first half of its random id (proc(5),
/// `/proc/sys/kernel/random/boot_id`), 0 when it has none.
pub fn boot_id() -> u64 {
    static READ: std::sync::OnceLock<u64> = std::sync::OnceLock::new();
    *READ.get_or_init(|| {
        let text = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
        let digits: String = text.chars().filter(char::is_ascii_hexdigit).take(16).collect();
        u64::from_str_radix(&digits, 16).unwrap_or(0)
    })
}

/// Tells whether somebody killed the process and it could not die yet, as one that a control group of version 1 holds.
pub fn is_doomed(pid: i32) -> bool {
    const KILL: u64 = 1 << (libc::SIGKILL - 1);
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let pending = status.lines().filter_map(|line| {
        let mask = line.strip_prefix("SigPnd:").or_else(|| line.strip_prefix("ShdPnd:"))?;
        u64::from_str_radix(mask.trim(), 16).ok()
    });
    pending.fold(0, |all, one| all | one) & KILL != 0
}

/// Asks the process to end.
pub fn terminate(pidfd: impl AsFd) -> Result<(), CallError> {
    send(pidfd, Signal::TERM)
}

/// Ends the process, and with it everything in the pid namespace it is the first process of.
pub fn kill(pidfd: impl AsFd) -> Result<(), CallError> {
    send(pidfd, Signal::KILL)
}

/// Sends a signal; a process that already ended is what the caller wanted.
fn send(pidfd: impl AsFd, signal: Signal) -> Result<(), CallError> {
    match rustix::process::pidfd_send_signal(pidfd, signal) {
        Ok(()) | Err(rustix::io::Errno::SRCH) => Ok(()),
        Err(error) => Err(error).context("pidfd_send_signal", format_args!("{signal:?}")),
    }
}

/// Waits until a descriptor has something to say, at most `timeout_ms`; tells whether it has. Of a process that is its
/// end (poll(2)).
pub fn wait(descriptor: &OwnedFd, timeout_ms: u32) -> std::io::Result<bool> {
    wait_for(descriptor, PollFlags::IN, timeout_ms)
}

/// Waits until the parent of a process that has ended has taken note of it, at most `timeout_ms`; tells whether it has.
/// Only then [`ending`] knows how. Kernels before 6.9 do not say.
pub fn wait_collected(pidfd: &OwnedFd, timeout_ms: u32) -> std::io::Result<bool> {
    // A hang-up is told unasked.
    wait_for(pidfd, PollFlags::empty(), timeout_ms)
}

fn wait_for(descriptor: &OwnedFd, events: PollFlags, timeout_ms: u32) -> std::io::Result<bool> {
    let timeout =
        Timespec { tv_sec: i64::from(timeout_ms / 1000), tv_nsec: i64::from(timeout_ms % 1000) * 1_000_000 };
    loop {
        let mut descriptors = [PollFd::new(descriptor, events)];
        match poll(&mut descriptors, Some(&timeout)) {
            Ok(ready) => return Ok(ready > 0),
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

/// Mirrors the kernel's `struct pidfd_info` as it first was; newer kernels fill what fits.
#[repr(C)]
#[derive(Default)]
struct PidfdInformation {
    mask: u64,
    group_id: u64,
    /// Process, thread group and parent, then real, effective, saved and file system ids.
    ids: [u32; 11],
    exit_status: i32,
}

const PIDFD_GET_INFO: u64 = 0xC040_FF0B;
const PIDFD_INFO_EXIT: u64 = 1 << 3;

/// Tells how a process that is not our child ended; `None` while it runs, and on kernels before 6.15, which do not
/// keep it.
pub fn ending(pidfd: impl AsFd) -> Option<Exit> {
    let mut information = PidfdInformation { mask: PIDFD_INFO_EXIT, ..Default::default() };
    let descriptor = pidfd.as_fd().as_raw_fd();
    // SAFETY: `information` is a live `struct pidfd_info` of the size that the request's number carries.
    let result = unsafe { libc::ioctl(descriptor, PIDFD_GET_INFO, std::ptr::from_mut(&mut information)) };
    if result < 0 || information.mask & PIDFD_INFO_EXIT == 0 {
        return None;
    }
    let status = information.exit_status;
    Some(if libc::WIFSIGNALED(status) {
        Exit::Signal(libc::WTERMSIG(status))
    } else {
        Exit::Code(libc::WEXITSTATUS(status))
    })
}

/// Makes `pid` one of the last that the kernel ends for want of memory (`proc_pid_oom_score_adj(5)`); tells whether it
/// could, for which the host's root needs `CAP_SYS_RESOURCE`.
///
/// Its children start with the same score and may raise it again, but they can lower it no further than 0: that bound
/// is set first, and the score itself through the older file, which moves no bound.
pub fn spare_from_memory_killer(pid: i32) -> Result<bool, CallError> {
    // On a scale to -17, which would make it immune; 16 of 17 leave a process that really has everything to be found.
    for (file, value) in [("oom_score_adj", "0"), ("oom_adj", "-16")] {
        let path = format!("/proc/{pid}/{file}");
        let opened = std::fs::File::options().write(true).open(&path);
        match opened.and_then(|mut file| std::io::Write::write_all(&mut file, value.as_bytes())) {
            Ok(()) => {}
            Err(error) if error.kind() == std::io::ErrorKind::PermissionDenied => return Ok(false),
            // Kernels may drop the older file.
            Err(error) if error.kind() == std::io::ErrorKind::NotFound && file == "oom_adj" => {
                return Ok(false);
            }
            Err(error) => return Err(error).context("write", path),
        }
    }
    Ok(true)
}

/// Ignores every signal but `kept` and those that cannot be (sigaction(2), raw: the C library hides two).
///
/// The first process of a namespace is spared from signals that it has no handler for, but not always: one that arrives
/// while its first thread blocks signals and another thread does not ends it (kernel/signal.c, `complete_signal`). One
/// that is ignored never does.
pub fn ignore_signals_but(kept: &[rustix::process::Signal]) -> Result<(), CallError> {
    const SIGNAL_END: i32 = 65;
    /// The kernel's own structure: the handler, then flags, restorer and mask.
    const IGNORED: [usize; 4] = [libc::SIG_IGN, 0, 0, 0];
    let is_kept = |signal: &i32| kept.iter().any(|kept| kept.as_raw() == *signal);
    for signal in (1..SIGNAL_END).filter(|signal| !is_kept(signal)) {
        if matches!(signal, libc::SIGKILL | libc::SIGSTOP) {
            continue;
        }
        // SAFETY: `IGNORED` has the size and layout of the kernel's `struct sigaction` on 64-bit machines, and its
        // disposition runs no code.
        let result = unsafe {
            libc::syscall(
                libc::SYS_rt_sigaction,
                signal,
                IGNORED.as_ptr(),
                std::ptr::null_mut::<libc::c_void>(),
                std::mem::size_of::<u64>(),
            )
        };
        crate::errno::checked(result).context("rt_sigaction", signal)?;
    }
    Ok(())
}

/// Chooses whether ended children of this process vanish by themselves or stay until somebody asks how they ended
/// (sigaction(2), `SIGCHLD` set to `SIG_IGN`). What was chosen passes on to children and programs.
pub fn forget_ended_children(forget: bool) -> Result<(), CallError> {
    let action = if forget { libc::SIG_IGN } else { libc::SIG_DFL };
    // SAFETY: neither disposition runs code of ours.
    let before = unsafe { libc::signal(libc::SIGCHLD, action) };
    if before == libc::SIG_ERR {
        Err(std::io::Error::last_os_error()).context("signal", "SIGCHLD")
    } else {
        Ok(())
    }
}

/// Collects one ended child of this process without waiting; `None` when none has ended.
pub fn reap() -> Option<i32> {
    match rustix::process::wait(rustix::process::WaitOptions::NOHANG) {
        Ok(Some((pid, _))) => Some(pid.as_raw_nonzero().get()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_named_by_id_and_start_time() {
        let own = i32::try_from(std::process::id()).unwrap();
        assert!(start_time(own).unwrap() > 0);
        assert!(open(own).unwrap().is_some());
        assert!(open(i32::MAX).unwrap().is_none());
        assert_eq!(start_time(i32::MAX), None);
        assert_ne!(boot_id(), 0);
    }

    #[test]
    fn how_a_process_ended_is_known_from_its_descriptor() {
        for (script, expected) in
            [("exit 7", Exit::Code(7)), ("kill -9 $$", Exit::Signal(9)), ("true", Exit::Code(0))]
        {
            let mut command = std::process::Command::new("/bin/sh");
            command.arg("-c").arg(format!("read line; {script}")).stdin(std::process::Stdio::piped());
            let mut child = command.spawn().unwrap();
            let pidfd = open(i32::try_from(child.id()).unwrap()).unwrap().unwrap();
            assert_eq!(ending(&pidfd), None, "it still runs");
            assert!(!wait_collected(&pidfd, 0).unwrap());
            drop(child.stdin.take());
            assert!(wait(&pidfd, 5000).unwrap());
            assert_eq!(ending(&pidfd), None, "its parent does not know yet");
            child.wait().unwrap();
            if !has_endings() {
                println!("skipped: this kernel does not keep how a process ended (it is older than 6.15)");
                return;
            }
            assert!(wait_collected(&pidfd, 5000).unwrap());
            assert_eq!(ending(&pidfd), Some(expected), "{script}");
        }
    }

    fn has_endings() -> bool {
        let release = rustix::system::uname().release().to_string_lossy().into_owned();
        let mut numbers = release.split(['.', '-']).map(|word| word.parse().unwrap_or(0_u32));
        (numbers.next(), numbers.next()) >= (Some(6), Some(15))
    }

    #[test]
    fn a_spared_process_has_children_that_cannot_be_spared() {
        let mut child = std::process::Command::new("/bin/sleep").arg("60").spawn().unwrap();
        let pid = i32::try_from(child.id()).unwrap();
        let read = |file: &str| std::fs::read_to_string(format!("/proc/{pid}/{file}")).unwrap();
        let spared = spare_from_memory_killer(pid);
        let score: i32 = read("oom_score_adj").trim().parse().unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
        if spared.unwrap() {
            assert!((-1000..-800).contains(&score), "{score}");
        } else {
            println!("skipped: lowering a score needs CAP_SYS_RESOURCE");
            assert!(score >= 0, "{score}");
        }
    }
}
