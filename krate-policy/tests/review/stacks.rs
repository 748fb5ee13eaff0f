//! A stack that names what isn't there: admitted, not Ready, and never dispatched (R17, R32).

use std::collections::BTreeSet;

use krate_model::condition::condition;
use krate_model::kinds::agents::AgentStack;
use krate_model::kinds::shared::{Time, parse_time};
use krate_model::validate::{Request, View, Writer, validate};
use krate_model::{Kind, Resource};
use krate_policy::snapshot::{Item, Snapshot};
use krate_policy::stacks::{MAX_SHOWN, Named, judged, missing, named};
use serde_json::{Value, json};

use super::world::{NS, account, asked, codes, item, snapshot, stack};

fn now() -> Time {
    parse_time("2026-06-01T00:00:00Z").unwrap()
}

/// A stack that names one thing of each kind that it can.
fn full() -> AgentStack {
    read(&stack(|spec, _| {
        let all = json!({
            "provider": "claude", "agentsDocRef": {"source": {"repository": "krate"}, "path": "AGENTS.md"},
            "toolProfileRef": "tools", "mcpServerRefs": ["docs"], "skillRefs": ["triage"], "subagentRefs": ["helper"],
            "contextLabelRefs": ["careful"], "workspacePolicyRef": "clean", "memorySourceRefs": ["notes"],
            "runnerPool": "small",
            "permissionRefs": {"roleBindings": ["role"], "secretGrants": ["model"], "configGrants": ["settings"]},
        });
        spec.as_object_mut().unwrap().extend(all.as_object().unwrap().clone());
    }))
}

fn read(item: &Item) -> AgentStack {
    match item {
        Item::AgentStack(stack) => (**stack).clone(),
        other => panic!("{other:?}"),
    }
}

/// All of it is there but this one.
fn without(stack: &AgentStack, gone: Option<&Named>) -> Vec<Named> {
    let all = named(stack);
    all.into_iter().filter(|it| Some(it) == gone).collect()
}

/// What is said against a dispatch of it.
fn dispatched(stack: AgentStack) -> Vec<&'static str> {
    codes(&asked(&snapshot().with(9, [stack.into()]), |document| document["needs"] = json!([])))
}

fn condition_types(stack: &AgentStack) -> BTreeSet<String> {
    let conditions = &stack.status.as_ref().expect("a status").conditions;
    conditions.iter().map(|known| known.type_.clone()).collect()
}

#[test]
fn r17_every_reference_of_a_stack_is_known() {
    let found: Vec<(String, String)> = named(&full()).into_iter().map(|it| (it.path, it.kind)).collect();
    let expected = [
        ("spec.adapter", "AgentAdapter"),
        ("spec.agentsDocRef.source.repository", "Repository"),
        ("spec.contextLabelRefs[0]", "AgentContextLabel"),
        ("spec.mcpServerRefs[0]", "AgentMcpServer"),
        ("spec.memorySourceRefs[0]", "AgentMemorySource"),
        ("spec.permissionRefs.configGrants[0]", "AgentConfigGrant"),
        ("spec.permissionRefs.roleBindings[0]", "AgentRoleBinding"),
        ("spec.permissionRefs.secretGrants[0]", "AgentSecretGrant"),
        ("spec.provider", "AgentProviderConfig"),
        ("spec.runnerPool", "RunnerPool"),
        ("spec.runtimeIdentity.serviceAccountRef", "AgentServiceAccount"),
        ("spec.skillRefs[0]", "AgentSkill"),
        ("spec.subagentRefs[0]", "AgentSubagent"),
        ("spec.toolProfileRef", "AgentToolProfile"),
        ("spec.workspacePolicyRef", "AgentWorkspacePolicy"),
    ];
    assert_eq!(found, expected.map(|(path, kind)| (path.to_owned(), kind.to_owned())));
}

