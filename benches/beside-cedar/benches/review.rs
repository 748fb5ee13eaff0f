//! The permission review at 10 to 10,000 grants, beside Cedar with equivalent policies: how long an answer takes and with an explanation, what a grant costs in
//! memory, and how long the index takes to build and to change.

use std::hint::black_box;
use std::time::Instant;

use cedar_policy::{Authorizer, Context, Entities, EntityUid, PolicySet, Request as CedarRequest};
use krate_policy::decision::Outcome;
use krate_policy::explain::explain;
use krate_policy::request::Request;
use krate_policy::review::review;
use krate_policy::snapshot::{Item, Metadata, Snapshot};
use serde_json::{Value, json};

const NS: &str = "krate-org-a";
const SIZES: [usize; 4] = [10, 100, 1_000, 10_000];
/// Questions that are timed one by one.
const QUESTIONS: usize = 20_000;

fn item(kind: &str, name: &str, spec: Value, status: Value) -> Item {
    let document = json!({
        "apiVersion": "krate.a5c.ai/v1alpha1", "kind": kind,
        "metadata": {"name": name, "namespace": NS, "uid": format!("u-{name}"), "resourceVersion": "1"},
        "spec": spec, "status": status,
    });
    Item::read(kind.parse().expect("a kind"), &document).expect("a kind that is kept").expect("a document of it")
}

fn grant(index: usize) -> Item {
    let stack = format!("stack-{index}");
    item(
        "AgentSecretGrant",
        &format!("grant-{index}"),
        json!({
            "organizationRef": "a", "subject": {"kind": "agent-stack", "name": stack}, "purpose": "model-provider-token",
            "secretRef": {"name": "model", "keys": ["api-key"]}, "allowedRepositories": ["krate"],
            "allowedRefs": {"include": ["refs/heads/**"], "exclude": ["refs/heads/release/**"]}, "allowedTriggerSources": ["manual"],
        }),
        json!({"phase": "Active", "subjectUid": format!("u-{stack}"), "targetUid": "u-secret", "repositoryUids": {"krate": "u-krate"}}),
    )
}

fn base() -> Snapshot {
    let items = [
        item(
            "Organization",
            "a",
            json!({"displayName": "A", "slug": "a", "namespaceName": NS}),
            json!({"phase": "Ready"}),
        ),
        item(
            "Repository",
            "krate",
            json!({"organizationRef": "a", "visibility": "private", "defaultBranch": "main"}),
            json!({}),
        ),
        item(
            "User",
            "ada",
            json!({"organizationRef": "a", "displayName": "Ada", "email": "ada@example.com"}),
            json!({}),
        ),
        item(
            "RepositoryPermission",
            "ada-krate",
            json!({"organizationRef": "a", "repository": "krate", "subject": {"kind": "user", "name": "ada"}, "permission": "maintain"}),
            json!({"phase": "Applied", "repositoryUid": "u-krate"}),
        ),
        item(
            "IdentityMapping",
            "ada-gh",
            json!({"organizationRef": "a", "user": "ada", "provider": {"kind": "ExternalBackendProvider", "name": "gh"}, "subject": "1"}),
            json!({"phase": "Verified"}),
        ),
    ];
    let keys = Some(["api-key".into()].into());
    Snapshot::new(0).with(1, items).with_secret(1, NS, "model", Metadata { uid: "u-secret".into(), keys })
}

fn request(index: usize) -> Request {
    let stack = format!("stack-{index}");
    serde_json::from_value(json!({
        "organization": "a", "now": "2026-06-01T00:00:00Z",
        "subject": {"kind": "user", "name": "ada", "uid": "u-ada"}, "actorChain": [{"kind": "user", "name": "ada", "uid": "u-ada"}],
        "causeChain": [{
            "event": "manual", "at": "2026-06-01T00:00:00Z", "verified": true,
            "gate": {"role": "author", "account": {"provider": "gh", "id": "1"}, "association": "MEMBER"},
        }],
        "action": {"verb": "dispatch", "kind": "AgentStack"}, "repository": {"name": "krate", "uid": "u-krate"},
        "ref": "refs/heads/feature/x", "triggerSource": "manual",
        "needs": [{
            "type": "secret", "user": {"kind": "agent-stack", "name": stack, "uid": format!("u-{stack}")},
            "name": "model", "key": "api-key", "purpose": "model-provider-token",
        }],
    }))
    .expect("a request")
}

