//! What becomes of a binding that is deleted, on a simulated forge (R21).

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use bytes::Bytes;
use krate_model::audit::AuditEvent;
use krate_model::condition::condition;
use krate_model::kinds::external::{
    DeletionPolicy, ExternalBackendBinding, ExternalBackendProvider, ExternalObjectLink, ExternalSyncConflict,
    ExternalSyncState, ExternalWriteIntent,
};
use krate_model::kinds::sets::ActorKind;
use krate_model::kinds::shared::{Actor, ObjectRef};
use krate_model::kinds::work::{Comment, Issue, IssueSpec};
use krate_model::store::{
    ChangeSet, Changes as Watched, CommitError, Filter, Key, Page, Private, Query, Revision, Store, StoreError, Stored,
};
use krate_model::{Kind, ORPHANED_FROM, Resource, SYNC_FINALIZER};
use krate_providers::contract::SendOutcome;
use krate_providers::simulator::{Faults, IssueEdit, NewIssue};
use krate_sync::driver::{Driver, DriverError, Http, SendError};
use krate_sync::local::Local;
use krate_sync::plan::{PlanError, Removal};
use krate_sync::records::{Changes, Loaded, get, key_of};
use krate_tests::world::{Crash, MortalStore, NAMESPACE, REPOSITORY, Wire, World, block_on, start};

/// What a pull of the plug is justified with.
const WHY: &str = "the forge is gone for good";

fn alice() -> Actor {
    Actor::new(ActorKind::User, "alice")
}

/// Two issues, of which the first has a comment; all known here.
fn world() -> World {
    let world = World::new(1, Faults::none(), "bidirectional");
    {
        let mut network = world.forge();
        let mut ada = network.forge.by("ada", start());
        ada.open_issue(REPOSITORY, NewIssue::titled("Crash")).expect("opened");
        ada.open_issue(REPOSITORY, NewIssue::titled("Slow")).expect("opened");
        ada.comment(REPOSITORY, 1, "Seen").expect("commented");
    }
    world.settle().expect("quiet");
    world.forge().forge.take_deliveries();
    world.pass_time(5);
    world
}

fn titled(world: &World, title: &str) -> Issue {
    world.all::<Issue>().into_iter().find(|issue| issue.spec.title == title).expect(title)
}

fn rename(world: &World, from: &str, to: &str) -> Result<Local, DriverError> {
    let object = ObjectRef::new(Kind::Issue.as_str(), titled(world, from).name());
    let change = |local: &mut Local| {
        if let Local::Issue(issue) = local {
            to.clone_into(&mut issue.spec.title);
        }
    };
    block_on(world.driver.edit(NAMESPACE, &object, &alice(), &change))
}

fn binding(world: &World) -> Option<ExternalBackendBinding> {
    world.all::<ExternalBackendBinding>().pop()
}

fn change_binding(world: &World, change: impl FnOnce(&mut ExternalBackendBinding)) {
    let found = block_on(get(world.store.as_ref(), NAMESPACE, "site")).expect("readable");
    let mut loaded: Loaded<ExternalBackendBinding> = found.expect("there");
    change(loaded.change());
    let mut changes = Changes::at(start());
    changes.put(&loaded).expect("JSON");
    block_on(changes.commit(world.store.as_ref())).expect("written");
}

fn delete(world: &World) -> Removal {
    block_on(world.driver.remove_binding(NAMESPACE, "site", &alice(), None)).expect("accepted")
}

/// Makes a binding as the first one was, under this name.
fn bind_again(world: &World, name: &str, old: &ExternalBackendBinding) {
    let made = ExternalBackendBinding::at(NAMESPACE, name, old.spec.clone());
    let mut changes = Changes::at(start());
    changes.put(&Loaded::new(made)).expect("JSON");
    block_on(changes.commit(world.store.as_ref())).expect("written");
}

/// A way to the forge on which the answers to writes are lost, and the writes too unless they are `carried`.
struct Cut {
    wire: Wire,
    carried: bool,
}

#[async_trait]
impl Http for Cut {
    async fn send(&self, request: http::Request<Bytes>) -> Result<http::Response<Bytes>, SendError> {
        if request.method() == http::Method::GET {
            return self.wire.send(request).await;
        }
        if self.carried {
            self.wire.send(request).await?;
        }
        Err(SendError { outcome: SendOutcome::Unknown, message: "the connection broke".to_owned() })
    }
}

