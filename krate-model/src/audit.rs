//! Audit events and the chain they form. Spec: resource-kinds.md `AuditEvent`, R44; external-sync.md S41.
//!
//! Whoever changes something adds an [`AuditDraft`] to the change set: what happened, without a number. The store numbers it and chains it to the event
//! before, per namespace (one organization is one namespace), with [`ChainHead::append`] in the same commit. [`verify_chain`] finds the first break.

// kube's derives copy the struct, with its `pub`, into a function body; and two columns of one type are no mistake.
#![allow(unreachable_pub, clippy::duplicated_attributes)]

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;

use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::kinds::hooks::AuditEventStatus;
use crate::kinds::sets::Interface;
use crate::kinds::shared::{Actor, ObjectRef, Time};
use crate::store::{Index, IndexEntry};
use crate::{API_VERSION, Digest, Kind, NotCanonical, canonical_digest};

crate::closed_set! {
    /// How what an audit event tells of ended.
    AuditOutcome { Succeeded = "Succeeded", Denied = "Denied", Failed = "Failed", Recorded = "Recorded" }
}

/// The native object that an audit event is about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AuditNative {
    /// The provider's own kind.
    #[schemars(length(max = 253))]
    pub kind: String,
    /// The provider's id.
    #[schemars(length(max = 253))]
    pub id: String,
}

/// Who did what, when, why, with which outcome: an event that has no number yet.
///
/// ```
/// use krate_model::audit::{AuditDraft, AuditOutcome};
/// use krate_model::kinds::{sets::ActorKind, shared::{Actor, ObjectRef, parse_time}};
/// let actor = Actor::new(ActorKind::Controller, "krate-sync");
/// let at = parse_time("2026-06-01T00:00:00Z").unwrap();
/// let draft = AuditDraft::new("krate-org-a", "WriteIntentPhase", at, actor)
///     .organization("a")
///     .object(ObjectRef::new("ExternalWriteIntent", "wi-1"))
///     .moved("ReadyToSend", "Sending")
///     .outcome(AuditOutcome::Recorded);
/// assert_eq!(draft.to.as_deref(), Some("Sending"));
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditDraft {
    /// The namespace whose chain the event joins.
    pub namespace: Arc<str>,
    /// The organization; absent in the platform's namespace (R35).
    pub organization: Option<String>,
    /// What sort of thing happened, such as `WriteIntentPhase`.
    pub kind: String,
    /// When.
    pub at: Time,
    /// Who did it.
    pub actor: Actor,
    /// To which object.
    pub object: Option<ObjectRef>,
    /// At which provider.
    pub provider: Option<String>,
    /// Under which binding.
    pub binding: Option<String>,
    /// For which interface.
    pub interface: Option<Interface>,
    /// To which native object.
    pub native: Option<AuditNative>,
    /// The phase before.
    pub from: Option<String>,
    /// The phase after.
    pub to: Option<String>,
    /// Why.
    pub reason: Option<String>,
    /// How it ended.
    pub outcome: AuditOutcome,
    /// Digests of what was seen, asked and answered, by name.
    pub digests: BTreeMap<String, Digest>,
    /// The events that led here, oldest first.
    pub cause_chain: Vec<String>,
    /// What ties it to other events of one story.
    pub correlation_id: Option<String>,
}

impl AuditDraft {
    /// A draft for the chain of `namespace`, with outcome `Recorded`.
    pub fn new(namespace: impl Into<Arc<str>>, kind: impl Into<String>, at: Time, actor: Actor) -> Self {
        Self {
            namespace: namespace.into(),
            organization: None,
            kind: kind.into(),
            at,
            actor,
            object: None,
            provider: None,
            binding: None,
            interface: None,
            native: None,
            from: None,
            to: None,
            reason: None,
            outcome: AuditOutcome::Recorded,
            digests: BTreeMap::new(),
            cause_chain: Vec::new(),
            correlation_id: None,
        }
    }

