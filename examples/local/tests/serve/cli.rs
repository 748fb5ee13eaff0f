//! The commands that ask a server, against a real one with a real conflict and a real approval: answers, exit codes, and what to do.

use http::{HeaderMap, Method, StatusCode};
use krate_providers::simulator::{IssueEdit, NewIssue};
use serde_json::{Value, json};

use crate::harness::{Home, NAMESPACE, Ran, Server};
use crate::simulated::{REPOSITORY, Simulated, name, now};

/// A server with what the commands need to reach it.
struct Told {
    home: Home,
    server: Server,
    forge: Simulated,
}

impl Told {
    async fn new(titles: &[&str]) -> Self {
        let (forge, home) = Simulated::with_issues(titles).await;
        let server = home.start().await;
        server.list_until("Issue", |issues| issues.len() == titles.len()).await;
        Self { home, server, forge }
    }

    async fn krate(&self, args: &[&str]) -> Ran {
        let mut command = self.home.krate(args);
        command.env("KRATE_SERVER", &self.server.origin);
        let ran = Ran::of(command).await;
        assert!(!ran.out.contains('\u{1b}') && !ran.err.contains('\u{1b}'), "escape codes in {ran:?}");
        ran
    }

    async fn json(&self, args: &[&str], code: i32) -> Value {
        let args: Vec<&str> = args.iter().copied().chain(["-o", "json"]).collect();
        self.krate(&args).await.ends(code).json()
    }

    /// The issue of that title.
    async fn issue(&self, title: &str) -> String {
        let issues = self.server.list("Issue").await;
        name(issues.iter().find(|issue| issue["spec"]["title"] == title).expect("an issue of that title"))
    }

    /// Both sides change the title; the issue and the conflict about it.
    async fn conflict(&self, here: &str, there: &str) -> (String, String) {
        let issue = self.issue("Flaky test").await;
        let edit = IssueEdit { title: Some(there.into()), ..IssueEdit::default() };
        self.forge.lock().by("bob", now()).edit_issue(REPOSITORY, 1, edit).expect("edited");
        let set = format!("title={here}");
        self.krate(&["edit", "issue", &issue, "--set", &set, "--as", "alice"]).await.ends(0);
        self.forge.deliver(&self.server).await;
        let is_open = |all: &[Value]| all.iter().any(|conflict| conflict["status"]["phase"] == "Open");
        let conflicts = self.server.list_until("ExternalSyncConflict", is_open).await;
        (issue, name(&conflicts[0]))
    }
}

fn says(ran: &Ran, parts: &[&str]) {
    for part in parts {
        assert!(ran.err.contains(part) || ran.out.contains(part), "{part:?} isn't in {ran:?}");
    }
}

