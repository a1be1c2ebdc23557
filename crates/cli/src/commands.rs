//! What each command does, one file per noun.

pub(crate) mod spawner;
pub(crate) mod server;
pub(crate) mod config;
pub(crate) mod image;
pub(crate) mod openapi;
pub(crate) mod doctor;
pub(crate) mod trust;
