//! Domain to wire, field by field.

pub(crate) mod sandbox;
pub(crate) mod preview;
pub(crate) mod snapshot;
pub(crate) mod object_storage;
pub(crate) mod registry;
pub(crate) mod telemetry;
pub(crate) mod config;
pub(crate) mod organization;
pub(crate) mod user;
pub(crate) mod warm_pool;
pub(crate) mod volume;
