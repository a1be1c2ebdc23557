//! Tests against the real kernel, as root, in network namespaces of their own; without root they say so and pass.
#![expect(clippy::expect_used, clippy::print_stdout, reason = "a test may stop, and says what it measured")]

mod namespace;
mod link;
mod nft;
mod growth;
mod cgroup;
mod freeze;
mod owner;
