//! The simulator's objects against recorded ones, so that it does not drift into our own wishes.
//!
//! `recorded_shapes.txt` lists every member of the recorded payloads and answers with the JSON types it was seen with; objects
//! that stand in many places (a user, a repository) are listed once. One test compares the list with the recordings where they
//! are at hand, the other compares what the simulator makes with the list.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use http::Method;
use serde_json::{Value, json};

use super::{TOKEN, ask, get, send, t};
use crate::simulator::{Forge, IssueEdit, NewIssue, NewPullRequest};

const RECORDED: &str = include_str!("recorded_shapes.txt");

/// What GitHub documents and the recordings happen to lack: newer members, and values that none of them had. Each was looked up in
/// the schemas that the origin of the recordings publishes beside them (octokit/webhooks, `payload-schemas` of the same commit);
/// the first three, in GitHub's description of its REST API and its own answers.
const DOCUMENTED: &[(&str, &str)] = &[
    ("error.status", "string"),
    ("event repository.changes.owner.from.organization", "object"),
    ("issue.closed_by", "null"),
    ("event issues.changes.body", "object"),
    ("event issues.changes.body.from", "string"),
    ("event issues.changes.title", "object"),
    ("event issues.changes.title.from", "string"),
    ("event label.changes.name", "object"),
    ("event label.changes.name.from", "string"),
    ("event label.organization", "object"),
    ("event milestone.installation", "object"),
    ("event milestone.installation.id", "number"),
    ("event milestone.installation.node_id", "string"),
    ("event milestone.organization", "object"),
    ("event pull_request.changes.title", "object"),
    ("event pull_request.changes.title.from", "string"),
    ("event repository.changes.repository", "object"),
    ("event repository.changes.repository.name", "object"),
    ("event repository.changes.repository.name.from", "string"),
    ("issue.pull_request.merged_at", "null"),
    ("issue.pull_request.merged_at", "string"),
    ("issue.state_reason", "null"),
    ("issue.state_reason", "string"),
    ("label.description", "null"),
    ("milestone.description", "null"),
    ("milestone.due_on", "null"),
];

const EVENTS: [&str; 8] =
    ["issues", "issue_comment", "label", "milestone", "ping", "pull_request", "push", "repository"];

type Shapes = BTreeMap<String, BTreeSet<&'static str>>;

/// The kind of object that stands under a member of this name, wherever it is.
fn kind(member: &str) -> Option<&'static str> {
    Some(match member {
        "user"
        | "owner"
        | "sender"
        | "assignee"
        | "assignees"
        | "creator"
        | "merged_by"
        | "closed_by"
        | "requested_reviewers" => "user",
        "repository" | "repo" | "new_repository" | "old_repository" => "repository",
        "issue" | "new_issue" | "old_issue" => "issue",
        "label" | "labels" => "label",
        "milestone" => "milestone",
        "comment" => "comment",
        "organization" => "organization",
        "reactions" => "reactions",
        _ => return None,
    })
}

fn type_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

fn walk(at: &str, value: &Value, shapes: &mut Shapes) {
    match value {
        Value::Array(items) => items.iter().for_each(|item| walk(at, item, shapes)),
        Value::Object(members) => {
            for (member, value) in members {
                let path = format!("{at}.{member}");
                shapes.entry(path.clone()).or_default().insert(type_of(value));
                let below = match member.as_str() {
                    "pull_request" if at.starts_with("event ") => Some("pull"),
                    // Under `changes` the same names hold what was before, not the object.
                    "owner" | "repository" if at.ends_with(".changes") => None,
                    member => kind(member),
                };
                walk(below.unwrap_or(&path), value, shapes);
            }
        }
        _ => {}
    }
}

/// Folder of the recordings, where there is one.
fn recordings() -> Option<PathBuf> {
    let root = std::env::var_os("KRATE_FIXTURES")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/fixtures"), PathBuf::from);
    Some(root.join("github")).filter(|folder| folder.is_dir())
}

fn json_files(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).expect("a readable folder");
    let paths = entries.map(|entry| entry.expect("a readable entry").path());
    let mut files: Vec<PathBuf> = paths.filter(|path| path.extension().is_some_and(|ext| ext == "json")).collect();
    files.sort();
    files
}

fn load(path: &Path) -> Value {
    serde_json::from_slice(&std::fs::read(path).expect("a readable file")).expect("JSON")
}

