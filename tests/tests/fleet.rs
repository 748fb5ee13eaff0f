//! Many repositories are verified within minutes, and what didn't change costs nothing of the budget (S25, S46).
//!
//! `KRATE_REPOSITORIES=10000 cargo test --release -p krate-tests --test fleet -- --nocapture` plays it with as many.

use krate_sync::driver::What;
use krate_tests::fleet::Fleet;

#[test]
fn s25_a_fleet_is_verified_by_its_tags() {
    let asked = std::env::var("KRATE_REPOSITORIES").ok().and_then(|text| text.parse().ok());
    let repositories = asked.unwrap_or(60);
    // An App's budget on an installation of GitHub Enterprise Cloud.
    let fleet = Fleet { repositories, issues: 3, changed: repositories / 20, per_hour: 15_000, at_once: 32 };
    let verified = fleet.play(1);
    let sum = |of: fn(&krate_sync::driver::Verification) -> usize| verified.found.iter().map(of).sum::<usize>();
    let (requests, tagged) = (sum(|it| it.requests), sum(|it| it.not_modified));
    println!(
        "{repositories} repositories verified in {} ms of simulated time: {} objects, {requests} requests, {tagged} of them not modified, {} of {} calls an hour spent",
        verified.took.num_milliseconds(),
        sum(|it| it.compared),
        verified.cost,
        fleet.per_hour,
    );
    assert_eq!(verified.found.len(), repositories);
    assert_eq!(sum(|it| it.compared), repositories * fleet.issues);
    let differences = verified.found.iter().flat_map(|it| &it.differences);
    let titles = differences.filter(|it| it.what == What::Differs && it.path.as_deref() == Some("spec.title")).count();
    assert_eq!((titles, sum(|it| it.differences.len())), (fleet.changed, fleet.changed), "each, and nothing else");
    assert_eq!(verified.cost, (requests - tagged) as u64, "what is as it was costs nothing");
    assert_eq!(requests - tagged, fleet.changed, "one page of each that changed");
    // Each call takes 0.1 to 0.3 seconds there and back.
    let longest = i64::try_from(requests * 300 / fleet.at_once).expect("a time") + 10_000;
    assert!(verified.took.num_milliseconds() <= longest, "{} ms", verified.took.num_milliseconds());
}
