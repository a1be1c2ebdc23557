//! Every wish against every pair of states. A row is what is desired, a column what was observed; a cell is what comes of it.

use types::sandbox::{Backup, BackupState, Desired, Intervals, Observed, Sandbox};
use types::{OrganizationId, SandboxId, SnapshotId, Timestamp};

use crate::error::ApiError;
use crate::lifecycle::{copy, power, timer};

const TOKEN: &str = "a new token";
const SNAPSHOT: SnapshotId = SnapshotId::from_u128(9);

fn now() -> Timestamp {
    Timestamp::from_second(1_800_000_000).unwrap()
}

fn sandbox(desired: Desired, observed: Observed) -> Sandbox {
    let blank = testkit::sample::sandbox(SandboxId::from_u128(1), OrganizationId::from_u128(2), now());
    Sandbox { desired, observed, ..blank }
}

/// What comes of a wish, as one sign: `.` nothing changes, `s` `t` `p` `a` `d` what is desired from now on, `+` the same is
/// desired and something else changes, and in capitals why it is refused.
fn sign(before: &Sandbox, result: &Result<Sandbox, ApiError>) -> char {
    match result {
        Ok(after) if after == before => '.',
        Ok(after) if after.desired == before.desired => '+',
        Ok(after) => match after.desired {
            Desired::Started => 's',
            Desired::Stopped => 't',
            Desired::Paused => 'p',
            Desired::Archived => 'a',
            Desired::Destroyed => 'd',
        },
        Err(ApiError::StateChangeInProgress) => 'P',
        Err(error) => match error.to_string().as_str() {
            "Sandbox is in an errored state" => 'E',
            "Sandbox is not in valid state" => 'V',
            "Sandbox is not in a stoppable state" => 'U',
            "Sandbox is not stopped" => 'N',
            "Sandbox is not in an errored state" => 'H',
            "Sandbox is not recoverable" => 'R',
            other => panic!("{other}"),
        },
    }
}

#[track_caller]
fn assert_table(table: &str, wish: impl Fn(Sandbox) -> Result<Sandbox, ApiError>) {
    let mut lines = table.trim().lines().map(str::split_whitespace);
    let columns: Vec<_> = lines.next().unwrap().map(|word| Observed::parse(word).unwrap()).collect();
    assert_eq!(columns, Observed::ALL);
    let mut seen = 0;
    for mut line in lines {
        let desired = Desired::parse(line.next().unwrap()).unwrap();
        for (observed, expected) in columns.iter().zip(line) {
            let before = sandbox(desired, *observed);
            let came = sign(&before, &wish(before.clone()));
            assert_eq!(came.to_string(), expected, "{desired:?} {observed:?}");
            seen += 1;
        }
    }
    assert_eq!(seen, Desired::ALL.len() * Observed::ALL.len());
}

#[test]
fn start() {
    let table = "
                  unknown absent started stopped ended error destroyed paused archived
        started   .       .      .       .       .     E     P         .      .
        stopped   P       P      P       s       s     E     P         P      s
        destroyed P       P      P       P       P     P     P         P      P
        archived  P       P      P       s       s     E     P         P      s
        paused    P       P      P       s       s     E     P         s      s";
    assert_table(table, |sandbox| power::start(sandbox, TOKEN, now()));
}

#[test]
fn only_what_was_paused_keeps_its_preview_links_over_a_start() {
    for (desired, observed, kept) in [
        (Desired::Stopped, Observed::Stopped, false),
        (Desired::Archived, Observed::Archived, false),
        (Desired::Paused, Observed::Stopped, false),
        (Desired::Paused, Observed::Paused, true),
    ] {
        let before = sandbox(desired, observed);
        let after = power::start(before.clone(), TOKEN, now()).unwrap();
        assert_eq!(after.auth_token == before.auth_token, kept, "{desired:?} {observed:?}");
        assert_eq!(after.auth_token == TOKEN, !kept);
    }
}

