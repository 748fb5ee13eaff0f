//! A small world, whole: every history of a few edits of two fields of two objects on two sides, with every fate of the webhooks between them and a crash at
//! every commit. Design.md section 7.
//!
//! Nothing is left to chance here. What a history of many events meets once in a million seeds, one of three edits meets for sure.

use std::collections::BTreeSet;
use std::sync::Mutex;

use krate_model::Digest;
use krate_model::Resource;
use krate_model::kinds::external::{ExternalSyncConflict, ExternalWebhookDelivery, ExternalWriteIntent};

use super::checks::check;
use super::journal::Journal;
use super::people;
use super::play::History;
use crate::world::{Crash, lock};

/// A field that is edited.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Field {
    /// The title: a scalar.
    Title,
    /// The body: a text that is merged by lines.
    Body,
}

/// What happens after an edit, before the next one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Then {
    /// Nothing: webhooks are on their way, the engine stands still.
    Nothing,
    /// The engine works, webhooks stay on their way.
    Work,
    /// Webhooks are taken in, and the engine stands still.
    Taken,
    /// Webhooks are taken in, and the engine works.
    TakenAndWork,
    /// Webhooks are lost, and the engine works.
    LostAndWork,
}

const FIELDS: [Field; 2] = [Field::Title, Field::Body];
const THEN: [Then; 5] = [Then::Nothing, Then::Work, Then::Taken, Then::TakenAndWork, Then::LostAndWork];

/// An edit, and what follows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Move {
    /// Whether it is made here, not at the forge.
    pub here: bool,
    /// Of which issue: 1 or 2.
    pub issue: u64,
    /// Of which field.
    pub field: Field,
    /// What follows.
    pub then: Then,
}

/// Which histories.
#[derive(Debug, Clone, Copy)]
pub struct Scope {
    /// At most so many edits.
    pub edits: usize,
    /// Whether each is played once more for each crash, before and after each commit.
    pub crashes: bool,
}

/// What a scope came to.
#[derive(Debug, Default)]
pub struct Explored {
    /// Histories that were played.
    pub histories: u64,
    /// Different states of both sides, the records and what is on its way, as seen after each move.
    pub states: BTreeSet<Digest>,
    /// What doesn't hold, by history.
    pub failed: Vec<(String, Vec<String>)>,
}

impl Scope {
    /// Every history of the scope. Of two that differ in the issues' numbers only, the one that begins with the first.
    pub fn histories(&self) -> Vec<Vec<Move>> {
        let mut all: Vec<Vec<Move>> = Vec::new();
        let mut longest: Vec<Vec<Move>> = vec![Vec::new()];
        for _ in 0..self.edits {
            longest = longest
                .iter()
                .flat_map(|before| moves(before.is_empty()).map(|next| [&before[..], &[next]].concat()))
                .collect();
            all.extend(longest.iter().cloned());
        }
        all
    }

    /// Plays all of it with so many threads.
    pub fn explore(&self, threads: usize) -> Explored {
        let histories = self.histories();
        let explored = Mutex::new(Explored::default());
        let next = std::sync::atomic::AtomicUsize::new(0);
        std::thread::scope(|scope| {
            for _ in 0..threads {
                scope.spawn(|| {
                    let mut own = Explored::default();
                    while let Some(moves) = histories.get(next.fetch_add(1, std::sync::atomic::Ordering::Relaxed)) {
                        let commits = own.play(moves, None);
                        for commit in 0..if self.crashes { commits } else { 0 } {
                            own.play(moves, Some(Crash { commit, after: false }));
                            own.play(moves, Some(Crash { commit, after: true }));
                        }
                    }
                    let mut all = lock(&explored);
                    all.histories = all.histories.saturating_add(own.histories);
                    all.states.append(&mut own.states);
                    all.failed.append(&mut own.failed);
                });
            }
        });
        explored.into_inner().unwrap_or_default()
    }
}

