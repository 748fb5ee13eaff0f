//! What has to hold at the end of every history.

use std::collections::{BTreeMap, BTreeSet};

use krate_model::Resource;
use krate_model::kinds::external::{BackfillMode, ExternalSyncConflict, ExternalWriteIntent};
use krate_model::kinds::work::{Comment, Issue};

use krate_providers::simulator::State;

use crate::history::History;
use crate::world::{REPOSITORY, World, block_on};

/// Checks everything, and returns what doesn't hold.
pub fn check(history: &History) -> Vec<String> {
    let mut wrong = Vec::new();
    converged(history, &mut wrong);
    no_hidden_edit(history, &mut wrong);
    no_echo(history, &mut wrong);
    proven(&history.world, &mut wrong);
    wrong.extend(history.world.store.revived().iter().map(|key| format!("S18: {key} came back after its deletion")));
    // S20: what comes back now is all known.
    let world = &history.world;
    let before = world.written().len();
    world.pass_time(3_600);
    world.deliver();
    let again = block_on(world.driver.request_backfill("site", BackfillMode::Complete)).is_ok();
    if let Err(error) = world.settle() {
        wrong.push(error);
    }
    if !again || world.written().len() != before {
        wrong.push(format!("S20: written once more without a wish: {:#?}", world.written().split_off(before)));
    }
    wrong
}

fn open_fields(world: &World) -> BTreeSet<(String, String)> {
    let conflicts = world.all::<ExternalSyncConflict>();
    let open = conflicts.iter().filter(|conflict| conflict.phase() == "Open");
    open.map(|conflict| (conflict.spec.resource.name.clone(), conflict.spec.field_path.clone())).collect()
}

