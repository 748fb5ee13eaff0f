//! Every write that GitHub's adapter has, when nobody knows whether it was carried out: it happens once, and it is known to have (S34, S35).

use std::collections::BTreeSet;

use krate_model::kinds::external::{
    Close, ExternalWriteIntent, ExternalWriteIntentPhase, Merge, NewPullRequest, Payload,
};
use krate_model::kinds::sets::{ActorKind, AuthMode, Operation};
use krate_model::kinds::shared::{Actor, Body, NativeTarget, ObjectRef};
use krate_model::kinds::work::{Comment, CommentSpec, Issue, IssueSpec, MergeMethod, PullRequest};
use krate_model::{Digest, Kind, Resource};
use krate_providers::contract::{Call, Credential, Endpoint, Provider};
use krate_providers::github::GitHub;
use krate_providers::simulator::{self, Faults, Via};
use krate_sync::local::Local;
use krate_sync::records::{Changes, Loaded, get};
use krate_tests::world::{NAMESPACE, REPOSITORY, TOKEN, World, block_on, start};

fn alice() -> Actor {
    Actor::new(ActorKind::User, "alice")
}

/// An issue with a label, a comment on it, and a pull request; all known here.
fn world() -> World {
    let world = World::new(1, Faults::none(), "bidirectional");
    {
        let mut network = world.forge();
        let mut ada = network.forge.by("ada", start());
        ada.push(REPOSITORY, "topic").expect("pushed");
        ada.push(REPOSITORY, "other").expect("pushed");
        ada.open_issue(REPOSITORY, simulator::NewIssue::titled("Crash").label("bug")).expect("opened");
        ada.comment(REPOSITORY, 1, "Seen").expect("commented");
        ada.open_pull_request(REPOSITORY, simulator::NewPullRequest::new("Fix", "topic", "main")).expect("opened");
    }
    world.settle().expect("quiet");
    world.forge().forge.take_deliveries();
    world.pass_time(5);
    world
}

fn edit(world: &World, object: &ObjectRef, change: impl Fn(&mut Local) + Sync) {
    block_on(world.driver.edit(NAMESPACE, object, &alice(), &change)).expect("the edit is accepted");
}

fn edit_issue(world: &World, change: impl Fn(&mut IssueSpec) + Sync) {
    let object = ObjectRef::new(Kind::Issue.as_str(), world.all::<Issue>()[0].name());
    edit(world, &object, |local| {
        if let Local::Issue(issue) = local {
            change(&mut issue.spec);
        }
    });
}

fn put<T: Resource>(world: &World, loaded: &Loaded<T>) {
    let mut changes = Changes::at(start());
    changes.put(loaded).expect("JSON");
    block_on(changes.commit(world.store.as_ref())).expect("written");
}

/// A write that no edit leads to: one about `target`, in the place of another.
fn instead(world: &World, target: &ObjectRef, native: NativeTarget, payload: Payload) {
    edit_issue(world, |spec| "Stands in".clone_into(&mut spec.title));
    let mut intent = world.all::<ExternalWriteIntent>().remove(0);
    let stands_in = intent.name().to_owned();
    intent.spec.operation = payload.operation();
    intent.spec.interface = payload.operation().interface().expect("known");
    intent.spec.payload = payload;
    intent.spec.target = target.clone();
    intent.spec.native_target = native;
    intent.spec.idempotency_key = Digest::of(intent.spec.operation.as_str().as_bytes());
    let metadata = intent.metadata_mut();
    metadata.name = Some(format!("wi-{}", Digest::of(b"name").to_hex().get(..20).expect("long")));
    (metadata.uid, metadata.resource_version) = (None, None);
    put(world, &Loaded::new(intent));
    // The one that it was made from is out of the way.
    let mut old: Loaded<ExternalWriteIntent> = loaded(world, &stands_in);
    old.change().status_mut().phase = ExternalWriteIntentPhase::Rejected;
    put(world, &old);
}

