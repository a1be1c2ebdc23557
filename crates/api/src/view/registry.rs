//! Registries to what clients see of them.

use daytona_wire::api::registry as wire;
use jiff::SignedDuration;
use types::Timestamp;
use types::registry::Registry;

use crate::moment;
use crate::settings::PushRegistry;

/// How long clients take what they are told for granted, as in the contract.
const PUSH_ACCESS: SignedDuration = SignedDuration::from_hours(1);

/// Shows a registry.
pub(crate) fn registry(registry: Registry) -> wire::DockerRegistry {
    wire::DockerRegistry {
        id: registry.id.to_string(),
        name: registry.name,
        url: registry.url,
        username: registry.username,
        project: registry.project,
        registry_type: "organization".to_owned(),
        created_at: moment::write(registry.created_at),
        updated_at: moment::write(registry.updated_at),
    }
}

/// Shows what lets a client push.
pub(crate) fn push_access(registry: &PushRegistry, now: Timestamp) -> wire::RegistryPushAccessDto {
    let until = now.checked_add(PUSH_ACCESS).unwrap_or(now);
    wire::RegistryPushAccessDto {
        username: registry.username.clone(),
        secret: registry.password.expose().to_owned(),
        // It is no row, so it has an id that is always the same for a URL.
        registry_id: store::snapshot::general_id(&format!("registry {}", registry.url)).to_string(),
        registry_url: registry.url.clone(),
        project: registry.project.clone(),
        expires_at: moment::write(until),
    }
}
