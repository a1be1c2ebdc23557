//! Lists: every filter, every order, and pages that neither miss nor repeat.

use std::time::Duration;

use store::Store;
use store::sandbox::list::{Filter, Page, Range, SortField};
use testkit::{TestClock, sample};
use types::resource::Resources;
use types::sandbox::{Desired, Observed, Sandbox};
use types::{Clock as _, OrganizationId, SandboxId, SnapshotId};

const TENANT: OrganizationId = OrganizationId::from_u128(1);

fn page(sort: SortField) -> Page {
    Page { sort, descending: false, after: None, offset: 0, limit: 100 }
}

async fn filled() -> (Store, tempfile::TempDir) {
    let (store, directory) = crate::sandbox::store().await;
    let start = TestClock::default().now();
    for number in 0..7_u32 {
        let id = SandboxId::from_u128(u128::from(number) + 1);
        let mut row = sample::sandbox(id, TENANT, start + Duration::from_secs(u64::from(number) / 2));
        row.name = format!("{}_box%{number}", if number % 2 == 0 { "Even" } else { "odd" });
        row.resources = Resources { cpu: number + 1, gpu: 0, memory_gib: 2, disk_gib: 10 - number };
        row.labels =
            [("parity".to_owned(), (number % 2).to_string()), ("a\"b".to_owned(), "c'd".to_owned())].into();
        row.public = number == 3;
        row.region = if number == 4 { "eu" } else { "us" }.to_owned();
        row.capture = (number == 3).then(|| SnapshotId::from_u128(1));
        row.recoverable = number == 2;
        row.destroy_at = (number == 1).then_some(start);
        row.network_applied = Some(row.network.clone());
        row.resources_applied = Some(row.resources);
        (row.desired, row.observed) = match number {
            5 => (Desired::Destroyed, Observed::Error),
            6 => (Desired::Destroyed, Observed::Destroyed),
            _ => (Desired::Started, Observed::Started),
        };
        store.sandbox_insert(&row).await.unwrap();
    }
    (store, directory)
}

#[tokio::test]
async fn filters_let_through_what_they_name() {
    let (store, _directory) = filled().await;
    let start = TestClock::default().now();
    let label = |key: &str, value: &str| (key.to_owned(), value.to_owned());
    let cases: [(Filter, &[u32]); 19] = [
        (Filter::default(), &[0, 1, 2, 3, 4]),
        (Filter { errored_deleted: true, ..Filter::default() }, &[0, 1, 2, 3, 4, 5]),
        (Filter { name_prefix: Some("eVEN_".to_owned()), ..Filter::default() }, &[0, 2, 4]),
        (Filter { name_prefix: Some("even%".to_owned()), ..Filter::default() }, &[]),
        (
            Filter {
                id_prefix: Some("00000000-0000-0000-0000-000000000002".to_owned()),
                ..Filter::default()
            },
            &[1],
        ),
        (Filter { labels: vec![label("parity", "1"), label("a\"b", "c'd")], ..Filter::default() }, &[1, 3]),
        (Filter { labels: vec![label("parity", "1' OR 1=1 --")], ..Filter::default() }, &[]),
        (Filter { states: Some(vec![]), ..Filter::default() }, &[]),
        (
            Filter {
                states: Some(vec!["destroying".to_owned()]),
                errored_deleted: true,
                ..Filter::default()
            },
            &[5],
        ),
        (Filter { regions: vec!["eu".to_owned(), "mars".to_owned()], ..Filter::default() }, &[4]),
        (Filter { snapshots: vec!["other".to_owned()], ..Filter::default() }, &[]),
        (Filter { cpu: Range { least: Some(2), most: Some(3) }, ..Filter::default() }, &[1, 2]),
        (Filter { public: Some(true), ..Filter::default() }, &[3]),
        (Filter { states: Some(vec!["started".to_owned()]), ..Filter::default() }, &[0, 1, 2, 4]),
        (Filter { states: Some(vec!["snapshotting".to_owned()]), ..Filter::default() }, &[3]),
        (Filter { recoverable: Some(true), ..Filter::default() }, &[2]),
        (Filter { recoverable: Some(false), ..Filter::default() }, &[0, 1, 3, 4]),
        (Filter { destroy_at: Range { least: None, most: Some(start) }, ..Filter::default() }, &[1]),
        (
            Filter {
                created_at: Range { least: Some(start + Duration::from_secs(2)), most: None },
                ..Filter::default()
            },
            &[4],
        ),
    ];
    for (filter, expected) in cases {
        let listed = store.sandbox_list(TENANT, &filter, &page(SortField::Cpu)).await.unwrap();
        let found: Vec<_> = listed.rows.iter().map(|row| row.resources.cpu - 1).collect();
        assert_eq!(found, expected, "{filter:?}");
        assert_eq!((listed.total, listed.next), (expected.len() as u64, None), "{filter:?}");
    }
    let elsewhere =
        store.sandbox_list(OrganizationId::from_u128(2), &Filter::default(), &page(SortField::Cpu)).await;
    assert_eq!(elsewhere.unwrap().rows, Vec::new());
}

#[tokio::test]
async fn pages_by_cursor_neither_miss_nor_repeat() {
    let (store, _directory) = filled().await;
    let fields = [
        SortField::Id,
        SortField::Name,
        SortField::Cpu,
        SortField::Memory,
        SortField::Disk,
        SortField::CreatedAt,
        SortField::UpdatedAt,
        SortField::LastActivityAt,
        SortField::Snapshot,
        SortField::Region,
        SortField::State,
    ];
    for sort in fields {
        for descending in [false, true] {
            let whole = Page { descending, ..page(sort) };
            let expected = ids(&store.sandbox_list(TENANT, &Filter::default(), &whole).await.unwrap().rows);
            let mut found = Vec::new();
            let mut after = None;
            loop {
                let part = Page { limit: 2, after, ..whole.clone() };
                let listed = store.sandbox_list(TENANT, &Filter::default(), &part).await.unwrap();
                assert_eq!(listed.total, 5);
                found.extend(ids(&listed.rows));
                after = listed.next;
                if after.is_none() {
                    break;
                }
            }
            assert_eq!(found, expected, "{sort:?} {descending}");
            assert_eq!(found.len(), 5);
        }
    }
}

fn ids(rows: &[Sandbox]) -> Vec<SandboxId> {
    rows.iter().map(|row| row.id).collect()
}
