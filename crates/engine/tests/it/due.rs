//! What the store lists as due, against what is due, over rows of every kind.

use std::time::Duration;

use engine::due::due;
use testkit::TestClock;
use types::sandbox::{Desired, Intervals, Observed, Sandbox};
use types::{Clock as _, SandboxId, Timestamp};

use crate::house::House;

fn now() -> Timestamp {
    TestClock::default().now()
}

/// One row of each kind, aged by some minutes.
fn rows(house: &House) -> Vec<Sandbox> {
    let mut rows = Vec::new();
    for desired in Desired::ALL {
        for observed in Observed::ALL {
            for intervals in [
                Intervals { auto_stop: 15, auto_pause: 0, auto_archive: 60, auto_delete: -1 },
                Intervals { auto_stop: 0, auto_pause: 10, auto_archive: 0, auto_delete: 30 },
                Intervals { auto_stop: 0, auto_pause: 0, auto_archive: 43_200, auto_delete: 0 },
            ] {
                for (age, lives) in [(0, None), (15, None), (60, Some(1)), (43_200, Some(50_000))] {
                    let number = u128::try_from(rows.len()).unwrap() + 1;
                    let then = now() - Duration::from_mins(age);
                    let mut row = Sandbox { desired, observed, intervals, ..house.sandbox(number) };
                    row.last_activity_at = then;
                    row.network_applied = Some(row.network.clone());
                    row.resources_applied = Some(row.resources);
                    row.destroy_at = lives.map(|minutes| then + Duration::from_mins(minutes));
                    rows.push(row);
                }
            }
        }
    }
    rows
}

#[tokio::test]
async fn whatever_is_due_is_listed_and_what_cannot_be_due_is_not() {
    let house = House::new().await;
    let rows = rows(&house);
    for row in &rows {
        house.insert(row.clone()).await;
    }
    let listed: Vec<SandboxId> =
        house.store.sandbox_list_due(now()).await.unwrap().into_iter().map(|row| row.id).collect();
    let mut found = 0;
    for row in &rows {
        let is_due = due(row, now(), false).is_some();
        found += usize::from(is_due);
        assert_eq!(listed.contains(&row.id), is_due, "{:?} {:?} {row:?}", row.desired, row.observed);
    }
    assert!(found > 30 && found < rows.len() / 2, "{found} of {}", rows.len());
}
