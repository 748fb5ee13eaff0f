//! Every event in every phase of every machine (S40), the machines against the spec's table and the model's phases (R39), and what only guards can show.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::Path;

use krate_model::kinds::external::{
    ConfirmedBy, DeliveryOutcome, ExternalBackendBinding, ExternalBackendBindingPhase, ExternalBackendProvider,
    ExternalBackendProviderPhase, ExternalSyncConflict, ExternalSyncConflictPhase, ExternalSyncState,
    ExternalSyncStatePhase, ExternalWebhookDelivery, ExternalWebhookDeliveryPhase, ExternalWriteIntent,
    ExternalWriteIntentPhase, HookStatus, IntentApproval, IntentCancel, IntentCredential, IntentResponse, ManifestRef,
    SeenVersions,
};
use krate_model::kinds::sets::{ActorKind, AuthMode, ErrorClass, Idempotency};
use krate_model::kinds::shared::parse_time;
use proptest::prelude::{Just, any, prop, prop_assert, prop_assert_eq, prop_oneof, proptest};
use proptest::strategy::Strategy;
use serde::de::DeserializeOwned;
use serde_json::{Value as Json, json};

use super::*;

fn now() -> Time {
    parse_time("2026-06-01T12:00:00Z").unwrap()
}

fn seconds(count: i64) -> Time {
    now() + TimeDelta::seconds(count)
}

fn digest(text: &str) -> Digest {
    Digest::of(text.as_bytes())
}

fn person() -> Actor {
    Actor::new(ActorKind::User, "ada")
}

fn error(class: ErrorClass) -> ErrorInfo {
    ErrorInfo { class, message: "m".into(), path: None, until: None, request_id: None, at: now() }
}

