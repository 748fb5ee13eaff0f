use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use krate_model::store::suite::{BoxFuture, CHECKS, Factory, block_on};
use krate_model::store::{ChangeSet, Expect, Key, Private, Store};
use krate_stores::{EmbeddedStore, Options};
use tempfile::TempDir;

/// Stores in files of a directory that goes away with the test.
struct InFiles {
    directory: TempDir,
    paths: Mutex<Vec<PathBuf>>,
}

impl InFiles {
    fn options(max_history: usize) -> Options {
        let mut options = Options::default();
        options.max_history = max_history as u64;
        options
    }
}

impl Factory for InFiles {
    fn open(&self, max_history: usize) -> BoxFuture<'_, Arc<dyn Store>> {
        Box::pin(async move {
            let mut paths = self.paths.lock().unwrap();
            let path = self.directory.path().join(format!("{}.redb", paths.len()));
            paths.push(path.clone());
            Arc::new(EmbeddedStore::open_with(path, Self::options(max_history)).unwrap()) as Arc<dyn Store>
        })
    }

    fn reopen(&self, store: Arc<dyn Store>) -> BoxFuture<'_, Option<Arc<dyn Store>>> {
        Box::pin(async move {
            drop(store);
            let path = self.paths.lock().unwrap().last().unwrap().clone();
            Some(Arc::new(EmbeddedStore::open(path).unwrap()) as Arc<dyn Store>)
        })
    }
}

#[test]
fn the_store_suite_passes() {
    let factory = InFiles { directory: tempfile::tempdir().unwrap(), paths: Mutex::default() };
    for check in CHECKS {
        println!("{}", check.name);
        block_on((check.run)(&factory));
    }
}

#[test]
fn many_writers_share_a_sync() {
    const WRITERS: u64 = 32;
    const EACH: u64 = 20;
    let directory = tempfile::tempdir().unwrap();
    let store = EmbeddedStore::open(directory.path().join("krate.redb")).unwrap();
    let before = store.counters();
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
    let after = store.counters();
    assert_eq!(after.commits, WRITERS * EACH);
    assert!(after.batches * 2 <= after.commits, "{after:?}");
    assert!(after.largest_batch > 1, "{after:?}");
    assert!(after.syncs > before.syncs && after.written_bytes > before.written_bytes);
    assert_eq!(block_on(store.revision()).unwrap().0, WRITERS * EACH);
}

#[test]
fn dropping_the_store_answers_what_was_handed_in() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("krate.redb");
    let store = Arc::new(EmbeddedStore::open(&path).unwrap());
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
    let store = EmbeddedStore::open(&path).unwrap();
    for key in written {
        assert!(block_on(store.get(&key)).unwrap().is_some());
    }
}
