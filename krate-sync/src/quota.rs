//! Budgets at a provider: what is left of them, and for what it may be spent. Spec: external-sync.md S43, S44.
//!
//! A [`Ledger`] belongs to one provider object, and so to one account: it holds what the provider's answers told of its budgets, what calls on their way
//! will cost, and until when the provider asked for a pause. Every call is asked for first ([`Ledger::allow`]), with its cost and its [`Purpose`].
//!
//! Where several tenants share the account ([`Ledger::share_between`]), each has an equal share of a window. Below it, a tenant is only held back by the purposes; above
//! it, it gets what the others can't use any more if each of them spends its share evenly until the window ends. So one that asks for too much slows down before
//! the others notice (S46), and what they leave isn't lost.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use chrono::TimeDelta;
use krate_model::kinds::external::{ProviderRateLimit, RateLimitStatus};
use krate_model::kinds::sets::Operation;
use krate_model::kinds::shared::Time;
use krate_providers::contract::QuotaReading;

use crate::machines::later;

/// How far apart two readings of one window's end may be: the way of an answer takes its time, and windows end at whole seconds.
const SAME_WINDOW: TimeDelta = TimeDelta::seconds(10);
/// The window of `spec.rateLimit.maxPerHour`.
const HOUR: TimeDelta = TimeDelta::hours(1);
/// What a pause that the provider asked for is called in a status: it counts no calls.
const PAUSE: &str = "pause";
/// What the bound of `spec.rateLimit.maxPerHour` is called in a status.
const OWN: &str = "maxPerHour";

/// What a call is for, the most urgent first (S43).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum Purpose {
    /// A read that a webhook or a person waits for.
    #[default]
    Hydration,
    /// A write, the look before it and the read that confirms it.
    Write,
    /// An incremental list: it shows what a lost webhook would have told.
    Repair,
    /// A complete list, or a comparison.
    Backfill,
}

impl fmt::Display for Purpose {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Hydration => "hydration",
            Self::Write => "writes",
            Self::Repair => "repairs",
            Self::Backfill => "backfill",
        })
    }
}

/// Whose call it is, and what for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Caller<'t> {
    /// What for.
    pub purpose: Purpose,
    /// The namespace of the binding ([`Ledger::share_between`]).
    pub tenant: &'t str,
}

/// How a budget is shared between the purposes (S43): `spec.rateLimit` of the provider.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shares {
    reserve_percent: i64,
    write_floor_percent: i64,
    max_per_hour: Option<i64>,
}

impl Shares {
    /// The shares that a provider's spec asks for; its defaults, where it says nothing.
    pub fn of(spec: Option<&ProviderRateLimit>) -> Self {
        match spec {
            Some(spec) => Self {
                reserve_percent: spec.reserve_percent,
                write_floor_percent: spec.write_floor_percent,
                max_per_hour: spec.max_per_hour,
            },
            None => Self { reserve_percent: 10, write_floor_percent: 5, max_per_hour: None },
        }
    }

    /// What a purpose leaves of a budget of `limit`: complete lists the reserve, incremental ones half of what lies between it and the floor, other reads the
    /// floor, which belongs to writes.
    fn kept_from(&self, purpose: Purpose, limit: i64) -> i64 {
        let halves = match purpose {
            Purpose::Write => 0,
            Purpose::Hydration => self.write_floor_percent.saturating_mul(2),
            Purpose::Repair => self.write_floor_percent.saturating_add(self.reserve_percent),
            Purpose::Backfill => self.reserve_percent.saturating_mul(2),
        };
        limit.saturating_mul(halves.clamp(0, 200)) / 200
    }
}

/// One budget.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Budget {
    limit: i64,
    /// What is left, by the newest reading of this window.
    remaining: i64,
    reset_at: Time,
    /// What calls cost that are on their way.
    promised: i64,
    /// What each tenant's calls have cost in this window.
    spent: BTreeMap<String, i64>,
}

impl Budget {
    fn new(limit: i64, remaining: i64, reset_at: Time) -> Self {
        Self { limit, remaining, reset_at, promised: 0, spent: BTreeMap::new() }
    }

    fn is_over(&self, now: Time) -> bool {
        self.reset_at <= now
    }

    fn left(&self) -> i64 {
        self.remaining.saturating_sub(self.promised)
    }

    fn spent(&self, tenant: &str) -> i64 {
        self.spent.get(tenant).copied().unwrap_or(0)
    }

