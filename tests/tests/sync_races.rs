//! Stories of a write that is on its way while somebody edits, decides or deletes: each was found by a seed of the simulation.

use std::sync::{Arc, Mutex};

use chrono::TimeDelta;
use krate_model::kinds::external::{
    BackfillMode, ExternalBackendSyncPolicy, ExternalSyncConflict, ExternalWebhookDelivery, ExternalWriteIntent,
    ExternalWriteIntentPhase, NewPullRequest, Payload, Resolution,
};
use krate_model::kinds::sets::{ActorKind, Interface, Operation, ResolutionStrategy};
use krate_model::kinds::shared::{Actor, Body, NativeTarget, ObjectRef};
use krate_model::kinds::work::{Comment, CommentSpec, Issue, IssueSpec, PullRequest, PullRequestHead, PullRequestSpec};
use krate_model::{Digest, Kind, Resource};
use krate_providers::simulator::{Delivery, Fault, Faults, IssueEdit, NewIssue};
use krate_sync::local::Local;
use krate_sync::records::{Changes, Loaded};
use krate_tests::simulate::fault::Fault as Chance;
use krate_tests::simulate::journal::Journal;
use krate_tests::simulate::strikes::Strikes;
use krate_tests::world::{Crash, NAMESPACE, REPOSITORY, World, block_on, start};

fn alice() -> Actor {
    Actor::new(ActorKind::User, "alice")
}

/// A bound repository with one issue, "Crash", that both sides know.
fn world() -> World {
    let world = World::new(1, Faults::none(), "bidirectional");
    world.forge().forge.by("ada", start()).open_issue(REPOSITORY, NewIssue::titled("Crash")).expect("opened");
    world.settle().expect("quiet");
    world.forge().forge.take_deliveries();
    world.pass_time(5);
    world
}

fn issue(world: &World) -> Issue {
    world.all::<Issue>().remove(0)
}

fn edit(world: &World, change: impl Fn(&mut IssueSpec) + Sync) {
    let reference = ObjectRef::new(Kind::Issue.as_str(), issue(world).name());
    let apply = |local: &mut Local| {
        if let Local::Issue(issue) = local {
            change(&mut issue.spec);
        }
    };
    block_on(world.driver.edit(NAMESPACE, &reference, &alice(), &apply)).expect("the edit is accepted");
}

fn title(world: &World) -> String {
    world.forge().forge.issue(REPOSITORY, 1).expect("there").title.clone()
}

/// Bob sets the title there, so many seconds after the start.
fn retitle(world: &World, title: &str, second: i64) {
    let at = start() + TimeDelta::seconds(second);
    world.forge().forge.by("bob", at).edit_issue(REPOSITORY, 1, IssueEdit::new().title(title)).expect("edited");
}

/// What the forge has told since the last time; whoever wants it delivered does so.
fn told(world: &World) -> Vec<Delivery> {
    world.forge().forge.take_deliveries()
}

fn deliver(world: &World, deliveries: &[Delivery]) {
    deliveries.iter().for_each(|delivery| assert!(world.deliver_one(delivery), "{}", delivery.id));
    let _ = world.pass();
}

/// Sends what is ready, and dies before anybody takes note of the answer: the write has landed, and nobody here knows.
fn send_and_die(world: &World) {
    world.plan_crash(Some(Crash { commit: 1, after: false }));
    let _ = world.pass();
    assert!(world.is_dead(), "the process died");
    world.restart();
    assert_eq!(intents(world), ["Sending"]);
}

fn intents(world: &World) -> Vec<String> {
    world.all::<ExternalWriteIntent>().iter().map(|intent| intent.phase().to_owned()).collect()
}

/// Until whoever was sending counts as gone, and everything came to rest.
fn settle(world: &World) {
    world.pass_time(150);
    world.settle().expect("quiet");
}

