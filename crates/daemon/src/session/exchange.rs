//! The named pipes through which one command of a living shell gets its text, its input and its output.
//!
//! A shell that runs cannot be handed descriptors, so it opens names. They exist for one command only and belong to the
//! sandbox's user. Everything here blocks, and runs as that user.

use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt as _, FileTypeExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, FileType, Mode, OFlags, mknodat};

use crate::error::DaemonError;

/// Where names are made: in memory where that can be had, so that a full disk is no obstacle.
const BASES: [&str; 3] = ["/dev/shm", "/tmp", "/var/tmp"];

/// What one command is connected with, as the daemon holds it.
#[derive(Debug)]
pub struct Exchange {
    /// What the shell is told.
    pub names: Names,
    /// Where its standard output and its standard error can be read.
    pub outputs: [File; 2],
    /// Where its standard input is written.
    pub input: Option<File>,
}

/// What the shell opens; [`Names::remove`] them afterwards.
#[derive(Debug, Clone)]
pub struct Names {
    directory: PathBuf,
}

impl Names {
    /// Returns the file that holds the command.
    pub fn text(&self) -> PathBuf {
        self.directory.join("command")
    }

    /// Returns what standard input, output and error are opened from.
    pub fn streams(&self) -> [PathBuf; 3] {
        ["stdin", "stdout", "stderr"].map(|name| self.directory.join(name))
    }

    /// Removes all of it.
    pub fn remove(&self) {
        for name in self.streams().into_iter().chain([self.text()]) {
            let _ = std::fs::remove_file(name);
        }
        let _ = std::fs::remove_dir(&self.directory);
    }
}

/// Makes the names for a command; `token` is one that nobody can have guessed.
pub fn open(token: &str, command: &str, takes_input: bool) -> Result<Exchange, DaemonError> {
    let mut outcome = None;
    for base in BASES {
        let names = Names { directory: Path::new(base).join(format!("daytona-session-{token}")) };
        match open_in(&names, command, takes_input) {
            Ok((outputs, input)) => return Ok(Exchange { names, outputs, input }),
            Err(error) => {
                names.remove();
                outcome = Some(error);
            }
        }
    }
    let source = outcome.unwrap_or_else(|| std::io::ErrorKind::NotFound.into());
    Err(DaemonError::SessionPipes { bases: BASES.join(", "), source })
}

fn open_in(names: &Names, command: &str, takes_input: bool) -> std::io::Result<([File; 2], Option<File>)> {
    std::fs::DirBuilder::new().mode(0o700).create(&names.directory)?;
    let mut text = OpenOptions::new().write(true).create_new(true).mode(0o600).open(names.text())?;
    text.write_all(command.as_bytes())?;
    let [input, output, errors] = names.streams();
    let output = pipe(&output, OFlags::RDONLY)?;
    let errors = pipe(&errors, OFlags::RDONLY)?;
    // For both ways, so that it is open before the shell is there, and stays so when whoever reads it goes away.
    let input = takes_input.then(|| pipe(&input, OFlags::RDWR)).transpose()?;
    Ok(([output, errors], input))
}

fn pipe(path: &Path, mode: OFlags) -> std::io::Result<File> {
    mknodat(CWD, path, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0)?;
    // Without waiting for the other side, and without following what might have taken the name's place.
    let flags = mode | OFlags::NONBLOCK | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let file = File::from(rustix::fs::open(path, flags, Mode::empty())?);
    if file.metadata()?.file_type().is_fifo() {
        Ok(file)
    } else {
        Err(std::io::ErrorKind::InvalidData.into())
    }
}
