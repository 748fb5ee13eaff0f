//! The whole of a small world ([`krate_tests::simulate::small`]): S10, S18, S19, S20, S34.
//!
//! `KRATE_EDITS` and `KRATE_CRASH_EDITS` say how many edits the histories have at most; README.md says what was played and how long it took.

use std::time::Instant;

use krate_tests::simulate::small::Scope;

fn edits(name: &str, default: usize) -> usize {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

fn all_hold(scope: Scope) {
    let begun = Instant::now();
    let explored = scope.explore(2);
    println!(
        "{scope:?}: {} histories, {} different states, {:.1} s",
        explored.histories,
        explored.states.len(),
        begun.elapsed().as_secs_f64()
    );
    assert!(explored.states.len() > 10, "the histories differ: {explored:?}");
    let first = explored.failed.first();
    assert!(first.is_none(), "{} of {} histories: {first:#?}", explored.failed.len(), explored.histories);
}

#[test]
fn s19_s20_s34_every_history_of_few_edits_with_every_fate_of_its_webhooks() {
    all_hold(Scope { edits: edits("KRATE_EDITS", 2), crashes: false });
}

#[test]
fn s10_s19_s34_every_history_of_few_edits_with_a_crash_at_every_commit() {
    all_hold(Scope { edits: edits("KRATE_CRASH_EDITS", 1), crashes: true });
}
