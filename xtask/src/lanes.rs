//! Jobs side by side: what one says is never mixed with what another says.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use anyhow::Result;

use crate::report;

/// The longest excerpt of what a failed job said.
const EXCERPT_LINES: usize = 400;

/// What the account of failures begins with, in the words of the programs that run tests.
const FAILURES: &[&str] = &["failures:", "==== FAILURES", "==== ERRORS", "✖ failing tests:"];

/// How many cases passed and failed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    pub(crate) passed: u64,
    pub(crate) failed: u64,
}

impl Tally {
    pub(crate) fn add(&mut self, other: Self) {
        self.passed += other.passed;
        self.failed += other.failed;
    }
}

/// How a job says a line.
pub(crate) type Say<'a> = &'a (dyn Fn(&str) + Sync);

/// Something to do: it says what it does and counts its cases.
pub(crate) struct Job<'a> {
    pub(crate) name: String,
    pub(crate) work: Box<dyn FnOnce(Say<'_>) -> Result<Tally> + Send + 'a>,
}

/// What came out of a job.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) name: String,
    pub(crate) tally: Tally,
    pub(crate) began: Instant,
    pub(crate) ended: Instant,
    said: Vec<String>,
}

impl Outcome {
    /// The part of what it said that tells why it failed: the account of failures, else the end.
    pub(crate) fn why(&self) -> impl Iterator<Item = &str> {
        let tells = |line: &String| FAILURES.iter().any(|mark| line.trim_start().starts_with(mark));
        let account = self.said.iter().position(tells);
        let from = account.unwrap_or_else(|| self.said.len().saturating_sub(EXCERPT_LINES / 4));
        self.said.iter().skip(from).take(EXCERPT_LINES).map(String::as_str)
    }
}

/// What one job has said so far.
#[derive(Debug, Default)]
struct Voice {
    said: Vec<String>,
    told: usize,
    has_ended: bool,
}

/// Who speaks: the job that began first of those that go on. The others are heard in their turn.
#[derive(Debug, Default)]
struct Stage {
    voices: Vec<Voice>,
    front: usize,
}

impl Stage {
    fn enter(&mut self) -> usize {
        self.voices.push(Voice::default());
        self.voices.len() - 1
    }

    fn say(&mut self, number: usize, line: &str) {
        if let Some(voice) = self.voices.get_mut(number) {
            voice.said.push(line.to_owned());
        }
        self.tell();
    }

    fn leave(&mut self, number: usize) {
        if let Some(voice) = self.voices.get_mut(number) {
            voice.has_ended = true;
        }
        self.tell();
    }

    fn tell(&mut self) {
        while let Some(voice) = self.voices.get_mut(self.front) {
            voice.said.iter().skip(voice.told).for_each(|line| report::say(line));
            voice.told = voice.said.len();
            if !voice.has_ended {
                return;
            }
            self.front += 1;
        }
    }
}

/// Does all jobs, in their order and so many at a time; an error of a job itself is a failure, and the next is done.
pub(crate) fn run(jobs: Vec<Job<'_>>, lanes: usize) -> Vec<Outcome> {
    let stage = Mutex::new(Stage::default());
    let queue = Mutex::new(jobs.into_iter());
    let outcomes = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..lanes {
            scope.spawn(|| {
                // Taken in a statement of its own: the queue is free again while the job is done.
                let next = || lock(&queue).next();
                while let Some(job) = next() {
                    let outcome = perform(job, &stage);
                    lock(&outcomes).push(outcome);
                }
            });
        }
    });
    outcomes.into_inner().unwrap_or_else(PoisonError::into_inner)
}

fn perform(job: Job<'_>, stage: &Mutex<Stage>) -> Outcome {
    let began = Instant::now();
    let number = lock(stage).enter();
    let say = |line: &str| lock(stage).say(number, line);
    let tally = (job.work)(&say).unwrap_or_else(|error| {
        say(&format!("error: {}: {error:#}", job.name));
        Tally { passed: 0, failed: 1 }
    });
    lock(stage).leave(number);
    let said = lock(stage).voices.get(number).map(|voice| voice.said.clone()).unwrap_or_default();
    Outcome { name: job.name, tally, began, ended: Instant::now(), said }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn job<'a>(name: &str, work: impl FnOnce(Say<'_>) -> Result<Tally> + Send + 'a) -> Job<'a> {
        Job { name: name.to_owned(), work: Box::new(work) }
    }

    #[test]
    fn jobs_are_done_beside_each_other_and_an_error_is_a_failure() {
        let meeting = std::sync::Barrier::new(2);
        let meet = |say: Say<'_>| {
            meeting.wait();
            say("met");
            Ok(Tally { passed: 2, failed: 0 })
        };
        let jobs = vec![job("one", meet), job("two", meet), job("three", |_| anyhow::bail!("no ground"))];
        let mut outcomes = run(jobs, 2);
        outcomes.sort_by(|one, other| one.name.cmp(&other.name));
        let told: Vec<_> = outcomes.iter().map(|one| (one.name.as_str(), one.tally.passed)).collect();
        assert_eq!(told, [("one", 2), ("three", 0), ("two", 2)]);
        assert_eq!(outcomes[1].tally.failed, 1);
        assert_eq!(outcomes[1].why().collect::<Vec<_>>(), ["error: three: no ground"]);
    }

    #[test]
    fn who_began_first_is_heard_first() {
        let mut stage = Stage::default();
        let (first, second) = (stage.enter(), stage.enter());
        stage.say(second, "later");
        assert_eq!(stage.voices[second].told, 0, "it waits for its turn");
        stage.leave(second);
        stage.say(first, "now");
        assert_eq!((stage.voices[first].told, stage.front), (1, 0));
        stage.leave(first);
        assert_eq!((stage.voices[second].told, stage.front), (1, 2));
    }

    #[test]
    fn the_account_of_failures_is_found() {
        let said = ["test a ... FAILED", "", "failures:", "---- a stdout ----"].map(str::to_owned).to_vec();
        let now = Instant::now();
        let outcome = Outcome { name: String::new(), tally: Tally::default(), began: now, ended: now, said };
        assert_eq!(outcome.why().collect::<Vec<_>>(), ["failures:", "---- a stdout ----"]);
    }
}
