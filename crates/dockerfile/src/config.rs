//! What an image says of the programs that start from it.

/// What an image says of itself, beside its files.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Config {
    /// Variables, in the order in which they were first set.
    pub environment: Vec<(String, String)>,
    /// Who programs run as; empty means root.
    pub user: String,
    /// Where they start; empty means `/`.
    pub working_directory: String,
    /// The program.
    pub entrypoint: Vec<String>,
    /// Its arguments, or the program where there is no entrypoint.
    pub command: Vec<String>,
    /// What runs texts; empty means `/bin/sh -c`.
    pub shell: Vec<String>,
    /// What people noted.
    pub labels: Vec<(String, String)>,
    /// Ports that are meant to be listened at.
    pub exposed: Vec<String>,
}

/// Where programs are looked for in an image that does not say.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

impl Config {
    /// Says where programs are, unless it does already.
    #[must_use]
    pub fn with_path(mut self) -> Self {
        if self.variable("PATH").is_none() {
            set(&mut self.environment, "PATH", PATH.to_owned());
        }
        self
    }

    /// Returns the value of a variable.
    pub fn variable(&self, name: &str) -> Option<&str> {
        self.environment.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// Returns what runs texts.
    pub fn shell(&self) -> Vec<String> {
        if self.shell.is_empty() { vec!["/bin/sh".to_owned(), "-c".to_owned()] } else { self.shell.clone() }
    }
}

/// Sets a value where its name is, or at the end.
pub(crate) fn set(pairs: &mut Vec<(String, String)>, name: &str, value: String) {
    match pairs.iter_mut().find(|(known, _)| known == name) {
        Some((_, known)) => *known = value,
        None => pairs.push((name.to_owned(), value)),
    }
}
