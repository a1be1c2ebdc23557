//! Which headers pass: pure functions of a header map.

use axum::http::header::{
    AUTHORIZATION, CONTENT_SECURITY_POLICY, COOKIE, HOST, HeaderMap, HeaderName, HeaderValue, ORIGIN,
    REFERER, SET_COOKIE, X_CONTENT_TYPE_OPTIONS,
};
use hop::header::{FORWARDED_HOST, remove_hop_by_hop};

/// Asks not to count a request as use of the sandbox.
pub(crate) const SKIP_ACTIVITY: HeaderName = HeaderName::from_static("x-daytona-skip-last-activity-update");
/// Asks to leave cross-origin headers to the sandbox.
pub(crate) const DISABLE_CORS: HeaderName = HeaderName::from_static("x-daytona-disable-cors");
/// Holds a preview token.
pub(crate) const PREVIEW_TOKEN: HeaderName = HeaderName::from_static("x-daytona-preview-token");

/// Meant for this server: a sandbox runs what its users choose and must not learn their keys.
const OURS: [HeaderName; 6] = [
    AUTHORIZATION,
    PREVIEW_TOKEN,
    HeaderName::from_static("x-daytona-authorization"),
    // An address that opened to a secret in it is told to whatever it leads to.
    REFERER,
    SKIP_ACTIVITY,
    DISABLE_CORS,
];
/// Begin the names of cookies that hold credentials for this server.
const OUR_COOKIES: [&str; 3] = ["daytona-sandbox-auth-", "daytona-preview-page-accepted", "pkce_verifier"];

/// A sandbox shares its origin with the API and other sandboxes, so it may not speak for the whole of it.
const SPEAK_FOR_THE_ORIGIN: [HeaderName; 4] = [
    SET_COOKIE,
    HeaderName::from_static("clear-site-data"),
    HeaderName::from_static("strict-transport-security"),
    HeaderName::from_static("service-worker-allowed"),
];

/// Tells whether a switch header says true.
pub(crate) fn says_true(headers: &HeaderMap, name: &HeaderName) -> bool {
    headers.get(name).is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"true"))
}

/// Returns how long the headers are on the wire, about.
pub(crate) fn size_bytes(headers: &HeaderMap) -> usize {
    headers.iter().map(|(name, value)| name.as_str().len() + value.len() + 4).sum()
}

/// Turns a client's headers into the sandbox's.
pub(crate) fn clean_request(headers: &mut HeaderMap, upgrade: Option<&HeaderValue>) {
    remove_hop_by_hop(headers, upgrade);
    for name in &OURS {
        headers.remove(name);
    }
    remove_our_cookies(headers);
    if let Some(host) = headers.insert(HOST, HeaderValue::from_static("localhost")) {
        headers.insert(FORWARDED_HOST, host);
    }
}

/// Lets a page that has no origin connect to the sandbox it is from. Nobody comes here by a cookie, which a page from
/// elsewhere could ride on: whoever asks has shown a secret in the request itself.
pub(crate) fn forget_missing_origin(headers: &mut HeaderMap) {
    if headers.get(ORIGIN).is_some_and(|origin| origin == "null") {
        headers.remove(ORIGIN);
    }
}

/// What is left of the address that a request was sent to, for the answer to it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Place<'a> {
    /// What stood before the sandbox's own path.
    pub(crate) prefix: &'a str,
    /// The port whose server answers, unless the daemon itself does.
    pub(crate) port: Option<&'a str>,
    /// Whether the page is the daemon's own, and of no use without its scripts.
    pub(crate) has_scripts: bool,
}

/// Turns a sandbox's headers into the client's. A path in `Location` gets the prefix that the request's path lost.
pub(crate) fn clean_response(headers: &mut HeaderMap, place: Place<'_>, upgrade: Option<&HeaderValue>) {
    remove_hop_by_hop(headers, upgrade);
    for name in &SPEAK_FOR_THE_ORIGIN {
        headers.remove(name);
    }
    // An address with a secret in it can be opened like a page, which must then be nobody's: no scripts, no origin.
    let policy = if place.has_scripts { "sandbox allow-scripts" } else { "sandbox" };
    headers.append(CONTENT_SECURITY_POLICY, HeaderValue::from_static(policy));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    rewrite_location(headers, place);
}

/// Removes our cookies and keeps the others, which may be the sandbox's.
fn remove_our_cookies(headers: &mut HeaderMap) {
    let lines: Vec<HeaderValue> = headers.get_all(COOKIE).iter().cloned().collect();
    headers.remove(COOKIE);
    for line in lines {
        // A line that is not text cannot be told apart from ours.
        let Ok(text) = line.to_str() else { continue };
        let is_kept = |cookie: &&str| {
            let name = cookie.split('=').next().unwrap_or_default().trim();
            !name.is_empty() && !OUR_COOKIES.iter().any(|ours| name.starts_with(ours))
        };
        let kept: Vec<&str> = text.split(';').map(str::trim).filter(is_kept).collect();
        if let Some(value) =
            Some(kept.join("; ")).filter(|text| !text.is_empty()).and_then(|text| text.parse().ok())
        {
            headers.append(COOKIE, value);
        }
    }
}