#[test]
fn stop() {
    let table = "
                  unknown absent started stopped ended error destroyed paused archived
        started   P       P      t       P       P     E     P         P      P
        stopped   +       +      +       .       .     E     P         +      .
        destroyed P       P      P       P       P     P     P         P      P
        archived  P       P      P       P       P     E     P         P      U
        paused    P       P      P       t       t     E     P         t      U";
    assert_table(table, |sandbox| power::stop(sandbox, true, now()));
    // One that goes as soon as it stops goes.
    let table = "
                  unknown absent started stopped ended error destroyed paused archived
        started   P       P      d       P       P     E     P         P      P
        stopped   .       .      .       .       .     E     P         .      .
        destroyed P       P      P       P       P     P     P         P      P
        archived  P       P      P       P       P     E     P         P      U
        paused    P       P      P       d       d     E     P         d      U";
    let ephemeral = |sandbox: Sandbox| {
        let before = sandbox.intervals;
        let intervals = Intervals { auto_delete: 0, ..before };
        let after = power::stop(Sandbox { intervals, ..sandbox }, false, now())?;
        Ok(Sandbox { intervals: before, ..after })
    };
    assert_table(table, ephemeral);
}

#[test]
fn pause() {
    let table = "
                  unknown absent started stopped ended error destroyed paused archived
        started   P       P      p       P       P     E     P         P      P
        stopped   P       P      P       V       V     E     P         P      P
        destroyed P       P      P       P       P     P     P         P      P
        archived  P       P      P       P       P     E     P         P      V
        paused    P       P      .       V       V     E     P         .      V";
    assert_table(table, |sandbox| power::pause(sandbox, now()));
}

#[test]
fn archive() {
    let table = "
                  unknown absent started stopped ended error destroyed paused archived
        started   P       P      N       P       P     N     P         P      P
        stopped   P       P      P       a       N     N     P         P      P
        destroyed P       P      P       P       P     P     P         P      P
        archived  P       P      P       .       P     N     P         P      .
        paused    P       P      P       a       N     N     P         N      N";
    assert_table(table, copy::archive);
    let intervals = Intervals { auto_delete: 0, ..Intervals::default() };
    let ephemeral = Sandbox { intervals, ..sandbox(Desired::Stopped, Observed::Stopped) };
    assert_eq!(copy::archive(ephemeral).unwrap_err().to_string(), "Ephemeral sandboxes cannot be archived");
}

const COPIES: &str = "
                  unknown absent started stopped ended error destroyed paused archived
        started   P       P      +       P       P     E     P         P      P
        stopped   P       P      P       +       E     E     P         P      P
        destroyed P       P      P       P       P     P     P         P      P
        archived  P       P      P       P       P     E     P         P      V
        paused    P       P      P       +       E     E     P         +      V";

#[test]
fn copies() {
    assert_table(COPIES, copy::backup);
    assert_table(COPIES, |sandbox| copy::capture(sandbox, SNAPSHOT));
    assert_table(&COPIES.replace('+', "."), copy::copyable);
}

#[test]
fn a_backup_of_what_cannot_have_changed_stands() {
    for (desired, observed, state, expected) in [
        (Desired::Stopped, Observed::Stopped, BackupState::Completed, '.'),
        (Desired::Archived, Observed::Archived, BackupState::Completed, '.'),
        (Desired::Started, Observed::Started, BackupState::Completed, '+'),
        (Desired::Paused, Observed::Paused, BackupState::Completed, '+'),
        (Desired::Stopped, Observed::Stopped, BackupState::Error, '+'),
        (Desired::Started, Observed::Started, BackupState::Pending, '.'),
        (Desired::Started, Observed::Started, BackupState::InProgress, '.'),
        (Desired::Destroyed, Observed::Started, BackupState::InProgress, 'P'),
    ] {
        let before = Sandbox { backup: Backup { state, ..Backup::default() }, ..sandbox(desired, observed) };
        let result = copy::backup(before.clone());
        assert_eq!(sign(&before, &result), expected, "{desired:?} {observed:?} {state:?}");
        if expected == '+' {
            assert_eq!(result.unwrap().backup.state, BackupState::Pending);
        }
    }
}

