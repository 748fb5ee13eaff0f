//! What is asked: facts only, each with the field names of permission-review.md section 2. Nothing in it is believed but compared.

use core::net::IpAddr;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use krate_model::kinds::enforcement::BudgetScope;
use krate_model::kinds::grants::{ConfigPurpose, GrantSubjectKind, SecretPurpose};
use krate_model::kinds::shared::Time;
use krate_model::{Digest, NotCanonical, canonical_digest};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::paths::EntryKind;

krate_model::closed_set! {
    /// Who acts.
    SubjectKind {
        User = "user", Team = "team", AgentStack = "agent-stack", Subagent = "subagent", Tool = "tool",
        McpServer = "mcp-server", Skill = "skill", Runner = "runner", Controller = "controller",
    }
}

krate_model::closed_set! {
    /// What is done to an object (permission-review.md section 8).
    Verb {
        Get = "get", List = "list", Watch = "watch", Create = "create", Update = "update", Patch = "patch",
        Delete = "delete", Dispatch = "dispatch", Cancel = "cancel", Decide = "decide", Resolve = "resolve",
        Replay = "replay", Use = "use", Query = "query", Propose = "propose", Merge = "merge", Bind = "bind",
        Escalate = "escalate", BreakGlass = "break-glass",
    }
}

/// A subject, by identity.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Subject {
    /// What it is.
    pub kind: SubjectKind,
    /// Its name.
    pub name: Box<str>,
    /// Its uid; another one is another subject (P20).
    pub uid: Box<str>,
}

/// An account at a provider, by its stable id (P64).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct AccountRef {
    /// The provider.
    pub provider: Box<str>,
    /// The stable id.
    pub id: Box<str>,
}

krate_model::closed_set! {
    /// By what right a link of the actor chain acts for the next.
    LinkBy { Rule = "rule", Token = "token", Delegation = "delegation" }
}

/// One link of the actor chain, newest first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Link {
    /// What it is.
    pub kind: SubjectKind,
    /// Its name.
    pub name: Box<str>,
    /// Its uid.
    pub uid: Box<str>,
    /// Its account at a provider.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account: Option<AccountRef>,
    /// By what right it acts for the next link; absent on the last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<LinkBy>,
}

krate_model::closed_set! {
    /// How an account steers (permission-review.md section 7).
    SteeringRole {
        Author = "author", LastEditor = "last-editor", Pusher = "pusher", CommitAuthor = "commit-author",
        Reviewer = "reviewer", BundlePart = "bundle-part",
    }
}

/// Somebody whose act or text is part of a cause.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CauseActor {
    /// In which role.
    pub role: SteeringRole,
    /// Which account; absent where nobody knows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account: Option<AccountRef>,
    /// The provider's word for the account's association with the repository.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub association: Option<Box<str>>,
    /// The provider's level of access, where it has numbers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub permission: Option<u8>,
}

/// What a change comes from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct HeadRef {
    /// The repository, by the provider's id; absent where it is gone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repository_id: Option<Box<str>>,
    /// The commit.
    pub sha: Box<str>,
}

/// What a change is meant for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct BaseRef {
    /// The repository, by the provider's id.
    pub repository_id: Box<str>,
}

/// One event of the cause chain, newest first: facts only (P35).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CauseEvent {
    /// The trigger source.
    pub event: Box<str>,
    /// The system that it came from: a provider, or krate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<Box<str>>,
    /// When.
    pub at: Time,
    /// Whether its signature was verified.
    #[serde(default)]
    pub verified: bool,
    /// Who started it.
    pub gate: CauseActor,
    /// Whose texts steer it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub steering: Vec<CauseActor>,
    /// The rule that took it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rule: Option<Box<str>>,
    /// The object it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub object: Option<Box<str>>,
    /// The run that made it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run: Option<Box<str>>,
    /// Where the change comes from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub head: Option<HeadRef>,
    /// Where it is to go.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base: Option<BaseRef>,
}

/// What is to be done: a verb on a kind, or an operation of an interface.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Action {
    /// The verb.
    pub verb: Verb,
    /// The kind.
    pub kind: Box<str>,
    /// The subresource.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subresource: Option<Box<str>>,
    /// The provider operation that it comes to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub operation: Option<Box<str>>,
    /// The mergeable fields that it changes, such as `spec.title`: each may have a mode of its own. Where none is told, the kind's mode holds.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub fields: Vec<Box<str>>,
}