    fn spend(&mut self, tenant: &str, cost: i64) {
        match self.spent.get_mut(tenant) {
            Some(spent) => *spent = spent.saturating_add(cost),
            None => {
                self.spent.insert(tenant.to_owned(), cost);
            }
        }
    }

    /// What a call of `tenant` has to leave to the others, where it would take more than that: how much it is, and when it will be that much less.
    fn kept_for_others(&self, tenant: &str, cost: i64, tenants: &BTreeSet<String>, now: Time) -> Option<(i64, Time)> {
        let count = i64::try_from(tenants.len()).unwrap_or(i64::MAX);
        if count < 2 || !tenants.contains(tenant) {
            return None;
        }
        // What others than these have spent of the account is nobody's share.
        let all = tenants.iter().fold(self.left(), |all, tenant| all.saturating_add(self.spent(tenant)));
        let share = all / count;
        if self.spent(tenant).saturating_add(cost) <= share {
            return None;
        }
        let whole = HOUR.num_seconds();
        let to_come = (self.reset_at - now).num_seconds().clamp(0, whole);
        // Rounded up: nobody lacks its last call.
        let evenly = share.saturating_mul(to_come).saturating_add(whole - 1) / whole;
        let kept = tenants.iter().filter(|other| *other != tenant).fold(0_i64, |kept, other| {
            kept.saturating_add(share.saturating_sub(self.spent(other)).clamp(0, evenly.max(0)))
        });
        let lacking = kept.saturating_sub(self.left().saturating_sub(cost));
        if lacking <= 0 {
            return None;
        }
        // The others' shares shrink with the time that is left.
        let an_hour = share.saturating_mul(count.saturating_sub(1)).max(1);
        let wait = TimeDelta::try_seconds(lacking.saturating_mul(whole) / an_hour).unwrap_or(HOUR);
        Some((kept, later(now, wait).min(self.reset_at)))
    }
}

/// Why a call has to wait.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Denied {
    /// The provider asked for a pause.
    Paused {
        /// Its end.
        until: Time,
    },
    /// What is left of the budget is kept for something more urgent.
    Kept {
        /// The budget.
        budget: String,
        /// What is left, without what is on its way.
        left: i64,
        /// Of how many.
        limit: i64,
        /// What the call is for.
        purpose: Purpose,
        /// What is kept from that.
        kept: i64,
        /// The end of the window.
        until: Time,
    },
    /// The tenant has spent its share, and what is left of the budget is the others' share.
    Shared {
        /// The budget.
        budget: String,
        /// What is left, without what is on its way.
        left: i64,
        /// Of how many.
        limit: i64,
        /// What is kept for the others.
        kept: i64,
        /// When that will be less.
        until: Time,
    },
}

impl Denied {
    /// When to ask again.
    pub fn until(&self) -> Time {
        match self {
            Self::Paused { until } | Self::Kept { until, .. } | Self::Shared { until, .. } => *until,
        }
    }
}

impl fmt::Display for Denied {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Paused { .. } => f.write_str("the provider asked for a pause"),
            Self::Kept { budget, left, limit, purpose, kept, .. } => {
                write!(f, "{left} of {limit} are left of the budget {budget}, and {kept} of it are kept from {purpose}")
            }
            Self::Shared { budget, left, limit, kept, .. } => {
                write!(
                    f,
                    "{left} of {limit} are left of the budget {budget}, and {kept} of it are kept for the organizations \
                     that share it"
                )
            }
        }
    }
}

/// What is known about a provider's budgets.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Ledger {
    budgets: BTreeMap<String, Budget>,
    /// Which budget an operation is paid from, as its last answer said.
    paid_from: BTreeMap<Operation, String>,
    paused_until: Option<Time>,
    /// Who shares the account.
    tenants: BTreeSet<String>,
}

