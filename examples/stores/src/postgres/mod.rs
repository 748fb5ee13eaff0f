//! The Postgres store: several processes on one database.
//!
//! - Each process has one writer task, which takes every change set that waits into one transaction (`writer.rs`). Transactions of all processes take
//!   turns by the lock of one row, so that commits become visible in the order of their revisions.
//! - Reads go through a pool of connections, one statement each (`read.rs`).
//! - A watch looks again when `NOTIFY` tells of a commit; what a lost connection kept from it is caught up with (`watch.rs`).
//! - When the connection breaks under a commit, the store looks whether it happened. [`StoreError::OutcomeUnknown`] is the answer only where the server
//!   can't be asked in time, too.

mod batch;
mod error;
mod read;
mod schema;
mod url;
mod watch;
mod writer;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use krate_model::store::{
    ChangeSet, Changes, CommitError, Filter, Key, Page, Query, Revision, Store, StoreError, Stored,
};
use sqlx::Connection;
use sqlx::postgres::{PgConnectOptions, PgConnection, PgPool, PgPoolOptions};
use tokio::runtime::Handle;
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};
use tokio::sync::oneshot;
use tokio::task::AbortHandle;

use crate::Counters;
pub use error::PostgresOpenError;
use error::{Fault, Told};
use read::Look;
use watch::News;
use writer::Job;

/// How to open a [`PostgresStore`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct PostgresOptions {
    /// How many touched objects the watch remembers, in whole commits and about: of several processes the one that allows the least decides.
    pub max_history: u64,
    /// The most connections that read. One more writes, and one listens.
    pub connections: u32,
    /// How long a connection may take, and a read may wait for one.
    pub connect_timeout: Duration,
    /// How long to find out what became of a commit whose answer was lost.
    pub settle_within: Duration,
}

impl Default for PostgresOptions {
    fn default() -> Self {
        Self {
            max_history: 100_000,
            connections: 8,
            connect_timeout: Duration::from_secs(5),
            settle_within: Duration::from_secs(10),
        }
    }
}

/// A store in a Postgres database, which several processes may use at a time.
///
/// ```no_run
/// # async fn story() -> Result<(), Box<dyn std::error::Error>> {
/// use krate_model::{Kind, store::{ChangeSet, Expect, Key, Store}};
/// use krate_stores::PostgresStore;
/// let store = PostgresStore::open("postgres://krate@localhost/krate").await?;
/// let key = Key::new(Kind::Issue, "krate-org-a", "first");
/// store.commit(ChangeSet::new().put(key, Expect::Absent, *b"{}", [])).await?;
/// # Ok(())
/// # }
/// ```
pub struct PostgresStore {
    engine: Arc<Engine>,
    jobs: UnboundedSender<Job>,
    /// Tasks that would run on without the store.
    tasks: [AbortHandle; 2],
}

impl PostgresStore {
    /// Opens the store in the database that `url` names, and brings its tables to this version's format; makes them where there are none.
    ///
    /// Of the store itself a URL may say `connections` and `connect_timeout` (in seconds). What it doesn't say otherwise is taken from the environment (`PGPASSWORD`, `PGSSLMODE` …) and the password file, as Postgres's own programs do.
    /// The store works on the tokio runtime that this is called on; what it returns may be used from any task or thread.
    ///
    /// # Errors
    /// [`PostgresOpenError`] says what is wrong and what to do; never with a password.
    pub async fn open(url: &str) -> Result<Self, PostgresOpenError> {
        Self::open_with(url, PostgresOptions::default()).await
    }

    /// As [`open`](Self::open), with options.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub async fn open_with(url: &str, options: PostgresOptions) -> Result<Self, PostgresOpenError> {
        let url::Address { connect, options, name, database } = url::parse(url, options)?;
        let failed = |error: sqlx::Error| PostgresOpenError::of(&name, &database, error);
        let connection = tokio::time::timeout(options.connect_timeout, PgConnection::connect_with(&connect));
        let mut connection = connection.await.map_err(|_| failed(sqlx::Error::PoolTimedOut))?.map_err(failed)?;
        let opened = schema::open(&mut connection, &name, &database).await?;
        // It was good for this; whether the server hears the goodbye doesn't matter.
        let _ = connection.close().await;

        let pool = PgPoolOptions::new()
            .max_connections(options.connections.max(1).saturating_add(1))
            .acquire_timeout(options.connect_timeout)
            // A read that meets a dead connection is done again.
            .test_before_acquire(false)
            .connect_lazy_with(connect.clone());
        let engine = Arc::new(Engine {
            name,
            options,
            connect,
            pool,
            channel: opened.channel,
            runtime: Handle::current(),
            news: News::new(opened.revision),
            counts: Counts::default(),
        });
        let (jobs, queue) = unbounded_channel();
        tokio::spawn(writer::write_all(Arc::clone(&engine), queue));
        let tasks = [
            tokio::spawn(watch::listen(Arc::clone(&engine))).abort_handle(),
            tokio::spawn(watch::look_now_and_then(Arc::clone(&engine))).abort_handle(),
        ];
        Ok(Self { engine, jobs, tasks })
    }

    /// The store as `postgres://user@host:port/database`, for messages.
    pub fn name(&self) -> &str {
        &self.engine.name
    }

    /// What it did since it was opened. A Postgres store knows no syncs and bytes.
    pub fn counters(&self) -> Counters {
        self.engine.counts.read()
    }
}

