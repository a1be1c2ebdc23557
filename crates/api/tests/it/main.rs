//! The real router over a real store and a fake runner: no root, no network, no sleep.

#![cfg(test)]

mod sandbox;
mod create;
mod lifecycle;
mod copy;
mod snapshot;
mod object_storage;
mod registry;
mod preview;
mod contention;
mod list;
mod quota;
mod warm_pool;
mod volume;
mod tenant;
mod login;
mod hostile;
mod transport;
mod config;
mod coverage;
mod telemetry;
mod openapi;
mod speed;
