//! Payloads about refs, repositories, labels, milestones and installations.

use std::borrow::Cow;
use std::collections::BTreeMap;

use krate_model::kinds::sets::{EventAction, Interface};
use krate_model::kinds::shared::Version;
use krate_model::observation::{
    CommitObserved, InstallationObserved, Normalized, RefObserved, RepositoryIdentity, Text,
};
use serde::Deserialize;

use super::super::decode::parse;
use super::super::event::{Because, Identity, action, event, kind};
use super::super::forge::{Label, Milestone, Repository};
use super::super::native::{Before, Id, Repo, Str, User, When, account, text, version, when};
use super::super::object::{from_object, payload};
use super::{Events, happened};
use crate::contract::{DecodeError, Ignored, Normalization};

from_object!(CommitAuthor Commit PushPayload RefPayload FormerOwner OwnerChange NameChange RepositoryChanges RepositoryPayload LabelPayload Installation InstallationPayload);

#[derive(Deserialize)]
#[serde(remote = "Self")]
struct CommitAuthor<'a> {
    #[serde(borrow)]
    name: Option<Str<'a>>,
    #[serde(borrow)]
    username: Option<Str<'a>>,
}

#[derive(Deserialize)]
#[serde(remote = "Self")]
struct Commit<'a> {
    #[serde(borrow)]
    id: Str<'a>,
    #[serde(borrow)]
    message: Option<Str<'a>>,
    timestamp: Option<When>,
    #[serde(borrow)]
    url: Option<Str<'a>>,
    #[serde(borrow)]
    author: Option<CommitAuthor<'a>>,
    #[serde(borrow)]
    added: Option<Vec<Str<'a>>>,
    #[serde(borrow)]
    modified: Option<Vec<Str<'a>>>,
    #[serde(borrow)]
    removed: Option<Vec<Str<'a>>>,
}

#[derive(Deserialize)]
#[serde(remote = "Self")]
struct PushPayload<'a> {
    #[serde(borrow, rename = "ref")]
    name: Str<'a>,
    #[serde(borrow)]
    before: Str<'a>,
    #[serde(borrow)]
    after: Str<'a>,
    created: Option<bool>,
    deleted: Option<bool>,
    forced: Option<bool>,
    #[serde(borrow)]
    commits: Option<Vec<Commit<'a>>>,
    #[serde(borrow)]
    repository: Repo<'a>,
    #[serde(borrow)]
    sender: Option<User<'a>>,
}

/// No commit, as GitHub writes it.
fn is_zero(sha: &str) -> bool {
    sha.bytes().all(|byte| byte == b'0')
}

fn commit_of(sha: Str<'_>) -> Option<Text<'_>> {
    Some(sha.0).filter(|sha| !is_zero(sha))
}

fn paths(paths: Option<Vec<Str<'_>>>) -> Vec<Text<'_>> {
    paths.unwrap_or_default().into_iter().map(|path| path.0).collect()
}

/// First the ref, then its new commits in the order of the push (S12).
pub(super) fn push(body: &[u8]) -> Events<'_> {
    let payload: PushPayload<'_> = parse(body)?;
    let pushed_at = when(payload.repository.pushed_at);
    let repository = payload.repository.identity();
    let actor = account(payload.sender);
    let (before, after) = (commit_of(payload.before), commit_of(payload.after));
    // The commits say the same as the two flags, which may be missing.
    let what = match (payload.created.unwrap_or(before.is_none()), payload.deleted.unwrap_or(after.is_none())) {
        (_, true) => EventAction::Deleted,
        (true, _) => EventAction::Created,
        _ => EventAction::Moved,
    };
    let identity = Identity {
        kind: kind::REF,
        id: payload.name.0.clone(),
        node_id: None,
        version: Version { updated_at: pushed_at, sha: after.as_deref().map(str::to_owned), ..Version::default() },
    };
    let moved = RefObserved {
        repository: Some(repository.clone()),
        name: Some(payload.name.0),
        before,
        after,
        forced: payload.forced,
    };
    let moved = event(Interface::GitForge, identity, Normalized::Ref(moved)).because(what, None, actor.clone());
    let commits = payload.commits.unwrap_or_default().into_iter().map(|commit| {
        let committed_at = when(commit.timestamp);
        let (author_name, author_login) = match commit.author {
            Some(author) => (text(author.name), text(author.username)),
            None => (None, None),
        };
        let identity = Identity {
            kind: kind::COMMIT,
            id: commit.id.0.clone(),
            node_id: None,
            version: Version {
                updated_at: committed_at,
                sha: Some(commit.id.0.clone().into_owned()),
                ..Version::default()
            },
        };
        let observed = CommitObserved {
            repository: Some(repository.clone()),
            sha: Some(commit.id.0),
            message: text(commit.message),
            author_name,
            author_login,
            committed_at,
            url: text(commit.url),
            added: paths(commit.added),
            modified: paths(commit.modified),
            removed: paths(commit.removed),
        };
        event(Interface::GitForge, identity, Normalized::Commit(observed)).because(
            EventAction::Created,
            None,
            actor.clone(),
        )
    });
    Ok(std::iter::once(moved).chain(commits).collect())
}

#[derive(Deserialize)]
#[serde(remote = "Self")]
struct RefPayload<'a> {
    #[serde(borrow, rename = "ref")]
    name: Option<Str<'a>>,
    #[serde(borrow)]
    ref_type: Str<'a>,
    #[serde(borrow)]
    repository: Repo<'a>,
    #[serde(borrow)]
    sender: Option<User<'a>>,
}