/// "Crash" becomes "Crash on start" by a write whose outcome nobody knows.
fn send_into_the_dark(world: &World, carried: bool) {
    rename(world, "Crash", "Crash on start").expect("accepted");
    let cut = world.other_driver(Arc::new(Cut { wire: world.wire(), carried }));
    block_on(cut.run_due()).expect("the store can be read");
    assert_eq!(phases(world), ["Retrying"]);
}

fn phases(world: &World) -> Vec<String> {
    world.all::<ExternalWriteIntent>().iter().map(|intent| intent.phase().to_owned()).collect()
}

fn told(world: &World, kind: &str) -> Vec<String> {
    let about = world.all::<AuditEvent>().into_iter().filter(|event| event.spec.kind == kind);
    about.map(|event| event.spec.reason.unwrap_or_default()).collect()
}

fn is_orphaned<T: Resource>(object: &T) -> bool {
    object.metadata().annotations.iter().flatten().any(|(key, value)| key == ORPHANED_FROM && value == "site")
}

/// What there is of a binding beside the binding itself.
fn left_of_it(world: &World) -> Vec<String> {
    let links = world.all::<ExternalObjectLink>();
    let links = links.iter().filter(|link| !link.spec.binding_ref.is_empty()).map(|link| link.name().to_owned());
    let lists = world.all::<ExternalSyncState>();
    let cursors = block_on(world.store.list(&Query::new(Private::Cursor))).expect("readable").items;
    let cursors = cursors.iter().map(|stored| stored.key.name.to_string());
    links.chain(lists.iter().map(|list| list.name().to_owned())).chain(cursors).collect()
}

#[test]
fn r21_the_finalizer_is_put_on_once_when_a_binding_is_taken_up() {
    let world = World::new(1, Faults::none(), "bidirectional");
    assert!(binding(&world).is_some_and(|it| it.metadata().finalizers.is_none()));
    world.settle().expect("quiet");
    let finalizers = |world: &World| binding(world).and_then(|it| it.metadata().finalizers.clone());
    assert_eq!(finalizers(&world), Some(vec![SYNC_FINALIZER.to_owned()]));
    // One that was taken up by a version without finalizers gets it with the next pass, also while it is suspended.
    for suspend in [false, true] {
        change_binding(&world, |it| {
            it.metadata_mut().finalizers = None;
            it.spec.suspend = suspend;
        });
        world.pass().expect("the store is there");
        assert_eq!(finalizers(&world), Some(vec![SYNC_FINALIZER.to_owned()]), "suspended: {suspend}");
    }
    // What nobody has taken up goes at once.
    let world = World::new(1, Faults::none(), "bidirectional");
    assert_eq!(delete(&world), Removal::Removed);
    assert!(binding(&world).is_none());
}

#[test]
fn r21_a_deleted_binding_goes_and_its_projections_stay_as_nobodys() {
    let world = world();
    let shown = world.shown();
    assert_eq!(delete(&world), Removal::Ending);
    assert!(binding(&world).is_some_and(|it| it.metadata().deletion_timestamp.is_some()), "it isn't taken out at once");
    world.settle().expect("quiet");
    assert!(binding(&world).is_none());
    assert_eq!(left_of_it(&world), Vec::<String>::new());
    assert_eq!(world.shown(), shown);
    assert!(world.all::<Issue>().iter().all(is_orphaned) && world.all::<Comment>().iter().all(is_orphaned));
    assert!(world.all::<ExternalObjectLink>().iter().all(|link| link.phase() == "Orphaned"));
    assert!(world.written().is_empty(), "S4: nothing is deleted at the provider");
    assert_eq!(told(&world, "BindingDeletionRequested"), ["DeletionRequested"]);
    assert_eq!(told(&world, "BindingDeleted"), ["its projections stay as nobody's"]);
    let mut moves = world.all::<AuditEvent>().into_iter().filter(|event| event.spec.kind == "BindingPhase");
    assert_eq!(moves.next_back().and_then(|event| event.spec.to), Some("Paused".to_owned()), "S41");
    // Nothing is left to be done in its name.
    let before = block_on(world.store.revision()).expect("readable");
    world.pass_time(60);
    let pass = world.pass().expect("the store is there");
    assert!(pass.failed.is_empty() && pass.done == 0, "{pass:?}");
    // The provider's status counts it out.
    world.pass_time(60);
    world.pass().expect("the store is there");
    assert!(block_on(world.store.revision()).expect("readable").0 <= before.0 + 1);
}

