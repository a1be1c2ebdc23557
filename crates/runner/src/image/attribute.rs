//! Extended attributes of a sandbox's file, as an image has them (xattr(7)).
//!
//! Kept are those of users, access lists and capabilities with the ids of an image, and what the overlay noted of a
//! directory. The rest is the host's own, or another file system's.

use std::ffi::CString;
use std::io;
use std::path::Path;

use rustix::fs::{FileType, XattrFlags, lgetxattr, llistxattr, lsetxattr};
use rustix::io::Errno;

use crate::place::IDS_PER_SANDBOX;

/// Whom a file belongs to whose owner is none of the sandbox's: that is what the sandbox itself sees.
const NOBODY: u32 = 65_534;

/// The most that the kernel gives of names or of a value.
const MOST_BYTES: usize = 64 << 10;
const CAPABILITY: &[u8] = b"security.capability";
const ACCESS_LISTS: [&[u8]; 2] = [b"system.posix_acl_access", b"system.posix_acl_default"];
/// What the overlay notes of a directory: that it hides those below, and where one that was renamed came from.
const OVERLAY: [&[u8]; 2] = [b"trusted.overlay.opaque", b"trusted.overlay.redirect"];
/// Says that a file's content is in a layer below.
const METACOPY: &[u8] = b"trusted.overlay.metacopy";
/// Said of such a file.
pub(crate) const METACOPY_REFUSED: &str =
    "the kernel keeps only what changed of this file; turn off the overlay module's parameter metacopy";
/// Begins an access list.
const ACL_HEADER_BYTES: usize = 4;
/// Size of an entry, and where its id is.
const ACL_ENTRY_BYTES: usize = 8;
const ACL_ID: usize = 4;
/// Entries that name a user or a group.
const ACL_NAMED: [u8; 2] = [0x02, 0x08];
/// Sizes of file capabilities: those of the whole machine, and those of one user namespace, whose root follows.
const CAPABILITY_BYTES: usize = 20;
const OWNED_CAPABILITY_BYTES: usize = 24;
/// The revision of the first kind, in the highest byte of the first number.
const CAPABILITY_REVISION: u8 = 2;

/// Maps an id of the host to one of an image; `first_id` is the sandbox's root.
pub(crate) fn inner_id(id: u32, first_id: u32) -> u32 {
    id.checked_sub(first_id).filter(|id| *id < IDS_PER_SANDBOX).unwrap_or(NOBODY)
}

/// Tells whether an image may say this of a file, or of a directory: what is only its own business. Never what the overlay
/// or the host's own rules would believe.
pub(crate) fn is_of_images(name: &[u8], is_regular: bool) -> bool {
    !name.contains(&0)
        // Those of `user.overlay.` are for overlays of users; ours are none, and need none.
        && ((name.starts_with(b"user.") && name.len() > 5 && !name.starts_with(b"user.overlay."))
            || (name == CAPABILITY && is_regular)
            || ACCESS_LISTS.contains(&name))
}

/// Why a copy ends early; the path is where it was.
#[derive(Debug)]
pub(crate) enum Stop {
    /// No layer can hold this.
    Refused(&'static str),
    /// The kernel said no.
    Failed(io::Error),
}

impl<E: Into<io::Error>> From<E> for Stop {
    fn from(error: E) -> Self {
        Self::Failed(error.into())
    }
}

/// Attributes, by name.
#[derive(Debug, Default)]
pub(crate) struct Attributes(Vec<(CString, Vec<u8>)>);

impl Attributes {
    /// Reads those of the file at `path`, which is not followed; `first_id` is the sandbox's root.
    pub(crate) fn read(path: &Path, kind: FileType, first_id: u32) -> Result<Self, Stop> {
        let mut names = vec![0; MOST_BYTES];
        let length = match llistxattr(path, &mut names[..]) {
            Err(Errno::OPNOTSUPP) => 0,
            length => length?,
        };
        names.truncate(length);
        let mut names: Vec<&[u8]> = names.split(|byte| *byte == 0).filter(|name| !name.is_empty()).collect();
        names.sort_unstable();
        let mut kept = Vec::new();
        for name in names {
            if name == METACOPY {
                return Err(Stop::Refused(METACOPY_REFUSED));
            }
            let is_wanted = name.starts_with(b"user.")
                || (OVERLAY.contains(&name) && kind.is_dir())
                || (name == CAPABILITY && kind.is_file())
                || ACCESS_LISTS.contains(&name);
            let Some(text) = CString::new(name).ok().filter(|_| is_wanted) else { continue };
            let mut value = vec![0; MOST_BYTES];
            let length = lgetxattr(path, text.as_c_str(), &mut value[..])?;
            value.truncate(length);
            let value = match name {
                CAPABILITY => capability(value, first_id),
                name if ACCESS_LISTS.contains(&name) => Some(access_list(value, first_id)),
                _ => Some(value),
            };
            kept.extend(value.map(|value| (text, value)));
        }
        Ok(Self(kept))
    }

