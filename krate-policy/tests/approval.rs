//! Approvals by the spec's rules and laws (permission-review.md section 6).
#![allow(missing_docs)]

use krate_model::Digest;
use krate_model::kinds::policy::{
    AgentApprovalSpec, ApprovalAction, ApprovalClass, ApprovalDecision, ApprovalSubject, ApprovalSubjectKind,
    ApprovalTerms, ApprovalVerdict,
};
use krate_model::kinds::sets::ActorKind;
use krate_model::kinds::shared::{Account, Actor, Time};
use krate_policy::approval::{Refusal, Tally, may_add, may_answer, tally};
use proptest::prelude::*;

fn time(text: &str) -> Time {
    text.parse().unwrap()
}

fn user(name: &str) -> Actor {
    Actor::new(ActorKind::User, name)
}

fn asked(quorum: i64, separation: bool) -> AgentApprovalSpec {
    let subject = ApprovalSubject { kind: ApprovalSubjectKind::WriteIntent, name: "w".into() };
    let action = ApprovalAction { summary: "close".into(), target: None };
    let by = Actor { on_behalf_of: Some(Box::new(user("ada"))), ..Actor::new(ActorKind::Agent, "fixer") };
    let until = time("2026-06-02T00:00:00Z");
    let mut spec =
        AgentApprovalSpec::new("acme", subject, ApprovalClass::WriteBack, action, by, Digest::of(b"x"), until);
    spec.policy = Some(ApprovalTerms { approvers: None, quorum, uses: 1, separation });
    spec
}

fn answer(by: Actor, verdict: ApprovalVerdict) -> ApprovalDecision {
    ApprovalDecision { by, at: time("2026-06-01T12:00:00Z"), verdict, reason: None }
}

fn yes(name: &str) -> ApprovalDecision {
    answer(user(name), ApprovalVerdict::Approved)
}

const NOON: &str = "2026-06-01T13:00:00Z";

#[test]
fn p29_only_persons_approve_and_for_nobody_else() {
    let spec = asked(1, true);
    for kind in [ActorKind::Agent, ActorKind::Controller, ActorKind::Provider, ActorKind::System] {
        let by = Actor::new(kind, "bea");
        let refused = may_answer(&spec, &by, &ApprovalVerdict::Approved);
        assert!(matches!(refused, Err(Refusal::ApproverNotAllowed { .. })), "{by:?}");
        let stored = [answer(by, ApprovalVerdict::Approved)];
        assert_eq!(tally(&spec, &stored, time(NOON)), Tally::Waiting { have: 0, need: 1 });
    }
    // A person's token that an agent holds.
    let held = Actor { on_behalf_of: Some(Box::new(Actor::new(ActorKind::Agent, "fixer"))), ..user("bea") };
    assert!(may_answer(&spec, &held, &ApprovalVerdict::Approved).is_err());
}

#[test]
fn p30_nobody_approves_what_was_asked_for_them() {
    let spec = asked(1, true);
    assert!(matches!(may_answer(&spec, &user("ada"), &ApprovalVerdict::Approved), Err(Refusal::SelfApproval { .. })));
    assert_eq!(may_answer(&spec, &user("ada"), &ApprovalVerdict::Denied), Ok(()), "taking it back is no approval");
    assert_eq!(may_answer(&asked(1, false), &user("ada"), &ApprovalVerdict::Approved), Ok(()));
}

#[test]
fn p32_a_quorum_counts_persons_and_not_logins() {
    let spec = asked(2, true);
    let with_account = |name: &str, id: &str| Actor {
        account: Some(Account { provider: "gh".into(), id: id.into(), login: None }),
        ..user(name)
    };
    let twice = [
        answer(with_account("bea", "7"), ApprovalVerdict::Approved),
        answer(with_account("bea-2", "7"), ApprovalVerdict::Approved),
    ];
    assert_eq!(tally(&spec, &twice, time(NOON)), Tally::Waiting { have: 1, need: 2 });
    let refused = may_add(&spec, &twice[..1], &with_account("bea-2", "7"), &ApprovalVerdict::Approved);
    assert!(matches!(refused, Err(Refusal::AnsweredBefore { .. })));
    let Tally::Approved { by } = tally(&spec, &[yes("bea"), yes("cid")], time(NOON)) else { panic!() };
    assert_eq!(by.len(), 2);
}

