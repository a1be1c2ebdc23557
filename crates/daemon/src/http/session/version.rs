//! Which form of a log an SDK reads: it depends on its version.

use axum::http::HeaderMap;

use crate::http::socket::offered;

/// Tells an SDK's version, as a header or, where headers cannot be set, as a protocol of a web socket.
const VERSION: &str = "x-daytona-sdk-version";
/// Asks for marks where no version is told.
const SPLIT: &str = "x-daytona-split-output";

/// How a log is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// As JSON, its streams apart.
    Json,
    /// As text with marks, which the SDK takes apart.
    Marked,
    /// As text.
    Plain,
}

/// Returns what the SDK behind a request reads.
pub fn form(headers: &HeaderMap) -> Form {
    let header = |name| headers.get(name).and_then(|value| value.to_str().ok()).map(str::trim);
    let protocols = offered(headers);
    let protocol = protocols.iter().find_map(|protocol| {
        let (name, version) = protocol.split_once('~')?;
        name.eq_ignore_ascii_case(VERSION).then_some(version)
    });
    match header(VERSION).or(protocol).filter(|version| !version.is_empty()) {
        Some(version) => of_version(version),
        None if header(SPLIT).is_some_and(|value| value.eq_ignore_ascii_case("true")) => Form::Marked,
        None => Form::Plain,
    }
}

fn of_version(version: &str) -> Form {
    let mut numbers = version.trim_start_matches('v').split(['.', '-', '+']).map(str::parse::<u32>);
    let (Some(Ok(major)), Some(Ok(minor))) = (numbers.next(), numbers.next()) else { return Form::Json };
    match (major, minor) {
        // What developers build for themselves is the newest.
        (0, 0 | 167..) | (1.., _) => Form::Json,
        (0, 27..) => Form::Marked,
        (0, _) => Form::Plain,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_generation_gets_its_own_form() {
        for (version, expected) in [
            ("0.226.1", Form::Json),
            ("v0.167.0", Form::Json),
            ("0.166.9", Form::Marked),
            ("0.27.0", Form::Marked),
            ("0.26.9", Form::Plain),
            ("0.1.0-alpha.1", Form::Plain),
            ("0.0.0-dev", Form::Json),
            ("1.0.0", Form::Json),
            ("dev", Form::Json),
            ("0.99999999999", Form::Json),
        ] {
            assert_eq!(of_version(version), expected, "{version}");
        }
    }

    #[test]
    fn the_version_is_found_wherever_it_is() {
        let headers = |pairs: &[(&'static str, &str)]| {
            let pairs = pairs.iter();
            pairs.map(|(name, value)| (name.parse().expect("name"), value.parse().expect("value"))).collect()
        };
        let none: HeaderMap = headers(&[]);
        assert_eq!(form(&none), Form::Plain);
        assert_eq!(form(&headers(&[("X-Daytona-Split-Output", "true")])), Form::Marked);
        assert_eq!(form(&headers(&[("X-Daytona-SDK-Version", "0.200.0")])), Form::Json);
        assert_eq!(
            form(&headers(&[("Sec-WebSocket-Protocol", "a, X-Daytona-SDK-Version~0.100.0")])),
            Form::Marked
        );
    }
}
