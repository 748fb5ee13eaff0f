//! What an agent is made of: its stack, with all that the stack names, narrowed by every subagent that acts (P25, P26), and what a run of it needs (P51).

use std::collections::BTreeSet;
use std::sync::Arc;

use krate_model::Kind;
use krate_model::kinds::agents::{
    AgentProviderConfig, AgentServiceAccount, AgentServiceAccountPhase, AgentStack, AgentStackPhase, AgentSubagent,
    AgentSubagentPhase, AgentWorkspacePolicy, WorkspaceCache, WorkspaceMode,
};
use krate_model::kinds::grants::{AgentRoleBindingPhase, ConfigPurpose, GrantSubjectKind, SecretPurpose};
use krate_model::kinds::labels::AgentContextLabel;
use krate_model::kinds::pools::{RunnerPool, RunnerPoolPhase};
use krate_model::kinds::registry::{Context, StorageClass};
use krate_model::kinds::sets::TrustTier;
use krate_model::kinds::shared::{ConfigMapKeyRef, CrossOrgRef, SecretKeyRef};
use krate_model::kinds::tools::{AgentMcpServer, AgentSkill};
use krate_model::kinds::triggers::{AgentTriggerRule, AgentTriggerRulePhase, LifecycleState};

use super::{Review, parts};
use crate::reason::Code;
use crate::request::{Link, LinkBy, Need, SubjectKind, User, Verb};
use crate::snapshot::{Item, Kept, Known, Snapshot};

/// What acts at one depth: the stack, or a subagent of it. All of them have to allow a thing (P25).
pub(super) struct Layer<'a> {
    /// As `Kind/name`.
    pub(super) name: Arc<str>,
    /// Its tool profile; `None` allows no tool.
    pub(super) profile: Option<&'a str>,
    pub(super) servers: &'a BTreeSet<String>,
    pub(super) skills: &'a BTreeSet<String>,
    /// Servers and skills of other organizations: a stack may name them, a subagent can't.
    pub(super) shared: &'a [CrossOrgRef],
}

/// An agent at work, or to be set to work.
pub(super) struct Agent<'a> {
    pub(super) stack: Known<'a, AgentStack>,
    pub(super) layers: Vec<Layer<'a>>,
    /// The rule that started it; absent where a person did by hand.
    pub(super) rule: Option<Known<'a, AgentTriggerRule>>,
}

impl Agent<'_> {
    pub(super) fn name(&self) -> &str {
        self.stack.metadata.name.as_deref().unwrap_or_default()
    }
}

/// Kinds beside those of policies and agents that grant, or loosen what holds people off (section 1, section 9).
const GRANTS: [Kind; 6] = [
    Kind::Team,
    Kind::SSHKey,
    Kind::RepositoryPermission,
    Kind::RefPolicy,
    Kind::BranchProtection,
    Kind::ExternalBackendSyncPolicy,
];

/// Whether anything but a person acts in the chain.
pub(super) fn is_agents(review: &Review<'_>) -> bool {
    review.request.actor_chain.iter().any(|link| link.kind != SubjectKind::User && link.kind != SubjectKind::Controller)
}

/// Whether the request starts a run of an agent; a pipeline that is run again is none.
pub(super) fn is_dispatch(review: &Review<'_>) -> bool {
    let action = &review.request.action;
    action.verb == Verb::Dispatch
        && matches!(review.kind, Some(Kind::AgentStack | Kind::AgentDispatchRun | Kind::AgentTriggerEvent))
}

