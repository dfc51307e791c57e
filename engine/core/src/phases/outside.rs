//! What a plugin may do while its request waits.

use std::rc::Rc;

use crate::budget::Budget;
use crate::worker::Worker;

/// Most pieces of work that are under way aside at once, in the whole process. Each occupies a thread.
const MOST_ASIDE: u64 = 8;
/// Most of them that are one tenant's: whoever floods it with guesses leaves some to its neighbours.
const MOST_OF_ONE: u64 = 4;

/// The world outside of a plugin's turn, offered to [`Plugin::access_later`](super::Plugin::access_later).
#[derive(Clone, Copy)]
pub struct Outside<'a> {
    worker: &'a Rc<Worker>,
    budget: &'a Budget,
}

impl<'a> Outside<'a> {
    pub(crate) fn new(worker: &'a Rc<Worker>, budget: &'a Budget) -> Self {
        Self { worker, budget }
    }

    /// Does work that takes long to compute on another thread, while this thread serves other requests. `None` if too
    /// much of it is under way already; the plugin then has to refuse.
    pub async fn aside<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> Option<T> {
        let share = (self.budget.aside(MOST_OF_ONE)?, self.worker.shared.counts.aside(MOST_ASIDE)?);
        let task = tokio::task::spawn_blocking(move || {
            let _share = share;
            work()
        });
        task.await.ok()
    }
}