    /// Names the organization.
    #[must_use]
    pub fn organization(mut self, name: impl Into<String>) -> Self {
        self.organization = Some(name.into());
        self
    }

    /// Names the object.
    #[must_use]
    pub fn object(mut self, object: ObjectRef) -> Self {
        self.object = Some(object);
        self
    }

    /// Names provider, binding and interface.
    #[must_use]
    pub fn scope(
        mut self,
        provider: impl Into<String>,
        binding: impl Into<String>,
        interface: Option<Interface>,
    ) -> Self {
        self.provider = Some(provider.into());
        self.binding = Some(binding.into());
        self.interface = interface;
        self
    }

    /// Names the native object.
    #[must_use]
    pub fn native(mut self, kind: impl Into<String>, id: impl Into<String>) -> Self {
        self.native = Some(AuditNative { kind: kind.into(), id: id.into() });
        self
    }

    /// Says which phase followed which.
    #[must_use]
    pub fn moved(mut self, from: impl Into<String>, to: impl Into<String>) -> Self {
        self.from = Some(from.into());
        self.to = Some(to.into());
        self
    }

    /// Says why.
    #[must_use]
    pub fn reason(mut self, reason: impl Into<String>) -> Self {
        self.reason = Some(reason.into());
        self
    }

    /// Says how it ended.
    #[must_use]
    pub fn outcome(mut self, outcome: AuditOutcome) -> Self {
        self.outcome = outcome;
        self
    }

    /// Adds a digest under a name.
    #[must_use]
    pub fn digest(mut self, name: impl Into<String>, digest: Digest) -> Self {
        self.digests.insert(name.into(), digest);
        self
    }

    /// Says what led here.
    #[must_use]
    pub fn caused_by(mut self, events: impl IntoIterator<Item = String>) -> Self {
        self.cause_chain.extend(events);
        self
    }

    /// Ties it to a story.
    #[must_use]
    pub fn correlation(mut self, id: impl Into<String>) -> Self {
        self.correlation_id = Some(id.into());
        self
    }
}

/// The spec of an `AuditEvent`: a draft with its place in the chain.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, CustomResource, KubeSchema)]
#[kube(
    group = "krate.a5c.ai",
    version = "v1alpha1",
    kind = "AuditEvent",
    plural = "auditevents",
    shortname = "kaudit",
    category = "krate",
    category = "krate-hooks",
    namespaced,
    status = "AuditEventStatus",
    derive = "PartialEq",
    doc = "Who did what, when, why, with which outcome.",
    printcolumn(name = "Type", type_ = "string", json_path = ".spec.type"),
    printcolumn(name = "Actor", type_ = "string", json_path = ".spec.actor.name"),
    printcolumn(name = "Object", type_ = "string", json_path = ".spec.object.name"),
    printcolumn(name = "Outcome", type_ = "string", json_path = ".spec.outcome")
)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-krate-immutable" = "all"))]
pub struct AuditEventSpec {
    /// The organization; absent in the platform's namespace (R35).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253), extend("x-krate-ref" = "Organization"))]
    pub organization_ref: Option<String>,
    /// Number in the chain, from 1, without gaps.
    #[schemars(range(min = 1))]
    pub sequence: i64,
    /// What sort of thing happened.
    #[serde(rename = "type")]
    #[schemars(length(max = 253))]
    pub kind: String,
    /// When.
    pub at: Time,
    /// Who did it.
    pub actor: Actor,
    /// To which object.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub object: Option<ObjectRef>,
    /// At which provider.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    pub provider: Option<String>,
    /// Under which binding.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    pub binding: Option<String>,
    /// For which interface.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interface: Option<Interface>,
    /// To which native object.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub native: Option<AuditNative>,
    /// The phase before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    pub from: Option<String>,
    /// The phase after.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    pub to: Option<String>,
    /// Why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    pub reason: Option<String>,
    /// How it ended.
    pub outcome: AuditOutcome,
    /// Digests of what was seen, asked and answered, by name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(length(max = 64))]
    pub digests: BTreeMap<String, Digest>,
    /// The events that led here, oldest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 256), inner(length(max = 253)))]
    pub cause_chain: Vec<String>,
    /// What ties it to other events of one story.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    pub correlation_id: Option<String>,
    /// Digest of the event before; of the chain's start for the first.
    pub previous_digest: Digest,
    /// Digest of this event's canonical JSON without this member.
    pub digest: Digest,
}

