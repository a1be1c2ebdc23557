//! What is known of an object, kept at the end of the file that holds it: one rename makes both visible.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::FileExt as _;

use s3s::dto;
use serde::{Deserialize, Serialize};
use types::clock::Timestamp;

/// Ends every file; the number is that of the form.
const MAGIC: [u8; 8] = *b"dtn-s3-1";
/// Behind the record: its length, and the magic.
const TAIL_BYTES: u64 = 12;
/// The longest record that is read: far more than [`MOST_SAID_BYTES`] needs.
const MOST_BYTES: u32 = 64 * 1024;
/// The most that headers and metadata of one object may be together.
pub(crate) const MOST_SAID_BYTES: usize = 8 * 1024;

/// What is known of an object.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Record {
    /// The size of its content.
    pub(crate) bytes: u64,
    /// Its entity tag, without quotes.
    pub(crate) etag: String,
    /// When it was written, in milliseconds since 1970.
    pub(crate) modified_ms: i64,
    /// What its writer said of it.
    #[serde(default)]
    pub(crate) said: Said,
    /// Its checksums, in base64, by the lower-case name of the algorithm.
    #[serde(default)]
    pub(crate) checksums: BTreeMap<String, String>,
}

/// What the writer of an object says of it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Said {
    pub(crate) content_type: Option<String>,
    pub(crate) content_encoding: Option<String>,
    pub(crate) content_disposition: Option<String>,
    pub(crate) content_language: Option<String>,
    pub(crate) cache_control: Option<String>,
    pub(crate) metadata: BTreeMap<String, String>,
}

impl Said {
    /// Returns how much it is.
    pub(crate) fn bytes(&self) -> usize {
        let headers = [
            &self.content_type,
            &self.content_encoding,
            &self.content_disposition,
            &self.content_language,
            &self.cache_control,
        ];
        let headers: usize = headers.into_iter().flatten().map(String::len).sum();
        headers + self.metadata.iter().map(|(name, value)| name.len() + value.len()).sum::<usize>()
    }
}

impl Record {
    /// Returns when it was written, as the protocol wants it.
    pub(crate) fn modified(&self) -> dto::Timestamp {
        let moment = Timestamp::from_millisecond(self.modified_ms).unwrap_or_default();
        dto::Timestamp::from(std::time::SystemTime::from(moment))
    }

    /// Returns its tag, as the protocol wants it.
    pub(crate) fn tag(&self) -> dto::ETag {
        dto::ETag::Strong(self.etag.clone())
    }

    /// Returns one of its checksums.
    pub(crate) fn checksum(&self, algorithm: &str) -> Option<String> {
        self.checksums.get(algorithm).cloned()
    }
}

/// Puts the record behind the content of a file.
pub(crate) fn write(mut file: &File, record: &Record) -> io::Result<()> {
    let mut tail = serde_json::to_vec(record)?;
    let length = u32::try_from(tail.len()).map_err(|_| io::Error::other("the record is too long"))?;
    tail.extend(length.to_le_bytes());
    tail.extend(MAGIC);
    file.seek(SeekFrom::Start(record.bytes))?;
    file.write_all(&tail)
}

/// Reads the record of a file; `None` when it has none, or one of another content.
pub(crate) fn read(file: &File) -> io::Result<Option<Record>> {
    let length = file.metadata()?.len();
    let Some(tail_start) = length.checked_sub(TAIL_BYTES) else { return Ok(None) };
    let mut tail = [0_u8; 12];
    file.read_exact_at(&mut tail, tail_start)?;
    let (record_bytes, magic) = tail.split_at(4);
    let record_bytes = u32::from_le_bytes(record_bytes.try_into().unwrap_or_default());
    let start = tail_start.checked_sub(u64::from(record_bytes));
    let (Some(start), true) = (start, magic == MAGIC && record_bytes <= MOST_BYTES) else { return Ok(None) };
    let mut text = vec![0_u8; usize::try_from(record_bytes).unwrap_or_default()];
    file.read_exact_at(&mut text, start)?;
    Ok(serde_json::from_slice(&text).ok().filter(|record: &Record| record.bytes == start))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_read_as_it_was_written_and_nothing_else_is_one() {
        let mut file = tempfile::tempfile().unwrap();
        assert_eq!(read(&file).unwrap(), None);
        file.write_all(b"content").unwrap();
        let record = Record { bytes: 7, etag: "tag".to_owned(), modified_ms: 5, ..Record::default() };
        write(&file, &record).unwrap();
        assert_eq!(read(&file).unwrap(), Some(record.clone()));
        let whole = file.metadata().unwrap().len();
        file.set_len(whole - 1).unwrap();
        assert_eq!(read(&file).unwrap(), None);
        // A record of a content that is not there.
        file.set_len(0).unwrap();
        write(&file, &record).unwrap();
        file.set_len(7).unwrap();
        file.seek(SeekFrom::End(0)).unwrap();
        write(&file, &Record { bytes: 0, ..record }).unwrap();
        file.set_len(0).unwrap();
        file.seek(SeekFrom::Start(0)).unwrap();
        file.write_all(&u32::MAX.to_le_bytes()).unwrap();
        file.write_all(&MAGIC).unwrap();
        assert_eq!(read(&file).unwrap(), None);
    }
}
