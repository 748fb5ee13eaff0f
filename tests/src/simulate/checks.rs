//! What has to hold at the end of every history.

use std::collections::{BTreeMap, BTreeSet};

use krate_model::audit::{AuditEventSpec, verify_chain};
use krate_model::kinds::external::{
    BackfillMode, ExternalObjectLink, ExternalSyncConflict, ExternalSyncEvent, ExternalSyncState,
    ExternalWebhookDelivery, ExternalWriteIntent,
};
use krate_model::kinds::hooks::AuditEvent;
use krate_model::kinds::sets::Operation;
use krate_model::kinds::work::{Comment, Issue};
use krate_model::store::chain_ends;
use krate_model::{Digest, Resource, canonical_digest};
use krate_providers::simulator::State;
use krate_sync::driver::Clock as _;
use krate_sync::plan::carries;

use super::fault::Fault;
use super::journal::{Edit, Journal};
use super::people::text_of;
use super::play::History;
use crate::world::{NAMESPACE, World, block_on, bound_repository, lock};

/// Checks everything, and returns what doesn't hold, each with the invariant's number first.
pub fn check(history: &History) -> Vec<String> {
    let mut wrong = Vec::new();
    let world = &history.world;
    let journal = lock(&history.journal).clone();
    let told = Told::of(world, &journal);
    wrong.extend(converged(world, &journal, &told));
    no_hidden_edit(history, &journal, &mut wrong);
    recorded(world, &journal, &mut wrong);
    // One chain is like another, and its digests take as long as the rest of the check.
    if history.seed.is_multiple_of(CHAINS_CHECKED) {
        unbroken(world, &mut wrong);
    }
    no_echo(world, &told, &mut wrong);
    proven(world, &mut wrong);
    decided(world, &journal, &told, &mut wrong);
    taken_back(world, &journal, &told, &mut wrong);
    if !struck(history, &[Fault::ClockBack, Fault::ClockForward]) {
        shown_is_done(world, &told, &mut wrong);
    }
    in_order(world, &journal, &told, &mut wrong);
    labelled_once(world, &told, &mut wrong);
    if journal.most_refused > MOST_REFUSED {
        wrong.push(format!("S44: {} calls in one moment were refused for a limit", journal.most_refused));
    }
    // What was out of sight for a while comes back; what was deleted doesn't.
    let revived = if struck(history, &LAGGING) { BTreeSet::new() } else { world.store.revived() };
    let gone = revived.into_iter().filter(|key| !is_shown_rightly(world, key));
    wrong.extend(gone.map(|key| format!("S18: {key} came back after its deletion")));
    if !struck(history, &[Fault::ReadForbiddenAsMissing, Fault::ReplicaBehind, Fault::WriteUnseen, Fault::NameReused]) {
        // A comment is asked for by the list of its conversation, which may lack it, too.
        let is_asked = |key: &String| !key.starts_with("Comment") || !struck(history, &THIN);
        let buried = world.store.ever_deleted().into_iter().filter(is_asked).filter(|key| is_shown_rightly(world, key));
        wrong.extend(buried.map(|key| format!("S24: {key} was shown as deleted, and never was")));
    }
    // S20: what comes back now is all known.
    let before = world.written().len();
    world.pass_time(3_600);
    world.deliver();
    let again = block_on(world.driver.request_backfill(NAMESPACE, "site", BackfillMode::Complete)).is_ok();
    if let Err(error) = world.settle() {
        wrong.push(error);
    }
    if !again || world.written().len() != before {
        wrong.push(format!("S20: written once more without a wish: {:#?}", world.written().split_off(before)));
    }
    wrong
}

/// S19 of what webhooks alone have told: where none got lost, nothing waits for a list.
pub(super) fn shown_by_webhooks(history: &History) -> Vec<String> {
    let journal = lock(&history.journal).clone();
    if journal.lost || is_waiting(&history.world) {
        return Vec::new();
    }
    let wrong = converged(&history.world, &journal, &Told::of(&history.world, &journal));
    // A comment is asked for by the list of its conversation: one that lacks it, too, takes it away until the next list shows it (docs/limits.md).
    let (thin, lagging) = (struck(history, &THIN), struck(history, &LAGGING));
    let waits = |wrong: &String| thin && wrong.starts_with("S5: comment") || lagging && wrong.starts_with("S18");
    wrong.into_iter().filter(|wrong| !waits(wrong)).collect()
}

