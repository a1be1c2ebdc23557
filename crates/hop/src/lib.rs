//! What every hop of an HTTP request does alike: which headers end at it, and how it carries an upgraded connection.
//!
//! Must not know: who calls whom, what is reached, who may. The proxy is one hop, the daemon's way to a port another.
#![forbid(unsafe_code)]

pub mod header;
pub mod tunnel;
