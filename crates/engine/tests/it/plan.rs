//! The plan as a table.

use engine::plan::{Step, plan};
use engine::seen::Seen;
use testkit::{TestClock, sample};
use types::resource::Resources;
use types::sandbox::{Backup, BackupState, Desired, Network, Observed, Sandbox};
use types::{Clock as _, OrganizationId, SandboxId, SnapshotId};

fn sandbox(desired: Desired, observed: Observed) -> Sandbox {
    let row =
        sample::sandbox(SandboxId::from_u128(1), OrganizationId::from_u128(1), TestClock::default().now());
    let (network_applied, resources_applied) = (Some(Network::default()), Some(row.resources));
    Sandbox { desired, observed, network_applied, resources_applied, ..row }
}

#[test]
fn every_pair_has_its_step() {
    use Desired as D;
    use Observed as O;
    use Step as S;
    let stop = || Some(S::Stop { force: false });
    // In the order of `Desired::ALL`: started, stopped, destroyed, archived, paused.
    let table = [
        (
            O::Unknown,
            [Some(S::Observe), Some(S::Observe), Some(S::Destroy), Some(S::Observe), Some(S::Observe)],
        ),
        (O::Absent, [Some(S::Create), Some(S::Create), Some(S::Destroy), Some(S::Create), Some(S::Create)]),
        (O::Started, [None, stop(), Some(S::Destroy), stop(), Some(S::Pause)]),
        (O::Stopped, [Some(S::Start), None, Some(S::Destroy), Some(S::BeginBackup), None]),
        (O::Ended, [Some(S::Start), None, Some(S::Destroy), Some(S::BeginBackup), None]),
        (O::Error, [None, None, Some(S::Destroy), None, None]),
        (O::Destroyed, [None, None, None, None, None]),
        (O::Paused, [Some(S::Resume), stop(), Some(S::Destroy), stop(), None]),
        (O::Archived, [Some(S::Restore), Some(S::Restore), Some(S::Destroy), None, None]),
    ];
    assert_eq!(table.len(), Observed::ALL.len());
    assert_eq!(Desired::ALL, [D::Started, D::Stopped, D::Destroyed, D::Archived, D::Paused]);
    for (observed, steps) in table {
        for (desired, expected) in Desired::ALL.into_iter().zip(steps) {
            assert_eq!(plan(&sandbox(desired, observed)), expected, "{desired:?} {observed:?}");
        }
    }
}

#[test]
fn rest_and_plan_agree_whatever_else_the_row_tells() {
    let other = Resources { cpu: 7, ..Resources::default() };
    let mut rows = 0;
    for (desired, observed) in
        Desired::ALL.into_iter().flat_map(|desired| Observed::ALL.map(|seen| (desired, seen)))
    {
        for network_applied in [None, Some(Network::blocked()), Some(Network::default())] {
            for resources_applied in [None, Some(other), Some(Resources::default())] {
                for backup in BackupState::ALL {
                    for (capture, recovering) in [(false, false), (true, false), (false, true), (true, true)]
                    {
                        let row = Sandbox {
                            network_applied: network_applied.clone(),
                            resources_applied,
                            backup: Backup { state: backup, ..Backup::default() },
                            capture: capture.then(|| SnapshotId::from_u128(1)),
                            recovering,
                            ..sandbox(desired, observed)
                        };
                        assert_eq!(plan(&row).is_none(), row.at_rest(), "{row:?}");
                        rows += 1;
                    }
                }
            }
        }
    }
    assert_eq!(rows, 45 * 3 * 3 * 5 * 4);
}

#[test]
fn an_archive_is_a_backup_of_what_last_ran_and_then_a_release() {
    let archive = |state, capture: Option<SnapshotId>| {
        let backup = Backup { state, ..Backup::default() };
        plan(&Sandbox { backup, capture, ..sandbox(Desired::Archived, Observed::Stopped) })
    };
    assert_eq!(archive(BackupState::Pending, None), Some(Step::BeginBackup));
    assert_eq!(archive(BackupState::Error, None), Some(Step::BeginBackup));
    assert_eq!(archive(BackupState::InProgress, None), Some(Step::Backup));
    assert_eq!(archive(BackupState::Completed, None), Some(Step::Release));
    let snapshot = SnapshotId::from_u128(1);
    assert_eq!(archive(BackupState::Completed, Some(snapshot)), Some(Step::Capture(snapshot)));
}

