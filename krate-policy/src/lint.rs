//! What is wrong with policies though each of them is valid (P70): what can't do anything, what does more than anybody needs, and what never ends.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use krate_model::Kind;
use krate_model::kinds::agents::AgentStack;
use krate_model::kinds::enforcement::{Engine, PolicyBinding, PolicyExceptionRequest};
use krate_model::kinds::grants::{
    AgentRoleBinding, ConfigPurpose, GrantSubject, GrantSubjectKind, GrantTarget, SecretPurpose,
};
use krate_model::kinds::members::UserState;
use krate_model::kinds::shared::{RefFilter, Time};
use krate_model::kinds::tools::{AgentToolProfile, NetworkDefault};
use krate_model::kinds::triggers::AgentTriggerRule;
use serde::Serialize;

use crate::command::Command;
use crate::host::HostPattern;
use crate::pattern::{Domain, Filter, Pattern};
use crate::request::{Need, User};
use crate::review::keys_of;
use crate::snapshot::{Item, Key, Metadata, Snapshot};

/// Patterns that leave nothing out of what they are about, and what that is.
const EVERYTHING: [(&str, &str); 3] = [
    ("refs/heads/**", "every branch, of whoever may push one"),
    ("refs/tags/**", "every tag, of whoever may push one"),
    ("refs/pull/**", "every pull request, of whoever opens one"),
];

/// What a finding is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[non_exhaustive]
pub enum Rule {
    /// A grant without an end and without a number of uses.
    NeverEnds,
    /// It is over, and still there.
    Ended,
    /// A list that fits nothing: an empty one, or one that names what isn't there.
    MatchesNothing,
    /// A pattern that a wider one before it, or one that excludes, leaves nothing to do.
    Unreachable,
    /// It fits more than one would look through: every ref, or every repository's fork.
    TooWide,
    /// It names something that isn't there, or is another by now.
    Dangling,
    /// Nothing needs it, or another one gives the same and more.
    Unused,
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

/// One finding.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct Finding {
    /// The resource, as `Kind/name`.
    pub name: String,
    /// Its namespace.
    pub namespace: String,
    /// Which field.
    pub field: String,
    /// Which rule.
    pub rule: Rule,
    /// What is the matter, and what would mend it.
    pub text: String,
}

/// Everything that is found in a snapshot at `now`, by resource, field and rule.
pub fn lint(snapshot: &Snapshot, now: Time) -> Vec<Finding> {
    let mut look = Look { snapshot, now, found: BTreeSet::new() };
    for (key, item) in snapshot.all() {
        // Both kinds of grants have the same lists, under types of their own.
        macro_rules! lists {
            ($grant:ident, $target:ident, $known:expr) => {
                Lists {
                    kind: key.kind,
                    subject: &$grant.spec.subject,
                    purpose: $grant.spec.purpose.as_str(),
                    refs: $grant.spec.allowed_refs.as_ref(),
                    repositories: &$grant.spec.allowed_repositories,
                    repository_uids: $grant.status.as_ref().map(|status| &status.repository_uids),
                    target: &$grant.spec.$target,
                    target_uid: $grant.status.as_ref().and_then(|status| status.target_uid.as_deref()),
                    metadata: $known.get(place(key, &$grant.spec.$target)),
                    ends: $grant.spec.expires_at,
                    is_counted: $grant.spec.max_uses.is_some(),
                }
            };
        }
        match item {
            Item::AgentSecretGrant(grant) => {
                look.grant(key, &lists!(grant, secret_ref, snapshot.secrets));
                if grant.spec.allow_fork_causes {
                    let text = "a fork may get it, once a person has agreed to its head";
                    look.say(key, "spec.allowForkCauses", Rule::TooWide, text);
                }
            }
            Item::AgentConfigGrant(grant) => look.grant(key, &lists!(grant, config_map_ref, snapshot.config_maps)),
            Item::AgentRoleBinding(binding) => look.role(key, binding),
            Item::Team(team) => {
                let uids = team.status.as_ref().map(|status| &status.repository_uids);
                for grant in &team.spec.repository_grants {
                    look.repository(key, "spec.repositoryGrants", &grant.repository, uids);
                }
            }
            Item::PolicyBinding(binding) => look.policy(key, binding),
            Item::PolicyExceptionRequest(exception) => look.exception(key, exception),
            Item::AgentStack(stack) => look.stack(key, stack),
            Item::AgentToolProfile(profile) => look.profile(key, profile),
            Item::AgentTriggerRule(rule) => look.rule(key, rule),
            Item::RunnerPool(_) => look.unused(key, |stack| stack.spec.runner_pool.as_deref()),
            _ => {}
        }
    }
    look.found.into_iter().collect()
}