fn moves(first: bool) -> impl Iterator<Item = Move> {
    let issues = if first { 1..=1 } else { 1..=2 };
    let places = issues.flat_map(|issue| FIELDS.map(|field| (issue, field)));
    let edits = places.flat_map(|(issue, field)| [false, true].map(|here| (here, issue, field)));
    edits.flat_map(|(here, issue, field)| THEN.map(|then| Move { here, issue, field, then }))
}

impl Explored {
    /// Plays one history and checks it; the commits between its first edit and its end.
    fn play(&mut self, moves: &[Move], crash: Option<Crash>) -> u64 {
        self.histories = self.histories.saturating_add(1);
        let (history, commits, rested) = play(moves, crash, Journal::default(), &mut self.states);
        let wrong = match rested {
            Ok(()) => check(&history),
            Err(error) => vec![error],
        };
        if !wrong.is_empty() {
            self.failed.push((format!("{moves:?} {crash:?}"), wrong));
        }
        commits
    }
}

/// Plays one history: both issues are known on both sides, then come the moves.
///
/// # Errors
/// Why it didn't come to rest.
pub fn play(
    moves: &[Move],
    crash: Option<Crash>,
    journal: Journal,
    states: &mut BTreeSet<Digest>,
) -> (History, u64, Result<(), String>) {
    let mut history = History::begin(0, journal);
    for _ in 0..2 {
        history.world.pass_time(1);
        let (now, repository) = (history.world.forge_now(), history.world.repository());
        people::open(&mut history.world.forge().forge, &repository, &mut lock(&history.journal), now);
    }
    if let Err(error) = history.world.settle() {
        return (history, 0, Err(error));
    }
    history.arrive();
    if let Err(error) = history.world.settle() {
        return (history, 0, Err(error));
    }
    history.world.plan_crash(crash);
    for next in moves {
        history.make(*next);
        states.insert(history.state());
    }
    let commits = history.world.store.commits();
    let rested = history.rest();
    (history, commits, rested)
}

impl History {
    fn make(&mut self, next: Move) {
        // The forge's times are whole seconds, and nobody does two things in one.
        self.world.pass_time(1);
        let (now, repository) = (self.world.forge_now(), self.world.repository());
        if next.here {
            people::edit_here(&self.world, &mut lock(&self.journal), next.issue, next.field);
        } else {
            let (forge, journal) = (&mut self.world.forge().forge, &mut lock(&self.journal));
            match next.field {
                Field::Title => people::retitle(forge, &repository, journal, next.issue, now),
                Field::Body => people::rewrite(forge, &repository, journal, next.issue, now),
            }
        }
        self.revive();
        match next.then {
            Then::Taken | Then::TakenAndWork => self.arrive(),
            Then::LostAndWork => drop(self.world.forge().arrivals(now)),
            Then::Nothing | Then::Work => {}
        }
        self.revive();
        if matches!(next.then, Then::Work | Then::TakenAndWork | Then::LostAndWork) {
            let _ = self.world.pass();
            self.revive();
        }
    }

    fn revive(&mut self) {
        if self.world.is_dead() {
            self.world.start_cold();
        }
    }

    /// Both sides and the records, without times and names.
    fn state(&self) -> Digest {
        let world = &self.world;
        let repository = world.repository();
        let mut state = world.shown();
        for number in [1, 2] {
            let issue =
                world.forge().forge.issue(&repository, number).map(|issue| (issue.title.clone(), issue.body.clone()));
            state.push(format!("{issue:?}"));
        }
        state.extend(
            world.all::<ExternalSyncConflict>().iter().map(|it| format!("{} {}", it.spec.field_path, it.phase())),
        );
        state.extend(
            world.all::<ExternalWriteIntent>().iter().map(|it| format!("{:?} {}", it.spec.payload, it.phase())),
        );
        state.extend(world.all::<ExternalWebhookDelivery>().iter().map(|it| it.phase().to_owned()));
        state.sort();
        Digest::of(state.join("\n").as_bytes())
    }
}
