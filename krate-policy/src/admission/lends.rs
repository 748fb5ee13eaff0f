//! What a write of a policy resource lends, takes the last of, or loosens (P44, P61): nobody lends what they haven't.

use std::borrow::Cow;
use std::collections::BTreeSet;

use krate_model::kinds::agents::{
    AgentProviderConfig, AgentStack, AgentSubagent, AgentWorkspacePolicy, WorkspaceCache, WorkspaceMode,
};
use krate_model::kinds::external::{ExternalBackendSyncPolicy, WritePolicy};
use krate_model::kinds::grants::{AgentRoleBinding, RoleKind, ScopeKind};
use krate_model::kinds::labels::AgentContextLabel;
use krate_model::kinds::members::{Permission, RepositoryPermission, Team, User, UserState};
use krate_model::kinds::sets::{Operation, TrustTier};
use krate_model::kinds::shared::{ConfigMapKeyRef, SecretKeyRef};
use krate_model::kinds::tools::{AgentMcpServer, AgentMcpServerSpec, AgentSkill};
use krate_model::kinds::triggers::{AgentTriggerRule, LifecycleState};
use krate_model::{ClosedSet, Kind};
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::{Write, loosens, text};
use crate::approval::{acts_in, may_add};
use crate::command::Command;
use crate::host::HostPattern;
use crate::native;
use crate::reason::{Code, Reason};
use crate::request::{Named, NativeQuestion, Request, SubjectKind, Verb};
use crate::review::{self, Rights};
use crate::roles::{Template, right_of, right_of_action};
use crate::snapshot::Snapshot;

/// What a write comes to beyond the right to make it.
#[derive(Default)]
pub(super) struct Found {
    /// What is in its way.
    pub(super) reasons: Vec<Reason>,
    /// What Kubernetes is asked on its account, whatever the answers are (P63).
    pub(super) asked: Vec<NativeQuestion>,
}

/// What this write lends, takes the last of or loosens.
pub(super) fn look(kind: Kind, write: &Write<'_>, request: &Request, snapshot: &Snapshot) -> Found {
    if request.subject.kind == SubjectKind::Controller {
        return Found::default();
    }
    let giver = request.actor_chain.last().map_or("", |link| &link.name);
    let rights = Rights::of(request, snapshot);
    let mut look = Look { write, request, rights, snapshot, giver, found: Found::default() };
    match kind {
        Kind::User => look.user(),
        Kind::RepositoryPermission => look.permission(),
        Kind::Team => look.team(),
        Kind::AgentRoleBinding => look.role(),
        Kind::AgentSecretGrant => look.granted("spec.secretRef", Target::Secret),
        Kind::AgentConfigGrant => look.granted("spec.configMapRef", Target::ConfigMap),
        Kind::AgentMcpServer => look.server(),
        Kind::AgentSkill => look.skill(),
        Kind::AgentSubagent => look.subagent(),
        Kind::AgentWorkspacePolicy => look.workspaces(),
        Kind::AgentProviderConfig => look.model_provider(),
        Kind::ExternalBackendProvider => look.provider(),
        Kind::ExternalBackendSyncPolicy => look.sync_policy(),
        Kind::AgentStack => look.stack(),
        Kind::AgentToolProfile => look.profile(),
        Kind::AgentTriggerRule => look.rule(),
        Kind::AgentApproval => look.approval(),
        Kind::AgentContextLabel => look.label(),
        Kind::SSHKey | Kind::RefPolicy | Kind::BranchProtection => look.loosens(kind),
        _ => {}
    }
    look.found
}

/// All that a template gives.
fn rights_of(template: &Template) -> impl Iterator<Item = (&'static Verb, Kind)> {
    let all = Kind::ALL.iter().flat_map(|kind| Verb::ALL.iter().map(move |verb| (verb, *kind)));
    all.filter(|(verb, kind)| template.allows(verb, *kind))
}

/// What Kubernetes keeps that a write gives or names.
#[derive(Clone, Copy)]
enum Target {
    Secret,
    ConfigMap,
}