#[test]
fn r21_by_policy_the_projections_go_with_the_binding_and_nothing_at_the_provider() {
    let world = world();
    change_binding(&world, |it| it.spec.deletion_policy = DeletionPolicy::Delete);
    delete(&world);
    world.settle().expect("quiet");
    assert!(binding(&world).is_none());
    assert!(world.all::<Issue>().is_empty() && world.all::<Comment>().is_empty());
    assert!(world.all::<ExternalObjectLink>().is_empty());
    assert_eq!(left_of_it(&world), Vec::<String>::new());
    assert!(world.written().is_empty(), "S4");
    assert_eq!(world.all::<krate_model::kinds::forge::Repository>().len(), 1, "its target isn't its projection");
    assert_eq!(told(&world, "BindingDeleted"), ["its projections went with it"]);
}

#[test]
fn r21_a_deleted_binding_lets_its_writes_end_and_sends_no_other() {
    for carried in [true, false] {
        let world = world();
        send_into_the_dark(&world, carried);
        // This one isn't sent yet, and waits for nobody.
        rename(&world, "Slow", "Slow on start").expect("accepted");
        delete(&world);
        world.pass().expect("the store is there");
        let going = binding(&world).expect("it waits");
        let status = going.status.as_ref().expect("a status");
        let ready = condition(&status.conditions, "Ready").expect("a condition");
        assert_eq!((going.phase(), ready.reason.as_str()), ("Paused", "Terminating"));
        assert!(ready.message.starts_with("waits for wi-"), "{}", ready.message);
        world.settle().expect("quiet");
        assert!(binding(&world).is_none(), "carried: {carried}");
        let mut ended = phases(&world);
        ended.sort();
        assert_eq!(ended, if carried { ["Rejected", "Succeeded"] } else { ["Failed", "Rejected"] });
        assert_eq!(world.written().len(), usize::from(carried), "what had no effect isn't sent again");
        let title = world.forge().forge.issue(REPOSITORY, 2).map(|issue| issue.title.clone());
        assert_eq!(title.as_deref(), Some("Slow"));
        assert_eq!(left_of_it(&world), Vec::<String>::new());
    }
}

#[test]
fn r21_what_is_being_made_in_its_name_is_known_before_it_goes() {
    let world = world();
    let mut spec = IssueSpec::new("acme", "Made here");
    spec.repository = Some("site".to_owned());
    block_on(world.driver.create(Local::Issue(Issue::at(NAMESPACE, "made", spec)), &alice())).expect("made");
    let cut = world.other_driver(Arc::new(Cut { wire: world.wire(), carried: true }));
    block_on(cut.run_due()).expect("the store can be read");
    delete(&world);
    world.settle().expect("quiet");
    assert!(binding(&world).is_none());
    assert_eq!(phases(&world), ["Succeeded"]);
    let made = titled(&world, "Made here");
    let number = made.status.as_ref().and_then(|status| status.external.as_ref()?.native_number);
    assert_eq!((number, is_orphaned(&made)), (Some(3), true));
    assert_eq!(world.written().len(), 1);
}

#[test]
fn r21_nothing_new_is_learned_or_wished_for_in_the_name_of_a_deleted_binding() {
    let world = world();
    send_into_the_dark(&world, true);
    delete(&world);
    // It waits for the write, and hears of an issue that is new, and of a change of one that it knows.
    world.pass_time(1);
    {
        let now = world.forge_now();
        let mut network = world.forge();
        let mut bob = network.forge.by("bob", now);
        bob.open_issue(REPOSITORY, NewIssue::titled("New")).expect("opened");
        bob.edit_issue(REPOSITORY, 2, IssueEdit::new().title("Slower")).expect("edited");
    }
    assert!(world.deliver() >= 2);
    world.pass().expect("the store is there");
    assert!(binding(&world).is_some());
    assert!(world.all::<Issue>().iter().all(|issue| issue.spec.title != "New"));
    let refused = rename(&world, "Slower", "Slow again").expect_err("refused");
    assert!(matches!(&refused, DriverError::Plan(PlanError::BindingDeleted { binding, .. }) if binding == "site"));
    let object = ObjectRef::new(Kind::Issue.as_str(), titled(&world, "Slower").name());
    let refused = block_on(world.driver.remove(NAMESPACE, &object, &alice())).expect_err("refused");
    assert!(refused.to_string().contains("is being deleted"), "{refused}");
    // A new object of its repository is a local one.
    let mut spec = IssueSpec::new("acme", "Ours alone");
    spec.repository = Some("site".to_owned());
    block_on(world.driver.create(Local::Issue(Issue::at(NAMESPACE, "ours", spec)), &alice())).expect("made");
    world.settle().expect("quiet");
    assert!(binding(&world).is_none());
    assert_eq!(phases(&world), ["Succeeded"]);
    assert!(!is_orphaned(&titled(&world, "Ours alone")));
    assert_eq!(left_of_it(&world), Vec::<String>::new());
    // Webhooks that come later are about nothing here.
    let now = world.forge_now();
    world.forge().forge.by("bob", now).open_issue(REPOSITORY, NewIssue::titled("Newer")).expect("opened");
    assert!(world.deliver() >= 1);
    world.settle().expect("quiet");
    assert_eq!(world.all::<Issue>().len(), 3);
}

