//! What reading a binding's lists will cost, and when it is done (S43).

use chrono::TimeDelta;
use krate_model::Resource;
use krate_model::kinds::external::{BackfillMode, ExternalSyncStateStatus, RateLimitStatus};
use krate_model::kinds::shared::Time;
use krate_model::observation::ResourceKind;
use serde::Serialize;

use super::backfills::LISTS;
use super::pages::purpose_of;
use super::{Driver, DriverError};
use crate::machines::backfill::is_running;
use crate::quota::Shares;

/// How long a page takes where none was read yet.
const A_PAGE: TimeDelta = TimeDelta::seconds(1);

/// What the lists of a binding cost.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct Forecast {
    /// The provider's budgets as last read, and its pause where it asked for one.
    pub budgets: Vec<RateLimitStatus>,
    /// Each list: the rest of its run, or its next complete one.
    pub lists: Vec<ListForecast>,
}

/// What one list costs.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct ListForecast {
    /// What is listed.
    pub kind: ResourceKind,
    /// How much the run reads.
    pub mode: BackfillMode,
    /// Whether it is running.
    pub running: bool,
    /// Calls that it takes from now on; not there where nobody can tell before its first page.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub calls: Option<i64>,
    /// How that is known.
    pub by: Basis,
    /// When it is done, if it goes on now, at the pace so far and within its share of the budgets.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub done_by: Option<Time>,
}

/// How the length of a list is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub enum Basis {
    /// The provider said how many pages follow.
    Provider,
    /// The last complete run had so many.
    LastRun,
    /// It isn't.
    Unknown,
}

impl Driver {
    /// What reading the lists of a binding will cost, and when it is done. Asks nothing of the provider.
    ///
    /// # Errors
    /// [`DriverError::NotFound`] without such a binding.
    pub async fn forecast(&self, namespace: &str, binding: &str) -> Result<Forecast, DriverError> {
        let now = self.clock.now();
        let config = self.config().await?;
        let scope = config
            .scope(namespace, binding)
            .ok_or_else(|| DriverError::NotFound { what: "binding", name: binding.to_owned() })?;
        let provider = &scope.backend.object;
        let ledger = self.with_ledger(provider.name(), |ledger| {
            ledger.recall(provider.status.as_ref().map_or(&[], |status| &status.rate_limits));
            ledger.clone()
        });
        let shares = Shares::of(provider.spec.rate_limit.as_ref());
        let mut lists = Vec::new();
        for state in self.states_of(scope).await? {
            let state = &state.object;
            let Some((_, _, operation)) = LISTS.iter().find(|(_, kind, _)| *kind == state.spec.resource_kind) else {
                continue;
            };
            let (_, progress, _) = self.progress(scope, state).await?;
            let (running, status) = (is_running(state), state.status.clone().unwrap_or_default());
            let mode = status.mode.clone().filter(|_| running).unwrap_or(BackfillMode::Complete);
            let whole = progress.whole();
            let (pages, by) = match (running, progress.more(), whole) {
                (true, Some(more), _) => (Some(more), Basis::Provider),
                (true, None, Some(whole)) if mode == BackfillMode::Complete => {
                    (Some(whole.saturating_sub(status.pages_read).max(1)), Basis::LastRun)
                }
                (false, _, Some(whole)) => (Some(whole), Basis::LastRun),
                _ => (None, Basis::Unknown),
            };
            let calls = pages.map(|pages| pages.saturating_mul(scope.cost(operation)));
            let done_by = pages.zip(calls).map(|(pages, calls)| {
                let pace = pace(&status, running, now).checked_mul(i32::try_from(pages).unwrap_or(i32::MAX));
                let each = pace.unwrap_or(TimeDelta::MAX) / i32::try_from(calls.max(1)).unwrap_or(i32::MAX);
                ledger.done_by(operation, calls, each, purpose_of(Some(&mode)), &shares, now)
            });
            lists.push(ListForecast { kind: state.spec.resource_kind.clone(), mode, running, calls, by, done_by });
        }
        Ok(Forecast { budgets: ledger.shown(), lists })
    }
}

/// How long a page of the list takes, by the run that is known last.
fn pace(status: &ExternalSyncStateStatus, running: bool, now: Time) -> TimeDelta {
    let end = if running { Some(now) } else { status.completed_at };
    let pages = i32::try_from(status.pages_read).unwrap_or(i32::MAX);
    match (status.started_at, end) {
        (Some(start), Some(end)) if pages > 0 && end > start => (end - start) / pages,
        _ => A_PAGE,
    }
}
