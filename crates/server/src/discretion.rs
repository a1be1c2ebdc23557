//! What a tenant is told of the host: causes, and no paths.

/// How many parts a path must have to tell something of the host: `/etc/passwd` and `/dev/loop7` do not.
const PARTS: usize = 3;

/// Leaves of every path of several parts only its last one.
pub(crate) fn without_paths(text: &str) -> String {
    let mut told = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(start) = rest.find('/') {
        let (before, path) = rest.split_at(start);
        let length = path.find(|letter: char| letter.is_whitespace() || "`'\"();,:".contains(letter));
        let (path, after) = path.split_at(length.unwrap_or(path.len()));
        let begins = before.chars().next_back().is_none_or(|letter| !letter.is_alphanumeric());
        let parts = path.split('/').filter(|part| !part.is_empty()).count();
        told.push_str(before);
        told.push_str(match path.rsplit('/').find(|part| !part.is_empty()) {
            Some(last) if begins && parts >= PARTS => last,
            _ => path,
        });
        rest = after;
    }
    told.push_str(rest);
    told
}

#[cfg(test)]
mod tests {
    use super::without_paths;

    #[test]
    fn paths_of_the_host_become_names() {
        for (text, told) in [
            ("open /var/lib/daytona/sandboxes/1/disk.ext4: No such file", "open disk.ext4: No such file"),
            ("listen at /proc/self/fd/7/abc", "listen at abc"),
            ("write `/sys/fs/cgroup/pids/daytona-1/place-2/pids.max`", "write `pids.max`"),
            ("find user x in /etc/passwd", "find user x in /etc/passwd"),
            ("use the pool 10.210.0.0/16", "use the pool 10.210.0.0/16"),
            ("a/b/c/d and / alone", "a/b/c/d and / alone"),
            ("", ""),
        ] {
            assert_eq!(without_paths(text), told);
        }
    }
}
