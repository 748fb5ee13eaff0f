//! What a binding and a provider show about themselves: computed from records, and the same when nothing happened. Spec: external-sync.md S42.
//!
//! Phases move through the machines, so that each move is audited (S41); conditions move through [`set_condition`], so that their times move with their
//! status only. A quiet system yields the status that is stored, and so no write.

use std::collections::BTreeMap;

use chrono::TimeDelta;
use krate_model::Resource;
use krate_model::audit::AuditDraft;
use krate_model::condition::{ConditionStatus, Finding, set_condition};
use krate_model::kinds::external::{
    BindingInterfaceStatus, DeliveryLogStatus, ExternalBackendBinding, ExternalBackendBindingPhase as Phase,
    ExternalBackendProvider, ExternalBackendProviderPhase as ProviderPhase, ExternalSyncState,
    ExternalSyncStatePhase as Run, LastDelivery, ManifestRef, ProviderInterfaceStatus, RateLimitStatus,
};
use krate_model::kinds::sets::{ErrorClass, Interface};
use krate_model::kinds::shared::{Condition, Dur, ErrorInfo, Time};

use crate::machines::{Ctx, Due, Refused, binding, provider};
use crate::quota::Ledger;

/// What waits, by binding and interface, and the deliveries of a provider.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Counts {
    /// Open conflicts.
    pub open_conflicts: BTreeMap<(String, Interface), i64>,
    /// Writes that aren't confirmed.
    pub pending_writes: BTreeMap<(String, Interface), i64>,
    /// Deliveries that wait, by provider.
    pub queue_depth: BTreeMap<String, i64>,
}

/// What was seen of a provider.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Seen {
    /// Newest deliveries.
    pub deliveries: LastDelivery,
    /// What is known about its budgets.
    pub ledger: Ledger,
    /// Why a binding isn't read yet, where that went wrong.
    pub held: Option<ErrorInfo>,
}

/// What is known about the lists of some interfaces.
struct Lists<'a> {
    states: Vec<&'a ExternalSyncState>,
    /// What holds them back before the first of them is read.
    held: Option<&'a ErrorInfo>,
}

impl Lists<'_> {
    fn error(&self) -> Option<&ErrorInfo> {
        let failed = self.states.iter().filter_map(|state| state.status.as_ref()?.error.as_ref());
        failed.chain(self.held).max_by_key(|error| error.at)
    }

    fn error_class(&self) -> Option<ErrorClass> {
        self.error().map(|error| error.class.clone())
    }

    fn limited_until(&self) -> Option<Time> {
        let limited = self.states.iter().filter_map(|state| state.status.as_ref());
        let limited = limited.filter(|status| status.phase == Run::RateLimited).filter_map(|status| status.not_before);
        let held = self.held.filter(|error| error.class == ErrorClass::RateLimited).and_then(|error| error.until);
        limited.chain(held).max()
    }

    /// Since when each list was read to its end at least once.
    fn read_since(&self) -> Option<Time> {
        self.states.iter().filter_map(|state| state.status.as_ref()?.completed_at).min()
    }

    fn all_read_once(&self) -> bool {
        !self.states.is_empty()
            && self
                .states
                .iter()
                .all(|state| state.status.as_ref().is_some_and(|status| status.last_complete_at.is_some()))
    }
}

fn mark(
    conditions: &mut Vec<Condition>,
    (kind, status, reason, message): (&str, ConditionStatus, &str, &str),
    generation: i64,
    now: Time,
) {
    set_condition(conditions, Finding { kind, status, reason, message, observed_generation: Some(generation) }, now);
}

