//! A disk in memory that fills up, and whose power can be cut.

use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use krate_stores::StorageBackend;

const SECTOR: usize = 512;

/// A disk; clones are the same disk.
#[derive(Debug, Clone, Default)]
pub(crate) struct Disk(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    /// What a process sees.
    content: Vec<u8>,
    /// What was there at the last sync.
    synced: Vec<u8>,
    /// What was done since.
    unsynced: Vec<Step>,
    max_len: Option<u64>,
    bytes_left: Option<usize>,
    failing_syncs: u64,
}

#[derive(Debug, Clone)]
enum Step {
    Resize(usize),
    Write(usize, Vec<u8>),
}

impl Step {
    fn apply(&self, content: &mut Vec<u8>) {
        match self {
            Self::Resize(len) => resize(content, *len),
            Self::Write(at, data) => write(content, *at, data),
        }
    }
}

fn resize(content: &mut Vec<u8>, len: usize) {
    content.resize(len, 0);
}

fn write(content: &mut Vec<u8>, at: usize, data: &[u8]) {
    if content.len() < at + data.len() {
        resize(content, at + data.len());
    }
    content[at..at + data.len()].copy_from_slice(data);
}

fn full() -> io::Error {
    io::Error::new(io::ErrorKind::StorageFull, "no space left on device")
}

impl Disk {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A disk that holds `content`.
    pub(crate) fn holding(content: Vec<u8>) -> Self {
        Self(Arc::new(Mutex::new(State { synced: content.clone(), content, ..State::default() })))
    }

    /// The file may not grow over `max_len`; `None` makes room again.
    pub(crate) fn limit_len(&self, max_len: Option<u64>) {
        self.lock().max_len = max_len;
    }

    /// After so many more bytes no write succeeds; `None` makes room again.
    pub(crate) fn limit_writes(&self, bytes: Option<usize>) {
        self.lock().bytes_left = bytes;
    }

    /// The next syncs fail, as syncs do: what they should have written stays readable and is never written.
    pub(crate) fn fail_syncs(&self, count: u64) {
        self.lock().failing_syncs = count;
    }

    pub(crate) fn len(&self) -> u64 {
        self.lock().content.len() as u64
    }

    /// What is on the disk when the power is cut now: all that was synced, and of the rest whatever `rng` says, torn between sectors.
    pub(crate) fn after_power_cut(&self, rng: &mut Rng) -> Self {
        let state = self.lock();
        let mut content = state.synced.clone();
        for step in &state.unsynced {
            match (rng.below(4), step) {
                (0, _) => {}
                (1, Step::Write(at, data)) => {
                    for (sector, part) in data.chunks(SECTOR).enumerate() {
                        if rng.below(2) == 0 {
                            write(&mut content, at + sector * SECTOR, part);
                        }
                    }
                }
                (_, step) => step.apply(&mut content),
            }
        }
        Self::holding(content)
    }
}

impl StorageBackend for Disk {
    fn len(&self) -> io::Result<u64> {
        Ok(Disk::len(self))
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let at = usize::try_from(offset).map_err(io::Error::other)?;
        let state = self.lock();
        let end = at.checked_add(out.len()).ok_or(io::ErrorKind::UnexpectedEof)?;
        out.copy_from_slice(state.content.get(at..end).ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let mut state = self.lock();
        if state.max_len.is_some_and(|max| len > max && len > state.content.len() as u64) {
            return Err(full());
        }
        let len = usize::try_from(len).map_err(io::Error::other)?;
        resize(&mut state.content, len);
        state.unsynced.push(Step::Resize(len));
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        let state = &mut *self.lock();
        if state.failing_syncs > 0 {
            state.failing_syncs -= 1;
            state.unsynced.clear();
            return Err(io::Error::other("input/output error"));
        }
        for step in state.unsynced.drain(..) {
            step.apply(&mut state.synced);
        }
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let mut state = self.lock();
        let at = usize::try_from(offset).map_err(io::Error::other)?;
        let room = state.bytes_left.unwrap_or(usize::MAX);
        let kept = data.get(..room.min(data.len())).unwrap_or_default();
        write(&mut state.content, at, kept);
        state.unsynced.push(Step::Write(at, kept.to_vec()));
        state.bytes_left = state.bytes_left.map(|left| left.saturating_sub(data.len()));
        if kept.len() < data.len() { Err(full()) } else { Ok(()) }
    }
}

/// Numbers from a seed.
#[derive(Debug, Clone)]
pub(crate) struct Rng(pub(crate) u64);

impl Rng {
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        // splitmix64
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % bound
    }
}
