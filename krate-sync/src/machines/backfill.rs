//! Backfills: reading a list to its end, page by page. Spec: external-sync.md section 6, S21 to S26.
//!
//! One record is the cursor and watermark of one scope for good. The spec draws one run; a run that ended becomes `Scheduled` again by
//! [`Event::Requested`]. The page in hand isn't kept: after a crash in `Hydrating`, `Applying` or `Checkpointing`, whoever goes on reads the page at the
//! cursor again, and applying it again changes nothing. The cursor moves in one place only, from `Checkpointing`, when all that its page named was
//! applied (S21).

use krate_model::Resource;
use krate_model::audit::{AuditDraft, AuditOutcome};
use krate_model::kinds::external::{BackfillMode, ExternalSyncState, ExternalSyncStatePhase as Phase};
use krate_model::kinds::shared::{ErrorInfo, Time};

use super::{About, Ctx, Due, Gate, Move, Refused, Step, Transition, Why, condition, events, later, table};
use crate::mistakes::{Mistake, made};

/// The machine's name in refusals, audit and docs.
pub const MACHINE: &str = "backfill";

events! {
    /// Another run is wanted (S26).
    Requested {
        /// How much it reads.
        mode: BackfillMode,
        /// When it starts.
        at: Time,
    },
    /// A run starts.
    Started {
        /// Id of the run.
        run_id: String,
        /// How much it reads.
        mode: BackfillMode,
        /// What holds it back.
        gate: Gate,
    },
    /// A page came.
    Listed {
        /// Objects on it; those that a 304 stands for count as seen (S25).
        objects: i64,
        /// Calls that it took.
        calls: i64,
    },
    /// What the page only named was read.
    Hydrated {
        /// Calls that it took.
        calls: i64,
    },
    /// All that the page named was applied.
    Applied {
        /// Objects that changed something.
        objects: i64,
    },
    /// There is another page.
    MorePages {
        /// Where it is.
        cursor: String,
    },
    /// It was the last page.
    Ended {
        /// Up to when everything is applied, by the provider's times (S22).
        watermark: Option<Time>,
        /// Projections whose objects weren't met; only a complete run can tell (S23).
        tombstones: i64,
    },
    /// The provider's limit is reached, or the budget's reserve.
    Limited {
        /// Until when.
        until: Time,
    },
    /// The limit is over.
    LimitOver,
    /// It isn't its turn, or a call failed and may be tried again.
    Postponed {
        /// When to go on.
        until: Time,
        /// What went wrong, if anything did.
        error: Option<ErrorInfo>,
    },
    /// The run can't go on.
    Failed {
        /// Why.
        error: ErrorInfo,
    },
}

/// Every allowed transition. What is not here is refused (S40).
pub const TRANSITIONS: &[Transition<Phase, EventKind>] = table! { Phase, EventKind;
    Scheduled: Started => Listing, "S26, S37";
    Scheduled: Requested => Scheduled, "S26";
    Listing: Listed => Hydrating, "section 6";
    Hydrating: Hydrated => Applying, "section 6";
    Applying: Applied => Checkpointing, "section 6";
    Checkpointing: MorePages => Listing, "S21";
    Checkpointing: Ended => Succeeded, "S21, S22, S23";
    Listing | Hydrating | Applying | Checkpointing: Limited => RateLimited, "S44";
    RateLimited: LimitOver => Listing | Hydrating | Applying | Checkpointing, "S44";
    Scheduled | Listing | Hydrating | Applying | Checkpointing: Postponed => Scheduled | Listing | Hydrating | Applying | Checkpointing, "S45";
    Scheduled | Listing | Hydrating | Applying | Checkpointing | RateLimited: Failed => Failed, "section 6";
    Succeeded | Failed: Requested => Scheduled, "S26";
};

/// What a backfill needs done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Effect {
    /// Start a run.
    Start,
    /// Read the page at the cursor and go through it to its checkpoint, from wherever the phase says.
    Page,
    /// Record [`Event::LimitOver`].
    Resume,
    /// Record [`Event::Requested`]: the interval elapsed.
    Schedule,
}

fn phase(state: &ExternalSyncState) -> Phase {
    state.status.as_ref().map_or_else(Phase::default, |status| status.phase.clone())
}

fn scoped(state: &ExternalSyncState, draft: AuditDraft) -> AuditDraft {
    let spec = &state.spec;
    draft.scope(spec.provider_ref.clone(), spec.binding_ref.clone(), Some(spec.interface.clone()))
}

