use http::{Method, StatusCode};
use serde_json::json;

use super::{TOKEN, ask, forge, forge_with_issue, get, read, request, send, t};
use crate::simulator::{Forge, IssueEdit, Limits, NewIssue, NewPullRequest, Operation, StateReason, Urls, Via};

#[test]
fn an_issue_made_over_rest_reads_back_and_names_its_maker() {
    let mut forge = forge();
    let wanted = json!({"title": "Crash", "body": "It fell.", "labels": ["bug", "new one"], "assignees": ["ADA"]});
    let created = ask(&mut forge, &send(Method::POST, "/repos/acme/site/issues", &wanted), 5);
    assert_eq!(created.status, StatusCode::CREATED);
    assert_eq!(created.header("location"), "https://api.github.com/repos/acme/site/issues/1");
    let shown = ask(&mut forge, &get("/repos/ACME/Site/issues/1"), 6);
    assert_eq!(shown.json, created.json);
    assert_eq!(shown.json["user"]["login"], "krate[bot]");
    assert_eq!(shown.json["user"]["type"], "Bot");
    assert_eq!(shown.json["assignee"]["login"], "ada");
    assert_eq!(forge.label_names("acme/site", 1), ["bug", "new one"]);
    assert_eq!(forge.writes()[&Operation::OpenIssue], 1);
    assert_eq!(forge.effects().last().unwrap().via, Via::Rest(1));
}

#[test]
fn the_enterprise_prefix_is_the_same_api() {
    let mut forge = forge_with_issue();
    forge.set_urls(Urls::enterprise("http://127.0.0.1:8080/"));
    forge.by("ada", t(2)).open_issue("acme/site", NewIssue::titled("Another")).unwrap();
    let list = ask(&mut forge, &get("/api/v3/repos/acme/site/issues?per_page=1"), 3);
    let id = forge.repository("acme/site").unwrap().id;
    assert_eq!(list.json[0]["url"], "http://127.0.0.1:8080/api/v3/repos/acme/site/issues/2");
    assert!(
        list.header("link").starts_with(&format!(
            "<http://127.0.0.1:8080/api/v3/repositories/{id}/issues?per_page=1&page=2>; rel=\"next\""
        )),
        "{}",
        list.header("link")
    );
    let next = ask(&mut forge, &get(&format!("/api/v3/repositories/{id}/issues?per_page=1&page=2")), 3);
    assert_eq!(next.numbers(), [1]);
}

#[test]
fn pull_requests_are_in_the_issues_list_with_another_id() {
    let mut forge = forge_with_issue();
    forge.by("ada", t(2)).push("acme/site", "topic").unwrap();
    forge.by("ada", t(2)).open_pull_request("acme/site", NewPullRequest::new("P", "topic", "main")).unwrap();
    let issues = ask(&mut forge, &get("/repos/acme/site/issues"), 3);
    assert_eq!(issues.numbers(), [2, 1]);
    assert!(issues.json[0]["pull_request"]["url"].is_string());
    assert!(issues.json[1].get("pull_request").is_none());
    let pull = ask(&mut forge, &get("/repos/acme/site/pulls/2"), 3);
    assert_ne!(pull.json["id"], issues.json[0]["id"]);
    assert_eq!(pull.json["node_id"], issues.json[0]["node_id"]);
    assert_eq!(ask(&mut forge, &get("/repos/acme/site/pulls/1"), 3).status, StatusCode::NOT_FOUND);
}

#[test]
fn state_since_sort_direction_and_labels_select() {
    let mut forge = forge();
    for (second, title) in [(10, "a"), (20, "b"), (30, "c")] {
        forge.by("ada", t(second)).open_issue("acme/site", NewIssue::titled(title)).unwrap();
    }
    forge.by("ada", t(40)).label("acme/site", 1, &["bug"]).unwrap();
    forge.by("ada", t(50)).close("acme/site", 2).unwrap();
    let cases: [(&str, &[u64]); 8] = [
        ("", &[3, 1]),
        ("?state=closed", &[2]),
        ("?state=all", &[3, 2, 1]),
        ("?state=all&sort=updated", &[2, 1, 3]),
        ("?state=all&sort=updated&direction=asc", &[3, 1, 2]),
        // `since` is inclusive, and in whole seconds.
        ("?state=all&since=2023-11-14T22:14:00Z", &[2, 1]),
        ("?state=all&since=2023-11-14T22:14:00.5Z", &[2]),
        ("?labels=bug", &[1]),
    ];
    for (query, numbers) in cases {
        assert_eq!(ask(&mut forge, &get(&format!("/repos/acme/site/issues{query}")), 60).numbers(), numbers, "{query}");
    }
    let bad = ask(&mut forge, &get("/repos/acme/site/issues?since=yesterday"), 60);
    assert_eq!((bad.status, &bad.json["errors"][0]["field"]), (StatusCode::UNPROCESSABLE_ENTITY, &json!("since")));
}

