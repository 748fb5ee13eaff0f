//! Write intents: from a wanted change to a confirmed one. Spec: external-sync.md section 8, S32 to S39.
//!
//! Two numbers in the status carry what a crash may not lose. `verifyFirst` says that nobody knows whether the last attempt had its effect: whoever sends
//! next looks first. `notBefore` is, by phase, until when an answer to the approval may come, when to try again, until when whoever sends is trusted to be
//! alive, or until when a confirmation may come.

use chrono::TimeDelta;
use krate_model::audit::{AuditDraft, AuditOutcome};
use krate_model::kinds::external::{
    Confirmation, ConfirmedBy, ExternalSyncConflict, ExternalWriteIntent, ExternalWriteIntentPhase as Phase,
    ExternalWriteIntentSpec, IntentApproval, IntentCredential, IntentResponse, Payload,
};
use krate_model::kinds::policy::ApprovalClass;
use krate_model::kinds::sets::{ActorKind, ErrorClass, Idempotency};
use krate_model::kinds::shared::{Actor, ApprovalRule, ErrorInfo, Time, Version};
use krate_model::{Digest, Resource};

use super::{
    About, Also, Ctx, Due, Gate, Move, Policy, READ_LAG, Refused, Step, Transition, Why, condition, events, later,
    retry_at, table,
};

use crate::mistakes::{Mistake, made};
use krate_model::key::{KeyError, KeyInput, RequestInput, request_digest};

/// The machine's name in refusals, audit and docs.
pub const MACHINE: &str = "write intent";

events! {
    /// A person approved the request.
    Approved {
        /// Who, and which request.
        approval: IntentApproval,
    },
    /// A person denied it.
    Denied {
        /// Who.
        by: Actor,
        /// Why.
        reason: String,
    },
    /// Nobody answered in time.
    Expired,
    /// It is no longer wanted.
    Cancelled {
        /// Why.
        reason: String,
    },
    /// It isn't its turn: paused, behind another, or the budget is spent.
    Postponed {
        /// When to look again.
        until: Time,
    },
    /// Somebody is about to send it.
    Dispatched {
        /// What holds it back.
        gate: Gate,
    },
    /// The provider took it, and its echo is expected.
    Accepted {
        /// What the provider answered, or what the read that came first showed.
        response: IntentResponse,
    },
    /// The provider took it, and what it answered is proof.
    Proven {
        /// What the provider answered.
        response: IntentResponse,
        /// `response`, or `read` where the read that came first showed the effect.
        by: ConfirmedBy,
        /// Digest of what proves it (S35).
        digest: Digest,
    },
    /// The provider's version moved before the write.
    PreconditionFailed {
        /// What the provider said.
        error: ErrorInfo,
        /// The conflict.
        conflict: Box<ExternalSyncConflict>,
    },
    /// It surely had no effect, and may be tried again.
    TransientFailure {
        /// What went wrong; its `until` is kept.
        error: ErrorInfo,
    },
    /// Nobody knows whether it had an effect: a timeout after sending, a crash while sending.
    OutcomeUnknown {
        /// What went wrong.
        error: ErrorInfo,
        /// What makes a repeat of this operation harmless, by the manifest.
        idempotency: Idempotency,
        /// The conflict for the case that nothing does (S34).
        conflict: Box<ExternalSyncConflict>,
    },
    /// The provider refuses it for good.
    PermanentFailure {
        /// Why.
        error: ErrorInfo,
    },
    /// No attempt is left.
    Exhausted,
    /// A webhook, a read or a backfill shows the effect.
    Confirmed {
        /// What showed it.
        by: ConfirmedBy,
        /// Digest of the observation (S35).
        digest: Digest,
    },
    /// The provider has another value, newer than its answer.
    Overtaken {
        /// The conflict.
        conflict: Box<ExternalSyncConflict>,
    },
    /// Time is up, and one more read didn't show the effect.
    NeverShown {
        /// The conflict.
        conflict: Box<ExternalSyncConflict>,
    },
    /// The conflict was resolved for a write, or another identity is to send it: another request.
    Reissued {
        /// The request.
        request: Box<Reissue>,
    },
    /// The conflict was resolved without a write.
    Withdrawn {
        /// How.
        reason: String,
    },
    /// Its binding is deleted by force: nobody waits for what the provider makes of it.
    LeftBehind {
        /// What isn't known of it.
        error: ErrorInfo,
    },
}

