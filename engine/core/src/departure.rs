//! The end of a tenant, for what would outlive it: connections that carry no requests go on for as long as their ends like.

use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::Notify;

/// Whether a tenant has been removed. Shared by all its versions.
#[derive(Debug, Default)]
pub struct Departure {
    gone: AtomicBool,
    told: Notify,
}

impl Departure {
    /// Ends whatever waits for it.
    pub fn tell(&self) {
        self.gone.store(true, Ordering::Release);
        self.told.notify_waiters();
    }

    /// Until the tenant is removed.
    pub async fn wait(&self) {
        let told = self.told.notified();
        // From its making on it hears of what is told; what was told before, the flag says.
        if !self.gone.load(Ordering::Acquire) {
            told.await;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::Future;
    use std::pin::pin;
    use std::sync::Arc;
    use std::task::{Context, Wake, Waker};

    use super::*;

    struct Silent;

    impl Wake for Silent {
        fn wake(self: Arc<Self>) {}
    }

    #[test]
    fn whoever_waits_is_told_before_and_after() {
        let waker = Waker::from(Arc::new(Silent));
        let mut cx = Context::from_waker(&waker);
        let departure = Departure::default();
        let (mut early, mut unasked) = (pin!(departure.wait()), pin!(departure.wait()));
        assert!(early.as_mut().poll(&mut cx).is_pending());
        departure.tell();
        assert!(early.as_mut().poll(&mut cx).is_ready() && unasked.as_mut().poll(&mut cx).is_ready());
        assert!(pin!(departure.wait()).poll(&mut cx).is_ready());
    }
}
