//! A line to the server that breaks where a test says.

use std::io;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use krate_model::Kind;
use krate_model::store::suite::block_on;
use krate_model::store::{ChangeSet, CommitError, Expect, Key, Store, StoreError};
use krate_stores::PostgresStore;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::server::{RUNTIME, assert_whole, number, open, open_with, schema, server_or_skip};

/// More than any connection takes to come back.
const MOST_AWAITED: Duration = Duration::from_mins(1);

/// What happens to what a client sends.
pub(crate) enum Verdict {
    Pass,
    /// The line breaks before it.
    Break,
    /// It arrives, and the line breaks before its answer.
    Deafen,
    /// The client's end breaks at once; the server gets it only after this time.
    Linger(Duration),
}

type Judge = Box<dyn FnMut(&[u8]) -> Verdict + Send>;

/// A line on loopback.
pub(crate) struct Line {
    judge: Arc<Mutex<Judge>>,
    is_closed: Arc<AtomicBool>,
}

impl Line {
    /// A line to the server that `url` names, and the URL of its near end.
    pub(crate) fn to(url: &str) -> (Self, String) {
        let (before, after) = url.split_once('@').expect("a user");
        let (far, database) = after.split_once('/').expect("a database");
        let listener = RUNTIME.block_on(TcpListener::bind(("127.0.0.1", 0))).expect("a port");
        let port = listener.local_addr().expect("bound").port();
        let near = format!("{before}@127.0.0.1:{port}/{database}");
        let judge: Arc<Mutex<Judge>> = Arc::new(Mutex::new(Box::new(|_| Verdict::Pass)));
        let is_closed = Arc::new(AtomicBool::new(false));
        let (far, judging, closed) = (far.to_owned(), Arc::clone(&judge), Arc::clone(&is_closed));
        RUNTIME.spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                if !closed.load(Ordering::SeqCst) {
                    tokio::spawn(carry(client, far.clone(), Arc::clone(&judging)));
                }
            }
        });
        (Self { judge, is_closed }, near)
    }

    pub(crate) fn judge(&self, judge: impl FnMut(&[u8]) -> Verdict + Send + 'static) {
        *self.judge.lock().unwrap() = Box::new(judge);
    }

    /// Judges the next commit, and nothing after it.
    fn judge_commit(&self, verdict: Verdict) {
        let mut verdict = Some(verdict);
        self.judge(move |sent| {
            let is_commit = sent.starts_with(b"Q") && sent.ends_with(b"COMMIT\0");
            if is_commit { verdict.take().unwrap_or(Verdict::Pass) } else { Verdict::Pass }
        });
    }

    fn close(&self) {
        self.is_closed.store(true, Ordering::SeqCst);
    }

    fn open(&self) {
        self.is_closed.store(false, Ordering::SeqCst);
    }
}

/// Carries bytes between both ends; both break with this.
async fn carry(client: TcpStream, far: String, judge: Arc<Mutex<Judge>>) -> io::Result<()> {
    let server = TcpStream::connect(far).await?;
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_server, mut to_server) = server.into_split();
    let deaf = Arc::new(AtomicBool::new(false));
    let is_deaf = Arc::clone(&deaf);
    let back = tokio::spawn(async move {
        let mut bytes = vec![0; 65536];
        loop {
            match from_server.read(&mut bytes).await {
                Ok(count) if count > 0 && !is_deaf.load(Ordering::SeqCst) => {
                    to_client.write_all(&bytes[..count]).await?;
                }
                _ => return Ok::<_, io::Error>(()),
            }
        }
    });
    let mut bytes = vec![0; 65536];
    loop {
        let count = from_client.read(&mut bytes).await?;
        let sent = &bytes[..count];
        let verdict = if count == 0 { Verdict::Break } else { judge.lock().unwrap()(sent) };
        match verdict {
            Verdict::Pass => to_server.write_all(sent).await?,
            Verdict::Break => break,
            Verdict::Deafen => {
                deaf.store(true, Ordering::SeqCst);
                to_server.write_all(sent).await?;
                let _ = back.await;
                return Ok(());
            }
            Verdict::Linger(time) => {
                back.abort();
                drop(from_client);
                tokio::time::sleep(time).await;
                to_server.write_all(sent).await?;
                break;
            }
        }
    }
    back.abort();
    Ok(())
}

fn key(name: &str) -> Key {
    Key::new(Kind::Issue, "ns", name)
}

fn put(store: &PostgresStore, name: &str) -> Result<krate_model::store::Revision, CommitError> {
    block_on(store.commit(ChangeSet::new().put(key(name), Expect::Absent, name.as_bytes(), [])))
}

fn is_there(store: &PostgresStore, name: &str) -> bool {
    block_on(store.get(&key(name))).unwrap().is_some()
}

#[test]
fn a_commit_that_never_arrived_is_an_error_and_changes_nothing() {
    let direct = schema(&server_or_skip!());
    let (line, near) = Line::to(&direct);
    let store = open(&near);
    put(&store, "before").unwrap();
    line.judge_commit(Verdict::Break);
    let lost = put(&store, "lost");
    assert!(matches!(lost, Err(CommitError::Store(StoreError::Unavailable { .. }))), "{lost:?}");
    assert!(!is_there(&store, "lost"));
    assert_eq!(put(&store, "after").unwrap().0, 2, "a lost commit takes no revision");
    assert_eq!(store.counters().recoveries, 1);
    assert_whole(&direct);
}