fn recorded_from(folder: &Path) -> Shapes {
    let mut shapes = Shapes::new();
    for event in EVENTS {
        for file in json_files(&folder.join("webhooks").join(event)) {
            walk(&format!("event {event}"), &load(&file), &mut shapes);
        }
    }
    for pulls in ["pr_edited", "pr_labeled", "pr_sync", "pr_reopened"] {
        walk("event pull_request", &load(&folder.join(format!("webhooks/drone/{pulls}.json"))), &mut shapes);
    }
    for push in ["push", "push_branch_create"] {
        walk("event push", &load(&folder.join(format!("webhooks/drone/{push}.json"))), &mut shapes);
    }
    for (kind, file) in [
        ("issue", "drone/issue"),
        ("issue", "drone/issues"),
        ("issue", "jenkins-x/issues"),
        ("comment", "drone/issue_comments"),
        ("comment", "jenkins-x/issue_comment"),
        ("pull", "drone/pulls"),
        ("pull", "jenkins-x/pr"),
        ("pull", "jenkins-x/pr_create"),
        ("repository", "jenkins-x/repo"),
        ("repository", "jenkins-x/repos"),
        ("repository", "drone/repos"),
        ("error", "drone/error"),
    ] {
        walk(kind, &load(&folder.join(format!("api/{file}.json"))), &mut shapes);
    }
    shapes
}

fn written(shapes: &Shapes) -> String {
    let line = |(path, types): (&String, &BTreeSet<&str>)| {
        let types: Vec<&str> = types.iter().copied().collect();
        format!("{path}: {}\n", types.join(" "))
    };
    shapes.iter().map(line).collect()
}

#[test]
fn the_list_of_shapes_is_that_of_the_recordings() {
    let Some(folder) = recordings() else {
        eprintln!("skipped: no recordings at ../shared/fixtures, and KRATE_FIXTURES names none");
        return;
    };
    let shapes = written(&recorded_from(&folder));
    if std::env::var_os("UPDATE_RECORDED_SHAPES").is_some() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/simulator/tests/recorded_shapes.txt");
        std::fs::write(path, &shapes).expect("a writable file");
        return;
    }
    assert!(
        shapes == RECORDED,
        "recordings changed: run this test with UPDATE_RECORDED_SHAPES=1 and read the difference"
    );
}

/// A forge in which everything happened once, and all that it said about it.
fn simulated() -> Shapes {
    let mut forge = Forge::seeded(3);
    forge.add_token(TOKEN, "krate[bot]");
    forge.by("ada", t(0)).create_repository("acme/site").unwrap();
    forge.by("ada", t(0)).create_repository("acme/docs").unwrap();
    forge.add_hook("acme/site", "http://localhost/", Some("s"), t(0)).unwrap();
    forge.add_app_hook("http://localhost/", None, t(0));
    let site = "acme/site";
    let mut ada = forge.by("ada", t(1));
    ada.create_milestone(site, "v1").unwrap();
    let new = NewIssue::titled("One").body("b").label("bug").assignee("ada").milestone(1);
    let one = ada.open_issue(site, new).unwrap();
    ada.edit_issue(
        site,
        one,
        IssueEdit::new().title("Two").body("c").labels(["new"]).assignees([""; 0]).milestone(None),
    )
    .unwrap();
    let comment = ada.comment(site, one, "first").unwrap();
    ada.edit_comment(site, comment, "second").unwrap();
    ada.close(site, one).unwrap();
    ada.reopen(site, one).unwrap();
    ada.push(site, "topic").unwrap();
    let pull = ada.open_pull_request(site, NewPullRequest::new("P", "topic", "main").body("b")).unwrap();
    ada.comment(site, pull, "on a pull request").unwrap();
    ada.label(site, pull, &["bug"]).unwrap();
    ada.edit_pull_request(site, pull, IssueEdit::new().title("Q").body("x")).unwrap();
    ada.push(site, "topic").unwrap();
    ada.rename_label(site, "new", "newer").unwrap();
    let moved = ada.open_issue(site, NewIssue::titled("Moves")).unwrap();
    ada.transfer(site, moved, "acme/docs").unwrap();
    let doomed = ada.open_issue(site, NewIssue::titled("Goes")).unwrap();
    ada.delete_issue(site, doomed).unwrap();

    let mut shapes = Shapes::new();
    let reads = [
        ("issue", "/repos/acme/site/issues?state=all"),
        ("issue", "/repos/acme/site/issues/1"),
        ("issue", "/repos/acme/site/issues/2"),
        ("comment", "/repos/acme/site/issues/1/comments"),
        ("pull", "/repos/acme/site/pulls"),
        ("pull", "/repos/acme/site/pulls/2"),
        ("label", "/repos/acme/site/labels"),
        ("repository", "/repos/acme/site"),
        ("error", "/repos/acme/none"),
    ];
    for (kind, path) in reads {
        walk(kind, &ask(&mut forge, &get(path), 2).json, &mut shapes);
    }
    let created = ask(&mut forge, &send(Method::POST, "/repos/acme/site/issues", &json!({"title": "By REST"})), 3);
    walk("issue", &created.json, &mut shapes);
    forge.by("ada", t(3)).merge(site, pull, None).unwrap();
    walk("pull", &ask(&mut forge, &get("/repos/acme/site/pulls/2"), 4).json, &mut shapes);
    forge.by("ada", t(5)).delete_label(site, "newer").unwrap();
    forge.by("ada", t(5)).transfer_repository("acme/docs", "octo").unwrap();
    forge.by("ada", t(5)).rename_repository("acme/site", "home").unwrap();
    for delivery in forge.take_deliveries() {
        let payload = serde_json::from_slice(&delivery.body).expect("JSON");
        walk(&format!("event {}", delivery.event), &payload, &mut shapes);
    }
    shapes
}

