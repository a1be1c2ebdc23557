//! Mounts by descriptor, never by a path that a tenant could race (`mount_setattr(2)`, `open_tree(2)`, fsopen(2)).
//!
//! A mount made here is *detached*: it belongs to its descriptor, and goes away with the last reference to it. That
//! is what keeps a dead sandbox from leaving anything on the host.

use std::ffi::CString;
use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd, OwnedFd};

use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags, ResolveFlags};
use rustix::mount::{
    FsMountFlags, FsOpenFlags, FsPickFlags, MountAttrFlags, MoveMountFlags, OpenTreeFlags, UnmountFlags,
    fsconfig_create, fsconfig_reconfigure, fsconfig_set_fd, fsconfig_set_flag, fsconfig_set_string, fsmount,
    fsopen, fspick, move_mount, open_tree, unmount,
};

use crate::errno::{CallError, Context as _, checked};

/// What a mount forbids.
pub type Attributes = MountAttrFlags;

/// Clones the mount at `path` below `directory` into a detached one.
pub fn clone_tree(directory: impl AsFd, path: &str, recursive: bool) -> Result<OwnedFd, CallError> {
    let mut flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
    if path.is_empty() {
        flags |= OpenTreeFlags::AT_EMPTY_PATH;
    }
    if recursive {
        flags |= OpenTreeFlags::AT_RECURSIVE;
    }
    open_tree(directory, path, flags).context("open_tree", path)
}

/// Clones the mount at an absolute path of the host.
pub fn clone_path(path: &str) -> Result<OwnedFd, CallError> {
    let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
    open_tree(CWD, path, flags).context("open_tree", path)
}

/// Mirrors the kernel's `struct mount_attr`.
#[repr(C)]
#[derive(Default)]
struct MountAttributes {
    set: u64,
    clear: u64,
    propagation: u64,
    user_namespace: u64,
}

fn change(mount: BorrowedFd<'_>, recursive: bool, attributes: &MountAttributes) -> Result<(), CallError> {
    let flags = libc::AT_EMPTY_PATH | if recursive { libc::AT_RECURSIVE } else { 0 };
    // SAFETY: the path is a NUL-terminated literal, `attributes` is a live `struct mount_attr` and its size is given.
    let result = unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            mount.as_raw_fd(),
            c"".as_ptr(),
            flags,
            std::ptr::from_ref(attributes),
            std::mem::size_of::<MountAttributes>(),
        )
    };
    checked(result).map(drop).context("mount_setattr", format_args!("set={:#x}", attributes.set))
}

/// Shows the files of a detached mount with the ids of `user_namespace`: id 0 on disk is id 0 inside it.
pub fn map_ids(mount: impl AsFd, user_namespace: impl AsFd) -> Result<(), CallError> {
    const MOUNT_ATTR_IDMAP: u64 = 0x0010_0000;
    let user_namespace = u64::from(user_namespace.as_fd().as_raw_fd().unsigned_abs());
    change(
        mount.as_fd(),
        false,
        &MountAttributes { set: MOUNT_ATTR_IDMAP, user_namespace, ..Default::default() },
    )
}

/// Adds what a mount forbids, to all mounts below it when `recursive`.
pub fn restrict(mount: impl AsFd, attributes: Attributes, recursive: bool) -> Result<(), CallError> {
    change(
        mount.as_fd(),
        recursive,
        &MountAttributes { set: u64::from(attributes.bits()), ..Default::default() },
    )
}

/// Keeps mounts made in this namespace from being seen outside it, and the other way round.
pub fn make_private(mount: impl AsFd) -> Result<(), CallError> {
    let propagation = libc::MS_PRIVATE;
    change(mount.as_fd(), true, &MountAttributes { propagation, ..Default::default() })
}

/// Makes an overlay of `lowers` (topmost first) under `upper`, detached.
pub fn overlay(lowers: &[OwnedFd], upper: impl AsFd, work: impl AsFd) -> Result<OwnedFd, CallError> {
    let context = fsopen("overlay", FsOpenFlags::FSOPEN_CLOEXEC).context("fsopen", "overlay")?;
    for lower in lowers {
        fsconfig_set_fd(&context, "lowerdir+", lower).context("fsconfig", "overlay lowerdir+")?;
    }
    fsconfig_set_fd(&context, "upperdir", upper).context("fsconfig", "overlay upperdir")?;
    fsconfig_set_fd(&context, "workdir", work).context("fsconfig", "overlay workdir")?;
    fsconfig_set_string(&context, "source", "sandbox").context("fsconfig", "overlay source")?;
    create(&context, "overlay")?;
    // Its devices are those of `/dev`, a mount of its own.
    let attributes = MountAttrFlags::MOUNT_ATTR_NODEV;
    fsmount(&context, FsMountFlags::FSMOUNT_CLOEXEC, attributes).context("fsmount", "overlay")
}

