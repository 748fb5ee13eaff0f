//! Opening: what is wrong is named, and no password is.

use std::error::Error as _;
use std::fmt::Write as _;

use krate_model::Kind;
use krate_model::store::suite::block_on;
use krate_model::store::{ChangeSet, Expect, Key, Store};
use krate_stores::{PostgresOpenError, PostgresStore};

use super::server::{OwnServer, RUNTIME, execute, number, open, schema, server_or_skip};

const CANARY: &str = "canary-store-password-9c2e";

fn fails(url: &str) -> PostgresOpenError {
    RUNTIME.block_on(PostgresStore::open(url)).expect_err("it can't be opened")
}

/// Everything that an error says, with all its causes.
fn all_of(error: &PostgresOpenError) -> String {
    let mut text = format!("{error}\n{error:?}\n");
    let mut source = error.source();
    while let Some(cause) = source {
        writeln!(text, "{cause}\n{cause:?}").unwrap();
        source = cause.source();
    }
    text
}

/// The URL with other credentials.
fn with(url: &str, user: &str, password: &str) -> String {
    let (_, place) = url.split_once('@').expect("a user");
    format!("postgres://{user}:{password}@{place}")
}

#[test]
fn s47_a_url_that_is_none_is_named_without_its_password() {
    for (url, expected) in [
        (format!("mysql://krate:{CANARY}@localhost/krate"), "mysql: isn't postgres:"),
        (format!("krate:{CANARY}"), "krate: isn't postgres:"),
        (CANARY.to_owned(), "relative URL without a base"),
        (format!("postgres://krate:{CANARY}@localhost:port/krate"), "invalid port number"),
        (format!("postgres://krate:{CANARY}@localhost/krate?sslmode={CANARY}"), "sslmode"),
        (format!("postgres://krate@localhost/krate?pasword={CANARY}"), "parameter \"pasword\" isn't one of"),
        (format!("postgres://krate:{CANARY}%ff@localhost/krate"), "percent-encoding"),
    ] {
        let error = fails(&url);
        assert!(matches!(error, PostgresOpenError::Url { .. }), "{error:?}");
        let text = all_of(&error);
        assert!(text.contains(expected) && text.contains("postgres://USER@HOST:PORT/DATABASE"), "{text}");
        assert!(!text.contains(CANARY), "{text}");
    }
}

#[test]
fn a_server_that_does_not_answer_is_named() {
    let port = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap().port();
    let error = fails(&format!("postgres://krate:{CANARY}@127.0.0.1:{port}/forge"));
    assert!(matches!(error, PostgresOpenError::Unreachable { .. }), "{error:?}");
    let expected =
        format!("postgres://krate@127.0.0.1:{port}/forge: no answer; check host and port, and that the server runs");
    assert_eq!(error.to_string(), expected);
    assert!(!all_of(&error).contains(CANARY));
}

#[test]
fn a_wrong_password_user_or_database_is_named_and_the_password_is_not() {
    let server = server_or_skip!();
    for (url, is_login) in [
        (with(&server, "krate", CANARY), true),
        (with(&server, "nobody", CANARY), true),
        (server.replace("/postgres", "/nowhere"), false),
    ] {
        let error = fails(&url);
        let text = all_of(&error);
        match &error {
            PostgresOpenError::Login { .. } => assert!(is_login && text.contains("check the user's name"), "{text}"),
            PostgresOpenError::NoDatabase { .. } => {
                assert!(!is_login && text.contains("createdb nowhere"), "{text}");
            }
            other => panic!("{other:?}"),
        }
        let password = server.split([':', '@']).nth(2).unwrap();
        assert!(!text.contains(CANARY) && !text.contains(password), "{text}");
    }
}

#[test]
fn a_schema_that_is_missing_or_closed_to_the_user_is_named() {
    let server = server_or_skip!();
    let error = fails(&format!("{server}?options=-csearch_path%3Dnowhere"));
    assert!(matches!(error, PostgresOpenError::NoSchema { .. }), "{error:?}");

    let url = schema(&server);
    let role = format!("guest_{}", std::process::id());
    execute(&url, &format!("DROP ROLE IF EXISTS {role}; CREATE ROLE {role} LOGIN PASSWORD '{CANARY}'"));
    let guest = with(&url, &role, CANARY);
    let error = fails(&guest);
    assert!(matches!(error, PostgresOpenError::NotPermitted { .. } | PostgresOpenError::NoSchema { .. }), "{error:?}");
    // The tables are there, and the guest may look at the schema only.
    drop(open(&url));
    execute(&url, &format!("GRANT USAGE ON SCHEMA {} TO {role}", url.rsplit_once("%3D").unwrap().1));
    let error = fails(&guest);
    assert!(matches!(error, PostgresOpenError::NotPermitted { .. }), "{error:?}");
    assert!(all_of(&error).contains("permission denied") && !all_of(&error).contains(CANARY), "{error:?}");
    execute(&url, &format!("DROP OWNED BY {role}; DROP ROLE {role}"));
}

#[test]
fn tables_of_a_newer_version_and_of_somebody_else_are_left_alone() {
    let url = schema(&server_or_skip!());
    drop(open(&url));
    execute(&url, "UPDATE krate_format SET format = 99");
    let error = fails(&url);
    assert!(matches!(error, PostgresOpenError::NewerFormat { found: 99, supported: 1, .. }), "{error:?}");
    assert!(error.to_string().ends_with("has format 99, this version reads formats up to 1; run the newer version"));
    assert_eq!(number(&url, "SELECT format FROM krate_format"), 99);

    execute(&url, "DROP TABLE krate_format; CREATE TABLE krate_format (colour text)");
    assert!(matches!(fails(&url), PostgresOpenError::Damaged { .. }));
    execute(&url, "DROP TABLE krate_format");
    // krate's tables without their format: nothing is made over them.
    let error = fails(&url);
    assert!(matches!(error, PostgresOpenError::Damaged { .. }), "{error:?}");
}

#[test]
fn processes_that_start_together_make_the_tables_once() {
    let url = schema(&server_or_skip!());
    let stores: Vec<PostgresStore> = std::thread::scope(|scope| {
        let opening: Vec<_> = (0..6).map(|_| scope.spawn(|| open(&url))).collect();
        opening.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    for (number, store) in (1..).zip(&stores) {
        let key = Key::new(Kind::Issue, "ns", format!("{number}"));
        let made = block_on(store.commit(ChangeSet::new().put(key, Expect::Absent, *b"x", []))).unwrap();
        assert_eq!(made.0, number);
    }
}

#[test]
fn s47_a_store_and_its_errors_show_no_password() {
    let Some(server) = OwnServer::start("s47_a_store_and_its_errors_show_no_password") else { return };
    let password = server.url.split([':', '@']).nth(2).unwrap().to_owned();
    let store = open(&server.url);
    server.crash();
    let key = Key::new(Kind::Issue, "ns", "a");
    let read = block_on(store.get(&key)).unwrap_err();
    let written = block_on(store.commit(ChangeSet::new().put(key, Expect::Any, *b"x", []))).unwrap_err();
    let text = format!("{store:?} {} {read} {read:?} {written} {written:?}", store.name());
    assert!(text.contains("postgres://krate@127.0.0.1:") && text.contains("unavailable"), "{text}");
    assert!(!text.contains(&password), "{text}");
}
