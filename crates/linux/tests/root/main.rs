//! Tests against the real kernel, as root, in network namespaces of their own; without root they say so and pass.

mod namespace;
mod link;
mod nft;
