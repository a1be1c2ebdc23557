//! Who holds which key, and what it lets them do.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::http::{HeaderMap, header};
use jiff::SignedDuration;
use store::Store;
use types::api_key::{ApiKey, Permission};
use types::{Clock, OrganizationId, Timestamp, UserId};

use crate::error::ApiError;

/// How long a key is believed without asking the store again. Removing a key through [`Callers::forget`] is immediate.
const BELIEVED: SignedDuration = SignedDuration::from_secs(10);
/// The most keys remembered; then all are forgotten, which costs one read each.
const REMEMBERED: usize = 10_000;

/// Who asks: the holder of a key, in the key's organisation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    /// The only organisation whose things exist for this caller.
    pub organization_id: OrganizationId,
    /// Who holds the key.
    pub user_id: UserId,
    /// What the key may do.
    pub permissions: Arc<[Permission]>,
}

/// Knows callers by their keys, and remembers them for a short while. The proxy asks here too.
#[derive(Debug)]
pub struct Callers {
    store: Store,
    clock: Arc<dyn Clock>,
    remembered: Mutex<HashMap<String, Remembered>>,
}

#[derive(Debug, Clone)]
struct Remembered {
    caller: Caller,
    until: Timestamp,
}

impl Callers {
    /// Knows nobody yet.
    pub fn new(store: Store, clock: Arc<dyn Clock>) -> Self {
        Self { store, clock, remembered: Mutex::default() }
    }

    /// Returns who holds `key`.
    pub async fn authenticate(&self, key: &str) -> Result<Caller, ApiError> {
        let now = self.clock.now();
        let hash = store::api_key::hash(key);
        if let Some(known) = self.remembered().get(&hash).filter(|known| now < known.until) {
            return Ok(known.caller.clone());
        }
        let found = self.store.api_key_find(&hash).await.map_err(ApiError::Authenticate)?;
        let key = found.filter(|key| !key.expired(now)).ok_or(ApiError::InvalidCredentials)?;
        Ok(self.remember(hash, key, now))
    }

    /// Returns who sent these headers.
    pub async fn authenticate_headers(&self, headers: &HeaderMap) -> Result<Caller, ApiError> {
        let value = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
        let (scheme, key) =
            value.and_then(|value| value.split_once(' ')).ok_or(ApiError::InvalidCredentials)?;
        let key = key.trim();
        if !scheme.eq_ignore_ascii_case("bearer") || key.is_empty() {
            return Err(ApiError::InvalidCredentials);
        }
        self.authenticate(key).await
    }

    /// Forgets a key at once; whoever deletes or changes one calls this with its hash.
    pub fn forget(&self, hash: &str) {
        self.remembered().remove(hash);
    }

    fn remember(&self, hash: String, key: ApiKey, now: Timestamp) -> Caller {
        let caller = Caller {
            organization_id: key.organization_id,
            user_id: key.user_id,
            permissions: key.permissions.into(),
        };
        let believed = now.checked_add(BELIEVED).unwrap_or(Timestamp::MAX);
        let until = key.expires_at.map_or(believed, |expires_at| expires_at.min(believed));
        let mut remembered = self.remembered();
        if remembered.len() >= REMEMBERED {
            remembered.clear();
        }
        remembered.insert(hash, Remembered { caller: caller.clone(), until });
        caller
    }

    fn remembered(&self) -> MutexGuard<'_, HashMap<String, Remembered>> {
        self.remembered.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Caller {
    /// Refuses when the key does not hold `permission`.
    pub fn require(self, permission: Permission) -> Result<Self, ApiError> {
        if self.permissions.contains(&permission) { Ok(self) } else { Err(ApiError::AccessDenied) }
    }
}
