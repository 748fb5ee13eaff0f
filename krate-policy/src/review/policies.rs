//! Step 4: what is denied whoever asks. Policies in force, with their exceptions (P10, P45, P50, P68), and what the binding of the repository lets be
//! written at its provider (P58).
//!
//! A policy asks for trust, which the causes give; so the step is taken after them, and its reasons stand where they belong.

use std::collections::BTreeMap;

use chrono::TimeDelta;
use krate_model::kinds::enforcement::{
    Effect, Engine, FailurePolicy, KrateRule, PolicyExceptionRequest, PolicyExceptionRequestPhase, PolicyProfile,
    PolicyTemplate,
};
use krate_model::kinds::external::{
    BindingInterface, ExternalBackendBinding, ExternalBackendProvider, ExternalBackendSyncPolicy, WritePolicy,
};
use krate_model::kinds::policy::ApprovalClass;
use krate_model::kinds::sets::{Mode, Operation};
use krate_model::kinds::shared::{Actor, Approvers};
use krate_model::validate::DEFAULT_SECRET_NAMESPACE;
use krate_model::{ClosedSet, Kind};

use super::{Review, agents, role};
use crate::grant::version;
use crate::guard::Guard;
use crate::reason::{Code, Reason};
use crate::request::{Action, Subject, SubjectKind, Verb};
use crate::roles;
use crate::snapshot::Item;
use crate::trust::Level;

/// How long broken glass holds at most (P50).
const MAX_BROKEN_GLASS: TimeDelta = TimeDelta::hours(1);

pub(super) fn step(review: &mut Review<'_>) {
    let snapshot = review.snapshot;
    for guard in snapshot.guards(review.namespace).filter(|guard| !guard.suspended) {
        judge(review, guard);
    }
    write(review);
}

