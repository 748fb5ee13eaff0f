//! krate's roles as Kubernetes has them, and the committed YAML of each.
#![allow(missing_docs)]

use std::path::{Path, PathBuf};

use krate_model::ClosedSet;
use krate_model::Kind;
use krate_policy::native::{NativeRole, NotNative, access_review, question, role, role_binding};
use krate_policy::request::Verb;
use krate_policy::roles::{Controller, Template};
use krate_policy::snapshot::{Item, Snapshot};
use krate_policy::who::{Place, request};
use serde_json::{Value, json};

const NS: &str = "krate-org-acme";

fn committed() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("rbac")
}

// Callers write the values in place.
#[allow(clippy::needless_pass_by_value)]
fn item(kind: &str, name: &str, spec: Value, status: Value) -> Item {
    let mut all = json!({"organizationRef": "acme"});
    for (field, value) in spec.as_object().unwrap() {
        all[field] = value.clone();
    }
    let document = json!({
        "apiVersion": "krate.a5c.ai/v1alpha1", "kind": kind, "spec": all, "status": status,
        "metadata": {"name": name, "namespace": NS, "uid": format!("u-{name}"), "resourceVersion": "1"},
    });
    Item::read(kind.parse().unwrap(), &document).unwrap().unwrap()
}

fn snapshot() -> Snapshot {
    let organization = json!({
        "apiVersion": "krate.a5c.ai/v1alpha1", "kind": "Organization", "metadata": {"name": "acme", "namespace": "krate-system", "uid": "u-acme"},
        "spec": {"displayName": "Acme", "slug": "acme", "namespaceName": NS}, "status": {"phase": "Ready"},
    });
    let person = |name: &str, spec: Value| {
        let mut all = json!({"displayName": name, "email": format!("{name}@example.com")});
        for (field, value) in spec.as_object().unwrap() {
            all[field] = value.clone();
        }
        item("User", name, all, json!({"phase": "Active"}))
    };
    let subagent = |name: &str, spec: Value| {
        let mut all = json!({"rolePrompt": "Reads the log.", "taskKinds": ["read"]});
        all.as_object_mut().unwrap().extend(spec.as_object().unwrap().clone());
        item("AgentSubagent", name, all, json!({"phase": "Ready"}))
    };
    Snapshot::new(0).with(
        1,
        [
            Item::read(Kind::Organization, &organization).unwrap().unwrap(),
            person("ada", json!({"username": "ada@sign-in"})),
            person("bob", json!({})),
            item("Team", "core", json!({"displayName": "Core", "members": ["ada"]}), json!({"phase": "Ready"})),
            item(
                "AgentServiceAccount",
                "helper",
                json!({"namespace": NS, "serviceAccountName": "agent-helper"}),
                json!({"phase": "Ready"}),
            ),
            item(
                "AgentStack",
                "helper",
                json!({"baseAgent": "codex", "adapter": "local", "runtimeIdentity": {"serviceAccountRef": "helper"}}),
                json!({"phase": "Ready"}),
            ),
            item(
                "AgentServiceAccount",
                "second",
                json!({"namespace": NS, "serviceAccountName": "agent-second"}),
                json!({"phase": "Ready"}),
            ),
            subagent("plain", json!({})),
            subagent("own", json!({"serviceAccountRef": "second"})),
        ],
    )
}

/// `KRATE_UPDATE=1 cargo test` writes the files anew.
#[test]
fn p39_the_committed_roles_are_what_the_templates_make() {
    let mut expected = Vec::new();
    for native in NativeRole::ALL {
        let name = format!("{native}.yaml");
        let made = serde_saphyr::to_string(&role(native, NS)).unwrap();
        let path = committed().join(&name);
        if std::env::var_os("KRATE_UPDATE").is_some() {
            std::fs::create_dir_all(committed()).unwrap();
            std::fs::write(&path, &made).unwrap();
        }
        let found = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(found == made, "rbac/{name} is not what the source makes; run the tests with KRATE_UPDATE=1");
        expected.push(name);
    }
    expected.sort();
    let entries = std::fs::read_dir(committed()).unwrap();
    let mut found: Vec<String> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    found.sort();
    assert_eq!(found, expected);
}

fn rules(native: &NativeRole) -> Vec<(String, String, Vec<String>)> {
    let role = role(native, NS);
    let texts =
        |value: &Value| value.as_array().unwrap().iter().map(|it| it.as_str().unwrap().to_owned()).collect::<Vec<_>>();
    let mut all = Vec::new();
    for rule in role["rules"].as_array().unwrap() {
        for group in texts(&rule["apiGroups"]) {
            for resource in texts(&rule["resources"]) {
                all.push((group.clone(), resource, texts(&rule["verbs"])));
            }
        }
    }
    all
}

#[test]
fn p39_no_role_has_a_wildcard_or_reads_a_secret() {
    for native in NativeRole::ALL {
        let all = rules(native);
        assert!(!all.is_empty(), "{native}");
        for (group, resource, verbs) in &all {
            for word in [group, resource].into_iter().chain(verbs) {
                assert!(!word.contains('*'), "{native}: {group} {resource} {verbs:?}");
            }
            assert!(
                !(group.is_empty() && (resource.starts_with("secrets") || resource.contains("exec"))),
                "{native}: {resource}"
            );
            assert!(!verbs.iter().any(|verb| verb == "impersonate"), "{native}");
        }
    }
}

