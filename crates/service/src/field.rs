//! Names of log fields, so that a search finds every line about one thing.
//!
//! Use as `info!({ field::SANDBOX_ID } = %id, …)`.

/// The sandbox a line is about.
pub const SANDBOX_ID: &str = "sandbox.id";
/// The tenant a line is about.
pub const ORGANIZATION_ID: &str = "organization.id";
/// The loop or background task that speaks.
pub const TASK: &str = "task";
/// A failure with its whole chain of causes.
pub const ERROR: &str = "error";
/// How long something took, in milliseconds.
pub const ELAPSED_MS: &str = "elapsed_ms";
/// The address something listens on.
pub const ADDRESS: &str = "address";
/// The status of an answer.
pub const STATUS: &str = "http.status";
/// The method of a request.
pub const METHOD: &str = "http.method";

/// Shows an error with all its causes on one line, outermost first.
#[derive(Debug)]
pub struct Chain<'error>(pub &'error (dyn std::error::Error + 'static));

impl std::fmt::Display for Chain<'_> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{}", self.0)?;
        let mut cause = self.0.source();
        while let Some(error) = cause {
            write!(formatter, ": {error}")?;
            cause = error.source();
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("open door")]
    struct Outer(#[source] std::io::Error);

    #[test]
    fn a_chain_names_every_level() {
        let error = Outer(std::io::Error::other("no key"));
        assert_eq!(Chain(&error).to_string(), "open door: no key");
    }
}
