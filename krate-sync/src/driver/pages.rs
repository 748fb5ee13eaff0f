//! One page of a backfill, and what its end tells (S21 to S24).

use std::collections::BTreeSet;

use krate_model::kinds::external::{
    BackfillMode, ExternalObjectLink, ExternalObjectLinkPhase, ExternalObjectLinkStatus, ExternalSyncState, Tombstone,
    TombstoneReason,
};
use krate_model::kinds::sets::{ErrorClass, Interface};
use krate_model::kinds::shared::{ErrorInfo, NativeTarget, Time, Version};
use krate_model::observation::{Normalized, ResourceKind};
use krate_model::store::{Expect, Index, Key, Private, Query};
use krate_model::{Kind, Resource};
use krate_providers::contract::{Call, Cursor, Outcome, ProviderError};
use serde::{Deserialize, Serialize};

use super::backfills::LISTS;
use super::objects::Cause;
use super::{Driver, DriverError};
use crate::machines::backfill::Event;
use crate::machines::{LIMIT_PAUSE, Policy, later};
use crate::mistakes::{Mistake, made};
use crate::object::{ObjectState, controller};
use crate::observe::{Applied, Shows};
use crate::observed::mark_deleted;
use crate::order::Origin;
use crate::quota::Purpose;
use crate::records::{self, Changes, Loaded};
use crate::scope::Scope;

/// What a run remembers from page to page, beside its record.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(super) struct Progress {
    run_id: String,
    /// The pages of this run, and those that it hasn't come to yet of the runs before it.
    #[serde(default)]
    pages: Vec<Page>,
    /// How many pages the newest complete run had.
    #[serde(default)]
    whole: Option<i64>,
}

/// A page all of which was applied.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(super) struct Page {
    run_id: String,
    /// Where it began: the parameters of the request for it.
    cursor: Option<String>,
    since: Option<Time>,
    /// Its entity tag, where a later run may ask whether it still is as it was (S25).
    etag: Option<String>,
    /// Where the list went on.
    pub(super) next: Option<String>,
    /// How many pages followed, where the provider said so.
    #[serde(default)]
    more: Option<u32>,
    /// The newest of the provider's times among its rows.
    newest: Option<Time>,
    /// Names of its rows' links.
    pub(super) met: Vec<String>,
}

impl Page {
    /// What a request for it names, so that it isn't shown again.
    pub(super) fn version(&self) -> Version {
        Version { etag: self.etag.clone(), ..Version::default() }
    }
}

impl Progress {
    fn of_this_run(&self) -> impl Iterator<Item = &Page> {
        self.pages.iter().filter(|page| page.run_id == self.run_id)
    }

    /// The newest of the provider's times among what the run has applied (S22).
    fn newest(&self) -> Option<Time> {
        self.of_this_run().filter_map(|page| page.newest).max()
    }

    /// Names of the links that the run has met, for what a complete run doesn't meet (S23).
    fn met(&self) -> BTreeSet<&str> {
        self.of_this_run().flat_map(|page| page.met.iter().map(String::as_str)).collect()
    }

    /// How many pages the newest complete run had, where one ended.
    pub(super) fn whole(&self) -> Option<i64> {
        self.whole
    }

    /// Pages that follow the newest of this run, where the provider said so.
    pub(super) fn more(&self) -> Option<i64> {
        self.of_this_run().last()?.more.map(i64::from)
    }

    fn take(&mut self, page: Page) {
        self.pages.retain(|known| (&known.cursor, known.since) != (&page.cursor, page.since));
        self.pages.push(page);
    }

    /// The run is over: what it didn't come to of the runs like it isn't there any more.
    fn end(&mut self, complete: bool) {
        if complete {
            self.whole = i64::try_from(self.of_this_run().count()).ok();
        }
        let run_id = &self.run_id;
        self.pages.retain(|page| page.run_id == *run_id || page.since.is_none() != complete);
    }
}

impl Driver {
    /// Reads one page and goes through it to its checkpoint. What goes wrong on the way, a crash too, has the page read again (S21).
    pub(super) async fn page(&self, scope: &Scope, state: Loaded<ExternalSyncState>) -> Result<(), DriverError> {
        let mode = state.object.status.as_ref().and_then(|status| status.mode.clone());
        let driver = self.spending(purpose_of(mode.as_ref()));
        match Box::pin(driver.read_page(scope, state.clone())).await {
            Ok(()) => Ok(()),
            Err(error) => {
                let failed = error.failure().ok_or(error)?;
                self.interrupted(scope, state, &failed).await
            }
        }
    }