/// Step 3 for agents: the stack is there, Ready and has a ready account; what acts inside of it is its own.
pub(super) fn identify(review: &mut Review<'_>) {
    let (request, snapshot, namespace) = (review.request, review.snapshot, review.namespace);
    let acting = request.actor_chain.iter().filter(|link| link.kind == SubjectKind::AgentStack).collect::<Vec<_>>();
    let (name, uid) = match (acting.as_slice(), &request.agent_stack) {
        ([], None) => {
            if is_agents(review) {
                review.deny(Code::UnknownSubject, "actorChain", "names a subject that is not known");
            }
            return;
        }
        ([], Some(named)) => (&*named.name, &*named.uid),
        ([link], _) => (&*link.name, &*link.uid),
        _ => return review.deny(Code::BrokenActorChain, "actorChain", "holds two stacks"),
    };
    let found = snapshot.get::<AgentStack>(namespace, name);
    let Some(stack) = found.filter(|stack| stack.metadata.uid.as_deref() == Some(uid)) else {
        return review.deny(Code::UnknownSubject, "actorChain", "names a subject that is not known");
    };
    // Its uid was compared in step 2.
    if request.agent_stack.as_ref().is_some_and(|named| &*named.name != name) {
        return review.deny(Code::BrokenActorChain, "agentStack", "is another stack than the one that acts");
    }
    if stack.status.as_ref().is_none_or(|status| status.phase != AgentStackPhase::Ready) {
        review.deny(Code::StackNotReady, "agentStack", "the stack isn't Ready");
    }
    if let (Some(asked), Some(known)) = (
        request.agent_stack.as_ref().and_then(|named| named.snapshot_digest),
        stack.status.as_ref().and_then(|status| status.snapshot_digest),
    ) && asked != known
    {
        review.deny(Code::StackNotReady, "agentStack.snapshotDigest", "the stack has been changed since");
    }
    account(review, &stack);
    let layer = Layer {
        name: stack.version.name.clone(),
        profile: stack.object.spec.tool_profile_ref.as_deref(),
        servers: &stack.object.spec.mcp_server_refs,
        skills: &stack.object.spec.skill_refs,
        shared: &stack.object.spec.shared_refs,
    };
    review.used(stack.version, None);
    let mut agent = Agent { stack, layers: vec![layer], rule: None };
    // The stack stands at the end of what acts inside of it, so that the narrowest comes last.
    for link in request.actor_chain.iter().rev() {
        inside(review, &mut agent, link);
    }
    let by_rule = request.actor_chain.iter().any(|link| link.by == Some(LinkBy::Rule));
    match request.cause_chain.first().and_then(|cause| cause.rule.as_deref()) {
        Some(name) if is_dispatch(review) || is_agents(review) => started_by(review, &mut agent, name),
        // What a rule lends can't be known of a rule that isn't named (P51, P61).
        None if by_rule => {
            review.deny(Code::DelegationDenied, "causeChain[0].rule", "doesn't name the rule that it is by");
        }
        _ => {}
    }
    review.agent = Some(agent);
}

fn account(review: &mut Review<'_>, stack: &AgentStack) {
    let name = &*stack.spec.runtime_identity.service_account_ref;
    let Some(account) = review.snapshot.get::<AgentServiceAccount>(review.namespace, name) else {
        return review.deny(Code::IdentityNotReady, "agentStack", "the stack's service account isn't there");
    };
    if account.status.as_ref().is_none_or(|status| status.phase != AgentServiceAccountPhase::Ready) {
        return review.deny(Code::IdentityNotReady, "agentStack", "the stack's service account isn't Ready");
    }
    let request = review.request;
    let fits = |list: &BTreeSet<String>, named: Option<&str>| {
        list.is_empty() || named.is_none_or(|named| list.contains(named))
    };
    let repository = request.repository.as_ref().map(|it| &*it.name);
    let pool = request.runner_pool.as_ref().map(|it| &*it.name).or(stack.spec.runner_pool.as_deref());
    if !fits(&account.spec.allowed_repositories, repository) || !fits(&account.spec.allowed_runner_pools, pool) {
        review.deny(
            Code::IdentityNotReady,
            "agentStack",
            "the stack's service account isn't for this repository or pool",
        );
    }
    review.used(account.version, None);
}