/// The conditions that bindings and providers share: webhooks (and what is known to be lost of them), limits and lists. Each is marked once: two marks would
/// move its time each time.
fn common(
    conditions: &mut Vec<Condition>,
    (seen, lost): (&LastDelivery, Option<&str>),
    ledger: &Ledger,
    lists: &Lists<'_>,
    generation: i64,
    ctx: &Ctx<'_>,
) {
    let now = ctx.now;
    let webhook = match (seen.good_at, seen.failed_at) {
        _ if lost.is_some() => (ConditionStatus::False, "DeliveriesLost"),
        (None, None) => (ConditionStatus::Unknown, "NoDelivery"),
        (good, Some(failed)) if good.is_none_or(|good| good <= failed) => (ConditionStatus::False, "SignatureRejected"),
        _ => (ConditionStatus::True, "Verified"),
    };
    mark(conditions, ("WebhookReady", webhook.0, webhook.1, lost.unwrap_or_default()), generation, now);
    let until = lists.limited_until().max(ledger.limited_until(now));
    let message = until.map(|at| format!("until {}", at.to_rfc3339())).unwrap_or_default();
    let reason = if until.is_some() { "LimitReached" } else { "WithinLimits" };
    mark(conditions, ("RateLimited", until.is_some().into(), reason, &message), generation, now);
    let error = lists.error_class();
    let (healthy, reason) = match &error {
        Some(class) => (ConditionStatus::False, class.as_str()),
        None if !lists.all_read_once() => (ConditionStatus::Unknown, "NotYetRead"),
        None if lists.read_since().is_some_and(|at| now - at > ctx.policy.stale_after) => {
            (ConditionStatus::False, "Stale")
        }
        None => (ConditionStatus::True, "Backfilled"),
    };
    mark(conditions, ("BackfillHealthy", healthy, reason, ""), generation, now);
}

fn interface_condition(interface: &Interface) -> Option<&'static str> {
    match interface {
        Interface::IssueTracking => Some("IssueTrackingReady"),
        Interface::Cicd => Some("CicdReady"),
        Interface::GitForge => Some("GitForgeReady"),
        _ => None,
    }
}

/// The binding with the status that its records give it, and what its phase's moves tell. `states` are its lists; `missing_policy` is the sync policy that it names
/// and that isn't there (R70).
///
/// # Errors
/// [`Refused`] when its machine has no such move.
pub fn of_binding(
    binding: &ExternalBackendBinding,
    paused: bool,
    missing_policy: Option<&str>,
    states: &[ExternalSyncState],
    counts: &Counts,
    seen: &Seen,
    ctx: &Ctx<'_>,
) -> Result<(ExternalBackendBinding, Vec<AuditDraft>), Refused> {
    let held = seen.held.as_ref();
    let mut next = binding.clone();
    let generation = next.generation();
    let name = next.name().to_owned();
    let status = next.status.get_or_insert_default();
    let mut conflicts = 0_i64;
    for interface in binding.spec.interfaces.iter().filter(|interface| interface.enabled) {
        let lists =
            Lists { states: states.iter().filter(|state| state.spec.interface == interface.name).collect(), held };
        let at = (name.clone(), interface.name.clone());
        let known = match status.interfaces.iter_mut().find(|known| known.name == interface.name) {
            Some(known) => known,
            None => status.interfaces.push_mut(BindingInterfaceStatus::new(interface.name.clone())),
        };
        known.open_conflicts = counts.open_conflicts.get(&at).copied().unwrap_or(0);
        known.pending_writes = counts.pending_writes.get(&at).copied().unwrap_or(0);
        known.last_error_class = lists.error_class();
        known.initial_sync_done |= lists.all_read_once();
        known.ready = known.initial_sync_done && !paused && known.last_error_class.is_none();
        conflicts = conflicts.saturating_add(known.open_conflicts);
        if let Some(kind) = interface_condition(&interface.name) {
            let reason = match (&known.last_error_class, known.initial_sync_done) {
                (Some(class), _) => class.as_str(),
                (None, true) if paused => "Suspended",
                (None, true) => "Backfilled",
                (None, false) => "NotYetRead",
            };
            mark(&mut status.conditions, (kind, known.ready.into(), reason, ""), generation, ctx.now);
        }
    }
    let is_used = |name: &Interface| binding.spec.interfaces.iter().any(|it| it.enabled && it.name == *name);
    let backfilled = status.interfaces.iter().filter(|it| is_used(&it.name)).filter_map(|it| it.last_backfill_at);
    status.last_backfill_at = backfilled.min();
    status.open_conflicts = Some(conflicts);
    take_newest(&mut status.last_delivery, &seen.deliveries);
    let deliveries = status.last_delivery.clone().unwrap_or_default();
    let lists = Lists { states: states.iter().collect(), held };
    let lost = lost_since(status.delivery_log.as_ref(), &deliveries);
    common(&mut status.conditions, (&deliveries, lost.as_deref()), &seen.ledger, &lists, generation, ctx);
    status.staleness_bound = (!paused).then(|| staleness_bound(&lists, ctx.policy.backfill_interval)).flatten();
    let reason = if conflicts > 0 { "ConflictFound" } else { "NoConflict" };
    mark(&mut status.conditions, ("ConflictsPresent", (conflicts > 0).into(), reason, ""), generation, ctx.now);
    let reason = if missing_policy.is_some() { "PolicyMissing" } else { "PolicyInForce" };
    let message = missing_policy
        .map(|name| format!("the sync policy {name:?} isn't there: it reads by the defaults, and writes nothing"));
    let degraded = ("Degraded", missing_policy.is_some().into(), reason, message.as_deref().unwrap_or_default());
    mark(&mut status.conditions, degraded, generation, ctx.now);
    let (next, audit) = moved(next, paused, conflicts > 0, lists.all_read_once(), ctx)?;
    Ok((ready(next, ctx.now), audit))
}