    async fn read_page(&self, scope: &Scope, mut state: Loaded<ExternalSyncState>) -> Result<(), DriverError> {
        let status = state.object.status.clone().unwrap_or_default();
        let complete = status.mode == Some(BackfillMode::Complete);
        let kind = state.object.spec.resource_kind.clone();
        let Some((_, _, operation)) = LISTS.iter().find(|(_, listed, _)| *listed == kind) else { return Ok(()) };
        let target = list_target(scope, &kind);
        let (progress_key, mut progress, revision) = self.progress(scope, &state.object).await?;
        let cursor = status.cursor.clone().map(Cursor);
        let mut call = Call::new(operation.clone(), &target);
        call.cursor = cursor.as_ref();
        call.page_size = scope.policy.backfill.page_size.and_then(|size| u16::try_from(size).ok());
        if !complete {
            let overlap = scope.policy.backfill.overlap.to_delta().unwrap_or_default();
            call.since = status.watermark.map(|watermark| watermark - overlap);
        }
        let known = self.known_page(scope, &progress, status.cursor.as_ref(), call.since).await?;
        let version = known.as_ref().map(Page::version);
        call.known = version.as_ref();
        let answer = self.call(scope, &call).await?;
        let decoded = self.decode(scope, &call, &answer);
        let run_id = progress.run_id.clone();
        let (objects, mut page) = match (decoded.result, known) {
            (Ok(Outcome::Page { objects, next, etag, more }), _) => {
                let next = next.map(|next| next.0);
                // Where the list goes on is told anew where that was the end of a full page, or led back.
                let may_ask = match &next {
                    Some(next) => {
                        let mut before = progress.of_this_run().map(|page| &page.cursor).chain([&status.cursor]);
                        !before.any(|cursor| cursor.as_ref() == Some(next))
                    }
                    None => !is_full(objects.len(), &call, scope),
                };
                let etag = etag.filter(|_| may_ask && is_conditional(&call, scope)).map(std::borrow::Cow::into_owned);
                (
                    objects,
                    Page {
                        run_id,
                        cursor: status.cursor.clone(),
                        since: call.since,
                        etag,
                        next,
                        more,
                        ..Page::default()
                    },
                )
            }
            // S25: it was seen, and all of it stands here.
            (Ok(Outcome::NotModified), Some(known)) => (Vec::new(), Page { run_id, ..known }),
            // Not an empty page: a complete backfill would bury everything.
            (Ok(_), _) => {
                return Err(ProviderError::new(ErrorClass::Decode, "the answer to a list is no page").into());
            }
            (Err(error), _) => return Err(error.into()),
        };
        let name = state.object.name().to_owned();
        let origin = Origin::Read { started_at: answer.started_at };
        let mut applied = 0_i64;
        for event in objects.iter().take(objects.len().saturating_sub(usize::from(made(Mistake::LastRowDropped)))) {
            let cause = Cause::Backfill { list: &name, run: &page.run_id };
            let mut outcome = self.apply(scope, event, origin, Shows::Backfill, cause).await?;
            if outcome == Applied::NeedsParent && !made(Mistake::ParentDropped) {
                // Each list is read on its own: what this is about may be on a page that comes later.
                outcome = self.apply_with_parent(scope, event, origin, Shows::Backfill, cause).await?;
            }
            if let (Applied::Hydrate, Normalized::PullRequest(pull)) = (&outcome, &event.normalized)
                && !self.is_linked(scope, event).await?
                && let Some(number) = pull.number
                && scope.interface(&Interface::GitForge).is_some()
            {
                self.read_numbered(scope, Kind::PullRequest, number).await?;
            }
            applied = applied.saturating_add(i64::from(matches!(outcome, Applied::Changed(_))));
            page.newest = page.newest.max(event.observed_version.updated_at);
            // A part of an object is listed as a whole by another list (S8).
            if event.complete {
                let (provider, kind, id) = (scope.provider(), &event.native_kind, &event.native_id);
                page.met.push(crate::object::link_name(scope.organization(), provider, kind, id)?);
            }
        }
        let count = i64::try_from(objects.len().max(page.met.len())).unwrap_or(i64::MAX);
        let next = page.next.clone();
        progress.take(page);
        let mut changes = Changes::at(self.clock.now());
        let resumed = status.phase.clone();
        if resumed == krate_model::kinds::external::ExternalSyncStatePhase::Listing {
            self.advance(scope, &mut state, Event::Listed { objects: count, calls: 1 }, &mut changes)?;
            self.advance(scope, &mut state, Event::Hydrated { calls: 0 }, &mut changes)?;
            self.advance(scope, &mut state, Event::Applied { objects: applied }, &mut changes)?;
        }
        if let Some(cursor) = next.filter(|_| !made(Mistake::FirstPageOnly)) {
            self.advance(scope, &mut state, Event::MorePages { cursor }, &mut changes)?;
            let seen = state.object.status.as_ref().map_or(0, |status| status.objects_seen);
            if is_enough(scope.policy.backfill.max_objects_per_run, seen, count) {
                let until = later(self.clock.now(), Policy::of(&scope.policy).backfill_interval);
                self.advance(scope, &mut state, Event::Postponed { until, error: None }, &mut changes)?;
            }
        } else {
            let complete = complete && !made(Mistake::DeletionIgnored);
            // The run isn't over while nobody can tell.
            let tombstones = if complete { self.bury_unmet(scope, &state.object, &progress).await? } else { 0 };
            let watermark = if made(Mistake::WatermarkAhead) { Some(self.clock.now()) } else { progress.newest() };
            self.advance(scope, &mut state, Event::Ended { watermark, tombstones }, &mut changes)?;
            progress.end(complete);
        }
        let body = serde_json::to_vec(&progress).unwrap_or_default();
        changes.put_private(progress_key, revision, body);
        changes.put(&state)?;
        changes.commit(self.store()).await?;
        if next_is_end(&state.object) {
            self.binding_synced(scope, &state.object).await?;
        }
        Ok(())
    }