fn loaded(world: &World, name: &str) -> Loaded<ExternalWriteIntent> {
    block_on(get(world.store.as_ref(), NAMESPACE, name)).expect("readable").expect("there")
}

fn target_of<T: Resource>(world: &World, kind: &str, id: fn(&T) -> (String, Option<i64>)) -> (ObjectRef, NativeTarget) {
    let object = world.all::<T>().remove(0);
    let (id, number) = id(&object);
    let native = NativeTarget {
        native_kind: kind.to_owned(),
        native_id: Some(id),
        native_number: number,
        container: [("owner", "acme"), ("repository", "site")].map(|(k, v)| (k.to_owned(), v.to_owned())).into(),
    };
    (ObjectRef::new(T::KIND.as_str(), object.name()), native)
}

fn pull(world: &World) -> (ObjectRef, NativeTarget) {
    target_of::<PullRequest>(world, "pull_request", |pull| {
        let external = pull.status.as_ref().and_then(|status| status.external.clone()).expect("synced");
        (external.native_id, external.native_number)
    })
}

fn comment_ref(world: &World) -> ObjectRef {
    ObjectRef::new(Kind::Comment.as_str(), world.all::<Comment>()[0].name())
}

/// What makes the write of an operation, which stands ready then.
fn wish(world: &World, operation: &Operation) {
    match operation {
        Operation::CreateIssue => {
            let mut spec = IssueSpec::new("acme", "Made here");
            spec.repository = Some("site".to_owned());
            block_on(world.driver.create(Local::Issue(Issue::at(NAMESPACE, "made", spec)), &alice())).expect("made");
        }
        Operation::UpdateIssue => edit_issue(world, |spec| "Ours".clone_into(&mut spec.title)),
        Operation::AddLabels => edit_issue(world, |spec| {
            spec.labels.insert("ui".to_owned());
        }),
        Operation::RemoveLabels => edit_issue(world, |spec| spec.labels.clear()),
        Operation::CloseIssue => {
            let (object, native) = target_of::<Issue>(world, "issue", |issue| {
                let external = issue.status.as_ref().and_then(|status| status.external.clone()).expect("synced");
                (external.native_id, external.native_number)
            });
            instead(world, &object, native, Payload::CloseIssue(Close::default()));
        }
        Operation::CreateComment => {
            let about = ObjectRef::new(Kind::Issue.as_str(), world.all::<Issue>()[0].name());
            let comment = Comment::at(NAMESPACE, "made", CommentSpec::new("acme", about, Body::markdown("Here too")));
            block_on(world.driver.create(Local::Comment(comment), &alice())).expect("made");
        }
        Operation::UpdateComment => edit(world, &comment_ref(world), |local| {
            if let Local::Comment(comment) = local {
                comment.spec.body = Body::markdown("Edited");
            }
        }),
        Operation::DeleteComment => {
            block_on(world.driver.remove(NAMESPACE, &comment_ref(world), &alice())).expect("accepted");
        }
        Operation::CreatePullRequest => {
            let made: PullRequest = serde_json::from_value(serde_json::json!({
                "apiVersion": krate_model::API_VERSION, "kind": "PullRequest",
                "metadata": {"name": "made", "namespace": NAMESPACE},
                "spec": {"organizationRef": "acme", "repository": "site", "title": "Made", "head": {"ref": "other"}, "base": "main"},
            }))
            .expect("a pull request");
            let (_, mut native) = pull(world);
            (native.native_id, native.native_number) = (None, None);
            put(world, &Loaded::new(made));
            let new = NewPullRequest {
                title: "Made".to_owned(),
                body: None,
                head: "other".to_owned(),
                base: "main".to_owned(),
                draft: false,
            };
            let object = ObjectRef::new(Kind::PullRequest.as_str(), "made");
            instead(world, &object, native, Payload::CreatePullRequest(new));
        }
        Operation::UpdatePullRequest => edit(world, &pull(world).0, |local| {
            if let Local::PullRequest(pull) = local {
                "Ours".clone_into(&mut pull.spec.title);
            }
        }),
        Operation::MergePullRequest => {
            let (object, native) = pull(world);
            let head = world.forge().forge.issue(REPOSITORY, 2).and_then(|issue| issue.pull.clone()).expect("there");
            let merge = Merge { method: MergeMethod::Merge, expected_head_sha: head.head_sha };
            instead(world, &object, native, Payload::MergePullRequest(merge));
        }
        other => panic!("{other}: what leads to it?"),
    }
}

