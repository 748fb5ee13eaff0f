//! `krate demo`: the main job from end to end, on a simulated forge and a real `krate serve`, both on loopback.
//!
//! Each claim is checked against the forge or the API while it is made; one that doesn't hold is named at the end, and the
//! command ends with 1.

mod forge;
mod server;

use std::path::PathBuf;
use std::time::Instant;

use http::Method;
use krate_providers::simulator::{Forge, IssueEdit, NewIssue, NewPullRequest};
use serde::Serialize;
use serde_json::{Value, json};
use tokio::time::timeout;

use crate::error::{Answer, Error};
use crate::output::{Format, Output, note, table};
use crate::serve::now;
use forge::Served;
use server::{NAMESPACE, PATIENCE, Server, eventually};

const REPOSITORY: &str = "acme/site";
const TOKEN: &str = "demo-token";
const WEBHOOK_SECRET: &str = "demo-webhook-secret";
const SECRETS: [(&str, &str); 2] = [("KRATE_DEMO_TOKEN", TOKEN), ("KRATE_DEMO_WEBHOOK_SECRET", WEBHOOK_SECRET)];

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Seed of the simulated forge
    #[arg(long, default_value_t = 7)]
    seed: u64,
    /// Keep the folder with the store and the server's log
    #[arg(long)]
    keep: bool,
}

/// One thing that the demo shows.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Claim {
    shown: &'static str,
    holds: bool,
    millis: u128,
}

pub(crate) fn run(args: &Args, output: Output) -> Result<Answer, Error> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| Error::new(format!("no runtime: {error}")))?;
    let folder = std::env::temp_dir().join(format!("krate-demo-{}", std::process::id()));
    std::fs::create_dir_all(&folder).map_err(|error| Error::new(format!("{}: {error}", folder.display())))?;
    let told = runtime.block_on(tell(args.seed, folder.clone()));
    if args.keep {
        note(&format!("kept: {}", folder.display()));
    } else {
        // What is left behind in the folder for temporary files harms nobody.
        let _ = std::fs::remove_dir_all(&folder);
    }
    let claims = told?;
    let all = claims.iter().all(|claim| claim.holds);
    output.print(Format::Table, &claims, |claims| {
        table(
            ["shown", "holds", "after"],
            claims.iter().map(|claim| {
                let holds = if claim.holds { "yes" } else { "NO" };
                [claim.shown.to_owned(), holds.to_owned(), format!("{} ms", claim.millis)]
            }),
        )
    })?;
    Ok(Answer::yes_if(all))
}

/// The story so far.
struct Demo {
    forge: Served,
    server: Server,
    claims: Vec<Claim>,
    begin: Instant,
}

async fn tell(seed: u64, folder: PathBuf) -> Result<Vec<Claim>, Error> {
    let forge = Served::start(peopled(seed)?).await?;
    let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).map_err(|error| Error::new(error.to_string()))?;
    let port = listener.local_addr().map_err(|error| Error::new(error.to_string()))?.port();
    drop(listener);
    note("a simulated forge with 5 issues, 2 comments and a pull request; krate serve starts beside it");
    let server = Server::start(&folder, port, &forge.origin, SECRETS).await?;
    let mut demo = Demo { forge, server, claims: Vec::new(), begin: Instant::now() };
    demo.backfill().await;
    demo.ingest().await?;
    demo.edit_here().await?;
    demo.edit_there().await?;
    demo.merge().await?;
    demo.conflict().await?;
    demo.crash().await?;
    demo.replay().await;
    demo.server.kill().await?;
    Ok(demo.claims)
}

/// A forge as somebody may have it before krate comes.
fn peopled(seed: u64) -> Result<Forge, Error> {
    let refused = |error| Error::new(format!("the simulated forge refuses: {error}"));
    let mut forge = Forge::seeded(seed);
    forge.add_token(TOKEN, "krate-bot");
    let mut ada = forge.by("ada", now());
    ada.create_repository(REPOSITORY).map_err(refused)?;
    for title in ["Crash on start", "Slow search", "Typo in help", "Dark mode", "Flaky test"] {
        ada.open_issue(REPOSITORY, NewIssue::titled(title).label("triage")).map_err(refused)?;
    }
    ada.comment(REPOSITORY, 1, "It happens here, too.").map_err(refused)?;
    ada.comment(REPOSITORY, 1, "Only with an empty configuration.").map_err(refused)?;
    ada.push(REPOSITORY, "fix").map_err(refused)?;
    ada.open_pull_request(REPOSITORY, NewPullRequest::new("Fix the crash", "fix", "main")).map_err(refused)?;
    forge.add_hook(REPOSITORY, "http://127.0.0.1/", Some(WEBHOOK_SECRET), now()).map_err(refused)?;
    // What happened before is the backfill's to find.
    forge.take_deliveries();
    Ok(forge)
}