    pub(super) async fn progress(
        &self,
        scope: &Scope,
        state: &ExternalSyncState,
    ) -> Result<(Key, Progress, Expect), DriverError> {
        let key = Key::new(Private::Cursor, scope.namespace(), state.name());
        let run_id = state.status.as_ref().and_then(|status| status.run_id.clone()).unwrap_or_default();
        let stored = self.store.get(&key).await?;
        let expect = stored.as_ref().map_or(Expect::Absent, |stored| Expect::At(stored.revision));
        let known = stored.and_then(|stored| serde_json::from_slice::<Progress>(&stored.body).ok());
        Ok((key, Progress { run_id, ..known.unwrap_or_default() }, expect))
    }

    /// The page that began there the last time, where it may be asked for by its tag (S25): everything that it showed stands here as it was shown.
    pub(super) async fn known_page(
        &self,
        scope: &Scope,
        progress: &Progress,
        cursor: Option<&String>,
        since: Option<Time>,
    ) -> Result<Option<Page>, DriverError> {
        let known = progress.pages.iter().find(|page| (page.cursor.as_ref(), page.since) == (cursor, since));
        let Some(known) = known.filter(|page| page.etag.is_some()) else { return Ok(None) };
        for name in &known.met {
            let link = records::get::<ExternalObjectLink>(self.store(), scope.namespace(), name).await?;
            let status = link.and_then(|link| link.object.status);
            let is_open = |status: ExternalObjectLinkStatus| {
                status.tombstone.is_some() || status.needs_hydration || status.observed_digest.is_none()
            };
            if status.is_none_or(is_open) {
                return Ok(None);
            }
        }
        Ok(Some(known.clone()))
    }

