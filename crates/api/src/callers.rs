//! Who shows which key or token, and what it lets them do.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::http::{HeaderMap, header};
use jiff::SignedDuration;
use store::Store;
use types::api_key::Permission;
use types::user::User;
use types::{Clock, OrganizationId, Timestamp, UserId};

use crate::error::ApiError;
use crate::people::People;

/// How long a key or token is believed without asking again. Removing a key through [`Callers::forget`] is immediate.
const BELIEVED: SignedDuration = SignedDuration::from_secs(10);
/// The most that are remembered; then all are forgotten, which costs a few reads each.
const REMEMBERED: usize = 10_000;
/// Says for which organisation somebody who logged in acts. It means nothing beside a key, which acts for one alone.
const ORGANIZATION: &str = "x-daytona-organization-id";

/// Who asks: the holder of a key, in the key's organisation; or a user, in an organisation of which they are a member.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    /// The only organisation whose things exist for this caller.
    pub organization_id: OrganizationId,
    /// Who holds the key or logged in.
    pub user_id: UserId,
    /// What the caller may do.
    pub permissions: Arc<[Permission]>,
}

/// Knows callers by their keys and tokens, and remembers them for a short while. The proxy and the events ask here too.
#[derive(Debug)]
pub struct Callers {
    store: Store,
    clock: Arc<dyn Clock>,
    people: Option<People>,
    remembered: Mutex<HashMap<Shown, Remembered>>,
}

/// What was shown: the hash of a key or token, and with a token where it is to act.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Shown {
    hash: String,
    organization: Option<OrganizationId>,
}

#[derive(Debug, Clone)]
struct Remembered {
    caller: Caller,
    until: Timestamp,
}

impl Callers {
    /// Knows nobody yet. Without `people`, keys alone are taken.
    pub fn new(store: Store, clock: Arc<dyn Clock>, people: Option<People>) -> Self {
        Self { store, clock, people, remembered: Mutex::default() }
    }

    /// Returns who shows a key or token. A token acts for `organization`, of which its user must be a member.
    pub async fn authenticate(
        &self,
        bearer: &str,
        organization: Option<OrganizationId>,
    ) -> Result<Caller, ApiError> {
        let is_token = identity::is_token(bearer);
        let now = self.clock.now();
        let organization = organization.filter(|_| is_token);
        let shown = Shown { hash: store::api_key::hash(bearer), organization };
        if let Some(known) = self.remembered().get(&shown).filter(|known| now < known.until) {
            return Ok(known.caller.clone());
        }
        let (caller, until) = if is_token {
            self.of_token(bearer, organization).await?
        } else {
            self.of_key(&shown.hash, now).await?
        };
        let believed = now.checked_add(BELIEVED).unwrap_or(Timestamp::MAX);
        let until = until.map_or(believed, |until| until.min(believed));
        self.remember(shown, Remembered { caller: caller.clone(), until });
        Ok(caller)
    }

    /// Returns who sent these headers.
    pub async fn authenticate_headers(&self, headers: &HeaderMap) -> Result<Caller, ApiError> {
        self.authenticate(bearer(headers)?, organization(headers)).await
    }

    /// Returns the user who sent these headers. A key is not enough: it stands for its organisation.
    pub(crate) async fn authenticate_user(&self, headers: &HeaderMap) -> Result<User, ApiError> {
        let bearer = bearer(headers)?;
        if !identity::is_token(bearer) {
            return Err(ApiError::InvalidCredentials);
        }
        let people = self.people.as_ref().ok_or(ApiError::NoLoginProvider)?;
        people.person(bearer).await.map(|person| person.user)
    }

    /// Forgets a key at once; whoever deletes or changes one calls this with its hash.
    pub fn forget(&self, hash: &str) {
        self.remembered().remove(&Shown { hash: hash.to_owned(), organization: None });
    }

    async fn of_key(&self, hash: &str, now: Timestamp) -> Result<(Caller, Option<Timestamp>), ApiError> {
        let found = self.store.api_key_find(hash).await.map_err(ApiError::Authenticate)?;
        let key = found.filter(|key| !key.expired(now)).ok_or(ApiError::InvalidCredentials)?;
        let caller = Caller {
            organization_id: key.organization_id,
            user_id: key.user_id,
            permissions: key.permissions.into(),
        };
        Ok((caller, key.expires_at))
    }

    /// The token comes first: who has none that is good is not told which organisations there are.
    async fn of_token(
        &self,
        token: &str,
        organization: Option<OrganizationId>,
    ) -> Result<(Caller, Option<Timestamp>), ApiError> {
        let people = self.people.as_ref().ok_or(ApiError::NoLoginProvider)?;
        let person = people.person(token).await?;
        let organization_id = organization.ok_or(ApiError::NoMember)?;
        let role = people.role(&person.user.id, organization_id).await?;
        let caller =
            Caller { organization_id, user_id: person.user.id, permissions: role.permissions().into() };
        Ok((caller, Some(person.until)))
    }

    fn remember(&self, shown: Shown, caller: Remembered) {
        let mut remembered = self.remembered();
        if remembered.len() >= REMEMBERED {
            remembered.clear();
        }
        remembered.insert(shown, caller);
    }

    fn remembered(&self) -> MutexGuard<'_, HashMap<Shown, Remembered>> {
        self.remembered.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn bearer(headers: &HeaderMap) -> Result<&str, ApiError> {
    let value = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let (scheme, bearer) =
        value.and_then(|value| value.split_once(' ')).ok_or(ApiError::InvalidCredentials)?;
    let bearer = bearer.trim();
    if !scheme.eq_ignore_ascii_case("bearer") || bearer.is_empty() {
        return Err(ApiError::InvalidCredentials);
    }
    Ok(bearer)
}

/// Returns the one organisation that is named. Two are none: which of them another reader would take is not known.
fn organization(headers: &HeaderMap) -> Option<OrganizationId> {
    let mut values = headers.get_all(ORGANIZATION).iter();
    let (value, None) = (values.next()?, values.next()) else { return None };
    value.to_str().ok()?.trim().parse().ok()
}

impl Caller {
    /// Refuses when the caller does not hold `permission`.
    pub fn require(self, permission: Permission) -> Result<Self, ApiError> {
        if self.permissions.contains(&permission) { Ok(self) } else { Err(ApiError::AccessDenied) }
    }
}
