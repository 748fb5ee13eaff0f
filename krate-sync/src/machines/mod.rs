//! The phase machines: what may follow what, and what a record waits for. Spec: external-sync.md sections 6, 8 and 9; S40, S41, S45.
//!
//! Each machine is one file with the same parts:
//!
//! - `TRANSITIONS`: every allowed move, with the rule it comes from. What isn't here is refused (S40). `docs/machines.md` and the tests that try every
//!   event in every phase are made from it.
//! - `step(record, event, ctx)`: what happened. It returns the whole next record, further records to write, and one audit draft for each change of phase
//!   (S41); it performs nothing. A refusal says machine, phase, event and why, and the record is as it was.
//! - `due(record, …, now)`: what the record waits for. It reads nothing but the record, so that after a crash the same record yields the same effect, and no
//!   queue can disagree with it.
//!
//! A record in the middle of an effect carries in `status.notBefore` until when whoever performs it is trusted to be alive; after that the effect counts as
//! abandoned. Time and the seed of the jitter come in through [`Ctx`].

pub mod backfill;
pub mod binding;
pub mod conflict;
pub mod delivery;
mod diagram;
pub mod intent;
pub mod provider;
#[cfg(test)]
mod tests;

use std::fmt;

use chrono::TimeDelta;
use krate_model::audit::{AuditDraft, AuditOutcome};
use krate_model::condition::{ConditionStatus, Finding, set_condition};
use krate_model::kinds::external::{ExternalBackendSyncPolicySpec, ExternalSyncConflict};
use krate_model::kinds::sets::ErrorClass;
use krate_model::kinds::shared::{Actor, Condition, ErrorInfo, ObjectRef, Time, Version};
use krate_model::{ClosedSet, Digest, Resource};

pub use diagram::{Edge, Machine, machines, mermaid};

/// One row of a machine's table: from any of these phases, on any of these events, to one of those.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transition<P: 'static, E: 'static> {
    /// The phases that it leaves.
    pub from: &'static [P],
    /// The events that cause it.
    pub on: &'static [E],
    /// The phases that it may lead to; which one, the event and the record say.
    pub to: &'static [P],
    /// The rule that it comes from.
    pub rule: &'static str,
}

/// Declares a transition table: `From | From: Event | Event => To | To, "rule";`.
macro_rules! table {
    ($phase:ident, $kind:ident; $($($from:ident)|+ : $($on:ident)|+ => $($to:ident)|+, $rule:literal;)+) => {
        &[$($crate::machines::Transition {
            from: &[$($phase::$from),+],
            on: &[$($kind::$on),+],
            to: &[$($phase::$to),+],
            rule: $rule,
        }),+]
    };
}

/// Declares what can happen to a record: the events with what they carry, and their names.
macro_rules! events {
    ($($(#[$meta:meta])* $name:ident $({ $($(#[$field_meta:meta])* $field:ident: $type:ty),+ $(,)? })?),+ $(,)?) => {
        /// What happened, with what it brought.
        #[derive(Debug, Clone, PartialEq)]
        pub enum Event {
            $($(#[$meta])* $name $({ $($(#[$field_meta])* $field: $type),+ })?,)+
        }

        /// The name of an event.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum EventKind {
            $($(#[$meta])* $name,)+
        }

        impl EventKind {
            /// Every event of the machine.
            pub const ALL: &'static [Self] = &[$(Self::$name),+];

            /// The name.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$name => stringify!($name),)+ }
            }
        }

        impl std::fmt::Display for EventKind {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.pad(self.as_str())
            }
        }

        impl Event {
            /// The name.
            pub fn kind(&self) -> EventKind {
                match self { $(Self::$name { .. } => EventKind::$name,)+ }
            }
        }
    };
}

pub(crate) use {events, table};

/// How long a read of a provider may show what was there before a write: an effect is looked for after this time, not before. A lag that lasts longer can let a write be sent
/// twice (docs/limits.md).
pub const READ_LAG: TimeDelta = TimeDelta::seconds(5);

/// What a step is told besides the event: time, who acts, and the numbers of the policy.
#[derive(Debug, Clone, Copy)]
pub struct Ctx<'a> {
    /// Now.
    pub now: Time,
    /// Who acts, for the audit.
    pub actor: &'a Actor,
    /// How often and how long.
    pub policy: &'a Policy,
    /// Where the jitter of retries comes from: the same seed, record and attempt give the same delay.
    pub seed: u64,
}

/// The numbers of a sync policy, and how long an effect may take.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    /// Attempts in all.
    pub max_attempts: i64,
    /// Bound of the first delay.
    pub base_delay: TimeDelta,
    /// Bound of every delay.
    pub max_delay: TimeDelta,
    /// How long an accepted write may wait for its confirmation.
    pub confirmation_timeout: TimeDelta,
    /// Between incremental backfills; never longer than `stale_after` (S26).
    pub backfill_interval: TimeDelta,
    /// After how long without a run a list is stale.
    pub stale_after: TimeDelta,
    /// How long whoever performs an effect is trusted to be alive.
    pub lease: TimeDelta,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            max_attempts: 8,
            base_delay: TimeDelta::seconds(1),
            max_delay: TimeDelta::minutes(15),
            confirmation_timeout: TimeDelta::minutes(10),
            backfill_interval: TimeDelta::minutes(15),
            stale_after: TimeDelta::hours(6),
            lease: TimeDelta::minutes(2),
        }
    }
}