#[tokio::test]
async fn s27_a_conflict_is_seen_explained_and_resolved_by_command() {
    let told = Told::new(&["Flaky test", "Slow search"]).await;
    let list = told.krate(&["get", "issues"]).await.ends(0);
    says(&list, &["NAME", "Flaky test", "Slow search"]);
    says(&told.krate(&["get", "issues", "--limit", "1"]).await.ends(0), &["these are the first 1 of more; --limit N"]);
    assert_eq!(told.json(&["get", "issues"], 0).await.as_array().map(Vec::len), Some(2));
    let calm = told.issue("Slow search").await;
    says(&told.krate(&["diff", "issue", &calm]).await.ends(0), &["no field differs"]);

    let (issue, conflict) = told.conflict("Flaky in CI", "Flaky on arm64").await;
    let one = told.json(&["get", "issue", &issue], 0).await;
    assert_eq!((&one["spec"]["title"], &one["kind"]), (&json!("Flaky in CI"), &json!("Issue")));
    let diff = told.json(&["diff", "issue", &issue], 1).await;
    let fields = diff["fields"].as_array().expect("fields");
    let title = fields.iter().find(|field| field["path"] == "spec.title").expect("the title");
    assert_eq!((&title["state"], &title["conflict"]), (&json!("conflict"), &json!(conflict)));
    assert_eq!((&title["desired"], &title["observed"]), (&json!("Flaky in CI"), &json!("Flaky on arm64")));
    says(&told.krate(&["diff", "issue", &issue]).await.ends(1), &["spec.title", "conflict", "Flaky on arm64"]);
    says(
        &told.krate(&["why", "issue", &issue]).await.ends(0),
        &[&conflict, "Flaky in CI", "Flaky on arm64", "linked to"],
    );
    let described = told.json(&["describe", "issue", &issue], 0).await;
    assert_eq!(described["object"]["metadata"]["name"], json!(issue));
    assert_eq!(described["why"]["conflicts"][0]["name"], json!(conflict));

    // What was decided about other versions than these isn't in force.
    let stale = json!({"strategy": "preferKrate", "seenVersions": {"desiredGeneration": 999, "observed": {}}});
    let mut headers = HeaderMap::new();
    headers.insert("content-type", "application/json".parse().expect("a header"));
    let path = format!("/api/v1/conflicts/{NAMESPACE}/{conflict}/resolve");
    let refused = told.server.send(Method::POST, &path, headers, stale.to_string().into_bytes()).await;
    assert_eq!(refused.status, StatusCode::CONFLICT, "{refused:?}");
    // Nor what somebody has edited since: the answer shows the values of now (S29).
    told.krate(&["edit", "issue", &issue, "--set", "spec.title=Flaky on CI"]).await.ends(0);
    let stale = told.krate(&["resolve", &conflict, "--prefer", "krate", "--as", "alice"]).await.ends(1);
    says(&stale, &["StaleResolution", "\"Flaky on CI\"", "\"Flaky on arm64\""]);
    let open = |all: &[Value]| all.iter().any(|conflict| conflict["status"]["phase"] == "Open");
    let conflicts = told.server.list_until("ExternalSyncConflict", open).await;
    let conflict = name(conflicts.iter().find(|conflict| conflict["status"]["phase"] == "Open").expect("an open one"));

    let resolved =
        told.json(&["resolve", &conflict, "--prefer", "krate", "--as", "alice", "--comment", "CI it is"], 0).await;
    assert_eq!(resolved["spec"]["resolution"]["strategy"], "preferKrate");
    let is_over = |all: &[Value]| all.iter().any(|conflict| conflict["status"]["phase"] == "Resolved");
    told.server.list_until("ExternalSyncConflict", is_over).await;
    let is_written = |all: &[Value]| all.iter().any(|intent| intent["status"]["phase"] == "Succeeded");
    told.server.list_until("ExternalWriteIntent", is_written).await;
    assert_eq!(told.forge.lock().issue(REPOSITORY, 1).map(|issue| issue.title.clone()), Some("Flaky on CI".into()));
    let again = told.krate(&["resolve", &conflict, "--prefer", "external"]).await.ends(1);
    says(&again, &["no: "]);
    told.forge.deliver(&told.server).await;
    says(&told.krate(&["diff", "issue", &issue]).await.ends(0), &["no field differs"]);
    told.server.stop().await;
}

