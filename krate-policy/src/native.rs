//! krate's roles in Kubernetes' words: Roles and RoleBindings without wildcards, and the question that a `SubjectAccessReview` asks (permission-review.md
//! section 8; P39, P63). krate never widens what Kubernetes allows: both are asked, and both have to say yes.
//!
//! ```
//! use krate_policy::native::{NativeRole, role};
//! let viewer = role(&NativeRole::Viewer, "krate-org-acme");
//! assert_eq!(viewer["metadata"]["name"], "krate-viewer");
//! assert!(!viewer.to_string().contains("\"*\""));
//! ```

use std::collections::{BTreeMap, BTreeSet};

use krate_model::Kind;
use krate_model::kinds::agents::{AgentServiceAccount, AgentStack, AgentSubagent};
use krate_model::kinds::grants::{AgentRoleBinding, RoleKind, RoleRef, RoleSubjectKind};
use krate_model::kinds::registry::{Context, GROUP, Home};
use serde_json::{Value, json};

use crate::request::{NativeQuestion, Request, SubjectKind, Verb};
use crate::roles::{COMMANDS, Controller, Template};
use crate::snapshot::{Held, Item, Snapshot};

krate_model::closed_set! {
    /// Every role that is written for Kubernetes: those of persons, of agents, of runners and of krate's own programs.
    NativeRole {
        Viewer = "krate-viewer", Contributor = "krate-contributor", Maintainer = "krate-maintainer",
        RepositoryAdmin = "krate-repository-admin", OrgAdmin = "krate-org-admin",
        SecretGrantAdmin = "krate-secret-grant-admin", AgentApprover = "krate-agent-approver",
        MemorySteward = "krate-memory-steward", AgentReadonly = "krate-agent-readonly",
        AgentCiDiagnoser = "krate-agent-ci-diagnoser", AgentRepositoryRepair = "krate-agent-repository-repair",
        AgentWorkspaceManager = "krate-agent-workspace-manager", RunnerUntrusted = "krate-runner-untrusted",
        RunnerTrusted = "krate-runner-trusted", Operator = "krate-operator", Gateway = "krate-gateway",
    }
}

/// Kubernetes' own API of roles.
const RBAC_GROUP: &str = "rbac.authorization.k8s.io";
const RBAC_VERSION: &str = "rbac.authorization.k8s.io/v1";

const READS: [Verb; 3] = [Verb::Get, Verb::List, Verb::Watch];
const WRITES: [Verb; 3] = [Verb::Create, Verb::Update, Verb::Patch];

