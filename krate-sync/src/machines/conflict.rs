//! Conflicts: from found to decided. Spec: external-sync.md section 7 and 9, S27 to S29.

use krate_model::audit::{AuditDraft, AuditOutcome};
use krate_model::kinds::external::{
    ExternalSyncConflict, ExternalSyncConflictPhase as Phase, ExternalSyncConflictSpec, SeenVersions, SupersededReason,
};
use krate_model::kinds::sets::ResolutionStrategy;
use krate_model::kinds::shared::{Actor, ErrorInfo};
use krate_model::{ClosedSet, NotCanonical, Resource, derived_name};

use super::{About, Ctx, Due, Move, Refused, Step, Transition, Why, condition, events, table};

/// The machine's name in refusals, audit and docs.
pub const MACHINE: &str = "conflict";

events! {
    /// A person, or the policy, chose a resolution; it stands in `spec.resolution`.
    Chosen {
        /// Who.
        by: Actor,
        /// Where both sides stand now.
        current: Box<SeenVersions>,
    },
    /// A person chose to leave both sides as they are.
    Ignored {
        /// Who.
        by: Actor,
        /// Where both sides stand now.
        current: Box<SeenVersions>,
    },
    /// The resolution is in force.
    Applied {
        /// The intent that carries it, where it needs a write.
        intent: Option<String>,
    },
    /// The resolution couldn't be put in force.
    ApplyFailed {
        /// Why.
        error: ErrorInfo,
    },
    /// The same field diverged anew: another conflict takes its place.
    Diverged {
        /// Name of the other conflict.
        by: String,
    },
    /// Both sides came to agree on their own.
    Converged,
    /// Its binding is deleted: nobody carries a decision out any more.
    BindingDeleted,
}

/// Every allowed transition. What is not here is refused (S40).
pub const TRANSITIONS: &[Transition<Phase, EventKind>] = table! { Phase, EventKind;
    Open: Chosen => Resolving, "S29";
    Open: Ignored => Ignored, "S29";
    Open | Resolving: Diverged | Converged => Superseded, "S28";
    Open | Resolving: BindingDeleted => Superseded, "R21";
    Resolving: Applied => Resolved, "S27";
    Resolving: ApplyFailed => Open, "section 9";
};

/// What a conflict needs done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Effect {
    /// Record the command as [`Event::Chosen`].
    Choose,
    /// Record the command as [`Event::Ignored`].
    Ignore,
    /// Put the resolution in force.
    Apply,
}

/// How a conflict that is open stands to what was found now (S28).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Succession {
    /// It is the same divergence: nothing to do.
    Same,
    /// It is another one: the new conflict supersedes the open one.
    Newer,
    /// There is none: the open one is superseded as converged.
    Converged,
}

/// How `open` stands to `found`, what the same field of the same resource shows now.
pub fn succession(open: &ExternalSyncConflictSpec, found: Option<&ExternalSyncConflictSpec>) -> Succession {
    match found {
        None => Succession::Converged,
        Some(found)
            if open.desired.digest == found.desired.digest
                && open.observed.digest == found.observed.digest
                && open.reason == found.reason =>
        {
            Succession::Same
        }
        Some(_) => Succession::Newer,
    }
}

/// The name of a conflict: from the field and both values, so that finding it twice makes it once.
///
/// # Errors
/// [`NotCanonical`] when a value has no canonical JSON.
pub fn name(spec: &ExternalSyncConflictSpec) -> Result<String, NotCanonical> {
    let field = spec.field_path.rsplit('.').next().unwrap_or(&spec.field_path);
    let prefix = format!("{}-{field}", spec.resource.name);
    let values = [&spec.desired.digest, &spec.observed.digest];
    derived_name(&prefix, &(&spec.resource, &spec.field_path, &spec.reason, values, &spec.versions))
}

fn phase(conflict: &ExternalSyncConflict) -> Phase {
    conflict.status.as_ref().map_or_else(Phase::default, |status| status.phase.clone())
}

fn about(conflict: &ExternalSyncConflict, to: &Phase, reason: Option<String>) -> About {
    let mut digests = vec![("desired", conflict.spec.desired.digest), ("observed", conflict.spec.observed.digest)];
    digests.extend(conflict.spec.base.as_ref().map(|base| ("base", base.digest)));
    let outcome = if *to == Phase::Resolved { AuditOutcome::Succeeded } else { AuditOutcome::Recorded };
    About { kind: "ConflictPhase", outcome, reason, digests }
}

fn scoped(conflict: &ExternalSyncConflict, draft: AuditDraft) -> AuditDraft {
    let spec = &conflict.spec;
    draft.scope(spec.provider_ref.clone(), spec.binding_ref.clone(), Some(spec.interface.clone()))
}

