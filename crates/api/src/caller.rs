//! The right to act: a handler that takes [`Caller`] or one of the others here is authorised.

use axum::extract::FromRequestParts;
use axum::http::request;
use types::api_key::Permission;
use types::user::User;

use crate::callers::Caller;
use crate::error::ApiError;
use crate::state::ApiState;

/// Makes a caller who has a permission.
macro_rules! guard {
    ($(#[$doc:meta])* $name:ident, $permission:ident) => {
        $(#[$doc])*
        #[derive(Debug)]
        pub(crate) struct $name(pub(crate) Caller);

        impl FromRequestParts<ApiState> for $name {
            type Rejection = ApiError;

            async fn from_request_parts(parts: &mut request::Parts, state: &ApiState) -> Result<Self, ApiError> {
                Caller::from_request_parts(parts, state).await?.require(Permission::$permission).map(Self)
            }
        }
    };
}

guard!(
    /// A caller who may create and change sandboxes.
    Writer, WriteSandboxes
);
guard!(
    /// A caller who may delete sandboxes.
    Deleter, DeleteSandboxes
);
guard!(
    /// A caller who may delete snapshots.
    SnapshotDeleter, DeleteSnapshots
);
guard!(
    /// A caller who may make snapshots.
    SnapshotWriter, WriteSnapshots
);
guard!(
    /// A caller who may add and change registries.
    RegistryWriter, WriteRegistries
);
guard!(
    /// A caller who may delete registries.
    RegistryDeleter, DeleteRegistries
);
guard!(
    /// A caller who may see volumes.
    VolumeReader, ReadVolumes
);
guard!(
    /// A caller who may make volumes.
    VolumeWriter, WriteVolumes
);
guard!(
    /// A caller who may delete volumes.
    VolumeDeleter, DeleteVolumes
);

/// A caller who may make snapshots, or sandboxes, and upload what they are made of.
#[derive(Debug)]
pub(crate) struct Uploader(pub(crate) Caller);

/// A user who logged in; keys do not stand for one.
#[derive(Debug)]
pub(crate) struct LoggedIn(pub(crate) User);

impl FromRequestParts<ApiState> for Caller {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut request::Parts, state: &ApiState) -> Result<Self, ApiError> {
        state.callers.authenticate_headers(&parts.headers).await
    }
}

impl FromRequestParts<ApiState> for Uploader {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut request::Parts, state: &ApiState) -> Result<Self, ApiError> {
        let caller = Caller::from_request_parts(parts, state).await?;
        let either = caller.clone().require(Permission::WriteSnapshots);
        either.or_else(|_| caller.require(Permission::WriteSandboxes)).map(Self)
    }
}

impl FromRequestParts<ApiState> for LoggedIn {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut request::Parts, state: &ApiState) -> Result<Self, ApiError> {
        state.callers.authenticate_user(&parts.headers).await.map(Self)
    }
}
