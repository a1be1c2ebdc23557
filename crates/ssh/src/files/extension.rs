//! Requests that `OpenSSH` has added (its PROTOCOL, §4).

use std::path::{Path, PathBuf};

use super::PACKET_BYTES;
use super::PIECE_BYTES;
use super::handle::HANDLES;
use super::status::Refusal;
use crate::encoding::Writer as _;

/// What is told of them at the start: names and versions.
pub(super) const KNOWN: [(&str, &str); 8] = [
    ("posix-rename@openssh.com", "1"),
    ("statvfs@openssh.com", "2"),
    ("fstatvfs@openssh.com", "2"),
    ("hardlink@openssh.com", "1"),
    ("fsync@openssh.com", "1"),
    ("lsetstat@openssh.com", "1"),
    ("limits@openssh.com", "1"),
    ("expand-path@openssh.com", "1"),
];

const READ_ONLY: u64 = 1;
const NO_SET_ID: u64 = 2;

/// Writes what is told of a file system.
pub(super) fn file_system(out: Vec<u8>, told: &rustix::fs::StatVfs) -> Vec<u8> {
    let flag = |flag, value| if told.f_flag.contains(flag) { value } else { 0 };
    let flags = flag(rustix::fs::StatVfsMountFlags::RDONLY, READ_ONLY)
        | flag(rustix::fs::StatVfsMountFlags::NOSUID, NO_SET_ID);
    let out = out.long(told.f_bsize).long(told.f_frsize).long(told.f_blocks).long(told.f_bfree);
    let out = out.long(told.f_bavail).long(told.f_files).long(told.f_ffree).long(told.f_favail);
    out.long(told.f_fsid).long(flags).long(told.f_namemax)
}

/// Writes how much a client may ask for at once.
pub(super) fn limits(out: Vec<u8>) -> Vec<u8> {
    let number = |number: usize| u64::try_from(number).unwrap_or(u64::MAX);
    let out = out.long(number(PACKET_BYTES)).long(number(PIECE_BYTES));
    out.long(number(PIECE_BYTES)).long(number(HANDLES))
}

/// Puts the user's home in the place of a leading `~`.
pub(super) fn expand(path: &Path) -> Result<PathBuf, Refusal> {
    let home = || std::env::home_dir().ok_or_else(|| Refusal::failure("the user has no home"));
    match path.strip_prefix("~") {
        Ok(rest) => Ok(home()?.join(rest)),
        Err(_) if path.as_os_str().as_encoded_bytes().starts_with(b"~") => {
            Err(Refusal::failure("only the user's own home is known"))
        }
        Err(_) => Ok(path.to_owned()),
    }
}
