//! One caller at one registry, for one repository: requests with who is asking, tried again, led on by redirects.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use base64::Engine as _;
use bytes::Bytes;
use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderValue, LOCATION, RETRY_AFTER, WWW_AUTHENTICATE};
use reqwest::{Method, Response, StatusCode, Url};
use serde::Deserialize;

use crate::challenge::{self, Challenge};
use crate::endpoint::Endpoint;
use crate::error::RegistryError;
use crate::settings::Credentials;

/// How often a request is sent before its failure counts.
const ATTEMPTS: u32 = 4;
/// The same for a mirror, after which there is somebody else to ask.
const MIRROR_ATTEMPTS: u32 = 2;
const MOST_REDIRECTS: usize = 5;
const MOST_TOKEN_BYTES: usize = 1 << 20;
const MOST_COMPLAINT_BYTES: usize = 64 << 10;
/// The longest that a registry may ask us to wait.
const MOST_RETRY_AFTER: Duration = Duration::from_secs(30);
/// How much must come within the time in which a registry may be silent, so that nothing takes for ever.
const LEAST_BYTES: usize = 64 << 10;

/// How long to wait for what.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Patience {
    pub(crate) silence: Duration,
    pub(crate) retry_pause: Duration,
}

impl Patience {
    /// Returns how long to wait before the try with this number, from 1 on.
    pub(crate) fn pause(&self, attempt: u32) -> Duration {
        self.retry_pause * 4_u32.saturating_pow(attempt.saturating_sub(1).min(4))
    }
}

/// A request that can be sent again.
#[derive(Debug)]
pub(crate) struct Ask<'a> {
    /// For messages: what is done …
    pub(crate) action: &'static str,
    /// … with what.
    pub(crate) what: &'a str,
    pub(crate) method: Method,
    pub(crate) url: Url,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Option<Bytes>,
}

/// Who asks, and how the registry knows.
#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) endpoint: Endpoint,
    /// As this registry calls it.
    pub(crate) repository: String,
    /// What tokens must allow.
    scopes: Vec<String>,
    credentials: Option<Credentials>,
    authorization: Mutex<Option<HeaderValue>>,
    pub(crate) patience: Patience,
}

impl Session {
    pub(crate) fn new(
        endpoint: Endpoint,
        repository: &str,
        actions: &str,
        credentials: Option<Credentials>,
        patience: Patience,
    ) -> Self {
        let repository = endpoint.repository(repository);
        // A user's credentials are for the user's registry.
        let credentials = if endpoint.is_mirror { endpoint.credentials.clone() } else { credentials };
        let scopes = vec![format!("repository:{repository}:{actions}")];
        Self { endpoint, repository, scopes, credentials, authorization: Mutex::default(), patience }
    }

    /// Lets tokens be asked for that may read another repository, too.
    pub(crate) fn also_read(&mut self, repositories: impl Iterator<Item = String>) {
        self.scopes.extend(repositories.map(|repository| format!("repository:{repository}:pull")));
    }

    /// Returns how often something is tried.
    pub(crate) fn attempts(&self) -> u32 {
        if self.endpoint.is_mirror { MIRROR_ATTEMPTS } else { ATTEMPTS }
    }

