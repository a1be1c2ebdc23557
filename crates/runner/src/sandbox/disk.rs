//! The writable disk: a sparse ext4 file of the size that was ordered, so that a full sandbox is full alone.

use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::time::Duration;

use linux::errno::{CallError, Context as _};
use linux::mount::{self, Attributes};
use rustix::fs::{AtFlags, Gid, Mode, OFlags, Uid};

/// A mounted disk. The kernel unmounts it and frees the loop device with the last user of these descriptors.
#[derive(Debug)]
pub struct Disk {
    /// The detached mount: the directories below can become an overlay's only while it is open.
    pub mount: OwnedFd,
    /// What the sandbox has changed.
    pub upper: OwnedFd,
    /// The overlay's own scratch place.
    pub work: OwnedFd,
}

/// Returns the clock's time as a file system keeps it: seconds since 1970.
pub fn seconds(clock: &dyn types::Clock) -> u32 {
    u32::try_from(clock.now().as_second()).unwrap_or_default()
}

/// Makes the file at `path`; `identity` becomes the file system's UUID.
pub fn format(path: &Path, bytes: u64, identity: [u8; 16], now_seconds: u32) -> Result<(), CallError> {
    let options = std::fs::File::options().write(true).create_new(true).open(path);
    linux::ext4::format(&options.context("create", path.display())?, bytes, identity, now_seconds)
}

/// Mounts the disk at `path`.
pub fn mount(path: &Path) -> Result<Disk, CallError> {
    let file = std::fs::File::options().read(true).write(true).open(path).context("open", path.display())?;
    let device = linux::loopback::attach(&file)?;
    let attributes = Attributes::MOUNT_ATTR_NODEV | Attributes::MOUNT_ATTR_NOATIME;
    let mounted = mount::filesystem("ext4", &[("source", &device.path), ("discard", "")], attributes)?;
    // The mount holds the device from here on.
    drop(device);
    let upper = directory(&mounted, "upper", 0o755)?;
    let work = directory(&mounted, "work", 0o700)?;
    Ok(Disk { mount: mounted, upper, work })
}

impl Disk {
    /// Gives a new disk to the sandbox whose root is `id_base` on the host: the overlay shows the upper directory's
    /// owner as that of `/`.
    pub fn give(&self, id_base: u32) -> Result<(), CallError> {
        let (user, group) = (Uid::from_raw(id_base), Gid::from_raw(id_base));
        for directory in [&self.upper, &self.work] {
            rustix::fs::fchown(directory, Some(user), Some(group)).context("fchown", "disk")?;
        }
        Ok(())
    }
}

/// Opens a directory of the disk, making it on first use.
fn directory(disk: &OwnedFd, name: &str, mode: u32) -> Result<OwnedFd, CallError> {
    match rustix::fs::mkdirat(disk, name, Mode::from_raw_mode(mode)) {
        Ok(()) => {
            rustix::fs::chmodat(disk, name, Mode::from_raw_mode(mode), AtFlags::empty())
                .context("chmodat", name)?;
        }
        Err(rustix::io::Errno::EXIST) => {}
        Err(error) => return Err(error).context("mkdirat", name),
    }
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    rustix::fs::openat(disk, name, flags, Mode::empty()).context("openat", name)
}

/// Waits until no loop device shows the file at `path`: mounting it twice would destroy it. The kernel unmounts a
/// dead sandbox's disk behind our back, a moment after its last process.
pub fn wait_until_released(path: &Path) -> Result<(), CallError> {
    for _ in 0..2000 {
        if !attached(path)? {
            return Ok(());
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    Err(io::Error::from(io::ErrorKind::TimedOut)).context("wait for the loop device of", path.display())
}

fn attached(path: &Path) -> Result<bool, CallError> {
    let mut entries = std::fs::read_dir("/sys/block").context("readdir", "/sys/block")?;
    Ok(entries.any(|entry| {
        let backing = entry.and_then(|entry| std::fs::read_to_string(entry.path().join("loop/backing_file")));
        backing.is_ok_and(|backing| Path::new(backing.trim_end_matches('\n')) == path)
    }))
}