#[tokio::test]
async fn r59_a_write_waits_for_its_approval_and_goes_by_the_answer() {
    let told = Told::new(&["Flaky test"]).await;
    let issue = told.issue("Flaky test").await;
    let write = async |comment: &str, text: &str| {
        let body = json!({
            "apiVersion": "krate.a5c.ai/v1alpha1", "kind": "Comment", "metadata": {"name": comment, "namespace": NAMESPACE},
            "spec": {"organizationRef": "acme", "subject": {"kind": "Issue", "name": issue}, "body": {"markdown": text}},
        });
        let mut headers = HeaderMap::new();
        headers.insert("content-type", "application/json".parse().expect("a header"));
        headers.insert("krate-user", "alice".parse().expect("a header"));
        let made = told.server.send(Method::POST, "/api/v1/Comment", headers, body.to_string().into_bytes()).await;
        assert_eq!(made.status, StatusCode::CREATED, "{made:?}");
        let waits = |all: &[Value]| all.iter().any(|approval| approval["status"]["phase"] == "Pending");
        let approvals = told.server.list_until("AgentApproval", waits).await;
        name(approvals.iter().find(|approval| approval["status"]["phase"] == "Pending").expect("it waits"))
    };
    let wanted = write("wanted", "This one goes out").await;
    says(&told.krate(&["get", "agentapprovals"]).await.ends(0), &[&wanted, "Pending"]);
    says(&told.krate(&["approve", &wanted, "--as", "alice"]).await.ends(1), &["no: ", "P30"]);
    assert!(told.forge.comments(1).is_empty());
    let approved = told.json(&["approve", &wanted, "--as", "bob", "--reason", "fine"], 0).await;
    assert_eq!(approved["status"]["decisions"][0]["by"]["name"], "bob");
    let ends = |phase: &'static str| move |all: &[Value]| all.iter().any(|intent| intent["status"]["phase"] == phase);
    told.server.list_until("ExternalWriteIntent", ends("Succeeded")).await;
    assert_eq!(told.forge.comments(1).len(), 1);
    says(&told.krate(&["approve", &wanted, "--as", "bob"]).await.ends(1), &["no: "]);

    let unwanted = write("unwanted", "This one doesn't").await;
    told.krate(&["deny", &unwanted, "--as", "bob", "--reason", "not here"]).await.ends(0);
    told.server.list_until("ExternalWriteIntent", ends("Rejected")).await;
    assert_eq!(told.forge.comments(1).len(), 1, "a denied write went out");

    // P32: only who answered takes an answer back, and not once the write was sent.
    let late = ["withdraw", &wanted, "--as", "bob", "--reason", "too late"];
    says(&told.krate(&late).await.ends(1), &["no: ", "only one that is PendingApproval or ReadyToSend"]);
    says(&told.krate(&["withdraw", &wanted, "--as", "carol", "--reason", "mine"]).await.ends(1), &["no: ", "P32"]);

    // R37: whoever asked for it may take it back instead.
    write("regretted", "This one doesn't either").await;
    let intents = told.server.list("ExternalWriteIntent").await;
    let by_phase = |phase: &str| {
        let found = intents.iter().find(|intent| intent["status"]["phase"] == phase);
        name(found.unwrap_or_else(|| panic!("none is {phase}")))
    };
    let (waits, sent) = (by_phase("PendingApproval"), by_phase("Succeeded"));
    says(&told.krate(&["cancel", "nobody", "--reason", "no"]).await.ends(1), &["nobody isn't there"]);
    says(&told.krate(&["cancel", &waits]).await.ends(2), &["--reason"]);
    says(
        &told.krate(&["cancel", &waits, "--reason", " "]).await.ends(1),
        &["reason: has to have 1 to 1024 characters"],
    );
    // S47: what people write stays in records and the audit.
    let token = format!("see ghp_{}", "a1B2".repeat(9));
    for args in [["cancel", &waits, "--reason", &token], ["deny", &wanted, "--reason", &token]] {
        let args: Vec<&str> = args.into_iter().chain(["--as", "bob"]).collect();
        let refused = told.krate(&args).await.ends(1);
        says(&refused, &["reason: holds something shaped like a credential"]);
        assert!(!refused.err.contains(&token), "{refused:?}");
    }
    says(
        &told.krate(&["cancel", &sent, "--reason", "late"]).await.ends(1),
        &["is Succeeded: only one that is PendingApproval"],
    );
    let cancelled = told.json(&["cancel", &waits, "--reason", "on second thought", "--as", "alice"], 0).await;
    assert_eq!(cancelled["spec"]["cancel"]["reason"], "on second thought");
    let is_over = |all: &[Value]| all.iter().all(|intent| intent["status"]["phase"] != "PendingApproval");
    told.server.list_until("ExternalWriteIntent", is_over).await;
    assert_eq!(told.forge.comments(1).len(), 1, "a cancelled write went out");
    told.server.stop().await;
}

#[tokio::test]
async fn each_wrong_call_says_what_to_do() {
    let told = Told::new(&["Flaky test"]).await;
    let issue = told.issue("Flaky test").await;
    says(&told.krate(&["get", "issue", "nothing"]).await.ends(1), &["no: Issue nothing isn't there"]);
    says(&told.krate(&["why", "issue", "nothing"]).await.ends(1), &["isn't there"]);
    says(&told.krate(&["resolve", "nothing", "--ignore"]).await.ends(1), &["ExternalSyncConflict nothing isn't there"]);
    says(&told.krate(&["approve", "nothing", "--as", "bob"]).await.ends(1), &["AgentApproval nothing isn't there"]);
    says(&told.krate(&["get", "isues"]).await.ends(2), &["isues", "hint: "]);
    says(
        &told.krate(&["edit", "issue", &issue, "--set", "organizationRef=x"]).await.ends(1),
        &["spec.organizationRef can't be edited", "spec.title"],
    );
    says(&told.krate(&["edit", "issue", &issue, "--set", "title=null"]).await.ends(1), &["spec.title"]);
    says(&told.krate(&["edit", "issue", &issue, "--set", "no assignment"]).await.ends(2), &["PATH=VALUE is expected"]);
    says(&told.krate(&["get", "issues", "--index", "nonsense=x"]).await.ends(2), &["nonsense", "repository"]);
    let origin = told.server.origin.clone();
    let Told { home, server, .. } = told;
    server.stop().await;
    for args in
        [&["get", "issues"][..], &["diff", "issue", "x"], &["resolve", "x", "--ignore"], &["deny", "x", "--as", "bob"]]
    {
        let ran = Ran::of(home.krate(args.iter().copied().chain(["--server", &origin]))).await.ends(2);
        says(&ran, &["nobody answers there", "krate serve --config"]);
    }
}

