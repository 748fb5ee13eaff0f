//! Same seed and same calls, same bytes; and laws that hold whatever happens.

use http::Method;
use proptest::prelude::*;
use serde_json::json;

use super::{TOKEN, get, request, send, t};
use crate::simulator::{Fault, Faults, Forge, IssueEdit, Network, NewIssue, NewPullRequest, Operation, State};

const SITE: &str = "acme/site";

/// One step of a history.
#[derive(Debug, Clone)]
enum Step {
    Open(String),
    Retitle(u64, String),
    Flip(u64, bool),
    Label(u64, u8),
    Comment(u64, String),
    EditComment(usize, String),
    DeleteComment(usize),
    Delete(u64),
    Push(u8),
    OpenPull(u8),
    Merge(u64),
    RestComment(u64, String),
    RestPatch(u64, String),
    Read(u64),
    List(u64, u64),
}

fn step() -> impl Strategy<Value = Step> {
    let text = "[a-z\"\\\\ é]{1,6}";
    let number = 1..6_u64;
    prop_oneof![
        text.prop_map(Step::Open),
        (number.clone(), text).prop_map(|(n, text)| Step::Retitle(n, text)),
        (number.clone(), any::<bool>()).prop_map(|(n, open)| Step::Flip(n, open)),
        (number.clone(), 0..3_u8).prop_map(|(n, label)| Step::Label(n, label)),
        (number.clone(), text).prop_map(|(n, text)| Step::Comment(n, text)),
        (0..4_usize, text).prop_map(|(n, text)| Step::EditComment(n, text)),
        (0..4_usize).prop_map(Step::DeleteComment),
        number.clone().prop_map(Step::Delete),
        (0..3_u8).prop_map(Step::Push),
        (0..3_u8).prop_map(Step::OpenPull),
        number.clone().prop_map(Step::Merge),
        (number.clone(), text).prop_map(|(n, text)| Step::RestComment(n, text)),
        (number.clone(), text).prop_map(|(n, text)| Step::RestPatch(n, text)),
        number.clone().prop_map(Step::Read),
        (1..4_u64, 1..4_u64).prop_map(|(size, page)| Step::List(size, page)),
    ]
}

/// Plays a history over a faulty network and returns everything that came out of it.
fn play(seed: u64, steps: &[Step]) -> (Network, Vec<u8>) {
    let mut forge = Forge::seeded(seed);
    forge.add_token(TOKEN, "krate[bot]");
    forge.by("ada", t(0)).create_repository(SITE).expect("a free name");
    forge.add_hook(SITE, "http://localhost/", Some("s"), t(0)).expect("the repository is there");
    let mut network = Network::new(forge, Faults::all_at(60).with(Fault::SecondaryLimit, 5), seed);
    let mut out = Vec::new();
    for (second, step) in (1..).zip(steps) {
        let now = t(second / 3);
        let comment = |network: &Network, nth: usize| {
            network.forge.repository(SITE).and_then(|site| site.comments.keys().nth(nth).copied()).unwrap_or(0)
        };
        let asked = match step {
            Step::RestComment(n, text) => {
                let path = format!("/repos/acme/site/issues/{n}/comments");
                Some(send(Method::POST, &path, &json!({ "body": text })))
            }
            Step::RestPatch(n, text) => {
                Some(send(Method::PATCH, &format!("/repos/acme/site/issues/{n}"), &json!({ "body": text })))
            }
            Step::Read(n) => Some(get(&format!("/repos/acme/site/issues/{n}"))),
            Step::List(size, page) => {
                Some(get(&format!("/repos/acme/site/issues?state=all&sort=updated&per_page={size}&page={page}")))
            }
            _ => None,
        };
        if let Some(request) = asked {
            out.extend(format!("{:?}", network.send(&request, now)).bytes());
        }
        let (edited, deleted) = match step {
            Step::EditComment(nth, _) => (comment(&network, *nth), 0),
            Step::DeleteComment(nth) => (0, comment(&network, *nth)),
            _ => (0, 0),
        };
        let mut ada = network.forge.by("ada", now);
        let done = match step {
            Step::Open(title) => ada.open_issue(SITE, NewIssue::titled(format!("t{title}")).label("bug")).map(drop),
            Step::Retitle(n, title) => ada.edit_issue(SITE, *n, IssueEdit::new().title(format!("t{title}"))),
            Step::Flip(n, open) => {
                ada.edit_issue(SITE, *n, IssueEdit::new().state(if *open { State::Open } else { State::Closed }))
            }
            Step::Label(n, label) => ada.label(SITE, *n, &[&format!("l{label}")]),
            Step::Comment(n, text) => ada.comment(SITE, *n, &format!("c{text}")).map(drop),
            Step::EditComment(_, text) => ada.edit_comment(SITE, edited, &format!("e{text}")),
            Step::DeleteComment(_) => ada.delete_comment(SITE, deleted),
            Step::Delete(n) => ada.delete_issue(SITE, *n),
            Step::Push(branch) => ada.push(SITE, &format!("b{branch}")).map(drop),
            Step::OpenPull(branch) => {
                ada.open_pull_request(SITE, NewPullRequest::new("p", format!("b{branch}"), "main")).map(drop)
            }
            Step::Merge(n) => ada.merge(SITE, *n, None).map(drop),
            Step::RestComment(..) | Step::RestPatch(..) | Step::Read(_) | Step::List(..) => Ok(()),
        };
        out.extend(format!("{done:?}").bytes());
        for delivery in network.arrivals(now) {
            out.extend(format!("{:?}", delivery.headers).bytes());
            out.extend(&delivery.body);
        }
    }
    (network, out)
}