/// A list tells less than it seems to.
const THIN: [Fault; 5] =
    [Fault::RowMissing, Fault::PageCutShort, Fault::PageEmpty, Fault::ReplicaBehind, Fault::WriteUnseen];
/// Reads show what was there before, so that what was deleted meanwhile looks as if it were back until a complete run (docs/limits.md).
const LAGGING: [Fault; 2] = [Fault::ReplicaBehind, Fault::WriteUnseen];

/// S21 of what incremental lists have told: whatever got lost, all that is there is shown, unless a list told less than it seemed to, or waits for its time
/// still. Deletions and what is late by the clock wait for a complete run.
pub(super) fn shown_by_lists(history: &History) -> Vec<String> {
    if struck(history, &THIN) || is_waiting(&history.world) {
        return Vec::new();
    }
    let journal = lock(&history.journal).clone();
    let wrong = converged(&history.world, &journal, &Told::of(&history.world, &journal));
    // The list of comments waits for the first whole run of the other lists, which a limit may hold up.
    let waiting = unfinished(&history.world).into_iter().filter(|(is_due, _)| !is_due);
    let waiting: Vec<String> =
        waiting.map(|(_, state)| state.spec.resource_kind.as_str().to_ascii_lowercase()).collect();
    let waits = |wrong: &String| waiting.iter().any(|kind| wrong.contains(&format!(": {kind} ")));
    wrong.into_iter().filter(|wrong| !wrong.starts_with("S18") && !wrong.contains("labels") && !waits(wrong)).collect()
}

fn struck(history: &History, faults: &[Fault]) -> bool {
    let strikes = lock(&history.strikes);
    faults.iter().any(|fault| strikes.struck().contains_key(fault))
}

/// Whether a limit or a refusal holds something up for longer than anybody waits here.
fn is_waiting(world: &World) -> bool {
    let held = world.held();
    let done = |intent: &ExternalWriteIntent| DONE.contains(&intent.phase()) || held.contains(intent);
    let read = |link: &ExternalObjectLink| link.status.as_ref().is_none_or(|status| !status.needs_hydration);
    let taken = |delivery: &ExternalWebhookDelivery| {
        ["Succeeded", "Ignored", "DeadLettered", "SignatureRejected"].contains(&delivery.phase())
    };
    !(world.all::<ExternalWriteIntent>().iter().all(done)
        && world.all::<ExternalObjectLink>().iter().all(read)
        && world.all::<ExternalWebhookDelivery>().iter().all(taken))
}

/// Lists whose time has come, and that nobody goes on with: only a run that somebody asks for would show what they miss.
pub(super) fn stuck(world: &World) -> Vec<String> {
    let due = unfinished(world).into_iter().filter(|(is_due, _)| *is_due);
    due.map(|(_, state)| format!("never done: {} is {}", state.name(), state.phase())).collect()
}

/// Whether the time has come of each list that is in the middle of a run.
fn unfinished(world: &World) -> Vec<(bool, ExternalSyncState)> {
    let now = world.clock.now();
    let is_due = |state: &ExternalSyncState| {
        state.status.as_ref().and_then(|status| status.not_before).is_none_or(|until| until <= now)
    };
    let states = world.all::<ExternalSyncState>().into_iter();
    let running = states.filter(|state| !["Succeeded", "Failed", "Paused"].contains(&state.phase()));
    running.map(|state| (is_due(&state), state)).collect()
}

/// Phases of a write that nobody goes on with by themselves.
const DONE: [&str; 3] = ["Succeeded", "Rejected", "Failed"];

