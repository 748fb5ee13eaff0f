//! The configured objects, put into the store at start: made where they are missing, changed where they differ, left alone otherwise.

use std::collections::BTreeMap;

use krate_model::kinds::enforcement::{PolicyBinding, PolicyProfile, PolicyTemplate};
use krate_model::kinds::external::{ExternalBackendBinding, ExternalBackendProvider, ExternalBackendSyncPolicy};
use krate_model::kinds::forge::Repository;
use krate_model::kinds::grants::{AgentRoleBinding, AgentRoleBindingPhase};
use krate_model::kinds::identity::Organization;
use krate_model::kinds::members::{
    IdentityMapping, IdentityMappingPhase, RepositoryPermission, RepositoryPermissionPhase, Team, User,
};
use krate_model::store::{Key, Query, Store};
use krate_model::validate::{Failure, Request, Rule, View, Writer, validate};
use krate_model::{Kind, Resource};
use krate_sync::records::{self, Changes, Loaded, RecordError, bump_generation};
use serde_json::Value;

use super::ports::now;
use crate::commands::validate::built_in_manifests;
use crate::error::Error;
use crate::input::Document;

/// How often an object is tried again that somebody else wrote meanwhile: another process that starts at the same time.
const MAX_RACES: usize = 16;

/// The kinds that a configuration may hold.
const CONFIGURED: [Kind; 13] = [
    Kind::Organization,
    Kind::User,
    Kind::Team,
    Kind::IdentityMapping,
    Kind::Repository,
    Kind::RepositoryPermission,
    Kind::AgentRoleBinding,
    Kind::PolicyProfile,
    Kind::PolicyTemplate,
    Kind::PolicyBinding,
    Kind::ExternalBackendProvider,
    Kind::ExternalBackendBinding,
    Kind::ExternalBackendSyncPolicy,
];

/// How many objects were written, of how many.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Applied {
    pub(crate) written: usize,
    pub(crate) unchanged: usize,
}

/// Checks all, then writes what differs.
pub(crate) async fn apply(store: &dyn Store, documents: &[Document]) -> Result<Applied, Error> {
    let mut view = View::complete(built_in_manifests());
    // What an earlier configuration, or another process, has put there is still there: a second binding of the same scope is refused beside it, too (R12).
    for kind in CONFIGURED {
        for stored in records::list_stored(store, Query::new(kind)).await.map_err(Error::new)? {
            // What can't be read is nothing to be judged beside; whoever needs it says so.
            serde_json::from_slice(&stored.body).into_iter().for_each(|object| view.insert(object));
        }
    }
    documents.iter().for_each(|document| view.insert(document.value.clone()));
    let suspended: Option<Rule> = "R3".parse().ok();
    let mut kinds = Vec::with_capacity(documents.len());
    for document in documents {
        let kind = kind_of(document)?;
        // What stays as it is isn't written: whoever suspends an organization leaves what is its own where it is (R3).
        let stays = matches!(put_one(store, kind, document, How::Look).await, Ok(false));
        check(store, kind, document, &view, |failure| !(stays && Some(failure.rule) == suspended)).await?;
        kinds.push(kind);
    }
    let mut applied = Applied::default();
    for (kind, document) in kinds.into_iter().zip(documents) {
        if put_one(store, kind, document, How::Write).await? {
            applied.written += 1;
        } else {
            applied.unchanged += 1;
        }
    }
    for document in documents {
        vouch(store, document).await.map_err(Error::new)?;
    }
    Ok(applied)
}

/// Whether an object is written, or only looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum How {
    Look,
    Write,
}