#[test]
fn r17_a_stack_with_any_unresolved_reference_is_not_ready_and_never_dispatched() {
    for gone in named(&full()) {
        let blocked = judged(&full(), &without(&full(), Some(&gone)), now());
        let status = blocked.status.as_ref().expect("a status");
        assert_eq!(status.phase.as_str(), "Blocked", "{gone}");
        let of_it = format!("ReferenceResolved.{}.{}", gone.kind, gone.name);
        assert_eq!(condition_types(&blocked), [of_it.clone(), "Ready".to_owned()].into());
        for kind in [&*of_it, "Ready"] {
            let told = condition(&status.conditions, kind).expect("told");
            assert_eq!((&*told.status, &*told.reason), ("False", "ReferenceNotFound"), "{gone}");
            assert!(told.message.starts_with(&gone.path), "R32: {}", told.message);
        }
        // Its status alone keeps it from being dispatched.
        let mut plain = read(&stack(|_, _| ()));
        plain.status = blocked.status;
        assert_eq!(dispatched(plain), ["StackNotReady"], "{gone}");
    }
    // One that lacks nothing is left as it is.
    let plain = read(&stack(|_, _| ()));
    assert_eq!(judged(&plain, &[], now()), plain);
    assert_eq!(dispatched(plain), [""; 0]);
}

#[test]
fn r17_such_a_stack_is_admitted() {
    let mut document = serde_json::to_value(full()).unwrap();
    document.as_object_mut().unwrap().remove("status");
    document["metadata"] = json!({"name": "repair", "namespace": NS});
    let organization = json!({"apiVersion": "krate.a5c.ai/v1alpha1", "kind": "Organization",
        "metadata": {"name": "a", "namespace": "krate-system"}, "spec": {"displayName": "A", "slug": "a", "namespaceName": NS}});
    let report = validate(&document, None, &View::complete([organization]), &Request::new(Writer::Person, now()));
    assert!(report.is_valid(), "{:?}", report.failures);
    assert_eq!(report.unresolved.len(), named(&full()).len());
}

#[test]
fn r17_what_is_there_is_found_by_name_in_the_stacks_own_namespace() {
    let world = snapshot().with(9, [account()]);
    let stack = read(&stack(|_, _| ()));
    let paths = |snapshot: &Snapshot, adapter: bool| -> Vec<String> {
        let is_there = |kind: Kind, name: &str| adapter && kind == Kind::AgentAdapter && name == "local";
        missing(&stack, snapshot, is_there, now()).into_iter().map(|it| it.path).collect()
    };
    assert_eq!(paths(&world, true), [""; 0]);
    assert_eq!(paths(&world, false), ["spec.adapter"]);
    assert_eq!(paths(&Snapshot::new(1), true), ["spec.runtimeIdentity.serviceAccountRef"]);
    let mut elsewhere = account().document();
    elsewhere["metadata"]["namespace"] = json!("krate-org-b");
    let elsewhere = Item::read(Kind::AgentServiceAccount, &elsewhere).unwrap().unwrap();
    assert_eq!(paths(&Snapshot::new(1).with(2, [elsewhere]), true), ["spec.runtimeIdentity.serviceAccountRef"]);
}