fn decide(world: &World, strategy: ResolutionStrategy) {
    let conflicts = world.all::<ExternalSyncConflict>();
    let open = conflicts.iter().find(|conflict| conflict.phase() == "Open").expect("an open conflict");
    let resolution = Resolution { strategy, value: None, seen_versions: open.spec.versions.clone(), comment: None };
    block_on(world.driver.resolve(NAMESPACE, open.name(), resolution, &alice())).expect("accepted");
}

fn comment_here(world: &World) {
    let about = ObjectRef::new(Kind::Issue.as_str(), issue(world).name());
    let comment = Comment::at(NAMESPACE, "c1", CommentSpec::new("acme", about, Body::markdown("Here too")));
    block_on(world.driver.create(Local::Comment(comment), &alice())).expect("accepted");
}

#[test]
fn s18_a_late_word_about_what_a_backfill_missed_does_not_revive_it() {
    let world = world();
    comment_here(&world);
    world.settle().expect("quiet");
    told(&world);
    let id = world.forge().forge.comments(REPOSITORY, 1)[0].id;
    let at = start() + TimeDelta::seconds(60);
    world.forge().forge.by("bob", at).edit_comment(REPOSITORY, id, "Edited there").expect("edited");
    let late = told(&world);
    world.forge().forge.by("bob", at + TimeDelta::seconds(1)).delete_comment(REPOSITORY, id).expect("deleted");
    // The webhook about the deletion is lost; a complete backfill doesn't meet the comment.
    told(&world);
    world.pass_time(3_600);
    block_on(world.driver.request_backfill(NAMESPACE, "site", BackfillMode::Complete)).expect("accepted");
    world.settle().expect("quiet");
    assert_eq!(world.all::<Comment>()[0].phase(), "Deleted");
    deliver(&world, &late);
    world.settle().expect("quiet");
    assert_eq!(world.all::<Comment>()[0].phase(), "Deleted");
    assert!(world.store.revived().is_empty(), "{:?}", world.store.revived());
}

#[test]
fn s20_an_edit_that_came_after_the_echo_of_an_unanswered_write_is_not_written_back() {
    let world = world();
    edit(&world, |spec| spec.title = "Ours".to_owned());
    send_and_die(&world);
    deliver(&world, &told(&world));
    retitle(&world, "Theirs", 60);
    deliver(&world, &told(&world));
    assert_eq!(issue(&world).spec.title, "Theirs");
    edit(&world, |spec| spec.body = Some(Body::markdown("More")));
    // Bob has the last word, and nobody here knows it when the body is sent.
    retitle(&world, "Last", 90);
    settle(&world);
    assert_eq!((title(&world), issue(&world).spec.title), ("Last".to_owned(), "Last".to_owned()));
    let sent: Vec<_> = world.written().iter().filter(|written| written.body.get("title").is_some()).cloned().collect();
    assert_eq!(sent.len(), 1, "the one wish for a title: {sent:#?}");
}

#[test]
fn s27_a_write_that_is_looked_for_leaves_what_was_decided_since_alone() {
    let world = world();
    edit(&world, |spec| spec.title = "Ours".to_owned());
    send_and_die(&world);
    // Its echo is lost.
    told(&world);
    retitle(&world, "Theirs", 60);
    deliver(&world, &told(&world));
    decide(&world, ResolutionStrategy::PreferExternal);
    settle(&world);
    assert_eq!((title(&world), issue(&world).spec.title), ("Theirs".to_owned(), "Theirs".to_owned()));
    assert_eq!(world.written().len(), 1, "{:#?}", world.written());
    assert!(!intents(&world).contains(&"ReadyToSend".to_owned()), "{:?}", intents(&world));
}

#[test]
fn s29_a_decision_does_not_reach_an_edit_that_came_after_it() {
    let world = world();
    edit(&world, |spec| spec.title = "Ours".to_owned());
    retitle(&world, "Theirs", 60);
    deliver(&world, &told(&world));
    decide(&world, ResolutionStrategy::PreferExternal);
    let _ = world.pass();
    assert_eq!(world.all::<ExternalSyncConflict>()[0].phase(), "Resolving");
    edit(&world, |spec| spec.title = "Ours again".to_owned());
    world.settle().expect("quiet");
    assert_eq!(issue(&world).spec.title, "Ours again");
    assert_eq!(title(&world), "Theirs");
    let open: Vec<_> =
        world.all::<ExternalSyncConflict>().into_iter().filter(|found| found.phase() == "Open").collect();
    assert_eq!(open.len(), 1, "{open:#?}");
}

