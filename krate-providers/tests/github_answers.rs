//! Every recorded answer of GitHub's API: which operation it belongs to, what it becomes, and what becomes of it when a field changes.
#![cfg(feature = "github")]

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use bytes::Bytes;
use chrono::{DateTime, Utc};
use http::Response;
use krate_model::kinds::sets::{ErrorClass, Operation};
use krate_model::kinds::shared::NativeTarget;
use krate_providers::contract::{Call, DecodeError, Decoded, Outcome, Provider};
use krate_providers::github::GitHub;
use serde_json::{Value, json};
use support::mutations::Sample;
use support::sites::Site;

/// What a recorded file is.
enum Recorded {
    /// The answer to an operation.
    Answer(Operation),
    /// A refusal, with this status.
    Refusal(u16),
    /// A request's body.
    Request,
    /// The answer to something that this codec doesn't ask.
    NotAsked,
}
use Recorded::{Answer, NotAsked, Refusal, Request};

/// Every file of the collection, by its path without the ending.
const FILES: &[(&str, Recorded)] = &[
    ("drone/branch", NotAsked),
    ("drone/branch_create", NotAsked),
    ("drone/branches_filter", NotAsked),
    ("drone/branches_filter_empty", NotAsked),
    ("drone/commit", NotAsked),
    ("drone/commits", NotAsked),
    ("drone/content", NotAsked),
    ("drone/content_create", NotAsked),
    ("drone/content_empty", NotAsked),
    ("drone/content_large", NotAsked),
    ("drone/content_update", NotAsked),
    ("drone/deployment", NotAsked),
    ("drone/error", Refusal(404)),
    ("drone/github_app_repos", NotAsked),
    ("drone/hooks", Answer(Operation::ListHooks)),
    ("drone/issue", Answer(Operation::GetIssue)),
    ("drone/issue_comments", Answer(Operation::ListComments)),
    ("drone/issues", Answer(Operation::ListIssues)),
    ("drone/milestone", NotAsked),
    ("drone/milestone_create", Request),
    ("drone/org", NotAsked),
    ("drone/orgs", NotAsked),
    ("drone/pr_comment", NotAsked),
    ("drone/pr_comments", NotAsked),
    ("drone/pr_files_page2", NotAsked),
    ("drone/pulls", Answer(Operation::ListPullRequests)),
    ("drone/release", NotAsked),
    ("drone/releases", NotAsked),
    ("drone/repos", NotAsked),
    ("drone/reposWithNull", NotAsked),
    ("drone/status", NotAsked),
    ("drone/statuses", NotAsked),
    ("drone/tags", NotAsked),
    ("drone/user", NotAsked),
    ("jenkins-x/add_collaborator", NotAsked),
    ("jenkins-x/app_repo_install", NotAsked),
    ("jenkins-x/branches", NotAsked),
    ("jenkins-x/changes", NotAsked),
    ("jenkins-x/combined_status", NotAsked),
    ("jenkins-x/commit", NotAsked),
    ("jenkins-x/content", NotAsked),
    ("jenkins-x/content_list", NotAsked),
    ("jenkins-x/delete_reviewers_pr", NotAsked),
    ("jenkins-x/deploy", NotAsked),
    ("jenkins-x/deploy_status", NotAsked),
    ("jenkins-x/deploy_status_create", NotAsked),
    ("jenkins-x/deploys", NotAsked),
    ("jenkins-x/edit_issue_comment", Request),
    ("jenkins-x/hook", NotAsked),
    ("jenkins-x/hooks", Answer(Operation::ListHooks)),
    ("jenkins-x/issue_clear_milestone", Request),
    ("jenkins-x/issue_comment", Answer(Operation::CreateComment)),
    ("jenkins-x/issue_search", NotAsked),
    ("jenkins-x/issue_search_prs", NotAsked),
    ("jenkins-x/issues", Answer(Operation::ListIssues)),
    ("jenkins-x/list_invitations", NotAsked),
    ("jenkins-x/list_pending_invitations", NotAsked),
    ("jenkins-x/membership_admin", NotAsked),
    ("jenkins-x/milestone", NotAsked),
    ("jenkins-x/milestone_create", Request),
    ("jenkins-x/org", NotAsked),
    ("jenkins-x/org_accept_invitation", NotAsked),
    ("jenkins-x/orgs", NotAsked),
    ("jenkins-x/pr", Answer(Operation::GetPullRequest)),
    ("jenkins-x/pr_comments", NotAsked),
    ("jenkins-x/pr_create", Answer(Operation::CreatePullRequest)),
    ("jenkins-x/pr_merge", Request),
    ("jenkins-x/pr_update", Request),
    ("jenkins-x/ref", NotAsked),
    ("jenkins-x/release", NotAsked),
    ("jenkins-x/reopen", Request),
    ("jenkins-x/repo", Answer(Operation::GetRepository)),
    ("jenkins-x/repo_fork_input", Request),
    ("jenkins-x/repos", NotAsked),
    ("jenkins-x/reviews_create", Request),
    ("jenkins-x/reviews_dismiss", Request),
    ("jenkins-x/reviews_list", NotAsked),
    ("jenkins-x/reviews_list_comments", NotAsked),
    ("jenkins-x/reviews_update", Request),
    ("jenkins-x/status", NotAsked),
    ("jenkins-x/tags", NotAsked),
    ("jenkins-x/team_members", NotAsked),
    ("jenkins-x/user", NotAsked),
    ("jenkins-x/user_perm", NotAsked),
];

