//! The writable disk: a sparse ext4 file of the size that was ordered, so that a full sandbox is full alone.

use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::time::Duration;

use linux::errno::{CallError, Context as _};
use linux::ext4::growth;
use linux::loopback::{self, LoopDevice};
use linux::mount::{self, Attributes};
use rustix::fs::{Gid, Mode, OFlags, Uid};

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

/// Makes an empty disk at `path` and mounts it, without write barriers: see [`Disk::set_barriers`]. `identity` becomes
/// the file system's UUID.
pub fn make(path: &Path, bytes: u64, identity: [u8; 16], now_seconds: u32) -> Result<Disk, CallError> {
    let options = std::fs::File::options().read(true).write(true).create_new(true).open(path);
    let file = options.context("create", path.display())?;
    file.set_len(growth::rounded(bytes)).context("ftruncate", path.display())?;
    // Shown as a device while it is still empty: the kernel first writes a file to the host's disk, and blocks that
    // were never there are given back at no cost, which is what happens to most sandboxes soon.
    let device = loopback::attach(&file)?;
    linux::ext4::format(&file, bytes, identity, now_seconds)?;
    device.forget_read()?;
    mounted(device, "nobarrier")
}

/// Mounts the disk at `path`.
pub fn mount(path: &Path) -> Result<Disk, CallError> {
    let file = std::fs::File::options().read(true).write(true).open(path).context("open", path.display())?;
    mounted(loopback::attach(&file)?, "barrier")
}

/// Mounts the disk at `path`, which nobody would miss yet, as [`make`] does.
pub fn mount_new(path: &Path) -> Result<Disk, CallError> {
    let file = std::fs::File::options().read(true).write(true).open(path).context("open", path.display())?;
    mounted(loopback::attach(&file)?, "nobarrier")
}

/// Opens the directory with what a sandbox has changed, on the disk at `path` that nobody uses and whose journal is
/// empty. Nothing is written to it; it stays mounted as long as the directory is open.
pub fn look_into(path: &Path) -> Result<OwnedFd, CallError> {
    let device = loopback::attach(std::fs::File::open(path).context("open", path.display())?)?;
    let options = [("source", device.path.as_str()), ("ro", "")];
    let attributes = Attributes::MOUNT_ATTR_RDONLY | Attributes::MOUNT_ATTR_NODEV;
    let mounted = mount::filesystem("ext4", &options, attributes)?;
    drop(device);
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    rustix::fs::openat(&mounted, "upper", flags, Mode::empty()).context("openat", "upper")
}

fn mounted(device: LoopDevice, barriers: &str) -> Result<Disk, CallError> {
    let attributes = Attributes::MOUNT_ATTR_NODEV | Attributes::MOUNT_ATTR_NOATIME;
    let options = [("source", device.path.as_str()), ("discard", ""), (barriers, "")];
    let mounted = mount::filesystem("ext4", &options, attributes)?;
    // The mount holds the device from here on.
    drop(device);
    let upper = directory(&mounted, "upper", 0o755)?;
    let work = directory(&mounted, "work", 0o700)?;
    Ok(Disk { mount: mounted, upper, work })
}

/// The option that sets write barriers.
const BARRIERS: &[(&str, &str)] = &[("barrier", "")];

/// Sets write barriers on the disk at `path`, which a sandbox uses; nothing is done where they are set already.
pub fn set_barriers_in_use(path: &Path) -> Result<(), CallError> {
    let Some(device) = loopback::find(path)? else { return Ok(()) };
    let name = device.trim_start_matches("/dev/");
    let options = std::fs::read_to_string(format!("/proc/fs/ext4/{name}/options")).unwrap_or_default();
    if options.lines().any(|option| option == "barrier") {
        return Ok(());
    }
    mount::reconfigure(mount_again(&device)?, BARRIERS)
}

/// Mounts a disk that a sandbox uses, and that is mounted in its namespace alone, once more: the same file system.
fn mount_again(device: &str) -> Result<OwnedFd, CallError> {
    mount::filesystem("ext4", &[("source", device)], Attributes::empty())
}

