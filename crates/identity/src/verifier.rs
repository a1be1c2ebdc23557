//! The whole judgement of a token.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use jiff::SignedDuration;
use service::Tasks;
use tracing::info;
use types::{Clock, Timestamp};

use crate::claim::{self, Identity};
use crate::error::{Flaw, IdentityError};
use crate::keys::Keys;
use crate::settings::Settings;
use crate::source::Source;
use crate::token::Token;

/// How often the log is told of the same flaw: strangers can send as many bad tokens as they like.
const TELLING: SignedDuration = SignedDuration::from_secs(10);

/// Judges the tokens of one login provider.
#[derive(Debug)]
pub struct Verifier {
    settings: Settings,
    keys: Keys,
    clock: Arc<dyn Clock>,
    told: Mutex<BTreeMap<Flaw, Timestamp>>,
}

impl Verifier {
    /// Prepares to judge; the provider need not be there yet.
    pub fn new(settings: Settings, clock: Arc<dyn Clock>, tasks: Tasks) -> Result<Self, IdentityError> {
        let source = Source::new(settings.clone())?;
        let keys = Keys::new(source, clock.clone(), tasks);
        Ok(Self { settings, keys, clock, told: Mutex::default() })
    }

    /// Returns for whom a token speaks.
    pub async fn verify(&self, token: &str) -> Result<Identity, IdentityError> {
        let judged = self.judge(token).await;
        if let Err(IdentityError::Token { flaw }) = &judged {
            self.tell(*flaw);
        }
        judged
    }

    async fn judge(&self, text: &str) -> Result<Identity, IdentityError> {
        let token = Token::read(text)?;
        let no_keys = || IdentityError::NoKeys { issuer: self.settings.issuer.clone() };
        let known = self.keys.known().await.ok_or_else(no_keys)?;
        if let Err(flaw) = known.check(&token) {
            // A key that is not known may be new. A token that names none may mean a new one as well.
            let may_be_new =
                flaw == Flaw::UnknownKey || (flaw == Flaw::Signature && token.header.kid.is_none());
            let fresher = if may_be_new { self.keys.fresher_than(Some(&known)).await } else { None };
            fresher.ok_or(flaw)?.check(&token)?;
        }
        Ok(claim::check(&token.payload, &self.settings, self.clock.now())?)
    }

    /// Tells the log why a token was refused, which nobody else is told.
    fn tell(&self, flaw: Flaw) {
        let now = self.clock.now();
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        let is_news = told.get(&flaw).is_none_or(|at| now.duration_since(*at).abs() >= TELLING);
        if is_news {
            told.insert(flaw, now);
            info!("refused a token: {}", flaw.as_str());
        }
    }
}