/// A branch or tag was made or removed. The push that says the same brings the commits.
pub(super) fn reference<'a>(event_type: &'static str, body: &'a [u8]) -> Result<Normalization<'a>, DecodeError> {
    let payload: RefPayload<'_> = parse(body)?;
    let (Some(name), prefix @ ("branch" | "tag")) = (payload.name, &*payload.ref_type.0) else {
        return Ok(Normalization::Ignored(Ignored::NoLocalMeaning {
            event_type,
            why: "it names no branch and no tag",
        }));
    };
    let folder = if prefix == "tag" { "refs/tags/" } else { "refs/heads/" };
    let name: Text<'_> = if name.0.starts_with("refs/") { name.0 } else { Cow::Owned(format!("{folder}{}", name.0)) };
    let what = if event_type == "delete" { EventAction::Deleted } else { EventAction::Created };
    let identity = Identity { kind: kind::REF, id: name.clone(), node_id: None, version: Version::default() };
    let observed =
        RefObserved { repository: Some(payload.repository.identity()), name: Some(name), ..RefObserved::default() };
    let event = event(Interface::GitForge, identity, Normalized::Ref(observed));
    Ok(Normalization::Events(vec![event.incomplete().because(what, None, account(payload.sender))]))
}

#[derive(Deserialize)]
#[serde(remote = "Self")]
struct FormerOwner<'a> {
    #[serde(borrow)]
    user: Option<User<'a>>,
    #[serde(borrow)]
    organization: Option<User<'a>>,
}

#[derive(Deserialize)]
#[serde(remote = "Self")]
struct OwnerChange<'a> {
    #[serde(borrow)]
    from: Option<FormerOwner<'a>>,
}

#[derive(Deserialize)]
#[serde(remote = "Self")]
struct NameChange<'a> {
    #[serde(borrow)]
    name: Option<Before<'a>>,
}

#[derive(Deserialize)]
#[serde(remote = "Self")]
struct RepositoryChanges<'a> {
    #[serde(borrow)]
    owner: Option<OwnerChange<'a>>,
    #[serde(borrow)]
    repository: Option<NameChange<'a>>,
}

#[derive(Deserialize)]
#[serde(remote = "Self")]
struct RepositoryPayload<'a> {
    #[serde(borrow)]
    action: Option<Str<'a>>,
    #[serde(borrow)]
    repository: Repository<'a>,
    #[serde(borrow)]
    changes: Option<RepositoryChanges<'a>>,
    #[serde(borrow)]
    sender: Option<User<'a>>,
}

/// `repository`, and `public`, which has no action.
pub(super) fn repository<'a>(event_type: &str, body: &'a [u8]) -> Events<'a> {
    let payload: RepositoryPayload<'_> = parse(body)?;
    let what = match &payload.action {
        Some(native) => action(event_type, &native.0),
        None if event_type == "public" => EventAction::Updated,
        None => return Err(DecodeError { path: "$".to_owned(), message: "missing field `action`".to_owned() }),
    };
    let (owner, name) = match payload.changes {
        Some(changes) => (
            changes
                .owner
                .and_then(|change| change.from)
                .and_then(|from| from.user.or(from.organization))
                .and_then(super::super::native::User::into_login),
            changes.repository.and_then(|change| change.name).and_then(|before| text(before.from)),
        ),
        None => (None, None),
    };
    let event = payload.repository.event(owner, name);
    Ok(vec![event.because(what, text(payload.action), account(payload.sender))])
}

