//! Keys, rules for refs, protected refs (R6, R9, R14, R54, R71, P12).

use krate_model::Digest;
use krate_model::validate::{Request, Writer, validate};
use serde_json::{Value, json};

use super::support::{created, like, request, store, stored, told, updated, with};

// Callers write the values in place.
#[allow(clippy::needless_pass_by_value)]
fn document(kind: &str, spec: Value) -> Value {
    let mut all = json!({"organizationRef": "a"});
    for (field, value) in spec.as_object().unwrap() {
        all[field] = value.clone();
    }
    json!({
        "apiVersion": "krate.a5c.ai/v1alpha1", "kind": kind, "metadata": {"name": "x", "namespace": "krate-org-a"}, "spec": all,
    })
}

fn key() -> String {
    stored("SSHKey/alice")["spec"]["key"].as_str().expect("a key").to_owned()
}

#[test]
fn r14_a_key_is_one_bare_public_key_and_nothing_of_a_private_one_is_told() {
    let body = "b3BlbnNzaC1rZXktdjEAAAAABG5vbmUAAAAEbm9uZQ";
    let pem = |label: &str| format!("-----BEGIN {label}PRIVATE KEY-----\n{body}\n-----END {label}PRIVATE KEY-----\n");
    let putty = format!("PuTTY-User-Key-File-3: ssh-ed25519\nPrivate-Lines: 1\n{body}");
    let hidden = format!("{}\n{}", key(), pem("OPENSSH "));
    for private in [pem("OPENSSH "), pem("RSA "), pem("EC "), pem(""), pem("ENCRYPTED "), putty, hidden] {
        for change in
            [&[("spec.key", json!(private))][..], &[("spec.key", json!(private)), ("spec.title", json!(private))]]
        {
            let made = created(&like("SSHKey/alice", change));
            let changed = updated("SSHKey/alice", change, Writer::Person);
            for report in [made, changed] {
                assert!(told(&report).contains(&"spec.key R14".to_owned()), "{:?}", told(&report));
                let all = format!("{report:?} {}", serde_json::to_string(&report).expect("a report"));
                assert!(!all.contains(body) && !all.contains("BEGIN"), "{all}");
            }
        }
    }
    for (other, what) in [
        (format!("no-pty {}", key()), "options"),
        (format!("{}\n{}", key(), key()), "more than one line"),
        ("ssh-dss AAAAB3NzaC1kc3MAAAAA".to_owned(), "ssh-ed25519"),
        ("my key".to_owned(), "no OpenSSH public key"),
    ] {
        let report = created(&like("SSHKey/alice", &[("spec.key", other.into())]));
        assert_eq!(told(&report), ["spec.key R14"]);
        assert!(report.failures[0].message.contains(what), "{}", report.failures[0]);
    }
}

#[test]
fn r14_a_fingerprint_is_computed_and_not_taken() {
    let fingerprint = "SHA256:AwgMINJZz6pDVFKHMjg0SXpBSXVUcAkwqXQpbbbL4Dk";
    let status = |status: Value| {
        let old = stored("SSHKey/alice");
        let at = "2026-06-01T00:00:00Z".parse().expect("a time");
        let report = validate(
            &with(old.clone(), &[("status", status)]),
            Some(&old),
            &store(),
            &Request::new(Writer::Controller, at).of_status(),
        );
        (told(&report), report.failures.first().map(ToString::to_string).unwrap_or_default())
    };
    let (failures, text) = status(json!({"phase": "Active", "fingerprint": fingerprint, "keyType": "ssh-rsa"}));
    assert_eq!(failures, ["status.fingerprint R14", "status.keyType R14"]);
    let (_, computed) = text.split_once("did you mean ").expect("what would be accepted");
    let computed = computed.trim_end_matches('?');
    assert!(computed.starts_with("SHA256:") && computed != fingerprint, "{text}");
    let right = json!({"phase": "Active", "fingerprint": computed, "keyType": "ssh-ed25519"});
    assert_eq!(status(right).0, [""; 0]);
    assert_eq!(status(json!({"phase": "Pending"})).0, [""; 0]);
}

#[test]
fn r71_a_keys_owner_and_repository_go_with_its_scope() {
    let failures = |scope: &str, owner: bool, repository: bool| {
        let mut spec = json!({"scope": scope, "key": key()});
        if owner {
            spec["owner"] = json!("alice");
        }
        if repository {
            spec["repository"] = json!("krate");
        }
        told(&created(&document("SSHKey", spec)))
    };
    for (scope, owner, repository) in [("user", true, false), ("deploy", false, true), ("automation", false, false)] {
        assert_eq!(failures(scope, owner, repository), [""; 0], "{scope}");
        assert_eq!(failures(scope, !owner, repository), ["spec.owner R71"], "{scope}");
        assert_eq!(failures(scope, owner, !repository), ["spec.repository R71"], "{scope}");
    }
}

