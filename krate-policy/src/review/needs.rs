//! Step 7: each need has a grant that fits (P19 to P24, P53, P67). What nothing gives is denied with the least grant that would.

use std::sync::Arc;

use krate_model::Kind;
use krate_model::kinds::grants::GrantSubjectKind;

use super::{Review, agents, tools};
use crate::decision::{MissingGrant, NeedOutcome, Outcome, Reservation, Version};
use crate::grant::{Fit, Grant, Wanted};
use crate::reason::{Code, Reason};
use crate::request::{Need, Request, User};
use crate::snapshot::Metadata;

pub(super) fn step(review: &mut Review<'_>) {
    let request = review.request;
    for need in &request.needs {
        judge(review, need);
    }
    // P51: what a run needs, or a use is of, is found here; who asks only adds to it.
    if let Some(used) = agents::used(review)
        && !is_asked(request, &used)
    {
        judge(review, &Arc::new(used));
    }
    if agents::is_dispatch(review) {
        let mut found = agents::closure(review);
        found.sort_by_key(|need| serde_json::to_string(need).unwrap_or_default());
        found.dedup();
        for need in found.into_iter().filter(|need| !is_asked(request, need)) {
            judge(review, &Arc::new(need));
        }
    }
}

fn is_asked(request: &Request, need: &Need) -> bool {
    request.needs.iter().any(|asked| **asked == *need)
}

fn judge(review: &mut Review<'_>, need: &Arc<Need>) {
    match Ask::of(need) {
        Some(ask) => granted(review, &ask),
        None => tools::judge(review, need),
    }
}

struct Ask<'a> {
    need: &'a Arc<Need>,
    kind: Kind,
    user: &'a User,
    name: &'a str,
    namespace: &'a Option<Box<str>>,
    key: &'a str,
    purpose: &'a str,
}

impl<'a> Ask<'a> {
    /// What a need of a Secret or ConfigMap asks for.
    fn of(need: &'a Arc<Need>) -> Option<Self> {
        let (kind, user, name, namespace, key, purpose) = match &**need {
            Need::Secret { user, name, namespace, key, purpose } => {
                (Kind::AgentSecretGrant, user, name, namespace, key, purpose.as_str())
            }
            Need::Config { user, name, namespace, key, purpose } => {
                (Kind::AgentConfigGrant, user, name, namespace, key, purpose.as_str())
            }
            _ => return None,
        };
        Some(Self { need, kind, user, name, namespace, key, purpose })
    }
}

/// Tells the grants that could give it, each with what it says: those of who uses it, in the order of names, then those of the stack that it is a part of (R16).
/// `is_use` is that the key was given, and is looked at again: its use was counted, and that its target's keys can't be listed any more says nothing.
fn judged<'a>(review: &Review<'a>, ask: &Ask<'_>, is_use: bool, mut tell: impl FnMut(Fit, &'a Grant)) {
    let (request, snapshot, namespace) = (review.request, review.snapshot, review.namespace);
    let home = ask.namespace.as_deref().unwrap_or(namespace);
    let wanted = Wanted {
        uid: &ask.user.uid,
        service_account: ask.user.service_account.as_deref(),
        stack: request.agent_stack.as_ref().map(|stack| &*stack.name),
        key: ask.key,
        purpose: ask.purpose,
        repository: request.repository.as_ref(),
        git_ref: request.git_ref.as_deref(),
        environment: request.environment.as_deref(),
        source: request.trigger_source.as_deref(),
        now: request.now,
        is_fork: review.trust.is_fork,
        is_untrusted: review.trust.is_untrusted(),
        is_counted: is_use,
    };
    let targets = if ask.kind == Kind::AgentSecretGrant { &snapshot.secrets } else { &snapshot.config_maps };
    let metadata = targets.get([home, ask.name]);
    // P67: the organization may have admitted that nobody lists the keys there.
    let blind =
        is_use || super::profile(review).is_some_and(|profile| profile.spec.metadata_blind_namespaces.contains(home));
    let mut of = |kind: &GrantSubjectKind, name: &str, wanted: &Wanted<'_>, is_candidate: fn(Fit) -> bool| {
        let at = (ask.kind, [namespace, kind.as_str(), name, home, ask.name]);
        for grant in snapshot.grants.get(at).into_iter().flatten().filter(|grant| grant.can_fit()) {
            let fit = no_fork(review, wanted, with_target(grant, grant.fit(wanted), metadata, ask.key, blind));
            if is_candidate(fit) {
                tell(fit, grant);
            }
        }
    };
    of(&ask.user.kind, &ask.user.name, &wanted, |_| true);
    let is_part = !matches!(ask.user.kind, GrantSubjectKind::AgentStack | GrantSubjectKind::Subagent);
    if let Some(agent) = review.agent.as_ref().filter(|_| is_part) {
        let uid = agent.stack.metadata.uid.as_deref().unwrap_or_default();
        // One of another purpose is no candidate: the stack's own needs are not its parts'.
        let is_candidate = |fit| !matches!(fit, Fit::Miss(std::cmp::Reverse(0..=2), ..));
        of(&GrantSubjectKind::AgentStack, agent.name(), &Wanted { uid, ..wanted }, is_candidate);
    }
}