impl Ledger {
    /// Takes in who shares the account: the namespaces of the bindings that use it.
    pub fn share_between<'t>(&mut self, tenants: impl Iterator<Item = &'t str> + Clone) {
        if !self.tenants.iter().map(String::as_str).eq(tenants.clone()) {
            self.tenants = tenants.map(str::to_owned).collect();
        }
    }

    /// Whether a call may be sent now.
    ///
    /// Where no answer has told of a budget yet, or its window is over, nothing is known that speaks against it.
    ///
    /// # Errors
    /// [`Denied`] says what it has to wait for.
    pub fn allow(
        &self,
        operation: &Operation,
        cost: i64,
        caller: Caller<'_>,
        shares: &Shares,
        now: Time,
    ) -> Result<(), Denied> {
        if let Some(until) = self.paused_until.filter(|until| *until > now) {
            return Err(Denied::Paused { until });
        }
        let paid_from = self.paid_from.get(operation).map(String::as_str);
        let own = shares.max_per_hour.map(|_| OWN);
        for name in paid_from.into_iter().chain(own) {
            let Some(budget) = self.budgets.get(name).filter(|budget| !budget.is_over(now)) else { continue };
            let (left, limit) = (budget.left(), budget.limit);
            let kept = shares.kept_from(caller.purpose, limit);
            if left.saturating_sub(cost) < kept {
                let (budget, purpose, until) = (name.to_owned(), caller.purpose, budget.reset_at);
                return Err(Denied::Kept { budget, left, limit, purpose, kept, until });
            }
            if let Some((kept, until)) = budget.kept_for_others(caller.tenant, cost, &self.tenants, now) {
                return Err(Denied::Shared { budget: name.to_owned(), left, limit, kept, until });
            }
        }
        Ok(())
    }

    /// A call is on its way. Answers which budget it was promised from, for [`Ledger::settle`].
    pub fn promise(
        &mut self,
        operation: &Operation,
        cost: i64,
        caller: Caller<'_>,
        shares: &Shares,
        now: Time,
    ) -> Option<String> {
        if let Some(max) = shares.max_per_hour {
            let fresh = || Budget::new(max, max, later(now, HOUR));
            let own = self.budgets.entry(OWN.to_owned()).or_insert_with(fresh);
            if own.is_over(now) {
                *own = fresh();
            }
            // Whoever changes the bound doesn't start over.
            own.remaining = own.remaining.saturating_add(max).saturating_sub(own.limit).saturating_sub(cost);
            own.limit = max;
            own.spend(caller.tenant, cost);
        }
        let name = self.paid_from.get(operation)?;
        let budget = self.budgets.get_mut(name)?;
        budget.promised = budget.promised.saturating_add(cost);
        budget.spend(caller.tenant, cost);
        Some(name.clone())
    }

    /// The call's answer was read, or there was none.
    pub fn settle(&mut self, budget: &str, cost: i64) {
        if let Some(budget) = self.budgets.get_mut(budget) {
            budget.promised = budget.promised.saturating_sub(cost).max(0);
        }
    }

    /// Takes in what an answer to `operation` told of its budget.
    pub fn read(&mut self, operation: &Operation, reading: &QuotaReading) {
        let count = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
        if self.paid_from.get(operation) != Some(&reading.scope) {
            self.paid_from.insert(operation.clone(), reading.scope.clone());
        }
        self.take(&reading.scope, count(reading.limit), count(reading.remaining), reading.reset_at);
    }

    /// Answers may come in another order than they were given: within a window what is left only shrinks, and a window that is over doesn't come back.
    fn take(&mut self, name: &str, limit: i64, remaining: i64, reset_at: Time) {
        match self.budgets.get_mut(name) {
            None => {
                self.budgets.insert(name.to_owned(), Budget::new(limit, remaining, reset_at));
            }
            // Another limit is another account's, or another plan.
            Some(known) if known.limit != limit || reset_at - known.reset_at > SAME_WINDOW => {
                *known = Budget { promised: known.promised, ..Budget::new(limit, remaining, reset_at) };
            }
            Some(known) if known.reset_at - reset_at <= SAME_WINDOW => {
                known.remaining = known.remaining.min(remaining);
            }
            Some(_) => {}
        }
    }

    /// How many calls a window has for an operation, where that was told.
    pub fn limit(&self, operation: &Operation) -> Option<i64> {
        Some(self.budgets.get(self.paid_from.get(operation)?)?.limit)
    }

    /// Whether the budget that an operation is paid from is known to be spent: then a refusal is no news.
    pub(crate) fn is_spent(&self, operation: &Operation, now: Time) -> bool {
        let budget = self.paid_from.get(operation).and_then(|name| self.budgets.get(name));
        budget.is_some_and(|budget| !budget.is_over(now) && budget.remaining <= 0)
    }

    /// The provider asked for a pause (S44).
    pub fn pause(&mut self, until: Time) {
        self.paused_until = self.paused_until.max(Some(until));
    }

    /// Takes in what a status tells: what was known before a restart, or what another process knows.
    pub fn recall(&mut self, status: &[RateLimitStatus]) {
        for known in status {
            match known.scope.as_str() {
                PAUSE => self.pause(known.reset_at),
                name => self.take(name, known.limit, known.remaining, known.reset_at),
            }
        }
    }

    /// What a status shows of it.
    pub fn shown(&self) -> Vec<RateLimitStatus> {
        let budgets = self.budgets.iter().map(|(name, budget)| RateLimitStatus {
            scope: name.clone(),
            limit: budget.limit,
            remaining: budget.remaining.max(0),
            reset_at: budget.reset_at,
        });
        let pause = self.paused_until.map(|reset_at| RateLimitStatus {
            scope: PAUSE.to_owned(),
            limit: 0,
            remaining: 0,
            reset_at,
        });
        budgets.chain(pause).collect()
    }

    /// Until when the provider lets nothing through, where that is so: it asked for a pause, or a budget is spent.
    pub fn limited_until(&self, now: Time) -> Option<Time> {
        let spent = self.budgets.values().filter(|budget| budget.remaining <= 0).map(|budget| budget.reset_at);
        spent.chain(self.paused_until).filter(|until| *until > now).max()
    }

    /// When `calls` of `operation` are done, at `pace` each and as the budgets allow: what is over the share of `purpose` waits for the next windows.
    pub fn done_by(
        &self,
        operation: &Operation,
        calls: i64,
        pace: TimeDelta,
        purpose: Purpose,
        shares: &Shares,
        now: Time,
    ) -> Time {
        let start = self.paused_until.filter(|until| *until > now).unwrap_or(now);
        let work = i32::try_from(calls).ok().and_then(|calls| pace.checked_mul(calls)).unwrap_or(TimeDelta::MAX);
        let paid_from = self.paid_from.get(operation).map(String::as_str);
        let own = shares.max_per_hour.map(|_| OWN);
        let mut end = later(start, work);
        for budget in paid_from.into_iter().chain(own).filter_map(|name| self.budgets.get(name)) {
            let kept = shares.kept_from(purpose, budget.limit);
            let now_left = if budget.is_over(now) { budget.limit } else { budget.remaining };
            let over = calls.saturating_sub(now_left.saturating_sub(kept).max(0));
            if over <= 0 {
                continue;
            }
            let a_window = budget.limit.saturating_sub(kept).max(1);
            // Each window before the last is waited for whole; the last one takes its calls at their pace.
            let windows = over.saturating_sub(1) / a_window;
            let rest = over.saturating_sub(windows.saturating_mul(a_window));
            let waited = i32::try_from(windows).ok().and_then(|windows| HOUR.checked_mul(windows));
            let last = i32::try_from(rest).ok().and_then(|rest| pace.checked_mul(rest));
            let opens = budget.reset_at.max(now);
            let done = waited.zip(last).map_or(Time::MAX_UTC, |(waited, last)| later(later(opens, waited), last));
            end = end.max(done);
        }
        end
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SHARES: Shares = Shares { reserve_percent: 10, write_floor_percent: 4, max_per_hour: None };
    const ACME: &str = "krate-org-acme";
    const ALL: [Purpose; 4] = [Purpose::Write, Purpose::Hydration, Purpose::Repair, Purpose::Backfill];

    fn call(purpose: Purpose, tenant: &str) -> Caller<'_> {
        Caller { purpose, tenant }
    }

    fn at(seconds: i64) -> Time {
        Time::UNIX_EPOCH + TimeDelta::seconds(seconds)
    }

    fn reading(limit: u64, remaining: u64, reset: i64) -> QuotaReading {
        QuotaReading::new("core", limit, remaining, at(reset))
    }

    /// A ledger that knows of `remaining` of 1000 until the hour is over.
    fn with(remaining: u64) -> Ledger {
        let mut ledger = Ledger::default();
        ledger.read(&Operation::ListIssues, &reading(1000, remaining, 3600));
        ledger
    }

    fn allowed(ledger: &Ledger, purpose: Purpose, now: i64) -> bool {
        ledger.allow(&Operation::ListIssues, 1, call(purpose, ACME), &SHARES, at(now)).is_ok()
    }

    #[test]
    fn s43_below_the_reserve_backfill_stops_first_then_repairs_then_reads_and_writes_keep_the_floor() {
        let who = |remaining| ALL.into_iter().filter(|purpose| allowed(&with(remaining), *purpose, 0)).collect();
        let cases: [(u64, &[Purpose]); 9] = [
            (101, &ALL),
            (100, &ALL[..3]),
            (71, &ALL[..3]),
            (70, &ALL[..2]),
            (41, &ALL[..2]),
            (40, &ALL[..1]),
            (1, &ALL[..1]),
            (0, &[]),
            (1000, &ALL),
        ];
        for (remaining, expected) in cases {
            let found: Vec<Purpose> = who(remaining);
            assert_eq!(found, expected, "with {remaining} left");
        }
    }

    #[test]
    fn s43_a_refusal_says_what_is_left_and_until_when() {
        let denied =
            with(100).allow(&Operation::ListIssues, 1, call(Purpose::Backfill, ACME), &SHARES, at(0)).unwrap_err();
        assert_eq!(denied.until(), at(3600));
        let text = denied.to_string();
        assert_eq!(text, "100 of 1000 are left of the budget core, and 100 of it are kept from backfill");
    }

    #[test]
    fn s43_calls_on_their_way_count_until_their_answer_was_read() {
        let mut ledger = with(102);
        let promised = ledger.promise(&Operation::ListIssues, 1, call(Purpose::Write, ACME), &SHARES, at(0)).unwrap();
        assert!(allowed(&ledger, Purpose::Backfill, 0));
        ledger.promise(&Operation::ListIssues, 1, call(Purpose::Write, ACME), &SHARES, at(0)).unwrap();
        assert!(
            !allowed(&ledger, Purpose::Backfill, 0),
            "two are on their way, and the third would go into the reserve"
        );
        ledger.settle(&promised, 1);
        assert!(allowed(&ledger, Purpose::Backfill, 0), "one ended without a reading");
        ledger.settle(&promised, 1);
        ledger.settle(&promised, 1);
        assert_eq!(ledger.budgets["core"].promised, 0, "never less than nothing");
    }

    #[test]
    fn s43_a_window_that_is_over_holds_nothing_back() {
        assert!(!allowed(&with(0), Purpose::Write, 3599));
        assert!(allowed(&with(0), Purpose::Backfill, 3600));
        let mut ledger = with(0);
        ledger.read(&Operation::ListIssues, &reading(1000, 999, 7200));
        assert!(allowed(&ledger, Purpose::Backfill, 3600));
        ledger.read(&Operation::ListIssues, &reading(1000, 0, 3600));
        assert!(allowed(&ledger, Purpose::Backfill, 3600), "a late answer of the window before says nothing");
    }

    #[test]
    fn s43_an_operation_is_paid_from_the_budget_that_its_own_answer_named() {
        let mut ledger = with(0);
        let other = |ledger: &Ledger| ledger.allow(&Operation::GetIssue, 1, call(Purpose::Write, ACME), &SHARES, at(0));
        assert_eq!(other(&ledger), Ok(()), "nobody knows what it is paid from");
        ledger.read(&Operation::GetIssue, &QuotaReading::new("search", 30, 30, at(60)));
        assert_eq!(other(&ledger), Ok(()));
        ledger.read(&Operation::GetIssue, &QuotaReading::new("search", 30, 0, at(60)));
        assert!(other(&ledger).is_err());
    }

    #[test]
    fn s43_the_own_bound_is_a_budget_too() {
        let shares = Shares { max_per_hour: Some(100), ..SHARES };
        let mut ledger = Ledger::default();
        let ask = |ledger: &Ledger, purpose, now| {
            ledger.allow(&Operation::ListIssues, 1, call(purpose, ACME), &shares, at(now))
        };
        for _ in 0..90 {
            ask(&ledger, Purpose::Backfill, 0).unwrap();
            ledger.promise(&Operation::ListIssues, 1, call(Purpose::Write, ACME), &shares, at(0));
        }
        assert!(ask(&ledger, Purpose::Backfill, 0).unwrap_err().to_string().contains("10 of 100 are left"));
        assert_eq!(ask(&ledger, Purpose::Write, 0), Ok(()));
        assert_eq!(ask(&ledger, Purpose::Backfill, 3600), Ok(()));
        // Whoever lowers it doesn't start over.
        let lower = Shares { max_per_hour: Some(91), ..shares };
        ledger.promise(&Operation::ListIssues, 1, call(Purpose::Write, ACME), &lower, at(1));
        assert!(ledger.allow(&Operation::ListIssues, 1, call(Purpose::Write, ACME), &lower, at(1)).is_err());
    }

    #[test]
    fn s44_a_pause_stops_everything_until_it_ends_and_survives_a_restart() {
        let mut ledger = with(900);
        ledger.pause(at(60));
        ledger.pause(at(30));
        assert!(ALL.into_iter().all(|purpose| !allowed(&ledger, purpose, 59)));
        assert!(ALL.into_iter().all(|purpose| allowed(&ledger, purpose, 60)));
        assert_eq!((ledger.limited_until(at(0)), ledger.limited_until(at(60))), (Some(at(60)), None));
        let mut restarted = Ledger::default();
        restarted.recall(&ledger.shown());
        assert!(!allowed(&restarted, Purpose::Write, 59));
        assert_eq!(restarted.shown(), ledger.shown());
        assert_eq!(with(0).limited_until(at(0)), Some(at(3600)), "a spent budget is a limit, too");
    }

    #[test]
    fn s44_a_budget_is_spent_by_what_is_known_of_its_own_window_and_by_no_pause() {
        let spent = |ledger: &Ledger, now| ledger.is_spent(&Operation::ListIssues, at(now));
        assert!(spent(&with(0), 3599) && !spent(&with(0), 3600) && !spent(&with(1), 0));
        assert!(!with(0).is_spent(&Operation::GetIssue, at(0)), "nobody knows what that is paid from");
        // A longer pause is taken in while a shorter one lasts; and a reading that looks like one of a window before shows nothing.
        let mut ledger = with(1);
        ledger.pause(at(60));
        ledger.read(&Operation::ListIssues, &reading(1000, 0, 3300));
        assert!(!spent(&ledger, 0));
    }

    #[test]
    fn s43_a_backfill_that_is_more_than_its_share_ends_in_a_later_window() {
        let done = |remaining, calls| {
            let ledger = with(remaining);
            ledger.done_by(&Operation::ListIssues, calls, TimeDelta::seconds(1), Purpose::Backfill, &SHARES, at(0))
        };
        assert_eq!(done(1000, 900), at(900));
        assert_eq!(done(1000, 901), at(3601), "one of them waits for the next window");
        assert_eq!(done(1000, 900 + 900), at(3600 + 900));
        assert_eq!(done(1000, 900 + 901), at(7200 + 1));
        assert_eq!(done(0, 10), at(3610));
        assert_eq!(done(1000, 0), at(0));
        assert_eq!(done(1000, i64::MAX), Time::MAX_UTC);
    }

    /// A ledger that knows of `remaining` of 1000 until the hour is over, and who shares them.
    fn between(remaining: u64, tenants: &[&str]) -> Ledger {
        let mut ledger = with(remaining);
        ledger.share_between(tenants.iter().copied());
        ledger
    }

    /// Whether a write of `tenant` may go; where it may, it does.
    fn spends(ledger: &mut Ledger, tenant: &str, now: i64) -> bool {
        let list = Operation::ListIssues;
        let may = ledger.allow(&list, 1, call(Purpose::Write, tenant), &SHARES, at(now)).is_ok();
        if may {
            ledger.promise(&list, 1, call(Purpose::Write, tenant), &SHARES, at(now));
        }
        may
    }

    #[test]
    fn s46_one_tenant_gets_its_share_at_once_and_more_only_as_the_others_can_no_longer_use_it() {
        let mut ledger = between(1000, &["a", "b", "c", "d"]);
        let spent = |ledger: &mut Ledger, now| (0..2000).take_while(|_| spends(ledger, "a", now)).count();
        assert_eq!(spent(&mut ledger, 0), 250);
        let denied = ledger.allow(&Operation::ListIssues, 1, call(Purpose::Write, "a"), &SHARES, at(0)).unwrap_err();
        assert_eq!(denied.until(), at(4), "three others leave 750 an hour");
        let told =
            "750 of 1000 are left of the budget core, and 750 of it are kept for the organizations that share it";
        assert_eq!(denied.to_string(), told);
        assert!(spends(&mut ledger, "b", 0), "nobody below its share notices");
        assert_eq!(
            spent(&mut ledger, 1800),
            374,
            "half of what the others would have spent by then, less what one did"
        );
        assert_eq!(spent(&mut ledger, 3599), 372, "in the end each of the others keeps a call");
    }

    #[test]
    fn s46_a_budget_of_one_tenant_is_all_its_own_and_what_strangers_spent_is_nobodys_share() {
        let mut alone = between(1000, &["a"]);
        assert_eq!((0..2000).take_while(|_| spends(&mut alone, "a", 0)).count(), 1000);
        // 960 were spent by somebody else, or before a restart: what is left is shared, and nobody waits for ever.
        let mut ledger = between(40, &["a", "b"]);
        assert_eq!((0..2000).take_while(|_| spends(&mut ledger, "a", 0)).count(), 20);
        assert_eq!((0..2000).take_while(|_| spends(&mut ledger, "b", 0)).count(), 20);
        ledger.read(&Operation::ListIssues, &reading(1000, 1000, 7200));
        assert_eq!((0..2000).take_while(|_| spends(&mut ledger, "a", 3600)).count(), 480, "20 are on their way, still");
    }

    proptest! {
        /// Whoever spends its share evenly is never held back, whatever the others take.
        #[test]
        fn s46_no_neighbour_takes_what_a_tenant_can_still_use(
            tenants in 2usize..12, limit in 100u64..5000, greed in prop::collection::vec(0usize..400, 60),
        ) {
            let names: Vec<String> = (0..tenants).map(|number| format!("tenant-{number:02}")).collect();
            let mut ledger = Ledger::default();
            ledger.share_between(names.iter().map(String::as_str));
            ledger.read(&Operation::ListIssues, &reading(limit, limit, 3600));
            let share = usize::try_from(limit).unwrap() / tenants;
            let mut steady = 0;
            for (minute, greed) in greed.into_iter().enumerate() {
                let now = i64::try_from(minute).unwrap() * 60;
                for _ in 0..greed {
                    spends(&mut ledger, &names[0], now);
                }
                // The first of them is greedy, and all the others spend their shares by the end of the hour.
                while steady < share * (minute + 1) / 60 {
                    for name in &names[1..] {
                        prop_assert!(spends(&mut ledger, name, now), "{name} in minute {minute}");
                    }
                    steady += 1;
                }
            }
        }

        /// However answers overtake each other, the ledger knows the least that was told of the newest window.
        #[test]
        fn s43_the_order_of_answers_does_not_matter(
            told in prop::collection::vec((0u64..1000, 0i64..3), 1..20),
            seed in any::<u64>(),
        ) {
            let take = |told: &[(u64, i64)]| {
                let mut ledger = Ledger::default();
                for (remaining, window) in told {
                    ledger.read(&Operation::ListIssues, &reading(1000, *remaining, 3600 * (window + 1)));
                }
                ledger
            };
            let mut shuffled = told.clone();
            let mut state = seed;
            shuffled.sort_by_key(|_| { state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1); state >> 33 });
            prop_assert_eq!(take(&told), take(&shuffled));
        }

        /// Nothing goes below what is kept from its purpose, whatever is on its way; and what may be done for something less urgent may be done for writes.
        #[test]
        fn s43_no_purpose_spends_what_is_kept_from_it(
            limit in 1u64..10_000, remaining in 0u64..10_000, calls in 1usize..200, cost in 1i64..5,
            reserve in 0i64..=90, floor in 0i64..=50,
        ) {
            let shares = Shares { reserve_percent: reserve.max(floor), write_floor_percent: floor, max_per_hour: None };
            for purpose in ALL {
                let mut ledger = Ledger::default();
                ledger.read(&Operation::ListIssues, &reading(limit, remaining.min(limit), 3600));
                let mut spent = 0i64;
                for _ in 0..calls {
                    if ledger.allow(&Operation::ListIssues, cost, call(purpose, ACME), &shares, at(0)).is_ok() {
                        prop_assert!(ledger.allow(&Operation::ListIssues, cost, call(Purpose::Write, ACME), &shares, at(0)).is_ok());
                        ledger.promise(&Operation::ListIssues, cost, call(Purpose::Write, ACME), &shares, at(0));
                        spent += cost;
                    }
                }
                let left = i64::try_from(remaining.min(limit)).unwrap() - spent;
                prop_assert!(spent == 0 || left >= shares.kept_from(purpose, i64::try_from(limit).unwrap()));
            }
        }
    }
}
