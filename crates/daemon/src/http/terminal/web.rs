//! A terminal for the browser: a page, and a shell of its own for each page that is open.

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::extract::ws::rejection::WebSocketUpgradeRejection;
use axum::extract::ws::{Message, WebSocketUpgrade};
use axum::http::HeaderMap;
use axum::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HOST, HeaderName, HeaderValue, ORIGIN,
    REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS,
};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use futures_util::StreamExt as _;

use crate::daemon::Daemon;
use crate::error::DaemonError;
use crate::http::socket::prepare;
use crate::http::terminal::client::{finish, race, show, type_in};
use crate::http::terminal::no_upgrade;
use crate::terminal::shell::Unread;
use crate::terminal::{Attachment, Request, Terminal, window};

/// Where its shells start, by contract.
const DIRECTORY: &str = "/";
/// What proxies write the client's own `Host` into.
const FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
/// The page, with all that it needs in it: what opens it may be a secret in its address, which no other file would be
/// asked for with.
const PAGE: &str = include_str!("page/index.html");
const STYLE: &str = include_str!("page/style.css");
const SCREEN: &str = include_str!("page/screen.js");
const SCRIPT: &str = include_str!("page/page.js");

/// The page at `/` and its web socket at `/ws`.
pub fn web_routes() -> Router<Arc<Daemon>> {
    routes("")
}

/// The same below a prefix.
pub fn routes(prefix: &str) -> Router<Arc<Daemon>> {
    Router::new().route(&format!("{prefix}/"), get(page)).route(&format!("{prefix}/ws"), get(connect))
}

async fn page(State(daemon): State<Arc<Daemon>>) -> Response {
    let nonce = daemon.token();
    // Nothing from elsewhere, and no code but what is in the page already.
    let policy = format!(
        "default-src 'none'; script-src 'nonce-{nonce}'; style-src 'nonce-{nonce}'; connect-src 'self'; \
         base-uri 'none'; form-action 'none'"
    );
    let headers = [
        (CONTENT_TYPE, "text/html; charset=utf-8".to_owned()),
        (CONTENT_SECURITY_POLICY, policy),
        (X_CONTENT_TYPE_OPTIONS, "nosniff".to_owned()),
        // Its address may hold a secret.
        (REFERRER_POLICY, "no-referrer".to_owned()),
        (CACHE_CONTROL, "no-store".to_owned()),
    ];
    let parts = [("{nonce}", nonce.as_str()), ("{style}", STYLE), ("{screen}", SCREEN), ("{page}", SCRIPT)];
    let page = parts.iter().fold(PAGE.to_owned(), |page, (name, part)| page.replace(name, part));
    (headers, page).into_response()
}

async fn connect(
    State(daemon): State<Arc<Daemon>>,
    headers: HeaderMap,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Result<Response, DaemonError> {
    let upgrade = upgrade.map_err(|rejection| no_upgrade(&rejection))?;
    if !is_own_page(&headers) {
        return Err(DaemonError::ForeignPage);
    }
    let request = Request {
        id: daemon.token(),
        shell: daemon.shell.clone(),
        variables: daemon.environment.with(None)?,
        asked: std::collections::BTreeMap::new(),
        directory: DIRECTORY.to_owned(),
        window: window(None, None)?,
        is_lazy: true,
        is_listed: false,
        now: daemon.clock.now(),
    };
    let registration = daemon.terminals.register(request).await?;
    let Attachment { viewer, shell } =
        daemon.terminals.attach(&daemon.executor, registration.terminal()).await?;
    let visit = Visit { daemon: Arc::clone(&daemon), terminal: registration.keep() };
    Ok(prepare(upgrade, &headers).on_upgrade(move |socket| async move {
        let (mut sink, stream) = socket.split();
        let take = |message| obey(&visit.terminal, &shell, message);
        let (end, stream) = race(show(&mut sink, viewer), stream, take).await;
        drop(shell);
        drop(visit);
        finish(sink, stream, end, false).await;
    }))
}

/// Ends the shell when its page is closed: nobody else can reach it.
struct Visit {
    daemon: Arc<Daemon>,
    terminal: Arc<Terminal>,
}

impl Drop for Visit {
    fn drop(&mut self) {
        self.daemon.terminals.discard(&self.terminal);
    }
}

/// A size in a text frame is one, anything else is typed.
async fn obey(
    terminal: &Terminal,
    shell: &crate::terminal::shell::Shell,
    message: Message,
) -> Result<(), Unread> {
    if let Message::Text(text) = &message
        && let Ok(size) = serde_json::from_str::<daytona_wire::toolbox::terminal::PtyResizeRequest>(text)
    {
        if size.cols > 0
            && size.rows > 0
            && let Ok(window) = window(Some(size.cols), Some(size.rows))
        {
            // A size that the kernel refuses leaves the old one.
            let _ = terminal.resize(window);
        }
        return Ok(());
    }
    type_in(shell, message).await
}

/// Returns whether a connection was opened by a page from here, or by no page at all.
///
/// Browsers let any page open a web socket to anywhere, with the visitor's cookies; but they say which page it was.
fn is_own_page(headers: &HeaderMap) -> bool {
    let Some(origin) = headers.get(ORIGIN) else { return true };
    let host = headers.get(FORWARDED_HOST).or_else(|| headers.get(HOST)).map(HeaderValue::as_bytes);
    let authority = origin.to_str().ok().and_then(|origin| origin.split_once("://")).map(|(_, rest)| rest);
    match (authority, host) {
        (Some(authority), Some(host)) => !host.is_empty() && authority.as_bytes().eq_ignore_ascii_case(host),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_own_page_connects() {
        let asked = |pairs: &[(HeaderName, &str)]| {
            let pairs = pairs.iter().map(|(name, value)| (name.clone(), value.parse().expect("value")));
            is_own_page(&pairs.collect())
        };
        assert!(asked(&[(HOST, "localhost")]), "no browser");
        assert!(asked(&[(HOST, "a.example:80"), (ORIGIN, "http://A.example:80")]));
        assert!(asked(&[(HOST, "localhost"), (FORWARDED_HOST, "a.example"), (ORIGIN, "https://a.example")]));
        for foreign in
            ["https://b.example", "null", "", "https://", "https://a.example.evil", "https://a.example:81"]
        {
            assert!(!asked(&[(HOST, "a.example"), (ORIGIN, foreign)]), "{foreign}");
            assert!(!asked(&[(ORIGIN, foreign)]), "{foreign}");
        }
        assert!(!asked(&[(HOST, "localhost"), (FORWARDED_HOST, "a.example"), (ORIGIN, "http://localhost")]));
    }
}
