//! Settings from a TOML file.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use toml::Value;

use crate::error::ServiceError;
use crate::nearest::nearest;
use crate::setting::{Kind, Setting};
use crate::{deferred, env};

/// What a file says, by setting name.
#[derive(Debug, Clone)]
pub struct File {
    /// Where it was.
    pub path: PathBuf,
    values: BTreeMap<&'static str, String>,
}

impl File {
    /// Reads a file; `None` when there is none.
    pub fn read(path: &Path) -> Result<Option<Self>, ServiceError> {
        match fs_err::read_to_string(path) {
            Ok(text) => Self::parse(path, &text).map(Some),
            Err(source) if source.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(ServiceError::ReadFile { path: path.to_owned(), source }),
        }
    }

    /// Reads TOML text that came from `path`.
    pub fn parse(path: &Path, text: &str) -> Result<Self, ServiceError> {
        let table: toml::Table = toml::from_str(text).map_err(|error| not_toml(path, text, &error))?;
        let mut values = BTreeMap::new();
        for (key, value) in table {
            let setting = by_key(&key, path)?;
            let text = text_of(setting, &value).ok_or_else(|| ServiceError::InvalidValue {
                name: setting.name,
                origin: path.display().to_string(),
                value: if setting.secret { crate::secret::REDACTED.to_owned() } else { value.to_string() },
                expectation: format!(
                    "{}, written as a TOML {}",
                    setting.kind.expectation(),
                    toml_type(setting.kind)
                ),
            })?;
            values.insert(setting.name, text);
        }
        Ok(Self { path: path.to_owned(), values })
    }

    /// Returns what the file says of a setting.
    pub fn get(&self, setting: &Setting) -> Option<&str> {
        self.values.get(setting.name).map(String::as_str)
    }
}

fn not_toml(path: &Path, text: &str, error: &toml::de::Error) -> ServiceError {
    let before = error.span().and_then(|span| text.get(..span.start)).unwrap_or_default();
    let line = before.matches('\n').count() + 1;
    ServiceError::ParseFile { path: path.to_owned(), line, reason: error.message().to_owned() }
}

fn by_key(key: &str, path: &Path) -> Result<&'static Setting, ServiceError> {
    let path = path.to_owned();
    let allowed = env::SETTINGS.iter().copied().filter(|setting| setting.name != env::CONFIG.name);
    if let Some(setting) = allowed.clone().find(|setting| setting.name == key) {
        return Ok(setting);
    }
    if deferred::variables().any(|variable| variable.eq_ignore_ascii_case(key)) {
        return Err(ServiceError::DeferredKey { key: key.to_owned(), path });
    }
    let nearest =
        nearest(&key.to_lowercase(), allowed.map(|setting| setting.name)).map(|name| format!("`{name}`"));
    Err(ServiceError::UnknownKey { key: key.to_owned(), path, nearest })
}

/// Returns a TOML value as the text that a flag would have, or `None` when its type is not the setting's.
fn text_of(setting: &Setting, value: &Value) -> Option<String> {
    match (setting.kind, value) {
        (Kind::Port | Kind::Count, Value::Integer(number)) => Some(number.to_string()),
        (Kind::Networks, Value::Array(items)) => {
            let texts: Option<Vec<&str>> = items.iter().map(Value::as_str).collect();
            texts.map(|texts| texts.join(","))
        }
        (Kind::Port | Kind::Count | Kind::Networks, _) => None,
        (_, Value::String(text)) => Some(text.clone()),
        (_, _) => None,
    }
}

const fn toml_type(kind: Kind) -> &'static str {
    match kind {
        Kind::Port | Kind::Count => "integer",
        Kind::Networks => "array of strings",
        _ => "string",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<File, ServiceError> {
        File::parse(Path::new("/s.toml"), text)
    }

    #[test]
    fn reads_every_type() {
        let file = parse(
            "port = 4000\npublic_url = \"http://a\"\nsandbox_network_allow = [\"10.0.0.0/8\", \"1.2.3.4\"]",
        )
        .expect("parses");
        assert_eq!(file.get(&env::PORT), Some("4000"));
        assert_eq!(file.get(&env::PUBLIC_URL), Some("http://a"));
        assert_eq!(file.get(&env::SANDBOX_NETWORK_ALLOW), Some("10.0.0.0/8,1.2.3.4"));
        assert_eq!(file.get(&env::HOST), None);
    }

    #[test]
    fn refuses_with_a_sentence() {
        for (text, sentence) in [
            ("prot = 1", "unknown key `prot` in /s.toml: did you mean `port`?"),
            ("config = \"/x\"", "unknown key `config` in /s.toml"),
            ("[api]\nport = 1", "unknown key `api` in /s.toml"),
            ("db_host = \"x\"", "key `db_host` in /s.toml is known but not used by this version: remove it"),
            ("PORT = 1", "unknown key `PORT` in /s.toml: did you mean `port`?"),
            (
                "port = \"4000\"",
                "port from /s.toml is `\"4000\"`: must be a port from 0 to 65535, written as a TOML integer",
            ),
            (
                "admin_api_key = 12345",
                "admin_api_key from /s.toml is `(redacted)`: must be visible ASCII characters without spaces, written as a TOML string",
            ),
        ] {
            assert_eq!(parse(text).expect_err(text).to_string(), sentence);
        }
    }

    #[test]
    fn a_syntax_error_names_its_line_and_quotes_nothing() {
        let error = parse("port = 3000\nadmin_api_key = \"hunter2\n").expect_err("is not TOML");
        assert!(error.to_string().starts_with("parse settings file /s.toml, line 2: "), "{error}");
        assert!(!format!("{error} {error:?}").contains("hunter2"));
    }

    #[test]
    fn a_missing_file_is_none_and_a_directory_an_error() {
        assert!(File::read(Path::new("/nowhere/at/all.toml")).expect("is no error").is_none());
        assert_eq!(File::read(Path::new("/")).expect_err("a directory").to_string(), "read settings file /");
    }
}