/// A link of the chain that acts inside of the stack.
fn inside<'a>(review: &mut Review<'a>, agent: &mut Agent<'a>, link: &'a Link) {
    let (snapshot, namespace) = (review.snapshot, review.namespace);
    let unknown = "names a subject that is not known";
    let is_same = |uid: Option<&str>| uid == Some(&*link.uid);
    match link.kind {
        SubjectKind::Subagent => {
            let found = snapshot.get::<AgentSubagent>(namespace, &link.name);
            let Some(subagent) = found.filter(|it| is_same(it.metadata.uid.as_deref())) else {
                return review.deny(Code::UnknownSubject, "actorChain", unknown);
            };
            if !agent.stack.spec.subagent_refs.contains(&*link.name) {
                return review.deny(Code::DelegationDenied, "actorChain", "names a subagent that isn't the stack's");
            }
            if subagent.status.as_ref().is_none_or(|status| status.phase != AgentSubagentPhase::Ready) {
                review.deny(Code::StackNotReady, "actorChain", "holds a subagent that isn't Ready");
            }
            if let Some(account) = &subagent.spec.service_account_ref
                && !has_role(review, account)
            {
                let text = "holds a subagent with an account of its own, and no role binding for it (P25)";
                review.deny(Code::IdentityNotReady, "actorChain", text);
            }
            agent.layers.push(Layer {
                name: subagent.version.name.clone(),
                profile: subagent.object.spec.tool_profile_ref.as_deref(),
                servers: &subagent.object.spec.mcp_server_refs,
                skills: &subagent.object.spec.skill_refs,
                shared: &[],
            });
            review.used(subagent.version, None);
        }
        SubjectKind::McpServer => {
            part::<AgentMcpServer>(review, agent, link, "names an MCP server that isn't the stack's");
        }
        SubjectKind::Skill => {
            part::<AgentSkill>(review, agent, link, "names a skill that isn't the stack's");
        }
        SubjectKind::Runner => {
            let found = snapshot.get::<RunnerPool>(namespace, &link.name);
            if found.is_none_or(|it| !is_same(it.metadata.uid.as_deref())) {
                review.deny(Code::UnknownSubject, "actorChain", unknown);
            }
        }
        // A tool is no resource of its own: it is its profile's, and has its uid.
        SubjectKind::Tool => {
            let profile = agent.layers.last().and_then(|layer| layer.profile);
            let found = profile.and_then(|name| snapshot.tools(namespace, name));
            if found
                .is_none_or(|tools| *tools.version.uid != *link.uid || !tools.names().any(|name| name == &*link.name))
            {
                review.deny(Code::UnknownSubject, "actorChain", unknown);
            }
        }
        SubjectKind::User | SubjectKind::AgentStack => {}
        SubjectKind::Team | SubjectKind::Controller | SubjectKind::Unknown(_) => {
            review.deny(Code::UnknownSubject, "actorChain", unknown);
        }
    }
}

/// A server or a skill that acts: one that everything else that acts names.
fn part<R: Kept>(review: &mut Review<'_>, agent: &Agent<'_>, link: &Link, not_named: &'static str) {
    match parts::find::<R>(review, &link.name) {
        Some(found) if *found.version.uid == *link.uid => {
            if !parts::is_named::<R>(agent, &link.name) {
                review.deny(Code::DelegationDenied, "actorChain", not_named);
            }
        }
        _ => review.deny(Code::UnknownSubject, "actorChain", "names a subject that is not known"),
    }
}

/// Whether a service account has a role of its own, bound to the one that stands under the name now (P20).
fn has_role(review: &Review<'_>, account: &str) -> bool {
    let (snapshot, namespace) = (review.snapshot, review.namespace);
    let uid = snapshot.item(Kind::AgentServiceAccount, namespace, account).and_then(Item::uid);
    uid.is_some()
        && snapshot.rights(namespace, "service-account", account).any(|held| match &held.item {
            Item::AgentRoleBinding(binding) => binding.status.as_ref().is_some_and(|status| {
                status.phase == AgentRoleBindingPhase::Synced && status.subject_uid.as_deref() == uid
            }),
            _ => false,
        })
}

