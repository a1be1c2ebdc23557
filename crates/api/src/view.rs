//! Domain to wire, field by field.

pub(crate) mod sandbox;
pub(crate) mod preview;
pub(crate) mod snapshot;
pub(crate) mod telemetry;
pub(crate) mod config;
pub(crate) mod organization;
pub(crate) mod user;