/// Calls `act` with what a step is told.
fn with_ctx<T>(at: Time, act: impl FnOnce(&Ctx<'_>) -> T) -> T {
    let actor = Actor::new(ActorKind::Controller, "krate-sync");
    act(&Ctx { now: at, actor: &actor, policy: &Policy::default(), seed: 7 })
}

fn record<R: DeserializeOwned>(kind: &str, spec: &Json, status: &Json) -> R {
    let metadata = json!({"name": "r-1", "namespace": "krate-org-acme", "uid": "u-1", "generation": 2});
    let whole = json!({"apiVersion": krate_model::API_VERSION, "kind": kind, "metadata": metadata, "spec": spec, "status": status});
    serde_json::from_value(whole).unwrap()
}

fn intent_spec() -> Json {
    json!({
        "organizationRef": "acme", "providerRef": "gh", "bindingRef": "web", "interface": "issueTracking",
        "operation": "updateIssue", "source": {"kind": "UserAction", "actor": {"kind": "user", "name": "ada"}},
        "target": {"kind": "Issue", "name": "i-7"},
        "nativeTarget": {"nativeKind": "issue", "nativeId": "7", "container": {"owner": "acme"}},
        "payload": {"updateIssue": {"title": "t"}}, "desiredGeneration": 3, "requestDigest": digest("request"),
        "idempotencyKey": digest("key"), "approvalPolicy": {"required": true},
    })
}

fn approval(approved: &str, by: Actor) -> IntentApproval {
    IntentApproval { approval_ref: "a-1".into(), digest: digest(approved), by: vec![by], at: None }
}

fn intent(phase: &str) -> ExternalWriteIntent {
    let approval = approval("request", person());
    record("ExternalWriteIntent", &intent_spec(), &json!({"phase": phase, "approval": approval}))
}

fn conflict_spec() -> Json {
    let value = |text: &str| json!({"json": text, "digest": digest(text), "bytes": text.len()});
    json!({
        "organizationRef": "acme", "providerRef": "gh", "bindingRef": "web", "interface": "issueTracking",
        "resource": {"kind": "Issue", "name": "i-7"}, "linkRef": "l-7", "fieldPath": "spec.title",
        "reason": "ConcurrentEdit", "strategy": "scalar", "base": value("\"a\""), "desired": value("\"b\""),
        "observed": value("\"c\""), "versions": {"desiredGeneration": 3, "observed": {"sequence": 4}},
    })
}

fn conflict(phase: &str) -> ExternalSyncConflict {
    record("ExternalSyncConflict", &conflict_spec(), &json!({"phase": phase}))
}

fn resolution(strategy: &str) -> Json {
    json!({"strategy": strategy, "seenVersions": {"desiredGeneration": 3, "observed": {"sequence": 4}}})
}

fn seen(generation: i64) -> SeenVersions {
    let observed = Version { sequence: Some(4), ..Version::default() };
    SeenVersions { desired_generation: generation, observed }
}

fn delivery(phase: &str) -> ExternalWebhookDelivery {
    let spec = json!({
        "organizationRef": "acme", "providerRef": "gh", "deliveryId": "d-1", "eventType": "issues",
        "receivedAt": "2026-06-01T12:00:00Z", "signature": {"algorithm": "hmac-sha256", "verified": true},
        "payload": {"digest": digest("p"), "bytes": 1, "mediaType": "application/json", "storage": "inline", "inline": "cA=="},
    });
    record("ExternalWebhookDelivery", &spec, &json!({"phase": phase}))
}

fn state(phase: &str) -> ExternalSyncState {
    let spec = json!({
        "organizationRef": "acme", "providerRef": "gh", "bindingRef": "web", "interface": "issueTracking",
        "resourceKind": "Issue",
    });
    record("ExternalSyncState", &spec, &json!({"phase": phase, "mode": "complete", "resumePhase": "Applying"}))
}

fn provider(phase: &str) -> ExternalBackendProvider {
    let spec = json!({
        "organizationRef": "acme", "providerType": "github", "displayName": "GitHub",
        "authRef": {"mode": "github-app", "secretRef": {"name": "s"}}, "capabilities": {"issueTracking": true},
    });
    record("ExternalBackendProvider", &spec, &json!({"phase": phase, "observedGeneration": 1}))
}

fn binding(phase: &str) -> ExternalBackendBinding {
    let spec = json!({
        "organizationRef": "acme", "providerRef": "gh", "targetRef": {"kind": "Repository", "name": "web"},
        "externalRef": {"owner": "acme"}, "interfaces": [{"name": "issueTracking", "mode": "bidirectional"}],
    });
    record("ExternalBackendBinding", &spec, &json!({"phase": phase, "observedGeneration": 1}))
}

/// Tries every event in every phase: allowed exactly as the table has it, refused by name otherwise, and moved with one audit draft.
fn exhaust<
    R: Resource,
    P: ClosedSet + Clone + PartialEq + std::fmt::Debug + 'static,
    E: Copy + PartialEq + std::fmt::Debug + 'static,
>(
    machine: &str,
    table: &'static [Transition<P, E>],
    phases: &[P],
    kinds: &[(E, &str)],
    mut tried: impl FnMut(&P, E) -> (R, Result<Step<R>, Refused>),
) {
    for phase in phases {
        for (kind, name) in kinds {
            let rows: Vec<_> = table.iter().filter(|row| row.from.contains(phase) && row.on.contains(kind)).collect();
            assert!(rows.len() <= 1, "{machine}: two rows for {name} in {}", phase.as_str());
            let (before, outcome) = tried(phase, *kind);
            match (rows.first(), outcome) {
                (None, Err(refused)) => {
                    assert_eq!(*refused.why, Why::NotListed);
                    let expected = format!("{machine}: {name} is refused in phase {}: ", phase.as_str());
                    assert!(refused.to_string().starts_with(&expected), "{refused}");
                }
                (Some(row), Ok(step)) => {
                    let to = step.record.phase();
                    assert!(row.to.iter().any(|allowed| allowed.as_str() == to), "{machine}: {name} led to {to}");
                    let moved = to != phase.as_str();
                    assert_eq!(step.audit.len(), usize::from(moved), "{machine}: {name} in {}", phase.as_str());
                    for draft in &step.audit {
                        assert_eq!((draft.from.as_deref(), draft.to.as_deref()), (Some(phase.as_str()), Some(to)));
                        assert_eq!(draft.organization.as_deref(), Some("acme"));
                        assert_eq!(&*draft.namespace, "krate-org-acme");
                        let object = draft.object.as_ref().unwrap();
                        assert_eq!((object.kind.as_str(), object.name.as_str()), (R::KIND.as_str(), "r-1"));
                        assert!(draft.provider.is_some() && draft.reason.as_ref().unwrap().starts_with(name));
                    }
                    assert!(before != step.record || !moved);
                }
                (row, outcome) => panic!("{machine}: {name} in {}: {row:?}, {outcome:?}", phase.as_str()),
            }
        }
    }
}

fn intent_event(kind: intent::EventKind) -> intent::Event {
    use intent::{Event, EventKind};
    let conflict = Box::new(conflict("Open"));
    let response = IntentResponse {
        native_id: Some("7".into()),
        native_number: None,
        version: None,
        digest: Some(digest("response")),
        request_id: None,
    };
    match kind {
        EventKind::Approved => Event::Approved { approval: approval("request", person()) },
        EventKind::Denied => Event::Denied { by: person(), reason: "no".into() },
        EventKind::Expired => Event::Expired,
        EventKind::Cancelled => Event::Cancelled { reason: "no".into() },
        EventKind::Postponed => Event::Postponed { until: seconds(9) },
        EventKind::Dispatched => Event::Dispatched { gate: Gate::Open },
        EventKind::Accepted => Event::Accepted { response },
        EventKind::Proven => Event::Proven { response, by: ConfirmedBy::Response, digest: digest("proof") },
        EventKind::PreconditionFailed => Event::PreconditionFailed { error: error(ErrorClass::Precondition), conflict },
        EventKind::TransientFailure => Event::TransientFailure { error: error(ErrorClass::Transient) },
        EventKind::OutcomeUnknown => Event::OutcomeUnknown {
            error: error(ErrorClass::Timeout),
            idempotency: Idempotency::VerifyByRead,
            conflict,
        },
        EventKind::PermanentFailure => Event::PermanentFailure { error: error(ErrorClass::Validation) },
        EventKind::Exhausted => Event::Exhausted,
        EventKind::Confirmed => Event::Confirmed { by: ConfirmedBy::Webhook, digest: digest("seen") },
        EventKind::Overtaken => Event::Overtaken { conflict },
        EventKind::NeverShown => Event::NeverShown { conflict },
        EventKind::Reissued => Event::Reissued {
            request: Box::new(intent::Reissue {
                payload: serde_json::from_value(json!({"updateIssue": {"title": "u"}})).unwrap(),
                precondition: None,
                desired_generation: 4,
                idempotency_key: digest("other key"),
                credential: IntentCredential { mode: AuthMode::PersonalAccessToken, account: Some("other".into()) },
                request_digest: digest("other request"),
                asks: None,
            }),
        },
        EventKind::Withdrawn => Event::Withdrawn { reason: "preferExternal".into() },
        EventKind::LeftBehind => Event::LeftBehind { error: error(ErrorClass::Timeout) },
    }
}

#[test]
fn s40_every_event_in_every_phase_of_a_write_intent() {
    use intent::{EventKind, MACHINE, TRANSITIONS, step};
    let kinds: Vec<_> = EventKind::ALL.iter().map(|kind| (*kind, kind.as_str())).collect();
    exhaust(MACHINE, TRANSITIONS, ExternalWriteIntentPhase::ALL, &kinds, |phase, kind| {
        let mut record = intent(phase.as_str());
        if kind == EventKind::Exhausted {
            record.status_mut().attempts = 8;
        }
        let outcome = with_ctx(now(), |ctx| step(&record, intent_event(kind), ctx));
        (record, outcome)
    });
}

#[test]
fn s40_every_event_in_every_phase_of_a_delivery() {
    use delivery::{Event, EventKind, MACHINE, TRANSITIONS, step};
    let kinds: Vec<_> = EventKind::ALL.iter().map(|kind| (*kind, kind.as_str())).collect();
    exhaust(MACHINE, TRANSITIONS, ExternalWebhookDeliveryPhase::ALL, &kinds, |phase, kind| {
        let mut record = delivery(phase.as_str());
        let command =
            |act: &str| serde_json::from_value(json!({"id": "c-1", "act": act, "reason": "because"})).unwrap();
        let event = match kind {
            EventKind::Verified => Event::Verified,
            EventKind::SignatureFailed => Event::SignatureFailed { error: error(ErrorClass::Authentication) },
            EventKind::Started => Event::Started,
            EventKind::Normalized => Event::Normalized { events: vec!["e-1".into()] },
            EventKind::Finished => Event::Finished { outcome: DeliveryOutcome::Applied },
            EventKind::Failed => Event::Failed { error: error(ErrorClass::Decode) },
            EventKind::Abandoned => Event::Abandoned,
            EventKind::Unprocessable => Event::Unprocessable { error: error(ErrorClass::Validation) },
            EventKind::Exhausted => Event::Exhausted,
            EventKind::Replayed => Event::Replayed,
            EventKind::Skipped => Event::Skipped,
        };
        match kind {
            EventKind::Exhausted => record.status_mut().attempts = 8,
            EventKind::Replayed => record.spec.disposition = command("replay"),
            EventKind::Skipped => record.spec.disposition = command("skip"),
            _ => {}
        }
        let outcome = with_ctx(now(), |ctx| step(&record, event, ctx));
        (record, outcome)
    });
}

fn state_event(kind: backfill::EventKind) -> backfill::Event {
    use backfill::{Event, EventKind};
    use krate_model::kinds::external::BackfillMode;
    match kind {
        EventKind::Requested => Event::Requested { mode: BackfillMode::Incremental, at: seconds(5) },
        EventKind::Started => Event::Started { run_id: "run-1".into(), mode: BackfillMode::Complete, gate: Gate::Open },
        EventKind::Listed => Event::Listed { objects: 3, calls: 1 },
        EventKind::Hydrated => Event::Hydrated { calls: 2 },
        EventKind::Applied => Event::Applied { objects: 1 },
        EventKind::MorePages => Event::MorePages { cursor: "page=2".into() },
        EventKind::Ended => Event::Ended { watermark: Some(seconds(-60)), tombstones: 1 },
        EventKind::Limited => Event::Limited { until: seconds(60) },
        EventKind::LimitOver => Event::LimitOver,
        EventKind::Postponed => Event::Postponed { until: seconds(5), error: None },
        EventKind::Failed => Event::Failed { error: error(ErrorClass::Permission) },
    }
}

#[test]
fn s40_every_event_in_every_phase_of_a_backfill() {
    use backfill::{EventKind, MACHINE, TRANSITIONS, step};
    let kinds: Vec<_> = EventKind::ALL.iter().map(|kind| (*kind, kind.as_str())).collect();
    exhaust(MACHINE, TRANSITIONS, ExternalSyncStatePhase::ALL, &kinds, |phase, kind| {
        let record = state(phase.as_str());
        let outcome = with_ctx(now(), |ctx| step(&record, state_event(kind), ctx));
        if kind == EventKind::Postponed
            && let Ok(step) = &outcome
        {
            assert_eq!(step.record.phase(), phase.as_str());
        }
        (record, outcome)
    });
}

#[test]
fn s40_every_event_in_every_phase_of_a_conflict() {
    use conflict::{Event, EventKind, MACHINE, TRANSITIONS, step};
    let kinds: Vec<_> = EventKind::ALL.iter().map(|kind| (*kind, kind.as_str())).collect();
    exhaust(MACHINE, TRANSITIONS, ExternalSyncConflictPhase::ALL, &kinds, |phase, kind| {
        let mut record = conflict(phase.as_str());
        let strategy = if kind == EventKind::Ignored { "ignore" } else { "preferKrate" };
        record.spec.resolution = serde_json::from_value(resolution(strategy)).unwrap();
        let event = match kind {
            EventKind::Chosen => Event::Chosen { by: person(), current: Box::new(seen(3)) },
            EventKind::Ignored => Event::Ignored { by: person(), current: Box::new(seen(3)) },
            EventKind::Applied => Event::Applied { intent: Some("wi-1".into()) },
            EventKind::ApplyFailed => Event::ApplyFailed { error: error(ErrorClass::Permission) },
            EventKind::Diverged => Event::Diverged { by: "c-2".into() },
            EventKind::Converged => Event::Converged,
            EventKind::BindingDeleted => Event::BindingDeleted,
        };
        let outcome = with_ctx(now(), |ctx| step(&record, event, ctx));
        (record, outcome)
    });
}

#[test]
fn s40_every_event_in_every_phase_of_a_provider() {
    use provider::{Event, EventKind, MACHINE, TRANSITIONS, step};
    let kinds: Vec<_> = EventKind::ALL.iter().map(|kind| (*kind, kind.as_str())).collect();
    exhaust(MACHINE, TRANSITIONS, ExternalBackendProviderPhase::ALL, &kinds, |phase, kind| {
        let mut record = provider(phase.as_str());
        record.spec.suspend = kind == EventKind::Suspended;
        let event = match kind {
            EventKind::Started => Event::Started,
            EventKind::Authenticated => Event::Authenticated { account: None, installations: Vec::new() },
            EventKind::Discovered => {
                Event::Discovered { manifest: ManifestRef { name: "github".into(), digest: digest("m") } }
            }
            EventKind::Worsened => Event::Worsened { error: error(ErrorClass::Transient) },
            EventKind::Recovered => Event::Recovered,
            EventKind::Suspended => Event::Suspended,
            EventKind::Resumed => Event::Resumed,
            EventKind::Failed => Event::Failed { error: error(ErrorClass::Authentication) },
            EventKind::ConfigurationChanged => Event::ConfigurationChanged,
        };
        let outcome = with_ctx(now(), |ctx| step(&record, event, ctx));
        (record, outcome)
    });
}

#[test]
fn s40_every_event_in_every_phase_of_a_binding() {
    use binding::{Event, EventKind, MACHINE, TRANSITIONS, step};
    let kinds: Vec<_> = EventKind::ALL.iter().map(|kind| (*kind, kind.as_str())).collect();
    for owns_hook in [false, true] {
        exhaust(MACHINE, TRANSITIONS, ExternalBackendBindingPhase::ALL, &kinds, |phase, kind| {
            let mut record = binding(phase.as_str());
            record.spec.owns_hook = owns_hook;
            let hook = HookStatus { native_id: "h-1".into(), url: "https://k.example/hook".into(), events: Vec::new() };
            let event = match kind {
                EventKind::Started => Event::Started,
                EventKind::TargetValidated => Event::TargetValidated { provider_uid: Some("p-1".into()), target: None },
                EventKind::HookRegistered => Event::HookRegistered { hook },
                EventKind::Backfilled => Event::Backfilled { at: now() },
                EventKind::ConflictFound => Event::ConflictFound,
                EventKind::ConflictsCleared => Event::ConflictsCleared,
                EventKind::Suspended => Event::Suspended,
                EventKind::Resumed => Event::Resumed,
                EventKind::Failed => Event::Failed { error: error(ErrorClass::Permission) },
                EventKind::ConfigurationChanged => Event::ConfigurationChanged,
            };
            let outcome = with_ctx(now(), |ctx| step(&record, event, ctx));
            if kind == EventKind::TargetValidated
                && let Ok(step) = &outcome
            {
                assert_eq!(step.record.phase(), if owns_hook { "RegisteringWebhook" } else { "Backfilling" });
            }
            (record, outcome)
        });
    }
}

#[test]
fn s40_a_phase_from_a_newer_version_allows_nothing() {
    for kind in intent::EventKind::ALL {
        let refused = with_ctx(now(), |ctx| intent::step(&intent("Pondering"), intent_event(*kind), ctx)).unwrap_err();
        assert_eq!(
            refused.to_string(),
            format!("write intent: {kind} is refused in phase Pondering: there is no such transition (S40)")
        );
    }
    assert_eq!(intent::due(&intent("Pondering"), &Policy::default(), now()), Due::Idle);
}

/// R39: each phase of the model is in its machine: reached by a move or a start, and no move knows another.
#[test]
fn r39_the_phases_of_the_machines_are_those_of_the_kinds() {
    for machine in machines() {
        let known: BTreeSet<&str> = machine.phases.iter().copied().collect();
        let starts = machine.initial.iter().copied();
        let reached: BTreeSet<&str> = machine.edges.iter().map(|edge| edge.to.as_str()).chain(starts).collect();
        assert_eq!(reached, known, "{}", machine.name);
        assert!(machine.edges.iter().all(|edge| known.contains(edge.from.as_str())), "{}", machine.name);
        let used: BTreeSet<&str> = machine.edges.iter().map(|edge| edge.event).collect();
        assert_eq!(used, machine.events.iter().copied().collect(), "{}: an event that nothing knows", machine.name);
    }
}

/// What a cell of the spec's table in section 8 is called here.
fn events_of(cell: &str) -> &'static [&'static str] {
    match cell {
        "approved (digest matches)" => &["Approved"],
        "rejected / expired / cancelled" => &["Denied", "Expired", "Cancelled"],
        "dispatched" | "due, `verifyFirst`" | "due" => &["Dispatched"],
        "cancelled" => &["Cancelled"],
        "accepted, echo expected" => &["Accepted"],
        "accepted, response is proof" => &["Proven"],
        "precondition / version mismatch" => &["PreconditionFailed"],
        "transient error, rate limit, timeout, outcome unknown" => &["TransientFailure", "OutcomeUnknown"],
        "permanent error" => &["PermanentFailure"],
        "attempts exhausted" => &["Exhausted"],
        "webhook, read or backfill shows the effect" => &["Confirmed"],
        "observed another value, newer than the response" => &["Overtaken"],
        "timeout" => &["NeverShown"],
        "resolved preferKrate / manual" => &["Reissued"],
        "resolved otherwise" => &["Withdrawn"],
        other => panic!("the spec has a row that this test doesn't know: {other}"),
    }
}