/// The rule that a run comes from: in force, and its owner the one that the chain ends at (P61).
fn started_by<'a>(review: &mut Review<'a>, agent: &mut Agent<'a>, name: &str) {
    let Some(rule) = review.snapshot.get::<AgentTriggerRule>(review.namespace, name) else {
        return review.deny(Code::DelegationDenied, "causeChain[0].rule", "there is no such rule");
    };
    let stands = rule.spec.lifecycle_state == LifecycleState::Active
        && rule.status.as_ref().is_some_and(|status| status.phase == AgentTriggerRulePhase::Active);
    if is_dispatch(review) && !stands {
        review.deny(Code::DelegationDenied, "causeChain[0].rule", "the rule isn't in force");
    }
    if rule.spec.agent_stack != agent.name() {
        review.deny(Code::DelegationDenied, "causeChain[0].rule", "the rule is for another stack");
    }
    let chain = &review.request.actor_chain;
    let owner = chain
        .last()
        .filter(|_| chain.len() == 1 || chain.iter().rev().nth(1).is_some_and(|link| link.by == Some(LinkBy::Rule)));
    let is_owner = rule.spec.owner.as_ref().is_some_and(|known| {
        owner.is_some_and(|link| *link.name == *known.name && known.uid.as_deref().is_none_or(|uid| *uid == *link.uid))
    });
    if !is_owner {
        review.deny(Code::DelegationDenied, "actorChain", "doesn't end at the owner of the rule (P61)");
    }
    review.used(rule.version, None);
    agent.rule = Some(rule);
}

/// Step 5 for agents: they change nothing that says what agents may do, and what runs for others shares nothing with those who are trusted (section 7).
pub(super) fn cause(review: &mut Review<'_>) {
    let Some(agent) = &review.agent else { return };
    let (stack, rule) = (agent.stack, agent.rule);
    let verb = &review.request.action.verb;
    let reads =
        matches!(verb, Verb::Get | Verb::List | Verb::Watch | Verb::Use | Verb::Query | Verb::Dispatch | Verb::Cancel);
    let kind = review.kind.map(Kind::info);
    let judges = kind.is_some_and(|kind| {
        kind.context == Context::Policy || (kind.context == Context::Agents && kind.class == StorageClass::Config)
    }) || review.kind.is_some_and(|kind| GRANTS.contains(&kind));
    if is_agents(review) && judges && !reads && *verb != Verb::Decide {
        let text = "an agent never changes policies, grants, rules or stacks, whoever it acts for";
        review.deny(Code::UntrustedCause, "action", text);
    }
    if !is_dispatch(review) {
        return;
    }
    let of_rule = rule.map(|rule| &rule.object.spec.context_labels);
    for name in stack.spec.context_label_refs.iter().chain(of_rule.into_iter().flatten()) {
        label(review, name);
    }
    if !review.trust.is_untrusted() {
        return;
    }
    let found = stack.spec.workspace_policy_ref.as_deref();
    let policy = found.and_then(|name| review.snapshot.get::<AgentWorkspacePolicy>(review.namespace, name));
    let shares = policy.is_some_and(|policy| {
        policy.spec.trust_tier != TrustTier::Untrusted
            || policy.spec.caches != WorkspaceCache::None
            || policy.spec.mode == WorkspaceMode::SharedWorktree
    });
    if shares {
        let text = "isn't trusted, and the stack's workspaces are, or share something";
        review.deny(Code::UntrustedCause, "causeChain", text);
    }
}

/// R62: what tells an agent what to do was reviewed as it stands, by admission's word by somebody else than who wrote it; or it is for trusted causes alone.
fn label(review: &mut Review<'_>, name: &str) {
    let Some(label) = review.snapshot.get::<AgentContextLabel>(review.namespace, name) else {
        return review.deny(Code::StackNotReady, "agentStack", "a context label that it is told isn't there (P51)");
    };
    review.used(label.version, None);
    let problem = match (label.spec.requires_review, label.spec.is_reviewed()) {
        (true, false) => (Code::StackNotReady, "agentStack", "a context label was not reviewed as it stands"),
        (false, _) if review.trust.is_untrusted() => (
            Code::UntrustedCause,
            "causeChain",
            "isn't trusted, and a context label that needs no review is for trusted causes only",
        ),
        _ => return,
    };
    let (code, field, text) = problem;
    review.say(crate::reason::Reason::new(code, field, format!("{text} (R62)")).by(label.version.name.clone()));
}

