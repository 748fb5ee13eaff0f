//! What people do, at the forge and here.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use krate_model::kinds::external::{ExternalSyncConflict, ExternalWriteIntent, IntentCancel, Resolution};
use krate_model::kinds::policy::{AgentApproval, ApprovalDecision, ApprovalVerdict, WithdrawCommand};
use krate_model::kinds::sets::{ActorKind, ResolutionStrategy};
use krate_model::kinds::shared::{Actor, Body, ObjectRef};
use krate_model::kinds::work::{Comment, CommentSpec, Issue, IssueSpec, IssueState};
use krate_model::{Kind, Resource};
use krate_providers::simulator::{Forge, IssueEdit, NewIssue, Refusal, Rng};
use krate_sync::driver::{Clock as _, DriverError};
use krate_sync::local::Local;
use krate_sync::records::{Loaded, parse};

use super::journal::{Decision, Journal};
use super::small::Field;
use crate::world::{NAMESPACE, World, block_on};

/// Whoever edits here.
pub fn alice() -> Actor {
    Actor::new(ActorKind::User, "alice")
}

/// An agent that the policy trusts with nothing: what it wants is asked about (S39).
pub fn agent() -> Actor {
    Actor::new(ActorKind::Agent, "fixer")
}

/// Whoever answers for others' writes.
fn bea() -> Actor {
    Actor::new(ActorKind::User, "bea")
}

/// Something that a person does at the forge.
pub fn there(forge: &mut Forge, repository: &str, journal: &mut Journal, rng: &mut Rng, now: DateTime<Utc>) {
    let found = numbers(forge, repository);
    let number = pick(rng, &found).copied().unwrap_or(1);
    match rng.below(24) {
        0..=3 => open(forge, repository, journal, now),
        4..=7 => retitle(forge, repository, journal, number, now),
        8..=10 => rewrite_line(forge, repository, journal, number, rng, now),
        11..=13 => {
            let text = format!("there {}", journal.fresh());
            if let Ok(new) = forge.by("bob", now).comment(repository, number, &text) {
                journal.tell(now, || format!("bob comments on issue {number} at the forge: {text:?} ({new})"));
                journal.wrote(false, format!("comment/{new} body"), text);
            }
        }
        14 | 15 => recomment(forge, repository, journal, number, rng, now),
        16..=18 => {
            let label = format!("there-{}", journal.fresh());
            if forge.by("bob", now).label(repository, number, &[label.as_str()]).is_ok() {
                journal.tell(now, || format!("bob labels issue {number} at the forge: {label}"));
                journal.labels.entry(number).or_default().insert(label);
            }
        }
        19 => {
            let labels: Vec<String> = forge.label_names(repository, number).iter().map(|l| (*l).to_owned()).collect();
            // What krate labelled stays so (docs/limits.md).
            let own: Vec<String> = labels.into_iter().filter(|label| label.starts_with("there-")).collect();
            let Some(label) = pick(rng, &own) else { return };
            if forge.by("bob", now).unlabel(repository, number, label).is_ok() {
                journal.tell(now, || format!("bob takes label {label} from issue {number} at the forge"));
                journal.labels.entry(number).or_default().remove(label);
            }
        }
        20 => told(journal, now, &forge.by("bob", now).close(repository, number), || {
            format!("bob closes issue {number} at the forge")
        }),
        21 => told(journal, now, &forge.by("bob", now).reopen(repository, number), || {
            format!("bob reopens issue {number} at the forge")
        }),
        22 => {
            let comments = comment_ids(forge, repository, number);
            let Some(comment) = pick(rng, &comments) else { return };
            told(journal, now, &forge.by("bob", now).delete_comment(repository, *comment), || {
                format!("bob deletes comment {comment} at the forge")
            });
        }
        _ if rng.below(3) == 0 => delete(forge, repository, journal, number, now),
        _ => {}
    }
}

