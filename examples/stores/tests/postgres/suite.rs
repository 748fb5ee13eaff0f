use std::sync::{Arc, Mutex};
use std::time::Instant;

use krate_model::Kind;
use krate_model::store::suite::{BoxFuture, CHECKS, Factory, block_on};
use krate_model::store::{ChangeSet, CommitError, Expect, Index, IndexEntry, Key, Private, Query, Store};
use krate_stores::PostgresStore;

use super::server::{self, assert_whole, open, open_with, schema, server_or_skip};
use super::story::{Worker, verify};

/// Stores in schemas of the server.
struct InSchemas {
    server: String,
    urls: Mutex<Vec<String>>,
}

impl Factory for InSchemas {
    fn open(&self, max_history: usize) -> BoxFuture<'_, Arc<dyn Store>> {
        Box::pin(async move {
            let url = schema(&self.server);
            self.urls.lock().unwrap().push(url.clone());
            Arc::new(open_with(&url, |options| options.max_history = max_history as u64)) as Arc<dyn Store>
        })
    }

    fn reopen(&self, store: Arc<dyn Store>) -> BoxFuture<'_, Option<Arc<dyn Store>>> {
        Box::pin(async move {
            drop(store);
            let url = self.urls.lock().unwrap().last().unwrap().clone();
            Some(Arc::new(open(&url)) as Arc<dyn Store>)
        })
    }
}

#[test]
fn the_store_suite_passes() {
    let factory = InSchemas { server: server_or_skip!(), urls: Mutex::default() };
    for check in CHECKS {
        let begin = Instant::now();
        block_on((check.run)(&factory));
        println!("{} {:?}", check.name, begin.elapsed());
    }
    for url in factory.urls.into_inner().unwrap() {
        assert_whole(&url);
    }
}

/// One store whose every call goes to another of two processes' worth of connections.
struct Alternating([PostgresStore; 2], std::sync::atomic::AtomicUsize);

impl Alternating {
    fn next(&self) -> &PostgresStore {
        &self.0[self.1.fetch_add(1, std::sync::atomic::Ordering::Relaxed) % 2]
    }
}

#[async_trait::async_trait]
impl Store for Alternating {
    async fn get(&self, key: &Key) -> Result<Option<krate_model::store::Stored>, krate_model::store::StoreError> {
        self.next().get(key).await
    }
    async fn list(&self, query: &Query) -> Result<krate_model::store::Page, krate_model::store::StoreError> {
        self.next().list(query).await
    }
    async fn commit(&self, changes: ChangeSet) -> Result<krate_model::store::Revision, CommitError> {
        self.next().commit(changes).await
    }
    async fn changes(
        &self,
        after: krate_model::store::Revision,
        filter: &krate_model::store::Filter,
    ) -> Result<krate_model::store::Changes, krate_model::store::StoreError> {
        self.next().changes(after, filter).await
    }
    async fn revision(&self) -> Result<krate_model::store::Revision, krate_model::store::StoreError> {
        self.next().revision().await
    }
}

struct InTurns(InSchemas);

impl Factory for InTurns {
    fn open(&self, max_history: usize) -> BoxFuture<'_, Arc<dyn Store>> {
        Box::pin(async move {
            let url = schema(&self.0.server);
            let both = [(); 2].map(|()| open_with(&url, |options| options.max_history = max_history as u64));
            Arc::new(Alternating(both, 0.into())) as Arc<dyn Store>
        })
    }

    fn reopen(&self, _: Arc<dyn Store>) -> BoxFuture<'_, Option<Arc<dyn Store>>> {
        Box::pin(async { None })
    }
}

#[test]
fn the_suite_passes_on_two_stores_that_take_turns() {
    let factory = InTurns(InSchemas { server: server_or_skip!(), urls: Mutex::default() });
    for check in CHECKS {
        // A dropped commit and a later one through another process have no order.
        if check.name != "a_dropped_commit_is_whole_or_not_at_all" {
            println!("{}", check.name);
            block_on((check.run)(&factory));
        }
    }
}

