//! Speaks HTTP with a git server: redirects, credentials, and what its refusals mean.

use std::fs::File;
use std::io::{Read, Seek as _};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ureq::http::header::{AUTHORIZATION, CONTENT_LENGTH, CONTENT_TYPE, LOCATION};
use ureq::http::{Response, StatusCode};
use ureq::{Agent, Body, SendBody};

use crate::credential::Credentials;
use crate::error::GitError;
use crate::location::{Location, Url};
use crate::network::Network;
use crate::store;

/// Servers offer this protocol to clients whose name begins like git's.
const USER_AGENT: &str = concat!("git/2.0 (daytona ", env!("CARGO_PKG_VERSION"), ")");
const MOST_REDIRECTS: usize = 5;
const CONNECT_TIMEOUT: Duration = Duration::from_secs(30);
/// A server that prepares a large pack says something at least this often.
const SILENCE_TIMEOUT: Duration = Duration::from_mins(10);

/// The two programs of a git server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Service {
    /// Gives objects.
    UploadPack,
    /// Takes objects.
    ReceivePack,
}

impl Service {
    /// Returns its name in URLs and types.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::UploadPack => "git-upload-pack",
            Self::ReceivePack => "git-receive-pack",
        }
    }
}

/// What to know before connecting.
#[derive(Debug, Clone, Default)]
pub struct Access {
    /// The way to the network.
    pub network: Network,
    /// Credentials of the request.
    pub credentials: Option<Credentials>,
    /// Whether the server's certificate may be anybody's.
    pub is_unverified: bool,
}

/// A repository on a web server.
#[derive(Debug)]
pub struct Client {
    agent: Agent,
    /// What was asked for: the only server that ever sees the credentials.
    asked: Url,
    /// Where redirects have led.
    base: Url,
    credentials: Option<Credentials>,
    /// Whether the server has asked for them.
    is_asked_for: bool,
}

impl Client {
    /// Prepares to speak with the server of `url`.
    pub fn new(url: Url, access: &Access) -> Result<Self, GitError> {
        let mut config = Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .proxy(access.network.proxy(&url)?)
            .user_agent(USER_AGENT)
            .timeout_connect(Some(CONNECT_TIMEOUT))
            .timeout_per_read(Some(SILENCE_TIMEOUT));
        if url.is_encrypted {
            config = config.https_only(true).tls_config(access.network.tls(access.is_unverified)?);
        }
        let stored = || store::stored(&access.network.home(), &url);
        let credentials = access.credentials.clone().or_else(stored);
        Ok(Self {
            agent: config.build().into(),
            base: url.clone(),
            asked: url,
            credentials,
            is_asked_for: false,
        })
    }

    /// Returns where the repository is, for messages.
    pub fn url(&self) -> &Url {
        &self.asked
    }

    /// Asks for a service's list of references, following redirects.
    pub fn advertisement(&mut self, service: Service) -> Result<impl Read + use<>, GitError> {
        for _ in 0..=MOST_REDIRECTS {
            let suffix = format!("/info/refs?service={}", service.as_str());
            let response = self.answered(|client| {
                client.authorized(client.agent.get(format!("{}{suffix}", client.base))).call()
            })?;
            if response.status().is_redirection() {
                self.base = self.redirected(&response, &suffix)?;
                continue;
            }
            return self.body(response, &format!("application/x-{}-advertisement", service.as_str()));
        }
        Err(self.transport(format!("more than {MOST_REDIRECTS} redirects")))
    }

    /// Sends a request to a service and returns its answer. The request is a file, because it may have to be sent twice.
    pub fn call(&mut self, service: Service, request: &mut File) -> Result<impl Read + use<>, GitError> {
        let url = format!("{}/{}", self.base, service.as_str());
        let response = self.answered(|client| {
            request.rewind()?;
            let length = request.metadata()?.len();
            let call = client
                .authorized(client.agent.post(&url))
                .header(CONTENT_TYPE, format!("application/x-{}-request", service.as_str()))
                .header(CONTENT_LENGTH, length);
            call.send(SendBody::from_reader(request))
        })?;
        self.body(response, &format!("application/x-{}-result", service.as_str()))
    }

    fn authorized<B>(&self, request: ureq::RequestBuilder<B>) -> ureq::RequestBuilder<B> {
        let credentials = self.credentials.as_ref().filter(|_| self.may_authorize());
        let Some(credentials) = credentials else { return request };
        let pair = format!("{}:{}", credentials.username, credentials.password());
        request.header(AUTHORIZATION, format!("Basic {}", STANDARD.encode(pair)))
    }

