//! A store whose process can die at any commit, and that remembers what it was told.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use futures::future::BoxFuture;
use krate_model::store::{
    Change, ChangeSet, Changes as Watched, CommitError, Filter, Key, MemoryStore, Page, Query, Revision, Store,
    StoreError, Stored,
};
use krate_model::{Kind, store::Collection};

use crate::simulate::fault::Fault;
use crate::simulate::strikes::Strikes;
use crate::world::lock;

/// At which commit the process dies, and on which side of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Crash {
    /// The commit, counted from when the crash was planned.
    pub commit: u64,
    /// Whether the commit is durable all the same.
    pub after: bool,
}

/// A store whose process dies when told to: from then on nothing works until it starts again.
pub struct MortalStore {
    pub(crate) inner: MemoryStore,
    commits: AtomicU64,
    plan: Mutex<Option<Crash>>,
    /// The commit that somebody else is faster than.
    race: Mutex<Option<u64>>,
    dead: Mutex<bool>,
    trace: Mutex<DefaultHasher>,
    shown: Mutex<BTreeSet<(String, String)>>,
    deleted: Mutex<BTreeSet<String>>,
    revived: Mutex<BTreeSet<String>>,
    strikes: Arc<Mutex<Strikes>>,
    /// What a stale cache still has of each object: its state before the newest.
    before: Mutex<BTreeMap<Key, Stored>>,
    /// Reads that still fail.
    down: AtomicU64,
    /// What happens while the next watch waits.
    meanwhile: Mutex<Option<BoxFuture<'static, ()>>>,
}

impl Default for MortalStore {
    fn default() -> Self {
        Self::struck_by(Arc::new(Mutex::new(Strikes::seeded(0))))
    }
}

/// How many reads fail while the store is down.
const DOWN_READS: u64 = 4;

impl MortalStore {
    /// A store on which `strikes` strike.
    pub fn struck_by(strikes: Arc<Mutex<Strikes>>) -> Self {
        Self {
            strikes,
            before: Mutex::default(),
            down: AtomicU64::new(0),
            meanwhile: Mutex::new(None),
            inner: MemoryStore::new(),
            commits: AtomicU64::new(0),
            plan: Mutex::new(None),
            race: Mutex::new(None),
            dead: Mutex::new(false),
            trace: Mutex::default(),
            shown: Mutex::new(BTreeSet::new()),
            deleted: Mutex::new(BTreeSet::new()),
            revived: Mutex::new(BTreeSet::new()),
        }
    }

    fn take(&self, fault: Fault) -> bool {
        lock(&self.strikes).take(fault)
    }

    fn is_armed(&self, fault: Fault) -> bool {
        lock(&self.strikes).is_armed(fault)
    }

    fn older(&self, key: &Key) -> Option<Stored> {
        lock(&self.before).get(key).cloned()
    }

    /// Lets the process die at a commit from now; counts from nothing again.
    pub fn plan_crash(&self, crash: Option<Crash>) {
        self.commits.store(0, Ordering::SeqCst);
        *lock(&self.plan) = crash;
    }

    /// Lets somebody else be faster than a commit, counted from now.
    pub fn plan_race(&self, commit: u64) {
        self.commits.store(0, Ordering::SeqCst);
        *lock(&self.race) = Some(commit);
    }

    /// Commits since the crash or the race was planned.
    pub fn commits(&self) -> u64 {
        self.commits.load(Ordering::SeqCst)
    }

    /// Whether the process is dead.
    pub fn is_dead(&self) -> bool {
        *lock(&self.dead)
    }

    /// Starts it again; a crash that was planned and didn't come stays planned.
    pub fn revive(&self) {
        *lock(&self.dead) = false;
    }

    /// Lets it work again, whatever was wrong with it.
    pub fn come_up(&self) {
        self.revive();
        self.down.store(0, Ordering::SeqCst);
    }

    /// What happens while the next watch waits.
    pub(crate) fn happens_meanwhile(&self, work: Option<BoxFuture<'static, ()>>) {
        *lock(&self.meanwhile) = work;
    }

    /// A hash of every commit so far, in order: the same for the same history in one build.
    pub fn trace(&self) -> u64 {
        lock(&self.trace).finish()
    }

    /// Whether a projection had this line in this field (`title`, `body`, `label`) at any time.
    pub fn ever_shown(&self, field: &str, text: &str) -> bool {
        lock(&self.shown).contains(&(field.to_owned(), text.to_owned()))
    }

    /// The projections that were shown again after they had been shown as deleted (S18): nobody at the forge brings anything back.
    pub fn revived(&self) -> BTreeSet<String> {
        lock(&self.revived).clone()
    }

    /// The projections that were shown as deleted at any time.
    pub fn ever_deleted(&self) -> BTreeSet<String> {
        lock(&self.deleted).clone()
    }

    fn check(&self) -> Result<(), StoreError> {
        if *lock(&self.dead) {
            return Err(died());
        }
        let less = |left: u64| left.checked_sub(1);
        if self.down.fetch_update(Ordering::SeqCst, Ordering::SeqCst, less).is_ok() {
            return Err(unavailable("it can't be reached"));
        }
        Ok(())
    }