#[test]
fn every_member_that_the_simulator_makes_was_recorded_with_that_type() {
    let mut known: BTreeMap<&str, BTreeSet<&str>> = RECORDED
        .lines()
        .filter_map(|line| line.split_once(": "))
        .map(|(path, types)| (path, types.split(' ').collect()))
        .collect();
    for (path, kind) in DOCUMENTED {
        known.entry(path).or_default().insert(kind);
    }
    let mut strange = Vec::new();
    for (path, types) in &simulated() {
        match known.get(path.as_str()) {
            None => strange.push(format!("{path}: not recorded")),
            Some(seen) if types.iter().all(|made| seen.contains(made)) => {}
            Some(seen) => strange.push(format!("{path}: {types:?}, recorded {seen:?}")),
        }
    }
    assert!(strange.is_empty(), "{}", strange.join("\n"));
}

/// The list holds one shape of a repository; a push has its own.
#[test]
fn s17_a_push_has_the_times_of_its_repository_as_numbers_where_the_recorded_one_does() {
    let recorded = include_bytes!("../../../tests/fixtures/github/webhooks/push/payload.json");
    let recorded: Value = serde_json::from_slice(recorded).expect("JSON");
    let mut forge = Forge::seeded(3);
    forge.by("ada", t(0)).create_repository("acme/site").unwrap();
    forge.add_hook("acme/site", "http://localhost/", None, t(0)).unwrap();
    forge.by("ada", t(1)).push("acme/site", "topic").unwrap();
    let pushed = forge.take_deliveries().into_iter().find(|delivery| delivery.event == "push").expect("a push");
    let pushed: Value = serde_json::from_slice(&pushed.body).expect("JSON");
    for member in ["created_at", "updated_at", "pushed_at"] {
        let types = [&pushed, &recorded].map(|payload| type_of(&payload["repository"][member]));
        assert_eq!(types[0], types[1], "{member}");
    }
}

#[test]
fn every_member_that_krate_reads_is_made() {
    let made = simulated();
    let needed = [
        (
            "issue",
            "id node_id number title body state state_reason user labels assignees milestone comments created_at",
        ),
        ("issue", "updated_at closed_at author_association html_url url pull_request locked draft"),
        (
            "pull",
            "id node_id number title body state draft user labels assignees milestone created_at updated_at closed_at",
        ),
        ("pull", "merged_at merge_commit_sha merged mergeable merged_by head.ref head.sha head.repo base.ref base.sha"),
        ("pull", "base.repo author_association html_url url requested_reviewers"),
        ("comment", "id node_id body user created_at updated_at author_association html_url url issue_url"),
        ("label", "id node_id name color description default"),
        ("milestone", "id number title state"),
        ("user", "login id node_id type html_url"),
        ("repository", "id node_id name full_name owner private fork default_branch html_url url updated_at"),
        (
            "event issues",
            "action issue repository organization installation sender changes.title.from changes.body.from",
        ),
        ("event issues", "label assignee milestone changes.new_issue changes.new_repository"),
        ("event issue_comment", "action issue comment repository sender changes.body.from"),
        ("event pull_request", "action number pull_request repository sender before after label"),
        ("event repository", "action repository sender changes.owner.from changes.repository.name.from"),
        ("event label", "action label repository sender changes.name.from"),
        ("event push", "ref before after created deleted forced commits head_commit pusher repository sender"),
        ("event ping", "zen hook_id hook repository sender"),
        ("error", "message documentation_url"),
    ];
    for (kind, members) in needed {
        for member in members.split(' ') {
            assert!(made.contains_key(&format!("{kind}.{member}")), "{kind}.{member} is not made");
        }
    }
}
