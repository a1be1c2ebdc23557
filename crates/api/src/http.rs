//! Handlers, one file per noun: extract, call one thing, show.

pub(crate) mod config;
pub(crate) mod health;
pub(crate) mod organization;
pub(crate) mod sandbox;
pub(crate) mod snapshot;
pub(crate) mod user;