impl AuditEventSpec {
    /// The digest that this event should carry.
    ///
    /// # Errors
    /// [`NotCanonical`] when the event has no canonical JSON.
    pub fn computed_digest(&self) -> Result<Digest, NotCanonical> {
        let mut value = serde_json::to_value(self).unwrap_or_default();
        match value.as_object_mut() {
            Some(members) => members.remove("digest"),
            // Every member is text, a number or a map with text keys, so it is an object; if not, the error is that of the event itself.
            None => return canonical_digest(self),
        };
        canonical_digest(&value)
    }

    /// The object's name: the names of a chain sort as its numbers do.
    pub fn name(&self) -> String {
        event_name(self.sequence)
    }

    /// The event in an object that [`to_body`](Self::to_body) made.
    pub(crate) fn from_object(body: &[u8]) -> Option<Self> {
        #[derive(Deserialize)]
        struct Object {
            spec: AuditEventSpec,
        }
        serde_json::from_slice::<Object>(body).ok().map(|object| object.spec)
    }

    /// The event as the body of the object that a store keeps. Every commit makes some, so it is written at once, not built first.
    pub(crate) fn to_body(&self, namespace: &str) -> Vec<u8> {
        #[derive(Serialize)]
        #[serde(rename_all = "camelCase")]
        struct Object<'a> {
            api_version: &'a str,
            kind: &'a str,
            metadata: Metadata<'a>,
            spec: &'a AuditEventSpec,
            status: AuditEventStatus,
        }
        #[derive(Serialize)]
        #[serde(rename_all = "camelCase")]
        struct Metadata<'a> {
            name: String,
            namespace: &'a str,
            uid: String,
            generation: i64,
            creation_timestamp: String,
        }
        let metadata = Metadata {
            name: self.name(),
            namespace,
            uid: uid_of(&self.digest),
            generation: 1,
            creation_timestamp: self.at.to_rfc3339_opts(chrono::SecondsFormat::Secs, true),
        };
        let (api_version, kind) = (API_VERSION, Kind::AuditEvent.info().name);
        let object = Object { api_version, kind, metadata, spec: self, status: AuditEventStatus::default() };
        // What has a digest has been written as JSON before.
        serde_json::to_vec(&object).unwrap_or_default()
    }

    /// What the event is found by.
    pub(crate) fn indexes(&self) -> Vec<IndexEntry> {
        let subject = self.object.as_ref().map(|object| format!("{}/{}", object.kind, object.name));
        let native = self.native.as_ref().map(|native| format!("{}/{}", native.kind, native.id));
        [
            (Index::Subject, subject.as_deref()),
            (Index::Native, native.as_deref()),
            (Index::Binding, self.binding.as_deref()),
            (Index::Correlation, self.correlation_id.as_deref()),
        ]
        .into_iter()
        .filter_map(|(index, value)| Some(IndexEntry::new(index, value?)))
        .collect()
    }
}

/// A uid that is the same wherever the event is made: 128 bits of its digest, as a UUID of version 8.
fn uid_of(digest: &Digest) -> String {
    let mut text = String::with_capacity(36);
    for (at, byte) in digest.as_bytes().iter().take(16).enumerate() {
        let byte = match at {
            6 => (byte & 0x0f) | 0x80,
            8 => (byte & 0x3f) | 0x80,
            _ => *byte,
        };
        if matches!(at, 4 | 6 | 8 | 10) {
            text.push('-');
        }
        // Writing to a String can't fail.
        let _ = write!(text, "{byte:02x}");
    }
    text
}

