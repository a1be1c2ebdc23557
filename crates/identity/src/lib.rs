//! For whom a token of a login provider speaks: JSON Web Tokens, checked with the keys that an `OpenID` Connect issuer
//! publishes.
//!
//! Must not know: users' rows, organisations, HTTP requests. Start at [`verifier::Verifier::verify`]. Invariants: the key
//! says which algorithm a signature must have, never the token; nothing in a token is believed before its signature
//! holds; what a stranger sends cannot make us ask the issuer more often than [`keys`] allows; no caller is told why a
//! token is refused, the log is.
#![forbid(unsafe_code)]

pub mod settings;
pub mod error;
mod token;
mod claim;
mod key;
mod source;
pub mod keys;
pub mod verifier;

pub use claim::Identity;
pub use error::{Flaw, IdentityError};
pub use settings::Settings;
pub use token::is_token;
pub use verifier::Verifier;