/// An object, by name and uid.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Target {
    /// Its kind.
    pub kind: Box<str>,
    /// Its name.
    pub name: Box<str>,
    /// Its organization; absent means the request's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub organization: Option<Box<str>>,
    /// Its uid, where it is there already.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uid: Option<Box<str>>,
    /// Its labels, where who asks knows them. A policy about labels holds by these, by those that the snapshot knows, and by `labelsAfter`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub labels: Option<BTreeMap<String, String>>,
    /// Its labels as a write would leave them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub labels_after: Option<BTreeMap<String, String>>,
}

/// A named resource, by uid too.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Named {
    /// Its name.
    pub name: Box<str>,
    /// Its uid.
    pub uid: Box<str>,
    /// Digest of its snapshot: of a stack.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub snapshot_digest: Option<Digest>,
}

/// Who uses a secret or a configuration.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct User {
    /// What it is.
    pub kind: GrantSubjectKind,
    /// Its name.
    pub name: Box<str>,
    /// Its uid.
    pub uid: Box<str>,
    /// The account it runs as.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service_account: Option<Box<str>>,
}

/// One thing that an action requires.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "kebab-case", rename_all_fields = "camelCase", deny_unknown_fields)]
#[non_exhaustive]
pub enum Need {
    /// A key of a Secret.
    Secret {
        /// Who uses it.
        user: User,
        /// The Secret.
        name: Box<str>,
        /// Its namespace, where it is the platform's.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        namespace: Option<Box<str>>,
        /// The key.
        key: Box<str>,
        /// For what.
        purpose: SecretPurpose,
    },
    /// A key of a ConfigMap.
    Config {
        /// Who uses it.
        user: User,
        /// The ConfigMap.
        name: Box<str>,
        /// Its namespace, where it is the platform's.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        namespace: Option<Box<str>>,
        /// The key.
        key: Box<str>,
        /// For what.
        purpose: ConfigPurpose,
    },
    /// A tool, and what it is to run.
    Tool {
        /// Its name.
        name: Box<str>,
        /// The MCP server that has it; absent for the agent's own.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        server: Option<Box<str>>,
        /// The command that it runs, as the words it was parsed into (P18).
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        command: Vec<Box<str>>,
        /// The command as one line, where nobody parsed it; a line that a shell would do more with is denied (P18).
        #[serde(default, skip_serializing_if = "Option::is_none")]
        line: Option<Box<str>>,
    },
    /// An MCP server.
    McpServer {
        /// Its name.
        name: Box<str>,
    },
    /// A skill.
    Skill {
        /// Its name.
        name: Box<str>,
    },
    /// A host of the network.
    Host {
        /// The host, with port where it isn't 443.
        host: Box<str>,
        /// The address that it resolved to, once that is known: it is judged again (P60).
        #[serde(default, skip_serializing_if = "Option::is_none")]
        address: Option<IpAddr>,
    },
    /// A path of the workspace.
    Path {
        /// The path.
        path: Box<str>,
        /// Whether it is written.
        #[serde(default)]
        write: bool,
        /// What the change makes of it.
        #[serde(default = "file", skip_serializing_if = "is_file")]
        entry: EntryKind,
    },
    /// A runner pool.
    Pool {
        /// Its name.
        name: Box<str>,
    },
    /// A path of a memory source.
    Memory {
        /// The source.
        source: Box<str>,
        /// The path.
        path: Box<str>,
    },
    /// A write-back target.
    Target {
        /// The write-back action, such as `issue-comment`.
        action: Box<str>,
    },
}

fn file() -> EntryKind {
    EntryKind::File
}

fn is_file(entry: &EntryKind) -> bool {
    *entry == EntryKind::File
}