    /// Keeps what the durable `changes` take the place of.
    async fn keep_before(&self, changes: &ChangeSet) {
        for write in &changes.writes {
            if let Ok(Some(known)) = self.inner.get(&write.key).await {
                lock(&self.before).insert(write.key.clone(), known);
            }
        }
    }

    /// The first of `changes` that takes the place of something, as a conflict about it.
    fn lost_race(changes: &ChangeSet) -> Option<CommitError> {
        let write = changes.writes.first()?;
        Some(CommitError::Conflict { key: write.key.clone(), expected: write.expect, found: None })
    }

    /// Keeps what the durable `changes` show, and what they are.
    fn note(&self, changes: &ChangeSet) {
        let mut trace = lock(&self.trace);
        for write in &changes.writes {
            write.key.hash(&mut *trace);
            let Change::Put { body, .. } = &write.change else { continue };
            body.as_ref().hash(&mut *trace);
            if matches!(write.key.collection, Collection::Kind(Kind::Issue | Kind::Comment)) {
                self.note_shown(&write.key.to_string(), body.as_ref());
            }
        }
    }

    fn note_shown(&self, key: &str, body: &[u8]) {
        let Ok(object) = serde_json::from_slice::<serde_json::Value>(body) else { return };
        if object.pointer("/status/phase").and_then(|phase| phase.as_str()) == Some("Deleted") {
            lock(&self.deleted).insert(key.to_owned());
        } else if lock(&self.deleted).contains(key) {
            lock(&self.revived).insert(key.to_owned());
        }
        let mut shown = lock(&self.shown);
        let mut keep = |field: &str, text: Option<&str>| {
            let lines = text.into_iter().flat_map(str::lines);
            shown.extend(lines.map(|line| (field.to_owned(), line.to_owned())));
        };
        keep("title", object.pointer("/spec/title").and_then(|title| title.as_str()));
        keep("body", object.pointer("/spec/body/markdown").and_then(|body| body.as_str()));
        let labels = object.pointer("/spec/labels").and_then(|labels| labels.as_array());
        for label in labels.into_iter().flatten() {
            keep("label", label.as_str());
        }
    }
}

fn died() -> StoreError {
    unavailable("the process died")
}

fn unavailable(why: &str) -> StoreError {
    StoreError::Unavailable { store: "memory".into(), source: Arc::new(std::io::Error::other(why)) }
}

#[async_trait]
impl Store for MortalStore {
    async fn get(&self, key: &Key) -> Result<Option<Stored>, StoreError> {
        if self.take(Fault::StoreDown) {
            self.down.store(DOWN_READS, Ordering::SeqCst);
        }
        self.check()?;
        if self.is_armed(Fault::CacheStale)
            && let Some(old) = self.older(key)
            && self.take(Fault::CacheStale)
        {
            return Ok(Some(old));
        }
        self.inner.get(key).await
    }

    async fn list(&self, query: &Query) -> Result<Page, StoreError> {
        self.check()?;
        self.inner.list(query).await
    }

    async fn commit(&self, changes: ChangeSet) -> Result<Revision, CommitError> {
        self.check()?;
        if self.take(Fault::CommitRefused) {
            return Err(unavailable("it takes nothing").into());
        }
        if self.is_armed(Fault::CommitConflict)
            && let Some(conflict) = Self::lost_race(&changes)
            && self.take(Fault::CommitConflict)
        {
            return Err(conflict);
        }
        let number = self.commits.fetch_add(1, Ordering::SeqCst);
        let crash = lock(&self.plan).take_if(|crash| crash.commit <= number);
        if let Some(crash) = crash {
            *lock(&self.dead) = true;
            lock(&self.strikes).count(if crash.after { Fault::CrashAfterCommit } else { Fault::CrashBeforeCommit });
            if !crash.after {
                return Err(died().into());
            }
        }
        let raced = lock(&self.race).take_if(|at| *at <= number).is_some();
        if raced && let Some(conflict) = Self::lost_race(&changes) {
            return Err(conflict);
        }
        let kept = changes.clone();
        self.keep_before(&kept).await;
        let done = self.inner.commit(changes).await;
        if done.is_ok() {
            self.note(&kept);
            if self.take(Fault::CommitAnswerLost) {
                let source = Arc::new(std::io::Error::other("the connection broke"));
                return Err(StoreError::OutcomeUnknown { store: "memory".into(), source }.into());
            }
        }
        if crash.is_some() { Err(died().into()) } else { done }
    }

    async fn changes(&self, after: Revision, filter: &Filter) -> Result<Watched, StoreError> {
        self.check()?;
        let meanwhile = lock(&self.meanwhile).take();
        if let Some(work) = meanwhile {
            let before = self.inner.revision().await?;
            work.await;
            if self.inner.revision().await? != before && self.take(Fault::WatchMissed) {
                return std::future::pending().await;
            }
        }
        if self.take(Fault::WatchExpired) {
            let newest = self.inner.revision().await?;
            return Err(StoreError::WatchExpired { after, oldest: newest, newest });
        }
        self.inner.changes(after, filter).await
    }

    async fn revision(&self) -> Result<Revision, StoreError> {
        self.check()?;
        self.inner.revision().await
    }
}
