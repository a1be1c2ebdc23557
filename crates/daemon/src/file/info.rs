//! Describes files and lists directories.

use std::ffi::OsString;
use std::fs::Metadata;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

use daytona_wire::toolbox::file::FileInfo;
use types::Timestamp;

use crate::error::DaemonError;

/// A listing longer than this is refused: it would fill the daemon's memory and no reader asked for it on purpose.
pub const LISTING_ENTRIES: usize = 100_000;

/// Describes one file, following a symbolic link; a link that leads nowhere describes itself.
pub fn info(path: &Path) -> Result<FileInfo, DaemonError> {
    let metadata = std::fs::metadata(path).or_else(|_| std::fs::symlink_metadata(path));
    metadata
        .map(|metadata| describe(path, &metadata))
        .map_err(|error| DaemonError::file("describe", path, error))
}

/// Lists a directory, `depth` levels deep, as a JSON array: each directory's entries by name, parents before children.
///
/// The array is written as text at once, which takes a third of the memory of the values. Below the first level a
/// directory that cannot be read is listed without its entries.
pub fn list(path: &Path, depth: usize) -> Result<Vec<u8>, DaemonError> {
    let mut json = vec![b'['];
    let mut count = 0;
    let entries = names(path).map_err(|error| DaemonError::file("list", path, error))?;
    // Reversed, since the next one is taken from the end.
    let mut pending: Vec<(PathBuf, usize)> =
        entries.into_iter().rev().map(|name| (path.join(name), 1)).collect();
    while let Some((entry, level)) = pending.pop() {
        // Gone between the listing and now.
        let Ok(metadata) = std::fs::symlink_metadata(&entry) else { continue };
        count += 1;
        if count > LISTING_ENTRIES || pending.len() > LISTING_ENTRIES {
            return Err(too_long(path));
        }
        if json.len() > 1 {
            json.push(b',');
        }
        serde_json::to_writer(&mut json, &describe(&entry, &metadata))
            .map_err(|error| DaemonError::file("list", path, error.into()))?;
        if metadata.is_dir() && level < depth {
            let children = names(&entry).unwrap_or_default();
            pending.extend(children.into_iter().rev().map(|name| (entry.join(name), level + 1)));
        }
    }
    json.push(b']');
    Ok(json)
}

fn too_long(path: &Path) -> DaemonError {
    DaemonError::InvalidPath {
        action: "list",
        path: path.to_string_lossy().into_owned(),
        reason: format!(
            "it has more than {LISTING_ENTRIES} entries; lower `depth`, list a directory inside it, or search it with \
             /files/search"
        ),
    }
}

fn names(path: &Path) -> std::io::Result<Vec<OsString>> {
    let mut names = Vec::new();
    for entry in std::fs::read_dir(path)? {
        names.push(entry?.file_name());
        // One more than allowed is enough to be refused.
        if names.len() > LISTING_ENTRIES {
            break;
        }
    }
    names.sort_unstable();
    Ok(names)
}

fn describe(path: &Path, metadata: &Metadata) -> FileInfo {
    let name = path.file_name().map_or_else(|| "/".into(), |name| name.to_string_lossy());
    let changed = Timestamp::new(metadata.mtime(), i32::try_from(metadata.mtime_nsec()).unwrap_or(0));
    let changed = changed.unwrap_or(Timestamp::UNIX_EPOCH);
    FileInfo {
        name: name.into_owned(),
        path: path.to_string_lossy().into_owned(),
        size: metadata.len(),
        mode: mode_letters(metadata),
        mod_time: go_time(changed),
        modified_at: changed.to_string(),
        is_dir: metadata.is_dir(),
        owner: metadata.uid().to_string(),
        group: metadata.gid().to_string(),
        permissions: format!("{:04o}", metadata.mode() & 0o7777),
    }
}

