//! The replay: every recorded payload of GitHub, signed and posted with `krate webhook replay` to a real `krate serve`.
//!
//! None is lost, also when the process is killed in the middle, and the same deliveries again change nothing (S10, S11, S12).

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::PathBuf;

use serde_json::{Value, json};

use crate::harness::{Home, Ran, Server, object, provider};
use crate::payloads::{Origin, Payload, payloads};
use crate::told_forge::ToldForge;

/// Everything that deliveries can make or change.
const KINDS: [&str; 10] = [
    "Issue",
    "PullRequest",
    "Comment",
    "Review",
    "Pipeline",
    "Job",
    "Repository",
    "ExternalObjectLink",
    "ExternalWriteIntent",
    "ExternalSyncConflict",
];

/// A server's folder with a binding for each repository of the payloads, and the payloads as files.
struct Replay {
    home: Home,
    files: PathBuf,
    count: usize,
}

impl Replay {
    async fn of(payloads: &[Payload]) -> Self {
        let forge = ToldForge::of(payloads);
        let repositories = forge.repositories();
        let mut home = Home::new();
        let organization = home.config["objects"][0].clone();
        let mut objects = vec![organization, provider(&forge.serve().await)];
        for full_name in &repositories {
            let (owner, repository) = full_name.split_once('/').expect("owner and name");
            let name = format!("{owner}-{repository}").to_ascii_lowercase();
            let backend = json!({"mode": "external", "bindingRef": name});
            let spec = json!({"organizationRef": "acme", "visibility": "public", "backend": backend});
            objects.push(object("Repository", &name, spec));
            let interface = |name: &str| json!({"name": name, "mode": "read-only"});
            let spec = json!({
                "organizationRef": "acme", "providerRef": "gh", "targetRef": {"kind": "Repository", "name": name},
                "externalRef": {"owner": owner, "repository": repository},
                "interfaces": [interface("issueTracking"), interface("gitForge"), interface("cicd")],
            });
            objects.push(object("ExternalBackendBinding", &name, spec));
        }
        home.config["objects"] = objects.into();
        let files = home.path("payloads");
        for payload in payloads {
            let folder = files.join(&payload.event_type);
            fs::create_dir_all(&folder).expect("a folder");
            fs::write(folder.join(payload.name.replace('/', "-")), &payload.body).expect("written");
        }
        Self { home, files, count: payloads.len() }
    }

    /// A server that has read the lists.
    async fn start(&self) -> Server {
        let server = self.home.start().await;
        let is_read = |state: &Value| !state["status"]["lastCompleteAt"].is_null();
        server.list_until("ExternalSyncState", |states| !states.is_empty() && states.iter().all(is_read)).await;
        server
    }

    fn command(&self, server: &Server) -> tokio::process::Command {
        let to = format!("{}/webhooks/gh", server.origin);
        let secret = ["--secret-env", "TEST_WEBHOOK_SECRET", "-o", "json"];
        let mut command = self.home.krate(["webhook", "replay", "--to", &to]);
        command.args(secret).arg(&self.files);
        command
    }

    async fn post(&self, server: &Server) -> Ran {
        Ran::of(self.command(server)).await
    }

    /// Waits until every delivery is at its end and nothing has to be read again.
    async fn settle(&self, server: &Server) -> Vec<Value> {
        let deliveries = server.settled_deliveries(self.count).await;
        let is_settled = |link: &Value| link["status"]["needsHydration"] != json!(true);
        server.list_until("ExternalObjectLink", |links| links.iter().all(is_settled)).await;
        deliveries
    }
}

/// The names of the deliveries that were acknowledged.
fn acknowledged(replayed: &Value) -> BTreeSet<String> {
    let all = replayed["deliveries"].as_array().expect("deliveries");
    all.iter().filter_map(|answered| answered["delivery"].as_str()).map(str::to_owned).collect()
}

fn names(objects: &[Value]) -> BTreeSet<String> {
    objects.iter().map(|object| object["metadata"]["name"].as_str().expect("a name").to_owned()).collect()
}

/// All objects, with every time and version that a second run has otherwise left out.
async fn state(server: &Server) -> Vec<Value> {
    let mut all = Vec::new();
    for kind in KINDS {
        let mut objects = server.list(kind).await;
        objects.iter_mut().for_each(without_times);
        all.append(&mut objects);
    }
    all.sort_by_key(|object| format!("{} {}", object["kind"], object["metadata"]["name"]));
    all
}

/// The members that tell when krate did something, or how often it wrote: not what the provider said.
const OF_THE_RUN: [&str; 12] = [
    "uid",
    "resourceVersion",
    "generation",
    "observedGeneration",
    "lastAgreedGeneration",
    "lastSyncedGeneration",
    "creationTimestamp",
    "lastTransitionTime",
    "lastSeenAt",
    "lastSyncedAt",
    "at",
    "fetchedAt",
];

