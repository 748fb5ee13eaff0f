//! Bindings: from configured to in sync. Spec: external-sync.md section 9, S37, S42.
//!
//! A binding that is deleted has no phase of its own: it is paused, and its `deletionTimestamp` says for how long (R21).

use krate_model::Resource;
use krate_model::audit::{AuditDraft, AuditOutcome};
use krate_model::kinds::external::{
    BindingInterfaceStatus, BoundTarget, ExternalBackendBinding, ExternalBackendBindingPhase as Phase, HookStatus,
};
use krate_model::kinds::shared::{ErrorInfo, Time};

use super::{About, Ctx, Due, Move, Refused, Step, Transition, Why, condition, events, table};

/// The machine's name in refusals, audit and docs.
pub const MACHINE: &str = "binding";

events! {
    /// Somebody is about to look at the target.
    Started,
    /// Target, provider and policy are there and belong together.
    TargetValidated {
        /// Uid of the provider.
        provider_uid: Option<String>,
        /// The external side, as the provider knows it; nothing where the binding is about no single object there.
        target: Option<BoundTarget>,
    },
    /// The hook that krate owns is registered.
    HookRegistered {
        /// The hook.
        hook: HookStatus,
    },
    /// The first backfill of every interface ended.
    Backfilled {
        /// When.
        at: Time,
    },
    /// A conflict is open.
    ConflictFound,
    /// No conflict is open any more.
    ConflictsCleared,
    /// A person set `spec.suspend`, the provider is paused, or the binding is deleted.
    Suspended,
    /// Neither is so any more.
    Resumed,
    /// It doesn't work, and won't until its configuration changes.
    Failed {
        /// Why.
        error: ErrorInfo,
    },
    /// A person changed the configuration.
    ConfigurationChanged,
}

/// Every allowed transition. What is not here is refused (S40).
pub const TRANSITIONS: &[Transition<Phase, EventKind>] = table! { Phase, EventKind;
    Pending: Started => ValidatingTarget, "section 9";
    ValidatingTarget: TargetValidated => RegisteringWebhook | Backfilling, "section 9";
    RegisteringWebhook: HookRegistered => Backfilling, "section 9";
    Backfilling: Backfilled => Ready, "S26";
    Ready: ConflictFound => Conflict, "section 9";
    Conflict: ConflictsCleared => Ready, "section 9";
    Backfilling | Ready | Conflict: Suspended => Paused, "S37";
    Paused: Resumed => Backfilling | Ready | Conflict, "S37";
    Pending | ValidatingTarget | RegisteringWebhook | Backfilling | Ready | Conflict | Paused: Failed => Failed, "section 9";
    Failed: ConfigurationChanged => Pending, "section 9";
};

/// What a binding needs done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Effect {
    /// Record [`Event::Started`].
    Start,
    /// Look whether target, provider and policy are there and belong together.
    ValidateTarget,
    /// Register the hook.
    RegisterHook,
    /// See that the interfaces are backfilled.
    Backfill,
    /// Record [`Event::Suspended`].
    Suspend,
    /// Record [`Event::Resumed`].
    Resume,
    /// Record [`Event::ConfigurationChanged`].
    Restart,
}

/// Whether the binding is deleted, and only waits for what was begun to end (R21).
pub(crate) fn is_going(binding: &ExternalBackendBinding) -> bool {
    binding.metadata().deletion_timestamp.is_some()
}

fn phase(binding: &ExternalBackendBinding) -> Phase {
    binding.status.as_ref().map_or_else(Phase::default, |status| status.phase.clone())
}

fn scoped(binding: &ExternalBackendBinding, mut draft: AuditDraft) -> AuditDraft {
    let spec = &binding.spec;
    let shared = spec.shared_provider_ref.as_ref().map(|shared| format!("{}/{}", shared.organization, shared.name));
    draft.provider = spec.provider_ref.clone().or(shared);
    draft.binding = Some(binding.name().to_owned());
    draft
}

