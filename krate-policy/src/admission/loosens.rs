//! What a write loosens: keys, rules for refs and protected refs hold people off, so that whoever loosens them grants what they kept from others
//! (permission-review.md section 9; P44, P61).
//!
//! Each field has an order of its own in which one value is stricter than another. What is rewritten so that nobody can tell counts as looser.

use std::collections::BTreeSet;

use krate_model::kinds::shared::Time;
use krate_model::{Kind, apply_defaults};
use serde_json::Value;

/// When one value of a field is as strict as another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Order {
    /// `true` is stricter.
    Flag,
    /// More is stricter.
    More,
    /// Less is stricter; none is no bound at all.
    Less,
    /// Earlier is stricter; none is no end at all.
    Earlier,
    /// Whatever holds all of the other is stricter.
    All,
    /// Whatever holds nothing but what the other holds is stricter; none is everybody.
    Few,
    /// Whatever holds nothing but what the other holds is stricter; none is nobody.
    Exceptions,
    /// Only the same is as strict.
    Same,
}

/// Every field by which one of these kinds is looser or stricter; a field that isn't here is no matter of strictness.
const FIELDS: &[(Kind, &str, Order)] = &[
    (Kind::SSHKey, "spec.readOnly", Order::Flag),
    (Kind::SSHKey, "spec.revoked", Order::Flag),
    (Kind::SSHKey, "spec.expiresAt", Order::Earlier),
    (Kind::RefPolicy, "spec.repository", Order::Same),
    (Kind::RefPolicy, "spec.refs.include", Order::All),
    (Kind::RefPolicy, "spec.refs.exclude", Order::Exceptions),
    (Kind::RefPolicy, "spec.deny", Order::All),
    (Kind::RefPolicy, "spec.blockForcePush", Order::Flag),
    (Kind::RefPolicy, "spec.blockDeletion", Order::Flag),
    (Kind::RefPolicy, "spec.requireSignedCommits", Order::Flag),
    (Kind::RefPolicy, "spec.requireLinearHistory", Order::Flag),
    (Kind::RefPolicy, "spec.maxFileBytes", Order::Less),
    (Kind::BranchProtection, "spec.repository", Order::Same),
    (Kind::BranchProtection, "spec.refs.include", Order::All),
    (Kind::BranchProtection, "spec.refs.exclude", Order::Exceptions),
    (Kind::BranchProtection, "spec.requirePullRequest", Order::Flag),
    (Kind::BranchProtection, "spec.requiredApprovals", Order::More),
    (Kind::BranchProtection, "spec.dismissStaleApprovals", Order::Flag),
    (Kind::BranchProtection, "spec.requiredChecks", Order::All),
    (Kind::BranchProtection, "spec.requireConversationResolution", Order::Flag),
    (Kind::BranchProtection, "spec.restrictPushTo", Order::Few),
    (Kind::BranchProtection, "spec.enforceForAdmins", Order::Flag),
];

/// The fields that are looser once `new` stands in the place of `old`, in the order of the specification. A key gives by being there, the others by being gone.
pub(super) fn looser(kind: Kind, old: Option<&Value>, new: Option<&Value>) -> Vec<&'static str> {
    let with_defaults = |document: &Value| {
        let mut document = document.clone();
        apply_defaults(kind, &mut document);
        document
    };
    let (old, new) = (old.map(with_defaults), new.map(with_defaults));
    let is_key = kind == Kind::SSHKey;
    let is_revoked = |document: &Value| document.pointer("/spec/revoked").and_then(Value::as_bool).unwrap_or_default();
    match (&old, &new) {
        (_, Some(new)) if is_key && is_revoked(new) => Vec::new(),
        (None, Some(_)) if is_key => vec!["spec.key"],
        (Some(_), None) if !is_key => vec!["spec"],
        (Some(old), Some(new)) => {
            let rows = FIELDS.iter().filter(|(of, ..)| *of == kind);
            let looser = rows.filter(|(_, path, order)| {
                let pointer = format!("/{}", path.replace('.', "/"));
                !order.is_kept(old.pointer(&pointer), new.pointer(&pointer))
            });
            looser.map(|(_, path, _)| *path).collect()
        }
        _ => Vec::new(),
    }
}

impl Order {
    /// Whether `new` is at least as strict as `old`.
    fn is_kept(self, old: Option<&Value>, new: Option<&Value>) -> bool {
        if old == new {
            return true;
        }
        let set = |value: Option<&Value>| -> BTreeSet<String> {
            value.and_then(Value::as_array).into_iter().flatten().map(Value::to_string).collect()
        };
        match self {
            Self::Same => false,
            Self::Flag => new.and_then(Value::as_bool) == Some(true),
            Self::More => number(new) > number(old),
            Self::Less => number(new).is_some_and(|new| number(old).is_none_or(|old| new < old)),
            Self::Earlier => time(new).is_some_and(|new| time(old).is_none_or(|old| new <= old)),
            Self::All => set(new).is_superset(&set(old)),
            Self::Exceptions => set(new).is_subset(&set(old)),
            Self::Few => {
                let (old, new) = (set(old), set(new));
                old.is_empty() || (!new.is_empty() && new.is_subset(&old))
            }
        }
    }
}

fn number(value: Option<&Value>) -> Option<i64> {
    value.and_then(Value::as_i64)
}

fn time(value: Option<&Value>) -> Option<Time> {
    value.and_then(Value::as_str)?.parse().ok()
}
