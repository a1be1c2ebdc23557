//! What a sandbox may reach, as it is asked for: pure.

use daytona_wire::api::sandbox::{CreateSandbox, UpdateSandboxNetworkSettings};
use types::sandbox::Network;

use crate::error::ApiError;
use crate::limits;

/// Reads a changed network policy. Shutting clears the lists; a list opens what it lists; opening alone clears them too.
pub(crate) fn changed(asked: &UpdateSandboxNetworkSettings, current: Network) -> Result<Network, ApiError> {
    let Network { allow_list, domain_allow_list, block_all } = current;
    let networks = asked.network_allow_list.as_deref().map(limits::network_allow_list).transpose()?;
    let names = asked.domain_allow_list.as_deref().map(limits::domain_allow_list).transpose()?;
    match (asked.network_block_all, &networks, &names) {
        (None, None, None) => Err(ApiError::invalid("At least one network setting must be provided")),
        (Some(true), _, _) => Ok(Network::blocked()),
        (Some(false), None, None) => Ok(Network::default()),
        (asked, _, _) => {
            let listed =
                networks.iter().any(|list| !list.is_empty()) || names.iter().any(|list| !list.is_empty());
            let network = Network {
                // Clearing a list of a shut sandbox does not open it.
                block_all: block_all && asked.is_none() && !listed,
                allow_list: networks.unwrap_or(allow_list),
                domain_allow_list: names.unwrap_or(domain_allow_list),
            };
            Ok(network)
        }
    }
}

/// Reads the network policy of a new sandbox.
pub(crate) fn fresh(asked: &CreateSandbox) -> Result<Network, ApiError> {
    let list = |text: &Option<String>| text.as_deref().unwrap_or_default().to_owned();
    let allow_list = limits::network_allow_list(&list(&asked.network_allow_list))?;
    let domain_allow_list = limits::domain_allow_list(&list(&asked.domain_allow_list))?;
    Ok(match asked.network_block_all {
        Some(true) => Network::blocked(),
        _ => Network { block_all: false, allow_list, domain_allow_list },
    })
}
