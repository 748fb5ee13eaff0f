//! Which fields of which kind merge, and how: the model's table ([`mergeable`], R50), and what merging needs besides. Spec: resource-kinds.md section 4,
//! external-sync.md section 7.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use krate_model::Kind;
use krate_model::kinds::sets::Strategy;
use krate_model::validate::mergeable;

use super::order::{CONCLUSIONS, Order, RUN_PHASES, STATES};

/// One field that two sides may both change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MergeableField {
    /// Where it stands, such as `spec.labels`.
    pub path: &'static str,
    /// How it merges unless a binding or a policy says otherwise.
    pub strategy: Strategy,
    /// The order of its values under `monotonic`.
    pub order: Order<'static>,
}

impl MergeableField {
    /// The field with the order that its name has. A pull request's `state` is a scalar of which `merged` is final: under `monotonic` values of one rank
    /// merge as scalars do.
    fn new(path: &'static str, strategy: Strategy) -> Self {
        let order: Order<'static> = match (&strategy, last(path)) {
            (Strategy::Monotonic, "state") => STATES,
            (Strategy::Monotonic, "phase") => RUN_PHASES,
            (Strategy::Monotonic, "conclusion") => CONCLUSIONS,
            _ => &[],
        };
        Self { path, strategy, order }
    }
}

/// An issue's `state` stands for state and reason, which merge as one unit.
const WITH_ITS_STATE: &str = "spec.stateReason";

/// What only the provider says, so that nobody names it in an override.
const fn observed_only(kind: Kind) -> &'static [(&'static str, Strategy)] {
    match kind {
        Kind::PullRequest => &[("status.headSha", Strategy::Version), ("status.baseSha", Strategy::Version)],
        Kind::Pipeline | Kind::Job => {
            &[("status.phase", Strategy::Monotonic), ("status.conclusion", Strategy::Monotonic)]
        }
        _ => &[],
    }
}

fn table(kind: Kind) -> Vec<MergeableField> {
    let wished = mergeable(kind).iter().filter(|field| field.path != WITH_ITS_STATE);
    let wished = wished.map(|field| MergeableField::new(field.path, field.strategy.clone()));
    let observed = observed_only(kind).iter().map(|(path, strategy)| MergeableField::new(path, strategy.clone()));
    wished.chain(observed).collect()
}

/// The mergeable fields of `kind`; none for a kind that has no provider's side.
pub fn mergeable_fields(kind: Kind) -> &'static [MergeableField] {
    static TABLES: LazyLock<BTreeMap<Kind, Vec<MergeableField>>> =
        LazyLock::new(|| Kind::ALL.iter().map(|kind| (*kind, table(*kind))).collect());
    TABLES.get(&kind).map_or(&[], Vec::as_slice)
}

/// The name of a field inside what holds it.
fn last(path: &str) -> &str {
    path.rsplit('.').next().unwrap_or(path)
}

/// How a field merges that nobody gave a strategy, by its name: as a field of that name does in the kind that asks for more than a scalar.
pub(super) fn by_name(name: &str) -> MergeableField {
    static NAMES: LazyLock<BTreeMap<&'static str, &'static MergeableField>> = LazyLock::new(|| {
        let all = Kind::ALL.iter().flat_map(|kind| mergeable_fields(*kind));
        all.filter(|field| field.strategy != Strategy::Scalar).map(|field| (last(field.path), field)).collect()
    });
    let strategy = match (name, NAMES.get(name)) {
        (_, Some(field)) => return MergeableField { path: "", ..(*field).clone() },
        ("comments", None) => Strategy::Append,
        ("extensions" | "fields", None) => Strategy::Map,
        _ => Strategy::Scalar,
    };
    MergeableField::new("", strategy)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn r50_what_may_be_named_is_what_merges_and_by_the_same_strategy() {
        for kind in Kind::ALL.iter().copied() {
            let named = mergeable(kind).iter().filter(|field| field.path != WITH_ITS_STATE);
            let named: Vec<_> = named.map(|field| (field.path, field.strategy)).collect();
            let merged = mergeable_fields(kind).iter().filter(|field| field.path.starts_with("spec."));
            let merged: Vec<_> = merged.map(|field| (field.path, &field.strategy)).collect();
            assert_eq!(named, merged, "{kind}");
        }
        let reason = mergeable(Kind::Issue).iter().find(|field| field.path == WITH_ITS_STATE);
        assert!(reason.is_some(), "people change it with the state");
    }

    #[test]
    fn r38_what_merges_forward_has_an_order_and_nothing_else_has() {
        for field in Kind::ALL.iter().flat_map(|kind| mergeable_fields(*kind)) {
            assert_eq!(field.strategy == Strategy::Monotonic, !field.order.is_empty(), "{}", field.path);
        }
        let state = |kind| mergeable_fields(kind).iter().find(|field| field.path == "spec.state").expect("a state");
        assert_eq!((state(Kind::PullRequest).order, &state(Kind::Issue).strategy), (STATES, &Strategy::Scalar));
    }

    #[test]
    fn a_name_merges_as_in_the_kind_that_has_it() {
        let strategies = [
            ("labels", Strategy::Set),
            ("restrictPushTo", Strategy::Set),
            ("comments", Strategy::Append),
            ("headSha", Strategy::Version),
            ("state", Strategy::Monotonic),
            ("fields", Strategy::Map),
            ("title", Strategy::Scalar),
            ("anything", Strategy::Scalar),
        ];
        for (name, strategy) in strategies {
            assert_eq!(by_name(name).strategy, strategy, "{name}");
        }
        assert_eq!((by_name("phase").order, by_name("conclusion").order), (RUN_PHASES, CONCLUSIONS));
    }
}