#[test]
fn a_commit_whose_answer_was_lost_is_found_and_acknowledged() {
    let direct = schema(&server_or_skip!());
    let (line, near) = Line::to(&direct);
    let store = open(&near);
    put(&store, "before").unwrap();
    line.judge_commit(Verdict::Deafen);
    assert_eq!(put(&store, "heard").unwrap().0, 2);
    assert!(is_there(&store, "heard"));
    assert_eq!(put(&store, "after").unwrap().0, 3);
    assert_eq!(store.counters().recoveries, 1);
    assert_whole(&direct);
}

#[test]
fn each_of_many_commits_whose_answer_was_lost_learns_its_own_revision() {
    const WRITERS: usize = 16;
    let direct = schema(&server_or_skip!());
    let (line, near) = Line::to(&direct);
    let store = open(&near);
    put(&store, "before").unwrap();
    line.judge_commit(Verdict::Deafen);
    let mut made: Vec<_> = std::thread::scope(|scope| {
        let store = &store;
        let writers: Vec<_> = (0..WRITERS)
            .map(|number| {
                scope.spawn(move || {
                    let name = number.to_string();
                    let made = put(store, &name).unwrap();
                    assert_eq!(block_on(store.get(&key(&name))).unwrap().unwrap().revision, made);
                    made
                })
            })
            .collect();
        writers.into_iter().map(|writer| writer.join().unwrap()).collect()
    });
    made.sort_unstable();
    made.dedup();
    assert_eq!(made.len(), WRITERS);
    let counters = store.counters();
    assert_eq!((counters.commits, counters.recoveries), (WRITERS as u64 + 1, 1));
    assert_whole(&direct);
}

#[test]
fn a_commit_that_is_still_on_its_way_is_waited_for() {
    let direct = schema(&server_or_skip!());
    let (line, near) = Line::to(&direct);
    let store = open(&near);
    put(&store, "before").unwrap();
    // The store looks for it long before the server has it: the answer is the one that holds in the end.
    line.judge_commit(Verdict::Linger(Duration::from_millis(700)));
    assert_eq!(put(&store, "late").unwrap().0, 2);
    assert!(is_there(&store, "late"));
    assert_whole(&direct);
}

#[test]
fn an_outcome_that_nobody_can_tell_is_said_to_be_unknown_and_can_be_read_back() {
    let direct = schema(&server_or_skip!());
    let (line, near) = Line::to(&direct);
    let store = open_with(&near, |options| {
        options.settle_within = Duration::from_millis(300);
        options.connect_timeout = Duration::from_millis(300);
    });
    for (name, verdict, happened) in [("arrived", Verdict::Deafen, true), ("broken", Verdict::Break, false)] {
        put(&store, &format!("before {name}")).unwrap();
        line.judge_commit(verdict);
        line.close();
        let unknown = put(&store, name);
        assert!(matches!(unknown, Err(CommitError::Store(StoreError::OutcomeUnknown { .. }))), "{unknown:?}");
        let refused = put(&store, "refused");
        assert!(matches!(refused, Err(CommitError::Store(StoreError::Unavailable { .. }))), "{refused:?}");
        line.open();
        assert_eq!(is_there(&store, name), happened, "{name}");
        assert!(!is_there(&store, "refused"));
    }
    put(&store, "after").unwrap();
    assert_whole(&direct);
}

#[test]
fn connections_that_were_cut_are_made_anew() {
    let url = schema(&server_or_skip!());
    let name = format!("cut-{}", std::process::id());
    let store = open(&format!("{url}&application_name={name}"));
    put(&store, "a").unwrap();
    for round in 0..3 {
        // Several readers at once, so that the pool holds several connections.
        std::thread::scope(|scope| (0..8).for_each(|_| drop(scope.spawn(|| assert!(is_there(&store, "a"))))));
        let of_store =
            |what: &str| format!("SELECT count({what}) FROM pg_stat_activity WHERE application_name = '{name}'");
        // Reader, writer and listener: the last one comes back by itself, and nobody waits for it.
        let begun = Instant::now();
        while number(&url, &of_store("*")) < 3 {
            assert!(begun.elapsed() < MOST_AWAITED, "reader, writer and listener");
        }
        assert!(number(&url, &of_store("pg_terminate_backend(pid)")) >= 3);
        if round % 2 == 0 {
            assert!(is_there(&store, "a"));
        }
        put(&store, &format!("{round}")).unwrap();
        assert!(is_there(&store, &format!("{round}")));
    }
    assert_whole(&url);
}

#[test]
fn who_holds_the_lock_and_says_nothing_is_cut_off() {
    let direct = schema(&server_or_skip!());
    let (line, near) = Line::to(&direct);
    // The writer of a process that hangs in the middle of a commit, with its connection open.
    let hanging = open(&near);
    put(&hanging, "before").unwrap();
    let seen = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&seen);
    line.judge(move |sent| {
        if sent.starts_with(b"Q") && sent.windows(10).any(|part| part == b"FOR UPDATE") {
            count.fetch_add(1, Ordering::SeqCst);
            return Verdict::Pass;
        }
        // What follows never arrives while the line stays open.
        if count.load(Ordering::SeqCst) == 1 { Verdict::Linger(Duration::from_mins(10)) } else { Verdict::Pass }
    });
    let other = open(&direct);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let _ = put(&hanging, "hanging");
        });
        while seen.load(Ordering::SeqCst) == 0 {
            std::thread::yield_now();
        }
        put(&other, "other").unwrap();
    });
    assert!(is_there(&other, "other"));
    assert_whole(&direct);
}
