//! The client connections of one thread: who is idle, and who is to make room.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::task::{Context, Waker};

use tokio::task::AbortHandle;

/// What a connection tells the worker about itself, and the worker it.
#[derive(Debug, Default)]
pub struct Presence {
    idle: Cell<bool>,
    leaving: Cell<bool>,
    waker: RefCell<Option<Waker>>,
}

impl Presence {
    /// The connection has something to do.
    pub(crate) fn busy(&self) {
        self.idle.set(false);
    }

    /// The connection waits for a request; it is woken when it had better not wait any more.
    pub(crate) fn rest(&self, cx: &Context<'_>) {
        self.idle.set(true);
        let mut waker = self.waker.borrow_mut();
        if !waker.as_ref().is_some_and(|known| known.will_wake(cx.waker())) {
            *waker = Some(cx.waker().clone());
        }
    }

    /// Whether the connection is to end as soon as it is idle.
    pub(crate) fn is_leaving(&self) -> bool {
        self.leaving.get()
    }

    fn leave(&self) {
        self.leaving.set(true);
        if let Some(waker) = self.waker.borrow().as_ref() {
            waker.wake_by_ref();
        }
    }
}

#[derive(Debug)]
struct Client {
    task: Option<AbortHandle>,
    presence: Rc<Presence>,
}

/// The client connections of a thread, in slots that are used again.
#[derive(Debug, Default)]
pub(crate) struct Clients {
    slots: Vec<Option<Client>>,
    free: Vec<usize>,
    /// Where the search for an idle one goes on.
    hand: usize,
}

impl Clients {
    pub(crate) fn add(&mut self, presence: Rc<Presence>) -> usize {
        let slot = self.free.pop().unwrap_or(self.slots.len());
        let client = Some(Client { task: None, presence });
        match self.slots.get_mut(slot) {
            Some(place) => *place = client,
            None => self.slots.push(client),
        }
        slot
    }

    pub(crate) fn set_task(&mut self, slot: usize, task: AbortHandle) {
        if let Some(Some(client)) = self.slots.get_mut(slot) {
            client.task = Some(task);
        }
    }

    pub(crate) fn remove(&mut self, slot: usize) {
        if let Some(place) = self.slots.get_mut(slot)
            && place.take().is_some()
        {
            self.free.push(slot);
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.slots.len() - self.free.len()
    }

    /// Asks one idle connection to leave; returns whether there was one.
    pub(crate) fn make_room(&mut self) -> bool {
        let count = self.slots.len();
        for step in 0..count {
            let slot = (self.hand + step) % count;
            if let Some(Some(client)) = self.slots.get(slot)
                && client.presence.idle.get()
                && !client.presence.leaving.get()
            {
                self.hand = slot + 1;
                client.presence.leave();
                return true;
            }
        }
        false
    }

    /// Asks all to leave, now or after their current request.
    pub(crate) fn dismiss(&self) {
        self.slots.iter().flatten().for_each(|client| client.presence.leave());
    }

    /// Ends connections where they stand.
    pub(crate) fn abort(&self, idle_only: bool) {
        for client in self.slots.iter().flatten() {
            if let Some(task) = &client.task
                && (client.presence.idle.get() || !idle_only)
            {
                task.abort();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn idle_connections_take_turns_in_making_room() {
        let mut clients = Clients::default();
        let all: Vec<_> = (0..3).map(|_| Rc::new(Presence::default())).collect();
        let slots: Vec<_> = all.iter().map(|presence| clients.add(presence.clone())).collect();
        assert!(!clients.make_room());
        let waker = std::task::Waker::noop();
        all[0].rest(&Context::from_waker(waker));
        all[2].rest(&Context::from_waker(waker));
        assert!(clients.make_room() && clients.make_room() && !clients.make_room());
        assert!(all[0].is_leaving() && !all[1].is_leaving() && all[2].is_leaving());
        for slot in slots {
            clients.remove(slot);
        }
        clients.remove(0);
        assert_eq!(clients.len(), 0);
        assert_eq!((clients.add(all[1].clone()), clients.len()), (2, 1));
    }
}