#[test]
fn two_processes_that_fight_over_one_record_lose_no_write() {
    const EACH: u32 = 50;
    let url = schema(&server_or_skip!());
    let stores = [open(&url), open(&url)];
    let key = Key::new(Kind::Issue, "ns", "counter");
    block_on(stores[0].commit(ChangeSet::new().put(key.clone(), Expect::Absent, *b"0", []))).unwrap();
    let conflicts = std::sync::atomic::AtomicU32::new(0);
    let count = |body: &[u8]| String::from_utf8_lossy(body).parse::<u32>().unwrap();
    std::thread::scope(|scope| {
        for store in &stores {
            for _ in 0..2 {
                let (key, conflicts) = (&key, &conflicts);
                scope.spawn(move || {
                    let mut written = 0;
                    while written < EACH {
                        let seen = block_on(store.get(key)).unwrap().unwrap();
                        let next = (count(&seen.body) + 1).to_string().into_bytes();
                        let phase = IndexEntry::new(Index::Phase, format!("{}", written % 3));
                        let changes = ChangeSet::new().put(key.clone(), Expect::At(seen.revision), next, [phase]);
                        match block_on(store.commit(changes)) {
                            Ok(_) => written += 1,
                            Err(CommitError::Conflict { .. }) => {
                                conflicts.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                            }
                            Err(other) => panic!("{other}"),
                        }
                    }
                });
            }
        }
    });
    assert_eq!(count(&block_on(stores[0].get(&key)).unwrap().unwrap().body), 4 * EACH);
    assert!(conflicts.into_inner() > 0, "nobody ever met anybody");
    assert_eq!(server::revision(&url).0, u64::from(4 * EACH) + 1, "a refused commit takes no revision");
    assert_whole(&url);
}

#[test]
fn r44_workers_of_two_processes_leave_one_chain_and_one_story() {
    let url = schema(&server_or_skip!());
    let stores = [open(&url), open(&url)];
    std::thread::scope(|scope| {
        for number in 0..6 {
            let store = &stores[number % 2];
            scope.spawn(move || {
                let mut worker = Worker::resume(store, number);
                for _ in 0..30 {
                    worker.write(store).unwrap();
                }
            });
        }
    });
    for store in &stores {
        verify(store, &[30; 6]);
    }
    assert_whole(&url);
}

#[test]
fn dropping_the_store_answers_what_was_handed_in() {
    let url = schema(&server_or_skip!());
    let store = Arc::new(open(&url));
    let writers: Vec<_> = (0..8)
        .map(|writer| {
            let store = Arc::clone(&store);
            std::thread::spawn(move || {
                let key = Key::new(Private::Cursor, "", format!("{writer}"));
                let made = block_on(store.commit(ChangeSet::new().put(key.clone(), Expect::Absent, *b"x", [])));
                drop(store);
                made.map(|_| key)
            })
        })
        .collect();
    drop(store);
    let written: Vec<Key> = writers.into_iter().map(|writer| writer.join().unwrap().unwrap()).collect();
    let store = open(&url);
    for key in written {
        assert!(block_on(store.get(&key)).unwrap().is_some());
    }
}

#[test]
fn many_writers_share_a_transaction() {
    const WRITERS: u64 = 32;
    const EACH: u64 = 20;
    let url = schema(&server_or_skip!());
    let store = open(&url);
    let started = Instant::now();
    std::thread::scope(|scope| {
        for writer in 0..WRITERS {
            let store = &store;
            scope.spawn(move || {
                for number in 0..EACH {
                    let key = Key::new(Private::Cursor, "", format!("{writer}-{number}"));
                    block_on(store.commit(ChangeSet::new().put(key, Expect::Absent, *b"x", []))).unwrap();
                }
            });
        }
    });
    let counters = store.counters();
    println!("{} commits in {} transactions, {:?}", counters.commits, counters.batches, started.elapsed());
    assert_eq!(counters.commits, WRITERS * EACH);
    assert!(counters.batches * 2 <= counters.commits, "{counters:?}");
    assert!(counters.largest_batch > 1, "{counters:?}");
    assert_eq!(block_on(store.revision()).unwrap().0, WRITERS * EACH);
}

#[test]
fn one_that_the_server_cannot_take_holds_nobody_else_back() {
    let url = schema(&server_or_skip!());
    let store = open(&url);
    // What a database may refuse of its own: here, by a rule that somebody added to it.
    server::execute(&url, "ALTER TABLE krate_object ADD CHECK (name <> 'refused')");
    let outcomes: Vec<_> = std::thread::scope(|scope| {
        let writers: Vec<_> = (0..16)
            .map(|number| {
                let store = &store;
                scope.spawn(move || {
                    let name = if number == 7 { "refused".to_owned() } else { number.to_string() };
                    let key = Key::new(Private::Cursor, "", name);
                    block_on(store.commit(ChangeSet::new().put(key, Expect::Absent, *b"x", [])))
                })
            })
            .collect();
        writers.into_iter().map(|writer| writer.join().unwrap()).collect()
    });
    for (number, outcome) in outcomes.iter().enumerate() {
        assert_eq!(outcome.is_ok(), number != 7, "{number}: {outcome:?}");
    }
    assert_whole(&url);
}
