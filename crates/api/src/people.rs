//! Who logs in: users as a login provider describes them, and what they are in which organisation.

use std::sync::Arc;

use identity::{Identity, Verifier};
use store::{Store, StoreError};
use types::organization::{Organization, PERSONAL, Role};
use types::user::User;
use types::{Clock, OrganizationId, Random, Timestamp, UserId};

use crate::error::ApiError;

/// Knows people by the tokens of one login provider.
#[derive(Debug)]
pub struct People {
    verifier: Verifier,
    store: Store,
    clock: Arc<dyn Clock>,
    random: Arc<dyn Random>,
}

/// Who shows a good token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Person {
    /// The user's row.
    pub(crate) user: User,
    /// When the token stops to be good.
    pub(crate) until: Timestamp,
}

impl People {
    /// Takes the tokens that `verifier` takes.
    pub fn new(verifier: Verifier, store: Store, clock: Arc<dyn Clock>, random: Arc<dyn Random>) -> Self {
        Self { verifier, store, clock, random }
    }

    /// Returns for whom a token speaks. Who comes for the first time gets a row and an organisation of their own.
    pub(crate) async fn person(&self, token: &str) -> Result<Person, ApiError> {
        let identity = self.verifier.verify(token).await?;
        let until = identity.expires_at;
        let known = self.store.user_get(&identity.user_id).await.map_err(ApiError::Authenticate)?;
        let said = self.described(identity, known.as_ref());
        let is_settled = known.as_ref() == Some(&said) && self.has_a_place(&said.id).await?;
        if !is_settled {
            self.welcome(&said).await.map_err(ApiError::Authenticate)?;
        }
        Ok(Person { user: said, until })
    }

    /// Returns what a user is in an organisation.
    pub(crate) async fn role(&self, user: &UserId, organization: OrganizationId) -> Result<Role, ApiError> {
        let role = self.store.organization_role(organization, user).await.map_err(ApiError::Authenticate)?;
        role.ok_or(ApiError::NoMember)
    }

    /// Returns the row that a user should have: what the token does not say stays as it is known.
    fn described(&self, identity: Identity, known: Option<&User>) -> User {
        let email = identity.email.or_else(|| known.map(|user| user.email.clone())).unwrap_or_default();
        let is_same_email = known.is_some_and(|user| user.email == email);
        let verified = known.is_some_and(|user| is_same_email && user.email_verified);
        User {
            name: identity
                .name
                .or_else(|| known.map(|user| user.name.clone()))
                .unwrap_or_else(|| if email.is_empty() { identity.user_id.0.clone() } else { email.clone() }),
            email,
            email_verified: identity.email_verified.unwrap_or(verified),
            created_at: known.map_or_else(|| self.clock.now(), |user| user.created_at),
            id: identity.user_id,
        }
    }

    /// Tells whether a user has their personal organisation: a damaged database may have lost it, or their place in it.
    async fn has_a_place(&self, user: &UserId) -> Result<bool, ApiError> {
        let listed = self.store.organization_list_of(user).await.map_err(ApiError::Authenticate)?;
        Ok(listed.iter().any(|organization| organization.personal && organization.created_by == *user))
    }

    async fn welcome(&self, user: &User) -> Result<(), StoreError> {
        let personal = Organization {
            id: OrganizationId::random(&*self.random),
            name: PERSONAL.to_owned(),
            personal: true,
            created_by: user.id.clone(),
            created_at: self.clock.now(),
        };
        self.store.user_welcome(user, &personal).await
    }
}