/// A resource with its verbs, as one rule: API group, resource, verbs.
type Rules = BTreeMap<(&'static str, String), BTreeSet<String>>;

fn allow(rules: &mut Rules, kind: Kind, verb: &Verb) {
    let plural = kind.info().plural;
    let command = COMMANDS.iter().find(|command| command.verb == *verb && command.kind == kind);
    let (resource, verbs) = match command {
        Some(command) => (format!("{plural}/{}", command.subresource), vec![Verb::Update, Verb::Patch]),
        None => (plural.to_owned(), vec![verb.clone()]),
    };
    rules.entry((GROUP, resource)).or_default().extend(verbs.iter().map(|verb| verb.as_str().to_owned()));
}

fn rules_of(role: &NativeRole) -> Rules {
    let mut rules = Rules::new();
    let mut all = |kinds: &dyn Fn(Kind) -> bool, verbs: &[Verb]| {
        for kind in Kind::ALL.iter().filter(|kind| kinds(**kind)) {
            verbs.iter().for_each(|verb| allow(&mut rules, *kind, verb));
        }
    };
    // What a work item, its repository and its runs are; never what was said in a session.
    let work = |kind: Kind| matches!(kind.info().context, Context::Forge | Context::Work | Context::Ci);
    let context =
        |kind: Kind| matches!(kind, Kind::AgentContextBundle | Kind::AgentContextLabel | Kind::AgentDispatchRun);
    match role {
        NativeRole::AgentReadonly => all(&|kind| work(kind) || context(kind), &READS),
        NativeRole::AgentCiDiagnoser => {
            all(&|kind| work(kind) || context(kind) || kind == Kind::AgentArtifact, &READS);
            rules.entry((GROUP, "jobs/log".to_owned())).or_default().insert("get".to_owned());
        }
        NativeRole::AgentRepositoryRepair => {
            all(&|kind| work(kind) || context(kind) || kind.info().context == Context::Memory, &READS);
            all(&|kind| matches!(kind, Kind::AgentArtifact | Kind::AgentWriteBack), &[Verb::Create]);
        }
        NativeRole::AgentWorkspaceManager => {
            let workspaces = |kind| matches!(kind, Kind::AgentWorkspace | Kind::AgentWorkspaceRuntime);
            all(&workspaces, &READS);
            all(&workspaces, &WRITES);
            all(&workspaces, &[Verb::Delete]);
        }
        // Their own pods and logs; that they are their own is the name in the binding's rule, set by who makes the pod.
        NativeRole::RunnerUntrusted | NativeRole::RunnerTrusted => {
            rules.insert(("", "pods".to_owned()), ["get".to_owned()].into());
            rules.insert(("", "pods/log".to_owned()), ["get".to_owned()].into());
        }
        NativeRole::Operator | NativeRole::Gateway => {
            let controller = Controller::from_text(role.as_str());
            for kind in Kind::ALL {
                for verb in Verb::ALL.iter().filter(|verb| controller.allows(verb, *kind, None)) {
                    allow(&mut rules, *kind, verb);
                }
                for verb in Verb::ALL.iter().filter(|verb| WRITES.contains(verb)) {
                    if controller.allows(verb, *kind, Some("status")) {
                        let status = format!("{}/status", kind.info().plural);
                        rules.entry((GROUP, status)).or_default().insert(verb.as_str().to_owned());
                    }
                }
            }
        }
        _ => {
            let template = Template::from_text(role.as_str());
            // What stands in the platform's namespace is no role's in an organization's.
            for kind in Kind::ALL.iter().filter(|kind| kind.info().home != Home::Platform) {
                for verb in Verb::ALL.iter().filter(|verb| template.allows(verb, *kind)) {
                    allow(&mut rules, *kind, verb);
                }
            }
        }
    }
    rules
}

/// The Role of that name in a namespace; without rules for one that this version doesn't know. Resources with the same verbs stand in one rule.
pub fn role(role: &NativeRole, namespace: &str) -> Value {
    let mut grouped: BTreeMap<(&str, BTreeSet<String>), BTreeSet<String>> = BTreeMap::new();
    for ((group, resource), verbs) in rules_of(role) {
        grouped.entry((group, verbs)).or_default().insert(resource);
    }
    let rules: Vec<Value> = grouped
        .into_iter()
        .map(|((group, verbs), resources)| json!({"apiGroups": [group], "resources": resources, "verbs": verbs}))
        .collect();
    json!({
        "apiVersion": RBAC_VERSION, "kind": "Role",
        "metadata": {"name": role.as_str(), "namespace": namespace, "labels": managed()},
        "rules": rules,
    })
}

fn managed() -> Value {
    json!({"app.kubernetes.io/managed-by": "krate"})
}

/// Why a role binding has no native one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NotNative {
    /// Its subject has no name in Kubernetes that is known.
    #[error(
        "the subject {kind} {name} has no name in Kubernetes: it isn't there, or needs spec.subject.serviceAccountRef"
    )]
    Subject {
        /// What it is.
        kind: String,
        /// Its name.
        name: String,
    },
    /// It reaches one repository or environment only, which Kubernetes' RBAC has no word for: krate alone judges it.
    #[error("the scope {scope} has no word in Kubernetes: only krate judges it")]
    Scope {
        /// What it reaches.
        scope: String,
    },
}

