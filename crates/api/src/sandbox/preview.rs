//! Where the ports of a sandbox are reached.

use jiff::SignedDuration;
use store::signed_preview::SignedPreview;
use types::random;
use types::sandbox::Sandbox;

use crate::error::ApiError;
use crate::state::ApiState;

/// Length of a signed preview's secret, as in the contract.
const TOKEN_CHARACTERS: usize = 16;

/// Makes a link to one port that opens it for so long, whatever becomes of the sandbox's other secrets.
pub(crate) async fn sign(
    state: &ApiState,
    sandbox: &Sandbox,
    port: u16,
    seconds: u32,
) -> Result<SignedPreview, ApiError> {
    let token = random::lowercase_token(state.random.as_ref(), TOKEN_CHARACTERS);
    let expires_at = state.clock.now().checked_add(SignedDuration::from_secs(seconds.into()));
    let expires_at = expires_at.map_err(|_| ApiError::invalid("expiresInSeconds is too long"))?;
    let link = SignedPreview { token, sandbox_id: sandbox.id, port, expires_at };
    state.store.signed_preview_insert(&link).await?;
    Ok(link)
}
