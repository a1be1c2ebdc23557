//! The control plane, one file per noun.

pub mod config;
pub mod health;
pub mod organization;
pub mod build;
pub mod object_storage;
pub mod registry;
pub mod sandbox;
pub mod snapshot;
pub mod telemetry;
pub mod user;
pub mod warm_pool;
pub mod volume;

/// Every operation of the published interface, built here or not: method, path and versions, one per line between
/// tabs; lines that start with `#` are remarks.
pub const OPERATIONS: &str = include_str!("../contract/api.tsv");
