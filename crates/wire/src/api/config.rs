//! What a client asks for before anything else.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// The answer of `GET /config`. The URL of an analytics service is absent on purpose: the SDKs then ask us for metrics.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct DaytonaConfiguration {
    /// Version of this server.
    pub version: String,
    /// Where people log in.
    pub oidc: OidcConfig,
    /// Whether accounts of several identity providers can be joined.
    pub linked_accounts_enabled: bool,
    /// Messages for people, by id.
    pub announcements: BTreeMap<String, Announcement>,
    /// How preview URLs look, with `{{PORT}}` and `{{sandboxId}}`.
    pub proxy_template_url: String,
    /// Where the toolbox of every sandbox is reached, without a final slash.
    pub proxy_toolbox_url: String,
    /// The snapshot of a sandbox that names none.
    pub default_snapshot: String,
    /// Where the dashboard is.
    pub dashboard_url: String,
    /// The longest wait before a stopped sandbox is archived, in minutes.
    pub max_auto_archive_interval: u32,
    /// Whether everything else answers 503. The contract spells it so.
    pub maintanance_mode: bool,
    /// The deployment's name.
    pub environment: String,
}

/// A login provider.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct OidcConfig {
    /// The provider's product, which chooses the client's code path.
    pub provider: String,
    /// The issuer's URL; empty when only API keys are accepted.
    pub issuer: String,
    /// Our id at the provider.
    pub client_id: String,
    /// The audience of access tokens.
    pub audience: String,
}

/// A message for people.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Announcement {
    /// What to say.
    pub text: String,
    /// Where to read on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub learn_more_url: Option<String>,
}