/// The newest window in which deliveries were lost, where none has come since.
fn lost_since(log: Option<&DeliveryLogStatus>, seen: &LastDelivery) -> Option<String> {
    let window = log?.lost.first().filter(|window| seen.good_at.is_none_or(|good| good <= window.found_at))?;
    let (from, to) = (window.from.to_rfc3339(), window.to.to_rfc3339());
    Some(format!("{} deliveries were lost that were sent between {from} and {to}", window.deliveries))
}

/// How long a change may go unseen whose webhook is lost: one that is made just behind a list's back is shown by the next one's end. Nothing bounds it
/// while a list fails. In whole minutes, so that it stays the same while lists take about as long.
fn staleness_bound(lists: &Lists<'_>, interval: TimeDelta) -> Option<Dur> {
    if !lists.all_read_once() || lists.error().is_some() {
        return None;
    }
    let statuses = lists.states.iter().filter_map(|state| state.status.as_ref());
    let runs = statuses.filter_map(|status| Some(status.completed_at? - status.started_at?));
    let longest = runs.max().unwrap_or_default().max(TimeDelta::zero());
    let minutes =
        interval.checked_add(&longest)?.checked_add(&longest)?.num_seconds().checked_add(59)?.checked_div(60)?;
    format!("{minutes}m").parse().ok()
}

/// The path at which a provider's webhooks arrive, unless its status says otherwise.
pub(crate) fn webhook_path(provider: &str) -> String {
    format!("/webhooks/{provider}")
}

/// Lets the binding's machine take the moves that its records ask for.
fn moved(
    mut next: ExternalBackendBinding,
    paused: bool,
    conflicts: bool,
    all_read: bool,
    ctx: &Ctx<'_>,
) -> Result<(ExternalBackendBinding, Vec<AuditDraft>), Refused> {
    let phase = next.status.as_ref().map_or(&Phase::Pending, |status| &status.phase);
    let event = match (phase, binding::due(&next, paused)) {
        (_, Due::Now(binding::Effect::Suspend)) => Some(binding::Event::Suspended),
        // The machine asks the binding's own wish only; the provider's pause is in `paused`.
        (_, Due::Now(binding::Effect::Resume)) => Some(binding::Event::Resumed),
        (Phase::Backfilling, _) if all_read => Some(binding::Event::Backfilled { at: ctx.now }),
        (Phase::Ready, _) if conflicts => Some(binding::Event::ConflictFound),
        (Phase::Conflict, _) if !conflicts => Some(binding::Event::ConflictsCleared),
        _ => None,
    };
    let Some(event) = event else { return Ok((next, Vec::new())) };
    let step = binding::step(&next, event, ctx)?;
    next = step.record;
    Ok((next, step.audit))
}