// What the forge refuses (a closed issue closed again, an issue that isn't there) didn't happen.
fn told(journal: &mut Journal, now: DateTime<Utc>, done: &Result<(), Refusal>, line: impl FnOnce() -> String) {
    if done.is_ok() {
        journal.tell(now, line);
    }
}

fn numbers(forge: &Forge, repository: &str) -> Vec<u64> {
    forge.repository(repository).map_or_else(Vec::new, |found| found.issues().map(|issue| issue.number).collect())
}

fn comment_ids(forge: &Forge, repository: &str, number: u64) -> Vec<u64> {
    forge.comments(repository, number).iter().map(|comment| comment.id).collect()
}

/// Bob opens an issue at the forge.
pub fn open(forge: &mut Forge, repository: &str, journal: &mut Journal, now: DateTime<Utc>) {
    let text = format!("there {}", journal.fresh());
    let issue = NewIssue::titled(text.as_str()).body(LINES.join("\n"));
    if let Ok(new) = forge.by("bob", now).open_issue(repository, issue) {
        journal.tell(now, || format!("bob opens issue {new} at the forge: {text:?}"));
        journal.wrote(false, format!("issue/{new} title"), text);
    }
}

/// Bob gives an issue another title at the forge.
pub fn retitle(forge: &mut Forge, repository: &str, journal: &mut Journal, number: u64, now: DateTime<Utc>) {
    let text = format!("there {}", journal.fresh());
    if forge.by("bob", now).edit_issue(repository, number, IssueEdit::new().title(text.as_str())).is_ok() {
        journal.tell(now, || format!("bob edits issue {number} title at the forge: {text:?}"));
        journal.wrote(false, format!("issue/{number} title"), text);
    }
}

/// What the lines of a body say before anybody wrote into them.
const LINES: [&str; 3] = ["line 1", "line 2", "line 3"];

/// A body with `text` in place of one of its lines.
fn with_line(body: &str, at: usize, text: &str) -> String {
    let known = body.lines().chain(LINES.into_iter().skip(body.lines().count()));
    let lines = known.enumerate().map(|(place, line)| if place == at { text } else { line });
    lines.collect::<Vec<_>>().join("\n")
}

/// Bob writes into one line of an issue's body at the forge.
fn rewrite_line(
    forge: &mut Forge,
    repository: &str,
    journal: &mut Journal,
    number: u64,
    rng: &mut Rng,
    now: DateTime<Utc>,
) {
    let at = a_line(rng);
    let place = format!("line {at} of body");
    put_body(forge, repository, journal, number, &place, now, &|old, text| with_line(old, at, text));
}

fn a_line(rng: &mut Rng) -> usize {
    usize::try_from(rng.below(LINES.len() as u64)).unwrap_or(0)
}

/// Bob writes another body for an issue at the forge.
pub(super) fn rewrite(forge: &mut Forge, repository: &str, journal: &mut Journal, number: u64, now: DateTime<Utc>) {
    put_body(forge, repository, journal, number, "body", now, &|_, text| text.to_owned());
}

/// Bob makes a new body of the old one and a fresh text. Who edits a text in the forge's pages leaves krate's marker at its end (docs/limits.md).
fn put_body(
    forge: &mut Forge,
    repository: &str,
    journal: &mut Journal,
    number: u64,
    place: &str,
    now: DateTime<Utc>,
    make: &dyn Fn(&str, &str) -> String,
) {
    let text = format!("there {}", journal.fresh());
    let old = forge.issue(repository, number).and_then(|issue| issue.body.clone());
    let body = format!("{}{}", make(text_of(old.as_deref()), &text), marker_of(old.as_deref()));
    if forge.by("bob", now).edit_issue(repository, number, IssueEdit::new().body(body)).is_ok() {
        journal.tell(now, || format!("bob edits issue {number} {place} at the forge: {text:?}"));
        journal.wrote(false, format!("issue/{number} {place}"), text);
    }
}

