//! The machines as data: for the docs, `krate explain`, and tests that want to know all moves.

use std::fmt::Write as _;

use krate_model::ClosedSet;

use super::{Transition, backfill, binding, conflict, delivery, intent, provider};

/// A machine, without its types.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Machine {
    /// Its name, as refusals and audit have it.
    pub name: &'static str,
    /// Where the spec has it.
    pub spec: &'static str,
    /// Every phase, in the order of the spec.
    pub phases: &'static [&'static str],
    /// The phases in which a record starts.
    pub initial: &'static [&'static str],
    /// Every event.
    pub events: Vec<&'static str>,
    /// Every allowed move.
    pub edges: Vec<Edge>,
}

/// One allowed move.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Edge {
    /// The phase that it leaves.
    pub from: String,
    /// The event that causes it.
    pub event: &'static str,
    /// The phase that it may lead to.
    pub to: String,
    /// The rule that it comes from.
    pub rule: &'static str,
}

/// Every machine of this crate.
pub fn machines() -> Vec<Machine> {
    /// A machine whose module follows the house's form.
    macro_rules! machine {
        ($module:ident, $phase:ident, $spec:literal, $initial:expr) => {
            Machine {
                name: $module::MACHINE,
                spec: $spec,
                phases: <krate_model::kinds::external::$phase as ClosedSet>::ACCEPTED,
                initial: &$initial,
                events: $module::EventKind::ALL.iter().map(|event| event.as_str()).collect(),
                edges: edges($module::TRANSITIONS, |event| event.as_str()),
            }
        };
    }
    vec![
        machine!(delivery, ExternalWebhookDeliveryPhase, "section 9", ["Received"]),
        machine!(backfill, ExternalSyncStatePhase, "section 6", ["Scheduled"]),
        machine!(intent, ExternalWriteIntentPhase, "section 8", ["PendingApproval", "ReadyToSend"]),
        machine!(conflict, ExternalSyncConflictPhase, "section 9", ["Open"]),
        machine!(provider, ExternalBackendProviderPhase, "section 9", ["Pending"]),
        machine!(binding, ExternalBackendBindingPhase, "section 9", ["Pending"]),
    ]
}

/// The moves of a table. A row of several phases that lead to several may be read in two ways: where every phase that it leads to is one that it leaves, as
/// with an event that changes no phase, each leads to itself only.
fn edges<P: ClosedSet + PartialEq, E: Copy>(table: &[Transition<P, E>], name: fn(E) -> &'static str) -> Vec<Edge> {
    let mut edges = Vec::new();
    for row in table {
        let stays = row.from == row.to;
        for from in row.from {
            for on in row.on {
                for to in row.to.iter().filter(|to| !stays || *to == from) {
                    let (from, to) = (from.as_str().to_owned(), to.as_str().to_owned());
                    edges.push(Edge { from, event: name(*on), to, rule: row.rule });
                }
            }
        }
    }
    edges
}

impl Machine {
    /// Whether nothing leaves `phase`.
    pub fn is_final(&self, phase: &str) -> bool {
        self.edges.iter().all(|edge| edge.from != phase)
    }
}

/// The machine as a Mermaid state diagram. Events that change no phase aren't drawn.
pub fn mermaid(machine: &Machine) -> String {
    let mut text = String::from("stateDiagram-v2\n");
    for initial in machine.initial {
        // Writing to a String can't fail.
        let _ = writeln!(text, "    [*] --> {initial}");
    }
    let mut drawn: Vec<(&str, &str, Vec<&str>)> = Vec::new();
    for edge in machine.edges.iter().filter(|edge| edge.from != edge.to) {
        match drawn.iter_mut().find(|(from, to, _)| *from == edge.from && *to == edge.to) {
            Some((_, _, events)) => events.push(edge.event),
            None => drawn.push((&edge.from, &edge.to, vec![edge.event])),
        }
    }
    for (from, to, events) in drawn {
        let _ = writeln!(text, "    {from} --> {to}: {}", events.join(", "));
    }
    for phase in machine.phases.iter().filter(|phase| machine.is_final(phase)) {
        let _ = writeln!(text, "    {phase} --> [*]");
    }
    text
}
