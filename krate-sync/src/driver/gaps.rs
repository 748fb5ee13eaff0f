//! Deliveries that were lost: found in the provider's log, named in the binding's status, and fetched from there. Spec: design.md section 4, S26.
//!
//! Each hook's log is looked at every few seconds, newest line first, down to where everything is known to have arrived. A delivery that nobody recorded
//! is lost, once the provider says that it failed or there was time enough for it to come. It is recorded as if it had come: under the same name,
//! so that the late one is the same delivery (S11), and with everything that a delivery has, retries and an end included.
//!
//! What is known between two looks is in memory only. A process that starts looks as far back as the status says, or as the lists go that were read.

use std::collections::BTreeSet;
use std::sync::{Arc, PoisonError};

use chrono::TimeDelta;
use krate_model::Kind;
use krate_model::Resource;
use krate_model::audit::{AuditDraft, AuditOutcome};
use krate_model::kinds::external::{
    BackfillMode, ExternalBackendBinding, ExternalBackendBindingPhase as Phase, ExternalWebhookDelivery, LostWindow,
};
use krate_model::kinds::sets::{ErrorClass, Operation};
use krate_model::kinds::shared::{ErrorInfo, NativeTarget, ObjectRef, Time, Version};
use krate_model::store::Key;
use krate_providers::contract::{Call, Cursor, LoggedDelivery, Outcome, ProviderError};

use super::intents::{info, of};
use super::turns::{Ended, Running, Turn};
use super::{Config, Driver, DriverError, MAX_RACES};
use crate::ingest::{delivery_name, recover};
use crate::machines::later;
use crate::object::controller;
use crate::quota::Purpose;
use crate::records::{self, Changes, Loaded};
use crate::scope::Scope;

/// How often a log is looked at, at most.
const INTERVAL: TimeDelta = TimeDelta::seconds(20);
/// How long a delivery may be on its way before it is taken for lost, where the provider doesn't say that it failed.
const GRACE: TimeDelta = TimeDelta::seconds(15);
/// Looks may cost at most one in so many of the calls that a budget has: 3 %.
const ONE_IN: i64 = 33;
/// Calls an hour that are reckoned with before an answer has told of the budget: the least that providers with a log give.
const LEAST_LIMIT: i64 = 5000;
/// How long it takes until hooks are asked for again that can't be read, or of which none is ours.
const UNREAD_PAUSE: TimeDelta = TimeDelta::minutes(15);
/// Pages of a log that one look reads.
const MOST_PAGES: usize = 32;
/// Lost deliveries that one look fetches; the others are due at the next.
const MOST_FETCHED: usize = 64;
/// Windows that a status names.
const MOST_WINDOWS: usize = 16;
/// How far apart two notes in the status of how far the log was checked are at least.
const NOTED_EVERY: TimeDelta = TimeDelta::minutes(10);

/// What is known about a binding's log, between two looks.
#[derive(Debug, Clone, Default)]
pub(super) struct Watch {
    /// The hook's number at the provider.
    hook: Option<i64>,
    /// When it is looked at next.
    due: Option<Time>,
    /// The newest line before which everything has arrived, and when it was sent.
    settled: Option<(String, Time)>,
    /// Tag of the first page, while it shows nothing that isn't settled.
    etag: Option<String>,
}

/// What one look found.
struct Found {
    /// Lines of deliveries that are lost, oldest first.
    lost: Vec<LoggedDelivery>,
    /// Whether there were more lines than a look reads.
    is_cut: bool,
    watch: Watch,
    /// When the provider was asked.
    at: Time,
}

/// What a look tells the status.
enum News {
    /// Up to when everything has arrived.
    Arrived(Option<Time>),
    /// Why the log can't be read.
    Unread(ErrorInfo),
    /// What is lost, before it is fetched.
    Lost(LostWindow),
    /// The same, afterwards; and up to when everything has arrived.
    Fetched(LostWindow, Option<Time>),
}

