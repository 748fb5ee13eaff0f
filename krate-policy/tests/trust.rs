//! Trust of causes by the spec's tables and laws (permission-review.md section 7).
#![allow(missing_docs)]

use krate_policy::trust::{
    Account, Association, Because, Cause, Head, Level, MAX_CAUSES, Source, Standing, Steering, assess, level,
};
use proptest::prelude::*;

fn account(id: &str) -> Account<'_> {
    Account { provider: "github", id }
}

/// Accounts named by what krate knows of them.
fn standing(account: Account<'_>) -> Standing {
    match account.id {
        "maintainer" => Standing::Maintain,
        "member" => Standing::Write,
        "reader" => Standing::Read,
        _ => Standing::Unmapped,
    }
}

fn actor(id: &str, association: Association) -> Steering<'_> {
    Steering { account: Some(account(id)), association: Some(association) }
}

fn cause(source: Source, by: &str, association: Association) -> Cause<'_> {
    let mut cause = Cause::new(source, account(by));
    cause.verified = true;
    cause.gate.association = Some(association);
    cause
}

#[test]
fn p35_the_level_is_the_lower_of_provider_and_krate() {
    use Association as A;
    for (association, known, expected) in [
        (A::Owner, Standing::Maintain, Level::Maintainer),
        (A::Member, Standing::Write, Level::Member),
        (A::Collaborator, Standing::Read, Level::Contributor),
        (A::Owner, Standing::Unmapped, Level::Contributor),
        (A::Contributor, Standing::Maintain, Level::Contributor),
        (A::FirstTimer, Standing::Maintain, Level::FirstTime),
        (A::FirstTimeContributor, Standing::Write, Level::FirstTime),
        (A::None, Standing::Maintain, Level::External),
        (A::Mannequin, Standing::Write, Level::External),
        (A::AccessLevel(30), Standing::Write, Level::Member),
        (A::AccessLevel(20), Standing::Maintain, Level::Contributor),
        (A::from_github("OWNER"), Standing::Maintain, Level::Maintainer),
        (A::from_github("MEMBER"), Standing::Maintain, Level::Maintainer),
        (A::from_github("COLLABORATOR"), Standing::Maintain, Level::Maintainer),
        (A::from_github("CONTRIBUTOR"), Standing::Maintain, Level::Contributor),
        (A::from_github("FIRST_TIME_CONTRIBUTOR"), Standing::Maintain, Level::FirstTime),
        (A::from_github("FIRST_TIMER"), Standing::Maintain, Level::FirstTime),
        (A::from_github("MANNEQUIN"), Standing::Maintain, Level::External),
        (A::from_github("NONE"), Standing::Maintain, Level::External),
        (A::from_github("ROBOT"), Standing::Maintain, Level::External),
        (A::from_github("member"), Standing::Maintain, Level::External),
    ] {
        assert_eq!(level(Some(association), known), expected, "{association:?} {known:?}");
    }
    for (word, expected) in [("MANNEQUIN", A::Mannequin), ("NONE", A::None), ("", A::Unknown)] {
        assert_eq!(A::from_github(word), expected);
    }
    assert_eq!(level(None, Standing::Maintain), Level::External, "what the provider doesn't say is unknown");
}

#[test]
fn p34_a_maintainers_label_gives_leave_and_no_trust() {
    let mut label = cause(Source::Label, "maintainer", Association::Owner);
    label.steering.push(actor("stranger", Association::None));
    let trust = assess(&[label], standing);
    assert_eq!((trust.gate, trust.steering), (Level::Maintainer, Level::External));
    assert!(trust.is_untrusted());
    let told: Vec<String> = trust.because.iter().map(ToString::to_string).collect();
    assert_eq!(told, ["causeChain[0].steering[0] is external"]);
}