fn ready(mut next: ExternalBackendBinding, now: Time) -> ExternalBackendBinding {
    let generation = next.generation();
    let status = next.status.get_or_insert_default();
    let (holds, reason) = match status.phase {
        Phase::Ready | Phase::Conflict if status.interfaces.iter().all(|it| it.last_error_class.is_none()) => {
            (ConditionStatus::True, "Backfilled")
        }
        Phase::Ready | Phase::Conflict => (ConditionStatus::False, "BackfillFailing"),
        Phase::Paused => (ConditionStatus::False, "Suspended"),
        _ => match &status.last_error {
            Some(error) => (ConditionStatus::False, error.class.as_str()),
            None => (ConditionStatus::False, "NotYetRead"),
        },
    };
    let message = match &status.last_error {
        Some(error) if reason == error.class.as_str() => error.message.clone(),
        _ => String::new(),
    };
    mark(&mut status.conditions, ("Ready", holds, reason, &message), generation, now);
    status.observed_generation = status.observed_generation.max(Some(generation));
    next
}

/// The provider with the status that its bindings' records give it, and what its phase's moves tell. `bindings` are their names.
///
/// # Errors
/// [`Refused`] when its machine has no such move.
pub fn of_provider(
    provider: &ExternalBackendProvider,
    manifest: &ManifestRef,
    bindings: &[&str],
    states: &[ExternalSyncState],
    counts: &Counts,
    seen: &Seen,
    ctx: &Ctx<'_>,
) -> Result<(ExternalBackendProvider, Vec<AuditDraft>), Refused> {
    let (now, held) = (ctx.now, seen.held.as_ref());
    let (mut next, audit) = provider_moved(provider, manifest, &Lists { states: states.iter().collect(), held }, ctx)?;
    let generation = next.generation();
    let name = next.name().to_owned();
    let suspended = next.spec.suspend;
    let wanted = [
        (Interface::IssueTracking, next.spec.capabilities.issue_tracking),
        (Interface::Cicd, next.spec.capabilities.cicd),
        (Interface::GitForge, next.spec.capabilities.git_forge),
    ];
    let status = next.status.get_or_insert_default();
    let sum = |counted: &BTreeMap<(String, Interface), i64>, interface: &Interface| {
        let own = bindings.iter().filter_map(|binding| counted.get(&((*binding).to_owned(), interface.clone())));
        own.fold(0_i64, |sum, count| sum.saturating_add(*count))
    };
    let (mut conflicts, mut writes) = (0_i64, 0_i64);
    status.interfaces.clear();
    for (interface, _) in wanted.into_iter().filter(|(_, wanted)| *wanted) {
        let lists = Lists { states: states.iter().filter(|state| state.spec.interface == interface).collect(), held };
        let ready = lists.all_read_once() && lists.error_class().is_none() && !suspended;
        if let Some(kind) = interface_condition(&interface) {
            let reason = if ready { "Backfilled" } else { "NotReady" };
            mark(&mut status.conditions, (kind, ready.into(), reason, ""), generation, now);
        }
        let entry = ProviderInterfaceStatus {
            ready,
            last_backfill_at: lists.states.iter().filter_map(|state| state.status.as_ref()?.last_complete_at).max(),
            // A delivery's interface is known once it is processed: what waits may be about any of them.
            queue_depth: counts.queue_depth.get(&name).copied().unwrap_or(0),
            open_conflicts: sum(&counts.open_conflicts, &interface),
            pending_writes: sum(&counts.pending_writes, &interface),
            last_error_class: lists.error_class(),
            name: interface,
        };
        conflicts = conflicts.saturating_add(entry.open_conflicts);
        writes = writes.saturating_add(entry.pending_writes);
        status.interfaces.push(entry);
    }
    (status.open_conflicts, status.pending_writes) = (Some(conflicts), Some(writes));
    if next.spec.webhook.is_some() {
        status.webhook_path.get_or_insert_with(|| webhook_path(&name));
    }
    take_newest(&mut status.last_delivery, &seen.deliveries);
    take_budgets(&mut status.rate_limits, seen.ledger.shown());
    let deliveries = status.last_delivery.clone().unwrap_or_default();
    let lists = Lists { states: states.iter().collect(), held };
    common(&mut status.conditions, (&deliveries, None), &seen.ledger, &lists, generation, ctx);
    let reason = if conflicts > 0 { "ConflictFound" } else { "NoConflict" };
    mark(&mut status.conditions, ("ConflictsPresent", (conflicts > 0).into(), reason, ""), generation, now);
    let auth = match lists.error_class() {
        Some(ErrorClass::Authentication) => (ConditionStatus::False, "Authentication"),
        _ if lists.all_read_once() => (ConditionStatus::True, "Accepted"),
        _ => (ConditionStatus::Unknown, "NotYetAsked"),
    };
    mark(&mut status.conditions, ("AuthReady", auth.0, auth.1, ""), generation, now);
    let ready = lists.all_read_once() && lists.error_class().is_none() && !suspended;
    let reason = match (ready, suspended) {
        (true, _) => "Backfilled",
        (false, true) => "Suspended",
        (false, false) => "NotReady",
    };
    mark(&mut status.conditions, ("Ready", ready.into(), reason, ""), generation, now);
    status.observed_generation = status.observed_generation.max(Some(generation));
    Ok((next, audit))
}