    /// Only a server that asked, and only the one that the URL of the request names.
    fn may_authorize(&self) -> bool {
        self.is_asked_for && self.base.is_same_origin(&self.asked)
    }

    /// Sends, and once more with credentials if the server asks for them.
    fn answered(
        &mut self,
        mut send: impl FnMut(&Self) -> Result<Response<Body>, ureq::Error>,
    ) -> Result<Response<Body>, GitError> {
        let mut response = send(self).map_err(|error| self.transport(sentence(&error)))?;
        if response.status() == StatusCode::UNAUTHORIZED && !self.is_asked_for {
            self.is_asked_for = true;
            if self.credentials.is_some() && self.may_authorize() {
                // The connection is of use again once the answer is read.
                let _ =
                    std::io::copy(&mut response.body_mut().as_reader().take(64 * 1024), &mut std::io::sink());
                response = send(self).map_err(|error| self.transport(sentence(&error)))?;
            }
        }
        Ok(response)
    }

    fn body(&self, response: Response<Body>, wanted: &str) -> Result<impl Read + use<>, GitError> {
        let url = self.asked.to_string();
        match response.status() {
            StatusCode::OK => {}
            StatusCode::UNAUTHORIZED => {
                return Err(GitError::Authentication { url, reason: self.why_unauthorized() });
            }
            StatusCode::FORBIDDEN => return Err(GitError::RemoteForbids { url }),
            StatusCode::NOT_FOUND | StatusCode::GONE => return Err(GitError::NoRemoteRepository { url }),
            status => return Err(self.transport(format!("it answered HTTP {}", status.as_u16()))),
        }
        let kind = response.headers().get(CONTENT_TYPE).map(|kind| kind.as_bytes().to_ascii_lowercase());
        if kind.is_none_or(|kind| kind.split(|byte| *byte == b';').next() != Some(wanted.as_bytes())) {
            let reason =
                "what answers there is not a git server that speaks the smart protocol; check the URL";
            return Err(self.transport(reason.to_owned()));
        }
        // No limit: a pack is as long as it is, and goes to the disk as it comes.
        Ok(response.into_body().into_with_config().limit(u64::MAX).reader())
    }

    fn why_unauthorized(&self) -> String {
        if self.credentials.is_none() {
            "it wants credentials; send `username` and `password`".to_owned()
        } else if self.base.is_same_origin(&self.asked) {
            "it does not accept these credentials; check user name and password or token".to_owned()
        } else {
            format!(
                "it redirects to {}, which gets no credentials; use that URL if you trust it",
                self.base.authority()
            )
        }
    }

    /// Where the repository is after a redirect of its list of references.
    fn redirected(&self, response: &Response<Body>, suffix: &str) -> Result<Url, GitError> {
        let refused = |why: &str| self.transport(format!("it redirects {why}; use the URL that is meant"));
        let target = response.headers().get(LOCATION).and_then(|target| target.to_str().ok());
        let target = target.ok_or_else(|| refused("to nowhere"))?;
        let target = if target.starts_with('/') && !target.starts_with("//") {
            format!("{}://{}{target}", self.base.scheme(), self.base.authority())
        } else {
            target.to_owned()
        };
        let base =
            target.strip_suffix(suffix).ok_or_else(|| refused("to something that is no repository"))?;
        // What a redirect says about credentials is not the user's word.
        match Location::parse(base) {
            Ok((Location::Http(url), _)) if url.is_encrypted || !self.base.is_encrypted => Ok(url),
            Ok((Location::Http(_), _)) => Err(refused("to an unencrypted place")),
            _ => Err(refused("to something that is no web server")),
        }
    }

    /// Names the server in a failure to speak with it.
    pub fn transport(&self, reason: String) -> GitError {
        GitError::Transport { url: self.asked.to_string(), reason }
    }
}

/// Says what happened, and what to do where that is known.
fn sentence(error: &ureq::Error) -> String {
    let text = error.to_string();
    if text.contains("certificate") {
        return format!(
            "{text}; add the server's authority to the certificates of the sandbox or name it in SSL_CERT_FILE"
        );
    }
    match error {
        ureq::Error::HostNotFound => {
            "the host's name is not known in the sandbox; check the URL and its network".to_owned()
        }
        _ => text,
    }
}
