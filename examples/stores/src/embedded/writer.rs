//! Group commit: one thread, one transaction and one sync for all change sets that wait.

use std::io;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use futures::channel::oneshot;
use krate_model::store::{Change, ChangeSet, CommitError, Revision, StoreError, plan};

use super::error::store_error;
use super::tables::Tables;
use super::{Engine, medium};

/// How long a batch waits for the writers of the last one to come back. A lone writer never waits.
const MAX_WAIT: Duration = Duration::from_millis(2);
/// The most change sets of one batch.
const MAX_SETS: usize = 4096;
/// A batch ends with the change set that brings its bodies to this size.
const MAX_BYTES: usize = 32 * 1024 * 1024;

type Answer = Result<Revision, CommitError>;

struct Job {
    changes: ChangeSet,
    answer: oneshot::Sender<Answer>,
}

/// The way to the writer thread, which ends when this is dropped and all that was handed in is answered.
pub(super) struct Writer {
    jobs: Mutex<Option<Sender<Job>>>,
    thread: Option<JoinHandle<()>>,
    engine: Arc<Engine>,
}

impl Writer {
    pub(super) fn start(engine: &Arc<Engine>) -> io::Result<Self> {
        let (jobs, queue) = mpsc::channel();
        let shared = Arc::clone(engine);
        let thread = std::thread::Builder::new().name("krate-store".into()).spawn(move || shared.write_all(&queue))?;
        Ok(Self { jobs: Mutex::new(Some(jobs)), thread: Some(thread), engine: Arc::clone(engine) })
    }

    pub(super) async fn commit(&self, changes: ChangeSet) -> Answer {
        let (answer, answered) = oneshot::channel();
        let job = Job { changes, answer };
        let sent = match &*self.jobs.lock().unwrap_or_else(PoisonError::into_inner) {
            Some(jobs) => jobs.send(job).is_ok(),
            None => false,
        };
        if !sent {
            return Err(self.engine.unavailable(io::Error::other("the writer has ended")).into());
        }
        answered.await.unwrap_or_else(|_| {
            let source = Arc::new(io::Error::other("the writer has ended before its answer"));
            Err(StoreError::OutcomeUnknown { store: Arc::clone(&self.engine.name), source }.into())
        })
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        *self.jobs.lock().unwrap_or_else(PoisonError::into_inner) = None;
        if let Some(thread) = self.thread.take() {
            // A panic of the writer has been told to everybody who waited for an answer.
            let _ = thread.join();
        }
    }
}

/// Why a batch was not made durable.
struct Failure {
    error: StoreError,
    /// What each change set would have come to, had the last step, the durable commit, not failed: it may have happened all the same.
    unclear: Option<(Vec<Answer>, Revision)>,
}

impl Engine {
    fn write_all(&self, queue: &Receiver<Job>) {
        let mut last_batch = 1;
        while let Some(jobs) = next_batch(queue, last_batch) {
            last_batch = jobs.len();
            let (sets, answers): (Vec<_>, Vec<_>) = jobs.into_iter().map(|job| (job.changes, job.answer)).unzip();
            let outcomes = self.settle(self.write(sets), answers.len());
            for (answer, outcome) in answers.into_iter().zip(outcomes) {
                // Whoever dropped the future no longer wants to know.
                let _ = answer.send(outcome);
            }
        }
    }

