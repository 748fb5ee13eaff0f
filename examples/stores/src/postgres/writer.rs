//! Commits: one task, one transaction for all change sets that wait.
//!
//! The transaction locks the one row of `krate_state` before it reads anything else. So all processes commit one after another, each decides on the
//! state that the last one left, revisions and audit chains have no gaps, and whoever sees a revision sees all before it.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use krate_model::store::{Change, ChangeSet, CommitError, Revision, StoreError, plan};
use sqlx::postgres::PgConnection;
use sqlx::{Connection, Row};
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep, timeout_at};

use super::batch::{History, Known, Rows, column};
use super::error::{Fault, Told};
use super::read::{number, revision_of};
use super::{Engine, add};

/// How long a batch waits for the writers of the last one to come back. A lone writer never waits.
const MAX_WAIT: Duration = Duration::from_millis(1);
/// The most change sets of one batch.
const MAX_SETS: usize = 1024;
/// A batch ends with the change set that brings its bodies to this size.
const MAX_BYTES: usize = 32 * 1024 * 1024;
/// Between two tries to reach a server that doesn't answer.
const RECONNECT_PAUSE: Duration = Duration::from_millis(100);
/// The history is cut when it is longer than it may be by this part of it: then a cut is worth its scan.
const HISTORY_SLACK: i64 = 16;

type Answer = Result<Revision, CommitError>;

pub(super) struct Job {
    pub(super) changes: ChangeSet,
    pub(super) answer: oneshot::Sender<Answer>,
}

/// What became of a batch that was not acknowledged.
enum Failure {
    /// Nothing was changed.
    Nothing(Fault),
    /// The commit was sent, and no answer came.
    Unclear { fault: Fault, batch: Batch, answers: Vec<Answer> },
}

/// A transaction, as its history rows name it.
struct Batch {
    token: String,
    /// The revision before it.
    before: Revision,
    last: Revision,
}

impl<E: Into<Fault>> From<E> for Failure {
    fn from(error: E) -> Self {
        Self::Nothing(error.into())
    }
}

/// Answers jobs until nobody can hand one in any more.
pub(super) async fn write_all(engine: Arc<Engine>, mut queue: UnboundedReceiver<Job>) {
    let mut line = None;
    let mut last_batch = 1;
    while let Some(jobs) = next_batch(&mut queue, last_batch).await {
        last_batch = jobs.len();
        let (sets, answers): (Vec<_>, Vec<_>) = jobs.into_iter().map(|job| (job.changes, job.answer)).unzip();
        let outcomes = engine.write(&mut line, &sets).await;
        for (answer, outcome) in answers.into_iter().zip(outcomes) {
            // Whoever dropped the future no longer wants to know.
            let _ = answer.send(outcome);
        }
    }
    if let Some(line) = line {
        // The last transaction has ended; a goodbye that fails changes nothing.
        let _ = PgConnection::close(line).await;
    }
}

/// Waits for a change set and takes whatever else is there. When the last batch had many writers, gives them a moment to come back.
async fn next_batch(queue: &mut UnboundedReceiver<Job>, last_batch: usize) -> Option<Vec<Job>> {
    let first = queue.recv().await?;
    let mut bytes = size_of_set(&first.changes);
    let mut jobs = vec![first];
    let until = Instant::now() + MAX_WAIT;
    while jobs.len() < MAX_SETS && bytes < MAX_BYTES {
        let next = match queue.try_recv() {
            Ok(job) => Some(job),
            Err(_) if jobs.len() < last_batch => timeout_at(until, queue.recv()).await.ok().flatten(),
            Err(_) => None,
        };
        let Some(job) = next else { break };
        bytes = bytes.saturating_add(size_of_set(&job.changes));
        jobs.push(job);
    }
    Some(jobs)
}

fn size_of_set(changes: &ChangeSet) -> usize {
    let size = |change: &Change| if let Change::Put { body, .. } = change { body.len() } else { 0 };
    changes.writes.iter().map(|write| size(&write.change)).sum()
}

impl Engine {
    /// Decides each change set on the state that the ones before it leave, and commits all of them at once.
    async fn write(&self, line: &mut Option<PgConnection>, sets: &[ChangeSet]) -> Vec<Answer> {
        let mut failure = match self.attempt(line, sets).await {
            Ok(answers) => return answers,
            Err(failure) => failure,
        };
        // Nothing was changed, and what broke may only be the connection that stood open since the last commit.
        if matches!(&failure, Failure::Nothing(fault) if fault.is_lost()) {
            match self.attempt(line, sets).await {
                Ok(answers) => return answers,
                Err(again) => failure = again,
            }
        }
        match failure {
            // One set that the server can't take is the trouble of its writer; nobody else is held back.
            Failure::Nothing(fault) if fault.is_of_statement() && sets.len() > 1 => {
                let mut answers = Vec::with_capacity(sets.len());
                for set in sets {
                    answers.extend(Box::pin(self.write(line, std::slice::from_ref(set))).await);
                }
                answers
            }
            Failure::Nothing(fault) => vec![Err(fault.to_store_error(&self.name).into()); sets.len()],
            Failure::Unclear { fault, batch, answers } => match self.settle(line, &batch).await {
                Some(true) => self.acknowledge(answers, &batch),
                Some(false) => vec![Err(fault.to_store_error(&self.name).into()); sets.len()],
                None => {
                    let source = match fault.to_store_error(&self.name) {
                        StoreError::Unavailable { source, .. } | StoreError::Full { source, .. } => source,
                        other => Arc::new(Told(other.to_string())),
                    };
                    let unknown = StoreError::OutcomeUnknown { store: Arc::clone(&self.name), source };
                    vec![Err(unknown.into()); sets.len()]
                }
            },
        }
    }