/// The name of the event with this number: names sort as numbers do.
pub(crate) fn event_name(sequence: i64) -> String {
    format!("audit-{sequence:019}")
}

/// Where a chain has come to: its last number and digest. Retention leaves one as a checkpoint in the place of what it removed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ChainHead {
    /// The number of the last event; 0 before the first.
    pub sequence: i64,
    /// The digest of the last event; of the chain's start before the first.
    pub digest: Digest,
}

impl ChainHead {
    /// The start of the chain of `namespace`. It depends on the namespace, so that one chain can't be passed off as another's.
    pub fn start(namespace: &str) -> Self {
        Self { sequence: 0, digest: Digest::of(format!("krate audit chain of {namespace}").as_bytes()) }
    }

    /// The event that `draft` becomes as the next of the chain; the head moves on to it.
    ///
    /// # Errors
    /// [`NotCanonical`] when the draft has no canonical JSON; the head stays.
    pub fn append(&mut self, draft: AuditDraft) -> Result<AuditEventSpec, NotCanonical> {
        let mut event = AuditEventSpec {
            organization_ref: draft.organization,
            // 2^63 events at a million a second take 292,000 years.
            sequence: self.sequence.saturating_add(1),
            kind: draft.kind,
            at: draft.at,
            actor: draft.actor,
            object: draft.object,
            provider: draft.provider,
            binding: draft.binding,
            interface: draft.interface,
            native: draft.native,
            from: draft.from,
            to: draft.to,
            reason: draft.reason,
            outcome: draft.outcome,
            digests: draft.digests,
            cause_chain: draft.cause_chain,
            correlation_id: draft.correlation_id,
            previous_digest: self.digest,
            digest: self.digest,
        };
        event.digest = event.computed_digest()?;
        *self = Self { sequence: event.sequence, digest: event.digest };
        Ok(event)
    }

    /// The head as the private record that a store keeps.
    pub(crate) fn to_json(&self) -> String {
        json!(self).to_string()
    }

    /// The head that [`to_json`](Self::to_json) wrote.
    pub(crate) fn from_json(bytes: &[u8]) -> Option<Self> {
        serde_json::from_slice(bytes).ok()
    }
}

/// The first place where a chain doesn't hold (R44).
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ChainBreak {
    /// An event is missing, doubled or out of order.
    #[error("audit event {found} stands where {expected} should")]
    Sequence {
        /// The number that should be there.
        expected: i64,
        /// The number that is.
        found: i64,
    },
    /// The event does not name the one before.
    #[error("audit event {sequence} follows {found}, but the one before is {expected}")]
    Previous {
        /// The event.
        sequence: i64,
        /// Digest of the event before.
        expected: Digest,
        /// Digest that this event names.
        found: Digest,
    },
    /// The event was changed after it was written.
    #[error("audit event {sequence} was changed: it carries {found}, its content is {computed}")]
    Content {
        /// The event.
        sequence: i64,
        /// Digest of the content.
        computed: Digest,
        /// Digest that it carries.
        found: Digest,
    },
    /// The event has no canonical JSON.
    #[error("audit event {sequence} has no digest")]
    Unreadable {
        /// The event.
        sequence: i64,
    },
    /// The newest events are gone, or the head is not the chain's.
    #[error("the audit chain ends at {found}, its head says {expected}")]
    End {
        /// The head's number.
        expected: i64,
        /// The last event's number.
        found: i64,
    },
}

