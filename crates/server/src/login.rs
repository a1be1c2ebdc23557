//! Who may log in besides the holders of keys.

use std::sync::Arc;

use api::People;
use identity::Verifier;
use service::Tasks;
use service::settings::OidcSettings;
use store::Store;
use tracing::{info, warn};
use types::{Clock, Random};

use crate::error::ServerError;

/// Prepares to take the tokens of the login provider that settings name; takes none when they name none. The provider
/// is asked when the first token comes, so that it need not be there before us.
pub(crate) fn people(
    told: &OidcSettings,
    store: &Store,
    clock: &Arc<dyn Clock>,
    random: &Arc<dyn Random>,
    tasks: &Tasks,
) -> Result<Option<People>, ServerError> {
    let (Some(issuer), Some(audience)) = (told.issuer.clone(), told.audience.clone()) else {
        return Ok(None);
    };
    let settings = identity::Settings { issuer, public_issuer: told.public_issuer.clone(), audience };
    if settings.is_plain() {
        warn!(
            "the keys of the login provider come over plain HTTP: whoever can change what passes there can log in as anybody"
        );
    }
    info!("tokens of {} are taken", settings.issuer);
    let verifier = Verifier::new(settings, clock.clone(), tasks.clone());
    let verifier = verifier.map_err(|source| ServerError::Login { source })?;
    Ok(Some(People::new(verifier, store.clone(), clock.clone(), random.clone())))
}
