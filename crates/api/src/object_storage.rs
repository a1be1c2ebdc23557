//! Where clients may put what a build needs.

use std::fmt;

use types::OrganizationId;

/// How a client is to reach the object storage.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// As it reaches this server.
    AsItCame,
    /// With TLS, whatever it takes for the rest.
    Tls,
}

impl Way {
    /// Chooses by the client's name for itself. Node has a list of its own of whom to trust, and its client takes
    /// plain HTTP; the official Python client takes nothing but TLS.
    pub(crate) fn of(client: Option<&str>) -> Self {
        if client.is_some_and(|client| client.starts_with("sdk-typescript")) {
            Self::AsItCame
        } else {
            Self::Tls
        }
    }
}

/// Lets clients into the object storage.
pub trait Uploads: fmt::Debug + Send + Sync {
    /// Makes credentials for what belongs to an organisation.
    fn grant(&self, organization: OrganizationId, way: Way) -> Grant;
}

/// Credentials, and where they are good.
#[derive(Clone, PartialEq, Eq)]
pub struct Grant {
    /// Names the credentials.
    pub access_key: String,
    /// Signs requests.
    pub secret: String,
    /// Goes with every request.
    pub session_token: String,
    /// Where the bucket is, without a final slash.
    pub url: String,
    /// The bucket.
    pub bucket: String,
    /// Its region.
    pub region: String,
}

impl fmt::Debug for Grant {
    /// Leaves out what proves anything.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Grant").field("access_key", &self.access_key).finish_non_exhaustive()
    }
}
