//! HTTP in, one call, HTTP out: a file per group of operations.

pub mod failure;
pub mod extract;
pub mod result;
pub mod info;
pub mod process;
pub mod file;
pub mod store;
pub mod form;
pub mod upload;
pub mod download;
pub mod socket;
pub mod session;
pub mod terminal;
pub mod interpreter;
pub mod repository;
pub mod language_server;
pub mod port;
pub mod shell;
pub mod router;
pub mod openapi;
