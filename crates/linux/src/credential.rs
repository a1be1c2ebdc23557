//! User, group and file credentials of one thread (credentials(7), setfsuid(2), setgroups(2)).
//!
//! Raw system calls throughout: the C library would change every thread of the process at once.

use rustix::thread::Gid;

use crate::errno::{CallError, Context as _, checked};

/// Who a process or a thread acts as.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Credentials {
    /// The user id.
    pub user_id: u32,
    /// The primary group id.
    pub group_id: u32,
    /// The supplementary group ids; the primary one need not be repeated.
    pub groups: Vec<u32>,
}

impl Credentials {
    /// Returns whether these are root's, with nothing to give up.
    pub fn is_root(&self) -> bool {
        self.user_id == 0 && self.group_id == 0
    }
}

/// Makes the calling thread's file accesses those of `credentials`, for good.
///
/// Only the file-system ids and the supplementary groups of this one thread change: the kernel then drops the
/// capabilities that override file permissions (capabilities(7)), so a check by open(2) is the user's own.
pub fn assume_files(credentials: &Credentials) -> Result<(), CallError> {
    set_groups(&credentials.groups)?;
    set_file_group(credentials.group_id)?;
    set_file_user(credentials.user_id)
}

/// Tells whether [`assume_files`] would work: does it, and goes back to root.
///
/// Only for a thread that acts as root, with no other supplementary groups than it had at its start.
pub fn try_files(credentials: &Credentials) -> Result<(), CallError> {
    let groups = rustix::process::getgroups().context("getgroups", "")?;
    let outcome = assume_files(credentials);
    // Going back to the effective ids needs no privilege, and brings back those that file accesses had.
    set_file_user(rustix::process::geteuid().as_raw())?;
    set_file_group(rustix::process::getegid().as_raw())?;
    rustix::thread::set_thread_groups(&groups)
        .context("setgroups", format_args!("{} groups", groups.len()))?;
    outcome
}

/// The calling thread's file accesses are another user's until this is dropped.
///
/// Not `Send`: it restores the thread that made it.
#[derive(Debug)]
pub struct BorrowedFiles {
    user_id: u32,
    group_id: u32,
    not_send: std::marker::PhantomData<*const ()>,
}

/// Makes the calling thread's file-system ids those of `credentials` until the guard is dropped.
///
/// Supplementary groups stay: this is for `/proc`, where only the two ids are compared (ptrace(2)).
pub fn borrow_files(credentials: &Credentials) -> Result<BorrowedFiles, CallError> {
    let guard = BorrowedFiles {
        user_id: rustix::process::geteuid().as_raw(),
        group_id: rustix::process::getegid().as_raw(),
        not_send: std::marker::PhantomData,
    };
    set_file_group(credentials.group_id)?;
    set_file_user(credentials.user_id)?;
    Ok(guard)
}

impl Drop for BorrowedFiles {
    fn drop(&mut self) {
        // Going back to the effective ids needs no privilege, so neither call can fail.
        let _ = set_file_user(self.user_id);
        let _ = set_file_group(self.group_id);
    }
}

fn set_groups(groups: &[u32]) -> Result<(), CallError> {
    let groups: Vec<Gid> = groups.iter().map(|group| Gid::from_raw(*group)).collect();
    rustix::thread::set_thread_groups(&groups).context("setgroups", format_args!("{} groups", groups.len()))
}

fn set_file_user(user_id: u32) -> Result<(), CallError> {
    // SAFETY: setfsuid takes one integer and touches no memory of this process.
    unsafe { libc::syscall(libc::SYS_setfsuid, user_id) };
    // setfsuid never reports failure; asking for an impossible id returns the current one unchanged.
    // SAFETY: as above.
    let current =
        checked(unsafe { libc::syscall(libc::SYS_setfsuid, u32::MAX) }).context("setfsuid", user_id)?;
    verify("setfsuid", user_id, current)
}

fn set_file_group(group_id: u32) -> Result<(), CallError> {
    // SAFETY: setfsgid takes one integer and touches no memory of this process.
    unsafe { libc::syscall(libc::SYS_setfsgid, group_id) };
    // SAFETY: as above; see `set_file_user` for the second call.
    let current =
        checked(unsafe { libc::syscall(libc::SYS_setfsgid, u32::MAX) }).context("setfsgid", group_id)?;
    verify("setfsgid", group_id, current)
}

fn verify(call: &'static str, wanted: u32, current: i64) -> Result<(), CallError> {
    if current == i64::from(wanted) {
        Ok(())
    } else {
        Err(std::io::Error::from_raw_os_error(libc::EPERM)).context(call, wanted)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nobody() -> Credentials {
        Credentials { user_id: 65534, group_id: 65534, groups: vec![65534] }
    }

    fn skip_without_root() -> bool {
        let skip = !rustix::process::geteuid().is_root();
        if skip {
            println!("skipped: changing file credentials needs root");
        }
        skip
    }

    #[test]
    fn a_borrowed_thread_is_refused_what_the_user_may_not_read_and_recovers() {
        if skip_without_root() {
            return;
        }
        let directory = tempfile_directory();
        let secret = directory.join("secret");
        std::fs::write(&secret, "x").expect("write");
        set_mode(&secret, 0o600);
        set_mode(&directory, 0o755);
        let directory_there = directory.clone();
        std::thread::spawn(move || {
            let guard = borrow_files(&nobody()).expect("borrow");
            let refused = std::fs::read(&secret).expect_err("nobody must not read root's file");
            assert_eq!(refused.kind(), std::io::ErrorKind::PermissionDenied);
            drop(guard);
            assert_eq!(std::fs::read(&secret).expect("root reads again"), b"x");
            assume_files(&nobody()).expect("assume");
            assert!(std::fs::read(&secret).is_err(), "the thread is the user for good");
            std::fs::remove_dir_all(&directory_there).expect_err("nor may it delete");
        })
        .join()
        .expect("thread");
        std::fs::remove_dir_all(&directory).expect("clean up");
    }

    #[test]
    fn a_thread_that_has_tried_is_root_again() {
        if skip_without_root() {
            return;
        }
        std::thread::spawn(|| {
            let groups = rustix::process::getgroups().expect("groups");
            try_files(&nobody()).expect("try");
            assert_eq!(rustix::process::getgroups().expect("groups"), groups);
            let directory = tempfile_directory();
            set_mode(&directory, 0o700);
            // Root writes where only root may, and over what it may not by its mode alone.
            let file = directory.join("file");
            std::fs::write(&file, "x").expect("write");
            set_mode(&file, 0o000);
            std::fs::write(&file, "y").expect("write past the mode");
            std::fs::remove_dir_all(&directory).expect("clean up");
        })
        .join()
        .expect("thread");
    }

    #[test]
    fn other_threads_keep_their_credentials() {
        if skip_without_root() {
            return;
        }
        std::thread::spawn(|| assume_files(&nobody()).expect("assume")).join().expect("thread");
        let directory = tempfile_directory();
        std::fs::write(directory.join("by-root"), "x").expect("this thread is still root");
        std::fs::remove_dir_all(&directory).expect("clean up");
    }

    fn tempfile_directory() -> std::path::PathBuf {
        let path = std::env::temp_dir().join(format!(
            "linux-credential-{}-{:?}",
            std::process::id(),
            std::thread::current().id()
        ));
        std::fs::create_dir_all(&path).expect("directory");
        path
    }

    fn set_mode(path: &std::path::Path, mode: u32) {
        use std::os::unix::fs::PermissionsExt as _;
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).expect("mode");
    }
}
