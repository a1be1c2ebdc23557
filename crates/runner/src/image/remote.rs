//! The registries that images come from and go to, and how much is asked of them at once.

use std::sync::Arc;

use registry::{Client, RegistryError, Settings};
use tokio::runtime::Handle;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use crate::error::RunnerError;

/// How many layers are fetched or sent at once, by all orders together.
const TRANSFERS: usize = 6;
/// How many layers of one order are worked on at once.
pub(super) const WORKERS: usize = 3;

/// Registries, and the runtime that waits for them. All calls block, on threads that may: never on one that drives a
/// runtime.
#[derive(Debug, Clone)]
pub struct Remote {
    pub(super) client: Client,
    runtime: Handle,
    transfers: Arc<Semaphore>,
    /// Decompressing keeps a processor busy; more than there are would only take longer.
    unpacking: Arc<Semaphore>,
}

impl Remote {
    /// Checks the settings; nothing is sent yet. `runtime` needs threads of its own, and must live as long as this.
    pub fn open(settings: &Settings, runtime: Handle) -> Result<Self, RunnerError> {
        let client = Client::new(settings).map_err(|source| RunnerError::Registries { source })?;
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        Ok(Self {
            client,
            runtime,
            transfers: Arc::new(Semaphore::new(TRANSFERS)),
            unpacking: Arc::new(Semaphore::new(processors)),
        })
    }

    /// Waits for an answer, or until it is told to stop.
    pub(super) fn wait<T>(
        &self,
        image: &str,
        stop: &CancellationToken,
        answer: impl Future<Output = Result<T, RegistryError>>,
    ) -> Result<T, RunnerError> {
        self.runtime.block_on(async {
            tokio::select! {
                biased;
                () = stop.cancelled() => Err(RunnerError::Stopped { image: image.to_owned() }),
                answer = answer => answer.map_err(|source| RunnerError::Registry { source }),
            }
        })
    }

    /// The same for what moves many bytes: some wait until others are done.
    pub(super) fn transfer<T>(
        &self,
        image: &str,
        stop: &CancellationToken,
        answer: impl Future<Output = Result<T, RegistryError>>,
    ) -> Result<T, RunnerError> {
        self.wait(image, stop, async {
            let _permit = self.transfers.acquire().await;
            answer.await
        })
    }

    /// Calls what keeps a processor busy.
    pub(super) fn work<T>(
        &self,
        image: &str,
        stop: &CancellationToken,
        call: impl FnOnce() -> Result<T, RunnerError>,
    ) -> Result<T, RunnerError> {
        let permit = self.wait(image, stop, async { Ok(self.unpacking.acquire().await) })?;
        let done = call();
        drop(permit);
        done
    }
}

/// How far an order is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Progress {
    /// How many bytes were moved, of those that must be.
    pub done_bytes: u64,
    /// How many must be; zero until it is known.
    pub total_bytes: u64,
    /// How many layers are finished.
    pub layers_done: usize,
    /// How many there are.
    pub layers: usize,
}

/// Adds up what the workers of one order do.
pub(super) struct Tally<'call> {
    state: std::sync::Mutex<(Progress, Vec<u64>)>,
    told: &'call (dyn Fn(Progress) + Sync),
}

impl<'call> Tally<'call> {
    pub(super) fn new(total_bytes: u64, layers: usize, told: &'call (dyn Fn(Progress) + Sync)) -> Self {
        let progress = Progress { total_bytes, layers, ..Progress::default() };
        told(progress);
        Self { state: std::sync::Mutex::new((progress, vec![0; layers])), told }
    }

    /// Notes how many bytes of a layer were moved.
    pub(super) fn bytes(&self, layer: usize, bytes: u64) {
        self.change(|progress, each| {
            if let Some(known) = each.get_mut(layer) {
                // A transfer that begins again takes back what it had.
                progress.done_bytes = progress.done_bytes.saturating_sub(*known).saturating_add(bytes);
                *known = bytes;
            }
        });
    }

    /// Notes that a layer of so many bytes is finished.
    pub(super) fn finished(&self, layer: usize, bytes: u64) {
        self.bytes(layer, bytes);
        self.change(|progress, _| progress.layers_done += 1);
    }

    fn change(&self, change: impl FnOnce(&mut Progress, &mut Vec<u64>)) {
        let mut state = self.state.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let (progress, each) = &mut *state;
        change(progress, each);
        // Told with the lock held: nobody hears of less after more.
        (self.told)(*progress);
    }
}

/// Calls `work` for each of so many layers, some at once; the first failure stops the rest and is returned.
pub(super) fn each_layer<T: Send>(
    layers: usize,
    stop: &CancellationToken,
    work: impl Fn(usize, &CancellationToken) -> Result<T, RunnerError> + Sync,
) -> Result<Vec<T>, RunnerError> {
    let stop = stop.child_token();
    let next = std::sync::atomic::AtomicUsize::new(0);
    let results = std::sync::Mutex::new((Vec::new(), None));
    let lock = || results.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let worker = || {
        while !stop.is_cancelled() {
            let layer = next.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            if layer >= layers {
                return;
            }
            match work(layer, &stop) {
                Ok(done) => lock().0.push((layer, done)),
                Err(error) => {
                    lock().1.get_or_insert(error);
                    stop.cancel();
                }
            }
        }
    };
    std::thread::scope(|scope| {
        for _ in 1..WORKERS.min(layers) {
            scope.spawn(worker);
        }
        worker();
    });
    let (mut done, failure) = std::mem::take(&mut *lock());
    match failure {
        Some(error) => Err(error),
        None if done.len() < layers => Err(RunnerError::Stopped { image: "that was ordered".to_owned() }),
        None => {
            done.sort_by_key(|(layer, _)| *layer);
            Ok(done.into_iter().map(|(_, done)| done).collect())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layers_come_back_in_order_and_the_first_failure_counts() {
        let stop = CancellationToken::new();
        let squares = each_layer(20, &stop, |layer, _| Ok(layer * layer)).unwrap();
        assert_eq!(squares, (0..20).map(|layer| layer * layer).collect::<Vec<_>>());
        assert!(each_layer(0, &stop, |_, _| Ok(())).unwrap().is_empty());
        let failed = each_layer(5, &stop, |layer, stop| {
            if layer == 1 {
                return Err(RunnerError::ImageMissing { name: "first".to_owned() });
            }
            // The others end because they are told to, and not because of an error of their own.
            while !stop.is_cancelled() {
                std::thread::yield_now();
            }
            Err::<(), _>(RunnerError::Stopped { image: String::new() })
        });
        assert!(matches!(failed, Err(RunnerError::ImageMissing { .. })), "{failed:?}");
        assert!(!stop.is_cancelled());
        stop.cancel();
        assert!(matches!(each_layer(1, &stop, |_, _| Ok(())), Err(RunnerError::Stopped { .. })));
    }

    #[test]
    fn progress_adds_up_and_takes_back() {
        let told = std::sync::Mutex::new(Vec::new());
        let tell =
            |progress: Progress| told.lock().unwrap().push((progress.done_bytes, progress.layers_done));
        let tally = Tally::new(30, 2, &tell);
        tally.bytes(0, 5);
        tally.bytes(1, 7);
        tally.bytes(0, 2);
        tally.finished(0, 10);
        drop(tally);
        assert_eq!(*told.lock().unwrap(), [(0, 0), (5, 0), (12, 0), (9, 0), (17, 0), (17, 1)]);
    }
}
