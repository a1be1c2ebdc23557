//! Settings to what clients are told of them.

use std::collections::BTreeMap;

use daytona_wire::api::config::{DaytonaConfiguration, OidcConfig};

use crate::settings::Settings;

pub(crate) fn configuration(settings: &Settings) -> DaytonaConfiguration {
    DaytonaConfiguration {
        version: settings.version.clone(),
        oidc: OidcConfig {
            // One of the two words that the SDKs know; neither product is needed.
            provider: "auth0".to_owned(),
            issuer: settings.oidc.issuer.clone(),
            client_id: settings.oidc.client_id.clone(),
            audience: settings.oidc.audience.clone(),
        },
        linked_accounts_enabled: false,
        announcements: BTreeMap::new(),
        proxy_template_url: settings.proxy_template_url.clone(),
        proxy_toolbox_url: settings.toolbox_proxy_url.clone(),
        default_snapshot: settings.default_snapshot.clone(),
        dashboard_url: settings.dashboard_url.clone(),
        max_auto_archive_interval: settings.longest_auto_archive_minutes,
        maintanance_mode: false,
        environment: settings.environment.clone(),
    }
}