/// Whether the pool may be used, by whom is asked (P24, section 7).
pub(super) fn pool(review: &Review<'_>, name: &str) -> Result<Arc<crate::decision::Version>, (Code, &'static str)> {
    let Some(pool) = review.snapshot.get::<RunnerPool>(review.namespace, name) else {
        return Err((Code::PoolDenied, "there is no such pool"));
    };
    let phase = pool.status.as_ref().map(|status| &status.phase);
    if !matches!(phase, Some(RunnerPoolPhase::Ready | RunnerPoolPhase::Degraded)) {
        return Err((Code::PoolDenied, "the pool isn't Ready"));
    }
    let repository = review.request.repository.as_ref().map(|it| &*it.name);
    let is_trusted = pool.spec.trust_tier != TrustTier::Untrusted;
    let listed = &pool.spec.allowed_repositories;
    let fits = repository.is_some_and(|name| listed.contains(name)) || (listed.is_empty() && !is_trusted);
    if !fits {
        return Err((Code::PoolDenied, "the pool doesn't list the repository"));
    }
    if is_trusted && review.trust.is_untrusted() {
        return Err((Code::UntrustedCause, "the pool is trusted, and the cause isn't"));
    }
    Ok(pool.version.clone())
}

/// The pool that a run is in: the one that is asked for, the rule's, the stack's.
fn pool_of<'r>(review: &'r Review<'_>, agent: &'r Agent<'_>) -> Option<&'r str> {
    let asked = review.request.runner_pool.as_ref().map(|pool| &*pool.name);
    let of_rule = || agent.rule.and_then(|rule| rule.object.spec.runner_pool.as_deref());
    asked.or_else(of_rule).or(agent.stack.spec.runner_pool.as_deref())
}

/// The keys that a run of the stack needs: those of its model provider, its servers and its skills (P51). A name that isn't there needs nothing here.
pub(crate) fn keys_of(snapshot: &Snapshot, namespace: &str, stack: &AgentStack) -> Vec<Need> {
    let mut needs = Vec::new();
    let user = |kind, name: &str, uid: Option<&str>| User {
        kind,
        name: name.into(),
        uid: uid.unwrap_or_default().into(),
        service_account: Some(stack.spec.runtime_identity.service_account_ref.as_str().into()),
    };
    let provider = stack.spec.provider.as_ref().and_then(|name| snapshot.get::<AgentProviderConfig>(namespace, name));
    if let Some(provider) = provider {
        let own = stack.metadata.name.as_deref().unwrap_or_default();
        let by = user(GrantSubjectKind::AgentStack, own, stack.metadata.uid.as_deref());
        secrets(&mut needs, provider.object.spec.secret_ref.as_ref(), &by, &SecretPurpose::ModelProviderToken);
    }
    for name in &stack.spec.mcp_server_refs {
        let Some(server) = snapshot.get::<AgentMcpServer>(namespace, name) else { continue };
        let by = user(GrantSubjectKind::McpServer, name, server.metadata.uid.as_deref());
        let spec = &server.spec;
        let headers = spec.headers_from.iter().map(|header| &header.secret_ref);
        secrets(&mut needs, spec.secret_refs.iter().chain(headers), &by, &SecretPurpose::McpServer);
        configs(&mut needs, &spec.config_refs, &by, &ConfigPurpose::McpConfig);
        for whole in &spec.env_from {
            // Every key that is there; one that can't be listed is a key that no grant names.
            let keys = |found: Option<&crate::snapshot::Metadata>| match found.and_then(|it| it.keys.clone()) {
                Some(keys) => keys,
                None => BTreeSet::from(["*".into()]),
            };
            if let Some(secret) = &whole.secret_ref {
                for key in keys(snapshot.secrets.get([namespace, &*secret.name])) {
                    let key = SecretKeyRef { name: secret.name.clone(), key: key.into() };
                    secrets(&mut needs, [&key], &by, &SecretPurpose::McpServer);
                }
            }
            if let Some(map) = &whole.config_map_ref {
                for key in keys(snapshot.config_maps.get([namespace, &*map.name])) {
                    let key = ConfigMapKeyRef { name: map.name.clone(), key: key.into() };
                    configs(&mut needs, [&key], &by, &ConfigPurpose::McpConfig);
                }
            }
        }
    }
    for name in &stack.spec.skill_refs {
        let Some(skill) = snapshot.get::<AgentSkill>(namespace, name) else { continue };
        let by = user(GrantSubjectKind::Skill, name, skill.metadata.uid.as_deref());
        secrets(&mut needs, &skill.spec.required_secret_refs, &by, &SecretPurpose::Skill);
        configs(&mut needs, &skill.spec.required_config_refs, &by, &ConfigPurpose::SkillConfig);
    }
    needs
}