/// Makes an overlay of `lowers` (topmost first) that nobody can write to, detached; there must be two at least.
pub fn overlay_read_only(lowers: &[OwnedFd]) -> Result<OwnedFd, CallError> {
    let context = fsopen("overlay", FsOpenFlags::FSOPEN_CLOEXEC).context("fsopen", "overlay")?;
    for lower in lowers {
        fsconfig_set_fd(&context, "lowerdir+", lower).context("fsconfig", "overlay lowerdir+")?;
    }
    fsconfig_set_string(&context, "source", "layers").context("fsconfig", "overlay source")?;
    create(&context, "overlay")?;
    let attributes = MountAttrFlags::MOUNT_ATTR_NODEV | MountAttrFlags::MOUNT_ATTR_RDONLY;
    fsmount(&context, FsMountFlags::FSMOUNT_CLOEXEC, attributes).context("fsmount", "overlay")
}

/// Makes the file system that was described; a failure says what the kernel says of it.
fn create(context: &OwnedFd, kind: &str) -> Result<(), CallError> {
    fsconfig_create(context).or_else(|error| {
        let mut words = [0; 512];
        let length = rustix::io::read(context, &mut words).unwrap_or_default();
        let words = String::from_utf8_lossy(words.get(..length).unwrap_or_default()).trim().to_owned();
        Err(error).context("fsconfig", format_args!("create {kind} ({words})"))
    })
}

/// Makes a file system of type `kind` with `key=value` options, detached.
pub fn filesystem(
    kind: &str,
    options: &[(&str, &str)],
    attributes: Attributes,
) -> Result<OwnedFd, CallError> {
    let context = fsopen(kind, FsOpenFlags::FSOPEN_CLOEXEC).context("fsopen", kind)?;
    set(&context, kind, options)?;
    create(&context, kind)?;
    fsmount(&context, FsMountFlags::FSMOUNT_CLOEXEC, attributes).context("fsmount", kind)
}

/// Changes options of the file system that is mounted at `mount`; each is a name, or a name with a value.
pub fn reconfigure(mount: impl AsFd, options: &[(&str, &str)]) -> Result<(), CallError> {
    let flags = FsPickFlags::FSPICK_CLOEXEC | FsPickFlags::FSPICK_EMPTY_PATH;
    let context = fspick(mount, "", flags).context("fspick", "descriptor")?;
    set(&context, "reconfigure", options)?;
    fsconfig_reconfigure(&context).context("fsconfig", "reconfigure")
}

fn set(context: &OwnedFd, kind: &str, options: &[(&str, &str)]) -> Result<(), CallError> {
    for (key, value) in options {
        let set = if value.is_empty() {
            fsconfig_set_flag(context, *key)
        } else {
            fsconfig_set_string(context, *key, *value)
        };
        set.context("fsconfig", format_args!("{kind} {key}={value}"))?;
    }
    Ok(())
}

/// Puts a detached mount over `target`, which the caller opened without following links.
pub fn attach(mount: impl AsFd, target: impl AsFd) -> Result<(), CallError> {
    let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH | MoveMountFlags::MOVE_MOUNT_T_EMPTY_PATH;
    move_mount(mount, "", target, "", flags).context("move_mount", "descriptor")
}

/// Makes `root`, a mounted directory, the root of this mount namespace and lets go of all that was visible before.
pub fn pivot(root: impl AsFd) -> Result<(), CallError> {
    rustix::process::fchdir(root).context("fchdir", "new root")?;
    rustix::process::pivot_root(".", ".").context("pivot_root", ".")?;
    // The old root is now stacked over the new one at `.`: dropping it leaves the new one alone.
    unmount(".", UnmountFlags::DETACH).context("umount2", "old root")?;
    rustix::process::chdir("/").context("chdir", "/")
}

/// Makes `root`, which was put over this namespace's root, the root of this process and of those it starts.
///
/// Other than [`pivot`] it leaves what is below in place, so that must be worth nothing to anybody. In return the kernel
/// need not look at every process of the machine.
pub fn enter(root: impl AsFd) -> Result<(), CallError> {
    rustix::process::fchdir(root).context("fchdir", "new root")?;
    rustix::process::chroot(".").context("chroot", ".")
}

