//! Paths as texts: what they come to, without a look at any file.

/// Joins a path to the directory that it is seen from; neither leads above the root.
pub fn absolute(directory: &str, path: &str) -> String {
    let whole = if path.starts_with('/') { path.to_owned() } else { format!("{directory}/{path}") };
    format!("/{}", relative(&whole))
}

/// Takes `.`, `..` and slashes at the beginning out of a path.
pub fn relative(path: &str) -> String {
    let mut kept: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(kept.pop()),
            part => kept.push(part),
        }
    }
    kept.join("/")
}
