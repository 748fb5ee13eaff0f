//! Persons with tokens of their own: the same roles on each way in, and nothing to read for who may not.

use http::{HeaderMap, Method, StatusCode};
use serde_json::{Value, json};

use crate::harness::{Answer, Home, NAMESPACE, Ran, Server, object};
use crate::simulated::{Simulated, name};

const PEOPLE: [&str; 4] = ["root", "ada", "cyd", "eve"];

const ROOT_TOKEN: &str = "canary-token-of-root-19c4";

fn token(person: &str) -> String {
    format!("canary-token-of-{person}-19c4")
}

/// root administers, ada maintains the repository, cyd may write in it, and eve is nobody there.
fn with_people(mut home: Home) -> Home {
    let person = |name: &str, admin: bool| {
        let spec = json!({"organizationRef": "acme", "displayName": name, "email": format!("{name}@example.com"), "admin": admin});
        object("User", name, spec)
    };
    let permission = |name: &str, permission: &str| {
        let spec = json!({"organizationRef": "acme", "repository": "site", "subject": {"kind": "user", "name": name}, "permission": permission});
        object("RepositoryPermission", &format!("{name}-site"), spec)
    };
    let objects = home.config["objects"].as_array_mut().expect("objects");
    objects.extend([person("root", true), person("ada", false), person("cyd", false), person("eve", false)]);
    objects.extend([permission("ada", "maintain"), permission("cyd", "write")]);
    for person in PEOPLE {
        home.config["secrets"]["people"][person] = json!({"env": format!("TEST_{}", person.to_uppercase())});
    }
    let users =
        PEOPLE.map(|name| json!({"name": name, "namespace": NAMESPACE, "tokenRef": {"name": "people", "key": name}}));
    home.config["api"] = json!({"users": users});
    home.env = vec![
        ("TEST_ROOT", token("root")),
        ("TEST_ADA", token("ada")),
        ("TEST_CYD", token("cyd")),
        ("TEST_EVE", token("eve")),
    ];
    home
}

async fn send(server: &Server, person: &str, method: Method, path: &str, body: &Value) -> Answer {
    let mut headers = HeaderMap::new();
    headers.insert("content-type", "application/json".parse().expect("a header"));
    headers.insert("authorization", format!("Bearer {}", token(person)).parse().expect("a header"));
    server.send(method, path, headers, body.to_string().into_bytes()).await
}

/// The server as root sees it, and the names of the issues once they are there.
async fn issues(server: &mut Server, count: usize) -> Vec<String> {
    server.token = Some(ROOT_TOKEN);
    server.list_until("Issue", |issues| issues.len() == count).await.iter().map(name).collect()
}

async fn krate(home: &Home, server: &Server, person: &str, args: &[&str]) -> Ran {
    let mut command = home.krate(args);
    command.env("KRATE_SERVER", &server.origin).env("KRATE_TOKEN", token(person)).env("KRATE_NAMESPACE", NAMESPACE);
    Ran::of(command).await
}

#[tokio::test]
async fn p41_every_way_in_gives_the_same_answer() {
    let (_forge, home) = Simulated::with_issues(&["Flaky test"]).await;
    let home = with_people(home);
    let mut server = home.start().await;
    let issue = issues(&mut server, 1).await.remove(0);
    let made = |title: &str| {
        json!({
            "metadata": {"name": title.to_lowercase(), "namespace": NAMESPACE},
            "spec": {"organizationRef": "acme", "repository": "site", "title": title},
        })
    };
    for (person, allowed) in [("root", true), ("ada", true), ("cyd", true), ("eve", false)] {
        let create = send(&server, person, Method::POST, "/api/v1/Issue", &made(&format!("By-{person}"))).await;
        let expected = if allowed { StatusCode::CREATED } else { StatusCode::FORBIDDEN };
        assert_eq!(create.status, expected, "{person} creates: {create:?}");
        if !allowed {
            assert!(create.error().1.starts_with("MissingRole"), "{create:?}");
        }
        let path = format!("/api/v1/Issue/{NAMESPACE}/{issue}");
        let patch =
            send(&server, person, Method::PATCH, &path, &json!({"spec": {"title": format!("Seen by {person}")}})).await;
        // Who may not read it isn't told that it is there (P6).
        let expected = if allowed { StatusCode::OK } else { StatusCode::NOT_FOUND };
        assert_eq!(patch.status, expected, "{person} edits: {patch:?}");
        let set = format!("title=Again by {person}");
        let edit = krate(&home, &server, person, &["edit", "issue", &issue, "--set", &set]).await;
        assert_eq!(edit.code == Some(0), allowed, "{person} edits by command: {edit:?}");
    }
    // A repository that cyd has no permission on.
    let mut elsewhere = made("Elsewhere");
    elsewhere["spec"]["repository"] = json!("other");
    let answer = send(&server, "cyd", Method::POST, "/api/v1/Issue", &elsewhere).await;
    assert_eq!(answer.status, StatusCode::FORBIDDEN, "{answer:?}");
    server.stop().await;
}

