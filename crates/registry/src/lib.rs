//! Images in registries: references, manifests, blobs; pull and push, over the OCI distribution protocol.
//!
//! Must not know: where images are kept, what they are for. Start at [`client::Client`].
//! Invariants: nothing that a registry says is believed before its digest is known; memory does not grow with what it
//! sends; a user's credentials go to the user's registry and the token service that it names, over TLS, and nowhere else.
#![forbid(unsafe_code)]

pub mod error;
pub mod digest;
pub mod reference;
pub mod settings;
pub mod manifest;
mod challenge;
mod endpoint;
mod session;
mod download;
mod upload;
pub mod client;

pub use client::Client;
pub use digest::Digest;
pub use error::RegistryError;
pub use manifest::Descriptor;
pub use reference::Reference;
pub use settings::{Credentials, Settings};
