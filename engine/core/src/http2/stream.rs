//! How the streams of a connection are run, counted and given up.

use std::cell::{Cell, RefCell};
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use hyper::rt::Executor;

use crate::net::deadline::Deadline;
use crate::worker::{Witness, Worker};

/// The streams of one connection.
#[derive(Debug, Default)]
pub(super) struct Streams {
    open: Cell<usize>,
    completed: Cell<u64>,
    abandoned: Cell<u64>,
    waker: RefCell<Option<Waker>>,
}

impl Streams {
    /// Has the connection's task woken when the last stream ends.
    pub(super) fn watch(&self, cx: &Context<'_>) {
        let mut waker = self.waker.borrow_mut();
        if !waker.as_ref().is_some_and(|known| known.will_wake(cx.waker())) {
            *waker = Some(cx.waker().clone());
        }
    }

    pub(super) fn open(&self) -> usize {
        self.open.get()
    }

    /// By how many more streams were given up by the client than were completed. A client that opens streams only to
    /// reset them makes the gateway work for nothing (CVE-2023-44487).
    pub(super) fn waste(&self) -> u64 {
        self.abandoned.get().saturating_sub(self.completed.get())
    }
}

/// One stream, shared by those who move its bytes.
#[derive(Debug)]
pub(super) struct Active {
    streams: Rc<Streams>,
    /// Since when the client could take bytes and has not.
    owed_since: Cell<Option<Instant>>,
    completed: Cell<bool>,
}

impl Active {
    pub(super) fn new(streams: &Rc<Streams>) -> Rc<Self> {
        streams.open.set(streams.open.get() + 1);
        Rc::new(Self { streams: streams.clone(), owed_since: Cell::new(None), completed: Cell::new(false) })
    }

    /// Something was handed over that now waits for the client.
    pub(super) fn owes(&self) {
        self.owed_since.set(Some(Instant::now()));
    }

    /// The client has room again.
    pub(super) fn took(&self) {
        self.owed_since.set(None);
    }

    /// The whole response was handed over.
    pub(super) fn complete(&self) {
        self.completed.set(true);
    }
}

impl Drop for Active {
    fn drop(&mut self) {
        self.streams.open.set(self.streams.open.get() - 1);
        let counter = if self.completed.get() { &self.streams.completed } else { &self.streams.abandoned };
        counter.set(counter.get() + 1);
        if self.streams.open.get() == 0
            && let Some(waker) = self.streams.waker.borrow().as_ref()
        {
            waker.wake_by_ref();
        }
    }
}

/// Runs the streams of one connection as tasks of this thread. The service leaves the stream that it has just been
/// called for in `next`: what is executed then is that stream.
#[derive(Clone)]
pub(super) struct Local {
    pub(super) worker: Rc<Worker>,
    pub(super) next: Rc<RefCell<Option<Rc<Active>>>>,
    /// How long a client may leave what it is owed.
    pub(super) patience: Duration,
}

impl<F: Future + 'static> Executor<F> for Local {
    fn execute(&self, future: F) {
        let (active, patience) = (self.next.borrow_mut().take(), self.patience);
        let witness = Witness::new(&self.worker);
        drop(tokio::task::spawn_local(async move {
            let _witness = witness;
            match active {
                Some(active) => drop(unless_stuck(future, &active, patience).await),
                None => drop(future.await),
            }
        }));
    }
}

/// Gives a stream up, which resets it, when its client has not taken anything for too long: without that, streams with a
/// closed window would hold their memory and their connection for ever.
async fn unless_stuck<F: Future>(future: F, active: &Active, patience: Duration) -> Option<F::Output> {
    let mut future = pin!(future);
    let mut deadline = Deadline::after(patience);
    poll_fn(|cx| {
        if let Poll::Ready(output) = future.as_mut().poll(cx) {
            return Poll::Ready(Some(output));
        }
        loop {
            let since = active.owed_since.get();
            deadline.set(since.unwrap_or_else(Instant::now) + patience);
            if deadline.poll(cx).is_pending() {
                return Poll::Pending;
            }
            if since.is_some() {
                return Poll::Ready(None);
            }
        }
    })
    .await
}
