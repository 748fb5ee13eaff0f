//! The URL of a store: what it may say, and how it is shown.

use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use sqlx::ConnectOptions;
use sqlx::postgres::PgConnectOptions;
use url::Url;

use super::PostgresOptions;
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
    /// What the URL says of the store itself: it is not for the server.
    pub(super) options: PostgresOptions,
    /// Without password.
    pub(super) name: Arc<str>,
    pub(super) database: String,
}

/// Parameters of the store itself, beside those of Postgres.
const OWN: [&str; 2] = ["connect_timeout", "connections"];
/// The most that either may be: connections, or seconds.
const MOST: u32 = 1000;

pub(super) fn parse(text: &str, options: PostgresOptions) -> Result<Address, PostgresOpenError> {
    let wrong = |what: String| PostgresOpenError::Url { what };
    // What a parser says about the rest may quote it, and that may be the password.
    let url = Url::parse(text).map_err(|error| wrong(error.to_string()))?;
    if !["postgres", "postgresql"].contains(&url.scheme()) {
        return Err(wrong(format!("{}: isn't postgres:", url.scheme())));
    }
    let mut options = options;
    for (name, value) in url.query_pairs() {
        if OWN.contains(&&*name) {
            let number = value.parse().ok().filter(|number| (1..=MOST).contains(number));
            let number = number.ok_or_else(|| wrong(format!("parameter {name} isn't a number from 1 to {MOST}")))?;
            match &*name {
                "connections" => options.connections = number,
                _ => options.connect_timeout = Duration::from_secs(number.into()),
            }
        } else if !PARAMETERS.contains(&&*name) && !name.starts_with("options[") {
            let accepted = [&PARAMETERS[..], &OWN[..]].concat().join(", ");
            return Err(wrong(format!("parameter {name:?} isn't one of {accepted}")));
        }
    }
    // Each parameter as it was written, so that nothing is encoded anew.
    let (address, query) = text.split_once('?').unwrap_or((text, ""));
    let is_own = |pair: &&str| OWN.contains(&pair.split('=').next().unwrap_or_default());
    let query: Vec<&str> = query.split('&').filter(|pair| !is_own(pair) && !pair.is_empty()).collect();
    let text = if query.is_empty() { address.to_owned() } else { format!("{address}?{}", query.join("&")) };
    let connect = PgConnectOptions::from_str(&text)
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
    Ok(Address { connect, options, name: name.into(), database })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_says_how_many_connections_and_how_long_they_may_take() {
        let read =
            |query: &str| parse(&format!("postgres://krate@db.example.com/krate{query}"), PostgresOptions::default());
        let plain = read("").expect("a URL");
        assert_eq!(plain.options, PostgresOptions::default());
        let full = read("?connections=20&sslmode=verify-full&connect_timeout=9").expect("a URL");
        assert_eq!((full.options.connections, full.options.connect_timeout), (20, Duration::from_secs(9)));
        assert_eq!(full.connect.get_database(), Some("krate"));
        for (query, said) in [
            ("?connections=0", "connections isn't a number from 1 to 1000"),
            ("?connections=many", "connections isn't a number from 1 to 1000"),
            ("?connect_timeout=-1", "connect_timeout isn't a number from 1 to 1000"),
            ("?pool=3", "connections"),
        ] {
            let Err(error) = read(query) else { panic!("{query} is accepted") };
            assert!(error.to_string().contains(said), "{query}: {error}");
        }
    }
}
