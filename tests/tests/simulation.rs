//! Simulated histories: everything that can fail fails, people edit on both sides; then one complete backfill. Spec: S19, S20, S34, S35; design.md
//! section 7. `krate simulate` plays many more.
//!
//! `KRATE_SEEDS` says how many histories, `KRATE_SEED` plays one, and tells its shortest form where it fails.

use krate_tests::simulate::campaign::{Campaign, Failure, play_and_check, report};
use krate_tests::simulate::fault::Fault;
use krate_tests::simulate::play::Plan;
use krate_tests::world::Crash;

/// Histories of a plain test run.
const SEEDS: u64 = 60;

/// Histories within which a kind of fault finds its chance.
const MOST_TRIES: u64 = 40;

fn seeds(default: u64) -> std::ops::Range<u64> {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    match number("KRATE_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number("KRATE_SEEDS").unwrap_or(default),
    }
}

/// Fails with the shortest form of the first history that fails, and the seeds of the others.
fn all_hold(plan: &Plan, seeds: std::ops::Range<u64>) -> Campaign {
    let campaign = Campaign::run(plan, seeds, 2, 40);
    if let Some((first, wrong)) = campaign.failed.first() {
        for (seed, wrong) in &campaign.failed {
            println!("seed {seed}: {wrong}");
        }
        let shortest = Failure::of(plan, *first).map_or_else(|| wrong.clone(), |failure| report(&failure));
        panic!("{} of {} histories failed:\n{shortest}", campaign.failed.len(), campaign.histories);
    }
    campaign
}

#[test]
fn s18_s19_s20_s34_s35_no_edit_is_lost_doubled_or_hidden_whatever_fails() {
    all_hold(&Plan::default(), seeds(SEEDS));
}

#[test]
fn s19_what_happens_at_the_forge_alone_is_shown_after_one_complete_backfill() {
    all_hold(&Plan { two_sided: false, ..Plan::default() }, seeds(SEEDS / 2));
}

/// Each kind of fault alone strikes, and nothing comes of it.
#[test]
fn every_kind_of_fault_strikes() {
    for fault in Fault::ALL {
        let plan = Plan { events: 120, faults: vec![*fault], two_sided: true };
        let struck = (0..MOST_TRIES).any(|seed| all_hold(&plan, seed..seed + 1).idle(&plan).is_empty());
        assert!(struck, "{fault} never struck in {MOST_TRIES} histories");
    }
}

/// Every commit of a history, on both sides of it: the process dies there, starts again, and nobody notices.
#[test]
fn s10_s34_a_crash_at_every_commit_boundary_loses_and_doubles_nothing() {
    let plan = Plan { events: 20, faults: vec![Fault::DeliveryDropped], two_sided: true };
    let mut most = 0;
    for seed in seeds(4) {
        let steps = plan.steps(seed);
        let commits = play_and_check(seed, &steps, false, None).commits;
        most = most.max(commits);
        for commit in 0..commits {
            for after in [false, true] {
                let crash = Crash { commit, after };
                let played = play_and_check(seed, &steps, false, Some(crash));
                let when = if after { "after" } else { "before" };
                let replay = format!(
                    "krate simulate --seed {seed} --events 20 --faults delivery-dropped --crash {when}:{commit}"
                );
                assert!(played.wrong.is_empty(), "replay: {replay}\n{:#?}", played.wrong);
            }
        }
    }
    assert!(most > 40, "at least one history is worth the name, not {most} commits");
}

#[test]
fn the_same_seed_makes_the_same_history_to_the_byte() {
    let plan = Plan::default();
    for seed in seeds(6) {
        let trace = || play_and_check(seed, &plan.steps(seed), false, None).trace;
        assert_eq!(trace(), trace(), "seed {seed}");
    }
}