#[test]
fn a_backup_is_outdated_before_what_it_is_of_runs() {
    let backup = Backup { state: BackupState::Completed, ..Backup::default() };
    let row = Sandbox { backup, ..sandbox(Desired::Started, Observed::Stopped) };
    assert_eq!(plan(&row), Some(Step::OutdateBackup));
    let row = Seen::BackupOutdated.apply(row, TestClock::default().now());
    assert_eq!((row.backup.state, plan(&row)), (BackupState::None, Some(Step::Start)));
}

#[test]
fn what_is_recovered_comes_from_its_backup_or_is_repaired_where_it_is() {
    for observed in [Observed::Error, Observed::Ended] {
        for desired in [Desired::Started, Desired::Stopped] {
            let broken = Sandbox { recovering: true, ..sandbox(desired, observed) };
            assert_eq!((plan(&broken), broken.reported()), (Some(Step::Recover), "restoring"));
            let backup = Backup { state: BackupState::Completed, ..Backup::default() };
            assert_eq!(plan(&Sandbox { backup, ..broken }), Some(Step::Restore));
        }
    }
    let going = Sandbox { recovering: true, ..sandbox(Desired::Destroyed, Observed::Error) };
    assert_eq!(plan(&going), Some(Step::Destroy));
}

#[test]
fn a_fork_is_made_of_its_parent_and_called_so() {
    let parent_id = Some(SandboxId::from_u128(7));
    let child = Sandbox { parent_id, ..sandbox(Desired::Started, Observed::Absent) };
    assert_eq!(plan(&child), Some(Step::Fork { parent: SandboxId::from_u128(7) }));
    assert_eq!(child.reported(), "forking");
    assert_eq!(Sandbox { observed: Observed::Started, ..child }.reported(), "started");
}

#[test]
fn what_is_resumed_obeys_the_policy_that_was_set_while_it_was_held() {
    let held = Sandbox { network: Network::blocked(), ..sandbox(Desired::Started, Observed::Paused) };
    assert_eq!(plan(&held), Some(Step::SetNetwork(Network::blocked())));
    let row = Seen::NetworkApplied(Network::blocked()).apply(held, TestClock::default().now());
    assert_eq!((row.observed, plan(&row)), (Observed::Paused, Some(Step::Resume)));
}

#[test]
fn a_policy_that_is_not_in_force_is_set_only_where_something_runs() {
    let shut = Network::blocked;
    let running = Sandbox { network: shut(), ..sandbox(Desired::Started, Observed::Started) };
    assert_eq!(plan(&running), Some(Step::SetNetwork(shut())));
    let never_applied = Sandbox { network_applied: None, ..sandbox(Desired::Started, Observed::Started) };
    assert_eq!(plan(&never_applied), Some(Step::SetNetwork(Network::default())));
    let stopped = Sandbox { network: shut(), ..sandbox(Desired::Stopped, Observed::Stopped) };
    assert_eq!(plan(&stopped), None);
    let forced = Sandbox { stop_forced: true, ..sandbox(Desired::Stopped, Observed::Started) };
    assert_eq!(plan(&forced), Some(Step::Stop { force: true }));
}

#[test]
fn new_limits_are_put_in_force_where_there_is_something_to_limit() {
    let resources = Resources { cpu: 2, ..Resources::default() };
    let started = Sandbox { resources, ..sandbox(Desired::Started, Observed::Started) };
    assert_eq!((plan(&started), started.reported()), (Some(Step::Resize(resources)), "resizing"));
    assert_eq!((started.reported_desired(), started.desired.as_str()), ("resized", "started"));
    for observed in [Observed::Stopped, Observed::Ended] {
        let resting = Sandbox { resources, ..sandbox(Desired::Stopped, observed) };
        assert_eq!((plan(&resting), resting.reported()), (Some(Step::Resize(resources)), "resizing"));
    }
    let stopping = Sandbox { resources, ..sandbox(Desired::Stopped, Observed::Started) };
    assert_eq!((plan(&stopping), stopping.reported()), (Some(Step::Stop { force: false }), "stopping"));
}