/// The request that a resolved conflict, or another credential, leads to.
#[derive(Debug, Clone, PartialEq)]
pub struct Reissue {
    /// What is written.
    pub payload: Payload,
    /// The version that must still hold: the one that the person saw.
    pub precondition: Option<Version>,
    /// Generation of the local object.
    pub desired_generation: i64,
    /// Its key (S33).
    pub idempotency_key: Digest,
    /// The identity that sends it.
    pub credential: IntentCredential,
    /// Its digest, for which an approval is asked again (S32).
    pub request_digest: Digest,
    /// Why a person has to look first, where nobody was to be asked before.
    pub asks: Option<String>,
}

impl Reissue {
    /// The same wish as another request: what was approved before doesn't count for it (S32). It keeps its key and with it its marker, so that the first
    /// attempt is still recognised, should it show after all (S34).
    ///
    /// # Errors
    /// As [`KeyInput::key`].
    pub fn of(
        spec: &ExternalWriteIntentSpec,
        desired_generation: i64,
        credential: IntentCredential,
    ) -> Result<Self, KeyError> {
        let key = KeyInput { desired_generation, ..KeyInput::of(spec) };
        let digest = request_digest(&RequestInput { key, precondition: None, credential: Some(&credential) })?;
        Ok(Self {
            payload: spec.payload.clone(),
            precondition: None,
            desired_generation,
            idempotency_key: spec.idempotency_key,
            credential,
            request_digest: digest,
            asks: None,
        })
    }
}

/// Every allowed transition. What is not here is refused (S40). Where an intent starts, [`admit`] says.
pub const TRANSITIONS: &[Transition<Phase, EventKind>] = table! { Phase, EventKind;
    PendingApproval: Approved => ReadyToSend, "S32";
    PendingApproval: Denied | Expired | Cancelled => Rejected, "S32";
    ReadyToSend: Dispatched => Sending, "S36, S37";
    ReadyToSend: Cancelled => Rejected, "section 8";
    ReadyToSend: Postponed => ReadyToSend, "S36, S37";
    ReadyToSend: Reissued => ReadyToSend | PendingApproval, "S32";
    Sending: Accepted => AwaitingConfirmation, "section 8";
    Sending: Proven => Succeeded, "S35";
    Sending: PreconditionFailed => Conflict, "section 8";
    Sending: TransientFailure => Retrying, "S45";
    Sending: OutcomeUnknown => Retrying | Conflict, "S34";
    Sending: PermanentFailure => Failed, "S45";
    Retrying: Dispatched => Sending, "S34";
    Retrying: Exhausted => Failed, "S45";
    Retrying: Postponed => Retrying, "S36, S37";
    AwaitingConfirmation: Confirmed => Succeeded, "S35";
    AwaitingConfirmation: Overtaken => Conflict, "section 8";
    AwaitingConfirmation: NeverShown => Conflict, "section 8";
    AwaitingConfirmation: Postponed => AwaitingConfirmation, "section 8";
    Conflict: Reissued => ReadyToSend | PendingApproval, "S32";
    Conflict: Withdrawn => Rejected, "section 8";
    Sending | Retrying | AwaitingConfirmation: LeftBehind => Failed, "R21";
};

/// The reason of the condition `Confirmed` of an intent that nobody waited for.
pub(crate) const LEFT_BEHIND: &str = "LeftBehind";

/// What an intent needs done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Effect {
    /// Carry out the cancel command.
    Cancel,
    /// Dispatch, then send.
    Send,
    /// Dispatch, then read; send only if the effect isn't there (S34).
    VerifyThenSend,
    /// Whoever was sending is gone: record [`Event::OutcomeUnknown`].
    Recover,
    /// Read once more, and record what it shows.
    ConfirmByRead,
    /// Record [`Event::Exhausted`].
    GiveUp,
    /// Record [`Event::Expired`]: nobody answered in time.
    Expire,
}

