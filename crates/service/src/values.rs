//! What was said of every setting and who said it, and the reading of each kind of text.

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;

use types::network::Ipv4Network;

use crate::env;
use crate::environment::Environment;
use crate::error::ServiceError;
use crate::file::File;
use crate::flags::Flags;
use crate::secret::{REDACTED, Secret};
use crate::setting::{Fallback, Setting};

/// Who said a value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// The command line.
    Flag,
    /// This environment variable.
    Environment(&'static str),
    /// This file.
    File(PathBuf),
    /// Nobody: it was computed from other settings.
    Derived,
    /// Nobody: it is the default.
    Default,
}

impl fmt::Display for Origin {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Flag => formatter.write_str("flag"),
            Self::Environment(variable) => write!(formatter, "environment {variable}"),
            Self::File(path) => write!(formatter, "file {}", path.display()),
            Self::Derived => formatter.write_str("derived"),
            Self::Default => formatter.write_str("default"),
        }
    }
}

/// A setting's text, if it has one, and its origin.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Said {
    text: Option<String>,
    origin: Origin,
}

/// Every setting's text.
#[derive(Clone)]
pub struct Values(BTreeMap<&'static str, Said>);

impl Values {
    /// Takes each setting from the first that says it: flags, environment, file, default.
    pub fn collect(flags: &Flags, environment: &Environment, file: Option<&File>) -> Self {
        let said =
            env::SETTINGS.iter().map(|setting| (setting.name, said(setting, flags, environment, file)));
        Self(said.collect())
    }

    /// Returns a setting's text.
    pub fn text(&self, setting: &Setting) -> Option<&str> {
        self.0.get(setting.name).and_then(|said| said.text.as_deref())
    }

    /// Returns who said a setting.
    pub fn origin(&self, setting: &Setting) -> Origin {
        self.0.get(setting.name).map_or(Origin::Default, |said| said.origin.clone())
    }

    /// Tells whether somebody said a setting.
    pub fn is_said(&self, setting: &Setting) -> bool {
        !matches!(self.origin(setting), Origin::Default | Origin::Derived)
    }

    /// Fills in a setting that nobody said.
    pub fn derive(&mut self, setting: &Setting, text: String) {
        self.0.insert(setting.name, Said { text: Some(text), origin: Origin::Derived });
    }

    /// Reads a setting's text; `None` when it has none.
    pub fn read<T>(
        &self,
        setting: &Setting,
        parse: impl Fn(&str) -> Option<T>,
    ) -> Result<Option<T>, ServiceError> {
        let Some(text) = self.text(setting) else { return Ok(None) };
        parse(text).map(Some).ok_or_else(|| self.refuse(setting, setting.kind.expectation()))
    }

    /// Reads a setting that always has a text.
    pub fn require<T>(
        &self,
        setting: &Setting,
        parse: impl Fn(&str) -> Option<T>,
    ) -> Result<T, ServiceError> {
        self.read(setting, parse)?.ok_or_else(|| self.refuse(setting, setting.kind.expectation()))
    }

    /// Makes the error that a setting's value cannot be used.
    pub fn refuse(&self, setting: &Setting, expectation: String) -> ServiceError {
        let value = if setting.secret { REDACTED } else { self.text(setting).unwrap_or_default() };
        ServiceError::InvalidValue {
            name: setting.name,
            origin: self.origin(setting).to_string(),
            value: value.to_owned(),
            expectation,
        }
    }
}

impl fmt::Debug for Values {
    /// Names what was said without its texts, some of which are secret.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_map().entries(self.0.iter().map(|(name, said)| (name, &said.origin))).finish()
    }
}

fn said(setting: &Setting, flags: &Flags, environment: &Environment, file: Option<&File>) -> Said {
    if let Some(text) = flags.get(setting) {
        return Said { text: Some(text.to_owned()), origin: Origin::Flag };
    }
    for variable in setting.variables() {
        if let Some(text) = environment.get(variable).filter(|text| !text.is_empty()) {
            return Said { text: Some(text.clone()), origin: Origin::Environment(variable) };
        }
    }
    if let Some((file, text)) = file.and_then(|file| file.get(setting).map(|text| (file, text))) {
        return Said { text: Some(text.to_owned()), origin: Origin::File(file.path.clone()) };
    }
    let text = match setting.fallback {
        Fallback::Value(text) => Some(text.to_owned()),
        Fallback::Derived(_) | Fallback::Unset(_) => None,
    };
    Said { text, origin: Origin::Default }
}

