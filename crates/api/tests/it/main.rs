//! The real router over a real store and a fake runner: no root, no network, no sleep.

#![cfg(test)]

mod sandbox;
mod create;
mod list;
mod tenant;
mod hostile;
mod transport;
mod config;
mod coverage;
mod openapi;
mod speed;
