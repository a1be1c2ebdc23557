//! What is told and changed of a file (draft-ietf-secsh-filexfer-02 §5).

use std::fs::{File, OpenOptions};
use std::os::unix::fs as unix;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use rustix::fs::{AtFlags, CWD, Mode, Timespec, Timestamps};

use super::status::Refusal;
use crate::encoding::{Reader, Writer as _};
use crate::error::SshError;

const SIZE: u32 = 1;
const OWNER: u32 = 2;
const PERMISSIONS: u32 = 4;
const TIMES: u32 = 8;
const EXTENDED: u32 = 0x8000_0000;
/// The bits of a mode that can be changed.
const CHANGEABLE: u32 = 0o7777;

/// What a client wants to be changed.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) struct Attributes {
    size: Option<u64>,
    owner: Option<(u32, u32)>,
    permissions: Option<u32>,
    times: Option<(u32, u32)>,
}

impl Attributes {
    pub(super) fn read(reader: &mut Reader<'_>) -> Result<Self, SshError> {
        let flags = reader.number()?;
        let mut attributes = Self::default();
        if flags & SIZE != 0 {
            attributes.size = Some(reader.long()?);
        }
        if flags & OWNER != 0 {
            attributes.owner = Some((reader.number()?, reader.number()?));
        }
        if flags & PERMISSIONS != 0 {
            attributes.permissions = Some(reader.number()? & CHANGEABLE);
        }
        if flags & TIMES != 0 {
            attributes.times = Some((reader.number()?, reader.number()?));
        }
        if flags & EXTENDED != 0 {
            // Nobody has defined any; the count is the client's word, the end of the packet is a fact.
            for _ in 0..reader.number()? {
                reader.string()?;
                reader.string()?;
            }
        }
        Ok(attributes)
    }

    /// Returns the mode for something new.
    pub(super) fn mode(&self, usual: u32) -> Mode {
        Mode::from_raw_mode(self.permissions.unwrap_or(usual))
    }

    /// Changes a file by its name.
    pub(super) fn apply(&self, path: &Path) -> Result<(), Refusal> {
        if let Some(size) = self.size {
            OpenOptions::new().write(true).open(path)?.set_len(size)?;
        }
        if let Some(permissions) = self.permissions {
            rustix::fs::chmod(path, Mode::from_raw_mode(permissions))?;
        }
        if let Some(times) = self.times {
            rustix::fs::utimensat(CWD, path, &timestamps(times), AtFlags::empty())?;
        }
        if let Some((user, group)) = self.owner {
            unix::chown(path, Some(user), Some(group))?;
        }
        Ok(())
    }

    /// Changes a symbolic link itself, which has no size and no permissions of its own.
    pub(super) fn apply_to_link(&self, path: &Path) -> Result<(), Refusal> {
        if self.size.is_some() || self.permissions.is_some() {
            return Err(Refusal::unsupported());
        }
        if let Some(times) = self.times {
            rustix::fs::utimensat(CWD, path, &timestamps(times), AtFlags::SYMLINK_NOFOLLOW)?;
        }
        if let Some((user, group)) = self.owner {
            unix::lchown(path, Some(user), Some(group))?;
        }
        Ok(())
    }

    /// Changes a file that is open.
    pub(super) fn apply_to_open(&self, file: &File) -> Result<(), Refusal> {
        if let Some(size) = self.size {
            file.set_len(size)?;
        }
        if let Some(permissions) = self.permissions {
            rustix::fs::fchmod(file, Mode::from_raw_mode(permissions))?;
        }
        if let Some(times) = self.times {
            rustix::fs::futimens(file, &timestamps(times))?;
        }
        if let Some((user, group)) = self.owner {
            unix::fchown(file, Some(user), Some(group))?;
        }
        Ok(())
    }
}