/// What a policy comes to for the request.
enum Holds {
    No,
    Yes(Effect, Option<ApprovalClass>),
    /// It can't be judged: why.
    Unknown(&'static str),
}

fn judge(review: &mut Review<'_>, guard: &Guard) {
    let snapshot = review.snapshot;
    let (effect, class, why) = match holds(review, guard) {
        Holds::No => return,
        Holds::Yes(effect, class) => (effect, class, "denies it"),
        Holds::Unknown(why) => {
            // P45: where a policy can't be judged, the profile says what that means; without its word it is a no.
            if profile(review, guard).is_some_and(|profile| profile.spec.failure_policy == FailurePolicy::FailOpen) {
                let text = format!("the policy can't be judged and is left out, as its profile wants: {why}");
                return review.say(Reason::new(Code::WouldDeny, "action", text).by(guard.version.name.clone()));
            }
            (Effect::Deny, None, why)
        }
    };
    review.used(&guard.version, None);
    if !guard.enforces {
        let text = "the policy would stop it, and only tells so far";
        return review.say(Reason::new(Code::WouldDeny, "action", text).by(guard.version.name.clone()));
    }
    if effect == Effect::RequireApproval {
        let class = class.unwrap_or(ApprovalClass::Escalation);
        return review.asks.push((class, guard.version.name.clone()));
    }
    if let Some((exception, code)) = exception(review, guard) {
        let name = version(Kind::PolicyExceptionRequest, &exception.metadata);
        let by = name.name.clone();
        review.used(&name, Some(exception.spec.expires_at));
        let text = format!("lifts {} until {}", guard.version.name, exception.spec.expires_at.to_rfc3339());
        return review.say(Reason::new(code, "action", text).by(by));
    }
    review.say(Reason::new(Code::ExplicitDeny, "action", why).by(guard.version.name.clone()));
    // P30: what lifted it but for that is told, so that the one who asked knows to ask somebody else.
    let own = snapshot.exceptions(review.namespace, &guard.name).filter(|it| fits(review, it) && is_own(it));
    let own: Vec<_> = own.map(|it| version(Kind::PolicyExceptionRequest, &it.metadata)).collect();
    for exception in own {
        let text = "the exception was approved by who asked for it";
        review.say(Reason::new(Code::SelfApproval, "action", text).by(exception.name.clone()));
    }
}

fn holds(review: &Review<'_>, guard: &Guard) -> Holds {
    let request = review.request;
    if !guard.covers(request) {
        return Holds::No;
    }
    let Some(template) = template(review, guard) else { return Holds::Unknown("its template isn't there") };
    let kinds = &template.spec.target_kinds;
    if !kinds.iter().any(|kind| **kind == *request.action.kind) {
        return Holds::No;
    }
    let missing = |parameter: &krate_model::kinds::enforcement::PolicyParameter| {
        parameter.required && parameter.default.is_none() && !guard.parameters.contains(parameter.name.as_str())
    };
    match (&template.spec.engine, &template.spec.krate) {
        // Others judge these, where they are installed.
        (Engine::Cel | Engine::Kyverno, _) => Holds::No,
        _ if template.spec.parameters.iter().any(missing) => Holds::Unknown("a parameter that it needs has no value"),
        (Engine::Krate, Some(rule)) => rule_holds(review, guard, rule),
        _ => Holds::Unknown("its engine isn't known"),
    }
}

fn rule_holds(review: &Review<'_>, guard: &Guard, rule: &KrateRule) -> Holds {
    let action = &review.request.action;
    let verbs = rule.verbs.is_empty() || rule.verbs.contains(action.verb.as_str());
    let operation = action.operation.as_deref();
    let operations = rule.operations.is_empty() || operation.is_some_and(|it| rule.operations.contains(it));
    if !verbs || !operations {
        return Holds::No;
    }
    if let Some(least) = &rule.min_trust {
        let Some(least) = Level::ALL.iter().find(|level| level.as_str() == least) else {
            return Holds::Unknown("its minTrust isn't known");
        };
        if review.trust.steering >= *least && !review.trust.is_fork {
            return Holds::No;
        }
    }
    match &guard.labels {
        None => {}
        Some(Err(_)) => return Holds::Unknown("its label selector can't be read"),
        Some(Ok(selector)) => {
            let mut known = labels(review).peekable();
            if known.peek().is_none() {
                return Holds::Unknown("it is about objects with labels, and those of this one aren't known");
            }
            if !known.any(|labels| selector.matches(labels)) {
                return Holds::No;
            }
        }
    }
    if !rule.effect.is_known() {
        return Holds::Unknown("its effect isn't known");
    }
    Holds::Yes(rule.effect.clone(), rule.approval_class.clone())
}

/// The labels of what is acted on: as the snapshot knows them, as the request tells them, and as they would become.
fn labels<'r>(review: &'r Review<'_>) -> impl Iterator<Item = &'r BTreeMap<String, String>> {
    let request = review.request;
    let own =
        request.object.as_ref().filter(|it| it.organization.as_ref().is_none_or(|it| *it == request.organization));
    let named = match (&request.object, review.kind) {
        (Some(_), _) => own.and_then(|it| Some((it.kind.parse().ok()?, &it.name))),
        (None, Some(kind @ Kind::Repository)) => request.repository.as_ref().map(|it| (kind, &it.name)),
        (None, Some(kind @ Kind::AgentStack)) => request.agent_stack.as_ref().map(|it| (kind, &it.name)),
        (None, _) => None,
    };
    let kept = named.and_then(|(kind, name)| review.snapshot.item(kind, review.namespace, name));
    let told = request.object.as_ref().map(|it| [it.labels.as_ref(), it.labels_after.as_ref()]);
    kept.map(Item::labels).into_iter().chain(told.into_iter().flatten().flatten())
}

/// The organization's own template, else the platform's.
fn template<'a>(review: &Review<'a>, guard: &Guard) -> Option<&'a PolicyTemplate> {
    [review.namespace, DEFAULT_SECRET_NAMESPACE].into_iter().find_map(|namespace| {
        match review.snapshot.item(Kind::PolicyTemplate, namespace, &guard.template) {
            Some(Item::PolicyTemplate(template)) => Some(template.as_ref()),
            _ => None,
        }
    })
}

fn profile<'a>(review: &Review<'a>, guard: &Guard) -> Option<&'a PolicyProfile> {
    match review.snapshot.item(Kind::PolicyProfile, review.namespace, guard.profile.as_deref()?) {
        Some(Item::PolicyProfile(profile)) => Some(profile),
        _ => None,
    }
}

/// The exception that lifts the policy for this subject and object now (P68), or the broken glass (P50).
fn exception<'a>(review: &Review<'a>, guard: &Guard) -> Option<(&'a PolicyExceptionRequest, Code)> {
    let approvers = profile(review, guard).and_then(|profile| profile.spec.exception_policy.as_ref());
    let approvers = approvers.map(|policy| policy.approvers.clone()).unwrap_or_default();
    review.snapshot.exceptions(review.namespace, &guard.name).find_map(|exception| {
        let code = if exception.spec.break_glass { Code::BreakGlassUsed } else { Code::ExceptionApplied };
        // krate's engine has one rule a template, and it is named as the template is.
        let names = &exception.spec.rule_names;
        let of_rule = names.is_empty() || names.contains(&*guard.template);
        (of_rule && fits(review, exception) && is_given(review, exception, &approvers)).then_some((exception, code))
    })
}