impl Target {
    const fn resource(self) -> &'static str {
        match self {
            Self::Secret => "secrets",
            Self::ConfigMap => "configmaps",
        }
    }

    const fn kind(self) -> &'static str {
        match self {
            Self::Secret => "Secret",
            Self::ConfigMap => "ConfigMap",
        }
    }
}

/// A key of a Secret or ConfigMap, by the names of both.
type Keys<'k> = BTreeSet<(&'k str, &'k str)>;

fn secret_keys<'k>(keys: impl IntoIterator<Item = &'k SecretKeyRef>) -> Keys<'k> {
    keys.into_iter().map(|key| (key.name.as_str(), key.key.as_str())).collect()
}

fn config_keys<'k>(keys: impl IntoIterator<Item = &'k ConfigMapKeyRef>) -> Keys<'k> {
    keys.into_iter().map(|key| (key.name.as_str(), key.key.as_str())).collect()
}

/// All keys of a Secret, where a server takes it whole.
const WHOLE: &str = "*";

fn secrets_of(server: &AgentMcpServer) -> Keys<'_> {
    let spec = &server.spec;
    let headers = spec.headers_from.iter().map(|header| &header.secret_ref);
    let whole = spec.env_from.iter().filter_map(|from| Some((from.secret_ref.as_ref()?.name.as_str(), WHOLE)));
    secret_keys(spec.secret_refs.iter().chain(headers)).into_iter().chain(whole).collect()
}

fn configs_of(server: &AgentMcpServer) -> Keys<'_> {
    let spec = &server.spec;
    let whole = spec.env_from.iter().filter_map(|from| Some((from.config_map_ref.as_ref()?.name.as_str(), WHOLE)));
    config_keys(&spec.config_refs).into_iter().chain(whole).collect()
}

struct Look<'a> {
    write: &'a Write<'a>,
    request: &'a Request,
    rights: Rights<'a>,
    snapshot: &'a Snapshot,
    giver: &'a str,
    found: Found,
}

impl<'a> Look<'a> {
    fn say(&mut self, code: Code, field: &'static str, text: impl Into<Cow<'static, str>>) {
        self.found.reasons.push(Reason::new(code, field, text));
    }

    fn wanted<T: DeserializeOwned>(&self) -> Option<T> {
        serde::Deserialize::deserialize(self.write.change.wanted()?).ok()
    }

    fn stored<T: DeserializeOwned>(&self) -> Option<T> {
        serde::Deserialize::deserialize(self.write.change.stored()?).ok()
    }