/// Puts a document into the store; whether that changes anything.
async fn put_one(store: &dyn Store, kind: Kind, document: &Document, how: How) -> Result<bool, Error> {
    match kind {
        Kind::Organization => put::<Organization>(store, document, how).await,
        Kind::User => put::<User>(store, document, how).await,
        Kind::Team => put::<Team>(store, document, how).await,
        Kind::IdentityMapping => put::<IdentityMapping>(store, document, how).await,
        Kind::RepositoryPermission => put::<RepositoryPermission>(store, document, how).await,
        Kind::AgentRoleBinding => put::<AgentRoleBinding>(store, document, how).await,
        Kind::PolicyProfile => put::<PolicyProfile>(store, document, how).await,
        Kind::PolicyTemplate => put::<PolicyTemplate>(store, document, how).await,
        Kind::PolicyBinding => put::<PolicyBinding>(store, document, how).await,
        Kind::Repository => put::<Repository>(store, document, how).await,
        Kind::ExternalBackendProvider => put::<ExternalBackendProvider>(store, document, how).await,
        Kind::ExternalBackendBinding => put::<ExternalBackendBinding>(store, document, how).await,
        _ => put::<ExternalBackendSyncPolicy>(store, document, how).await,
    }
}

/// Whoever writes the configuration administers this installation, and there is no other controller of these kinds here: what stands in it is so. A permission,
/// a team's grant and a role hold for the one that stands under the name now (P20).
async fn vouch(store: &dyn Store, document: &Document) -> Result<(), RecordError> {
    let text = |pointer: &str| document.value.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
    let (namespace, name) = (text("/metadata/namespace"), text("/metadata/name"));
    match text("/kind").parse::<Kind>() {
        Ok(Kind::IdentityMapping) => {
            let verified = |it: &mut IdentityMapping| it.status_mut().phase = IdentityMappingPhase::Verified;
            set::<IdentityMapping>(store, namespace, name, verified).await
        }
        Ok(Kind::RepositoryPermission) => {
            let uid = uid_of::<Repository>(store, namespace, text("/spec/repository")).await?;
            let applied = move |it: &mut RepositoryPermission| {
                let revoked = it.spec.revoked;
                let status = it.status_mut();
                status.phase =
                    if revoked { RepositoryPermissionPhase::Revoked } else { RepositoryPermissionPhase::Applied };
                status.repository_uid.clone_from(&uid);
            };
            set::<RepositoryPermission>(store, namespace, name, applied).await
        }
        Ok(Kind::Team) => {
            let grants = document.value.pointer("/spec/repositoryGrants").and_then(Value::as_array);
            let mut uids = BTreeMap::new();
            for name in grants.into_iter().flatten().filter_map(|grant| grant.get("repository")?.as_str()) {
                if let Some(uid) = uid_of::<Repository>(store, namespace, name).await? {
                    uids.insert(name.to_owned(), uid);
                }
            }
            let bound = move |it: &mut Team| it.status_mut().repository_uids.clone_from(&uids);
            set::<Team>(store, namespace, name, bound).await
        }
        Ok(Kind::AgentRoleBinding) => {
            let subject = text("/spec/subject/name");
            let uid = match text("/spec/subject/kind") {
                "user" => uid_of::<User>(store, namespace, subject).await?,
                "team" => uid_of::<Team>(store, namespace, subject).await?,
                _ => None,
            };
            let repository = match text("/spec/scope/kind") {
                "repository" => uid_of::<Repository>(store, namespace, text("/spec/scope/name")).await?,
                _ => None,
            };
            let synced = move |it: &mut AgentRoleBinding| {
                let status = it.status_mut();
                // One of a subject that isn't there gives nobody anything.
                status.phase =
                    if uid.is_some() { AgentRoleBindingPhase::Synced } else { AgentRoleBindingPhase::Pending };
                status.subject_uid.clone_from(&uid);
                status.repository_uid.clone_from(&repository);
            };
            set::<AgentRoleBinding>(store, namespace, name, synced).await
        }
        _ => Ok(()),
    }
}

async fn uid_of<T: Resource>(store: &dyn Store, namespace: &str, name: &str) -> Result<Option<String>, RecordError> {
    let found = records::get::<T>(store, namespace, name).await?;
    Ok(found.and_then(|found| found.object.metadata().uid.clone()))
}