#[derive(Deserialize)]
#[serde(remote = "Self")]
struct LabelPayload<'a> {
    #[serde(borrow)]
    action: Str<'a>,
    #[serde(borrow)]
    label: Label<'a>,
    #[serde(borrow)]
    changes: Option<NameChange<'a>>,
    #[serde(borrow)]
    repository: Repo<'a>,
    #[serde(borrow)]
    sender: Option<User<'a>>,
}

pub(super) fn label(body: &[u8]) -> Events<'_> {
    let payload: LabelPayload<'_> = parse(body)?;
    let former = payload.changes.and_then(|changes| changes.name).and_then(|before| text(before.from));
    let event = payload.label.event(Some(payload.repository.identity()), former);
    Ok(happened("label", payload.action, payload.sender, event))
}

payload! { MilestonePayload { milestone: Milestone, } }

pub(super) fn milestone(body: &[u8]) -> Events<'_> {
    let payload: MilestonePayload<'_> = parse(body)?;
    let event = payload.milestone.event(payload.repository.identity());
    Ok(happened("milestone", payload.action, payload.sender, event))
}

#[derive(Deserialize)]
#[serde(remote = "Self")]
struct Installation<'a> {
    #[serde(borrow)]
    id: Id<'a>,
    #[serde(borrow)]
    account: Option<User<'a>>,
    #[serde(borrow)]
    permissions: Option<BTreeMap<&'a str, Str<'a>>>,
    created_at: Option<When>,
    updated_at: Option<When>,
    /// Null says that it is not suspended; missing says nothing.
    #[serde(default, deserialize_with = "present")]
    #[allow(clippy::option_option)]
    suspended_at: Option<Option<When>>,
}

/// A member that is there, also where it is null.
#[allow(clippy::option_option)] // Missing, null and there are three things.
fn present<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<Option<When>>, D::Error> {
    Option::deserialize(deserializer).map(Some)
}

#[derive(Deserialize)]
#[serde(remote = "Self")]
struct InstallationPayload<'a> {
    #[serde(borrow)]
    action: Str<'a>,
    #[serde(borrow)]
    installation: Installation<'a>,
    #[serde(borrow)]
    repositories: Option<Vec<Repo<'a>>>,
    #[serde(borrow)]
    repositories_added: Option<Vec<Repo<'a>>>,
    #[serde(borrow)]
    repositories_removed: Option<Vec<Repo<'a>>>,
    #[serde(borrow)]
    sender: Option<User<'a>>,
}

fn identities(repositories: Option<Vec<Repo<'_>>>) -> Vec<RepositoryIdentity<'_>> {
    repositories.unwrap_or_default().into_iter().map(Repo::identity).collect()
}

/// `installation` and `installation_repositories`: what the app may reach.
pub(super) fn installation<'a>(event_type: &str, body: &'a [u8]) -> Events<'a> {
    let payload: InstallationPayload<'_> = parse(body)?;
    let installation = payload.installation;
    let what = action(event_type, &payload.action.0);
    let updated_at = when(installation.updated_at);
    let all = identities(payload.repositories);
    let (gone, within) = if what == EventAction::Deleted { (all, Vec::new()) } else { (Vec::new(), all) };
    let observed = InstallationObserved {
        account: account(installation.account),
        suspended: installation.suspended_at.map(|at| at.is_some()),
        repositories_added: identities(payload.repositories_added).into_iter().chain(within).collect(),
        repositories_removed: identities(payload.repositories_removed).into_iter().chain(gone).collect(),
        permissions: installation
            .permissions
            .unwrap_or_default()
            .into_iter()
            .map(|(name, level)| Cow::Owned(format!("{name}:{}", level.0)))
            .collect(),
        created_at: when(installation.created_at),
        updated_at,
    };
    let identity =
        Identity { kind: kind::INSTALLATION, id: installation.id.0, node_id: None, version: version(updated_at) };
    let event = event(Interface::GitForge, identity, Normalized::Installation(observed));
    Ok(vec![event.because(what, Some(payload.action.0), account(payload.sender))])
}