/// Operations of the manifest whose answers nobody recorded: the simulator's answers alone stand for them.
const NOT_RECORDED: &[Operation] = &[
    Operation::ListHookDeliveries,
    Operation::GetHookDelivery,
    Operation::ListLabels,
    Operation::CreateIssue,
    Operation::UpdateIssue,
    Operation::CloseIssue,
    Operation::UpdateComment,
    Operation::DeleteComment,
    Operation::AddLabels,
    Operation::RemoveLabels,
    Operation::UpdatePullRequest,
    Operation::MergePullRequest,
];

/// The collection's folder, and its files; none where it isn't there, which is said.
fn recorded() -> Option<Vec<(String, Vec<u8>)>> {
    Some(support::json_files(&support::collection()?.join("api")))
}

fn of(name: &str) -> &'static Recorded {
    let name = name.strip_suffix(".json").unwrap();
    &FILES.iter().find(|(known, _)| *known == name).unwrap_or_else(|| panic!("{name}: to which operation?")).1
}

/// Answers to operations of this codec.
fn answers() -> Vec<(String, Operation, Vec<u8>)> {
    let files = recorded().unwrap_or_default().into_iter();
    files
        .filter_map(|(name, body)| match of(&name) {
            Answer(operation) => Some((name, operation.clone(), body)),
            _ => None,
        })
        .collect()
}

fn now() -> DateTime<Utc> {
    DateTime::from_timestamp(1_700_000_000, 0).unwrap()
}

/// The recordings hold bodies only; these headers come with every answer.
fn answer(status: u16, body: &[u8]) -> Response<Bytes> {
    let response = Response::builder()
        .status(status)
        .header("content-type", "application/json; charset=utf-8")
        .header("etag", "\"e\"")
        .header("link", "<https://api.github.com/x?page=2&per_page=1>; rel=\"next\"")
        .header("x-github-request-id", "A:1")
        .header("x-ratelimit-limit", "5000")
        .header("x-ratelimit-remaining", "4999")
        .header("x-ratelimit-reset", "1700000600")
        .header("x-ratelimit-resource", "core");
    response.body(Bytes::copy_from_slice(body)).unwrap()
}

