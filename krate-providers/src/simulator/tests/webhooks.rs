use hmac::{Hmac, KeyInit, Mac};
use http::Method;
use serde_json::{Value, json};
use sha2::Sha256;

use super::{ask, forge, forge_with_issue, send, t};
use crate::simulator::{Delivery, Forge, IssueEdit, NewIssue, NewPullRequest};

fn hooked(mut forge: Forge) -> Forge {
    forge.add_hook("acme/site", "http://localhost/hook", Some("s3cr3t"), t(0)).expect("the repository is there");
    forge.take_deliveries();
    forge
}

fn names(deliveries: &[Delivery]) -> Vec<String> {
    deliveries.iter().map(|one| format!("{} {}", one.event, one.action.unwrap_or("-"))).collect()
}

fn payload(delivery: &Delivery) -> Value {
    serde_json::from_slice(&delivery.body).expect("JSON")
}

fn signature(secret: &str, body: &[u8]) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).expect("any length");
    mac.update(body);
    let hex: String = mac.finalize().into_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
    format!("sha256={hex}")
}

#[test]
fn an_edit_is_told_one_event_for_each_change() {
    let mut forge = hooked(forge_with_issue());
    let mut ada = forge.by("ada", t(2));
    ada.label("acme/site", 1, &["bug"]).unwrap();
    ada.edit_issue(
        "acme/site",
        1,
        IssueEdit::new()
            .title("Crash!")
            .body("b")
            .labels(["documentation"])
            .assignees(["ada"])
            .state(super::super::State::Closed),
    )
    .unwrap();
    let told = forge.take_deliveries();
    assert_eq!(
        names(&told),
        ["issues labeled", "issues edited", "issues labeled", "issues unlabeled", "issues assigned", "issues closed"]
    );
    let edited = payload(&told[1]);
    assert_eq!(edited["changes"], json!({"title": {"from": "Crash"}, "body": {"from": "It fell."}}));
    assert_eq!((&edited["issue"]["title"], &edited["sender"]["login"]), (&json!("Crash!"), &json!("ada")));
    assert_eq!(payload(&told[3])["label"]["name"], "bug");
    assert_eq!(payload(&told[4])["assignee"]["login"], "ada");
}

#[test]
fn an_edit_that_changes_nothing_is_not_told_but_counted() {
    let mut forge = hooked(forge_with_issue());
    let before = forge.issue("acme/site", 1).cloned();
    forge.by("ada", t(9)).edit_issue("acme/site", 1, IssueEdit::new().title("Crash")).unwrap();
    assert!(forge.take_deliveries().is_empty());
    assert_eq!(forge.issue("acme/site", 1).cloned(), before);
    assert!(forge.effects().last().unwrap().changed.is_empty());
}

#[test]
fn writes_over_rest_are_told_too() {
    let mut forge = hooked(forge());
    ask(&mut forge, &send(Method::POST, "/repos/acme/site/issues", &json!({"title": "x", "labels": ["brand new"]})), 3);
    ask(&mut forge, &send(Method::POST, "/repos/acme/site/issues/1/comments", &json!({"body": "c"})), 4);
    let told = forge.take_deliveries();
    assert_eq!(names(&told), ["label created", "issues opened", "issues labeled", "issue_comment created"]);
    assert_eq!(payload(&told[3])["sender"]["login"], "krate[bot]");
}

#[test]
fn comments_deletions_and_moves_are_told() {
    let mut forge = hooked(forge_with_issue());
    let mut ada = forge.by("ada", t(2));
    ada.create_repository("acme/docs").unwrap();
    let comment = ada.comment("acme/site", 1, "one").unwrap();
    ada.edit_comment("acme/site", comment, "two").unwrap();
    ada.delete_comment("acme/site", comment).unwrap();
    ada.transfer("acme/site", 1, "acme/docs").unwrap();
    let doomed = ada.open_issue("acme/site", NewIssue::titled("Goes")).unwrap();
    ada.delete_issue("acme/site", doomed).unwrap();
    ada.rename_repository("acme/site", "home").unwrap();
    let told = forge.take_deliveries();
    assert_eq!(
        names(&told),
        [
            "issue_comment created",
            "issue_comment edited",
            "issue_comment deleted",
            "issues transferred",
            "issues opened",
            "issues deleted",
            "repository renamed",
        ]
    );
    assert_eq!(payload(&told[1])["changes"]["body"]["from"], "one");
    assert_eq!(payload(&told[2])["comment"]["body"], "two");
    let moved = payload(&told[3]);
    assert_eq!(moved["issue"]["number"], 1);
    assert_eq!(moved["changes"]["new_repository"]["full_name"], "acme/docs");
    assert_ne!(moved["changes"]["new_issue"]["id"], moved["issue"]["id"]);
    assert_eq!(payload(&told[5])["issue"]["title"], "Goes");
    let renamed = payload(&told[6]);
    assert_eq!(renamed["changes"]["repository"]["name"]["from"], "site");
    assert_eq!(renamed["repository"]["full_name"], "acme/home");
}

