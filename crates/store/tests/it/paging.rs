//! Pages while sandboxes come, go and change: what stays is listed once.

use std::collections::{BTreeMap, BTreeSet};
use std::future::poll_fn;
use std::task::Poll;
use std::time::Duration;

use proptest::prelude::*;
use store::Store;
use store::sandbox::list::{Filter, Page, SortField};
use testkit::{TestClock, sample};
use types::sandbox::{Desired, Observed, Sandbox};
use types::{Clock as _, OrganizationId, SandboxId};

const TENANT: OrganizationId = OrganizationId::from_u128(1);
const OTHER: OrganizationId = OrganizationId::from_u128(2);
/// How many sandboxes there are when the first page is read.
const FIRST: u128 = 24;

/// Something that happens between two pages; the number picks whom it happens to.
#[derive(Debug, Clone, Copy)]
enum Event {
    Insert,
    Destroy(usize),
    Touch(usize),
    Stop(usize),
    Label(usize),
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        2 => Just(Event::Insert),
        1 => any::<usize>().prop_map(Event::Destroy),
        3 => any::<usize>().prop_map(Event::Touch),
        1 => any::<usize>().prop_map(Event::Stop),
        1 => any::<usize>().prop_map(Event::Label),
    ]
}

/// What the test knows to be there.
struct World {
    store: Store,
    alive: BTreeMap<SandboxId, Sandbox>,
    touched: BTreeSet<SandboxId>,
    moments: u64,
    made: u128,
}

impl World {
    fn now(&mut self) -> types::Timestamp {
        self.moments += 1;
        // Several share a moment, so that the id has to decide.
        TestClock::default().now() + Duration::from_secs(self.moments / 3)
    }

    async fn insert(&mut self) {
        self.made += 1;
        // In an order of its own, so that new ones appear before and after a cursor.
        let id = SandboxId::from_u128(self.made.wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835));
        let row = sample::sandbox(id, TENANT, self.now());
        let row = Sandbox { desired: Desired::Started, observed: Observed::Started, ..row };
        self.store.sandbox_insert(&row).await.unwrap();
        self.alive.insert(id, row);
    }

    fn pick(&self, number: usize) -> Option<Sandbox> {
        self.alive.values().nth(number % self.alive.len().max(1)).cloned()
    }

    async fn happen(&mut self, event: Event) {
        match event {
            Event::Insert => self.insert().await,
            Event::Destroy(number) => {
                let Some(row) = self.pick(number) else { return };
                let gone = Sandbox { observed: Observed::Destroyed, ..row };
                let gone = self.store.sandbox_update_observed(gone).await.unwrap().unwrap();
                self.alive.remove(&gone.id);
            }
            Event::Touch(number) => {
                let Some(row) = self.pick(number) else { return };
                let now = self.now();
                self.store.sandbox_touch(row.id, now).await.unwrap();
                self.touched.insert(row.id);
            }
            Event::Stop(number) => {
                let Some(row) = self.pick(number) else { return };
                let row = Sandbox { observed: Observed::Stopped, ..row };
                let row = self.store.sandbox_update_observed(row).await.unwrap().unwrap();
                self.alive.insert(row.id, row);
            }
            Event::Label(number) => {
                let Some(row) = self.pick(number) else { return };
                let row = Sandbox { labels: [("a".to_owned(), self.moments.to_string())].into(), ..row };
                let row = self.store.sandbox_update_desired(row).await.unwrap().unwrap();
                self.alive.insert(row.id, row);
            }
        }
    }
}

async fn pages(events: Vec<Event>, limit: u32, sort: SortField, descending: bool, is_listed_first: bool) {
    let (store, directory) = crate::sandbox::store().await;
    let mut world = World { store, alive: BTreeMap::new(), touched: BTreeSet::new(), moments: 0, made: 0 };
    let first = Page { sort, descending, after: None, offset: 0, limit };
    if is_listed_first {
        // From here on every change is noted as it happens; otherwise all rows are read when the first page is.
        world.store.sandbox_list(TENANT, &Filter::default(), &first).await.unwrap();
    }
    let other = sample::sandbox(SandboxId::from_u128(1), OTHER, world.now());
    world.store.sandbox_insert(&other).await.unwrap();
    for _ in 0..FIRST {
        world.insert().await;
    }
    let before: BTreeSet<_> = world.alive.keys().copied().collect();
    let mut events = events.into_iter();
    let mut seen: BTreeMap<SandboxId, u32> = BTreeMap::new();
    let mut page = first;
    loop {
        let listed = world.store.sandbox_list(TENANT, &Filter::default(), &page).await.unwrap();
        assert!(listed.rows.len() <= limit as usize);
        assert_eq!(listed.total, world.alive.len() as u64);
        for row in &listed.rows {
            assert_eq!(row.organization_id, TENANT);
            *seen.entry(row.id).or_default() += 1;
        }
        page.after = listed.next;
        if page.after.is_none() {
            break;
        }
        for event in events.by_ref().take(3) {
            world.happen(event).await;
        }
    }
    for id in before.iter().filter(|id| world.alive.contains_key(id)) {
        let times = seen.get(id).copied().unwrap_or_default();
        if sort != SortField::LastActivityAt || !world.touched.contains(id) {
            assert_eq!(times, 1, "{id} stayed as it was");
        } else if descending {
            assert!(times <= 1, "{id} moved to the front, behind the reader");
        } else {
            assert!(times >= 1, "{id} moved to the end, before the reader");
        }
    }
    // A store that reads all rows anew says the same as the one that noted each change.
    let fresh = Store::open(&directory.path().join("daytona.db")).await.unwrap();
    let whole = Page { sort, descending, after: None, offset: 0, limit: 200 };
    let noted = world.store.sandbox_list(TENANT, &Filter::default(), &whole).await.unwrap();
    assert_eq!(noted, fresh.sandbox_list(TENANT, &Filter::default(), &whole).await.unwrap());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_stays_is_listed_once(
        events in prop::collection::vec(event(), 0..40),
        limit in 1_u32..7,
        sort in prop::sample::select(vec![
            SortField::CreatedAt, SortField::Name, SortField::Id, SortField::Cpu, SortField::LastActivityAt,
        ]),
        descending: bool,
        is_listed_first: bool,
    ) {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        runtime.block_on(pages(events, limit, sort, descending, is_listed_first));
    }
}

