//! `krate.yaml`: where to listen, where the store is, what to sync, and where the secrets are. Paths are relative to the file.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde_json::Value;

use super::stores::{self, StoreConfig};
use crate::error::Error;
use crate::input::{self, Document};

/// Where `krate serve` listens when the configuration doesn't say, and where the online commands look.
pub(crate) const DEFAULT_LISTEN: &str = "127.0.0.1:8480";

/// The configuration.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Config {
    /// Address of the webhook endpoint and the API.
    #[serde(default = "default_listen")]
    pub(crate) listen: SocketAddr,
    pub(crate) store: StoreConfig,
    /// Threads that work.
    #[serde(default = "default_workers")]
    pub(crate) workers: u16,
    #[serde(default)]
    pub(crate) limits: Limits,
    #[serde(default)]
    pub(crate) api: ApiConfig,
    /// Objects to keep in the store, as they stand here.
    #[serde(default)]
    objects: Vec<Value>,
    /// Files with more of them.
    #[serde(default)]
    resources: Vec<PathBuf>,
    /// Where each key of each secret is.
    #[serde(default)]
    pub(crate) secrets: BTreeMap<String, BTreeMap<String, Source>>,
}

/// What the endpoint bears.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(crate) struct Limits {
    /// Longest body of a request; a provider's own limit holds too.
    pub(crate) max_body_bytes: usize,
    /// Requests at a time; one more is asked to come again.
    pub(crate) max_concurrent: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { max_body_bytes: 26_214_400, max_concurrent: 256 }
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(crate) struct ApiConfig {
    /// The token that the API asks for.
    pub(crate) token_ref: Option<TokenRef>,
    /// Persons with a token of their own: each may do what their roles allow, and nobody else anything.
    pub(crate) users: Vec<ApiUser>,
}

/// A person of the API.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct ApiUser {
    /// Name of the User.
    pub(crate) name: String,
    /// The namespace of their organization.
    pub(crate) namespace: String,
    /// Their token.
    pub(crate) token_ref: TokenRef,
}

/// One key of a secret.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct TokenRef {
    pub(crate) name: String,
    pub(crate) key: String,
}

/// Where a secret is. It is read anew each time it is used, so that it can be rotated.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) enum Source {
    /// In an environment variable.
    Env(String),
    /// In a file; the end of its last line doesn't count.
    File(PathBuf),
}

fn default_listen() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 8480))
}

fn default_workers() -> u16 {
    4
}

impl Config {
    /// Reads and checks the file, and the files that it names.
    pub(crate) fn load(path: &Path) -> Result<(Self, Vec<Document>), Error> {
        let file = input::name(path);
        let mut documents = input::documents(path)?;
        if documents.len() != 1 {
            return Err(Error::new(format!("{file}: holds {} documents, one is expected", documents.len())));
        }
        let document = documents.remove(0).value;
        let mut config: Self = serde_path_to_error::deserialize(document).map_err(|error| problem(&file, &error))?;
        config.check(&file)?;
        let folder = path.parent().unwrap_or(Path::new(""));
        config.settle_paths(folder);
        let mut objects: Vec<Document> = std::mem::take(&mut config.objects)
            .into_iter()
            .enumerate()
            .map(|(at, value)| Document { file: format!("{file}: objects[{at}]"), number: at + 1, value })
            .collect();
        for resource in &config.resources {
            objects.extend(input::documents(resource)?);
        }
        Ok((config, objects))
    }

    fn settle_paths(&mut self, folder: &Path) {
        for resource in &mut self.resources {
            *resource = folder.join(&resource);
        }
        for source in self.secrets.values_mut().flat_map(BTreeMap::values_mut) {
            if let Source::File(file) = source {
                *file = folder.join(&file);
            }
        }
    }

    fn check(&self, file: &str) -> Result<(), Error> {
        self.store.check(file)?;
        let at_least = |path: &str, value: usize, least: usize| {
            if value < least {
                return Err(Error::new(format!("{file}: {path}: {value} is too little, at least {least} is needed")));
            }
            Ok(())
        };
        at_least("workers", self.workers.into(), 1)?;
        at_least("limits.maxBodyBytes", self.limits.max_body_bytes, 1024)?;
        at_least("limits.maxConcurrent", self.limits.max_concurrent, 1)?;
        if self.api.token_ref.is_some() && !self.api.users.is_empty() {
            return Err(Error::new(format!("{file}: api.tokenRef: stands beside api.users")).hint(
                "one token lets in whoever has it; api.users gives each person their own, with roles: keep one of them",
            ));
        }
        if !self.listen.ip().is_loopback() && self.api.token_ref.is_none() && self.api.users.is_empty() {
            return Err(Error::new(format!(
                "{file}: api.tokenRef: is missing, and {} is no loopback address",
                self.listen
            ))
            .hint("set api.tokenRef to a key of a secret, name persons in api.users, or listen on 127.0.0.1"));
        }
        Ok(())
    }
}

fn problem(file: &str, error: &serde_path_to_error::Error<serde_json::Error>) -> Error {
    let path = error.path().to_string();
    if path.starts_with("secrets") {
        // The reader's message would quote the value, and it may be a secret that stands in the wrong place.
        return Error::new(format!("{file}: {path}: {{env: VARIABLE}} or {{file: PATH}} is expected"))
            .hint("secrets never stand in the configuration, only where they are");
    }
    let message = error.inner().to_string();
    if path.starts_with("store") && !["unknown field", "missing field"].iter().any(|known| message.starts_with(known)) {
        // A URL may hold a password.
        return Error::new(format!("{file}: {path}: isn't as expected")).hint(stores::HINT);
    }
    Error::new(format!("{file}: {path}: {message}"))
        .hint("the keys are listen, store, workers, limits, api, objects, resources and secrets")
}