    /// Begins a request for a path of this repository.
    pub(crate) fn ask<'a>(
        &self,
        action: &'static str,
        what: &'a str,
        method: Method,
        path: &str,
    ) -> Result<Ask<'a>, RegistryError> {
        let url = self.endpoint.url(&format!("v2/{}/{path}", self.repository))?;
        Ok(Ask { action, what, method, url, headers: HeaderMap::new(), body: None })
    }

    /// Sends a request until it is answered by something that another try would not change. Whatever the answer's
    /// status, it is an answer; [`Session::accept`] refuses those that are no success.
    pub(crate) async fn send(&self, ask: &Ask<'_>) -> Result<Response, RegistryError> {
        let mut attempt = 1;
        loop {
            let answered = self.send_once(ask).await;
            let pause = match &answered {
                Ok(answer) if is_busy(answer.status()) => {
                    retry_after(answer).unwrap_or_default().max(self.patience.pause(attempt))
                }
                Err(error) if error.class() == crate::error::Class::Retry => self.patience.pause(attempt),
                _ => return answered,
            };
            if attempt >= self.attempts() {
                return answered;
            }
            attempt += 1;
            tokio::time::sleep(pause).await;
        }
    }

    async fn send_once(&self, ask: &Ask<'_>) -> Result<Response, RegistryError> {
        let answer = self.follow(ask).await?;
        if answer.status() != StatusCode::UNAUTHORIZED || !self.endpoint.is_itself(answer.url()) {
            return Ok(answer);
        }
        if self.identify(ask, &answer).await? { self.follow(ask).await } else { Ok(answer) }
    }

    /// Sends once, and goes where the registry says that what was asked for is. Only there are credentials sent where
    /// the registry itself is.
    async fn follow(&self, ask: &Ask<'_>) -> Result<Response, RegistryError> {
        let mut url = ask.url.clone();
        for _ in 0..=MOST_REDIRECTS {
            let mut request = self.endpoint.client.request(ask.method.clone(), url.clone());
            request = request.headers(ask.headers.clone());
            if let Some(value) = self.authorization().filter(|_| self.endpoint.is_itself(&url)) {
                request = request.header(AUTHORIZATION, value);
            }
            if let Some(body) = &ask.body {
                request = request.body(body.clone());
            }
            let answer = self.in_time(ask, request.send()).await?;
            let is_redirect = answer.status().is_redirection() && answer.status() != StatusCode::NOT_MODIFIED;
            if !is_redirect || !matches!(ask.method, Method::GET | Method::HEAD) {
                return Ok(answer);
            }
            let next = answer.headers().get(LOCATION).and_then(|value| value.to_str().ok());
            let next = next.and_then(|next| answer.url().join(next).ok());
            url = match next {
                Some(next) if self.endpoint.may_lead_to(&next) => next,
                _ => return Err(self.broke(ask, "redirects to where nobody may be sent")),
            };
        }
        Err(self.broke(ask, "redirects in a circle, or more than 5 times"))
    }

    /// Waits for the head of an answer, as long as a registry may be silent.
    async fn in_time(
        &self,
        ask: &Ask<'_>,
        sent: impl Future<Output = Result<Response, reqwest::Error>>,
    ) -> Result<Response, RegistryError> {
        // What is sent counts, too: at the rate at which anything must come.
        let body = ask.body.as_ref().map_or(0, Bytes::len);
        let times = u32::try_from(body / LEAST_BYTES + 1).unwrap_or(u32::MAX);
        match tokio::time::timeout(self.patience.silence.saturating_mul(times), sent).await {
            Ok(answered) => answered.map_err(|source| self.unsent(ask, source)),
            Err(_) => Err(self.stalled(ask)),
        }
    }

    pub(crate) fn authorization(&self) -> Option<HeaderValue> {
        self.authorization.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Does what the registry wants before it tells; false when there is nothing that has not been tried.
    pub(crate) async fn identify(&self, ask: &Ask<'_>, answer: &Response) -> Result<bool, RegistryError> {
        let wanted =
            answer.headers().get_all(WWW_AUTHENTICATE).iter().filter_map(|value| value.to_str().ok());
        let before = self.authorization();
        let value = match (challenge::choose(wanted), &self.credentials) {
            (Some(Challenge::Basic), Some(credentials)) => Some(basic(credentials)),
            (Some(Challenge::Bearer { realm, service, scope }), _) => {
                let token = self.token(ask, &realm, service.as_deref(), scope.as_deref()).await?;
                Some(format!("Bearer {token}"))
            }
            _ => None,
        };
        let Some(value) = value else { return Ok(false) };
        let mut value =
            HeaderValue::from_str(&value).map_err(|_| self.broke(ask, "gave a token that cannot be sent"))?;
        value.set_sensitive(true);
        // A new token may do what an old one may not any more; the same password never does.
        let is_new = before.as_ref() != Some(&value);
        *self.authorization.lock().unwrap_or_else(PoisonError::into_inner) = Some(value);
        Ok(is_new)
    }

    /// Asks the token service that the registry named.
    async fn token(
        &self,
        ask: &Ask<'_>,
        realm: &str,
        service: Option<&str>,
        scope: Option<&str>,
    ) -> Result<String, RegistryError> {
        let mut url = Url::parse(realm).ok().filter(|url| self.endpoint.may_lead_to(url));
        let Some(url) = url.as_mut() else {
            return Err(self.broke(ask, "names a token service that is not reached over TLS"));
        };
        {
            let mut query = url.query_pairs_mut();
            service.map(|service| query.append_pair("service", service));
            for scope in &self.scopes {
                query.append_pair("scope", scope);
            }
            // What it asks for beyond this repository is not asked for: nobody else's rights are needed.
            let is_known = scope.is_none_or(|scope| self.scopes.iter().any(|known| known == scope));
            if let Some(scope) = scope.filter(|scope| !is_known && scope.starts_with("registry:catalog")) {
                query.append_pair("scope", scope);
            }
        }
        let mut request = self.endpoint.client.get(url.clone());
        if let Some(credentials) = &self.credentials {
            request = request.header(AUTHORIZATION, basic(credentials));
        }
        let answer = self.in_time(ask, request.send()).await?;
        if !answer.status().is_success() {
            return Err(self.refused(ask, answer).await);
        }
        let body = self.body(ask, answer, MOST_TOKEN_BYTES).await?;
        let token = serde_json::from_slice::<Token>(&body).ok().and_then(|it| it.token.or(it.access_token));
        token.filter(|token| !token.is_empty()).ok_or_else(|| self.broke(ask, "gave no token"))
    }

    /// Returns an answer that is a success, or says what the registry refused.
    pub(crate) async fn accept(&self, ask: &Ask<'_>, answer: Response) -> Result<Response, RegistryError> {
        if answer.status().is_success() { Ok(answer) } else { Err(self.refused(ask, answer).await) }
    }

    async fn refused(&self, ask: &Ask<'_>, answer: Response) -> RegistryError {
        let status = answer.status();
        let (action, what, host) = (ask.action, ask.what.to_owned(), self.endpoint.host.clone());
        match status {
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
                let remedy = match self.credentials {
                    Some(_) => "check user name, password and what they may do there",
                    None => {
                        "the image may not exist, or needs credentials: add the registry with a user name and password"
                    }
                };
                RegistryError::Denied { action, what, host, status: status.as_u16(), remedy }
            }
            StatusCode::NOT_FOUND => RegistryError::Missing { action, what, host },
            StatusCode::TOO_MANY_REQUESTS => RegistryError::Limited { action, what, host },
            _ => {
                let body = self.body(ask, answer, MOST_COMPLAINT_BYTES).await.unwrap_or_default();
                RegistryError::Status { action, what, host, status: status.as_u16(), code: complaint(&body) }
            }
        }
    }

    /// Reads a body of at most so many bytes.
    pub(crate) async fn body(
        &self,
        ask: &Ask<'_>,
        mut answer: Response,
        most: usize,
    ) -> Result<Vec<u8>, RegistryError> {
        let mut body = Vec::new();
        let mut pace = Pace::new(self.patience.silence);
        while let Some(part) = self.part(ask, &mut answer, &mut pace).await? {
            if body.len() + part.len() > most {
                return Err(self.broke(ask, &format!("sent more than {most} bytes")));
            }
            body.extend_from_slice(&part);
        }
        Ok(body)
    }

    /// Reads the next part of an answer; `None` at its end.
    pub(crate) async fn part(
        &self,
        ask: &Ask<'_>,
        answer: &mut Response,
        pace: &mut Pace,
    ) -> Result<Option<Bytes>, RegistryError> {
        let part = match tokio::time::timeout_at(pace.deadline, answer.chunk()).await {
            Ok(part) => part.map_err(|source| self.unsent(ask, source))?,
            Err(_) => return Err(self.stalled(ask)),
        };
        pace.count(part.as_ref().map_or(0, Bytes::len));
        Ok(part)
    }

    pub(crate) fn broke(&self, ask: &Ask<'_>, reason: &str) -> RegistryError {
        RegistryError::Answer {
            action: ask.action,
            what: ask.what.to_owned(),
            host: self.endpoint.host.clone(),
            reason: reason.to_owned(),
        }
    }

    pub(crate) fn stalled(&self, ask: &Ask<'_>) -> RegistryError {
        RegistryError::Stalled {
            action: ask.action,
            what: ask.what.to_owned(),
            host: self.endpoint.host.clone(),
        }
    }

    pub(crate) fn unsent(&self, ask: &Ask<'_>, source: reqwest::Error) -> RegistryError {
        RegistryError::Send {
            action: ask.action,
            what: ask.what.to_owned(),
            host: self.endpoint.host.clone(),
            // Addresses of redirects have signatures in them.
            source: source.without_url(),
        }
    }
}