#[test]
fn r6_what_a_key_is_and_whose_stays() {
    let other = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
    for (field, value) in [("scope", "automation"), ("key", other), ("owner", "bob")] {
        let at = format!("spec.{field}");
        let found = told(&updated("SSHKey/alice", &[(&at, value.into())], Writer::Person));
        assert!(found.contains(&format!("{at} R6")), "{found:?}");
    }
    let free = [("spec.title", json!("laptop")), ("spec.readOnly", json!(false)), ("spec.revoked", json!(true))];
    assert_eq!(told(&updated("SSHKey/alice", &free, Writer::Person)), [""; 0]);
    let revoked = with(stored("SSHKey/alice"), &[("spec.revoked", json!(true))]);
    let again = with(revoked.clone(), &[("spec.revoked", json!(false))]);
    assert_eq!(told(&validate(&again, Some(&revoked), &store(), &request(Writer::Person))), ["spec.revoked R39"]);
}

#[test]
fn p12_protected_refs_and_denied_ones_are_full_refs() {
    for (kind, spec) in [
        (
            "BranchProtection",
            json!({"repository": "krate", "refs": {"include": ["refs/heads/**", "main"], "exclude": ["x"]}}),
        ),
        ("RefPolicy", json!({"refs": {"include": ["refs/heads/**", "main"], "exclude": ["x"]}})),
    ] {
        let report = created(&document(kind, spec));
        assert_eq!(told(&report), ["spec.refs.exclude[0] P12", "spec.refs.include[1] P12"], "{kind}");
        let accepted = report.failures.iter().map(|failure| json!(failure.accepted)).collect::<Vec<_>>();
        assert_eq!(accepted, [json!("refs/heads/x"), json!("refs/heads/main")], "{kind}");
    }
    let denies = json!({"refs": {"include": ["refs/**"]}, "deny": ["refs/heads/old/**", "refs/heads/a**", "old"]});
    assert_eq!(told(&created(&document("RefPolicy", denies))), ["spec.deny[1] P14", "spec.deny[2] P12"]);
}

#[test]
fn r54_who_may_push_are_principals_and_teams() {
    let push = |names: Value| {
        let spec = json!({"repository": "krate", "refs": {"include": ["refs/heads/main"]}, "restrictPushTo": names});
        told(&created(&document("BranchProtection", spec)))
    };
    assert_eq!(push(json!(["alice", "ext:42", "team/core"])), [""; 0]);
    let bad = push(json!(["@alice", "Alice", "ext:", "team/"]));
    assert_eq!(bad, [0, 1, 2, 3].map(|at| format!("spec.restrictPushTo[{at}] R54")));
}

#[test]
fn r25_bounds_of_a_protection() {
    let with = |field: &str, value: Value| {
        let mut spec = json!({"repository": "krate", "refs": {"include": ["refs/heads/main"]}});
        spec[field] = value;
        told(&created(&document("BranchProtection", spec)))
    };
    for (approvals, is_fine) in [(-1, false), (0, true), (10, true), (11, false)] {
        assert_eq!(with("requiredApprovals", approvals.into()).is_empty(), is_fine, "{approvals}");
    }
    assert_eq!(with("requiredChecks", json!(["build", "build"])), ["spec.requiredChecks[1] R23"]);
    assert_eq!(with("requireReview", json!(true)), ["spec.requireReview R7"]);
    let policy = json!({"refs": {}, "maxFileBytes": 0});
    assert!(!told(&created(&document("RefPolicy", policy))).is_empty());
    assert_eq!(told(&created(&document("RefPolicy", json!({})))), ["spec.refs R25"]);
    assert_eq!(told(&created(&document("BranchProtection", json!({"refs": {}})))), ["spec.repository R25"]);
}

#[test]
fn r67_what_is_not_said_of_a_protection_is_the_strict_word() {
    let defaults = |kind: &str, spec: Value| {
        let mut document = document(kind, spec);
        krate_model::apply_defaults(kind.parse().expect("a kind"), &mut document);
        let mut spec = document["spec"].take();
        for given in ["organizationRef", "refs", "repository", "scope", "key"] {
            spec.as_object_mut().expect("a map").remove(given);
        }
        spec
    };
    assert_eq!(
        defaults("BranchProtection", json!({"repository": "krate", "refs": {}})),
        json!({
            "requirePullRequest": true, "requiredApprovals": 1, "dismissStaleApprovals": true, "requireConversationResolution": false,
            "enforceForAdmins": true,
        })
    );
    assert_eq!(
        defaults("RefPolicy", json!({"refs": {}})),
        json!({"blockForcePush": true, "blockDeletion": true, "requireSignedCommits": false, "requireLinearHistory": false})
    );
    assert_eq!(
        defaults("SSHKey", json!({"scope": "automation", "key": key()})),
        json!({"readOnly": true, "revoked": false})
    );
}

#[test]
fn r6_a_long_key_is_told_by_its_digest() {
    let other = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
    let report = updated("SSHKey/alice", &[("spec.key", other.into())], Writer::Person);
    let text = report.failures.iter().map(ToString::to_string).collect::<String>();
    assert!(text.contains(&Digest::of(format!("\"{other}\"").as_bytes()).to_string()), "{text}");
    assert!(!text.contains("AAAAC3Nza"), "{text}");
}
