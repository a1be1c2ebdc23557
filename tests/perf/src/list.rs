//! The rows `list`: pages of an organisation with many sandboxes beside others with as many, with every filter and order.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use store::Store;
use types::organization::Organization;
use types::resource::Resources;
use types::sandbox::{Backup, Desired, Intervals, Network, Observed, Sandbox};
use types::user::User;
use types::{Clock as _, OrganizationId, SandboxId, SystemClock, Timestamp, UserId};

use crate::client::Client;
use crate::note;
use crate::product::Product;
use crate::report::{Bound, Report, Target};
use crate::sample::Samples;

/// Whose sandboxes the key lists.
const ADMIN: &str = "daytona-admin";
const OTHER_ORGANIZATIONS: u32 = 50;
/// The most that any of them may take at its p99.
const TARGET_MS: f64 = 20.0;
/// How far a list is followed before the page that is measured.
const DEEP: usize = 20;

/// What is asked for beside the order.
const FILTERS: [(&str, &str); 21] = [
    ("all", ""),
    ("limit of 200", "limit=200"),
    ("id, one", "id=7ffd"),
    ("name, one", "name=BOX-77777"),
    ("name, all", "name=box-"),
    ("label, none", "labels=%7B%22owner%22%3A%22nobody%22%7D"),
    ("label, 50", "labels=%7B%22owner%22%3A%22user-7%22%7D"),
    ("label, 7143", "labels=%7B%22tier%22%3A%22t3%22%7D"),
    ("label, all", "labels=%7B%22code-toolbox-language%22%3A%22python%22%7D"),
    (
        "labels, three",
        "labels=%7B%22owner%22%3A%22user-7%22%2C%22tier%22%3A%22t3%22%2C%22run%22%3A%22x%22%7D",
    ),
    ("states, many", "states=stopped&states=archived"),
    ("states, none", "states=started&states=paused"),
    ("snapshots", "snapshots=snapshot-3"),
    ("regions", "regionIds=us"),
    ("errored deleted", "includeErroredDeleted=true"),
    ("cpu", "minCpu=3&maxCpu=3"),
    ("memory and disk", "minMemoryGiB=2&maxMemoryGiB=3&minDiskGiB=9"),
    ("public", "isPublic=true"),
    ("recoverable", "isRecoverable=true"),
    ("created, last event", "createdAtAfter=2020-01-01T00:00:00Z&lastEventBefore=2120-01-01T00:00:00Z"),
    ("time to live", "autoDestroyAtAfter=2020-01-01T00:00:00Z"),
];

/// The words of orders, by cursor and by number.
const SORTS: [&str; 6] = ["name", "cpu", "memoryGib", "diskGib", "lastActivityAt", "createdAt"];
const NUMBERED_SORTS: [&str; 8] =
    ["id", "name", "state", "snapshot", "region", "updatedAt", "createdAt", "lastActivityAt"];

/// Fills the server's database and measures every filter, order and kind of page.
pub(crate) fn measure(product: &Product, sandboxes: u32, rounds: usize, report: &mut Report) -> Result<()> {
    note(&format!("list: writing {} sandboxes that are not there", 2 * sandboxes));
    let started = Instant::now();
    fill(&product.home().join("daytona.db"), sandboxes)?;
    let per_row = started.elapsed().as_secs_f64() * 1e6 / f64::from(2 * sandboxes);
    note("list: reading them");
    report.figure("list_row_written", per_row, "us, mean", None);

    let mut client = product.connect()?;
    let first = Instant::now();
    let page = fetch(&mut client, "/api/sandbox")?;
    report.figure("list_first_after_start", first.elapsed().as_secs_f64() * 1000.0, "ms", None);
    ensure!(page.get("items").and_then(Value::as_array).is_some_and(|items| items.len() == 100), "{page}");

    let mut floor = Samples::default();
    time(&mut client, "/api/health", rounds, &mut floor)?;
    let floor = floor.percentile(50)?;
    let mut slowest = (0.0, String::new());
    for (name, path) in cases(&mut client)? {
        let mut samples = Samples::default();
        time(&mut client, &path, rounds, &mut samples)?;
        let name = format!("list: {name}");
        report.step(&name, &samples, floor, Target::default())?;
        let worst = samples.percentile(99)?;
        if worst > slowest.0 {
            slowest = (worst, name);
        }
    }
    report.figure("list_p99_of_the_slowest", slowest.0, "ms", Some(Bound::Most(TARGET_MS)));
    report.remark(format!(
        "`list` has {sandboxes} sandboxes of the caller and as many of {OTHER_ORGANIZATIONS} others, none of which runs; \
         its ratios are to an answer about the server's health. The slowest was `{}`.",
        slowest.1
    ));
    Ok(())
}

/// Every filter in the usual order, every order both ways near and far from its beginning, and numbered pages.
fn cases(client: &mut Client) -> Result<Vec<(String, String)>> {
    let mut cases: Vec<(String, String)> =
        FILTERS.iter().map(|(name, query)| ((*name).to_owned(), format!("/api/sandbox?{query}"))).collect();
    for sort in SORTS {
        for order in ["asc", "desc"] {
            let path = format!("/api/sandbox?sort={sort}&order={order}");
            let far = followed(client, &path)?;
            cases.push((format!("{sort} {order}"), path.clone()));
            cases.push((format!("{sort} {order}, far"), far));
            cases.push((
                format!("{sort} {order}, label"),
                format!("{path}&labels=%7B%22tier%22%3A%22t3%22%7D"),
            ));
        }
    }
    for sort in NUMBERED_SORTS {
        cases.push((format!("page 1 by {sort}"), format!("/api/sandbox/paginated?sort={sort}")));
        cases.push((format!("page 250 by {sort}"), format!("/api/sandbox/paginated?sort={sort}&page=250")));
    }
    Ok(cases)
}

