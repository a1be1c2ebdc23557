//! Who the sandbox's user is: reads /etc/passwd and /etc/group itself.
//!
//! Not through the C library: a static executable would load the image's own name-service plugins into the daemon.

use std::fs::OpenOptions;
use std::io::Read as _;
use std::os::unix::fs::OpenOptionsExt as _;

use linux::credential::Credentials;
use rustix::fs::OFlags;

use crate::error::DaemonError;

/// The user that commands and file operations act as.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    /// The login name; the number where /etc/passwd has none.
    pub name: String,
    /// The ids.
    pub credentials: Credentials,
    /// The home directory.
    pub home: String,
    /// The login shell; empty where none is listed.
    pub shell: String,
}

/// The two files that name users and groups.
#[derive(Debug, Clone, Default)]
pub struct Directory {
    passwd: String,
    group: String,
}

/// More than any list of users has.
const MOST_BYTES: u64 = 4 << 20;

/// Reads a list of users or groups. The image may have put anything there: a pipe would make a reader wait for ever, and a
/// device or a file of holes would fill the daemon's memory.
fn text(path: &str) -> String {
    let flags = i32::try_from(OFlags::NONBLOCK.bits()).unwrap_or(0);
    let mut bytes = Vec::new();
    if let Ok(file) = OpenOptions::new().read(true).custom_flags(flags).open(path)
        && file.metadata().is_ok_and(|metadata| metadata.is_file())
    {
        // What could not be read counts as missing.
        let _ = file.take(MOST_BYTES).read_to_end(&mut bytes);
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

impl Directory {
    /// Reads both files; one that is missing or unreadable counts as empty, as in an image with nothing but a binary.
    pub fn read() -> Self {
        Self { passwd: text("/etc/passwd"), group: text("/etc/group") }
    }

    /// Finds the account for `user`, written `name`, `id`, or either followed by `:group`; empty means root.
    pub fn account(&self, user: &str) -> Result<Account, DaemonError> {
        let unknown = || DaemonError::UnknownUser { user: user.to_owned() };
        let (user_part, group_part) =
            user.split_once(':').map_or((user, None), |(user, group)| (user, Some(group)));
        let user_part = if user_part.is_empty() { "0" } else { user_part };
        let mut account = match self.passwd_line(user_part) {
            Some(line) => parse_account(line).ok_or_else(unknown)?,
            None => unlisted(user_part.parse().map_err(|_| unknown())?),
        };
        account.credentials.groups = self.groups_of(&account.name);
        if let Some(group) = group_part {
            account.credentials.group_id = self.group_id(group).map_err(|_| unknown())?;
        }
        if !account.credentials.groups.contains(&account.credentials.group_id) {
            account.credentials.groups.push(account.credentials.group_id);
        }
        Ok(account)
    }

    /// Returns the number of a user given by name or number.
    pub fn user_id(&self, user: &str) -> Result<u32, DaemonError> {
        let listed =
            self.passwd_line(user).and_then(|line| line.split(':').nth(2)).and_then(|id| id.parse().ok());
        listed.or_else(|| user.parse().ok()).ok_or_else(|| DaemonError::UnknownUser { user: user.to_owned() })
    }

    /// Returns the number of a group given by name or number.
    pub fn group_id(&self, group: &str) -> Result<u32, DaemonError> {
        let mut lines = self.group.lines().map(|line| line.split(':'));
        let listed =
            lines.find_map(|mut fields| if fields.next() == Some(group) { fields.nth(1) } else { None });
        let listed = listed.and_then(|id| id.parse().ok());
        listed
            .or_else(|| group.parse().ok())
            .ok_or_else(|| DaemonError::UnknownGroup { group: group.to_owned() })
    }

    /// Finds a line by name first, by number second, as other tools do.
    fn passwd_line(&self, user: &str) -> Option<&str> {
        let field = |line: &str, index: usize| line.split(':').nth(index).map(str::to_owned);
        let by_name = self.passwd.lines().find(|line| field(line, 0).as_deref() == Some(user));
        by_name.or_else(|| self.passwd.lines().find(|line| field(line, 2).as_deref() == Some(user)))
    }

    fn groups_of(&self, name: &str) -> Vec<u32> {
        let lines = self.group.lines().map(|line| line.split(':').collect::<Vec<_>>());
        lines
            .filter(|fields| {
                fields.get(3).is_some_and(|members| members.split(',').any(|member| member == name))
            })
            .filter_map(|fields| fields.get(2)?.parse().ok())
            .collect()
    }
}

fn parse_account(line: &str) -> Option<Account> {
    let mut fields = line.split(':');
    let name = fields.next()?.to_owned();
    let user_id = fields.nth(1)?.parse().ok()?;
    let group_id = fields.next()?.parse().ok()?;
    let home = fields.nth(1).filter(|home| home.starts_with('/')).unwrap_or("/").to_owned();
    let shell = fields.next().unwrap_or_default().to_owned();
    Some(Account { name, credentials: Credentials { user_id, group_id, groups: Vec::new() }, home, shell })
}

/// A number without a line: group 0 and no home of its own, as other container tools have it.
fn unlisted(user_id: u32) -> Account {
    let (name, home) = if user_id == 0 { ("root".to_owned(), "/root") } else { (user_id.to_string(), "/") };
    let credentials = Credentials { user_id, group_id: 0, groups: Vec::new() };
    Account { name, credentials, home: home.to_owned(), shell: String::new() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn directory() -> Directory {
        Directory {
            passwd: "root:x:0:0:root:/root:/bin/bash\ndaytona:x:1000:1001::/home/daytona:/bin/zsh\nbroken\n\
                     7:x:8:8::/seven:\n"
                .into(),
            group: "root:x:0:\nsudo:x:27:other,daytona\ndaytona:x:1001:\ndocker:x:999:daytona\n".into(),
        }
    }

    #[test]
    fn users_resolve_by_name_number_and_group() {
        for (user, expected) in [
            ("", ("root", 0, 0, vec![0], "/root")),
            ("root", ("root", 0, 0, vec![0], "/root")),
            ("daytona", ("daytona", 1000, 1001, vec![27, 999, 1001], "/home/daytona")),
            ("1000", ("daytona", 1000, 1001, vec![27, 999, 1001], "/home/daytona")),
            ("daytona:docker", ("daytona", 1000, 999, vec![27, 999], "/home/daytona")),
            ("1000:5", ("daytona", 1000, 5, vec![27, 999, 5], "/home/daytona")),
            ("4242", ("4242", 4242, 0, vec![0], "/")),
            ("4242:4243", ("4242", 4242, 4243, vec![4243], "/")),
            ("7", ("7", 8, 8, vec![8], "/seven")),
        ] {
            let account = directory().account(user).expect(user);
            let Credentials { user_id, group_id, groups } = account.credentials;
            assert_eq!(
                (account.name.as_str(), user_id, group_id, groups, account.home.as_str()),
                expected,
                "{user}"
            );
        }
    }

    #[test]
    fn strangers_are_refused_by_name() {
        for user in ["nobody-here", "broken", "-1", "daytona:nogroup", "99999999999"] {
            let error = directory().account(user).expect_err(user);
            assert!(error.message().contains(user), "{error}");
        }
        assert_eq!(Directory::default().account("").expect("root always exists").home, "/root");
    }
}
