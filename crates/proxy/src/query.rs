//! The query of an address, read the way the daemon reads it. Pure.

use std::borrow::Cow;

use percent_encoding::percent_decode;

/// How often a name stands in a query, and with what value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Found {
    /// Not at all.
    Nowhere,
    /// Once.
    Once(String),
    /// More than once, or with a value that is no text: which value another reader would take is not known.
    Unclear,
}

/// Finds the value of a name.
pub(crate) fn find(query: &str, name: &str) -> Found {
    let mut found = Found::Nowhere;
    for (_, known, value) in pairs(query) {
        if known.as_deref() != Some(name) {
            continue;
        }
        found = match (found, value) {
            (Found::Nowhere, Some(value)) => Found::Once(value),
            _ => Found::Unclear,
        };
    }
    found
}

/// Returns the query without the parameters of some names. What is left is left byte for byte.
pub(crate) fn without<'a>(query: &'a str, names: &[&str]) -> Cow<'a, str> {
    let is_meant = |name: &Option<String>| name.as_deref().is_some_and(|name| names.contains(&name));
    if !pairs(query).any(|(_, name, _)| is_meant(&name)) {
        return Cow::Borrowed(query);
    }
    let kept: Vec<&str> =
        pairs(query).filter(|(_, name, _)| !is_meant(name)).map(|(written, _, _)| written).collect();
    Cow::Owned(kept.join("&"))
}

/// Takes a query apart: each pair as it is written, and its name and value where they are text.
fn pairs(query: &str) -> impl Iterator<Item = (&str, Option<String>, Option<String>)> {
    query.split('&').map(|written| {
        let (name, value) = written.split_once('=').unwrap_or((written, ""));
        (written, decode(name), decode(value))
    })
}

/// Decodes as forms are decoded: a plus sign is a space.
fn decode(text: &str) -> Option<String> {
    let text = text.replace('+', " ");
    percent_decode(text.as_bytes()).decode_utf8().ok().map(Cow::into_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_found_however_it_is_written() {
        let once = |text: &str| Found::Once(text.to_owned());
        for (query, found) in [
            ("", Found::Nowhere),
            ("x=1&paths=2", Found::Nowhere),
            ("path=/a%20b+c/%C3%A9", once("/a b c/é")),
            ("x&%70ath=1=2", once("1=2")),
            ("path", once("")),
            ("path=%", once("%")),
            ("path=a%26path=b", once("a&path=b")),
            ("path=a;path=b", once("a;path=b")),
            ("path=a&path=a", Found::Unclear),
            ("path=a&p%61th=b", Found::Unclear),
            ("path=%ff", Found::Unclear),
        ] {
            assert_eq!(find(query, "path"), found, "{query}");
        }
    }

    #[test]
    fn only_what_is_meant_is_taken_out() {
        for (query, left) in [
            ("", ""),
            ("a=%zz&&b=+", "a=%zz&&b=+"),
            ("a=1&key=2", "a=1"),
            ("key=2", ""),
            ("k%65y=1&&b=%2f&key&key=", "&b=%2f"),
            ("keys=1&%6bey=2", "keys=1"),
            ("%ff=1&key=2", "%ff=1"),
        ] {
            assert_eq!(without(query, &["key", "other"]), left, "{query}");
        }
    }
}