fn recomment(
    forge: &mut Forge,
    repository: &str,
    journal: &mut Journal,
    number: u64,
    rng: &mut Rng,
    now: DateTime<Utc>,
) {
    let old: BTreeMap<u64, String> =
        forge.comments(repository, number).iter().map(|comment| (comment.id, comment.body.clone())).collect();
    let ids: Vec<u64> = old.keys().copied().collect();
    let Some(comment) = pick(rng, &ids) else { return };
    let text = format!("there {}", journal.fresh());
    let body = format!("{text}{}", marker_of(old.get(comment).map(String::as_str)));
    if forge.by("bob", now).edit_comment(repository, *comment, &body).is_ok() {
        journal.tell(now, || format!("bob edits comment {comment} at the forge: {text:?}"));
        journal.wrote(false, format!("comment/{comment} body"), text);
    }
}

/// Bob deletes an issue at the forge.
pub fn delete(forge: &mut Forge, repository: &str, journal: &mut Journal, number: u64, now: DateTime<Utc>) {
    told(journal, now, &forge.by("bob", now).delete_issue(repository, number), || {
        format!("bob deletes issue {number} at the forge")
    });
}

/// Two people edit one issue in the same second. Whether they did.
pub fn both(forge: &mut Forge, repository: &str, journal: &mut Journal, rng: &mut Rng, now: DateTime<Utc>) -> bool {
    let found = numbers(forge, repository);
    let Some(number) = pick(rng, &found).copied() else { return false };
    retitle(forge, repository, journal, number, now);
    if rng.below(2) == 0 {
        retitle(forge, repository, journal, number, now);
    } else {
        rewrite_line(forge, repository, journal, number, rng, now);
    }
    true
}

/// An issue at the forge, by chance.
pub fn any_issue(forge: &Forge, repository: &str, rng: &mut Rng) -> Option<u64> {
    pick(rng, &numbers(forge, repository)).copied()
}

/// Alice gives an issue another title or body here, where it is known here.
pub(super) fn edit_here(world: &World, journal: &mut Journal, number: u64, field: Field) {
    let text = format!("here {}", journal.fresh());
    let known = |issue: &Issue| issue.status.as_ref()?.external.as_ref()?.native_number;
    let wanted = i64::try_from(number).ok();
    let Some(issue) = world.all::<Issue>().into_iter().find(|issue| known(issue) == wanted) else { return };
    let about = ObjectRef::new(Kind::Issue.as_str(), issue.name());
    let (name, edited) = match field {
        Field::Title => ("title", edit(world, &about, &alice(), &|spec| spec.title.clone_from(&text))),
        Field::Body => ("body", edit(world, &about, &alice(), &|spec| spec.body = Some(Body::markdown(text.as_str())))),
    };
    if edited {
        journal.tell(world.forge_now(), || format!("alice edits issue/{number} {name} here: {text:?}"));
        journal.wrote(true, format!("issue/{number} {name}"), text);
    }
}