/// What the records tell openly: conflicts that wait for a person, and writes that the forge refused.
struct Told {
    conflicts: Vec<ExternalSyncConflict>,
    failed: Vec<ExternalWriteIntent>,
    /// Writes that wait for a person's decision.
    held: Vec<ExternalWriteIntent>,
    /// Objects of which a person denied a write, or took one back.
    refused: BTreeSet<String>,
}

impl Told {
    fn of(world: &World, journal: &Journal) -> Self {
        let mut failed = world.all::<ExternalWriteIntent>();
        failed.retain(|intent| intent.phase() == "Failed");
        let refused = journal.unwanted.iter().map(|(object, _)| object.clone()).collect();
        Self { conflicts: world.all::<ExternalSyncConflict>(), failed, held: world.held(), refused }
    }

    /// Whether somebody is told that a field of an object differs.
    fn differs(&self, name: &str, path: &str) -> bool {
        let open = |conflict: &&ExternalSyncConflict| {
            conflict.phase() == "Open" && conflict.spec.resource.name == name && conflict.spec.field_path == path
        };
        let writes =
            |intent: &&ExternalWriteIntent| intent.spec.target.name == name && carries(&intent.spec.payload, path);
        self.conflicts.iter().any(|conflict| open(&conflict))
            || self.failed.iter().chain(&self.held).any(|intent| writes(&intent))
    }

    /// Whether somebody is told that an object was never made at the forge.
    fn unmade(&self, name: &str) -> bool {
        let makes = |intent: &ExternalWriteIntent| {
            intent.spec.target.name == name && intent.spec.native_target.native_id.is_none()
        };
        let withdrawn = |conflict: &ExternalSyncConflict| {
            conflict.phase() == "Resolved"
                && conflict.spec.resource.name == name
                && conflict.spec.field_path.starts_with("operation.create")
        };
        self.failed.iter().chain(&self.held).any(makes)
            || self.conflicts.iter().any(withdrawn)
            || self.refused.contains(name)
    }

    /// Whether somebody decided what becomes of labels of an object.
    fn decided_labels(&self, name: &str) -> bool {
        let refused = self.refused.contains(name);
        refused
            || self.conflicts.iter().any(|conflict| {
                let spec = &conflict.spec;
                let about = ["operation.addLabels", "operation.removeLabels"].contains(&spec.field_path.as_str());
                about && spec.resource.name == name && conflict.phase() == "Resolved"
            })
    }

    /// Texts that somebody decided to write, maybe a second time.
    fn decided(&self) -> String {
        let resolved = self.conflicts.iter().filter(|conflict| conflict.phase() == "Resolved");
        let values = resolved.flat_map(|conflict| [conflict.spec.desired.to_json(), conflict.spec.observed.to_json()]);
        values.flatten().map(|value| value.to_string()).collect::<Vec<_>>().join("\n")
    }
}