impl Drop for PostgresStore {
    fn drop(&mut self) {
        // The writer ends when all that was handed in is answered.
        self.tasks.iter().for_each(AbortHandle::abort);
    }
}

impl fmt::Debug for PostgresStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PostgresStore").field("name", &self.engine.name).finish_non_exhaustive()
    }
}

#[async_trait]
impl Store for PostgresStore {
    async fn get(&self, key: &Key) -> Result<Option<Stored>, StoreError> {
        self.engine.read(key.clone(), async |pool, key| read::get(&pool, &key).await).await
    }

    async fn list(&self, query: &Query) -> Result<Page, StoreError> {
        self.engine.read(query.clone(), async |pool, query| read::list(&pool, &query).await).await
    }

    async fn commit(&self, changes: ChangeSet) -> Result<Revision, CommitError> {
        let (answer, answered) = oneshot::channel();
        if self.jobs.send(Job { changes, answer }).is_err() {
            return Err(self.engine.gone().into());
        }
        answered.await.unwrap_or_else(|_| {
            let source = Arc::new(Told("the runtime ended before the answer".into()));
            Err(StoreError::OutcomeUnknown { store: Arc::clone(&self.engine.name), source }.into())
        })
    }

    async fn changes(&self, after: Revision, filter: &Filter) -> Result<Changes, StoreError> {
        let mut after = after;
        loop {
            let losses = self.engine.news.losses();
            let asked = (after, filter.clone());
            match self.engine.read(asked, async |pool, asked| read::changes(&pool, asked.0, &asked.1).await).await? {
                Look::Found(changes) => return Ok(changes),
                Look::Nothing(reached) => after = reached,
                Look::Expired { oldest, newest } => return Err(StoreError::WatchExpired { after, oldest, newest }),
            }
            self.engine.news.after(after, losses).await;
        }
    }

    async fn revision(&self) -> Result<Revision, StoreError> {
        self.engine.read((), async |pool, _| read::revision(&pool).await).await
    }
}

/// What the store and its tasks share.
struct Engine {
    /// The store without its password, as errors name it.
    name: Arc<str>,
    options: PostgresOptions,
    connect: PgConnectOptions,
    pool: PgPool,
    /// Where commits are told.
    channel: String,
    runtime: Handle,
    news: News,
    counts: Counts,
}

impl Engine {
    /// Runs a read on the store's runtime, whoever waits for it. One that meets a connection which broke since it was last used is done again: reads may be.
    async fn read<A, T, F>(
        self: &Arc<Self>,
        asked: A,
        read: impl Fn(PgPool, Arc<A>) -> F + Send + 'static,
    ) -> Result<T, StoreError>
    where
        A: Send + Sync + 'static,
        T: Send + 'static,
        F: Future<Output = Result<T, Fault>> + Send,
    {
        let asked = Arc::new(asked);
        let engine = Arc::clone(self);
        let reading = self.runtime.spawn(async move {
            // Every connection of the pool may have broken, as when the server was started anew.
            let mut tries = engine.options.connections.max(1).saturating_add(2);
            loop {
                tries = tries.saturating_sub(1);
                match read(engine.pool.clone(), Arc::clone(&asked)).await {
                    Err(fault) if tries > 0 && fault.is_lost() && !fault.is_no_connection() => {}
                    answer => return answer.map_err(|fault| fault.to_store_error(&engine.name)),
                }
            }
        });
        reading.await.unwrap_or_else(|_| Err(self.gone()))
    }

    fn gone(&self) -> StoreError {
        let source = Arc::new(Told("the runtime has ended".into()));
        StoreError::Unavailable { store: Arc::clone(&self.name), source }
    }
}

#[derive(Debug, Default)]
struct Counts {
    commits: AtomicU64,
    refused: AtomicU64,
    batches: AtomicU64,
    largest_batch: AtomicU64,
    recoveries: AtomicU64,
}

impl Counts {
    fn read(&self) -> Counters {
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        Counters {
            commits: read(&self.commits),
            refused: read(&self.refused),
            batches: read(&self.batches),
            largest_batch: read(&self.largest_batch),
            recoveries: read(&self.recoveries),
            ..Counters::default()
        }
    }
}

fn add(count: &AtomicU64, more: usize) {
    count.fetch_add(more.try_into().unwrap_or(u64::MAX), Ordering::Relaxed);
}