/// Writes type and permissions as the SDKs know them: `-rw-r--r--`, `drwxr-xr-x`, `Lrwxrwxrwx`, `dtrwxrwxrwx`.
fn mode_letters(metadata: &Metadata) -> String {
    let kind = metadata.file_type();
    let mode = metadata.mode();
    let flags = [
        (kind.is_dir(), "d"),
        (kind.is_symlink(), "L"),
        (kind.is_block_device(), "D"),
        (kind.is_char_device(), "Dc"),
        (kind.is_fifo(), "p"),
        (kind.is_socket(), "S"),
        (mode & 0o4000 != 0, "u"),
        (mode & 0o2000 != 0, "g"),
        (mode & 0o1000 != 0, "t"),
    ];
    let mut letters: String = flags.iter().filter(|(is_set, _)| *is_set).map(|(_, letter)| *letter).collect();
    if letters.is_empty() {
        letters.push('-');
    }
    for (bit, letter) in (0..9).rev().zip("rwxrwxrwx".chars()) {
        letters.push(if mode & (1 << bit) == 0 { '-' } else { letter });
    }
    letters
}

/// Writes a moment the way older SDKs expect `modTime`, such as `2026-11-22 04:13:40.5 +0000 UTC`.
fn go_time(moment: Timestamp) -> String {
    let text = moment.to_string();
    format!("{} +0000 UTC", text.trim_end_matches('Z').replacen('T', " ", 1))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_file_is_described_in_every_format() {
        let directory = tempfile::tempdir().expect("directory");
        let path = directory.path().join("é.txt");
        std::fs::write(&path, "four").expect("write");
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o640)).expect("mode");
        let time = std::time::UNIX_EPOCH + std::time::Duration::new(1_700_000_000, 500_000_000);
        std::fs::File::open(&path).expect("open").set_modified(time).expect("time");
        let info = info(&path).expect("info");
        assert_eq!((info.name.as_str(), info.size, info.is_dir), ("é.txt", 4, false));
        assert_eq!((info.mode.as_str(), info.permissions.as_str()), ("-rw-r-----", "0640"));
        assert_eq!(info.mod_time, "2023-11-14 22:13:20.5 +0000 UTC");
        assert_eq!(info.modified_at, "2023-11-14T22:13:20.5Z");
        assert_eq!(info.path, path.to_str().expect("UTF-8"));
    }

    #[test]
    fn special_files_have_their_letters() {
        let directory = tempfile::tempdir().expect("directory");
        let link = directory.path().join("link");
        std::os::unix::fs::symlink("nowhere", &link).expect("link");
        assert_eq!(info(&link).expect("a dangling link").mode, "Lrwxrwxrwx");
        assert_eq!(info(Path::new("/dev/null")).expect("device").mode.get(..2), Some("Dc"));
        let sticky = directory.path().join("sticky");
        std::fs::create_dir(&sticky).expect("directory");
        std::fs::set_permissions(&sticky, std::fs::Permissions::from_mode(0o1777)).expect("mode");
        assert_eq!(info(&sticky).expect("directory").mode, "dtrwxrwxrwx");
    }

    #[test]
    fn a_listing_is_sorted_and_as_deep_as_asked() {
        let directory = tempfile::tempdir().expect("directory");
        std::fs::create_dir_all(directory.path().join("b/c/d")).expect("directories");
        std::fs::write(directory.path().join("a"), "").expect("file");
        std::fs::write(directory.path().join("b/z"), "").expect("file");
        let names = |depth| -> Vec<String> {
            let json = list(directory.path(), depth).expect("listed");
            let infos: Vec<FileInfo> = serde_json::from_slice(&json).expect("JSON");
            infos.into_iter().map(|info| info.name).collect()
        };
        assert_eq!(names(1), ["a", "b"]);
        assert_eq!(names(2), ["a", "b", "c", "z"]);
        assert_eq!(names(9), ["a", "b", "c", "d", "z"]);
        let empty = directory.path().join("b/c/d");
        assert_eq!(list(&empty, 1).expect("listed"), b"[]");
        let file = directory.path().join("a");
        assert_eq!(
            list(&file, 1).expect_err("not a directory").status_and_code(),
            (400, "INVALID_FILE_PATH")
        );
    }
}
