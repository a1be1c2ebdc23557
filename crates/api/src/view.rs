//! Domain to wire, field by field.

pub(crate) mod sandbox;
pub(crate) mod config;
