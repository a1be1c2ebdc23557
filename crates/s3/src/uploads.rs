//! Uploads in parts: directories of their own, until they become objects. All calls block.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use fs_err as fs;
use serde::{Deserialize, Serialize};
use types::clock::Timestamp;
use types::{OrganizationId, Random};

use crate::disk::{Disk, Staged, entries};
use crate::error::{S3Error, file};
use crate::record::{self, Record, Said};

/// Tells of an upload, in its directory.
const MANIFEST: &str = "upload.json";
/// Begins the names of parts.
const PART: &str = "part-";
/// Bytes of chance in an upload's id.
const ID_BYTES: usize = 16;
/// The last part that an upload may have.
pub(crate) const MOST_PARTS: i32 = 10_000;
/// How long an upload may stay unfinished.
pub const UNFINISHED: Duration = Duration::from_hours(24);

/// What was said when an upload began.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Manifest {
    pub(crate) key: String,
    pub(crate) begun_ms: i64,
    pub(crate) said: Said,
    /// The algorithm that its parts have checksums of, when it was named.
    pub(crate) algorithm: Option<String>,
}

fn directory(disk: &Disk, organization: OrganizationId, id: &str) -> Result<PathBuf, S3Error> {
    // It becomes a part of a path.
    let is_ours = id.len() == 2 * ID_BYTES && id.bytes().all(|byte| byte.is_ascii_hexdigit());
    if !is_ours {
        return Err(S3Error::NoUpload { id: id.chars().take(2 * ID_BYTES).collect() });
    }
    Ok(disk.uploads().join(organization.to_string()).join(id))
}

/// Begins an upload; returns its id.
pub(crate) fn begin(
    disk: &Disk,
    organization: OrganizationId,
    manifest: &Manifest,
    random: &dyn Random,
) -> Result<String, S3Error> {
    let id = types::random::hex_token(random, ID_BYTES);
    let directory = directory(disk, organization, &id)?;
    fs::create_dir_all(&directory).map_err(file("make directory", &directory))?;
    let path = directory.join(MANIFEST);
    let text = serde_json::to_vec(manifest).unwrap_or_default();
    fs::write(&path, text).map_err(file("write", &path))?;
    Ok(id)
}

/// Returns what is known of the upload of a key.
pub(crate) fn find(
    disk: &Disk,
    organization: OrganizationId,
    key: &str,
    id: &str,
) -> Result<Manifest, S3Error> {
    let read = fs::read(directory(disk, organization, id)?.join(MANIFEST)).ok();
    let manifest: Option<Manifest> = read.and_then(|text| serde_json::from_slice(&text).ok());
    manifest.filter(|manifest| manifest.key == key).ok_or_else(|| S3Error::NoUpload { id: id.to_owned() })
}

/// Takes a written file as a part; returns the size of the part that it replaces.
pub(crate) fn put(
    disk: &Disk,
    organization: OrganizationId,
    id: &str,
    number: i32,
    staged: Staged,
) -> Result<Option<u64>, S3Error> {
    let directory = directory(disk, organization, id)?;
    let path = part_path(&directory, number);
    let old = fs::metadata(&path).ok().map(|metadata| metadata.len());
    match staged.rename(&path) {
        // It was aborted while this part was on its way.
        Err(_) if !directory.exists() => Err(S3Error::NoUpload { id: id.to_owned() }),
        other => other.map(|()| old),
    }
}

fn part_path(directory: &Path, number: i32) -> PathBuf {
    directory.join(format!("{PART}{number}"))
}

/// Returns the parts that are there, in order.
pub(crate) fn parts(
    disk: &Disk,
    organization: OrganizationId,
    id: &str,
) -> Result<Vec<(i32, Record)>, S3Error> {
    let mut parts = Vec::new();
    for path in entries(&directory(disk, organization, id)?)? {
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let Some(number) = name.strip_prefix(PART).and_then(|number| number.parse().ok()) else { continue };
        if let Some((_, record)) = open(disk, organization, id, number)? {
            parts.push((number, record));
        }
    }
    parts.sort_by_key(|(number, _)| *number);
    Ok(parts)
}

