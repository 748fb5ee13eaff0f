//! Heap of synced pull requests in the in-memory store: projection, link with base, and indexes; beside the compact JSON of the pull request alone.
//!
//! Counted in bytes asked of the allocator. The engine itself writes the records, from the recorded payload with other ids, titles and numbers.

use std::collections::BTreeMap;

use futures::executor::block_on;
use krate_benches::{Candidate, compare, payload};
use krate_model::kinds::external::{ExternalBackendBinding, ExternalBackendProvider};
use krate_model::kinds::shared::Time;
use krate_model::store::{Key, MemoryStore, Query, Store};
use krate_model::{API_VERSION, Digest, Kind, Resource};
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

/// What people say about their changes.
const WORDS: [&str; 16] = [
    "fixes", "the", "crash", "when", "a", "branch", "is", "renamed", "while", "its", "checks", "still", "run", "see",
    "also", "logs",
];

/// The recorded payload, about another pull request: with names, hashes, times and texts of its own, as a repository's pull requests have them.
fn body(number: usize) -> Vec<u8> {
    let random = Digest::of(number.to_string().as_bytes());
    let random = random.as_bytes();
    let pick = |at: usize, of: usize| usize::from(random[at]) % of;
    let hash = |salt: &str| Digest::of(format!("{salt}{number}").as_bytes()).to_hex()[..40].to_owned();
    let words = |salt: usize, count: usize| -> String {
        let of = Digest::of(format!("{salt} {number}").as_bytes());
        (0..count).map(|at| WORDS[usize::from(of.as_bytes()[at % 32]) % WORDS.len()]).collect::<Vec<_>>().join(" ")
    };
    let mut tree: Json = serde_json::from_slice(&payload::body()).expect("it is JSON");
    let pull = &mut tree["pull_request"];
    pull["id"] = json!(279_147_437 + 7 * number + pick(0, 7));
    pull["node_id"] = json!(format!("PR_{}", &hash("node")[..18]));
    pull["number"] = json!(number);
    for name in ["url", "html_url"] {
        let text = pull[name].as_str().expect("an address");
        let base = &text[..=text.rfind('/').expect("a path")];
        pull[name] = json!(format!("{base}{number}"));
    }
    pull["title"] = json!(format!("{} {number}", words(1, 6 + pick(1, 5))));
    pull["body"] = json!(format!("{}.\r\n\r\nCloses #{}.", words(2, 12 + pick(2, 16)), number / 2));
    pull["head"]["sha"] = json!(hash("head"));
    pull["head"]["ref"] = json!(format!("{}-{number}", words(3, 2).replace(' ', "-")));
    pull["base"]["sha"] = json!(hash("base"));
    pull["user"] = json!({"id": 5_000 + pick(3, 40), "login": format!("person-{}", pick(3, 40)), "type": "User"});
    pull["additions"] = json!(pick(4, 200));
    pull["deletions"] = json!(pick(5, 200));
    let made = Time::UNIX_EPOCH + chrono::TimeDelta::minutes(29_000_000 + 97 * i64::try_from(number).expect("few"));
    let changed = made + chrono::TimeDelta::seconds(i64::from(random[6]) * 1_013);
    let text = |time: Time| json!(time.to_rfc3339_opts(chrono::SecondsFormat::Secs, true));
    (pull["created_at"], pull["updated_at"]) = (text(made), text(changed));
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
    println!("heap of a synced pull request ({COUNTED} of them; goal: at most 2.5 KB for one of 1.6 KB)");
    let bodies: Vec<Vec<u8>> = (0..BEFORE + COUNTED).map(body).collect();
    // What the watch remembers is bounded for the whole store, and not part of an object.
    let plain = MemoryStore::with_history(0);
    measure("as it is", &plain, &bodies);
    let mut by_kind: BTreeMap<Kind, (usize, usize)> = BTreeMap::new();
    for kind in [Kind::PullRequest, Kind::ExternalObjectLink] {
        let page = block_on(plain.list(&Query::new(kind).in_namespace("krate-org-acme"))).expect("the store works");
        for stored in &page.items {
            let sum = by_kind.entry(kind).or_default();
            *sum = (sum.0 + stored.body.len(), sum.1 + 1);
        }
    }
    for (kind, (bytes, count)) in by_kind {
        println!("  {:<44} {:>8} B", format!("of it the compact JSON of {kind}"), bytes / count);
    }
    let packed = MemoryStore::with_history(0).packed();
    measure("packed", &packed, &bodies);
    let keys: Vec<Key> = [Kind::PullRequest, Kind::ExternalObjectLink]
        .into_iter()
        .flat_map(|kind| block_on(plain.list(&Query::new(kind))).expect("the store works").items)
        .map(|stored| stored.key)
        .collect();
    let read = |store: &MemoryStore| {
        keys.iter().map(|key| block_on(store.get(key)).expect("it works").expect("there").body.len()).sum::<usize>()
    };
    assert_eq!(read(&plain), read(&packed));
    compare(
        &format!("reading {} objects", keys.len()),
        vec![Candidate::new("as it is", || read(&plain)), Candidate::new("packed", || read(&packed))],
    );
}

/// What a pull request costs in `store`.
fn measure(how: &str, store: &MemoryStore, bodies: &[Vec<u8>]) {
    let scope = scope(store);
    for body in &bodies[..BEFORE] {
        sync(store, &scope, body);
    }
    let before = store.usage();
    let counted = allocation_counter::measure(|| {
        for body in &bodies[BEFORE..] {
            sync(store, &scope, body);
        }
    });
    let after = store.usage();
    assert_eq!(after.objects - before.objects, 2 * COUNTED, "a pull request and its link each");
    let whole = per_object(usize::try_from(counted.bytes_current).expect("the store grew"));
    let held = per_object(after.body_bytes - before.body_bytes);
    println!("{how}");
    println!("  {:<44} {held:>8.0} B", "bodies as the store holds them");
    println!("  {:<44} {:>8.1}", "index entries", per_object(after.index_entries - before.index_entries));
    println!("  {:<44} {:>8.0} B", "keys, indexes, tree nodes", whole - held);
    println!("  {:<44} {whole:>8.0} B", "all of it");
}
