//! Taking a webhook in: verify, bounds, dedupe, parse, normalize, merge decision; against HMAC-SHA256 over the same body in the same run.
//!
//! The payload's digest is left out: it may be made after the answer. So is the commit, which `durable` measures.

use futures::executor::block_on;
use krate_benches::{Candidate, compare, payload};
use krate_model::kinds::sets::Mode;
use krate_model::kinds::shared;
use krate_model::store::{ChangeSet, Expect, Key, MemoryStore, Store};
use krate_model::{Kind, derived_name};
use krate_providers::contract::{BodyLimits, Normalization, Provider, WebhookSecret};
use krate_providers::github::GitHub;
use krate_sync::merge::{Base, Equality, Field, FieldRule, FieldValue, MergeableField, merge_object, mergeable_fields};
use krate_sync::observed::observed;
use serde_json::Value as Json;

/// Deliveries that the store knows already.
const KNOWN: usize = 10_000;
/// Longest base that a link holds as text.
const MAX_BASE_BYTES: usize = 1024;

/// What a receiver knows before the delivery comes.
struct Receiver {
    headers: http::HeaderMap,
    secrets: Vec<WebhookSecret>,
    now: shared::Time,
    store: MemoryStore,
    rules: Vec<FieldRule<'static>>,
    /// The base of each field, as a link keeps it; the title's is another one, so that there is something to decide.
    bases: Vec<(String, shared::Value)>,
}