/// Checks that `events` lead from `start` (a chain's start or a checkpoint) to `head` without gap or change.
///
/// # Errors
/// The first [`ChainBreak`].
///
/// ```
/// use krate_model::audit::{AuditDraft, ChainBreak, ChainHead, verify_chain};
/// use krate_model::kinds::{sets::ActorKind, shared::{Actor, parse_time}};
/// let at = parse_time("2026-06-01T00:00:00Z").unwrap();
/// let start = ChainHead::start("krate-org-a");
/// let mut head = start.clone();
/// let draft = AuditDraft::new("krate-org-a", "Login", at, Actor::new(ActorKind::User, "alice"));
/// let mut events = vec![head.append(draft.clone()).unwrap(), head.append(draft).unwrap()];
/// verify_chain(&start, &events, &head).unwrap();
/// events[0].reason = Some("rewritten".into());
/// assert!(matches!(verify_chain(&start, &events, &head), Err(ChainBreak::Content { sequence: 1, .. })));
/// ```
pub fn verify_chain<'a>(
    start: &ChainHead,
    events: impl IntoIterator<Item = &'a AuditEventSpec>,
    head: &ChainHead,
) -> Result<(), ChainBreak> {
    let mut last = start.clone();
    for event in events {
        let (sequence, expected) = (event.sequence, last.sequence.saturating_add(1));
        if sequence != expected {
            return Err(ChainBreak::Sequence { expected, found: sequence });
        }
        if event.previous_digest != last.digest {
            return Err(ChainBreak::Previous { sequence, expected: last.digest, found: event.previous_digest });
        }
        let computed = event.computed_digest().map_err(|_| ChainBreak::Unreadable { sequence })?;
        if computed != event.digest {
            return Err(ChainBreak::Content { sequence, computed, found: event.digest });
        }
        last = ChainHead { sequence, digest: event.digest };
    }
    if last != *head {
        return Err(ChainBreak::End { expected: head.sequence, found: last.sequence });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kinds::sets::ActorKind;
    use crate::kinds::shared::parse_time;

    const NAMESPACE: &str = "krate-org-a";

    fn draft(kind: &str) -> AuditDraft {
        let at = parse_time("2026-06-01T00:00:00.25Z").unwrap();
        AuditDraft::new(NAMESPACE, kind, at, Actor::new(ActorKind::Controller, "krate-sync"))
            .organization("a")
            .object(ObjectRef::new("Issue", "first"))
            .scope("gh", "gh-krate", Some(Interface::IssueTracking))
            .native("issue", "42")
            .moved("ReadyToSend", "Sending")
            .reason("Dispatched")
            .digest("payload", Digest::of(b"payload"))
            .caused_by(["e1".to_owned()])
            .correlation("c1")
    }

    fn chain(length: usize) -> (ChainHead, Vec<AuditEventSpec>, ChainHead) {
        let start = ChainHead::start(NAMESPACE);
        let mut head = start.clone();
        let events = (0..length).map(|_| head.append(draft("Write")).unwrap()).collect();
        (start, events, head)
    }

    #[test]
    fn r44_every_tampering_is_found_and_named() {
        let (start, events, head) = chain(5);
        assert_eq!(verify_chain(&start, &events, &head), Ok(()));
        let broken = |change: &dyn Fn(&mut Vec<AuditEventSpec>)| {
            let mut events = events.clone();
            change(&mut events);
            verify_chain(&start, &events, &head).unwrap_err()
        };
        assert_eq!(broken(&|events| drop(events.remove(2))), ChainBreak::Sequence { expected: 3, found: 4 });
        assert_eq!(broken(&|events| drop(events.remove(0))), ChainBreak::Sequence { expected: 1, found: 2 });
        assert_eq!(broken(&|events| drop(events.pop())), ChainBreak::End { expected: 5, found: 4 });
        assert_eq!(broken(&|events| events.swap(1, 2)), ChainBreak::Sequence { expected: 2, found: 3 });
        assert!(matches!(broken(&|events| events[3].reason = None), ChainBreak::Content { sequence: 4, .. }));
        // Whoever rewrites an event with its digest still breaks the link of the next one.
        let rewritten = |events: &mut Vec<AuditEventSpec>| {
            events[1].outcome = AuditOutcome::Denied;
            events[1].digest = events[1].computed_digest().unwrap();
        };
        assert!(matches!(broken(&rewritten), ChainBreak::Previous { sequence: 3, .. }));
        // And whoever rewrites the rest as well has another head.
        let forged = |events: &mut Vec<AuditEventSpec>| {
            let mut head = start.clone();
            *events = (0..5).map(|_| head.append(draft("Forged")).unwrap()).collect();
        };
        assert_eq!(broken(&forged), ChainBreak::End { expected: 5, found: 5 });
    }

    #[test]
    fn r44_every_member_is_under_the_digest() {
        let (start, events, head) = chain(1);
        let whole = serde_json::to_value(&events[0]).unwrap();
        for name in whole.as_object().unwrap().keys().filter(|name| *name != "digest") {
            let mut changed = whole.clone();
            let member = &mut changed[name];
            *member = match name.as_str() {
                "sequence" => json!(2),
                "at" => json!("2026-06-01T00:00:00.26Z"),
                "actor" => json!({"kind": "user", "name": "mallory"}),
                "object" | "native" => json!({"kind": "x", "name": "x", "id": "x"}),
                "digests" => json!({}),
                "causeChain" => json!([]),
                "previousDigest" => json!(Digest::of(b"other")),
                _ => json!("x"),
            };
            let event: AuditEventSpec = serde_json::from_value(changed).unwrap();
            assert!(verify_chain(&start, [&event], &head).is_err(), "{name} can be changed unseen");
        }
    }

    #[test]
    fn r44_a_chain_goes_on_from_a_checkpoint_and_belongs_to_its_namespace() {
        let (start, events, head) = chain(4);
        let checkpoint = ChainHead { sequence: 2, digest: events[1].digest };
        assert_eq!(verify_chain(&checkpoint, &events[2..], &head), Ok(()));
        let other = ChainHead::start("krate-org-b");
        assert!(matches!(verify_chain(&other, &events, &head), Err(ChainBreak::Previous { sequence: 1, .. })));
        assert_eq!(ChainHead::from_json(start.to_json().as_bytes()), Some(start));
    }

    #[test]
    fn r44_an_event_reads_back_under_the_same_digest() {
        let (_, events, _) = chain(1);
        let object: serde_json::Value = serde_json::from_slice(&events[0].to_body(NAMESPACE)).unwrap();
        let read: AuditEventSpec = serde_json::from_value(object["spec"].clone()).unwrap();
        assert_eq!(read, events[0]);
        assert_eq!(read.computed_digest().unwrap(), events[0].digest);
        insta::assert_json_snapshot!(object, @r#"
        {
          "apiVersion": "krate.a5c.ai/v1alpha1",
          "kind": "AuditEvent",
          "metadata": {
            "creationTimestamp": "2026-06-01T00:00:00Z",
            "generation": 1,
            "name": "audit-0000000000000000001",
            "namespace": "krate-org-a",
            "uid": "1515443d-fd41-800f-9efd-e100a396b93c"
          },
          "spec": {
            "actor": {
              "kind": "controller",
              "name": "krate-sync"
            },
            "at": "2026-06-01T00:00:00.250Z",
            "binding": "gh-krate",
            "causeChain": [
              "e1"
            ],
            "correlationId": "c1",
            "digest": "sha256:1515443dfd41000f1efde100a396b93c403cffa3ee5b0531ab8c5943fdb91448",
            "digests": {
              "payload": "sha256:239f59ed55e737c77147cf55ad0c1b030b6d7ee748a7426952f9b852d5a935e5"
            },
            "from": "ReadyToSend",
            "interface": "issueTracking",
            "native": {
              "id": "42",
              "kind": "issue"
            },
            "object": {
              "kind": "Issue",
              "name": "first"
            },
            "organizationRef": "a",
            "outcome": "Recorded",
            "previousDigest": "sha256:d0fb9dac01633dd911701d76011f7f4e88961b3b4543fb783e65ab832e6a2cdb",
            "provider": "gh",
            "reason": "Dispatched",
            "sequence": 1,
            "to": "Sending",
            "type": "Write"
          },
          "status": {
            "phase": "Recorded"
          }
        }
        "#);
    }
}