/// What a run of the stack needs beside what was asked for: all that it, its servers, skills, model provider and pool name (P51).
pub(super) fn closure(review: &mut Review<'_>) -> Vec<Need> {
    let (snapshot, namespace) = (review.snapshot, review.namespace);
    let Some(agent) = &review.agent else { return Vec::new() };
    let stack = agent.stack;
    let mut needs = keys_of(snapshot, namespace, stack.object);
    let mut unresolved = Vec::new();
    if let Some(name) = &stack.spec.provider
        && snapshot.get::<AgentProviderConfig>(namespace, name).is_none()
    {
        unresolved.push("provider");
    }
    needs.extend(stack.spec.mcp_server_refs.iter().map(|name| Need::McpServer { name: name.as_str().into() }));
    for name in &stack.spec.skill_refs {
        needs.push(Need::Skill { name: name.as_str().into() });
        if let Some(skill) = snapshot.get::<AgentSkill>(namespace, name) {
            of_skill(&mut needs, &skill, "");
        }
    }
    for shared in &stack.spec.shared_refs {
        let name = format!("{}/{}", shared.organization, shared.name);
        match shared.kind.parse() {
            Ok(Kind::AgentMcpServer) => needs.push(Need::McpServer { name: name.into() }),
            Ok(Kind::AgentSkill) => {
                if let Some(skill) = parts::find::<AgentSkill>(review, &name) {
                    of_skill(&mut needs, skill.object, &format!("{}/", shared.organization));
                }
                needs.push(Need::Skill { name: name.into() });
            }
            _ => unresolved.push("sharedRefs"),
        }
    }
    for name in &stack.spec.subagent_refs {
        if snapshot.get::<AgentSubagent>(namespace, name).is_none() {
            unresolved.push("subagentRefs");
        }
    }
    if let Some(name) = &stack.spec.tool_profile_ref
        && snapshot.tools(namespace, name).is_none()
    {
        unresolved.push("toolProfileRef");
    }
    if let Some(name) = &stack.spec.workspace_policy_ref
        && snapshot.get::<AgentWorkspacePolicy>(namespace, name).is_none()
    {
        unresolved.push("workspacePolicyRef");
    }
    needs.extend(pool_of(review, agent).map(|name| Need::Pool { name: name.into() }));
    for field in unresolved {
        review.deny(Code::StackNotReady, "agentStack", format!("the stack's {field} names what isn't there (P51)"));
    }
    needs
}

/// The servers and tools that a skill asks for. Names of a shared skill are its own organization's, and each server has to be shared itself (P8).
fn of_skill(needs: &mut Vec<Need>, skill: &AgentSkill, owner: &str) {
    let tool = |name: &String| {
        let (server, tool) = match name.rsplit_once('/') {
            Some((server, tool)) => (Some(format!("{owner}{server}").into()), tool),
            None => (None, name.as_str()),
        };
        Need::Tool { name: tool.into(), server, command: Vec::new(), line: None }
    };
    needs.extend(skill.spec.required_tools.iter().map(tool));
    let server = |name: &String| Need::McpServer { name: format!("{owner}{name}").into() };
    needs.extend(skill.spec.required_mcp_servers.iter().map(server));
}

