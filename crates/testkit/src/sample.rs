//! Rows that tests start from.

use store::api_key::hash;
use types::api_key::{ApiKey, Permission};
use types::organization::Organization;
use types::sandbox::Sandbox;
use types::user::User;
use types::{ApiKeyId, OrganizationId, SandboxId, SystemRandom, Timestamp, UserId};

/// A user named `name`.
pub fn user(name: &str, now: Timestamp) -> User {
    User {
        id: UserId(name.to_owned()),
        name: name.to_owned(),
        email: String::new(),
        email_verified: false,
        created_at: now,
    }
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
        snapshot: "default".to_owned(),
        image: "default@sha256:0".to_owned(),
        region: "us".to_owned(),
        signing_key: "a signing key of a test".to_owned(),
        auth_token: "0123456789abcdefghijklmnopqrstuv".to_owned(),
        ..Sandbox::new(id, organization_id, &SystemRandom, now)
    }
}