#[test]
fn s40_the_intent_table_is_the_one_of_the_spec() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/spec/external-sync.md");
    let Ok(spec) = std::fs::read_to_string(&path) else {
        eprintln!("not compared: there is no ../shared/spec/external-sync.md beside the workspace");
        return;
    };
    let section = spec.split("## 8. Write intents").nth(1).unwrap().split("## 9.").next().unwrap();
    let mut expected = BTreeSet::new();
    for row in section.lines().filter(|line| line.starts_with("| `")) {
        let cells: Vec<&str> = row.trim_matches('|').split('|').map(str::trim).collect();
        let name = |cell: &str| cell.trim_matches('`').to_owned();
        for to in cells[2].split(" or ") {
            // `Conflict` (`UnconfirmedWrite`) tells the reason too.
            let to = to.split(" (").next().unwrap();
            for event in events_of(cells[1]) {
                expected.insert((name(cells[0]), *event, name(to)));
            }
        }
    }
    // S34, in the text below the table: where nothing makes a repeat harmless, an unknown outcome is a conflict.
    expected.insert(("Sending".into(), "OutcomeUnknown", "Conflict".into()));
    // S32, in the text below the table: another credential voids an approval that wasn't used yet.
    expected.insert(("ReadyToSend".into(), "Reissued", "PendingApproval".into()));
    // R21, in the spec of the kinds: a forced deletion waits for nothing.
    expected.extend(
        ["Sending", "Retrying", "AwaitingConfirmation"].map(|from| (from.into(), "LeftBehind", "Failed".into())),
    );
    let machine = machines().into_iter().find(|machine| machine.name == intent::MACHINE).unwrap();
    let found: BTreeSet<_> = machine
        .edges
        .into_iter()
        .filter(|edge| edge.from != edge.to)
        .map(|edge| (edge.from, edge.event, edge.to))
        .collect();
    assert_eq!(found, expected);
}