/// The RoleBinding of a binding, by the names that Kubernetes has for its subject.
///
/// # Errors
/// [`NotNative`] where it has none.
pub fn role_binding(binding: &AgentRoleBinding, organization: &str, snapshot: &Snapshot) -> Result<Value, NotNative> {
    let namespace = binding.metadata.namespace.as_deref().unwrap_or_default();
    let (spec, name) = (&binding.spec, binding.metadata.name.as_deref().unwrap_or_default());
    if spec.scope.kind.as_str() != "organization" {
        return Err(NotNative::Scope { scope: spec.scope.kind.to_string() });
    }
    let subject = native_subject(binding, organization, snapshot)
        .ok_or_else(|| NotNative::Subject { kind: spec.subject.kind.to_string(), name: spec.subject.name.clone() })?;
    let kind = if spec.role_ref.kind == RoleKind::ClusterRole { "ClusterRole" } else { "Role" };
    let native = spec.native_role_binding_name.as_deref().unwrap_or(name);
    Ok(json!({
        "apiVersion": RBAC_VERSION, "kind": "RoleBinding",
        "metadata": {"name": native, "namespace": namespace, "labels": managed()},
        "roleRef": {"apiGroup": RBAC_GROUP, "kind": kind, "name": spec.role_ref.name},
        "subjects": [subject],
    }))
}

fn native_subject(binding: &AgentRoleBinding, organization: &str, snapshot: &Snapshot) -> Option<Value> {
    let namespace = binding.metadata.namespace.as_deref()?;
    let subject = &binding.spec.subject;
    let group = |name: String| json!({"apiGroup": RBAC_GROUP, "kind": "Group", "name": name});
    let account = |name: &str| {
        let account = snapshot.get::<AgentServiceAccount>(namespace, name)?;
        Some(
            json!({"kind": "ServiceAccount", "name": account.spec.service_account_name, "namespace": account.spec.namespace}),
        )
    };
    match subject.kind {
        RoleSubjectKind::User => {
            let name = user_name(snapshot, namespace, &subject.name)?;
            Some(json!({"apiGroup": RBAC_GROUP, "kind": "User", "name": name}))
        }
        RoleSubjectKind::Team => Some(group(team_group(organization, &subject.name))),
        RoleSubjectKind::Group => Some(group(subject.name.clone())),
        RoleSubjectKind::ServiceAccount => account(&subject.name),
        _ => account(subject.service_account_ref.as_deref()?),
    }
}

/// The name that a person signs in with.
fn user_name(snapshot: &Snapshot, namespace: &str, name: &str) -> Option<String> {
    let user = snapshot.user(namespace, name)?;
    Some(user.spec.username.clone().unwrap_or_else(|| name.to_owned()))
}

/// The group that a team is to Kubernetes.
pub fn team_group(organization: &str, team: &str) -> String {
    format!("krate:org:{organization}:team:{team}")
}

/// What Kubernetes is asked about a request: whether its subject may do this to that. `None` where the subject has no name there: nothing answers it then (P11).
/// A write asks more ([`questions`](crate::admission::questions)).
pub fn question(request: &Request, snapshot: &Snapshot) -> Option<NativeQuestion> {
    let object = request.object.as_ref();
    // What is another organization's is asked about where it stands.
    let owner = object.and_then(|object| object.organization.as_ref()).unwrap_or(&request.organization);
    let namespace = snapshot.namespace_of(owner)?;
    let kind: Kind = request.action.kind.parse().ok()?;
    let command = COMMANDS.iter().find(|command| command.verb == request.action.verb && command.kind == kind);
    let (verb, subresource) = match command {
        Some(command) => ("update", Some(command.subresource)),
        None => (request.action.verb.as_str(), request.action.subresource.as_deref()),
    };
    let (user, groups) = signed_in(request, snapshot)?;
    Some(NativeQuestion {
        user,
        groups,
        verb: verb.into(),
        group: GROUP.into(),
        resource: kind.info().plural.into(),
        subresource: subresource.map(Into::into),
        namespace: namespace.into(),
        name: object.map(|object| object.name.clone()),
    })
}

/// Whether the subject may read that Secret or ConfigMap (`secrets`, `configmaps`); granting one is reading it (section 8).
pub(crate) fn reads(
    request: &Request,
    snapshot: &Snapshot,
    resource: &str,
    namespace: &str,
    name: &str,
) -> Option<NativeQuestion> {
    about(request, snapshot, [Verb::Get.as_str(), "", resource], namespace, name)
}