/// What happened to `binding`. Pure: performs nothing, reads no clock.
///
/// # Errors
/// [`Refused`] when the table has no such transition, or a guard fails; `binding` is unchanged then.
pub fn step(
    binding: &ExternalBackendBinding,
    event: Event,
    ctx: &Ctx<'_>,
) -> Result<Step<ExternalBackendBinding>, Refused> {
    let kind = event.kind();
    let this = Move::find(MACHINE, TRANSITIONS, &phase(binding), (kind, kind.as_str()))?;
    let mut next = binding.clone();
    let generation = next.generation();
    let owns_hook = next.spec.owns_hook;
    let suspend = next.spec.suspend;
    let enabled: Vec<_> = next
        .spec
        .interfaces
        .iter()
        .filter(|interface| interface.enabled)
        .map(|interface| interface.name.clone())
        .collect();
    let mut reason = None;
    let mark = |conditions: &mut Vec<_>, kind: &str, holds: bool, why: &str| {
        condition(conditions, kind, holds, why, generation, ctx.now);
    };
    let status = next.status.get_or_insert_with(Default::default);
    match event {
        Event::Started => status.phase = Phase::ValidatingTarget,
        Event::TargetValidated { provider_uid, target } => {
            status.provider_uid = provider_uid;
            status.target = target;
            status.last_error = None;
            status.phase = if owns_hook { Phase::RegisteringWebhook } else { Phase::Backfilling };
            if !owns_hook {
                mark(&mut status.conditions, "WebhookReady", true, "NotOwned");
            }
        }
        Event::HookRegistered { hook } => {
            status.hook = Some(hook);
            status.phase = Phase::Backfilling;
            mark(&mut status.conditions, "WebhookReady", true, "Registered");
        }
        Event::Backfilled { at } => {
            for name in enabled {
                let done = match status.interfaces.iter_mut().find(|known| known.name == name) {
                    Some(known) => known,
                    None => status.interfaces.push_mut(BindingInterfaceStatus::new(name)),
                };
                done.initial_sync_done = true;
                done.ready = true;
                done.last_backfill_at = done.last_backfill_at.max(Some(at));
            }
            status.last_error = None;
            status.phase = Phase::Ready;
            mark(&mut status.conditions, "BackfillHealthy", true, "Backfilled");
            mark(&mut status.conditions, "ConflictsPresent", false, "NoConflict");
            mark(&mut status.conditions, "Ready", true, "Backfilled");
        }
        Event::ConflictFound => {
            status.phase = Phase::Conflict;
            mark(&mut status.conditions, "ConflictsPresent", true, "ConflictFound");
        }
        Event::ConflictsCleared => {
            status.phase = Phase::Ready;
            mark(&mut status.conditions, "ConflictsPresent", false, "NoConflict");
        }
        Event::Suspended => {
            status.phase = Phase::Paused;
            mark(&mut status.conditions, "Ready", false, "Suspended");
        }
        Event::Resumed => {
            this.require(!suspend, || Why::Unwanted { path: "spec.suspend", found: true })?;
            this.require(!is_going(binding), || Why::Unwanted { path: "metadata.deletionTimestamp", found: true })?;
            let interface = |name| status.interfaces.iter().find(|known| known.name == name);
            let done = enabled.into_iter().all(|name| interface(name).is_some_and(|known| known.initial_sync_done));
            let conflicts = status.interfaces.iter().any(|known| known.open_conflicts > 0);
            status.phase = match (done, conflicts) {
                (false, _) => Phase::Backfilling,
                (true, true) => Phase::Conflict,
                (true, false) => Phase::Ready,
            };
            if done {
                mark(&mut status.conditions, "ConflictsPresent", conflicts, "Resumed");
                mark(&mut status.conditions, "Ready", true, "Resumed");
            }
        }
        Event::Failed { error } => {
            reason = Some(error.class.to_string());
            if this.from == Phase::RegisteringWebhook {
                mark(&mut status.conditions, "WebhookReady", false, error.class.as_str());
            }
            mark(&mut status.conditions, "Ready", false, error.class.as_str());
            status.last_error = Some(error);
            status.phase = Phase::Failed;
        }
        Event::ConfigurationChanged => {
            this.require(status.observed_generation != Some(generation), || Why::Unchanged { generation })?;
            status.last_error = None;
            status.phase = Phase::Pending;
        }
    }
    status.observed_generation = status.observed_generation.max(Some(generation));
    let to = phase(&next);
    let outcome = if to == Phase::Failed { AuditOutcome::Failed } else { AuditOutcome::Recorded };
    this.finish(next, &to, About { kind: "BindingPhase", outcome, reason, digests: Vec::new() }, scoped, ctx)
}

/// What `binding` waits for: an effect to perform, or nothing. `provider_paused` is what stands in the provider's phase.
pub fn due(binding: &ExternalBackendBinding, provider_paused: bool) -> Due<Effect> {
    let changed = binding.status.as_ref().and_then(|status| status.observed_generation) != Some(binding.generation());
    let paused = binding.spec.suspend || provider_paused || is_going(binding);
    match phase(binding) {
        // R21: nothing new is begun.
        Phase::Pending | Phase::ValidatingTarget | Phase::RegisteringWebhook | Phase::Failed if is_going(binding) => {
            Due::Idle
        }
        Phase::Pending => Due::Now(Effect::Start),
        Phase::ValidatingTarget => Due::Now(Effect::ValidateTarget),
        Phase::RegisteringWebhook => Due::Now(Effect::RegisterHook),
        Phase::Backfilling | Phase::Ready | Phase::Conflict if paused => Due::Now(Effect::Suspend),
        Phase::Backfilling => Due::Now(Effect::Backfill),
        Phase::Paused if !paused => Due::Now(Effect::Resume),
        Phase::Failed if changed => Due::Now(Effect::Restart),
        _ => Due::Idle,
    }
}
