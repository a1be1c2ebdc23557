//! Drives the real program over its real socket, as whoever runs the tests.

#![cfg(test)]

mod harness;
mod operation;
mod execute;
mod timeout;
mod code;
mod file;
mod upload;
mod download;
mod user;
mod life;
