//! The medium under the database, and what was done to it.

use std::io;
use std::ops::Bound;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use redb::{BackendError, StorageBackend};

/// What a store did since it was opened.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Counters {
    /// Change sets that were made durable.
    pub commits: u64,
    /// Change sets that were refused, such as for a conflict.
    pub refused: u64,
    /// Durable transactions: each made one or more commits.
    pub batches: u64,
    /// Change sets of the largest transaction.
    pub largest_batch: u64,
    /// Syncs of the medium.
    pub syncs: u64,
    /// Bytes written to the medium.
    pub written_bytes: u64,
    /// Times that the medium failed and the database was opened anew.
    pub recoveries: u64,
}

#[derive(Debug, Default)]
pub(super) struct Counts {
    pub(super) commits: AtomicU64,
    pub(super) refused: AtomicU64,
    pub(super) batches: AtomicU64,
    pub(super) largest_batch: AtomicU64,
    pub(super) recoveries: AtomicU64,
    syncs: AtomicU64,
    written_bytes: AtomicU64,
    /// The last sync failed, and nothing has made up for it yet.
    sync_failed: AtomicBool,
}

impl Counts {
    pub(super) fn read(&self) -> Counters {
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        Counters {
            commits: read(&self.commits),
            refused: read(&self.refused),
            batches: read(&self.batches),
            largest_batch: read(&self.largest_batch),
            syncs: read(&self.syncs),
            written_bytes: read(&self.written_bytes),
            recoveries: read(&self.recoveries),
        }
    }
}

pub(super) fn add(count: &AtomicU64, more: usize) {
    count.fetch_add(more.try_into().unwrap_or(u64::MAX), Ordering::Relaxed);
}

/// A medium whose syncs and writes are counted.
#[derive(Debug)]
pub(super) struct Counted {
    medium: Box<dyn StorageBackend>,
    counts: Arc<Counts>,
}

/// How much of a medium is rewritten at a time.
const CHUNK_BYTES: u64 = 1024 * 1024;

impl Counted {
    pub(super) fn new(medium: Box<dyn StorageBackend>, counts: &Arc<Counts>) -> io::Result<Self> {
        let medium = Self { medium, counts: Arc::clone(counts) };
        if medium.counts.sync_failed.load(Ordering::Acquire) {
            medium.rewrite()?;
            medium.counts.sync_failed.store(false, Ordering::Release);
        }
        Ok(medium)
    }

    /// Writes everything that can be read once more, and syncs it.
    ///
    /// A system that failed to write pages out marks them clean all the same: they read well, no later sync writes them, and with the power they are gone.
    fn rewrite(&self) -> io::Result<()> {
        let end = self.len()?;
        let mut chunk = Vec::new();
        let mut at = 0;
        while at < end {
            let bytes = CHUNK_BYTES.min(end - at);
            chunk.resize(usize::try_from(bytes).map_err(io::Error::other)?, 0);
            self.read(at, &mut chunk)?;
            self.write(at, &chunk)?;
            at += bytes;
        }
        self.medium.sync_data()
    }
}

impl StorageBackend for Counted {
    fn len(&self) -> io::Result<u64> {
        self.medium.len()
    }
    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.medium.read(offset, out)
    }
    fn set_len(&self, len: u64) -> io::Result<()> {
        self.medium.set_len(len)
    }
    fn sync_data(&self) -> io::Result<()> {
        add(&self.counts.syncs, 1);
        self.medium.sync_data().inspect_err(|_| self.counts.sync_failed.store(true, Ordering::Release))
    }
    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        add(&self.counts.written_bytes, data.len());
        self.medium.write(offset, data)
    }
    fn close(&self) -> io::Result<()> {
        self.medium.close()
    }
    fn try_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.medium.try_lock_range(start, end)
    }
    fn try_lock_shared_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.medium.try_lock_shared_range(start, end)
    }
    fn lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.medium.lock_range(start, end)
    }
    fn lock_shared_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.medium.lock_shared_range(start, end)
    }
    fn unlock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.medium.unlock_range(start, end)
    }
    fn query_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.medium.query_lock_range(start, end)
    }
}