fn refused(error: impl std::fmt::Display) -> Error {
    Error::new(format!("the simulated forge refuses: {error}"))
}

fn titled<'i>(issues: &'i [Value], title: &str) -> Option<&'i Value> {
    issues.iter().find(|issue| issue["spec"]["title"] == title)
}

impl Demo {
    fn claim(&mut self, shown: &'static str, holds: bool) {
        note(&format!("{} {shown}", if holds { "✓" } else { "✗" }));
        self.claims.push(Claim { shown, holds, millis: self.begin.elapsed().as_millis() });
    }

    /// Sends what the forge has to say, as the forge would.
    async fn deliver(&self) -> usize {
        let mut acknowledged = 0;
        for delivery in self.forge.deliveries() {
            acknowledged += usize::from(self.server.post(&delivery).await);
        }
        acknowledged
    }

    async fn backfill(&mut self) {
        let server = &self.server;
        let holds = eventually(|| async {
            server.list("Issue").await.len() == 5
                && server.list("Comment").await.len() == 2
                && server.list("PullRequest").await.len() == 1
        })
        .await;
        self.claim("backfill: what was there before krate is here", holds);
    }

    async fn ingest(&mut self) -> Result<(), Error> {
        self.forge.lock().by("bob", now()).open_issue(REPOSITORY, NewIssue::titled("Login fails")).map_err(refused)?;
        let acknowledged = self.deliver().await > 0;
        let server = &self.server;
        let shown = eventually(|| async { titled(&server.list("Issue").await, "Login fails").is_some() }).await;
        self.claim("ingest: a new issue there is an issue here, by webhook", acknowledged && shown);
        Ok(())
    }

    /// Name of the issue with that title.
    async fn name_of(&self, title: &str) -> Result<String, Error> {
        let issues = self.server.list("Issue").await;
        let issue = titled(&issues, title).ok_or_else(|| Error::new(format!("no issue is titled {title:?}")))?;
        Ok(issue["metadata"]["name"].as_str().unwrap_or_default().to_owned())
    }

    async fn patch(&self, name: &str, spec: Value) -> Result<(), Error> {
        let path = format!("Issue/{NAMESPACE}/{name}");
        self.server.send(Method::PATCH, &path, &json!({"spec": spec})).await.map(|_| ())
    }

    async fn edit_here(&mut self) -> Result<(), Error> {
        let name = self.name_of("Slow search").await?;
        self.patch(&name, json!({"title": "Search takes seconds"})).await?;
        let forge = &self.forge;
        let written = eventually(|| async {
            forge.lock().issue(REPOSITORY, 2).is_some_and(|issue| issue.title == "Search takes seconds")
        })
        .await;
        let writes = self.writes();
        self.deliver().await;
        let server = &self.server;
        let confirmed = eventually(|| async {
            let intents = server.list("ExternalWriteIntent").await;
            !intents.is_empty() && intents.iter().all(|intent| intent["status"]["phase"] == "Succeeded")
        })
        .await;
        self.claim(
            "edit here: written there once, its echo changes nothing",
            written && confirmed && self.writes() == writes,
        );
        Ok(())
    }

    fn writes(&self) -> u64 {
        self.forge.lock().writes().values().sum()
    }

    async fn edit_there(&mut self) -> Result<(), Error> {
        self.forge.lock().by("bob", now()).close(REPOSITORY, 3).map_err(refused)?;
        self.deliver().await;
        let server = &self.server;
        let holds = eventually(|| async {
            titled(&server.list("Issue").await, "Typo in help").is_some_and(|issue| issue["spec"]["state"] == "closed")
        })
        .await;
        self.claim("edit there: taken over here", holds);
        Ok(())
    }

    async fn merge(&mut self) -> Result<(), Error> {
        let name = self.name_of("Dark mode").await?;
        self.forge.lock().by("bob", now()).label(REPOSITORY, 4, &["design"]).map_err(refused)?;
        self.patch(&name, json!({"labels": ["triage", "ui"]})).await?;
        self.deliver().await;
        let (forge, server) = (&self.forge, &self.server);
        let holds = eventually(|| async {
            let mut there: Vec<String> =
                forge.lock().label_names(REPOSITORY, 4).into_iter().map(str::to_owned).collect();
            there.sort();
            let issues = server.list("Issue").await;
            let here = titled(&issues, "Dark mode").map(|issue| issue["spec"]["labels"].clone());
            there == ["design", "triage", "ui"] && here == Some(json!(["design", "triage", "ui"]))
        })
        .await;
        self.claim("merge: labels that both sides added are on both sides", holds);
        Ok(())
    }