    /// One try. A connection that any statement failed on isn't used again, and so takes its transaction with it.
    async fn attempt(&self, line: &mut Option<PgConnection>, sets: &[ChangeSet]) -> Result<Vec<Answer>, Failure> {
        let mut connection = match line.take() {
            Some(connection) => connection,
            None => self.connect().await?,
        };
        let mut known = Known::new(&self.name);
        let locked =
            sqlx::raw_sql("BEGIN; SELECT revision, history, gen_random_uuid()::text FROM krate_state FOR UPDATE");
        let locked = locked.fetch_all(&mut connection).await.map_err(Fault::from)?;
        let [state] = &locked[..] else { return Err(Fault::Damaged("krate_state holds not one row".into()).into()) };
        let (durable, history) = (revision_of(state, 0)?, state.try_get::<i64, _>(1).map_err(Fault::from)?);
        let token: String = state.try_get(2).map_err(Fault::from)?;
        known.read(&mut connection, sets).await?;

        let mut revision = durable;
        let mut steps = History::default();
        let mut answers = Vec::with_capacity(sets.len());
        for changes in sets {
            answers.push(match plan(changes.clone(), &known) {
                Ok(planned) if planned.is_empty() => Ok(revision),
                Ok(planned) => {
                    revision = Revision(revision.0.saturating_add(1));
                    steps.remember(&planned, revision);
                    known.apply(planned, revision);
                    Ok(revision)
                }
                Err(refused) => Err(refused),
            });
        }
        if revision == durable {
            sqlx::raw_sql("ROLLBACK").execute(&mut connection).await.map_err(Fault::from)?;
            *line = Some(connection);
            self.count(&answers, durable);
            return Ok(answers);
        }
        self.store(&mut connection, &Rows::of(&known), &steps, &token, revision).await?;
        self.forget(&mut connection, history.saturating_add(number(steps.revision.len())), revision).await?;
        let batch = Batch { token, before: durable, last: revision };
        match sqlx::raw_sql("COMMIT").execute(&mut connection).await {
            Ok(_) => {
                *line = Some(connection);
                Ok(self.acknowledge(answers, &batch))
            }
            Err(error) => Err(Failure::Unclear { fault: error.into(), batch, answers }),
        }
    }

    fn acknowledge(&self, answers: Vec<Answer>, batch: &Batch) -> Vec<Answer> {
        self.count(&answers, batch.before);
        self.news.committed(batch.last);
        answers
    }

    async fn connect(&self) -> Result<PgConnection, Fault> {
        let mut connection =
            tokio::time::timeout(self.options.connect_timeout, PgConnection::connect_with(&self.connect))
                .await
                .map_err(|_| sqlx::Error::PoolTimedOut)??;
        // What is acknowledged is durable, whatever the server's default is. Who holds the lock and says nothing is cut off, so that the others go on.
        sqlx::raw_sql(
            "SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') = 'off';
             SET idle_in_transaction_session_timeout = '15s'; SET lock_timeout = '30s'",
        )
        .execute(&mut connection)
        .await?;
        Ok(connection)
    }

    /// Whether a batch whose answer was lost was committed: taking the lock waits for its transaction to end, and then its rows are there or not.
    /// `None` when that can't be told in time.
    async fn settle(&self, line: &mut Option<PgConnection>, batch: &Batch) -> Option<bool> {
        let until = Instant::now() + self.options.settle_within;
        loop {
            match timeout_at(until, self.look_for(line, batch)).await {
                Ok(Ok(told)) => return told,
                Ok(Err(_)) if Instant::now() < until => sleep(RECONNECT_PAUSE).await,
                _ => return None,
            }
        }
    }

    async fn look_for(&self, line: &mut Option<PgConnection>, batch: &Batch) -> Result<Option<bool>, Fault> {
        let mut connection = self.connect().await?;
        let locked = sqlx::raw_sql("BEGIN; SELECT revision, forgotten FROM krate_state FOR UPDATE");
        let locked = locked.fetch_all(&mut connection).await?;
        let [state] = &locked[..] else { return Err(Fault::Damaged("krate_state holds not one row".into())) };
        let (newest, forgotten) = (revision_of(state, 0)?, revision_of(state, 1)?);
        let is_there =
            sqlx::query_scalar("SELECT EXISTS (SELECT FROM krate_history WHERE revision = $1 AND batch = $2)");
        let is_there: bool = is_there.bind(column(batch.last)).bind(&batch.token).fetch_one(&mut connection).await?;
        sqlx::raw_sql("ROLLBACK").execute(&mut connection).await?;
        *line = Some(connection);
        add(&self.counts.recoveries, 1);
        // Others may have written so much since that the history no longer tells.
        Ok(if newest >= batch.last && forgotten >= batch.last { None } else { Some(is_there) })
    }

