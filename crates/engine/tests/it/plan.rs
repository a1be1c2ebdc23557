//! The plan as a table.

use engine::plan::{Step, plan};
use testkit::{TestClock, sample};
use types::resource::Resources;
use types::sandbox::{Desired, Network, Observed, Sandbox};
use types::{Clock as _, OrganizationId, SandboxId};

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
    let stop = Some(Step::Stop { force: false });
    let table = [
        (D::Started, O::Unknown, Some(Step::Observe)),
        (D::Started, O::Absent, Some(Step::Create)),
        (D::Started, O::Started, None),
        (D::Started, O::Stopped, Some(Step::Start)),
        (D::Started, O::Ended, Some(Step::Start)),
        (D::Started, O::Error, None),
        (D::Started, O::Destroyed, None),
        (D::Stopped, O::Unknown, Some(Step::Observe)),
        (D::Stopped, O::Absent, Some(Step::Create)),
        (D::Stopped, O::Started, stop),
        (D::Stopped, O::Stopped, None),
        (D::Stopped, O::Ended, None),
        (D::Stopped, O::Error, None),
        (D::Stopped, O::Destroyed, None),
        (D::Destroyed, O::Unknown, Some(Step::Destroy)),
        (D::Destroyed, O::Absent, Some(Step::Destroy)),
        (D::Destroyed, O::Started, Some(Step::Destroy)),
        (D::Destroyed, O::Stopped, Some(Step::Destroy)),
        (D::Destroyed, O::Ended, Some(Step::Destroy)),
        (D::Destroyed, O::Error, Some(Step::Destroy)),
        (D::Destroyed, O::Destroyed, None),
    ];
    assert_eq!(table.len(), Desired::ALL.len() * Observed::ALL.len());
    for (desired, observed, expected) in table {
        assert_eq!(plan(&sandbox(desired, observed)), expected, "{desired:?} {observed:?}");
    }
}

#[test]
fn rest_and_plan_agree() {
    for desired in Desired::ALL {
        for observed in Observed::ALL {
            // A destroyed row that is asked to run cannot be written by anyone: nothing is planned for it.
            if observed == Observed::Destroyed {
                continue;
            }
            for network_applied in [None, Some(Network::blocked()), Some(Network::default())] {
                for resources_applied in [None, Some(Resources { cpu: 7, ..Resources::default() })] {
                    let row = Sandbox {
                        network_applied: network_applied.clone(),
                        resources_applied,
                        ..sandbox(desired, observed)
                    };
                    let case = format!("{desired:?} {observed:?} {network_applied:?} {resources_applied:?}");
                    assert_eq!(plan(&row).is_none(), row.at_rest(), "{case}");
                }
                let row = Sandbox { network_applied: network_applied.clone(), ..sandbox(desired, observed) };
                assert_eq!(
                    plan(&row).is_none(),
                    row.at_rest(),
                    "{desired:?} {observed:?} {network_applied:?}"
                );
            }
        }
    }
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
    for observed in [Observed::Stopped, Observed::Ended] {
        let resting = Sandbox { resources, ..sandbox(Desired::Stopped, observed) };
        assert_eq!((plan(&resting), resting.reported()), (Some(Step::Resize(resources)), "resizing"));
    }
    let stopping = Sandbox { resources, ..sandbox(Desired::Stopped, Observed::Started) };
    assert_eq!((plan(&stopping), stopping.reported()), (Some(Step::Stop { force: false }), "stopping"));
}