/// What comes of an answer.
fn decode<T>(operation: &Operation, response: &Response<Bytes>, with: impl FnOnce(Decoded<'_>) -> T) -> T {
    let container = BTreeMap::from([("owner".to_owned(), "octocat".to_owned())]);
    let target = NativeTarget {
        native_kind: "issue".to_owned(),
        native_id: Some("1".to_owned()),
        native_number: Some(1347),
        container,
    };
    with(GitHub.decode(&Call::new(operation.clone(), &target), response, now()))
}

fn read(operation: &Operation, body: &[u8]) -> Result<Value, DecodeError> {
    decode(operation, &answer(200, body), |decoded| match decoded.result {
        Ok(Outcome::Object(object)) => Ok(json!({"object": serde_json::to_value(*object).unwrap()})),
        Ok(Outcome::Page { objects, next, etag, .. }) => {
            let objects = serde_json::to_value(objects).unwrap();
            Ok(json!({"page": objects, "next": next.map(|cursor| cursor.0), "etag": etag}))
        }
        Ok(Outcome::Hooks(hooks)) => {
            let hooks = hooks.into_iter().map(|hook| {
                let mut shown = json!({"id": hook.native_id, "active": hook.is_active});
                if let Some(url) = hook.url {
                    shown["url"] = url.into();
                }
                shown
            });
            Ok(json!({"hooks": hooks.collect::<Vec<_>>()}))
        }
        Ok(other) => panic!("{operation}: {other:?}"),
        Err(error) => {
            assert_eq!(error.class, ErrorClass::Decode, "{error}");
            let path = error.path.clone().unwrap_or_else(|| panic!("no path: {error}"));
            Err(DecodeError { path, message: error.to_string() })
        }
    })
}

#[test]
fn every_recorded_file_has_its_operation_or_is_said_not_to() {
    let mut with_answer = BTreeSet::new();
    let mut names = BTreeSet::new();
    for (name, recorded) in FILES {
        assert!(names.insert(format!("{name}.json")), "{name} stands twice");
        if let Answer(operation) = recorded {
            with_answer.insert(operation.as_str());
        }
    }
    let missing: BTreeSet<_> = NOT_RECORDED.iter().map(Operation::as_str).collect();
    let supported: BTreeSet<_> = GitHub
        .manifest()
        .interfaces
        .iter()
        .flat_map(|interface| &interface.operations)
        .map(|row| row.operation.as_str())
        .collect();
    assert!(with_answer.is_disjoint(&missing), "recorded after all: {with_answer:?}");
    assert_eq!(&with_answer | &missing, supported, "each supported operation is recorded, or said not to be");
    if let Some(files) = recorded() {
        assert_eq!(files.into_iter().map(|(name, _)| name).collect::<BTreeSet<_>>(), names);
    }
}

#[test]
fn s12_each_recorded_answer_has_its_outcome() {
    for (name, operation, body) in answers() {
        let outcome = read(&operation, &body).unwrap_or_else(|error| panic!("{name}: {error}"));
        let text = serde_json::to_string_pretty(&names_of_fields(outcome)).unwrap();
        let snapshot = format!("{operation}-{}", name.trim_end_matches(".json").replace('/', "-"));
        insta::with_settings!({omit_expression => true}, { insta::assert_snapshot!(snapshot.as_str(), text) });
    }
}

/// Of the provider's own fields only the names: their values are the answer's text (S6 compares them).
fn names_of_fields(mut outcome: Value) -> Value {
    fn walk(value: &mut Value) {
        match value {
            Value::Object(members) => {
                for (name, value) in members {
                    match value {
                        Value::Object(fields) if name == "fields" => {
                            let names: Vec<_> = fields.keys().map(String::as_str).collect();
                            *value = Value::String(names.join(" "));
                        }
                        _ => walk(value),
                    }
                }
            }
            Value::Array(items) => items.iter_mut().for_each(walk),
            _ => {}
        }
    }
    walk(&mut outcome);
    outcome
}

#[test]
fn s43_every_answer_is_a_reading_of_its_budget() {
    let files = recorded().unwrap_or_default().into_iter().map(|(name, body)| (of(&name), name, body));
    // What stands in where the collection isn't there.
    let own = [(&Refusal(404), "own".to_owned(), b"{}".to_vec()), (&Refusal(403), "own".to_owned(), b"{}".to_vec())];
    for (recorded, name, body) in files.chain(own) {
        let (operation, status) = match recorded {
            Answer(operation) => (operation.clone(), 200),
            Refusal(status) => (Operation::UpdateIssue, *status),
            Request | NotAsked => continue,
        };
        let response = answer(status, &body);
        let (quota, request_id) = decode(&operation, &response, |decoded| (decoded.quota, decoded.request_id));
        let quota = quota.unwrap_or_else(|| panic!("{name}"));
        assert_eq!((quota.scope.as_str(), quota.limit, quota.remaining), ("core", 5000, 4999), "{name}");
        assert_eq!(quota.reset_at, DateTime::from_timestamp(1_700_000_600, 0).unwrap(), "{name}");
        assert_eq!(request_id.as_deref(), Some("A:1"), "{name}");
    }
}

#[test]
fn the_recorded_refusal_is_not_found_for_every_operation() {
    let refusals = recorded().unwrap_or_default().into_iter().filter_map(|(name, body)| match of(&name) {
        Refusal(status) => Some((*status, body)),
        _ => None,
    });
    for (status, body) in refusals {
        for row in GitHub.manifest().interfaces.iter().flat_map(|interface| &interface.operations) {
            decode(&row.operation, &answer(status, &body), |decoded| {
                let error = decoded.result.unwrap_err();
                assert_eq!((&error.class, error.message.as_str()), (&ErrorClass::NotFound, "Not Found"));
            });
        }
    }
}

/// Where another library says something, and where krate does, by the object's kind.
const SAME: &[(&str, &str, &str)] = &[
    ("/Number", "issue", "/number"),
    ("/Title", "issue", "/title"),
    ("/Body", "issue", "/body"),
    ("/Locked", "issue", "/locked"),
    ("/Author/Login", "issue", "/author/login"),
    ("/Created", "issue", "/createdAt"),
    ("/Updated", "issue", "/updatedAt"),
    ("/Number", "pullRequest", "/number"),
    ("/Title", "pullRequest", "/title"),
    ("/Body", "pullRequest", "/body"),
    ("/Author/Login", "pullRequest", "/author/login"),
    ("/Created", "pullRequest", "/createdAt"),
    ("/Updated", "pullRequest", "/updatedAt"),
    ("/Sha", "pullRequest", "/headSha"),
    ("/Source", "pullRequest", "/headRef"),
    ("/Target", "pullRequest", "/baseRef"),
    ("/Base/Sha", "pullRequest", "/baseSha"),
    ("/MergeSha", "pullRequest", "/mergeCommitSha"),
    ("/Draft", "pullRequest", "/draft"),
    ("/Labels/0/Name", "pullRequest", "/labels/0"),
    ("/Body", "comment", "/body"),
    ("/Author/Login", "comment", "/author/login"),
    ("/Created", "comment", "/createdAt"),
    ("/Updated", "comment", "/updatedAt"),
];

#[test]
fn other_libraries_read_the_same_in_the_same_answers() {
    let Some(folder) = support::collection() else { return };
    let (mut compared, mut otherwise) = (0, Vec::new());
    for (name, operation, body) in answers() {
        let Some(golden) = golden(&folder.join("api"), &name) else { continue };
        let outcome = read(&operation, &body).unwrap();
        let pairs: Vec<_> = match (golden.as_array(), outcome["page"].as_array()) {
            (Some(theirs), Some(ours)) => theirs.iter().zip(ours).collect(),
            _ => vec![(&golden, &outcome["object"])],
        };
        for (theirs, ours) in pairs {
            for (pointer, kind, own) in SAME {
                let (Some(wanted), Some(object)) = (theirs.pointer(pointer), ours["normalized"].get(*kind)) else {
                    continue;
                };
                // An activity of a pull request, which an issue shows, has no commits.
                if ours["complete"] == json!(false) && object.pointer(own).is_none() {
                    continue;
                }
                compared += 1;
                let found = object.pointer(own).unwrap_or(&Value::Null);
                if found != wanted && !(found.is_null() && *wanted == json!(false)) {
                    otherwise.push(format!("{name} {pointer}: {wanted}, krate {found}"));
                }
            }
        }
    }
    assert!(otherwise.is_empty(), "{}", otherwise.join("\n"));
    assert!(compared > 40, "only {compared} values were compared");
}

/// What the origin's library makes of a file; where it wrote something else down, there is none.
fn golden(folder: &Path, name: &str) -> Option<Value> {
    let golden = fs::read(folder.join(name.replace(".json", ".golden.json"))).ok()?;
    Some(serde_json::from_slice(&golden).unwrap())
}

/// Checks each recorded answer, and gives the number of mutations; none where the collection isn't there.
fn each(mut check: impl FnMut(&Sample<'_>) -> u32) -> Option<u32> {
    let answers = answers();
    let mut taken = 0;
    for (name, operation, body) in &answers {
        let read = |body: &[u8]| read(operation, body);
        taken += check(&Sample { name, sort: operation.as_str(), body, read: &read });
    }
    (!answers.is_empty()).then_some(taken)
}

#[test]
fn s12_another_type_in_an_answer_is_read_or_fails_at_its_path() {
    #[allow(clippy::redundant_closure_for_method_calls)] // The method itself takes samples of one lifetime only.
    let taken = each(|sample| sample.takes_another_type());
    assert!(taken.is_none_or(|taken| taken > 5_000), "only {taken:?} mutations");
}

#[test]
fn s6_an_unknown_field_in_an_answer_changes_nothing_but_what_is_kept_as_it_came() {
    let taken = each(|sample| sample.takes_an_unknown_field(|_| false));
    assert!(taken.is_none_or(|taken| taken > 50), "only {taken:?} mutations");
}

#[test]
fn s12_a_field_of_an_answer_that_is_gone_or_null_invents_no_value() {
    let mut invented = BTreeSet::new();
    let taken = each(|sample| sample.takes_what_is_gone(is_fallback, &mut invented));
    assert!(invented.is_empty(), "{} invented:\n{}", invented.len(), Vec::from_iter(invented).join("\n"));
    assert!(taken.is_none_or(|taken| taken > 1_000), "only {taken:?} mutations");
}

/// What stands in for a field that is gone, and may: the field, the end of what changes in the objects, and why.
const FALLBACKS: &[(&str, &str, &str)] = &[
    ("updated_at", ".next", "without a time of the last row, pages are counted"),
    ("[0]", ".next", "without a last row, pages are counted"),
    ("pull_request", "", "an issue that says nothing of a pull request is one"),
    ("state", ".complete", "the object says that it lacks something"),
    ("merged_at", ".state", "a list says in no other way that a pull request was merged"),
    ("merged", ".state", "so where it is gone, the time of the merge says it"),
];

fn is_fallback(site: &Site, path: &str) -> bool {
    let stands = |member: &str| site.member() == member || site.path == member;
    FALLBACKS.iter().any(|(member, end, _)| stands(member) && path.ends_with(end))
}