/// A question to [`review`](crate::review::review).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Request {
    /// The organization that everything happens in.
    pub organization: Box<str>,
    /// Who acts.
    pub subject: Subject,
    /// The time of the question.
    pub now: Time,
    /// The snapshot to be used is at least this one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub snapshot_version: Option<u64>,
    /// The subject and everyone it acts for, newest first.
    pub actor_chain: Vec<Link>,
    /// What led to the action, newest first.
    pub cause_chain: Vec<CauseEvent>,
    /// What is to be done.
    pub action: Action,
    /// To which object.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub object: Option<Target>,
    /// In which repository.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repository: Option<Named>,
    /// At which full ref.
    #[serde(default, rename = "ref", skip_serializing_if = "Option::is_none")]
    pub git_ref: Option<Box<str>>,
    /// At which path.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<Box<str>>,
    /// In which environment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub environment: Option<Box<str>>,
    /// From which trigger source.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trigger_source: Option<Box<str>>,
    /// Which kind of task.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub task_kind: Option<Box<str>>,
    /// With which stack.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent_stack: Option<Named>,
    /// On which pool.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub runner_pool: Option<Named>,
    /// What it needs; the review collects more (P51).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub needs: Vec<Arc<Need>>,
    /// What is written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub payload_digest: Option<Digest>,
    /// What must still hold.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub preconditions: Map<String, Value>,
    /// As whom at the provider.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credential: Option<Box<str>>,
    /// With which context.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bundle_digest: Option<Digest>,
    /// For which run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run: Option<Box<str>>,
    /// Names of the approvals that are presented.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub approvals: Vec<Box<str>>,
    /// Answers of access reviews.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub native: Vec<NativeAnswer>,
    /// Counters for limits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub usage: Option<Usage>,
}

/// A question to Kubernetes: who, and the attributes of the `SubjectAccessReview` (permission-review.md section 8), in Kubernetes' words.
/// [`native`](crate::native) and [`admission`](crate::admission) say what is asked.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct NativeQuestion {
    /// For whom: the native user name.
    pub user: Box<str>,
    /// The native groups of that user.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub groups: BTreeSet<Box<str>>,
    /// The native verb: `update` for krate's commands.
    pub verb: Box<str>,
    /// The API group; empty for Kubernetes' own core.
    #[serde(default)]
    pub group: Box<str>,
    /// The plural of the kind.
    pub resource: Box<str>,
    /// Its subresource.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subresource: Option<Box<str>>,
    /// The namespace.
    pub namespace: Box<str>,
    /// The object; absent for all of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<Box<str>>,
}

/// An access review's answer, asked outside and handed in (P63). It counts for the very question that it was asked with, and for no other.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct NativeAnswer {
    /// What was asked.
    pub asked: NativeQuestion,
    /// Whether it is allowed.
    pub allowed: bool,
    /// When it was answered.
    pub at: Time,
}

/// What the subject uses at the moment.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Usage {
    /// Runs of the stack that have not ended.
    pub concurrent_runs: u64,
    /// Runs that the rule started in the time that its limit is for.
    pub runs_of_rule: u64,
    /// Spent of the budget, in millionths of a US dollar.
    pub cost_micros: u64,
    /// Spent of the budget, in tokens.
    pub tokens: u64,
    /// Asked for on top of it, for a subagent (P25), in millionths of a US dollar.
    pub asked_cost_micros: u64,
    /// Asked for on top of it, for a subagent (P25), in tokens.
    pub asked_tokens: u64,
    /// Used today, of each budget that the organization's profile has for a day. One that isn't told counts as used up (P11).
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub today: Vec<UsedToday>,
}

/// What was used today within a scope: by the request's rule, by the person that its chain ends at, in its repository, or in its organization. Which day it is
/// where, who counts knows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct UsedToday {
    /// The scope.
    pub scope: BudgetScope,
    /// Millionths of a US dollar.
    #[serde(default)]
    pub cost_micros: u64,
    /// Tokens.
    #[serde(default)]
    pub tokens: u64,
    /// Runs that were started.
    #[serde(default)]
    pub runs: u64,
}

impl Request {
    /// The newest head that a cause is about: what approvals are bound to (P55), and what a gate holds for (P57).
    pub(crate) fn head(&self) -> Option<&HeadRef> {
        self.cause_chain.iter().find_map(|cause| cause.head.as_ref())
    }

    /// The digest that a decision is for: all but `now`, `snapshotVersion`, `native` and `usage` (P55).
    ///
    /// # Errors
    /// [`NotCanonical`] where a precondition holds a number that canonical JSON has no form for.
    pub fn digest(&self) -> Result<Digest, NotCanonical> {
        let mut value = serde_json::to_value(self).unwrap_or_default();
        if let Some(fields) = value.as_object_mut() {
            for field in ["now", "snapshotVersion", "native", "usage"] {
                fields.remove(field);
            }
        }
        canonical_digest(&value)
    }
}
