//! Puts a command into the form in which it is started: shell or interpreter, environment, standard input.

use std::collections::BTreeMap;
use std::io::{Seek as _, Write as _};
use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::fs::MemfdFlags;

use crate::account::Account;
use crate::error::DaemonError;

/// The kernel refuses a single argument of 128 KiB; a longer script travels in a file that exists only in memory.
const ARGUMENT_BYTES: usize = 120 * 1024;

/// A program to run to its end.
#[derive(Debug)]
pub struct Launch {
    /// What a message about it calls it.
    pub title: String,
    /// The executable's path.
    pub path: String,
    /// The arguments, the program's own name first.
    pub arguments: Vec<String>,
    /// The whole environment.
    pub variables: BTreeMap<String, String>,
    /// The directory to start in.
    pub directory: String,
    /// Standard input; empty when absent.
    pub input: Option<OwnedFd>,
    /// What the program finds as descriptors 3, 4 and so on.
    pub extra: Vec<OwnedFd>,
}

/// Chooses the shell that runs commands.
///
/// bash first, because commands written by people and by models are written for it and the official images have it;
/// then the user's own, unless it exists to turn logins away; then what every system has.
pub fn shell(account: &Account) -> String {
    let own = Some(account.shell.as_str())
        .filter(|shell| !shell.ends_with("/nologin") && !shell.ends_with("/false"));
    let candidates = ["/bin/bash", "/usr/bin/bash"].into_iter().chain(own);
    candidates.into_iter().find(|path| is_executable(Path::new(path))).unwrap_or("/bin/sh").to_owned()
}

/// Prepares a shell command.
pub fn shell_command(
    shell: &str,
    command: &str,
    variables: BTreeMap<String, String>,
    directory: String,
) -> Result<Launch, DaemonError> {
    let name = shell.rsplit('/').next().unwrap_or(shell).to_owned();
    let (arguments, extra) = if command.len() > ARGUMENT_BYTES {
        (vec![name, "/proc/self/fd/3".to_owned()], vec![memory_file("command", command.as_bytes())?])
    } else {
        (vec![name, "-c".to_owned(), command.to_owned()], Vec::new())
    };
    let (path, title) = (shell.to_owned(), command.to_owned());
    Ok(Launch { title, path, arguments, variables, directory, input: None, extra })
}

/// Returns the first executable of this name in the search path of `variables`.
pub fn find(name: &str, variables: &BTreeMap<String, String>) -> Option<String> {
    let path = variables.get("PATH")?;
    path.split(':').filter(|directory| directory.starts_with('/')).find_map(|directory| {
        let candidate = Path::new(directory).join(name);
        is_executable(&candidate).then(|| candidate.to_string_lossy().into_owned())
    })
}

fn is_executable(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt as _;
    // Only a guess, made so that a missing program is named; execve(2) has the last word.
    std::fs::metadata(path)
        .is_ok_and(|metadata| metadata.is_file() && metadata.permissions().mode() & 0o111 != 0)
}

/// Returns a file that exists only in memory, positioned at its start.
pub fn memory_file(name: &str, contents: &[u8]) -> Result<OwnedFd, DaemonError> {
    let failed = |source: std::io::Error| DaemonError::Execution { step: "keep a text in memory", source };
    let descriptor =
        rustix::fs::memfd_create(name, MemfdFlags::CLOEXEC).map_err(|error| failed(error.into()))?;
    let mut file = std::fs::File::from(descriptor);
    file.write_all(contents).and_then(|()| file.rewind()).map_err(failed)?;
    Ok(file.into())
}

#[cfg(test)]
mod tests {
    use linux::credential::Credentials;

    use super::*;

    #[test]
    fn a_shell_that_turns_logins_away_is_not_chosen() {
        for shell_path in ["/usr/sbin/nologin", "/bin/false", "", "/no/such/shell"] {
            let credentials = Credentials { user_id: 1, group_id: 1, groups: vec![] };
            let account =
                Account { name: "x".into(), credentials, home: "/".into(), shell: shell_path.into() };
            let chosen = shell(&account);
            assert!(["/bin/bash", "/usr/bin/bash", "/bin/sh"].contains(&chosen.as_str()), "{chosen}");
        }
    }

    #[test]
    fn the_search_path_is_absolute_and_in_order() {
        let variables = BTreeMap::from([("PATH".to_owned(), ".::/no/such:/usr/bin:/bin".to_owned())]);
        assert!(find("sh", &variables).is_some_and(|path| path.starts_with('/')));
        assert_eq!(find("no-such-program", &variables), None);
        assert_eq!(find("sh", &BTreeMap::new()), None);
    }
}
