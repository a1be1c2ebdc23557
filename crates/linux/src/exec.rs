//! Becoming another program (execveat(2), `memfd_create(2)`).

use std::convert::Infallible;
use std::ffi::CString;
use std::io;
use std::os::fd::{AsFd, AsRawFd as _, OwnedFd, RawFd};

use rustix::fs::{MemfdFlags, SealFlags};

use crate::errno::{CallError, Context as _, checked};

/// Copies `program` into memory that nobody can change any more, and that can be executed by its descriptor.
///
/// A sandbox that reaches the file through `/proc/1/exe` finds it sealed: it cannot overwrite the program that other
/// sandboxes run.
pub fn seal(name: &str, program: &[u8]) -> Result<OwnedFd, CallError> {
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    let file = rustix::fs::memfd_create(name, flags).context("memfd_create", name)?;
    let mut rest = program;
    while !rest.is_empty() {
        let written = rustix::io::write(&file, rest).context("write", name)?;
        rest = rest.get(written..).unwrap_or_default();
    }
    rustix::fs::seek(&file, rustix::fs::SeekFrom::Start(0)).context("lseek", name)?;
    let seals = SealFlags::SEAL | SealFlags::SHRINK | SealFlags::GROW | SealFlags::WRITE;
    rustix::fs::fcntl_add_seals(&file, seals).context("fcntl F_ADD_SEALS", name)?;
    Ok(file)
}

/// Becomes `program`, which finds `inherited` at the descriptors 3, 4, … in that order and no other descriptor but
/// the standard three. Returns only when that failed.
pub fn execute(
    program: impl AsFd,
    arguments: &[&str],
    environment: &[&str],
    inherited: &[OwnedFd],
) -> Result<Infallible, CallError> {
    let terminated = |words: &[&str]| {
        let words = words.iter().map(|word| CString::new(*word).map_err(io::Error::from));
        words.collect::<io::Result<Vec<_>>>().context("execveat", "argument with a NUL byte")
    };
    let (arguments, environment) = (terminated(arguments)?, terminated(environment)?);
    let pointers = |words: &[CString]| {
        words.iter().map(|word| word.as_ptr()).chain([std::ptr::null()]).collect::<Vec<_>>()
    };
    let (argument_pointers, environment_pointers) = (pointers(&arguments), pointers(&environment));
    // Everything moves above the target range first, so that placing one cannot overwrite another.
    let first_free = RawFd::try_from(inherited.len()).unwrap_or(RawFd::MAX).saturating_add(4);
    let program = rustix::io::fcntl_dupfd_cloexec(program, first_free).context("fcntl F_DUPFD", "program")?;
    let mut parked = Vec::new();
    for descriptor in inherited {
        parked.push(
            rustix::io::fcntl_dupfd_cloexec(descriptor, first_free).context("fcntl F_DUPFD", "inherited")?,
        );
    }
    for (target, descriptor) in (3..).zip(&parked) {
        // SAFETY: replaces whatever was open at `target`; this process is about to become another program, and no
        // value that owns `target` is used again.
        let result = unsafe { libc::dup3(descriptor.as_raw_fd(), target, 0) };
        checked(i64::from(result)).context("dup3", target)?;
    }
    // SAFETY: marks descriptors to close at exec and closes none now; the numbers are a plain range.
    let result =
        unsafe { libc::syscall(libc::SYS_close_range, first_free - 1, u32::MAX, libc::CLOSE_RANGE_CLOEXEC) };
    checked(result).context("close_range", first_free - 1)?;
    // SAFETY: both arrays end with a null pointer and point to strings that live until the call returns.
    let result = unsafe {
        libc::syscall(
            libc::SYS_execveat,
            program.as_raw_fd(),
            c"".as_ptr(),
            argument_pointers.as_ptr(),
            environment_pointers.as_ptr(),
            libc::AT_EMPTY_PATH,
        )
    };
    checked(result).context("execveat", "program")?;
    Err(io::Error::other("the call returned")).context("execveat", "program")
}

/// Puts `/dev/null` in the place of the three standard streams: whatever the parent had there must not reach the
/// program that comes next.
pub fn silence() -> Result<(), CallError> {
    let flags = rustix::fs::OFlags::RDWR | rustix::fs::OFlags::CLOEXEC;
    let null =
        rustix::fs::open("/dev/null", flags, rustix::fs::Mode::empty()).context("open", "/dev/null")?;
    rustix::stdio::dup2_stdin(&null).context("dup2", "standard input")?;
    rustix::stdio::dup2_stdout(&null).context("dup2", "standard output")?;
    rustix::stdio::dup2_stderr(&null).context("dup2", "standard error")
}

/// Lets this process open at most `files` files, or as many as the host allows if that is fewer.
pub fn limit_open_files(files: u64) -> Result<(), CallError> {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let maximum = getrlimit(Resource::Nofile).maximum.map_or(files, |maximum| maximum.min(files));
    let limit = Rlimit { current: Some(maximum), maximum: Some(maximum) };
    setrlimit(Resource::Nofile, limit).context("setrlimit", "NOFILE")
}

/// Names the machine in this process's uts namespace.
pub fn set_host_name(name: &str) -> Result<(), CallError> {
    rustix::system::sethostname(name.as_bytes()).context("sethostname", name)
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsRawFd as _;

    use super::*;

    /// What a sandbox would do that got hold of the daemon's program through `/proc/<pid>/exe` (CVE-2019-5736).
    #[test]
    fn a_sealed_program_cannot_be_changed_by_whoever_opens_it_again() {
        let sealed = seal("test", b"#!/bin/true").unwrap();
        let path = format!("/proc/self/fd/{}", sealed.as_raw_fd());
        let write = std::fs::File::options().write(true).open(&path);
        let changed = write.and_then(|mut file| std::io::Write::write(&mut file, b"evil"));
        assert_eq!(changed.unwrap_err().raw_os_error(), Some(libc::EPERM));
        let truncated = std::fs::File::options().write(true).truncate(true).open(&path);
        assert_eq!(truncated.unwrap_err().raw_os_error(), Some(libc::EPERM));
        assert!(rustix::fs::ftruncate(&sealed, 1 << 20).is_err(), "it grew");
        assert!(
            rustix::fs::fcntl_add_seals(&sealed, SealFlags::empty()).is_err(),
            "its seals can be changed"
        );
        assert_eq!(std::fs::read(&path).unwrap(), b"#!/bin/true");
    }
}
