//! Synced pull requests, as the engine keeps them: the recorded payload with other ids, titles, texts and times, and what is made of it.

use chrono::{SecondsFormat, TimeDelta};
use futures::executor::block_on;
use krate_model::kinds::external::{ExternalBackendBinding, ExternalBackendProvider};
use krate_model::kinds::shared::Time;
use krate_model::store::Store;
use krate_model::{API_VERSION, Digest, Resource};
use krate_providers::contract::{Normalization, Provider};
use krate_providers::github::GitHub;
use krate_sync::driver::Config;
use krate_sync::object::ObjectState;
use krate_sync::observe::{Observation, Shows, observe};
use krate_sync::order::Origin;
use krate_sync::records::{Changes, Loaded};
use krate_sync::scope::Scope;
use serde_json::{Value as Json, json};

use crate::payload;

/// Where everything lies.
pub const NAMESPACE: &str = "krate-org-acme";
/// The provider.
pub const PROVIDER: &str = "gh";
/// The binding.
pub const BINDING: &str = "site";

/// What people say about their changes.
const WORDS: [&str; 16] = [
    "fixes", "the", "crash", "when", "a", "branch", "is", "renamed", "while", "its", "checks", "still", "run", "see",
    "also", "logs",
];
/// Pull requests after which the times begin anew.
const TIMES: usize = 50_000;

/// An object of its kind.
///
/// # Panics
/// When `spec` is none of that kind.
pub fn object<T: Resource>(kind: &str, name: &str, spec: &Json) -> T {
    let metadata = json!({"name": name, "namespace": NAMESPACE});
    serde_json::from_value(json!({"apiVersion": API_VERSION, "kind": kind, "metadata": metadata, "spec": spec}))
        .expect("an object of its kind")
}

/// Writes a provider and a binding of a repository into an empty store.
///
/// # Panics
/// When the store doesn't take them.
pub fn configure(store: &dyn Store, at: Time) {
    let provider: ExternalBackendProvider = object(
        "ExternalBackendProvider",
        PROVIDER,
        &json!({
            "organizationRef": "acme", "providerType": "github", "displayName": "GitHub",
            "apiBaseUrl": "https://api.github.com",
            "authRef": {"mode": "personal-access-token", "secretRef": {"name": "gh"}},
            "webhook": {
                "secretRefs": [{"name": "first", "secretRef": {"name": "gh", "key": "webhook"}}],
                "deliveryLog": false,
            },
            "capabilities": {"issueTracking": true, "gitForge": true},
        }),
    );
    let binding: ExternalBackendBinding = object(
        "ExternalBackendBinding",
        BINDING,
        &json!({
            "organizationRef": "acme", "providerRef": PROVIDER,
            "targetRef": {"kind": "Repository", "name": "site"},
            "externalRef": {"owner": "acme", "repository": "site"},
            "interfaces": [{"name": "gitForge", "mode": "bidirectional"}],
        }),
    );
    let mut changes = Changes::at(at);
    changes.put(&Loaded::new(provider)).expect("JSON");
    changes.put(&Loaded::new(binding)).expect("JSON");
    block_on(changes.commit(store)).expect("an empty store takes them");
}

/// The binding with its parts, as the store has them now.
///
/// # Panics
/// When they aren't there.
pub fn scope(store: &dyn Store, at: Time) -> Scope {
    let config = block_on(Config::load(store, at)).expect("the store can be read");
    config.scope(NAMESPACE, BINDING).expect("the binding").clone()
}

/// Payloads about pull requests of one repository.
pub struct Bodies(Json);

