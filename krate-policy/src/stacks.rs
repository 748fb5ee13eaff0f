//! What an agent stack names and isn't there: it is admitted, shows each such reference in a condition, and isn't `Ready`, so that nothing is dispatched (R17, R32).
//!
//! [`missing`] compares what a stack names with what is there; [`judged`] is the stack with the status that this gives it. Nothing here makes a stack `Ready`: that is for whoever
//! finds out what it can do.
//!
//! ```
//! use krate_model::kinds::shared::Time;
//! use krate_policy::snapshot::Snapshot;
//! use krate_policy::stacks::{judged, missing};
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let stack = serde_json::from_value(serde_json::json!({
//!     "apiVersion": "krate.a5c.ai/v1alpha1", "kind": "AgentStack", "metadata": {"name": "repair", "namespace": "krate-org-a"},
//!     "spec": {"organizationRef": "a", "baseAgent": "codex", "adapter": "local", "runtimeIdentity": {"serviceAccountRef": "repair"}},
//! }))?;
//! let gone = missing(&stack, &Snapshot::new(1), |_, name| name == "local", Time::UNIX_EPOCH);
//! assert_eq!(gone[0].to_string(), "spec.runtimeIdentity.serviceAccountRef: AgentServiceAccount repair isn't there");
//! let status = judged(&stack, &gone, Time::UNIX_EPOCH).status.ok_or("no status")?;
//! assert_eq!(status.phase.to_string(), "Blocked");
//! # Ok(()) }
//! ```

use std::collections::BTreeMap;
use std::fmt;

use krate_model::condition::{ConditionStatus, Finding, condition, set_condition};
use krate_model::kinds::agents::{AgentStack, AgentStackPhase};
use krate_model::kinds::identity::SharedVerb;
use krate_model::kinds::shared::Time;
use krate_model::validate::references;
use krate_model::{Kind, Resource, derived_name, is_dns_label};

use crate::review::Party;
use crate::snapshot::{Item, Snapshot};

/// The references that have a condition of their own, at most: a status holds 64 conditions. The condition `Ready` counts all.
pub const MAX_SHOWN: usize = 48;

/// How the type of a condition about a reference begins.
const REFERENCE: &str = "ReferenceResolved.";
const NOT_FOUND: &str = "ReferenceNotFound";

/// A reference of a stack.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Named {
    /// Where it stands.
    pub path: String,
    /// The kind that it names.
    pub kind: String,
    /// The organization that it names, where that is another one than the stack's (R4).
    pub organization: Option<String>,
    /// The name.
    pub name: String,
}

impl fmt::Display for Named {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { path, kind, name, .. } = self;
        match &self.organization {
            // P6: what isn't shared is as what isn't there.
            Some(owner) => write!(f, "{path}: {kind} {owner}/{name} isn't there, or isn't shared"),
            None => write!(f, "{path}: {kind} {name} isn't there"),
        }
    }
}

/// All that a stack names, by path: its own organization's as the schema marks them, and other organizations'.
pub fn named(stack: &AgentStack) -> Vec<Named> {
    // A stack is plain data, which always has JSON.
    let document = serde_json::to_value(stack).unwrap_or_default();
    // The organization has to be there at admission (R3).
    let own = references(&document).into_iter().filter(|reference| reference.kind != Kind::Organization);
    let own = own.map(|it| Named { path: it.path, kind: it.kind.to_string(), organization: None, name: it.name });
    let shared = stack.spec.shared_refs.iter().enumerate().map(|(at, it)| Named {
        path: format!("spec.sharedRefs[{at}]"),
        kind: it.kind.clone(),
        organization: Some(it.organization.clone()),
        name: it.name.clone(),
    });
    own.chain(shared).collect()
}

/// What the stack names and isn't there at `now`. `is_there` is asked about kinds that no decision is made from, and a snapshot doesn't hold.
pub fn missing(
    stack: &AgentStack,
    snapshot: &Snapshot,
    is_there: impl Fn(Kind, &str) -> bool,
    now: Time,
) -> Vec<Named> {
    let namespace = stack.namespace();
    let party = Party { snapshot, organization: &stack.spec.organization_ref, namespace, now };
    let resolves = |named: &Named| {
        let Ok(kind) = named.kind.parse::<Kind>() else { return false };
        match &named.organization {
            Some(owner) => {
                let shared = party.shared(owner, &named.kind, &named.name, &SharedVerb::Reference);
                let home = snapshot.namespace_of(owner.as_str());
                shared.is_some() && home.is_some_and(|home| snapshot.item(kind, home, &named.name).is_some())
            }
            None if Item::is_kept(kind) => snapshot.item(kind, namespace, &named.name).is_some(),
            None => is_there(kind, &named.name),
        }
    };
    named(stack).into_iter().filter(|named| !resolves(named)).collect()
}

/// The stack with the status that its references give it: `Blocked`, with a condition for each that is `missing`, and `Pending` again once none is. A stack of which nothing is
/// missing, and of which nothing was, stays as it is.
#[must_use]
pub fn judged(stack: &AgentStack, missing: &[Named], now: Time) -> AgentStack {
    let mut next = stack.clone();
    let generation = next.generation();
    let told: BTreeMap<String, String> =
        missing.iter().take(MAX_SHOWN).map(|it| (condition_of(it), it.to_string())).collect();
    let conditions = next.status.as_ref().map_or(&[][..], |status| &status.conditions);
    let was_blocked = condition(conditions, "Ready").is_some_and(|ready| ready.reason == NOT_FOUND);
    if missing.is_empty() && !was_blocked {
        return next;
    }
    let status = next.status.get_or_insert_default();
    let observed_generation = Some(generation);
    status.conditions.retain(|known| !known.type_.starts_with(REFERENCE) || told.contains_key(&known.type_));
    for (kind, message) in &told {
        let found = Finding { kind, status: ConditionStatus::False, reason: NOT_FOUND, message, observed_generation };
        set_condition(&mut status.conditions, found, now);
    }
    let (phase, ready, reason, message) = match missing {
        [] => (AgentStackPhase::Pending, ConditionStatus::Unknown, "ReferencesResolved", String::new()),
        [one] => (AgentStackPhase::Blocked, ConditionStatus::False, NOT_FOUND, one.to_string()),
        [first, rest @ ..] => {
            (AgentStackPhase::Blocked, ConditionStatus::False, NOT_FOUND, format!("{first}; and {} more", rest.len()))
        }
    };
    let found = Finding { kind: "Ready", status: ready, reason, message: &message, observed_generation };
    set_condition(&mut status.conditions, found, now);
    status.phase = phase;
    status.observed_generation = status.observed_generation.max(observed_generation);
    next
}

/// The type of the condition about a reference: one for each thing that is named.
fn condition_of(named: &Named) -> String {
    let part = |text: &str| {
        // What is no name is still told apart from others.
        let short = || derived_name("name", &text).unwrap_or_default();
        if is_dns_label(text) { text.to_owned() } else { short() }
    };
    let owner = named.organization.as_deref().map(|owner| format!("{}.", part(owner))).unwrap_or_default();
    format!("{REFERENCE}{}.{owner}{}", named.kind, part(&named.name))
}