/// What a template has in krate, its Role has in Kubernetes: there is no right that only one of them knows.
#[test]
fn p39_a_role_is_its_template_and_nothing_else() {
    for native in &NativeRole::ALL[..8] {
        let template = Template::from_text(native.as_str());
        assert!(template.is_known(), "{native}");
        let all = rules(native);
        for kind in Kind::ALL {
            let plural = kind.info().plural;
            let plain = all.iter().find(|(_, resource, _)| resource == plural).map(|it| &it.2);
            for verb in Verb::ALL {
                let commands =
                    ["decision", "review", "resolution", "disposition", "cancel", "continue", "rerun", "merge"];
                let through = all.iter().any(|(_, resource, _)| {
                    resource.split_once('/').is_some_and(|(of, name)| of == plural && commands.contains(&name))
                });
                let in_kubernetes = plain.is_some_and(|verbs| verbs.iter().any(|it| it == verb.as_str()));
                let of_platform = kind.info().home == krate_model::kinds::registry::Home::Platform;
                let in_krate = template.allows(verb, *kind) && !of_platform;
                assert!(in_kubernetes == in_krate || (in_krate && through), "{native}: {verb} {kind}");
            }
        }
    }
}

#[test]
fn p39_a_binding_names_its_subject_as_kubernetes_does() {
    let snapshot = snapshot();
    let bind = |subject: Value, scope: Value| {
        let spec = json!({"subject": subject, "roleRef": {"kind": "RoleTemplate", "name": "krate-maintainer"}, "scope": scope});
        let Item::AgentRoleBinding(binding) = item("AgentRoleBinding", "b", spec, json!({"phase": "Pending"})) else {
            panic!()
        };
        role_binding(&binding, "acme", &snapshot)
    };
    let everywhere = || json!({"kind": "organization"});
    let subject = |subject: Value| bind(subject, everywhere()).unwrap()["subjects"][0].clone();
    assert_eq!(
        subject(json!({"kind": "user", "name": "ada"}))["name"],
        "ada@sign-in",
        "never the e-mail address (P64)"
    );
    assert_eq!(subject(json!({"kind": "user", "name": "bob"}))["name"], "bob");
    assert_eq!(subject(json!({"kind": "team", "name": "core"}))["name"], "krate:org:acme:team:core");
    let account = json!({"kind": "ServiceAccount", "name": "agent-helper", "namespace": NS});
    assert_eq!(subject(json!({"kind": "agent-stack", "name": "helper", "serviceAccountRef": "helper"})), account);
    assert_eq!(subject(json!({"kind": "service-account", "name": "helper"})), account);
    let bound = bind(json!({"kind": "user", "name": "bob"}), everywhere()).unwrap();
    assert_eq!(
        bound["roleRef"],
        json!({"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "krate-maintainer"})
    );
    for stranger in [json!({"kind": "user", "name": "eve"}), json!({"kind": "agent-stack", "name": "helper"})] {
        assert!(matches!(bind(stranger, everywhere()), Err(NotNative::Subject { .. })));
    }
    let narrow = bind(json!({"kind": "user", "name": "bob"}), json!({"kind": "repository", "name": "krate"}));
    assert!(matches!(narrow, Err(NotNative::Scope { .. })), "Kubernetes would give it everywhere");
}

#[test]
fn p63_a_question_to_kubernetes_is_about_this_verb_kind_and_subject() {
    let snapshot = snapshot();
    let place = Place::new("acme", "2026-06-01T00:00:00Z".parse().unwrap());
    let ask = |verb: Verb, kind: Kind| {
        let question = question(&request(&snapshot, &place, "ada", &verb, kind), &snapshot);
        access_review(&question.unwrap())["spec"].clone()
    };
    assert_eq!(
        ask(Verb::Create, Kind::Issue),
        json!({
            "user": "ada@sign-in", "groups": ["krate:org:acme:team:core"],
            "resourceAttributes": {"namespace": NS, "verb": "create", "group": "krate.a5c.ai", "resource": "issues"},
        })
    );
    let decides = ask(Verb::Decide, Kind::AgentApproval);
    assert_eq!(decides["resourceAttributes"]["verb"], "update");
    assert_eq!(decides["resourceAttributes"]["subresource"], "decision");
    let snapshot = snapshot.with_controller("krate-operator", "u-krate-operator", Controller::Operator);
    let as_whom = |chain: Value| {
        let mut request = request(&snapshot, &place, "ada", &Verb::Get, Kind::Issue);
        request.subject = serde_json::from_value(chain[0].clone()).unwrap();
        request.actor_chain = serde_json::from_value(chain).unwrap();
        question(&request, &snapshot).map(|question| question.user.to_string())
    };
    let link = |kind: &str, name: &str| json!({"kind": kind, "name": name, "uid": format!("u-{name}")});
    let account = |name: &str| Some(format!("system:serviceaccount:krate-org-acme:{name}"));
    let stack = || link("agent-stack", "helper");
    assert_eq!(as_whom(json!([stack()])), account("agent-helper"));
    assert_eq!(as_whom(json!([link("agent-stack", "gone")])), None);
    assert_eq!(as_whom(json!([link("tool", "git"), link("subagent", "plain"), stack()])), account("agent-helper"));
    let own = as_whom(json!([link("subagent", "plain"), link("subagent", "own"), stack()]));
    assert_eq!(own, account("agent-second"), "P25: an account of its own");
    assert_eq!(as_whom(json!([link("subagent", "gone"), stack()])), None);
    assert_eq!(
        as_whom(json!([link("runner", "small"), stack()])),
        None,
        "its pod has an account that krate doesn't know"
    );
    assert_eq!(as_whom(json!([link("controller", "krate-operator")])), Some("krate-operator".to_owned()));
    let other = json!({"kind": "controller", "name": "krate-operator", "uid": "u-other"});
    assert_eq!(as_whom(json!([other])), None, "the same name with another uid is somebody else (P20)");
}
