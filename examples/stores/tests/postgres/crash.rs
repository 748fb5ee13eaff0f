//! `kill -9` of processes at every boundary of a commit, and crashes of the server.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use krate_model::store::{CommitError, StoreError};

use super::line::{Line, Verdict};
use super::server::{OwnServer, assert_whole, open, schema, server_or_skip};
use super::story::{Worker, verify};

const STORE: &str = "KRATE_TEST_STORE";
const FIRST: &str = "KRATE_TEST_FIRST_WORKER";
const WORKERS: usize = 2;

/// What the child does: commits until it is killed, and tells each acknowledgement.
#[test]
#[ignore = "only as the child of other tests"]
fn child_that_commits_until_it_is_killed() {
    let Ok(url) = std::env::var(STORE) else { return };
    let first: usize = std::env::var(FIRST).unwrap().parse().unwrap();
    let store = open(&url);
    let told = Mutex::new(());
    std::thread::scope(|scope| {
        for number in first..first + WORKERS {
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

fn spawn(url: &str, first: usize) -> (Child, BufReader<ChildStdout>) {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "crash::child_that_commits_until_it_is_killed", "--ignored", "--nocapture"])
        .env(STORE, url)
        .env(FIRST, first.to_string())
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
fn kill_9_at_every_boundary_of_a_commit_loses_nothing_acknowledged() {
    // A commit sends four times: lock, look, write, commit. Before and after each, of three commits, the process dies.
    const BOUNDARIES: usize = 12;
    let direct = schema(&server_or_skip!());
    let mut acknowledged = [0; WORKERS];
    for boundary in 0..2 * BOUNDARIES {
        let (line, near) = Line::to(&direct);
        let (child, out) = spawn(&near, 0);
        let child = Arc::new(Mutex::new(child));
        let mut lines = out.lines();
        let mut acks = 0;
        let sent = Arc::new(AtomicUsize::new(0));
        while let Some(Ok(told)) = lines.next() {
            let Some((worker, written)) = acknowledgement(&told) else { continue };
            acknowledged[worker] = written;
            acks += 1;
            if acks == 1 {
                let (victim, sent) = (Arc::clone(&child), Arc::clone(&sent));
                line.judge(move |_| {
                    let number = sent.fetch_add(1, Ordering::SeqCst);
                    if number != boundary / 2 {
                        return Verdict::Pass;
                    }
                    victim.lock().unwrap().kill().unwrap();
                    // What it sent before it died is on its way, or isn't.
                    if boundary % 2 == 0 { Verdict::Break } else { Verdict::Deafen }
                });
            }
        }
        assert!(!child.lock().unwrap().wait().unwrap().success());
        assert!(sent.load(Ordering::SeqCst) > boundary / 2, "boundary {boundary} was reached");
        let store = open(&direct);
        verify(&store, &acknowledged);
        assert_whole(&direct);
    }
}

#[test]
fn kill_9_of_one_of_two_processes_leaves_the_other_working() {
    const ROUNDS: usize = 6;
    let url = schema(&server_or_skip!());
    let (mut survivor, survived) = spawn(&url, WORKERS);
    let mut survived = survived.lines();
    let mut acknowledged = [0; 2 * WORKERS];
    let mut note = |told: &str| {
        let (worker, written) = acknowledgement(told)?;
        acknowledged[worker] = written;
        Some(())
    };
    for round in 0..ROUNDS {
        let (mut child, out) = spawn(&url, 0);
        let mut lines = out.lines();
        let told = lines.by_ref().map_while(Result::ok).filter_map(|told| note(&told)).take(2 + 3 * round).count();
        assert_eq!(told, 2 + 3 * round);
        child.kill().unwrap();
        // What it told before it died counts too.
        lines.map_while(Result::ok).for_each(|told| _ = note(&told));
        child.wait().unwrap();
        // The other one goes on: two more at least were acknowledged after the death.
        let before = std::time::Instant::now();
        let more = survived.by_ref().map_while(Result::ok).filter_map(|told| note(&told)).take(20).count();
        assert_eq!(more, 20, "after {:?}", before.elapsed());
    }
    survivor.kill().unwrap();
    survived.map_while(Result::ok).for_each(|told| _ = note(&told));
    survivor.wait().unwrap();
    verify(&open(&url), &acknowledged);
    assert_whole(&url);
}

#[test]
fn crashes_of_the_server_lose_nothing_acknowledged() {
    const ROUNDS: u64 = 5;
    let Some(server) = OwnServer::start("crashes_of_the_server_lose_nothing_acknowledged") else { return };
    let store = open(&server.url);
    let mut acknowledged = [0; 4];
    for round in 0..ROUNDS {
        let total = AtomicUsize::new(0);
        std::thread::scope(|scope| {
            let workers: Vec<_> = (0..4)
                .map(|number| {
                    let (store, total) = (&store, &total);
                    scope.spawn(move || {
                        let mut worker = Worker::resume(store, number);
                        let mut last = 0;
                        loop {
                            match worker.write(store) {
                                Ok(written) => last = written,
                                Err(CommitError::Store(
                                    StoreError::Unavailable { .. } | StoreError::OutcomeUnknown { .. },
                                )) => return (number, last),
                                Err(other) => panic!("{other}"),
                            }
                            total.fetch_add(1, Ordering::SeqCst);
                        }
                    })
                })
                .collect();
            while total.load(Ordering::SeqCst) < 40 {
                std::thread::yield_now();
            }
            server.crash();
            for worker in workers {
                let (number, last) = worker.join().unwrap();
                acknowledged[number] = acknowledged[number].max(last);
            }
        });
        server.start_again();
        // The same store goes on, and so does a new one.
        verify(&store, &acknowledged);
        verify(&open(&server.url), &acknowledged);
        assert_whole(&server.url);
        assert!(acknowledged.iter().sum::<u64>() >= 40 * (round + 1));
    }
}
