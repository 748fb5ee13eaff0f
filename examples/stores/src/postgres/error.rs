//! What can go wrong with a server, said so that a person knows what to do. No message holds a password.

use std::sync::Arc;

use krate_model::store::StoreError;
use sqlx::error::DatabaseError;

/// A Postgres store that can't be opened. Nothing was changed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PostgresOpenError {
    /// The URL isn't one.
    #[error("the store's URL: {what}; postgres://USER@HOST:PORT/DATABASE is expected")]
    Url {
        /// What is wrong with it.
        what: String,
    },
    /// Nobody answers there.
    #[error("{store}: no answer; check host and port, and that the server runs")]
    Unreachable {
        /// The store, as `postgres://user@host:port/database`.
        store: Arc<str>,
        /// What the system said.
        source: sqlx::Error,
    },
    /// The server runs, but takes nobody in at the moment.
    #[error("{store}: the server takes no connection now ({what}); try again later")]
    Busy {
        /// The store.
        store: Arc<str>,
        /// What the server said.
        what: String,
    },
    /// The server doesn't let this user in.
    #[error(
        "{store}: the server refuses the user ({what}); check the user's name, the password, and the server's pg_hba.conf"
    )]
    Login {
        /// The store.
        store: Arc<str>,
        /// What the server said.
        what: String,
    },
    /// The database isn't there.
    #[error("{store}: the server has no such database; create it first: createdb {database}")]
    NoDatabase {
        /// The store.
        store: Arc<str>,
        /// Its name.
        database: String,
    },
    /// The schema isn't there.
    #[error("{store}: no schema of the search path exists; create it first, or correct search_path")]
    NoSchema {
        /// The store.
        store: Arc<str>,
    },
    /// The user may not do what the store needs.
    #[error(
        "{store}: not permitted ({what}); the user has to own the store's schema, or to have CREATE and USAGE on it"
    )]
    NotPermitted {
        /// The store.
        store: Arc<str>,
        /// What the server said.
        what: String,
    },
    /// No encrypted connection came about.
    #[error("{store}: no encrypted connection; check sslmode and sslrootcert, and the server's certificate")]
    Tls {
        /// The store.
        store: Arc<str>,
        /// What failed.
        source: sqlx::Error,
    },
    /// The server only reads.
    #[error("{store}: this server is a standby and only reads; name the primary")]
    ReadOnly {
        /// The store.
        store: Arc<str>,
    },
    /// The server is too old.
    #[error("{store}: the server has version {found}, at least {needed} is needed")]
    OldServer {
        /// The store.
        store: Arc<str>,
        /// Its major version.
        found: i32,
        /// The oldest that will do.
        needed: i32,
    },
    /// Another version of krate wrote the tables.
    #[error(
        "{store}: the store has format {found}, this version reads formats up to {supported}; run the newer version"
    )]
    NewerFormat {
        /// The store.
        store: Arc<str>,
        /// Its format.
        found: i64,
        /// The newest that this version reads.
        supported: i64,
    },
    /// The tables aren't krate's, or don't hold together.
    #[error("{store}: the tables make no sense ({what}); name another database or schema, or restore a backup")]
    Damaged {
        /// The store.
        store: Arc<str>,
        /// What was found.
        what: String,
    },
    /// Anything else.
    #[error("{store}: can't be opened")]
    Other {
        /// The store.
        store: Arc<str>,
        /// Why.
        source: sqlx::Error,
    },
}

impl PostgresOpenError {
    pub(super) fn of(store: &Arc<str>, database: &str, error: sqlx::Error) -> Self {
        let store = Arc::clone(store);
        let Some(told) = error.as_database_error() else {
            return match error {
                sqlx::Error::Tls(_) => Self::Tls { store, source: error },
                sqlx::Error::Io(_) | sqlx::Error::PoolTimedOut => Self::Unreachable { store, source: error },
                source => Self::Other { store, source },
            };
        };
        let what = told.message().to_owned();
        match told.code().as_deref().unwrap_or_default() {
            "28000" | "28P01" => Self::Login { store, what },
            "3D000" => Self::NoDatabase { store, database: database.to_owned() },
            "3F000" => Self::NoSchema { store },
            "42501" => Self::NotPermitted { store, what },
            "25006" => Self::ReadOnly { store },
            "53300" | "57P01" | "57P02" | "57P03" => Self::Busy { store, what },
            // A table or column that a migration made is missing or another.
            "42P01" | "42703" | "42P07" | "42804" => Self::Damaged { store, what },
            _ => Self::Other { store, source: error },
        }
    }
}

/// What a statement can meet.
#[derive(Debug)]
pub(super) enum Fault {
    Sql(sqlx::Error),
    /// What was read makes no sense.
    Damaged(String),
}

impl From<sqlx::Error> for Fault {
    fn from(error: sqlx::Error) -> Self {
        Self::Sql(error)
    }
}

impl Fault {
    /// Whether the connection is gone, and with it whatever was not committed.
    pub(super) fn is_lost(&self) -> bool {
        match self {
            Self::Damaged(_) => false,
            Self::Sql(error) => match error.as_database_error() {
                None => true,
                // Connections, shutdowns, and sessions that the server ended for idling in a transaction.
                Some(told) => told.code().is_some_and(|code| {
                    code.starts_with("08") || ["57P01", "57P02", "57P03", "57P05", "25P03", "25P04"].contains(&&*code)
                }),
            },
        }
    }

    /// Whether no connection came about at all: then another try at once is no better.
    pub(super) fn is_no_connection(&self) -> bool {
        matches!(self, Self::Sql(sqlx::Error::PoolTimedOut | sqlx::Error::PoolClosed))
    }

    /// Whether the statement itself failed, not the server, its room or its load: then other change sets may do.
    pub(super) fn is_of_statement(&self) -> bool {
        match self {
            Self::Damaged(_) => true,
            Self::Sql(error) => error.as_database_error().is_some_and(|told| {
                told.code().is_some_and(|code| ["22", "23", "42", "54"].iter().any(|class| code.starts_with(class)))
            }),
        }
    }

    /// What of it the port has a word for.
    pub(super) fn to_store_error(&self, store: &Arc<str>) -> StoreError {
        let store = Arc::clone(store);
        match self {
            Self::Damaged(what) => StoreError::Damaged { store, what: what.as_str().into() },
            Self::Sql(error) => {
                let source = Arc::new(Told(describe(error)));
                match error.as_database_error().and_then(DatabaseError::code).as_deref() {
                    Some("53100" | "53200") => StoreError::Full { store, source },
                    // Somebody took tables or columns away.
                    Some("42P01" | "42703") => StoreError::Damaged { store, what: source.0.as_str().into() },
                    _ => StoreError::Unavailable { store, source },
                }
            }
        }
    }
}

/// What a server or the way to it said.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(super) struct Told(pub(super) String);

/// The message alone: the details that a server adds may quote what users wrote (S47).
fn describe(error: &sqlx::Error) -> String {
    match error.as_database_error() {
        Some(told) => {
            let code = told.code().map(|code| format!(" ({code})")).unwrap_or_default();
            format!("{}{code}", told.message())
        }
        None => error.to_string(),
    }
}
