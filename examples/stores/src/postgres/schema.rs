//! The tables, and how they came about: one migration after another, each in the transaction that also counts it.

use std::sync::Arc;

use sqlx::postgres::PgConnection;
use sqlx::{Connection, Row};

use super::error::PostgresOpenError;

/// The migrations, from nothing. What stands here never changes: what follows is added.
///
/// Namespaces, names and index values are `bytea`: the port compares them as bytes, and lets them hold any character, which `text` doesn't.
const MIGRATIONS: &[&str] = &["
    CREATE TABLE krate_object (
        collection text COLLATE \"C\" NOT NULL,
        namespace bytea NOT NULL,
        name bytea NOT NULL,
        revision bigint NOT NULL,
        -- The object's rows of krate_entry, as JSON: [[index, value]...]
        entries text NOT NULL,
        body bytea NOT NULL,
        PRIMARY KEY (collection, namespace, name)
    ) WITH (fillfactor = 80);
    CREATE TABLE krate_entry (
        collection text COLLATE \"C\" NOT NULL,
        entry_index text COLLATE \"C\" NOT NULL,
        value bytea NOT NULL,
        namespace bytea NOT NULL,
        name bytea NOT NULL,
        PRIMARY KEY (collection, entry_index, value, namespace, name)
    );
    CREATE TABLE krate_history (
        revision bigint NOT NULL,
        ordinal integer NOT NULL,
        -- 1 created, 2 updated, 3 deleted
        action smallint NOT NULL,
        collection text COLLATE \"C\" NOT NULL,
        namespace bytea NOT NULL,
        name bytea NOT NULL,
        -- The transaction that wrote it, so that a writer whose connection broke can tell its own.
        batch text NOT NULL,
        PRIMARY KEY (revision, ordinal)
    );
    -- One row. Whoever commits locks it first: so commits become visible in the order of their revisions.
    CREATE TABLE krate_state (
        revision bigint NOT NULL,
        -- The revision that the history starts after.
        forgotten bigint NOT NULL,
        -- The rows of krate_history.
        history bigint NOT NULL
    ) WITH (fillfactor = 10);
    INSERT INTO krate_state VALUES (0, 0, 0);
"];

/// The format that this version reads and writes.
const SUPPORTED_FORMAT: i64 = 1;
/// The oldest server whose functions are all there.
const OLDEST_SERVER: i32 = 13;
/// Of the advisory lock that keeps two processes from migrating at a time: the letters of `krate`.
const MIGRATION_LOCK: i64 = 0x6b_72_61_74_65;

/// What opening found.
pub(super) struct Opened {
    /// Where commits are told.
    pub(super) channel: String,
    pub(super) revision: u64,
}

/// Brings the tables to this version's format. Two processes that start together take turns.
pub(super) async fn open(
    connection: &mut PgConnection,
    store: &Arc<str>,
    database: &str,
) -> Result<Opened, PostgresOpenError> {
    let failed = |error: sqlx::Error| PostgresOpenError::of(store, database, error);
    let damaged = |what: &str| PostgresOpenError::Damaged { store: Arc::clone(store), what: what.to_owned() };
    let server = sqlx::query("SELECT current_setting('server_version_num')::int / 10000, pg_is_in_recovery()");
    let server = server.fetch_one(&mut *connection).await.map_err(failed)?;
    let version: i32 = server.try_get(0).map_err(failed)?;
    if version < OLDEST_SERVER {
        return Err(PostgresOpenError::OldServer { store: Arc::clone(store), found: version, needed: OLDEST_SERVER });
    }
    if server.try_get(1).map_err(failed)? {
        return Err(PostgresOpenError::ReadOnly { store: Arc::clone(store) });
    }

    let mut transaction = connection.begin().await.map_err(failed)?;
    sqlx::query("SELECT pg_advisory_xact_lock($1)")
        .bind(MIGRATION_LOCK)
        .execute(&mut *transaction)
        .await
        .map_err(failed)?;
    let known = sqlx::query_scalar::<_, bool>("SELECT to_regclass('krate_format') IS NOT NULL");
    let mut found = 0;
    if known.fetch_one(&mut *transaction).await.map_err(failed)? {
        let formats = sqlx::query_scalar::<_, i64>("SELECT format FROM krate_format");
        found = match formats.fetch_all(&mut *transaction).await.map_err(failed)?[..] {
            [format] => format,
            _ => return Err(damaged("krate_format holds not one row")),
        };
    } else {
        let made =
            sqlx::raw_sql("CREATE TABLE krate_format (format bigint NOT NULL); INSERT INTO krate_format VALUES (0)");
        made.execute(&mut *transaction).await.map_err(failed)?;
    }
    if found > SUPPORTED_FORMAT {
        return Err(PostgresOpenError::NewerFormat { store: Arc::clone(store), found, supported: SUPPORTED_FORMAT });
    }
    let done = usize::try_from(found).map_err(|_| damaged("krate_format is below nought"))?;
    for migration in MIGRATIONS.iter().skip(done) {
        sqlx::raw_sql(*migration).execute(&mut *transaction).await.map_err(failed)?;
    }
    if found < SUPPORTED_FORMAT {
        let counted = sqlx::query("UPDATE krate_format SET format = $1").bind(SUPPORTED_FORMAT);
        counted.execute(&mut *transaction).await.map_err(failed)?;
    }
    let state = sqlx::query("SELECT revision, 'krate_state'::regclass::oid::bigint FROM krate_state");
    let state = state.fetch_all(&mut *transaction).await.map_err(failed)?;
    transaction.commit().await.map_err(failed)?;
    let [state] = &state[..] else { return Err(damaged("krate_state holds not one row")) };
    let revision: i64 = state.try_get(0).map_err(failed)?;
    let revision = u64::try_from(revision).map_err(|_| damaged("the revision is below nought"))?;
    // Notifications go through the whole database: two stores in two schemas of it don't hear each other.
    let channel = format!("krate_{}", state.try_get::<i64, _>(1).map_err(failed)?);
    Ok(Opened { channel, revision })
}
