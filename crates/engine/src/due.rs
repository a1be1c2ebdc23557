//! When a sandbox changes by itself, and what it becomes then: pure.

use jiff::SignedDuration;
use types::Timestamp;
use types::sandbox::{BackupState, Desired, Intervals, Observed, Sandbox};

/// How long a sandbox whose backup failed is left alone before it is to be archived again, as in the contract.
const BACKUP_RETRY: SignedDuration = SignedDuration::from_hours(6);

/// What a sandbox's time has come for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Due {
    /// To be noted as used: it works, and was asked to stay awake while it does.
    Touch,
    /// To stop: it was idle.
    Stop,
    /// To be paused: it was idle.
    Pause,
    /// To be archived: it was stopped for long.
    Archive,
    /// To go: its time is over, or it was stopped for long, or it was idle and goes as soon as it stops.
    Destroy,
}

impl Due {
    /// Tells whether running work may put this off: it is about idleness alone.
    pub const fn is_about_idleness(self, sandbox: &Sandbox) -> bool {
        matches!((self, sandbox.observed), (Self::Stop | Self::Pause, _) | (Self::Destroy, Observed::Started))
    }
}

/// Returns what a sandbox's time has come for at `now`. `awake` tells that it works and is to stay awake for that.
pub fn due(sandbox: &Sandbox, now: Timestamp, awake: bool) -> Option<Due> {
    if is_over(sandbox, now) {
        return Some(Due::Destroy);
    }
    let (due, at) = next(sandbox)?;
    if at > now {
        return None;
    }
    // Whoever was not looked at for long may be past both: what is to be deleted is not archived first.
    if due == Due::Archive && delete_at(sandbox).is_some_and(|at| at <= now) {
        return Some(Due::Destroy);
    }
    let put_off = awake && due.is_about_idleness(sandbox);
    Some(if put_off { Due::Touch } else { due })
}

/// Tells whether its time to live is over.
fn is_over(sandbox: &Sandbox, now: Timestamp) -> bool {
    let is_there = sandbox.desired != Desired::Destroyed && sandbox.observed != Observed::Destroyed;
    is_there && sandbox.destroy_at.is_some_and(|at| at <= now)
}

/// Returns what a sandbox becomes by itself if nobody uses it, and when; its time to live is apart.
pub fn next(sandbox: &Sandbox) -> Option<(Due, Timestamp)> {
    // What is being copied is not disturbed; the copy ends or fails.
    if sandbox.capturing() || sandbox.backing_up() {
        return None;
    }
    match (sandbox.desired, sandbox.observed) {
        (Desired::Started, Observed::Started) => idle(sandbox),
        (Desired::Stopped | Desired::Paused, Observed::Stopped | Observed::Ended) => stopped(sandbox),
        _ => None,
    }
}

/// What an idle sandbox becomes. The shorter interval counts; of two that are equal the stop, which frees more.
fn idle(sandbox: &Sandbox) -> Option<(Due, Timestamp)> {
    let Intervals { auto_stop, auto_pause, auto_delete, .. } = sandbox.intervals;
    let end = if auto_delete == 0 { Due::Destroy } else { Due::Stop };
    let (due, minutes) = match (auto_stop, auto_pause) {
        (0, 0) => return None,
        (0, pause) => (Due::Pause, pause),
        (stop, pause) if pause > 0 && pause < stop => (Due::Pause, pause),
        (stop, _) => (end, stop),
    };
    Some((due, after(sandbox.last_activity_at, i64::from(minutes))?))
}

/// What a stopped sandbox becomes.
fn stopped(sandbox: &Sandbox) -> Option<(Due, Timestamp)> {
    match (delete_at(sandbox), archive_at(sandbox)) {
        (Some(delete), Some(archive)) if archive < delete => Some((Due::Archive, archive)),
        (Some(delete), _) => Some((Due::Destroy, delete)),
        (None, archive) => Some((Due::Archive, archive?)),
    }
}

/// Negative means never; zero would have been right away.
fn delete_at(sandbox: &Sandbox) -> Option<Timestamp> {
    let minutes = u32::try_from(sandbox.intervals.auto_delete).ok()?;
    after(sandbox.last_activity_at, i64::from(minutes))
}

fn archive_at(sandbox: &Sandbox) -> Option<Timestamp> {
    let minutes = match sandbox.intervals.auto_archive {
        0 => Intervals::LONGEST_AUTO_ARCHIVE,
        minutes => minutes,
    };
    let at = after(sandbox.last_activity_at, i64::from(minutes))?;
    match sandbox.backup.state {
        BackupState::Error => Some(at.max(sandbox.updated_at.checked_add(BACKUP_RETRY).ok()?)),
        _ => Some(at),
    }
}

/// A moment beyond the calendar never comes.
fn after(since: Timestamp, minutes: i64) -> Option<Timestamp> {
    since.checked_add(SignedDuration::from_mins(minutes)).ok()
}
