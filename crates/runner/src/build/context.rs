//! What `COPY` and `ADD` see of the caller's files: all archives of the build, unpacked into one directory.

use std::io::Read as _;
use std::path::{Path, PathBuf};

use dockerfile::ignore::{self, Ignore};
use fs_err as fs;
use rustix::fs::OFlags;

use crate::build::archive::{self, Rules};
use crate::build::error::BuildError;
use crate::build::view::{View, open_in};
use crate::build::watch::Watch;
use crate::build::write::Writer;
use crate::build::{Log, Sources};
use crate::error::RunnerError;

/// What all contexts of a build may hold together.
const MOST_BYTES: u64 = 16 << 30;
/// The file that says what nobody sees.
const IGNORE: &str = ".dockerignore";

/// Unpacks `hashes` below `directory`, which is made.
pub(super) fn gather(
    directory: &Path,
    hashes: &[String],
    sources: &dyn Sources,
    log: &dyn Log,
    watch: &Watch<'_>,
) -> Result<View, BuildError> {
    let file = |action, path: &Path| {
        let path = path.to_owned();
        move |source| BuildError::Host(RunnerError::File { action, path, source })
    };
    fs::create_dir_all(directory).map_err(file("make directory", directory))?;
    let root = std::fs::File::open(directory).map_err(file("open", directory))?;
    let mut writer = Writer::new(root.into());
    for hash in hashes {
        watch.check()?;
        log.line(&format!("unpacking build context {hash}"));
        let mut archive = sources
            .context(hash)
            .map_err(|source| BuildError::Source { what: format!("build context {hash}"), source })?;
        let rules = Rules { below: Path::new(""), owner: Some((0, 0)), most_bytes: MOST_BYTES };
        let go_on = || watch.check().map_err(std::io::Error::other);
        archive::unpack(&mut *archive, &mut writer, &rules, &go_on).map_err(|error| {
            // What ended it may be the watch.
            watch.check().err().unwrap_or_else(|| refused(hash, directory, error))
        })?;
    }
    let ignore =
        ignored(&writer).map_err(|reason| BuildError::Context { hash: IGNORE.to_owned(), reason })?;
    View::of_directory(directory, ignore)
        .map_err(|source| BuildError::Host(RunnerError::Host { action: "look at the build context", source }))
}

fn refused(hash: &str, directory: &Path, error: std::io::Error) -> BuildError {
    let is_host = matches!(
        error.kind(),
        std::io::ErrorKind::StorageFull
            | std::io::ErrorKind::ReadOnlyFilesystem
            | std::io::ErrorKind::QuotaExceeded
    );
    if is_host {
        let path: PathBuf = directory.to_owned();
        return BuildError::Host(RunnerError::File {
            action: "unpack a build context into",
            path,
            source: error,
        });
    }
    BuildError::Context { hash: hash.to_owned(), reason: error.to_string() }
}

fn ignored(writer: &Writer) -> Result<Ignore, String> {
    let flags = OFlags::RDONLY | OFlags::NONBLOCK;
    let Ok(file) = open_in(writer.root(), Path::new(IGNORE), flags) else { return Ok(Ignore::default()) };
    let mut text = Vec::new();
    let most = u64::try_from(ignore::MOST_BYTES).unwrap_or(u64::MAX);
    let read = std::fs::File::from(file).take(most + 1).read_to_end(&mut text);
    // A directory of that name says nothing.
    if read.is_err() {
        return Ok(Ignore::default());
    }
    if text.len() > ignore::MOST_BYTES {
        return Err(format!("it has more than {} bytes", ignore::MOST_BYTES));
    }
    Ignore::parse(&String::from_utf8_lossy(&text))
}