/// S19, with edits on both sides: the projection shows what the forge has, except where a conflict says so.
fn converged(history: &History, wrong: &mut Vec<String>) {
    let world = &history.world;
    let open = open_fields(world);
    let in_conflict = |name: &str, path: &str| open.contains(&(name.to_owned(), path.to_owned()));
    let mut projections: BTreeMap<i64, Vec<Issue>> = BTreeMap::new();
    for issue in world.all::<Issue>() {
        let number = issue.status.as_ref().and_then(|s| s.external.as_ref()).and_then(|e| e.native_number);
        if issue.phase() == "Deleted" {
            continue;
        }
        match number {
            Some(number) => projections.entry(number).or_default().push(issue),
            None => wrong.push(format!("S34: {} was never made at the forge", issue.name())),
        }
    }
    let network = world.forge();
    let Some(repository) = network.forge.repository(REPOSITORY) else { return };
    for native in repository.issues() {
        let number = i64::try_from(native.number).unwrap_or(0);
        let shown = projections.remove(&number).unwrap_or_default();
        let [shown] = shown.as_slice() else {
            wrong.push(format!("S5: issue {number} has {} projections", shown.len()));
            continue;
        };
        let mut differ = |path: &str, ours: &str, theirs: &str| {
            if ours != theirs && !in_conflict(shown.name(), path) {
                wrong.push(format!("S19: issue {number} {path} is {ours:?} here and {theirs:?} there"));
            }
        };
        differ("spec.title", &shown.spec.title, &native.title);
        let body = shown.spec.body.as_ref().map_or("", |body| body.markdown.as_str());
        differ("spec.body.markdown", body, crate::history::text_of(native.body.as_deref()));
        let state = if native.state == State::Open { "open" } else { "closed" };
        differ("spec.state", shown.spec.state.as_str(), state);
        let theirs: BTreeSet<String> = repository.label_names(native).iter().map(|l| (*l).to_owned()).collect();
        let expected = history.labels.get(&native.number).cloned().unwrap_or_default();
        if !in_conflict(shown.name(), "spec.labels") && (theirs != expected || shown.spec.labels != expected) {
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
    for native in repository.issues().flat_map(|issue| network.forge.comments(REPOSITORY, issue.number)) {
        let shown: Vec<&Comment> =
            comments.iter().filter(|c| id(c) == Some(native.id.to_string()) && c.phase() != "Deleted").collect();
        let text = crate::history::text_of(Some(&native.body));
        match shown.as_slice() {
            [shown] if shown.spec.body.markdown == text || in_conflict(shown.name(), "spec.body.markdown") => {}
            [shown] => wrong
                .push(format!("S19: comment {} is {:?} here and {text:?} there", native.id, shown.spec.body.markdown)),
            other => wrong.push(format!("S5: comment {} has {} projections", native.id, other.len())),
        }
    }
}

/// Every text that a person wrote is in a projection, at the forge or in a conflict, was replaced by somebody who could see it, or by its own author.
fn no_hidden_edit(history: &History, wrong: &mut Vec<String>) {
    let world = &history.world;
    let mut seen: BTreeSet<String> = BTreeSet::new();
    for issue in world.all::<Issue>() {
        seen.insert(issue.spec.title);
        seen.extend(issue.spec.body.map(|body| body.markdown));
    }
    seen.extend(world.all::<Comment>().into_iter().map(|comment| comment.spec.body.markdown));
    for conflict in world.all::<ExternalSyncConflict>() {
        if conflict.phase() != "Superseded" {
            for value in [&conflict.spec.desired, &conflict.spec.observed] {
                seen.extend(value.to_json().and_then(|json| json.as_str().map(str::to_owned)));
            }
        }
    }
    let written: Vec<String> = world.written().iter().map(|written| written.body.to_string()).collect();
    let reached = |text: &str| written.iter().any(|body| has_text(body, text));
    {
        let network = world.forge();
        let issues = network.forge.repository(REPOSITORY).map(|repository| repository.issues().collect::<Vec<_>>());
        for issue in issues.unwrap_or_default() {
            seen.insert(issue.title.clone());
            seen.insert(crate::history::text_of(issue.body.as_deref()).to_owned());
            let comments = network.forge.comments(REPOSITORY, issue.number);
            seen.extend(comments.iter().map(|comment| crate::history::text_of(Some(&comment.body)).to_owned()));
        }
    }
    for (at, edit) in history.edits.iter().enumerate() {
        let replaced =
            history.edits.iter().skip(at + 1).any(|later| later.place == edit.place && later.here == edit.here);
        let field = edit.place.rsplit(' ').next().unwrap_or_default();
        let known = if edit.here { reached(&edit.text) } else { world.store.ever_shown(field, &edit.text) };
        let gone = !edit.here && is_gone(world, &edit.place);
        if !(seen.contains(&edit.text) || replaced || known || gone) {
            wrong.push(format!("hidden edit: {edit:?}"));
        }
    }
}

/// Whether the object was deleted at the forge.
fn is_gone(world: &World, place: &str) -> bool {
    let network = world.forge();
    let Some(repository) = network.forge.repository(REPOSITORY) else { return true };
    let id = |kind: &str| place.strip_prefix(kind).and_then(|rest| rest.split(' ').next()?.parse::<u64>().ok());
    let comment = |id: u64| repository.issues().any(|issue| issue.comments.contains(&id));
    id("issue/").is_some_and(|number| repository.issue(number).is_none())
        || id("comment/").is_some_and(|id| !comment(id))
}

/// Whether the forge has an issue or a comment of this id.
fn is_there(world: &World, id: u64) -> bool {
    let network = world.forge();
    let repository = network.forge.repository(REPOSITORY);
    repository.is_some_and(|found| found.issues().any(|issue| issue.id == id || issue.comments.contains(&id)))
}

fn has_text(body: &str, text: &str) -> bool {
    // A text ends with its number: "here 1" isn't in "here 12".
    body.match_indices(text).any(|(at, _)| {
        !body.get(at + text.len()..).and_then(|rest| rest.chars().next()).is_some_and(|next| next.is_ascii_digit())
    })
}

/// S20, S34: only what was wished for here is written, and each wish once.
fn no_echo(history: &History, wrong: &mut Vec<String>) {
    let decided: BTreeSet<String> = history
        .world
        .all::<ExternalSyncConflict>()
        .iter()
        .filter(|conflict| conflict.phase() == "Resolved")
        .filter_map(|conflict| conflict.spec.desired.to_json()?.as_str().map(str::to_owned))
        .collect();
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    for written in history.world.written() {
        let text = written.body.to_string();
        if text.contains("there ") || text.contains("there-") && !written.line.starts_with("DELETE") {
            wrong.push(format!("S20: an echo was written: {} {text}", written.line));
        }
        // What was made, and deleted by somebody before krate saw it, is made again: no read can tell (docs/limits.md).
        let made = written.line.starts_with("POST") && !written.line.contains("/labels");
        if made && !written.effects.iter().any(|effect| is_there(&history.world, effect.object)) {
            continue;
        }
        for field in ["title", "body"] {
            if let Some(value) = written.body.get(field).and_then(|value| value.as_str()) {
                *counts.entry(format!("{field} {}", crate::history::text_of(Some(value)))).or_default() += 1;
            }
        }
        if written.line.contains("/labels") {
            *counts.entry(format!("{} {text}", written.line)).or_default() += 1;
        }
    }
    for (what, count) in counts {
        let text = what.split_once(' ').map_or("", |(_, text)| text);
        if count > 1 && !text.is_empty() && !decided.contains(text) {
            wrong.push(format!("S34: {what:?} was written {count} times"));
        }
    }
}

/// S35, and no wish that failed for good.
fn proven(world: &World, wrong: &mut Vec<String>) {
    for intent in world.all::<ExternalWriteIntent>() {
        let confirmed = intent.status.as_ref().is_some_and(|status| status.confirmation.is_some());
        if intent.phase() == "Succeeded" && !confirmed {
            wrong.push(format!("S35: {} succeeded without proof", intent.name()));
        }
        if !["Succeeded", "Rejected", "Conflict", "Failed"].contains(&intent.phase()) {
            wrong.push(format!("never done: {} is {}", intent.name(), intent.phase()));
        }
    }
}