/// How long an approval waits for its answer where no rule says so, and the longest that any rule may let it wait (R59).
const ANSWER_WITHIN: (TimeDelta, TimeDelta) = (TimeDelta::hours(24), TimeDelta::hours(168));

/// What the sync policy asks of an approval of a write.
pub(crate) fn write_back(rules: &[ApprovalRule]) -> Option<&ApprovalRule> {
    rules.iter().find(|rule| rule.class == ApprovalClass::WriteBack.as_str())
}

/// Until when a person may answer for a write that asks now: what the rule for write-backs says, else a day.
fn answer_by(intent: &ExternalWriteIntent, now: Time) -> Time {
    let (default, longest) = ANSWER_WITHIN;
    let rule = write_back(&intent.spec.approval_policy.rules);
    let lasts = rule.and_then(|rule| rule.expires_in.to_delta()).unwrap_or(default);
    later(now, lasts.clamp(TimeDelta::zero(), longest))
}

fn phase(intent: &ExternalWriteIntent) -> Phase {
    intent.status.as_ref().map_or_else(Phase::default, |status| status.phase.clone())
}

fn about(intent: &ExternalWriteIntent, to: &Phase, reason: Option<String>) -> About {
    let mut digests = vec![("request", intent.spec.request_digest)];
    if let Some(status) = &intent.status {
        digests
            .extend(status.response.as_ref().and_then(|response| response.digest).map(|digest| ("response", digest)));
        digests.extend(status.confirmation.as_ref().map(|confirmation| ("confirmation", confirmation.digest)));
    }
    About {
        kind: "WriteIntentPhase",
        outcome: match to {
            Phase::Succeeded => AuditOutcome::Succeeded,
            Phase::Rejected => AuditOutcome::Denied,
            Phase::Failed => AuditOutcome::Failed,
            _ => AuditOutcome::Recorded,
        },
        reason,
        digests,
    }
}

fn scoped(intent: &ExternalWriteIntent, mut draft: AuditDraft) -> AuditDraft {
    let spec = &intent.spec;
    draft = draft.scope(spec.provider_ref.clone(), spec.binding_ref.clone(), Some(spec.interface.clone()));
    let shown = intent.status.as_ref().and_then(|status| status.response.as_ref()?.native_id.clone());
    if let Some(id) = spec.native_target.native_id.clone().or(shown) {
        draft = draft.native(spec.native_target.native_kind.clone(), id);
    }
    draft
}

/// The first phase of an intent that was just admitted: `PendingApproval` where its policy asks for one, else `ReadyToSend`.
pub fn admit(intent: &ExternalWriteIntent, ctx: &Ctx<'_>) -> Step<ExternalWriteIntent> {
    let mut next = intent.clone();
    let generation = next.generation();
    let required = next.spec.approval_policy.required;
    let answer_until = required.then(|| answer_by(intent, ctx.now));
    let status = next.status_mut();
    status.phase = if required { Phase::PendingApproval } else { Phase::ReadyToSend };
    status.observed_generation = Some(generation);
    status.not_before = answer_until;
    let (holds, reason) = if required { (false, "Waiting") } else { (true, "NotRequired") };
    condition(&mut status.conditions, "Approved", holds, reason, generation, ctx.now);
    let to = phase(&next);
    let mut draft = super::draft(&next, about(&next, &to, Some("Admitted".to_owned())), ctx);
    draft.to = Some(to.as_str().to_owned());
    let audit = vec![scoped(&next, draft)];
    Step { record: next, also: Vec::new(), audit }
}

