//! The SSH protocol, server side: what a connection may ask for is asked of a host.
//!
//! Must not know: HTTP, the daemon, sandboxes. Whoever calls it acts as the user already.
#![forbid(unsafe_code)]