/// A way to the forge on which the binding is deleted, and gone, while the answer to the first list of issues is on its way.
struct Overtaken {
    wire: Wire,
    world: Arc<World>,
    is_over: AtomicBool,
}

#[async_trait]
impl Http for Overtaken {
    async fn send(&self, request: http::Request<Bytes>) -> Result<http::Response<Bytes>, SendError> {
        let lists = request.uri().path().ends_with("/issues") && request.method() == http::Method::GET;
        let answer = self.wire.send(request).await;
        if lists && !self.is_over.swap(true, Ordering::SeqCst) {
            let _ = self.world.driver.remove_binding(NAMESPACE, "site", &alice(), None).await;
            for _ in 0..3 {
                let _ = self.world.driver.run_due().await;
            }
        }
        answer
    }
}

#[test]
fn r21_a_list_that_was_being_read_brings_nothing_back() {
    let world = Arc::new(World::new(1, Faults::none(), "bidirectional"));
    world.forge().forge.by("ada", start()).open_issue(REPOSITORY, NewIssue::titled("Crash")).expect("opened");
    let late = Overtaken { wire: world.wire(), world: Arc::clone(&world), is_over: AtomicBool::new(false) };
    let other: Driver = world.other_driver(Arc::new(late));
    for _ in 0..3 {
        block_on(other.run_due()).expect("the store can be read");
    }
    assert!(binding(&world).is_none(), "it was deleted");
    assert!(world.all::<Issue>().is_empty());
    assert_eq!(left_of_it(&world), Vec::<String>::new());
}

#[test]
fn r21_a_list_in_the_middle_is_not_read_on() {
    let world = World::paged("bidirectional", 1);
    for title in ["One", "Two", "Three", "Four"] {
        world.forge().forge.by("ada", start()).open_issue(REPOSITORY, NewIssue::titled(title)).expect("opened");
    }
    while world.all::<Issue>().is_empty() {
        world.pass().expect("the store is there");
    }
    assert!(world.all::<Issue>().len() < 4, "there is more to read");
    delete(&world);
    let requests = world.forge().forge.requests();
    world.settle().expect("quiet");
    assert_eq!(world.forge().forge.requests(), requests);
    assert!(binding(&world).is_none());
    assert!(world.all::<Issue>().iter().all(is_orphaned));
}

#[test]
fn r21_s46_a_pass_lets_so_many_objects_go_and_others_have_their_turn() {
    let world = World::new(1, Faults::none(), "read-only");
    for number in 0..300 {
        let new = NewIssue::titled(format!("Number {number}"));
        world.forge().forge.by("ada", start()).open_issue(REPOSITORY, new).expect("opened");
    }
    world.settle().expect("quiet");
    assert_eq!(world.all::<Issue>().len(), 300);
    delete(&world);
    let pass = world.pass().expect("the store is there");
    let gone = world.all::<Issue>().iter().filter(|issue| is_orphaned(*issue)).count();
    assert!((1..300).contains(&gone), "{gone}");
    assert!(binding(&world).is_some() && pass.next.is_some_and(|at| at <= world.forge_now()), "it goes on at once");
    world.pass().expect("the store is there");
    assert!(binding(&world).is_none() && world.all::<Issue>().iter().all(is_orphaned));
}

