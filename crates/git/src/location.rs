//! Where a remote is, taken apart so that credentials in a URL never travel further.

use std::fmt;

use percent_encoding::percent_decode_str;

use crate::credential::Credentials;
use crate::error::GitError;

/// Longer than any URL that a server takes.
const MOST_BYTES: usize = 8 * 1024;

/// Where a remote is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Location {
    /// On a web server, which this crate speaks with itself.
    Http(Url),
    /// A directory of this machine, as a path or a `file` URL, or a `git` URL: libgit2 knows how.
    Library(String),
}

/// An `http` or `https` URL without credentials, and without the slash at its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Url {
    /// Whether the connection is encrypted.
    pub is_encrypted: bool,
    /// Name or address, in brackets when it is of version 6; in small letters.
    pub host: String,
    /// The port as written; the usual one when absent.
    pub port: Option<u16>,
    /// Everything behind, beginning with a slash unless empty.
    pub path: String,
}

impl fmt::Display for Url {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}://{}{}", self.scheme(), self.authority(), self.path)
    }
}

impl fmt::Display for Location {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Http(url) => url.fmt(formatter),
            Self::Library(url) => formatter.write_str(url),
        }
    }
}

impl Url {
    /// Returns the scheme.
    pub const fn scheme(&self) -> &'static str {
        if self.is_encrypted { "https" } else { "http" }
    }

    /// Returns the host, with the port where one was written.
    pub fn authority(&self) -> String {
        self.port.map_or_else(|| self.host.clone(), |port| format!("{}:{port}", self.host))
    }

    /// Returns whether both speak with the same server in the same way, so that the same credentials are meant.
    pub fn is_same_origin(&self, other: &Self) -> bool {
        (self.is_encrypted, &self.host, self.effective_port())
            == (other.is_encrypted, &other.host, other.effective_port())
    }

    fn effective_port(&self) -> u16 {
        self.port.unwrap_or(if self.is_encrypted { 443 } else { 80 })
    }

    /// Parses what follows `http://` or `https://`; credentials come apart.
    pub fn parse(is_encrypted: bool, rest: &str) -> Result<(Self, Option<Credentials>), GitError> {
        let (authority, path) = rest.find('/').map_or((rest, ""), |at| rest.split_at(at));
        let (user_part, host_part) =
            authority.rsplit_once('@').map_or((None, authority), |(user, host)| (Some(user), host));
        let colon = host_part.rfind(':').filter(|colon| host_part.rfind(']').is_none_or(|end| end < *colon));
        let (host, port) = match colon.map(|colon| host_part.split_at(colon)) {
            Some((host, port)) => (host, port.get(1..).filter(|port| !port.is_empty())),
            None => (host_part, None),
        };
        let port = match port.map(str::parse) {
            None => None,
            Some(Ok(port)) => Some(port),
            Some(Err(_)) => return Err(invalid("its port is not a number up to 65535")),
        };
        // Colons belong into brackets: shown without its empty port, `a:b:` would be another place.
        let (name, others) = match host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
            Some(address) => (address, ".:"),
            None => (host, ".-_"),
        };
        if name.is_empty() || !name.chars().all(|sign| sign.is_ascii_alphanumeric() || others.contains(sign))
        {
            return Err(invalid("it names no host"));
        }
        if path.contains(['?', '#']) {
            return Err(invalid("the URL of a repository has no `?` and no `#`"));
        }
        let path = path.trim_end_matches('/').to_owned();
        let credentials = user_part.and_then(|user| {
            let (name, password) = user.split_once(':')?;
            let decode = |text: &str| percent_decode_str(text).decode_utf8_lossy().into_owned();
            Credentials::new(Some(&decode(name)), Some(&decode(password)))
        });
        Ok((Self { is_encrypted, host: host.to_ascii_lowercase(), port, path }, credentials))
    }
}