fn rewrite_location(headers: &mut HeaderMap, place: Place<'_>) {
    use axum::http::header::LOCATION;
    let Some(location) = headers.get(LOCATION).and_then(|value| value.to_str().ok()) else { return };
    let Place { prefix, port, .. } = place;
    // A server behind a port was called by this name (`daemon/src/port/header.rs`), and may repeat it.
    let own = port.and_then(|port| location.strip_prefix(&format!("http://localhost:{port}")));
    let is_own = |rest: &str| rest.is_empty() || rest.starts_with(['/', '?', '#']);
    let path = own.filter(|rest| is_own(rest)).unwrap_or(location);
    let is_named = path.len() < location.len();
    let is_path = (is_named || path.starts_with('/')) && !path.starts_with("//");
    let has_prefix = path.strip_prefix(prefix).is_some_and(is_own);
    if !is_path || has_prefix {
        return;
    }
    let port = port.map(|port| format!("/proxy/{port}")).unwrap_or_default();
    if let Ok(value) = format!("{prefix}{port}{path}").parse() {
        headers.insert(LOCATION, value);
    }
}

#[cfg(test)]
mod tests {
    use hop::header::upgrade;

    use super::*;

    fn map(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(*name, HeaderValue::from_static(value));
        }
        headers
    }

    const PLACE: Place<'_> = Place { prefix: "/toolbox/s", port: None, has_scripts: false };

    fn lines(headers: &HeaderMap) -> Vec<String> {
        let mut lines: Vec<String> = headers
            .iter()
            .map(|(name, value)| format!("{name}: {}", value.to_str().expect("text")))
            .collect();
        lines.sort();
        lines
    }

    #[test]
    fn a_request_loses_keys_and_hop_by_hop_headers() {
        let mut headers = map(&[
            ("authorization", "Bearer secret"),
            ("x-daytona-preview-token", "secret"),
            ("x-daytona-authorization", "secret"),
            ("connection", "close, X-Mine"),
            ("x-mine", "1"),
            ("te", "trailers"),
            ("expect", "100-continue"),
            ("transfer-encoding", "chunked"),
            ("cookie", "a=1; daytona-sandbox-auth-x=secret;b=2"),
            ("cookie", "pkce_verifier=secret"),
            ("referer", "https://d.example/toolbox/s/x?DAYTONA_SANDBOX_AUTH_KEY=secret"),
            ("host", "d.example"),
            ("content-type", "text/plain"),
        ]);
        clean_request(&mut headers, None);
        let expected = [
            "content-type: text/plain",
            "cookie: a=1; b=2",
            "host: localhost",
            "x-forwarded-host: d.example",
        ];
        assert_eq!(lines(&headers), expected);
    }

    #[test]
    fn an_upgrade_needs_both_headers_and_survives_cleaning() {
        assert_eq!(upgrade(&map(&[("upgrade", "websocket")])), None);
        assert_eq!(upgrade(&map(&[("connection", "upgrade")])), None);
        let mut headers = map(&[("connection", "keep-alive, Upgrade"), ("upgrade", "websocket")]);
        let asked = upgrade(&headers);
        clean_request(&mut headers, asked.as_ref());
        assert_eq!(lines(&headers), ["connection: upgrade", "host: localhost", "upgrade: websocket"]);
    }

    #[test]
    fn a_response_cannot_speak_for_the_origin() {
        let mut headers =
            map(&[("set-cookie", "a=1"), ("clear-site-data", "\"*\""), ("etag", "x"), ("keep-alive", "5")]);
        clean_response(&mut headers, PLACE, None);
        assert_eq!(
            lines(&headers),
            ["content-security-policy: sandbox", "etag: x", "x-content-type-options: nosniff"]
        );
    }

    #[test]
    fn the_terminals_page_has_scripts_and_no_origin() {
        let mut headers = map(&[("content-security-policy", "default-src 'none'")]);
        clean_response(&mut headers, Place { has_scripts: true, ..PLACE }, None);
        let policies: Vec<_> = headers.get_all("content-security-policy").iter().collect();
        assert_eq!(policies, ["default-src 'none'", "sandbox allow-scripts"]);
        let mut asked = map(&[("origin", "null")]);
        forget_missing_origin(&mut asked);
        assert!(asked.is_empty());
        let mut foreign = map(&[("origin", "https://evil.example")]);
        forget_missing_origin(&mut foreign);
        assert_eq!(lines(&foreign), ["origin: https://evil.example"]);
    }

    #[test]
    fn only_a_path_in_location_is_rewritten() {
        for (location, rewritten) in [
            ("/files", "/toolbox/s/files"),
            ("/", "/toolbox/s/"),
            ("/toolbox/s/files", "/toolbox/s/files"),
            ("/toolbox/s?x", "/toolbox/s?x"),
            ("/toolbox/sx/files", "/toolbox/s/toolbox/sx/files"),
            ("//evil.example/", "//evil.example/"),
            ("https://a.example/", "https://a.example/"),
            ("files", "files"),
        ] {
            let mut headers = map(&[("location", location)]);
            clean_response(&mut headers, PLACE, None);
            assert_eq!(headers["location"], rewritten);
        }
    }

    #[test]
    fn a_server_behind_a_port_leads_to_itself() {
        for (location, rewritten) in [
            ("/login?next=/x", "/toolbox/s/proxy/3000/login?next=/x"),
            ("/", "/toolbox/s/proxy/3000/"),
            ("http://localhost:3000/login", "/toolbox/s/proxy/3000/login"),
            ("http://localhost:3000", "/toolbox/s/proxy/3000"),
            ("http://localhost:30001/x", "http://localhost:30001/x"),
            ("http://localhost:3000.evil.example/", "http://localhost:3000.evil.example/"),
            ("http://localhost:3000//evil.example/", "http://localhost:3000//evil.example/"),
            ("//evil.example/", "//evil.example/"),
            ("/toolbox/s/proxy/3000/x", "/toolbox/s/proxy/3000/x"),
            ("next", "next"),
        ] {
            let mut headers = map(&[("location", location)]);
            clean_response(&mut headers, Place { port: Some("3000"), ..PLACE }, None);
            assert_eq!(headers["location"], rewritten);
        }
    }
}
