//! The right to act: a handler that takes [`Caller`] or one of the others here is authorised.

use axum::extract::FromRequestParts;
use axum::http::request;
use types::api_key::Permission;
use types::user::User;

use crate::callers::Caller;
use crate::error::ApiError;
use crate::state::ApiState;

/// A caller who may create and change sandboxes.
#[derive(Debug)]
pub(crate) struct Writer(pub(crate) Caller);

/// A caller who may delete sandboxes.
#[derive(Debug)]
pub(crate) struct Deleter(pub(crate) Caller);

/// A caller who may delete snapshots.
#[derive(Debug)]
pub(crate) struct SnapshotDeleter(pub(crate) Caller);

/// A caller who may make snapshots.
#[derive(Debug)]
pub(crate) struct SnapshotWriter(pub(crate) Caller);

/// A caller who may make snapshots, or sandboxes, and upload what they are made of.
#[derive(Debug)]
pub(crate) struct Uploader(pub(crate) Caller);

/// A caller who may add and change registries.
#[derive(Debug)]
pub(crate) struct RegistryWriter(pub(crate) Caller);

/// A caller who may delete registries.
#[derive(Debug)]
pub(crate) struct RegistryDeleter(pub(crate) Caller);

/// A caller who may see volumes.
#[derive(Debug)]
pub(crate) struct VolumeReader(pub(crate) Caller);

/// A caller who may make volumes.
#[derive(Debug)]
pub(crate) struct VolumeWriter(pub(crate) Caller);

/// A caller who may delete volumes.
#[derive(Debug)]
pub(crate) struct VolumeDeleter(pub(crate) Caller);

/// A user who logged in; keys do not stand for one.
#[derive(Debug)]
pub(crate) struct LoggedIn(pub(crate) User);

impl FromRequestParts<ApiState> for Caller {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut request::Parts, state: &ApiState) -> Result<Self, ApiError> {
        state.callers.authenticate_headers(&parts.headers).await
    }
}

impl FromRequestParts<ApiState> for Writer {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut request::Parts, state: &ApiState) -> Result<Self, ApiError> {
        Caller::from_request_parts(parts, state).await?.require(Permission::WriteSandboxes).map(Self)
    }
}

impl FromRequestParts<ApiState> for Deleter {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut request::Parts, state: &ApiState) -> Result<Self, ApiError> {
        Caller::from_request_parts(parts, state).await?.require(Permission::DeleteSandboxes).map(Self)
    }
}

impl FromRequestParts<ApiState> for SnapshotDeleter {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut request::Parts, state: &ApiState) -> Result<Self, ApiError> {
        Caller::from_request_parts(parts, state).await?.require(Permission::DeleteSnapshots).map(Self)
    }
}

impl FromRequestParts<ApiState> for SnapshotWriter {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut request::Parts, state: &ApiState) -> Result<Self, ApiError> {
        Caller::from_request_parts(parts, state).await?.require(Permission::WriteSnapshots).map(Self)
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

impl FromRequestParts<ApiState> for RegistryWriter {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut request::Parts, state: &ApiState) -> Result<Self, ApiError> {
        Caller::from_request_parts(parts, state).await?.require(Permission::WriteRegistries).map(Self)
    }
}

impl FromRequestParts<ApiState> for RegistryDeleter {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut request::Parts, state: &ApiState) -> Result<Self, ApiError> {
        Caller::from_request_parts(parts, state).await?.require(Permission::DeleteRegistries).map(Self)
    }
}

impl FromRequestParts<ApiState> for VolumeReader {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut request::Parts, state: &ApiState) -> Result<Self, ApiError> {
        Caller::from_request_parts(parts, state).await?.require(Permission::ReadVolumes).map(Self)
    }
}

impl FromRequestParts<ApiState> for VolumeWriter {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut request::Parts, state: &ApiState) -> Result<Self, ApiError> {
        Caller::from_request_parts(parts, state).await?.require(Permission::WriteVolumes).map(Self)
    }
}

impl FromRequestParts<ApiState> for VolumeDeleter {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut request::Parts, state: &ApiState) -> Result<Self, ApiError> {
        Caller::from_request_parts(parts, state).await?.require(Permission::DeleteVolumes).map(Self)
    }
}

impl FromRequestParts<ApiState> for LoggedIn {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut request::Parts, state: &ApiState) -> Result<Self, ApiError> {
        state.callers.authenticate_user(&parts.headers).await.map(Self)
    }
}
