//! The endpoint over a socket, driven by a client that others wrote, and by hand where a client is too polite.

mod harness;
mod client;
mod tenant;
mod crash;
mod context;
mod behind;
