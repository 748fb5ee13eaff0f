//! What an answer to an approval is worth (permission-review.md section 6; P28 to P33).
//!
//! ```
//! use krate_policy::approval::{Refusal, may_answer};
//! # use krate_model::Digest;
//! # use krate_model::kinds::policy::{AgentApprovalSpec, ApprovalAction, ApprovalClass, ApprovalSubject, ApprovalSubjectKind, ApprovalVerdict};
//! # use krate_model::kinds::{sets::ActorKind, shared::Actor};
//! let ada = Actor::new(ActorKind::User, "ada");
//! # let subject = ApprovalSubject { kind: ApprovalSubjectKind::WriteIntent, name: "write-1".into() };
//! # let action = ApprovalAction { summary: "close the issue".into(), target: None };
//! # let until = "2026-06-02T00:00:00Z".parse().unwrap();
//! let asked = AgentApprovalSpec::new("acme", subject, ApprovalClass::WriteBack, action, ada.clone(), Digest::of(b"request"), until);
//! let answer = |by: &Actor| may_answer(&asked, by, &ApprovalVerdict::Approved);
//! assert!(matches!(answer(&ada), Err(Refusal::SelfApproval { .. })), "nobody approves what they asked for (P30)");
//! assert_eq!(answer(&Actor::new(ActorKind::User, "bea")), Ok(()));
//! let agent = Actor { on_behalf_of: Some(Box::new(Actor::new(ActorKind::User, "bea"))), ..Actor::new(ActorKind::Agent, "fixer") };
//! assert!(matches!(answer(&agent), Err(Refusal::ApproverNotAllowed { .. })), "only persons approve (P29)");
//! ```

use std::collections::BTreeMap;

use krate_model::kinds::policy::{
    AgentApproval, AgentApprovalPhase, AgentApprovalSpec, ApprovalDecision, ApprovalVerdict,
};
use krate_model::kinds::sets::ActorKind;
use krate_model::kinds::shared::{Actor, Time};
use thiserror::Error;

/// Why an answer doesn't count.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum Refusal {
    /// Somebody who can't approve at all (P29).
    #[error(
        "{name} is no person: agents, controllers and provider accounts can't approve, nor can anybody on their behalf (P29)"
    )]
    ApproverNotAllowed {
        /// Who.
        name: String,
    },
    /// Somebody who asked for it, or for whom it was asked (P30).
    #[error("{name} asked for it, and who asked can't approve it (P30)")]
    SelfApproval {
        /// Who.
        name: String,
    },
    /// A second answer of the same person (P32).
    #[error("{name} has answered it already; each person counts once (P32)")]
    AnsweredBefore {
        /// Who.
        name: String,
    },
    /// Somebody who has given no answer that could be taken back (P32).
    #[error("{name} hasn't answered it: an answer is taken back by who gave it (P32)")]
    NotAnswered {
        /// Who.
        name: String,
    },
    /// A verdict that this version doesn't know.
    #[error("verdict: {verdict} is not one of approved, denied")]
    UnknownVerdict {
        /// What was said.
        verdict: String,
    },
}

/// Where an approval stands after its answers.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Tally {
    /// Enough persons said yes.
    Approved {
        /// Who they are.
        by: Vec<Actor>,
    },
    /// Somebody said no; that is final for its digest (P33).
    Denied {
        /// Who.
        by: Actor,
        /// Why.
        reason: Option<String>,
    },
    /// More persons are needed.
    Waiting {
        /// How many said yes.
        have: usize,
        /// How many are needed.
        need: usize,
    },
    /// Its time is over (P32).
    Expired,
}

/// Whether `by` may answer what `approval` asks: a person, in nobody's place, and for a yes one who has no part in the request, where the terms
/// separate duties (they do unless they say otherwise, P30). A no may come from who asked, too: it takes back what they wanted.
///
/// # Errors
/// [`Refusal`] with the rule.
pub fn may_answer(approval: &AgentApprovalSpec, by: &Actor, verdict: &ApprovalVerdict) -> Result<(), Refusal> {
    if let ApprovalVerdict::Unknown(verdict) = verdict {
        return Err(Refusal::UnknownVerdict { verdict: verdict.to_string() });
    }
    if by.kind != ActorKind::User || by.on_behalf_of.is_some() {
        return Err(Refusal::ApproverNotAllowed { name: by.name.clone() });
    }
    let separate = approval.policy.as_ref().is_none_or(|terms| terms.separation);
    if separate && *verdict == ApprovalVerdict::Approved && asked_for(approval, by) {
        return Err(Refusal::SelfApproval { name: by.name.clone() });
    }
    Ok(())
}

