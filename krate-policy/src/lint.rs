//! What is wrong with policies though each of them is valid (P70): what can't do anything, what does more than anybody needs, and what never ends.

use std::collections::BTreeSet;
use std::fmt;

use krate_model::Kind;
use krate_model::kinds::enforcement::{Engine, PolicyBinding, PolicyExceptionRequest};
use krate_model::kinds::grants::{AgentRoleBinding, GrantTarget};
use krate_model::kinds::shared::{RefFilter, Time};
use serde::Serialize;

use crate::pattern::{Domain, Filter, Pattern};
use crate::snapshot::{Item, Key, Metadata, Snapshot};

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
    /// Another one gives the same and more.
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
                    refs: $grant.spec.allowed_refs.as_ref(),
                    repositories: &$grant.spec.allowed_repositories,
                    target: &$grant.spec.$target,
                    target_uid: $grant.status.as_ref().and_then(|status| status.target_uid.as_deref()),
                    metadata: $known.get(&place(key, &$grant.spec.$target)),
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
            Item::PolicyBinding(binding) => look.policy(key, binding),
            Item::PolicyExceptionRequest(exception) => look.exception(key, exception),
            _ => {}
        }
    }
    look.found.into_iter().collect()
}

fn place(key: &Key, target: &GrantTarget) -> [Box<str>; 2] {
    [target.namespace.as_deref().unwrap_or(&key.namespace).into(), target.name.as_str().into()]
}

/// What a grant lists.
struct Lists<'a> {
    refs: Option<&'a RefFilter>,
    repositories: &'a BTreeSet<String>,
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
        self.repositories(key, "spec.allowedRepositories", lists.repositories, true);
        self.refs(key, "spec.allowedRefs", lists.refs);
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

    fn repositories(&mut self, key: &Key, field: &str, names: &BTreeSet<String>, is_needed: bool) {
        if names.is_empty() && is_needed {
            self.say(key, field, Rule::MatchesNothing, "an empty list gives nothing (R16): name the repositories");
        }
        for name in names.iter().filter(|name| self.snapshot.repository(&key.namespace, name).is_none()) {
            self.found.insert(Finding {
                name: format!("{}/{}", key.kind, key.name),
                namespace: key.namespace.to_string(),
                field: field.to_owned(),
                rule: Rule::Dangling,
                text: format!("there is no repository {name}"),
            });
        }
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
            if matches!(pattern.as_str(), "refs/**" | "refs/heads/**" | "refs/pull/**") && exclude.is_empty() {
                let text = format!(
                    "{} fits every branch, of whoever may push one: name them, or exclude the protected ones",
                    pattern.as_str()
                );
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
            self.repositories(key, "spec.match.repositories", &scope.repositories, false);
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