#[test]
fn the_diagrams_in_the_docs_are_those_of_the_machines() {
    let mut page = String::from(
        "# Machines\n\nWhat may follow what. Made from the tables in `krate-sync/src/machines`; `KRATE_UPDATE=1 cargo test -p krate-sync` writes it anew.\n\
         Events that change no phase aren't drawn. Everything that isn't listed is refused (S40).\n",
    );
    for machine in machines() {
        let title =
            machine.name.char_indices().map(|(at, char)| if at == 0 { char.to_ascii_uppercase() } else { char });
        let title: String = title.collect();
        let _ = write!(
            page,
            "\n## {title}\n\nSpec: `external-sync.md` {}.\n\n```mermaid\n{}```\n\n",
            machine.spec,
            mermaid(&machine)
        );
        page += "| from | event | to | rule |\n| --- | --- | --- | --- |\n";
        for edge in &machine.edges {
            let _ = writeln!(page, "| `{}` | {} | `{}` | {} |", edge.from, edge.event, edge.to, edge.rule);
        }
    }
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/machines.md");
    if std::env::var_os("KRATE_UPDATE").is_some() {
        std::fs::write(&path, &page).unwrap();
    }
    let kept = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(kept == page, "docs/machines.md is out of date: KRATE_UPDATE=1 cargo test -p krate-sync writes it anew");
}