/// S19, with edits on both sides: the projection shows what the forge has, except where somebody is told.
fn converged(world: &World, journal: &Journal, told: &Told) -> Vec<String> {
    let mut wrong = Vec::new();
    let mut projections: BTreeMap<i64, Vec<Issue>> = BTreeMap::new();
    for issue in world.all::<Issue>() {
        let number = issue.status.as_ref().and_then(|s| s.external.as_ref()).and_then(|e| e.native_number);
        if issue.phase() == "Deleted" {
            continue;
        }
        match number {
            Some(number) => projections.entry(number).or_default().push(issue),
            None if told.unmade(issue.name()) => {}
            None => wrong.push(format!("S34: {} was never made at the forge", issue.name())),
        }
    }
    let network = world.forge();
    let name = bound_repository(&network.forge);
    let Some(repository) = network.forge.repository(&name) else { return wrong };
    for native in repository.issues() {
        let number = i64::try_from(native.number).unwrap_or(0);
        let shown = projections.remove(&number).unwrap_or_default();
        let [shown] = shown.as_slice() else {
            wrong.push(format!("S5: issue {number} has {} projections", shown.len()));
            continue;
        };
        let mut differ = |path: &str, ours: &str, theirs: &str| {
            if ours != theirs && !told.differs(shown.name(), path) {
                wrong.push(format!("S19: issue {number} {path} is {ours:?} here and {theirs:?} there"));
            }
        };
        differ("spec.title", &shown.spec.title, &native.title);
        let body = shown.spec.body.as_ref().map_or("", |body| body.markdown.as_str());
        differ("spec.body.markdown", body, text_of(native.body.as_deref()));
        let state = if native.state == State::Open { "open" } else { "closed" };
        differ("spec.state", shown.spec.state.as_str(), state);
        let theirs: BTreeSet<String> = repository.label_names(native).iter().map(|l| (*l).to_owned()).collect();
        let expected = journal.labels.get(&native.number).cloned().unwrap_or_default();
        let expected = if told.decided_labels(shown.name()) { theirs.clone() } else { expected };
        if !told.differs(shown.name(), "spec.labels") && (theirs != expected || shown.spec.labels != expected) {
            wrong.push(format!(
                "S19: issue {number}: labels {:?} here, {theirs:?} there, wanted {expected:?}",
                shown.spec.labels
            ));
        }
    }
    for number in projections.keys() {
        wrong.push(format!("S18: issue {number} is shown and isn't there"));
    }
    let comments = world.all::<Comment>();
    let id = |comment: &Comment| comment.status.as_ref().and_then(|s| s.external.as_ref()).map(|e| e.native_id.clone());
    for native in repository.issues().flat_map(|issue| network.forge.comments(&name, issue.number)) {
        let shown: Vec<&Comment> =
            comments.iter().filter(|c| id(c) == Some(native.id.to_string()) && c.phase() != "Deleted").collect();
        let text = text_of(Some(&native.body));
        match shown.as_slice() {
            [shown] if shown.spec.body.markdown == text || told.differs(shown.name(), "spec.body.markdown") => {}
            [shown] => wrong
                .push(format!("S19: comment {} is {:?} here and {text:?} there", native.id, shown.spec.body.markdown)),
            other => wrong.push(format!("S5: comment {} has {} projections", native.id, other.len())),
        }
    }
    wrong
}

/// Every text that a person wrote is in a projection, at the forge or in a conflict, was replaced by somebody who could see it, or by its own author.
fn no_hidden_edit(history: &History, journal: &Journal, wrong: &mut Vec<String>) {
    let world = &history.world;
    let blind = |fault: &Fault| lock(&history.strikes).struck().contains_key(fault);
    // Written over before anybody looked, and nobody was told: no read can tell (docs/limits.md).
    let unheard = [Fault::EditBeforeWrite, Fault::ReplicaBehind, Fault::WriteUnseen].iter().any(blind);
    let mut seen: BTreeSet<String> = BTreeSet::new();
    // A text is a line of what it was written into.
    let mut see = |text: &str| seen.extend(text.lines().map(str::to_owned));
    for issue in world.all::<Issue>() {
        see(&issue.spec.title);
        see(issue.spec.body.as_ref().map_or("", |body| &body.markdown));
    }
    let mut decided = Vec::new();
    world.all::<Comment>().iter().for_each(|comment| see(&comment.spec.body.markdown));
    for conflict in world.all::<ExternalSyncConflict>() {
        if conflict.phase() != "Superseded" {
            for value in [&conflict.spec.desired, &conflict.spec.observed] {
                match value.to_json() {
                    Some(serde_json::Value::String(text)) => see(&text),
                    // Of a write as a whole: all that it would have written.
                    Some(json) => decided.push(json.to_string()),
                    None => {}
                }
            }
        }
    }
    // What a person denied or took back is told by the write that wasn't sent.
    decided.extend(journal.unwanted.iter().map(|(_, wish)| wish.clone()));
    let in_conflict = |text: &str| decided.iter().any(|value| has_text(value, text));
    let written: Vec<String> = world.written().iter().map(|written| written.body.to_string()).collect();
    let reached = |text: &str| written.iter().any(|body| has_text(body, text));
    {
        let network = world.forge();
        let name = bound_repository(&network.forge);
        let issues = network.forge.repository(&name).map(|repository| repository.issues().collect::<Vec<_>>());
        for issue in issues.unwrap_or_default() {
            see(&issue.title);
            see(text_of(issue.body.as_deref()));
            let comments = network.forge.comments(&name, issue.number);
            comments.iter().for_each(|comment| see(text_of(Some(&comment.body))));
        }
    }
    for (at, edit) in journal.edits.iter().enumerate() {
        let replaced =
            journal.edits.iter().skip(at + 1).any(|later| later.place == edit.place && later.here == edit.here);
        let field = edit.place.rsplit(' ').next().unwrap_or_default();
        let known = if edit.here { reached(&edit.text) } else { world.store.ever_shown(field, &edit.text) };
        if unheard && !edit.here && !history.heard(&edit.text) {
            continue;
        }
        if !(seen.contains(&edit.text) || in_conflict(&edit.text) || replaced || known || is_gone(world, edit)) {
            wrong.push(format!("hidden edit: {edit:?}"));
        }
    }
}

