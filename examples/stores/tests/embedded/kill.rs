//! `kill -9`: the test binary runs itself as a child, and kills it at many points.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::Mutex;

use krate_stores::{EmbeddedStore, OpenError};

use super::disk::Rng;
use super::story::Worker;
use super::verify;

const STORE: &str = "KRATE_TEST_STORE";
const WORKERS: usize = 4;

/// What the child does: commits until it is killed, and tells each acknowledgement.
#[test]
#[ignore = "only as the child of other tests"]
fn child_that_commits_until_it_is_killed() {
    let Some(path) = std::env::var_os(STORE) else { return };
    let store = EmbeddedStore::open(path).unwrap();
    let told = Mutex::new(());
    std::thread::scope(|scope| {
        for number in 0..WORKERS {
            let (store, told) = (&store, &told);
            scope.spawn(move || {
                let mut worker = Worker::resume(store, number);
                loop {
                    let written = worker.write(store).unwrap();
                    let _whole_lines = told.lock().unwrap();
                    // Straight to the pipe: what is told was acknowledged before.
                    let mut out = std::io::stdout();
                    writeln!(out, "ack {number} {written}").and_then(|()| out.flush()).unwrap();
                }
            });
        }
    });
}

fn spawn(path: &Path) -> (Child, BufReader<ChildStdout>) {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "kill::child_that_commits_until_it_is_killed", "--ignored", "--nocapture"])
        .env(STORE, path)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let out = BufReader::new(child.stdout.take().unwrap());
    (child, out)
}

fn acknowledgement(line: &str) -> Option<(usize, u64)> {
    let mut words = line.split_once("ack ")?.1.split(' ');
    Some((words.next()?.parse().ok()?, words.next()?.trim().parse().ok()?))
}

#[test]
fn kill_9_at_any_point_loses_nothing_acknowledged() {
    const ROUNDS: usize = 30;
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("krate.redb");
    let mut rng = Rng(3);
    let mut acknowledged = [0; WORKERS];
    for round in 0..ROUNDS {
        let (mut child, out) = spawn(&path);
        let mut lines = out.lines();
        let mut left = 1 + rng.below(25);
        while left > 0 {
            let line = lines.next().unwrap_or_else(|| panic!("round {round}: the child ended by itself")).unwrap();
            if let Some((worker, written)) = acknowledgement(&line) {
                acknowledged[worker] = written;
                left -= 1;
            }
        }
        child.kill().unwrap();
        // What it told before it died counts too.
        for line in lines.map_while(Result::ok) {
            if let Some((worker, written)) = acknowledgement(&line) {
                acknowledged[worker] = written;
            }
        }
        assert!(!child.wait().unwrap().success());
        verify(&EmbeddedStore::open(&path).unwrap(), &acknowledged);
    }
}

#[test]
fn a_second_process_is_refused_and_told_what_to_do() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("krate.redb");
    let (mut child, out) = spawn(&path);
    let told = out.lines().map_while(Result::ok).find_map(|line| acknowledgement(&line));
    assert!(told.is_some(), "the child works on the store");
    let error = EmbeddedStore::open(&path).unwrap_err();
    assert!(matches!(error, OpenError::InUse { .. }), "{error:?}");
    let (path_shown, holder) = (path.display(), child.id());
    let expected = format!(
        "{path_shown}: another process ({holder}) has this store open; stop it, or give this one a store of its own"
    );
    assert_eq!(error.to_string(), expected);
    child.kill().unwrap();
    child.wait().unwrap();
    verify(&EmbeddedStore::open(&path).unwrap(), &[0; WORKERS]);
}
