//! Seeded histories: two people, one on each side, who edit the same issues while the network and the process fail.

use std::collections::{BTreeMap, BTreeSet};

use krate_model::kinds::external::{BackfillMode, ExternalSyncConflict, Resolution};
use krate_model::kinds::sets::{ActorKind, ResolutionStrategy};
use krate_model::kinds::shared::{Actor, Body, ObjectRef};
use krate_model::kinds::work::{Comment, CommentSpec, Issue, IssueSpec, IssueState};
use krate_model::{Kind, Resource};
use krate_providers::simulator::{Fault, Faults, IssueEdit, NewIssue, Refusal, Rng};
use krate_sync::driver::{Clock, DriverError};
use krate_sync::local::Local;

use crate::world::{Crash, NAMESPACE, REPOSITORY, World, block_on};

/// One text that a person wrote. Every text is written once, so that it can be told where it went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Edit {
    /// Whether it was written here, not at the forge.
    pub here: bool,
    /// Which object and field: `issue/7 title`, `comment/99 body`.
    pub place: String,
    /// The text.
    pub text: String,
}

/// A history that came to rest, with what the people did.
pub struct History {
    /// Everything as it is at the end.
    pub world: World,
    /// The texts, in the order in which they were written.
    pub edits: Vec<Edit>,
    /// The labels that each issue has to have, by its number.
    pub labels: BTreeMap<u64, BTreeSet<String>>,
    /// Bodies of the comments that were made here.
    pub comments: Vec<String>,
}

/// How a history is made.
#[derive(Debug, Clone, Copy)]
pub struct Plan {
    /// Where all chance comes from.
    pub seed: u64,
    /// How many things happen.
    pub events: usize,
    /// Whether people edit here too.
    pub two_sided: bool,
    /// Per mille of webhooks that each fault of the way strikes.
    pub faults: u16,
    /// Whether the process dies now and then; else only where `crash` says so.
    pub dies: bool,
    /// The one commit, counted from the start, at which the process dies.
    pub crash: Option<Crash>,
}

fn webhook_faults(per_mille: u16) -> Faults {
    [Fault::DropDelivery, Fault::RepeatDelivery, Fault::DoubleDelivery, Fault::ReorderDelivery, Fault::DelayDelivery]
        .into_iter()
        .fold(Faults::none(), |faults, fault| faults.with(fault, per_mille))
}

fn alice() -> Actor {
    Actor::new(ActorKind::User, "alice")
}

/// Plays the history and lets it come to rest: what was late arrives, one complete backfill runs.
///
/// # Errors
/// Why it didn't come to rest.
pub fn play(plan: Plan) -> Result<History, String> {
    let world = World::new(plan.seed, webhook_faults(plan.faults), "bidirectional");
    if !plan.dies {
        world.plan_crash(plan.crash);
    }
    let mut history = History { world, edits: Vec::new(), labels: BTreeMap::new(), comments: Vec::new() };
    let mut rng = Rng::seeded(plan.seed);
    for at in 0..plan.events {
        history.step(plan, &mut rng, at);
        if history.world.is_dead() {
            history.world.store.revive();
        }
    }
    history.rest()?;
    Ok(history)
}

impl History {
    fn step(&mut self, plan: Plan, rng: &mut Rng, at: usize) {
        let world = &self.world;
        match rng.below(20) {
            0..=6 => self.there(rng, at),
            7..=10 if plan.two_sided => self.here(rng, at),
            7..=11 => {
                world.deliver();
            }
            12 | 13 if plan.dies => {
                world.plan_crash(Some(Crash { commit: rng.below(6), after: rng.below(2) == 0 }));
                let _ = world.pass();
                world.restart();
            }
            14 if plan.two_sided => {
                let faults = [Fault::FailBefore, Fault::FailAfter, Fault::LoseResponse, Fault::LoseRequest];
                world.forge().script(pick(rng, &faults).copied().unwrap_or(Fault::FailBefore));
                let _ = world.pass();
            }
            12..=16 => {
                let _ = world.pass();
            }
            17 if plan.two_sided => self.resolve(rng),
            _ => world.pass_time(i64::try_from(rng.below(90)).unwrap_or(0)),
        }
    }

    /// What arrives late arrives before the end; what was lost stays lost.
    fn rest(&mut self) -> Result<(), String> {
        let world = &self.world;
        world.settle()?;
        world.pass_time(3_600);
        world.deliver();
        world.store.revive();
        world.deliver();
        world.settle()?;
        while block_on(world.driver.request_backfill("site", BackfillMode::Complete)).is_err() {
            if !world.is_dead() {
                return Err("the backfill was refused".to_owned());
            }
            world.store.revive();
        }
        world.settle()
    }

    fn note(&mut self, here: bool, place: String, text: String) {
        self.edits.push(Edit { here, place, text });
    }

