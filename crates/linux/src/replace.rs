//! Replaces a file so that a crash, or a power cut, leaves the old content or the new (rename(2), fsync(2)).

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

/// Writes `content` beside `path`, gets it onto the disk, and puts it in place; `mode` is that of a new file.
///
/// When this returns, the file is there after a power cut too. Without the first `fsync` a file system may put the new
/// name on the disk before the bytes; without the second the name itself may be lost.
pub fn replace(path: &Path, content: &[u8], mode: u32) -> io::Result<()> {
    place(path, content, mode, File::sync_all)?;
    sync_directory_of(path)
}

/// As [`replace`], but leaves it to the kernel when the bytes reach the disk: after a power cut the file may be the old
/// one. For what is of no use after a power cut anyway.
pub fn replace_soon(path: &Path, content: &[u8], mode: u32) -> io::Result<()> {
    place(path, content, mode, |_| Ok(()))
}

/// Makes the names in the directory of `path` survive a power cut: files that were made, renamed or removed there.
pub fn sync_directory_of(path: &Path) -> io::Result<()> {
    // A relative path of one part has an empty parent.
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(directory)?.sync_all()
}

fn place(path: &Path, content: &[u8], mode: u32, sync: impl Fn(&File) -> io::Result<()>) -> io::Result<()> {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".incoming");
    let incoming = path.with_file_name(name);
    let write = || {
        let mut file = File::options().write(true).create(true).truncate(true).mode(mode).open(&incoming)?;
        file.write_all(content)?;
        sync(&file)?;
        fs::rename(&incoming, path)
    };
    // What a full disk leaves half written is of no use, and takes space.
    write().inspect_err(|_| drop(fs::remove_file(&incoming)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    #[test]
    fn the_file_is_replaced_whole_and_nothing_stays_beside_it() {
        let home = std::env::temp_dir().join(format!("replace-{}", std::process::id()));
        fs::create_dir_all(&home).unwrap();
        let path = home.join("file.json");
        replace(&path, b"one", 0o600).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        replace_soon(&path, b"two", 0o600).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"two");
        assert!(replace(&home.join("missing/file"), b"", 0o600).is_err());
        // A directory cannot be replaced by a file: what was written beside it goes.
        fs::create_dir(home.join("taken")).unwrap();
        assert!(replace(&home.join("taken"), b"three", 0o600).is_err());
        let mut names: Vec<_> =
            fs::read_dir(&home).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        names.sort();
        assert_eq!(names, ["file.json", "taken"]);
        fs::remove_dir_all(home).unwrap();
    }
}