#[tokio::test]
async fn p58_what_a_policy_wants_a_person_for_is_not_let_through_without() {
    let (forge, home) = Simulated::with_issues(&["One"]).await;
    let mut home = with_people(home);
    let template = json!({
        "organizationRef": "acme", "displayName": "Ask first", "targetKinds": ["Issue"], "engine": "krate",
        "krate": {"effect": "require-approval", "approvalClass": "write-back", "verbs": ["update"]},
    });
    let binding = json!({"organizationRef": "acme", "templateRef": "ask", "mode": "enforce", "match": {}});
    let objects = home.config["objects"].as_array_mut().expect("objects");
    objects.extend([object("PolicyTemplate", "ask", template), object("PolicyBinding", "ask", binding)]);
    let mut server = home.start().await;
    let issue = issues(&mut server, 1).await.remove(0);
    let path = format!("/api/v1/Issue/{NAMESPACE}/{issue}");
    let refused = send(&server, "cyd", Method::PATCH, &path, &json!({"spec": {"title": "Two"}})).await;
    assert_eq!(refused.status, StatusCode::FORBIDDEN, "{refused:?}");
    assert!(refused.error().1.contains("ApprovalRequired"), "{refused:?}");
    let ran = krate(&home, &server, "cyd", &["edit", "issue", &issue, "--set", "title=Two"]).await.ends(1);
    assert!(ran.err.contains("ApprovalRequired"), "{ran:?}");
    assert_eq!(forge.lock().issue(crate::simulated::REPOSITORY, 1).map(|it| it.title.clone()), Some("One".into()));
    server.stop().await;
}

#[tokio::test]
async fn p6_who_may_not_read_sees_what_is_not_there() {
    let (_forge, home) = Simulated::with_issues(&["Flaky test", "Slow search"]).await;
    let home = with_people(home);
    let mut server = home.start().await;
    let issue = issues(&mut server, 2).await.remove(0);
    let get = async |person: &str, path: &str| send(&server, person, Method::GET, path, &Value::Null).await;
    let seen = async |person: &str| get(person, "/api/v1/Issue").await.json()["items"].as_array().map(Vec::len);
    assert_eq!((seen("ada").await, seen("cyd").await, seen("eve").await), (Some(2), Some(2), Some(0)));
    let there = get("eve", &format!("/api/v1/Issue/{NAMESPACE}/{issue}")).await;
    let nowhere = get("eve", &format!("/api/v1/Issue/{NAMESPACE}/nothing")).await;
    assert_eq!((there.status, nowhere.status), (StatusCode::NOT_FOUND, StatusCode::NOT_FOUND));
    assert_eq!(there.text.replace(&issue, "nothing"), nowhere.text, "the same answer to both");
    for path in [
        format!("/api/v1/why/Issue/{NAMESPACE}/{issue}"),
        format!("/api/v1/diff/Issue/{NAMESPACE}/{issue}"),
        "/api/v1/verify/site".to_owned(),
        "/api/v1/forecast/site".to_owned(),
    ] {
        assert_eq!(get("eve", &path).await.status, StatusCode::NOT_FOUND, "{path}");
        assert_eq!(get("root", &path).await.status, StatusCode::OK, "{path}");
    }
    assert_eq!(get("ada", "/api/v1/Issue?namespace=krate-org-b").await.status, StatusCode::FORBIDDEN);
    server.stop().await;
}

#[tokio::test]
async fn p43_a_token_is_its_persons_and_no_header_makes_it_anothers() {
    let home = with_people(Home::new());
    let mut home = home;
    let objects = home.config["objects"].as_array_mut().expect("objects");
    objects.push(object("Repository", "site", json!({"organizationRef": "acme", "visibility": "private"})));
    let server = home.start().await;
    let ask = async |headers: &[(&str, String)]| {
        let mut all = HeaderMap::new();
        for (name, value) in headers {
            all.insert(http::HeaderName::try_from(*name).expect("a name"), value.parse().expect("a header"));
        }
        server.send(Method::GET, "/api/v1/Issue", all, Vec::new()).await.status
    };
    assert_eq!(ask(&[]).await, StatusCode::UNAUTHORIZED);
    assert_eq!(ask(&[("authorization", "Bearer nobody's".into())]).await, StatusCode::UNAUTHORIZED);
    let ada = || ("authorization", format!("Bearer {}", token("ada")));
    assert_eq!(ask(&[ada()]).await, StatusCode::OK);
    assert_eq!(ask(&[ada(), ("krate-user", "ada".into())]).await, StatusCode::OK);
    assert_eq!(ask(&[ada(), ("krate-user", "root".into())]).await, StatusCode::FORBIDDEN);
    let log = server.stop().await;
    for person in PEOPLE {
        assert!(!log.contains(&token(person)), "a token is in the log");
    }
}

