//! Batches prepared ahead of time on threads.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::{Batch, BatchSource, DataError};

/// An iterator over the batches of an epoch, in the order given. Threads work ahead of the consumer by at most
/// `queue` batches. After an error it ends.
pub struct Loader {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
    waited: Duration,
    waits: usize,
}

struct Shared {
    source: Arc<dyn BatchSource>,
    epoch: u64,
    batches: Vec<Vec<usize>>,
    queue: usize,
    state: Mutex<State>,
    /// Told when a batch is ready.
    ready: Condvar,
    /// Told when there is room in the queue.
    room: Condvar,
}

#[derive(Default)]
struct State {
    /// Next batch that a thread takes on.
    claimed: usize,
    /// Next batch that the consumer gets.
    delivered: usize,
    done: BTreeMap<usize, Result<Batch, DataError>>,
    stopped: bool,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        // No code panics while holding the lock.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn load(&self, number: usize) -> Result<Batch, DataError> {
        self.source.batch(&self.batches[number], self.epoch)
    }

    /// A thread's life: claim, load, hand over.
    fn work(&self) {
        loop {
            let number = {
                let mut state = self.lock();
                loop {
                    if state.stopped || state.claimed == self.batches.len() {
                        return;
                    }
                    if state.claimed < state.delivered + self.queue {
                        break;
                    }
                    state = self.room.wait(state).unwrap_or_else(PoisonError::into_inner);
                }
                state.claimed += 1;
                state.claimed - 1
            };
            let batch = catch_unwind(AssertUnwindSafe(|| self.load(number))).unwrap_or_else(|panic| {
                let text = panic.downcast_ref::<String>().cloned();
                let text = text.or_else(|| panic.downcast_ref::<&str>().map(|s| s.to_string()));
                Err(DataError::Worker { reason: text.unwrap_or_else(|| "unknown".into()) })
            });
            let mut state = self.lock();
            state.done.insert(number, batch);
            drop(state);
            self.ready.notify_all();
        }
    }
}

impl Loader {
    /// Starts loading `batches` (numbers of samples of `source`) as `epoch` sees them, on `prefetch_threads`
    /// threads with up to `queue` batches ready or in the making. With 0 threads each batch is loaded when it
    /// is asked for.
    ///
    /// # Panics
    /// When the operating system cannot start a thread.
    pub fn new(
        source: Arc<dyn BatchSource>,
        epoch: u64,
        batches: Vec<Vec<usize>>,
        prefetch_threads: usize,
        queue: usize,
    ) -> Loader {
        let shared = Arc::new(Shared {
            source,
            epoch,
            batches,
            queue: queue.max(1),
            state: Mutex::default(),
            ready: Condvar::new(),
            room: Condvar::new(),
        });
        let start = |i| {
            let shared = shared.clone();
            let thread = std::thread::Builder::new().name(format!("hectare-data-{i}"));
            thread.spawn(move || shared.work()).expect("the operating system starts threads")
        };
        let threads = (0..prefetch_threads.min(shared.batches.len())).map(start).collect();
        Loader { shared, threads, waited: Duration::ZERO, waits: 0 }
    }

    /// Time that the consumer has spent waiting for batches.
    pub fn waited(&self) -> Duration {
        self.waited
    }

    /// How many batches were not ready when asked for.
    pub fn waits(&self) -> usize {
        self.waits
    }

    fn next_loaded(&mut self) -> Option<Result<Batch, DataError>> {
        let mut state = self.shared.lock();
        if state.stopped || state.delivered == self.shared.batches.len() {
            return None;
        }
        let number = state.delivered;
        let batch = if self.threads.is_empty() {
            drop(state);
            self.waits += 1;
            let batch = self.shared.load(number);
            state = self.shared.lock();
            batch
        } else {
            let mut late = false;
            loop {
                if let Some(batch) = state.done.remove(&number) {
                    self.waits += usize::from(late);
                    break batch;
                }
                late = true;
                state = self.shared.ready.wait(state).unwrap_or_else(PoisonError::into_inner);
            }
        };
        state.delivered += 1;
        state.stopped = batch.is_err();
        drop(state);
        self.shared.room.notify_all();
        Some(batch)
    }
}

impl Iterator for Loader {
    type Item = Result<Batch, DataError>;

    fn next(&mut self) -> Option<Self::Item> {
        let start = Instant::now();
        let batch = self.next_loaded();
        self.waited += start.elapsed();
        batch
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let left = self.shared.batches.len() - self.shared.lock().delivered;
        (0, Some(left))
    }
}

impl Drop for Loader {
    fn drop(&mut self) {
        self.shared.lock().stopped = true;
        self.shared.room.notify_all();
        for thread in self.threads.drain(..) {
            // A panic inside was caught and handed over.
            let _ = thread.join();
        }
    }
}