/// Changes an object where the change makes a difference.
async fn set<T: Resource>(
    store: &dyn Store,
    namespace: &str,
    name: &str,
    change: impl Fn(&mut T) + Send,
) -> Result<(), RecordError> {
    let mut races = 0;
    loop {
        let Some(mut found) = records::get::<T>(store, namespace, name).await? else { return Ok(()) };
        let before = found.object.clone();
        change(&mut found.object);
        if found.object == before {
            return Ok(());
        }
        found.change();
        let mut changes = Changes::at(now());
        changes.put(&found)?;
        match changes.commit(store).await {
            Err(error) if error.is_conflict() && races < MAX_RACES => races += 1,
            written => return written.map(|_| ()),
        }
    }
}

fn kind_of(document: &Document) -> Result<Kind, Error> {
    let name = document.value.get("kind").and_then(Value::as_str).unwrap_or_default();
    let known = Kind::lookup(name).filter(|kind| CONFIGURED.contains(kind));
    known.ok_or_else(|| {
        let accepted = CONFIGURED.map(Kind::as_str).join(", ");
        Error::new(format!("{}: kind: {name:?} can't be configured", document.file))
            .hint(format!("accepted: {accepted}"))
    })
}

async fn check(
    store: &dyn Store,
    kind: Kind,
    document: &Document,
    view: &View,
    counts: impl Fn(&Failure) -> bool,
) -> Result<(), Error> {
    let text = |name| {
        let metadata = document.value.get("metadata").and_then(|metadata| metadata.get(name));
        metadata.and_then(Value::as_str).unwrap_or_default()
    };
    let old = store.get(&Key::new(kind, text("namespace"), text("name"))).await.map_err(Error::new)?;
    let old: Option<Value> = old.and_then(|old| serde_json::from_slice(&old.body).ok());
    let report = validate(&document.value, old.as_ref(), view, &Request::new(Writer::Person, now()));
    let failures = report.failures.iter().filter(|failure| counts(failure));
    let failures: Vec<String> = failures.map(|failure| format!("\n  {failure}")).collect();
    if failures.is_empty() {
        return Ok(());
    }
    Err(Error::new(format!("{}: {kind} {}: {}", document.file, text("name"), failures.concat()))
        .hint(format!("see `krate explain {kind}`")))
}

async fn put<T: Resource>(store: &dyn Store, document: &Document, how: How) -> Result<bool, Error> {
    let wanted: T = serde_path_to_error::deserialize(&document.value)
        .map_err(|error| Error::new(format!("{}: {}: {}", document.file, error.path(), error.inner())))?;
    let mut races = 0;
    loop {
        match put_once(store, &wanted, how).await {
            Err(error) if error.is_conflict() && races < MAX_RACES => races += 1,
            written => return written.map_err(Error::new),
        }
    }
}

async fn put_once<T: Resource>(store: &dyn Store, wanted: &T, how: How) -> Result<bool, RecordError> {
    let mut loaded = match records::get::<T>(store, wanted.namespace(), wanted.name()).await? {
        Some(found) if found.object.spec() == wanted.spec() && has_labels(&found.object, wanted) => return Ok(false),
        Some(mut found) => {
            *found.change().spec_mut() = wanted.spec().clone();
            bump_generation(&mut found.object);
            found
        }
        None => Loaded::new(T::at(wanted.namespace(), wanted.name(), wanted.spec().clone())),
    };
    if how == How::Look {
        return Ok(true);
    }
    loaded.change().metadata_mut().labels.clone_from(&wanted.metadata().labels);
    let mut changes = Changes::at(now());
    changes.put(&loaded)?;
    changes.commit(store).await?;
    Ok(true)
}

fn has_labels<T: Resource>(found: &T, wanted: &T) -> bool {
    found.metadata().labels == wanted.metadata().labels
}