impl Driver {
    /// Looks at the logs whose turn it is.
    pub(super) async fn look_for_gaps(
        &self,
        config: &Arc<Config>,
        now: Time,
        running: &mut Running,
        patience: Option<Time>,
    ) -> Vec<Ended> {
        let key = |scope: &Scope| {
            let name = format!("{}/delivery-log", scope.binding_name());
            Key::new(Kind::ExternalBackendBinding, scope.namespace(), name)
        };
        let due = config.scopes().filter(|scope| is_watched(scope) && self.next_look(scope).is_none_or(|at| at <= now));
        let due = due.map(|scope| (key(scope), scope)).filter(|(key, _)| !running.busy.has(key));
        let turns = due.map(|(key, scope)| {
            let (driver, config) = (self.spending(Purpose::Repair), Arc::clone(config));
            let (namespace, name) = (scope.namespace().to_owned(), scope.binding_name().to_owned());
            let provider = scope.backend.object.name().into();
            let work = Box::pin(async move {
                match config.scope(&namespace, &name) {
                    Some(scope) => driver.look_at_log(&config, scope).await,
                    None => Ok(()),
                }
            });
            Turn { key, provider, work }
        });
        let turns = turns.collect();
        self.take(turns, running, patience).await
    }

    /// When the next log is due.
    pub(super) fn next_log(&self, config: &Config, now: Time) -> Option<Time> {
        let watched = config.scopes().filter(|scope| is_watched(scope));
        watched.map(|scope| self.next_look(scope).unwrap_or(now)).min()
    }

    fn next_look(&self, scope: &Scope) -> Option<Time> {
        let notes = self.notes.lock().unwrap_or_else(PoisonError::into_inner);
        notes.logs.get(scope.binding_name()).and_then(|watch| watch.due)
    }

    fn watch(&self, scope: &Scope) -> Watch {
        let notes = self.notes.lock().unwrap_or_else(PoisonError::into_inner);
        notes.logs.get(scope.binding_name()).cloned().unwrap_or_default()
    }

    fn put_watch(&self, scope: &Scope, watch: Watch) {
        let mut notes = self.notes.lock().unwrap_or_else(PoisonError::into_inner);
        notes.logs.insert(scope.binding_name().to_owned(), watch);
    }

    /// How long it is from look to look: all logs of a provider share what looks may cost.
    fn between_looks(&self, config: &Config, scope: &Scope) -> TimeDelta {
        let provider = scope.backend.object.name();
        let logs = config.scopes().filter(|it| it.backend.object.name() == provider && is_watched(it)).count();
        let limit = self.with_ledger(provider, |ledger| ledger.limit(&Operation::ListHookDeliveries));
        let calls_an_hour = limit.unwrap_or(LEAST_LIMIT) / ONE_IN;
        let seconds = i64::try_from(logs).unwrap_or(i64::MAX).saturating_mul(3600) / calls_an_hour.max(1);
        TimeDelta::try_seconds(seconds).unwrap_or(TimeDelta::MAX).max(INTERVAL)
    }

    async fn look_at_log(&self, config: &Config, scope: &Scope) -> Result<(), DriverError> {
        let now = self.clock.now();
        let mut watch = self.watch(scope);
        watch.due = Some(later(now, self.between_looks(config, scope)));
        self.put_watch(scope, watch.clone());
        if watch.hook.is_none() {
            watch.hook = match self.own_hook(scope).await {
                Ok(Ok(hook)) => Some(hook),
                Ok(Err(why)) => return self.unread(scope, watch, why, now).await,
                Err(DriverError::Provider(error)) => return self.unread(scope, watch, of(&error, now), now).await,
                Err(error) => return Err(error),
            };
        }
        let done = match self.read_log(scope, watch.clone()).await {
            Ok(found) => self.take_found(scope, found).await,
            Err(error) => Err(error),
        };
        match done {
            // The hook may be another one by now.
            Err(DriverError::Provider(error)) => {
                self.unread(scope, Watch { hook: None, ..watch }, of(&error, now), now).await
            }
            done => done,
        }
    }

    /// The hook that posts to the provider's path; why there is none, where that is so.
    async fn own_hook(&self, scope: &Scope) -> Result<Result<i64, ErrorInfo>, DriverError> {
        let target = hook_target(scope, "hook", None, None);
        let call = Call::new(Operation::ListHooks, &target);
        let answer = self.call(scope, &call).await?;
        let Outcome::Hooks(hooks) = self.decode(scope, &call, &answer).result? else { return Err(no_list()) };
        let path = webhook_path(scope);
        let own = hooks.iter().find(|hook| hook.is_active && hook.url.as_ref().is_some_and(|url| url.ends_with(&path)));
        Ok(own.and_then(|hook| hook.native_id.parse().ok()).ok_or_else(|| {
            let message = format!("no active hook of the repository posts to an address that ends with {path}");
            info(ErrorClass::NotFound, &message, self.clock.now())
        }))
    }

