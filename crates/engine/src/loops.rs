//! What each loop keeps true, one file per truth; what its steps ask of others, and what their failures mean, apart.

pub(crate) mod patience;
pub(crate) mod build;
pub(crate) mod sandbox;
mod preparation;
mod kin;
mod failure;
pub(crate) mod liveness;
pub(crate) mod timer;
pub(crate) mod purge;
pub(crate) mod warm;
pub(crate) mod volume;