/// Whether `by` may answer beside the answers that are there (P32).
///
/// # Errors
/// As [`may_answer`], and [`Refusal::AnsweredBefore`].
pub fn may_add(
    approval: &AgentApprovalSpec,
    answers: &[ApprovalDecision],
    by: &Actor,
    verdict: &ApprovalVerdict,
) -> Result<(), Refusal> {
    may_answer(approval, by, verdict)?;
    if answers.iter().any(|answer| is_same(&answer.by, by)) {
        return Err(Refusal::AnsweredBefore { name: by.name.clone() });
    }
    Ok(())
}

/// Whether `by` may take the answers back: one of them is theirs (P32, P33).
///
/// # Errors
/// [`Refusal::NotAnswered`], or [`Refusal::ApproverNotAllowed`] for who is no person.
pub fn may_withdraw(answers: &[ApprovalDecision], by: &Actor) -> Result<(), Refusal> {
    if by.kind != ActorKind::User || by.on_behalf_of.is_some() {
        return Err(Refusal::ApproverNotAllowed { name: by.name.clone() });
    }
    if answers.iter().any(|answer| is_same(&answer.by, by)) {
        return Ok(());
    }
    Err(Refusal::NotAnswered { name: by.name.clone() })
}

/// Where an approval stands at `now` with these answers. Answers that may not be given ([`may_answer`]) don't count, whoever stored them; a no
/// overrides every yes; each person counts once.
pub fn tally(approval: &AgentApprovalSpec, answers: &[ApprovalDecision], now: Time) -> Tally {
    let counts = |answer: &&ApprovalDecision| may_answer(approval, &answer.by, &answer.verdict).is_ok();
    let mut yes: BTreeMap<&str, &Actor> = BTreeMap::new();
    for answer in answers.iter().filter(counts) {
        if answer.verdict == ApprovalVerdict::Denied {
            return Tally::Denied { by: answer.by.clone(), reason: answer.reason.clone() };
        }
        if answer.at < approval.expires_at && !yes.values().any(|known| is_same(known, &answer.by)) {
            yes.insert(answer.by.name.as_str(), &answer.by);
        }
    }
    if approval.expires_at <= now {
        return Tally::Expired;
    }
    // Terms below one person would be no gate at all.
    let need = approval.policy.as_ref().map_or(1, |terms| usize::try_from(terms.quorum).unwrap_or(1).max(1));
    if yes.len() < need {
        return Tally::Waiting { have: yes.len(), need };
    }
    Tally::Approved { by: yes.into_values().cloned().collect() }
}

/// Whether somebody who may answer it said no, and it wasn't taken back since: that is final for its digest (P33).
pub(crate) fn is_denied(approval: &AgentApproval) -> bool {
    let Some(status) = &approval.status else { return false };
    let says_no = |answer: &ApprovalDecision| {
        answer.verdict == ApprovalVerdict::Denied && may_answer(&approval.spec, &answer.by, &answer.verdict).is_ok()
    };
    match status.phase {
        AgentApprovalPhase::Withdrawn => false,
        AgentApprovalPhase::Denied => true,
        _ => status.decisions.iter().any(says_no),
    }
}

/// Whether `by` is one of those who asked for what the approval is about, or for whom it was asked.
pub(crate) fn asked_for(approval: &AgentApprovalSpec, by: &Actor) -> bool {
    std::iter::once(&approval.requested_by).chain(&approval.also_requested_by).any(|actor| acts_in(actor, by))
}

/// Whether `by` is the actor, or one of those for whom it acts.
pub(crate) fn acts_in(actor: &Actor, by: &Actor) -> bool {
    std::iter::successors(Some(actor), |actor| actor.on_behalf_of.as_deref()).any(|actor| is_same(actor, by))
}

/// Whether two actors are one person: by uid where both have one, by provider account, or by the name that sign-in gave (P64). Names alone
/// are compared, too, so that a record without a uid never makes two persons of one.
fn is_same(one: &Actor, other: &Actor) -> bool {
    let account = |actor: &Actor| actor.account.as_ref().map(|account| (account.provider.clone(), account.id.clone()));
    let accounts = account(one).zip(account(other)).is_some_and(|(one, other)| one == other);
    let uids = one.uid.as_ref().zip(other.uid.as_ref()).is_some_and(|(one, other)| one == other);
    accounts || uids || (one.kind == other.kind && one.name == other.name)
}