impl Location {
    /// Takes a URL apart; credentials in it come apart from where it leads.
    pub fn parse(text: &str) -> Result<(Self, Option<Credentials>), GitError> {
        let text = text.trim();
        if text.is_empty() || text.len() > MOST_BYTES {
            return Err(invalid("it is empty or longer than 8 KiB"));
        }
        if text.chars().any(char::is_control) {
            return Err(invalid("it contains control characters"));
        }
        let Some((scheme, rest)) = text.split_once("://") else {
            // `host:path` is how ssh is written in short; a path with a colon begins with `/` or `./`.
            let is_short_ssh =
                text.find(':').is_some_and(|colon| !text.get(..colon).is_some_and(|host| host.contains('/')));
            if is_short_ssh {
                return Err(ssh());
            }
            return Ok((Self::Library(text.to_owned()), None));
        };
        match scheme.to_ascii_lowercase().as_str() {
            "http" | "https" if rest.contains(char::is_whitespace) => {
                Err(invalid("it contains white space; write it as %20"))
            }
            "http" => Url::parse(false, rest).map(|(url, credentials)| (Self::Http(url), credentials)),
            "https" => Url::parse(true, rest).map(|(url, credentials)| (Self::Http(url), credentials)),
            "file" | "git" => Ok((Self::Library(text.to_owned()), None)),
            "ssh" | "git+ssh" | "ssh+git" => Err(ssh()),
            _ => Err(invalid("use an https or http URL, or a path")),
        }
    }
}

/// Returns what is safe to show and to keep of a URL: without user and password where it is one of a web server.
pub fn without_credentials(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else { return url.to_owned() };
    if !["http", "https"].contains(&scheme.to_ascii_lowercase().as_str()) {
        return url.to_owned();
    }
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at(end);
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    format!("{scheme}://{host}{path}")
}

fn ssh() -> GitError {
    let reason = "ssh URLs are not supported here; use an https URL with a token, or run `git` with \
                  /process/execute, which finds the keys of the sandbox"
        .to_owned();
    GitError::Invalid { reason }
}

fn invalid(reason: &str) -> GitError {
    GitError::Invalid { reason: format!("the URL cannot be used: {reason}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn http(text: &str) -> (Url, Option<Credentials>) {
        match Location::parse(text).expect(text) {
            (Location::Http(url), credentials) => (url, credentials),
            (other, _) => panic!("{text}: {other:?}"),
        }
    }

    #[test]
    fn credentials_come_apart_and_are_shown_nowhere() {
        for (text, shown, user, password) in [
            (
                "https://me:p%40ss@Host.example:8443/a/b.git/",
                "https://host.example:8443/a/b.git",
                "me",
                "p@ss",
            ),
            ("HTTP://a:b:c@h/x", "http://h/x", "a", "b:c"),
            ("https://me:x@y@h/p", "https://h/p", "me", "x@y"),
            ("http://u:p@[::1]:80/r", "http://[::1]:80/r", "u", "p"),
        ] {
            let (url, credentials) = http(text);
            let credentials = credentials.expect("credentials");
            assert_eq!(url.to_string(), shown);
            assert_eq!((credentials.username.as_str(), credentials.password()), (user, password));
            assert!(!format!("{url:?}{credentials:?}").contains(password) || password.len() < 3);
        }
        assert_eq!(http("https://only-a-name@h/p").1, None);
        assert_eq!(without_credentials("https://a:b@h:1/p?q"), "https://h:1/p?q");
        assert_eq!(without_credentials("https://h"), "https://h");
        assert_eq!(without_credentials("git@h:p"), "git@h:p");
    }

    #[test]
    fn what_is_not_a_place_is_refused() {
        for text in [
            "",
            " ",
            "https://",
            "https:///x",
            "https://h:99999/x",
            "https://h:x/",
            "https://h h/",
            "http://h/a b",
            "https://h/x?token=1",
            "https://h\n/x",
            "ext::sh -c id",
            "ftp://h/x",
            "https://h/%\u{0}",
            "ssh://git@h/x",
            "git@host:path",
            "https://ho%73t/x",
            "https://a:b:/x",
            "https://[::1/x",
            "https://[]/x",
        ] {
            Location::parse(text).expect_err(text);
        }
        for text in ["/a/b", "./a:b", "relative", "file:///a", "git://h/x"] {
            assert_eq!(Location::parse(text).expect(text).0, Location::Library(text.to_owned()));
        }
    }

    #[test]
    fn an_origin_is_scheme_host_and_port() {
        let origin = |text: &str| http(text).0;
        assert!(origin("https://h/a").is_same_origin(&origin("https://H:443/b")));
        for other in ["http://h/", "https://h:444/", "https://h.example/", "https://sub.h/"] {
            assert!(!origin("https://h/a").is_same_origin(&origin(other)), "{other}");
        }
    }
}
