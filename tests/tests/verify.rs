//! `Driver::verify`: what both sides differ in, told without changing either.

use krate_model::kinds::external::BackfillMode;
use krate_model::kinds::sets::ActorKind;
use krate_model::kinds::shared::{Actor, Body, ObjectRef};
use krate_model::kinds::work::{Comment, CommentSpec, Issue};
use krate_model::store::Store;
use krate_model::{Kind, Resource};
use krate_providers::simulator::{IssueEdit, NewIssue};
use krate_sync::driver::{Because, Verification, What};
use krate_sync::local::Local;
use krate_tests::world::{NAMESPACE, REPOSITORY, World, block_on, start};
use serde_json::json;

fn alice() -> Actor {
    Actor::new(ActorKind::User, "alice")
}

/// Issues in pages of three, all read; what is told from then on gets lost.
fn world(issues: usize) -> World {
    let world = World::paged("bidirectional", 3);
    for number in 0..issues {
        let at = start() + chrono::TimeDelta::seconds(i64::try_from(number).expect("few"));
        let new = NewIssue::titled(format!("Issue {number}"));
        world.forge().forge.by("ada", at).open_issue(REPOSITORY, new).expect("opened");
    }
    world.settle().expect("quiet");
    world.forge().forge.take_deliveries();
    world.pass_time(60);
    world
}

/// Verifies, and shows that nothing was changed by it.
fn verify(world: &World) -> Verification {
    let before = (block_on(world.store.revision()).expect("a store"), world.written().len());
    let found = block_on(world.driver.verify(NAMESPACE, "site")).expect("verified");
    assert_eq!((block_on(world.store.revision()).expect("a store"), world.written().len()), before);
    found
}

fn issue(world: &World, title: &str) -> Issue {
    world.all::<Issue>().into_iter().find(|issue| issue.spec.title == title).expect("an issue of that title")
}

#[test]
fn what_is_the_same_on_both_sides_is_verified_by_its_tags() {
    let world = world(6);
    block_on(world.driver.request_backfill(NAMESPACE, "site", BackfillMode::Complete)).expect("accepted");
    world.settle().expect("quiet");
    let found = verify(&world);
    assert_eq!(found.differences, []);
    assert!(found.compared >= 6, "{found:?}");
    assert_eq!(found.not_modified, found.requests, "nothing of it was shown again: {found:?}");
}

#[test]
fn what_was_changed_made_and_deleted_unseen_is_told_with_its_age() {
    let world = world(6);
    let at = start() + chrono::TimeDelta::seconds(600);
    world.forge().forge.by("bob", at).edit_issue(REPOSITORY, 2, IssueEdit::new().title("Edited")).expect("edited");
    world.forge().forge.by("bob", at).open_issue(REPOSITORY, NewIssue::titled("New")).expect("opened");
    world.forge().forge.by("bob", at).delete_issue(REPOSITORY, 4).expect("deleted");
    let found = verify(&world);
    let differences: Vec<_> = found
        .differences
        .iter()
        .map(|found| {
            (found.what, found.path.as_deref(), found.here.clone(), found.there.clone(), found.because.clone())
        })
        .collect();
    assert_eq!(
        differences,
        [
            (What::Differs, Some("spec.title"), Some(json!("Issue 1")), Some(json!("Edited")), Because::Unknown),
            (What::NotHere, None, None, None, Because::Unknown),
            (What::NotThere, None, None, None, Because::Unknown),
        ]
    );
    assert_eq!(found.differences[0].since, Some(at));
    assert_eq!(found.differences[0].owner.as_ref().map(krate_model::kinds::sets::Mode::as_str), Some("bidirectional"));
    // The next complete run repairs all of it.
    block_on(world.driver.request_backfill(NAMESPACE, "site", BackfillMode::Complete)).expect("accepted");
    world.settle().expect("quiet");
    assert_eq!(verify(&world).differences, []);
}

#[test]
fn what_waits_here_is_told_with_what_it_waits_for() {
    let world = world(6);
    let rename = |title: &'static str, to: &'static str| {
        let reference = ObjectRef::new(Kind::Issue.as_str(), issue(&world, title).name());
        let apply = move |local: &mut Local| {
            if let Local::Issue(issue) = local {
                issue.spec.title = to.to_owned();
            }
        };
        block_on(world.driver.edit(NAMESPACE, &reference, &alice(), &apply)).expect("accepted");
    };
    rename("Issue 0", "Ours");
    let about = ObjectRef::new(Kind::Issue.as_str(), issue(&world, "Issue 5").name());
    let comment = Comment::at(NAMESPACE, "c1", CommentSpec::new("acme", about, Body::markdown("Here too")));
    block_on(world.driver.create(Local::Comment(comment), &alice())).expect("accepted");
    let found = verify(&world);
    let writes: Vec<_> = found
        .differences
        .iter()
        .map(|found| {
            (found.what, found.path.as_deref(), matches!(found.because, Because::Write(_)), found.since.is_some())
        })
        .collect();
    let expected = [(What::Differs, Some("spec.title"), true, true), (What::NotThere, None, true, true)];
    assert_eq!(writes, expected, "{found:#?}");

    // Both sides edit one title: a conflict, which waits for a person.
    world.settle().expect("quiet");
    world.forge().forge.take_deliveries();
    rename("Issue 2", "Ours, too");
    let at = start() + chrono::TimeDelta::seconds(900);
    world.forge().forge.by("bob", at).edit_issue(REPOSITORY, 3, IssueEdit::new().title("Theirs")).expect("edited");
    world.settle().expect("quiet");
    let found = verify(&world);
    let [conflict] = found.differences.as_slice() else { panic!("{found:#?}") };
    assert!(matches!(conflict.because, Because::Conflict(_)), "{conflict:?}");
    assert_eq!((&conflict.here, &conflict.there), (&Some(json!("Ours, too")), &Some(json!("Theirs"))));
}