fn granted(review: &mut Review<'_>, ask: &Ask<'_>) {
    // P53: the best outcome counts, then the name; of equals the first stays.
    let mut best: Option<(Fit, &Grant)> = None;
    judged(review, ask, false, |fit, grant| {
        if best.is_none_or(|(known, _)| fit < known) {
            best = Some((fit, grant));
        }
    });
    let missing = if ask.kind == Kind::AgentSecretGrant { Code::MissingSecretGrant } else { Code::MissingConfigGrant };
    let best = best.map(|(fit, grant)| match outside(review, ask) {
        Some(field) if !matches!(fit, Fit::Miss(..)) => {
            (Fit::Miss(std::cmp::Reverse(0), Code::GrantScopeMismatch, field), grant)
        }
        _ => (fit, grant),
    });
    match best {
        Some((fit @ (Fit::Full | Fit::AfterApproval), grant)) => give(review, ask, grant, fit),
        Some((Fit::Miss(_, code, field), grant)) => {
            let text =
                format!("{} would give key {} of {}, but for its {field}", grant.version.name, ask.key, ask.name);
            miss(review, ask, Reason::new(code, field, text).by(grant.version.name.clone()));
        }
        None => {
            let text = format!("no grant gives {} {} key {} of {}", ask.user.kind, ask.user.name, ask.key, ask.name);
            miss(review, ask, Reason::new(missing, "needs", text));
        }
    }
}

/// Whether a key that was given may be used still, by all that P19 asks of its grant (P21, P69); with whether a person has to have agreed. The review has come
/// through step 3, and knows the trust of the decision.
pub(super) fn still(review: &Review<'_>, need: &Arc<Need>, grant: &Version) -> Result<bool, Reason> {
    let no = |code, field: &'static str, text: &'static str| Err(Reason::new(code, field, text).by(grant.name.clone()));
    let Some(ask) = Ask::of(need) else { return no(Code::StaleDecision, "need", "is no key") };
    let mut found = None;
    judged(review, &ask, true, |fit, known| {
        if found.is_none() && known.version.uid == grant.uid {
            found = Some((fit, known));
        }
    });
    match found {
        None => no(Code::GrantRevoked, "grant", "the grant isn't there any more, or is of something else"),
        Some((Fit::Miss(_, code, field), _)) => no(code, field, "the grant doesn't give it any more"),
        Some((fit, _)) => match outside(review, &ask) {
            Some(field) => no(Code::GrantScopeMismatch, field, "the stack doesn't use it any more"),
            None => Ok(fit == Fit::AfterApproval),
        },
    }
}

/// What is in the way in the stack itself, whatever a grant says: the user is no part of it, or it doesn't use the Secret.
fn outside(review: &Review<'_>, ask: &Ask<'_>) -> Option<&'static str> {
    let agent = review.agent.as_ref()?;
    if !agents::has_part(review, agent, ask.user) {
        return Some("user, which is no part of the stack");
    }
    let listed = &agent.stack.spec.secret_policy.allowed_secret_refs;
    let is_secret = ask.kind == Kind::AgentSecretGrant;
    (is_secret && !listed.is_empty() && !listed.contains(ask.name)).then_some("stack's secretPolicy.allowedSecretRefs")
}

