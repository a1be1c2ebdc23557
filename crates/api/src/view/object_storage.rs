//! Access to the object storage, as clients see it.

use daytona_wire::api::object_storage::StorageAccess;
use types::OrganizationId;

use crate::object_storage::Grant;

/// Shows what an organisation was granted.
pub(crate) fn access(grant: Grant, organization: OrganizationId) -> StorageAccess {
    StorageAccess {
        access_key: grant.access_key,
        secret: grant.secret,
        session_token: grant.session_token,
        storage_url: grant.url,
        organization_id: organization.to_string(),
        bucket: grant.bucket,
        region: grant.region,
    }
}
