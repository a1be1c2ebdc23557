//! Reality to HTTP: the control plane's published interface under `/api`.
//!
//! Must not know: SQL, Linux, how a sandbox is made. Start at [`router::router`]; a request passes `caller`
//! (who), `request` (what was sent), `limits` (is it allowed), a handler in `http`, and `view` on its way out.
//! Invariants: a handler that takes a caller is authorised; what belongs to another organisation does not exist; every
//! failure leaves through [`error`] in one shape; nothing that is not built is silently ignored.
#![forbid(unsafe_code)]

pub mod object_storage;
pub mod settings;
pub mod error;
pub mod people;
pub mod callers;
pub mod telemetry;
pub mod state;
mod caller;
mod moment;
mod request;
mod lifecycle;
mod limits;
mod build;
mod snapshot;
mod registry;
mod list;
mod view;
mod volume;
mod sandbox;
mod warm_pool;
mod http;
mod unbuilt;
mod finish;
pub mod router;

pub use callers::{Caller, Callers};
pub use error::ApiError;
pub use people::People;
pub use router::{openapi, openapi_json, router};
pub use settings::{Oidc, Region, Settings};
pub use state::{ApiState, Parts};
pub use view::sandbox::full as show;
pub use view::snapshot::own as show_snapshot;
