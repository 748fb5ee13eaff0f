//! The commands that need no server, by running the built program: good input, bad input, exit codes, JSON.

mod support;

use std::fs;

use serde_json::{Value, json};
use support::{Delivery, ISSUE_OPENED, SECRET, krate, krate_reading};

#[test]
fn help_texts_are_what_people_were_shown() {
    let pages: &[&[&str]] = &[
        &["--help"],
        &["webhook", "--help"],
        &["webhook", "verify", "--help"],
        &["webhook", "normalize", "--help"],
        &["merge", "--help"],
        &["intent", "key", "--help"],
        &["validate", "--help"],
        &["crds", "--help"],
        &["explain", "--help"],
        &["provider", "--help"],
        &["completions", "--help"],
    ];
    for page in pages {
        let ran = krate(*page).ends(0);
        insta::assert_snapshot!(page.join("_").replace("--", ""), ran.out);
    }
}

#[test]
fn a_wrong_call_ends_with_2_and_says_how_it_is_called() {
    for args in [
        &["mrge"][..],
        &["merge"],
        &["merge", "--input"],
        &["merge", "--inputs", "x"],
        &["validate", "-o", "xml", "-f", "x"],
    ] {
        let ran = krate(args).ends(2);
        assert!(ran.err.contains("--help") && ran.out.is_empty(), "{ran:?}");
    }
    assert_eq!(krate([] as [&str; 0]).ends(2).out, "");
}

#[test]
fn s9_a_signature_is_verified_over_the_raw_body() {
    let delivery = Delivery::of("issues", ISSUE_OPENED);
    let ran = delivery.run("verify", &["--secret-env", "HOOK_SECRET", "-o", "json"]).ends(0);
    assert_eq!(ran.json(), json!({"verified": true, "algorithm": "hmac-sha256", "secretName": "HOOK_SECRET"}));

    fs::write(delivery.body(), ISSUE_OPENED.replace("Crash", "crash")).unwrap();
    let ran = delivery.run("verify", &["--secret-env", "HOOK_SECRET", "-o", "json"]).ends(1);
    let said = ran.json();
    assert_eq!(said["verified"], false);
    assert_eq!(said["error"]["class"], "Authentication");
}

#[test]
fn s14_any_of_several_secrets_verifies_and_is_named() {
    let delivery = Delivery::of("issues", ISSUE_OPENED);
    let mut command = delivery.command("verify", &["--secret-env", "OTHER", "--secret-env", "HOOK_SECRET"]);
    let out = command.env("OTHER", "not this one").output().unwrap();
    assert_eq!(String::from_utf8_lossy(&out.stdout), "verified: hmac-sha256, by the secret HOOK_SECRET\n");
}

#[test]
fn s47_no_output_holds_a_secret() {
    let delivery = Delivery::of("issues", ISSUE_OPENED);
    for more in [
        &["--secret-env", "HOOK_SECRET"][..],
        &["--secret-env", "HOOK_SECRET", "-o", "yaml"],
        &["--secret-env", "UNSET"],
    ] {
        let ran = delivery.run("verify", more);
        assert!(!ran.out.contains(SECRET) && !ran.err.contains(SECRET), "{ran:?}");
    }
    // A header that can't be sent may be a token: it is named, not shown.
    let broken = Delivery::with_headers(&json!({"Authorization": format!("{SECRET}\n")}), ISSUE_OPENED);
    let ran = broken.run("normalize", &[]).ends(2);
    assert!(ran.err.contains("authorization") || ran.err.contains("Authorization"), "{ran:?}");
    assert!(!ran.err.contains(SECRET), "{ran:?}");
    // A manifest that can't be read is not quoted.
    let ran = krate_reading(["validate", "-f", "-"], &format!("token: {SECRET}\ntoken: {SECRET}\n")).ends(2);
    assert!(ran.err.contains("token") && !ran.err.contains(SECRET), "{ran:?}");
}

