//! Machine steps on loaded records: the record becomes the next one, and what it tells is handed back. Spec: S40, S41.

use krate_model::audit::AuditDraft;
use krate_model::kinds::external::{
    ConfirmedBy, ExternalSyncConflict, ExternalSyncConflictSpec, ExternalWriteIntent, Resolution, SupersededReason,
};
use krate_model::kinds::sets::ResolutionStrategy;
use krate_model::kinds::shared::{Actor, ErrorInfo, Time};
use krate_model::{Digest, NotCanonical, Resource};

use crate::machines::{Ctx, Policy, Refused, Step, conflict, intent};
use crate::object::{ObjectState, controller};
use crate::records::Loaded;
use crate::scope::Scope;

/// Takes the next record, and hands back what it tells.
pub(crate) fn take<R>(loaded: &mut Loaded<R>, step: Step<R>) -> Vec<AuditDraft> {
    loaded.object = step.record;
    loaded.dirty = true;
    step.audit
}

/// Runs `f` with the context of krate's own controller.
pub(crate) fn as_controller<T>(policy: &Policy, now: Time, f: impl FnOnce(&Ctx<'_>) -> T) -> T {
    let actor = controller();
    f(&Ctx { now, actor: &actor, policy, seed: 0 })
}

/// An intent that is no longer wanted.
pub(crate) fn cancel_intent(
    intent: &mut Loaded<ExternalWriteIntent>,
    reason: &str,
    now: Time,
) -> Result<Vec<AuditDraft>, Refused> {
    let event = intent::Event::Cancelled { reason: reason.to_owned() };
    let step = as_controller(&Policy::default(), now, |ctx| intent::step(&intent.object, event, ctx))?;
    Ok(take(intent, step))
}

/// An intent whose conflict ended without it.
pub(crate) fn withdraw_intent(
    intent: &mut Loaded<ExternalWriteIntent>,
    reason: &str,
    now: Time,
) -> Result<Vec<AuditDraft>, Refused> {
    let event = intent::Event::Withdrawn { reason: reason.to_owned() };
    let step = as_controller(&Policy::default(), now, |ctx| intent::step(&intent.object, event, ctx))?;
    Ok(take(intent, step))
}

/// An intent that nobody waits for any more.
pub(crate) fn leave_behind(
    intent: &mut Loaded<ExternalWriteIntent>,
    error: ErrorInfo,
    now: Time,
) -> Result<Vec<AuditDraft>, Refused> {
    let event = intent::Event::LeftBehind { error };
    let step = as_controller(&Policy::default(), now, |ctx| intent::step(&intent.object, event, ctx))?;
    Ok(take(intent, step))
}

/// An intent whose effect was seen.
pub(crate) fn confirm_intent(
    intent: &mut Loaded<ExternalWriteIntent>,
    by: ConfirmedBy,
    digest: Digest,
    now: Time,
) -> Result<Vec<AuditDraft>, Refused> {
    let event = intent::Event::Confirmed { by, digest };
    let step = as_controller(&Policy::default(), now, |ctx| intent::step(&intent.object, event, ctx))?;
    Ok(take(intent, step))
}

/// A conflict that no longer counts.
pub(crate) fn supersede(
    conflict: &mut Loaded<ExternalSyncConflict>,
    reason: &SupersededReason,
    by: Option<String>,
    now: Time,
) -> Result<Vec<AuditDraft>, Refused> {
    let event = match (reason, by) {
        (SupersededReason::Newer, Some(by)) => conflict::Event::Diverged { by },
        _ => conflict::Event::Converged,
    };
    let step = as_controller(&Policy::default(), now, |ctx| conflict::step(&conflict.object, event, ctx))?;
    Ok(take(conflict, step))
}

/// A newer conflict in place of the open one about a field, as `change` makes it (S28).
pub(crate) fn renew_conflict<E: From<Refused> + From<NotCanonical>>(
    state: &mut ObjectState,
    scope: &Scope,
    path: &str,
    now: Time,
    change: impl FnOnce(&mut ExternalSyncConflictSpec),
) -> Result<(), E> {
    let Some(open) = state.open_conflict_mut(path) else { return Ok(()) };
    let mut spec = open.object.spec.clone();
    change(&mut spec);
    let name = conflict::name(&spec)?;
    let drafts = supersede(open, &SupersededReason::Newer, Some(name.clone()), now)?;
    let supersedes = Some(open.object.name().to_owned());
    state.audit.extend(drafts);
    let mut newer = Loaded::new(ExternalSyncConflict::at(scope.namespace(), name, spec));
    let step = as_controller(&Policy::of(&scope.policy), now, |ctx| conflict::open(&newer.object, supersedes, ctx));
    state.audit.extend(take(&mut newer, step));
    state.conflicts.push(newer);
    Ok(())
}

/// A conflict whose binding is deleted.
pub(crate) fn let_conflict_go(
    conflict: &mut Loaded<ExternalSyncConflict>,
    now: Time,
) -> Result<Vec<AuditDraft>, Refused> {
    let event = conflict::Event::BindingDeleted;
    let step = as_controller(&Policy::default(), now, |ctx| conflict::step(&conflict.object, event, ctx))?;
    Ok(take(conflict, step))
}

/// A conflict that the policy resolves at once: chosen and applied by `by`. A write for review is only chosen: it is planned in the next pass, as a person's
/// decision for one is.
pub(crate) fn resolve_by_policy(
    conflict: &mut Loaded<ExternalSyncConflict>,
    strategy: &ResolutionStrategy,
    by: &Actor,
    now: Time,
) -> Result<Vec<AuditDraft>, Refused> {
    let current = conflict.object.spec.versions.clone();
    conflict.object.spec.resolution = Some(Resolution {
        strategy: strategy.clone(),
        value: None,
        seen_versions: current.clone(),
        comment: Some("by the sync policy".to_owned()),
    });
    let policy = Policy::default();
    let ctx = Ctx { now, actor: by, policy: &policy, seed: 0 };
    if *strategy == ResolutionStrategy::Ignore {
        let ignored = conflict::Event::Ignored { by: by.clone(), current: Box::new(current) };
        return Ok(take(conflict, conflict::step(&conflict.object, ignored, &ctx)?));
    }
    let chosen = conflict::Event::Chosen { by: by.clone(), current: Box::new(current) };
    let mut audit = take(conflict, conflict::step(&conflict.object, chosen, &ctx)?);
    if *strategy == ResolutionStrategy::ReviewedWrite {
        return Ok(audit);
    }
    let applied = conflict::Event::Applied { intent: None };
    audit.extend(take(conflict, conflict::step(&conflict.object, applied, &ctx)?));
    Ok(audit)
}
