//! What each loop keeps true, one file per truth.

pub(crate) mod sandbox;
pub(crate) mod liveness;
pub(crate) mod purge;