/// What happened to `state`. Pure: performs nothing, reads no clock.
///
/// # Errors
/// [`Refused`] when the table has no such transition, or a guard fails; `state` is unchanged then.
pub fn step(state: &ExternalSyncState, event: Event, ctx: &Ctx<'_>) -> Result<Step<ExternalSyncState>, Refused> {
    let kind = event.kind();
    let this = Move::find(MACHINE, TRANSITIONS, &phase(state), (kind, kind.as_str()))?;
    let mut next = state.clone();
    let generation = next.generation();
    let mut reason = None;
    let ready = |conditions: &mut Vec<_>, holds: bool, why: &str| {
        condition(conditions, "Ready", holds, why, generation, ctx.now);
    };
    let status = next.status.get_or_insert_with(Default::default);
    // A page that came shows that the way is free again.
    if !matches!(event, Event::Postponed { .. } | Event::Failed { .. } | Event::Limited { .. }) {
        status.error = None;
    }
    match event {
        Event::Requested { mode, at } => {
            // A complete run that is already wanted isn't narrowed by a smaller wish.
            let complete = this.from == Phase::Scheduled && status.mode == Some(BackfillMode::Complete);
            status.mode = Some(if complete { BackfillMode::Complete } else { mode });
            let earlier = status.not_before.filter(|known| this.from == Phase::Scheduled && *known < at);
            status.not_before = Some(earlier.unwrap_or(at));
            status.phase = Phase::Scheduled;
        }
        Event::Started { run_id, mode, gate } => {
            this.require(gate == Gate::Open, || Why::Held(gate.clone()))?;
            if let Some(until) = status.not_before.filter(|until| *until > ctx.now) {
                return Err(this.refuse(Why::NotDue { until }));
            }
            reason = Some(mode.to_string());
            status.run_id = Some(run_id);
            status.mode = Some(mode);
            status.cursor = None;
            status.not_before = None;
            status.started_at = Some(ctx.now);
            for count in [
                &mut status.pages_read,
                &mut status.objects_seen,
                &mut status.objects_applied,
                &mut status.tombstones_made,
                &mut status.calls_spent,
            ] {
                *count = 0;
            }
            status.phase = Phase::Listing;
        }
        Event::Listed { objects, calls } => {
            status.pages_read = status.pages_read.saturating_add(1);
            status.objects_seen = status.objects_seen.saturating_add(objects);
            status.calls_spent = status.calls_spent.saturating_add(calls);
            status.not_before = None;
            status.phase = Phase::Hydrating;
        }
        Event::Hydrated { calls } => {
            status.calls_spent = status.calls_spent.saturating_add(calls);
            status.not_before = None;
            status.phase = Phase::Applying;
        }
        Event::Applied { objects } => {
            status.objects_applied = status.objects_applied.saturating_add(objects);
            status.phase = Phase::Checkpointing;
        }
        Event::MorePages { cursor } => {
            status.cursor = Some(cursor);
            status.phase = Phase::Listing;
        }
        Event::Ended { watermark, tombstones } => {
            let complete = status.mode == Some(BackfillMode::Complete);
            this.require(complete || tombstones == 0, || Why::Incomplete)?;
            status.tombstones_made = tombstones;
            // A run that met only old objects doesn't take back what an earlier one knew.
            status.watermark = status.watermark.max(watermark);
            status.cursor = None;
            status.completed_at = Some(ctx.now);
            if complete {
                status.last_complete_at = Some(ctx.now);
            }
            status.not_before = Some(later(ctx.now, ctx.policy.backfill_interval));
            status.phase = Phase::Succeeded;
            ready(&mut status.conditions, true, "Current");
        }
        Event::Limited { until } => {
            status.resume_phase = Some(this.from.clone());
            status.not_before = Some(until);
            status.phase = Phase::RateLimited;
        }
        Event::LimitOver => {
            if let Some(until) = status.not_before.filter(|until| *until > ctx.now) {
                return Err(this.refuse(Why::NotDue { until }));
            }
            status.not_before = None;
            // A record without the phase that it left reads its page again, which is always right.
            status.phase = status.resume_phase.take().unwrap_or(Phase::Listing);
        }
        Event::Postponed { until, error } => {
            status.not_before = Some(until);
            status.error = error;
        }
        Event::Failed { error } => {
            reason = Some(error.class.to_string());
            status.error = Some(error);
            status.resume_phase = None;
            status.not_before = Some(later(ctx.now, ctx.policy.backfill_interval));
            status.phase = Phase::Failed;
            ready(&mut status.conditions, false, "Failed");
        }
    }
    let to = phase(&next);
    let outcome = match &to {
        Phase::Succeeded => AuditOutcome::Succeeded,
        Phase::Failed => AuditOutcome::Failed,
        _ => AuditOutcome::Recorded,
    };
    this.finish(next, &to, About { kind: "BackfillPhase", outcome, reason, digests: Vec::new() }, scoped, ctx)
}

/// Whether a run has begun and not ended: no other one can be asked for before its end.
pub fn is_running(state: &ExternalSyncState) -> bool {
    !matches!(phase(state), Phase::Scheduled | Phase::Succeeded | Phase::Failed)
}

/// What `state` waits for at `now`: an effect to perform, a time to look again, or nothing.
pub fn due(state: &ExternalSyncState, now: Time) -> Due<Effect> {
    let not_before = state.status.as_ref().and_then(|status| status.not_before);
    match phase(state) {
        Phase::Scheduled => Due::after(not_before, now, Effect::Start),
        Phase::Listing | Phase::Hydrating | Phase::Applying | Phase::Checkpointing => {
            Due::after(not_before, now, Effect::Page)
        }
        Phase::RateLimited if made(Mistake::LimitNeverOver) => Due::Idle,
        Phase::RateLimited => Due::after(not_before, now, Effect::Resume),
        // Without a time nobody wants another run.
        Phase::Succeeded | Phase::Failed if not_before.is_some() => Due::after(not_before, now, Effect::Schedule),
        _ => Due::Idle,
    }
}