fn stepped(record: &ExternalWriteIntent, event: intent::Event) -> Result<ExternalWriteIntent, Refused> {
    with_ctx(now(), |ctx| intent::step(record, event, ctx)).map(|step| step.record)
}

#[test]
fn s32_an_approval_for_another_request_is_refused() {
    let waiting = intent("PendingApproval");
    let event = intent::Event::Approved { approval: approval("another request", person()) };
    let refused = stepped(&waiting, event).unwrap_err();
    assert_eq!(*refused.why, Why::OtherRequest { approved: digest("another request"), requested: digest("request") });
    // A record that got past the approval without one isn't sent either.
    for phase in ["ReadyToSend", "Retrying"] {
        let mut smuggled = intent(phase);
        smuggled.status_mut().approval = None;
        assert!(matches!(
            stepped(&smuggled, intent_event(intent::EventKind::Dispatched)).unwrap_err().why.as_ref(),
            Why::NoPerson { .. }
        ));
        smuggled.status_mut().approval = Some(approval("another request", person()));
        assert!(matches!(
            stepped(&smuggled, intent_event(intent::EventKind::Dispatched)).unwrap_err().why.as_ref(),
            Why::OtherRequest { .. }
        ));
    }
}

#[test]
fn s32_an_unanswered_approval_expires_by_itself_and_not_before() {
    let mut asked = intent("Failed");
    asked.spec.approval_policy.required = true;
    let waiting = with_ctx(now(), |ctx| intent::admit(&asked, ctx)).record;
    let policy = Policy::default();
    let end = seconds(24 * 3_600);
    assert_eq!(intent::due(&waiting, &policy, seconds(24 * 3_600 - 1)), Due::At(end));
    let early = with_ctx(seconds(5), |ctx| intent::step(&waiting, intent::Event::Expired, ctx)).unwrap_err();
    assert_eq!(*early.why, Why::NotDue { until: end });
    assert_eq!(intent::due(&waiting, &policy, end), Due::Now(intent::Effect::Expire));
    let late = with_ctx(end, |ctx| intent::step(&waiting, intent::Event::Expired, ctx)).unwrap().record;
    assert_eq!((late.phase(), late.status().unwrap().not_before), ("Rejected", None));
    // The rule for write-backs says how long, and none longer than a week (R59).
    for (says, hours) in [("2h", 2), ("4000h", 168)] {
        let rule = json!([{"class": "write-back", "expiresIn": says}]);
        asked.spec.approval_policy.rules = serde_json::from_value(rule).unwrap();
        let waiting = with_ctx(now(), |ctx| intent::admit(&asked, ctx)).record;
        assert_eq!(waiting.status().unwrap().not_before, Some(seconds(hours * 3_600)));
    }
}

#[test]
fn r37_what_is_cancelled_is_not_dispatched() {
    let mut ready = intent("ReadyToSend");
    ready.spec.approval_policy.required = false;
    ready.status_mut().not_before = None;
    assert_eq!(stepped(&ready, intent_event(intent::EventKind::Dispatched)).unwrap().phase(), "Sending");
    ready.spec.cancel = Some(IntentCancel { id: "c1".into(), reason: None });
    let refused = stepped(&ready, intent_event(intent::EventKind::Dispatched)).unwrap_err();
    assert_eq!(*refused.why, Why::Cancelled);
    assert_eq!(stepped(&ready, intent_event(intent::EventKind::Cancelled)).unwrap().phase(), "Rejected");
}

#[test]
fn s39_only_persons_approve() {
    for kind in ActorKind::ALL.iter().filter(|kind| **kind != ActorKind::User) {
        let event = intent::Event::Approved { approval: approval("request", Actor::new(kind.clone(), "bot")) };
        let refused = stepped(&intent("PendingApproval"), event).unwrap_err();
        assert_eq!(*refused.why, Why::NoPerson { by: format!("{kind} bot") });
    }
    let nobody = IntentApproval { by: Vec::new(), ..approval("request", person()) };
    assert!(stepped(&intent("PendingApproval"), intent::Event::Approved { approval: nobody }).is_err());
}

