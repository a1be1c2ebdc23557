//! HTTP in, one call, HTTP out: a file per group of operations.

pub mod failure;
pub mod extract;
pub mod result;
pub mod info;
pub mod process;
pub mod file;
pub mod store;
pub mod upload;
pub mod download;
pub mod router;
pub mod openapi;
