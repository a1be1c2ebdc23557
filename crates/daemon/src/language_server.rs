//! Language servers: started, asked, and restarted after a crash.

/// All of them.
#[derive(Debug, Default)]
pub struct LanguageServers {}