#[test]
fn s34_an_unknown_outcome_is_looked_at_or_decided_by_a_person_never_sent_again_blindly() {
    let unknown = |idempotency: Idempotency| {
        let conflict = Box::new(conflict("Open"));
        let event = intent::Event::OutcomeUnknown { error: error(ErrorClass::Timeout), idempotency, conflict };
        with_ctx(now(), |ctx| intent::step(&intent("Sending"), event, ctx)).unwrap()
    };
    for idempotency in [Idempotency::Native, Idempotency::Precondition, Idempotency::VerifyByRead] {
        let step = unknown(idempotency);
        assert_eq!(step.record.phase(), "Retrying");
        assert!(step.record.status().unwrap().verify_first && step.also.is_empty());
        let due = intent::due(&step.record, &Policy::default(), seconds(3_600));
        assert_eq!(due, Due::Now(intent::Effect::VerifyThenSend));
        // Sending again doesn't forget it: a crash in between is still an unknown outcome.
        let later = with_ctx(seconds(3_600), |ctx| {
            intent::step(&step.record, intent_event(intent::EventKind::Dispatched), ctx)
        });
        assert!(later.unwrap().record.status().unwrap().verify_first);
    }
    for idempotency in [Idempotency::None, Idempotency::from_text("hope")] {
        let step = unknown(idempotency);
        assert_eq!(step.record.phase(), "Conflict");
        let Also::Conflict(found) = &step.also[0];
        assert_eq!(step.record.status().unwrap().conflict_ref.as_deref(), Some(found.name()));
        assert_eq!(found.spec.intent_ref.as_deref(), Some("r-1"));
    }
}

#[test]
fn s34_whoever_was_sending_and_is_gone_leaves_an_unknown_outcome() {
    let sending = stepped(&intent("ReadyToSend"), intent_event(intent::EventKind::Dispatched)).unwrap();
    let policy = Policy::default();
    assert_eq!(intent::due(&sending, &policy, seconds(1)), Due::At(seconds(120)));
    assert_eq!(intent::due(&sending, &policy, seconds(120)), Due::Now(intent::Effect::Recover));
}

#[test]
fn s36_s37_what_is_held_back_isnt_sent() {
    let by = ObjectRef::new("ExternalBackendProvider", "gh");
    let gates = [
        (Gate::Paused { by }, "ExternalBackendProvider gh is not ready (S37)"),
        (Gate::Budget { until: None }, "the budget is spent (S43)"),
        (Gate::Behind { intent: "wi-0".into() }, "wi-0 comes first (S36)"),
    ];
    for (gate, text) in gates {
        for phase in ["ReadyToSend", "Retrying"] {
            let refused = stepped(&intent(phase), intent::Event::Dispatched { gate: gate.clone() }).unwrap_err();
            assert!(refused.to_string().ends_with(text), "{refused}");
        }
        let mode = krate_model::kinds::external::BackfillMode::Complete;
        let event = backfill::Event::Started { run_id: "r".into(), mode, gate };
        let refused = with_ctx(now(), |ctx| backfill::step(&state("Scheduled"), event, ctx)).unwrap_err();
        assert!(refused.to_string().ends_with(text), "{refused}");
    }
}

#[test]
fn s32_a_resolved_conflict_is_another_request_and_asks_again() {
    let mut met = intent("Conflict");
    met.status_mut().attempts = 5;
    let again = stepped(&met, intent_event(intent::EventKind::Reissued)).unwrap();
    assert_eq!(again.phase(), "PendingApproval");
    assert_eq!((again.spec.request_digest, again.status().unwrap().attempts), (digest("other request"), 0));
    assert!(again.status().unwrap().approval.is_none());
    let old = intent::Event::Approved { approval: approval("request", person()) };
    assert!(stepped(&again, old).is_err());
    met.spec.approval_policy.required = false;
    assert_eq!(stepped(&met, intent_event(intent::EventKind::Reissued)).unwrap().phase(), "ReadyToSend");
}

#[test]
fn s34_a_create_that_a_person_sends_again_is_looked_for_first() {
    use intent::Effect::{Send, VerifyThenSend};
    let again = |phase: &str, native_id: Option<&str>| {
        let mut met = intent(phase);
        met.spec.approval_policy.required = false;
        met.spec.native_target.native_id = native_id.map(str::to_owned);
        let again = stepped(&met, intent_event(intent::EventKind::Reissued)).unwrap();
        intent::due(&again, &Policy::default(), seconds(3_600))
    };
    assert_eq!(again("Conflict", None), Due::Now(VerifyThenSend), "it may have been made after all");
    assert_eq!(again("Conflict", Some("7")), Due::Now(Send), "the look before each change shows it");
    assert_eq!(again("ReadyToSend", None), Due::Now(Send), "it was never sent");
}

#[test]
fn s44_a_rate_limit_costs_no_attempt_and_is_waited_for() {
    let mut sending = intent("Sending");
    sending.status_mut().attempts = 3;
    let limit = ErrorInfo { until: Some(seconds(900)), ..error(ErrorClass::RateLimited) };
    let limited = stepped(&sending, intent::Event::TransientFailure { error: limit }).unwrap();
    let status = limited.status().unwrap();
    assert_eq!((status.attempts, status.not_before), (2, Some(seconds(900))));
}

#[test]
fn an_admitted_intent_waits_for_its_approval_or_is_ready() {
    let mut admitted = intent("Failed");
    for (required, phase) in [(true, "PendingApproval"), (false, "ReadyToSend")] {
        admitted.spec.approval_policy.required = required;
        let step = with_ctx(now(), |ctx| intent::admit(&admitted, ctx));
        assert_eq!(step.record.phase(), phase);
        assert_eq!((step.audit[0].from.as_deref(), step.audit[0].to.as_deref()), (None, Some(phase)));
    }
}

