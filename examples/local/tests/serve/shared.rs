//! Several `krate serve` on one Postgres: each external effect happens once, whoever dies; and what a wrong store is told.
//!
//! These tests need a server: `scripts/postgres with cargo test`. Without one they say that they are skipped.

use std::collections::BTreeMap;
use std::io::Write;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use http::{HeaderMap, Method, StatusCode};
use krate_providers::simulator::IssueEdit;
use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, Connection, PgConnection, Row};

use crate::harness::{Home, NAMESPACE, PROVIDER_TOKEN, Ran, Server};
use crate::simulated::{Held, REPOSITORY, Simulated, name, now};

/// Longer than the lease of somebody who died while sending.
const LEASE: Duration = Duration::from_mins(4);
const ISSUES: [&str; 6] = ["Zero", "One", "Two", "Three", "Four", "Five"];

/// The URL of an empty schema; `None` is said on standard error, past the test harness, which keeps what passing tests print to itself.
async fn schema(test: &str) -> Option<String> {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let Ok(server) = std::env::var("KRATE_TEST_POSTGRES") else {
        let told = format!("skipped: {test}: needs a Postgres server; run scripts/postgres with cargo test\n");
        std::io::stderr().write_all(told.as_bytes()).expect("standard error");
        return None;
    };
    let name = format!("serve_{}_{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
    let mut connection = PgConnection::connect(&server).await.expect("the server");
    let made = format!("DROP SCHEMA IF EXISTS {name} CASCADE; CREATE SCHEMA {name}");
    sqlx::raw_sql(AssertSqlSafe(made)).execute(&mut connection).await.expect("a schema");
    Some(format!("{server}?options=-csearch_path%3D{name}"))
}

async fn number(url: &str, sql: &'static str) -> i64 {
    let mut connection = PgConnection::connect(url).await.expect("the server");
    sqlx::query(sql).fetch_one(&mut connection).await.expect("a number").get(0)
}

/// The folder of servers on the store that `url` names.
fn on(home: Home, url: &str) -> Home {
    let mut home = home.with(&json!({"store": {"urlRef": {"name": "store", "key": "url"}}}));
    home.config["secrets"]["store"] = json!({"url": {"env": "TEST_STORE_URL"}});
    home.env.push(("TEST_STORE_URL", url.to_owned()));
    home
}

/// A server with a token of its own, so that the forge can tell who sent what.
async fn start(home: &mut Home, forge: &Simulated, number: usize) -> (String, Server) {
    let token = format!("{PROVIDER_TOKEN}-{number}");
    forge.add_token(&token);
    home.env.retain(|(name, _)| *name != "TEST_PROVIDER_TOKEN");
    home.env.push(("TEST_PROVIDER_TOKEN", token.clone()));
    (token, home.start().await)
}

async fn comment(server: &Server, issue: &str, text: &str) {
    let body = json!({
        "apiVersion": "krate.a5c.ai/v1alpha1", "kind": "Comment", "metadata": {"name": text, "namespace": NAMESPACE},
        "spec": {"organizationRef": "acme", "subject": {"kind": "Issue", "name": issue}, "body": {"markdown": text}},
    });
    let mut headers = HeaderMap::new();
    headers.insert("content-type", "application/json".parse().expect("a header"));
    headers.insert("krate-user", "alice".parse().expect("a header"));
    let made = server.send(Method::POST, "/api/v1/Comment", headers, body.to_string().into_bytes()).await;
    assert_eq!(made.status, StatusCode::CREATED, "{made:?}");
}

async fn rename(home: &Home, server: &Server, issue: &str, title: &str) {
    let mut command = home.krate(["edit", "issue", issue, "--set", &format!("title={title}"), "--as", "alice"]);
    command.env("KRATE_SERVER", &server.origin);
    Ran::of(command).await.ends(0);
}

/// The issues' names by title.
async fn issues(server: &Server) -> BTreeMap<String, String> {
    let all = server.list_until("Issue", |issues| issues.len() == ISSUES.len()).await;
    all.iter().map(|issue| (issue["spec"]["title"].as_str().expect("a title").to_owned(), name(issue))).collect()
}

/// Kills the server that sent the write which is held up next.
async fn kill_who_sends(forge: &Simulated, held: impl Fn(usize) -> Held, servers: &mut Vec<(String, Server)>) {
    let count = forge.writes().len();
    forge.hold(Some(held(count)));
    comment(&servers[0].1, &issues(&servers[0].1).await["Five"], &format!("held-{count}")).await;
    let sent = forge.write_arrived(count + 1).await;
    let at = servers.iter().position(|(token, _)| *token == sent.token).expect("one of the servers sent it");
    let (_, victim) = servers.remove(at);
    victim.kill().await;
    forge.hold(None);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s34_processes_that_share_a_store_have_each_effect_once_also_when_one_is_killed() {
    let Some(url) = schema("s34_processes_that_share_a_store_have_each_effect_once").await else { return };
    let (forge, mut home) = Simulated::with_issues(&ISSUES).await;
    // Comments are written without asking.
    home.config["objects"][3]["spec"]["interfaces"][0].as_object_mut().expect("an interface").remove("kinds");
    let mut home = on(home, &url);
    let mut servers = Vec::new();
    for number in 0..2 {
        servers.push(start(&mut home, &forge, number).await);
    }
    let known = issues(&servers[0].1).await;

    // People here and there, webhooks and edits on both.
    for round in 0..4 {
        for (number, title) in ISSUES.iter().enumerate() {
            let (server, other) = (&servers[(number + round) % 2].1, &servers[(number + round + 1) % 2].1);
            let text = format!("Comment {round} on {title}").to_lowercase().replace(' ', "-");
            comment(server, &known[*title], &text).await;
            rename(&home, other, &known[*title], &format!("{title} {round}")).await;
            let edit = IssueEdit { body: Some(Some(format!("{title} there {round}"))), ..IssueEdit::default() };
            forge.lock().by("bob", now()).edit_issue(REPOSITORY, number as u64 + 1, edit).expect("edited");
        }
        forge.deliver_among(&[&servers[0].1, &servers[1].1]).await;
        let titles = issues(&servers[0].1).await;
        assert_eq!(titles.len(), ISSUES.len());
        if round < 3 {
            // Each title is written before the next one is wished for: what nobody waits for may be left out.
            settle(&servers[1].1, Duration::from_mins(1)).await;
        }
    }
    settle(&servers[0].1, Duration::from_mins(1)).await;
    rename(&home, &servers[0].1, &known["Five"], "Five").await;
    settle(&servers[0].1, Duration::from_mins(1)).await;
    let before = forge.writes().len();
    let conflicts = servers[0].1.list("ExternalSyncConflict").await;
    assert_eq!(before, 4 * 2 * ISSUES.len() + 1, "{:#?}; {conflicts:#?}", forge.writes());

    // One dies after its write has happened, another one before.
    kill_who_sends(&forge, Held::Answer, &mut servers).await;
    servers.push(start(&mut home, &forge, 2).await);
    kill_who_sends(&forge, Held::Request, &mut servers).await;
    servers.push(start(&mut home, &forge, 3).await);
    forge.deliver_among(&[&servers[0].1, &servers[1].1]).await;
    settle(&servers[0].1, LEASE).await;

    let mut sent: BTreeMap<String, usize> = BTreeMap::new();
    let writes = forge.writes();
    writes.iter().for_each(|write| *sent.entry(write.what.clone()).or_default() += 1);
    // The one that died before anything happened sent in vain: its write was sent again, and no other.
    let again: Vec<_> = sent.iter().filter(|(_, count)| **count > 1).collect();
    assert_eq!(again.len(), 1, "{again:#?}");
    assert!(again[0].0.contains("held-") && *again[0].1 == 2, "{again:#?}");
    assert_eq!(writes.len(), before + 3);
    for (number, title) in (1..).zip(ISSUES) {
        let mut comments = forge.comments(number);
        let count = comments.len();
        comments.sort();
        comments.dedup();
        assert_eq!(comments.len(), count, "a comment of {title} stands twice: {comments:#?}");
        assert_eq!(count, if title == "Five" { 6 } else { 4 }, "{title}: {comments:#?}");
    }
    // Both tokens were used: the work was shared.
    for number in 0..2 {
        let token = format!("{PROVIDER_TOKEN}-{number}");
        assert!(writes.iter().any(|write| write.token == token), "server {number} sent nothing");
    }
    let answers = [servers[0].1.list("Issue").await, servers[1].1.list("Issue").await];
    assert_eq!(answers[0], answers[1]);
    for (_, server) in servers {
        server.stop().await;
    }
    assert_eq!(number(&url, "SELECT count(*) FROM krate_entry e LEFT JOIN krate_object o USING (collection, namespace, name) WHERE o.name IS NULL").await, 0);
}

/// Waits until nothing is to be sent any more.
async fn settle(server: &Server, patience: Duration) {
    let is_over = |intent: &Value| {
        ["Succeeded", "Superseded", "Cancelled"].iter().any(|phase| intent["status"]["phase"] == *phase)
    };
    server.list_within(patience, "ExternalWriteIntent", |all| all.iter().all(is_over)).await;
}

#[tokio::test]
async fn processes_that_share_a_store_and_have_nothing_to_do_write_nothing() {
    let Some(url) = schema("processes_that_share_a_store_and_have_nothing_to_do_write_nothing").await else { return };
    let (forge, home) = Simulated::with_issues(&ISSUES).await;
    let home = on(home, &url);
    // Both at once: each wants to make the tables and the configured objects.
    let (one, other) = tokio::join!(home.start(), home.start());
    issues(&one).await;
    forge.deliver_among(&[&one, &other]).await;
    let mut last = number(&url, "SELECT revision FROM krate_state").await;
    // Statuses are shown every five seconds while something happens: two such times without a commit, and it is quiet.
    let mut quiet = 0;
    for _ in 0..10 {
        tokio::time::sleep(Duration::from_secs(6)).await;
        let now = number(&url, "SELECT revision FROM krate_state").await;
        quiet = if now == last { quiet + 1 } else { 0 };
        if quiet == 2 {
            break;
        }
        last = now;
    }
    assert_eq!(quiet, 2, "they keep writing: revision {last}");
    one.stop().await;
    other.stop().await;
}

#[tokio::test]
async fn s47_the_password_of_the_store_is_in_nothing_that_a_server_says() {
    const CANARY: &str = "canary-wrong-password-e07b";
    let Some(url) = schema("s47_the_password_of_the_store_is_in_nothing_that_a_server_says").await else { return };
    let password = url.split([':', '@']).nth(2).expect("a password").to_owned();
    let mut home = on(Home::new(), &url);
    home.args = vec!["--log".into(), "json".into(), "--log-filter".into(), "debug".into()];
    let server = home.start().await;
    let metrics = server.get("/metrics").await.text;
    assert!(metrics.contains("krate_store{what=\"commits\"}"), "{metrics}");
    let log = server.stop().await;
    assert!(log.contains("other processes may share it") && log.contains("postgres://krate@127.0.0.1:"), "{log}");
    assert!(!log.contains(&password) && !metrics.contains(&password), "{log}");

    home.env = vec![("TEST_STORE_URL", url.replace(&password, CANARY))];
    let ran = home.fails_to_start().await.ends(2);
    for part in ["the server refuses the user", "password authentication failed", "store.urlRef names the store"] {
        assert!(ran.err.contains(part), "{}", ran.err);
    }
    assert!(!ran.err.contains(CANARY) && !ran.err.contains(&password), "{}", ran.err);
}
