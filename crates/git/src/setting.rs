//! git's settings, in the files where a `git` of the sandbox finds them too.

use std::path::{Path, PathBuf};

use daytona_wire::toolbox::repository::{
    GitConfigResponse, GitConfigureUserRequest, GitGetConfigRequest, GitSetConfigRequest,
};
use git2::{Config, ErrorCode};

use crate::error::{During as _, GitError};
use crate::location::without_credentials;
use crate::repository;

const SYSTEM_FILE: &str = "/etc/gitconfig";

/// Reads one setting of one scope.
pub fn get(home: &Path, request: &GitGetConfigRequest) -> Result<GitConfigResponse, GitError> {
    check_key(&request.key)?;
    let config = open(home, request.scope.as_deref(), request.path.as_deref())?;
    match config.get_string(&request.key) {
        Ok(value) => Ok(GitConfigResponse { value: Some(value) }),
        Err(error) if error.code() == ErrorCode::NotFound => Ok(GitConfigResponse { value: None }),
        Err(source) => Err(GitError::Library { action: "read the setting", source }),
    }
}

/// Writes one setting of one scope.
pub fn set(home: &Path, request: &GitSetConfigRequest) -> Result<(), GitError> {
    check_key(&request.key)?;
    let mut config = open(home, request.scope.as_deref(), request.path.as_deref())?;
    let key = request.key.to_ascii_lowercase();
    let is_url = key.starts_with("remote.")
        && key.rsplit_once('.').is_some_and(|(_, name)| name == "url" || name == "pushurl");
    let value = if is_url { without_credentials(&request.value) } else { request.value.clone() };
    write(&mut config, &request.key, &value)
}

/// Writes who makes commits.
pub fn set_user(home: &Path, request: &GitConfigureUserRequest) -> Result<(), GitError> {
    if request.name.trim().is_empty() || request.email.trim().is_empty() {
        let reason = "`name` and `email` are both required".to_owned();
        return Err(GitError::Invalid { reason });
    }
    let mut config = open(home, request.scope.as_deref(), request.path.as_deref())?;
    write(&mut config, "user.name", &request.name)?;
    write(&mut config, "user.email", &request.email)
}

/// Switches on the helper that reads the file of credentials, beside others that are configured.
pub fn use_store(home: &Path) -> Result<(), GitError> {
    let mut config = open(home, None, None)?;
    config.set_multivar("credential.helper", "^store$", "store").during("switch on the store of credentials")
}

fn write(config: &mut Config, key: &str, value: &str) -> Result<(), GitError> {
    if value.contains('\0') {
        return Err(GitError::Invalid { reason: "a value cannot contain a NUL character".to_owned() });
    }
    config.set_str(key, value).map_err(|source| {
        if source.code() == ErrorCode::InvalidSpec {
            return invalid_key(key);
        }
        // libgit2 tells only in words that the file could not be written.
        let kernel = std::io::Error::last_os_error();
        if source.class() == git2::ErrorClass::Os && kernel.kind() == std::io::ErrorKind::PermissionDenied {
            return GitError::File { action: "write the settings for", path: key.to_owned(), source: kernel };
        }
        GitError::Library { action: "write the setting", source }
    })
}

fn open(home: &Path, scope: Option<&str>, path: Option<&str>) -> Result<Config, GitError> {
    match scope.filter(|scope| !scope.is_empty()) {
        None | Some("global") => file(&global_file(home)),
        Some("system") => file(Path::new(SYSTEM_FILE)),
        Some("local") => {
            let path = path.filter(|path| !path.is_empty()).ok_or_else(|| GitError::Invalid {
                reason: "the local scope needs `path`, the repository's directory".to_owned(),
            })?;
            let repository = repository::open(path)?;
            let config = repository.config().during("read the settings")?;
            config.open_level(git2::ConfigLevel::Local).during("read the settings")
        }
        Some(other) => {
            let shown: String = other.chars().take(40).collect();
            let reason = format!("scope `{}` is none; use global, local or system", shown.escape_debug());
            Err(GitError::Invalid { reason })
        }
    }
}

fn file(path: &Path) -> Result<Config, GitError> {
    Config::open(path).during("read the settings")
}

/// Where git itself would write: the file in the home directory, unless only the other one exists.
fn global_file(home: &Path) -> PathBuf {
    let usual = home.join(".gitconfig");
    if usual.exists() { usual } else { Config::find_xdg().unwrap_or(usual) }
}

/// A key is a section, perhaps something in between, and a name.
fn check_key(key: &str) -> Result<(), GitError> {
    let is_word = |word: &str| {
        !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
    };
    let fits = key.split_once('.').is_some_and(|(section, rest)| {
        let name = rest.rsplit_once('.').map_or(rest, |(_, name)| name);
        is_word(section) && is_word(name) && name.starts_with(|first: char| first.is_ascii_alphabetic())
    });
    if fits && !key.contains(char::is_control) { Ok(()) } else { Err(invalid_key(key)) }
}

fn invalid_key(key: &str) -> GitError {
    let shown: String = key.chars().take(80).collect();
    let reason =
        format!("`{}` cannot be the key of a setting; write it as `section.name`", shown.escape_debug());
    GitError::Invalid { reason }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_have_two_or_three_parts() {
        for key in
            ["user.name", "a.b.c", "url.https://x.y/.insteadOf", "branch.feature/x y.remote", "A-1.B-2"]
        {
            check_key(key).expect(key);
        }
        for key in
            ["", "user", ".name", "user.", "us er.name", "user.1", "user.na me", "a.\n.b", "a\0.b", "ä.b"]
        {
            check_key(key).expect_err(key);
        }
    }
}