#[tokio::test]
async fn what_both_sides_differ_in_is_verified_by_command() {
    let told = Told::new(&["Flaky test", "Slow search"]).await;
    let calm = told.json(&["verify", "site"], 0).await;
    assert_eq!((&calm["site"]["compared"], &calm["site"]["differences"]), (&json!(2), &json!([])), "{calm:#}");

    // The webhook about it is lost.
    let edit = IssueEdit { title: Some("Slow search on arm64".into()), ..IssueEdit::default() };
    told.forge.lock().by("bob", now()).edit_issue(REPOSITORY, 2, edit).expect("edited");
    let lost = told.krate(&["verify"]).await.ends(1);
    says(&lost, &["2 objects compared", "spec.title", "Slow search on arm64", "unknown", "bidirectional"]);
    // Nothing was taken.
    told.issue("Slow search").await;

    let cost = told.json(&["forecast", "site"], 0).await;
    let issues = cost["site"]["lists"].as_array().and_then(|lists| lists.iter().find(|list| list["kind"] == "Issue"));
    let issues = issues.unwrap_or_else(|| panic!("{cost:#}"));
    assert_eq!((&issues["calls"], &issues["by"], &issues["running"]), (&json!(1), &json!("lastRun"), &json!(false)));
    assert_eq!(cost["site"]["budgets"][0]["scope"], "core");
    let shown = told.krate(&["forecast"]).await.ends(0);
    says(&shown, &["budget core:", "of 5000 left until", "Issue", "next, complete", "as the last complete run"]);
    told.krate(&["forecast", "nowhere"]).await.ends(1);

    told.krate(&["verify", "nowhere"]).await.ends(1);
    let answer = told.server.get("/api/v1/verify/nowhere").await;
    assert_eq!(answer.status, StatusCode::NOT_FOUND, "{answer:?}");
}

#[tokio::test]
async fn r21_a_binding_is_deleted_by_command_and_its_objects_stay() {
    let told = Told::new(&["Flaky test"]).await;
    let issue = told.issue("Flaky test").await;
    let bindings = told.server.list("ExternalBackendBinding").await;
    let binding = bindings[0]["metadata"]["name"].as_str().expect("a name").to_owned();
    let short = told.krate(&["delete", "ebb", &binding, "--force", "because"]).await;
    says(&short.ends(1), &["7 characters are no reason", "at least 20"]);
    let forced = told.krate(&["delete", "issue", &issue, "--force", "the forge is gone for good"]).await;
    says(&forced.ends(1), &["force: ", "nothing to wait for"]);
    let gone = told.json(&["delete", "ebb", &binding], 0).await;
    assert_eq!(gone["became"], "ending", "{gone}");
    told.server.list_until("ExternalBackendBinding", <[Value]>::is_empty).await;
    let left = told.json(&["get", "issue", &issue], 0).await;
    assert_eq!(left["metadata"]["annotations"]["krate.a5c.ai/orphaned-from"], binding.as_str(), "{left}");
    assert!(told.forge.lock().issue(REPOSITORY, 1).is_some_and(|issue| issue.closed_at.is_none()), "S4");
    // What it was bound to is this server's configuration, which makes it anew at the next start.
    told.server.stop().await;
    let server = told.home.start().await;
    let is_bound = |all: &[Value]| {
        all.iter().all(|issue| issue["metadata"]["annotations"]["krate.a5c.ai/orphaned-from"].is_null())
    };
    server.list_until("Issue", is_bound).await;
    assert_eq!(server.list("ExternalBackendBinding").await.len(), 1);
    server.stop().await;
}

