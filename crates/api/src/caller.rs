//! The right to act: a handler that takes [`Caller`], [`Writer`], [`Deleter`], [`SnapshotDeleter`] or [`LoggedIn`] is
//! authorised.

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

impl FromRequestParts<ApiState> for LoggedIn {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut request::Parts, state: &ApiState) -> Result<Self, ApiError> {
        state.callers.authenticate_user(&parts.headers).await.map(Self)
    }
}
