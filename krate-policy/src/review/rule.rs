//! Step 5 for a start by a rule: whether the rule takes the cause, as far as that is a question of who may start what (section 7; `match.actors` and `match.fork`
//! of resource-kinds.md section 4). Which refs, paths and labels it takes is the trigger's to find out (agents.md section 3).
//!
//! `only` makes no cause more trusted: what a fork's cause may have is P24's to say, and who is below `minLevel` stays below it.

use krate_model::ClosedSet;
use krate_model::kinds::external::ExternalBackendProvider;
use krate_model::kinds::members::{Team, UserState};
use krate_model::kinds::triggers::{ActorMatch, TriggerMatch};

use super::{Review, agents, cause};
use crate::pattern::{Domain, Filter, Selection};
use crate::reason::{Code, Reason};
use crate::trust::{Account, Cause, Level, Source, starter};

/// Says which of its match fields keep the rule from taking the cause; what can't be found out is a no (P11).
pub(super) fn takes(review: &mut Review<'_>, causes: &[Cause<'_>]) {
    let Some(rule) = review.agent.as_ref().and_then(|agent| agent.rule) else { return };
    if !agents::is_dispatch(review) {
        return;
    }
    let refusals: Vec<String> = refusals(review, &rule.spec.matches, causes).into_iter().flatten().collect();
    for text in refusals {
        review.say(Reason::new(Code::UntrustedCause, "causeChain", text).by(rule.version.name.clone()));
    }
}

fn refusals(review: &Review<'_>, matches: &TriggerMatch, causes: &[Cause<'_>]) -> [Option<String>; 5] {
    let (actors, fork) = (&matches.actors, &matches.fork);
    let account = starter(causes).and_then(|cause| cause.gate.account);
    let least = Level::ALL.into_iter().find(|level| level.as_str() == actors.min_level);
    let (is_fork, is_automation) = (review.trust.is_fork, is_automation(causes));
    let least_is_met = least.is_some_and(|least| review.trust.gate >= least);
    let comes = if is_fork { "comes from a fork" } else { "doesn't come from a fork" };
    let acted = if is_automation == Some(true) { "was started by a machine" } else { "wasn't started by a machine" };
    // A schedule is a machine's, too (P36), but a rule asks for it by its sources: only a word that nobody knows keeps it out.
    let takes_automation = is_automation.map_or(actors.automation.is_known(), |is| actors.automation.takes(is));
    [
        (!least_is_met).then(|| format!("was started by somebody below {}, which the rule asks for", actors.min_level)),
        (!fork.takes(is_fork)).then(|| format!("{comes}, and the rule's match.fork is {fork}")),
        (!takes_automation)
            .then(|| format!("{acted}, and the rule's match.actors.automation is {}", actors.automation)),
        (!selects(review, actors, account)).then(|| {
            "was started by somebody whom the rule's match.actors.include lacks, or whom its exclude holds".to_owned()
        }),
        (!is_in_team(review, actors, account))
            .then(|| "was started by somebody who is in none of the rule's match.actors.teams".to_owned()),
    ]
}

/// Whether the newest cause is a machine's (A52): what an agent, a sync or a memory did, what a run made, what one of krate's own accounts did. `None` for a
/// schedule.
fn is_automation(causes: &[Cause<'_>]) -> Option<bool> {
    let newest = causes.first().filter(|cause| cause.source != Source::Schedule)?;
    Some(newest.source == Source::Automation || newest.by_machine)
}

/// Whether krate itself acts by that account.
pub(super) fn is_krates(review: &Review<'_>, account: Account<'_>) -> bool {
    let provider = review.snapshot.get::<ExternalBackendProvider>(review.namespace, account.provider);
    let own = provider.as_ref().and_then(|provider| provider.status.as_ref()?.account.as_ref());
    own.is_some_and(|own| own.id == account.id)
}

/// Whether the account is among those that the rule includes, and not among those that it excludes: by the person that it is verified to be, else as
/// `ext:` and its id (R54). Who is excluded by either name is excluded.
fn selects(review: &Review<'_>, actors: &ActorMatch, account: Option<Account<'_>>) -> bool {
    if actors.include.is_empty() && actors.exclude.is_empty() {
        return true;
    }
    let Some(account) = account else { return false };
    let include = Some(actors.include.as_slice()).filter(|list| !list.is_empty());
    let Ok(filter) = Filter::new(include, &actors.exclude, Domain::Name) else { return false };
    let bare = format!("ext:{}", account.id);
    let person = cause::person_of(review, account.provider, account.id);
    let is_excluded = |name: &str| matches!(filter.select(name), Selection::Excluded(_));
    let is_included = |name: &str| matches!(filter.select(name), Selection::Included(_) | Selection::Unlisted);
    !is_excluded(&bare)
        && match person {
            Some(person) => !is_excluded(person) && is_included(person) && is_active(review, person),
            None => is_included(&bare),
        }
}

/// Whether the account is of somebody in one of the rule's teams; who isn't known to be anybody is in none.
fn is_in_team(review: &Review<'_>, actors: &ActorMatch, account: Option<Account<'_>>) -> bool {
    let person = account.and_then(|account| cause::person_of(review, account.provider, account.id));
    let is_member = |person: &str, team: &str| {
        let team = review.snapshot.get::<Team>(review.namespace, team);
        team.is_some_and(|team| team.spec.members.contains(person) || team.spec.maintainers.contains(person))
    };
    actors.teams.is_empty()
        || person
            .is_some_and(|person| is_active(review, person) && actors.teams.iter().any(|team| is_member(person, team)))
}

fn is_active(review: &Review<'_>, person: &str) -> bool {
    review.snapshot.user(review.namespace, person).is_some_and(|user| user.spec.state == UserState::Active)
}
