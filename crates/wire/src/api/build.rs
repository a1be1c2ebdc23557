//! What images are built from, and where it is told how that goes.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// What to build. Fields that are not known are ignored.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct CreateBuildInfo {
    /// The Dockerfile.
    #[schema(required)]
    pub dockerfile_content: Option<String>,
    /// Names of the archives that it copies from, as they were uploaded.
    pub context_hashes: Option<Vec<String>>,
}

/// What was built. The SDKs refuse it when a field that is not skipped here is missing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct BuildInfo {
    /// The Dockerfile.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dockerfile_content: Option<String>,
    /// Names of the archives that it copies from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub context_hashes: Option<Vec<String>>,
    /// When it was first asked for.
    pub created_at: String,
    /// When anything of it last changed.
    pub updated_at: String,
    /// A reference of its image.
    pub snapshot_ref: String,
}

/// Where the words of a build are read, while it runs and afterwards.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct BuildLogsUrl {
    /// The URL, without a query. With `?follow=true` the answer goes on until the build has ended.
    pub url: String,
}
