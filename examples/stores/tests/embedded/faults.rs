use std::error::Error;
use std::fs;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use krate_model::store::suite::block_on;
use krate_model::store::{CommitError, Store, StoreError};
use krate_stores::{EmbeddedStore, OpenError, Options};

use super::disk::{Disk, Rng};
use super::story::Worker;
use super::verify;

fn open_on(disk: &Disk) -> Result<EmbeddedStore, OpenError> {
    let disk = disk.clone();
    EmbeddedStore::open_on("disk", Options::default(), move || Ok(disk.clone()))
}

#[test]
fn a_power_cut_loses_nothing_that_was_acknowledged() {
    const WORKERS: usize = 3;
    const CUTS: usize = 60;
    let disk = Disk::default();
    let store = open_on(&disk).unwrap();
    let (acknowledged, stop) = (Mutex::new([0; WORKERS]), AtomicBool::new(false));
    let cuts: Vec<([u64; WORKERS], Disk)> = std::thread::scope(|scope| {
        for number in 0..WORKERS {
            let (store, acknowledged, stop) = (&store, &acknowledged, &stop);
            scope.spawn(move || {
                let mut worker = Worker::resume(store, number);
                while !stop.load(Ordering::Relaxed) {
                    let written = worker.write(store).unwrap();
                    acknowledged.lock().unwrap()[number] = written;
                }
            });
        }
        let mut rng = Rng(7);
        let mut cuts = Vec::new();
        while cuts.len() < CUTS {
            let known = *acknowledged.lock().unwrap();
            let cut = disk.after_power_cut(&mut rng);
            // Only cuts with something new between them.
            if cuts.last().is_none_or(|(last, _)| *last != known) {
                cuts.push((known, cut));
            } else {
                std::thread::yield_now();
            }
        }
        stop.store(true, Ordering::Relaxed);
        cuts
    });
    for (acknowledged, disk) in cuts {
        verify(&open_on(&disk).unwrap(), &acknowledged);
    }
}

/// Writes until the store refuses, and returns the last acknowledged number with the refusal.
fn write_until_refused(store: &EmbeddedStore) -> (u64, StoreError) {
    let mut worker = Worker::resume(store, 0);
    let mut acknowledged = 0;
    for _ in 0..10_000 {
        match worker.write(store) {
            Ok(written) => acknowledged = written,
            Err(CommitError::Store(error)) => return (acknowledged, error),
            Err(other) => panic!("{other}"),
        }
    }
    panic!("the disk never filled up");
}

#[test]
fn a_disk_without_room_to_grow_loses_nothing_and_reads_go_on() {
    let disk = Disk::default();
    let store = open_on(&disk).unwrap();
    disk.limit_len(Some(1 << 20));
    let (acknowledged, error) = write_until_refused(&store);
    assert!(matches!(error, StoreError::Full { .. }), "{error:?}");
    assert_eq!(error.to_string(), "disk: no space left; free some and try again");
    verify(&store, &[acknowledged]);
    assert_eq!(Worker::resume(&store, 0).write(&store).unwrap_err().to_string(), error.to_string());
    verify(&store, &[acknowledged]);

    disk.limit_len(None);
    assert_eq!(Worker::resume(&store, 0).write(&store).unwrap(), acknowledged + 1);
    verify(&store, &[acknowledged + 1]);
    assert!(store.counters().recoveries >= 1);
}

#[test]
fn a_disk_that_fills_up_at_any_byte_loses_nothing_acknowledged() {
    for step in 0..60_usize {
        let disk = Disk::default();
        let store = open_on(&disk).unwrap();
        assert_eq!(Worker::resume(&store, 0).write(&store).unwrap(), 1);
        disk.limit_writes(Some(step * 1_711));
        let (acknowledged, error) = write_until_refused(&store);
        let is_clear = match error {
            StoreError::Full { .. } => true,
            StoreError::OutcomeUnknown { .. } => false,
            ref other => panic!("{other:?}"),
        };
        let mut told = error_chain(&error);
        assert!(told.any(|told| told.contains("no space left")), "the cause is named");
        disk.limit_writes(None);
        let acknowledged = acknowledged.max(1);
        let written = Worker::resume(&store, 0).write(&store).unwrap() - 1;
        assert!(written == acknowledged || (!is_clear && written == acknowledged + 1), "{acknowledged} then {written}");
        verify(&store, &[written + 1]);

        // The same when the process dies in the place of the disk being freed.
        drop(store);
        verify(&open_on(&disk).unwrap(), &[written + 1]);
    }
}