    /// Sets them on the file at `path`, which is not followed.
    pub(crate) fn write(&self, path: &Path) -> Result<(), Stop> {
        for (name, value) in &self.0 {
            lsetxattr(path, name.as_c_str(), value, XattrFlags::empty())?;
        }
        Ok(())
    }

    /// Lists them in one order.
    pub(crate) fn entries(&self) -> impl Iterator<Item = (&CString, &[u8])> {
        self.0.iter().map(|(name, value)| (name, value.as_slice()))
    }
}

/// Capabilities that the sandbox's root gave hold in any sandbox of the image; those that anybody else gave in none.
fn capability(mut value: Vec<u8>, first_id: u32) -> Option<Vec<u8>> {
    if value.len() != OWNED_CAPABILITY_BYTES {
        return Some(value).filter(|value| value.len() == CAPABILITY_BYTES);
    }
    let root = value.get(CAPABILITY_BYTES..)?.first_chunk::<4>()?;
    if u32::from_le_bytes(*root) != first_id {
        return None;
    }
    value.truncate(CAPABILITY_BYTES);
    *value.get_mut(3)? = CAPABILITY_REVISION;
    Some(value)
}

fn access_list(mut value: Vec<u8>, first_id: u32) -> Vec<u8> {
    for entry in value.get_mut(ACL_HEADER_BYTES..).unwrap_or_default().chunks_exact_mut(ACL_ENTRY_BYTES) {
        let is_named = entry.first().is_some_and(|tag| ACL_NAMED.contains(tag));
        if let Some(id) =
            entry.get_mut(ACL_ID..).filter(|_| is_named).and_then(|rest| rest.first_chunk_mut::<4>())
        {
            *id = inner_id(u32::from_le_bytes(*id), first_id).to_le_bytes();
        }
    }
    value
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIRST: u32 = 3_500_065_536;

    #[test]
    fn capabilities_of_the_sandbox_s_root_become_an_image_s() {
        let owned = |root: u32| {
            let mut value = vec![0; 24];
            (value[0], value[3], value[5]) = (1, 3, 4);
            value[20..].copy_from_slice(&root.to_le_bytes());
            value
        };
        let mut plain = vec![0; 20];
        (plain[0], plain[3], plain[5]) = (1, 2, 4);
        assert_eq!(capability(owned(FIRST), FIRST), Some(plain.clone()));
        assert_eq!(capability(plain.clone(), FIRST), Some(plain));
        assert_eq!(capability(owned(FIRST + 1), FIRST), None);
        assert_eq!(capability(owned(0), FIRST), None);
        assert_eq!(capability(vec![1; 7], FIRST), None);
    }

    #[test]
    fn access_lists_name_ids_of_an_image() {
        let entry = |tag: u8, id: u32| [&[tag, 0, 7, 0][..], &id.to_le_bytes()].concat();
        let list = |user: u32, group: u32| {
            [vec![2, 0, 0, 0], entry(1, u32::MAX), entry(2, user), entry(8, group), entry(0x20, u32::MAX)]
                .concat()
        };
        assert_eq!(access_list(list(FIRST + 1000, FIRST), FIRST), list(1000, 0));
        assert_eq!(access_list(list(5, FIRST + 65_536), FIRST), list(65_534, 65_534));
        assert_eq!(access_list(vec![1, 2], FIRST), [1, 2]);
    }
}
