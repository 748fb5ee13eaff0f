//! The URL of a store: what it may say, and how it is shown.

use std::str::FromStr;
use std::sync::Arc;

use sqlx::ConnectOptions;
use sqlx::postgres::PgConnectOptions;
use url::Url;

use super::error::PostgresOpenError;

/// The parameters that a URL may have.
const PARAMETERS: [&str; 12] = [
    "application_name",
    "dbname",
    "host",
    "hostaddr",
    "options",
    "password",
    "port",
    "sslcert",
    "sslkey",
    "sslmode",
    "sslrootcert",
    "user",
];

/// How every session plans: each statement is a look by key or in the order of an index, and stays one whatever the server has last counted in the tables.
const PLANNING: [(&str, &str); 5] = [
    ("enable_seqscan", "off"),
    ("enable_hashjoin", "off"),
    ("enable_mergejoin", "off"),
    ("enable_bitmapscan", "off"),
    ("jit", "off"),
];

pub(super) struct Address {
    pub(super) connect: PgConnectOptions,
    /// Without password.
    pub(super) name: Arc<str>,
    pub(super) database: String,
}

pub(super) fn parse(text: &str) -> Result<Address, PostgresOpenError> {
    let wrong = |what: String| PostgresOpenError::Url { what };
    // What a parser says about the rest may quote it, and that may be the password.
    let url = Url::parse(text).map_err(|error| wrong(error.to_string()))?;
    if !["postgres", "postgresql"].contains(&url.scheme()) {
        return Err(wrong(format!("{}: isn't postgres:", url.scheme())));
    }
    for (name, _) in url.query_pairs() {
        if !PARAMETERS.contains(&&*name) && !name.starts_with("options[") {
            return Err(wrong(format!("parameter {name:?} isn't one of {}", PARAMETERS.join(", "))));
        }
    }
    let connect = PgConnectOptions::from_str(text)
        .map_err(|_| wrong("a part of it isn't as expected (percent-encoding, sslmode, port, or hostaddr)".into()))?;
    let connect = match connect.get_application_name() {
        Some(_) => connect,
        None => connect.application_name("krate"),
    };
    let connect = connect.options(PLANNING).disable_statement_logging();
    let host = match connect.get_socket() {
        Some(socket) => socket.display().to_string(),
        None => connect.get_host().to_owned(),
    };
    let database = connect.get_database().unwrap_or(connect.get_username()).to_owned();
    let name = format!("postgres://{}@{host}:{}/{database}", connect.get_username(), connect.get_port());
    Ok(Address { connect, name: name.into(), database })
}
