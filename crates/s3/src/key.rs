//! Keys of objects, and the paths that they are kept under: whatever a key holds, its path stays inside.

use std::fmt::{self, Write as _};
use std::path::{Path, PathBuf};

use types::OrganizationId;

use crate::error::S3Error;

/// The longest key, as everywhere in S3.
const MOST_BYTES: usize = 1024;
/// File systems take names of 255 bytes.
const NAME_BYTES: usize = 200;
/// Ends the name of a directory whose segment goes on in the next name.
const MORE: char = '+';
/// Ends the name of a directory that stands for a whole segment.
const SEGMENT: char = '@';
/// Ends the name of a file.
const OBJECT: char = '!';

/// The key of an object that belongs to an organisation: only code that knows whose it is has one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Key {
    organization: OrganizationId,
    text: String,
}

impl fmt::Display for Key {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.text)
    }
}

impl Key {
    /// Takes a key that lies below an organisation's id; `None` when it lies elsewhere.
    pub fn of(organization: OrganizationId, text: &str) -> Result<Option<Self>, S3Error> {
        let below = text.strip_prefix(&prefix(organization));
        if text.len() > MOST_BYTES {
            return Err(S3Error::Key { reason: "it is longer than 1024 bytes" });
        }
        if text.contains('\0') {
            return Err(S3Error::Key { reason: "it holds a null character" });
        }
        match below {
            None => Ok(None),
            Some("") => Err(S3Error::Key { reason: "nothing follows the organisation's id" }),
            Some(_) => Ok(Some(Self { organization, text: text.to_owned() })),
        }
    }

    /// Returns whose it is.
    pub fn organization(&self) -> OrganizationId {
        self.organization
    }

    /// Returns it as it was written.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Returns the path, without a root, of the file that holds the object.
    pub(crate) fn path(&self) -> PathBuf {
        let mut path = PathBuf::new();
        let mut segments = self.text.split('/').peekable();
        while let Some(segment) = segments.next() {
            let end = if segments.peek().is_some() { SEGMENT } else { OBJECT };
            push(&mut path, segment, end);
        }
        path
    }
}

/// Returns what the keys of an organisation begin with.
pub fn prefix(organization: OrganizationId) -> String {
    format!("{organization}/")
}

/// Returns the directory that holds every object whose key begins so: that of the segments that are whole.
pub(crate) fn directory(key_prefix: &str) -> PathBuf {
    let mut path = PathBuf::new();
    if let Some((whole, _)) = key_prefix.rsplit_once('/') {
        for segment in whole.split('/') {
            push(&mut path, segment, SEGMENT);
        }
    }
    path
}

fn push(path: &mut PathBuf, segment: &str, end: char) {
    let mut name = String::new();
    for byte in segment.bytes() {
        if name.len() + 3 > NAME_BYTES {
            name.push(MORE);
            path.push(&name);
            name.clear();
        }
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.') {
            name.push(char::from(byte));
        } else {
            // Writing to a string cannot fail.
            let _ = write!(name, "%{byte:02x}");
        }
    }
    name.push(end);
    path.push(&name);
}

/// What a name in the storage stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Named {
    /// A directory, with what it adds to keys.
    Directory(Vec<u8>),
    /// An object, with the end of its key.
    Object(Vec<u8>),
}

/// Reads a name that [`Key::path`] wrote; `None` for any other.
pub(crate) fn read(name: &Path) -> Option<Named> {
    let name = name.to_str()?;
    let end = name.chars().next_back()?;
    let mut bytes = Vec::with_capacity(name.len());
    let mut rest = name.get(..name.len() - 1)?.bytes();
    while let Some(byte) = rest.next() {
        if byte == b'%' {
            let digits = [rest.next()?, rest.next()?];
            bytes.push(u8::from_str_radix(std::str::from_utf8(&digits).ok()?, 16).ok()?);
        } else {
            bytes.push(byte);
        }
    }
    match end {
        MORE => Some(Named::Directory(bytes)),
        SEGMENT => {
            bytes.push(b'/');
            Some(Named::Directory(bytes))
        }
        OBJECT => Some(Named::Object(bytes)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::path::Component;

    use super::*;

    fn organization() -> OrganizationId {
        OrganizationId::from_u128(7)
    }

    fn back(path: &Path) -> String {
        let mut key = Vec::new();
        for component in path.components() {
            match read(Path::new(component.as_os_str())).unwrap() {
                Named::Directory(bytes) | Named::Object(bytes) => key.extend(bytes),
            }
        }
        String::from_utf8(key).unwrap()
    }

    #[test]
    fn a_path_stays_inside_and_gives_its_key_back() {
        let long = "ü".repeat(450);
        for rest in [
            "context.tar",
            "..",
            "../../../etc/passwd",
            "./.",
            "a//b",
            "/",
            "a/",
            "a b%2f+@!",
            "line\nbreak",
            &long,
            &"/".repeat(900),
        ] {
            let text = format!("{}{rest}", prefix(organization()));
            let key = Key::of(organization(), &text).unwrap().unwrap();
            let path = key.path();
            assert!(path.components().all(|one| matches!(one, Component::Normal(_))), "{path:?}");
            assert!(path.components().all(|one| one.as_os_str().len() <= NAME_BYTES + 1), "{path:?}");
            assert_eq!(back(&path), text);
            assert!(path.starts_with(directory(&text)), "{path:?}");
        }
    }

    #[test]
    fn keys_that_are_prefixes_of_others_have_paths_of_their_own() {
        let of = |rest: &str| {
            Key::of(organization(), &format!("{}{rest}", prefix(organization()))).unwrap().unwrap().path()
        };
        for (one, other) in [("a", "a/b"), ("a", "a/"), ("a", "a@"), ("a!", "a"), ("A", "a"), ("a+", "a")] {
            let (one, other) = (of(one), of(other));
            assert!(!one.starts_with(&other) && !other.starts_with(&one), "{one:?} {other:?}");
        }
    }

    #[test]
    fn a_key_of_somebody_else_is_none() {
        let other = format!("{}x", prefix(OrganizationId::from_u128(8)));
        for text in [other.as_str(), "x", "/", "", &organization().to_string()] {
            assert!(matches!(Key::of(organization(), text), Ok(None)), "{text}");
        }
        let own = prefix(organization());
        for text in [own.clone(), format!("{own}a\0b"), format!("{own}{}", "x".repeat(1024))] {
            assert!(matches!(Key::of(organization(), &text), Err(S3Error::Key { .. })), "{text}");
        }
    }
}