#[test]
fn r17_p6_what_another_organization_does_not_share_does_not_resolve() {
    let theirs = |kind: &str, name: &str, spec: Value, status: Value| {
        let mut document = item(kind, name, spec, status).document();
        document["metadata"]["namespace"] = json!("krate-org-b");
        Item::read(kind.parse().unwrap(), &document).unwrap().unwrap()
    };
    let b =
        item("Organization", "b", json!({"displayName": "B", "slug": "b", "namespaceName": "krate-org-b"}), json!({}));
    let refs = json!([{"kind": "AgentMcpServer", "names": ["docs"], "verbs": ["reference"]}]);
    let side = |side: &str, status: &str| {
        let spec = json!({"side": side, "sourceOrg": "b", "targetOrg": "a", "allowedRefs": refs});
        let status = json!({"phase": status});
        if side == "offer" {
            theirs("OrgSharingPolicy", side, spec, status)
        } else {
            item("OrgSharingPolicy", side, spec, status)
        }
    };
    let server = || {
        let spec = json!({"organizationRef": "b", "transport": "stdio", "command": "docs", "scope": "organization"});
        theirs("AgentMcpServer", "docs", spec, json!({"phase": "Ready"}))
    };
    let stack = read(&stack(|spec, _| {
        spec["sharedRefs"] = json!([{"organization": "b", "kind": "AgentMcpServer", "name": "docs"}]);
    }));
    let gone = |items: Vec<Item>| -> Vec<String> {
        let world = snapshot().with(9, items);
        missing(&stack, &world, |_, _| true, now()).iter().map(ToString::to_string).collect()
    };
    let told = "spec.sharedRefs[0]: AgentMcpServer b/docs isn't there, or isn't shared";
    assert_eq!(gone(vec![b.clone(), server(), side("offer", "Active"), side("accept", "Active")]), [""; 0]);
    assert_eq!(gone(vec![b.clone(), side("offer", "Active"), side("accept", "Active")]), [told]);
    assert_eq!(gone(vec![b.clone(), server(), side("offer", "Active")]), [told]);
    assert_eq!(gone(vec![b, server(), side("offer", "Active"), side("accept", "Revoked")]), [told]);
    let blocked = judged(&stack, &missing(&stack, &snapshot(), |_, _| true, now()), now());
    assert!(condition_types(&blocked).contains("ReferenceResolved.AgentMcpServer.b.docs"));
}

#[test]
fn r17_r27_a_condition_goes_with_what_it_is_about_and_its_time_moves_with_its_status_only() {
    let later = now() + chrono::TimeDelta::hours(1);
    let all = named(&full());
    let one = judged(&full(), &all[..2], now());
    assert_eq!(judged(&one, &all[..2], later), one, "nothing new is nothing to write");
    let other = judged(&one, &all[1..3], later);
    let time = |stack: &AgentStack, named: &Named| {
        let kind = format!("ReferenceResolved.{}.{}", named.kind, named.name);
        let conditions = &stack.status.as_ref().expect("a status").conditions;
        condition(conditions, &kind).map(|known| krate_model::condition::from_kube_time(&known.last_transition_time))
    };
    assert_eq!([0, 1, 2].map(|at| time(&other, &all[at])), [None, Some(now()), Some(later)]);
    let whole = judged(&other, &[], later);
    let status = whole.status.as_ref().expect("a status");
    assert_eq!((status.phase.as_str(), condition_types(&whole)), ("Pending", ["Ready".to_owned()].into()));
    assert_eq!(
        condition(&status.conditions, "Ready").map(|it| (&*it.status, &*it.reason)),
        Some(("Unknown", "ReferencesResolved"))
    );
    assert_eq!(judged(&whole, &[], later), whole);
}

#[test]
fn r17_a_status_holds_what_fits_and_counts_the_rest() {
    let mut long = full();
    long.spec.skill_refs = (0..200).map(|at| format!("skill-{at}")).chain(["no name at all".to_owned()]).collect();
    let blocked = judged(&long, &named(&long), now());
    let status = blocked.status.as_ref().expect("a status");
    assert_eq!(status.conditions.len(), MAX_SHOWN + 1);
    let ready = condition(&status.conditions, "Ready").expect("told");
    assert!(ready.message.ends_with(&format!("; and {} more", named(&long).len() - 1)), "{}", ready.message);
    let fits = |text: &str| text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._".contains(&byte));
    assert!(status.conditions.iter().all(|known| fits(&known.type_)));
    let strange = Named { path: "p".into(), kind: "AgentSkill".into(), organization: None, name: "no name".into() };
    let odd = judged(&long, &[strange], now());
    assert!(condition_types(&odd).iter().all(|kind| fits(kind) && kind.len() < 253));
    assert_eq!(AgentStack::KIND, Kind::AgentStack);
}
