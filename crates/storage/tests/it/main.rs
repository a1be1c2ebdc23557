//! The object storage over a real directory and a real S3 server.
#![cfg(test)]

mod ground;
mod directory;
mod s3;