/// A store at which the binding is deleted, and gone, right before the first commit.
struct Beaten {
    store: Arc<MortalStore>,
    world: Arc<World>,
    is_over: AtomicBool,
}

#[async_trait]
impl Store for Beaten {
    async fn get(&self, key: &Key) -> Result<Option<Stored>, StoreError> {
        self.store.get(key).await
    }

    async fn list(&self, query: &Query) -> Result<Page, StoreError> {
        self.store.list(query).await
    }

    async fn commit(&self, changes: ChangeSet) -> Result<Revision, CommitError> {
        if !self.is_over.swap(true, Ordering::SeqCst) {
            let _ = self.world.driver.remove_binding(NAMESPACE, "site", &alice(), None).await;
            let _ = self.world.driver.run_due().await;
        }
        self.store.commit(changes).await
    }

    async fn changes(&self, after: Revision, filter: &Filter) -> Result<Watched, StoreError> {
        self.store.changes(after, filter).await
    }

    async fn revision(&self) -> Result<Revision, StoreError> {
        self.store.revision().await
    }
}

#[test]
fn r21_a_wish_that_comes_too_late_makes_no_write() {
    let world = Arc::new(world());
    let store = Arc::new(Beaten {
        store: Arc::clone(&world.store),
        world: Arc::clone(&world),
        is_over: AtomicBool::new(false),
    });
    let late = world.driver_over(store, Arc::new(world.wire()));
    let mut spec = IssueSpec::new("acme", "Made here");
    spec.repository = Some("site".to_owned());
    block_on(late.create(Local::Issue(Issue::at(NAMESPACE, "made", spec)), &alice())).expect("made");
    assert!(binding(&world).is_none());
    assert!(world.all::<ExternalWriteIntent>().is_empty(), "nobody would send it");
    assert_eq!(titled(&world, "Made here").name(), "made");
}

#[test]
fn r21_force_waits_for_nothing_and_says_what_was_left_behind() {
    let world = world();
    send_into_the_dark(&world, true);
    let short =
        block_on(world.driver.remove_binding(NAMESPACE, "site", &alice(), Some("because"))).expect_err("refused");
    assert_eq!(short.to_string(), "force: 7 characters are no reason; at least 20 are accepted (R21)");
    assert!(binding(&world).is_some_and(|it| it.metadata().deletion_timestamp.is_none()));
    delete(&world);
    // An annotation that says too little forces nothing.
    change_binding(&world, |it| {
        it.metadata_mut()
            .annotations
            .get_or_insert_default()
            .insert(krate_model::FORCE_DELETE.to_owned(), "x".to_owned());
    });
    world.pass().expect("the store is there");
    assert!(binding(&world).is_some());
    block_on(world.driver.remove_binding(NAMESPACE, "site", &alice(), Some(WHY))).expect("accepted");
    let requests = world.forge().forge.requests();
    world.pass().expect("the store is there");
    assert!(binding(&world).is_none());
    assert_eq!(world.forge().forge.requests(), requests, "the provider isn't asked");
    let intent = world.all::<ExternalWriteIntent>().remove(0);
    assert_eq!(intent.phase(), "Failed");
    assert_eq!(told(&world, "BindingDeletionRequested"), ["DeletionRequested", &format!("force-delete: {WHY}")]);
    let last = told(&world, "BindingDeleted").remove(0);
    let left = format!("its projections stay as nobody's; force-delete: {WHY}; left behind: {}", intent.name());
    assert_eq!(last, left);
    world.settle().expect("quiet");
    assert_eq!(left_of_it(&world), Vec::<String>::new());
}

#[test]
fn r21_a_conflict_ends_with_its_binding_and_the_write_that_met_it() {
    let world = world();
    let now = start() + chrono::TimeDelta::seconds(60);
    rename(&world, "Crash", "Ours").expect("accepted");
    world.forge().forge.by("bob", now).edit_issue(REPOSITORY, 1, IssueEdit::new().title("Theirs")).expect("edited");
    world.deliver();
    world.settle().expect("quiet");
    assert_eq!(world.all::<ExternalSyncConflict>()[0].phase(), "Open");
    delete(&world);
    world.settle().expect("quiet");
    assert!(binding(&world).is_none());
    let conflict = world.all::<ExternalSyncConflict>().remove(0);
    let resolved = conflict.status.as_ref().and_then(|status| condition(&status.conditions, "Resolved").cloned());
    assert_eq!((conflict.phase(), resolved.expect("told").reason.as_str()), ("Superseded", "BindingDeleted"));
    assert!(phases(&world).iter().all(|phase| phase == "Rejected"), "{:?}", phases(&world));
    assert_eq!(titled(&world, "Ours").status.and_then(|status| status.sync).map(|sync| sync.open_conflicts), Some(0));
}