/// The shortest time between two runs over one list, whatever a policy says.
const MIN_BACKFILL_INTERVAL: TimeDelta = TimeDelta::seconds(1);

impl Policy {
    /// The numbers of `spec`. One that can't be read is that of [`Policy::default`], as if no policy were named (R70).
    pub fn of(spec: &ExternalBackendSyncPolicySpec) -> Self {
        let known = Self::default();
        let interval = spec.backfill.interval.to_delta().unwrap_or(known.backfill_interval);
        let stale_after = spec.stale_after.to_delta().unwrap_or(known.stale_after);
        Self {
            max_attempts: spec.retry.max_attempts.clamp(1, 50),
            base_delay: spec.retry.base_delay.to_delta().unwrap_or(known.base_delay),
            max_delay: spec.retry.max_delay.to_delta().unwrap_or(known.max_delay),
            confirmation_timeout: spec.confirmation_timeout.to_delta().unwrap_or(known.confirmation_timeout),
            backfill_interval: interval.min(stale_after).max(MIN_BACKFILL_INTERVAL),
            stale_after,
            lease: known.lease,
        }
    }

    /// The delay after `attempt` failed attempts of the record `name`: exponential with full jitter (S45), anything from nothing to the bound.
    pub fn backoff(&self, seed: u64, name: &str, attempt: i64) -> TimeDelta {
        let doublings = u32::try_from(attempt.saturating_sub(1).clamp(0, 40)).unwrap_or(0);
        let bound = self.base_delay.num_milliseconds().max(0).saturating_mul(1_i64 << doublings);
        let bound = bound.min(self.max_delay.num_milliseconds().max(0)).unsigned_abs();
        // The high half of draw × (bound + 1) is evenly spread over 0 ..= bound.
        let drawn = (u128::from(draw(seed, name, attempt)) * (u128::from(bound) + 1)) >> 64;
        TimeDelta::milliseconds(i64::try_from(drawn).unwrap_or(i64::MAX))
    }
}