#[tokio::test]
async fn p31_an_approval_is_given_by_who_could_do_it_themselves() {
    let (forge, home) = Simulated::with_issues(&["Flaky test"]).await;
    let home = with_people(home);
    let mut server = home.start().await;
    let issue = issues(&mut server, 1).await.remove(0);
    let comment = json!({
        "metadata": {"name": "first", "namespace": NAMESPACE},
        "spec": {"organizationRef": "acme", "subject": {"kind": "Issue", "name": issue}, "body": {"markdown": "Mine too"}},
    });
    assert_eq!(send(&server, "eve", Method::POST, "/api/v1/Comment", &comment).await.status, StatusCode::FORBIDDEN);
    let made = send(&server, "cyd", Method::POST, "/api/v1/Comment", &comment).await;
    assert_eq!(made.status, StatusCode::CREATED, "its mode asks for a person, so that what is sent waits: {made:?}");
    let waits = |all: &[Value]| all.len() == 1;
    let approval = name(&server.list_until("AgentApproval", waits).await[0]);
    for (person, code) in [("eve", 1), ("cyd", 1), ("ada", 0)] {
        let ran = krate(&home, &server, person, &["approve", &approval, "--as", person]).await;
        assert_eq!(ran.code == Some(0), code == 0, "{person}: {ran:?}");
    }
    let is_written = |all: &[Value]| all.iter().any(|intent| intent["status"]["phase"] == "Succeeded");
    server.list_until("ExternalWriteIntent", is_written).await;
    assert_eq!(forge.comments(1).len(), 1);
    server.stop().await;
}

#[tokio::test]
async fn p21_what_was_taken_away_is_gone_with_the_next_request() {
    let (_forge, home) = Simulated::with_issues(&["Flaky test"]).await;
    let mut home = with_people(home);
    let mut server = home.start().await;
    let issue = issues(&mut server, 1).await.remove(0);
    let path = format!("/api/v1/Issue/{NAMESPACE}/{issue}");
    let edit = json!({"spec": {"title": "Edited"}});
    let answer = send(&server, "cyd", Method::PATCH, &path, &edit).await;
    assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
    server.stop().await;
    for object in home.config["objects"].as_array_mut().expect("objects") {
        if object["metadata"]["name"] == "cyd-site" {
            object["spec"]["revoked"] = json!(true);
        }
    }
    let server = home.start().await;
    assert_eq!(send(&server, "cyd", Method::PATCH, &path, &edit).await.status, StatusCode::NOT_FOUND);
    let answer = send(&server, "ada", Method::PATCH, &path, &edit).await;
    assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
    server.stop().await;
}

#[tokio::test]
async fn persons_and_one_token_exclude_each_other_and_each_has_a_token() {
    let mut both = with_people(Home::new());
    both.config["api"]["tokenRef"] = json!({"name": "api", "key": "token"});
    let ran = both.fails_to_start().await.ends(2);
    assert!(ran.err.contains("api.tokenRef: stands beside api.users"), "{ran:?}");
    let mut without = with_people(Home::new());
    without.env.retain(|(name, _)| *name != "TEST_EVE");
    let ran = without.fails_to_start().await.ends(2);
    assert!(ran.err.contains("TEST_EVE") && ran.err.contains("api.users[name=eve].tokenRef"), "{ran:?}");
}

#[tokio::test]
async fn p43_a_token_of_two_persons_is_nobodys() {
    let mut home = with_people(Home::new());
    let objects = home.config["objects"].as_array_mut().expect("objects");
    objects.push(object("Repository", "site", json!({"organizationRef": "acme", "visibility": "private"})));
    home.env.retain(|(name, _)| *name != "TEST_EVE");
    home.env.push(("TEST_EVE", token("root")));
    let server = home.start().await;
    let answer = send(&server, "root", Method::GET, "/api/v1/Issue", &Value::Null).await;
    assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "{answer:?}");
    assert_eq!(send(&server, "ada", Method::GET, "/api/v1/Issue", &Value::Null).await.status, StatusCode::OK);
    server.stop().await;
}
