//! When a sandbox changes by itself.

use jiff::SignedDuration;
use types::Timestamp;
use types::sandbox::{Intervals, Sandbox};

use crate::error::ApiError;

const EPHEMERAL: &str = "Auto-pause is not allowed for ephemeral sandboxes (autoDeleteInterval=0)";

/// Sets an idle time before a stop. At most one of the two idle times is set: the later wish stands.
pub(crate) fn auto_stop(sandbox: Sandbox, minutes: u32) -> Sandbox {
    let auto_pause = if minutes > 0 { 0 } else { sandbox.intervals.auto_pause };
    Sandbox { intervals: Intervals { auto_stop: minutes, auto_pause, ..sandbox.intervals }, ..sandbox }
}

/// Sets an idle time before a pause. At most one of the two idle times is set: the later wish stands.
pub(crate) fn auto_pause(sandbox: Sandbox, minutes: u32) -> Result<Sandbox, ApiError> {
    if minutes > 0 && sandbox.intervals.auto_delete == 0 {
        return Err(ApiError::invalid(EPHEMERAL));
    }
    let auto_stop = if minutes > 0 { 0 } else { sandbox.intervals.auto_stop };
    Ok(Sandbox { intervals: Intervals { auto_stop, auto_pause: minutes, ..sandbox.intervals }, ..sandbox })
}

/// Sets a stopped time before archiving.
pub(crate) fn auto_archive(sandbox: Sandbox, minutes: u32) -> Sandbox {
    Sandbox { intervals: Intervals { auto_archive: minutes, ..sandbox.intervals }, ..sandbox }
}

/// Sets a stopped time before deletion.
pub(crate) fn auto_delete(sandbox: Sandbox, minutes: i32) -> Result<Sandbox, ApiError> {
    if minutes != 0 && sandbox.linked_id.is_some() {
        return Err(ApiError::invalid("Linked sandboxes must be ephemeral (autoDeleteInterval=0)"));
    }
    if minutes == 0 && sandbox.intervals.auto_pause > 0 {
        return Err(ApiError::invalid(EPHEMERAL));
    }
    Ok(Sandbox { intervals: Intervals { auto_delete: minutes, ..sandbox.intervals }, ..sandbox })
}

/// Returns the intervals of a new sandbox: what is given, with at most one idle time above 0, else the defaults. A pause
/// that is asked for takes the place of the default stop.
pub(crate) fn fresh(
    auto_stop: Option<u32>,
    auto_pause: Option<u32>,
    auto_archive: Option<u32>,
    auto_delete: Option<i32>,
) -> Result<Intervals, ApiError> {
    let otherwise = Intervals::default();
    let auto_pause = auto_pause.unwrap_or(otherwise.auto_pause);
    let auto_delete = auto_delete.unwrap_or(otherwise.auto_delete);
    let auto_stop = auto_stop.unwrap_or(if auto_pause > 0 { 0 } else { otherwise.auto_stop });
    if auto_pause > 0 && auto_stop > 0 {
        return Err(ApiError::invalid(
            "At most one of autoStopInterval and autoPauseInterval may be non-zero",
        ));
    }
    if auto_pause > 0 && auto_delete == 0 {
        return Err(ApiError::invalid(EPHEMERAL));
    }
    let auto_archive = auto_archive.unwrap_or(otherwise.auto_archive);
    Ok(Intervals { auto_stop, auto_pause, auto_archive, auto_delete })
}

/// Returns when something ends that lives so many minutes from `now` on; 0 minutes never do.
pub(crate) fn end(minutes: u32, now: Timestamp) -> Result<Option<Timestamp>, ApiError> {
    if minutes == 0 {
        return Ok(None);
    }
    let end = now.checked_add(SignedDuration::from_mins(minutes.into())).ok();
    end.map(Some).ok_or_else(|| ApiError::invalid("TTL is too long"))
}