/// Opens what a process sees as its root, given `/proc/<pid>/root`.
pub fn open_root(path: &str) -> Result<OwnedFd, CallError> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    rustix::fs::open(path, flags, Mode::empty()).context("open", path)
}

/// Opens `path` below `root` as an inside program would see it, refusing every link on the way.
pub fn open_inside(root: impl AsFd, path: &str, flags: OFlags) -> Result<OwnedFd, CallError> {
    let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
    rustix::fs::openat2(root, path, flags | OFlags::CLOEXEC, Mode::empty(), resolve).context("openat2", path)
}

/// Opens the directory `path` below `root`, making it when missing; an image that put anything else there, a link
/// say, is refused.
pub fn ensure_directory(root: impl AsFd, path: &str) -> Result<OwnedFd, CallError> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW;
    let name = CString::new(path).map_err(|_| std::io::Error::from(std::io::ErrorKind::InvalidInput));
    let name = name.context("mkdirat", path)?;
    match rustix::fs::mkdirat(root.as_fd(), &name, Mode::from_raw_mode(0o755)) {
        Ok(()) | Err(rustix::io::Errno::EXIST) => {}
        Err(error) => return Err(error).context("mkdirat", path),
    }
    open_inside(root, path, flags)
}

/// Opens `path` below `root` as a place to mount on, making what is missing: directories, and an empty file at its end
/// when `is_file`. Links on the way lead where they lead inside of `root`.
pub fn ensure_place(root: impl AsFd, path: &str, is_file: bool) -> Result<OwnedFd, CallError> {
    let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
    let open = |path: &str| {
        let flags = OFlags::PATH | OFlags::CLOEXEC;
        rustix::fs::openat2(root.as_fd(), path, flags, Mode::empty(), resolve)
    };
    let (mut here, mut parts) =
        (String::from("."), path.split('/').filter(|part| !part.is_empty()).peekable());
    while let Some(part) = parts.next() {
        let above = open(&here).context("openat2", &here)?;
        here = format!("{here}/{part}");
        match open(&here) {
            Ok(_) => continue,
            Err(rustix::io::Errno::NOENT) => {}
            Err(error) => return Err(error).context("openat2", &here),
        }
        let made = if is_file && parts.peek().is_none() {
            let flags = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            rustix::fs::openat(&above, part, flags, Mode::from_raw_mode(0o644)).map(drop)
        } else {
            rustix::fs::mkdirat(&above, part, Mode::from_raw_mode(0o755))
        };
        made.context("make a place to mount on", &here)?;
    }
    open(&here).context("openat2", &here)
}

/// Opens the regular file `name` in `directory` as a place to mount on, making it when missing. Anything else that an
/// image put there, a link say, is removed first.
pub fn ensure_file(directory: impl AsFd, name: &str) -> Result<OwnedFd, CallError> {
    let place = OFlags::PATH | OFlags::NOFOLLOW;
    let is_file = |found: &OwnedFd| {
        rustix::fs::fstat(found).is_ok_and(|status| FileType::from_raw_mode(status.st_mode).is_file())
    };
    match open_inside(directory.as_fd(), name, place) {
        Ok(found) if is_file(&found) => return Ok(found),
        Err(error) if error.errno() == rustix::io::Errno::NOENT.raw_os_error() => {}
        _ => rustix::fs::unlinkat(directory.as_fd(), name, AtFlags::empty()).context("unlinkat", name)?,
    }
    let create = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    rustix::fs::openat(directory.as_fd(), name, create, Mode::from_raw_mode(0o644))
        .context("openat", name)?;
    open_inside(directory, name, place)
}

/// Writes over a file of a file system that nobody else sees yet.
pub fn fill_file(directory: impl AsFd, name: &str, text: &str) -> Result<(), CallError> {
    let write = OFlags::WRONLY | OFlags::TRUNC | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let file = rustix::fs::openat(directory, name, write, Mode::empty()).context("openat", name)?;
    std::io::Write::write_all(&mut std::fs::File::from(file), text.as_bytes()).context("write", name)
}

/// Writes a new file of a file system that nobody else sees yet.
pub fn write_file(directory: impl AsFd, name: &str, text: &str) -> Result<(), CallError> {
    let create = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::CLOEXEC;
    let file =
        rustix::fs::openat(directory, name, create, Mode::from_raw_mode(0o644)).context("openat", name)?;
    std::io::Write::write_all(&mut std::fs::File::from(file), text.as_bytes()).context("write", name)
}