/// Opens a part; `None` when it is not there or not whole.
pub(crate) fn open(
    disk: &Disk,
    organization: OrganizationId,
    id: &str,
    number: i32,
) -> Result<Option<(File, Record)>, S3Error> {
    let path = part_path(&directory(disk, organization, id)?, number);
    let Ok(part) = File::open(&path) else { return Ok(None) };
    let record = record::read(&part).map_err(file("read", &path))?;
    Ok(record.map(|record| (part, record)))
}

/// Writes parts one behind the other into a file; the kernel moves the bytes.
pub(crate) fn join(parts: Vec<(File, Record)>, into: &Staged) -> io::Result<u64> {
    let mut bytes = 0;
    for (part, record) in parts {
        let copied = io::copy(&mut io::Read::take(part, record.bytes), &mut &into.file)?;
        if copied != record.bytes {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        bytes += copied;
    }
    Ok(bytes)
}

/// Forgets an upload; returns the sizes of its files.
pub(crate) fn forget(disk: &Disk, organization: OrganizationId, id: &str) -> Result<Vec<u64>, S3Error> {
    let directory = directory(disk, organization, id)?;
    let mut sizes = Vec::new();
    for path in entries(&directory)? {
        let bytes = fs::metadata(&path).map_or(0, |metadata| metadata.len());
        if fs::remove_file(&path).is_ok() && path.file_name().is_some_and(|name| name != MANIFEST) {
            sizes.push(bytes);
        }
    }
    match fs::remove_dir_all(&directory) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(file("remove directory", &directory)(error))
        }
        _ => Ok(sizes),
    }
}

/// Lists the uploads of an organisation whose key begins with `prefix`: at most `most`, in order of keys.
pub(crate) fn list(
    disk: &Disk,
    organization: OrganizationId,
    prefix: &str,
    most: usize,
) -> Result<Vec<(String, Manifest)>, S3Error> {
    let mut found = Vec::new();
    for path in entries(&disk.uploads().join(organization.to_string()))? {
        let Some(id) = path.file_name().and_then(|name| name.to_str()) else { continue };
        let Ok(text) = fs::read(path.join(MANIFEST)) else { continue };
        let Ok(manifest) = serde_json::from_slice::<Manifest>(&text) else { continue };
        if manifest.key.starts_with(prefix) {
            found.push((id.to_owned(), manifest));
        }
    }
    found.sort_by(|one, other| (&one.1.key, &one.0).cmp(&(&other.1.key, &other.0)));
    found.truncate(most);
    Ok(found)
}

/// Returns the uploads that were begun too long ago, and what is no upload.
pub(crate) fn stale(disk: &Disk, now: Timestamp) -> Result<Vec<(OrganizationId, String)>, S3Error> {
    let limit = i64::try_from(UNFINISHED.as_millis()).unwrap_or(i64::MAX);
    let oldest = now.as_millisecond().saturating_sub(limit);
    let mut stale = Vec::new();
    for home in entries(&disk.uploads())? {
        let named = home.file_name().and_then(|name| name.to_str()).and_then(|name| name.parse().ok());
        let Some(organization) = named else { continue };
        for path in entries(&home)? {
            let read = fs::read(path.join(MANIFEST)).ok();
            let manifest: Option<Manifest> = read.and_then(|text| serde_json::from_slice(&text).ok());
            // A manifest that cannot be read is one that a crash left empty, or is just being written: the age of
            // its directory decides.
            let begun_ms = manifest.map_or_else(|| changed_ms(&path), |manifest| manifest.begun_ms);
            if let Some(id) = path.file_name().and_then(|name| name.to_str())
                && begun_ms < oldest
            {
                stale.push((organization, id.to_owned()));
            }
        }
    }
    Ok(stale)
}

fn changed_ms(path: &Path) -> i64 {
    let changed = fs::metadata(path).and_then(|metadata| metadata.modified()).ok();
    let since = changed.and_then(|changed| changed.duration_since(std::time::UNIX_EPOCH).ok());
    since.map_or(0, |since| i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}
