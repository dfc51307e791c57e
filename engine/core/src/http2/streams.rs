//! The streams of a client's connection, counted.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::task::{Context, Waker};

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

/// One stream's place among them.
#[derive(Debug)]
pub(super) struct Active {
    streams: Rc<Streams>,
    completed: bool,
}

impl Active {
    pub(super) fn new(streams: &Rc<Streams>) -> Self {
        streams.open.set(streams.open.get() + 1);
        Self { streams: streams.clone(), completed: false }
    }

    /// The whole response was handed over.
    pub(super) fn complete(&mut self) {
        self.completed = true;
    }
}

impl Drop for Active {
    fn drop(&mut self) {
        self.streams.open.set(self.streams.open.get() - 1);
        let counter = if self.completed { &self.streams.completed } else { &self.streams.abandoned };
        counter.set(counter.get() + 1);
        if self.streams.open.get() == 0
            && let Some(waker) = self.streams.waker.borrow().as_ref()
        {
            waker.wake_by_ref();
        }
    }
}
