//! Rows that lists keep: whatever is written, the next list says what the file says.

use std::time::Duration;

use store::Store;
use store::sandbox::list::{Filter, Page, SortField};
use testkit::{TestClock, sample};
use types::sandbox::{Desired, Network, Observed, Sandbox};
use types::{Clock as _, OrganizationId, SandboxId};

const TENANT: OrganizationId = OrganizationId::from_u128(1);
const OTHER: OrganizationId = OrganizationId::from_u128(2);
const PAGE: Page = Page { sort: SortField::Id, descending: false, after: None, offset: 0, limit: 100 };

async fn listed(store: &Store, organization: OrganizationId) -> Vec<Sandbox> {
    store.sandbox_list(organization, &Filter::default(), &PAGE).await.unwrap().rows
}

/// A store whose list was asked for twice, so that its rows are kept, and a place that nothing was kept in.
async fn kept() -> (Store, tempfile::TempDir) {
    let (store, directory) = crate::sandbox::store().await;
    let now = TestClock::default().now();
    for number in 1..=9 {
        let organization = if number == 9 { OTHER } else { TENANT };
        let row = sample::sandbox(SandboxId::from_u128(number), organization, now);
        let row =
            Sandbox { observed: Observed::Started, env: [("A".to_owned(), "1".to_owned())].into(), ..row };
        store.sandbox_insert(&row).await.unwrap();
    }
    let first = listed(&store, TENANT).await;
    assert_eq!(first.len(), 8);
    assert_eq!(listed(&store, TENANT).await, first);
    (store, directory)
}

/// What a store says that reads everything anew.
async fn in_the_file(directory: &tempfile::TempDir, organization: OrganizationId) -> Vec<Sandbox> {
    let fresh = Store::open(&directory.path().join("daytona.db")).await.unwrap();
    listed(&fresh, organization).await
}

#[tokio::test]
async fn every_kind_of_write_is_listed_at_once() {
    let (store, directory) = kept().await;
    let now = TestClock::default().now() + Duration::from_mins(1);
    let get = async |number| store.sandbox_get(SandboxId::from_u128(number)).await.unwrap().unwrap();
    for kind in ["desired", "observed", "touch", "expire", "desired and touch", "destroy", "insert"] {
        let before = listed(&store, TENANT).await;
        match kind {
            "desired" => {
                let row = get(1).await;
                let labels = [("a".to_owned(), "b".to_owned())].into();
                let row =
                    Sandbox { labels, public: true, network: Network::blocked(), updated_at: now, ..row };
                store.sandbox_update_desired(row).await.unwrap().unwrap();
            }
            "observed" => {
                let row = Sandbox {
                    observed: Observed::Error,
                    error_reason: Some("of a test".to_owned()),
                    ..get(2).await
                };
                store.sandbox_update_observed(row).await.unwrap().unwrap();
            }
            "touch" => store.sandbox_touch(SandboxId::from_u128(3), now).await.unwrap(),
            "expire" => {
                store.sandbox_expire(get(4).await, Desired::Stopped, now).await.unwrap().unwrap();
            }
            "desired and touch" => {
                let row = get(5).await;
                store.sandbox_touch(row.id, now).await.unwrap();
                let row = Sandbox { auth_token: "another".to_owned(), ..row };
                store.sandbox_update_desired(row).await.unwrap().unwrap();
            }
            "destroy" => {
                let row = Sandbox { observed: Observed::Destroyed, ..get(6).await };
                store.sandbox_update_observed(row).await.unwrap().unwrap();
            }
            _ => {
                let row = sample::sandbox(SandboxId::from_u128(10), TENANT, now);
                store.sandbox_insert(&row).await.unwrap();
            }
        }
        let after = listed(&store, TENANT).await;
        assert_ne!(after, before, "{kind} was not listed");
        assert_eq!(after, in_the_file(&directory, TENANT).await, "{kind}");
        // What was kept by that list is as good.
        assert_eq!(listed(&store, TENANT).await, after, "{kind}");
    }
}

#[tokio::test]
async fn a_write_that_was_too_late_is_not_listed() {
    let (store, directory) = kept().await;
    let old = store.sandbox_get(SandboxId::from_u128(1)).await.unwrap().unwrap();
    let first = Sandbox { public: true, ..old.clone() };
    store.sandbox_update_desired(first).await.unwrap().unwrap();
    let second = Sandbox { labels: [("late".to_owned(), String::new())].into(), ..old };
    assert_eq!(store.sandbox_update_desired(second).await.unwrap(), None);
    let rows = listed(&store, TENANT).await;
    assert!(rows.first().is_some_and(|row| row.public && row.labels.is_empty()));
    assert_eq!(rows, in_the_file(&directory, TENANT).await);
}

#[tokio::test]
async fn nobody_sees_what_another_organisation_keeps() {
    let (store, directory) = kept().await;
    let other = listed(&store, OTHER).await;
    assert_eq!(other.iter().map(|row| row.id).collect::<Vec<_>>(), [SandboxId::from_u128(9)]);
    assert_eq!(other, in_the_file(&directory, OTHER).await);
    let nobody = listed(&store, OrganizationId::from_u128(3)).await;
    assert_eq!(nobody, Vec::new());
}

/// Rows are kept by lists while they are written: none is ever shown as it was before an answered write.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn nothing_goes_back_while_others_list() {
    let (store, directory) = kept().await;
    let listing: Vec<_> = (0..3)
        .map(|_| {
            let store = store.clone();
            tokio::spawn(async move {
                let mut newest = 0;
                while newest < 60 {
                    let rows = listed(&store, TENANT).await;
                    let generation = rows.first().map(|row| row.generation).unwrap();
                    assert!(generation >= newest, "{generation} after {newest}");
                    newest = generation;
                    tokio::task::yield_now().await;
                }
            })
        })
        .collect();
    let mut row = store.sandbox_get(SandboxId::from_u128(1)).await.unwrap().unwrap();
    while row.generation < 60 {
        row = store.sandbox_update_desired(row).await.unwrap().unwrap();
        let shown = listed(&store, TENANT).await;
        assert!(shown.first().is_some_and(|shown| shown.generation >= row.generation));
    }
    for task in listing {
        task.await.unwrap();
    }
    assert_eq!(listed(&store, TENANT).await, in_the_file(&directory, TENANT).await);
}
