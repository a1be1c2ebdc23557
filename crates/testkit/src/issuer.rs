//! A login provider: a server that publishes its description and its keys as `OpenID` Connect says, and signs tokens.
//!
//! It speaks the protocol over a port of its own, with keys that are made when it starts; and it is made to be unreliable
//! by order.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
use rsa::pkcs1v15;
use rsa::sha2::Sha256;
use rsa::signature::{SignatureEncoding as _, Signer as _};
use rsa::traits::PublicKeyParts as _;
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::AbortHandle;

/// The audience that servers of tests want.
pub const AUDIENCE: &str = "daytona";
/// Bits of a modulus; the least that is taken anywhere.
const RSA_BITS: usize = 2048;
/// Made once in a process, because that takes a while.
static RSA: OnceLock<Arc<Key>> = OnceLock::new();

/// A login provider.
#[derive(Debug)]
pub struct Issuer {
    shared: Arc<Mutex<Shared>>,
    /// Its address, and so its name.
    pub url: String,
    is_away: Arc<AtomicBool>,
    listening: AbortHandle,
}

/// A port whose connections are closed at once while its owner is away. Closing the port instead would let others
/// have it.
struct Door {
    listener: TcpListener,
    is_away: Arc<AtomicBool>,
}

impl axum::serve::Listener for Door {
    type Io = TcpStream;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (TcpStream, SocketAddr) {
        loop {
            match self.listener.accept().await {
                Ok(accepted) if !self.is_away.load(Ordering::SeqCst) => return accepted,
                _ => tokio::task::yield_now().await,
            }
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}

impl Drop for Issuer {
    fn drop(&mut self) {
        self.listening.abort();
    }
}

#[derive(Debug, Default)]
struct Shared {
    keys: BTreeMap<String, Arc<Key>>,
    url: String,
    asked: usize,
    /// Answered in place of the keys.
    instead: Option<(u16, String)>,
    /// Said in place of its own name.
    name: Option<String>,
}

/// A pair of keys.
pub enum Key {
    /// For RS256.
    Rsa(Box<rsa::RsaPrivateKey>),
    /// For ES256.
    P256(Box<EcdsaKeyPair>),
}

impl std::fmt::Debug for Key {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(self.algorithm())
    }
}

impl Key {
    /// Makes a pair for RS256.
    pub fn rsa() -> io::Result<Self> {
        let made = rsa::RsaPrivateKey::new(&mut rsa::rand_core::OsRng, RSA_BITS);
        made.map(|key| Self::Rsa(Box::new(key))).map_err(io::Error::other)
    }

    /// Makes a pair for ES256.
    pub fn p256() -> io::Result<Self> {
        let random = SystemRandom::new();
        let made = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random);
        let made = made.map_err(broken)?;
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, made.as_ref(), &random);
        pair.map(|key| Self::P256(Box::new(key))).map_err(broken)
    }

    /// Names how it signs.
    pub const fn algorithm(&self) -> &'static str {
        match self {
            Self::Rsa(_) => "RS256",
            Self::P256(_) => "ES256",
        }
    }

    /// Describes the public half as providers publish it.
    pub fn public(&self, id: &str) -> Value {
        let encode = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        match self {
            Self::Rsa(key) => json!({
                "kty": "RSA", "use": "sig", "alg": "RS256", "kid": id,
                "n": encode(&key.n().to_bytes_be()), "e": encode(&key.e().to_bytes_be()),
            }),
            Self::P256(key) => {
                // A mark of one byte, and two coordinates of the same length.
                let point = key.public_key().as_ref().get(1..).unwrap_or_default();
                let (x, y) = point.split_at(point.len() / 2);
                json!({"kty": "EC", "use": "sig", "crv": "P-256", "kid": id, "x": encode(x), "y": encode(y)})
            }
        }
    }

    /// Signs bytes.
    pub fn sign(&self, bytes: &[u8]) -> io::Result<Vec<u8>> {
        match self {
            Self::Rsa(key) => {
                let signer = pkcs1v15::SigningKey::<Sha256>::new((**key).clone());
                Ok(signer.try_sign(bytes).map_err(io::Error::other)?.to_vec())
            }
            Self::P256(key) => {
                let signature = key.sign(&SystemRandom::new(), bytes).map_err(broken)?;
                Ok(signature.as_ref().to_vec())
            }
        }
    }
}