/// What happened to `intent`. Pure: performs nothing, reads no clock.
///
/// # Errors
/// [`Refused`] when the table has no such transition, or a guard fails; `intent` is unchanged then.
pub fn step(intent: &ExternalWriteIntent, event: Event, ctx: &Ctx<'_>) -> Result<Step<ExternalWriteIntent>, Refused> {
    let kind = event.kind();
    let this = Move::find(MACHINE, TRANSITIONS, &phase(intent), (kind, kind.as_str()))?;
    let mut next = intent.clone();
    let generation = next.generation();
    let requested = next.spec.request_digest;
    let approval_required = next.spec.approval_policy.required;
    let name = next.name().to_owned();
    let mut also = Vec::new();
    let mut reason = None;
    let status = next.status.get_or_insert_with(Default::default);
    let mark = |conditions: &mut Vec<_>, kind: &str, holds: bool, why: &str| {
        condition(conditions, kind, holds, why, generation, ctx.now);
    };
    match event {
        Event::Approved { approval } => {
            this.require(approval.digest == requested, || Why::OtherRequest { approved: approval.digest, requested })?;
            if let Some(other) = approval.by.iter().find(|actor| actor.kind != ActorKind::User) {
                return Err(this.refuse(Why::NoPerson { by: format!("{} {}", other.kind, other.name) }));
            }
            this.require(!approval.by.is_empty(), || Why::NoPerson { by: "nobody".to_owned() })?;
            reason = Some(approval.by.iter().map(|actor| actor.name.as_str()).collect::<Vec<_>>().join(", "));
            status.approval = Some(IntentApproval { at: approval.at.or(Some(ctx.now)), ..approval });
            status.phase = Phase::ReadyToSend;
            mark(&mut status.conditions, "Approved", true, "Approved");
        }
        Event::Denied { by, reason: why } => {
            reason = Some(format!("{}: {why}", by.name));
            status.phase = Phase::Rejected;
            mark(&mut status.conditions, "Approved", false, "Denied");
        }
        Event::Expired => {
            if let Some(until) = status.not_before.filter(|until| *until > ctx.now) {
                return Err(this.refuse(Why::NotDue { until }));
            }
            status.phase = Phase::Rejected;
            mark(&mut status.conditions, "Approved", false, "Expired");
        }
        Event::Cancelled { reason: why } => {
            reason = Some(why);
            status.phase = Phase::Rejected;
            mark(&mut status.conditions, "Approved", false, "Cancelled");
        }
        Event::Postponed { until } => status.not_before = Some(until),
        Event::Dispatched { gate } => {
            this.require(gate == Gate::Open, || Why::Held(gate.clone()))?;
            this.require(this.from != Phase::ReadyToSend || intent.spec.cancel.is_none(), || Why::Cancelled)?;
            // A phase is not proof that somebody approved: what is sent is what was approved (S32).
            let approved = status.approval.as_ref().map(|approval| approval.digest);
            if approval_required && approved != Some(requested) {
                let why = approved.map_or(Why::NoPerson { by: "nobody".to_owned() }, |approved| Why::OtherRequest {
                    approved,
                    requested,
                });
                return Err(this.refuse(why));
            }
            if let Some(until) = status.not_before.filter(|until| *until > ctx.now) {
                return Err(this.refuse(Why::NotDue { until }));
            }
            let (attempts, max) = (status.attempts, attempts_for(status, ctx.policy));
            this.require(attempts < max, || Why::Attempts { attempts, max })?;
            status.attempts = attempts.saturating_add(1);
            status.sent_at = Some(ctx.now);
            let lease = if made(Mistake::RecoveredAlive) { TimeDelta::zero() } else { ctx.policy.lease };
            status.not_before = Some(later(ctx.now, lease));
            status.phase = Phase::Sending;
        }
        Event::Accepted { response } => {
            status.response = Some(response);
            status.verify_first = false;
            status.error = None;
            status.not_before = Some(later(ctx.now, ctx.policy.confirmation_timeout));
            status.phase = Phase::AwaitingConfirmation;
            mark(&mut status.conditions, "Sent", true, "Accepted");
            mark(&mut status.conditions, "Confirmed", false, "Waiting");
        }
        Event::Proven { response, by, digest } => {
            status.response = Some(response);
            status.verify_first = false;
            mark(&mut status.conditions, "Sent", true, "Accepted");
            succeed(status, by, digest, ctx);
            mark(&mut status.conditions, "Confirmed", true, "Confirmed");
        }
        Event::Confirmed { by, digest } => {
            succeed(status, by, digest, ctx);
            mark(&mut status.conditions, "Confirmed", true, "Confirmed");
        }
        Event::TransientFailure { error } => {
            // A limit isn't the request's fault: it costs no attempt (S44).
            if error.class == ErrorClass::RateLimited {
                status.attempts = status.attempts.saturating_sub(1).max(0);
            }
            reason = Some(error.class.to_string());
            status.not_before = Some(retry_at(ctx, &name, status.attempts, &error));
            status.error = Some(error);
            status.phase = Phase::Retrying;
            mark(&mut status.conditions, "Sent", false, "Retrying");
        }
        Event::OutcomeUnknown { error, idempotency, conflict } => {
            // Neither does a limit that a look met.
            if error.class == ErrorClass::RateLimited {
                status.attempts = status.attempts.saturating_sub(1).max(0);
            }
            reason = Some(error.class.to_string());
            let harmless =
                matches!(idempotency, Idempotency::Native | Idempotency::Precondition | Idempotency::VerifyByRead);
            if harmless {
                status.verify_first = true;
                let lag = if made(Mistake::LagIgnored) { TimeDelta::zero() } else { READ_LAG };
                let shown = later(ctx.now, lag);
                status.not_before = Some(retry_at(ctx, &name, status.attempts, &error).max(shown));
                status.phase = Phase::Retrying;
                mark(&mut status.conditions, "Sent", false, "OutcomeUnknown");
            } else {
                meet(status, conflict, &name, &mut also);
                mark(&mut status.conditions, "Confirmed", false, "UnconfirmedWrite");
            }
            status.error = Some(error);
        }
        Event::PreconditionFailed { error, conflict } => {
            status.error = Some(error);
            meet(status, conflict, &name, &mut also);
            mark(&mut status.conditions, "Sent", false, "PreconditionFailed");
        }
        Event::Overtaken { conflict } => {
            meet(status, conflict, &name, &mut also);
            mark(&mut status.conditions, "Confirmed", false, "Overtaken");
        }
        Event::NeverShown { conflict } => {
            if let Some(until) = status.not_before.filter(|until| *until > ctx.now) {
                return Err(this.refuse(Why::NotDue { until }));
            }
            meet(status, conflict, &name, &mut also);
            mark(&mut status.conditions, "Confirmed", false, "UnconfirmedWrite");
        }
        Event::PermanentFailure { error } => {
            reason = Some(error.class.to_string());
            fail(status);
            status.error = Some(error);
            mark(&mut status.conditions, "Sent", false, "Refused");
        }
        Event::Exhausted => {
            let (attempts, max) = (status.attempts, attempts_for(status, ctx.policy));
            this.require(attempts >= max, || Why::Attempts { attempts, max })?;
            fail(status);
            mark(&mut status.conditions, "Sent", false, "Exhausted");
        }
        Event::Reissued { request } => {
            let approval_required = approval_required || request.asks.is_some();
            let answer_until = approval_required.then(|| answer_by(intent, ctx.now));
            // Nobody may edit an intent (R6). A resolution is another request in the same place: all that was said about the old one is void.
            status.approval = None;
            status.response = None;
            status.confirmation = None;
            status.conflict_ref = None;
            status.error = None;
            status.not_before = answer_until;
            // What was sent once may have made the object after all, by the key that it keeps (S34).
            let is_create = next.spec.native_target.native_id.is_none();
            status.verify_first = is_create && (status.verify_first || this.from == Phase::Conflict);
            status.attempts = 0;
            status.phase = if approval_required { Phase::PendingApproval } else { Phase::ReadyToSend };
            let (holds, why) = if approval_required { (false, "Waiting") } else { (true, "NotRequired") };
            mark(&mut status.conditions, "Approved", holds, why);
            mark(&mut status.conditions, "Sent", false, "Reissued");
            mark(&mut status.conditions, "Confirmed", false, "Reissued");
            let request = *request;
            if request.asks.is_some() {
                next.spec.approval_policy.required = true;
                next.spec.approval_policy.reason = request.asks;
            }
            next.spec.payload = request.payload;
            next.spec.precondition = request.precondition;
            next.spec.desired_generation = request.desired_generation;
            next.spec.idempotency_key = request.idempotency_key;
            next.spec.credential = Some(request.credential);
            next.spec.request_digest = request.request_digest;
        }
        Event::Withdrawn { reason: why } => {
            reason = Some(why);
            status.phase = Phase::Rejected;
            mark(&mut status.conditions, "Confirmed", false, "Withdrawn");
        }
        Event::LeftBehind { error } => {
            fail(status);
            status.error = Some(error);
            mark(&mut status.conditions, "Confirmed", false, LEFT_BEHIND);
        }
    }
    let to = phase(&next);
    if matches!(to, Phase::Succeeded | Phase::Rejected | Phase::Failed | Phase::Conflict | Phase::ReadyToSend)
        && to != this.from
        && let Some(status) = &mut next.status
    {
        status.not_before = None;
    }
    let about = about(&next, &to, reason);
    let step = this.finish(next, &to, about, scoped, ctx)?;
    Ok(Step { also, ..step })
}

