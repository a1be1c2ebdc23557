//! Sandbox networking on the real kernel: a host, an "internet" and sandboxes, each a network namespace of the
//! test's own. Without root the tests say so and pass.
#![expect(
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a test may stop, and says what it measured"
)]

#[path = "../../../linux/tests/root/namespace.rs"]
mod namespace;
mod world;
mod reach;
mod internet;
mod egress;
mod upkeep;
mod lifecycle;
mod neighbour;
mod linked;
