//! Samples of what running sandboxes use, kept in memory for an hour.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use engine::port::Runner;
use futures_util::StreamExt as _;
use jiff::SignedDuration;
use store::Store;
use tokio::time::{Instant, MissedTickBehavior, interval_at};
use tracing::{debug, warn};
use types::metric::Metrics;
use types::sandbox::Observed;
use types::{Clock, SandboxId, Timestamp};

/// How long a sample is kept.
const KEPT: SignedDuration = SignedDuration::from_hours(1);
/// The most samples that are kept of one sandbox, whatever the period.
const SAMPLES: usize = 360;
/// How many sandboxes are asked at once.
const AT_ONCE: usize = 8;
/// A sample this young is as good as a new one.
const FRESH: SignedDuration = SignedDuration::from_secs(1);

/// What was used, and when.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Sample {
    /// When.
    pub(crate) at: Timestamp,
    /// What.
    pub(crate) metrics: Metrics,
}

/// The samples of all sandboxes. They do not survive the server: nothing is decided by them.
#[derive(Debug)]
pub struct Telemetry {
    period: Duration,
    kept: Mutex<HashMap<SandboxId, Kept>>,
}

#[derive(Debug, Default)]
struct Kept {
    /// Taken once a period.
    samples: VecDeque<Sample>,
    /// Taken for somebody who asked.
    fresh: Option<Sample>,
}

impl Telemetry {
    /// Knows nothing yet; a sample is to be taken every `period`.
    pub fn new(period: Duration) -> Self {
        Self { period: period.max(Duration::from_secs(1)), kept: Mutex::default() }
    }

    /// Takes samples of all running sandboxes until it is dropped.
    pub async fn run(self: Arc<Self>, store: Store, runner: Arc<dyn Runner>, clock: Arc<dyn Clock>) {
        let mut ticks = interval_at(Instant::now() + self.period, self.period);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            self.round(&store, &*runner, &*clock).await;
        }
    }

    /// Takes one sample of every running sandbox and lets old ones go.
    pub async fn round(&self, store: &Store, runner: &dyn Runner, clock: &dyn Clock) {
        let running = match store.sandbox_list_claimed().await {
            Ok(rows) => rows.into_iter().filter(|row| row.observed == Observed::Started).map(|row| row.id),
            Err(error) => {
                warn!("cannot list sandboxes to measure what they use: {error}");
                return;
            }
        };
        let running: HashSet<SandboxId> = running.collect();
        let asked = futures_util::stream::iter(running.iter().copied());
        asked
            .for_each_concurrent(AT_ONCE, |id| async move {
                match runner.metrics(id).await {
                    Ok(metrics) => self.keep(id, Sample { at: clock.now(), metrics }),
                    // It may just have stopped; the next round asks again.
                    Err(error) => debug!(sandbox.id = %id, "cannot measure what a sandbox uses: {error}"),
                }
            })
            .await;
        self.let_go(clock.now());
    }

    /// Returns the samples from `from` to `to`, oldest first; with one of now when that is asked for and there is one.
    pub(crate) async fn between(
        &self,
        (id, is_running): (SandboxId, bool),
        (from, to): (Timestamp, Timestamp),
        (runner, clock): (&dyn Runner, &dyn Clock),
    ) -> Vec<Sample> {
        let now = clock.now();
        let mut samples: Vec<Sample> = {
            let kept = self.kept();
            let samples = kept.get(&id).into_iter().flat_map(|kept| &kept.samples);
            samples.filter(|sample| (from..=to).contains(&sample.at)).copied().collect()
        };
        // A client's clock may be a little behind, and its request took some time.
        let slack = SignedDuration::try_from(self.period).unwrap_or(KEPT);
        let includes_now = from <= now && now.duration_since(to) <= slack;
        if is_running && includes_now {
            samples.extend(self.fresh(id, now, runner, clock).await);
        }
        samples.sort_by_key(|sample| sample.at);
        samples.dedup_by_key(|sample| sample.at);
        samples
    }

    /// Returns a sample of now.
    async fn fresh(
        &self,
        id: SandboxId,
        now: Timestamp,
        runner: &dyn Runner,
        clock: &dyn Clock,
    ) -> Option<Sample> {
        let known = self.kept().get(&id).and_then(|kept| kept.fresh);
        if let Some(sample) = known.filter(|sample| now.duration_since(sample.at) < FRESH) {
            return Some(sample);
        }
        let metrics = runner.metrics(id).await.inspect_err(|error| {
            debug!(sandbox.id = %id, "cannot measure what a sandbox uses: {error}");
        });
        let sample = Sample { at: clock.now(), metrics: metrics.ok()? };
        self.kept().entry(id).or_default().fresh = Some(sample);
        Some(sample)
    }

    fn keep(&self, id: SandboxId, sample: Sample) {
        let mut kept = self.kept();
        let samples = &mut kept.entry(id).or_default().samples;
        samples.push_back(sample);
        while samples.len() > SAMPLES {
            samples.pop_front();
        }
    }

    /// Drops what is too old, and whatever has nothing left.
    fn let_go(&self, now: Timestamp) {
        let is_old = |sample: &Sample| now.duration_since(sample.at) > KEPT;
        self.kept().retain(|_, kept| {
            while kept.samples.front().is_some_and(is_old) {
                kept.samples.pop_front();
            }
            kept.fresh = kept.fresh.filter(|sample| !is_old(sample));
            !kept.samples.is_empty() || kept.fresh.is_some()
        });
    }

    /// Nothing under this lock can panic half-way, so a poisoned one still holds a sound map.
    fn kept(&self) -> MutexGuard<'_, HashMap<SandboxId, Kept>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for Telemetry {
    /// A sample a minute, as the contract's buckets are.
    fn default() -> Self {
        Self::new(Duration::from_mins(1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).expect("moment")
    }

    fn sample(second: i64) -> Sample {
        Sample { at: at(second), metrics: Metrics::default() }
    }

    #[test]
    fn samples_are_bounded_in_number_and_age() {
        let telemetry = Telemetry::default();
        let (busy, idle) = (SandboxId::from_u128(1), SandboxId::from_u128(2));
        for second in 0..1_000 {
            telemetry.keep(busy, sample(10_000 + second));
        }
        telemetry.keep(idle, sample(0));
        assert_eq!(telemetry.kept()[&busy].samples.len(), SAMPLES);
        telemetry.let_go(at(10_999));
        assert_eq!(telemetry.kept().len(), 1, "what is older than an hour is gone, and the sandbox with it");
        telemetry.let_go(at(10_990 + 3_600));
        assert_eq!(telemetry.kept()[&busy].samples.len(), 10);
    }
}
