//! The log: lines on stderr, for people or for programs.

use std::io::IsTerminal as _;

use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{Layer, Registry, fmt};

use crate::error::ServiceError;
use crate::settings::LogSettings;

/// Libraries that speak of every statement and every frame; their details interest only at `trace`.
const TALKATIVE: [&str; 4] = ["sqlx", "hyper", "hyper_util", "tower_http"];
/// A library that takes every refusal for an error, and lists what it compares signatures with: clients are told, and we
/// log what only an operator can mend.
const SECRETIVE: &str = "s3s";

/// Starts the log of this process; legal once.
pub fn start(settings: LogSettings) -> Result<(), ServiceError> {
    let lines: Box<dyn Layer<Registry> + Send + Sync> = if settings.json {
        Box::new(fmt::layer().json().flatten_event(true).with_writer(std::io::stderr))
    } else {
        let colours = std::io::stderr().is_terminal();
        Box::new(fmt::layer().with_ansi(colours).with_target(false).with_writer(std::io::stderr))
    };
    let log = tracing_subscriber::registry().with(lines.with_filter(filter(settings)));
    log.try_init().map_err(|source| ServiceError::StartLog { source })
}

fn filter(settings: LogSettings) -> Targets {
    let level = settings.level.map_or(LevelFilter::OFF, LevelFilter::from_level);
    let targets = Targets::new().with_default(level).with_target(SECRETIVE, LevelFilter::OFF);
    if level == LevelFilter::TRACE {
        return targets;
    }
    targets.with_targets(TALKATIVE.map(|library| (library, level.min(LevelFilter::WARN))))
}

#[cfg(test)]
mod tests {
    use tracing::Level;

    use super::*;

    #[test]
    fn libraries_are_quiet_unless_all_is_asked() {
        for (level, ours, theirs) in [
            (Some(Level::INFO), Level::INFO, Level::WARN),
            (Some(Level::DEBUG), Level::DEBUG, Level::WARN),
            (Some(Level::TRACE), Level::TRACE, Level::TRACE),
            (Some(Level::ERROR), Level::ERROR, Level::ERROR),
        ] {
            let filter = filter(LogSettings { level, json: false });
            assert!(filter.would_enable("api", &ours), "{level:?}");
            assert!(filter.would_enable("sqlx::query", &theirs), "{level:?}");
            assert!(theirs == Level::TRACE || !filter.would_enable("sqlx::query", &Level::TRACE));
            assert_eq!(filter.would_enable("hyper", &Level::INFO), theirs == Level::TRACE, "{level:?}");
        }
        let off = filter(LogSettings { level: None, json: false });
        assert!(!off.would_enable("api", &Level::ERROR));
        assert!(!off.would_enable("sqlx", &Level::ERROR));
    }
}
