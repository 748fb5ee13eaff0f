//! Rate limits: the primary quota of an hour, and the secondary limit on creating content.

use std::collections::VecDeque;

use chrono::{DateTime, TimeDelta, Utc};
use http::StatusCode;

/// What callers may use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Requests an hour for each account.
    pub per_hour: u64,
    /// Requests an hour for all callers without a token.
    pub anonymous_per_hour: u64,
    /// Requests a minute that create content, for each account; beyond it the secondary limit strikes.
    pub creations_per_minute: usize,
    /// How the primary limit is answered: 403 or 429, GitHub uses both.
    pub exhausted: StatusCode,
    /// `retry-after` of the secondary limit, in seconds.
    pub retry_after_seconds: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            per_hour: 5000,
            anonymous_per_hour: 60,
            creations_per_minute: 80,
            exhausted: StatusCode::FORBIDDEN,
            retry_after_seconds: 60,
        }
    }
}

/// What one account used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Usage {
    pub(super) limit: u64,
    pub(super) used: u64,
    pub(super) reset: DateTime<Utc>,
    creations: VecDeque<DateTime<Utc>>,
    /// Until when the secondary limit answers every request.
    pub(super) paused_until: Option<DateTime<Utc>>,
}

impl Usage {
    /// A new window that starts at `now`.
    pub(super) fn starting(now: DateTime<Utc>, limit: u64) -> Self {
        Self { limit, used: 0, reset: after(now, 3600), creations: VecDeque::new(), paused_until: None }
    }

    /// Opens a new window if the old one ended.
    pub(super) fn roll(&mut self, now: DateTime<Utc>, limit: u64) {
        self.limit = limit;
        if now >= self.reset {
            self.used = 0;
            self.reset = after(now, 3600);
        }
        if self.paused_until.is_some_and(|until| now >= until) {
            self.paused_until = None;
        }
    }

    pub(super) fn remaining(&self) -> u64 {
        self.limit.saturating_sub(self.used)
    }

    /// Counts a request that creates content; false where it is one too many.
    pub(super) fn create(&mut self, now: DateTime<Utc>, limits: &Limits) -> bool {
        while self.creations.front().is_some_and(|&at| now - at >= TimeDelta::seconds(60)) {
            self.creations.pop_front();
        }
        if self.creations.len() >= limits.creations_per_minute {
            self.paused_until = Some(after(now, i64::from(limits.retry_after_seconds)));
            return false;
        }
        self.creations.push_back(now);
        true
    }
}

pub(super) fn after(now: DateTime<Utc>, seconds: i64) -> DateTime<Utc> {
    TimeDelta::try_seconds(seconds).and_then(|delta| now.checked_add_signed(delta)).unwrap_or(now)
}