fn rule(field: &'static MergeableField) -> FieldRule<'static> {
    let mut rule = FieldRule::of(field, Mode::Bidirectional);
    if field.path == "spec.labels" {
        rule.equality = Equality::AsciiCaseInsensitive;
    }
    rule
}

fn name_of(delivery: &str) -> String {
    derived_name("gh-pull_request", &["gh", delivery]).expect("text has a canonical form")
}

fn key_of(delivery: &str) -> Key {
    Key::new(Kind::ExternalWebhookDelivery, "krate-org-acme", name_of(delivery))
}

impl Receiver {
    fn new(body: &[u8]) -> Self {
        let store = MemoryStore::new();
        for number in 0..KNOWN {
            let changes = ChangeSet::new().put(key_of(&format!("known-{number}")), Expect::Absent, *b"{}", []);
            block_on(store.commit(changes)).expect("a new name");
        }
        let rules: Vec<_> = mergeable_fields(Kind::PullRequest).iter().map(rule).collect();
        let Ok(Normalization::Events(events)) = GitHub.normalize("pull_request", body) else {
            panic!("the payload has no events")
        };
        let bases = observed(&events[0].normalized, events[0].complete)
            .iter()
            .map(|(path, value)| {
                let rule = rules.iter().find(|rule| rule.path == *path).expect("every field has a rule");
                let earlier = FieldValue::text("An earlier title");
                let value = if *path == "spec.title" { &earlier } else { value };
                ((*path).to_owned(), value.to_base(rule, MAX_BASE_BYTES).expect("text has a canonical form"))
            })
            .collect();
        Self {
            headers: payload::headers("72d3162e-cc78-11e3-81ab-4c9367dc0958", body),
            secrets: vec![payload::secret()],
            now: shared::Time::UNIX_EPOCH,
            store,
            rules,
            bases,
        }
    }

    /// The merge decision, with the local object as the base has it: how many fields are to be taken.
    fn decide(&self, seen: &[(&'static str, FieldValue<'_>)]) -> usize {
        let mut fields = Vec::with_capacity(seen.len());
        for (path, theirs) in seen {
            let rule = self.rules.iter().find(|rule| rule.path == *path);
            let base = self.bases.iter().find(|(known, _)| known == path);
            if let (Some(rule), Some((_, base))) = (rule, base) {
                let desired =
                    if *path == "spec.title" { FieldValue::text("An earlier title") } else { theirs.borrowed() };
                fields.push(Field { rule, base: Base::from(base), desired, observed: theirs.borrowed() });
            }
        }
        merge_object(&fields).takes().count()
    }

    fn accept(&self, body: &[u8]) -> usize {
        GitHub.verify(&self.headers, body, &self.secrets, self.now).expect("it is signed");
        let head = GitHub.head(&self.headers, body).expect("it has a head");
        BodyLimits::DEFAULT.check(body).expect("it is within the limits");
        let known = block_on(self.store.get(&key_of(&head.delivery_id))).expect("the store works");
        assert!(known.is_none(), "a delivery that nobody has seen");
        match GitHub.normalize(&head.event_type, body) {
            Ok(Normalization::Events(events)) => {
                events.iter().map(|event| self.decide(&observed(&event.normalized, event.complete))).sum()
            }
            _ => 0,
        }
    }

    /// The same with a tree of values in place of the adapter.
    fn plainly(&self, body: &[u8]) -> usize {
        GitHub.verify(&self.headers, body, &self.secrets, self.now).expect("it is signed");
        let head = GitHub.head(&self.headers, body).expect("it has a head");
        let known = block_on(self.store.get(&key_of(&head.delivery_id))).expect("the store works");
        assert!(known.is_none(), "a delivery that nobody has seen");
        let tree: Json = serde_json::from_slice(body).expect("it is JSON");
        self.decide(&picks(&tree))
    }
}

fn picks(tree: &Json) -> Vec<(&'static str, FieldValue<'_>)> {
    let pull = &tree["pull_request"];
    let names = |list: &Json, member: &str, prefix: &str| {
        let names = list.as_array().into_iter().flatten().filter_map(|item| item[member].as_str());
        FieldValue::List(names.map(|name| format!("{prefix}{name}").into()).collect())
    };
    vec![
        ("spec.title", FieldValue::from_json(Some(&pull["title"]))),
        ("spec.body.markdown", FieldValue::from_json(Some(&pull["body"]))),
        ("spec.state", FieldValue::from_json(Some(&pull["state"]))),
        ("spec.draft", FieldValue::from_json(Some(&pull["draft"]))),
        ("spec.base", FieldValue::from_json(Some(&pull["base"]["ref"]))),
        ("spec.labels", names(&pull["labels"], "name", "")),
        ("spec.assignees", names(&pull["assignees"], "login", "gh/")),
        ("spec.requestedReviewers", names(&pull["requested_reviewers"], "login", "gh/")),
        ("spec.milestone", FieldValue::from_json(Some(&pull["milestone"]["title"]))),
    ]
}

fn main() {
    let body = payload::body();
    let receiver = Receiver::new(&body);
    assert_eq!(receiver.accept(&body), 1, "the new title is taken, and nothing else");
    println!("pull_request payload of {} bytes", body.len());
    let Ok(Normalization::Events(events)) = GitHub.normalize("pull_request", &body) else {
        panic!("the payload has no events")
    };
    let seen = observed(&events[0].normalized, events[0].complete);
    compare(
        "accept (floor: HMAC-SHA256 over the body; goal: whole path at most 2x)",
        vec![
            Candidate::new("floor: HMAC-SHA256", || payload::hmac(&body)),
            Candidate::new("whole path", || receiver.accept(&body)),
            Candidate::new("  verify", || GitHub.verify(&receiver.headers, &body, &receiver.secrets, receiver.now)),
            Candidate::new("  bounds", || BodyLimits::DEFAULT.check(&body)),
            Candidate::new("  head and dedupe", || {
                let head = GitHub.head(&receiver.headers, &body).expect("it has a head");
                block_on(receiver.store.get(&key_of(&head.delivery_id)))
            }),
            Candidate::new("  parse and normalize", || GitHub.normalize("pull_request", &body)),
            Candidate::new("  fields of the event", || observed(&events[0].normalized, events[0].complete)),
            Candidate::new("  merge decision", || receiver.decide(&seen)),
            Candidate::new("plain alternative: serde_json::Value", || receiver.plainly(&body)),
        ],
    );
}
