//! How watches hear of commits: at once from this process, by `NOTIFY` from others, and by a look now and then where a notification was lost.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use krate_model::store::{Revision, Signal};
use sqlx::postgres::PgListener;

use super::error::Fault;
use super::{Engine, read};

/// Between two looks at the revision. A connection that broke without a word is noticed by the network's time-outs only; until then these looks find
/// what it should have told.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// Before a new connection listens, after one that broke.
const PAUSE: Duration = Duration::from_millis(200);

/// The newest revision that this process has heard of.
#[derive(Debug)]
pub(super) struct News {
    known: AtomicU64,
    /// How often the listener lost its connection.
    losses: AtomicU64,
    signal: Signal,
}

impl News {
    pub(super) fn new(known: u64) -> Self {
        Self { known: AtomicU64::new(known), losses: AtomicU64::new(0), signal: Signal::default() }
    }

    pub(super) fn committed(&self, revision: Revision) {
        if self.known.fetch_max(revision.0, Ordering::AcqRel) < revision.0 {
            self.signal.notify();
        }
    }

    /// The listener's connection broke: whoever waits looks for itself, and hears of it when the store is away.
    fn lost(&self) {
        self.losses.fetch_add(1, Ordering::AcqRel);
        self.signal.notify();
    }

    /// What the database says after a loss: that may be less than was known, when a backup was restored.
    fn found(&self, revision: Revision) {
        self.known.store(revision.0, Ordering::Release);
        self.signal.notify();
    }

    pub(super) fn losses(&self) -> u64 {
        self.losses.load(Ordering::Acquire)
    }

    /// Waits for a commit after `revision`, or for another loss than those before `losses`.
    pub(super) async fn after(&self, revision: Revision, losses: u64) {
        let is_news = || self.known.load(Ordering::Acquire) > revision.0 || self.losses() != losses;
        self.signal.until(|| is_news().then_some(())).await;
    }
}

/// Listens until it is aborted.
pub(super) async fn listen(engine: Arc<Engine>) {
    loop {
        if listen_once(&engine).await {
            engine.news.lost();
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// Listens until the connection breaks; answers whether there was one.
async fn listen_once(engine: &Engine) -> bool {
    let Ok(mut listener) = PgListener::connect_with(&engine.pool).await else { return false };
    listener.eager_reconnect(false);
    if listener.listen(&engine.channel).await.is_err() {
        return false;
    }
    // What was committed before it listened.
    match read::revision(&engine.pool).await {
        Ok(revision) => engine.news.found(revision),
        Err(_) => return false,
    }
    while let Ok(Some(told)) = listener.try_recv().await {
        if let Ok(revision) = told.payload().parse() {
            engine.news.committed(revision);
        }
    }
    true
}

/// Looks for what no notification told, until it is aborted.
pub(super) async fn look_now_and_then(engine: Arc<Engine>) {
    loop {
        tokio::time::sleep(LOOK_EVERY).await;
        match read::revision(&engine.pool).await {
            Ok(revision) => engine.news.committed(revision),
            // Reads and the listener say it where somebody hears.
            Err(Fault::Sql(_) | Fault::Damaged(_)) => {}
        }
    }
}