/// A number that looks random and depends on nothing but the arguments.
fn draw(seed: u64, name: &str, attempt: i64) -> u64 {
    let mut state = seed ^ 0x9e37_79b9_7f4a_7c15;
    for byte in name.bytes().chain(attempt.to_le_bytes()) {
        state = (state ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
    }
    // The finish of SplitMix64, so that neighbouring attempts have nothing in common.
    state = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    state = (state ^ (state >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    state ^ (state >> 31)
}

/// What follows from an event. Write `also` first, `record` last, and the audit with it.
#[derive(Debug, Clone, PartialEq)]
pub struct Step<R> {
    /// The whole next record.
    pub record: R,
    /// Records that the next one refers to. Their names come from their content, so that a repeat writes the same ones.
    pub also: Vec<Also>,
    /// One draft for each change of phase (S41).
    pub audit: Vec<AuditDraft>,
}

/// A record that a step brings along.
#[derive(Debug, Clone, PartialEq)]
pub enum Also {
    /// The conflict that a write met.
    Conflict(Box<ExternalSyncConflict>),
}

/// What a record waits for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Due<E> {
    /// An effect to perform.
    Now(E),
    /// A time to look again.
    At(Time),
    /// Nothing but an event from outside.
    Idle,
}

impl<E> Due<E> {
    /// `effect`, but not before its time.
    fn after(not_before: Option<Time>, now: Time, effect: E) -> Self {
        match not_before {
            Some(time) if time > now => Self::At(time),
            _ => Self::Now(effect),
        }
    }
}

/// Whether provider, binding and budget let a record go on (S36, S37, S43).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Gate {
    /// They do.
    Open,
    /// The provider or the binding is paused, failed or not ready yet.
    Paused {
        /// Which one.
        by: ObjectRef,
    },
    /// The budget is spent.
    Budget {
        /// Until when, where the provider said so.
        until: Option<Time>,
    },
    /// An earlier write to the same native object isn't done.
    Behind {
        /// Which one.
        intent: String,
    },
}

/// An event that a machine refuses (S40). The record is unchanged.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{machine}: {event} is refused in phase {phase}: {why}")]
pub struct Refused {
    /// The machine.
    pub machine: &'static str,
    /// The phase that the record is in.
    pub phase: Box<str>,
    /// The event.
    pub event: &'static str,
    /// Why.
    pub why: Box<Why>,
}

/// Why an event is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Why {
    /// The table has no such transition.
    #[error("there is no such transition (S40)")]
    NotListed,
    /// Somebody approved another request.
    #[error("the approval is for {approved}, the request is {requested} (S32)")]
    OtherRequest {
        /// What was approved.
        approved: Digest,
        /// What would be sent.
        requested: Digest,
    },
    /// Nobody, or somebody who is no person, approved.
    #[error("{by} can't approve; a person has to (S39)")]
    NoPerson {
        /// Who.
        by: String,
    },
    /// Provider, binding, budget or an earlier write holds it back.
    #[error("it is held back: {}", Held(.0))]
    Held(Gate),
    /// Somebody has cancelled it (R37).
    #[error("it is cancelled (R37)")]
    Cancelled,
    /// Its time hasn't come.
    #[error("it waits until {until}")]
    NotDue {
        /// Until when.
        until: Time,
    },
    /// There are attempts left, or none.
    #[error("{attempts} of {max} attempts are made")]
    Attempts {
        /// How many were made.
        attempts: i64,
        /// How many may be made.
        max: i64,
    },
    /// A side moved since the person looked.
    #[error("StaleResolution: generation {generation} and version {version:?} are current now (S29)")]
    StaleResolution {
        /// The local generation now.
        generation: i64,
        /// The provider's version now.
        version: Box<Version>,
    },
    /// There is no such command on the record.
    #[error("{path} has to be {expected}")]
    Command {
        /// Where the command stands.
        path: &'static str,
        /// What would be accepted.
        expected: &'static str,
    },
    /// Only a complete backfill can tell that an object is gone.
    #[error("only a complete backfill makes tombstones (S23)")]
    Incomplete,
    /// The record wants something else: to be suspended, not to be, to own a hook, not to.
    #[error("{path} is {found}")]
    Unwanted {
        /// The field that decides.
        path: &'static str,
        /// What it says.
        found: bool,
    },
    /// The configuration is the one that failed.
    #[error("generation {generation} is the one that failed")]
    Unchanged {
        /// The generation of the spec.
        generation: i64,
    },
}

struct Held<'a>(&'a Gate);

impl fmt::Display for Held<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Gate::Open => f.write_str("by nothing"),
            Gate::Paused { by } => write!(f, "{} {} is not ready (S37)", by.kind, by.name),
            Gate::Budget { until: Some(until) } => write!(f, "the budget is spent until {until} (S43)"),
            Gate::Budget { until: None } => f.write_str("the budget is spent (S43)"),
            Gate::Behind { intent } => write!(f, "{intent} comes first (S36)"),
        }
    }
}

/// One step in the making: what is allowed, and how to refuse.
struct Move<P: 'static, E: 'static> {
    machine: &'static str,
    from: P,
    event: &'static str,
    allowed: &'static Transition<P, E>,
}