/// Lets the provider's machine take the moves that are proved: a list that was read shows that the credential is good.
fn provider_moved(
    known: &ExternalBackendProvider,
    manifest: &ManifestRef,
    lists: &Lists<'_>,
    ctx: &Ctx<'_>,
) -> Result<(ExternalBackendProvider, Vec<AuditDraft>), Refused> {
    let mut next = known.clone();
    let mut audit = Vec::new();
    let broken = without_address(known, ctx.now);
    // From Pending to Ready or Degraded are four moves.
    for _ in 0..4 {
        let status = next.status.clone().unwrap_or_default();
        let event = match provider::due(&next) {
            Due::Now(provider::Effect::Restart) => provider::Event::ConfigurationChanged,
            _ if status.phase == ProviderPhase::Failed => break,
            _ if let Some(error) = &broken => provider::Event::Failed { error: error.clone() },
            Due::Now(provider::Effect::Start) => provider::Event::Started,
            Due::Now(provider::Effect::Authenticate) if lists.all_read_once() => {
                provider::Event::Authenticated { account: status.account, installations: status.installations }
            }
            Due::Now(provider::Effect::Discover) => provider::Event::Discovered { manifest: manifest.clone() },
            Due::Now(provider::Effect::Suspend) => provider::Event::Suspended,
            Due::Now(provider::Effect::Resume) => provider::Event::Resumed,
            _ => match (&status.phase, lists.error()) {
                (ProviderPhase::Ready, Some(error)) => provider::Event::Worsened { error: error.clone() },
                (ProviderPhase::Degraded, None) => provider::Event::Recovered,
                _ => break,
            },
        };
        let step = provider::step(&next, event, ctx)?;
        next = step.record;
        audit.extend(step.audit);
    }
    Ok((next, audit))
}

/// Why nothing can be asked of the provider as it is configured, where that is so.
fn without_address(provider: &ExternalBackendProvider, at: Time) -> Option<ErrorInfo> {
    let base = provider.spec.api_base_url.as_deref().or(provider.spec.base_url.as_deref());
    let message = match base.map(url::Url::parse) {
        Some(Ok(_)) => return None,
        Some(Err(error)) => error.to_string(),
        None => "the provider has no address".to_owned(),
    };
    let path = Some("spec.apiBaseUrl".to_owned());
    Some(ErrorInfo { class: ErrorClass::Configuration, message, path, until: None, request_id: None, at })
}

/// Only newer times count: what was seen before a restart stays.
fn take_newest(known: &mut Option<LastDelivery>, seen: &LastDelivery) {
    let old = known.clone().unwrap_or_default();
    let next = LastDelivery { good_at: old.good_at.max(seen.good_at), failed_at: old.failed_at.max(seen.failed_at) };
    if next != LastDelivery::default() {
        *known = Some(next);
    }
}

/// Takes budgets in where they tell something: a tenth of the limit more or less, none left, another window or another limit. Each call spends one, and
/// isn't worth a write.
fn take_budgets(known: &mut Vec<RateLimitStatus>, seen: Vec<RateLimitStatus>) {
    let step = |it: &RateLimitStatus| {
        let tenth = it.remaining.saturating_mul(10).checked_div(it.limit).unwrap_or(0);
        // The end of a window is told to the second by some, and computed from the answer's way by others.
        (it.limit, tenth, it.remaining <= 0, it.reset_at.timestamp() / 60)
    };
    for budget in seen {
        match known.iter_mut().find(|it| it.scope == budget.scope) {
            Some(old) if step(old) == step(&budget) => {}
            Some(old) => *old = budget,
            None => known.push(budget),
        }
    }
}