/// Something that somebody does here.
pub fn here(world: &World, journal: &mut Journal, rng: &mut Rng, by: &Actor) {
    let who = by.name.as_str();
    let at = journal.fresh();
    let text = format!("here {at}");
    let now = world.forge_now();
    if rng.below(8) == 0 {
        let mut spec = IssueSpec::new("acme", text.as_str());
        spec.repository = Some("site".to_owned());
        let issue = Issue::at(NAMESPACE, format!("made-{at}"), spec);
        if create(world, &Local::Issue(issue), by) {
            journal.tell(now, || format!("{who} makes issue made-{at} here: {text:?}"));
            journal.wrote(true, format!("made-{at} title"), text);
        }
        return;
    }
    let Some(issue) = any_open::<Issue>(world, rng) else { return };
    let about = ObjectRef::new(Kind::Issue.as_str(), issue.name());
    let number = issue.status.as_ref().and_then(|s| s.external.as_ref()).and_then(|external| external.native_number);
    let place = number.map_or_else(|| issue.name().to_owned(), |number| format!("issue/{number}"));
    match rng.below(12) {
        0..=2 => {
            if edit(world, &about, by, &|spec| spec.title.clone_from(&text)) {
                journal.tell(now, || format!("{who} edits {place} title here: {text:?}"));
                journal.wrote(true, format!("{place} title"), text);
            }
        }
        3 | 4 => {
            let line = a_line(rng);
            if edit(world, &about, by, &|spec| {
                let known = spec.body.take().map_or_else(String::new, |body| body.markdown);
                spec.body = Some(Body::markdown(with_line(&known, line, &text)));
            }) {
                journal.tell(now, || format!("{who} edits line {line} of {place} body here: {text:?}"));
                journal.wrote(true, format!("{place} line {line} of body"), text);
            }
        }
        5 | 6 => {
            let label = format!("here-{at}");
            let Some(number) = number.and_then(|number| u64::try_from(number).ok()) else { return };
            if edit(world, &about, by, &|spec| {
                spec.labels.insert(label.clone());
            }) {
                journal.tell(now, || format!("{who} labels {place} here: {label}"));
                journal.labels.entry(number).or_default().insert(label);
            }
        }
        7 => {
            let labels: Vec<&String> = issue.spec.labels.iter().collect();
            let Some(number) = number.and_then(|number| u64::try_from(number).ok()) else { return };
            let Some(label) = pick(rng, &labels) else { return };
            if edit(world, &about, by, &|spec| {
                spec.labels.remove(*label);
            }) {
                journal.tell(now, || format!("{who} takes label {label} from {place} here"));
                journal.labels.entry(number).or_default().remove(*label);
            }
        }
        8 => {
            let closed = issue.spec.state == IssueState::Closed;
            let state = if closed { IssueState::Open } else { IssueState::Closed };
            if edit(world, &about, by, &|spec| {
                spec.state = state.clone();
                spec.state_reason = None;
            }) {
                journal.tell(now, || format!("{who} sets {place} to {state} here"));
            }
        }
        9 => edit_comment(world, journal, rng, text, by),
        _ => {
            let spec = CommentSpec::new("acme", about, Body::markdown(text.as_str()));
            if create(world, &Local::Comment(Comment::at(NAMESPACE, format!("c-{at}"), spec)), by) {
                journal.tell(now, || format!("{who} comments on {place} here: {text:?}"));
                journal.wrote(true, format!("c-{at} body"), text);
            }
        }
    }
}

fn edit_comment(world: &World, journal: &mut Journal, rng: &mut Rng, text: String, by: &Actor) {
    let comments = world.all::<Comment>();
    let own: Vec<&Comment> = comments
        .iter()
        .filter(|c| c.phase() != "Deleted" && c.status.as_ref().is_some_and(|s| s.external.is_some()))
        .collect();
    let Some(comment) = pick(rng, &own) else { return };
    let id = comment.status.as_ref().and_then(|s| s.external.as_ref()).map(|e| e.native_id.clone());
    let id = id.unwrap_or_default();
    let about = ObjectRef::new(Kind::Comment.as_str(), comment.name());
    let change = |local: &mut Local| {
        if let Local::Comment(comment) = local {
            comment.spec.body = Body::markdown(text.as_str());
        }
    };
    if edit_any(world, &about, by, &change) {
        journal.tell(world.forge_now(), || format!("{} edits comment {id} here: {text:?}", by.name));
        journal.wrote(true, format!("comment/{id} body"), text);
    }
}

fn edit(world: &World, about: &ObjectRef, by: &Actor, change: &(dyn Fn(&mut IssueSpec) + Sync)) -> bool {
    let apply = |local: &mut Local| {
        if let Local::Issue(issue) = local {
            change(&mut issue.spec);
        }
    };
    edit_any(world, about, by, &apply)
}