impl Issuer {
    /// Starts a provider with a key for RS256, named `rsa`, and one for ES256, named `curve`.
    pub async fn start() -> io::Result<Self> {
        let rsa = if let Some(key) = RSA.get() {
            key
        } else {
            let made = Arc::new(Key::rsa()?);
            RSA.get_or_init(|| made)
        };
        let keys = [("rsa".to_owned(), rsa.clone()), ("curve".to_owned(), Arc::new(Key::p256()?))];
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let url = format!("http://{}", listener.local_addr()?);
        let shared = Shared { keys: keys.into(), url: url.clone(), ..Shared::default() };
        let shared = Arc::new(Mutex::new(shared));
        let is_away = Arc::<AtomicBool>::default();
        let door = Door { listener, is_away: Arc::clone(&is_away) };
        let routes = routes(Arc::clone(&shared));
        let serving = tokio::spawn(async move {
            let _ = axum::serve(door, routes).await;
        });
        Ok(Self { shared, url, is_away, listening: serving.abort_handle() })
    }

    /// Goes away: nobody is answered, or comes back.
    pub fn go_away(&self, is_away: bool) {
        self.is_away.store(is_away, Ordering::SeqCst);
    }

    /// Publishes a key besides the others.
    pub fn publish(&self, id: &str, key: Arc<Key>) {
        self.shared().keys.insert(id.to_owned(), key);
    }

    /// Publishes a key no longer.
    pub fn withdraw(&self, id: &str) -> Option<Arc<Key>> {
        self.shared().keys.remove(id)
    }

    /// Answers this in place of the keys; nothing to answer them again.
    pub fn answer_instead(&self, answer: Option<(u16, String)>) {
        self.shared().instead = answer;
    }

    /// Says that it is somebody else.
    pub fn call_itself(&self, name: &str) {
        self.shared().name = Some(name.to_owned());
    }

    /// Counts how often it was asked for its keys.
    pub fn asked(&self) -> usize {
        self.shared().asked
    }

    /// Returns a key.
    pub fn key(&self, id: &str) -> io::Result<Arc<Key>> {
        let key = self.shared().keys.get(id).cloned();
        key.ok_or_else(|| io::Error::other(format!("the provider has no key `{id}`")))
    }

    /// Signs claims with one of the keys.
    pub fn sign(&self, id: &str, claims: &Value) -> io::Result<String> {
        let key = self.key(id)?;
        let header = json!({"alg": key.algorithm(), "typ": "JWT", "kid": id});
        token(&header, claims, |bytes| key.sign(bytes))
    }

    /// Returns the settings of a server that takes its tokens.
    pub fn settings(&self) -> identity::Settings {
        identity::Settings { issuer: self.url.clone(), public_issuer: None, audience: AUDIENCE.to_owned() }
    }

    fn shared(&self) -> MutexGuard<'_, Shared> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Puts a token together from a header, claims, and whatever makes its signature.
pub fn token(
    header: &Value,
    claims: &Value,
    sign: impl FnOnce(&[u8]) -> io::Result<Vec<u8>>,
) -> io::Result<String> {
    let encode = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let signed = format!("{}.{}", encode(header), encode(claims));
    let signature = sign(signed.as_bytes())?;
    Ok(format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature)))
}

fn routes(shared: Arc<Mutex<Shared>>) -> Router {
    // A connection that is kept would go on to be answered when nobody is.
    let close = async |mut response: Response| {
        response.headers_mut().insert("connection", HeaderValue::from_static("close"));
        response
    };
    Router::new()
        .route("/.well-known/openid-configuration", get(describe))
        .route("/keys", get(publish))
        .with_state(shared)
        .layer(axum::middleware::map_response(close))
}

/// The library tells nothing of what failed.
fn broken(error: impl std::fmt::Debug) -> io::Error {
    io::Error::other(format!("{error:?}"))
}

async fn describe(State(shared): State<Arc<Mutex<Shared>>>) -> Response {
    let shared = shared.lock().unwrap_or_else(PoisonError::into_inner);
    let name = shared.name.clone().unwrap_or_else(|| shared.url.clone());
    axum::Json(json!({"issuer": name, "jwks_uri": format!("{}/keys", shared.url)})).into_response()
}

async fn publish(State(shared): State<Arc<Mutex<Shared>>>) -> Response {
    let mut shared = shared.lock().unwrap_or_else(PoisonError::into_inner);
    shared.asked += 1;
    if let Some((status, text)) = &shared.instead {
        let status = StatusCode::from_u16(*status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        return (status, text.clone()).into_response();
    }
    let keys: Vec<Value> = shared.keys.iter().map(|(id, key)| key.public(id)).collect();
    axum::Json(json!({ "keys": keys })).into_response()
}
