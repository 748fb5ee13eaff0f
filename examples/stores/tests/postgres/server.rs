//! The server that the tests run on, and a schema of it for each store.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};

use krate_model::store::Revision;
use krate_stores::{PostgresOptions, PostgresStore};
use sqlx::{AssertSqlSafe, Connection, PgConnection, Row};
use tempfile::TempDir;
use tokio::runtime::Runtime;

/// Where the server is, as `scripts/postgres with` says it.
const URL: &str = "KRATE_TEST_POSTGRES";

/// What the stores and the tests' own connections work on.
pub(crate) static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime")
});

/// The URL of the server; `None` is said on standard error, past the test harness, which keeps what passing tests print to itself.
pub(crate) fn url(test: &str) -> Option<String> {
    let found = std::env::var(URL).ok();
    if found.is_none() {
        let told = format!("skipped: {test}: needs a Postgres server; run scripts/postgres with cargo test\n");
        std::io::stderr().write_all(told.as_bytes()).expect("standard error");
    }
    found
}

/// The server's URL, or an early return from a test that is skipped.
macro_rules! server_or_skip {
    () => {{
        let test = std::thread::current().name().unwrap_or("a test").to_owned();
        let Some(url) = crate::server::url(&test) else { return };
        url
    }};
}
pub(crate) use server_or_skip;

/// An empty schema, and the URL of a store in it.
pub(crate) fn schema(server: &str) -> String {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let name = format!("test_{}_{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
    execute(server, &format!("DROP SCHEMA IF EXISTS {name} CASCADE; CREATE SCHEMA {name}"));
    format!("{server}?options=-csearch_path%3D{name}")
}

pub(crate) fn execute(url: &str, sql: &str) {
    RUNTIME.block_on(async {
        let mut connection = PgConnection::connect(url).await.expect("the server");
        sqlx::raw_sql(AssertSqlSafe(sql))
            .execute(&mut connection)
            .await
            .unwrap_or_else(|error| panic!("{sql}: {error}"));
        connection.close().await.expect("closed");
    });
}

/// The first column of the first row.
pub(crate) fn number(url: &str, sql: &str) -> i64 {
    RUNTIME.block_on(async {
        let mut connection = PgConnection::connect(url).await.expect("the server");
        let row = sqlx::raw_sql(AssertSqlSafe(sql)).fetch_one(&mut connection).await;
        let found = row.unwrap_or_else(|error| panic!("{sql}: {error}")).get(0);
        connection.close().await.expect("closed");
        found
    })
}

pub(crate) fn open(url: &str) -> PostgresStore {
    RUNTIME.block_on(PostgresStore::open(url)).unwrap_or_else(|error| panic!("{error}"))
}

pub(crate) fn open_with(url: &str, change: impl FnOnce(&mut PostgresOptions)) -> PostgresStore {
    let mut options = PostgresOptions::default();
    change(&mut options);
    RUNTIME.block_on(PostgresStore::open_with(url, options)).unwrap_or_else(|error| panic!("{error}"))
}

/// Checks that objects and index rows say the same, and that the history is without gaps.
pub(crate) fn assert_whole(url: &str) {
    type Row = (String, String, Vec<u8>, Vec<u8>, Vec<u8>);
    let (objects, mut entries) = RUNTIME.block_on(async {
        let mut connection = PgConnection::connect(url).await.expect("the server");
        let objects = sqlx::query_as::<_, (String, Vec<u8>, Vec<u8>, String)>(
            "SELECT collection, namespace, name, entries FROM krate_object",
        );
        let objects = objects.fetch_all(&mut connection).await.expect("objects");
        let entries =
            sqlx::query_as::<_, Row>("SELECT collection, entry_index, value, namespace, name FROM krate_entry");
        (objects, entries.fetch_all(&mut connection).await.expect("entries"))
    });
    let mut expected: Vec<Row> = Vec::new();
    for (collection, namespace, name, indexes) in objects {
        for (index, value) in serde_json::from_str::<Vec<(String, String)>>(&indexes).expect("entries of an object") {
            expected.push((collection.clone(), index, value.into_bytes(), namespace.clone(), name.clone()));
        }
    }
    expected.sort();
    entries.sort();
    assert!(entries == expected, "{} index rows, {} of objects", entries.len(), expected.len());
    for sql in [
        "SELECT revision - forgotten - (SELECT count(DISTINCT revision) FROM krate_history) FROM krate_state",
        "SELECT history - (SELECT count(*) FROM krate_history) FROM krate_state",
        "SELECT count(*) FROM krate_object, krate_state WHERE krate_object.revision > krate_state.revision",
    ] {
        assert_eq!(number(url, sql), 0, "{sql}");
    }
}

pub(crate) fn revision(url: &str) -> Revision {
    Revision(number(url, "SELECT revision FROM krate_state").try_into().expect("a revision"))
}

/// A server of one test's own, which may be crashed.
pub(crate) struct OwnServer {
    directory: TempDir,
    pub(crate) url: String,
}

impl OwnServer {
    /// `None`, and said so, where there are no programs to start one with.
    pub(crate) fn start(test: &str) -> Option<Self> {
        url(test)?;
        if !Command::new(script()).arg("find").output().expect("the script").status.success() {
            let told =
                format!("skipped: {test}: needs the server's programs (initdb, pg_ctl, postgres) on this machine\n");
            std::io::stderr().write_all(told.as_bytes()).expect("standard error");
            return None;
        }
        let directory = tempfile::tempdir().expect("a directory");
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            // As root the server runs as another user, who has to pass.
            std::fs::set_permissions(directory.path(), std::fs::Permissions::from_mode(0o755)).expect("permitted");
        }
        let url = run("start", directory.path(), None);
        Some(Self { directory, url })
    }

    /// As a crash would: no process of the server gets to end what it does.
    pub(crate) fn crash(&self) {
        run("stop", self.directory.path(), Some("immediate"));
    }

    /// Starts it again, on the same port.
    pub(crate) fn start_again(&self) {
        assert_eq!(run("start", self.directory.path(), None), self.url);
    }
}

impl Drop for OwnServer {
    fn drop(&mut self) {
        run("remove", self.directory.path(), None);
    }
}

fn script() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../scripts/postgres")
}

fn run(command: &str, directory: &Path, mode: Option<&str>) -> String {
    let output = Command::new(script()).arg(command).arg(directory.join("server")).args(mode).output();
    let output = output.expect("the script runs");
    assert!(output.status.success(), "{command}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("a URL").trim().to_owned()
}