/// The same grants as policies of Cedar, with the lists as a condition.
fn cedar(grants: usize) -> PolicySet {
    let mut text = String::new();
    for index in 0..grants {
        text += &format!(
            "permit(principal == Stack::\"stack-{index}\", action == Action::\"use\", resource == Secret::\"model/api-key\") when {{ \
             context.repository == \"krate\" && context.ref like \"refs/heads/*\" && !(context.ref like \"refs/heads/release/*\") && \
             context.source == \"manual\" && context.purpose == \"model-provider-token\" }};\n"
        );
    }
    text.parse().expect("policies")
}

fn cedar_request(index: usize) -> CedarRequest {
    let uid = |text: String| text.parse::<EntityUid>().expect("an entity");
    let context = json!({
        "repository": "krate", "ref": "refs/heads/feature/x", "source": "manual", "purpose": "model-provider-token",
    });
    CedarRequest::new(
        uid(format!("Stack::\"stack-{index}\"")),
        uid("Action::\"use\"".to_owned()),
        uid("Secret::\"model/api-key\"".to_owned()),
        Context::from_json_value(context, None).expect("a context"),
        None,
    )
    .expect("a request")
}

/// Median and 99th percentile of so many single answers, in nanoseconds.
fn timed(questions: usize, mut ask: impl FnMut(usize)) -> (u128, u128) {
    let mut took: Vec<u128> = (0..questions)
        .map(|index| {
            let began = Instant::now();
            ask(index);
            began.elapsed().as_nanos()
        })
        .collect();
    took.sort_unstable();
    let at = |hundredth: usize| took.get(took.len() * hundredth / 100).copied().unwrap_or_default();
    (at(50), at(99))
}

fn main() {
    let is_bench = std::env::args().any(|arg| arg == "--bench");
    let sizes = if is_bench { &SIZES[..] } else { &SIZES[..1] };
    let questions = if is_bench { QUESTIONS } else { 10 };
    println!(
        "{:>7} {:>22} {:>22} {:>22} {:>12} {:>12} {:>12}",
        "grants",
        "review p50/p99 ns",
        "explained p50/p99 ns",
        "Cedar p50/p99 ns",
        "bytes/grant",
        "build us",
        "change us"
    );
    for &size in sizes {
        let empty = base();
        let mut snapshot = None;
        let grants: Vec<Item> = (0..size).map(grant).collect();
        let began = Instant::now();
        let memory = allocation_counter::measure(|| snapshot = Some(empty.with(2, grants)));
        let build = began.elapsed().as_micros();
        let snapshot = snapshot.expect("it was made");
        // As many at every size, so that the larger ones don't just have more of them out of the caches.
        let requests: Vec<Request> = (0..1000).map(|index| request(index % size)).collect();
        assert_eq!(review(&requests[0], &snapshot).outcome, Outcome::Allowed, "there is something to compare");
        let pick = |index: usize| &requests[(index * 7919) % requests.len()];
        let plain = timed(questions, |index| {
            black_box(review(pick(index), &snapshot));
        });
        let explained = timed(questions, |index| {
            let decision = review(pick(index), &snapshot);
            black_box(explain(pick(index), &decision));
        });
        let policies = cedar(size);
        let (authorizer, entities) = (Authorizer::new(), Entities::empty());
        let asked: Vec<CedarRequest> = (0..size.min(1000)).map(cedar_request).collect();
        let answer = authorizer.is_authorized(&asked[0], &policies, &entities);
        assert_eq!(answer.decision(), cedar_policy::Decision::Allow);
        let cedar = timed((questions / (size / 10)).max(10), |index| {
            black_box(authorizer.is_authorized(&asked[(index * 7919) % asked.len()], &policies, &entities));
        });
        let change = timed(questions.min(1000), |index| {
            black_box(snapshot.with(3, [grant(index % size)]));
        });
        let bytes = u64::try_from(memory.bytes_current.max(0)).unwrap_or(0) / u64::try_from(size).unwrap_or(1);
        println!(
            "{size:>7} {:>22} {:>22} {:>22} {bytes:>12} {build:>12} {:>12}",
            format!("{}/{}", plain.0, plain.1),
            format!("{}/{}", explained.0, explained.1),
            format!("{}/{}", cedar.0, cedar.1),
            change.0 / 1000
        );
    }
}
