//! Where the authority is kept that signs certificates of this server: written by it, read by who trusts it.

/// The authority's certificate, in the data directory.
pub const AUTHORITY: &str = "tls-authority.pem";
/// The authority's key, in the data directory; only root may read it.
pub const AUTHORITY_KEY: &str = "tls-authority-key.pem";
