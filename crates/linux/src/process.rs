//! Processes that are not our children (`pidfd_open(2)`, `proc_pid_stat(5)`).

use std::os::fd::{AsFd, OwnedFd};

use rustix::process::{Pid, PidfdFlags, Signal};

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
    use rustix::event::{PollFd, PollFlags, Timespec, poll};
    let timeout =
        Timespec { tv_sec: i64::from(timeout_ms / 1000), tv_nsec: i64::from(timeout_ms % 1000) * 1_000_000 };
    loop {
        let mut descriptors = [PollFd::new(descriptor, PollFlags::IN)];
        match poll(&mut descriptors, Some(&timeout)) {
            Ok(ready) => return Ok(ready > 0),
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
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
    }
}