#[test]
fn s9_a_missing_or_empty_secret_is_never_no_check() {
    let delivery = Delivery::of("issues", ISSUE_OPENED);
    let ran = delivery.run("verify", &["--secret-env", "UNSET"]).ends(2);
    assert!(ran.err.contains("UNSET") && ran.err.contains("hint:"), "{ran:?}");
    let out = delivery.command("verify", &["--secret-env", "EMPTY"]).env("EMPTY", "").output().unwrap();
    assert_eq!(out.status.code(), Some(2));
    assert!(delivery.run("verify", &[]).ends(2).err.contains("--secret-env"));
}

#[test]
fn a_delivery_becomes_canonical_events() {
    let delivery = Delivery::of("issues", ISSUE_OPENED);
    let events = delivery.run("normalize", &[]).ends(0).json();
    assert_eq!(events[0]["resourceKind"], "Issue");
    assert_eq!(events[0]["nativeId"], "444500041");
    assert_eq!(events[0]["normalized"]["issue"]["title"], "Crash on start");
    assert_eq!(events, delivery.run("normalize", &["-o", "json"]).ends(0).json());
    let table = delivery.run("normalize", &["-o", "table"]).ends(0).out;
    assert!(table.contains("KIND") && table.contains("octocat"), "{table}");
    let yaml = delivery.run("normalize", &["-o", "yaml"]).ends(0).out;
    assert!(yaml.contains("resourceKind: Issue"), "{yaml}");
}

#[test]
fn s12_what_has_no_meaning_here_is_ignored_by_name_and_what_cant_be_read_has_a_path() {
    let ran = Delivery::of("ping", "{\"zen\": \"Design for failure.\", \"hook_id\": 1}").run("normalize", &[]).ends(0);
    assert_eq!((ran.json(), ran.err.contains("ping")), (json!([]), true));
    let ran = Delivery::of("no_such_event", "{}").run("normalize", &[]).ends(0);
    assert_eq!((ran.json(), ran.err.contains("no_such_event")), (json!([]), true));

    let broken = ISSUE_OPENED.replace("\"number\": 7", "\"number\": \"seven\"");
    let ran = Delivery::of("issues", &broken).run("normalize", &["-o", "json"]).ends(1);
    assert_eq!(ran.json()["error"]["path"], "issue.number");
    let ran = Delivery::of("issues", "{\"action\":").run("normalize", &["-o", "json"]).ends(1);
    assert_eq!(ran.json()["error"]["class"], "Decode");
}

