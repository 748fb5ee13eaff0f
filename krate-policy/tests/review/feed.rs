//! A snapshot that follows a store answers as one made of all that the store holds.

use krate_model::Kind;
use krate_model::store::suite::block_on;
use krate_model::store::{ChangeSet, Expect, Filter, Key, MemoryStore, Revision, Store, StoreError};
use krate_policy::feed::{FeedError, catch_up, load};
use krate_policy::review::review;
use krate_policy::roles::Controller;
use krate_policy::snapshot::{Item, Snapshot};
use proptest::prelude::*;
use serde_json::json;

use super::world::{NS, account, grant, item, mapping, permission, request, stack, user};

fn key(item: &Item) -> Key {
    let document = item.document();
    let text = |pointer: &str| document.pointer(pointer).unwrap().as_str().unwrap().to_owned();
    let kind: Kind = text("/kind").parse().unwrap();
    Key::new(kind, text("/metadata/namespace"), text("/metadata/name"))
}

fn put(store: &MemoryStore, item: &Item) {
    let body = serde_json::to_vec(&item.document()).unwrap();
    block_on(store.commit(ChangeSet::new().put(key(item), Expect::Any, body, []))).unwrap();
}

fn world() -> Vec<Item> {
    let organization = item(
        "Organization",
        "a",
        json!({"displayName": "A", "slug": "a", "namespaceName": NS}),
        json!({"phase": "Ready"}),
    );
    let repository = item(
        "Repository",
        "krate",
        json!({"organizationRef": "a", "visibility": "private", "defaultBranch": "main"}),
        json!({"phase": "Ready"}),
    );
    vec![
        organization,
        repository,
        user("ada"),
        permission("ada", "maintain"),
        mapping("ada", "1"),
        grant(|_, _| ()),
        stack(|_, _| ()),
        account(),
    ]
}

proptest! {
    #[test]
    fn p48_what_follows_the_store_is_what_the_store_holds(steps in proptest::collection::vec((0..8_usize, any::<bool>(), any::<bool>()), 1..24)) {
        let store = MemoryStore::new();
        let all = world();
        let mut following = block_on(load(&store)).unwrap();
        for (which, is_there, looks) in steps {
            let item = &all[which];
            let known = block_on(store.get(&key(item))).unwrap().is_some();
            if is_there {
                put(&store, item);
            } else if known {
                block_on(store.commit(ChangeSet::new().delete(key(item), Expect::Any))).unwrap();
            }
            if looks {
                following = block_on(catch_up(&store, following)).unwrap();
            }
        }
        following = block_on(catch_up(&store, following)).unwrap();
        let at_once = block_on(load(&store)).unwrap();
        prop_assert_eq!(following.version(), at_once.version());
        let asked = request(|_| ());
        prop_assert_eq!(review(&asked, &following), review(&asked, &at_once));
    }
}

#[test]
fn p48_a_snapshot_too_old_for_the_stores_history_is_made_anew_and_keeps_what_no_store_tells() {
    let store = MemoryStore::with_history(2);
    put(&store, &world()[0]);
    let link = json!({"kind": "controller", "name": "krate-operator", "uid": "u-1"});
    let told =
        |snapshot: Snapshot| snapshot.with_controller("krate-operator", "u-1", Controller::Operator).with_native(true);
    // From nothing, and from a commit that the store no longer knows.
    for old in [told(Snapshot::new(0)), told(block_on(load(&store)).unwrap())] {
        world().iter().for_each(|item| put(&store, item));
        let after = Revision(old.version());
        let expired = block_on(store.changes(after, &Filter::all()));
        assert!(matches!(expired, Err(StoreError::WatchExpired { .. })), "the case is the one that is meant");
        let now = block_on(catch_up(&store, old)).unwrap();
        assert_eq!(Revision(now.version()), block_on(store.revision()).unwrap());
        let mut asked = request(|_| ());
        assert_eq!(review(&asked, &now).native, "asked");
        asked.subject = serde_json::from_value(link.clone()).unwrap();
        asked.actor_chain = vec![serde_json::from_value(link.clone()).unwrap()];
        assert!(review(&asked, &now).reasons.iter().all(|reason| reason.code.as_str() != "UnknownSubject"));
    }
}

#[test]
fn p11_a_resource_that_cannot_be_read_makes_no_snapshot() {
    let store = MemoryStore::new();
    world().iter().for_each(|item| put(&store, item));
    let before = block_on(load(&store)).unwrap();
    let bad = Key::new(Kind::PolicyBinding, NS, "strict");
    block_on(store.commit(ChangeSet::new().put(bad, Expect::Any, *b"{\"kind\": 1}", []))).unwrap();
    for made in [block_on(load(&store)), block_on(catch_up(&store, before))] {
        assert!(matches!(made, Err(FeedError::Unreadable { .. })), "a policy that nobody can read may deny something");
    }
}
