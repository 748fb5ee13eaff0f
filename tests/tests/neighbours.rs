//! A noisy neighbour: of several organizations that share one account's budget, one has a hundred times the load (S43, S46).
//!
//! `KRATE_NEIGHBOURS=5000 cargo test --release -p krate-tests --test neighbours -- --nocapture` plays it with GitHub's budget, for longer and more often.

use std::fmt;

use chrono::TimeDelta;
use krate_tests::neighbours::{Load, Street, Ways};

/// Organizations beside the noisy one.
const OTHERS: usize = 6;
/// By how much the others' p99 may move.
const MOST_PERCENT: i64 = 5;

/// How it is played.
#[derive(Clone, Copy)]
struct Scale {
    /// Everybody edits an issue here and one at the forge so often.
    every: TimeDelta,
    per_hour: u64,
    lasts: TimeDelta,
    seeds: u64,
}

/// A fifth of GitHub's budget for a while, unless somebody asks for another one.
fn scale() -> Scale {
    let every = TimeDelta::minutes(2);
    match std::env::var("KRATE_NEIGHBOURS").ok().and_then(|text| text.parse().ok()) {
        Some(per_hour) => Scale { every, per_hour, lasts: TimeDelta::minutes(90), seeds: 3 },
        None => Scale { every, per_hour: 1000, lasts: TimeDelta::minutes(11), seeds: 1 },
    }
}

/// How long one way took.
#[derive(Clone, Copy)]
struct Took {
    edits: usize,
    p50: i64,
    p99: i64,
}

impl Took {
    fn of(mut ways: Vec<TimeDelta>) -> Self {
        ways.sort();
        let at = |percent: usize| ways[(ways.len() * percent).div_ceil(100) - 1].num_milliseconds();
        Self { edits: ways.len(), p50: at(50), p99: at(99) }
    }
}

impl fmt::Display for Took {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "p50 {} ms, p99 {} ms of {} edits", self.p50, self.p99, self.edits)
    }
}

/// How long the others' edits took, from here to the forge and from there to here, beside a first tenant with this load.
fn others(name: &str, scale: Scale, first: Load) -> [(&'static str, Took); 2] {
    let Scale { every, per_hour, lasts, seeds } = scale;
    let mut tenants = vec![Load { every, at_once: 1 }; OTHERS + 1];
    tenants[0] = first;
    let mut issues = vec![5; OTHERS + 1];
    issues[0] = 100;
    let street = Street { tenants, issues, lasts, per_hour };
    let (mut outward, mut homeward, mut calls) = (Vec::new(), Vec::new(), 0);
    for seed in 1..=seeds {
        let Ways { out, home, lost, requests } = street.play(seed);
        assert_eq!(lost[1..], [0; OTHERS], "every edit of the others comes through");
        outward.extend(out.into_iter().skip(1).flatten());
        homeward.extend(home.into_iter().skip(1).flatten());
        calls += requests;
    }
    let took = [("out", Took::of(outward)), ("home", Took::of(homeward))];
    let seconds = lasts.num_seconds();
    println!("{name}: {calls} calls in {seeds} times {seconds} s, {per_hour} an hour allowed");
    took.iter().for_each(|(way, took)| println!("  the others, {way}: {took}"));
    took
}

/// Plays it with a first tenant like all others, then with each of these.
fn moves_nobody(scale: Scale, noisy: &[(&str, Load)]) {
    let quiet = others("everybody quiet", scale, Load { every: scale.every, at_once: 1 });
    for (name, load) in noisy {
        for ((way, before), (_, after)) in quiet.into_iter().zip(others(name, scale, *load)) {
            assert_eq!(before.edits, after.edits, "the others did the same");
            let most = before.p99 * (100 + MOST_PERCENT) / 100;
            assert!(after.p99 <= most, "{name}, {way}: {after}, and {before} without it");
        }
    }
}

#[test]
fn s46_one_tenant_at_a_hundred_times_the_load_moves_the_p99_of_no_other_by_more_than_5_percent() {
    let scale = scale();
    let often = ("one a hundred times as often", Load { every: scale.every / 100, at_once: 1 });
    let at_once = ("one with a hundred edits at once", Load { every: scale.every, at_once: 100 });
    moves_nobody(scale, &[often, at_once]);
}

#[test]
fn s46_one_tenant_that_always_has_more_to_send_than_may_be_on_its_way_takes_no_turn_of_another() {
    // No budget is short here, and each hundred takes longer to be sent than until the next one.
    let every = TimeDelta::seconds(2);
    let scale = Scale { every, per_hour: 1_000_000, lasts: TimeDelta::seconds(10), seeds: 1 };
    moves_nobody(scale, &[("one with a hundred edits at once", Load { every, at_once: 100 })]);
}