#[test]
fn recover() {
    // What is desired already still changes: it is to be repaired first.
    let table = "
                  unknown absent started stopped ended error destroyed paused archived
        started   H       H      H       H       P     +     P         H      H
        stopped   H       H      H       H       s     s     P         H      H
        destroyed P       P      P       P       P     P     P         P      P
        archived  H       H      H       H       s     s     P         H      H
        paused    H       H      H       H       s     s     P         H      H";
    let broken = |sandbox: Sandbox| {
        let after = power::recover(Sandbox { recoverable: true, ..sandbox }, false, TOKEN, now())?;
        assert!(after.recovering);
        assert_eq!(after.auth_token, TOKEN);
        Ok(Sandbox { recoverable: false, ..after })
    };
    assert_table(table, broken);
    let hopeless = sandbox(Desired::Started, Observed::Error);
    assert_eq!(sign(&hopeless, &power::recover(hopeless.clone(), false, TOKEN, now())), 'R');
    let ended = sandbox(Desired::Stopped, Observed::Ended);
    let kept = power::recover(ended.clone(), true, TOKEN, now()).unwrap();
    assert_eq!((kept.desired, kept.recovering), (Desired::Stopped, true));
    assert_eq!(kept.auth_token, ended.auth_token);
}

#[test]
fn asking_for_a_repair_again_changes_only_what_follows_it() {
    let under_way = Sandbox { recovering: true, ..sandbox(Desired::Started, Observed::Error) };
    let again = power::recover(under_way.clone(), false, "another token", now());
    assert_eq!(sign(&under_way, &again), '.');
    assert_eq!(sign(&under_way, &power::recover(under_way.clone(), true, TOKEN, now())), 't');
    assert_eq!(sign(&under_way, &power::start(under_way.clone(), TOKEN, now())), '.');
    assert_eq!(sign(&under_way, &power::stop(under_way.clone(), false, now())), 'P');
}

#[test]
fn nothing_is_asked_of_a_sandbox_that_is_being_copied_or_resized() {
    let running = Sandbox { capture: Some(SNAPSHOT), ..sandbox(Desired::Started, Observed::Started) };
    let stopped = Sandbox { capture: Some(SNAPSHOT), ..sandbox(Desired::Stopped, Observed::Stopped) };
    for result in [
        power::start(stopped.clone(), TOKEN, now()),
        power::stop(running.clone(), false, now()),
        power::pause(running.clone(), now()),
        power::resize(running.clone()),
        copy::archive(stopped.clone()),
        copy::backup(running.clone()),
        copy::capture(stopped.clone(), SNAPSHOT),
        copy::copyable(running.clone()),
    ] {
        assert!(matches!(result, Err(ApiError::StateChangeInProgress)), "{result:?}");
    }
    let blank = sandbox(Desired::Started, Observed::Started);
    let applied = types::resource::Resources { cpu: blank.resources.cpu + 1, ..blank.resources };
    let resizing = Sandbox { resources_applied: Some(applied), ..blank };
    for result in [
        power::pause(resizing.clone(), now()),
        power::resize(resizing.clone()),
        copy::copyable(resizing.clone()),
    ] {
        assert!(matches!(result, Err(ApiError::StateChangeInProgress)), "{result:?}");
    }
    assert_eq!(sign(&running, &power::delete(running.clone(), 0)), 'd', "it can always go");
}

#[test]
fn resize() {
    let table = "
                  unknown absent started stopped ended error destroyed paused archived
        started   P       P      .       P       P     E     P         P      P
        stopped   P       P      P       .       .     E     P         P      P
        destroyed P       P      P       P       P     P     P         P      P
        archived  P       P      P       P       P     E     P         P      V
        paused    P       P      P       .       .     E     P         V      V";
    assert_table(table, power::resize);
}

#[test]
fn delete() {
    let table = "
                  unknown absent started stopped ended error destroyed paused archived
        started   d       d      d       d       d     d     d         d      d
        stopped   d       d      d       d       d     d     d         d      d
        destroyed .       .      .       .       .     .     .         .      .
        archived  d       d      d       d       d     d     d         d      d
        paused    d       d      d       d       d     d     d         d      d";
    assert_table(table, |sandbox| power::delete(sandbox, 0));
    let parent = sandbox(Desired::Started, Observed::Started);
    let refused = power::delete(parent, 2).unwrap_err().to_string();
    assert_eq!(refused, "Sandbox has active fork children: delete them first (2 of them)");
}