/// Opens a directory of the disk at `path`, which a sandbox uses. The disk stays mounted as long as that is open.
pub fn open_in_use(path: &Path) -> Result<OwnedFd, CallError> {
    let mounted = mount_again(&device_of(path)?)?;
    // Not as `directory` does, which would wait for a disk that is held.
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    rustix::fs::openat(&mounted, ".", flags, Mode::empty()).context("openat", "disk")
}

fn device_of(path: &Path) -> Result<String, CallError> {
    let device = loopback::find(path)?.ok_or_else(|| io::Error::from(io::ErrorKind::NotFound));
    device.context("find the loop device of", path.display())
}

impl Disk {
    /// Makes the disk survive a power cut of the host: from here on its journal is on the host's disk before what the
    /// journal speaks of. It costs the host a write of everything so far, some 10 ms, which a sandbox that lives for
    /// seconds need not pay.
    pub fn set_barriers(&self) -> Result<(), CallError> {
        mount::reconfigure(&self.mount, BARRIERS)
    }

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

/// Opens a directory of a disk, making it on first use; a link of that name is refused.
pub(crate) fn directory(parent: &OwnedFd, name: &str, mode: u32) -> Result<OwnedFd, CallError> {
    let mode = Mode::from_raw_mode(mode);
    let is_new = match rustix::fs::mkdirat(parent, name, mode) {
        Ok(()) => true,
        Err(rustix::io::Errno::EXIST) => false,
        Err(error) => return Err(error).context("mkdirat", name),
    };
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let opened = rustix::fs::openat(parent, name, flags, Mode::empty()).context("openat", name)?;
    if is_new {
        // Our umask had a say in it. By descriptor: in a volume the name may be a link by now.
        rustix::fs::fchmod(&opened, mode).context("fchmod", name)?;
    }
    Ok(opened)
}

/// Waits until no loop device shows the file at `path`: mounting it twice would destroy it. The kernel unmounts a
/// dead sandbox's disk behind our back, a moment after its last process.
pub fn wait_until_released(path: &Path) -> Result<(), CallError> {
    for _ in 0..2000 {
        if loopback::find(path)?.is_none() {
            return Ok(());
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    Err(io::Error::from(io::ErrorKind::TimedOut)).context("wait for the loop device of", path.display())
}

/// Has the kernel play the journal back of the disk at `path`, which nobody uses, if its host had lost its power.
pub fn replay(path: &Path) -> Result<(), CallError> {
    if growth::needs_replay(&std::fs::File::open(path).context("open", path.display())?)? {
        // Mounting it does that.
        drop(mount(path)?);
        wait_until_released(path)?;
    }
    Ok(())
}

/// Makes the disk at `path`, which nobody uses, at least `bytes` large; also finishes what a crash interrupted.
pub fn grow(path: &Path, bytes: u64) -> Result<(), CallError> {
    let open = || std::fs::File::options().read(true).write(true).open(path).context("open", path.display());
    let file = open()?;
    if growth::size_bytes(&file)? >= growth::rounded(bytes) {
        return Ok(());
    }
    wait_until_released(path)?;
    if growth::needs_recovery(&file)? {
        // The kernel plays the journal back when it mounts.
        drop(mount(path)?);
        wait_until_released(path)?;
    }
    // What the kernel changed through the loop device is seen by whoever opens the file afterwards.
    growth::at_rest(&open()?, bytes)
}

/// Makes the disk at `path` at least `bytes` large while a sandbox uses it. Fails with `EPERM`, having changed nothing,
/// on a host whose root may not do that.
pub fn grow_in_use(path: &Path, bytes: u64) -> Result<(), CallError> {
    let device = device_of(path)?;
    let opened = std::fs::File::options().read(true).open(&device).context("open", &device)?;
    let before = growth::size_bytes(&opened)?;
    if before >= growth::rounded(bytes) {
        return Ok(());
    }
    let mounted = mount_again(&device)?;
    let root = directory(&mounted, "work", 0o700)?;
    // Grown by nothing, to learn whether that is allowed.
    growth::in_use(&root, before)?;
    let file = std::fs::File::options().write(true).open(path).context("open", path.display())?;
    file.set_len(growth::rounded(bytes)).context("ftruncate", path.display())?;
    loopback::adopt_size(&device)?;
    growth::in_use(&root, bytes)
}