    fn namespace(&self) -> &'a str {
        text(self.write.change.document(), "/metadata/namespace")
    }

    /// An organization keeps an administrator who is active.
    fn user(&mut self) {
        let rules = |user: &User| user.spec.admin && user.spec.state == UserState::Active;
        let before = self.stored::<User>().is_some_and(|user| rules(&user));
        let after = self.wanted::<User>().is_some_and(|user| rules(&user));
        if !before || after {
            return;
        }
        let name = text(self.write.change.document(), "/metadata/name");
        let others = self.snapshot.users(self.namespace()).filter(|other| &**other != name);
        let left =
            others.into_iter().any(|other| self.snapshot.user(self.namespace(), &other).is_some_and(|it| rules(&it)));
        if !left {
            self.say(Code::ExplicitDeny, "spec.admin", "is the organization's last administrator, and has to stay");
        }
    }

    fn permission(&mut self) {
        let Some(new) = self.wanted::<RepositoryPermission>() else { return };
        if new.spec.revoked {
            return;
        }
        self.at_most("spec.permission", &new.spec.repository, &new.spec.permission);
    }

    /// Whether the giver has at least that permission on the repository.
    fn at_most(&mut self, field: &'static str, repository: &str, given: &Permission) {
        let named = self.snapshot.named_repository(self.namespace(), repository);
        let own = self.rights.permission(self.giver, &named);
        if !given.is_known() || own.is_none_or(|own| own < *given) {
            let text = format!("gives {given} on {repository}, which is more than {} has", self.giver);
            self.say(Code::EscalationDenied, field, text);
        }
    }

    /// Who is put into a team, or what a team is given, lends all that the team has.
    fn team(&mut self) {
        let Some(new) = self.wanted::<Team>() else { return };
        let old = self.stored::<Team>();
        let members = |team: &Team| team.spec.members.union(&team.spec.maintainers).cloned().collect::<BTreeSet<_>>();
        let joined = old.as_ref().is_none_or(|old| !members(&new).is_subset(&members(old)));
        for grant in &new.spec.repository_grants {
            let is_old = old.as_ref().is_some_and(|old| old.spec.repository_grants.contains(grant));
            if joined || !is_old {
                self.at_most("spec.repositoryGrants", &grant.repository, &grant.permission);
            }
        }
        if joined {
            let name = text(self.write.change.document(), "/metadata/name").to_owned();
            let roles: Vec<AgentRoleBinding> = self.snapshot.roles_of_team(self.namespace(), &name).cloned().collect();
            for role in &roles {
                self.gives(role, "spec.members");
            }
        }
    }

    fn role(&mut self) {
        if let Some(new) = self.wanted::<AgentRoleBinding>() {
            self.gives(&new, "spec.roleRef");
        }
    }

    /// Whether all that a role gives is the giver's own, or theirs to bind.
    fn gives(&mut self, binding: &AgentRoleBinding, field: &'static str) {
        let role = &binding.spec.role_ref;
        let scope = &binding.spec.scope;
        let repository = match (&scope.kind, scope.name.as_deref()) {
            (ScopeKind::Repository, Some(name)) => Some(self.snapshot.named_repository(self.namespace(), name)),
            _ => None,
        };
        if role.kind != RoleKind::RoleTemplate {
            // A role of Kubernetes: it is asked there, whether the giver may bind it.
            let question = native::binds(self.request, self.snapshot, self.namespace(), role);
            return self.kubernetes(field, question, &format!("binds {} {}", role.kind, role.name), "bind");
        }
        let template = Template::from_text(&role.name);
        let lacks = if rights_of(&template).next().is_none() {
            Some(format!("{} is no role template of persons", role.name))
        } else {
            self.lacks(&template, repository)
                .map(|(verb, kind)| format!("gives {verb} on {kind}, which {} hasn't there", self.giver))
        };
        if let Some(text) = lacks {
            self.say(Code::EscalationDenied, field, text);
        }
    }

    /// Whether Kubernetes lets the writer do that to what the write is about; that nobody knows is a no of its own code where there is a cluster (P11, P63).
    fn kubernetes(&mut self, field: &'static str, question: Option<NativeQuestion>, writes: &str, does: &str) {
        let answer = review::answer(self.request, question.as_ref());
        self.found.asked.extend(question);
        let giver = self.giver;
        match answer {
            Some(true) => {}
            None if self.snapshot.is_native_asked() => {
                let text =
                    format!("{writes}: no answer of the last 30 seconds says that Kubernetes lets {giver} {does} it");
                self.say(Code::NativeRbacUnavailable, field, text);
            }
            Some(false) | None => {
                let text = format!("{writes}, and Kubernetes doesn't let {giver} {does} it");
                self.say(Code::EscalationDenied, field, text);
            }
        }
    }

    /// The first right of a template that the giver hasn't in that repository, or in the whole organization.
    fn lacks(&self, template: &Template, repository: Option<Named>) -> Option<(&'static Verb, Kind)> {
        let rights = self.rights.in_repository(repository);
        rights_of(template).find(|(verb, kind)| !rights.may(self.giver, verb, *kind))
    }

    /// Who loosens what holds people off grants it, and so administers each repository that it is about, or the organization where it is about all (P44, P61).
    fn loosens(&mut self, kind: Kind) {
        let (old, new) = (self.write.change.stored(), self.write.change.wanted());
        let fields = loosens::looser(kind, old, new);
        if fields.is_empty() {
            return;
        }
        let repository = |document: &'a Value| super::verbs::repository(kind, document);
        let places: BTreeSet<Option<&str>> = old.into_iter().chain(new).map(repository).collect();
        for place in places {
            let named = place.map(|name| self.snapshot.named_repository(self.namespace(), name));
            let Some((verb, lacked)) = self.lacks(&Template::RepositoryAdmin, named) else { continue };
            let (place, giver) = (place.unwrap_or("the whole organization"), self.giver);
            for field in &fields {
                let text = format!(
                    "grants what it kept from others in {place}: that takes {}, and {giver} may not even {verb} {lacked} there",
                    Template::RepositoryAdmin
                );
                self.say(Code::EscalationDenied, field, text);
            }
        }
    }

    /// Granting a Secret or a ConfigMap is reading it: where there is a cluster, it says so.
    fn granted(&mut self, field: &'static str, target: Target) {
        let is_more = match (self.write.change.stored(), self.write.change.wanted()) {
            (_, None) => false,
            (None, Some(_)) => true,
            (Some(old), Some(new)) => {
                old.get("spec") != new.get("spec") && new.pointer("/spec/revoked") != Some(&Value::Bool(true))
            }
        };
        let pointer = format!("/{}", field.replace('.', "/"));
        let Some(named) = self.write.change.wanted().filter(|_| is_more).and_then(|new| new.pointer(&pointer)) else {
            return;
        };
        let (name, said) = (text(named, "/name"), text(named, "/namespace"));
        self.reads(field, target, said, name, "grants");
    }

    fn provider(&mut self) {
        let named = |document: Option<&'a Value>| document.and_then(|it| it.pointer("/spec/authRef/secretRef"));
        let (old, new) = (named(self.write.change.stored()), named(self.write.change.wanted()));
        if let Some(new) = new.filter(|_| old != new) {
            let (name, said) = (text(new, "/name"), text(new, "/namespace"));
            self.reads("spec.authRef.secretRef", Target::Secret, said, name, "names");
        }
    }

    /// Whether Kubernetes lets the writer read what the write gives or names, in its own namespace or the one that it says. Without a cluster nobody asks.
    fn reads(&mut self, field: &'static str, target: Target, said: &str, name: &str, does: &str) {
        if !self.snapshot.is_native_asked() {
            return;
        }
        let namespace = if said.is_empty() { self.namespace() } else { said };
        let question = native::reads(self.request, self.snapshot, target.resource(), namespace, name);
        self.kubernetes(field, question, &format!("{does} the {} {namespace}/{name}", target.kind()), "read");
    }

    /// Keys that something is to be given: who adds one reads it.
    fn names(&mut self, field: &'static str, target: Target, old: &Keys<'_>, new: &Keys<'_>) {
        let added: BTreeSet<&str> = new.difference(old).map(|(name, _)| *name).collect();
        for name in added {
            self.reads(field, target, "", name, "names");
        }
    }

    /// Who gives an agent something to work with may use it themselves (P61).
    fn uses(&mut self, field: &'static str, kind: Kind, added: bool) {
        if added && !self.rights.may(self.giver, &Verb::Use, kind) {
            let text = format!("gives agents an {kind} to work with, which {} may not use", self.giver);
            self.say(Code::EscalationDenied, field, text);
        }
    }

    fn server(&mut self) {
        let Some(new) = self.wanted::<AgentMcpServer>() else { return };
        let old = self.stored::<AgentMcpServer>();
        // To suspend it lends nothing.
        let is_more =
            |old: &AgentMcpServer| AgentMcpServerSpec { suspend: new.spec.suspend, ..old.spec.clone() } != new.spec;
        let starts = |old: &AgentMcpServer| old.spec.suspend && !new.spec.suspend;
        self.uses("spec", Kind::AgentMcpServer, old.as_ref().is_none_or(|old| is_more(old) || starts(old)));
        let before = old.as_ref().map(secrets_of).unwrap_or_default();
        self.names("spec.secretRefs", Target::Secret, &before, &secrets_of(&new));
        let before = old.as_ref().map(configs_of).unwrap_or_default();
        self.names("spec.configRefs", Target::ConfigMap, &before, &configs_of(&new));
    }

    fn skill(&mut self) {
        let Some(new) = self.wanted::<AgentSkill>() else { return };
        let old = self.stored::<AgentSkill>();
        let old = old.as_ref();
        self.uses("spec", Kind::AgentSkill, old.is_none_or(|old| old.spec != new.spec));
        let added = |names: fn(&AgentSkill) -> &BTreeSet<String>| {
            old.map_or(!names(&new).is_empty(), |old| !names(&new).is_subset(names(old)))
        };
        let (servers, tools) = (added(|it| &it.spec.required_mcp_servers), added(|it| &it.spec.required_tools));
        self.uses("spec.requiredMcpServers", Kind::AgentMcpServer, servers);
        self.uses("spec.requiredTools", Kind::AgentToolProfile, tools);
        let before = old.map(|old| secret_keys(&old.spec.required_secret_refs)).unwrap_or_default();
        self.names("spec.requiredSecretRefs", Target::Secret, &before, &secret_keys(&new.spec.required_secret_refs));
        let before = old.map(|old| config_keys(&old.spec.required_config_refs)).unwrap_or_default();
        self.names("spec.requiredConfigRefs", Target::ConfigMap, &before, &config_keys(&new.spec.required_config_refs));
    }

    /// A subagent names what it works with, as a stack does; that an account of its own is bound is asked when it acts (P25).
    fn subagent(&mut self) {
        let Some(new) = self.wanted::<AgentSubagent>() else { return };
        let old = self.stored::<AgentSubagent>().map(|old| old.spec);
        let old = old.as_ref();
        let profile = new.spec.tool_profile_ref.as_ref();
        let other = profile.is_some() && old.and_then(|old| old.tool_profile_ref.as_ref()) != profile;
        let none = BTreeSet::new();
        let servers = !new.spec.mcp_server_refs.is_subset(old.map_or(&none, |old| &old.mcp_server_refs));
        let skills = !new.spec.skill_refs.is_subset(old.map_or(&none, |old| &old.skill_refs));
        self.uses("spec.toolProfileRef", Kind::AgentToolProfile, other);
        self.uses("spec.mcpServerRefs", Kind::AgentMcpServer, servers);
        self.uses("spec.skillRefs", Kind::AgentSkill, skills);
    }

    /// A workspace that is trusted, or shares something with other runs, is lent as a pool is.
    fn workspaces(&mut self) {
        let Some(new) = self.wanted::<AgentWorkspacePolicy>() else { return };
        let old = self.stored::<AgentWorkspacePolicy>();
        let trusts = |it: &AgentWorkspacePolicy| it.spec.trust_tier != TrustTier::Untrusted;
        let shares = |it: &AgentWorkspacePolicy| it.spec.caches != WorkspaceCache::None;
        let is_one = |it: &AgentWorkspacePolicy| it.spec.mode == WorkspaceMode::SharedWorktree;
        for (field, lends) in [
            ("spec.trustTier", &trusts as &dyn Fn(&AgentWorkspacePolicy) -> bool),
            ("spec.caches", &shares),
            ("spec.mode", &is_one),
        ] {
            self.uses(field, Kind::RunnerPool, lends(&new) && !old.as_ref().is_some_and(lends));
        }
    }

    fn model_provider(&mut self) {
        let Some(new) = self.wanted::<AgentProviderConfig>() else { return };
        let old = self.stored::<AgentProviderConfig>();
        let before = old.as_ref().map(|old| secret_keys(old.spec.secret_ref.as_ref())).unwrap_or_default();
        self.names("spec.secretRef", Target::Secret, &before, &secret_keys(new.spec.secret_ref.as_ref()));
    }

    /// More trust for an agent is lent by who could do it themselves.
    fn sync_policy(&mut self) {
        let Some(new) = self.wanted::<ExternalBackendSyncPolicy>() else { return };
        let old = self.stored::<ExternalBackendSyncPolicy>();
        let trusts = |policy: &WritePolicy, agent: &str, operation: &Operation| {
            policy.trusted_agents.iter().any(|it| it.agent == agent && it.operations.contains(operation))
        };
        for trusted in &new.spec.write_policy.trusted_agents {
            for operation in &trusted.operations {
                let before = old.as_ref().is_some_and(|old| trusts(&old.spec.write_policy, &trusted.agent, operation));
                let lent = right_of(operation).is_some_and(|(verb, kind)| self.rights.may(self.giver, &verb, kind));
                if !before && !lent {
                    let text = format!("trusts {} with {operation}, which {} couldn't do", trusted.agent, self.giver);
                    self.say(Code::EscalationDenied, "spec.writePolicy.trustedAgents", text);
                }
            }
        }
    }

    fn stack(&mut self) {
        let Some(new) = self.wanted::<AgentStack>() else { return };
        let old = self.stored::<AgentStack>();
        let none = BTreeSet::new();
        let added = |names: fn(&AgentStack) -> &BTreeSet<String>| {
            !names(&new).is_subset(old.as_ref().map_or(&none, |old| names(old)))
        };
        let another = |name: fn(&AgentStack) -> Option<&String>| {
            name(&new).is_some() && old.as_ref().and_then(|old| name(old)) != name(&new)
        };
        for (field, kind, is_more) in [
            ("spec.toolProfileRef", Kind::AgentToolProfile, another(|it| it.spec.tool_profile_ref.as_ref())),
            ("spec.runnerPool", Kind::RunnerPool, another(|it| it.spec.runner_pool.as_ref())),
            ("spec.mcpServerRefs", Kind::AgentMcpServer, added(|it| &it.spec.mcp_server_refs)),
            ("spec.skillRefs", Kind::AgentSkill, added(|it| &it.spec.skill_refs)),
            ("spec.memorySourceRefs", Kind::AgentMemorySource, added(|it| &it.spec.memory_source_refs)),
        ] {
            self.uses(field, kind, is_more);
        }
        let before = old.map(|old| old.spec.write_back_policy.allowed_targets).unwrap_or_default();
        let targets: Vec<String> = new.spec.write_back_policy.allowed_targets.difference(&before).cloned().collect();
        self.targets("spec.writeBackPolicy.allowedTargets", &targets);
    }

    fn targets(&mut self, field: &'static str, targets: &[String]) {
        for target in targets {
            let bare = target.split('/').next().unwrap_or_default();
            let lent = right_of_action(bare).is_some_and(|(verb, kind)| self.rights.may(self.giver, &verb, kind));
            if !lent {
                let text = format!("lets {target} be done, which {} couldn't do", self.giver);
                self.say(Code::EscalationDenied, field, text);
            }
        }
    }

    /// What can't be read allows nothing, and is told when it is written (P17, P18). Who changes what agents may do with it may use it themselves.
    fn profile(&mut self) {
        let spec = |document: Option<&'a Value>| document.and_then(|it| it.get("spec"));
        let (old, new) = (spec(self.write.change.stored()), spec(self.write.change.wanted()));
        self.uses("spec", Kind::AgentToolProfile, new.is_some() && old != new);
        let list = |pointer: &str| {
            let found = self.write.change.wanted().and_then(|new| new.pointer(pointer)).and_then(Value::as_array);
            found.into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect::<Vec<_>>()
        };
        let hosts = list("/spec/networkPolicy/allowHosts");
        let commands = [list("/spec/allowedCommands"), list("/spec/deniedCommands")].concat();
        for host in hosts {
            if let Err(error) = HostPattern::parse(&host) {
                self.say(Code::InvalidRequest, "spec.networkPolicy.allowHosts", format!("{host} {error}"));
            }
        }
        for command in commands {
            if let Err(error) = Command::parse(&command) {
                self.say(Code::InvalidRequest, "spec.allowedCommands", format!("{command}: the command {error}"));
            }
        }
    }

    /// P61: who writes a rule, or takes it into force, has all that the rule lends: to start the stack in each of its repositories, and each write-back.
    fn rule(&mut self) {
        let Some(new) = self.wanted::<AgentTriggerRule>() else { return };
        let is_off = matches!(
            new.spec.lifecycle_state,
            LifecycleState::Paused | LifecycleState::Disabled | LifecycleState::Archived
        );
        if is_off {
            return;
        }
        let repositories: Vec<Option<Named>> = if new.spec.matches.repositories.is_empty() {
            vec![None]
        } else {
            let named = |name: &String| Some(self.snapshot.named_repository(self.namespace(), name));
            new.spec.matches.repositories.iter().map(named).collect()
        };
        let targets = new.spec.write_back_policy.allowed_targets.iter();
        let actions: Vec<&str> = targets.map(|target| target.split('/').next().unwrap_or_default()).collect();
        for repository in repositories {
            let place =
                repository.as_ref().map_or_else(|| "the whole organization".to_owned(), |it| it.name.to_string());
            let rights = self.rights.in_repository(repository);
            if !rights.may(self.giver, &Verb::Dispatch, Kind::AgentStack) {
                let text = format!("starts {} in {place}, where {} may not", new.spec.agent_stack, self.giver);
                self.found.reasons.push(Reason::new(Code::EscalationDenied, "spec.match.repositories", text));
            }
            for action in &actions {
                let lent = right_of_action(action).is_some_and(|(verb, kind)| rights.may(self.giver, &verb, kind));
                if !lent {
                    let text = format!("lets {action} be done in {place}, which {} couldn't do", self.giver);
                    self.found.reasons.push(Reason::new(
                        Code::EscalationDenied,
                        "spec.writeBackPolicy.allowedTargets",
                        text,
                    ));
                }
            }
        }
    }

    /// R62: who reviews a label is another one than who wrote its fragment, or had it written.
    fn label(&mut self) {
        if self.request.action.verb != Verb::Decide {
            return;
        }
        let editor = self.stored::<AgentContextLabel>().and_then(|label| label.spec.editor);
        match editor {
            None => {
                let text = "is of a fragment of which nobody knows who wrote it: whoever writes the label next stands for it, and somebody else reviews it then (R62)";
                self.say(Code::ApproverNotAllowed, "spec.review", text);
            }
            Some(editor) if acts_in(&editor, &crate::audit::actor(self.request)) => {
                let text = format!(
                    "{} wrote the fragment as it stands, so that somebody else has to review it (R62)",
                    self.giver
                );
                self.say(Code::SelfApproval, "spec.review", text);
            }
            Some(_) => {}
        }
    }

    /// An answer that wouldn't count isn't taken (P29, P30, P32).
    fn approval(&mut self) {
        use krate_model::kinds::policy::AgentApproval;
        if self.request.action.verb != Verb::Decide {
            return;
        }
        let (Some(old), Some(new)) = (self.stored::<AgentApproval>(), self.wanted::<AgentApproval>()) else { return };
        let Some(answer) = new.spec.decide.as_ref().filter(|answer| old.spec.decide.as_ref() != Some(*answer)) else {
            return;
        };
        let given = old.status.as_ref().map_or(&[][..], |status| &status.decisions);
        if let Err(refusal) = may_add(&old.spec, given, &crate::audit::actor(self.request), &answer.verdict) {
            let code = match refusal {
                crate::approval::Refusal::SelfApproval { .. } => Code::SelfApproval,
                _ => Code::ApproverNotAllowed,
            };
            self.say(code, "spec.decide", refusal.to_string());
        }
        let named = old.spec.policy.as_ref().and_then(|terms| terms.approvers.as_ref());
        if named.is_some_and(|named| !self.rights.is_among(self.giver, named)) {
            let text = format!("{} has none of the roles and is in none of the teams that may answer it", self.giver);
            self.say(Code::ApproverNotAllowed, "spec.decide", text);
        }
    }
}