#[test]
fn links() {
    let owner = sandbox(Desired::Started, Observed::Started);
    assert!(copy::link(&owner, 0).is_ok());
    assert!(copy::link(&sandbox(Desired::Stopped, Observed::Stopped), 0).is_ok());
    let linked = Sandbox { linked_id: Some(SandboxId::from_u128(3)), ..owner.clone() };
    for (owner, auto_delete, message) in [
        (owner.clone(), -1, "Linked sandboxes must be ephemeral (autoDeleteInterval=0)"),
        (owner, 5, "Linked sandboxes must be ephemeral (autoDeleteInterval=0)"),
        (
            linked,
            0,
            "Linked sandboxes cannot themselves be linked to: name the sandbox that they are linked to",
        ),
        (
            sandbox(Desired::Archived, Observed::Archived),
            0,
            "The sandbox to link to must be started or stopped, and is archived",
        ),
        (
            sandbox(Desired::Destroyed, Observed::Started),
            0,
            "The sandbox to link to must be started or stopped, and is destroying",
        ),
    ] {
        assert_eq!(copy::link(&owner, auto_delete).unwrap_err().to_string(), message);
    }
}

#[test]
fn at_most_one_idle_time_is_set() {
    let both = "At most one of autoStopInterval and autoPauseInterval may be non-zero";
    let ephemeral = "Auto-pause is not allowed for ephemeral sandboxes (autoDeleteInterval=0)";
    for (stop, pause, delete, expected) in [
        (None, None, None, Ok((15, 0))),
        (None, Some(0), None, Ok((15, 0))),
        (Some(0), None, None, Ok((0, 0))),
        (None, Some(5), None, Ok((0, 5))),
        (Some(0), Some(5), None, Ok((0, 5))),
        (Some(7), Some(0), None, Ok((7, 0))),
        (Some(7), Some(5), None, Err(both)),
        (None, Some(5), Some(0), Err(ephemeral)),
        (Some(7), None, Some(0), Ok((7, 0))),
    ] {
        let came = timer::fresh(stop, pause, None, delete);
        let came = came.map(|intervals| (intervals.auto_stop, intervals.auto_pause));
        let came = came.map_err(|error| error.to_string());
        assert_eq!(came, expected.map_err(str::to_owned), "{stop:?} {pause:?} {delete:?}");
    }
    let idle = |sandbox: &Sandbox| (sandbox.intervals.auto_stop, sandbox.intervals.auto_pause);
    let sandbox = sandbox(Desired::Started, Observed::Started);
    let paused = timer::auto_pause(sandbox, 60).unwrap();
    assert_eq!(idle(&paused), (0, 60));
    let off = timer::auto_stop(paused.clone(), 0);
    assert_eq!(idle(&off), (0, 60));
    let stopped = timer::auto_stop(paused.clone(), 10);
    assert_eq!(idle(&stopped), (10, 0));
    assert_eq!(idle(&timer::auto_pause(stopped.clone(), 0).unwrap()), (10, 0));
    assert_eq!(timer::auto_delete(paused, 0).unwrap_err().to_string(), ephemeral);
    let short = timer::auto_delete(stopped, 0).unwrap();
    assert_eq!(timer::auto_pause(short.clone(), 1).unwrap_err().to_string(), ephemeral);
    assert!(timer::auto_pause(short.clone(), 0).is_ok());
    let linked = Sandbox { linked_id: Some(SandboxId::from_u128(3)), ..short };
    assert!(timer::auto_delete(linked.clone(), -1).is_err());
    assert!(timer::auto_delete(linked, 0).is_ok());
}

#[test]
fn a_time_to_live_counts_from_now() {
    assert_eq!(timer::end(0, now()).unwrap(), None);
    assert_eq!(timer::end(2, now()).unwrap(), Timestamp::from_second(1_800_000_120).ok());
    assert!(timer::end(i32::MAX.unsigned_abs(), now()).unwrap().is_some());
    assert!(timer::end(1, Timestamp::MAX).is_err());
}
