//! Typed identifiers: a sandbox id cannot be passed where an organisation id is meant.

use std::fmt;
use std::str::FromStr;

use uuid::Uuid;

use crate::random::Random;

/// The text is not a hyphenated UUID.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not a {kind} id: expected a UUID")]
pub struct InvalidId {
    /// What kind of id was expected.
    pub kind: &'static str,
    /// The text that was given.
    pub text: String,
}

macro_rules! uuid_id {
    ($(#[$doc:meta])* $name:ident, $kind:literal) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Uuid);

        impl $name {
            /// Draws a fresh version 4 id.
            pub fn random(random: &dyn Random) -> Self {
                let mut bytes = [0_u8; 16];
                random.fill(&mut bytes);
                Self(uuid::Builder::from_random_bytes(bytes).into_uuid())
            }

            /// Wraps a known id.
            pub const fn from_u128(value: u128) -> Self {
                Self(Uuid::from_u128(value))
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(formatter)
            }
        }

        impl FromStr for $name {
            type Err = InvalidId;

            /// Accepts only the hyphenated lowercase form that `Display` prints, so that an id has one spelling.
            fn from_str(text: &str) -> Result<Self, InvalidId> {
                let parsed = Uuid::try_parse(text).ok().map(Self).filter(|id| id.to_string() == text);
                parsed.ok_or_else(|| InvalidId { kind: $kind, text: text.to_owned() })
            }
        }
    };
}

uuid_id!(
    /// Names a sandbox everywhere: rows, directories, links, cgroups.
    SandboxId, "sandbox"
);
uuid_id!(
    /// Names an organisation, the tenant that owns sandboxes.
    OrganizationId, "organization"
);
uuid_id!(
    /// Names a snapshot that an organisation made.
    SnapshotId, "snapshot"
);
uuid_id!(
    /// Names a pool of sandboxes that run already.
    WarmPoolId, "warm pool"
);
uuid_id!(
    /// Names what brings an image to a host.
    BuildId, "build"
);
uuid_id!(
    /// Names a registry of an organisation.
    RegistryId, "registry"
);
uuid_id!(
    /// Names a volume: its row, its disk and its file system.
    VolumeId, "volume"
);
uuid_id!(
    /// Names an API key row; never the key itself.
    ApiKeyId, "API key"
);

/// Names a user; free text because identity providers choose it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UserId(pub String);

impl fmt::Display for UserId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::SystemRandom;

    #[test]
    fn an_id_has_one_spelling() {
        let id = SandboxId::random(&SystemRandom);
        assert_eq!(id.to_string().parse(), Ok(id));
        assert!(
            id.to_string().to_uppercase().parse::<SandboxId>().is_err()
                || !id.to_string().contains(char::is_alphabetic)
        );
        assert!("../../etc".parse::<SandboxId>().is_err());
        assert!(id.to_string().replace('-', "").parse::<SandboxId>().is_err());
    }
}