/// Reads one non-empty line.
pub fn line(text: &str) -> Option<String> {
    let plain = !text.is_empty() && !text.chars().any(char::is_control);
    plain.then(|| text.to_owned())
}

/// Reads a key.
pub fn key(text: &str) -> Option<Secret> {
    let plain = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic());
    plain.then(|| Secret::new(text.to_owned()))
}

/// Reads a URL and drops its trailing slashes.
pub fn url(text: &str) -> Option<String> {
    let (scheme, rest) = text.split_once("://")?;
    let authority = rest.split('/').next().unwrap_or_default();
    let plain =
        text.bytes().all(|byte| byte.is_ascii_graphic()) && !text.contains(['?', '#', '@', '\\', '"']);
    let valid = matches!(scheme, "http" | "https") && plain && authority_is_valid(authority);
    valid.then(|| text.trim_end_matches('/').to_owned())
}

/// Reads a host with or without a port.
pub fn authority(text: &str) -> Option<String> {
    authority_is_valid(text).then(|| text.to_owned())
}

fn authority_is_valid(authority: &str) -> bool {
    let (host, port) = split_port(authority);
    let host_is_valid = match host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        Some(address) => address.parse::<std::net::Ipv6Addr>().is_ok(),
        None => {
            !host.is_empty()
                && host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._".contains(&byte))
        }
    };
    host_is_valid && port.is_none_or(|text| self::port(text).is_some())
}

/// Separates a host from its port; the brackets of an IPv6 address stay.
pub fn split_port(authority: &str) -> (&str, Option<&str>) {
    match authority.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => (host, Some(port)),
        _ => (authority, None),
    }
}

/// Reads an absolute path.
pub fn path(text: &str) -> Option<PathBuf> {
    let path = PathBuf::from(text);
    (path.is_absolute() && !text.chars().any(char::is_control)).then_some(path)
}

/// Reads a port.
pub fn port(text: &str) -> Option<u16> {
    digits(text)?.parse().ok()
}

/// Reads a whole number.
pub fn count(text: &str) -> Option<u32> {
    digits(text)?.parse().ok()
}

fn digits(text: &str) -> Option<&str> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then_some(text)
}

/// Reads an IP address.
pub fn address(text: &str) -> Option<IpAddr> {
    text.parse().ok()
}

/// Reads networks separated by commas; an empty text is none.
pub fn networks(text: &str) -> Option<Vec<Ipv4Network>> {
    let parts = text.split(',').map(str::trim).filter(|part| !part.is_empty());
    parts.map(Ipv4Network::parse).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls() {
        for (text, read) in [
            ("http://a", Some("http://a")),
            ("https://d.example:8443/", Some("https://d.example:8443")),
            ("http://[::1]:3000", Some("http://[::1]:3000")),
            ("http://a/b/", Some("http://a/b")),
            ("ftp://a", None),
            ("http://", None),
            ("http://user@a", None),
            ("http://a?b", None),
            ("http://a:", None),
            ("http://a:99999", None),
            ("http://[zz]", None),
            ("http://a b", None),
            ("a", None),
        ] {
            assert_eq!(url(text).as_deref(), read, "{text}");
        }
    }

    #[test]
    fn numbers() {
        assert_eq!(
            (port("3000"), port("0"), port("+1"), port("65536"), port("")),
            (Some(3000), Some(0), None, None, None)
        );
        assert_eq!((count("0"), count("4294967296"), count("-1"), count("1.0")), (Some(0), None, None, None));
    }

    #[test]
    fn texts() {
        assert_eq!((line(""), line("a\nb"), line("a b")), (None, None, Some("a b".to_owned())));
        assert_eq!((key("a b"), key("ключ")), (None, None));
        assert_eq!((path("a"), path("/a\0")), (None, None));
        assert_eq!(networks(" 10.0.0.0/8 , 1.2.3.4,").map(|list| list.len()), Some(2));
        assert_eq!((networks(""), networks("x")), (Some(vec![]), None));
    }
}
