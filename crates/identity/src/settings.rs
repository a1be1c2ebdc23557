//! Which login provider is trusted, and for what.

/// A login provider.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// Its address as it is reached from here, without a final slash.
    pub issuer: String,
    /// Its address as browsers reach it, when that is another. Tokens may name either.
    pub public_issuer: Option<String>,
    /// What tokens must be made for.
    pub audience: String,
}

impl Settings {
    /// Tells whether this is the provider's name. A final slash makes no difference: providers disagree about it.
    pub(crate) fn is_issuer(&self, name: &str) -> bool {
        let plain = |name: &str| name.strip_suffix('/').unwrap_or(name).to_owned();
        let known = std::iter::once(&self.issuer).chain(&self.public_issuer);
        known.into_iter().any(|known| plain(known) == plain(name))
    }

    /// Tells whether nothing between here and the provider is encrypted.
    pub fn is_plain(&self) -> bool {
        self.issuer.starts_with("http://")
    }
}
