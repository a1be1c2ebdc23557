//! Stops and continues all processes of a group (cgroups(7), the freezer of version 1 and `cgroup.freeze` of version 2).
//!
//! Processes keep their memory and connections, and use no processor time. Whether a group is frozen is kept by the
//! kernel, so it survives whoever froze it.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::cgroup::limit;
use crate::errno::{CallError, Context as _};

/// The file of a group that freezes it, and what is written to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Freezer {
    /// Version 1 has a controller for it. Frozen processes are not even killed before they are thawed.
    Version1(PathBuf),
    /// In version 2 every group can do it, whichever controllers there are.
    Version2(PathBuf),
}

/// How long the kernel of version 1, which does not tell when it is done, is left alone before it is asked again.
const ASK_AGAIN: Duration = Duration::from_millis(1);

impl Freezer {
    /// Freezes and waits until nothing of the group runs. What does not stop within `timeout` thaws all again.
    pub(super) fn freeze(&self, timeout: Duration) -> Result<(), CallError> {
        self.write(true)?;
        let until = Instant::now() + timeout;
        let frozen = match self {
            Self::Version1(directory) => Self::wait_version_1(directory, until),
            Self::Version2(directory) => Self::wait_version_2(directory, until),
        };
        frozen.inspect_err(|_| {
            // What was not frozen a moment ago can be so again.
            let _ = self.write(false);
        })
    }

    /// Lets the processes go on.
    pub(super) fn thaw(&self) -> Result<(), CallError> {
        self.write(false)
    }

    /// Tells whether the group was asked to freeze and not to thaw; false when there is no group.
    pub(super) fn is_frozen(&self) -> bool {
        match self {
            Self::Version1(directory) => {
                let state = fs::read_to_string(directory.join("freezer.state")).unwrap_or_default();
                matches!(state.trim(), "FROZEN" | "FREEZING")
            }
            Self::Version2(directory) => {
                fs::read_to_string(directory.join("cgroup.freeze")).unwrap_or_default().trim() == "1"
            }
        }
    }

    fn write(&self, freeze: bool) -> Result<(), CallError> {
        match self {
            Self::Version1(directory) => {
                limit::write(&directory.join("freezer.state"), if freeze { "FROZEN" } else { "THAWED" })
            }
            Self::Version2(directory) => {
                limit::write(&directory.join("cgroup.freeze"), if freeze { "1" } else { "0" })
            }
        }
    }

    /// Reading the state makes the kernel look whether all have stopped.
    fn wait_version_1(directory: &Path, until: Instant) -> Result<(), CallError> {
        let path = directory.join("freezer.state");
        loop {
            let state = fs::read_to_string(&path).context("read", path.display())?;
            if state.trim() == "FROZEN" {
                return Ok(());
            }
            if Instant::now() >= until {
                return late(&path);
            }
            std::thread::sleep(ASK_AGAIN);
        }
    }

    fn wait_version_2(directory: &Path, until: Instant) -> Result<(), CallError> {
        let path = directory.join("cgroup.events");
        let file = File::open(&path).context("open", path.display())?;
        loop {
            let text = read_from_start(&file).context("read", path.display())?;
            if text.lines().any(|line| line == "frozen 1") {
                return Ok(());
            }
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return late(&path);
            }
            let seconds = i64::try_from(left.as_secs()).unwrap_or(i64::MAX);
            let timeout = Timespec { tv_sec: seconds, tv_nsec: left.subsec_nanos().into() };
            match poll(&mut [PollFd::new(&file, PollFlags::PRI)], Some(&timeout)) {
                Ok(_) | Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(error).context("poll", path.display()),
            }
        }
    }
}

fn read_from_start(file: &File) -> std::io::Result<String> {
    use std::os::unix::fs::FileExt as _;
    let mut buffer = [0; 256];
    let length = file.read_at(&mut buffer, 0)?;
    Ok(String::from_utf8_lossy(buffer.get(..length).unwrap_or_default()).into_owned())
}

fn late(path: &Path) -> Result<(), CallError> {
    Err(std::io::Error::from(std::io::ErrorKind::TimedOut)).context("wait until frozen", path.display())
}
