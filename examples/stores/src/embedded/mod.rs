//! The embedded store: redb under the port, with group commit.
//!
//! - One writer thread takes every change set that waits, decides each on its own, and makes them durable with one transaction and one sync
//!   (`writer.rs`). A commit is acknowledged after the sync and not before.
//! - Reads see the last durable state (redb keeps old pages while somebody reads them) and run on the caller's thread.
//! - When the medium fails, nothing of that batch is acknowledged. The database is opened anew, and its revision tells whether the batch made it.

mod error;
mod medium;
mod tables;
mod writer;

use std::fmt;
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};

use async_trait::async_trait;
use krate_model::store::{
    ChangeSet, Changes, CommitError, Filter, Key, Page, Query, Revision, Signal, Store, StoreError, Stored,
};
use redb::backends::FileBackend;
use redb::{Database, ReadTransaction, ReadableDatabase, StorageBackend};

pub use error::OpenError;
use error::store_error;
pub use medium::Counters;
use medium::{Counted, Counts};
pub use tables::Agreement;
use tables::{Look, SUPPORTED_FORMAT, Tables};
use writer::Writer;

/// How to open an [`EmbeddedStore`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Options {
    /// How many touched objects the watch remembers, in whole commits.
    pub max_history: u64,
    /// How much memory pages of the file may take.
    pub cache_bytes: usize,
    /// Whether to read and check the whole file when it is opened, not only after a crash. Without, a file that something else has written into may be
    /// found out late.
    pub check: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self { max_history: 100_000, cache_bytes: 64 * 1024 * 1024, check: true }
    }
}

/// A durable store in one file, with a lock file beside it that keeps a second process out.
///
/// ```
/// use krate_model::{Kind, store::{ChangeSet, Expect, Key, Store, suite::block_on}};
/// use krate_stores::EmbeddedStore;
/// let directory = tempfile::tempdir().unwrap();
/// let path = directory.path().join("krate.redb");
/// let key = Key::new(Kind::Issue, "krate-org-a", "first");
///
/// let store = EmbeddedStore::open(&path).unwrap();
/// block_on(store.commit(ChangeSet::new().put(key.clone(), Expect::Absent, *b"{}", []))).unwrap();
/// drop(store);
///
/// let store = EmbeddedStore::open(&path).unwrap();
/// assert!(block_on(store.get(&key)).unwrap().is_some());
/// ```
pub struct EmbeddedStore {
    engine: Arc<Engine>,
    writer: Writer,
}

impl EmbeddedStore {
    /// Opens the store at `path`; makes it when there is none.
    ///
    /// # Errors
    /// [`OpenError`] names the file and what to do.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, OpenError> {
        Self::open_with(path, Options::default())
    }

    /// As [`open`](Self::open), with options.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn open_with(path: impl AsRef<Path>, options: Options) -> Result<Self, OpenError> {
        let path = path.as_ref().to_path_buf();
        let lock = lock_file(&path)?;
        let file = path.clone();
        Self::open_on(path, options, move || {
            // Held as long as the store is, also between closing a failed database and opening it anew.
            let _ = &lock;
            open_file(&file)
        })
    }

    /// Opens the store on another medium than a file; `path` is its name in errors. `medium` is called again when the medium has failed.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn open_on<M: StorageBackend>(
        path: impl Into<PathBuf>,
        options: Options,
        medium: impl Fn() -> io::Result<M> + Send + Sync + 'static,
    ) -> Result<Self, OpenError> {
        let path = path.into();
        let medium = Box::new(move || medium().map(|medium| Box::new(medium) as Box<dyn StorageBackend>));
        let engine = Engine {
            name: path.display().to_string().into(),
            path,
            options,
            medium,
            database: RwLock::new(None),
            revision: AtomicU64::new(0),
            committed: Signal::default(),
            counts: Arc::default(),
        };
        let (database, revision) = engine.open()?;
        engine.publish(revision);
        let engine = Arc::new(Engine { database: RwLock::new(Some(database)), ..engine });
        let writer = Writer::start(&engine).map_err(|error| OpenError::of_io(&engine.path, error))?;
        Ok(Self { engine, writer })
    }

    /// What it did since it was opened.
    pub fn counters(&self) -> Counters {
        self.engine.counts.read()
    }

    /// Compares all objects with all index rows. Reads everything.
    ///
    /// # Errors
    /// [`StoreError`] when the file can't be read.
    pub fn agreement(&self) -> Result<Agreement, StoreError> {
        self.engine.read(tables::agreement)
    }
}

impl fmt::Debug for EmbeddedStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EmbeddedStore").field("path", &self.engine.path).finish_non_exhaustive()
    }
}

#[async_trait]
impl Store for EmbeddedStore {
    async fn get(&self, key: &Key) -> Result<Option<Stored>, StoreError> {
        self.engine.read(|transaction| tables::read(transaction, key))
    }

    async fn list(&self, query: &Query) -> Result<Page, StoreError> {
        self.engine.read(|transaction| tables::page(transaction, query))
    }

    async fn commit(&self, changes: ChangeSet) -> Result<Revision, CommitError> {
        self.writer.commit(changes).await
    }

    async fn changes(&self, after: Revision, filter: &Filter) -> Result<Changes, StoreError> {
        let mut after = after;
        self.engine.committed.until(|| self.engine.changes(&mut after, filter).transpose()).await
    }

    async fn revision(&self) -> Result<Revision, StoreError> {
        self.engine.read(tables::read_revision)
    }
}

