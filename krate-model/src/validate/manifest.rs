//! Capability manifests: whose they are, and that a discovered one only narrows (R11, R63).

use std::collections::BTreeMap;

use regex_lite::Regex;
use serde_json::Value;

use super::failure::{Code, Findings};
use super::path::{entries, int, is_true, list, text, texts};
use super::rules::Rule;
use super::work::exactly_when;
use super::{Subject, Writer};
use crate::Kind;
use crate::kinds::sets::{Interface, Operation};

pub(super) fn check(subject: &Subject<'_>, findings: &mut Findings) {
    let (spec, rule) = (subject.spec, Rule::r(63));
    let source = text(spec, "source");
    exactly_when(subject, "adapterRef", source == Some("declared"), rule, "where source is declared", findings);
    exactly_when(subject, "providerRef", source == Some("discovered"), rule, "where source is discovered", findings);
    if source == Some("declared") && text(spec, "providerType").is_some_and(|kind| kind != "custom") {
        let message = "a declared manifest describes a custom adapter";
        findings.fail_near("spec.providerType", rule, Code::Invalid, message, Some("custom"));
    }
    if source == Some("builtin") {
        if subject.namespace() != subject.view.platform_namespace() {
            let message = "a built-in manifest stands in the platform's namespace and comes with the software";
            findings.fail_set("spec.source", rule, message, ["discovered", "declared"]);
        } else if subject.request.writer != Writer::Controller {
            findings.fail("spec.source", rule, Code::Forbidden, "a built-in manifest changes with the software only");
        }
    }
    for (at, key) in entries(spec, "externalRefKeys", "name") {
        if text(key, "pattern").is_some_and(|pattern| Regex::new(&format!("^(?:{pattern})$")).is_err()) {
            let message = "is no regular expression";
            findings.fail(format!("spec.{at}.pattern"), Rule::r(11), Code::Invalid, message);
        }
    }
    operations(subject, findings);
    if source == Some("discovered") {
        narrows(subject, findings);
    }
}

/// Operations stand under their interface and say truly whether they write.
fn operations(subject: &Subject<'_>, findings: &mut Findings) {
    for (at, interface) in entries(subject.spec, "interfaces", "name") {
        let own = text(interface, "name").and_then(|name| name.parse::<Interface>().ok());
        for (operation_at, entry) in entries(interface, "operations", "operation") {
            let Some(operation) = text(entry, "operation").and_then(|name| name.parse::<Operation>().ok()) else {
                continue;
            };
            let at = format!("spec.{at}.{operation_at}");
            if own.is_some() && operation.interface() != own {
                let message = format!("{operation} is an operation of another interface");
                let meant = operation.interface();
                findings.fail_near(&at, Rule::r(63), Code::Invalid, message, meant.as_ref().map(Interface::as_str));
            }
            if entry.get("write").and_then(Value::as_bool).is_some_and(|write| write != operation.is_write()) {
                let truth = if operation.is_write() { "writes" } else { "only reads" };
                findings.fail(format!("{at}.write"), Rule::r(63), Code::Invalid, format!("{operation} {truth}"));
            }
        }
    }
}

/// How much a repeated write can harm; a discovered manifest never claims less (R63).
fn safety(entry: &Value) -> u8 {
    match text(entry, "idempotency") {
        Some("native") => 3,
        Some("precondition") => 2,
        Some("verify-by-read") => 1,
        _ => 0,
    }
}

fn narrows(subject: &Subject<'_>, findings: &mut Findings) {
    let rule = Rule::r(63);
    let provider = text(subject.spec, "providerRef")
        .and_then(|name| subject.view.get(Kind::ExternalBackendProvider, subject.namespace(), name));
    let Some(wide) = provider.and_then(|provider| subject.view.manifest_of(provider)) else {
        if !subject.view.is_complete() {
            findings.unchecked(
                "spec.interfaces",
                rule,
                "the manifest of the provider's type is not among the given documents",
            );
        }
        return;
    };
    let by_key = |value: &Value, field: &str, key: &str| -> BTreeMap<String, Value> {
        let named = list(value, field).iter().filter_map(|entry| Some((text(entry, key)?.to_owned(), entry.clone())));
        named.collect()
    };
    let interfaces = by_key(wide, "spec.interfaces", "name");
    for (at, interface) in
        entries(subject.spec, "interfaces", "name").into_iter().filter(|(_, i)| is_true(i, "supported"))
    {
        let at = format!("spec.{at}");
        let known =
            text(interface, "name").and_then(|name| interfaces.get(name)).filter(|known| is_true(known, "supported"));
        let Some(known) = known else {
            findings.fail(&at, rule, Code::Forbidden, "the provider's type has no such interface");
            continue;
        };
        let operations = by_key(known, "operations", "operation");
        for (operation_at, entry) in entries(interface, "operations", "operation") {
            let at = format!("{at}.{operation_at}");
            let Some(known) = text(entry, "operation").and_then(|name| operations.get(name)) else {
                findings.fail(&at, rule, Code::Forbidden, "the provider's type has no such operation");
                continue;
            };
            if safety(entry) > safety(known) {
                findings.fail(format!("{at}.idempotency"), rule, Code::Forbidden, "is better than the type's");
            }
            for (cost, default) in [("restCost", 1), ("pointCost", 0)] {
                if int(entry, cost).unwrap_or(default) < int(known, cost).unwrap_or(default) {
                    findings.fail(format!("{at}.{cost}"), rule, Code::Forbidden, "is less than the type's");
                }
            }
        }
        let events = by_key(known, "webhooks", "event");
        for (event_at, entry) in entries(interface, "webhooks", "event") {
            let at = format!("{at}.{event_at}");
            let Some(known) = text(entry, "event").and_then(|name| events.get(name)) else {
                findings.fail(&at, rule, Code::Forbidden, "the provider's type has no such event");
                continue;
            };
            let actions: Vec<&str> = texts(known, "actions").map(|(_, action)| action).collect();
            let more = texts(entry, "actions").find(|(_, action)| !actions.is_empty() && !actions.contains(action));
            if let Some((index, _)) = more {
                let at = format!("{at}.actions[{index}]");
                findings.fail(at, rule, Code::Forbidden, "the provider's type has no such action");
            }
        }
    }
}