/// Whether the edit was taken in. A person who sees it fail looks, and edits again: the second time nothing is new.
fn edit_any(world: &World, about: &ObjectRef, by: &Actor, change: &(dyn Fn(&mut Local) + Sync)) -> bool {
    let once = || block_on(world.driver.edit(NAMESPACE, about, by, change));
    again(world, &once).is_ok()
}

fn create(world: &World, local: &Local, by: &Actor) -> bool {
    let once = || block_on(world.driver.create(local.clone(), by));
    match again(world, &once) {
        Ok(_) => true,
        // It was made before the process died.
        Err(DriverError::Record(error)) => error.is_conflict(),
        Err(_) => false,
    }
}

/// How often a person tries again while the store fails.
const PATIENCE: usize = 8;

fn again<T>(world: &World, act: &dyn Fn() -> Result<T, DriverError>) -> Result<T, DriverError> {
    let mut last = act();
    for _ in 0..PATIENCE {
        if world.is_dead() {
            world.store.revive();
        }
        match &last {
            Err(DriverError::Record(_)) => last = act(),
            _ => return last,
        }
    }
    last
}

/// One of the open objects of a kind.
fn any_open<T: Resource>(world: &World, rng: &mut Rng) -> Option<T> {
    parse(pick(rng, &world.in_phase(T::KIND, "Open"))?).ok().map(|loaded| loaded.object)
}

/// A person decides about a conflict.
pub fn decide(world: &World, journal: &mut Journal, rng: &mut Rng) {
    let Some(conflict) = any_open::<ExternalSyncConflict>(world, rng) else { return };
    let strategies = [ResolutionStrategy::PreferKrate, ResolutionStrategy::PreferExternal];
    let Some(strategy) = pick(rng, &strategies).cloned() else { return };
    journal.tell(world.forge_now(), || {
        format!("alice decides for {strategy} about {} of {}", conflict.spec.field_path, conflict.spec.resource.name)
    });
    let seen_versions = conflict.spec.versions.clone();
    let for_krate = strategy == ResolutionStrategy::PreferKrate;
    let resolution = Resolution { strategy, value: None, seen_versions, comment: None };
    if block_on(world.driver.resolve(NAMESPACE, conflict.name(), resolution, &alice())).is_ok() {
        let (conflict, edits) = (conflict.name().to_owned(), journal.edits.len());
        journal.decisions.push(Decision { conflict, for_krate, edits, written: world.written().len() });
    }
}

/// One of the objects of a kind that are in a phase, as the store has it.
fn any_in<T: Resource>(world: &World, rng: &mut Rng, phase: &str) -> Option<Loaded<T>> {
    parse(pick(rng, &world.in_phase(T::KIND, phase))?).ok()
}

/// What a write would write, and of which object.
fn wish_of(intent: &ExternalWriteIntent) -> (String, String) {
    let payload = serde_json::to_value(&intent.spec.payload).unwrap_or_default().to_string();
    (intent.spec.target.name.clone(), payload)
}

/// Answers for a write; whether that was taken in. The record may have moved since it was looked at, and the store may fail: then nothing was said.
fn say(world: &World, journal: &mut Journal, approval: Loaded<AgentApproval>, verdict: &ApprovalVerdict) -> bool {
    let (name, subject) = (approval.object.name().to_owned(), approval.object.spec.subject.name.clone());
    let intent = world.all::<ExternalWriteIntent>().into_iter().find(|intent| intent.name() == subject);
    let decision = ApprovalDecision { by: bea(), at: world.clock.now(), verdict: verdict.clone(), reason: None };
    let done = block_on(world.driver.decide(approval, decision));
    if world.is_dead() {
        world.store.revive();
    }
    // Its answer may be lost, and the answer durable.
    let phase = world.all::<AgentApproval>().into_iter().find(|it| it.name() == name).map(|it| it.phase().to_owned());
    let is_said = done.is_ok() || phase.as_deref().is_some_and(|phase| ["Used", "Denied"].contains(&phase));
    if is_said {
        journal.tell(world.forge_now(), || format!("bea says {verdict} to {subject}"));
        if let Some(intent) = intent.filter(|_| *verdict == ApprovalVerdict::Denied) {
            journal.unwanted.push(wish_of(&intent));
        }
    }
    is_said
}

