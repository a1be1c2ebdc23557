//! Admission: what an organisation uses together never passes its quota, however many ask at once.

use sqlx::Row as _;
use sqlx::sqlite::SqliteConnectOptions;
use store::{Store, StoreError};
use testkit::{TestClock, sample};
use types::quota::{Dimension, Quota, Usage};
use types::resource::Resources;
use types::sandbox::{Desired, Observed, Sandbox};
use types::{Clock as _, OrganizationId, SandboxId};

const TENANT: OrganizationId = OrganizationId::from_u128(1);
const OTHER: OrganizationId = OrganizationId::from_u128(2);

fn sandbox(number: u128) -> Sandbox {
    let resources = Resources { cpu: 2, gpu: 0, memory_gib: 3, disk_gib: 5 };
    let row = sample::sandbox(SandboxId::from_u128(number), TENANT, TestClock::default().now());
    Sandbox { resources, ..row }
}

fn stopped(number: u128) -> Sandbox {
    Sandbox { desired: Desired::Stopped, observed: Observed::Stopped, ..sandbox(number) }
}

fn started(row: &Sandbox) -> Sandbox {
    Sandbox { desired: Desired::Started, ..row.clone() }
}

fn is_full(result: &Result<impl Sized, StoreError>, wanted: Dimension, bound: u32) -> bool {
    matches!(result, Err(StoreError::Quota { dimension, most }) if *dimension == wanted && *most == bound)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_fifty_who_ask_at_once_ten_are_let_in() {
    let (store, _directory) = crate::sandbox::store().await;
    let quota = Quota { cpu: Some(21), ..Quota::default() };
    let asking: Vec<_> = (0..50)
        .map(|number| {
            let store = store.clone();
            tokio::spawn(async move { store.sandbox_admit(&sandbox(number), &quota).await })
        })
        .collect();
    let mut admitted = 0;
    for one in asking {
        match one.await.unwrap() {
            Ok(()) => admitted += 1,
            refused => assert!(is_full(&refused, Dimension::Cpu, 21), "{refused:?}"),
        }
    }
    assert_eq!(admitted, 10);
    let elsewhere = Sandbox { organization_id: OTHER, ..sandbox(99) };
    store.sandbox_admit(&elsewhere, &quota).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_twenty_who_start_at_once_three_are_let_in() {
    let (store, _directory) = crate::sandbox::store().await;
    let quota = Quota { memory_gib: Some(11), disk_gib: Some(100), ..Quota::default() };
    for number in 0..20 {
        store.sandbox_admit(&stopped(number), &quota).await.unwrap();
    }
    assert!(is_full(&store.sandbox_admit(&stopped(20), &quota).await, Dimension::Disk, 100));
    let asking: Vec<_> = (0..20)
        .map(|number| {
            let store = store.clone();
            tokio::spawn(async move {
                store.sandbox_update_desired_within(started(&stopped(number)), &quota).await
            })
        })
        .collect();
    let mut admitted = 0;
    for one in asking {
        match one.await.unwrap() {
            Ok(written) => admitted += u32::from(written.is_some()),
            refused => assert!(is_full(&refused, Dimension::Memory, 11), "{refused:?}"),
        }
    }
    assert_eq!(admitted, 3);
}

#[tokio::test]
async fn each_bound_is_told_by_its_name() {
    let (store, _directory) = crate::sandbox::store().await;
    let quotas = [
        (Quota { cpu: Some(3), ..Quota::default() }, Dimension::Cpu, 3),
        (Quota { memory_gib: Some(5), ..Quota::default() }, Dimension::Memory, 5),
        (Quota { disk_gib: Some(9), ..Quota::default() }, Dimension::Disk, 9),
        (Quota { sandboxes: Some(1), ..Quota::default() }, Dimension::Sandboxes, 1),
    ];
    for (quota, dimension, bound) in quotas {
        let alone = Quota { sandboxes: Some(0), ..Quota::default() };
        assert!(
            is_full(&store.sandbox_admit(&sandbox(9), &alone).await, Dimension::Sandboxes, 0),
            "alone it is too much"
        );
        let fits = Sandbox {
            id: SandboxId::from_u128(u128::from(bound) + 100),
            name: format!("{dimension:?}"),
            ..sandbox(1)
        };
        store.sandbox_admit(&fits, &quota).await.unwrap();
        let refused = store.sandbox_admit(&sandbox(8), &quota).await;
        assert!(is_full(&refused, dimension, bound), "{refused:?}");
        let gone = Sandbox { desired: Desired::Destroyed, ..fits };
        let gone = store.sandbox_update_desired_within(gone, &quota).await.unwrap().unwrap();
        let gone = Sandbox { observed: Observed::Destroyed, ..gone };
        store.sandbox_update_observed(gone).await.unwrap().unwrap();
    }
    assert_eq!(store.sandbox_get(SandboxId::from_u128(8)).await.unwrap(), None);
}

#[tokio::test]
async fn a_change_counts_the_sandbox_once() {
    let (store, _directory) = crate::sandbox::store().await;
    let quota = Quota { cpu: Some(4), disk_gib: Some(6), ..Quota::default() };
    store.sandbox_admit(&sandbox(1), &quota).await.unwrap();
    let larger =
        Sandbox { resources: Resources { cpu: 4, disk_gib: 6, ..sandbox(1).resources }, ..sandbox(1) };
    let larger = store.sandbox_update_desired_within(larger, &quota).await.unwrap().unwrap();
    let too_large = Sandbox { resources: Resources { cpu: 5, ..larger.resources }, ..larger.clone() };
    assert!(is_full(
        &store.sandbox_update_desired_within(too_large.clone(), &quota).await,
        Dimension::Cpu,
        4
    ));
    let stale = Sandbox { generation: 1, ..larger };
    assert!(
        matches!(store.sandbox_update_desired_within(stale, &quota).await, Ok(None)),
        "a lost race is none of the quota's"
    );
    assert!(store.sandbox_update_desired(too_large).await.unwrap().is_some(), "unbounded as it says");
}

/// `sandbox_use` says in SQL what `Usage::by` says.
#[tokio::test]
async fn rows_count_for_what_sandboxes_do() {
    let (store, directory) = crate::sandbox::store().await;
    let mut number = 0;
    for desired in Desired::ALL {
        for observed in Observed::ALL {
            for recovering in [false, true] {
                number += 1;
                let row = Sandbox { desired, observed, recovering, ..sandbox(number) };
                store.sandbox_insert(&row).await.unwrap();
                assert_eq!(used(&store, directory.path(), row.id).await, Usage::by(&row), "{row:?}");
            }
        }
    }
    assert!(number > 80);
}

async fn used(store: &Store, directory: &std::path::Path, id: SandboxId) -> Usage {
    store.check().await.unwrap();
    let options = SqliteConnectOptions::new().filename(directory.join("daytona.db"));
    let pool = sqlx::SqlitePool::connect_with(options).await.unwrap();
    let query = sqlx::query("SELECT * FROM sandbox_use WHERE id = $1").bind(id.to_string());
    let row = query.fetch_optional(&pool).await.unwrap();
    pool.close().await;
    row.map_or(Usage::default(), |row| Usage {
        cpu: row.get("cpu"),
        memory_gib: row.get("memory_gib"),
        disk_gib: row.get("disk_gib"),
        sandboxes: 1,
    })
}
