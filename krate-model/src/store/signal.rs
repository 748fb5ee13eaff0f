//! Waiting without a runtime.

use std::collections::BTreeMap;
use std::future::poll_fn;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Poll, Waker};

/// Wakes every future that waits for something to become true.
///
/// ```
/// # use std::sync::atomic::{AtomicBool, Ordering};
/// let (ready, signal) = (AtomicBool::new(false), krate_model::store::Signal::default());
/// ready.store(true, Ordering::Release);
/// signal.notify();
/// let waits = signal.until(|| ready.load(Ordering::Acquire).then_some("done"));
/// # let mut waits = std::pin::pin!(waits);
/// # let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
/// # assert_eq!(std::future::Future::poll(waits.as_mut(), &mut cx), std::task::Poll::Ready("done"));
/// ```
#[derive(Debug, Default)]
pub struct Signal {
    waiting: Mutex<Waiting>,
}

#[derive(Debug, Default)]
struct Waiting {
    next: u64,
    wakers: BTreeMap<u64, Waker>,
}

/// Takes the waker out again, also when the future is dropped half way.
struct Place<'a> {
    signal: &'a Signal,
    at: u64,
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.signal.lock().wakers.remove(&self.at);
    }
}

impl Signal {
    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Has all waiting futures look again. Call it after the change is visible.
    pub fn notify(&self) {
        let woken = std::mem::take(&mut self.lock().wakers);
        for waker in woken.into_values() {
            waker.wake();
        }
    }

    /// Waits until `check` finds something. It is called once at first, and after each [`notify`](Self::notify).
    pub async fn until<T>(&self, mut check: impl FnMut() -> Option<T>) -> T {
        let place = {
            let mut waiting = self.lock();
            waiting.next = waiting.next.wrapping_add(1);
            Place { signal: self, at: waiting.next }
        };
        poll_fn(|cx| {
            // The waker is in place before the look, so that a change between look and return isn't missed.
            self.lock().wakers.insert(place.at, cx.waker().clone());
            check().map_or(Poll::Pending, Poll::Ready)
        })
        .await
    }
}
