//! The environment that commands start with: a floor, the sandbox's variables, and later changes to them.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use daytona_wire::toolbox::environment::UpdateEnvRequest;

use crate::account::Account;
use crate::error::DaemonError;
use crate::settings::Settings;

/// Where commands are looked for unless the sandbox says otherwise.
const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// The variables of every process started from now on.
#[derive(Debug)]
pub struct Environment {
    variables: Mutex<BTreeMap<String, String>>,
}

impl Environment {
    /// Builds the first environment of a sandbox.
    pub fn new(settings: &Settings, account: &Account, shell: &str) -> Result<Self, DaemonError> {
        let mut variables: BTreeMap<String, String> = [
            ("PATH", DEFAULT_PATH),
            ("HOME", &account.home),
            ("USER", &account.name),
            ("LOGNAME", &account.name),
            ("SHELL", shell),
            ("TERM", "xterm-256color"),
            ("DAYTONA_SANDBOX_ID", &settings.sandbox_id),
            ("DAYTONA_SANDBOX_USER", &account.name),
        ]
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect();
        for (name, value) in &settings.env {
            // Images carry names such as `my.setting`; only what the kernel cannot carry is refused.
            if name.is_empty() || name.contains(['=', '\0']) || value.contains('\0') {
                return Err(DaemonError::Settings {
                    reason: format!("`{name}` cannot be an environment variable"),
                });
            }
            variables.insert(name.clone(), value.clone());
        }
        Ok(Self { variables: Mutex::new(variables) })
    }

    /// Returns the variables with those of one request on top.
    pub fn with(
        &self,
        request: Option<&BTreeMap<String, String>>,
    ) -> Result<BTreeMap<String, String>, DaemonError> {
        let mut variables = self.lock().clone();
        for (name, value) in request.into_iter().flatten() {
            check(name, value)?;
            variables.insert(name.clone(), value.clone());
        }
        Ok(variables)
    }

    /// Changes the variables for processes that start later: removals first, then additions.
    pub fn update(&self, request: UpdateEnvRequest) -> Result<(), DaemonError> {
        let set = request.set.unwrap_or_default();
        for (name, value) in &set {
            check(name, value)?;
        }
        let unset = request.unset.unwrap_or_default();
        let mut variables = self.lock();
        variables.retain(|name, value| {
            let prefixed = request.unset_value_prefix.as_deref().is_some_and(|prefix| {
                // An empty prefix would match, and so remove, every variable there is.
                !prefix.is_empty() && value.starts_with(prefix) && !set.contains_key(name)
            });
            !prefixed && !unset.contains(name)
        });
        variables.extend(set);
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, String>> {
        self.variables.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn check(name: &str, value: &str) -> Result<(), DaemonError> {
    let mut characters = name.chars();
    let first = characters.next().is_some_and(|first| first.is_ascii_alphabetic() || first == '_');
    if !first || !characters.all(|character| character.is_ascii_alphanumeric() || character == '_') {
        let reason = format!(
            "invalid environment variable name `{}`: use letters, digits and `_`, not starting with a digit",
            name.escape_debug()
        );
        return Err(DaemonError::Invalid { reason });
    }
    if value.contains('\0') {
        let reason =
            format!("the value of environment variable `{name}` contains a NUL character; remove it");
        return Err(DaemonError::Invalid { reason });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn environment(pairs: &[(&str, &str)]) -> Environment {
        let variables = pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        Environment { variables: Mutex::new(variables) }
    }

    fn map(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn removals_come_before_additions_and_spare_what_is_set() {
        let environment = environment(&[("A", "secret:1"), ("B", "secret:2"), ("C", "3"), ("D", "4")]);
        let request = UpdateEnvRequest {
            set: Some(map(&[("A", "secret:9"), ("C", "new")])),
            unset: Some(vec!["C".into(), "D".into()]),
            unset_value_prefix: Some("secret:".into()),
        };
        environment.update(request).expect("update");
        assert_eq!(environment.with(None).expect("all"), map(&[("A", "secret:9"), ("C", "new")]));
    }

    #[test]
    fn a_bad_name_changes_nothing() {
        let environment = environment(&[("A", "1")]);
        for name in ["", "1A", "A-B", "A=B", "Ä", "A\0"] {
            let request = UpdateEnvRequest {
                set: Some(map(&[(name, "x")])),
                unset: Some(vec!["A".into()]),
                unset_value_prefix: Some(String::new()),
            };
            environment.update(request).expect_err(name);
            environment.with(Some(&map(&[(name, "x")]))).expect_err(name);
        }
        environment.with(Some(&map(&[("OK", "a\0b")]))).expect_err("NUL in a value");
        assert_eq!(environment.with(None).expect("all"), map(&[("A", "1")]));
    }
}