impl<P: ClosedSet + Clone + PartialEq, E: Copy + PartialEq> Move<P, E> {
    /// The row of the table that lets `event` happen in phase `from`.
    fn find(
        machine: &'static str,
        table: &'static [Transition<P, E>],
        from: &P,
        (event, name): (E, &'static str),
    ) -> Result<Self, Refused> {
        match table.iter().find(|row| row.from.contains(from) && row.on.contains(&event)) {
            Some(allowed) => Ok(Self { machine, from: from.clone(), event: name, allowed }),
            None => Err(Refused { machine, phase: from.as_str().into(), event: name, why: Box::new(Why::NotListed) }),
        }
    }

    fn refuse(&self, why: Why) -> Refused {
        Refused { machine: self.machine, phase: self.from.as_str().into(), event: self.event, why: Box::new(why) }
    }

    /// Refuses unless `holds`.
    fn require(&self, holds: bool, why: impl FnOnce() -> Why) -> Result<(), Refused> {
        if holds { Ok(()) } else { Err(self.refuse(why())) }
    }

    /// The step to `record`, which is in phase `to` now, and its audit where the phase changed.
    fn finish<R: Resource>(
        self,
        record: R,
        to: &P,
        about: About,
        scope: fn(&R, AuditDraft) -> AuditDraft,
        ctx: &Ctx<'_>,
    ) -> Result<Step<R>, Refused> {
        // The arms of a step choose the phase; the table has the last word.
        self.require(self.allowed.to.contains(to), || Why::NotListed)?;
        let mut audit = Vec::new();
        if *to != self.from {
            let reason =
                about.reason.as_ref().map_or_else(|| self.event.to_owned(), |why| format!("{}: {why}", self.event));
            let about = About { reason: Some(reason), ..about };
            audit.push(scope(&record, draft(&record, about, ctx).moved(self.from.as_str(), to.as_str())));
        }
        Ok(Step { record, also: Vec::new(), audit })
    }
}

/// What an audit draft tells beside the phases and the places.
struct About {
    kind: &'static str,
    outcome: AuditOutcome,
    reason: Option<String>,
    digests: Vec<(&'static str, Digest)>,
}

fn draft<R: Resource>(record: &R, about: About, ctx: &Ctx<'_>) -> AuditDraft {
    let mut object = ObjectRef::new(R::KIND.as_str(), record.name());
    object.uid.clone_from(&record.metadata().uid);
    let mut draft = AuditDraft::new(record.namespace(), about.kind, ctx.now, ctx.actor.clone())
        .object(object)
        .outcome(about.outcome);
    draft.organization = record.organization().map(str::to_owned);
    draft.reason = about.reason;
    draft.digests.extend(about.digests.into_iter().map(|(name, digest)| (name.to_owned(), digest)));
    draft
}

/// `now` and `delta`, or the end of time.
pub(crate) fn later(now: Time, delta: TimeDelta) -> Time {
    now.checked_add_signed(delta).unwrap_or(Time::MAX_UTC)
}

/// How long a limit is respected at least: a time that is over by this clock isn't by the provider's, and a limit costs no attempt that would end it.
pub(crate) const LIMIT_PAUSE: TimeDelta = TimeDelta::seconds(30);

/// When to try again after a failure: after the backoff, and not before the provider said so.
fn retry_at(ctx: &Ctx<'_>, name: &str, attempts: i64, error: &ErrorInfo) -> Time {
    let hammered = crate::mistakes::made(crate::mistakes::Mistake::LimitHammered);
    let limited = if error.class == ErrorClass::RateLimited && !hammered { LIMIT_PAUSE } else { TimeDelta::zero() };
    let at = later(ctx.now, ctx.policy.backoff(ctx.seed, name, attempts).max(limited));
    error.until.map_or(at, |until| until.max(at))
}

/// Writes one condition (R27).
fn condition(
    conditions: &mut Vec<Condition>,
    kind: &str,
    status: impl Into<ConditionStatus>,
    reason: &str,
    generation: i64,
    now: Time,
) {
    let finding = Finding { kind, status: status.into(), reason, message: "", observed_generation: Some(generation) };
    set_condition(conditions, finding, now);
}