/// Of so many histories the audit's chain of one is checked by its digests.
const CHAINS_CHECKED: u64 = 8;

/// R44: the audit is one unbroken chain.
fn unbroken(world: &World, wrong: &mut Vec<String>) {
    let audit: Vec<AuditEventSpec> = world.all::<AuditEvent>().into_iter().map(|event| event.spec).collect();
    let (from, to) = block_on(chain_ends(&world.store.inner, NAMESPACE)).expect("the store can be read");
    if let Err(error) = verify_chain(&from, &audit, &to) {
        wrong.push(format!("R44: {error}"));
    }
}

/// S41: the audit tells who wished for every text here, and the records tell of every one that was taken over from the forge.
fn recorded(world: &World, journal: &Journal, wrong: &mut Vec<String>) {
    let audit: Vec<AuditEventSpec> = world.all::<AuditEvent>().into_iter().map(|event| event.spec).collect();
    let edited = audit.iter().filter(|event| ["ObjectEdited", "ObjectMade"].contains(&event.kind.as_str()));
    let by_hand: BTreeSet<Digest> = edited.flat_map(|event| event.digests.values().copied()).collect();
    let intents = world.all::<ExternalWriteIntent>();
    let wished: String = intents.iter().map(|intent| as_text(&intent.spec.payload)).collect();
    let events = world.all::<ExternalSyncEvent>();
    let mut seen: String = events.iter().map(|event| as_text(&event.spec.normalized)).collect();
    for conflict in world.all::<ExternalSyncConflict>() {
        seen.push_str(&as_text(&conflict.spec.observed.to_json()));
    }
    for edit in &journal.edits {
        let field = edit.place.rsplit(' ').next().unwrap_or_default();
        let told = if edit.here {
            // A line is told with the text that it stands in, by the write that follows.
            let is_line = edit.place.contains(" line ");
            is_line || canonical_digest(&edit.text).is_ok_and(|digest| by_hand.contains(&digest))
        } else {
            !world.store.ever_shown(field, &edit.text) || has_text(&seen, &edit.text)
        };
        if !told {
            wrong.push(format!("S41: no record tells of {edit:?}"));
        }
    }
    // What is sent is what somebody wished for.
    for written in world.written() {
        if let Some(title) = written.body.get("title").and_then(|title| title.as_str())
            && !wished.contains(title)
        {
            wrong.push(format!("S41: {title:?} was written, and no record tells of it"));
        }
    }
}

fn as_text<T: serde::Serialize>(value: &T) -> String {
    serde_json::to_string(value).unwrap_or_default()
}

/// Whether the object was deleted at the forge.
fn is_gone(world: &World, edit: &Edit) -> bool {
    let network = world.forge();
    let Some(repository) = network.forge.repository(&bound_repository(&network.forge)) else { return true };
    let id = |kind: &str| edit.place.strip_prefix(kind).and_then(|rest| rest.split(' ').next()?.parse::<u64>().ok());
    let comment = |id: u64| repository.issues().any(|issue| issue.comments.contains(&id));
    !edit.here
        && (id("issue/").is_some_and(|number| repository.issue(number).is_none())
            || id("comment/").is_some_and(|id| !comment(id)))
}

