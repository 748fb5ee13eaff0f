//! Step 8: what the subject may spend, how much at once, and how often.

use krate_model::kinds::enforcement::{BudgetScope, PolicyProfile};

use super::{Review, agents};
use crate::reason::{Code, Reason};
use crate::request::Usage;
use crate::snapshot::Known;

pub(super) fn step(review: &mut Review<'_>) {
    let Some(agent) = &review.agent else { return };
    let usage = review.request.usage.clone().unwrap_or_default();
    let (budget, rule) = (&agent.stack.spec.budgets, agent.rule);
    let least = |own: Option<i64>, of_rule: Option<i64>| {
        own.into_iter().chain(of_rule).map(|most| u64::try_from(most).unwrap_or(0)).min()
    };
    let of_rule = rule.map(|rule| &rule.object.spec.budgets);
    let cost = least(budget.max_cost_micros, of_rule.and_then(|budget| budget.max_cost_micros));
    let tokens = least(budget.max_tokens, of_rule.and_then(|budget| budget.max_tokens));
    // What is asked for has to fit beside what is spent; with nothing asked, something has to be left.
    let over =
        |most: Option<u64>, spent: u64, asked: u64| most.is_some_and(|most| spent.saturating_add(asked.max(1)) > most);
    let over_budget =
        over(cost, usage.cost_micros, usage.asked_cost_micros) || over(tokens, usage.tokens, usage.asked_tokens);
    let most = u64::try_from(agent.stack.spec.max_concurrent_runs).unwrap_or(0);
    let too_many = agents::is_dispatch(review) && usage.concurrent_runs >= most;
    let limit = rule.and_then(|rule| rule.object.spec.rate_limit.as_ref());
    let too_often = agents::is_dispatch(review)
        && limit.is_some_and(|limit| usage.runs_of_rule >= u64::try_from(limit.max).unwrap_or(0));
    if over_budget {
        review.deny(Code::BudgetExceeded, "usage", "nothing of the budget is left for it");
    }
    if too_many {
        review.deny(Code::ConcurrencyExceeded, "usage.concurrentRuns", "the stack has as many runs open as it may");
    }
    if too_often {
        review.deny(Code::RateLimited, "usage.runsOfRule", "the rule has started as many runs as it may in this time");
    }
    if let Some(profile) = super::profile(review) {
        of_day(review, profile, &usage);
    }
}

/// The budgets that the organization has for a day, of each scope that the request is in.
fn of_day(review: &mut Review<'_>, profile: Known<'_, PolicyProfile>, usage: &Usage) {
    let by_rule = review.agent.as_ref().is_some_and(|agent| agent.rule.is_some());
    let (starts, request) = (agents::is_dispatch(review), review.request);
    let over = |most: Option<i64>, used: u64, asked: u64| {
        most.is_some_and(|most| used.saturating_add(asked.max(1)) > u64::try_from(most).unwrap_or(0))
    };
    for budget in &profile.object.spec.budgets {
        let is_in = match budget.scope {
            BudgetScope::Rule => by_rule,
            BudgetScope::Repository => request.repository.is_some(),
            _ => true,
        };
        if !is_in {
            continue;
        }
        review.used(profile.version, None);
        let text = match usage.today.iter().find(|used| used.scope == budget.scope) {
            None => "isn't told, and counts as used up",
            Some(used)
                if over(budget.cost_micros_per_day, used.cost_micros, usage.asked_cost_micros)
                    || over(budget.tokens_per_day, used.tokens, usage.asked_tokens)
                    || starts && over(budget.runs_per_day, used.runs, 1) =>
            {
                "leaves nothing for it"
            }
            Some(_) => continue,
        };
        let text = format!("what was used today of the budget of the {} {text}", budget.scope);
        review.say(Reason::new(Code::BudgetExceeded, "usage.today", text).by(profile.version.name.clone()));
    }
}
