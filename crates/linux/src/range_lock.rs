//! Claims a range of numbers among processes (fcntl(2), open file description locks).
//!
//! The kernel compares the ranges and releases them with the last descriptor: two that overlap cannot both be held,
//! whatever their sizes, and one that was held by a dead process is free.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::fd::AsRawFd as _;

/// Locks the bytes `range` of an open file, which need not exist; tells whether they were free.
pub fn try_lock(file: &File, range: &Range<u64>) -> io::Result<bool> {
    let number =
        |value: u64| libc::off_t::try_from(value).map_err(|_| io::Error::from(io::ErrorKind::InvalidInput));
    if range.is_empty() {
        // To the kernel a length of nothing means everything that follows.
        return Err(io::ErrorKind::InvalidInput.into());
    }
    // SAFETY: `flock` is plain data for which all zeros is a valid value.
    let mut lock: libc::flock = unsafe { std::mem::zeroed() };
    lock.l_type = libc::c_short::try_from(libc::F_WRLCK).map_err(io::Error::other)?;
    lock.l_whence = libc::c_short::try_from(libc::SEEK_SET).map_err(io::Error::other)?;
    lock.l_start = number(range.start)?;
    lock.l_len = number(range.end - range.start)?;
    // SAFETY: `lock` is a live `struct flock` for the time of the call.
    let result = unsafe { libc::fcntl(file.as_raw_fd(), libc::F_OFD_SETLK, std::ptr::from_ref(&lock)) };
    if result == 0 {
        return Ok(true);
    }
    match io::Error::last_os_error() {
        error if matches!(error.raw_os_error(), Some(libc::EAGAIN | libc::EACCES)) => Ok(false),
        error => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_that_overlap_are_never_held_twice() {
        let path = std::env::temp_dir().join(format!("range-lock-{}", std::process::id()));
        let open = || File::options().create(true).truncate(false).write(true).open(&path).unwrap();
        let (one, two) = (open(), open());
        assert!(try_lock(&one, &(100..200)).unwrap());
        for (range, free) in
            [(150..151, false), (0..101, false), (199..300, false), (200..300, true), (0..100, true)]
        {
            assert_eq!(try_lock(&two, &range).unwrap(), free, "{range:?}");
        }
        drop(one);
        assert!(try_lock(&two, &(100..200)).unwrap());
        assert!(try_lock(&two, &(5..5)).is_err());
        std::fs::remove_file(path).unwrap();
    }
}