/// Whether the subject may bind that role of Kubernetes in a namespace: what Kubernetes asks itself when a RoleBinding is made there.
pub(crate) fn binds(request: &Request, snapshot: &Snapshot, namespace: &str, role: &RoleRef) -> Option<NativeQuestion> {
    let resource = if role.kind == RoleKind::ClusterRole { "clusterroles" } else { "roles" };
    about(request, snapshot, [Verb::Bind.as_str(), RBAC_GROUP, resource], namespace, &role.name)
}

fn about(
    request: &Request,
    snapshot: &Snapshot,
    [verb, group, resource]: [&str; 3],
    namespace: &str,
    name: &str,
) -> Option<NativeQuestion> {
    let (user, groups) = signed_in(request, snapshot)?;
    Some(NativeQuestion {
        user,
        groups,
        verb: verb.into(),
        group: group.into(),
        resource: resource.into(),
        subresource: None,
        namespace: namespace.into(),
        name: Some(name.into()),
    })
}

/// The subject as Kubernetes knows it: a person by the name that they sign in with, an agent and what acts inside of it by its service account, a controller of
/// krate by its own name.
fn signed_in(request: &Request, snapshot: &Snapshot) -> Option<(Box<str>, BTreeSet<Box<str>>)> {
    let namespace = snapshot.namespace_of(&request.organization)?;
    let subject = &request.subject;
    match subject.kind {
        SubjectKind::User => {
            let team = |held: &Held| match &held.item {
                Item::Team(team) => Some(team_group(&request.organization, team.metadata.name.as_deref()?).into()),
                _ => None,
            };
            let groups = snapshot.rights(namespace, "user", &subject.name).filter_map(team).collect();
            Some((user_name(snapshot, namespace, &subject.name)?.into(), groups))
        }
        SubjectKind::Controller => {
            snapshot.controller(&subject.name, &subject.uid).map(|_| (subject.name.clone(), BTreeSet::new()))
        }
        _ => {
            let chain = request.actor_chain.iter().map(|link| (&link.kind, &*link.name));
            let name = account_of(core::iter::once((&subject.kind, &*subject.name)).chain(chain), namespace, snapshot)?;
            let account = snapshot.get::<AgentServiceAccount>(namespace, name)?;
            let spec = &account.object.spec;
            let user = format!("system:serviceaccount:{}:{}", spec.namespace, spec.service_account_name);
            Some((user.into(), BTreeSet::new()))
        }
    }
}

/// The service account of what acts, newest first: a subagent's own (P25), else its stack's.
fn account_of<'s>(
    chain: impl Iterator<Item = (&'s SubjectKind, &'s str)>,
    namespace: &str,
    snapshot: &'s Snapshot,
) -> Option<&'s str> {
    for (kind, name) in chain {
        match kind {
            SubjectKind::AgentStack => {
                let stack = snapshot.get::<AgentStack>(namespace, name)?;
                return Some(&stack.object.spec.runtime_identity.service_account_ref);
            }
            SubjectKind::Subagent => {
                let subagent = snapshot.get::<AgentSubagent>(namespace, name)?;
                if let Some(own) = &subagent.object.spec.service_account_ref {
                    return Some(own);
                }
            }
            SubjectKind::Tool | SubjectKind::McpServer | SubjectKind::Skill => {}
            _ => return None,
        }
    }
    None
}

/// The `SubjectAccessReview` of a question. Its answer comes back as [`NativeAnswer`](crate::request::NativeAnswer), with the question.
pub fn access_review(question: &NativeQuestion) -> Value {
    let NativeQuestion { user, groups, verb, group, resource, subresource, namespace, name } = question;
    let mut attributes = json!({"namespace": namespace, "verb": verb, "group": group, "resource": resource});
    let said = [("subresource", subresource), ("name", name)];
    for (field, value) in said.into_iter().filter_map(|(field, value)| Some((field, value.as_deref()?))) {
        attributes[field] = value.into();
    }
    json!({
        "apiVersion": "authorization.k8s.io/v1", "kind": "SubjectAccessReview",
        "spec": {"user": user, "groups": groups, "resourceAttributes": attributes},
    })
}
