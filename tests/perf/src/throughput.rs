//! The row `throughput`: sixteen clients create and delete for a while, each as fast as it is answered.

use std::time::{Duration, Instant};

use anyhow::{Result, anyhow};
use serde_json::json;

use crate::product::{self, Product};
use crate::report::{Bound, Report, Target};
use crate::sample::Samples;
use crate::{machine, note};

const CLIENTS: usize = 16;
const TARGET_PER_SECOND: f64 = 150.0;

/// Creates for `span` and reports how many that were per second, what they cost, and how long each took.
pub(crate) fn measure(product: &Product, span: Duration, floor: f64, report: &mut Report) -> Result<()> {
    note(&format!("throughput: {CLIENTS} clients for {} s", span.as_secs()));
    let (busy, started) = (machine::busy_s()?, Instant::now());
    let deadline = started + span;
    let outcomes: Vec<Result<Samples>> = std::thread::scope(|scope| {
        let clients: Vec<_> = (0..CLIENTS).map(|_| scope.spawn(|| one_client(product, deadline))).collect();
        let outcome = |thread: std::thread::ScopedJoinHandle<'_, Result<Samples>>| {
            thread.join().unwrap_or_else(|_| Err(anyhow!("a client panicked")))
        };
        clients.into_iter().map(outcome).collect()
    });
    let elapsed_s = started.elapsed().as_secs_f64();
    let busy = machine::busy_s()? - busy;
    let mut creates = Samples::default();
    for outcome in outcomes {
        creates.extend(outcome?.values().iter().copied());
    }
    #[expect(clippy::cast_precision_loss, reason = "thousands")]
    let count = creates.count() as f64;
    report.figure(
        "creates_per_second",
        count / elapsed_s,
        "per second",
        Some(Bound::Least(TARGET_PER_SECOND)),
    );
    // Of the whole machine, deletes and clients included, and whatever else runs on it.
    report.figure("processor_per_create_and_delete", busy / count * 1000.0, "ms", None);
    report.figure("processors_busy", busy / elapsed_s, "processors", None);
    report.step("create_of_16_at_once", &creates, floor, Target::default())
}

fn one_client(product: &Product, deadline: Instant) -> Result<Samples> {
    let mut client = product.connect()?;
    let mut samples = Samples::default();
    while Instant::now() < deadline {
        let started = Instant::now();
        let id = product::create(&mut client, &json!({}))?;
        samples.push(started.elapsed());
        product::delete(&mut client, &id)?;
    }
    Ok(samples)
}