    /// Decides each change set on the state that the ones before it leave, and makes all of them durable at once.
    fn write(&self, sets: Vec<ChangeSet>) -> Result<Vec<Answer>, Failure> {
        let broken = |error| Failure { error, unclear: None };
        let failed = |error: redb::Error| broken(store_error(&self.name, error));
        self.with_database(|database| {
            Ok((|| {
                let transaction = database.begin_write().map_err(|error| failed(error.into()))?;
                let mut outcomes = Vec::with_capacity(sets.len());
                let mut tables = Tables::open(&transaction, &self.name).map_err(failed)?;
                let durable = tables.revision().map_err(failed)?;
                let mut revision = durable;
                for changes in sets {
                    outcomes.push(match plan(changes, &tables) {
                        Ok(planned) if planned.is_empty() => Ok(revision),
                        Ok(planned) => {
                            revision = Revision(revision.0.saturating_add(1));
                            tables.apply(&planned, revision).map_err(failed)?;
                            Ok(revision)
                        }
                        // One damaged record is the trouble of those who write it; nobody else is held back.
                        Err(CommitError::Store(error)) if !matches!(error, StoreError::Damaged { .. }) => {
                            return Err(broken(error));
                        }
                        Err(refused) => Err(refused),
                    });
                }
                tables.forget(self.options.max_history).map_err(failed)?;
                drop(tables);
                if revision == durable {
                    // Nothing to make durable; a failing abort leaves nothing behind either.
                    let _ = transaction.abort();
                    return Ok(outcomes);
                }
                match transaction.commit() {
                    Ok(()) => {
                        self.count(&outcomes, durable);
                        self.publish(revision);
                        Ok(outcomes)
                    }
                    Err(error) => {
                        let error = store_error(&self.name, error.into());
                        Err(Failure { error, unclear: Some((outcomes, revision)) })
                    }
                }
            })())
        })
        .unwrap_or_else(|error| Err(broken(error)))
    }

    /// After a failure: opens the database anew, and lets its revision tell what became of the batch.
    fn settle(&self, written: Result<Vec<Answer>, Failure>, count: usize) -> Vec<Answer> {
        let Failure { error, unclear } = match written {
            Ok(outcomes) => return outcomes,
            Err(failure) => failure,
        };
        self.set_aside();
        let reopened = self.reopen();
        match (unclear, reopened) {
            (Some((outcomes, last)), Ok(durable)) if durable == last => outcomes,
            (Some((outcomes, _)), Err(_)) => {
                let (StoreError::Full { source, .. } | StoreError::Unavailable { source, .. }) = error else {
                    return vec![Err(error.into()); count];
                };
                let unknown = StoreError::OutcomeUnknown { store: Arc::clone(&self.name), source };
                outcomes.into_iter().map(|_| Err(unknown.clone().into())).collect()
            }
            _ => vec![Err(error.into()); count],
        }
    }

    fn count(&self, outcomes: &[Answer], before: Revision) {
        let refused = outcomes.iter().filter(|outcome| outcome.is_err()).count();
        let written = outcomes.iter().filter(|outcome| outcome.as_ref().is_ok_and(|made| *made > before)).count();
        medium::add(&self.counts.commits, written);
        medium::add(&self.counts.refused, refused);
        medium::add(&self.counts.batches, 1);
        self.counts.largest_batch.fetch_max(outcomes.len().try_into().unwrap_or(u64::MAX), Ordering::Relaxed);
    }
}

/// Waits for a change set and takes whatever else is there. When the last batch had many writers, gives them a moment to come back.
fn next_batch(queue: &Receiver<Job>, last_batch: usize) -> Option<Vec<Job>> {
    let first = queue.recv().ok()?;
    let mut bytes = size_of_set(&first.changes);
    let mut jobs = vec![first];
    let started = Instant::now();
    while jobs.len() < MAX_SETS && bytes < MAX_BYTES {
        let left = if jobs.len() < last_batch { MAX_WAIT.saturating_sub(started.elapsed()) } else { Duration::ZERO };
        match queue.recv_timeout(left) {
            Ok(job) => {
                bytes = bytes.saturating_add(size_of_set(&job.changes));
                jobs.push(job);
            }
            Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => break,
        }
    }
    Some(jobs)
}

fn size_of_set(changes: &ChangeSet) -> usize {
    let size = |change: &Change| if let Change::Put { body, .. } = change { body.len() } else { 0 };
    changes.writes.iter().map(|write| size(&write.change)).sum()
}
