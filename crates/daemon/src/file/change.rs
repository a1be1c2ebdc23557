//! Makes, moves and deletes files and changes their permissions.

use std::fs::DirBuilder;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, PermissionsExt as _};
use std::path::Path;

use rustix::fs::{CWD, RenameFlags};

use crate::account::Directory;
use crate::error::DaemonError;
use crate::file::copy::copy_tree;

/// Reads permission bits written in octal, such as `0755`.
pub fn parse_mode(text: &str) -> Result<u32, DaemonError> {
    let digits = text.strip_prefix("0o").unwrap_or(text);
    let is_octal =
        (1..=5).contains(&digits.len()) && digits.bytes().all(|digit| (b'0'..=b'7').contains(&digit));
    let mode = u32::from_str_radix(digits, 8).ok().filter(|mode| is_octal && *mode <= 0o7777);
    mode.ok_or_else(|| {
        let shown: String = text.chars().take(20).collect();
        let reason =
            format!("invalid mode `{}`: use octal permission bits such as 0755", shown.escape_debug());
        DaemonError::Invalid { reason }
    })
}

/// Makes a directory and those above it; the mode holds for all that are new, whatever the umask.
pub fn make_folder(path: &Path, mode: u32) -> Result<(), DaemonError> {
    let failed = |error| DaemonError::file("create folder", path, error);
    let is_new = !path.exists();
    DirBuilder::new().recursive(true).mode(mode).create(path).map_err(failed)?;
    if is_new {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).map_err(failed)?;
    }
    Ok(())
}

/// Moves a file or directory to a path where nothing is yet.
///
/// `token` makes the name unique that a copy has until it is whole.
pub fn relocate(source: &Path, destination: &Path, token: &str) -> Result<(), DaemonError> {
    const ACTION: &str = "move to";
    std::fs::symlink_metadata(source).map_err(|error| DaemonError::file("move", source, error))?;
    match rustix::fs::renameat_with(CWD, source, CWD, destination, RenameFlags::NOREPLACE) {
        Ok(()) => Ok(()),
        Err(rustix::io::Errno::EXIST) => Err(DaemonError::FileConflict {
            action: ACTION,
            path: destination.to_string_lossy().into_owned(),
            reason: "something is there already; delete it first or choose another name".to_owned(),
        }),
        // Also the answer for a directory that an overlay has from a lower layer, so it is no corner case.
        Err(rustix::io::Errno::XDEV) => copy_across(source, destination, token),
        Err(error) => Err(DaemonError::file(ACTION, destination, error.into())),
    }
}

fn copy_across(source: &Path, destination: &Path, token: &str) -> Result<(), DaemonError> {
    let failed = |error| DaemonError::file("move to", destination, error);
    let hidden = destination.with_file_name(format!(".daytona-move-{token}"));
    let copied = copy_tree(source, &hidden).and_then(|()| {
        Ok(rustix::fs::renameat_with(CWD, &hidden, CWD, destination, RenameFlags::NOREPLACE)?)
    });
    if let Err(error) = copied {
        let _ = remove(&hidden);
        return Err(failed(error));
    }
    remove(source).map_err(|error| DaemonError::file("delete after copying", source, error))
}

fn remove(path: &Path) -> std::io::Result<()> {
    if std::fs::symlink_metadata(path)?.is_dir() {
        std::fs::remove_dir_all(path)
    } else {
        std::fs::remove_file(path)
    }
}

/// Deletes a file, or a directory with everything in it when `recursive`. Links are deleted, not followed.
pub fn delete(path: &Path, recursive: bool) -> Result<(), DaemonError> {
    const ACTION: &str = "delete";
    let failed = |error| DaemonError::file(ACTION, path, error);
    let metadata = std::fs::symlink_metadata(path).map_err(failed)?;
    if !metadata.is_dir() {
        return std::fs::remove_file(path).map_err(failed);
    }
    let refused = |reason: &str| DaemonError::InvalidPath {
        action: ACTION,
        path: path.to_string_lossy().into_owned(),
        reason: reason.to_owned(),
    };
    if !recursive {
        return Err(refused("it is a directory; set `recursive=true` to delete it with everything in it"));
    }
    // Compared by identity: `/tmp/..` and a bind mount of the root are the root as well.
    let root = std::fs::metadata("/").map_err(failed)?;
    if (metadata.dev(), metadata.ino()) == (root.dev(), root.ino()) {
        return Err(refused("it is the root of the file system; name what is to go"));
    }
    std::fs::remove_dir_all(path).map_err(failed)
}

/// Who a file should belong to and what may be done with it; what is absent stays.
#[derive(Debug, Default)]
pub struct Permissions {
    /// A user's name or number.
    pub owner: Option<String>,
    /// A group's name or number.
    pub group: Option<String>,
    /// Permission bits.
    pub mode: Option<u32>,
}