fn timestamps((accessed, modified): (u32, u32)) -> Timestamps {
    let moment = |seconds: u32| Timespec { tv_sec: i64::from(seconds), tv_nsec: 0 };
    Timestamps { last_access: moment(accessed), last_modification: moment(modified) }
}

/// Writes what is told of a file.
pub(super) fn write(out: Vec<u8>, metadata: &std::fs::Metadata) -> Vec<u8> {
    let seconds = |time: i64| u32::try_from(time.max(0)).unwrap_or(u32::MAX);
    let out = out.number(SIZE | OWNER | PERMISSIONS | TIMES).long(metadata.size());
    let out = out.number(metadata.uid()).number(metadata.gid()).number(metadata.mode());
    out.number(seconds(metadata.atime())).number(seconds(metadata.mtime()))
}

/// Returns a line as `ls -l` would print it, for people.
pub(super) fn line(name: &[u8], metadata: &std::fs::Metadata) -> Vec<u8> {
    let head = format!(
        "{} {:>4} {:<8} {:<8} {:>8} {} ",
        symbols(metadata.mode()),
        metadata.nlink(),
        metadata.uid(),
        metadata.gid(),
        metadata.size(),
        date(metadata.mtime())
    );
    [head.as_bytes(), name].concat()
}

fn symbols(mode: u32) -> String {
    let kind = match mode & 0o170_000 {
        0o040_000 => 'd',
        0o120_000 => 'l',
        0o060_000 => 'b',
        0o020_000 => 'c',
        0o010_000 => 'p',
        0o140_000 => 's',
        _ => '-',
    };
    let mut symbols = String::from(kind);
    for (shift, special, letter) in [(6, 0o4000, 's'), (3, 0o2000, 's'), (0, 0o1000, 't')] {
        let bits = mode >> shift;
        symbols.push(if bits & 4 == 0 { '-' } else { 'r' });
        symbols.push(if bits & 2 == 0 { '-' } else { 'w' });
        symbols.push(match (bits & 1 != 0, mode & special != 0) {
            (true, true) => letter,
            (false, true) => letter.to_ascii_uppercase(),
            (true, false) => 'x',
            (false, false) => '-',
        });
    }
    symbols
}

const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/// Returns the day of a moment, as `ls` shows those that are long ago; the time of the day is in the attributes.
fn date(seconds: i64) -> String {
    // Years begin in March here, so that the leap day is the last of one; 400 of them have 146 097 days.
    let day = seconds.div_euclid(86_400) + 719_468;
    let (era, day) = (day.div_euclid(146_097), day.rem_euclid(146_097));
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day_of_month = day - (153 * month + 2) / 5 + 1;
    let is_after_december = month >= 10;
    let year = era * 400 + year + i64::from(is_after_december);
    let month = if is_after_december { month - 10 } else { month + 2 };
    let name = usize::try_from(month).ok().and_then(|month| MONTHS.get(month)).copied().unwrap_or("???");
    format!("{name} {day_of_month:>2} {year:>5}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_are_those_of_the_calendar() {
        for (seconds, expected) in [
            (0, "Jan  1  1970"),
            (951_782_400, "Feb 29  2000"),
            (951_868_800, "Mar  1  2000"),
            (1_798_675_199, "Dec 30  2026"),
            (1_798_761_599, "Dec 31  2026"),
            (1_798_761_600, "Jan  1  2027"),
            (-86_400, "Dec 31  1969"),
        ] {
            assert_eq!(date(seconds), expected, "{seconds}");
        }
    }

    #[test]
    fn modes_are_shown_as_ls_shows_them() {
        for (mode, expected) in [
            (0o100_644, "-rw-r--r--"),
            (0o040_755, "drwxr-xr-x"),
            (0o104_755, "-rwsr-xr-x"),
            (0o041_777, "drwxrwxrwt"),
            (0o102_640, "-rw-r-S---"),
            (0o120_777, "lrwxrwxrwx"),
        ] {
            assert_eq!(symbols(mode), expected);
        }
    }
}