/// Until when the next 64 KiB must have come.
#[derive(Debug)]
pub(crate) struct Pace {
    silence: Duration,
    deadline: tokio::time::Instant,
    bytes: usize,
}

impl Pace {
    pub(crate) fn new(silence: Duration) -> Self {
        Self { silence, deadline: tokio::time::Instant::now() + silence, bytes: 0 }
    }

    fn count(&mut self, bytes: usize) {
        self.bytes += bytes;
        if self.bytes >= LEAST_BYTES {
            *self = Self::new(self.silence);
        }
    }
}

#[derive(Deserialize)]
struct Token {
    token: Option<String>,
    access_token: Option<String>,
}

fn basic(credentials: &Credentials) -> String {
    let plain = format!("{}:{}", credentials.username, credentials.password);
    format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(plain))
}

fn is_busy(status: StatusCode) -> bool {
    status == StatusCode::TOO_MANY_REQUESTS
        || status == StatusCode::REQUEST_TIMEOUT
        || status.is_server_error()
}

fn retry_after(answer: &Response) -> Option<Duration> {
    let seconds: u64 = answer.headers().get(RETRY_AFTER)?.to_str().ok()?.parse().ok()?;
    Some(Duration::from_secs(seconds).min(MOST_RETRY_AFTER))
}

/// Reads the code of a registry's first error. Its sentences are left out: whoever runs it may write anything there.
fn complaint(body: &[u8]) -> String {
    #[derive(Deserialize)]
    struct Errors {
        errors: Vec<One>,
    }
    #[derive(Deserialize)]
    struct One {
        code: String,
    }
    let errors = serde_json::from_slice::<Errors>(body).map(|body| body.errors).unwrap_or_default();
    let code = errors.into_iter().next().map(|error| error.code);
    let is_code = |code: &String| {
        code.len() < 40
            && code.bytes().all(|byte| byte.is_ascii_uppercase() || matches!(byte, b'_' | b'0'..=b'9'))
    };
    code.filter(is_code).map(|code| format!(" with {code}")).unwrap_or_default()
}