#[test]
fn pull_requests_from_forks_are_told_where_they_came_from() {
    let mut forge = hooked(forge());
    forge.by("eve", t(1)).fork("acme/site").unwrap();
    forge.by("eve", t(2)).push("eve/site", "patch").unwrap();
    let number = forge
        .by("eve", t(3))
        .open_pull_request("acme/site", NewPullRequest::new("Please", "eve:patch", "main"))
        .unwrap();
    let head = forge.by("eve", t(4)).push("eve/site", "patch").unwrap();
    forge.by("ada", t(5)).close("acme/site", number).unwrap();
    forge.by("eve", t(6)).push("eve/site", "patch").unwrap();
    let told = forge.take_deliveries();
    assert_eq!(names(&told), ["pull_request opened", "pull_request synchronize", "pull_request closed"]);
    let opened = payload(&told[0])["pull_request"].clone();
    assert_eq!(opened["head"]["repo"]["fork"], true);
    assert_eq!((&opened["head"]["label"], &opened["author_association"]), (&json!("eve:patch"), &json!("NONE")));
    let moved = payload(&told[1]);
    assert_eq!((&moved["after"], &moved["pull_request"]["head"]["sha"]), (&json!(head), &json!(head)));
    assert_eq!(payload(&told[2])["pull_request"]["merged"], false);
}

#[test]
fn deliveries_are_signed_over_their_bytes() {
    let mut forge = forge();
    let hook = forge.add_hook("acme/site", "http://localhost/hook", Some("s3cr3t"), t(1)).unwrap();
    let ping = forge.take_deliveries().remove(0);
    assert_eq!((ping.event, ping.action), ("ping", None));
    let header = |delivery: &Delivery, name: &str| delivery.headers[name].to_str().expect("ASCII").to_owned();
    assert_eq!(header(&ping, "x-hub-signature-256"), signature("s3cr3t", &ping.body));
    assert_eq!(header(&ping, "x-github-event"), "ping");
    assert_eq!(header(&ping, "x-github-delivery"), ping.id);
    assert_eq!(header(&ping, "x-github-hook-id"), hook.to_string());
    assert_eq!(header(&ping, "content-type"), "application/json");
    assert!(header(&ping, "user-agent").starts_with("GitHub-Hookshot/"));
    assert_eq!(ping.id.len(), 36);
    let request = ping.to_request();
    assert_eq!((request.method(), request.uri().path(), request.body()), (&Method::POST, "/hook", &ping.body));
    // GitHub's documented vector.
    assert_eq!(
        signature("It's a Secret to Everybody", b"Hello, World!"),
        "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"
    );
}

#[test]
fn s14_a_rotated_secret_signs_what_comes_after_and_redeliveries() {
    let mut forge = forge();
    let hook = forge.add_hook("acme/site", "http://localhost/hook", Some("old"), t(1)).unwrap();
    forge.rotate_secret(hook, "new");
    forge.by("ada", t(2)).open_issue("acme/site", NewIssue::titled("x")).unwrap();
    let told = forge.take_deliveries();
    let signed = |delivery: &Delivery| delivery.headers["x-hub-signature-256"].to_str().expect("ASCII").to_owned();
    assert_eq!(signed(&told[0]), signature("old", &told[0].body));
    assert_eq!(signed(&told[1]), signature("new", &told[1].body));
    forge.redeliver(&told[0].id).unwrap();
    let again = forge.take_deliveries().remove(0);
    assert_eq!((&again.id, &again.body), (&told[0].id, &told[0].body));
    assert_eq!(signed(&again), signature("new", &again.body));
    assert!(forge.redeliver("no-such-id").is_err());
}

#[test]
fn hooks_get_what_they_ask_for() {
    let mut forge = forge();
    let narrow = forge.add_hook("acme/site", "http://localhost/a", None, t(1)).unwrap();
    forge.set_hook_events(narrow, &["issue_comment"]);
    let app = forge.add_app_hook("http://localhost/b", Some("s"), t(1));
    forge.take_deliveries();
    forge.by("ada", t(2)).open_issue("acme/site", NewIssue::titled("x")).unwrap();
    forge.by("ada", t(3)).comment("acme/site", 1, "y").unwrap();
    let told = forge.take_deliveries();
    let to = |hook: u64| told.iter().filter(|one| one.hook == hook).cloned().collect::<Vec<_>>();
    assert_eq!(names(&to(narrow)), ["issue_comment created"]);
    assert_eq!(names(&to(app)), ["issues opened", "issue_comment created"]);
    assert!(to(narrow)[0].headers.get("x-hub-signature-256").is_none());
    assert!(payload(&to(app)[0])["installation"]["id"].is_number());
    assert!(payload(&to(narrow)[0]).get("installation").is_none());
    forge.remove_hook(app);
    forge.by("ada", t(4)).open_issue("acme/site", NewIssue::titled("z")).unwrap();
    assert!(forge.take_deliveries().is_empty());
}
