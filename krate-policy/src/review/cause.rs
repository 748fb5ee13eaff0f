//! Step 5: what led to the action holds still, doesn't loop, and is trusted as far as a cause must be (section 7).

use std::cell::Cell;

use krate_model::kinds::members::{IdentityMappingPhase, Permission};

use super::{Review, role, rule};
use crate::decision::TrustReport;
use crate::reason::Code;
use crate::request::{CauseActor, CauseEvent};
use crate::trust::{Account, Association, Cause, Head, Level, Source, Standing, Steering, assess};

pub(super) fn step(review: &mut Review<'_>) {
    let causes: Vec<Cause> = review.request.cause_chain.iter().map(|event| cause(review, event)).collect();
    // Who starts something mostly steers it, too: what krate knows of them is looked up once.
    let known = Cell::new(None);
    let mut trust = assess(&causes, |account| match known.get() {
        Some((same, standing)) if same == account => standing,
        _ => {
            let standing = standing(review, account);
            known.set(Some((account, standing)));
            standing
        }
    });
    if trust.is_loop {
        review.deny(
            Code::CauseLoop,
            "causeChain",
            "meets a rule on the same object twice without a person's act in between (P38)",
        );
    }
    review.decision.trust = Some(TrustReport {
        gate: trust.gate,
        steering: trust.steering,
        fork: trust.is_fork,
        because: std::mem::take(&mut trust.because),
    });
    if review.request.cause_chain.iter().any(|cause| source(&cause.event).is_none()) {
        // An event of a kind that nobody knows can't be trusted at all.
        review.deny(Code::UntrustedCause, "causeChain", "holds an event of no known source");
    }
    if trust.gate < Level::External {
        review.deny(Code::UntrustedCause, "causeChain", "was started by nobody that is known");
    }
    if causes.iter().any(|cause| cause.source == Source::Webhook && !cause.verified) {
        // Nothing but its signature says that such an event happened at all.
        review.deny(Code::UntrustedCause, "causeChain", "holds a webhook whose signature nobody verified");
    }
    review.trust = trust;
    gone(review);
    super::agents::cause(review);
    rule::takes(review, &causes);
}

/// P57: a gate holds for the head that it saw, and while what led to it is there. Who starts something has looked: what nobody looked at is no yes (P11).
fn gone(review: &mut Review<'_>) {
    let request = review.request;
    let starts = super::agents::is_dispatch(review);
    let told = &request.preconditions;
    match (request.head(), told.get("headSha")) {
        (Some(seen), Some(current)) if current.as_str() != Some(&*seen.sha) => {
            review.deny(
                Code::CauseGone,
                "preconditions.headSha",
                "the head has moved since; a person has to ask again",
            );
        }
        (Some(_), None) if starts => {
            let text = "isn't told: say which head is there now, for nobody knows whether it is still the one that the cause saw";
            review.deny(Code::CauseGone, "preconditions.headSha", text);
        }
        _ => {}
    }
    // What is taken off or changed leaves no trace in the facts about the event itself.
    let can_go = |event: &CauseEvent| matches!(&*event.event, "label" | "issue-comment" | "pull-request-comment");
    let starter = request.cause_chain.iter().find(|cause| source(&cause.event) != Some(Source::Automation));
    match told.get("causePresent").map(serde_json::Value::as_bool) {
        Some(Some(true)) => {}
        None if !(starts && starter.is_some_and(can_go)) => {}
        None => {
            let text =
                "isn't told: say true once you have seen that the label or comment that started it is still there";
            review.deny(Code::CauseGone, "preconditions.causePresent", text);
        }
        Some(_) => {
            let text = "what led to it is gone: a label taken off, a comment changed, a permission lost; a person has to ask again";
            review.deny(Code::CauseGone, "preconditions.causePresent", text);
        }
    }
}

fn source(event: &str) -> Option<Source> {
    Some(match event {
        "push" | "tag" | "release" => Source::Push,
        "pull-request" | "review" => Source::PullRequest,
        "issue" | "issue-comment" | "pull-request-comment" => Source::Issue,
        "label" => Source::Label,
        "ci" => Source::Ci,
        "schedule" => Source::Schedule,
        "manual" => Source::Manual,
        "webhook" => Source::Webhook,
        "agent" | "external-sync" | "memory" => Source::Automation,
        _ => return None,
    })
}

fn cause<'e>(review: &Review<'_>, event: &'e CauseEvent) -> Cause<'e> {
    let gate = steering(&event.gate);
    let is_own = gate.account.is_some_and(|account| rule::is_krates(review, account));
    Cause {
        source: source(&event.event).unwrap_or(Source::Webhook),
        verified: event.verified,
        by_machine: event.run.is_some() || is_own,
        gate,
        steering: event.steering.iter().map(steering).collect(),
        rule: event.rule.as_deref(),
        object: event.object.as_deref(),
        head: head(event),
        declared: None,
    }
}

/// Where the change comes from. A head without a base, or the other way round, is one whose repository nobody knows, and so is that of a pull request of which the
/// event tells neither, as the comments on one do: a fork (P23).
fn head(event: &CauseEvent) -> Option<Head<'_>> {
    match (&event.head, &event.base) {
        (None, None) if !matches!(&*event.event, "pull-request" | "review" | "pull-request-comment") => None,
        (head, base) => Some(Head {
            repository_id: head.as_ref().filter(|_| base.is_some()).and_then(|head| head.repository_id.as_deref()),
            base_repository_id: base.as_ref().map_or("", |base| &base.repository_id),
            sha: head.as_ref().map_or("", |head| &head.sha),
        }),
    }
}

fn steering(actor: &CauseActor) -> Steering<'_> {
    Steering {
        account: actor.account.as_ref().map(|account| Account { provider: &account.provider, id: &account.id }),
        association: match (&actor.association, actor.permission) {
            (Some(word), None) => Some(Association::from_github(word)),
            (None, Some(level)) => Some(Association::AccessLevel(level)),
            // Two answers for one question are no answer.
            _ => None,
        },
    }
}

/// How far krate knows an account: by a verified mapping to a person, and that person's permission on the repository (P35).
fn standing(review: &Review<'_>, account: Account<'_>) -> Standing {
    let Some(user) = person_of(review, account.provider, account.id) else { return Standing::Unmapped };
    let Some(repository) = &review.request.repository else { return Standing::Read };
    match role::permission(review, user, repository) {
        Some(Permission::Admin | Permission::Maintain) => Standing::Maintain,
        Some(Permission::Write) => Standing::Write,
        Some(_) => Standing::Read,
        None => Standing::Unmapped,
    }
}

/// The person that an account is, by a verified mapping.
pub(super) fn person_of<'a>(review: &Review<'a>, provider: &str, id: &str) -> Option<&'a str> {
    let mapping = review.snapshot.mapping(review.namespace, provider, id)?;
    let is_verified = mapping.status.as_ref().is_some_and(|status| status.phase == IdentityMappingPhase::Verified);
    is_verified.then_some(&*mapping.spec.user)
}