#[test]
fn s13_bad_deliveries_name_the_file_and_what_is_wrong() {
    let run = |headers: Value, body: &str| Delivery::with_headers(&headers, body).run("normalize", &[]).ends(2).err;
    let head = json!({"X-GitHub-Event": "issues", "X-GitHub-Delivery": "1", "Content-Type": "application/json"});
    assert!(run(head.clone(), "").contains("body.json: the body is empty"));
    assert!(run(head.clone(), &"[".repeat(200)).contains("deeper"));
    assert!(
        run(json!({"X-GitHub-Delivery": "1", "Content-Type": "application/json"}), "{}").contains("X-GitHub-Event")
    );
    assert!(
        run(
            json!({"X-GitHub-Event": ["issues", "push"], "X-GitHub-Delivery": "1", "Content-Type": "application/json"}),
            "{}"
        )
        .contains("more than once")
    );
    assert!(run(json!(["X-GitHub-Event"]), "{}").contains("headers.json: an object"));
    assert!(run(json!({"not a header": "x"}), "{}").contains("not a header"));
    assert!(run(json!({"X-GitHub-Event": 7}), "{}").contains("X-GitHub-Event: a text"));
    let delivery = Delivery::with_headers(&head, "{}");
    fs::write(delivery.headers(), r#"{"X-GitHub-Event": "issues", "X-GitHub-Event": "push"}"#).unwrap();
    assert!(delivery.run("normalize", &[]).ends(2).err.contains("stands twice"));
}

#[test]
fn an_unknown_provider_is_answered_with_those_there_are() {
    let ran = krate(["webhook", "normalize", "--provider", "githb", "--headers", "a", "--body", "b"]).ends(2);
    assert!(ran.err.contains("\"githb\"") && ran.err.contains("there is github"), "{ran:?}");
    assert!(krate(["provider", "show", "githb"]).ends(2).err.contains("there is github"));
}

#[test]
fn a_file_that_is_not_there_is_named() {
    let ran = krate(["merge", "--input", "no-such-file.json"]).ends(2);
    assert!(ran.err.contains("no-such-file.json") && ran.err.contains("hint:"), "{ran:?}");
    let ran = krate(["webhook", "normalize", "--provider", "github", "--headers", "-", "--body", "-"]).ends(2);
    assert!(ran.err.contains("standard input can be read once"), "{ran:?}");
}

fn merge(input: &Value) -> support::Ran {
    krate_reading(["merge", "--input", "-", "-o", "json"], &input.to_string())
}

#[test]
fn s30_both_sides_adds_and_removes_apply() {
    let ran = merge(&json!({
        "mode": "bidirectional", "strategies": {"labels": "set"},
        "base": {"labels": ["bug", "old"]}, "desired": {"labels": ["bug", "old", "ui"]}, "observed": {"labels": ["bug", "api"]},
    }));
    let merged = ran.ends(0).json();
    assert_eq!(merged["merged"]["labels"], json!(["bug", "api", "ui"]));
    assert_eq!((&merged["outcome"], &merged["conflicts"]), (&json!("merged"), &json!([])));
}

#[test]
fn s27_a_conflict_ends_with_1_and_shows_all_three_values() {
    let input = json!({
        "mode": "bidirectional", "strategies": {"title": "scalar"},
        "base": {"title": "a"}, "desired": {"title": "b"}, "observed": {"title": "c"},
    });
    let merged = merge(&input).ends(1).json();
    assert_eq!(merged["outcome"], "conflict");
    let conflict = &merged["conflicts"][0];
    assert_eq!(
        (&conflict["path"], &conflict["reason"], &conflict["base"], &conflict["desired"], &conflict["observed"]),
        (&json!("title"), &json!("ConcurrentEdit"), &json!("a"), &json!("b"), &json!("c"))
    );
    assert_eq!(merged["write"], json!({}));
    let table = krate_reading(["merge", "--input", "-", "-o", "table"], &input.to_string()).ends(1).out;
    assert!(table.contains("title: ConcurrentEdit"), "{table}");
}

#[test]
fn s1_an_unknown_mode_is_refused_with_what_is_accepted() {
    let ran = merge(&json!({"mode": "both-ways", "strategies": {}, "base": {}, "desired": {}, "observed": {}})).ends(2);
    assert!(ran.err.contains("mode") && ran.err.contains("bidirectional") && ran.out.is_empty(), "{ran:?}");
    assert!(krate_reading(["merge", "--input", "-"], "{").ends(2).err.contains("standard input: EOF"));
}

fn request() -> Value {
    json!({
        "organization": "acme", "provider": "gh", "binding": "web", "interface": "issueTracking", "operation": "createComment",
        "nativeTarget": {"nativeKind": "issue", "nativeId": "7", "container": {"owner": "acme", "repository": "web"}},
        "payload": {"body": "hello"}, "desiredGeneration": 3,
    })
}

#[test]
fn s33_the_key_is_made_of_the_whole_request() {
    let key = |input: &Value| krate_reading(["intent", "key", "--input", "-"], &input.to_string()).ends(0).out;
    let first = key(&request());
    assert!(first.starts_with("sha256:") && first.trim_end().len() == 71, "{first}");
    assert_eq!(first, key(&request()));
    let mut other = request();
    other["payload"]["body"] = "bye".into();
    assert_ne!(first, key(&other));
    let json = krate_reading(["intent", "key", "--input", "-", "-o", "json"], &request().to_string()).ends(0).json();
    assert_eq!(json, json!({"idempotencyKey": first.trim_end()}));
}

#[test]
fn s33_a_request_that_lacks_a_part_has_no_key() {
    let mut input = request();
    input.as_object_mut().unwrap().remove("binding");
    let ran = krate_reading(["intent", "key", "--input", "-"], &input.to_string()).ends(2);
    assert!(ran.err.contains("$.binding") && ran.err.contains("hint:"), "{ran:?}");
}

const ORGANIZATION: &str = "
apiVersion: krate.a5c.ai/v1alpha1
kind: Organization
metadata: {name: a, namespace: krate-system}
spec: {displayName: A, slug: a, namespaceName: krate-org-a}
";
const REPOSITORY: &str = "
apiVersion: krate.a5c.ai/v1alpha1
kind: Repository
metadata: {name: krate, namespace: krate-org-a}
spec: {organizationRef: a, visibility: internal}
";

#[test]
fn valid_documents_end_with_0() {
    let ran =
        krate_reading(["validate", "-f", "-", "-o", "json"], &format!("---{ORGANIZATION}---{REPOSITORY}")).ends(0);
    let said = ran.json();
    assert_eq!(said["valid"], true);
    assert_eq!(said["documents"][1]["kind"], "Repository");
    assert_eq!(said["documents"][1]["document"], 2);
    assert_eq!(said["documents"][1]["failures"], json!([]));
}

#[test]
fn r29_every_failure_is_told_with_path_rule_and_what_would_be_accepted() {
    let broken = REPOSITORY.replace("internal", "intern").replace("name: krate,", "name: Krate,");
    let text = format!("---{ORGANIZATION}---{broken}");
    let said = krate_reading(["validate", "-f", "-", "-o", "json"], &text).ends(1).json();
    assert_eq!(said["valid"], false);
    assert_eq!(said["documents"][0]["valid"], true);
    let failures = said["documents"][1]["failures"].as_array().unwrap();
    let of =
        |path: &str| failures.iter().find(|failure| failure["path"] == path).unwrap_or_else(|| panic!("{failures:?}"));
    assert_eq!(of("metadata.name")["rule"], "R1");
    assert_eq!(of("spec.visibility")["rule"], "R8");
    assert_eq!(of("spec.visibility")["accepted"], json!(["private", "internal", "public"]));
    let people = krate_reading(["validate", "-f", "-"], &text).ends(1).out;
    assert!(people.contains("INVALID") && people.contains("\nR8: "), "{people}");
}

#[test]
fn r31_what_cant_be_looked_up_is_named_and_neither_valid_nor_invalid() {
    let said = krate_reading(["validate", "-f", "-", "-o", "json"], REPOSITORY).ends(0).json();
    let unchecked = said["documents"][0]["unchecked"].as_array().unwrap();
    assert!(unchecked.iter().any(|unchecked| unchecked["path"] == "spec.organizationRef"), "{unchecked:?}");
}

/// A Record as a store holds it.
const DELIVERY: &str = "
apiVersion: krate.a5c.ai/v1alpha1
kind: ExternalWebhookDelivery
metadata: {name: d1, namespace: krate-org-a}
spec:
  organizationRef: a
  providerRef: gh
  deliveryId: 72d3162e-cc78-11e3-81ab-4c9367dc0958
  eventType: issues
  receivedAt: '2026-06-01T00:00:00Z'
  signature: {algorithm: hmac-sha256, verified: true, secretName: first}
  payload:
    digest: sha256:0000000000000000000000000000000000000000000000000000000000000001
    bytes: 2
    mediaType: application/json
    storage: none
status: {phase: Succeeded}
";

#[test]
fn r19_r31_a_record_is_judged_as_made_by_who_makes_it() {
    let judged = |more: &[&str], text: &str, code| {
        let args = ["validate", "-f", "-", "-o", "json"].iter().chain(more).copied();
        krate_reading(args, text).ends(code).json()["documents"].clone()
    };
    let both = format!("---{REPOSITORY}---{DELIVERY}");
    let said = judged(&[], &both, 0);
    assert_eq!((&said[0]["as"], &said[1]["as"]), (&json!("person"), &json!("controller")));
    let said = judged(&["--as", "person"], &both, 1);
    assert_eq!((&said[0]["valid"], &said[1]["failures"][0]["rule"]), (&json!(true), &json!("R19")));
    assert_eq!(judged(&["--as", "controller"], &both, 0)[0]["as"], "controller");
    let people = krate_reading(["validate", "-f", "-"], DELIVERY).ends(0).out;
    assert!(people.contains("d1: valid, as made by a controller"), "{people}");
}

#[test]
fn r19_r37_a_command_in_a_record_is_judged_as_a_persons() {
    let digest = format!("sha256:{}", "0".repeat(64));
    let now = chrono::DateTime::<chrono::Utc>::from(std::time::SystemTime::now());
    let ends = (now + chrono::TimeDelta::hours(1)).to_rfc3339();
    let approval = |decided: &str| {
        json!({
            "apiVersion": "krate.a5c.ai/v1alpha1", "kind": "AgentApproval", "metadata": {"name": "ap1", "namespace": "krate-org-a"},
            "spec": {"organizationRef": "a", "subject": {"kind": "writeIntent", "name": "wi1"}, "class": "write-back",
                "action": {"summary": "Post it"}, "requestedBy": {"kind": "user", "name": "alice"}, "digest": digest,
                "expiresAt": ends,
                "decide": {"id": "d1", "verdict": "approved", "digest": decided}},
        })
        .to_string()
    };
    krate_reading(["validate", "-f", "-"], &approval(&digest)).ends(0);
    let other = format!("sha256:{}", "1".repeat(64));
    let said = krate_reading(["validate", "-f", "-", "-o", "json"], &approval(&other)).ends(1).json();
    let failures = said["documents"][0]["failures"].as_array().unwrap();
    assert_eq!(failures.len(), 1, "{failures:?}");
    assert_eq!((&failures[0]["path"], &failures[0]["rule"]), (&json!("spec.decide.digest"), &json!("R59")));
}

#[test]
fn lists_arrays_and_json_are_taken_apart() {
    let of = |name: &str| {
        json!({
            "apiVersion": "krate.a5c.ai/v1alpha1", "kind": "Repository", "metadata": {"name": name, "namespace": "krate-org-a"},
            "spec": {"organizationRef": "a", "visibility": "internal"},
        })
    };
    let list = json!({"apiVersion": "v1", "kind": "List", "items": [of("one"), of("two")]}).to_string();
    let array = json!([of("one"), of("two")]).to_string();
    for text in [list, array] {
        let said = krate_reading(["validate", "-f", "-", "-o", "json"], &text).ends(0).json();
        assert_eq!((&said["documents"][0]["name"], &said["documents"][1]["name"]), (&json!("one"), &json!("two")));
    }
}

#[test]
fn a_key_that_stands_twice_is_refused_in_json_and_in_yaml() {
    for text in ["kind: Issue\nkind: Issue\n", r#"{"kind": "Issue", "kind": "Issue"}"#, r#"[{"a": {"b": 1, "b": 2}}]"#]
    {
        let ran = krate_reading(["validate", "-f", "-"], text).ends(2);
        assert!(ran.err.contains("standard input") && ran.out.is_empty(), "{ran:?}");
    }
    for text in ["", "---\n---\n", "[]"] {
        assert!(krate_reading(["validate", "-f", "-"], text).ends(2).err.contains("holds no document"), "{text:?}");
    }
}

#[test]
fn files_and_standard_input_are_judged_together() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("organization.yaml");
    fs::write(&file, ORGANIZATION).unwrap();
    let args = [
        "validate".as_ref(),
        "-f".as_ref(),
        file.as_os_str(),
        "-f".as_ref(),
        "-".as_ref(),
        "-o".as_ref(),
        "json".as_ref(),
    ];
    let said = krate_reading(args, REPOSITORY).ends(0).json();
    assert_eq!(said["documents"][1]["file"], "standard input");
    assert_eq!(said["documents"][1]["unchecked"], json!([]));
}

#[test]
fn p39_rbac_prints_the_roles_that_kubectl_takes() {
    let all = krate(["rbac", "--namespace", "krate-org-acme"]).ends(0).out;
    assert!(all.matches("\nkind: Role\n").count() == 16 && !all.contains("'*'"), "{all}");
    let one = krate(["rbac", "krate-viewer", "--namespace", "n", "-o", "json"]).ends(0).json();
    assert_eq!(one[0]["metadata"]["namespace"], "n");
    assert!(krate(["rbac", "krate-anything", "--namespace", "n"]).ends(2).err.contains("krate-maintainer"));
}

#[test]
fn definitions_are_printed_as_files_for_kubectl() {
    let all = krate(["crds"]).ends(0).out;
    assert!(all.starts_with("---\napiVersion: apiextensions.k8s.io/v1\n"), "{}", &all[..80]);
    let json = krate(["crds", "-o", "json"]).ends(0).json();
    assert_eq!(all.matches("\nkind: CustomResourceDefinition\n").count(), json.as_array().unwrap().len());
    let one = krate(["crds", "pr", "-o", "json"]).ends(0).json();
    assert_eq!(one[0]["metadata"]["name"], "pullrequests.krate.a5c.ai");
    assert!(krate(["crds", "Nonsense"]).ends(2).err.contains("\"Nonsense\""));
}

#[test]
fn kinds_fields_and_rules_are_explained() {
    assert!(krate(["explain"]).ends(0).out.contains("PullRequest"));
    let state = krate(["explain", "Issue.spec.state", "-o", "json"]).ends(0).json();
    assert_eq!((&state["accepted"], &state["default"]), (&json!(["open", "closed"]), &json!("open")));
    assert!(krate(["explain", "pr"]).ends(0).out.starts_with("PullRequest"));
    assert!(krate(["explain", "R12"]).ends(0).out.starts_with("R12: "));
    assert_eq!(krate(["explain", "r12", "-o", "json"]).ends(0).json()["rule"], "R12");
    let ran = krate(["explain", "Issue.spec.titel"]).ends(2);
    assert!(ran.err.contains("title") && ran.err.contains("krate explain Issue.spec"), "{ran:?}");
    assert!(krate(["explain", "GitProvider"]).ends(2).err.contains("use ExternalBackendProvider"));
    assert!(krate(["explain", "R999"]).ends(2).err.contains("R71"));
}

#[test]
fn providers_are_listed_and_shown() {
    let list = krate(["provider", "list", "-o", "json"]).ends(0).json();
    assert_eq!(list[0]["providerType"], "github");
    let shown = krate(["provider", "show", "github", "-o", "json"]).ends(0).json();
    assert_eq!(shown, list[0]);
    assert!(krate(["provider", "show", "github"]).ends(0).out.contains("hmac-sha256"));
    assert!(krate(["provider", "list"]).ends(0).out.starts_with("TYPE"));
}

#[test]
fn completions_are_there_for_the_common_shells() {
    for shell in ["bash", "zsh", "fish"] {
        assert!(krate(["completions", shell]).ends(0).out.contains("validate"), "{shell}");
    }
    assert!(krate(["completions", "csh"]).ends(2).err.contains("bash"));
}

#[test]
fn a_reader_that_has_seen_enough_is_no_error() {
    let mut child = support::command(["crds"])
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let out = child.wait_with_output().unwrap();
    assert_eq!((out.status.code(), out.stderr.is_empty()), (Some(0), true));
}

/// The case files that stand beside krate-policy's tests.
const CASES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../krate-policy/tests/cases");

#[test]
fn p46_a_folder_of_cases_is_run_and_a_wrong_one_is_explained() {
    let ran = krate(["policy", "test", CASES]).ends(0);
    assert!(ran.out.ends_with(" passed, 0 failed\n"), "{ran:?}");
    let one = krate(["policy", "test", CASES, "--only", "48a ", "-o", "json"]).ends(0).json();
    assert_eq!((&one["passed"], &one["failed"]), (&json!(1), &json!(0)));
    let folder = tempfile::tempdir().expect("a folder");
    let wrong = json!({
        "policy": [], "request": {"organization": "a"},
        "cases": [{"name": "a wish", "expect": {"outcome": "Allowed"}}],
    });
    fs::write(folder.path().join("mine.cases.json"), wrong.to_string()).expect("written");
    let ran = krate(["policy".as_ref(), "test".as_ref(), folder.path().as_os_str()]).ends(1);
    assert!(ran.out.contains("a wish: Allowed is expected, Denied is found") && ran.out.contains("0 passed, 1 failed"));
    fs::write(folder.path().join("mine.cases.json"), "{\"cases\": []}").expect("written");
    let ran = krate(["policy".as_ref(), "test".as_ref(), folder.path().as_os_str()]).ends(2);
    assert!(ran.err.contains("mine.cases.json") && ran.err.contains("missing field `request`"), "{ran:?}");
    let empty = tempfile::tempdir().expect("a folder");
    let ran = krate(["policy".as_ref(), "test".as_ref(), empty.path().as_os_str()]).ends(2);
    assert!(ran.err.contains(".cases.yaml"), "{ran:?}");
}

#[test]
fn p70_a_folder_is_linted_as_of_a_time() {
    let policy = format!("{CASES}/policy");
    let at = |time: &str| krate(["policy", "lint", &policy, "--at", time]);
    let now = at("2026-06-01T00:00:00Z").ends(1);
    assert!(now.out.contains("Unused") && now.out.contains("AgentSecretGrant/model"), "no stack names it: {now:?}");
    assert!(!now.out.contains("Ended"), "{now:?}");
    let late = at("2027-01-01T00:00:00Z").ends(1);
    assert!(late.out.contains("AgentSecretGrant/model") && late.out.contains("Ended"), "{late:?}");
    assert!(at("tomorrow").ends(2).err.contains("--at"));
}

#[test]
fn p47_who_can_tells_persons_actions_and_what_would_change() {
    let policy = format!("{CASES}/policy");
    let ask = |args: &[&str]| {
        let place = ["--policy", &policy, "--organization", "a", "--repository", "krate", "-o", "json"];
        krate(["who-can"].iter().chain(args).chain(&place).copied())
    };
    let who = ask(&["dispatch", "AgentStack"]).ends(0).json();
    let names: Vec<&str> = who.as_array().expect("a list").iter().filter_map(|it| it["person"].as_str()).collect();
    assert_eq!(names, ["ada", "bob"]);
    assert_eq!(who[0]["by"], "RepositoryPermission/ada-krate");
    assert_eq!(ask(&["break-glass", "Issue"]).ends(1).json(), json!([]), "nobody: the answer is no");
    assert_eq!(ask(&["dispatch", "AgentStack", "--as", "dan"]).ends(1).json(), json!([]), "dan may not know");
    let through = ask(&["update", "Issue", "--stack", "repair"]).ends(0).json();
    assert_eq!((&through[0]["person"], &through[0]["outcome"]), (&json!("ada"), &json!("RequiresApproval")));
    assert_eq!(ask(&["create", "AgentStack", "--stack", "repair"]).ends(1).json(), json!([]), "no agent makes agents");
    let what = ask(&["--subject", "cyd"]).ends(0).json();
    assert!(what.as_array().expect("a list").iter().all(|it| it["verb"] != "dispatch"));
    let changes = ask(&["--without", "RepositoryPermission/ada-krate"]).ends(1).json();
    assert_eq!((&changes[0]["person"], &changes[0]["after"]), (&json!("ada"), &json!("Denied")));
    assert!(ask(&["fly", "Issue"]).ends(2).err.contains("fly is no verb"));
    assert!(ask(&["--without", "User/gone"]).ends(2).err.contains("User/gone"));
}
