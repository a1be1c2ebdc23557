//! Handlers, one file per noun: extract, call one thing, show.

pub(crate) mod build;
pub(crate) mod config;
pub(crate) mod health;
pub(crate) mod object_storage;
pub(crate) mod organization;
pub(crate) mod registry;
pub(crate) mod sandbox;
pub(crate) mod snapshot;
pub(crate) mod user;
pub(crate) mod warm_pool;
pub(crate) mod volume;
