//! Seeded histories: webhooks lost, doubled, late and out of order, requests that fail before or after their effect, a process that dies at a
//! commit, people who edit on both sides; then one complete backfill. Spec: S19, S20, S34, S35; design.md section 7.
//!
//! `KRATE_SEEDS` says how many histories, `KRATE_SEED` runs one; a failing seed is printed with the command that replays it.

use std::fmt::Write as _;

use krate_tests::checks::check;
use krate_tests::history::{Plan, play};
use krate_tests::world::Crash;

/// Histories of a plain test run.
const SEEDS: u64 = 150;
/// Things that happen in a history.
const EVENTS: usize = 60;

fn seeds(default: u64) -> std::ops::Range<u64> {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    match number("KRATE_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number("KRATE_SEEDS").unwrap_or(default),
    }
}

fn plan(seed: u64) -> Plan {
    Plan { seed, events: EVENTS, two_sided: true, faults: 150, dies: true, crash: None }
}

/// What is wrong with a history, and how to see it again.
fn report(test: &str, plan: Plan, wrong: &[String]) -> String {
    let mut text = String::new();
    for each in wrong {
        let _ = writeln!(text, "{each}");
    }
    let crash = plan.crash.map(|crash| format!(" ({crash:?})")).unwrap_or_default();
    format!(
        "{text}seed {}{crash}; replay: KRATE_SEED={} cargo test -p krate-tests --test simulation {test}",
        plan.seed, plan.seed
    )
}

#[test]
fn s19_every_history_converges_after_one_complete_backfill() {
    for seed in seeds(SEEDS) {
        let plan = Plan { two_sided: false, ..plan(seed) };
        let fail = |wrong: &[String]| report("s19_every_history", plan, wrong);
        let history = play(plan).unwrap_or_else(|error| panic!("{}", fail(&[error])));
        let truth = history.world.fresh_reader();
        truth.settle().unwrap_or_else(|error| panic!("{}", fail(&[error])));
        assert_eq!(history.world.shown(), truth.shown(), "{}", fail(&[]));
    }
}

/// Plays and checks one history.
fn failure(test: &str, plan: Plan) -> Option<String> {
    let wrong = match play(plan) {
        Ok(history) => {
            let mut wrong = check(&history);
            // A history that is looked at alone tells its whole story.
            if !wrong.is_empty() && std::env::var_os("KRATE_SEED").is_some() {
                wrong.push(format!("{:#?}", history.edits));
                wrong.extend(history.world.written().iter().map(|w| format!("{} {} {:?}", w.line, w.body, w.effects)));
                let intents = history.world.all::<krate_model::kinds::external::ExternalWriteIntent>();
                wrong.extend(intents.iter().map(|i| format!("{:?}\n  {:?}", i.spec.payload, i.status)));
            }
            wrong
        }
        Err(error) => vec![error],
    };
    (!wrong.is_empty()).then(|| report(test, plan, &wrong))
}

/// Fails with everything that failed, and how many did.
fn none_failed(failures: &[String]) {
    assert!(failures.is_empty(), "{} histories failed:\n{}", failures.len(), failures.join("\n\n"));
}

#[test]
fn s20_s27_s34_no_edit_of_two_people_is_lost_doubled_or_hidden_whatever_fails() {
    let failures: Vec<String> = seeds(SEEDS).filter_map(|seed| failure("s20_s27_s34", plan(seed))).collect();
    none_failed(&failures);
}

/// Every commit of a history, on both sides of it: the process dies there, starts again, and nobody notices.
#[test]
fn s10_s34_a_crash_at_every_commit_boundary_loses_and_doubles_nothing() {
    for seed in seeds(2) {
        let quiet = Plan { events: 30, dies: false, faults: 50, ..plan(seed) };
        let history = play(quiet).unwrap_or_else(|error| panic!("{}", report("s10_s34", quiet, &[error])));
        let commits = history.world.store.commits();
        assert!(commits > 40, "seed {seed}: a history worth the name, not {commits} commits");
        let boundaries = (0..commits).flat_map(|commit| [false, true].map(|after| Crash { commit, after }));
        let failures: Vec<String> =
            boundaries.filter_map(|crash| failure("s10_s34", Plan { crash: Some(crash), ..quiet })).collect();
        none_failed(&failures);
    }
}

#[test]
fn the_same_seed_makes_the_same_history_to_the_byte() {
    for seed in seeds(10) {
        let trace = || {
            let history =
                play(plan(seed)).unwrap_or_else(|error| panic!("{}", report("the_same", plan(seed), &[error])));
            (history.world.store.trace(), format!("{:?}", history.world.written()))
        };
        assert_eq!(trace(), trace(), "seed {seed}");
    }
}