    /// Something that a person does at the forge.
    fn there(&mut self, rng: &mut Rng, at: usize) {
        let now = self.world.clock.now();
        let mut network = self.world.forge();
        let found: Vec<u64> = network
            .forge
            .repository(REPOSITORY)
            .map_or_else(Vec::new, |repository| repository.issues().map(|issue| issue.number).collect());
        let number = pick(rng, &found).copied().unwrap_or(1);
        let comments: Vec<u64> = network.forge.comments(REPOSITORY, number).iter().map(|comment| comment.id).collect();
        let labels: Vec<String> =
            network.forge.label_names(REPOSITORY, number).iter().map(|l| (*l).to_owned()).collect();
        let text = format!("there {at}");
        let label = format!("there-{at}");
        // Who edits a text in the forge's pages leaves krate's marker at its end, and what krate labelled stays so (docs/limits.md).
        let body = network.forge.issue(REPOSITORY, number).and_then(|issue| issue.body.clone());
        let marked = |old: Option<&str>| format!("{text}{}", marker_of(old));
        let labels: Vec<String> = labels.into_iter().filter(|label| label.starts_with("there-")).collect();
        let old: BTreeMap<u64, String> = network
            .forge
            .comments(REPOSITORY, number)
            .iter()
            .map(|comment| (comment.id, comment.body.clone()))
            .collect();
        let mut bob = network.forge.by("bob", now);
        // What the forge refuses (a closed issue closed again, an issue that isn't there) didn't happen.
        let done: Result<Option<String>, Refusal> = match rng.below(24) {
            0..=3 => bob
                .open_issue(REPOSITORY, NewIssue::titled(text.as_str()))
                .map(|new| Some(format!("issue/{new} title"))),
            4..=7 => bob
                .edit_issue(REPOSITORY, number, IssueEdit::new().title(text.as_str()))
                .map(|()| Some(format!("issue/{number} title"))),
            8..=10 => bob
                .edit_issue(REPOSITORY, number, IssueEdit::new().body(marked(body.as_deref())))
                .map(|()| Some(format!("issue/{number} body"))),
            11..=13 => bob.comment(REPOSITORY, number, &text).map(|new| Some(format!("comment/{new} body"))),
            14 | 15 => {
                let Some(comment) = pick(rng, &comments) else { return };
                bob.edit_comment(REPOSITORY, *comment, &marked(old.get(comment).map(String::as_str)))
                    .map(|()| Some(format!("comment/{comment} body")))
            }
            16..=18 => bob.label(REPOSITORY, number, &[label.as_str()]).map(|()| {
                self.labels.entry(number).or_default().insert(label.clone());
                None
            }),
            19 => {
                let Some(label) = pick(rng, &labels) else { return };
                bob.unlabel(REPOSITORY, number, label).map(|()| {
                    self.labels.entry(number).or_default().remove(label);
                    None
                })
            }
            20 => bob.close(REPOSITORY, number).map(|()| None),
            21 => bob.reopen(REPOSITORY, number).map(|()| None),
            22 => {
                let Some(comment) = pick(rng, &comments) else { return };
                bob.delete_comment(REPOSITORY, *comment).map(|()| None)
            }
            _ if rng.below(3) == 0 => bob.delete_issue(REPOSITORY, number).map(|()| None),
            _ => Ok(None),
        };
        drop(network);
        if let Ok(Some(place)) = done {
            self.note(false, place, text);
        }
    }