/// A person answers for a write that waits.
pub fn answer(world: &World, journal: &mut Journal, rng: &mut Rng) {
    let Some(approval) = any_in::<AgentApproval>(world, rng, "Pending") else { return };
    let verdict = if rng.below(3) == 0 { ApprovalVerdict::Denied } else { ApprovalVerdict::Approved };
    say(world, journal, approval, &verdict);
}

/// Every write that waits is approved; whether there was one.
pub fn approve_all(world: &World, journal: &mut Journal) -> bool {
    let waiting = world.in_phase(Kind::AgentApproval, "Pending");
    let waiting = waiting.iter().filter_map(|stored| parse::<AgentApproval>(stored).ok());
    let mut said = false;
    for approval in waiting {
        said |= say(world, journal, approval, &ApprovalVerdict::Approved);
    }
    said
}

/// A person takes back that they approved a write, before it is sent; whether they did.
pub fn withdraw(world: &World, journal: &mut Journal, rng: &mut Rng) -> bool {
    // Who has approved none that could be taken back approves one, and thinks better of it at once.
    let given = |world: &World| {
        let ready = world.in_phase(Kind::ExternalWriteIntent, "ReadyToSend");
        let ready = ready.iter().filter_map(|stored| parse::<ExternalWriteIntent>(stored).ok());
        let mut given = ready.filter_map(|intent| Some(intent.object.status?.approval?.approval_ref));
        given.next()
    };
    if given(world).is_none()
        && let Some(approval) = any_in::<AgentApproval>(world, rng, "Pending")
    {
        say(world, journal, approval, &ApprovalVerdict::Approved);
    }
    let Some(name) = given(world) else { return false };
    let stored = world.in_phase(Kind::AgentApproval, "Used");
    let mut used = stored.iter().filter_map(|stored| parse::<AgentApproval>(stored).ok());
    let Some(approval) = used.find(|approval| approval.object.name() == name) else { return false };
    let command = WithdrawCommand { id: format!("w-{}", journal.fresh()), reason: None };
    let done = block_on(world.driver.withdraw(approval, command, &bea())).is_ok();
    if world.is_dead() {
        world.store.revive();
    }
    if done {
        journal.tell(world.forge_now(), || format!("bea takes back that she approved {name}"));
    }
    done
}

/// A person takes a write back that wasn't sent.
pub fn cancel(world: &World, journal: &mut Journal, rng: &mut Rng) {
    let phase = if rng.below(2) == 0 { "PendingApproval" } else { "ReadyToSend" };
    let Some(intent) = any_in::<ExternalWriteIntent>(world, rng, phase) else { return };
    let name = intent.object.name().to_owned();
    let command = IntentCancel { id: format!("c-{}", journal.fresh()), reason: Some("not this one".to_owned()) };
    let _ = block_on(world.driver.cancel(NAMESPACE, &name, command));
    if world.is_dead() {
        world.store.revive();
    }
    // Its answer may be lost, and the command durable.
    let commanded =
        world.all::<ExternalWriteIntent>().into_iter().find(|it| it.name() == name && it.spec.cancel.is_some());
    if let Some(intent) = commanded {
        journal.tell(world.forge_now(), || format!("alice cancels {name}"));
        journal.unwanted.push(wish_of(&intent));
    }
}

/// One of them.
pub fn pick<'p, T>(rng: &mut Rng, from: &'p [T]) -> Option<&'p T> {
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
