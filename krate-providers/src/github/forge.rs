//! Repositories, labels and milestones.

use krate_model::kinds::sets::{Interface, Visibility};
use krate_model::kinds::work::IssueState;
use krate_model::observation::{
    CanonicalEvent, LabelObserved, MilestoneObserved, Normalized, RepositoryIdentity, RepositoryObserved, Text,
};

use super::event::{Identity, event, kind};
use super::native::{Id, Str, User, When, is_dropped, native, set, text, version, when};
use super::object::from_object;

from_object!(Label Milestone);

native! {
    /// A repository, whole.
    Repository {
        required {
            id: Id<'a> = "id",
            name: Str<'a> = "name",
            owner: User<'a> = "owner",
        }
        optional {
            node_id: Str<'a> = "node_id",
            html_url: Str<'a> = "html_url",
            url: Str<'a> = "url",
            visibility: Str<'a> = "visibility",
            private: bool = "private",
            default_branch: Str<'a> = "default_branch",
            description: Str<'a> = "description",
            topics: Vec<Str<'a>> = "topics",
            archived: bool = "archived",
            clone_url: Str<'a> = "clone_url",
            ssh_url: Str<'a> = "ssh_url",
            size: i64 = "size",
            fork: bool = "fork",
            created_at: When = "created_at",
            updated_at: When = "updated_at",
        }
    }
}

impl<'a> Repository<'a> {
    /// The repository; with the owner and the name that it had before, where either has just changed.
    pub(super) fn event(self, former_owner: Option<Text<'a>>, former_name: Option<Text<'a>>) -> CanonicalEvent<'a> {
        let updated_at = when(self.updated_at);
        let visibility = match (self.visibility, self.private) {
            (Some(visibility), _) => Some(Visibility::from_text(&visibility.0)),
            (None, Some(true)) => Some(Visibility::Private),
            (None, Some(false)) => Some(Visibility::Public),
            (None, None) => None,
        };
        let observed = RepositoryObserved {
            owner: self.owner.into_login(),
            name: Some(self.name.0),
            former_owner,
            former_name,
            url: text(self.html_url),
            api_url: text(self.url),
            visibility,
            default_branch: text(self.default_branch),
            description: text(self.description),
            topics: self.topics.unwrap_or_default().into_iter().map(|topic| topic.0).collect(),
            archived: self.archived,
            clone_https: text(self.clone_url),
            clone_ssh: text(self.ssh_url),
            // GitHub counts kibibytes.
            size_bytes: self.size.and_then(|kibibytes| kibibytes.checked_mul(1024)),
            fork: self.fork,
            created_at: when(self.created_at),
            updated_at,
            fields: self.rest,
        };
        let identity =
            Identity { kind: kind::REPOSITORY, id: self.id.0, node_id: self.node_id, version: version(updated_at) };
        event(Interface::GitForge, identity, Normalized::Repository(observed))
    }
}

/// A label.
#[derive(Debug, serde::Deserialize)]
#[serde(remote = "Self")]
pub(super) struct Label<'a> {
    /// Payloads of old servers leave it out; the name and the repository then say which label it is.
    #[serde(borrow)]
    id: Option<Id<'a>>,
    #[serde(borrow)]
    node_id: Option<Str<'a>>,
    #[serde(borrow)]
    name: Str<'a>,
    #[serde(borrow)]
    color: Option<Str<'a>>,
    #[serde(borrow)]
    description: Option<Str<'a>>,
}

impl<'a> Label<'a> {
    /// The label; with its name before, where that has just changed. Labels have no version at GitHub (S17).
    pub(super) fn event(
        self,
        repository: Option<RepositoryIdentity<'a>>,
        former_name: Option<Text<'a>>,
    ) -> CanonicalEvent<'a> {
        let observed = LabelObserved {
            repository,
            name: Some(self.name.0),
            former_name,
            color: text(self.color),
            description: text(self.description),
        };
        let id = self.id.map_or(Text::Borrowed(""), |id| id.0);
        let identity = Identity { kind: kind::LABEL, id, node_id: self.node_id, version: version(None) };
        event(Interface::IssueTracking, identity, Normalized::Label(observed))
    }
}

/// A milestone.
#[derive(Debug, serde::Deserialize)]
#[serde(remote = "Self")]
pub(super) struct Milestone<'a> {
    #[serde(borrow)]
    id: Id<'a>,
    #[serde(borrow)]
    node_id: Option<Str<'a>>,
    number: i64,
    #[serde(borrow)]
    title: Str<'a>,
    #[serde(borrow)]
    description: Option<Str<'a>>,
    #[serde(borrow)]
    state: Option<Str<'a>>,
    due_on: Option<When>,
    created_at: Option<When>,
    updated_at: Option<When>,
}

impl<'a> Milestone<'a> {
    pub(super) fn event(self, repository: RepositoryIdentity<'a>) -> CanonicalEvent<'a> {
        let updated_at = when(self.updated_at);
        let observed = MilestoneObserved {
            repository: Some(repository),
            number: Some(self.number),
            title: Some(self.title.0),
            description: text(self.description),
            state: self.state.map(|state| IssueState::from_text(&state.0)),
            due_on: when(self.due_on),
            created_at: when(self.created_at),
            updated_at,
        };
        let identity =
            Identity { kind: kind::MILESTONE, id: self.id.0, node_id: self.node_id, version: version(updated_at) };
        event(Interface::IssueTracking, identity, Normalized::Milestone(observed))
    }
}
