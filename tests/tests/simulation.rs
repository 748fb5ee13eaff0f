//! Seeded histories: webhooks lost, doubled, late and out of order, requests that fail before or after their effect, a process that dies at a
//! commit; then one complete backfill. Spec: S19, S34.
//!
//! `KRATE_SEEDS` says how many histories, `KRATE_SEED` runs one; a failing seed is printed.

use krate_model::kinds::external::{BackfillMode, ExternalWriteIntent};
use krate_model::kinds::sets::ActorKind;
use krate_model::kinds::shared::{Actor, Body, ObjectRef};
use krate_model::kinds::work::{Comment, CommentSpec, Issue};
use krate_model::{Kind, Resource};
use krate_providers::simulator::{Fault, Faults, IssueEdit, NewIssue, Rng};
use krate_sync::driver::Clock;
use krate_sync::local::Local;
use krate_tests::world::{Crash, NAMESPACE, REPOSITORY, World, block_on};

/// Histories of a plain test run.
const SEEDS: u64 = 150;
/// Things that happen in a history.
const EVENTS: usize = 60;

fn seeds() -> std::ops::Range<u64> {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    match number("KRATE_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number("KRATE_SEEDS").unwrap_or(SEEDS),
    }
}

fn faults() -> Faults {
    [Fault::DropDelivery, Fault::RepeatDelivery, Fault::DoubleDelivery, Fault::ReorderDelivery, Fault::DelayDelivery]
        .into_iter()
        .fold(Faults::none(), |faults, fault| faults.with(fault, 150))
}

/// Something that a person does at the forge.
fn native(world: &World, rng: &mut Rng) {
    let now = world.clock.now();
    let mut network = world.forge();
    let numbers = 1..=u64::try_from(EVENTS).unwrap_or(u64::MAX);
    let count = numbers.take_while(|number| network.forge.issue(REPOSITORY, *number).is_some()).count() as u64;
    let number = 1 + rng.below(count.max(1));
    let text = format!("text {}", rng.below(1_000_000));
    let mut bob = network.forge.by("bob", now);
    // What the forge refuses (a closed issue closed again, an issue that isn't there) didn't happen.
    let _ = match rng.below(7) {
        0 | 1 => bob.open_issue(REPOSITORY, NewIssue::titled(text.as_str())).map(|_| ()),
        2 => bob.edit_issue(REPOSITORY, number, IssueEdit { title: Some(text), ..IssueEdit::default() }),
        3 => bob.comment(REPOSITORY, number, &text).map(|_| ()),
        4 => bob.label(REPOSITORY, number, &["bug"]),
        5 => bob.close(REPOSITORY, number),
        _ => bob.reopen(REPOSITORY, number),
    };
}

/// Something that a person does here: a comment, which must be made there once.
fn local(world: &World, rng: &mut Rng, at: usize) {
    let issues = world.all::<Issue>();
    let known: Vec<&Issue> = issues.iter().filter(|issue| issue.phase() == "Open").collect();
    let Some(issue) = known.get(usize::try_from(rng.below(known.len().max(1) as u64)).unwrap_or(0)) else { return };
    let about = ObjectRef::new(Kind::Issue.as_str(), issue.name());
    let body = Body::markdown(format!("wanted {at}"));
    let comment = Comment::at(NAMESPACE, format!("wanted-{at}"), CommentSpec::new("acme", about, body));
    let _ = block_on(world.driver.create(Local::Comment(comment), &Actor::new(ActorKind::User, "alice")));
}

fn history(seed: u64, with_edits: bool) -> World {
    let world = World::new(seed, faults(), "bidirectional");
    let mut rng = Rng::seeded(seed);
    for at in 0..EVENTS {
        match rng.below(10) {
            0..=3 => native(&world, &mut rng),
            4 if with_edits => local(&world, &mut rng, at),
            4 | 5 => {
                world.deliver();
            }
            6 => {
                world.plan_crash(Some(Crash { commit: rng.below(6), after: rng.below(2) == 0 }));
                let _ = world.pass();
                world.restart();
            }
            7 if with_edits => {
                let fault = [Fault::FailBefore, Fault::FailAfter, Fault::LoseResponse]
                    [usize::try_from(rng.below(3)).unwrap_or(0)];
                world.forge().script(fault);
                let _ = world.pass();
            }
            7 | 8 => {
                let _ = world.pass();
            }
            _ => world.pass_time(i64::try_from(rng.below(90)).unwrap_or(0)),
        }
    }
    // What arrives late arrives before the end; what was lost stays lost.
    world.pass_time(3_600);
    world.deliver();
    world.settle().unwrap_or_else(|error| panic!("seed {seed}: {error}"));
    block_on(world.driver.request_backfill("site", BackfillMode::Complete)).expect("the binding is there");
    world.settle().unwrap_or_else(|error| panic!("seed {seed}: {error}"));
    world
}

#[test]
fn s19_every_history_converges_after_one_complete_backfill() {
    for seed in seeds() {
        let world = history(seed, false);
        let truth = world.fresh_reader();
        truth.settle().unwrap_or_else(|error| panic!("seed {seed}: {error}"));
        assert_eq!(world.shown(), truth.shown(), "seed {seed}: replay with KRATE_SEED={seed}");
    }
}

#[test]
fn s34_every_wanted_comment_is_made_at_most_once_whatever_fails() {
    for seed in seeds() {
        let world = history(seed, true);
        let mut bodies: Vec<String> = Vec::new();
        {
            let network = world.forge();
            for number in (1..).take_while(|number| network.forge.issue(REPOSITORY, *number).is_some()) {
                let made = network.forge.comments(REPOSITORY, number);
                bodies.extend(made.iter().filter(|comment| comment.body.starts_with("wanted")).map(|c| c.body.clone()));
            }
        }
        let (all, once) = (bodies.len(), bodies.iter().collect::<std::collections::BTreeSet<_>>().len());
        assert_eq!(all, once, "seed {seed}: a comment was made twice: {bodies:#?}");
        for intent in world.all::<ExternalWriteIntent>() {
            let done = intent.phase() == "Succeeded";
            assert!(!done || intent.status.as_ref().is_some_and(|status| status.confirmation.is_some()), "S35");
            if done {
                let comments = world.all::<Comment>();
                let own = comments.iter().filter(|comment| comment.name() == intent.spec.target.name).count();
                assert_eq!(own, 1, "seed {seed}: {} is here once", intent.spec.target.name);
            }
        }
    }
}
