//! The whole product as one process, on the real kernel: what it leaves behind, and what survives it.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that fails says so by panicking"
)]

mod chance;
mod serving;
mod agree;
mod kill;
mod reboot;
mod fault;
mod leak;
mod restart;
mod doctor;
