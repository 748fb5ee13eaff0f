//! What `/metrics` tells.

use std::fmt::Write as _;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use krate_stores::Counters;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Registry;

/// How a delivery was answered.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Answer {
    outcome: &'static str,
    reason: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Did {
    what: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Of {
    kind: &'static str,
}

/// The figures.
#[derive(Debug)]
pub(crate) struct Metrics {
    registry: Registry,
    deliveries: Family<Answer, Counter>,
    answers: Histogram,
    queue: Family<Of, Gauge>,
    passes: Counter,
    records: Counter,
    failures: Counter,
    failing: Gauge,
    pub(crate) due_lag: Gauge<f64, AtomicU64>,
    pub(crate) worker_up: Gauge,
    store: Family<Did, Gauge<u64, AtomicU64>>,
}

impl Metrics {
    pub(crate) fn new() -> Self {
        let mut all = Self {
            registry: Registry::with_prefix("krate"),
            deliveries: Family::default(),
            // From half a millisecond to about eight seconds.
            answers: Histogram::new(exponential_buckets(0.0005, 2.0, 15)),
            queue: Family::default(),
            passes: Counter::default(),
            records: Counter::default(),
            failures: Counter::default(),
            failing: Gauge::default(),
            due_lag: Gauge::default(),
            worker_up: Gauge::default(),
            store: Family::default(),
        };
        let registry = &mut all.registry;
        registry.register("deliveries", "Webhooks by how they were answered", all.deliveries.clone());
        registry.register("answer_seconds", "How long webhooks took to answer", all.answers.clone());
        registry.register("queue_depth", "Records that are due, counted up to 1000 of each kind", all.queue.clone());
        registry.register("passes", "Passes of the worker over what is due", all.passes.clone());
        registry.register("records", "Records that passes worked on", all.records.clone());
        registry.register("failures", "Records whose work failed in a pass", all.failures.clone());
        registry.register("failing_records", "Records that failed in the newest pass", all.failing.clone());
        registry.register("due_lag_seconds", "How long the oldest due record has waited", all.due_lag.clone());
        registry.register("worker_up", "Whether the worker runs", all.worker_up.clone());
        registry.register("store", "What the store did since it was opened", all.store.clone());
        all
    }

    pub(crate) fn delivery(&self, outcome: &'static str, reason: &'static str) {
        self.deliveries.get_or_create(&Answer { outcome, reason }).inc();
    }

    pub(crate) fn answered(&self, after: Duration) {
        self.answers.observe(after.as_secs_f64());
    }

    pub(crate) fn queued(&self, kind: &'static str, depth: usize) {
        self.queue.get_or_create(&Of { kind }).set(i64::try_from(depth).unwrap_or(i64::MAX));
    }

    pub(crate) fn pass(&self, done: usize, failed: usize) {
        self.passes.inc();
        self.records.inc_by(done as u64);
        self.failures.inc_by(failed as u64);
        self.failing.set(i64::try_from(failed).unwrap_or(i64::MAX));
    }

    /// The text for Prometheus.
    pub(crate) fn text(&self, counters: &Counters) -> String {
        for (what, value) in [
            ("commits", counters.commits),
            ("refused", counters.refused),
            ("batches", counters.batches),
            ("largest_batch", counters.largest_batch),
            ("syncs", counters.syncs),
            ("written_bytes", counters.written_bytes),
            ("recoveries", counters.recoveries),
        ] {
            self.store.get_or_create(&Did { what }).set(value);
        }
        let mut text = String::new();
        if encode(&mut text, &self.registry).is_err() {
            let _ = writeln!(text, "# the figures could not be written");
        }
        text
    }
}
