//! Reads what a registry wants to know of a caller: the header `WWW-Authenticate` (RFC 9110, section 11).

/// What is wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Challenge {
    /// A name and a password with every request.
    Basic,
    /// A token, which a service gives for a name and a password, or for nothing.
    Bearer { realm: String, service: Option<String>, scope: Option<String> },
}

/// Chooses among the challenges of an answer: a token, because its password goes over the wire less often.
pub(crate) fn choose<'a>(headers: impl Iterator<Item = &'a str>) -> Option<Challenge> {
    let all: Vec<Challenge> = headers.flat_map(read).collect();
    let is_bearer = |challenge: &&Challenge| matches!(challenge, Challenge::Bearer { .. });
    all.iter().find(is_bearer).or(all.first()).cloned()
}

/// Reads one header, which may hold several challenges; what cannot be read is passed over.
fn read(header: &str) -> Vec<Challenge> {
    let mut challenges = Vec::new();
    let mut rest = header.trim_start_matches([' ', ',', '\t']);
    while !rest.is_empty() {
        let (scheme, after) = rest.split_at(rest.find([' ', ',']).unwrap_or(rest.len()));
        let (parameters, after) = parameters(after);
        let find = |name: &str| {
            parameters
                .iter()
                .find(|(known, _)| known.eq_ignore_ascii_case(name))
                .map(|(_, value)| value.clone())
        };
        if scheme.eq_ignore_ascii_case("basic") {
            challenges.push(Challenge::Basic);
        } else if scheme.eq_ignore_ascii_case("bearer")
            && let Some(realm) = find("realm")
        {
            challenges.push(Challenge::Bearer { realm, service: find("service"), scope: find("scope") });
        }
        let next = after.trim_start_matches([' ', ',', '\t']);
        // What neither is a parameter nor begins a challenge would be read for ever.
        rest = if next.len() < rest.len() { next } else { "" };
    }
    challenges
}

/// Reads `name=value` pairs until something else comes; returns what is left.
fn parameters(text: &str) -> (Vec<(String, String)>, &str) {
    let (mut found, mut rest) = (Vec::new(), text);
    loop {
        let trimmed = rest.trim_start_matches([' ', ',', '\t']);
        let Some((name, value)) = trimmed.split_once('=') else { return (found, rest) };
        if name.is_empty()
            || !name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
        {
            return (found, rest);
        }
        let (value, after) = if let Some(quoted) = value.strip_prefix('"') {
            unquote(quoted)
        } else {
            let end = value.find([',', ' ']).unwrap_or(value.len());
            let (value, after) = value.split_at(end);
            (value.to_owned(), after)
        };
        found.push((name.to_owned(), value));
        rest = after;
    }
}

/// Reads up to the closing quote; returns what comes after it.
fn unquote(text: &str) -> (String, &str) {
    let mut value = String::new();
    let mut characters = text.char_indices();
    while let Some((at, character)) = characters.next() {
        match character {
            '"' => return (value, text.get(at + 1..).unwrap_or_default()),
            '\\' => value.extend(characters.next().map(|(_, escaped)| escaped)),
            other => value.push(other),
        }
    }
    (value, "")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn challenges_are_read() {
        let bearer = |service: Option<&str>, scope: Option<&str>| Challenge::Bearer {
            realm: "https://auth.example/token".to_owned(),
            service: service.map(ToOwned::to_owned),
            scope: scope.map(ToOwned::to_owned),
        };
        for (headers, wanted) in [
            (vec!["Basic realm=\"Registry, with = and \\\"quotes\\\"\""], Some(Challenge::Basic)),
            (
                vec![
                    "Bearer realm=\"https://auth.example/token\",service=\"s, t\",scope=\"repository:a/b:pull,push\"",
                ],
                Some(bearer(Some("s, t"), Some("repository:a/b:pull,push"))),
            ),
            (vec!["bearer REALM=https://auth.example/token , service=s"], Some(bearer(Some("s"), None))),
            (vec!["Basic realm=x, Bearer realm=\"https://auth.example/token\""], Some(bearer(None, None))),
            (vec!["Basic", "Bearer realm=\"https://auth.example/token\""], Some(bearer(None, None))),
            (vec!["Negotiate", "Basic realm=\"x\""], Some(Challenge::Basic)),
            (vec!["Bearer service=\"no realm\""], None),
            (vec!["Digest realm=x, nonce=y"], None),
            (vec![""], None),
            (vec![], None),
        ] {
            assert_eq!(choose(headers.iter().copied()), wanted, "{headers:?}");
        }
    }

    proptest! {
        #[test]
        fn anything_is_read_to_its_end(text in ".{0,200}") {
            choose([text.as_str()].into_iter());
        }

        #[test]
        fn anything_like_a_challenge_is_read_to_its_end(text in "((Basic|Bearer|realm|=|,| |\"|\\\\|é){0,1}){0,30}") {
            choose([text.as_str()].into_iter());
        }
    }
}
