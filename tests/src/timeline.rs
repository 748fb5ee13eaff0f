//! Time that passes only while everybody waits: what takes its time says when it will be over, and nobody asks a clock on a wall.

use std::collections::BTreeMap;
use std::sync::Mutex;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use futures::channel::oneshot;
use krate_sync::driver::Clock;

use crate::world::lock;

/// A time, and who waits for a later one.
#[derive(Debug)]
pub struct Timeline(Mutex<State>);

#[derive(Debug)]
struct State {
    now: DateTime<Utc>,
    /// Of those who wait for one time, the first comes first.
    place: u64,
    waiting: BTreeMap<(DateTime<Utc>, u64), oneshot::Sender<()>>,
}

impl Timeline {
    /// It begins at `start`.
    pub fn from(start: DateTime<Utc>) -> Self {
        Self(Mutex::new(State { now: start, place: 0, waiting: BTreeMap::new() }))
    }

    /// The next time that somebody waits for.
    pub fn next(&self) -> Option<DateTime<Utc>> {
        let mut state = lock(&self.0);
        while let Some(first) = state.waiting.first_entry() {
            if !first.get().is_canceled() {
                return Some(first.key().0);
            }
            first.remove();
        }
        None
    }

    /// How many wait for a time.
    pub fn waiting(&self) -> usize {
        let mut state = lock(&self.0);
        state.waiting.retain(|_, waiting| !waiting.is_canceled());
        state.waiting.len()
    }

    /// Lets time pass until `time`, and wakes whoever waited for it.
    pub fn advance(&self, time: DateTime<Utc>) {
        let mut state = lock(&self.0);
        state.now = state.now.max(time);
        while let Some(first) = state.waiting.first_entry().filter(|first| first.key().0 <= time) {
            // Whoever doesn't wait any more needn't be woken.
            let _ = first.remove().send(());
        }
    }
}

#[async_trait]
impl Clock for Timeline {
    fn now(&self) -> DateTime<Utc> {
        lock(&self.0).now
    }

    async fn sleep_until(&self, time: DateTime<Utc>) {
        let woken = {
            let mut state = lock(&self.0);
            if time <= state.now {
                return;
            }
            state.place += 1;
            let place = state.place;
            let (wake, woken) = oneshot::channel();
            state.waiting.insert((time, place), wake);
            woken
        };
        // It ends with the timeline at the latest.
        let _ = woken.await;
    }
}