/// The write that stands ready; it is being sent from now on, by somebody who is gone.
fn sending(world: &World) -> ExternalWriteIntent {
    let ready = world.all::<ExternalWriteIntent>().into_iter().find(|intent| intent.phase() == "ReadyToSend");
    let mut intent = loaded(world, ready.expect("a write stands ready").name());
    let status = intent.change().status_mut();
    status.phase = ExternalWriteIntentPhase::Sending;
    status.attempts = 1;
    status.sent_at = Some(start());
    status.not_before = Some(start());
    put(world, &intent);
    intent.object
}

/// Carries the write out as the one who is gone did.
fn carry_out(world: &World, intent: &ExternalWriteIntent) {
    let api_base = "https://api.github.com".parse().expect("an address");
    let credential = Credential::new(AuthMode::PersonalAccessToken, TOKEN);
    let endpoint = Endpoint { api_base: &api_base, credential: Some(&credential) };
    let mut call = Call::new(intent.spec.operation.clone(), &intent.spec.native_target);
    call.payload = Some(&intent.spec.payload);
    call.marker = intent.spec.native_target.native_id.is_none().then_some(&intent.spec.idempotency_key);
    let request = GitHub.encode(&endpoint, &call).expect("a request");
    let answer = world.forge().forge.handle(&request, start() + chrono::TimeDelta::seconds(5));
    assert!(answer.status().is_success(), "{}: {answer:?}", intent.spec.operation);
}

/// The requests that changed something.
fn effects(world: &World) -> BTreeSet<Via> {
    let network = world.forge();
    let asked = network.forge.effects().iter().filter(|effect| effect.via != Via::Native && !effect.changed.is_empty());
    asked.map(|effect| effect.via).collect()
}

#[test]
fn s34_every_write_with_an_unknown_outcome_happens_once_and_is_known_to_have() {
    let writes: Vec<Operation> = GitHub
        .manifest()
        .interfaces
        .iter()
        .flat_map(|interface| &interface.operations)
        .filter(|row| row.write)
        .map(|row| row.operation.clone())
        .collect();
    assert!(writes.len() >= 11);
    for operation in writes {
        for carried_out in [false, true] {
            let case = format!("{operation}, carried out: {carried_out}");
            let world = world();
            wish(&world, &operation);
            let intent = sending(&world);
            assert_eq!(intent.spec.operation, operation);
            if carried_out {
                carry_out(&world, &intent);
            }
            // The webhooks about it are lost, too.
            world.settle().expect("quiet");
            let ended = loaded(&world, intent.name()).object;
            assert_eq!(ended.phase(), "Succeeded", "{case}: {:#?}", ended.status);
            let confirmation = ended.status.as_ref().and_then(|status| status.confirmation.as_ref());
            assert!(confirmation.is_some(), "S35: {case}");
            assert_eq!(effects(&world).len(), 1, "{case}: {:#?}", world.forge().forge.effects());
        }
    }
}

#[test]
fn s34_a_comment_that_may_be_deleted_is_deleted_by_the_webhook_about_it() {
    let world = world();
    wish(&world, &Operation::DeleteComment);
    let intent = sending(&world);
    carry_out(&world, &intent);
    world.deliver();
    world.settle().expect("quiet");
    assert_eq!(loaded(&world, intent.name()).object.phase(), "Succeeded");
    assert_eq!(world.all::<Comment>()[0].phase(), "Deleted");
    assert_eq!(effects(&world).len(), 1);
}
