//! What a remote says it has: references and abilities.

use std::io::Read;

use git2::{Oid, Reference};

use crate::packet::{self, Packet};

/// More than the largest repositories advertise; what comes is kept in memory.
const MOST_BYTES: usize = 128 << 20;

/// A reference of the remote.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Remote {
    /// Its whole name.
    pub name: String,
    /// What it points to.
    pub target: Oid,
}

/// References and abilities.
#[derive(Debug, Clone, Default)]
pub struct Advertisement {
    /// The references, `HEAD` not among them.
    pub references: Vec<Remote>,
    /// The branch that HEAD is on, as a whole name.
    pub head: Option<String>,
    /// What HEAD points to.
    pub head_target: Option<Oid>,
    capabilities: Vec<String>,
}

impl Advertisement {
    /// Reads what a server sends; `service` is what it should name.
    pub fn read(reader: &mut impl Read, service: &str) -> Result<Self, String> {
        let mut advertisement = Self::default();
        let mut left = MOST_BYTES;
        let mut next = || -> Result<Packet, String> {
            let packet = packet::read(reader).map_err(|error| error.to_string())?;
            if let Packet::Data(data) = &packet {
                left = left
                    .checked_sub(data.len() + 4)
                    .ok_or("it advertises more than 128 MiB of references")?;
            }
            Ok(packet)
        };
        match next()? {
            Packet::Data(data) if packet::text(&data) == format!("# service={service}") => {}
            _ => return Err("it does not answer in git's protocol".to_owned()),
        }
        if next()? != Packet::Flush {
            return Err("it does not answer in git's protocol".to_owned());
        }
        loop {
            match next()? {
                Packet::Data(data) => advertisement.line(&data)?,
                Packet::Flush => break,
                Packet::End => return Err("its list of references ends early".to_owned()),
            }
        }
        advertisement.finish();
        Ok(advertisement)
    }

    /// Makes one of what libgit2 has heard.
    pub fn of(heads: &[git2::RemoteHead<'_>]) -> Self {
        let mut advertisement = Self::default();
        for head in heads {
            if head.name() == "HEAD" {
                advertisement.head_target = Some(head.oid());
                advertisement.head = head.symref_target().map(str::to_owned);
            } else {
                advertisement.add(head.name(), head.oid());
            }
        }
        advertisement.finish();
        advertisement
    }

    fn line(&mut self, data: &[u8]) -> Result<(), String> {
        let (line, capabilities) = match data.iter().position(|byte| *byte == 0) {
            Some(at) => (data.get(..at).unwrap_or_default(), data.get(at + 1..)),
            None => (data, None),
        };
        if let Some(capabilities) = capabilities {
            self.capabilities = packet::text(capabilities).split_whitespace().map(str::to_owned).collect();
            if let Some(format) = self.value("object-format").filter(|format| *format != "sha1") {
                return Err(format!("its objects are named by {format}, which is not supported here"));
            }
        }
        let line = packet::text(line);
        if let Some(words) = line.strip_prefix("ERR ") {
            return Err(packet::printable(words));
        }
        if line.starts_with("shallow ") {
            return Ok(());
        }
        let (target, name) = line.split_once(' ').ok_or("its list of references cannot be read")?;
        let target = Oid::from_str(target).map_err(|_| "its list of references cannot be read")?;
        if name == "HEAD" {
            self.head_target = Some(target);
        } else {
            self.add(name, target);
        }
        Ok(())
    }

    /// Keeps a reference unless its name could do harm here, as one with `..` in it would.
    fn add(&mut self, name: &str, target: Oid) {
        if name.starts_with("refs/") && Reference::is_valid_name(name) {
            self.references.push(Remote { name: name.to_owned(), target });
        }
    }

    fn finish(&mut self) {
        let told = self.capabilities.iter().find_map(|ability| ability.strip_prefix("symref=HEAD:"));
        if let Some(told) = told {
            self.head = Some(told.to_owned());
        }
        self.head =
            self.head.take().filter(|name| name.starts_with("refs/heads/") && Reference::is_valid_name(name));
        if self.head.is_none() {
            // Servers before 2013 did not say; a branch at the same commit is the best guess.
            let at_head =
                |one: &&Remote| one.name.starts_with("refs/heads/") && Some(one.target) == self.head_target;
            self.head = self.references.iter().find(at_head).map(|one| one.name.clone());
        }
    }

    /// Returns whether the remote can do something.
    pub fn can(&self, ability: &str) -> bool {
        self.capabilities.iter().any(|own| own == ability)
    }

    fn value(&self, ability: &str) -> Option<&str> {
        self.capabilities.iter().find_map(|own| own.strip_prefix(ability)?.strip_prefix('='))
    }

    /// Finds a reference by its whole name.
    pub fn find(&self, name: &str) -> Option<&Remote> {
        self.references.iter().find(|reference| reference.name == name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "1111111111111111111111111111111111111111";

    fn parse(lines: &[&str]) -> Result<Advertisement, String> {
        let mut bytes = Vec::new();
        packet::push(&mut bytes, b"# service=git-upload-pack\n");
        packet::push_flush(&mut bytes);
        for line in lines {
            packet::push(&mut bytes, line.as_bytes());
        }
        packet::push_flush(&mut bytes);
        Advertisement::read(&mut bytes.as_slice(), "git-upload-pack")
    }

    #[test]
    fn references_and_abilities_are_read() {
        let first = format!("{ID} HEAD\0ofs-delta symref=HEAD:refs/heads/main\n");
        let read = parse(&[&first, &format!("{ID} refs/heads/a\n"), &format!("{ID} refs/heads/main\n")])
            .expect("list");
        assert_eq!(read.head.as_deref(), Some("refs/heads/main"));
        assert!(read.can("ofs-delta") && !read.can("shallow") && read.find("refs/heads/a").is_some());
        let guessed = parse(&[&format!("{ID} HEAD\0x"), &format!("{ID} refs/heads/a")]).expect("list");
        assert_eq!(guessed.head.as_deref(), Some("refs/heads/a"));
        let zero = "0".repeat(40);
        assert!(parse(&[&format!("{zero} capabilities^{{}}\0x")]).expect("empty").references.is_empty());
    }

    #[test]
    fn what_a_hostile_server_says_is_not_believed() {
        let escape = parse(&[
            &format!("{ID} refs/heads/../../config\0 symref=HEAD:refs/heads/../x"),
            &format!("{ID} /etc/x"),
        ]);
        let escape = escape.expect("list");
        assert!(escape.references.is_empty() && escape.head.is_none(), "{escape:?}");
        for line in
            ["nonsense", "zz refs/heads/a", "ERR go away", &format!("{ID} HEAD\0object-format=sha256")]
        {
            parse(&[line]).expect_err(line);
        }
        Advertisement::read(&mut "<html>".as_bytes(), "git-upload-pack").expect_err("not git");
        Advertisement::read(&mut "001e# service=git-upload-pack\n0000".as_bytes(), "git-upload-pack")
            .expect_err("short");
    }
}
