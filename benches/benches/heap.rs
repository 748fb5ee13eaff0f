//! Heap of synced pull requests in the in-memory store: projection, link with base, and indexes; beside the compact JSON of the pull request alone.
//!
//! Counted in bytes asked of the allocator. The engine itself writes the records, from the recorded payload with other ids, titles and numbers.

use std::collections::BTreeMap;

use futures::executor::block_on;
use krate_benches::payload;
use krate_model::kinds::external::{ExternalBackendBinding, ExternalBackendProvider};
use krate_model::kinds::shared::Time;
use krate_model::store::{MemoryStore, Query, Store};
use krate_model::{API_VERSION, Kind, Resource};
use krate_providers::contract::{Normalization, Provider};
use krate_providers::github::GitHub;
use krate_sync::driver::Config;
use krate_sync::object::ObjectState;
use krate_sync::observe::{Observation, Shows, observe};
use krate_sync::order::Origin;
use krate_sync::records::{Changes, Loaded};
use krate_sync::scope::Scope;
use serde_json::{Value as Json, json};

/// Objects that are there before the counting begins, so that what is made once isn't counted.
const BEFORE: usize = 100;
/// Objects that are counted.
const COUNTED: usize = 2_000;

fn object<T: Resource>(kind: &str, name: &str, spec: &Json) -> T {
    let metadata = json!({"name": name, "namespace": "krate-org-acme"});
    serde_json::from_value(json!({"apiVersion": API_VERSION, "kind": kind, "metadata": metadata, "spec": spec}))
        .expect("an object of its kind")
}

fn scope(store: &MemoryStore) -> Scope {
    let provider: ExternalBackendProvider = object(
        "ExternalBackendProvider",
        "gh",
        &json!({
            "organizationRef": "acme", "providerType": "github", "displayName": "GitHub",
            "apiBaseUrl": "https://api.github.com",
            "authRef": {"mode": "personal-access-token", "secretRef": {"name": "gh"}},
            "webhook": {"secretRefs": [{"name": "first", "secretRef": {"name": "gh", "key": "webhook"}}]},
            "capabilities": {"issueTracking": true, "gitForge": true},
        }),
    );
    let binding: ExternalBackendBinding = object(
        "ExternalBackendBinding",
        "site",
        &json!({
            "organizationRef": "acme", "providerRef": "gh",
            "targetRef": {"kind": "Repository", "name": "site"},
            "externalRef": {"owner": "acme", "repository": "site"},
            "interfaces": [{"name": "gitForge", "mode": "bidirectional"}],
        }),
    );
    block_on(async {
        let mut changes = Changes::at(Time::UNIX_EPOCH);
        changes.put(&Loaded::new(provider)).expect("JSON");
        changes.put(&Loaded::new(binding)).expect("JSON");
        changes.commit(store).await.expect("an empty store takes them");
        Config::load(store, Time::UNIX_EPOCH)
            .await
            .expect("it was just written")
            .scope("site")
            .expect("the binding")
            .clone()
    })
}

/// The recorded payload, about another pull request.
fn body(number: usize) -> Vec<u8> {
    let mut tree: Json = serde_json::from_slice(&payload::body()).expect("it is JSON");
    let pull = &mut tree["pull_request"];
    pull["id"] = json!(279_147_437 + number);
    pull["number"] = json!(number);
    pull["title"] = json!(format!("Update the README with new information, take {number}"));
    pull["body"] =
        json!(format!("{} Then there is more to say about number {number}.", pull["body"].as_str().unwrap_or("")));
    serde_json::to_vec(&tree).expect("a tree has a text")
}

fn sync(store: &MemoryStore, scope: &Scope, body: &[u8]) {
    let Ok(Normalization::Events(events)) = GitHub.normalize("pull_request", body) else {
        panic!("the payload has no events")
    };
    let mut state = ObjectState::default();
    let seen =
        Observation { event: &events[0], origin: Origin::Pushed, shows: Shows::Webhook, received_at: Time::UNIX_EPOCH };
    observe(&mut state, seen, scope).expect("it is applied");
    let mut changes = Changes::at(Time::UNIX_EPOCH);
    state.write(&mut changes).expect("JSON");
    block_on(changes.commit(store)).expect("a new object");
}

#[allow(clippy::cast_precision_loss)] // Thousands of objects of a few KB.
fn per_object(bytes: usize) -> f64 {
    bytes as f64 / COUNTED as f64
}

fn main() {
    // What the watch remembers is bounded for the whole store, and not part of an object.
    let store = MemoryStore::with_history(0);
    let scope = scope(&store);
    let bodies: Vec<Vec<u8>> = (0..BEFORE + COUNTED).map(body).collect();
    for body in &bodies[..BEFORE] {
        sync(&store, &scope, body);
    }
    let before = store.usage();
    let counted = allocation_counter::measure(|| {
        for body in &bodies[BEFORE..] {
            sync(&store, &scope, body);
        }
    });
    let after = store.usage();
    assert_eq!(after.objects - before.objects, 2 * COUNTED, "a pull request and its link each");
    let whole = per_object(usize::try_from(counted.bytes_current).expect("the store grew"));
    let held = per_object(after.body_bytes - before.body_bytes);

    let mut by_kind: BTreeMap<Kind, (usize, usize)> = BTreeMap::new();
    for kind in [Kind::PullRequest, Kind::ExternalObjectLink] {
        let page = block_on(store.list(&Query::new(kind).in_namespace("krate-org-acme"))).expect("the store works");
        for stored in &page.items {
            let sum = by_kind.entry(kind).or_default();
            *sum = (sum.0 + stored.body.len(), sum.1 + 1);
        }
    }
    println!("heap of a synced pull request ({COUNTED} of them; goal: at most 2.5 KB for one of 1.6 KB)");
    for (kind, (bytes, count)) in by_kind {
        println!("  {:<44} {:>8} B", format!("compact JSON of {kind}"), bytes / count);
    }
    println!("  {:<44} {held:>8.0} B", "bodies as the store holds them");
    println!("  {:<44} {:>8.1}", "index entries", per_object(after.index_entries - before.index_entries));
    println!("  {:<44} {:>8.0} B", "keys, indexes, tree nodes", whole - held);
    println!("  {:<44} {whole:>8.0} B", "all of it");
}