#[test]
fn s29_a_resolution_of_what_no_longer_holds_is_refused() {
    let mut open = conflict("Open");
    open.spec.resolution = serde_json::from_value(resolution("preferKrate")).unwrap();
    let choose = |open: &ExternalSyncConflict, generation| {
        let event = conflict::Event::Chosen { by: person(), current: Box::new(seen(generation)) };
        with_ctx(now(), |ctx| conflict::step(open, event, ctx))
    };
    assert!(choose(&open, 3).is_ok());
    assert!(choose(&open, 4).unwrap_err().to_string().contains("StaleResolution: generation 4"));
    open.spec.resolution.as_mut().unwrap().seen_versions.desired_generation = 2;
    assert!(matches!(choose(&open, 3).unwrap_err().why.as_ref(), Why::StaleResolution { .. }));
    open.spec.resolution = serde_json::from_value(resolution("manual")).unwrap();
    assert!(matches!(choose(&open, 3).unwrap_err().why.as_ref(), Why::Command { path: "spec.resolution.value", .. }));
    open.spec.resolution = serde_json::from_value(resolution("flipACoin")).unwrap();
    assert!(matches!(
        choose(&open, 3).unwrap_err().why.as_ref(),
        Why::Command { path: "spec.resolution.strategy", .. }
    ));
    open.spec.resolution = None;
    assert!(choose(&open, 3).is_err());
}

#[test]
fn s28_one_divergence_has_one_name_and_another_one_supersedes_it() {
    use conflict::{Succession, name, succession};
    let open = conflict("Open").spec;
    let mut moved = open.clone();
    moved.observed.digest = digest("\"d\"");
    moved.versions.observed.sequence = Some(5);
    assert_eq!(name(&open), name(&open.clone()));
    assert_ne!(name(&open), name(&moved));
    assert!(krate_model::is_dns_label(&name(&open).unwrap()));
    assert_eq!(succession(&open, Some(&open.clone())), Succession::Same);
    assert_eq!(succession(&open, Some(&moved)), Succession::Newer);
    assert_eq!(succession(&open, None), Succession::Converged);
}

#[test]
fn s9_a_delivery_that_isnt_proven_keeps_its_digest_and_no_payload() {
    let event = delivery::Event::SignatureFailed { error: error(ErrorClass::Authentication) };
    let step = with_ctx(now(), |ctx| delivery::step(&delivery("Received"), event, ctx)).unwrap();
    assert_eq!(step.record.spec.payload.inline, None);
    assert_eq!(step.audit[0].digests["payload"], digest("p"));
}

#[test]
fn r37_a_replay_is_done_once_and_starts_anew() {
    let mut dead = delivery("DeadLettered");
    dead.status_mut().attempts = 8;
    dead.spec.disposition = serde_json::from_value(json!({"id": "c-1", "act": "replay", "reason": "fixed"})).unwrap();
    assert_eq!(delivery::due(&dead, &Policy::default(), now()), Due::Now(delivery::Effect::Replay));
    assert!(with_ctx(now(), |ctx| delivery::step(&dead, delivery::Event::Skipped, ctx)).is_err());
    let step = with_ctx(now(), |ctx| delivery::step(&dead, delivery::Event::Replayed, ctx)).unwrap();
    assert_eq!((step.record.status().unwrap().attempts, &step.record.spec.disposition), (0, &None));
    assert_eq!(step.audit[0].reason.as_deref(), Some("Replayed: c-1: fixed"));
}

#[test]
fn s21_the_cursor_moves_only_at_the_checkpoint() {
    let mut record = state("Scheduled");
    let story = ["Started", "Listed", "Hydrated", "Applied", "MorePages", "Listed", "Hydrated", "Limited"];
    for name in story {
        let kind = *backfill::EventKind::ALL.iter().find(|kind| kind.as_str() == name).unwrap();
        let before = record.status().unwrap().cursor.clone();
        record = with_ctx(now(), |ctx| backfill::step(&record, state_event(kind), ctx)).unwrap().record;
        let moved = record.status().unwrap().cursor != before;
        assert_eq!(moved, name == "MorePages", "{name}");
    }
    // S44: it goes on where it stopped, and not before the limit is over.
    let over = |at| with_ctx(at, |ctx| backfill::step(&record, backfill::Event::LimitOver, ctx));
    assert_eq!(over(seconds(59)).unwrap_err().why.as_ref(), &Why::NotDue { until: seconds(60) });
    assert_eq!(over(seconds(60)).unwrap().record.phase(), "Applying");
    assert_eq!(backfill::due(&record, seconds(59)), Due::At(seconds(60)));
}

#[test]
fn s22_s23_a_watermark_never_goes_back_and_only_a_complete_run_makes_tombstones() {
    let mut record = state("Checkpointing");
    record.status_mut().watermark = Some(seconds(-10));
    let end = |record: &ExternalSyncState, tombstones| {
        let event = backfill::Event::Ended { watermark: Some(seconds(-60)), tombstones };
        with_ctx(now(), |ctx| backfill::step(record, event, ctx))
    };
    assert_eq!(end(&record, 1).unwrap().record.status().unwrap().watermark, Some(seconds(-10)));
    record.status_mut().mode = Some(krate_model::kinds::external::BackfillMode::Incremental);
    assert_eq!(end(&record, 1).unwrap_err().why.as_ref(), &Why::Incomplete);
    assert!(end(&record, 0).is_ok());
}

#[test]
fn s37_a_paused_provider_comes_back_as_it_was_and_a_failed_one_waits_for_a_change() {
    let mut paused = provider("Paused");
    let resume =
        |paused: &ExternalBackendProvider| with_ctx(now(), |ctx| provider::step(paused, provider::Event::Resumed, ctx));
    assert_eq!(resume(&paused).unwrap().record.phase(), "Ready");
    paused.status_mut().last_error = Some(error(ErrorClass::Transient));
    assert_eq!(resume(&paused).unwrap().record.phase(), "Degraded");
    paused.spec.suspend = true;
    assert!(resume(&paused).is_err());
    let mut failed = provider("Failed");
    assert_eq!(provider::due(&failed), Due::Now(provider::Effect::Restart));
    failed.status_mut().observed_generation = Some(2);
    assert_eq!(provider::due(&failed), Due::Idle);
    let change = with_ctx(now(), |ctx| provider::step(&failed, provider::Event::ConfigurationChanged, ctx));
    assert_eq!(change.unwrap_err().why.as_ref(), &Why::Unchanged { generation: 2 });
}

