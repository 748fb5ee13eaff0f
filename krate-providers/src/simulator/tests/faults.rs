use http::{Method, Request, StatusCode};
use serde_json::json;

use super::{ask, forge_with_issue, get, read, send, t};
use crate::simulator::{Fault, Faults, Forge, Network, NewIssue, Operation, Reply};

const SITE: &str = "acme/site";

fn network(faults: Faults) -> Network {
    let mut forge = forge_with_issue();
    forge.add_hook(SITE, "http://localhost/hook", Some("s"), t(0)).expect("the repository is there");
    forge.take_deliveries();
    Network::new(forge, faults, 11)
}

fn comment() -> Request<bytes::Bytes> {
    send(Method::POST, "/repos/acme/site/issues/1/comments", &json!({"body": "x"}))
}

fn status(reply: Reply) -> Option<StatusCode> {
    reply.response().map(|response| response.status())
}

#[test]
fn s34_each_fault_of_a_request_either_happens_before_the_effect_or_after_it() {
    let cases = [
        (Fault::LoseRequest, None, 0),
        (Fault::LoseResponse, None, 1),
        (Fault::FailBefore, Some(StatusCode::BAD_GATEWAY), 0),
        (Fault::FailAfter, Some(StatusCode::BAD_GATEWAY), 1),
        (Fault::SecondaryLimit, Some(StatusCode::FORBIDDEN), 0),
    ];
    for (fault, answered, effects) in cases {
        let mut network = network(Faults::none());
        network.script(fault);
        assert_eq!(status(network.send(&comment(), t(5))), answered, "{fault:?}");
        assert_eq!(network.forge.comments(SITE, 1).len(), effects, "{fault:?}");
        let written = network.forge.writes().get(&Operation::Comment).copied().unwrap_or(0);
        assert_eq!(usize::try_from(written).unwrap(), effects);
        assert_eq!(network.struck()[&fault], 1);
        // A scripted fault strikes once.
        assert_eq!(status(network.send(&comment(), t(200))), Some(StatusCode::CREATED), "{fault:?}");
    }
}

#[test]
fn a_stale_replica_shows_the_past_for_a_while() {
    let mut network = network(Faults::none());
    network.script(Fault::StaleReplica);
    assert_eq!(status(network.send(&comment(), t(5))), Some(StatusCode::CREATED));
    let list = get("/repos/acme/site/issues/1/comments");
    let count = |network: &mut Network, seconds| {
        read(network.send(&list, t(seconds)).response().unwrap()).json.as_array().unwrap().len()
    };
    assert_eq!(count(&mut network, 5), 0);
    assert_eq!(network.forge.comments(SITE, 1).len(), 1, "the truth is not stale");
    assert_eq!(count(&mut network, 5 + 10), 1);
}

#[test]
fn webhooks_are_dropped_doubled_delayed_and_reordered() {
    let ids = |network: &mut Network, now| {
        network.arrivals(t(now)).into_iter().map(|delivery| delivery.id).collect::<Vec<_>>()
    };
    let open = |network: &mut Network, second| {
        network.forge.by("ada", t(second)).open_issue(SITE, NewIssue::titled("x")).unwrap();
    };
    let mut n = network(Faults::none());
    n.script(Fault::DropDelivery);
    open(&mut n, 5);
    assert!(ids(&mut n, 5).is_empty());

    n.script(Fault::RepeatDelivery);
    open(&mut n, 6);
    let twice = ids(&mut n, 6);
    assert_eq!((twice.len(), &twice[0]), (2, &twice[1]));

    n.script(Fault::DoubleDelivery);
    open(&mut n, 7);
    let doubled = n.arrivals(t(7));
    assert_ne!(doubled[0].id, doubled[1].id);
    assert_eq!(doubled[0].body, doubled[1].body);
    assert_eq!(doubled[1].headers["x-github-delivery"], doubled[1].id.as_str());

    n.script(Fault::ReorderDelivery);
    (0..3).for_each(|_| open(&mut n, 8));
    let sent: Vec<String> = n.forge.outbox.iter().map(|delivery| delivery.id.clone()).collect();
    let [first, second, third] = sent.as_slice() else { panic!("three deliveries") };
    assert_eq!(ids(&mut n, 8), [second, third, first].map(Clone::clone));

    n.script(Fault::DelayDelivery);
    open(&mut n, 9);
    assert!(ids(&mut n, 9).is_empty());
    let due = n.next_arrival().expect("one on its way");
    assert!(due > t(9) && due <= t(9 + 600));
    assert_eq!(n.arrivals(due).len(), 1);
    assert_eq!(n.next_arrival(), None);

    n.script(Fault::DelayDelivery);
    open(&mut n, 10);
    assert_eq!(n.drain().len(), 1);
    let kinds: Vec<Fault> = n.struck().iter().filter(|&(_, &count)| count > 0).map(|(&fault, _)| fault).collect();
    assert_eq!(kinds.len(), 5);
}

#[test]
fn rates_strike_about_as_often_as_they_say_and_peace_ends_them() {
    let mut network = network(Faults::none().with(Fault::FailBefore, 250));
    let failed = (0..1000)
        .filter(|_| status(network.send(&get("/repos/acme/site"), t(5))) == Some(StatusCode::BAD_GATEWAY))
        .count();
    assert!((200..300).contains(&failed), "{failed}");
    assert_eq!(network.struck()[&Fault::FailBefore], failed as u64);
    network.set_faults(Faults::none());
    assert!((0..100).all(|_| status(network.send(&get("/repos/acme/site"), t(6))) == Some(StatusCode::OK)));
}

#[test]
fn one_kind_of_fault_does_not_move_the_schedule_of_another() {
    let struck = |faults: Faults| {
        let mut network = network(faults);
        (0..200).map(|_| status(network.send(&get("/repos/acme/site"), t(5))).is_none()).collect::<Vec<_>>()
    };
    let alone = struck(Faults::none().with(Fault::LoseRequest, 100));
    let among =
        struck(Faults::none().with(Fault::LoseRequest, 100).with(Fault::FailAfter, 500).with(Fault::DropDelivery, 900));
    assert_eq!(alone, among);
}

#[test]
fn a_broken_proxy_does_not_speak_json() {
    let mut network = network(Faults::none());
    network.script(Fault::FailBefore);
    let response = network.send(&get("/repos/acme/site"), t(5)).response().unwrap();
    assert!(serde_json::from_slice::<serde_json::Value>(response.body()).is_err());
    let mut forge: Forge = network.forge;
    assert_eq!(ask(&mut forge, &get("/repos/acme/site"), 6).status, StatusCode::OK);
}