#[test]
fn s24_offset_pages_shift_when_objects_move_between_reads() {
    let mut forge = forge();
    for second in 1..=4 {
        forge.by("ada", t(second)).open_issue("acme/site", NewIssue::titled("x")).unwrap();
    }
    let page = "/repos/acme/site/issues?sort=updated&direction=asc&per_page=2";
    assert_eq!(ask(&mut forge, &get(page), 10).numbers(), [1, 2]);
    forge.by("ada", t(11)).comment("acme/site", 1, "moves to the end").unwrap();
    let second = ask(&mut forge, &get(&format!("{page}&page=2")), 12);
    assert_eq!(second.numbers(), [4, 1], "3 slipped to the first page and is missed");
}

#[test]
fn links_name_the_neighbours() {
    let mut forge = forge();
    for second in 1..=5 {
        forge.by("ada", t(second)).open_issue("acme/site", NewIssue::titled("x")).unwrap();
    }
    let rels = |link: &str| -> Vec<String> {
        link.split(", ")
            .filter_map(|part| part.split("rel=").nth(1))
            .map(|rel| rel.trim_matches('"').to_owned())
            .collect()
    };
    let at = |forge: &mut Forge, page: u64| {
        let read = ask(forge, &get(&format!("/repos/acme/site/issues?per_page=2&page={page}")), 9);
        (rels(read.header("link")), read.json.as_array().unwrap().len())
    };
    assert_eq!(at(&mut forge, 1), (vec!["next".into(), "last".into()], 2));
    assert_eq!(at(&mut forge, 2), (vec!["prev".into(), "next".into(), "last".into(), "first".into()], 2));
    assert_eq!(at(&mut forge, 3), (vec!["prev".into(), "first".into()], 1));
    assert_eq!(at(&mut forge, 9), (vec!["prev".into(), "first".into()], 0));
    let all = ask(&mut forge, &get("/repos/acme/site/issues?per_page=1000"), 9);
    assert_eq!((all.header("link"), all.numbers().len()), ("", 5));
}

#[test]
fn s25_an_unchanged_answer_is_304_and_costs_nothing() {
    let mut forge = forge_with_issue();
    let path = "/repos/acme/site/issues/1";
    let first = ask(&mut forge, &get(path), 2);
    let (etag, modified) = (first.header("etag").to_owned(), first.header("last-modified").to_owned());
    assert_eq!(modified, "Tue, 14 Nov 2023 22:13:21 GMT");
    let used = first.header("x-ratelimit-used").to_owned();
    let conditional = |name: &str, value: &str| {
        let mut request = get(path);
        request.headers_mut().insert(http::HeaderName::try_from(name).unwrap(), value.parse().unwrap());
        request
    };
    for request in [conditional("if-none-match", &etag), conditional("if-modified-since", &modified)] {
        let again = ask(&mut forge, &request, 3);
        assert_eq!((again.status, again.header("x-ratelimit-used")), (StatusCode::NOT_MODIFIED, used.as_str()));
        assert_eq!(again.header("etag"), etag);
    }
    // A second edit within the second: the time stays, the tag does not.
    forge.by("ada", t(1)).edit_issue("acme/site", 1, IssueEdit::new().title("Crash!")).unwrap();
    assert_eq!(ask(&mut forge, &conditional("if-modified-since", &modified), 4).status, StatusCode::NOT_MODIFIED);
    assert_eq!(ask(&mut forge, &conditional("if-none-match", &etag), 4).status, StatusCode::OK);
}

