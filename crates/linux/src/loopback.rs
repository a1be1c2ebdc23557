//! A file as a block device (loop(4)).

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd as _};
use std::path::Path;

use crate::errno::{CallError, Context as _, checked};

const LOOP_CTL_GET_FREE: u64 = 0x4C82;
const LOOP_SET_CAPACITY: u64 = 0x4C07;
const LOOP_CONFIGURE: u64 = 0x4C0A;
const BLKFLSBUF: u64 = 0x1261;
const LO_FLAGS_AUTOCLEAR: u32 = 4;

/// Mirrors the kernel's `struct loop_info64`.
#[repr(C)]
struct LoopInformation {
    device: u64,
    inode: u64,
    rdevice: u64,
    offset: u64,
    size_limit: u64,
    number: u32,
    encrypt_type: u32,
    encrypt_key_size: u32,
    flags: u32,
    file_name: [u8; 64],
    crypt_name: [u8; 64],
    encrypt_key: [u8; 32],
    init: [u64; 2],
}

/// Mirrors the kernel's `struct loop_config`.
#[repr(C)]
struct LoopConfiguration {
    descriptor: u32,
    block_size: u32,
    information: LoopInformation,
    reserved: [u64; 8],
}

/// A loop device that frees itself when nothing holds it any more: no descriptor and no mount.
#[derive(Debug)]
pub struct LoopDevice {
    /// Where the device is, such as `/dev/loop3`.
    pub path: String,
    /// Keeps the device until a mount does.
    pub device: File,
}

/// Shows `backing` as a block device with blocks of 4096 bytes.
pub fn attach(backing: impl AsFd) -> Result<LoopDevice, CallError> {
    let control = File::options()
        .read(true)
        .write(true)
        .open("/dev/loop-control")
        .context("open", "/dev/loop-control")?;
    // Another process may take the free device between the two calls; then the next one is tried.
    for _ in 0..64 {
        // SAFETY: the request takes no argument.
        let result = unsafe { libc::ioctl(control.as_raw_fd(), LOOP_CTL_GET_FREE) };
        let number = checked(i64::from(result)).context("ioctl LOOP_CTL_GET_FREE", "/dev/loop-control")?;
        let path = format!("/dev/loop{number}");
        let device = File::options().read(true).write(true).open(&path).context("open", &path)?;
        match configure(&device, backing.as_fd().as_raw_fd()) {
            Ok(()) => return Ok(LoopDevice { path, device }),
            Err(error) if error.raw_os_error() == Some(libc::EBUSY) => {}
            Err(error) => return Err(error).context("ioctl LOOP_CONFIGURE", path),
        }
    }
    Err(io::Error::from(io::ErrorKind::ResourceBusy)).context("ioctl LOOP_CONFIGURE", "64 devices in turn")
}

impl LoopDevice {
    /// Lets the kernel forget what it has read of the device, as when the file was written behind its back.
    pub fn forget_read(&self) -> Result<(), CallError> {
        // SAFETY: the request takes no argument.
        let result = unsafe { libc::ioctl(self.device.as_raw_fd(), BLKFLSBUF) };
        checked(i64::from(result)).map(drop).context("ioctl BLKFLSBUF", &self.path)
    }
}

/// Finds the device that shows the file at `path`, `None` when none does.
pub fn find(path: &Path) -> Result<Option<String>, CallError> {
    let entries = std::fs::read_dir("/sys/block").context("readdir", "/sys/block")?;
    for entry in entries.filter_map(Result::ok) {
        // Devices come and go meanwhile, and most are no loop devices.
        let Ok(backing) = std::fs::read_to_string(entry.path().join("loop/backing_file")) else { continue };
        if Path::new(backing.trim_end_matches('\n')) == path {
            return Ok(Some(format!("/dev/{}", entry.file_name().to_string_lossy())));
        }
    }
    Ok(None)
}

/// Makes the device at `path` as large as its file has become.
pub fn adopt_size(path: &str) -> Result<(), CallError> {
    let device = File::options().read(true).write(true).open(path).context("open", path)?;
    // SAFETY: the request takes no argument.
    let result = unsafe { libc::ioctl(device.as_raw_fd(), LOOP_SET_CAPACITY) };
    checked(i64::from(result)).map(drop).context("ioctl LOOP_SET_CAPACITY", path)
}

fn configure(device: &File, backing: i32) -> io::Result<()> {
    // SAFETY: `LoopConfiguration` is plain data for which all zeros is a valid value.
    let mut configuration: LoopConfiguration = unsafe { std::mem::zeroed() };
    configuration.descriptor = backing.unsigned_abs();
    configuration.block_size = 4096;
    configuration.information.flags = LO_FLAGS_AUTOCLEAR;
    // SAFETY: `configuration` is a live `struct loop_config` for the time of the call.
    let result =
        unsafe { libc::ioctl(device.as_raw_fd(), LOOP_CONFIGURE, std::ptr::from_ref(&configuration)) };
    checked(i64::from(result)).map(drop)
}
