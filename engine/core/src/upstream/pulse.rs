//! Whether an HTTP/2 connection to an upstream is still alive. One that is silent is asked with a ping (RFC 9113
//! section 6.7), and given up if no answer comes.

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker, ready};
use std::time::{Duration, Instant};

use h2::{Ping, PingPong};
use tokio::sync::Notify;
use tokio::time::{Sleep, sleep, timeout};

use crate::limits::Timeouts;

/// Pings that a connection gets while nothing else is heard of it. More of them, servers of gRPC take for abuse and
/// close the connection.
const MOST_UNHEARD: u32 = 2;
/// The pause before each further one: longer than the five minutes that those servers want between them.
const PAUSE: Duration = Duration::from_secs(310);
/// How long a request waits for the answer to a ping rather than for another connection.
const HESITATION: Duration = Duration::from_secs(1);

/// What is known of the life of a connection, shared by its streams, its pool and its driver.
#[derive(Debug)]
pub struct Pulse {
    silence: Duration,
    heard: Cell<u64>,
    alive: Cell<Instant>,
    doubtful: Cell<bool>,
    shunned: Cell<bool>,
    driver: RefCell<Option<Waker>>,
    settled: Notify,
}

impl Pulse {
    /// The pulse of a connection that was just made.
    #[must_use]
    pub fn new(timeouts: &Timeouts) -> Self {
        Self {
            silence: timeouts.ping,
            heard: Cell::new(0),
            alive: Cell::new(Instant::now()),
            doubtful: Cell::new(false),
            shunned: Cell::new(false),
            driver: RefCell::default(),
            settled: Notify::new(),
        }
    }

    /// How often something came, apart from answers to pings.
    #[must_use]
    pub fn heard(&self) -> u64 {
        self.heard.get()
    }

    /// Something came.
    pub fn hear(&self) {
        self.heard.set(self.heard.get() + 1);
    }

    /// Has the connection asked whether it is alive.
    pub fn doubt(&self) {
        self.doubtful.set(true);
        if let Some(driver) = &*self.driver.borrow() {
            driver.wake_by_ref();
        }
    }

    /// Whether nothing new is to go there: it could not be found out whether the connection is alive.
    #[must_use]
    pub fn is_shunned(&self) -> bool {
        self.shunned.get()
    }

    /// Whether a request may go there without further ado: the last sign of life is not too old, or there are streams
    /// whose silence would be noticed.
    #[must_use]
    pub fn is_sure(&self, now: Instant, in_use: bool) -> bool {
        !self.doubtful.get() && (in_use || now.duration_since(self.alive.get()) < self.silence)
    }

    /// Notes that a request goes there: from now on its silence will tell.
    pub fn trust(&self, now: Instant) {
        self.alive.set(now);
    }

    /// Asks, and waits for the answer as long as that is worth it.
    pub async fn settled(&self) {
        let settled = self.settled.notified();
        self.doubt();
        let _ = timeout(HESITATION, settled).await;
    }

    /// Ends all doubt.
    fn settle(&self) {
        self.doubtful.set(false);
        self.settled.notify_waiters();
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Nobody waits for anything.
    Resting,
    /// Streams are open; what has not come when the timer fires is silence.
    Listening,
    /// A ping is out; the timer is the end of patience.
    Asked,
}

/// The part of a connection's driver that watches its pulse. One timer, which is moved once per silence, however much
/// goes through the connection.
pub struct Watch {
    pulse: Rc<Pulse>,
    open: Rc<Cell<usize>>,
    pings: PingPong,
    pong: Duration,
    state: State,
    timer: Pin<Box<Sleep>>,
    /// What had been heard when the timer was set.
    seen: u64,
    /// Pings since something else was heard, up to when that was looked at, and when the last one went.
    unheard: (u32, u64),
    last: Option<Instant>,
}

impl Watch {
    /// Watches a connection that has so many streams `open`.
    #[must_use]
    pub fn new(pulse: Rc<Pulse>, open: Rc<Cell<usize>>, pings: PingPong, timeouts: &Timeouts) -> Self {
        Self {
            pulse,
            open,
            pings,
            pong: timeouts.pong,
            state: State::Resting,
            timer: Box::pin(sleep(Duration::ZERO)),
            seen: 0,
            unheard: (0, 0),
            last: None,
        }
    }

    /// Ready once the connection is to be taken for dead.
    pub fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.follow(cx);
        loop {
            match self.state {
                State::Asked => match self.pings.poll_pong(cx) {
                    Poll::Ready(Ok(_)) => self.calm(),
                    Poll::Ready(Err(_)) => return Poll::Ready(()),
                    Poll::Pending => {
                        ready!(self.timer.as_mut().poll(cx));
                        if self.pulse.heard() == self.seen {
                            return Poll::Ready(());
                        }
                        // The answer comes behind whatever else was to be sent.
                        self.pulse.settle();
                        self.set_timer(self.pong);
                    }
                },
                _ if self.pulse.doubtful.get() => self.ask(),
                _ if self.open.get() == 0 => {
                    self.state = State::Resting;
                    return Poll::Pending;
                }
                State::Resting => {
                    self.set_timer(self.pulse.silence);
                    self.state = State::Listening;
                }
                State::Listening => {
                    ready!(self.timer.as_mut().poll(cx));
                    if self.pulse.heard() == self.seen {
                        self.ask();
                    } else {
                        self.state = State::Resting;
                    }
                }
            }
        }
    }

    fn follow(&self, cx: &Context<'_>) {
        let mut driver = self.pulse.driver.borrow_mut();
        if !driver.as_ref().is_some_and(|known| known.will_wake(cx.waker())) {
            *driver = Some(cx.waker().clone());
        }
    }

    fn set_timer(&mut self, after: Duration) {
        self.seen = self.pulse.heard();
        self.timer.as_mut().reset(tokio::time::Instant::now() + after);
    }

    /// Sends a ping, unless the connection has answered enough of them since it brought anything else.
    fn ask(&mut self) {
        let (heard, now) = (self.pulse.heard(), Instant::now());
        let count = if self.unheard.1 == heard { self.unheard.0 } else { 0 };
        let may = count < MOST_UNHEARD || self.last.is_none_or(|last| now.duration_since(last) >= PAUSE);
        if may && self.pings.send_ping(Ping::opaque()).is_ok() {
            (self.unheard, self.last, self.state) = ((count + 1, heard), Some(now), State::Asked);
            self.pulse.doubtful.set(true);
            self.set_timer(self.pong);
        } else {
            // Mere silence was explained twice; a call that had no answer is another matter.
            self.pulse.shunned.set(self.pulse.doubtful.get());
            self.calm();
        }
    }

    fn calm(&mut self) {
        self.pulse.alive.set(Instant::now());
        self.pulse.settle();
        self.state = State::Resting;
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        // Whoever waits looks for another connection now.
        self.pulse.settle();
    }
}
