//! Snapshots as clients see them.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::api::build::{BuildInfo, CreateBuildInfo};

/// A snapshot to make, of an image or a Dockerfile. Fields that are not known are ignored. Numbers are wide here, so that a
/// value out of bounds gets an answer that names its bounds.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct CreateSnapshot {
    /// Its name.
    #[schema(required)]
    pub name: Option<String>,
    /// The image to pull, with a tag or a digest.
    pub image_name: Option<String>,
    /// What sandboxes from it run first; the image's own when missing. Not beside `buildInfo`.
    pub entrypoint: Option<Vec<String>>,
    /// Virtual processors; 1 when missing.
    pub cpu: Option<i64>,
    /// Graphics processors. Not built yet.
    pub gpu: Option<i64>,
    /// Kinds of graphics processors. Not built yet.
    pub gpu_type: Option<Vec<String>>,
    /// Memory in GiB; 1 when missing.
    pub memory: Option<i64>,
    /// Disk in GiB; 3 when missing.
    pub disk: Option<i64>,
    /// What to build.
    pub build_info: Option<CreateBuildInfo>,
    /// The region, by id or name.
    pub region_id: Option<String>,
    /// How sandboxes from it are isolated; only `container`.
    pub sandbox_class: Option<String>,
}

/// What sandboxes can be made from. The SDKs refuse it when a field that is not skipped here is missing.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct SnapshotDto {
    /// Its id.
    pub id: String,
    /// The organisation it belongs to; missing for a general one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub organization_id: Option<String>,
    /// Whether every organisation may use it.
    pub general: bool,
    /// Its name.
    pub name: String,
    /// The reference that it was asked for with, when it is of an image that was pulled.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub image_name: Option<String>,
    /// What it is, such as `active`.
    pub state: String,
    /// Its size in GB; null while it is not known.
    pub size: Option<f64>,
    /// What sandboxes from it run first; null when they run nothing.
    pub entrypoint: Option<Vec<String>>,
    /// Virtual processors.
    pub cpu: u32,
    /// Graphics processors.
    pub gpu: u32,
    /// Memory in GiB.
    pub mem: u32,
    /// Disk in GiB.
    pub disk: u32,
    /// Why it is in error.
    pub error_reason: Option<String>,
    /// When it was made.
    pub created_at: String,
    /// When anything of it last changed.
    pub updated_at: String,
    /// When a sandbox was last made from it.
    pub last_used_at: Option<String>,
    /// The regions it can be used in.
    pub region_ids: Vec<String>,
    /// A reference of its image.
    #[serde(rename = "ref")]
    pub reference: String,
    /// What it was built from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub build_info: Option<BuildInfo>,
    /// The sandbox that it was taken of.
    pub source_sandbox_id: Option<String>,
    /// How sandboxes from it are isolated.
    pub sandbox_class: String,
}

/// A numbered page of snapshots.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct PaginatedSnapshots {
    /// The page.
    pub items: Vec<SnapshotDto>,
    /// How many there are on all pages.
    pub total: usize,
    /// Which page this is, from 1.
    pub page: u32,
    /// How many pages there are.
    pub total_pages: usize,
}