#[test]
fn p32_an_approval_ends_at_its_time_to_the_second() {
    let spec = asked(1, true);
    assert!(matches!(tally(&spec, &[yes("bea")], time("2026-06-01T23:59:59Z")), Tally::Approved { .. }));
    assert_eq!(tally(&spec, &[yes("bea")], spec.expires_at), Tally::Expired);
    let late = ApprovalDecision { at: spec.expires_at, ..yes("bea") };
    assert_eq!(tally(&spec, &[late], time(NOON)), Tally::Waiting { have: 0, need: 1 });
}

#[test]
fn p33_a_no_is_final() {
    let no = ApprovalDecision { reason: Some("not now".into()), ..answer(user("cid"), ApprovalVerdict::Denied) };
    let Tally::Denied { by, reason } = tally(&asked(1, true), &[yes("bea"), no, yes("dan")], time(NOON)) else {
        panic!()
    };
    assert_eq!((by.name.as_str(), reason.as_deref()), ("cid", Some("not now")));
}

#[test]
fn p1_what_is_not_known_or_makes_no_sense_is_no_yes() {
    let odd = answer(user("bea"), ApprovalVerdict::Unknown("granted".into()));
    assert_eq!(tally(&asked(1, true), &[odd], time(NOON)), Tally::Waiting { have: 0, need: 1 });
    assert_eq!(tally(&asked(0, true), &[], time(NOON)), Tally::Waiting { have: 0, need: 1 });
    assert_eq!(tally(&asked(-5, true), &[], time(NOON)), Tally::Waiting { have: 0, need: 1 });
}

fn answers() -> impl Strategy<Value = Vec<ApprovalDecision>> {
    let who = prop_oneof![Just("ada"), Just("bea"), Just("cid"), Just("dan")];
    let kind = prop_oneof![4 => Just(ActorKind::User), 1 => Just(ActorKind::Agent)];
    let verdict = prop_oneof![4 => Just(ApprovalVerdict::Approved), 1 => Just(ApprovalVerdict::Denied)];
    proptest::collection::vec(
        (who, kind, verdict).prop_map(|(name, kind, verdict)| answer(Actor::new(kind, name), verdict)),
        0..8,
    )
}

proptest! {
    #[test]
    fn p62_fewer_answers_more_quorum_or_separation_never_allow_more(
        answers in answers(), quorum in 1_i64..4, dropped in any::<prop::sample::Index>(),
    ) {
        let is_approved = |spec: &AgentApprovalSpec, answers: &[ApprovalDecision]| {
            matches!(tally(spec, answers, time(NOON)), Tally::Approved { .. })
        };
        let was = is_approved(&asked(quorum, true), &answers);
        prop_assert!(was >= is_approved(&asked(quorum + 1, true), &answers));
        prop_assert!(is_approved(&asked(quorum, false), &answers) >= was);
        let mut fewer = answers.clone();
        if !fewer.is_empty() {
            let gone = fewer.remove(dropped.index(fewer.len()));
            if gone.verdict == ApprovalVerdict::Approved {
                prop_assert!(was >= is_approved(&asked(quorum, true), &fewer));
            }
        }
        let mut doubled = answers.clone();
        doubled.extend(answers.clone());
        prop_assert_eq!(was, is_approved(&asked(quorum, true), &doubled));
        let mut turned = answers;
        turned.reverse();
        prop_assert_eq!(was, is_approved(&asked(quorum, true), &turned));
    }
}
