//! Step 3: the subject is there, may act, and the chain of those it acts for is closed.

use krate_model::kinds::members::UserState;

use super::Review;
use crate::reason::Code;
use crate::request::{Link, LinkBy, SubjectKind};

/// Deepest chain of subagents (P25).
const MAX_SUBAGENTS: usize = 4;

pub(super) fn step(review: &mut Review<'_>) {
    let request = review.request;
    let chain = &request.actor_chain;
    let newest = chain.first();
    let subject = &request.subject;
    if newest.is_none_or(|link| link.kind != subject.kind || link.name != subject.name || link.uid != subject.uid) {
        return review.deny(Code::BrokenActorChain, "actorChain", "does not begin with the subject");
    }
    for (at, link) in chain.iter().enumerate() {
        if chain.iter().take(at).any(|earlier| earlier.kind == link.kind && earlier.uid == link.uid) {
            return review.deny(Code::BrokenActorChain, "actorChain", "names a link twice");
        }
    }
    if let [only] = chain.as_slice()
        && only.kind == SubjectKind::Controller
    {
        // A controller that acts for nobody but itself.
        if review.snapshot.controller(&only.name, &only.uid).is_none() {
            review.deny(Code::UnknownSubject, "actorChain", "names a subject that is not known");
        }
        return;
    }
    if chain.last().is_none_or(|last| last.kind != SubjectKind::User) {
        return review.deny(Code::BrokenActorChain, "actorChain", "does not end at a person");
    }
    if chain.iter().filter(|link| link.kind == SubjectKind::Subagent).count() > MAX_SUBAGENTS {
        return review.deny(Code::DelegationDenied, "actorChain", "holds more than 4 subagents");
    }
    let delegates = |pair: &[Link]| match pair {
        [link, next] => match (&link.kind, &next.kind) {
            (_, SubjectKind::User) => matches!(link.by, Some(LinkBy::Rule | LinkBy::Token | LinkBy::Delegation)),
            (
                SubjectKind::Subagent | SubjectKind::Tool | SubjectKind::McpServer | SubjectKind::Skill,
                SubjectKind::AgentStack | SubjectKind::Subagent,
            )
            | (SubjectKind::Runner, SubjectKind::AgentStack) => link.by == Some(LinkBy::Delegation),
            _ => false,
        },
        _ => true,
    };
    if !chain.windows(2).all(delegates) {
        return review.deny(Code::DelegationDenied, "actorChain", "holds a link that may not act for the next");
    }
    for link in chain.iter().filter(|link| link.kind == SubjectKind::User) {
        person(review, link);
    }
    super::agents::identify(review);
}

fn person(review: &mut Review<'_>, link: &Link) {
    let Some(person) = review.person(&link.name) else {
        return review.deny(Code::UnknownSubject, "actorChain", "names a subject that is not known");
    };
    let user = person.user;
    if user.metadata.uid.as_deref() != Some(&*link.uid) {
        // P20: the same name with another uid is somebody else.
        return review.deny(Code::UnknownSubject, "actorChain", "names a subject that is not known");
    }
    if user.spec.state != UserState::Active {
        review.deny(Code::SubjectSuspended, "actorChain", "holds a person who is suspended");
    }
    review.used(user.version, None);
    review.person = Some(person);
}