#[test]
fn p34_a_text_that_nobody_is_named_for_is_a_strangers() {
    for source in [Source::Label, Source::Ci, Source::PullRequest] {
        let trust = assess(&[cause(source, "maintainer", Association::Owner)], standing);
        assert_eq!((trust.gate, trust.steering), (Level::Maintainer, Level::External), "{source:?}");
        assert_eq!(trust.because, [Because::MissingAuthor { cause: 0 }], "{source:?}");
    }
}

#[test]
fn p38_what_a_machine_wrote_is_no_persons_act() {
    let met = |by_machine| {
        let mut comment = cause(Source::Issue, "member", Association::Member);
        (comment.rule, comment.object) = (Some("fix"), Some("7"));
        let mut answer = comment.clone();
        answer.by_machine = by_machine;
        assess(&[answer, comment], standing).is_loop
    };
    assert!(met(true) && !met(false));
}

#[test]
fn p37_an_edited_text_counts_by_author_and_last_editor() {
    let mut comment = cause(Source::Issue, "member", Association::Member);
    comment.steering.push(actor("member", Association::Member));
    assert_eq!(assess(std::slice::from_ref(&comment), standing).steering, Level::Member);
    comment.steering.push(actor("stranger", Association::None));
    assert_eq!(assess(&[comment], standing).steering, Level::External);
}

#[test]
fn p23_a_fork_is_a_fact_of_the_event() {
    let head = |from| Head { repository_id: from, base_repository_id: "1", sha: "a" };
    assert!(!head(Some("1")).is_fork());
    assert!(head(Some("2")).is_fork());
    assert!(head(None).is_fork(), "the head's repository is gone, or the event doesn't name it");
    let mut pull = cause(Source::PullRequest, "member", Association::Member);
    pull.head = Some(head(Some("2")));
    pull.steering.push(actor("member", Association::Member));
    let trust = assess(&[pull], standing);
    assert!(trust.is_fork && trust.is_untrusted() && trust.steering == Level::Member);
}

#[test]
fn p36_automation_is_worth_what_caused_it() {
    let agent = cause(Source::Automation, "agent", Association::Owner);
    let by_stranger = cause(Source::Issue, "stranger", Association::None);
    let by_member = cause(Source::Issue, "member", Association::Member);
    let of = |chain: &[&Cause]| assess(&chain.iter().map(|cause| (*cause).clone()).collect::<Vec<_>>(), standing);
    assert_eq!(of(&[&agent, &by_stranger]).steering, Level::External);
    assert_eq!((of(&[&agent, &by_member]).gate, of(&[&agent, &by_member]).steering), (Level::Member, Level::Member));
    assert_eq!((of(&[&agent]).steering, of(&[&agent]).because.clone()), (Level::External, vec![Because::NoCause]));
    assert_eq!(of(&[]).steering, Level::External);
    let schedule = cause(Source::Schedule, "reader", Association::Owner);
    assert_eq!(of(&[&schedule]).steering, Level::Contributor, "its owner's level as it is now");
    let orphan = cause(Source::Schedule, "gone", Association::Owner);
    assert_eq!(of(&[&orphan]).gate, Level::External);
}

#[test]
fn p35_an_unproven_origin_is_external_whatever_it_says() {
    let mut forged = cause(Source::Issue, "maintainer", Association::Owner);
    forged.verified = false;
    let trust = assess(&[forged], standing);
    assert_eq!((trust.gate, trust.steering), (Level::External, Level::External));
    let mut webhook = cause(Source::Webhook, "caller", Association::Owner);
    assert_eq!(assess(std::slice::from_ref(&webhook), standing).steering, Level::External);
    webhook.declared = Some(Level::Member);
    assert_eq!(assess(&[webhook], standing).steering, Level::Member);
}

