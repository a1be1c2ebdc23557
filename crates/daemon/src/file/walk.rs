//! Visits everything below a directory, in order, without following links or entering the kernel's own file systems.

use std::fs::{FileType, Metadata};
use std::ops::ControlFlow;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::error::DaemonError;

/// The file systems that show kernel state: endless, and some of their files block their reader (statfs(2)).
const KERNEL_FILE_SYSTEMS: [i64; 2] = [0x9fa0, 0x6265_6572];

/// Tells a walk that nobody waits for its result any more.
#[derive(Debug, Default, Clone)]
pub struct Cancellation(Arc<AtomicBool>);

impl Cancellation {
    /// Returns a guard that cancels when it is dropped.
    pub fn guard(&self) -> CancelOnDrop {
        CancelOnDrop(self.clone())
    }

    /// Returns whether to stop.
    pub fn is_cancelled(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// Cancels when dropped.
#[derive(Debug)]
pub struct CancelOnDrop(Cancellation);

impl Drop for CancelOnDrop {
    fn drop(&mut self) {
        self.0.0.store(true, Ordering::Relaxed);
    }
}

/// Visits `root`, or everything below it when it is a directory, each directory's entries by name.
///
/// What cannot be read below `root` is left out, as in other tools; `root` itself must be there.
pub fn walk(
    root: &Path,
    cancellation: &Cancellation,
    mut visit: impl FnMut(&Path, FileType) -> ControlFlow<()>,
) -> Result<(), DaemonError> {
    let failed = |error| DaemonError::file("search", root, error);
    let metadata = std::fs::metadata(root).map_err(failed)?;
    if !metadata.is_dir() {
        let _ = visit(root, metadata.file_type());
        return Ok(());
    }
    let mut pending = children(root, &metadata).map_err(failed)?;
    while let Some(Child { path, kind, device }) = pending.pop() {
        if cancellation.is_cancelled() {
            return Ok(());
        }
        if visit(&path, kind).is_break() {
            return Ok(());
        }
        if !kind.is_dir() {
            continue;
        }
        // What is a link by now is not entered.
        let Ok(metadata) = std::fs::symlink_metadata(&path) else { continue };
        if metadata.is_dir() && (metadata.dev() == device || !is_kernel_file_system(&path)) {
            pending.extend(children(&path, &metadata).unwrap_or_default());
        }
    }
    Ok(())
}

/// An entry to visit.
#[derive(Debug)]
struct Child {
    path: PathBuf,
    /// As the directory tells it: most file systems do, and asking for each file would double the calls.
    kind: FileType,
    /// The device that its directory is on.
    device: u64,
}

/// Returns a directory's entries, the first one last.
fn children(directory: &Path, metadata: &Metadata) -> std::io::Result<Vec<Child>> {
    let mut entries: Vec<_> = std::fs::read_dir(directory)?
        .flatten()
        .filter_map(|entry| Some((entry.file_name(), entry.file_type().ok()?)))
        .collect();
    entries.sort_unstable_by(|(left, _), (right, _)| right.cmp(left));
    let device = metadata.dev();
    let child = |(name, kind)| Child { path: directory.join(name), kind, device };
    Ok(entries.into_iter().map(child).collect())
}

fn is_kernel_file_system(path: &Path) -> bool {
    rustix::fs::statfs(path).is_ok_and(|status| KERNEL_FILE_SYSTEMS.contains(&status.f_type))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_is_visited_once_in_order_and_links_are_not_followed() {
        let directory = tempfile::tempdir().expect("directory");
        std::fs::create_dir_all(directory.path().join("b/c")).expect("directories");
        std::fs::write(directory.path().join("a"), "").expect("file");
        std::os::unix::fs::symlink(directory.path(), directory.path().join("b/loop")).expect("link");
        let mut seen = Vec::new();
        walk(directory.path(), &Cancellation::default(), |path, _| {
            seen.push(path.strip_prefix(directory.path()).expect("below").to_owned());
            ControlFlow::Continue(())
        })
        .expect("walk");
        assert_eq!(seen, ["a", "b", "b/c", "b/loop"].map(PathBuf::from));
    }

    #[test]
    fn a_cancelled_walk_stops_and_a_missing_root_is_told() {
        let cancellation = Cancellation::default();
        drop(cancellation.guard());
        let mut visits = 0;
        walk(Path::new("/usr"), &cancellation, |_, _| {
            visits += 1;
            ControlFlow::Continue(())
        })
        .expect("walk");
        assert_eq!(visits, 0);
        let missing = walk(Path::new("/no/such"), &cancellation, |_, _| ControlFlow::Continue(()));
        assert_eq!(missing.expect_err("missing").status_and_code(), (404, "FILE_NOT_FOUND"));
    }

    #[test]
    fn kernel_file_systems_are_not_entered_from_outside() {
        let mut inside = 0;
        walk(Path::new("/"), &Cancellation::default(), |path, _| {
            inside += usize::from(path.starts_with("/proc/self") || path.starts_with("/proc/1"));
            // `/root` comes right after `/proc`, and may be large.
            if path.starts_with("/root") || inside > 0 {
                ControlFlow::Break(())
            } else {
                ControlFlow::Continue(())
            }
        })
        .expect("walk");
        assert_eq!(inside, 0);
    }
}