#[test]
fn r21_another_binding_takes_up_what_is_nobodys() {
    for name in ["site", "again"] {
        let world = world();
        let old = binding(&world).expect("there");
        let names: Vec<String> = world.all::<Issue>().iter().map(|issue| issue.name().to_owned()).collect();
        delete(&world);
        world.settle().expect("quiet");
        // It is local meanwhile: a change goes nowhere.
        rename(&world, "Slow", "Slow here").expect("accepted");
        world.settle().expect("quiet");
        assert!(world.all::<ExternalWriteIntent>().is_empty());
        bind_again(&world, name, &old);
        world.settle().expect("quiet");
        let issues = world.all::<Issue>();
        assert_eq!(issues.iter().map(|issue| issue.name().to_owned()).collect::<Vec<_>>(), names, "S5");
        assert!(!issues.iter().any(is_orphaned));
        for link in world.all::<ExternalObjectLink>() {
            assert_eq!((link.phase(), link.spec.binding_ref.as_str()), ("Linked", name));
        }
        rename(&world, "Crash", "Crash on start").expect("accepted");
        world.settle().expect("quiet");
        let title = world.forge().forge.issue(REPOSITORY, 1).map(|issue| issue.title.clone());
        assert_eq!(title.as_deref(), Some("Crash on start"));
    }
}

#[test]
fn r21_what_was_changed_while_it_was_nobodys_is_compared_when_it_is_taken_up() {
    // What the title is at the forge, here, and whether somebody has to decide.
    let expected = [
        ("bidirectional", false, ("Slow here", "Slow here", 0)),
        ("bidirectional", true, ("Theirs", "Slow here", 1)),
        ("krate-owned", true, ("Slow here", "Slow here", 0)),
        ("read-only", false, ("Slow", "Slow", 0)),
        ("read-only", true, ("Theirs", "Theirs", 0)),
    ];
    for (mode, both, (there, here, conflicts)) in expected {
        let world = world();
        let mut old = binding(&world).expect("there");
        delete(&world);
        world.settle().expect("quiet");
        let name = titled(&world, "Slow").name().to_owned();
        rename(&world, "Slow", "Slow here").expect("accepted");
        if both {
            let now = world.forge_now();
            let theirs = IssueEdit::new().title("Theirs");
            world.forge().forge.by("bob", now).edit_issue(REPOSITORY, 2, theirs).expect("edited");
            world.forge().forge.take_deliveries();
        }
        for interface in &mut old.spec.interfaces {
            interface.mode = krate_model::kinds::sets::Mode::from_text(mode);
        }
        bind_again(&world, "site", &old);
        world.settle().expect("quiet");
        world.deliver();
        world.settle().expect("quiet");
        let case = format!("{mode}, both: {both}");
        let title = world.forge().forge.issue(REPOSITORY, 2).map(|issue| issue.title.clone());
        let issue = world.all::<Issue>().into_iter().find(|issue| issue.name() == name).expect("there");
        assert_eq!((title.as_deref(), issue.spec.title.as_str()), (Some(there), here), "{case}");
        let open = world.all::<ExternalSyncConflict>().iter().filter(|found| found.phase() == "Open").count();
        assert_eq!(open, conflicts, "{case}");
    }
}

#[test]
fn r21_a_wish_that_no_binding_can_carry_keeps_nothing_from_being_taken_up() {
    let world = world();
    let old = binding(&world).expect("there");
    delete(&world);
    world.settle().expect("quiet");
    let object = ObjectRef::new(Kind::Issue.as_str(), titled(&world, "Slow").name());
    let lock = |local: &mut Local| {
        if let Local::Issue(issue) = local {
            issue.spec.locked = true;
        }
    };
    block_on(world.driver.edit(NAMESPACE, &object, &alice(), &lock)).expect("accepted");
    bind_again(&world, "site", &old);
    world.settle().expect("quiet");
    let issue = titled(&world, "Slow");
    assert!(issue.spec.locked && !is_orphaned(&issue));
    assert!(world.all::<ExternalWriteIntent>().is_empty());
    assert!(binding(&world).is_some_and(|it| it.phase() == "Ready"));
}