/// Changes owner, group and mode.
pub fn set_permissions(path: &Path, permissions: &Permissions) -> Result<(), DaemonError> {
    let failed = |error| DaemonError::file("set permissions of", path, error);
    let directory = Directory::read();
    let owner = permissions.owner.as_deref().map(|owner| directory.user_id(owner)).transpose()?;
    let group = permissions.group.as_deref().map(|group| directory.group_id(group)).transpose()?;
    std::fs::metadata(path).map_err(failed)?;
    if owner.is_some() || group.is_some() {
        std::os::unix::fs::chown(path, owner, group).map_err(failed)?;
    }
    // After the owner, since changing that clears the set-user-id bit.
    if let Some(mode) = permissions.mode {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).map_err(failed)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modes_are_octal() {
        for (text, mode) in [("755", 0o755), ("0644", 0o644), ("0o600", 0o600), ("7777", 0o7777), ("0", 0)] {
            assert_eq!(parse_mode(text).expect(text), mode);
        }
        for text in ["", "8", "rwx", "-1", "+755", "77777", "999", "0x1ff", "755 "] {
            parse_mode(text).expect_err(text);
        }
    }

    #[test]
    fn the_root_is_never_deleted_by_any_name() {
        for path in ["/", "/tmp/..", "/usr/../"] {
            let error = delete(Path::new(path), true).expect_err(path);
            assert_eq!(error.status_and_code().0, 400, "{path}");
        }
    }

    #[test]
    fn a_link_is_deleted_and_its_target_stays() {
        let directory = tempfile::tempdir().expect("directory");
        let (target, link) = (directory.path().join("target"), directory.path().join("link"));
        std::fs::create_dir(&target).expect("directory");
        std::fs::write(target.join("kept"), "").expect("file");
        std::os::unix::fs::symlink(&target, &link).expect("link");
        delete(&link, true).expect("delete the link");
        assert!(target.join("kept").exists() && !link.exists());
        assert_eq!(delete(&target, false).expect_err("not empty").status_and_code().0, 400);
        delete(&target, true).expect("delete the directory");
        assert_eq!(delete(&target, true).expect_err("gone").status_and_code(), (404, "FILE_NOT_FOUND"));
    }

    #[test]
    fn nothing_is_moved_over_something() {
        let directory = tempfile::tempdir().expect("directory");
        let path = |name: &str| directory.path().join(name);
        std::fs::write(path("a"), "a").expect("write");
        std::fs::write(path("b"), "b").expect("write");
        assert_eq!(relocate(&path("a"), &path("b"), "t").expect_err("taken").status_and_code().0, 409);
        assert_eq!(relocate(&path("c"), &path("d"), "t").expect_err("missing").status_and_code().0, 404);
        assert_eq!(relocate(&path("a"), &path("no/dir"), "t").expect_err("missing").status_and_code().0, 404);
        relocate(&path("a"), &path("e"), "t").expect("move");
        assert_eq!(std::fs::read(path("e")).expect("read"), b"a");
    }

    #[test]
    fn a_move_to_another_file_system_copies_and_deletes() {
        let (here, there) = (tempfile::tempdir_in("/dev/shm"), tempfile::tempdir().expect("directory"));
        let Ok(here) = here else {
            println!("skipped: no /dev/shm to have a second file system");
            return;
        };
        let source = here.path().join("source");
        std::fs::create_dir_all(source.join("sub")).expect("directories");
        std::fs::write(source.join("sub/file"), "contents").expect("write");
        std::fs::set_permissions(source.join("sub/file"), std::fs::Permissions::from_mode(0o751))
            .expect("mode");
        std::os::unix::fs::symlink("sub/file", source.join("link")).expect("link");
        let destination = there.path().join("destination");
        relocate(&source, &destination, "t").expect("move");
        assert_eq!(std::fs::read(destination.join("link")).expect("read"), b"contents");
        assert_eq!(std::fs::metadata(destination.join("sub/file")).expect("metadata").mode() & 0o777, 0o751);
        assert!(!source.exists());
        assert_eq!(std::fs::read_dir(there.path()).expect("list").count(), 1, "nothing hidden is left");
    }

    #[test]
    fn a_new_folder_has_the_asked_mode_and_an_old_one_keeps_its_own() {
        let directory = tempfile::tempdir().expect("directory");
        let path = directory.path().join("a/b");
        make_folder(&path, 0o777).expect("make");
        let mode = |path: &Path| std::fs::metadata(path).expect("metadata").mode() & 0o7777;
        assert_eq!(mode(&path), 0o777);
        make_folder(&path, 0o700).expect("again");
        assert_eq!(mode(&path), 0o777);
    }
}