fn place<'a>(key: &'a Key, target: &'a GrantTarget) -> [&'a str; 2] {
    [target.namespace.as_deref().unwrap_or(&key.namespace), &target.name]
}

/// What a grant lists.
struct Lists<'a> {
    kind: Kind,
    subject: &'a GrantSubject,
    purpose: &'a str,
    refs: Option<&'a RefFilter>,
    repositories: &'a BTreeSet<String>,
    repository_uids: Option<&'a BTreeMap<String, String>>,
    target: &'a GrantTarget,
    target_uid: Option<&'a str>,
    metadata: Option<&'a Metadata>,
    ends: Option<Time>,
    is_counted: bool,
}

struct Look<'a> {
    snapshot: &'a Snapshot,
    now: Time,
    found: BTreeSet<Finding>,
}

impl Look<'_> {
    fn say(&mut self, key: &Key, field: &str, rule: Rule, text: impl Into<String>) {
        self.found.insert(Finding {
            name: format!("{}/{}", key.kind, key.name),
            namespace: key.namespace.to_string(),
            field: field.to_owned(),
            rule,
            text: text.into(),
        });
    }

    fn grant(&mut self, key: &Key, lists: &Lists<'_>) {
        match lists.ends {
            None if !lists.is_counted => {
                self.say(
                    key,
                    "spec.expiresAt",
                    Rule::NeverEnds,
                    "it has no end and no number of uses: set expiresAt or maxUses",
                );
            }
            Some(end) if end <= self.now => {
                self.say(key, "spec.expiresAt", Rule::Ended, format!("it ended at {}: remove it", end.to_rfc3339()));
            }
            _ => {}
        }
        if lists.repositories.is_empty() {
            let text = "an empty list gives nothing (R16): name the repositories";
            self.say(key, "spec.allowedRepositories", Rule::MatchesNothing, text);
        }
        for name in lists.repositories {
            self.repository(key, "spec.allowedRepositories", name, lists.repository_uids);
        }
        self.refs(key, "spec.allowedRefs", lists.refs);
        self.needed(key, lists);
        let target = &lists.target.name;
        match lists.metadata {
            None => self.say(key, "spec", Rule::Dangling, format!("{target} isn't there")),
            Some(known) if lists.target_uid.is_some_and(|uid| uid != &*known.uid) => {
                self.say(
                    key,
                    "spec",
                    Rule::Dangling,
                    format!("{target} is another by now than the one that was granted"),
                );
            }
            Some(known) => {
                let absent = |name: &&String| known.keys.as_ref().is_some_and(|keys| !keys.contains(name.as_str()));
                for name in lists.target.keys.iter().filter(absent) {
                    self.say(key, "spec", Rule::MatchesNothing, format!("{target} has no key {name}"));
                }
            }
        }
    }

    /// Whether the grant's subject is there, and some stack needs a key of it. Of purposes that a stack's own resources don't tell, such as those of tools, nobody knows
    /// before they are asked for.
    fn needed(&mut self, key: &Key, lists: &Lists<'_>) {
        let subject = lists.subject;
        let kind = match subject.kind {
            GrantSubjectKind::AgentStack => Kind::AgentStack,
            GrantSubjectKind::Subagent => Kind::AgentSubagent,
            GrantSubjectKind::McpServer => Kind::AgentMcpServer,
            GrantSubjectKind::Skill => Kind::AgentSkill,
            GrantSubjectKind::Runner => Kind::RunnerPool,
            GrantSubjectKind::ServiceAccount => Kind::AgentServiceAccount,
            // A tool is its profile's, and no resource.
            _ => return,
        };
        if self.snapshot.item(kind, &key.namespace, &subject.name).is_none() {
            let text = format!("there is no {} {}", subject.kind, subject.name);
            return self.say(key, "spec.subject", Rule::Dangling, text);
        }
        let told = [
            SecretPurpose::ModelProviderToken.as_str(),
            SecretPurpose::McpServer.as_str(),
            SecretPurpose::Skill.as_str(),
            ConfigPurpose::McpConfig.as_str(),
            ConfigPurpose::SkillConfig.as_str(),
        ];
        if !told.contains(&lists.purpose) {
            return;
        }
        let gives = |user: &User, name: &str, wanted: &str, purpose: &str, stack: &str| {
            let of_user = user.kind == subject.kind && *user.name == *subject.name;
            // R16: what is granted to a stack is its parts', too.
            let of_stack = subject.kind == GrantSubjectKind::AgentStack && stack == subject.name;
            (of_user || of_stack)
                && name == lists.target.name
                && lists.target.keys.contains(wanted)
                && purpose == lists.purpose
        };
        let is_needed = self.stacks(&key.namespace).into_iter().any(|stack| {
            let name = stack.metadata.name.as_deref().unwrap_or_default();
            keys_of(self.snapshot, &key.namespace, stack).iter().any(|need| match need {
                Need::Secret { user, name: of, key, purpose, .. } if lists.kind == Kind::AgentSecretGrant => {
                    gives(user, of, key, purpose.as_str(), name)
                }
                Need::Config { user, name: of, key, purpose, .. } if lists.kind == Kind::AgentConfigGrant => {
                    gives(user, of, key, purpose.as_str(), name)
                }
                _ => false,
            })
        });
        if !is_needed {
            let text = format!("nothing that a stack names needs a key of {} for {}", lists.target.name, lists.purpose);
            self.say(key, "spec.subject", Rule::Unused, text);
        }
    }

    /// Whether the repository is there; of one that was granted by its id, whether it is that one still (P20).
    fn repository(&mut self, key: &Key, field: &str, name: &str, granted: Option<&BTreeMap<String, String>>) {
        let found = self.snapshot.repository(&key.namespace, name);
        let uid = granted.and_then(|uids| uids.get(name));
        let text = match (found, uid) {
            (None, Some(uid)) => match self.called(&key.namespace, uid) {
                Some(now) => {
                    format!("{name} is called {now} by now, and keeps this by its id: look whether that is still meant")
                }
                None => format!("there is no repository {name}"),
            },
            (None, None) => format!("there is no repository {name}"),
            (Some(found), Some(uid)) if found.metadata.uid.as_ref() != Some(uid) => {
                format!("repository {name} is another by now than the one that was granted, and inherits nothing (P20)")
            }
            (Some(_), None) if granted.is_some() => {
                format!("gives nothing in {name} yet: status.repositoryUids doesn't hold its uid (P20)")
            }
            (Some(_), _) => return,
        };
        self.say(key, field, Rule::Dangling, text);
    }

    /// What the repository of that uid is called.
    fn called(&self, namespace: &str, uid: &str) -> Option<&str> {
        self.snapshot.all().find_map(|(key, item)| {
            (key.kind == Kind::Repository && *key.namespace == *namespace && item.uid() == Some(uid))
                .then_some(&*key.name)
        })
    }

    fn refs(&mut self, key: &Key, field: &str, refs: Option<&RefFilter>) {
        let Some(RefFilter { include, exclude }) = refs else { return };
        if include.is_empty() {
            self.say(key, field, Rule::MatchesNothing, "an empty include list gives nothing (P15): name the refs");
        }
        let Ok(filter) = Filter::new(Some(include), exclude, Domain::Ref) else { return };
        for (pattern, wider) in filter.unreachable() {
            let text = format!("{} does nothing: {} before it fits all of that", pattern.as_str(), wider.as_str());
            self.say(key, field, Rule::Unreachable, text);
        }
        let read = |texts: &[String]| -> Vec<Pattern> {
            texts.iter().filter_map(|text| Pattern::parse(text, Domain::Ref).ok()).collect()
        };
        let excluding = read(exclude);
        for pattern in read(include) {
            if let Some(wider) = excluding.iter().find(|wider| wider.covers(&pattern)) {
                let text = format!("{} does nothing: {} excludes all of that", pattern.as_str(), wider.as_str());
                self.say(key, field, Rule::Unreachable, text);
            }
            let wide = EVERYTHING
                .iter()
                .find(|(every, _)| Pattern::parse(every, Domain::Ref).is_ok_and(|every| pattern.covers(&every)));
            if let Some((_, what)) = wide.filter(|_| exclude.is_empty()) {
                let text = format!("{} fits {what}: name them, or exclude the protected ones", pattern.as_str());
                self.say(key, field, Rule::TooWide, text);
            }
        }
    }

    fn role(&mut self, key: &Key, binding: &AgentRoleBinding) {
        let subject = &binding.spec.subject;
        let known = match subject.kind.as_str() {
            "user" => self.snapshot.user(&key.namespace, &subject.name).map(|user| user.metadata.uid.clone()),
            "team" => {
                self.snapshot.item(Kind::Team, &key.namespace, &subject.name).map(|it| it.uid().map(str::to_owned))
            }
            // Other subjects aren't kept here.
            _ => return,
        };
        let bound = binding.status.as_ref().and_then(|status| status.subject_uid.clone());
        match known {
            None => {
                let text = format!("there is no {} {}", subject.kind, subject.name);
                self.say(key, "spec.subject", Rule::Dangling, text);
            }
            Some(uid) if bound.is_some() && uid != bound => {
                let text = format!("{} {} is another by now, and inherits nothing (P20)", subject.kind, subject.name);
                self.say(key, "spec.subject", Rule::Dangling, text);
            }
            Some(_) => {}
        }
    }

    fn policy(&mut self, key: &Key, binding: &PolicyBinding) {
        let spec = &binding.spec;
        let templates = [&*key.namespace, krate_model::validate::DEFAULT_SECRET_NAMESPACE];
        let template = templates.into_iter().find_map(|namespace| {
            match self.snapshot.item(Kind::PolicyTemplate, namespace, &spec.template_ref) {
                Some(Item::PolicyTemplate(template)) => Some(template),
                _ => None,
            }
        });
        let Some(template) = template else {
            let text = format!("there is no template {}: what can't be judged is denied", spec.template_ref);
            return self.say(key, "spec.templateRef", Rule::Dangling, text);
        };
        if template.spec.engine == Engine::Krate
            && let Some(scope) = &spec.scope
        {
            for name in &scope.repositories {
                self.repository(key, "spec.match.repositories", name, None);
            }
            self.refs(key, "spec.match.refs", scope.refs.as_ref());
            let strange: Vec<&String> = scope.kinds.difference(&template.spec.target_kinds).collect();
            if !scope.kinds.is_empty() && strange.len() == scope.kinds.len() {
                let text = "none of these kinds is one that the template is about";
                self.say(key, "spec.match.kinds", Rule::MatchesNothing, text);
            }
        }
        let same = self.snapshot.guards(&key.namespace).find(|other| {
            *other.name < *key.name
                && !other.suspended
                && *other.template == *spec.template_ref
                && other.is_everywhere()
        });
        if let Some(other) = same.filter(|other| other.enforces || spec.mode.as_str() == "audit") {
            let text = format!("PolicyBinding/{} puts the same template in force everywhere", other.name);
            self.say(key, "spec.match", Rule::Unused, text);
        }
    }

    /// The stacks of a namespace.
    fn stacks(&self, namespace: &str) -> Vec<&AgentStack> {
        let all = self.snapshot.all().filter(|(key, _)| *key.namespace == *namespace);
        all.filter_map(|(_, item)| if let Item::AgentStack(stack) = item { Some(&**stack) } else { None }).collect()
    }

    fn unused(&mut self, key: &Key, named: fn(&AgentStack) -> Option<&str>) {
        if !self.stacks(&key.namespace).into_iter().any(|stack| named(stack) == Some(&*key.name)) {
            self.say(key, "metadata.name", Rule::Unused, "no stack uses it");
        }
    }

    fn stack(&mut self, key: &Key, stack: &AgentStack) {
        let snapshot = self.snapshot;
        let Some(name) = stack.spec.tool_profile_ref.as_deref() else { return };
        let Some(tools) = snapshot.tools(&key.namespace, name) else {
            return self.say(key, "spec.toolProfileRef", Rule::Dangling, format!("there is no tool profile {name}"));
        };
        let granted = snapshot.all().find(|(at, item)| {
            let subject = match item {
                Item::AgentSecretGrant(grant) => &grant.spec.subject,
                _ => return false,
            };
            at.namespace == key.namespace && subject.kind.as_str() == "agent-stack" && *subject.name == *key.name
        });
        if let Some((grant, _)) = granted.filter(|_| tools.runs_anything() && tools.reaches_out()) {
            let text =
                format!("a shell with a network may send away what {} gives: arguments confine nothing", grant.name);
            self.say(key, "spec.toolProfileRef", Rule::TooWide, text);
        }
    }

    fn profile(&mut self, key: &Key, profile: &AgentToolProfile) {
        let used = self.snapshot.all().any(|(at, item)| {
            at.namespace == key.namespace
                && match item {
                    Item::AgentStack(stack) => stack.spec.tool_profile_ref.as_deref() == Some(&*key.name),
                    Item::AgentSubagent(subagent) => subagent.spec.tool_profile_ref.as_deref() == Some(&*key.name),
                    _ => false,
                }
        });
        if !used {
            self.say(key, "metadata.name", Rule::Unused, "no stack and no subagent uses it");
        }
        let spec = &profile.spec;
        for host in spec.network_policy.allow_hosts.iter().filter(|host| HostPattern::parse(host).is_err()) {
            let text = format!("{host} can't be read, and fits nothing");
            self.say(key, "spec.networkPolicy.allowHosts", Rule::MatchesNothing, text);
        }
        if spec.network_policy.default == NetworkDefault::Allow {
            self.say(
                key,
                "spec.networkPolicy.default",
                Rule::TooWide,
                "every public host is reached: list them instead",
            );
        }
        let bad = |entries: &[String]| entries.iter().find(|entry| Command::parse(entry).is_err()).cloned();
        if let Some(entry) = bad(&spec.allowed_commands) {
            let text = format!("{entry} can't be read, and allows nothing");
            self.say(key, "spec.allowedCommands", Rule::MatchesNothing, text);
        }
        if let Some(entry) = bad(&spec.denied_commands) {
            let text = format!("{entry} can't be read, so that every command is denied");
            self.say(key, "spec.deniedCommands", Rule::MatchesNothing, text);
        }
    }

    fn rule(&mut self, key: &Key, rule: &AgentTriggerRule) {
        let snapshot = self.snapshot;
        if snapshot.get::<AgentStack>(&key.namespace, &rule.spec.agent_stack).is_none() {
            let text = format!("there is no stack {}", rule.spec.agent_stack);
            self.say(key, "spec.agentStack", Rule::Dangling, text);
        }
        let owner = rule.spec.owner.as_ref().map(|owner| owner.name.as_str());
        let known = owner.and_then(|owner| snapshot.user(&key.namespace, owner));
        if known.is_none_or(|user| user.spec.state != UserState::Active) {
            self.say(
                key,
                "spec.owner",
                Rule::Dangling,
                "its owner is gone or suspended: nothing that it starts is allowed",
            );
        }
        for name in &rule.spec.matches.repositories {
            self.repository(key, "spec.match.repositories", name, None);
        }
        self.refs(key, "spec.match.refs", rule.spec.matches.refs.as_ref());
        let paths = rule.spec.write_back_policy.allowed_paths.as_ref();
        if paths.is_some_and(|paths| paths.exclude.is_empty() && paths.include.iter().any(|it| it == "**")) {
            let text = "** fits every file: name the folders, or exclude what nobody may write";
            self.say(key, "spec.writeBackPolicy.allowedPaths", Rule::TooWide, text);
        }
    }

    fn exception(&mut self, key: &Key, exception: &PolicyExceptionRequest) {
        let spec = &exception.spec;
        if spec.expires_at <= self.now {
            let text = format!("it ended at {}: remove it", spec.expires_at.to_rfc3339());
            self.say(key, "spec.expiresAt", Rule::Ended, text);
        }
        if self.snapshot.item(Kind::PolicyBinding, &key.namespace, &spec.policy_ref).is_none() {
            self.say(key, "spec.policyRef", Rule::Dangling, format!("there is no policy {}", spec.policy_ref));
        }
    }
}
