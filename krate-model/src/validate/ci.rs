//! Pipelines and runner pools (R15, R46).

use serde_json::Value;

use super::Subject;
use super::failure::{Code, Findings};
use super::path::{get, int, list, text};
use super::rules::Rule;
use crate::Kind;

pub(super) fn check(subject: &Subject<'_>, findings: &mut Findings) {
    match subject.kind {
        Kind::RunnerPool => runner_pool(subject, findings),
        Kind::Pipeline => pipeline(subject, findings),
        _ => {}
    }
}

fn is_trusted(spec: &Value) -> bool {
    text(spec, "trustTier") == Some("trusted")
}

fn runner_pool(subject: &Subject<'_>, findings: &mut Findings) {
    let spec = subject.spec;
    if let (Some(warm), Some(max)) = (int(spec, "warmReplicas"), int(spec, "maxReplicas"))
        && max < warm
    {
        findings.fail(
            "spec.maxReplicas",
            Rule::r(15),
            Code::Invalid,
            format!("is {max}, less than warmReplicas, {warm}"),
        );
    }
    if is_trusted(spec) {
        if list(spec, "allowedRepositories").is_empty() {
            let message = "a trusted pool lists the repositories that may use it";
            findings.fail("spec.allowedRepositories", Rule::r(15), Code::Required, message);
        }
        return;
    }
    let Some(account) = text(spec, "serviceAccountRef") else { return };
    let granted = subject.view.of_kind(Kind::AgentSecretGrant).any(|grant| {
        text(grant, "metadata.namespace") == Some(subject.namespace())
            && [text(grant, "spec.subject.name"), text(grant, "spec.subject.serviceAccountRef")]
                .contains(&Some(account))
            && !super::path::is_true(grant, "spec.revoked")
    });
    if granted {
        let message = "an untrusted pool has no account that secrets are granted to";
        findings.fail("spec.serviceAccountRef", Rule::r(15), Code::Forbidden, message);
    } else if !subject.view.is_complete() {
        let reason = format!("grants to {account} are not among the given documents");
        findings.unchecked("spec.serviceAccountRef", Rule::r(15), reason);
    }
}

fn pipeline(subject: &Subject<'_>, findings: &mut Findings) {
    let spec = subject.spec;
    let in_namespace = |kind: Kind, name: &str| subject.view.get(kind, subject.namespace(), name);
    if is_trusted(spec)
        && let Some(name) = text(spec, "pullRequest")
    {
        match in_namespace(Kind::PullRequest, name) {
            None if !subject.view.is_complete() => {
                let reason = format!("PullRequest {name} is not among the given documents");
                findings.unchecked("spec.trustTier", Rule::r(46), reason);
            }
            // P23: unknown counts as fork.
            pull_request if pull_request.and_then(|pr| get(pr, "status.fromFork")) != Some(&Value::Bool(false)) => {
                let message = format!("{name} comes from a fork, or may: its pipelines are untrusted");
                findings.fail_near("spec.trustTier", Rule::r(46), Code::Forbidden, message, Some("untrusted"));
            }
            Some(_) | None => {}
        }
    }
    if !is_trusted(spec)
        && let Some(name) = text(spec, "runnerPool")
        && in_namespace(Kind::RunnerPool, name).and_then(|pool| pool.get("spec")).is_some_and(is_trusted)
    {
        let message = format!("{name} is a trusted pool; an untrusted pipeline never gets one");
        findings.fail("spec.runnerPool", Rule::r(46), Code::Forbidden, message);
    }
}
