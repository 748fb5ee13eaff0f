//! Lists that are asked for by the entity tags of the last time (S25).

use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use bytes::Bytes;
use http::{Method, StatusCode};
use krate_model::Resource;
use krate_model::kinds::external::{BackfillMode, ExternalObjectLink};
use krate_model::kinds::work::Issue;
use krate_model::store::{ChangeSet, Expect, Store};
use krate_providers::simulator::{IssueEdit, NewIssue};
use krate_sync::driver::{Driver, Http, SendError};
use krate_sync::records::key_of;
use krate_tests::world::{NAMESPACE, REPOSITORY, Wire, World, block_on, start};

/// A way to the forge that notes how each list was answered.
struct Noting {
    wire: Wire,
    lists: Mutex<Vec<StatusCode>>,
}

#[async_trait]
impl Http for Noting {
    async fn send(&self, request: http::Request<Bytes>) -> Result<http::Response<Bytes>, SendError> {
        let is_list =
            request.method() == Method::GET && request.uri().query().is_some_and(|query| query.contains("per_page"));
        let answer = self.wire.send(request).await?;
        if is_list {
            self.lists.lock().expect("nobody panicked").push(answer.status());
        }
        Ok(answer)
    }
}

struct Story {
    world: World,
    noting: Arc<Noting>,
    driver: Driver,
}

impl Story {
    /// Issues in pages of three, all read. A list goes on by the time of a page's last row, which begins the next one.
    fn with_issues(count: usize) -> Self {
        let world = World::paged("bidirectional", 3);
        for number in 0..count {
            let at = start() + chrono::TimeDelta::seconds(i64::try_from(number).expect("few"));
            world
                .forge()
                .forge
                .by("ada", at)
                .open_issue(REPOSITORY, NewIssue::titled(format!("Issue {number}")))
                .expect("opened");
        }
        let noting = Arc::new(Noting { wire: world.wire(), lists: Mutex::default() });
        let driver =
            world.driver_over(Arc::clone(&world.store) as Arc<dyn Store>, Arc::clone(&noting) as Arc<dyn Http>);
        let story = Self { world, noting, driver };
        story.run_all();
        story.world.forge().forge.take_deliveries();
        story
    }

    fn run_all(&self) {
        for _ in 0..40 {
            self.world.pass_time(1);
            block_on(self.driver.run_due()).expect("the store can be read");
        }
    }

    /// Runs every list once more: how many pages were shown, and how many hadn't changed.
    fn run(&self, mode: BackfillMode) -> (usize, usize) {
        self.noting.lists.lock().expect("nobody panicked").clear();
        block_on(self.driver.request_backfill(NAMESPACE, "site", mode)).expect("accepted");
        self.run_all();
        let lists = self.noting.lists.lock().expect("nobody panicked");
        let count = |status| lists.iter().filter(|answered| **answered == status).count();
        assert_eq!(count(StatusCode::OK) + count(StatusCode::NOT_MODIFIED), lists.len(), "{lists:?}");
        (count(StatusCode::OK), count(StatusCode::NOT_MODIFIED))
    }

    fn titles(&self) -> Vec<String> {
        let mut titles: Vec<_> = self
            .world
            .all::<Issue>()
            .iter()
            .filter(|issue| issue.phase() != "Deleted")
            .map(|issue| issue.spec.title.clone())
            .collect();
        titles.sort();
        titles
    }
}

#[test]
fn s25_a_list_that_did_not_change_is_not_shown_again_and_counts_as_seen() {
    let story = Story::with_issues(6);
    let titles = story.titles();
    assert_eq!(titles.len(), 6);
    for _ in 0..2 {
        // Three pages of issues, and one each of pull requests and comments.
        assert_eq!(story.run(BackfillMode::Complete), (0, 5), "nothing changed");
        assert_eq!(story.titles(), titles, "what wasn't shown again is there all the same (S23)");
    }
    // The first one begins where nobody began before.
    story.run(BackfillMode::Incremental);
    assert_eq!(story.run(BackfillMode::Incremental).0, 0);
}

#[test]
fn s25_what_changed_is_shown_though_its_webhook_was_lost() {
    let story = Story::with_issues(6);
    let at = start() + chrono::TimeDelta::seconds(900);
    story
        .world
        .forge()
        .forge
        .by("bob", at)
        .edit_issue(REPOSITORY, 2, IssueEdit::new().title("Edited"))
        .expect("edited");
    story.world.forge().forge.by("bob", at).open_issue(REPOSITORY, NewIssue::titled("New")).expect("opened");
    assert!(story.run(BackfillMode::Incremental).0 > 0);
    let titles = story.titles();
    assert!(titles.contains(&"Edited".to_owned()) && titles.contains(&"New".to_owned()), "{titles:?}");
}

#[test]
fn s25_what_follows_a_full_last_page_is_shown() {
    // Two pages, both full: the last one's rows are the same when a third page follows.
    let story = Story::with_issues(5);
    assert_eq!(story.run(BackfillMode::Complete), (1, 3), "nobody can tell whether a full page is still the last one");
    let at = start() + chrono::TimeDelta::seconds(900);
    story.world.forge().forge.by("bob", at).open_issue(REPOSITORY, NewIssue::titled("Newer")).expect("opened");
    story.run(BackfillMode::Complete);
    assert!(story.titles().contains(&"Newer".to_owned()), "{:?}", story.titles());
    assert_eq!(story.run(BackfillMode::Complete), (0, 5));
}

#[test]
fn s25_a_page_of_which_something_is_missing_here_is_shown_again() {
    let story = Story::with_issues(6);
    let link = story.world.all::<ExternalObjectLink>().remove(0);
    let issue = story
        .world
        .all::<Issue>()
        .into_iter()
        .find(|issue| issue.name() == link.spec.local_ref.name)
        .expect("its issue");
    let gone = ChangeSet::new()
        .delete(key_of::<ExternalObjectLink>(NAMESPACE, link.name()), Expect::Any)
        .delete(key_of::<Issue>(NAMESPACE, issue.name()), Expect::Any);
    block_on(story.world.store.commit(gone)).expect("it was there");
    assert_eq!(story.titles().len(), 5);
    let (shown, _) = story.run(BackfillMode::Complete);
    assert!((1..=2).contains(&shown), "the pages that it stood on: {shown}");
    assert_eq!(story.titles().len(), 6);
}