/// What the store and its writer thread share.
struct Engine {
    path: PathBuf,
    /// The path, as errors of the port name it.
    name: Arc<str>,
    options: Options,
    medium: Box<dyn Fn() -> io::Result<Box<dyn StorageBackend>> + Send + Sync>,
    /// Absent after the medium failed, until it can be opened again.
    database: RwLock<Option<Database>>,
    /// The last durable revision.
    revision: AtomicU64,
    committed: Signal,
    counts: Arc<Counts>,
}

impl Engine {
    fn open(&self) -> Result<(Database, Revision), OpenError> {
        let medium = (self.medium)().and_then(|medium| Counted::new(medium, &self.counts));
        let medium = medium.map_err(|error| OpenError::of_io(&self.path, error))?;
        let failed = |error: redb::Error| OpenError::of(&self.path, error);
        let mut builder = Database::builder();
        builder.set_cache_size(self.options.cache_bytes).set_check_integrity_on_open(self.options.check);
        let database = builder.create_with_backend(medium).map_err(|error| failed(error.into()))?;
        let transaction = database.begin_write().map_err(|error| failed(error.into()))?;
        let (format, revision) = {
            let mut tables = Tables::open(&transaction, &self.name).map_err(failed)?;
            (tables.format().map_err(failed)?, tables.revision().map_err(failed)?)
        };
        if format != SUPPORTED_FORMAT {
            return Err(OpenError::OtherFormat { path: self.path.clone(), found: format, supported: SUPPORTED_FORMAT });
        }
        if revision == Revision::ZERO {
            transaction.commit().map_err(|error| failed(error.into()))?;
        }
        Ok((database, revision))
    }

    /// Runs `work` on the database; opens it anew first when the medium had failed.
    fn with_database<T>(&self, work: impl FnOnce(&Database) -> Result<T, StoreError>) -> Result<T, StoreError> {
        let database = self.shared();
        if let Some(database) = &*database {
            return work(database);
        }
        drop(database);
        self.reopen()?;
        match &*self.shared() {
            Some(database) => work(database),
            None => Err(self.unavailable(io::Error::other("the medium failed again"))),
        }
    }

    fn shared(&self) -> RwLockReadGuard<'_, Option<Database>> {
        self.database.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn read<T>(&self, read: impl FnOnce(&ReadTransaction) -> Result<T, redb::Error>) -> Result<T, StoreError> {
        self.with_database(|database| {
            let answer = database.begin_read().map_err(redb::Error::from).and_then(|transaction| read(&transaction));
            answer.map_err(|error| store_error(&self.name, error))
        })
    }

    /// Opens the database again, unless somebody did so already, and answers its revision.
    fn reopen(&self) -> Result<Revision, StoreError> {
        let mut database = self.database.write().unwrap_or_else(PoisonError::into_inner);
        if database.is_none() {
            let (opened, revision) = self.open().map_err(|error| self.unavailable(error))?;
            *database = Some(opened);
            self.publish(revision);
            medium::add(&self.counts.recoveries, 1);
        }
        Ok(Revision(self.revision.load(Ordering::Acquire)))
    }

    /// Puts a database aside whose medium has failed.
    fn set_aside(&self) {
        *self.database.write().unwrap_or_else(PoisonError::into_inner) = None;
    }

    fn publish(&self, revision: Revision) {
        self.revision.store(revision.0, Ordering::Release);
        self.committed.notify();
    }

    fn unavailable(&self, source: impl std::error::Error + Send + Sync + 'static) -> StoreError {
        StoreError::Unavailable { store: Arc::clone(&self.name), source: Arc::new(source) }
    }

    fn changes(&self, after: &mut Revision, filter: &Filter) -> Result<Option<Changes>, StoreError> {
        // A waiting watch is asked after every batch; most often there is nothing, and then the file isn't read.
        if after.0 == self.revision.load(Ordering::Acquire) {
            return Ok(None);
        }
        match self.read(|transaction| tables::changes(transaction, *after, filter))? {
            Look::Found(changes) => Ok(Some(changes)),
            Look::Nothing(reached) => {
                *after = reached;
                Ok(None)
            }
            Look::Expired { oldest, newest } => Err(StoreError::WatchExpired { after: *after, oldest, newest }),
        }
    }
}

/// Takes the lock beside the store, and leaves the process id in it for whoever comes second.
fn lock_file(path: &Path) -> Result<File, OpenError> {
    let failed = |error| OpenError::of_io(path, error);
    if path.is_dir() {
        return Err(failed(io::ErrorKind::IsADirectory.into()));
    }
    let mut name = path.as_os_str().to_owned();
    name.push(".lock");
    let mut lock = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(name).map_err(failed)?;
    match lock.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            let mut holder = String::new();
            // Some systems don't let a locked file be read; then the message does without.
            let holder = lock.read_to_string(&mut holder).ok().and_then(|_| holder.trim().parse().ok());
            return Err(OpenError::InUse { path: path.to_path_buf(), holder });
        }
        Err(TryLockError::Error(error)) => return Err(failed(error)),
    }
    lock.set_len(0).and_then(|()| writeln!(lock, "{}", std::process::id())).map_err(failed)?;
    Ok(lock)
}

/// The file as a medium; a new one is made durable in its directory at once.
fn open_file(path: &Path) -> io::Result<FileBackend> {
    let is_new = !path.try_exists()?;
    let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)?;
    if is_new && cfg!(unix) {
        let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        File::open(directory)?.sync_all()?;
    }
    FileBackend::new(file).map_err(|error| io::Error::other(error.to_string()))
}