/// Whether the forge has what a projection is of.
fn is_shown_rightly(world: &World, key: &str) -> bool {
    let issues =
        world.all::<Issue>().into_iter().map(|issue| (issue.name().to_owned(), issue.status.and_then(|s| s.external)));
    let comments = world
        .all::<Comment>()
        .into_iter()
        .map(|comment| (comment.name().to_owned(), comment.status.and_then(|s| s.external)));
    let found = issues.chain(comments).find(|(name, _)| key.ends_with(&format!("/{name}")));
    let id = found.and_then(|(_, external)| external).and_then(|external| external.native_id.parse::<u64>().ok());
    id.is_some_and(|id| is_there(world, id))
}

/// Whether the forge has an issue or a comment of this id.
fn is_there(world: &World, id: u64) -> bool {
    let network = world.forge();
    let repository = network.forge.repository(&bound_repository(&network.forge));
    repository.is_some_and(|found| found.issues().any(|issue| issue.id == id || issue.comments.contains(&id)))
}

pub(super) fn has_text(body: &str, text: &str) -> bool {
    // A text ends with its number: "here 1" isn't in "here 12".
    body.match_indices(text).any(|(at, _)| {
        !body.get(at + text.len()..).and_then(|rest| rest.chars().next()).is_some_and(|next| next.is_ascii_digit())
    })
}

/// S20, S34: only what was wished for here is written, and each wish has its effect once.
fn no_echo(world: &World, told: &Told, wrong: &mut Vec<String>) {
    let decided = told.decided();
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    for written in world.written() {
        let text = written.body.to_string();
        if ["title", "body"].iter().any(|field| is_echo(&written.body, field, &decided))
            || text.contains("there-") && !written.line.starts_with("DELETE")
        {
            wrong.push(format!("S20: an echo was written: {} {text}", written.line));
        }
        // What was made, and deleted by somebody before krate saw it, is made again: no read can tell (docs/limits.md).
        let made = written.line.starts_with("POST") && !written.line.contains("/labels");
        if made && !written.effects.iter().any(|effect| is_there(world, effect.object)) {
            continue;
        }
        let did = |field: &str| written.effects.iter().any(|effect| effect.changed.contains(&field));
        for field in ["title", "body"] {
            if let Some(value) = written.body.get(field).and_then(|value| value.as_str())
                && (made || did(field))
            {
                *counts.entry(format!("{field} {}", text_of(Some(value)))).or_default() += 1;
            }
        }
        if written.line.contains("/labels") && did("labels") {
            *counts.entry(format!("{} {text}", written.line)).or_default() += 1;
        }
    }
    for (what, count) in counts {
        let text = what.split_once(' ').map_or("", |(_, text)| text);
        if count > 1 && !text.is_empty() && !text.lines().all(|line| has_text(&decided, line)) {
            wrong.push(format!("S34: {what:?} was written {count} times"));
        }
    }
}

/// Whether a field that was written holds what somebody wrote at the forge, and nothing that anybody wished for here. A text that was merged by lines
/// holds both.
fn is_echo(written: &serde_json::Value, field: &str, decided: &str) -> bool {
    let text = text_of(written.get(field).and_then(|value| value.as_str()));
    let mut theirs = text.lines().filter(|line| line.starts_with("there ")).peekable();
    let ours = text.lines().any(|line| line.starts_with("here "));
    theirs.peek().is_some() && !ours && !theirs.all(|line| has_text(decided, line))
}

/// Calls that may meet a limit in one moment: a process that has just started learns from its own answer which budget an operation is paid from, and there are two
/// processes.
const MOST_REFUSED: usize = 24;

