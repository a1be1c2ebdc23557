//! Registries as clients see and ask for them. A password goes in and never comes out.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A registry that an organisation pulls its images from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct DockerRegistry {
    /// Its id.
    pub id: String,
    /// Its display name.
    pub name: String,
    /// Where it is.
    pub url: String,
    /// Who asks it for images.
    pub username: String,
    /// The part of it that is used; empty for all.
    pub project: String,
    /// Whose it is; always `organization`.
    pub registry_type: String,
    /// When it was made.
    pub created_at: String,
    /// When anything of it last changed.
    pub updated_at: String,
}

/// A registry to add.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct CreateDockerRegistry {
    /// Its display name.
    #[schema(required)]
    pub name: Option<String>,
    /// Where it is.
    #[schema(required)]
    pub url: Option<String>,
    /// Who asks it for images.
    #[schema(required)]
    pub username: Option<String>,
    /// What proves it.
    #[schema(required)]
    pub password: Option<String>,
    /// The part of it that is used.
    pub project: Option<String>,
}

/// What a registry is to be. Without a password the old one stays.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct UpdateDockerRegistry {
    /// Its display name.
    #[schema(required)]
    pub name: Option<String>,
    /// Where it is.
    #[schema(required)]
    pub url: Option<String>,
    /// Who asks it for images.
    #[schema(required)]
    pub username: Option<String>,
    /// What proves it.
    pub password: Option<String>,
    /// The part of it that is used.
    pub project: Option<String>,
}

/// What lets a client push an image for a while.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct RegistryPushAccessDto {
    /// Who pushes.
    pub username: String,
    /// What proves it.
    pub secret: String,
    /// The id of the registry.
    pub registry_id: String,
    /// Where it is.
    pub registry_url: String,
    /// The part of it that may be pushed to.
    pub project: String,
    /// Until when it holds.
    pub expires_at: String,
}

/// Writes such a type without its password.
macro_rules! without_password {
    ($name:ident, $first:ident, $second:ident) => {
        impl std::fmt::Debug for $name {
            fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                formatter
                    .debug_struct(stringify!($name))
                    .field(stringify!($first), &self.$first)
                    .field(stringify!($second), &self.$second)
                    .finish_non_exhaustive()
            }
        }
    };
}

without_password!(CreateDockerRegistry, name, url);
without_password!(UpdateDockerRegistry, name, url);
without_password!(RegistryPushAccessDto, username, registry_url);