    /// Something that a person does here.
    fn here(&mut self, rng: &mut Rng, at: usize) {
        let text = format!("here {at}");
        let label = format!("here-{at}");
        if rng.below(8) == 0 {
            let mut spec = IssueSpec::new("acme", text.as_str());
            spec.repository = Some("site".to_owned());
            let issue = Issue::at(NAMESPACE, format!("made-{at}"), spec);
            if self.create(&Local::Issue(issue)) {
                self.note(true, format!("made-{at} title"), text);
            }
            return;
        }
        let issues = self.world.all::<Issue>();
        let known: Vec<&Issue> = issues.iter().filter(|issue| issue.phase() == "Open").collect();
        let Some(issue) = pick(rng, &known) else { return };
        let about = ObjectRef::new(Kind::Issue.as_str(), issue.name());
        let number =
            issue.status.as_ref().and_then(|s| s.external.as_ref()).and_then(|external| external.native_number);
        let place = number.map_or_else(|| issue.name().to_owned(), |number| format!("issue/{number}"));
        match rng.below(12) {
            0..=2 => {
                if self.edit(&about, &|spec| spec.title.clone_from(&text)) {
                    self.note(true, format!("{place} title"), text);
                }
            }
            3 | 4 => {
                if self.edit(&about, &|spec| spec.body = Some(Body::markdown(text.as_str()))) {
                    self.note(true, format!("{place} body"), text);
                }
            }
            5 | 6 => {
                let (Some(number), true) = (
                    number,
                    self.edit(&about, &|spec| {
                        spec.labels.insert(label.clone());
                    }),
                ) else {
                    return;
                };
                self.labels.entry(u64::try_from(number).unwrap_or(0)).or_default().insert(label);
            }
            7 => {
                let labels: Vec<&String> = issue.spec.labels.iter().collect();
                let (Some(label), Some(number)) = (pick(rng, &labels), number) else { return };
                if self.edit(&about, &|spec| {
                    spec.labels.remove(*label);
                }) {
                    self.labels.entry(u64::try_from(number).unwrap_or(0)).or_default().remove(*label);
                }
            }
            8 => {
                let closed = issue.spec.state == IssueState::Closed;
                self.edit(&about, &|spec| {
                    spec.state = if closed { IssueState::Open } else { IssueState::Closed };
                    spec.state_reason = None;
                });
            }
            9 => {
                let comments = self.world.all::<Comment>();
                let own: Vec<&Comment> = comments
                    .iter()
                    .filter(|c| c.phase() != "Deleted" && c.status.as_ref().is_some_and(|s| s.external.is_some()))
                    .collect();
                let Some(comment) = pick(rng, &own) else { return };
                let id = comment
                    .status
                    .as_ref()
                    .and_then(|s| s.external.as_ref())
                    .map(|e| e.native_id.clone())
                    .unwrap_or_default();
                let about = ObjectRef::new(Kind::Comment.as_str(), comment.name());
                let change = |local: &mut Local| {
                    if let Local::Comment(comment) = local {
                        comment.spec.body = Body::markdown(text.as_str());
                    }
                };
                if self.edit_any(&about, &change) {
                    self.note(true, format!("comment/{id} body"), text);
                }
            }
            _ => {
                let comment = CommentSpec::new("acme", about, Body::markdown(text.as_str()));
                if self.create(&Local::Comment(Comment::at(NAMESPACE, format!("c-{at}"), comment))) {
                    self.comments.push(text.clone());
                    self.note(true, format!("c-{at} body"), text);
                }
            }
        }
    }

    fn edit(&self, about: &ObjectRef, change: &(dyn Fn(&mut IssueSpec) + Sync)) -> bool {
        let apply = |local: &mut Local| {
            if let Local::Issue(issue) = local {
                change(&mut issue.spec);
            }
        };
        self.edit_any(about, &apply)
    }

    /// Whether the edit was taken in. A person who sees the process die looks, and edits again: the second time nothing is new.
    fn edit_any(&self, about: &ObjectRef, change: &(dyn Fn(&mut Local) + Sync)) -> bool {
        let once = || block_on(self.world.driver.edit(NAMESPACE, about, &alice(), change));
        self.again(&once).is_ok()
    }

    fn create(&self, local: &Local) -> bool {
        let once = || block_on(self.world.driver.create(local.clone(), &alice()));
        match self.again(&once) {
            Ok(_) => true,
            // It was made before the process died.
            Err(DriverError::Record(error)) => error.is_conflict(),
            Err(_) => false,
        }
    }

    fn again<T>(&self, act: &dyn Fn() -> Result<T, DriverError>) -> Result<T, DriverError> {
        let first = act();
        if first.is_err() && self.world.is_dead() {
            self.world.store.revive();
            return act();
        }
        first
    }

    /// A person decides about a conflict.
    fn resolve(&self, rng: &mut Rng) {
        let conflicts = self.world.all::<ExternalSyncConflict>();
        let open: Vec<&ExternalSyncConflict> = conflicts.iter().filter(|conflict| conflict.phase() == "Open").collect();
        let Some(conflict) = pick(rng, &open) else { return };
        let strategies = [ResolutionStrategy::PreferKrate, ResolutionStrategy::PreferExternal];
        let Some(strategy) = pick(rng, &strategies).cloned() else { return };
        let seen_versions = conflict.spec.versions.clone();
        let resolution = Resolution { strategy, value: None, seen_versions, comment: None };
        let _ = block_on(self.world.driver.resolve(NAMESPACE, conflict.name(), resolution, &alice()));
    }
}

fn pick<'p, T>(rng: &mut Rng, from: &'p [T]) -> Option<&'p T> {
    let index = rng.below(from.len().max(1) as u64);
    from.get(usize::try_from(index).unwrap_or(0))
}

/// A body as a person wrote it: without the marker that krate adds to what it makes.
pub fn text_of(body: Option<&str>) -> &str {
    let body = body.unwrap_or_default();
    body.split("<!-- krate:").next().unwrap_or(body).trim_end()
}

/// The marker that krate added to a body, as it stands after another text.
fn marker_of(body: Option<&str>) -> String {
    let body = body.unwrap_or_default();
    let marker = body.get(text_of(Some(body)).len()..).unwrap_or_default().trim_start();
    if marker.is_empty() { String::new() } else { format!("\n\n{marker}") }
}
