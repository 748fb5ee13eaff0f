//! Webhook deliveries: from received to applied. Spec: external-sync.md section 9 and S9 to S14.
//!
//! The spec draws `Retrying → …`: here a delivery that is tried again starts at `Normalizing`, so that a fixed adapter sees the payload anew. A payload that
//! can't be decoded goes to `Retrying` from there (S12).

use krate_model::Resource;
use krate_model::audit::{AuditDraft, AuditOutcome};
use krate_model::kinds::external::{
    DeliveryOutcome, DispositionAct, ExternalWebhookDelivery, ExternalWebhookDeliveryPhase as Phase,
};
use krate_model::kinds::sets::ErrorClass;
use krate_model::kinds::shared::{BlobStorage, ErrorInfo, Time};

use super::{About, Ctx, Due, Move, Policy, Refused, Step, Transition, Why, condition, events, later, retry_at, table};

/// The machine's name in refusals, audit and docs.
pub const MACHINE: &str = "delivery";

events! {
    /// The signature is good.
    Verified,
    /// The signature isn't.
    SignatureFailed {
        /// What was wrong with it.
        error: ErrorInfo,
    },
    /// Somebody is about to process it.
    Started,
    /// The adapter made events of it, or none.
    Normalized {
        /// Names of the events.
        events: Vec<String>,
    },
    /// Every event is applied, or there was nothing to apply.
    Finished {
        /// What it came to.
        outcome: DeliveryOutcome,
    },
    /// It went wrong, and may go right another time: also a payload that can't be decoded (S12).
    Failed {
        /// What went wrong.
        error: ErrorInfo,
    },
    /// Whoever processed it is gone.
    Abandoned,
    /// It will never go right.
    Unprocessable {
        /// Why.
        error: ErrorInfo,
    },
    /// No attempt is left.
    Exhausted,
    /// A person asks for another try.
    Replayed,
    /// A person says that it doesn't matter.
    Skipped,
}

/// Every allowed transition. What is not here is refused (S40).
pub const TRANSITIONS: &[Transition<Phase, EventKind>] = table! { Phase, EventKind;
    Received: Verified => Queued, "S9";
    Received: SignatureFailed => SignatureRejected, "S9";
    Queued: Started => Normalizing, "section 9";
    Normalizing: Normalized => Processing, "S12";
    Normalizing | Processing: Failed => Retrying, "S12";
    Normalizing | Processing: Abandoned => Retrying, "S10";
    Processing: Finished => Succeeded, "S10";
    Processing: Unprocessable => DeadLettered, "section 9";
    Retrying: Started => Normalizing, "section 9";
    Retrying: Exhausted => DeadLettered, "S12";
    DeadLettered: Replayed => Queued, "section 9";
    DeadLettered: Skipped => Succeeded, "section 9";
};

/// What a delivery needs done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Effect {
    /// Verify the signature.
    Verify,
    /// Start, normalize and apply.
    Process,
    /// Whoever processed it is gone: record [`Event::Abandoned`].
    Recover,
    /// Record [`Event::Exhausted`].
    GiveUp,
    /// Carry out the replay command.
    Replay,
    /// Carry out the skip command.
    Skip,
}

fn phase(delivery: &ExternalWebhookDelivery) -> Phase {
    delivery.status.as_ref().map_or_else(Phase::default, |status| status.phase.clone())
}

fn scoped(delivery: &ExternalWebhookDelivery, mut draft: AuditDraft) -> AuditDraft {
    draft.provider = Some(delivery.spec.provider_ref.clone());
    draft.binding.clone_from(&delivery.spec.binding_ref);
    if let [interface] = delivery.spec.interface_hints.as_slice() {
        draft.interface = Some(interface.clone());
    }
    draft
}