/// A conflict that was just found, in its first phase; `supersedes` names the open one that it takes the place of.
pub fn open(conflict: &ExternalSyncConflict, supersedes: Option<String>, ctx: &Ctx<'_>) -> Step<ExternalSyncConflict> {
    let mut next = conflict.clone();
    let generation = next.generation();
    let status = next.status_mut();
    status.phase = Phase::Open;
    status.supersedes = supersedes;
    status.observed_generation = Some(generation);
    condition(&mut status.conditions, "Resolved", false, "Open", generation, ctx.now);
    let reason = format!("Found: {} in {}", next.spec.reason, next.spec.field_path);
    let mut draft = super::draft(&next, about(&next, &Phase::Open, Some(reason)), ctx);
    draft.to = Some(Phase::Open.as_str().to_owned());
    let audit = vec![scoped(&next, draft)];
    Step { record: next, also: Vec::new(), audit }
}

/// What happened to `conflict`. Pure: performs nothing, reads no clock.
///
/// # Errors
/// [`Refused`] when the table has no such transition, or a guard fails; `conflict` is unchanged then.
pub fn step(
    conflict: &ExternalSyncConflict,
    event: Event,
    ctx: &Ctx<'_>,
) -> Result<Step<ExternalSyncConflict>, Refused> {
    let kind = event.kind();
    let this = Move::find(MACHINE, TRANSITIONS, &phase(conflict), (kind, kind.as_str()))?;
    let mut next = conflict.clone();
    let generation = next.generation();
    let mut reason = None;
    let resolved = |conditions: &mut Vec<_>, holds: bool, why: &str| {
        condition(conditions, "Resolved", holds, why, generation, ctx.now);
    };
    let status = next.status.get_or_insert_with(Default::default);
    match event {
        Event::Chosen { by, current } | Event::Ignored { by, current } => {
            let ignoring = kind == EventKind::Ignored;
            let expected = if ignoring { "ignore" } else { "a resolution other than ignore" };
            let command = Why::Command { path: "spec.resolution.strategy", expected };
            let Some(resolution) = &next.spec.resolution else { return Err(this.refuse(command)) };
            let fits = (resolution.strategy == ResolutionStrategy::Ignore) == ignoring;
            this.require(fits && resolution.strategy.is_known(), || command)?;
            let manual = resolution.strategy == ResolutionStrategy::Manual;
            // A write as a whole has no value that could be given or looked at in its place.
            let of_field = manual || resolution.strategy == ResolutionStrategy::ReviewedWrite;
            this.require(!of_field || !next.spec.field_path.starts_with("operation."), || Why::Command {
                path: "spec.resolution.strategy",
                expected: "preferKrate (send it again), preferExternal (take it back) or ignore",
            })?;
            this.require(manual == resolution.value.is_some(), || Why::Command {
                path: "spec.resolution.value",
                expected: if manual { "given" } else { "absent" },
            })?;
            // The decision is about what the person saw, which has to be what this conflict shows and what still holds.
            let holds = resolution.seen_versions == *current && next.spec.versions == *current;
            this.require(holds, || Why::StaleResolution {
                generation: current.desired_generation,
                version: Box::new(current.observed.clone()),
            })?;
            reason = Some(format!("{} by {}", resolution.strategy, by.name));
            status.resolved_by = Some(by);
            status.error = None;
            if ignoring {
                status.resolved_at = Some(ctx.now);
                status.phase = Phase::Ignored;
                resolved(&mut status.conditions, true, "Ignored");
            } else {
                status.phase = Phase::Resolving;
                resolved(&mut status.conditions, false, "Resolving");
            }
        }
        Event::Applied { intent } => {
            status.resolution_intent = intent;
            status.resolved_at = Some(ctx.now);
            status.phase = Phase::Resolved;
            resolved(&mut status.conditions, true, "Resolved");
        }
        Event::ApplyFailed { error } => {
            reason = Some(error.class.to_string());
            status.error = Some(error);
            status.resolved_by = None;
            status.phase = Phase::Open;
            // The command is used up, lest it is carried out again and again: there is one for each time that the conflict is open.
            next.spec.resolution = None;
            resolved(&mut status.conditions, false, "ApplyFailed");
        }
        Event::Diverged { by } => {
            reason = Some(by.clone());
            status.superseded_by = Some(by);
            status.superseded_reason = Some(SupersededReason::Newer);
            status.phase = Phase::Superseded;
            resolved(&mut status.conditions, false, "Superseded");
        }
        Event::Converged => {
            status.superseded_reason = Some(SupersededReason::Converged);
            status.phase = Phase::Superseded;
            resolved(&mut status.conditions, true, "Converged");
        }
        Event::BindingDeleted => {
            status.phase = Phase::Superseded;
            resolved(&mut status.conditions, false, "BindingDeleted");
        }
    }
    let to = phase(&next);
    let about = about(&next, &to, reason);
    this.finish(next, &to, about, scoped, ctx)
}

/// What `conflict` waits for: an effect to perform, or nothing.
pub fn due(conflict: &ExternalSyncConflict) -> Due<Effect> {
    match (phase(conflict), &conflict.spec.resolution) {
        (Phase::Open, Some(resolution)) if resolution.strategy == ResolutionStrategy::Ignore => {
            Due::Now(Effect::Ignore)
        }
        (Phase::Open, Some(_)) => Due::Now(Effect::Choose),
        (Phase::Resolving, _) => Due::Now(Effect::Apply),
        _ => Due::Idle,
    }
}