#[tokio::test]
async fn s4_an_object_is_deleted_or_closed_at_its_provider_by_command() {
    let told = Told::new(&["Flaky test"]).await;
    let issue = told.issue("Flaky test").await;
    let gone = told.json(&["delete", "issue", &issue, "--as", "alice"], 0).await;
    assert_eq!(gone["became"], "closing", "{gone}");
    let is_written = |all: &[Value]| all.iter().any(|intent| intent["status"]["phase"] == "Succeeded");
    told.server.list_until("ExternalWriteIntent", is_written).await;
    let closed = told.forge.lock().issue(REPOSITORY, 1).map(|issue| issue.closed_at.is_some());
    assert_eq!(closed, Some(true));
    // One that no provider has is gone at once.
    let body = json!({
        "metadata": {"name": "here-only", "namespace": NAMESPACE},
        "spec": {"organizationRef": "acme", "title": "Only here"},
    });
    let mut headers = HeaderMap::new();
    headers.insert("content-type", "application/json".parse().expect("a header"));
    let made = told.server.send(Method::POST, "/api/v1/Issue", headers, body.to_string().into_bytes()).await;
    assert_eq!(made.status, StatusCode::CREATED, "{made:?}");
    let gone = told.json(&["delete", "issue", "here-only"], 0).await;
    assert_eq!(gone["became"], "removed", "{gone}");
    says(&told.krate(&["get", "issue", "here-only"]).await.ends(1), &["isn't there"]);
    says(&told.krate(&["delete", "repository", "site"]).await.ends(1), &["can't be deleted here"]);
    says(&told.krate(&["delete", "issue", "nothing"]).await.ends(1), &["isn't there"]);
    told.server.stop().await;
}

#[tokio::test]
async fn r2_r3_a_write_is_judged_beside_what_the_store_holds() {
    let told = Told::new(&["Flaky test"]).await;
    let issue = told.issue("Flaky test").await;
    let make = |organization: &str, namespace: &str| {
        let body = json!({
            "metadata": {"name": "made", "namespace": namespace},
            "spec": {"organizationRef": organization, "title": "Made"},
        });
        let mut headers = HeaderMap::new();
        headers.insert("content-type", "application/json".parse().expect("a header"));
        told.server.send(Method::POST, "/api/v1/Issue", headers, body.to_string().into_bytes())
    };
    let nobodys = make("nobody", NAMESPACE).await;
    assert_eq!(nobodys.status, StatusCode::UNPROCESSABLE_ENTITY, "{nobodys:?}");
    assert!(nobodys.text.contains("names no organization that exists (R3)"), "{nobodys:?}");
    let elsewhere = make("acme", "krate-org-elsewhere").await;
    assert!(elsewhere.text.contains("stands in its namespace krate-org-acme"), "{elsewhere:?}");
    let Told { mut home, server, forge } = told;
    server.stop().await;
    home.config["objects"][0]["spec"]["suspend"] = json!(true);
    let told = Told { server: home.start().await, home, forge };
    let edit = told.krate(&["edit", "issue", &issue, "--set", "title=Ours"]).await.ends(1);
    says(&edit, &["the organization is suspended"]);
    says(&told.krate(&["get", "issue", &issue]).await.ends(0), &["Flaky test"]);
    told.server.stop().await;
}

#[tokio::test]
async fn s26_the_lists_of_a_binding_are_read_when_somebody_asks() {
    let told = Told::new(&["Flaky test"]).await;
    says(&told.krate(&["backfill", "nowhere"]).await.ends(1), &["nowhere isn't there"]);
    // Nobody sends its webhook: only a list shows it.
    told.forge.lock().by("ada", now()).open_issue(REPOSITORY, NewIssue::titled("Unheard")).expect("opened");
    told.forge.lock().take_deliveries();
    let asked = told.json(&["backfill", "site", "--as", "alice"], 0).await;
    let annotations = &asked["metadata"]["annotations"];
    assert!(annotations["krate.a5c.ai/backfill-requested"].as_str().is_some_and(|id| id.starts_with("alice-")));
    told.server.list_until("Issue", |issues| issues.len() == 2).await;
    told.server.stop().await;
}

#[tokio::test]
async fn r37_only_a_delivery_that_was_given_up_is_replayed_or_skipped() {
    let told = Told::new(&["Flaky test"]).await;
    let now = now();
    told.forge.lock().by("ada", now).edit_issue(REPOSITORY, 1, IssueEdit::new().title("Flaky tests")).expect("edited");
    told.forge.deliver(&told.server).await;
    let deliveries = told.server.settled_deliveries(1).await;
    for act in ["replay", "skip"] {
        let refused = told.krate(&["delivery", act, &name(&deliveries[0]), "--reason", "a look at it"]).await.ends(1);
        says(&refused, &["is Succeeded: only one that is DeadLettered"]);
    }
    let missing = told.krate(&["delivery", "skip", "nobody", "--reason", "a look at it"]).await.ends(1);
    says(&missing, &["nobody"]);
    let unsaid = told.krate(&["delivery", "skip", "nobody"]).await.ends(2);
    says(&unsaid, &["--reason"]);
    let blank = told.krate(&["delivery", "skip", &name(&deliveries[0]), "--reason", " "]).await.ends(1);
    says(&blank, &["reason: has to have 1 to 1024 characters"]);
    told.server.stop().await;
}