    /// Reads the log from its newest line to where everything is settled.
    async fn read_log(&self, scope: &Scope, mut watch: Watch) -> Result<Found, DriverError> {
        let settled = match &watch.settled {
            Some(settled) => settled.clone(),
            None => (String::new(), self.horizon(scope).await?),
        };
        let target = hook_target(scope, "hook", watch.hook, None);
        let known = watch.etag.take().map(|etag| Version { etag: Some(etag), ..Version::default() });
        let mut cursor: Option<Cursor> = None;
        let mut tag = None;
        let mut lines: Vec<LoggedDelivery> = Vec::new();
        let mut is_cut = true;
        let at = self.clock.now();
        for page in 0..MOST_PAGES {
            let call = Call {
                cursor: cursor.as_ref(),
                known: known.as_ref().filter(|_| page == 0),
                ..Call::new(Operation::ListHookDeliveries, &target)
            };
            let answer = self.call(scope, &call).await?;
            match self.decode(scope, &call, &answer).result? {
                Outcome::NotModified => {
                    watch.etag = known.and_then(|known| known.etag);
                    return Ok(Found { lost: Vec::new(), is_cut: false, watch, at });
                }
                Outcome::Deliveries { lines: found, next, etag } => {
                    if page == 0 {
                        tag = etag.map(|etag| etag.to_string());
                    }
                    let is_new = |line: &LoggedDelivery| line.native_id != settled.0 && line.sent_at >= settled.1;
                    let count = found.len();
                    let fresh: Vec<_> = found.into_iter().take_while(is_new).collect();
                    let is_last = fresh.len() < count || next.is_none();
                    lines.extend(fresh);
                    if is_last {
                        is_cut = false;
                        break;
                    }
                    cursor = next;
                }
                _ => return Err(no_list()),
            }
        }
        // From the oldest on: everything is settled up to the first that isn't.
        let mut lost = Vec::new();
        let mut open = false;
        let mut asked = BTreeSet::new();
        for line in lines.into_iter().rev() {
            let missing = !self.is_recorded(scope, &line).await?;
            let is_lost = missing && (line.failed || at - line.sent_at >= GRACE);
            open |= missing && !(is_lost && lost.len() < MOST_FETCHED);
            if !open {
                watch.settled = Some((line.native_id.clone(), line.sent_at));
            }
            // Each attempt at a delivery has a line of its own.
            if is_lost && lost.len() < MOST_FETCHED && asked.insert(line.delivery_id.clone()) {
                lost.push(line);
            }
        }
        if !open {
            watch.etag = tag;
        }
        watch.settled.get_or_insert(settled);
        Ok(Found { lost, is_cut, watch, at })
    }

    /// Names the window in the status, fetches what was lost, and says how much of it is there now.
    async fn take_found(&self, scope: &Scope, found: Found) -> Result<(), DriverError> {
        let Found { lost, is_cut, watch, at } = found;
        let times = || lost.iter().map(|line| line.sent_at);
        let window = times().min().zip(times().max()).map(|(from, to)| LostWindow {
            from,
            to,
            deliveries: i64::try_from(lost.len()).unwrap_or(i64::MAX),
            recovered: 0,
            found_at: at,
        });
        // It is named before anything of it is fetched: a crash in between loses the fetching, which is made up for, and not the name.
        let checked = watch.settled.as_ref().map(|(_, sent_at)| *sent_at);
        let Some(mut window) = window else {
            if is_cut {
                self.read_lists(scope, at).await?;
            }
            self.put_watch(scope, watch);
            return self.show_log(scope, News::Arrived(checked), at).await;
        };
        self.show_log(scope, News::Lost(window.clone()), at).await?;
        let mut unread = is_cut;
        for line in &lost {
            match self.fetch_lost(scope, &watch, line).await {
                Ok(true) => window.recovered = window.recovered.saturating_add(1),
                Ok(false) => unread = true,
                // What is left is found again at the next look, and is of the same window.
                Err(error) => {
                    self.show_log(scope, News::Fetched(window, None), at).await?;
                    return Err(error);
                }
            }
        }
        if unread {
            self.read_lists(scope, at).await?;
        }
        self.put_watch(scope, watch);
        self.show_log(scope, News::Fetched(window, checked), at).await
    }

