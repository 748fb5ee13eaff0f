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
use krate_model::kinds::grants::{AgentRoleBinding, RoleKind, RoleSubjectKind};
use krate_model::kinds::registry::{Context, GROUP, Home};
use serde_json::{Value, json};

use crate::request::{Request, SubjectKind, Verb};
use crate::roles::{COMMANDS, Controller, Template};
use crate::snapshot::Snapshot;

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
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role",
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
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding",
        "metadata": {"name": native, "namespace": namespace, "labels": managed()},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": kind, "name": spec.role_ref.name},
        "subjects": [subject],
    }))
}

fn native_subject(binding: &AgentRoleBinding, organization: &str, snapshot: &Snapshot) -> Option<Value> {
    use krate_model::kinds::agents::AgentServiceAccount;
    let namespace = binding.metadata.namespace.as_deref()?;
    let subject = &binding.spec.subject;
    let group = |name: String| json!({"apiGroup": "rbac.authorization.k8s.io", "kind": "Group", "name": name});
    let account = |name: &str| {
        let account = snapshot.get::<AgentServiceAccount>(namespace, name)?;
        Some(
            json!({"kind": "ServiceAccount", "name": account.spec.service_account_name, "namespace": account.spec.namespace}),
        )
    };
    match subject.kind {
        RoleSubjectKind::User => {
            let name = user_name(snapshot, namespace, &subject.name)?;
            Some(json!({"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": name}))
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

/// The `SubjectAccessReview` that a request asks Kubernetes: whether its subject may do this to that. Its answer comes back as
/// [`NativeAnswer`](crate::request::NativeAnswer). `None` where the subject has no name there.
pub fn access_review(request: &Request, snapshot: &Snapshot) -> Option<Value> {
    use krate_model::kinds::agents::{AgentServiceAccount, AgentStack};
    let namespace = snapshot.organizations.get(&request.organization)?;
    let account = |name: &str| {
        let account = snapshot.get::<AgentServiceAccount>(namespace, name)?;
        Some(format!("system:serviceaccount:{}:{}", account.spec.namespace, account.spec.service_account_name))
    };
    let (user, groups) = match request.subject.kind {
        SubjectKind::User => {
            let teams = snapshot.rights(namespace, "user", &request.subject.name).filter_map(|held| match &held.item {
                crate::snapshot::Item::Team(team) => {
                    Some(team_group(&request.organization, team.metadata.name.as_deref()?))
                }
                _ => None,
            });
            (user_name(snapshot, namespace, &request.subject.name)?, teams.collect::<Vec<_>>())
        }
        SubjectKind::AgentStack => {
            let stack = snapshot.get::<AgentStack>(namespace, &request.subject.name)?;
            (account(&stack.spec.runtime_identity.service_account_ref)?, Vec::new())
        }
        _ => return None,
    };
    let kind: Kind = request.action.kind.parse().ok()?;
    let command = COMMANDS.iter().find(|command| command.verb == request.action.verb && command.kind == kind);
    let (verb, subresource) = match command {
        Some(command) => ("update", Some(command.subresource)),
        None => (request.action.verb.as_str(), request.action.subresource.as_deref()),
    };
    let mut attributes = json!({"namespace": namespace, "verb": verb, "group": GROUP, "resource": kind.info().plural});
    if let Some(subresource) = subresource {
        attributes["subresource"] = subresource.into();
    }
    if let Some(object) = &request.object {
        attributes["name"] = (*object.name).into();
    }
    Some(json!({
        "apiVersion": "authorization.k8s.io/v1", "kind": "SubjectAccessReview",
        "spec": {"user": user, "groups": groups, "resourceAttributes": attributes},
    }))
}