impl Bodies {
    /// Of the repository `acme/site` with this id.
    ///
    /// # Panics
    /// Never: the recorded payload is JSON.
    pub fn of(repository: u64) -> Self {
        let mut tree: Json = serde_json::from_slice(&payload::body()).expect("it is JSON");
        let named = |repository_of: &mut Json| {
            repository_of["id"] = json!(repository);
            repository_of["name"] = json!("site");
            repository_of["full_name"] = json!("acme/site");
            repository_of["owner"]["login"] = json!("acme");
        };
        named(&mut tree["repository"]);
        for side in ["head", "base"] {
            named(&mut tree["pull_request"][side]["repo"]);
        }
        Self(tree)
    }

    /// The recorded payload, about another pull request: with names, hashes, times and texts of its own, as a repository's pull requests have them. Each
    /// change of one has a later time and another title.
    ///
    /// # Panics
    /// Never: the recorded payload is one of a pull request.
    pub fn body(&mut self, number: usize, change: usize) -> Vec<u8> {
        let random = Digest::of(number.to_string().as_bytes());
        let random = random.as_bytes();
        let pick = |at: usize, of: usize| usize::from(random[at]) % of;
        let hash = |salt: &str| Digest::of(format!("{salt}{number}").as_bytes()).to_hex()[..40].to_owned();
        let words = |salt: usize, count: usize| -> String {
            let of = Digest::of(format!("{salt} {number}").as_bytes());
            (0..count).map(|at| WORDS[usize::from(of.as_bytes()[at % 32]) % WORDS.len()]).collect::<Vec<_>>().join(" ")
        };
        let tree = &mut self.0;
        tree["number"] = json!(number);
        let pull = &mut tree["pull_request"];
        pull["id"] = json!(279_147_437 + 7 * number + pick(0, 7));
        pull["node_id"] = json!(format!("PR_{}", &hash("node")[..18]));
        pull["number"] = json!(number);
        for name in ["url", "html_url"] {
            let text = pull[name].as_str().expect("an address");
            let base = &text[..=text.rfind('/').expect("a path")];
            pull[name] = json!(format!("{base}{number}"));
        }
        let change_text = if change == 0 { String::new() } else { format!(", change {change}") };
        pull["title"] = json!(format!("{} {number}{change_text}", words(1, 6 + pick(1, 5))));
        pull["body"] = json!(format!("{}.\r\n\r\nCloses #{}.", words(2, 12 + pick(2, 16)), number / 2));
        pull["head"]["sha"] = json!(hash("head"));
        pull["head"]["ref"] = json!(format!("{}-{number}", words(3, 2).replace(' ', "-")));
        pull["base"]["sha"] = json!(hash("base"));
        pull["user"] = json!({"id": 5_000 + pick(3, 40), "login": format!("person-{}", pick(3, 40)), "type": "User"});
        pull["additions"] = json!(pick(4, 200));
        pull["deletions"] = json!(pick(5, 200));
        let minutes = |count: usize| TimeDelta::minutes(i64::try_from(count).unwrap_or(0));
        let made = Time::UNIX_EPOCH + TimeDelta::minutes(29_000_000) + minutes(97 * (number % TIMES));
        let changed = made + TimeDelta::seconds(i64::from(random[6]) * 1_013) + minutes(change);
        let text = |time: Time| json!(time.to_rfc3339_opts(SecondsFormat::Secs, true));
        (pull["created_at"], pull["updated_at"]) = (text(made), text(changed));
        serde_json::to_vec(tree).expect("a tree has a text")
    }
}

/// Puts into the store what the engine makes of a payload about a new pull request.
///
/// # Panics
/// When it isn't taken.
pub fn sync(store: &dyn Store, scope: &Scope, body: &[u8], at: Time) {
    let Ok(Normalization::Events(events)) = GitHub.normalize("pull_request", body) else {
        panic!("the payload has no events")
    };
    let mut state = ObjectState::default();
    let seen = Observation { event: &events[0], origin: Origin::Pushed, shows: Shows::Webhook, received_at: at };
    observe(&mut state, seen, scope).expect("it is applied");
    let mut changes = Changes::at(at);
    state.write(&mut changes).expect("JSON");
    block_on(changes.commit(store)).expect("a new object");
}
