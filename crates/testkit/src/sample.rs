//! Rows that tests start from.

use std::collections::BTreeMap;

use store::api_key::hash;
use types::api_key::{ApiKey, Permission};
use types::organization::Organization;
use types::resource::Resources;
use types::sandbox::{Backup, Desired, Intervals, Network, Observed, Sandbox};
use types::user::User;
use types::{ApiKeyId, OrganizationId, SandboxId, Timestamp, UserId};

/// A user named `name`.
pub fn user(name: &str, now: Timestamp) -> User {
    User { id: UserId(name.to_owned()), name: name.to_owned(), email: String::new(), created_at: now }
}

/// The personal organisation of `owner`.
pub fn organization(id: OrganizationId, owner: &User) -> Organization {
    Organization {
        id,
        name: format!("{} personal", owner.name),
        personal: true,
        created_by: owner.id.clone(),
        created_at: owner.created_at,
    }
}

/// A key with this text.
pub fn api_key(id: ApiKeyId, text: &str, organization: &Organization, permissions: &[Permission]) -> ApiKey {
    ApiKey {
        id,
        organization_id: organization.id,
        user_id: organization.created_by.clone(),
        name: id.to_string(),
        hash: hash(text),
        permissions: permissions.to_vec(),
        created_at: organization.created_at,
        expires_at: None,
    }
}

/// A sandbox that was asked to start and of which nothing is there yet, named after its id.
pub fn sandbox(id: SandboxId, organization_id: OrganizationId, now: Timestamp) -> Sandbox {
    Sandbox {
        id,
        organization_id,
        name: id.to_string(),
        snapshot: "default".to_owned(),
        image: "default@sha256:0".to_owned(),
        region: "us".to_owned(),
        user: String::new(),
        env: BTreeMap::new(),
        labels: BTreeMap::new(),
        public: false,
        network: Network::default(),
        network_applied: None,
        resources_applied: None,
        resources: Resources::default(),
        intervals: Intervals::default(),
        desired: Desired::Started,
        stop_forced: false,
        observed: Observed::Absent,
        error_reason: None,
        failure: None,
        recoverable: false,
        recovering: false,
        parent_id: None,
        linked_id: None,
        capture: None,
        backup: Backup::default(),
        destroy_at: None,
        queue_timeout: None,
        queue_timed_out_at: None,
        signing_key: "a signing key of a test".to_owned(),
        auth_token: "0123456789abcdefghijklmnopqrstuv".to_owned(),
        daemon_version: None,
        created_at: now,
        updated_at: now,
        last_activity_at: now,
        generation: 1,
    }
}