/// P24: a secret for a fork needs the stack's word, too.
fn no_fork(review: &Review<'_>, wanted: &Wanted<'_>, fit: Fit) -> Fit {
    let allows = review.agent.as_ref().is_some_and(|agent| agent.stack.spec.secret_policy.allow_on_forks);
    if wanted.is_fork && !allows && !matches!(fit, Fit::Miss(..)) {
        return Fit::Miss(std::cmp::Reverse(13), Code::UntrustedCause, "stack's secretPolicy.allowOnForks");
    }
    fit
}

/// P67, P20: the target is there, the same one as when it was granted, and has the key.
fn with_target(grant: &Grant, fit: Fit, metadata: Option<&Metadata>, key: &str, blind: bool) -> Fit {
    if matches!(fit, Fit::Miss(..)) {
        return fit;
    }
    let miss = |code, field| Fit::Miss(std::cmp::Reverse(12), code, field);
    let Some(metadata) = metadata else { return miss(Code::GrantNotReady, "target") };
    if grant.target_uid.as_deref() != Some(&*metadata.uid) {
        return miss(Code::GrantScopeMismatch, "target.uid");
    }
    match &metadata.keys {
        None if blind => fit,
        None => miss(Code::MetadataUnavailable, "target.keys"),
        Some(keys) if !keys.contains(key) => miss(Code::SecretKeyMissing, "target.keys"),
        Some(_) => fit,
    }
}

fn give(review: &mut Review<'_>, ask: &Ask<'_>, grant: &Grant, fit: Fit) {
    let outcome = if fit == Fit::Full { Outcome::Allowed } else { Outcome::RequiresApproval };
    review.decision.per_need.push(NeedOutcome {
        need: Arc::clone(ask.need),
        outcome,
        by: Some(grant.version.name.clone()),
        approval: None,
    });
    // One yes uses a grant once, however many of its keys it gives.
    let is_counted = review.decision.reservations.iter().any(|it| it.uid == grant.version.uid);
    if grant.max_uses().is_some() && !is_counted {
        review.decision.reservations.push(Reservation {
            grant: grant.version.name.clone(),
            uid: grant.version.uid.clone(),
            uses: grant.uses,
        });
    }
    review.used(&grant.version, grant.expires_at());
}

fn miss(review: &mut Review<'_>, ask: &Ask<'_>, reason: Reason) {
    let suggested = least(review.request, ask);
    review.decision.missing_grants.push(MissingGrant { need: Arc::clone(ask.need), code: reason.code, suggested });
    review.decision.per_need.push(NeedOutcome {
        need: Arc::clone(ask.need),
        outcome: Outcome::Denied,
        by: None,
        approval: None,
    });
    review.say(reason);
}

/// The least grant that would help, as YAML: this one repository, ref and source, and no more. Every text is written as JSON, which
/// YAML reads, so that no name can add a line.
fn least(request: &Request, ask: &Ask<'_>) -> String {
    let quoted = |text: &str| serde_json::Value::from(text).to_string();
    let (target, resource) =
        if ask.kind == Kind::AgentSecretGrant { ("secretRef", "secret") } else { ("configMapRef", "config") };
    let name = format!("{}-{resource}-{}", ask.user.name, ask.name);
    let mut text = format!(
        "apiVersion: krate.a5c.ai/v1alpha1\nkind: {}\nmetadata:\n  name: {}\nspec:\n  organizationRef: {}\n  subject:\n    kind: {}\n    name: {}\n  {target}:\n    name: {}\n",
        ask.kind,
        quoted(&name),
        quoted(&request.organization),
        ask.user.kind,
        quoted(&ask.user.name),
        quoted(ask.name),
    );
    if let Some(namespace) = ask.namespace {
        text += &format!("    namespace: {}\n", quoted(namespace));
    }
    text += &format!("    keys: [{}]\n  purpose: {}\n", quoted(ask.key), ask.purpose);
    let list = |name: &str, value: &str| format!("  {name}: [{}]\n", quoted(value));
    if let Some(repository) = &request.repository {
        text += &list("allowedRepositories", &repository.name);
    }
    if let Some(git_ref) = &request.git_ref {
        text += &format!("  allowedRefs:\n    include: [{}]\n", quoted(git_ref));
    }
    if let Some(environment) = &request.environment {
        text += &list("allowedEnvironments", environment);
    }
    if let Some(source) = &request.trigger_source {
        text += &list("allowedTriggerSources", source);
    }
    text
}