#[test]
fn s20_a_label_that_is_removed_while_its_addition_is_unanswered_is_removed() {
    let world = world();
    edit(&world, |spec| {
        spec.labels.insert("ui".to_owned());
    });
    send_and_die(&world);
    edit(&world, |spec| {
        spec.labels.remove("ui");
    });
    deliver(&world, &told(&world));
    settle(&world);
    assert!(world.forge().forge.label_names(REPOSITORY, 1).is_empty());
    assert!(issue(&world).spec.labels.is_empty());
}

#[test]
fn s20_a_text_that_is_taken_back_while_its_write_is_unanswered_is_taken_back() {
    let world = world();
    edit(&world, |spec| spec.title = "Ours".to_owned());
    send_and_die(&world);
    edit(&world, |spec| spec.title = "Crash".to_owned());
    deliver(&world, &told(&world));
    settle(&world);
    assert_eq!((title(&world), issue(&world).spec.title), ("Crash".to_owned(), "Crash".to_owned()));
    assert!(world.all::<ExternalSyncConflict>().is_empty());
}

#[test]
fn s34_what_was_made_unanswered_and_deleted_there_is_not_made_again() {
    let world = world();
    comment_here(&world);
    send_and_die(&world);
    // The webhook about its making is late, and the one about its deletion comes first.
    told(&world);
    let id = world.forge().forge.comments(REPOSITORY, 1)[0].id;
    let at = start() + TimeDelta::seconds(60);
    world.forge().forge.by("bob", at).delete_comment(REPOSITORY, id).expect("deleted");
    deliver(&world, &told(&world));
    settle(&world);
    assert!(world.forge().forge.comments(REPOSITORY, 1).is_empty());
    assert_eq!(world.written().len(), 1, "{:#?}", world.written());
    assert_eq!((intents(&world), world.all::<Comment>()[0].phase()), (vec!["Succeeded".to_owned()], "Deleted"));
}

#[test]
fn s45_a_comment_whose_issue_is_gone_is_given_up_at_once() {
    let world = world();
    comment_here(&world);
    world.forge().script(Fault::FailBefore);
    let _ = world.pass();
    assert_eq!(intents(&world), ["Retrying"]);
    let at = start() + TimeDelta::seconds(60);
    world.forge().forge.by("bob", at).delete_issue(REPOSITORY, 1).expect("deleted");
    told(&world);
    world.settle().expect("quiet");
    let intent = world.all::<ExternalWriteIntent>().remove(0);
    assert_eq!(intent.phase(), "Failed", "{intent:#?}");
    assert!(intent.status.as_ref().is_some_and(|status| status.attempts <= 2), "{intent:#?}");
}