/// S29: what a person decided about a title is shown here (S19 compares it with the forge), where nobody wrote another one since, and nothing else is told.
fn decided(world: &World, journal: &Journal, told: &Told, wrong: &mut Vec<String>) {
    for (at, decision) in journal.decisions.iter().enumerate() {
        // Who decides again before it was acted on means the last word.
        if journal.decisions.iter().skip(at + 1).any(|later| later.conflict == decision.conflict) {
            continue;
        }
        let Some(conflict) = told.conflicts.iter().find(|it| it.name() == decision.conflict) else { continue };
        let spec = &conflict.spec;
        // Who also decides about a write as a whole decides about its title, too.
        if told.refused.contains(&spec.resource.name) {
            continue;
        }
        let about_it = told.conflicts.iter().filter(|other| {
            let path = &other.spec.field_path;
            other.spec.resource == spec.resource && (*path == spec.field_path || path.starts_with("operation."))
        });
        let name = &spec.resource.name;
        if spec.field_path != "spec.title"
            || conflict.phase() != "Resolved"
            || about_it.count() > 1
            || told.differs(name, "spec.title")
        {
            continue;
        }
        let Some(issue) = world.all::<Issue>().into_iter().find(|issue| issue.name() == name) else { continue };
        let number =
            issue.status.as_ref().and_then(|s| s.external.as_ref()).and_then(|external| external.native_number);
        let Some(number) = number.filter(|_| issue.phase() != "Deleted") else { continue };
        let place = format!("issue/{number} title");
        let last = |here: bool| {
            let of = |edit: &&Edit| edit.here == here && (edit.place == place || edit.place == format!("{name} title"));
            journal.edits.iter().rfind(of).map(|edit| edit.text.clone())
        };
        let later = journal.edits.iter().skip(decision.edits).any(|edit| edit.place == place);
        let text = |value: &krate_model::kinds::shared::Value| {
            value.to_json().and_then(|json| json.as_str().map(str::to_owned))
        };
        let (ours, theirs) = (text(&spec.desired), text(&spec.observed));
        // A decision about values that had been replaced already is one about nothing that stands.
        if later || ours.is_none() || last(true) != ours || last(false) != theirs {
            continue;
        }
        let expected = if decision.for_krate { ours } else { theirs };
        if Some(&issue.spec.title) != expected.as_ref() {
            wrong.push(format!(
                "S29: {} was decided for {expected:?}, and {:?} is shown",
                conflict.name(),
                issue.spec.title
            ));
        }
    }
}

/// S34: a write whose effect a webhook showed before anybody knew its outcome was carried out, whatever became of the object since.
fn shown_is_done(world: &World, told: &Told, wrong: &mut Vec<String>) {
    let events = world.all::<ExternalSyncEvent>();
    for intent in &told.failed {
        let Some(status) = &intent.status else { continue };
        let (Some(sent), Some(failed)) = (status.sent_at, status.error.as_ref().map(|error| error.at)) else {
            continue;
        };
        let payload = serde_json::to_value(&intent.spec.payload).unwrap_or_default();
        // A write of several fields may have been carried out in part.
        let Some(title) = payload.get("title").filter(|_| payload.as_object().is_some_and(|it| it.len() == 1)) else {
            continue;
        };
        let showed = |event: &&ExternalSyncEvent| {
            let applied = event.status.as_ref().and_then(|status| status.applied_at);
            let normalized = serde_json::to_value(&event.spec.normalized).unwrap_or_default();
            event.spec.source_delivery.is_some()
                && applied.is_some_and(|at| at > sent && at < failed)
                && normalized.get("title") == Some(title)
        };
        if let Some(event) = events.iter().find(showed) {
            wrong.push(format!("S34: {} showed {title}, and {} counts as failed", event.name(), intent.name()));
        }
    }
}

