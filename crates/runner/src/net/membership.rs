//! Who is linked with whom, and by which names they find each other. Pure.
//!
//! A sandbox and all that are linked to it are one group. Nobody is in two: who is linked to a sandbox that is itself
//! linked to another waits for it in vain. Groups are told apart by organization first, so that a record with the id
//! of somebody else's sandbox joins nobody.

use std::collections::{BTreeMap, BTreeSet, HashMap};

/// The longest label of a host's name (RFC 1035).
const LABEL_BYTES: usize = 63;
/// Names that programs take for something else, each with a meaning that no sandbox shall be given by its name.
const RESERVED: [&str; 3] = ["localhost", "metadata", "wpad"];

/// Whose a sandbox is, whom it is linked to, and what it is called.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Membership {
    /// Its organization.
    pub organization_id: String,
    /// The sandbox that it is linked to; `None` when others may be linked to it.
    pub owner_id: Option<String>,
    /// Its name for people; whatever they like.
    pub name: String,
}

/// Returns a sandbox's name as a host's, in lower case; `None` when it is known by its id only.
///
/// Only a single label is one: a name with a dot is somebody's on the internet, and a sandbox shall not be taken for
/// it. What programs read as an address without asking anybody is none either, nor is what looks like an id.
fn host_name(name: &str) -> Option<String> {
    let name = name.to_ascii_lowercase();
    let fits = !name.is_empty() && name.len() <= LABEL_BYTES;
    let plain = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'));
    let framed = !name.starts_with('-') && !name.ends_with('-');
    let digits = |digits: &str| digits.bytes().all(|byte| byte.is_ascii_digit());
    let hexadecimal = |digits: &str| digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    let number = digits(&name) || name.strip_prefix("0x").is_some_and(hexadecimal);
    let id = name.parse::<types::SandboxId>().is_ok();
    (fits && plain && framed && !number && !id && !RESERVED.contains(&name.as_str())).then_some(name)
}

/// The groups of all sandboxes that are in their places.
#[derive(Debug, Default)]
pub(super) struct Groups {
    members: HashMap<u32, Member>,
    by_key: HashMap<Key, Group>,
    last: u32,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Key {
    organization_id: String,
    owner_id: String,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Member {
    sandbox_id: String,
    host_name: Option<String>,
    key: Key,
}

#[derive(Debug)]
struct Group {
    /// What it is called in the rules. Lower numbers were used before.
    number: u32,
    /// Sandbox by sandbox, the owner first.
    places: BTreeMap<(bool, String), u32>,
}

impl Member {
    fn new(sandbox_id: &str, membership: &Membership) -> Self {
        let Membership { organization_id, owner_id, name } = membership.clone();
        let key = Key { organization_id, owner_id: owner_id.unwrap_or_else(|| sandbox_id.to_owned()) };
        Self { sandbox_id: sandbox_id.to_owned(), host_name: host_name(&name), key }
    }

    /// Where it stands in its group.
    fn rank(&self) -> (bool, String) {
        (self.sandbox_id != self.key.owner_id, self.sandbox_id.clone())
    }
}

impl Groups {
    /// Takes a sandbox into its group, or only takes note of its name when it is there already; tells which.
    pub(super) fn join(&mut self, index: u32, sandbox_id: &str, membership: &Membership) -> bool {
        let stays = self.is_in(index, sandbox_id, membership);
        let member = Member::new(sandbox_id, membership);
        if !stays {
            self.leave(index);
            self.last = self.last.wrapping_add(1);
            let number = self.last;
            let group = self.by_key.entry(member.key.clone());
            let group = group.or_insert_with(|| Group { number, places: BTreeMap::new() });
            group.places.insert(member.rank(), index);
        }
        self.members.insert(index, member);
        !stays
    }

    /// Tells whether a sandbox is in its place and its group, whatever it is called.
    pub(super) fn is_in(&self, index: u32, sandbox_id: &str, membership: &Membership) -> bool {
        let member = Member::new(sandbox_id, membership);
        let same = |before: &Member| before.sandbox_id == member.sandbox_id && before.key == member.key;
        self.members.get(&index).is_some_and(same)
    }

    /// Takes whoever is in a place out of its group.
    pub(super) fn leave(&mut self, index: u32) {
        let Some(member) = self.members.remove(&index) else { return };
        let Some(group) = self.by_key.get_mut(&member.key) else { return };
        if group.places.get(&member.rank()) == Some(&index) {
            group.places.remove(&member.rank());
        }
        if group.places.is_empty() {
            self.by_key.remove(&member.key);
        }
    }

    fn group(&self, index: u32) -> Option<&Group> {
        self.by_key.get(&self.members.get(&index)?.key)
    }

    /// Returns the number of the group that a place is in; `None` while there is nobody else in it.
    pub(super) fn number(&self, index: u32) -> Option<u32> {
        self.group(index).filter(|group| group.places.len() > 1).map(|group| group.number)
    }

    /// Lists the other places of a place's group.
    pub(super) fn others(&self, index: u32) -> Vec<u32> {
        let places = self.group(index).into_iter().flat_map(|group| group.places.values());
        places.copied().filter(|place| *place != index).collect()
    }

    /// Lists the numbers of all groups of more than one.
    pub(super) fn numbers(&self) -> BTreeSet<u32> {
        let groups = self.by_key.values().filter(|group| group.places.len() > 1);
        groups.map(|group| group.number).collect()
    }

    /// Finds the place of whoever is called `name`, in lower case, in the group of a place: an id is nobody's name, and
    /// of two with the same name it is the owner, or the one with the lower id.
    pub(super) fn find(&self, index: u32, name: &str) -> Option<u32> {
        let group = self.group(index).filter(|group| group.places.len() > 1)?;
        let members = group.places.values().filter_map(|place| Some((*place, self.members.get(place)?)));
        let by_id = members.clone().find(|(_, member)| member.sandbox_id == name);
        let by_name = || members.clone().find(|(_, member)| member.host_name.as_deref() == Some(name));
        by_id.or_else(by_name).map(|(place, _)| place)
    }

    /// Returns what the sandbox in a place is called by those that it is linked with.
    pub(super) fn name_of(&self, index: u32) -> Option<String> {
        let member = self.members.get(&index)?;
        Some(member.host_name.clone().unwrap_or_else(|| member.sandbox_id.clone()))
    }
}

#[cfg(test)]
mod tests;