    async fn conflict(&mut self) -> Result<(), Error> {
        let name = self.name_of("Flaky test").await?;
        let edit = IssueEdit { title: Some("Flaky test on arm64".into()), ..IssueEdit::default() };
        self.forge.lock().by("bob", now()).edit_issue(REPOSITORY, 5, edit).map_err(refused)?;
        self.patch(&name, json!({"title": "Flaky test in CI"})).await?;
        self.deliver().await;
        let server = &self.server;
        let open = eventually(|| async { !server.list("ExternalSyncConflict").await.is_empty() }).await;
        let there = self.forge.lock().issue(REPOSITORY, 5).map(|issue| issue.title.clone());
        let kept = there.as_deref() == Some("Flaky test on arm64") && self.name_of("Flaky test in CI").await.is_ok();
        self.claim("conflict: both edit the title, neither is overwritten", open && kept);

        let conflicts = self.server.list("ExternalSyncConflict").await;
        let conflict = conflicts.first().and_then(|conflict| conflict["metadata"]["name"].as_str()).unwrap_or_default();
        let path = format!("conflicts/{NAMESPACE}/{conflict}/resolve");
        self.server.send(Method::POST, &path, &json!({"strategy": "preferKrate"})).await?;
        let (forge, server) = (&self.forge, &self.server);
        let resolved = eventually(|| async {
            let conflicts = server.list("ExternalSyncConflict").await;
            forge.lock().issue(REPOSITORY, 5).is_some_and(|issue| issue.title == "Flaky test in CI")
                && conflicts.iter().all(|conflict| conflict["status"]["phase"] == "Resolved")
        })
        .await;
        self.claim("resolution: a person decides, and the decision is written", resolved);
        self.deliver().await;
        Ok(())
    }

    async fn crash(&mut self) -> Result<(), Error> {
        let name = self.name_of("Crash on start").await?;
        let subject = json!({"kind": "Issue", "name": name});
        let before = self.forge.lock().comments(REPOSITORY, 1).len();
        self.forge.stall();
        for number in 1..=5 {
            let comment = json!({
                "apiVersion": krate_model::API_VERSION, "kind": "Comment",
                "metadata": {"name": format!("note-{number}"), "namespace": NAMESPACE},
                "spec": {"organizationRef": "acme", "subject": subject, "body": {"markdown": format!("Note {number}")}},
            });
            self.server.send(Method::POST, "Comment", &comment).await?;
        }
        note(
            "five comments are wanted; kill -9 when one is written and its answer isn't there yet, and an edit there meanwhile",
        );
        let is_held = timeout(PATIENCE, self.forge.stalled()).await.is_ok();
        self.server.kill().await?;
        let written = self.forge.lock().comments(REPOSITORY, 1).len() - before;
        self.forge.go_on();
        self.claim("kill -9: one of five comments is written, and krate doesn't know it", is_held && written == 1);
        self.forge.lock().by("bob", now()).reopen(REPOSITORY, 3).map_err(refused)?;
        // Nobody listens: these webhooks are lost.
        self.forge.deliveries();
        self.server.restart(SECRETS).await?;
        let (forge, server) = (&self.forge, &self.server);
        let written = eventually(|| async {
            let intents = server.list("ExternalWriteIntent").await;
            let done =
                |intent: &Value| ["Succeeded", "Rejected"].contains(&intent["status"]["phase"].as_str().unwrap_or(""));
            forge.lock().comments(REPOSITORY, 1).len() >= before + 5 && intents.iter().all(done)
        })
        .await;
        self.deliver().await;
        let bodies: Vec<String> =
            self.forge.lock().comments(REPOSITORY, 1).iter().map(|comment| comment.body.clone()).collect();
        let once =
            (1..=5).all(|number| bodies.iter().filter(|body| body.starts_with(&format!("Note {number}"))).count() == 1);
        self.claim("crash: every wanted comment is written, none twice", written && once);
        let server = &self.server;
        let repaired = eventually(|| async {
            titled(&server.list("Issue").await, "Typo in help").is_some_and(|issue| issue["spec"]["state"] == "open")
        })
        .await;
        self.claim("lost webhook: the next backfill finds the edit", repaired);
        Ok(())
    }

    async fn replay(&mut self) {
        let deliveries: Vec<_> = self.forge.lock().deliveries().cloned().collect();
        let before = (self.server.list("Issue").await.len(), self.server.list("Comment").await.len(), self.writes());
        let mut acknowledged = 0;
        for delivery in &deliveries {
            acknowledged += usize::from(self.server.post(delivery).await);
        }
        let server = &self.server;
        let quiet = eventually(|| async {
            server
                .list("ExternalWebhookDelivery")
                .await
                .iter()
                .all(|delivery| delivery["status"]["phase"] == "Succeeded")
        })
        .await;
        let after = (self.server.list("Issue").await.len(), self.server.list("Comment").await.len(), self.writes());
        let all = acknowledged == deliveries.len();
        self.claim("replay: every webhook again, and nothing doubles", all && quiet && before == after);
    }
}
