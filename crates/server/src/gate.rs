//! Who may call a sandbox, by what it shows.

use std::sync::Arc;

use api::callers::Callers;
use api::error::ApiError;
use proxy::{Grant, Proof, Refusal};
use store::Store;
use store::standing::Standing;
use subtle::ConstantTimeEq as _;
use types::SandboxId;
use types::api_key::Permission;

use crate::wake::{Readiness, away};

/// Lets callers in. Every question is answered as of the row as it is now: a secret that was changed is worth nothing in
/// the moment in which the change is written.
#[derive(Debug)]
pub(crate) struct Gate {
    pub(crate) store: Store,
    pub(crate) callers: Arc<Callers>,
}

impl Gate {
    /// Decides whether whoever shows this may call the sandbox that a path names.
    pub(crate) async fn admit(&self, proof: Proof<'_>, sandbox: &str) -> Result<Grant, Refusal> {
        // The path is untrusted text; whatever is no id of ours cannot be found.
        let id: Option<SandboxId> = sandbox.parse().ok();
        let standing = match proof {
            Proof::Key(bearer) => self.of_caller(bearer, id).await?,
            Proof::Token(token) => {
                let standing = self.standing(id).await?;
                standing
                    .filter(|standing| same(&standing.secrets.auth_token, token))
                    .ok_or(Refusal::Unauthorized)?
            }
            Proof::Signature(call) => {
                let standing = self.standing(id).await?;
                standing
                    .filter(|standing| call.holds(&standing.secrets.signing_key))
                    .ok_or(Refusal::Unauthorized)?
            }
        };
        let sandbox_id = id.ok_or(Refusal::NotFound)?;
        match Readiness::of(standing.desired, standing.observed, standing.auto_pause) {
            Readiness::Runs => Ok(Grant { sandbox_id, is_asleep: false }),
            Readiness::Asleep => Ok(Grant { sandbox_id, is_asleep: true }),
            Readiness::Away => Err(away(standing.desired, standing.observed)),
        }
    }

    /// Returns the standing of a sandbox that the holder of a key or token may call. Somebody who logged in may call those
    /// of every organisation that they belong to, without naming it.
    async fn of_caller(&self, bearer: &str, id: Option<SandboxId>) -> Result<Standing, Refusal> {
        let standing = self.standing(id).await?;
        let organization = standing.as_ref().map(|standing| standing.organization_id);
        let caller = self.callers.authenticate(bearer, organization).await.map_err(|error| match error {
            ApiError::NoMember => Refusal::NotFound,
            error if error.is_refusal_of_credentials() => Refusal::Unauthorized,
            _ => Refusal::Unavailable,
        })?;
        let standing = standing.filter(|standing| standing.organization_id == caller.organization_id);
        let standing = standing.ok_or(Refusal::NotFound)?;
        if !caller.permissions.contains(&Permission::WriteSandboxes) {
            return Err(Refusal::Forbidden);
        }
        Ok(standing)
    }

    async fn standing(&self, id: Option<SandboxId>) -> Result<Option<Standing>, Refusal> {
        let Some(id) = id else { return Ok(None) };
        let standing = self.store.sandbox_standing(id).await.map_err(|_| Refusal::Unavailable)?;
        // Whoever takes it out of its pool gets it as it was made.
        Ok(standing.filter(|standing| !standing.is_warm))
    }
}

/// Compares a secret with what was shown, in the same time wherever they differ. No secret is the empty one.
fn same(secret: &str, shown: &str) -> bool {
    !secret.is_empty() && bool::from(secret.as_bytes().ct_eq(shown.as_bytes()))
}

#[cfg(test)]
mod tests;