    /// S26: what the log doesn't give, and what is further back than a look reads, is looked for in the lists.
    async fn read_lists(&self, scope: &Scope, now: Time) -> Result<(), DriverError> {
        let mut changes = Changes::at(now);
        self.request_lists(scope, &BackfillMode::Incremental, now, &mut changes).await?;
        match changes.commit(self.store()).await {
            // Whoever changed one of them is reading it.
            Err(error) if !error.is_conflict() => Err(error.into()),
            _ => Ok(()),
        }
    }

    /// Fetches a lost delivery and records it; whether it could be had.
    async fn fetch_lost(&self, scope: &Scope, watch: &Watch, line: &LoggedDelivery) -> Result<bool, DriverError> {
        let target = hook_target(scope, "hook_delivery", watch.hook, Some(&line.native_id));
        let call = Call::new(Operation::GetHookDelivery, &target);
        let answer = self.call(scope, &call).await?;
        let kept = match self.decode(scope, &call, &answer).result {
            Ok(Outcome::Delivery(kept)) if kept.head.delivery_id == line.delivery_id => kept,
            Ok(_) => return Ok(false),
            Err(error) if is_over(&error) => return Ok(false),
            Err(error) => return Err(error.into()),
        };
        match recover(self.store(), &scope.backend, &line.native_id, *kept, self.clock.now()).await {
            Ok(_) => Ok(true),
            Err(crate::ingest::AcceptError::Record(error)) => Err(error.into()),
            // It breaks a bound, and will each time.
            Err(_) => Ok(false),
        }
    }

    async fn is_recorded(&self, scope: &Scope, line: &LoggedDelivery) -> Result<bool, DriverError> {
        let provider = &scope.backend.object;
        let name = delivery_name(provider.name(), &line.event_type, &line.delivery_id)?;
        let key = records::key_of::<ExternalWebhookDelivery>(provider.namespace(), &name);
        Ok(self.store.get(&key).await?.is_some())
    }

    /// How far back the first look goes: to where the status says that everything had arrived, else to where the newest lists began.
    async fn horizon(&self, scope: &Scope) -> Result<Time, DriverError> {
        let status = scope.binding.status.as_ref().and_then(|status| status.delivery_log.as_ref());
        if let Some(checked) = status.and_then(|log| log.checked_at) {
            return Ok(checked);
        }
        let states = self.states_of(scope).await?;
        let began = states.iter().filter_map(|state| state.object.status.as_ref()?.started_at).min();
        Ok(began.unwrap_or_else(|| self.clock.now()))
    }

    /// The log can't be read now: says why, and when it is tried again.
    async fn unread(&self, scope: &Scope, mut watch: Watch, why: ErrorInfo, now: Time) -> Result<(), DriverError> {
        let is_passing = matches!(why.class, ErrorClass::RateLimited | ErrorClass::Transient | ErrorClass::Timeout);
        if !is_passing {
            watch.due = Some(later(now, UNREAD_PAUSE));
        } else if let Some(until) = why.until {
            watch.due = watch.due.max(Some(until));
        }
        self.put_watch(scope, watch);
        if is_passing { Ok(()) } else { self.show_log(scope, News::Unread(why), now).await }
    }

    /// Writes what a look found to the binding's status, where it is worth a write.
    async fn show_log(&self, scope: &Scope, news: News, now: Time) -> Result<(), DriverError> {
        for _ in 0..MAX_RACES {
            match self.try_show_log(scope, &news, now).await {
                Err(error) if error.is_race() => {}
                done => return done,
            }
        }
        self.try_show_log(scope, &news, now).await
    }