#[test]
fn r21_what_is_nobodys_goes_here_when_somebody_removes_it() {
    let world = world();
    delete(&world);
    world.settle().expect("quiet");
    let object = ObjectRef::new(Kind::Issue.as_str(), titled(&world, "Slow").name());
    block_on(world.driver.why(Kind::Issue, NAMESPACE, &object.name)).expect("it can be asked about");
    assert_eq!(block_on(world.driver.remove(NAMESPACE, &object, &alice())).expect("accepted"), Removal::Removed);
    assert_eq!((world.all::<Issue>().len(), world.all::<ExternalObjectLink>().len()), (1, 2));
    assert!(world.written().is_empty(), "S4");
}

#[test]
fn r21_a_finalizer_of_somebody_else_still_holds_the_binding() {
    let world = world();
    change_binding(&world, |it| {
        it.metadata_mut().finalizers.get_or_insert_default().push("example.com/hold".to_owned());
    });
    delete(&world);
    world.settle().expect("quiet");
    let held = binding(&world).expect("held");
    assert_eq!(held.metadata().finalizers, Some(vec!["example.com/hold".to_owned()]));
    assert_eq!(left_of_it(&world), Vec::<String>::new());
    world.pass_time(60);
    world.settle().expect("quiet");
    assert_eq!(left_of_it(&world), Vec::<String>::new(), "nothing is begun anew");
    assert_eq!(told(&world, "BindingDeleted").len(), 1);
}

#[test]
fn r21_a_binding_without_its_provider_goes_where_nothing_is_in_flight() {
    let world = world();
    let key = key_of::<ExternalBackendProvider>(NAMESPACE, "gh");
    let mut changes = Changes::at(start());
    changes.delete(key, krate_model::store::Expect::Any);
    block_on(changes.commit(world.store.as_ref())).expect("written");
    world.pass().expect("the store is there");
    delete(&world);
    world.pass().expect("the store is there");
    assert!(binding(&world).is_none());
    assert!(world.all::<Issue>().iter().all(is_orphaned));
}

/// Everything that there is in the end, but for times.
fn end_of(world: &World) -> (Vec<String>, Vec<String>, Vec<String>, usize, usize) {
    let mut writes = phases(world);
    writes.sort();
    let links = world.all::<ExternalObjectLink>();
    let links = links.iter().map(|link| format!("{} {} {}", link.name(), link.phase(), link.spec.binding_ref));
    let requested = told(world, "BindingDeletionRequested").len();
    (world.shown(), writes, links.collect(), requested, told(world, "BindingDeleted").len())
}

#[test]
fn r21_a_binding_ends_the_same_wherever_the_process_dies_on_the_way() {
    for policy in [DeletionPolicy::Orphan, DeletionPolicy::Delete] {
        for force in [None, Some(WHY)] {
            let begun = || {
                let world = world();
                change_binding(&world, |it| it.spec.deletion_policy = policy.clone());
                send_into_the_dark(&world, true);
                rename(&world, "Slow", "Slow on start").expect("accepted");
                block_on(world.driver.remove_binding(NAMESPACE, "site", &alice(), force)).expect("accepted");
                world
            };
            let plain = begun();
            plain.plan_crash(None);
            plain.settle().expect("quiet");
            let (commits, expected) = (plain.store.commits(), end_of(&plain));
            assert!(binding(&plain).is_none() && commits > 6, "{commits}");
            for commit in 0..commits {
                for after in [false, true] {
                    let mut world = begun();
                    world.plan_crash(Some(Crash { commit, after }));
                    for _ in 0..200 {
                        world.pass();
                        if world.is_dead() {
                            break;
                        }
                        world.pass_time(1);
                    }
                    assert!(world.is_dead(), "commit {commit}");
                    world.start_cold();
                    world.plan_crash(None);
                    world.settle().expect("quiet");
                    let case = format!("{policy:?}, force: {force:?}, commit {commit}, after: {after}");
                    assert!(binding(&world).is_none(), "{case}");
                    assert_eq!(end_of(&world), expected, "{case}");
                    assert_eq!(left_of_it(&world), Vec::<String>::new(), "{case}");
                }
            }
        }
    }
}