#[test]
fn p38_a_chain_that_meets_itself_is_a_loop() {
    let step = |source, by: &'static str, rule: &'static str| {
        let mut cause = cause(source, by, Association::Owner);
        (cause.rule, cause.object) = (Some(rule), Some("issue-1"));
        cause
    };
    let (a, b) = (step(Source::Automation, "agent-a", "a"), step(Source::Automation, "agent-b", "b"));
    let person = step(Source::Issue, "member", "c");
    let is_loop =
        |chain: &[&Cause]| assess(&chain.iter().map(|cause| (*cause).clone()).collect::<Vec<_>>(), standing).is_loop;
    assert!(!is_loop(&[&a, &b, &person]));
    assert!(is_loop(&[&a, &b, &a, &person]));
    assert!(!is_loop(&[&a, &person, &a, &person]), "a person asked each time");
    assert!(!is_loop(&[&person; MAX_CAUSES]) && is_loop(&[&person; MAX_CAUSES + 1]));
}

fn associations() -> impl Strategy<Value = Association> {
    use Association as A;
    prop_oneof![
        Just(A::Owner),
        Just(A::Member),
        Just(A::Collaborator),
        Just(A::Contributor),
        Just(A::FirstTimer),
        Just(A::None),
        Just(A::Unknown),
        any::<u8>().prop_map(A::AccessLevel),
    ]
}

fn actors() -> impl Strategy<Value = Steering<'static>> {
    let who = prop_oneof![Just("maintainer"), Just("member"), Just("reader"), Just("stranger")];
    (who, associations()).prop_map(|(who, association)| actor(who, association))
}

fn causes() -> impl Strategy<Value = Cause<'static>> {
    use Source as S;
    let source = prop_oneof![
        Just(S::Push),
        Just(S::PullRequest),
        Just(S::Issue),
        Just(S::Label),
        Just(S::Ci),
        Just(S::Manual),
        Just(S::Automation),
    ];
    (source, actors(), proptest::collection::vec(actors(), 0..3), any::<bool>(), any::<Option<bool>>()).prop_map(
        |(source, gate, steering, verified, fork)| {
            let mut cause = Cause::new(source, account("x"));
            (cause.gate, cause.steering, cause.verified) = (gate, steering, verified);
            cause.head = fork.map(|fork| Head {
                repository_id: Some(if fork { "2" } else { "1" }),
                base_repository_id: "1",
                sha: "a",
            });
            cause
        },
    )
}

proptest! {
    #[test]
    fn p62_another_actor_or_cause_never_raises_the_trust(
        chain in proptest::collection::vec(causes(), 1..5),
        more in actors(),
        before in causes(),
        at in any::<prop::sample::Index>(),
    ) {
        let was = assess(&chain, standing);
        let mut steered = chain.clone();
        let steered_at = at.index(chain.len());
        steered[steered_at].steering.push(more);
        // The first author of a text that somebody else started is no addition: until then nobody knew whose it is.
        let is_first = matches!(chain[steered_at].source, Source::Label | Source::Ci | Source::PullRequest) && chain[steered_at].steering.is_empty();
        prop_assert!(is_first || assess(&steered, standing).steering <= was.steering);
        let mut newer = chain.clone();
        newer.insert(0, before);
        let now = assess(&newer, standing);
        prop_assert!(now.steering <= was.steering && now.is_fork >= was.is_fork && now.is_untrusted() >= was.is_untrusted());
    }

    #[test]
    fn p62_lower_standing_or_association_never_raises_the_trust(chain in proptest::collection::vec(causes(), 1..5)) {
        let was = assess(&chain, standing);
        prop_assert!(assess(&chain, |_| Standing::Unmapped).steering <= was.steering);
        let mut unknown = chain.clone();
        for cause in &mut unknown {
            cause.gate.association = None;
            cause.steering.iter_mut().for_each(|actor| actor.association = None);
        }
        let now = assess(&unknown, standing);
        prop_assert!(now.steering <= was.steering && now.gate <= was.gate);
    }

    #[test]
    fn p34_what_brought_the_level_down_is_always_named(chain in proptest::collection::vec(causes(), 0..5)) {
        let trust = assess(&chain, standing);
        prop_assert!(!trust.because.is_empty());
        for because in &trust.because {
            if let Because::Actor { level, .. } = because {
                prop_assert_eq!(*level, trust.steering);
            }
        }
    }
}
