//! Changes of the environment that new processes start with.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// What to change; removals come before additions.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct UpdateEnvRequest {
    /// Variables to set.
    #[serde(default)]
    pub set: Option<BTreeMap<String, String>>,
    /// Names of variables to remove.
    #[serde(default)]
    pub unset: Option<Vec<String>>,
    /// Removes every variable whose value starts with this, except those named in `set`.
    #[serde(default)]
    pub unset_value_prefix: Option<String>,
}
