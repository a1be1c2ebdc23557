//! Copies a file or a directory with everything in it, as `cp -a` does where the user's permissions allow.

use std::fs::Metadata;
use std::io;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

/// Copies `source` to `destination`, where nothing may be yet.
///
/// Modes and times are kept, owners where that is allowed, links as links; sockets, pipes and devices are refused.
pub fn copy_tree(source: &Path, destination: &Path) -> io::Result<()> {
    let mut pending = vec![(source.to_owned(), destination.to_owned())];
    // A directory gets its mode and times last: before, it must be writable, and every entry would change its time.
    let mut directories: Vec<(PathBuf, Metadata)> = Vec::new();
    while let Some((from, to)) = pending.pop() {
        let metadata = std::fs::symlink_metadata(&from)?;
        if metadata.is_symlink() {
            std::os::unix::fs::symlink(std::fs::read_link(&from)?, &to)?;
            let _ = std::os::unix::fs::lchown(&to, Some(metadata.uid()), Some(metadata.gid()));
        } else if metadata.is_dir() {
            std::fs::create_dir(&to)?;
            for entry in std::fs::read_dir(&from)? {
                let name = entry?.file_name();
                pending.push((from.join(&name), to.join(&name)));
            }
            directories.push((to, metadata));
        } else if metadata.is_file() {
            std::fs::copy(&from, &to)?;
            keep_attributes(&to, &metadata)?;
        } else {
            return Err(io::Error::from_raw_os_error(rustix::io::Errno::INVAL.raw_os_error()));
        }
    }
    // The deepest first, since a parent may lose the permission to be entered.
    directories.iter().rev().try_for_each(|(path, metadata)| keep_attributes(path, metadata))
}

fn keep_attributes(path: &Path, metadata: &Metadata) -> io::Result<()> {
    let file = std::fs::File::open(path);
    // Giving a file away needs privileges that the user may lack; then it is the user's, without set-id bits.
    let is_given = std::os::unix::fs::chown(path, Some(metadata.uid()), Some(metadata.gid())).is_ok();
    let mode = metadata.mode() & if is_given { 0o7777 } else { 0o777 };
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode))?;
    let times =
        std::fs::FileTimes::new().set_modified(metadata.modified()?).set_accessed(metadata.accessed()?);
    // Times are a courtesy; a file that may not even be read keeps the new ones.
    let _ = file.and_then(|file| file.set_times(times));
    Ok(())
}