proptest! {
    #[test]
    fn same_seed_and_same_calls_give_the_same_bytes(seed in any::<u64>(), steps in prop::collection::vec(step(), 0..40)) {
        prop_assert_eq!(play(seed, &steps).1, play(seed, &steps).1);
    }

    #[test]
    fn counts_times_and_lists_agree_whatever_happens(seed in any::<u64>(), steps in prop::collection::vec(step(), 0..60)) {
        let (mut network, _) = play(seed, &steps);
        let forge = &mut network.forge;
        let site = forge.repository(SITE).expect("it was made").clone();
        prop_assert_eq!(site.open_issues, site.issues().filter(|issue| issue.state == State::Open).count() as u64);
        prop_assert_eq!(site.comments.len(), site.issues().map(|issue| issue.comments.len()).sum::<usize>());
        for issue in site.issues() {
            prop_assert!(issue.updated_at >= issue.created_at);
            prop_assert_eq!(issue.closed_at.is_some(), issue.state == State::Closed);
            prop_assert_eq!(issue.updated_at.timestamp_subsec_nanos(), 0);
        }
        let done: u64 = forge.writes().values().sum();
        prop_assert_eq!(done, forge.effects().len() as u64);
        let made = forge.writes().get(&Operation::Comment).copied().unwrap_or(0);
        prop_assert!(made >= site.comments.len() as u64);

        // Undisturbed paging meets every issue exactly once.
        let mut met = Vec::new();
        for page in 1.. {
            let path = format!("/repos/acme/site/issues?state=all&per_page=2&page={page}");
            let response = forge.handle(&get(&path), t(100_000));
            let items: Vec<serde_json::Value> = serde_json::from_slice(response.body()).expect("a list");
            met.extend(items.iter().filter_map(|item| item["number"].as_u64()));
            if !response.headers().get("link").is_some_and(|link| link.to_str().expect("ASCII").contains("rel=\"next\"")) {
                break;
            }
        }
        met.sort_unstable();
        prop_assert_eq!(met, site.issues().map(|issue| issue.number).collect::<Vec<_>>());
    }

    #[test]
    fn any_request_is_answered_without_a_panic(
        method in prop::sample::select(vec!["GET", "POST", "PATCH", "PUT", "DELETE", "HEAD", "TRACE"]),
        path in prop::sample::select(vec![
            "/", "/api/v3", "/repos", "/repos/acme", "/repos/acme/site", "/repos/acme/site/issues", "/repos/acme/site/issues/1",
            "/repos/acme/site/issues/1/comments", "/repos/acme/site/issues/comments", "/repos/acme/site/issues/1/labels/%ff",
            "/repos/acme/site/issues/99999999999999999999", "/repos/acme/site/pulls", "/repos/acme/site/pulls/1",
            "/repos/acme/site/labels", "/repositories/0", "/rate_limit",
        ]),
        query in "(\\?(page|per_page|since|state|sort|direction|labels)=[0-9a-z+%-]{0,20})?",
        body in prop_oneof![Just(String::new()), ".{0,40}", "\\{\"(title|body|labels|milestone|state)\":(1|null|\\[1\\]|\"x\")\\}"],
    ) {
        let mut forge = super::forge_with_issue();
        let request = request(Method::from_bytes(method.as_bytes()).expect("a method"), &format!("{path}{query}"), body);
        let response = forge.handle(&request, t(5));
        prop_assert!(response.status().is_success() || response.status().is_client_error());
        if !response.body().is_empty() {
            prop_assert!(serde_json::from_slice::<serde_json::Value>(response.body()).is_ok());
        }
    }
}