    /// Writes everything in one statement: each part of it touches other rows.
    async fn store(
        &self,
        connection: &mut PgConnection,
        rows: &Rows<'_>,
        history: &History,
        token: &str,
        revision: Revision,
    ) -> Result<(), Fault> {
        let Rows { puts, deletes, strays, entries } = rows;
        sqlx::query(
            "WITH puts AS (
                 INSERT INTO krate_object (collection, namespace, name, revision, entries, body)
                 SELECT * FROM unnest($1::text[], $2::bytea[], $3::bytea[], $4::bigint[], $5::text[], $6::bytea[])
                 ON CONFLICT (collection, namespace, name)
                 DO UPDATE SET revision = excluded.revision, entries = excluded.entries, body = excluded.body
             ), deletes AS (
                 DELETE FROM krate_object o USING unnest($7::text[], $8::bytea[], $9::bytea[]) AS d (collection, namespace, name)
                 WHERE (o.collection, o.namespace, o.name) = (d.collection, d.namespace, d.name)
             ), strays AS (
                 DELETE FROM krate_entry e
                 USING unnest($10::text[], $11::text[], $12::bytea[], $13::bytea[], $14::bytea[])
                     AS d (collection, entry_index, value, namespace, name)
                 WHERE (e.collection, e.entry_index, e.value, e.namespace, e.name)
                     = (d.collection, d.entry_index, d.value, d.namespace, d.name)
             ), entries AS (
                 INSERT INTO krate_entry (collection, entry_index, value, namespace, name)
                 SELECT * FROM unnest($15::text[], $16::text[], $17::bytea[], $18::bytea[], $19::bytea[])
             ), history AS (
                 INSERT INTO krate_history (revision, ordinal, action, collection, namespace, name, batch)
                 SELECT *, $26 FROM unnest($20::bigint[], $21::int[], $22::smallint[], $23::text[], $24::bytea[], $25::bytea[])
             ), state AS (
                 UPDATE krate_state SET revision = $27, history = history + cardinality($20::bigint[])
             )
             SELECT pg_notify($28, $27::bigint::text)",
        )
        .bind(&puts.keys.collection)
        .bind(&puts.keys.namespace)
        .bind(&puts.keys.name)
        .bind(&puts.revision)
        .bind(&puts.entries)
        .bind(&puts.body)
        .bind(&deletes.collection)
        .bind(&deletes.namespace)
        .bind(&deletes.name)
        .bind(&strays.keys.collection)
        .bind(&strays.index)
        .bind(&strays.value)
        .bind(&strays.keys.namespace)
        .bind(&strays.keys.name)
        .bind(&entries.keys.collection)
        .bind(&entries.index)
        .bind(&entries.value)
        .bind(&entries.keys.namespace)
        .bind(&entries.keys.name)
        .bind(&history.revision)
        .bind(&history.ordinal)
        .bind(&history.action)
        .bind(&history.collection)
        .bind(&history.namespace)
        .bind(&history.name)
        .bind(token)
        .bind(column(revision))
        .bind(&self.channel)
        .execute(connection)
        .await?;
        Ok(())
    }

    /// Cuts the history to what it may hold, whole commits only, and never the newest commit.
    async fn forget(&self, connection: &mut PgConnection, rows: i64, newest: Revision) -> Result<(), Fault> {
        let max = i64::try_from(self.options.max_history).unwrap_or(i64::MAX);
        if rows <= max.saturating_add(max / HISTORY_SLACK) {
            return Ok(());
        }
        // What was forgotten before is passed over: its rows are there until the server cleans up.
        sqlx::query(
            "WITH cut AS (
                 SELECT least(revision, $2 - 1) AS revision FROM krate_history
                 WHERE revision > (SELECT forgotten FROM krate_state) ORDER BY krate_history.revision, ordinal OFFSET $1 LIMIT 1
             ), gone AS (
                 DELETE FROM krate_history h USING cut, krate_state s
                 WHERE h.revision > s.forgotten AND h.revision <= cut.revision RETURNING 1
             )
             UPDATE krate_state SET forgotten = greatest(forgotten, (SELECT revision FROM cut)),
                                    history = history - (SELECT count(*) FROM gone)",
        )
        .bind(rows.saturating_sub(max).saturating_sub(1))
        .bind(column(newest))
        .execute(connection)
        .await?;
        Ok(())
    }

    fn count(&self, answers: &[Answer], before: Revision) {
        let refused = answers.iter().filter(|answer| answer.is_err()).count();
        let written = answers.iter().filter(|answer| answer.as_ref().is_ok_and(|made| *made > before)).count();
        add(&self.counts.commits, written);
        add(&self.counts.refused, refused);
        add(&self.counts.batches, usize::from(written > 0));
        self.counts.largest_batch.fetch_max(answers.len().try_into().unwrap_or(u64::MAX), Ordering::Relaxed);
    }
}