/// A pull request as it was to be made, and whose making was never answered.
fn unanswered_pull_request(world: &World) -> ExternalWriteIntent {
    let head = PullRequestHead { r#ref: "fix".to_owned(), native_repository_id: None };
    let pull = PullRequest::at(NAMESPACE, "made", PullRequestSpec::new("acme", "site", "Fix", head, "main"));
    edit(world, |spec| spec.title = String::from("A write to take the shape from"));
    world.settle().expect("quiet");
    let mut intent = world.all::<ExternalWriteIntent>().remove(0);
    let spec = &mut intent.spec;
    spec.interface = Interface::GitForge;
    spec.operation = Operation::CreatePullRequest;
    spec.target = ObjectRef::new(Kind::PullRequest.as_str(), "made");
    spec.native_target = NativeTarget {
        native_kind: "pull_request".to_owned(),
        native_id: None,
        native_number: None,
        ..spec.native_target.clone()
    };
    spec.payload = Payload::CreatePullRequest(NewPullRequest {
        title: "Fix".to_owned(),
        body: None,
        head: "fix".to_owned(),
        base: "main".to_owned(),
        draft: false,
    });
    spec.idempotency_key = Digest::of(b"the making of it");
    let mut made = ExternalWriteIntent::at(NAMESPACE, "wi-createpullrequest-1", intent.spec);
    let status = made.status_mut();
    status.phase = ExternalWriteIntentPhase::Retrying;
    status.attempts = 1;
    status.verify_first = true;
    block_on(async {
        let mut changes = Changes::at(start());
        changes.put(&Loaded::new(pull)).expect("JSON");
        changes.put(&Loaded::new(made.clone())).expect("JSON");
        changes.commit(world.store.as_ref()).await.expect("stored");
    });
    made
}

#[test]
fn s34_a_pull_request_whose_making_was_not_answered_is_found_in_the_list_by_its_marker() {
    let world = world();
    let at = start() + TimeDelta::seconds(60);
    world.forge().forge.by("bob", at).push(REPOSITORY, "fix").expect("pushed");
    let intent = unanswered_pull_request(&world);
    let key = intent.spec.idempotency_key.to_hex();
    let body = format!("<!-- krate:{} -->", &key[..40]);
    let mut new = krate_providers::simulator::NewPullRequest::new("Fix", "fix", "main");
    new.body = Some(body);
    world.forge().forge.by("krate-bot", at).open_pull_request(REPOSITORY, new).expect("opened");
    told(&world);
    let before = world.written().len();
    // One look, before any backfill or webhook shows it.
    let _ = world.pass();
    assert_eq!(world.written().len(), before, "S34: nothing is made twice");
    let intents = world.all::<ExternalWriteIntent>();
    let intent = intents.iter().find(|known| known.name() == intent.name()).expect("there");
    assert_eq!(intent.phase(), "Succeeded", "{intent:#?}");
    assert!(intent.status.as_ref().is_some_and(|status| status.confirmation.is_some()), "S35");
    let pulls = world.all::<PullRequest>();
    assert_eq!(pulls.iter().map(Resource::name).collect::<Vec<_>>(), ["made"], "{pulls:#?}");
}

#[test]
fn s34_what_a_write_was_answered_is_kept_whichever_commit_after_it_somebody_else_is_faster_at() {
    let mut lost_after_the_answer = 0;
    for commit in 0..20 {
        let world = world();
        edit(&world, |spec| spec.title = String::from("Edited here"));
        world.store.plan_race(commit);
        let _ = world.pass();
        if world.store.commits() <= commit {
            break;
        }
        if world.written().is_empty() {
            continue;
        }
        lost_after_the_answer += 1;
        assert_eq!(intents(&world), ["Succeeded"], "the race was lost at commit {commit}");
    }
    assert!(lost_after_the_answer >= 2, "the answer is kept in {lost_after_the_answer} commits");
}

#[test]
fn s27_late_news_of_one_of_several_writes_within_a_second_is_no_edit_that_was_written_over() {
    let world = world();
    let mut late = Vec::new();
    for title in ["First", "Second", "Third"] {
        edit(&world, |spec| spec.title = title.to_owned());
        let _ = world.pass();
        assert_eq!(self::title(&world), title);
        // Somebody else's edit has this title in its news, too.
        let now = world.forge_now();
        let aside = IssueEdit::new().body(format!("There, while it was {title}"));
        world.forge().forge.by("bob", now).edit_issue(REPOSITORY, 1, aside).expect("edited");
        late.extend(told(&world));
    }
    deliver(&world, &late);
    world.settle().expect("quiet");
    assert!(world.all::<ExternalSyncConflict>().is_empty(), "{:#?}", world.all::<ExternalSyncConflict>());
    assert_eq!(title(&world), "Third");
}

#[test]
fn s10_a_delivery_whose_record_lost_a_race_about_something_else_is_no_duplicate() {
    let world = world();
    retitle(&world, "Theirs", 60);
    let told = told(&world);
    world.store.plan_race(0);
    deliver(&world, &told);
    assert_eq!(world.all::<ExternalWebhookDelivery>().len(), told.len(), "each is recorded");
    // The same again is the same record.
    deliver(&world, &told);
    assert_eq!(world.all::<ExternalWebhookDelivery>().len(), told.len());
    world.settle().expect("quiet");
    assert_eq!(issue(&world).spec.title, "Theirs");
}

/// A world with an issue of three lines that both sides know, where what is armed strikes.
fn simulated() -> (World, Arc<Mutex<Strikes>>, Arc<Mutex<Journal>>) {
    let (strikes, journal) = (Arc::new(Mutex::new(Strikes::seeded(1))), Arc::new(Mutex::new(Journal::default())));
    let world = World::simulated(1, &strikes, &journal);
    let opened = NewIssue::titled("Crash").body("One\nTwo\nThree");
    world.forge().forge.by("ada", start()).open_issue(REPOSITORY, opened).expect("opened");
    world.settle().expect("quiet");
    world.forge().forge.take_deliveries();
    world.pass_time(5);
    (world, strikes, journal)
}

/// A world in which the next write is carried out over an edit that nobody has looked at, and its answer is lost.
fn written_over() -> (World, Arc<Mutex<Journal>>) {
    let (world, strikes, journal) = simulated();
    let mut strikes = strikes.lock().expect("nobody panicked");
    strikes.arm(Chance::EditBeforeWrite);
    strikes.arm(Chance::WriteFailsAfter);
    drop(strikes);
    (world, journal)
}

/// A person takes a write of a body back that the forge refused: it isn't written, and what the forge has is shown.
fn taken_back(make: impl Fn(&World), theirs: &str) {
    let (strikes, journal) = (Arc::new(Mutex::new(Strikes::seeded(1))), Arc::new(Mutex::new(Journal::default())));
    let world = World::simulated(1, &strikes, &journal);
    make(&world);
    world.settle().expect("quiet");
    world.pass_time(5);
    let before = world.written().len();
    strikes.lock().expect("nobody panicked").arm(Chance::WritePreconditionFailed);
    edit(&world, |spec| spec.body = Some(Body::markdown("Ours")));
    world.settle().expect("quiet");
    let conflict = world.all::<ExternalSyncConflict>().remove(0);
    assert_eq!(conflict.spec.field_path, "operation.updateIssue");
    // A write as a whole has no value that could be looked at in its place.
    let strategy = ResolutionStrategy::ReviewedWrite;
    let seen_versions = conflict.spec.versions.clone();
    let reviewed = Resolution { strategy, value: None, seen_versions, comment: None };
    let refused = block_on(world.driver.resolve(NAMESPACE, conflict.name(), reviewed, &alice())).expect_err("refused");
    assert!(refused.to_string().contains("spec.resolution.strategy"), "{refused}");
    decide(&world, ResolutionStrategy::PreferExternal);
    world.settle().expect("quiet");
    deliver(&world, &told(&world));
    settle(&world);
    assert_eq!(world.written().len(), before, "{:#?}", world.written());
    assert_eq!(issue(&world).spec.body.map(|body| body.markdown).unwrap_or_default(), theirs);
}

#[test]
fn s29_a_text_that_is_taken_back_from_a_field_that_nobody_had_set_is_not_written() {
    let make = |world: &World| {
        let spec = IssueSpec { repository: Some("site".to_owned()), ..IssueSpec::new("acme", "Crash") };
        let made = Issue::at(NAMESPACE, "made", spec);
        block_on(world.driver.create(Local::Issue(made), &alice())).expect("accepted");
    };
    taken_back(make, "");
}

#[test]
fn s29_a_text_that_is_taken_back_from_a_longer_one_than_is_kept_is_read_again() {
    let long = "What the forge has. ".repeat(200);
    let make = |world: &World| {
        let opened = NewIssue::titled("Crash").body(long.as_str());
        world.forge().forge.by("ada", start()).open_issue(REPOSITORY, opened).expect("opened");
    };
    taken_back(make, &long);
}

/// Whether the title that was written over waits for a person.
fn waits_for_a_person(world: &World, journal: &Mutex<Journal>) {
    let lost = journal.lock().expect("nobody panicked").edits.last().expect("edited").text.clone();
    let open = |it: &ExternalSyncConflict| {
        it.phase() == "Open"
            && it.spec.field_path == "spec.title"
            && it.spec.observed.to_json() == Some(lost.as_str().into())
    };
    assert!(world.all::<ExternalSyncConflict>().iter().any(open), "{lost}: {:#?}", world.all::<ExternalSyncConflict>());
}

/// Every webhook arrives by itself, and the engine comes to rest.
fn told_one_by_one(world: &World, newest_first: bool) {
    let mut told = told(world);
    if newest_first {
        told.reverse();
    }
    told.iter().for_each(|one| deliver(world, std::slice::from_ref(one)));
    world.settle().expect("quiet");
}

#[test]
fn s27_an_edit_that_was_written_over_is_told_though_the_write_was_edited_again_before_anybody_saw_it() {
    for newest_first in [true, false] {
        let (world, journal) = written_over();
        edit(&world, |spec| {
            "Here".clone_into(&mut spec.title);
            spec.body = Some(Body::markdown("One\nHere\nThree"));
        });
        let _ = world.pass();
        world.pass_time(1);
        let (now, there) = (world.forge_now(), IssueEdit::new().body("There\nHere\nThree"));
        world.forge().forge.by("bob", now).edit_issue(REPOSITORY, 1, there).expect("edited");
        told_one_by_one(&world, newest_first);
        waits_for_a_person(&world, &journal);
    }
}

/// A second later, Bob gives the issue's body these lines.
fn body_there(world: &World, body: &str) {
    world.pass_time(1);
    let (now, edit) = (world.forge_now(), IssueEdit::new().body(body));
    world.forge().forge.by("bob", now).edit_issue(REPOSITORY, 1, edit).expect("edited");
}

/// A world in which krate writes the first of three lines over an edit of the third: what is read shows for a while what was there before.
fn line_written_over() -> World {
    let (world, _, _) = simulated();
    world.forge().freeze_reads(world.forge_now() + TimeDelta::seconds(3));
    body_there(&world, "One\nTwo\nLost");
    edit(&world, |spec| spec.body = Some(Body::markdown("Here\nTwo\nThree")));
    world.pass_time(1);
    let _ = world.pass();
    world
}

#[test]
fn s27_a_line_that_was_written_over_is_told_though_somebody_there_edited_another_line_since() {
    for newest_first in [true, false] {
        let world = line_written_over();
        body_there(&world, "Here\nThere\nThree");
        told_one_by_one(&world, newest_first);
        let open: Vec<_> =
            world.all::<ExternalSyncConflict>().into_iter().filter(|found| found.phase() == "Open").collect();
        let observed: Vec<_> = open.iter().filter_map(|found| found.spec.observed.to_json()).collect();
        assert_eq!(observed, [serde_json::json!("One\nTwo\nLost")], "{newest_first}");
    }
}

#[test]
fn s27_an_edit_that_was_written_over_is_told_though_somebody_here_edited_again_before_the_write_was_seen() {
    for newest_first in [true, false] {
        let (world, journal) = written_over();
        edit(&world, |spec| "Here".clone_into(&mut spec.title));
        let _ = world.pass();
        edit(&world, |spec| "Here again".clone_into(&mut spec.title));
        told_one_by_one(&world, newest_first);
        waits_for_a_person(&world, &journal);
    }
}

#[test]
fn s27_an_edit_that_a_write_was_carried_out_over_is_told_though_the_write_was_given_up_before_it_arrived() {
    for newest_first in [true, false] {
        let (world, strikes, journal) = simulated();
        edit(&world, |spec| "Here".clone_into(&mut spec.title));
        {
            let mut strikes = strikes.lock().expect("nobody panicked");
            // The process stands still before it sends; another one finds that somebody wishes for something else since.
            for chance in [Chance::StalledBeforeSend, Chance::EditWhileSending, Chance::EditBeforeWrite] {
                strikes.arm(chance);
            }
        }
        let _ = world.pass();
        let given_up = |it: &ExternalWriteIntent| it.phase() == "Failed" && world.written().len() == 1;
        assert!(world.all::<ExternalWriteIntent>().iter().any(given_up), "{:#?}", world.all::<ExternalWriteIntent>());
        told_one_by_one(&world, newest_first);
        waits_for_a_person(&world, &journal);
    }
}

#[test]
fn s27_s28_a_line_that_was_written_over_is_in_the_one_conflict_about_the_text_with_what_was_edited_since() {
    for newest_first in [true, false] {
        let world = line_written_over();
        // Both sides give one line another text, and nobody has heard of the third one.
        edit(&world, |spec| spec.body = Some(Body::markdown("Here\nOurs\nThree")));
        body_there(&world, "Here\nThere\nThree");
        told_one_by_one(&world, newest_first);
        let open: Vec<_> =
            world.all::<ExternalSyncConflict>().into_iter().filter(|found| found.phase() == "Open").collect();
        let sides: Vec<_> = open.iter().map(|it| (it.spec.desired.to_json(), it.spec.observed.to_json())).collect();
        let both = (Some("Here\nOurs\nThree".into()), Some("One\nThere\nLost".into()));
        assert_eq!(sides, [both], "{newest_first}");
        // Their side is taken: it gets back the text that was lost, with what was said since.
        decide(&world, ResolutionStrategy::PreferExternal);
        settle(&world);
        let body = world.forge().forge.issue(REPOSITORY, 1).and_then(|issue| issue.body.clone());
        assert_eq!(body.as_deref(), Some("One\nThere\nLost"), "{newest_first}");
        let here = issue(&world).spec.body.map(|body| body.markdown);
        assert_eq!(here.as_deref(), Some("One\nThere\nLost"), "{newest_first}");
    }
}

/// Webhooks that are late tell of a state that is over.
#[test]
fn s16_what_a_webhook_is_about_is_read_where_webhooks_do_not_come_first() {
    for first in [true, false] {
        let world = world();
        world.change(|policy: &mut ExternalBackendSyncPolicy| policy.spec.webhook_first = first);
        retitle(&world, "One", 10);
        let early = world.forge().forge.take_deliveries();
        retitle(&world, "Two", 12);
        let late = start() + TimeDelta::seconds(14);
        world.forge().forge.by("bob", late).open_issue(REPOSITORY, NewIssue::titled("New")).expect("opened");
        let opened = world.forge().forge.take_deliveries();
        world.forge().forge.by("bob", late).edit_issue(REPOSITORY, 2, IssueEdit::new().title("Newer")).expect("there");
        world.pass_time(20);
        for delivery in early.iter().chain(opened.iter().filter(|delivery| delivery.action == Some("opened"))) {
            assert!(world.deliver_one(delivery), "it is taken in");
        }
        world.settle().expect("quiet");
        let mut shown: Vec<String> = world.all::<Issue>().into_iter().map(|issue| issue.spec.title).collect();
        shown.sort_unstable();
        assert_eq!(shown, if first { ["New", "One"] } else { ["Newer", "Two"] });
        let gone = world.forge().forge.by("bob", late + TimeDelta::seconds(9)).delete_issue(REPOSITORY, 2);
        gone.expect("it was there");
        world.forge().forge.take_deliveries().iter().for_each(|delivery| assert!(world.deliver_one(delivery)));
        world.settle().expect("quiet");
        let deleted = world.all::<Issue>().iter().filter(|issue| issue.phase() == "Deleted").count();
        assert_eq!(deleted, 1, "what is gone can't be read, and needn't be");
    }
}