#[test]
fn tokens_decide_what_is_there() {
    let mut forge = forge_with_issue();
    forge.by("ada", t(2)).create_private_repository("acme/vault").unwrap();
    let with = |token: Option<&str>, method: Method, path: &str| {
        let mut request = request(method, path, "{\"title\":\"x\"}");
        request.headers_mut().remove("authorization");
        if let Some(token) = token {
            request.headers_mut().insert("authorization", format!("token {token}").parse().unwrap());
        }
        request
    };
    forge.add_token("narrow", "bo");
    forge.restrict_token("narrow", &["acme/site"]);
    forge.add_token("reader", "cy");
    forge.make_token_read_only("reader");
    let (site, vault) = ("/repos/acme/site/issues", "/repos/acme/vault/issues");
    let cases = [
        (Some("unknown"), Method::GET, site, 401, "Bad credentials"),
        (None, Method::GET, site, 200, ""),
        (None, Method::GET, vault, 404, "Not Found"),
        (None, Method::POST, site, 401, "Requires authentication"),
        (Some("narrow"), Method::GET, vault, 404, "Not Found"),
        (Some("narrow"), Method::POST, site, 201, ""),
        (Some("reader"), Method::GET, vault, 200, ""),
        (Some("reader"), Method::POST, site, 403, "Resource not accessible by personal access token"),
    ];
    for (token, method, path, status, message) in cases {
        let read = ask(&mut forge, &with(token, method.clone(), path), 3);
        let said = read.json.get("message").and_then(|message| message.as_str()).unwrap_or_default();
        assert_eq!((read.status.as_u16(), said), (status, message), "{token:?} {method} {path}");
    }
    forge.revoke_token(TOKEN);
    assert_eq!(ask(&mut forge, &get(site), 4).status, StatusCode::UNAUTHORIZED);
}

#[test]
fn s44_the_primary_limit_says_until_when() {
    let mut forge = forge_with_issue();
    forge.set_limits(Limits { per_hour: 2, ..Limits::default() });
    let path = "/repos/acme/site/issues/1";
    let left: Vec<String> =
        (0..2).map(|_| ask(&mut forge, &get(path), 10).header("x-ratelimit-remaining").to_owned()).collect();
    assert_eq!(left, ["1", "0"]);
    let refused = ask(&mut forge, &get(path), 20);
    assert_eq!((refused.status, refused.header("x-ratelimit-remaining")), (StatusCode::FORBIDDEN, "0"));
    assert_eq!(refused.header("x-ratelimit-reset"), (t(10).timestamp() + 3600).to_string());
    assert!(refused.json["message"].as_str().unwrap().starts_with("API rate limit exceeded"));
    let rate = ask(&mut forge, &get("/rate_limit"), 30);
    assert_eq!((rate.status, &rate.json["resources"]["core"]["remaining"]), (StatusCode::OK, &json!(0)));
    assert_eq!(ask(&mut forge, &get(path), 10 + 3600).status, StatusCode::OK);
}

#[test]
fn s44_the_secondary_limit_is_a_403_with_retry_after_and_quota_left() {
    let mut forge = forge_with_issue();
    forge.set_limits(Limits { creations_per_minute: 2, ..Limits::default() });
    let post = send(Method::POST, "/repos/acme/site/issues/1/comments", &json!({"body": "x"}));
    let statuses: Vec<u16> = (0..3).map(|_| ask(&mut forge, &post, 10).status.as_u16()).collect();
    assert_eq!(statuses, [201, 201, 403]);
    let refused = ask(&mut forge, &get("/repos/acme/site"), 30);
    assert_eq!((refused.status, refused.header("retry-after")), (StatusCode::FORBIDDEN, "40"));
    assert_ne!(refused.header("x-ratelimit-remaining"), "0");
    assert!(refused.json["message"].as_str().unwrap().contains("secondary rate limit"));
    assert_eq!(ask(&mut forge, &post, 80).status, StatusCode::CREATED);
    assert_eq!(forge.writes()[&Operation::Comment], 3);
}

