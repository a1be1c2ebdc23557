//! Where clients put what a build needs.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Credentials for the part of a bucket that belongs to an organisation, good for an hour.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = StorageAccessDto)]
pub struct StorageAccess {
    /// Names the credentials.
    pub access_key: String,
    /// Signs requests.
    pub secret: String,
    /// Goes with every request.
    pub session_token: String,
    /// Where the bucket is.
    pub storage_url: String,
    /// Begins every key that the credentials open.
    pub organization_id: String,
    /// The bucket.
    pub bucket: String,
    /// Its region.
    pub region: String,
}

impl std::fmt::Debug for StorageAccess {
    /// Leaves out what proves anything.
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("StorageAccess").field("access_key", &self.access_key).finish_non_exhaustive()
    }
}