/// Whether it is in force, and for this subject and this object.
fn fits(review: &Review<'_>, exception: &PolicyExceptionRequest) -> bool {
    let (request, spec) = (review.request, &exception.spec);
    let phase = exception.status.as_ref().map(|status| &status.phase);
    let running = matches!(phase, Some(PolicyExceptionRequestPhase::Approved | PolicyExceptionRequestPhase::Applied))
        && request.now < spec.expires_at;
    let object = &spec.resource_ref;
    let same = |kind: &str, name: &str, uid: Option<&str>| {
        object.kind == kind && object.name == name && object.uid.as_deref().is_none_or(|known| uid == Some(known))
    };
    let about = request.object.as_ref().is_some_and(|it| {
        let own = it.organization.as_deref().is_none_or(|organization| organization == &*request.organization);
        own && same(&it.kind, &it.name, it.uid.as_deref())
    }) || request.repository.as_ref().is_some_and(|it| same("Repository", &it.name, Some(&it.uid)));
    let acts = &request.subject;
    let subject = match &spec.subject {
        Some(subject) => {
            // `AgentStack` here is `agent-stack` there.
            let kind = acts.kind.as_str().replace('-', "");
            let uid = subject.uid.as_deref();
            subject.name == *acts.name
                && subject.kind.eq_ignore_ascii_case(&kind)
                && uid.is_none_or(|uid| uid == &*acts.uid)
        }
        // P68: for one subject; where none is named, for who asked.
        None => acts.kind == SubjectKind::User && spec.requested_by.as_ref().is_some_and(|asked| is_asker(acts, asked)),
    };
    running && about && subject
}

/// Whether the subject is the person who asked.
fn is_asker(subject: &Subject, asked: &Actor) -> bool {
    asked.name == *subject.name && asked.uid.as_deref().is_none_or(|uid| uid == &*subject.uid)
}

/// Whether those who gave it are who asked for it, and nobody else.
fn is_own(exception: &PolicyExceptionRequest) -> bool {
    let given = exception.status.as_ref().map_or(&[][..], |status| &status.approvers);
    let asked = exception.spec.requested_by.as_ref();
    !exception.spec.break_glass
        && !given.is_empty()
        && asked.is_some_and(|asked| given.iter().all(|person| is_same_person(person, asked)))
}

fn is_same_person(one: &Actor, other: &Actor) -> bool {
    one.name == other.name || (one.uid.is_some() && one.uid == other.uid)
}

/// The broken glass that counts as the approval of a class, where the action itself is of that class (P50): never for what comes from a fork.
pub(super) fn broken_glass<'a>(review: &Review<'a>, class: &ApprovalClass) -> Option<&'a PolicyExceptionRequest> {
    let counts = |glass: &&PolicyExceptionRequest| {
        glass.spec.action_class.as_ref() == Some(class)
            && fits(review, glass)
            && is_given(review, glass, &Approvers::default())
    };
    let person = &review.request.subject.name;
    review.snapshot.broken_glass(review.namespace, person).find(counts).filter(|_| !review.trust.is_fork)
}

/// Whether somebody gave it who may and didn't ask (P68). Broken glass is its own approval: for one class of action and at most an hour, for a person who has the
/// right to break it and acts themselves (P50).
fn is_given(review: &Review<'_>, exception: &PolicyExceptionRequest, approvers: &Approvers) -> bool {
    let Some(asked) = &exception.spec.requested_by else { return false };
    if exception.spec.break_glass {
        let subject = &review.request.subject;
        let left = exception.spec.expires_at.signed_duration_since(review.request.now);
        return subject.kind == SubjectKind::User
            && exception.spec.action_class.is_some()
            && exception.spec.action_class == class_of(&review.request.action)
            && left <= MAX_BROKEN_GLASS
            && review.request.actor_chain.len() == 1
            && is_asker(subject, asked)
            && role::may(review, &subject.name, &Verb::BreakGlass);
    }
    let given = exception.status.as_ref().map_or(&[][..], |status| &status.approvers);
    given.iter().any(|person| {
        !is_same_person(person, asked)
            && person.on_behalf_of.is_none()
            && role::is_among(review, &person.name, approvers)
    })
}

/// The class of approvals that an action is of (section 6); none, where it is of no class.
fn class_of(action: &Action) -> Option<ApprovalClass> {
    let operation = action.operation.as_deref().map(Operation::from_text).filter(Operation::is_write);
    Some(match (&action.verb, operation) {
        (_, Some(operation)) => class_of_operation(&operation),
        (Verb::Dispatch, _) => ApprovalClass::RunStart,
        (Verb::Resolve, _) => ApprovalClass::ConflictResolution,
        (Verb::Merge, _) if *action.kind == *Kind::PullRequest.as_str() => ApprovalClass::Merge,
        _ => return None,
    })
}