#[test]
fn bad_bodies_are_refused_and_change_nothing() {
    let mut forge = forge_with_issue();
    let issues = "/repos/acme/site/issues";
    let cases = [
        (Method::POST, issues, "{", 400, "Problems parsing JSON"),
        (Method::POST, issues, "[]", 400, "Body should be a JSON object"),
        (Method::POST, issues, "", 422, "Validation Failed"),
        (Method::POST, issues, r#"{"title": " "}"#, 422, "Validation Failed"),
        (
            Method::POST,
            issues,
            r#"{"title": 5}"#,
            422,
            "Invalid request.\n\nFor 'properties/title', 5 is not a string.",
        ),
        (Method::POST, issues, r#"{"title": "x", "assignees": ["nobody"]}"#, 422, "Validation Failed"),
        (Method::POST, issues, r#"{"title": "x", "milestone": 9}"#, 422, "Validation Failed"),
        (Method::PATCH, "/repos/acme/site/issues/1", r#"{"state": "merged"}"#, 422, "Validation Failed"),
        (Method::POST, "/repos/acme/site/issues/1/comments", "{}", 422, "Validation Failed"),
        (
            Method::POST,
            "/repos/acme/site/pulls",
            r#"{"title": "x", "head": "no", "base": "main"}"#,
            422,
            "Validation Failed",
        ),
        (Method::DELETE, "/repos/acme/site/issues/1/labels/bug", "", 404, "Label does not exist"),
        (Method::PATCH, "/repos/acme/site/issues/77", "{}", 404, "Not Found"),
        (Method::PUT, "/repos/acme/site/issues/1", "{}", 404, "Not Found"),
    ];
    let before = forge.repository("acme/site").cloned();
    for (method, path, body, status, message) in cases {
        let read = ask(&mut forge, &request(method.clone(), path, body), 5);
        assert_eq!(
            (read.status.as_u16(), read.json["message"].as_str()),
            (status, Some(message)),
            "{method} {path} {body}"
        );
        assert!(read.json["documentation_url"].is_string());
        assert!(read.headers.contains_key("x-github-request-id"));
    }
    assert_eq!(forge.repository("acme/site").cloned(), before);
}

#[test]
fn gone_moved_and_renamed_are_told_apart() {
    let mut forge = forge_with_issue();
    let mut ada = forge.by("ada", t(2));
    ada.create_repository("acme/docs").unwrap();
    let doomed = ada.open_issue("acme/site", NewIssue::titled("Goes")).unwrap();
    ada.delete_issue("acme/site", doomed).unwrap();
    let number = ada.transfer("acme/site", 1, "acme/docs").unwrap();
    let docs = forge.repository("acme/docs").unwrap().id;
    let site = forge.repository("acme/site").unwrap().id;

    let gone = ask(&mut forge, &get(&format!("/repos/acme/site/issues/{doomed}")), 3);
    assert_eq!((gone.status, gone.json["message"].as_str()), (StatusCode::GONE, Some("This issue was deleted")));
    let moved = ask(&mut forge, &get("/repos/acme/site/issues/1"), 3);
    assert_eq!(moved.status, StatusCode::MOVED_PERMANENTLY);
    assert_eq!(moved.header("location"), format!("https://api.github.com/repositories/{docs}/issues/{number}"));
    assert_eq!(ask(&mut forge, &get(&format!("/repositories/{docs}/issues/{number}")), 3).json["title"], "Crash");

    forge.by("ada", t(4)).rename_repository("acme/site", "home").unwrap();
    let renamed = ask(&mut forge, &get("/repos/acme/site/issues?state=all&page=1"), 5);
    assert_eq!(renamed.status, StatusCode::MOVED_PERMANENTLY);
    assert_eq!(
        renamed.header("location"),
        format!("https://api.github.com/repositories/{site}/issues?state=all&page=1")
    );
    let post = ask(&mut forge, &send(Method::POST, "/repos/acme/site/issues", &json!({"title": "x"})), 5);
    assert_eq!(post.status, StatusCode::TEMPORARY_REDIRECT);
    // The name is free again; whoever takes it is another repository.
    forge.by("eve", t(6)).create_repository("acme/site").unwrap();
    assert_ne!(ask(&mut forge, &get("/repos/acme/site"), 7).json["id"], site);
    assert_eq!(ask(&mut forge, &get("/repos/acme/home"), 7).json["id"], site);
}

#[test]
fn labels_with_odd_names_are_added_and_removed() {
    let mut forge = forge_with_issue();
    let add = json!({"labels": ["help wanted / é", "bug"]});
    let added = ask(&mut forge, &send(Method::POST, "/repos/acme/site/issues/1/labels", &add), 5);
    assert_eq!((added.status, added.json.as_array().unwrap().len()), (StatusCode::OK, 2));
    let path = "/repos/acme/site/issues/1/labels/Help%20wanted%20%2F%20%C3%A9";
    let left = ask(&mut forge, &request(Method::DELETE, path, ""), 6);
    assert_eq!((left.status, &left.json[0]["name"]), (StatusCode::OK, &json!("bug")));
    assert_eq!(ask(&mut forge, &request(Method::DELETE, path, ""), 7).status, StatusCode::NOT_FOUND);
}

#[test]
fn comments_live_and_die() {
    let mut forge = forge_with_issue();
    let created = ask(&mut forge, &send(Method::POST, "/repos/acme/site/issues/1/comments", &json!({"body": "a"})), 5);
    let path = format!("/repos/acme/site/issues/comments/{}", created.json["id"]);
    let edited = ask(&mut forge, &send(Method::PATCH, &path, &json!({"body": "b"})), 8);
    assert_eq!((edited.status, &edited.json["updated_at"]), (StatusCode::OK, &json!("2023-11-14T22:13:28Z")));
    let since = "/repos/acme/site/issues/comments?sort=updated&since=2023-11-14T22:13:26Z";
    assert_eq!(ask(&mut forge, &get(since), 9).json.as_array().unwrap().len(), 1);
    // The issue itself last changed when the comment was made.
    assert_eq!(ask(&mut forge, &get("/repos/acme/site/issues/1"), 9).json["updated_at"], "2023-11-14T22:13:25Z");
    assert_eq!(ask(&mut forge, &request(Method::DELETE, &path, ""), 10).status, StatusCode::NO_CONTENT);
    assert_eq!(ask(&mut forge, &get(&path), 11).status, StatusCode::NOT_FOUND);
    assert_eq!(ask(&mut forge, &get("/repos/acme/site/issues/1"), 11).json["comments"], 0);
}

#[test]
fn issues_close_for_a_reason_and_bodies_clear() {
    let mut forge = forge_with_issue();
    let path = "/repos/acme/site/issues/1";
    let close = json!({"state": "closed", "state_reason": "not_planned", "body": null});
    let closed = ask(&mut forge, &send(Method::PATCH, path, &close), 5).json;
    assert_eq!((&closed["state_reason"], &closed["body"]), (&json!("not_planned"), &json!(null)));
    assert_eq!(closed["closed_by"]["login"], "krate[bot]");
    forge.by("ada", t(6)).reopen("acme/site", 1).unwrap();
    let issue = forge.issue("acme/site", 1).unwrap();
    assert_eq!((issue.state_reason, issue.closed_at), (Some(StateReason::Reopened), None));
    let open = ask(&mut forge, &get("/repos/acme/site"), 7).json["open_issues_count"].clone();
    assert_eq!(open, 1);
}

#[test]
fn a_merge_with_a_stale_head_is_refused() {
    let mut forge = forge();
    let head = forge.by("ada", t(1)).push("acme/site", "topic").unwrap();
    let new = json!({"title": "P", "head": "topic", "base": "main", "body": "b"});
    let opened = ask(&mut forge, &send(Method::POST, "/repos/acme/site/pulls", &new), 2);
    assert_eq!((opened.status, &opened.json["head"]["sha"]), (StatusCode::CREATED, &json!(head)));
    let twice = ask(&mut forge, &send(Method::POST, "/repos/acme/site/pulls", &new), 2);
    assert_eq!(twice.json["errors"][0]["message"], "A pull request already exists for acme:topic.");
    let newer = forge.by("ada", t(3)).push("acme/site", "topic").unwrap();
    let merge = |sha: &str| send(Method::PUT, "/repos/acme/site/pulls/1/merge", &json!({"sha": sha}));
    assert_eq!(ask(&mut forge, &merge(&head), 4).status, StatusCode::CONFLICT);
    assert_eq!(ask(&mut forge, &merge(&newer), 4).json["merged"], true);
    assert_eq!(ask(&mut forge, &merge(&newer), 4).status, StatusCode::METHOD_NOT_ALLOWED);
    assert_eq!(forge.writes()[&Operation::MergePullRequest], 1);
    let reopen = ask(&mut forge, &send(Method::PATCH, "/repos/acme/site/pulls/1", &json!({"state": "open"})), 5);
    assert_eq!(reopen.status, StatusCode::UNPROCESSABLE_ENTITY);
}

#[test]
fn s16_two_edits_within_a_second_share_their_time() {
    let mut forge = forge_with_issue();
    for title in ["first", "second"] {
        forge.by("ada", t(9)).edit_issue("acme/site", 1, IssueEdit::new().title(title)).unwrap();
    }
    let history: Vec<_> = forge
        .effects()
        .iter()
        .filter(|effect| effect.operation == Operation::EditIssue)
        .map(|effect| effect.at)
        .collect();
    assert_eq!(history, [t(9), t(9)]);
    let issue = forge.issue("acme/site", 1).unwrap();
    assert_eq!((issue.updated_at.timestamp_subsec_millis(), issue.title.as_str()), (0, "second"));
}

#[test]
fn s47_no_token_or_secret_shows_in_debug_output_or_answers() {
    let mut forge = forge_with_issue();
    forge.add_hook("acme/site", "http://localhost/", Some("canary-secret"), t(1)).unwrap();
    let answer = forge.handle(&get("/repos/acme/none"), t(2));
    let mut shown = format!("{forge:?} {:?} {:?} {:?}", forge.tokens, forge.hooks, answer);
    for delivery in forge.take_deliveries() {
        shown.push_str(&format!("{delivery:?}"));
        shown.push_str(&String::from_utf8_lossy(&delivery.body));
    }
    assert!(!shown.contains("canary-secret") && !shown.contains(TOKEN));
    let _ = read(answer);
}

#[test]
fn a_forge_can_stand_behind_a_mutex() {
    fn is_send<T: Send>(_: &T) {}
    is_send(&forge());
}