fn secrets<'k>(
    needs: &mut Vec<Need>,
    keys: impl IntoIterator<Item = &'k SecretKeyRef>,
    by: &User,
    purpose: &SecretPurpose,
) {
    needs.extend(keys.into_iter().map(|key| Need::Secret {
        user: by.clone(),
        name: key.name.as_str().into(),
        namespace: None,
        key: key.key.as_str().into(),
        purpose: purpose.clone(),
    }));
}

fn configs<'k>(
    needs: &mut Vec<Need>,
    keys: impl IntoIterator<Item = &'k ConfigMapKeyRef>,
    by: &User,
    purpose: &ConfigPurpose,
) {
    needs.extend(keys.into_iter().map(|key| Need::Config {
        user: by.clone(),
        name: key.name.as_str().into(),
        namespace: None,
        key: key.key.as_str().into(),
        purpose: purpose.clone(),
    }));
}

/// What an agent uses by the action itself: the object that it is on.
pub(super) fn used(review: &Review<'_>) -> Option<Need> {
    let request = review.request;
    let object = request.object.as_ref().filter(|_| review.agent.is_some())?;
    if request.action.verb != Verb::Use {
        return None;
    }
    let name = match object.organization.as_deref() {
        Some(owner) if *owner != *request.organization => format!("{owner}/{}", object.name).into(),
        _ => object.name.clone(),
    };
    match object.kind.parse::<Kind>() {
        Ok(Kind::AgentMcpServer) => Some(Need::McpServer { name }),
        Ok(Kind::AgentSkill) => Some(Need::Skill { name }),
        Ok(Kind::RunnerPool) => Some(Need::Pool { name }),
        _ => None,
    }
}

/// Whether a user of a secret is what acts, or a part of all that acts, by uid (P20). What its stack was granted is no subagent's (P25).
pub(super) fn has_part(review: &Review<'_>, agent: &Agent<'_>, user: &User) -> bool {
    let (snapshot, namespace, spec) = (review.snapshot, review.namespace, &agent.stack.spec);
    let is = |kind| snapshot.item(kind, namespace, &user.name).and_then(Item::uid) == Some(&*user.uid);
    let subagent = agent.layers.get(1..).and_then(<[_]>::last);
    match user.kind {
        GrantSubjectKind::AgentStack => subagent.is_none() && *user.name == *agent.name() && is(Kind::AgentStack),
        GrantSubjectKind::Subagent => {
            let acts = |layer: &Layer<'_>| layer.name.strip_prefix("AgentSubagent/") == Some(&*user.name);
            spec.subagent_refs.contains(&*user.name) && subagent.is_none_or(acts) && is(Kind::AgentSubagent)
        }
        GrantSubjectKind::McpServer => {
            agent.layers.iter().all(|layer| layer.servers.contains(&*user.name)) && is(Kind::AgentMcpServer)
        }
        GrantSubjectKind::Skill => {
            agent.layers.iter().all(|layer| layer.skills.contains(&*user.name)) && is(Kind::AgentSkill)
        }
        GrantSubjectKind::Runner => pool_of(review, agent) == Some(&*user.name) && is(Kind::RunnerPool),
        GrantSubjectKind::ServiceAccount => {
            *user.name == *spec.runtime_identity.service_account_ref && is(Kind::AgentServiceAccount)
        }
        GrantSubjectKind::Tool => {
            let of = |layer: &Layer<'_>| layer.profile.and_then(|name| snapshot.tools(namespace, name));
            let everywhere = agent
                .layers
                .iter()
                .all(|layer| of(layer).is_some_and(|tools| tools.names().any(|name| name == &*user.name)));
            // A tool has the uid of the profile that gives it.
            everywhere && agent.layers.last().and_then(of).is_some_and(|tools| *tools.version.uid == *user.uid)
        }
        _ => false,
    }
}