/// S29: a write that a person took back isn't carried out any more.
fn taken_back(world: &World, journal: &Journal, told: &Told, wrong: &mut Vec<String>) {
    let written = world.written();
    for decision in journal.decisions.iter().filter(|decision| !decision.for_krate) {
        let Some(conflict) = told.conflicts.iter().find(|it| it.name() == decision.conflict) else { continue };
        let spec = &conflict.spec;
        // Who decides about the same once more, or about its fields too, may well mean that it is to be written.
        let alone = told.conflicts.iter().filter(|other| other.spec.resource == spec.resource).count() == 1
            && journal.decisions.iter().filter(|other| other.conflict == decision.conflict).count() == 1;
        if told.refused.contains(&spec.resource.name)
            || !alone
            || conflict.phase() != "Resolved"
            || !spec.field_path.starts_with("operation.")
        {
            continue;
        }
        let Some(payload) = spec.desired.to_json().map(|json| json.to_string()) else { continue };
        for (at, edit) in journal.edits.iter().enumerate() {
            // Who edits another line of the text since wishes for the whole of it as it stands then.
            let newer = |later: &Edit| later.here && is_same_field(later, edit);
            let replaced = journal.edits.iter().skip(at + 1).any(newer);
            if !edit.here || replaced || !has_text(&payload, &edit.text) {
                continue;
            }
            let again = written.iter().skip(decision.written).find(|it| has_text(&it.body.to_string(), &edit.text));
            if let Some(again) = again {
                wrong.push(format!("S29: {:?} was taken back, and is written: {}", edit.text, again.line));
            }
        }
    }
}

/// Whether two texts were written into the same field of the same object, if not into the same line.
fn is_same_field(one: &Edit, other: &Edit) -> bool {
    let field = |edit: &Edit| {
        let mut words = edit.place.split(' ');
        (words.next().map(str::to_owned), words.next_back().map(str::to_owned))
    };
    field(one) == field(other)
}

/// S36: what was wished for first doesn't stand over what was wished for later.
fn in_order(world: &World, journal: &Journal, told: &Told, wrong: &mut Vec<String>) {
    for issue in world.all::<Issue>() {
        let (name, shown) = (issue.name(), &issue.spec.title);
        let number =
            issue.status.as_ref().and_then(|s| s.external.as_ref()).and_then(|external| external.native_number);
        let Some(number) = number.filter(|_| issue.phase() != "Deleted") else { continue };
        // Who decided about it may well have wanted the older one.
        let decided = |conflict: &ExternalSyncConflict| {
            let path = &conflict.spec.field_path;
            conflict.spec.resource.name == name && (path == "spec.title" || path.starts_with("operation."))
        };
        let refused = told.refused.contains(name);
        if refused || told.conflicts.iter().any(decided) || told.differs(name, "spec.title") {
            continue;
        }
        let places = [format!("issue/{number} title"), format!("{name} title")];
        let newest = journal.edits.iter().rfind(|edit| edit.here && places.contains(&edit.place));
        let is_old = |edit: &Edit| edit.here && places.contains(&edit.place) && edit.text == *shown;
        if let Some(newest) = newest.filter(|newest| newest.text != *shown)
            && journal.edits.iter().any(is_old)
        {
            wrong.push(format!("S36: {name} is called {shown:?}, and {:?} was wished for later", newest.text));
        }
    }
}

/// S36: a label is asked for once, and once more only after a decision about it.
fn labelled_once(world: &World, told: &Told, wrong: &mut Vec<String>) {
    let mut asked: BTreeMap<(String, String), usize> = BTreeMap::new();
    for intent in world.all::<ExternalWriteIntent>() {
        if intent.spec.operation != Operation::AddLabels || told.decided_labels(&intent.spec.target.name) {
            continue;
        }
        let payload = serde_json::to_value(&intent.spec.payload).unwrap_or_default();
        for label in payload["labels"].as_array().into_iter().flatten() {
            *asked.entry((intent.spec.target.name.clone(), label.to_string())).or_default() += 1;
        }
    }
    let twice = asked.into_iter().filter(|(_, count)| *count > 1);
    wrong.extend(
        twice.map(|((name, label), count)| format!("S36: label {label} of {name} was asked for {count} times")),
    );
}

/// S35, and no wish that is never done.
fn proven(world: &World, wrong: &mut Vec<String>) {
    let held = world.held();
    for intent in world.all::<ExternalWriteIntent>() {
        let confirmed = intent.status.as_ref().is_some_and(|status| status.confirmation.is_some());
        if intent.phase() == "Succeeded" && !confirmed {
            wrong.push(format!("S35: {} succeeded without proof", intent.name()));
        }
        if !DONE.contains(&intent.phase()) && !held.contains(&intent) {
            wrong.push(format!("never done: {} is {}", intent.name(), intent.phase()));
        }
    }
}
