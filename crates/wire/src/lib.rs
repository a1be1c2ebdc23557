//! What others *see*: the shapes of the published interface, for serde and `OpenAPI`, and nothing else.
//!
//! Must not know: the domain (`types`), how anything is done. Start at [`error::ErrorBody`], the one error shape that
//! every official SDK reads. Invariants: field names, presence and number formats are what the SDKs parse byte for
//! byte; a change here is a change of contract.
#![forbid(unsafe_code)]
#![warn(missing_docs)]

pub mod error;
pub mod api;
pub mod toolbox;