/// Returns the path of a page that lies far behind another.
fn followed(client: &mut Client, path: &str) -> Result<String> {
    let mut next = format!("{path}&limit=200");
    for _ in 0..DEEP {
        let page = fetch(client, &next)?;
        let Some(cursor) = page.get("nextCursor").and_then(Value::as_str) else { break };
        next = format!("{path}&limit=200&cursor={cursor}");
    }
    Ok(next.replace("&limit=200", ""))
}

fn fetch(client: &mut Client, path: &str) -> Result<Value> {
    Ok(serde_json::from_slice(&client.fetch(path)?)?)
}

fn time(client: &mut Client, path: &str, rounds: usize, samples: &mut Samples) -> Result<()> {
    client.fetch(path)?;
    for _ in 0..rounds.max(100) {
        let started = Instant::now();
        client.fetch(path)?;
        samples.push(started.elapsed());
    }
    Ok(())
}

/// Writes the rows beside the server, which has not listed any yet.
fn fill(database: &Path, sandboxes: u32) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let store = Store::open(database).await?;
        let now = SystemClock.now();
        let admin = UserId(ADMIN.to_owned());
        let own = store.organization_get_personal(&admin).await?.context("there is no organisation")?.id;
        let others = others(&store, now).await?;
        for number in 0..2 * sandboxes {
            let other = others.get((number % OTHER_ORGANIZATIONS) as usize).copied().unwrap_or(own);
            let organization = if number % 2 == 0 { own } else { other };
            store.sandbox_insert(&sandbox(number, organization, now)).await?;
        }
        store.close().await;
        Ok(())
    })
}

async fn others(store: &Store, now: Timestamp) -> Result<Vec<OrganizationId>> {
    let mut others = Vec::new();
    for number in 0..OTHER_ORGANIZATIONS {
        let id = UserId(format!("perf-{number}"));
        let user = User {
            id: id.clone(),
            name: id.0.clone(),
            email: String::new(),
            email_verified: false,
            created_at: now,
        };
        store.user_insert(&user).await?;
        let organization = Organization {
            id: OrganizationId::from_u128(u128::from(number) + 1),
            name: id.0.clone(),
            personal: true,
            created_by: id,
            created_at: now,
        };
        store.organization_insert(&organization).await?;
        others.push(organization.id);
    }
    Ok(others)
}

/// A sandbox at rest, so that the engine leaves it alone, and used within the last two weeks.
fn sandbox(number: u32, organization_id: OrganizationId, now: Timestamp) -> Sandbox {
    let id = SandboxId::from_u128(u128::from(number).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835));
    let place = number / 2;
    let scattered = u64::from(number.wrapping_mul(2_654_435_761));
    let resources =
        Resources { cpu: 1 + place % 4, gpu: 0, memory_gib: 1 + place % 8, disk_gib: 1 + place % 10 };
    let (desired, observed) = match place % 10 {
        0..6 => (Desired::Stopped, Observed::Stopped),
        6..8 => (Desired::Archived, Observed::Archived),
        8 => (Desired::Stopped, Observed::Ended),
        _ => (Desired::Started, Observed::Error),
    };
    let labels = [
        ("code-toolbox-language", "python".to_owned()),
        ("owner", format!("user-{}", place % 1000)),
        ("run", format!("{scattered:x}")),
        ("tier", format!("t{}", place % 7)),
    ];
    // The first are the oldest; all were made within some weeks.
    let created_at = now - Duration::from_hours(1_000) + Duration::from_secs(u64::from(number) * 10);
    Sandbox {
        id,
        organization_id,
        name: format!("box-{place}-{scattered:x}"),
        snapshot: format!("snapshot-{}", place % 5),
        image: "daytona-default@sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
            .to_owned(),
        region: "us".to_owned(),
        user: "daytona".to_owned(),
        env: (0..5).map(|index| (format!("VARIABLE_{index}"), "x".repeat(20))).collect(),
        labels: labels.into_iter().map(|(key, value)| (key.to_owned(), value)).collect(),
        public: place % 10 == 3,
        network: Network::default(),
        network_applied: Some(Network::default()),
        resources,
        resources_applied: Some(resources),
        intervals: Intervals { auto_archive: Intervals::LONGEST_AUTO_ARCHIVE, ..Intervals::default() },
        desired,
        stop_forced: false,
        observed,
        error_reason: (observed == Observed::Error).then(|| "for the measurement".to_owned()),
        failure: None,
        recoverable: place % 100 == 9,
        recovering: false,
        parent_id: None,
        linked_id: None,
        capture: None,
        preparation: None,
        volumes: Vec::new(),
        backup: Backup::default(),
        destroy_at: place.is_multiple_of(50).then(|| now + Duration::from_hours(1_000)),
        queue_timeout: None,
        queue_timed_out_at: None,
        warm_pool_id: None,
        signing_key: "0".repeat(64),
        auth_token: "0".repeat(32),
        daemon_version: Some("0.1.0".to_owned()),
        created_at,
        updated_at: created_at + Duration::from_secs(5),
        last_activity_at: now - Duration::from_millis(scattered % 1_000_000_000),
        generation: 1,
    }
}
