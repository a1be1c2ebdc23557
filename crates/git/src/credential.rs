//! A name and a password.

use std::fmt;

/// A name and a password; neither is ever printed.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    /// The user's name.
    pub username: String,
    password: String,
}

impl fmt::Debug for Credentials {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Credentials(***)")
    }
}

impl Credentials {
    /// Takes both or nothing: a name alone proves nothing.
    pub fn new(username: Option<&str>, password: Option<&str>) -> Option<Self> {
        let username = username.filter(|name| !name.is_empty())?.to_owned();
        let password = password.filter(|password| !password.is_empty())?.to_owned();
        Some(Self { username, password })
    }

    /// Returns the password, for the one header that carries it.
    pub fn password(&self) -> &str {
        &self.password
    }
}