#[test]
fn s37_a_resumed_binding_goes_on_where_its_interfaces_are() {
    let mut paused = binding("Paused");
    let resume = |paused: &ExternalBackendBinding| {
        with_ctx(now(), |ctx| binding::step(paused, binding::Event::Resumed, ctx)).unwrap().record.phase().to_owned()
    };
    assert_eq!(resume(&paused), "Backfilling");
    let backfilled =
        with_ctx(now(), |ctx| binding::step(&binding("Backfilling"), binding::Event::Backfilled { at: now() }, ctx));
    paused.status_mut().interfaces = backfilled.unwrap().record.status().unwrap().interfaces.clone();
    assert_eq!(resume(&paused), "Ready");
    paused.status_mut().interfaces[0].open_conflicts = 1;
    assert_eq!(resume(&paused), "Conflict");
}

#[test]
fn r21_a_deleted_binding_begins_nothing_and_never_resumes() {
    let deleted = |phase: &str| {
        let mut record = binding(phase);
        record.metadata_mut().deletion_timestamp = Some(krate_model::condition::to_kube_time(now()));
        record
    };
    for phase in ["Backfilling", "Ready", "Conflict"] {
        assert_eq!(binding::due(&deleted(phase), false), Due::Now(binding::Effect::Suspend), "{phase}");
    }
    for phase in ["Pending", "ValidatingTarget", "RegisteringWebhook", "Failed", "Paused"] {
        assert_eq!(binding::due(&deleted(phase), false), Due::Idle, "{phase}");
    }
    let resumed = with_ctx(now(), |ctx| binding::step(&deleted("Paused"), binding::Event::Resumed, ctx));
    let path = "metadata.deletionTimestamp";
    assert_eq!(resumed.unwrap_err().why.as_ref(), &Why::Unwanted { path, found: true });
}

/// What isn't over has something to wait for, and what is over has nothing.
#[test]
fn a_record_in_the_middle_of_something_is_due_and_a_final_one_is_idle() {
    let policy = Policy::default();
    let idle = |machine: &str, phase: &str| match machine {
        "write intent" => intent::due(&intent(phase), &policy, now()) == Due::Idle,
        "delivery" => delivery::due(&delivery(phase), &policy, now()) == Due::Idle,
        "backfill" => backfill::due(&state(phase), now()) == Due::Idle,
        "conflict" => conflict::due(&conflict(phase)) == Due::Idle,
        "provider" => provider::due(&provider(phase)) == Due::Idle,
        "binding" => binding::due(&binding(phase), false) == Due::Idle,
        other => panic!("{other}"),
    };
    // Those wait for a person, for a webhook, or for something to go wrong.
    let waits = ["PendingApproval", "Conflict", "Open", "DeadLettered", "Ready", "Degraded", "Succeeded", "Failed"];
    for machine in machines() {
        for phase in machine.phases {
            let expected = machine.is_final(phase) || waits.contains(phase);
            let restarts = *phase == "Failed" && ["provider", "binding"].contains(&machine.name);
            assert_eq!(idle(machine.name, phase), expected && !restarts, "{} {phase}", machine.name);
        }
    }
}

fn any_kind() -> impl Strategy<Value = intent::EventKind> {
    prop::sample::select(intent::EventKind::ALL)
}

proptest! {
    /// Whatever happens in whatever order, what may never be is never so.
    #[test]
    fn s32_s35_s41_no_story_of_an_intent_breaks_its_promises(
        required in any::<bool>(), story in prop::collection::vec((any_kind(), 0..400i64), 1..60)
    ) {
        let mut record = intent("PendingApproval");
        record.spec.approval_policy.required = required;
        record.status = None;
        let mut record = with_ctx(now(), |ctx| intent::admit(&record, ctx)).record;
        let mut clock = 0;
        for (kind, passed) in story {
            clock += passed;
            let before = record.clone();
            let mut event = intent_event(kind);
            if let intent::Event::Approved { approval } = &mut event {
                approval.digest = record.spec.request_digest;
            }
            let outcome = with_ctx(seconds(clock), |ctx| intent::step(&record, event, ctx));
            let Ok(step) = outcome else { continue };
            record = step.record;
            let status = record.status().unwrap();
            if record.phase() == "Succeeded" {
                prop_assert!(status.confirmation.is_some());
            }
            if required && ["Sending", "AwaitingConfirmation", "Succeeded"].contains(&record.phase()) {
                prop_assert_eq!(status.approval.as_ref().map(|approval| approval.digest), Some(record.spec.request_digest));
            }
            prop_assert!(status.attempts <= 16);
            let moved = before.phase() != record.phase();
            prop_assert_eq!(step.audit.len(), usize::from(moved));
            prop_assert!(!machines()[2].is_final(before.phase()), "something left {}", before.phase());
        }
    }

    #[test]
    fn s45_a_backoff_is_bounded_and_always_the_same(seed in any::<u64>(), name in "[a-z]{0,8}", attempt in prop_oneof![Just(i64::MAX), Just(i64::MIN), 0..60i64]) {
        let policy = Policy::default();
        let delay = policy.backoff(seed, &name, attempt);
        let bound = 1_000_i64.saturating_mul(1 << attempt.saturating_sub(1).clamp(0, 40)).min(900_000);
        prop_assert!((0..=bound).contains(&delay.num_milliseconds()));
        prop_assert_eq!(delay, policy.backoff(seed, &name, attempt));
    }
}

#[test]
fn s45_full_jitter_spreads_retries_over_the_whole_bound() {
    let policy = Policy::default();
    let delays: Vec<i64> =
        (0..4_000).map(|record| policy.backoff(7, &format!("wi-{record}"), 6).num_milliseconds()).collect();
    // The bound is 32 s: each of eight parts of it gets its share of 500, give or take.
    for part in 0..8 {
        let count = delays.iter().filter(|delay| (part * 4_000..(part + 1) * 4_000).contains(*delay)).count();
        assert!((400..600).contains(&count), "{part}: {count}");
    }
}
