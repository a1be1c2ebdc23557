//! The only unsafe code: Linux system calls behind safe functions, one kernel concept per file.
//!
//! Must not know: sandboxes, HTTP, the database. Each file names its manual page. Invariants: every descriptor is
//! owned and closes on exec unless its function says otherwise; every `unsafe` block says why it is sound; nothing
//! here logs or spawns threads.
#![expect(unsafe_code, reason = "this crate is where system calls without a safe wrapper live")]

pub mod errno;
pub mod heap;
pub mod replace;
pub mod range_lock;
pub mod reserve;
pub mod netlink;
pub mod link;
pub mod nft;
pub mod nflog;
pub mod credential;
pub mod child;
pub mod mount;
pub mod cgroup;
pub mod namespace;
pub mod seccomp;
pub mod capability;
pub mod loopback;
pub mod duplicate;
pub mod ext4;
pub mod shortage;
pub mod socket;
pub mod clock;
pub mod process;
pub mod exec;
pub mod terminal;