type Status = krate_model::kinds::external::ExternalWriteIntentStatus;

/// The only way to `Succeeded`: with the digest of what proves it (S35).
fn succeed(status: &mut Status, by: ConfirmedBy, digest: Digest, ctx: &Ctx<'_>) {
    status.confirmation = Some(Confirmation { by, digest, at: ctx.now });
    status.error = None;
    status.phase = Phase::Succeeded;
}

fn fail(status: &mut Status) {
    status.verify_first = false;
    status.phase = Phase::Failed;
}

/// How many attempts there are. Nobody gives up on an unknown outcome as fast as on a refused write: the looks at it count too.
fn attempts_for(status: &Status, policy: &Policy) -> i64 {
    if status.verify_first { policy.max_attempts.saturating_mul(2) } else { policy.max_attempts }
}

/// Both ends of the link between a write and the conflict that it met.
fn meet(status: &mut Status, mut conflict: Box<ExternalSyncConflict>, intent: &str, also: &mut Vec<Also>) {
    status.conflict_ref = Some(conflict.name().to_owned());
    status.phase = Phase::Conflict;
    conflict.spec.intent_ref = Some(intent.to_owned());
    also.push(Also::Conflict(conflict));
}

/// What `intent` waits for at `now`: an effect to perform, a time to look again, or nothing.
pub fn due(intent: &ExternalWriteIntent, policy: &Policy, now: Time) -> Due<Effect> {
    let cancelled = intent.spec.cancel.is_some();
    let status = intent.status.as_ref();
    let not_before = status.and_then(|status| status.not_before);
    match phase(intent) {
        Phase::PendingApproval | Phase::ReadyToSend if cancelled => Due::Now(Effect::Cancel),
        // Without a time nobody's answer is waited for: an older record, whose approval ends by itself.
        Phase::PendingApproval if not_before.is_some() => Due::after(not_before, now, Effect::Expire),
        Phase::Sending if made(Mistake::RecoverForgotten) => Due::Idle,
        Phase::Sending => Due::after(not_before, now, Effect::Recover),
        Phase::Retrying if status.is_some_and(|status| status.attempts >= attempts_for(status, policy)) => {
            Due::Now(Effect::GiveUp)
        }
        Phase::ReadyToSend | Phase::Retrying if status.is_some_and(|status| status.verify_first) => {
            Due::after(not_before, now, Effect::VerifyThenSend)
        }
        Phase::Retrying if made(Mistake::RetryForgotten) => Due::Idle,
        Phase::ReadyToSend | Phase::Retrying => Due::after(not_before, now, Effect::Send),
        Phase::AwaitingConfirmation => Due::after(not_before, now, Effect::ConfirmByRead),
        _ => Due::Idle,
    }
}
