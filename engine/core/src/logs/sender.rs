//! Delivering what waits in a queue: a task beside the requests of a thread, for as long as something waits.

use std::cell::Cell;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::sync::Semaphore;
use tokio::time::{sleep, sleep_until};

use super::queue::{Batch, Shared};
use crate::config::tenant::Tenant;
use crate::phases::outside::{Outside, Socket};
use crate::worker::{Witness, Worker};

/// Deliveries of one tenant under way at once. They count among the calls of its plugins, of which most are left for
/// those that requests wait for.
const MOST_DELIVERIES: u64 = 64;
/// Batches of one queue under way at once where any number may be.
const MOST_CONCURRENT: usize = 16;
/// How long a delivery waits for its turn before it looks again.
const TURN: Duration = Duration::from_millis(50);
/// How often a sender that pauses looks whether its queue is still wanted.
const WATCH: Duration = Duration::from_secs(1);
/// How long a queue whose instance is gone may take at most.
const FAREWELL: Duration = Duration::from_secs(60);

/// A batch was not taken. Whoever sent it may try again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Undelivered;

/// A delivery that is under way. Says how many entries were lost although all were sent.
pub type Delivering<'a> = Pin<Box<dyn Future<Output = Result<usize, Undelivered>> + 'a>>;

/// Gets entries to whoever keeps them.
pub trait Delivery: Send + Sync + 'static {
    /// Delivers a batch: all of it, or it may come again. Bounds its own waiting.
    fn deliver<'a>(&'a self, batch: &'a [Bytes], line: &'a mut Line, outside: Outside<'a>) -> Delivering<'a>;

    /// How long [`Line`] is worth keeping where nothing waits.
    fn keeps_line(&self) -> Duration {
        Duration::ZERO
    }
}

/// What a sender keeps from one batch to the next.
#[derive(Debug, Default)]
pub struct Line {
    /// A connection.
    pub socket: Option<Socket>,
}

/// A task that delivers what waits in a queue.
struct Sender {
    shared: Arc<Shared>,
    worker: Rc<Worker>,
    tenant: u64,
}

/// Counts a task among those that its thread does not end without.
struct Counted(Rc<Worker>);

/// Has a queue unattended again, should its sender end without having said so.
struct Attendance {
    shared: Arc<Shared>,
    is_over: Cell<bool>,
}

impl Drop for Attendance {
    fn drop(&mut self) {
        if !self.is_over.get() {
            self.shared.lock().is_attended = false;
        }
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.senders.set(self.0.senders.get() - 1);
    }
}

/// Has a task of this thread deliver what waits in a queue. To be called by whoever finds it unattended.
pub(super) fn attend(shared: &Arc<Shared>, worker: &Rc<Worker>, tenant: u64) {
    let sender = Rc::new(Sender { shared: shared.clone(), worker: worker.clone(), tenant });
    sender.clone().spawn(async move { sender.run().await });
}

impl Sender {
    fn spawn(&self, task: impl Future<Output = ()> + 'static) {
        self.worker.senders.set(self.worker.senders.get() + 1);
        let held = (Counted(self.worker.clone()), Witness::new(&self.worker));
        drop(tokio::task::spawn_local(async move {
            let _held = held;
            task.await;
        }));
    }

    async fn run(self: Rc<Self>) {
        let attendance = Attendance { shared: self.shared.clone(), is_over: Cell::new(false) };
        let mut line = Line::default();
        let turns = Arc::new(Semaphore::new(MOST_CONCURRENT));
        while let Some(batch) = self.batch().await {
            if !self.shared.is_concurrent {
                self.deliver(&batch, &mut line).await;
            } else if let Ok(turn) = turns.clone().acquire_owned().await {
                let own = self.clone();
                self.spawn(async move {
                    own.deliver(&batch, &mut Line::default()).await;
                    drop(turn);
                });
            }
        }
        attendance.is_over.set(true);
    }

    /// The next batch, once it is full or has waited long enough; `None` if nothing waits.
    async fn batch(&self) -> Option<Batch> {
        let shared = &self.shared;
        let (mut since, mut lingers) = (None, true);
        loop {
            let is_stopping = self.worker.stopping.get();
            let patience = {
                let mut state = shared.lock();
                let is_ending = is_stopping || state.closed.is_some();
                if state.len() == 0 {
                    let keeps = shared.delivery.keeps_line();
                    if is_ending || !lingers || keeps.is_zero() {
                        // Under the lock, so that whoever puts the next entry in finds nobody attending.
                        state.is_attended = false;
                        return None;
                    }
                    state.wanted = Some(1);
                    keeps
                } else {
                    let waited = since.get_or_insert_with(Instant::now).elapsed();
                    if state.len() >= shared.batch || waited >= shared.coalescing || is_ending {
                        state.wanted = None;
                        return Some(state.take(shared.batch, shared));
                    }
                    state.wanted = Some(shared.batch);
                    shared.coalescing.saturating_sub(waited)
                }
            };
            tokio::select! {
                () = shared.news.notified() => {}
                () = self.worker.flush.notified() => {}
                () = sleep(patience) => lingers = false,
            }
        }
    }

    /// Delivers a batch, or gives it up.
    async fn deliver(&self, batch: &Batch, line: &mut Line) {
        let (shared, worker) = (&self.shared, &self.worker);
        let began = Instant::now();
        let mut pause = shared.first_pause;
        loop {
            let Some(tenant) = worker.shared.store.current(self.tenant) else {
                shared.clear();
                return;
            };
            let is_last = worker.stopping.get() || self.is_over();
            let Some(turn) = tenant.counters.budget.delivery(MOST_DELIVERIES) else {
                if is_last {
                    return self.give_up(&tenant, batch);
                }
                sleep(TURN).await;
                continue;
            };
            let delivered = shared.delivery.deliver(&batch.entries, line, Outside::new(worker, &tenant)).await;
            if let Ok(lost) = delivered {
                tenant.counters.records_dropped(worker.index, lost as u64);
                return tenant.counters.records_sent(worker.index, (batch.entries.len() - lost) as u64);
            }
            line.socket = None;
            tenant.counters.delivery_failed(worker.index);
            if is_last || began.elapsed() + pause > shared.retrying {
                return self.give_up(&tenant, batch);
            }
            drop((turn, tenant));
            self.pause(pause).await;
            pause = (pause * 2).min(shared.longest_pause).max(shared.first_pause);
        }
    }

    fn give_up(&self, tenant: &Tenant, batch: &Batch) {
        let mut lost = batch.entries.len() as u64;
        if self.is_over() {
            lost += self.shared.clear();
        }
        tenant.counters.records_dropped(self.worker.index, lost);
    }

    /// Whether the instance has been gone for too long.
    fn is_over(&self) -> bool {
        let closed = self.shared.lock().closed;
        closed.is_some_and(|moment| moment.elapsed() >= self.shared.retrying.min(FAREWELL))
    }

    /// Waits, unless the engine stops or the queue is not wanted any more.
    async fn pause(&self, pause: Duration) {
        let until = Instant::now() + pause;
        while Instant::now() < until && !self.worker.stopping.get() && !self.is_over() {
            if self.worker.shared.store.current(self.tenant).is_none() {
                return;
            }
            let next = until.min(Instant::now() + WATCH);
            tokio::select! {
                () = self.worker.flush.notified() => {}
                () = sleep_until(next.into()) => {}
            }
        }
    }
}