/// Asks for the end of something so often, then leaves: at every point on the way from before a statement is sent until
/// after it has ended. Tells whether it ended.
async fn ends_within(something: impl Future, polls: usize) -> bool {
    let mut something = Box::pin(something);
    for _ in 0..polls {
        let ended = poll_fn(|context| Poll::Ready(something.as_mut().poll(context).is_ready())).await;
        if ended {
            return true;
        }
        tokio::task::yield_now().await;
    }
    false
}

/// Whoever waits for a write may go away; what it wrote is listed all the same.
#[tokio::test]
async fn a_write_that_nobody_waited_for_is_listed() {
    let (store, _directory) = crate::sandbox::store().await;
    let page = Page { sort: SortField::CreatedAt, descending: false, after: None, offset: 0, limit: 100 };
    store.sandbox_list(TENANT, &Filter::default(), &page).await.unwrap();
    let now = TestClock::default().now();
    let rows: Vec<_> =
        (0..40).map(|number| sample::sandbox(SandboxId::from_u128(number + 1), TENANT, now)).collect();
    let mut abandoned = 0;
    for (number, row) in rows.iter().enumerate() {
        abandoned += u32::from(!ends_within(store.sandbox_insert(row), number % 8 + 1).await);
    }
    assert!(abandoned > 0, "every write was waited for");
    let listed = store.sandbox_list(TENANT, &Filter::default(), &page).await.unwrap();
    let listed: BTreeSet<_> = listed.rows.iter().map(|row| row.id).collect();
    for row in &rows {
        let is_there = store.sandbox_get(row.id).await.unwrap().is_some();
        assert_eq!(listed.contains(&row.id), is_there, "{}", row.id);
    }
}

/// The same for what the proxy asks before every call: whether a secret still opens it.
#[tokio::test]
async fn a_write_that_nobody_waited_for_is_seen_by_the_proxy() {
    let (store, _directory) = crate::sandbox::store().await;
    let now = TestClock::default().now();
    let mut row = sample::sandbox(SandboxId::from_u128(1), TENANT, now);
    store.sandbox_insert(&row).await.unwrap();
    let mut abandoned = 0;
    for number in 0..40_u32 {
        store.sandbox_standing(row.id).await.unwrap();
        let wanted = Sandbox { signing_key: number.to_string(), ..row.clone() };
        abandoned +=
            u32::from(!ends_within(store.sandbox_update_desired(wanted), number as usize % 8 + 1).await);
        // Read at once, while the write may still be on its way, and once more after it.
        store.sandbox_standing(row.id).await.unwrap();
        store.sandbox_touch(row.id, now).await.unwrap();
        let standing = store.sandbox_standing(row.id).await.unwrap().unwrap();
        row = store.sandbox_get(row.id).await.unwrap().unwrap();
        assert_eq!(standing.secrets.signing_key, row.signing_key, "try {number}");
    }
    assert!(abandoned > 0, "every write was waited for");
}

/// Rows are read for the first list while others are written.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn what_is_written_while_rows_are_read_is_listed() {
    let (store, _directory) = crate::sandbox::store().await;
    let now = TestClock::default().now();
    let row = |number: u128| sample::sandbox(SandboxId::from_u128(number), TENANT, now);
    for number in 1..=300 {
        store.sandbox_insert(&row(number)).await.unwrap();
    }
    let writing = tokio::spawn({
        let store = store.clone();
        async move {
            for number in (1..=300_u128).step_by(3) {
                let gone = sample::sandbox(SandboxId::from_u128(number), TENANT, now);
                let gone = Sandbox { observed: Observed::Destroyed, ..gone };
                store.sandbox_update_observed(gone).await.unwrap().unwrap();
                store
                    .sandbox_touch(SandboxId::from_u128(number + 1), now + Duration::from_secs(9))
                    .await
                    .unwrap();
            }
        }
    });
    let page =
        Page { sort: SortField::LastActivityAt, descending: true, after: None, offset: 0, limit: 1_000 };
    for _ in 0..8 {
        store.sandbox_list(TENANT, &Filter::default(), &page).await.unwrap();
    }
    writing.await.unwrap();
    let listed = store.sandbox_list(TENANT, &Filter::default(), &page).await.unwrap();
    assert_eq!((listed.rows.len(), listed.total), (200, 200));
    let moved = listed.rows.iter().take(100).all(|row| row.last_activity_at > now);
    assert!(moved, "those that were used come first");
}