    /// S23: what a complete run didn't meet is gone, unless it was seen after the run began.
    async fn bury_unmet(
        &self,
        scope: &Scope,
        state: &ExternalSyncState,
        progress: &Progress,
    ) -> Result<i64, DriverError> {
        let started = state.status.as_ref().and_then(|status| status.started_at).unwrap_or(Time::UNIX_EPOCH);
        let kind = state.spec.resource_kind.as_str();
        let met = progress.met();
        let query = Query::new(Kind::ExternalObjectLink)
            .in_namespace(scope.namespace())
            .with(Index::Binding, scope.binding_name());
        let mut buried = 0_i64;
        for link in records::list::<ExternalObjectLink>(self.store(), query).await? {
            let Some(status) = &link.object.status else { continue };
            let seen = status.external.as_ref().and_then(|external| external.last_seen_at);
            let listed_here = link.object.spec.local_ref.kind == kind && is_listed(&link.object);
            if !listed_here
                || status.tombstone.is_some()
                || met.contains(link.object.name())
                || seen.is_none_or(|seen| seen >= started)
            {
                continue;
            }
            // Rows shift between two pages, and a page may lack one: only a read of the object itself tells that it isn't there (S24).
            if !made(Mistake::BuryUnasked) && self.is_there(scope, &link).await? {
                continue;
            }
            let now = self.clock.now();
            let mut object = ObjectState::load(self.store(), scope.namespace(), link.object.name()).await?;
            let Some(link) = &mut object.link else { continue };
            let seen = |link: &ExternalObjectLink| link.status.as_ref()?.external.as_ref()?.last_seen_at;
            if seen(&link.object).is_none_or(|seen| seen >= started) {
                continue;
            }
            let version = link
                .object
                .status
                .as_ref()
                .and_then(|status| status.external.as_ref())
                .map_or_else(Version::default, |external| external.version.clone());
            let status = link.change().status_mut();
            status.tombstone = Some(Tombstone { version, reason: TombstoneReason::Missing, at: now });
            status.phase = ExternalObjectLinkPhase::Tombstoned;
            if let Some(local) = &mut object.local {
                mark_deleted(local.change());
            }
            crate::observe::withdraw_unsent(&mut object, "the object is no longer at the provider", now)?;
            let draft = object.tell(scope, "ObjectMissing", controller(), now);
            object.audit.push(draft.reason("a complete backfill didn't meet it"));
            let mut changes = Changes::at(now);
            object.write(&mut changes)?;
            match changes.commit(self.store()).await {
                Ok(_) => buried = buried.saturating_add(1),
                // Somebody saw it just now: then it isn't gone.
                Err(error) if error.is_conflict() => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(buried)
    }

    /// Whether the provider has the object, as a read of it says; what the read shows is merged.
    async fn is_there(&self, scope: &Scope, link: &Loaded<ExternalObjectLink>) -> Result<bool, DriverError> {
        let status = link.object.status.as_ref();
        let number = status.and_then(|status| status.external.as_ref()).and_then(|external| external.native_number);
        let shown = match (Kind::lookup(&link.object.spec.local_ref.kind), number) {
            (Some(kind @ (Kind::Issue | Kind::PullRequest)), Some(number)) => {
                self.read_numbered(scope, kind, number).await?
            }
            (Some(Kind::Comment), _) => self.read_comment(scope, link).await?,
            // Nothing reads it but the list.
            _ => None,
        };
        Ok(shown.is_some())
    }

    async fn interrupted(
        &self,
        scope: &Scope,
        state: Loaded<ExternalSyncState>,
        error: &ProviderError,
    ) -> Result<(), DriverError> {
        let now = self.clock.now();
        let info = ErrorInfo {
            class: error.class.clone(),
            message: error.message.clone(),
            path: error.path.clone(),
            until: error.until,
            request_id: error.request_id.clone(),
            at: now,
        };
        let policy = Policy::of(&scope.policy);
        let event = match error.class {
            ErrorClass::RateLimited => {
                Event::Limited { until: error.until.unwrap_or(now + policy.max_delay).max(now + LIMIT_PAUSE) }
            }
            _ if error.is_retryable() => Event::Postponed {
                until: now + policy.backoff(self.seed, state.object.name(), 3).max(policy.base_delay),
                error: Some(info),
            },
            _ => Event::Failed { error: info },
        };
        self.step_state(scope, state, event).await.map(|_| ())
    }
}

/// What the calls of a run are for (S43): an incremental one shows what a lost webhook would have told.
pub(super) fn purpose_of(mode: Option<&BackfillMode>) -> Purpose {
    if mode == Some(&BackfillMode::Incremental) { Purpose::Repair } else { Purpose::Backfill }
}

/// What the calls of a list are about.
pub(super) fn list_target(scope: &Scope, kind: &ResourceKind) -> NativeTarget {
    NativeTarget {
        native_kind: kind.as_str().to_lowercase(),
        native_id: None,
        native_number: None,
        container: scope.container(),
    }
}

fn is_conditional(call: &Call<'_>, scope: &Scope) -> bool {
    scope.operation(&call.operation).is_some_and(|operation| operation.conditional)
}

/// Whether a page has as many rows as it may: if it is the last one, the next row changes nothing about it but that another page follows.
fn is_full(rows: usize, call: &Call<'_>, scope: &Scope) -> bool {
    let most = scope.operation(&call.operation).and_then(|operation| operation.max_page_size);
    let most = most.into_iter().chain(call.page_size.map(i64::from)).min();
    most.is_none_or(|most| i64::try_from(rows).is_ok_and(|rows| rows >= most))
}

fn next_is_end(state: &ExternalSyncState) -> bool {
    state
        .status
        .as_ref()
        .is_some_and(|status| status.phase == krate_model::kinds::external::ExternalSyncStatePhase::Succeeded)
}

/// Comments on lines of a diff aren't in the list of comments.
pub(super) fn is_listed(link: &ExternalObjectLink) -> bool {
    link.spec.external.native_kind != "pull_request_review_comment"
}

/// Whether a run that has seen `seen` objects, `more` of them on its newest page, waits an interval before it goes on: each time that the policy's bound is full.
fn is_enough(bound: Option<i64>, seen: i64, more: i64) -> bool {
    let Some(bound) = bound.filter(|bound| *bound > 0) else { return false };
    seen.div_euclid(bound) != seen.saturating_sub(more).div_euclid(bound)
}