/// The class of approvals that a write at a provider is of.
pub(super) const fn class_of_operation(operation: &Operation) -> ApprovalClass {
    match operation {
        Operation::MergePullRequest => ApprovalClass::Merge,
        Operation::CreateRelease | Operation::UpdateRelease => ApprovalClass::Release,
        Operation::CreateRef | Operation::UpdateRef | Operation::DeleteRef => ApprovalClass::BranchPush,
        Operation::RerunPipeline => ApprovalClass::Rerun,
        _ => ApprovalClass::WriteBack,
    }
}

/// P58: the mode of the repository's binding, then what its policy denies, then what it allows; P40: what the provider would refuse.
fn write(review: &mut Review<'_>) {
    let request = review.request;
    if let Some(name) = request.action.operation.as_deref() {
        let operation = Operation::from_text(name);
        if !operation.is_known() {
            return review.deny(Code::ModeForbidsWrite, "action.operation", "no provider has such an operation");
        }
        if !operation.is_write() {
            return;
        }
        return match bound(review, &operation) {
            Some(bound) => write_there(review, bound, &operation),
            None => review.deny(
                Code::ModeForbidsWrite,
                "action.operation",
                "nothing binds the repository to a provider for it",
            ),
        };
    }
    // Who doesn't say which operation it comes to is held to all that it may come to.
    let of_kind = review.kind.filter(|_| request.action.subresource.is_none());
    let operations = of_kind.map_or(&[][..], |kind| roles::operations(&request.action.verb, kind));
    let mut is_bound = false;
    for operation in operations {
        if let Some(bound) = bound(review, operation) {
            is_bound = true;
            write_there(review, bound, operation);
        }
    }
    // What no provider holds has no policy that trusts an agent with it.
    if !is_bound
        && !operations.is_empty()
        && agents::is_agents(review)
        && let Some(agent) = &review.agent
    {
        let by = agent.stack.version.name.clone();
        review.asks.push((class_of(&request.action).unwrap_or(ApprovalClass::WriteBack), by));
    }
}

/// Where an operation on the request's repository goes to.
type Bound<'a> = (&'a ExternalBackendBinding, &'a BindingInterface);

fn bound<'a>(review: &Review<'a>, operation: &Operation) -> Option<Bound<'a>> {
    let repository = review.request.repository.as_ref().map_or("", |repository| &*repository.name);
    let interface = operation.interface();
    review.snapshot.bindings(review.namespace, repository).find_map(|binding| {
        let found = binding.spec.interfaces.iter().find(|it| it.enabled && Some(&it.name) == interface.as_ref())?;
        Some((binding, found))
    })
}

fn write_there(review: &mut Review<'_>, (binding, interface): Bound<'_>, operation: &Operation) {
    let request = review.request;
    let binding_version = version(Kind::ExternalBackendBinding, &binding.metadata);
    let by = binding_version.name.clone();
    review.used(&binding_version, None);
    let of_kind = interface.kinds.iter().find(|it| *it.kind == *request.action.kind);
    let mode_of_kind = of_kind.and_then(|it| it.mode.as_ref()).unwrap_or(&interface.mode);
    let mode_of = |path: &str| {
        let field = of_kind.and_then(|it| it.fields.iter().find(|field| field.path == path));
        field.and_then(|field| field.mode.as_ref()).unwrap_or(mode_of_kind)
    };
    let told = request.action.fields.iter().map(|path| (&**path, mode_of(path)));
    let whole = request.action.fields.is_empty().then_some(("anything", mode_of_kind));
    let modes: Vec<(&str, &Mode)> = told.chain(whole).collect();
    for (what, mode) in modes.iter().filter(|(_, mode)| !mode.writes()) {
        let text = format!("the mode {mode} lets nobody write {what} there");
        review.say(Reason::new(Code::ModeForbidsWrite, "action.operation", text).by(by.clone()));
    }
    if modes.iter().any(|(_, mode)| !mode.writes()) {
        return;
    }
    if modes.iter().any(|(_, mode)| matches!(mode, Mode::ExternalOwned | Mode::ReviewedWrite)) {
        review.asks.push((ApprovalClass::WriteBack, by.clone()));
    }
    let agent = review.agent.as_ref().filter(|_| agents::is_agents(review)).map(|agent| agent.name().to_owned());
    let is_trusted = |rules: &WritePolicy| {
        agent.as_ref().is_none_or(|agent| {
            let listed = rules.trusted_agents.iter().any(|it| it.agent == *agent && it.operations.contains(operation));
            (listed || !rules.agent_write_requires_approval) && !review.trust.is_untrusted()
        })
    };
    // An agent's write wants a person, unless the policy trusts it with the operation and the cause is trusted.
    let asks = match policy(review, binding) {
        Policy::Named(policy) => !is_trusted(&policy.spec.write_policy),
        _ => agent.is_some(),
    };
    if asks {
        review.asks.push((class_of(&request.action).unwrap_or(ApprovalClass::WriteBack), by.clone()));
    }
    match policy(review, binding) {
        Policy::Default => {}
        Policy::Missing => {
            let text = "the sync policy that is named isn't there, so nothing is written (R70)";
            review.say(Reason::new(Code::ModeForbidsWrite, "action.operation", text).by(by));
        }
        Policy::Named(policy) => {
            let known = version(Kind::ExternalBackendSyncPolicy, &policy.metadata);
            let rules = policy.spec.write_policy.clone();
            let denied = rules.denied_operations.contains(operation);
            let listed = rules.allowed_operations.is_empty() || rules.allowed_operations.contains(operation);
            if denied || !listed {
                let text = if denied { "the write policy denies it" } else { "the write policy doesn't list it" };
                review.say(Reason::new(Code::ExplicitDeny, "action.operation", text).by(known.name.clone()));
            }
            review.used(&known, None);
        }
    }
    refused_there(review, binding, operation);
}

