//! Whatever webhooks come, in whatever order and however often: a projection never goes back, and nothing that was deleted comes back (S15 to S18).

use chrono::{DateTime, TimeDelta, Utc};
use http::HeaderValue;
use krate_model::Resource;
use krate_model::kinds::work::Issue;
use krate_providers::simulator::{Delivery, Faults, IssueEdit, NewIssue};
use krate_tests::world::{REPOSITORY, World, start};
use proptest::prelude::*;

/// A history of one issue, and what came of its webhooks.
#[derive(Debug, Clone)]
struct Plan {
    /// Seconds between each edit and the one before: GitHub's clock shows whole ones.
    gaps: Vec<i64>,
    /// Whether it is deleted in the end, and how long after.
    deleted: Option<i64>,
    /// Which webhook comes next: one of those that were sent, some never, some again and again.
    arrivals: Vec<prop::sample::Index>,
}

fn plans() -> impl Strategy<Value = Plan> {
    let gaps = prop::collection::vec(0..3i64, 1..6);
    let arrivals = prop::collection::vec(any::<prop::sample::Index>(), 1..12);
    (gaps, prop::option::of(0..3i64), arrivals).prop_map(|(gaps, deleted, arrivals)| Plan { gaps, deleted, arrivals })
}

/// What is shown: the title with the provider's time of it; nothing where it counts as deleted or isn't known.
fn shown(world: &World) -> Option<(String, DateTime<Utc>)> {
    let issue = world.all::<Issue>().pop().filter(|issue| issue.phase() != "Deleted")?;
    let external = issue.status.as_ref()?.external.clone()?;
    Some((issue.spec.title, external.version.updated_at?))
}

/// Each title with the second of its edit, and the second of the deletion.
type History = (Vec<(String, DateTime<Utc>)>, Option<DateTime<Utc>>);

/// A world in which the history has happened, and the webhooks that were sent about it.
fn happened(plan: &Plan) -> (World, History, Vec<Delivery>) {
    let world = World::new(1, Faults::none(), "bidirectional");
    world.settle().expect("quiet");
    let mut at = start() + TimeDelta::seconds(5);
    let mut titles = vec![("Edit 0".to_owned(), at)];
    let mut network = world.forge();
    network.forge.by("ada", at).open_issue(REPOSITORY, NewIssue::titled("Edit 0")).expect("opened");
    for (count, gap) in plan.gaps.iter().enumerate() {
        at += TimeDelta::seconds(*gap);
        let title = format!("Edit {}", count + 1);
        let edit = IssueEdit { title: Some(title.clone()), ..IssueEdit::default() };
        network.forge.by("ada", at).edit_issue(REPOSITORY, 1, edit).expect("edited");
        titles.push((title, at));
    }
    let deleted = plan.deleted.map(|gap| at + TimeDelta::seconds(gap));
    if let Some(at) = deleted {
        network.forge.by("ada", at).delete_issue(REPOSITORY, 1).expect("deleted");
    }
    let sent = network.forge.take_deliveries().into_iter().filter(|delivery| delivery.event == "issues").collect();
    drop(network);
    world.pass_time(60);
    (world, (titles, deleted), sent)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    #[test]
    fn s15_s16_s18_no_order_of_webhooks_takes_a_projection_back_or_revives_it(plan in plans()) {
        let (world, (titles, deleted), sent) = happened(&plan);
        let (mut before, mut newest, mut is_gone) = (None::<DateTime<Utc>>, None::<DateTime<Utc>>, false);
        for (count, arrival) in plan.arrivals.iter().enumerate() {
            let mut delivery = arrival.get(&sent).clone();
            // Each time under an id of its own: what has the same one isn't looked at again (S11).
            let id = format!("00000000-0000-0000-0000-{count:012}");
            delivery.headers.insert("x-github-delivery", HeaderValue::from_str(&id).expect("ASCII"));
            prop_assert!(world.deliver_one(&delivery));
            world.settle().expect("quiet");
            match titles.get(arrival.index(sent.len())) {
                Some((_, at)) => newest = newest.max(Some(*at)),
                None => is_gone = true,
            }
            let now = shown(&world);
            if is_gone {
                prop_assert_eq!(now, None, "it was deleted (S18)");
                continue;
            }
            let Some((title, at)) = now else {
                prop_assert!(deleted.is_some(), "only what a read didn't find counts as gone");
                is_gone = true;
                continue;
            };
            prop_assert!(before.is_none_or(|before| before <= at), "{title} of {at} after one of {before:?} (S15)");
            prop_assert!(newest.is_none_or(|newest| newest <= at), "{title} of {at} though {newest:?} came (S15)");
            prop_assert!(titles.contains(&(title.clone(), at)), "{title} was never its title at {at}");
            // Of two contents of one second the last one counts, whichever came last (S16).
            let seen: Vec<&String> = plan.arrivals[..=count]
                .iter()
                .filter_map(|arrival| titles.get(arrival.index(sent.len())))
                .filter(|(_, second)| *second == at)
                .map(|(title, _)| title)
                .collect();
            if deleted.is_none() && seen.iter().any(|other| *other != seen[0]) {
                prop_assert_eq!(Some(&title), titles.last().map(|(title, _)| title), "a read has decided");
            }
            before = Some(at);
        }
        // Whatever was lost, a complete backfill shows what there is (S19).
        world.pass_time(7 * 24 * 3_600);
        world.settle().expect("quiet");
        let truth = titles.last().filter(|_| deleted.is_none()).cloned();
        prop_assert_eq!(shown(&world), truth);
    }
}