/// What happened to `delivery`. Pure: performs nothing, reads no clock.
///
/// # Errors
/// [`Refused`] when the table has no such transition, or a guard fails; `delivery` is unchanged then.
pub fn step(
    delivery: &ExternalWebhookDelivery,
    event: Event,
    ctx: &Ctx<'_>,
) -> Result<Step<ExternalWebhookDelivery>, Refused> {
    let kind = event.kind();
    let this = Move::find(MACHINE, TRANSITIONS, &phase(delivery), (kind, kind.as_str()))?;
    let mut next = delivery.clone();
    let generation = next.generation();
    let name = next.name().to_owned();
    let mut reason = None;
    let ready = |conditions: &mut Vec<_>, holds: bool, why: &str| {
        condition(conditions, "Ready", holds, why, generation, ctx.now);
    };
    let status = next.status.get_or_insert_with(Default::default);
    match event {
        Event::Verified => status.phase = Phase::Queued,
        Event::SignatureFailed { error } => {
            // Recorded with its digest and without its payload (S9).
            next.spec.payload.inline = None;
            next.spec.payload.storage = BlobStorage::None;
            status.error = Some(error);
            status.processed_at = Some(ctx.now);
            status.phase = Phase::SignatureRejected;
            ready(&mut status.conditions, false, "SignatureRejected");
        }
        Event::Started => {
            if let Some(until) = status.not_before.filter(|until| *until > ctx.now) {
                return Err(this.refuse(Why::NotDue { until }));
            }
            let (attempts, max) = (status.attempts, ctx.policy.max_attempts);
            this.require(attempts < max, || Why::Attempts { attempts, max })?;
            status.attempts = attempts.saturating_add(1);
            status.not_before = Some(later(ctx.now, ctx.policy.lease));
            status.phase = Phase::Normalizing;
        }
        Event::Normalized { events } => {
            status.events = events;
            status.phase = Phase::Processing;
        }
        Event::Finished { outcome } => {
            reason = Some(outcome.to_string());
            status.outcome = Some(outcome);
            finish(status, ctx.now);
            ready(&mut status.conditions, true, "Processed");
        }
        Event::Failed { error } => {
            // A limit isn't the delivery's fault: it costs no attempt, and loses no event (S44).
            if error.class == ErrorClass::RateLimited {
                status.attempts = status.attempts.saturating_sub(1).max(0);
            }
            reason = Some(error.class.to_string());
            status.not_before = Some(retry_at(ctx, &name, status.attempts, &error));
            status.error = Some(error);
            status.phase = Phase::Retrying;
            ready(&mut status.conditions, false, "Retrying");
        }
        Event::Abandoned => {
            // Nothing says that the delivery is at fault, so it doesn't wait; the attempt counts, lest it takes down one process after another.
            if let Some(until) = status.not_before.filter(|until| *until > ctx.now) {
                return Err(this.refuse(Why::NotDue { until }));
            }
            status.not_before = None;
            status.phase = Phase::Retrying;
            ready(&mut status.conditions, false, "Abandoned");
        }
        Event::Unprocessable { error } => {
            reason = Some(error.class.to_string());
            status.error = Some(error);
            dead_letter(status, ctx.now);
            ready(&mut status.conditions, false, "DeadLettered");
        }
        Event::Exhausted => {
            let (attempts, max) = (status.attempts, ctx.policy.max_attempts);
            this.require(attempts >= max, || Why::Attempts { attempts, max })?;
            dead_letter(status, ctx.now);
            ready(&mut status.conditions, false, "DeadLettered");
        }
        Event::Replayed | Event::Skipped => {
            let wanted = if kind == EventKind::Replayed { DispositionAct::Replay } else { DispositionAct::Skip };
            // A command is used up by being carried out, so that it isn't carried out again when the delivery fails again (R37).
            let Some(command) = next.spec.disposition.take_if(|command| command.act == wanted) else {
                let expected = if wanted == DispositionAct::Replay { "replay" } else { "skip" };
                return Err(this.refuse(Why::Command { path: "spec.disposition.act", expected }));
            };
            reason = Some(format!("{}: {}", command.id, command.reason));
            status.error = None;
            if wanted == DispositionAct::Replay {
                status.attempts = 0;
                status.not_before = None;
                status.outcome = None;
                status.processed_at = None;
                status.phase = Phase::Queued;
                ready(&mut status.conditions, false, "Replayed");
            } else {
                status.outcome = Some(DeliveryOutcome::Skipped);
                finish(status, ctx.now);
                ready(&mut status.conditions, true, "Skipped");
            }
        }
    }
    let to = phase(&next);
    let outcome = match &to {
        Phase::Succeeded => AuditOutcome::Succeeded,
        Phase::SignatureRejected => AuditOutcome::Denied,
        Phase::DeadLettered => AuditOutcome::Failed,
        _ => AuditOutcome::Recorded,
    };
    let digests = vec![("payload", next.spec.payload.digest)];
    this.finish(next, &to, About { kind: "DeliveryPhase", outcome, reason, digests }, scoped, ctx)
}

type Status = krate_model::kinds::external::ExternalWebhookDeliveryStatus;

fn finish(status: &mut Status, now: Time) {
    status.not_before = None;
    status.error = None;
    status.processed_at = Some(now);
    status.phase = Phase::Succeeded;
}

fn dead_letter(status: &mut Status, now: Time) {
    status.not_before = None;
    status.processed_at = Some(now);
    status.phase = Phase::DeadLettered;
}

/// What `delivery` waits for at `now`: an effect to perform, a time to look again, or nothing.
pub fn due(delivery: &ExternalWebhookDelivery, policy: &Policy, now: Time) -> Due<Effect> {
    let status = delivery.status.as_ref();
    let not_before = status.and_then(|status| status.not_before);
    match phase(delivery) {
        Phase::Received => Due::Now(Effect::Verify),
        Phase::Normalizing | Phase::Processing => Due::after(not_before, now, Effect::Recover),
        Phase::Retrying if status.is_some_and(|status| status.attempts >= policy.max_attempts) => {
            Due::Now(Effect::GiveUp)
        }
        Phase::Queued | Phase::Retrying => Due::after(not_before, now, Effect::Process),
        Phase::DeadLettered => match delivery.spec.disposition.as_ref().map(|command| &command.act) {
            Some(DispositionAct::Replay) => Due::Now(Effect::Replay),
            Some(DispositionAct::Skip) => Due::Now(Effect::Skip),
            _ => Due::Idle,
        },
        _ => Due::Idle,
    }
}
