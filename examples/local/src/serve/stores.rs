//! The store that the configuration names: a file of this process, or a database that several processes share.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use krate_model::store::Store;
use krate_stores::{Counters, EmbeddedStore, PostgresStore};
use serde::Deserialize;
use url::Url;

use super::config::TokenRef;
use super::ports::ConfiguredSecrets;
use crate::error::Error;

/// Where the store is: one of them.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(crate) struct StoreConfig {
    /// The file of the embedded store.
    path: Option<PathBuf>,
    /// `file:PATH`, or `postgres://…` without a password.
    url: Option<String>,
    /// The secret that holds the whole URL.
    url_ref: Option<TokenRef>,
}

/// What the store's configuration may be.
pub(crate) const HINT: &str =
    "store is {path: FILE}, {url: file:FILE}, {url: postgres://USER@HOST:PORT/DATABASE}, or {urlRef: {name, key}}";

impl StoreConfig {
    /// One place, and no secret in it.
    pub(crate) fn check(&self, file: &str) -> Result<(), Error> {
        let wrong = |what: &str| Err(Error::new(format!("{file}: store{what}")).hint(HINT));
        let named = [self.path.is_some(), self.url.is_some(), self.url_ref.is_some()];
        match named.into_iter().filter(|named| *named).count() {
            0 => return wrong(": names no place"),
            1 => {}
            _ => return wrong(": names more than one place"),
        }
        let Some(Ok(url)) = self.url.as_deref().map(Url::parse) else { return Ok(()) };
        if url.password().is_some() || url.query_pairs().any(|(name, _)| name == "password") {
            return Err(Error::new(format!("{file}: store.url: holds a password"))
                .hint("secrets never stand in the configuration: put the URL into one, and name it by store.urlRef {name, key}"));
        }
        Ok(())
    }

    /// Opens it; a relative path is one of `folder`.
    pub(crate) async fn open(&self, folder: &Path, secrets: &ConfiguredSecrets) -> Result<Opened, Error> {
        if let Some(path) = &self.path {
            return open_file(&folder.join(path), "store.path");
        }
        let (url, field) = match (&self.url, &self.url_ref) {
            (Some(url), _) => (url.clone(), "store.url"),
            (None, Some(reference)) => {
                let value = secrets.store_url(reference).map_err(|error| Error::new(error).hint(HINT))?;
                (String::from_utf8(value).map_err(|_| Error::new("store.urlRef: the URL isn't UTF-8"))?, "store.urlRef")
            }
            (None, None) => return Err(Error::new("store: names no place").hint(HINT)),
        };
        if let Some(path) = url.strip_prefix("file:") {
            // `file:PATH` as it is written, and `file:///PATH` as browsers do.
            return open_file(&folder.join(path.strip_prefix("//").unwrap_or(path)), field);
        }
        let store = PostgresStore::open(&url).await;
        let store = Arc::new(store.map_err(|error| failed(&error).hint(format!("{field} names the store; {HINT}")))?);
        tracing::info!(store = store.name(), "the store is a database; other processes may share it");
        let counted = Arc::clone(&store);
        Ok(Opened { store, counters: Box::new(move || counted.counters()), is_shared: true })
    }
}

/// An open store.
pub(crate) struct Opened {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) counters: Box<dyn Fn() -> Counters + Send + Sync>,
    /// Whether other processes may work on it, too.
    pub(crate) is_shared: bool,
}

fn open_file(path: &Path, field: &str) -> Result<Opened, Error> {
    let store = EmbeddedStore::open(path);
    let hint = format!("{field} names the file; one process at a time works on it");
    let store = Arc::new(store.map_err(|error| failed(&error).hint(hint))?);
    let counted = Arc::clone(&store);
    Ok(Opened { store, counters: Box::new(move || counted.counters()), is_shared: false })
}

fn failed(error: &dyn std::error::Error) -> Error {
    let source = error.source().map(|source| format!(": {source}")).unwrap_or_default();
    Error::new(format!("{error}{source}"))
}
