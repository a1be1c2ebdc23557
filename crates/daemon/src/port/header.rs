//! Which headers pass on the way to a port: pure functions of a header map.

use axum::http::header::{HOST, HeaderMap, HeaderValue};
use hop::header::{FORWARDED_HOST, remove_hop_by_hop};

/// Turns a client's headers into what a server on this port understands.
///
/// It is called by the name that its own user would call it by: servers for development refuse others. What the client
/// called it by stays in `X-Forwarded-Host`, unless an earlier proxy has put something there.
pub fn clean_request(headers: &mut HeaderMap, port: u16, upgrade: Option<&HeaderValue>) {
    remove_hop_by_hop(headers, upgrade);
    if let Ok(host) = HeaderValue::try_from(format!("localhost:{port}"))
        && let Some(called) = headers.insert(HOST, host)
    {
        headers.entry(FORWARDED_HOST).or_insert(called);
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

    fn lines(headers: &HeaderMap) -> Vec<String> {
        let mut lines: Vec<String> = headers
            .iter()
            .map(|(name, value)| format!("{name}: {}", value.to_str().expect("text")))
            .collect();
        lines.sort();
        lines
    }

    #[test]
    fn what_is_meant_for_this_hop_ends_here() {
        let mut headers = map(&[
            ("connection", "close, X-Mine"),
            ("x-mine", "1"),
            ("te", "trailers"),
            ("expect", "100-continue"),
            ("transfer-encoding", "chunked"),
            ("upgrade", "websocket"),
            ("host", "d.example"),
            ("cookie", "a=1"),
        ]);
        clean_request(&mut headers, 3000, None);
        assert_eq!(lines(&headers), ["cookie: a=1", "host: localhost:3000", "x-forwarded-host: d.example"]);
    }

    #[test]
    fn an_earlier_proxy_knows_the_host_better() {
        let mut headers = map(&[("host", "localhost"), ("x-forwarded-host", "d.example")]);
        clean_request(&mut headers, 80, None);
        assert_eq!(lines(&headers), ["host: localhost:80", "x-forwarded-host: d.example"]);
    }

    #[test]
    fn an_upgrade_needs_both_headers_and_passes() {
        assert_eq!(upgrade(&map(&[("upgrade", "websocket")])), None);
        assert_eq!(upgrade(&map(&[("connection", "upgrade")])), None);
        let mut headers = map(&[("connection", "keep-alive, Upgrade"), ("upgrade", "websocket")]);
        let asked = upgrade(&headers);
        remove_hop_by_hop(&mut headers, asked.as_ref());
        assert_eq!(lines(&headers), ["connection: upgrade", "upgrade: websocket"]);
    }
}