    async fn try_show_log(&self, scope: &Scope, news: &News, now: Time) -> Result<(), DriverError> {
        let loaded: Option<Loaded<ExternalBackendBinding>> =
            records::get(self.store(), scope.namespace(), scope.binding_name()).await?;
        let Some(mut loaded) = loaded else { return Ok(()) };
        let known = loaded.object.status.as_ref().and_then(|status| status.delivery_log.clone());
        let mut next = known.clone().unwrap_or_default();
        let mut changes = Changes::at(now);
        match news {
            News::Arrived(checked) => {
                next.unread = None;
                let is_due = |at: &Time| next.checked_at.is_none_or(|known| *at - known >= NOTED_EVERY);
                if let Some(at) = checked.filter(is_due) {
                    next.checked_at = Some(at);
                }
            }
            News::Unread(why) => {
                let same = |known: &ErrorInfo| (&known.class, &known.message) == (&why.class, &why.message);
                if !next.unread.as_ref().is_some_and(same) {
                    next.unread = Some(why.clone());
                }
            }
            // While something of it is still to be fetched, a process that starts has to look that far back: `checkedAt` stays.
            News::Lost(window) => {
                let mut new = window.deliveries;
                if let Some(known) = next.lost.iter_mut().find(|known| goes_on(known, window)) {
                    new = new.saturating_sub(known.deliveries.saturating_sub(known.recovered)).max(0);
                    known.deliveries = known.deliveries.saturating_add(new);
                    known.to = known.to.max(window.to);
                } else {
                    next.lost.insert(0, window.clone());
                    next.lost.truncate(MOST_WINDOWS);
                }
                if new > 0 {
                    changes.audit(lost(scope, &LostWindow { deliveries: new, ..window.clone() }, now));
                }
            }
            News::Fetched(window, checked) => {
                next.unread = None;
                next.checked_at = next.checked_at.max(*checked);
                if let Some(known) = next.lost.iter_mut().find(|known| goes_on(known, window)) {
                    let missing = window.deliveries.saturating_sub(window.recovered);
                    known.recovered = known.deliveries.saturating_sub(missing);
                }
            }
        }
        if known.unwrap_or_default() == next {
            return Ok(());
        }
        loaded.change().status_mut().delivery_log = Some(next);
        changes.put(&loaded)?;
        changes.commit(self.store()).await?;
        Ok(())
    }
}

fn hook_target(scope: &Scope, kind: &str, hook: Option<i64>, line: Option<&str>) -> NativeTarget {
    NativeTarget {
        native_kind: kind.to_owned(),
        native_id: line.map(str::to_owned),
        native_number: hook,
        container: scope.container(),
    }
}

/// Where a provider's hook posts, at the end of its address.
fn webhook_path(scope: &Scope) -> String {
    let provider = &scope.backend.object;
    let told = provider.status.as_ref().and_then(|status| status.webhook_path.clone());
    told.unwrap_or_else(|| crate::status::webhook_path(provider.name()))
}

/// Whether its hook's log is looked at: the provider has one, somebody wants it, and the binding is in sync.
fn is_watched(scope: &Scope) -> bool {
    let wanted = scope.backend.object.spec.webhook.as_ref().is_some_and(|webhook| webhook.delivery_log);
    wanted
        && scope.names_one()
        && scope.operation(&Operation::ListHookDeliveries).is_some()
        && !scope.is_paused()
        && matches!(scope.phase(), Phase::Ready | Phase::Conflict)
}

/// Whether a delivery can't be had any more, however often one asks.
fn is_over(error: &ProviderError) -> bool {
    matches!(error.class, ErrorClass::NotFound | ErrorClass::Gone | ErrorClass::Decode)
}

fn no_list() -> DriverError {
    ProviderError::new(ErrorClass::Decode, "the answer is no list of what was asked for").into()
}

/// Whether `found` is what is still missing of a window that was named before, and what was lost right after it: a look that a limit, or the end of the process,
/// interrupted is gone on with.
fn goes_on(known: &LostWindow, found: &LostWindow) -> bool {
    known.recovered < known.deliveries && known.from <= found.to && found.from <= known.to
}

/// The audit event of a window (S41).
fn lost(scope: &Scope, window: &LostWindow, now: Time) -> AuditDraft {
    let reason = format!(
        "{} deliveries were lost that were sent between {} and {}",
        window.deliveries,
        window.from.to_rfc3339(),
        window.to.to_rfc3339()
    );
    AuditDraft::new(scope.namespace(), "DeliveriesLost", now, controller())
        .organization(scope.organization())
        .scope(scope.provider(), scope.binding_name(), None)
        .object(ObjectRef::new(Kind::ExternalBackendBinding.as_str(), scope.binding_name()))
        .reason(reason)
        .outcome(AuditOutcome::Recorded)
}
