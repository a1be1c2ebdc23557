//! Who `--chown` and `USER` mean, by the image's own lists of users and groups.

use std::io::Read as _;
use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::fs::OFlags;

use crate::build::view::open_in;
use crate::place::IDS_PER_SANDBOX;

/// More than any list of users has.
const MOST_BYTES: u64 = 4 << 20;

/// Finds the ids of `user`, `user:group` or numbers of either, below `root`; empty means root.
pub(super) fn find(root: &OwnedFd, text: &str) -> Result<(u32, u32), String> {
    let (user, group) = text.split_once(':').map_or((text, None), |(user, group)| (user, Some(group)));
    let user = if user.is_empty() { "0" } else { user };
    let users = read(root, "etc/passwd");
    let listed = line(&users, user, 2);
    let field = |index: usize| listed.and_then(|line| line.split(':').nth(index)?.parse::<u32>().ok());
    let number = user.parse::<u32>().ok();
    let user_id = field(2).or(number).ok_or_else(|| {
        format!("the image has no user `{user}`; make it with RUN adduser, or write a number")
    })?;
    let group_id = match group.filter(|group| !group.is_empty()) {
        None => field(3).unwrap_or(user_id),
        Some(group) => {
            let groups = read(root, "etc/group");
            let listed = line(&groups, group, 2).and_then(|line| line.split(':').nth(2)?.parse().ok());
            listed.or_else(|| group.parse().ok()).ok_or_else(|| {
                format!("the image has no group `{group}`; make it with RUN addgroup, or write a number")
            })?
        }
    };
    if user_id >= IDS_PER_SANDBOX || group_id >= IDS_PER_SANDBOX {
        return Err(format!("`{text}` is above 65535, and a sandbox has no such ids; use smaller ones"));
    }
    Ok((user_id, group_id))
}

/// Reads a list as a program inside would; what cannot be read counts as empty.
fn read(root: &OwnedFd, path: &str) -> String {
    let mut text = Vec::new();
    if let Ok(file) = open_in(root, Path::new(path), OFlags::RDONLY | OFlags::NONBLOCK) {
        let file = std::fs::File::from(file);
        if file.metadata().is_ok_and(|metadata| metadata.is_file()) {
            let _ = file.take(MOST_BYTES).read_to_end(&mut text);
        }
    }
    String::from_utf8_lossy(&text).into_owned()
}

/// Finds a line by name first, by number second.
fn line<'a>(text: &'a str, wanted: &str, number: usize) -> Option<&'a str> {
    let by = |index: usize| text.lines().find(move |line| line.split(':').nth(index) == Some(wanted));
    by(0).or_else(|| by(number))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_numbers_are_found_in_the_image() {
        let home = tempfile::tempdir().unwrap();
        std::fs::create_dir(home.path().join("etc")).unwrap();
        std::fs::write(home.path().join("etc/passwd"), "root:x:0:0::/:\nme:x:1000:1001::/:\nbad:x:y:z\n")
            .unwrap();
        std::fs::write(home.path().join("etc/group"), "us:x:7:\n").unwrap();
        let root = std::fs::File::open(home.path()).unwrap().into();
        for (text, expected) in [
            ("me", (1000, 1001)),
            ("me:us", (1000, 7)),
            ("1000", (1000, 1001)),
            ("55", (55, 55)),
            ("55:66", (55, 66)),
            ("", (0, 0)),
        ] {
            assert_eq!(find(&root, text), Ok(expected), "{text}");
        }
        for text in ["you", "me:them", "70000", "bad", "1:70000"] {
            assert!(find(&root, text).is_err(), "{text}");
        }
    }
}
