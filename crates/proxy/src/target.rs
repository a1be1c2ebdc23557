//! Phase 1: which sandbox a request is for, and what of its path is the sandbox's business. Pure.

use axum::http::uri::PathAndQuery;
use axum::http::{HeaderMap, Method, Uri};

use crate::error::ProxyError;
use crate::header;

/// Longest head that is forwarded, in bytes.
const HEAD_LIMIT_BYTES: usize = 64 * 1024;
/// Longest text that can be a sandbox id.
const LONGEST_ID_BYTES: usize = 128;
/// What leads to a port inside the sandbox, before its number.
const PORTS: &str = "/proxy/";
/// The ways to the web terminal, which the sandbox's daemon answers itself: no server inside can stand in its place.
const TERMINALS: [&str; 2] = ["/proxy/22222/", "/terminal/"];

/// Where a request goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Target {
    /// The sandbox, as the path names it.
    pub(crate) sandbox: String,
    /// What stood before the sandbox's own path.
    pub(crate) prefix: String,
    /// The sandbox's own path and the query, byte for byte as the client wrote them.
    pub(crate) path: PathAndQuery,
}

impl Target {
    /// Tells whether it is the page for browsers that connects to a shell, or something of that page.
    pub(crate) fn is_terminal(&self) -> bool {
        TERMINALS.iter().any(|start| self.path.path().starts_with(start))
    }

    /// Returns the port, as it is written, behind which a server knows nothing of what leads to it.
    pub(crate) fn port(&self) -> Option<&str> {
        let rest = self.path.path().strip_prefix(PORTS)?;
        let port = rest.split('/').next().unwrap_or_default();
        (!port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit())).then_some(port)
    }
}

/// Reads a request's method, address and headers.
pub(crate) fn target(method: &Method, uri: &Uri, headers: &HeaderMap) -> Result<Target, ProxyError> {
    if matches!(*method, Method::CONNECT | Method::TRACE) {
        return Err(ProxyError::BadMethod { method: method.clone() });
    }
    let rest = uri.path().strip_prefix("/toolbox/").ok_or(ProxyError::NoSandbox)?;
    let (sandbox, path) = rest.find('/').map_or((rest, "/"), |slash| rest.split_at(slash));
    if sandbox.is_empty() {
        return Err(ProxyError::NoSandbox);
    }
    let plain = sandbox.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte));
    if !plain || sandbox.len() > LONGEST_ID_BYTES {
        return Err(ProxyError::BadSandbox);
    }
    let size_bytes = uri.path().len() + uri.query().map_or(0, str::len) + header::size_bytes(headers);
    if size_bytes > HEAD_LIMIT_BYTES {
        return Err(ProxyError::HeadTooLarge { size_bytes, limit_bytes: HEAD_LIMIT_BYTES });
    }
    let full = uri.query().map_or_else(|| path.to_owned(), |query| format!("{path}?{query}"));
    let path = PathAndQuery::try_from(full).map_err(|source| ProxyError::BadPath { source })?;
    Ok(Target { sandbox: sandbox.to_owned(), prefix: format!("/toolbox/{sandbox}"), path })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(uri: &str) -> Result<Target, ProxyError> {
        target(&Method::GET, &uri.parse().expect(uri), &HeaderMap::new())
    }

    #[test]
    fn the_rest_of_the_path_is_kept_byte_for_byte() {
        for (uri, sandbox, path) in [
            ("/toolbox/a", "a", "/"),
            ("/toolbox/a/", "a", "/"),
            ("/toolbox/a?x=1", "a", "/?x=1"),
            (
                "/toolbox/a/files/download?path=/etc/../x%2Fy&z=%00",
                "a",
                "/files/download?path=/etc/../x%2Fy&z=%00",
            ),
            ("/toolbox/a/../b/files", "a", "/../b/files"),
            ("/toolbox/a/%2e%2e/b", "a", "/%2e%2e/b"),
            ("/toolbox/a//evil.example/", "a", "//evil.example/"),
            ("/toolbox/a/x%2Fy%00", "a", "/x%2Fy%00"),
            ("http://evil.example/toolbox/a/version", "a", "/version"),
            ("/toolbox/../a", "..", "/a"),
        ] {
            let target = of(uri).expect(uri);
            assert_eq!((target.sandbox.as_str(), target.path.as_str()), (sandbox, path), "{uri}");
            assert_eq!(target.prefix, format!("/toolbox/{sandbox}"));
        }
    }

    #[test]
    fn ports_and_the_terminal_are_told_by_their_paths() {
        for (path, port, is_terminal) in [
            ("/proxy/3000", Some("3000"), false),
            ("/proxy/3000/a/b", Some("3000"), false),
            ("/proxy/22222/", Some("22222"), true),
            ("/proxy/22222/ws?x", Some("22222"), true),
            ("/proxy/22222", Some("22222"), false),
            ("/proxy/22222x/", None, false),
            ("/terminal/files/x", None, true),
            ("/terminals/", None, false),
            ("/proxy/", None, false),
            ("/proxy/%33000/", None, false),
            ("/x/proxy/3000/", None, false),
            ("/files?path=/proxy/22222/", None, false),
        ] {
            let target = of(&format!("/toolbox/a{path}")).expect(path);
            assert_eq!((target.port(), target.is_terminal()), (port, is_terminal), "{path}");
        }
    }

    #[test]
    fn refuses_what_names_no_sandbox() {
        for uri in ["/toolbox", "/toolbox/", "/toolbox//files", "/toolboxes/a/b", "/", "*"] {
            assert!(matches!(of(uri), Err(ProxyError::NoSandbox)), "{uri}");
        }
        let long = format!("/toolbox/{}/x", "a".repeat(129));
        for uri in
            ["/toolbox/%2e%2e/x", "/toolbox/a%2Fb/x", "/toolbox/a%00/x", "/toolbox/a:b/x", long.as_str()]
        {
            assert!(matches!(of(uri), Err(ProxyError::BadSandbox)), "{uri}");
        }
    }

    #[test]
    fn refuses_long_heads_and_odd_methods() {
        let uri: Uri = "/toolbox/a/x".parse().expect("parses");
        let mut headers = HeaderMap::new();
        headers.insert("x-long", "x".repeat(HEAD_LIMIT_BYTES).parse().expect("a value"));
        assert!(matches!(target(&Method::GET, &uri, &headers), Err(ProxyError::HeadTooLarge { .. })));
        for method in [Method::CONNECT, Method::TRACE] {
            let error = target(&method, &uri, &HeaderMap::new()).expect_err("refused");
            assert_eq!(error.status().0, 405);
        }
    }
}
