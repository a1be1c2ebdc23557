//! Where ports are reached.

use daytona_wire::api::sandbox as wire;
use store::signed_preview::SignedPreview;
use types::sandbox::Sandbox;

use crate::settings::Settings;

/// Shows where a port is reached.
pub(crate) fn port(sandbox: Sandbox, port: u16, settings: &Settings) -> wire::PortPreviewUrl {
    let sandbox_id = sandbox.id.to_string();
    wire::PortPreviewUrl { url: url(settings, port, &sandbox_id), sandbox_id, token: sandbox.auth_token }
}

/// Shows where a port is reached for a while.
pub(crate) fn signed(link: SignedPreview, settings: &Settings) -> wire::SignedPortPreviewUrl {
    wire::SignedPortPreviewUrl {
        sandbox_id: link.sandbox_id.to_string(),
        port: link.port,
        url: url(settings, link.port, &link.token),
        token: link.token,
    }
}

/// Fills the deployment's template; a signed link has its secret in the sandbox's place.
fn url(settings: &Settings, port: u16, place: &str) -> String {
    settings.proxy_template_url.replace("{{PORT}}", &port.to_string()).replace("{{sandboxId}}", place)
}
