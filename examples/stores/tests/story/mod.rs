//! Workers that write a story in which every loss shows: who reads it after a crash can tell what should be there.

use krate_model::audit::{AuditDraft, AuditEventSpec, ChainHead, verify_chain};
use krate_model::kinds::sets::ActorKind;
use krate_model::kinds::shared::{Actor, parse_time};
use krate_model::store::suite::block_on;
use krate_model::store::{ChangeSet, CommitError, Expect, Index, IndexEntry, Key, Private, Query, Revision, Store};
use krate_model::{Digest, Kind};

const NAMESPACE: &str = "krate-org-a";

fn counter(worker: usize) -> Key {
    Key::new(Private::Cursor, NAMESPACE, format!("worker-{worker}"))
}

fn page(worker: usize, number: u64) -> Key {
    Key::new(Kind::Issue, NAMESPACE, format!("worker-{worker}-{number:06}"))
}

fn content(worker: usize, number: u64) -> Vec<u8> {
    let length = usize::try_from(number * 37 % 3000).unwrap();
    format!("{worker} {number} {}", "x".repeat(length)).into_bytes()
}

fn entries(worker: usize, number: u64) -> Vec<IndexEntry> {
    vec![
        IndexEntry::new(Index::Owner, format!("worker-{worker}")),
        IndexEntry::new(Index::Due, format!("{number:06}")),
        IndexEntry::new(Index::Phase, ["Open", "Closed"][usize::from(number.is_multiple_of(2))]),
    ]
}

/// One worker: each of its commits adds a page, removes an old one, moves its counter and leaves an audit event.
pub(crate) struct Worker {
    number: usize,
    written: u64,
    seen: Option<Revision>,
}

impl Worker {
    /// Goes on where the store says that it was.
    pub(crate) fn resume(store: &dyn Store, number: usize) -> Self {
        let found = block_on(store.get(&counter(number))).unwrap();
        let written = found.as_ref().map_or(0, |found| String::from_utf8_lossy(&found.body).parse().unwrap());
        Self { number, written, seen: found.map(|found| found.revision) }
    }

    /// Writes one more, and returns how many are written when the store has acknowledged it.
    pub(crate) fn write(&mut self, store: &dyn Store) -> Result<u64, CommitError> {
        let next = self.written + 1;
        let expect = self.seen.map_or(Expect::Absent, Expect::At);
        let at = parse_time("2026-06-01T00:00:00Z").unwrap();
        let actor = Actor::new(ActorKind::System, format!("worker-{}", self.number));
        let draft =
            AuditDraft::new(NAMESPACE, "Written", at, actor).digest("page", Digest::of(&content(self.number, next)));
        let mut changes = ChangeSet::new()
            .put(page(self.number, next), Expect::Absent, content(self.number, next), entries(self.number, next))
            .put(counter(self.number), expect, next.to_string().into_bytes(), [])
            .audited(draft);
        if next.is_multiple_of(3) {
            changes = changes.delete(page(self.number, next / 3), Expect::Any);
        }
        self.seen = Some(block_on(store.commit(changes))?);
        self.written = next;
        Ok(next)
    }
}

/// Checks that the story is whole, and that each worker has written at least what was acknowledged.
pub(crate) fn verify(store: &dyn Store, acknowledged: &[u64]) {
    let mut total = 0;
    for (worker, acknowledged) in acknowledged.iter().enumerate() {
        let written = Worker::resume(store, worker).written;
        assert!(written >= *acknowledged, "worker {worker}: {acknowledged} acknowledged, {written} there");
        total += written;
        for number in 1..=written + 1 {
            let found = block_on(store.get(&page(worker, number))).unwrap().map(|found| found.body.to_vec());
            let is_there = number > written / 3 && number <= written;
            assert_eq!(found, is_there.then(|| content(worker, number)), "page {number} of {written}, worker {worker}");
        }
        let owned = Query::new(Kind::Issue).with(Index::Owner, format!("worker-{worker}")).limit(1000);
        let owned = block_on(store.list(&owned)).unwrap();
        let expected = usize::try_from(written - written / 3).unwrap();
        assert!(owned.items.len() == expected.min(1000), "{} pages by index, {expected} there", owned.items.len());
    }
    assert_eq!(audit_events(store), total, "one audit event a commit");
}

fn audit_events(store: &dyn Store) -> u64 {
    let mut query = Query::new(Kind::AuditEvent).in_namespace(NAMESPACE);
    let mut events: Vec<AuditEventSpec> = Vec::new();
    loop {
        let page = block_on(store.list(&query)).unwrap();
        events.extend(page.items.iter().map(|item| {
            let object: serde_json::Value = serde_json::from_slice(&item.body).unwrap();
            serde_json::from_value(object["spec"].clone()).unwrap()
        }));
        let Some(next) = page.next else { break };
        query.after = Some(next);
    }
    let start = ChainHead::start(NAMESPACE);
    let head = block_on(store.get(&Key::new(Private::Audit, NAMESPACE, "head"))).unwrap();
    let head = head.map_or_else(|| start.clone(), |head| serde_json::from_slice(&head.body).unwrap());
    verify_chain(&start, &events, &head).unwrap();
    events.len() as u64
}