fn error_chain(error: &StoreError) -> impl Iterator<Item = String> {
    std::iter::successors(Some(error as &dyn Error), |error| Error::source(*error)).map(ToString::to_string)
}

#[test]
fn a_failed_sync_is_made_good_before_anything_is_acknowledged() {
    // After a failed sync the system takes the unwritten pages for clean: they can be read, and are gone with the power.
    let disk = Disk::default();
    let store = open_on(&disk).unwrap();
    let mut worker = Worker::resume(&store, 0);
    let mut acknowledged = 0;
    let mut refused = 0;
    for round in 0..120 {
        if round >= 60 {
            disk.fail_syncs(round % 4);
        }
        if let Ok(written) = worker.write(&store) {
            acknowledged = written;
        } else {
            refused += 1;
            worker = resume_when_possible(&store);
        }
        if round >= 60 {
            let cut = disk.after_power_cut(&mut Rng(round));
            verify(&open_on(&cut).unwrap(), &[acknowledged]);
        }
    }
    assert!(refused > 0 && store.counters().recoveries > 0);
}

fn resume_when_possible(store: &EmbeddedStore) -> Worker {
    while block_on(store.revision()).is_err() {}
    Worker::resume(store, 0)
}

#[test]
fn a_dead_disk_is_named_and_comes_back() {
    let disk = Disk::default();
    let store = open_on(&disk).unwrap();
    let mut worker = Worker::resume(&store, 0);
    assert_eq!(worker.write(&store).unwrap(), 1);
    disk.limit_writes(Some(0));
    worker.write(&store).unwrap_err();
    let error = block_on(store.revision()).unwrap_err();
    assert!(matches!(error, StoreError::Unavailable { .. }), "{error:?}");
    assert_eq!(error.source().unwrap().to_string(), "disk: no space left on the device; free some and start again");
    disk.limit_writes(None);
    verify(&store, &[1]);
}

#[test]
fn a_damaged_file_is_told_and_never_trusted() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("krate.redb");
    let store = EmbeddedStore::open(&path).unwrap();
    let mut worker = Worker::resume(&store, 0);
    for _ in 0..50 {
        worker.write(&store).unwrap();
    }
    drop(store);
    let whole = fs::read(&path).unwrap();
    let mut rng = Rng(11);
    let mut told = 0;
    for _ in 0..40 {
        let mut damaged = whole.clone();
        let at = usize::try_from(rng.below(whole.len() as u64)).unwrap();
        for byte in damaged.iter_mut().skip(at).take(64) {
            *byte ^= 0x5a;
        }
        fs::write(&path, &damaged).unwrap();
        match EmbeddedStore::open(&path) {
            // The bytes were free, or redb keeps them twice.
            Ok(store) => verify(&store, &[50]),
            Err(error @ (OpenError::Damaged { .. } | OpenError::NotAStore { .. })) => {
                told += 1;
                assert!(error.to_string().starts_with(&path.display().to_string()), "{error}");
            }
            Err(other) => panic!("{other:?}"),
        }
    }
    assert!(told > 5, "{told} of 40");
}

#[test]
fn what_is_no_store_says_so() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("notes.txt");
    for content in ["not a store, just notes\n".repeat(500), "x".into()] {
        fs::write(&path, &content).unwrap();
        let error = EmbeddedStore::open(&path).unwrap_err();
        assert!(matches!(error, OpenError::NotAStore { .. }), "{error:?}");
        assert_eq!(fs::read_to_string(&path).unwrap(), content, "the file was left as it is");
    }
    let missing = directory.path().join("nowhere").join("krate.redb");
    let error = EmbeddedStore::open(&missing).unwrap_err();
    assert!(matches!(&error, OpenError::NoDirectory { directory, .. } if directory.ends_with("nowhere")), "{error:?}");
    let error = EmbeddedStore::open(directory.path()).unwrap_err();
    assert!(error.to_string().contains(&directory.path().display().to_string()), "{error:?}");
}
