//! Many histories: played, checked, counted.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use super::checks::check;
use super::fault::Fault;
use super::journal::Journal;
use super::play::{Plan, Step, play};
use super::shrink::shrink;
use crate::world::{Crash, lock};

/// What one history came to.
pub struct Played {
    /// What doesn't hold.
    pub wrong: Vec<String>,
    /// How often each fault struck.
    pub struck: BTreeMap<Fault, u64>,
    /// A hash of every commit and every write, in order: the same for the same history in one build.
    pub trace: u64,
    /// Commits of its store.
    pub commits: u64,
    /// What happened, where it was to be told.
    pub timeline: Vec<String>,
}

/// Plays steps, and checks what came of them.
pub fn play_and_check(seed: u64, steps: &[Step], told: bool, crash: Option<Crash>) -> Played {
    let journal = if told { Journal::told() } else { Journal::default() };
    let (mut history, rested) = play(seed, steps, journal, crash);
    let commits = history.world.store.commits();
    let mut wrong = std::mem::take(&mut history.wrong);
    match rested {
        Ok(()) => wrong.extend(check(&history)),
        Err(error) => wrong.push(error),
    }
    let mut trace = DefaultHasher::new();
    history.world.store.trace().hash(&mut trace);
    for written in history.world.written() {
        (written.line, written.body.to_string()).hash(&mut trace);
    }
    let struck = lock(&history.strikes).struck().clone();
    let timeline = lock(&history.journal).timeline().to_vec();
    Played { wrong, struck, trace: trace.finish(), commits, timeline }
}

/// A history that fails, as short as it can be.
pub struct Failure {
    /// Its seed.
    pub seed: u64,
    /// The steps that it takes, by their places in the whole history.
    pub places: Vec<usize>,
    /// What doesn't hold.
    pub wrong: Vec<String>,
    /// What happened.
    pub timeline: Vec<String>,
}

impl Failure {
    /// Shrinks the history of a seed that fails.
    pub fn of(plan: &Plan, seed: u64) -> Option<Self> {
        let all = plan.steps(seed);
        let first = play_and_check(seed, &all, false, None).wrong.first().map(|wrong| class_of(wrong))?;
        // Another failure on the way would be another story.
        let fails = |some: &[Step]| {
            play_and_check(seed, some, false, None).wrong.first().is_some_and(|wrong| class_of(wrong) == first)
        };
        let kept = shrink(&all, &fails);
        let told = play_and_check(seed, &kept, true, None);
        let mut places = Vec::new();
        let mut from = 0;
        for step in &kept {
            if let Some(at) = all.iter().skip(from).position(|known| known == step) {
                places.push(from + at);
                from += at + 1;
            }
        }
        Some(Self { seed, places, wrong: told.wrong, timeline: told.timeline })
    }
}

/// What kind of failure it is: its first word, `S19:`.
fn class_of(wrong: &str) -> String {
    wrong.split_whitespace().next().unwrap_or_default().to_owned()
}

/// What a campaign came to.
#[derive(Default)]
pub struct Campaign {
    /// Histories that were played.
    pub histories: u64,
    /// Seeds that failed, each with the first thing that doesn't hold.
    pub failed: Vec<(u64, String)>,
    /// How often each fault struck.
    pub struck: BTreeMap<Fault, u64>,
    /// In how many histories each pair of faults struck.
    pub pairs: BTreeMap<(Fault, Fault), u64>,
}

impl Campaign {
    /// Plays the histories of `seeds` on `threads` threads; after `most_failures` it stops.
    pub fn run(plan: &Plan, seeds: std::ops::Range<u64>, threads: usize, most_failures: usize) -> Self {
        let next = AtomicU64::new(seeds.start);
        let enough = AtomicBool::new(false);
        let total = Mutex::new(Self::default());
        std::thread::scope(|scope| {
            for _ in 0..threads.max(1) {
                scope.spawn(|| {
                    loop {
                        let seed = next.fetch_add(1, Ordering::SeqCst);
                        if seed >= seeds.end || enough.load(Ordering::SeqCst) {
                            return;
                        }
                        let played = play_and_check(seed, &plan.steps(seed), false, None);
                        let mut total = lock(&total);
                        total.take(seed, &played);
                        enough.fetch_or(total.failed.len() >= most_failures, Ordering::SeqCst);
                    }
                });
            }
        });
        let mut total = total.into_inner().unwrap_or_default();
        total.failed.sort();
        total
    }

    fn take(&mut self, seed: u64, played: &Played) {
        self.histories = self.histories.saturating_add(1);
        if let Some(wrong) = played.wrong.first() {
            self.failed.push((seed, wrong.clone()));
        }
        for (fault, count) in &played.struck {
            let known = self.struck.entry(*fault).or_default();
            *known = known.saturating_add(*count);
        }
        let faults: Vec<Fault> = played.struck.keys().copied().collect();
        for (at, one) in faults.iter().enumerate() {
            for other in faults.iter().skip(at + 1) {
                let known = self.pairs.entry((*one, *other)).or_default();
                *known = known.saturating_add(1);
            }
        }
    }

    /// The faults of `plan` that never struck.
    pub fn idle(&self, plan: &Plan) -> Vec<Fault> {
        plan.faults.iter().copied().filter(|fault| !self.struck.contains_key(fault)).collect()
    }

    /// How many pairs there are of the faults of `plan`, and those that never struck in one history.
    pub fn idle_pairs(&self, plan: &Plan) -> (usize, Vec<(Fault, Fault)>) {
        let mut faults = plan.faults.clone();
        faults.sort_unstable();
        faults.dedup();
        let mut idle = Vec::new();
        let mut all = 0_usize;
        for (at, one) in faults.iter().enumerate() {
            for other in faults.iter().skip(at + 1) {
                all = all.saturating_add(1);
                if !self.pairs.contains_key(&(*one, *other)) {
                    idle.push((*one, *other));
                }
            }
        }
        (all, idle)
    }
}

/// A failure as a person reads it.
pub fn report(failure: &Failure) -> String {
    let mut text = String::new();
    for line in &failure.timeline {
        let _ = writeln!(text, "{line}");
    }
    for wrong in &failure.wrong {
        let _ = writeln!(text, "WRONG {wrong}");
    }
    let places: Vec<String> = failure.places.iter().map(ToString::to_string).collect();
    let _ = write!(text, "seed {}, steps {}", failure.seed, places.join(","));
    text
}