fn without_times(value: &mut Value) {
    match value {
        Value::Object(members) => {
            members.retain(|name, _| !OF_THE_RUN.contains(&name.as_str()));
            members.values_mut().for_each(without_times);
        }
        Value::Array(items) => items.iter_mut().for_each(without_times),
        _ => {}
    }
}

/// Deliveries that wait together have no order, and those that come after a deletion change nothing (S18): of what was made and deleted meanwhile there
/// may be nothing here but the tombstone, which then tells of no counterpart. All else is the same.
fn assert_same(clean: &[Value], crashed: &[Value]) {
    let by_id = |all: &[Value]| -> BTreeMap<String, Value> {
        all.iter()
            .map(|object| (format!("{} {}", object["kind"], object["metadata"]["name"]), object.clone()))
            .collect()
    };
    let (clean, crashed) = (by_id(clean), by_id(crashed));
    let ids: BTreeSet<&String> = clean.keys().chain(crashed.keys()).collect();
    for id in ids {
        match (clean.get(id), crashed.get(id)) {
            (Some(one), Some(other)) => assert_eq!(without_last_words(one, other), without_last_words(other, one)),
            (Some(only), None) | (None, Some(only)) => {
                assert_eq!(only["status"]["phase"], "Deleted", "only once: {only:#}");
            }
            (None, None) => {}
        }
    }
}

/// A tombstone without what was last seen of the object, and without the copy here where `other` tells of none.
fn without_last_words(object: &Value, other: &Value) -> Value {
    let mut object = object.clone();
    if object["status"]["phase"] == "Tombstoned"
        && let Some(status) = object["status"].as_object_mut()
    {
        status.retain(|name, _| name != "base" && name != "observedDigest");
        status.retain(|name, _| name != "external" || !other["status"][name].is_null());
    }
    object
}

fn all_succeeded(deliveries: &[Value]) {
    let failed: Vec<_> = deliveries.iter().filter(|delivery| delivery["status"]["phase"] != "Succeeded").collect();
    assert!(failed.is_empty(), "{failed:#?}");
}

/// Everything as it stands, with versions and times.
///
/// How providers, bindings and backfills are doing is told in a rhythm of its own (S42), so the audit of that is no part of it.
async fn bytes(server: &Server) -> Vec<Value> {
    let standing = ["ExternalBackendProvider", "ExternalBackendBinding", "ExternalSyncState"];
    let mut all = Vec::new();
    for kind in KINDS.into_iter().chain(["ExternalWebhookDelivery", "ExternalSyncEvent", "AuditEvent"]) {
        all.append(&mut server.list(kind).await);
    }
    all.retain(|object| !standing.iter().any(|kind| object["spec"]["object"]["kind"] == *kind));
    all
}

#[tokio::test]
async fn s10_s11_every_payload_is_taken_once_also_over_kills() {
    let (origin, payloads) = payloads();
    assert!(payloads.len() >= if origin == Origin::Collection { 200 } else { 5 });

    let clean = Replay::of(&payloads).await;
    let server = clean.start().await;
    let replayed = clean.post(&server).await.ends(0).json();
    assert_eq!((&replayed["total"], &replayed["accepted"]), (&clean.count.into(), &clean.count.into()));
    assert_eq!(replayed["byStatus"], json!({"202": clean.count}));
    let deliveries = clean.settle(&server).await;
    all_succeeded(&deliveries);
    assert_eq!(names(&deliveries), acknowledged(&replayed));
    let expected = state(&server).await;

    // The same deliveries again: each is answered, none does anything.
    let before = bytes(&server).await;
    let again = clean.post(&server).await.ends(0).json();
    assert_eq!(again["byStatus"], json!({"200": clean.count}));
    clean.settle(&server).await;
    assert_eq!(bytes(&server).await, before, "a second replay changed something");
    server.stop().await;

    let killed = Replay::of(&payloads).await;
    let mut taken = BTreeSet::new();
    for part in 1..=3 {
        let server = killed.start().await;
        let mut replay = killed.command(&server);
        let replaying = tokio::spawn(async move { replay.output().await.expect("it ran") });
        let enough = taken.len() + (killed.count - taken.len()) * part / 4;
        server.list_until("ExternalWebhookDelivery", |all| all.len() >= enough).await;
        server.kill().await;
        let output = replaying.await.expect("it ended");
        let replayed: Value = serde_json::from_slice(&output.stdout).expect("JSON");
        taken.append(&mut acknowledged(&replayed));
        // The published part is so small that all of it may be posted before the kill.
        let in_the_middle = taken.len() < killed.count || part > 1 || origin == Origin::Published;
        assert!(in_the_middle, "it was killed too late to show anything");
    }
    let server = killed.start().await;
    let kept = names(&server.list("ExternalWebhookDelivery").await);
    let lost: Vec<_> = taken.difference(&kept).collect();
    assert!(lost.is_empty(), "acknowledged and lost: {lost:?}");
    killed.post(&server).await.ends(0);
    all_succeeded(&killed.settle(&server).await);
    assert_same(&expected, &state(&server).await);
    server.stop().await;
}