enum Policy<'a> {
    Default,
    Missing,
    Named(&'a ExternalBackendSyncPolicy),
}

/// The policy of a binding: its own, else its provider's.
fn policy<'a>(review: &Review<'a>, binding: &ExternalBackendBinding) -> Policy<'a> {
    let provider = provider(review, binding);
    let own = binding.spec.sync_policy_ref.as_deref();
    let Some(name) = own.or_else(|| provider?.spec.sync_policy_ref.as_deref()) else {
        return if binding.spec.shared_sync_policy_ref.is_some() { Policy::Missing } else { Policy::Default };
    };
    match review.snapshot.item(Kind::ExternalBackendSyncPolicy, review.namespace, name) {
        Some(Item::ExternalBackendSyncPolicy(policy)) => Policy::Named(policy),
        _ => Policy::Missing,
    }
}

fn provider<'a>(review: &Review<'a>, binding: &ExternalBackendBinding) -> Option<&'a ExternalBackendProvider> {
    let name = binding.spec.provider_ref.as_deref()?;
    match review.snapshot.item(Kind::ExternalBackendProvider, review.namespace, name) {
        Some(Item::ExternalBackendProvider(provider)) => Some(provider),
        _ => None,
    }
}

/// P40: a permission that the provider's manifest asks for, and that its installation doesn't have.
fn refused_there(review: &mut Review<'_>, binding: &ExternalBackendBinding, operation: &Operation) {
    let Some(provider) = provider(review, binding) else { return };
    let Some(manifest) = review.snapshot.manifest(&provider.spec.provider_type) else { return };
    let installations = provider.status.as_ref().map_or(&[][..], |status| &status.installations);
    let owner = binding.spec.external_ref.get("owner").map(krate_model::kinds::external::RefValue::as_str);
    let of_owner = installations.iter().find(|it| it.account.as_deref() == owner && owner.is_some());
    let Some(installation) = of_owner.or_else(|| installations.first().filter(|_| installations.len() == 1)) else {
        return;
    };
    let rows = manifest.spec.interfaces.iter().flat_map(|interface| &interface.operations);
    let scopes = rows.filter(|row| row.operation == *operation).flat_map(|row| &row.native_scopes);
    let rank = |level: &str| ["read", "write", "admin"].iter().position(|it| *it == level);
    let lacking = scopes.filter(|scope| {
        let Some((name, level)) = scope.split_once(':') else { return false };
        installation.permissions.get(name).and_then(|has| rank(has)) < rank(level)
    });
    let lacking: Vec<&str> = lacking.map(String::as_str).collect();
    if !lacking.is_empty() || installation.suspended {
        let text = if installation.suspended {
            "the installation at the provider is suspended".to_owned()
        } else {
            format!("the installation at the provider lacks {}", lacking.join(", "))
        };
        let by = version(Kind::ExternalBackendProvider, &provider.metadata).name.clone();
        review.say(Reason::new(Code::ProviderPermissionMissing, "action.operation", text).by(by));
    }
}
