//! `krate serve` as a process of its own, so that it can really be killed.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::process::{Child, Command};
use tokio::time::{Instant, sleep};

use crate::error::Error;

/// How long something may take before a claim counts as broken.
pub(super) const PATIENCE: Duration = Duration::from_secs(12);
/// How often another process is asked whether it is done.
const ASK_EVERY: Duration = Duration::from_millis(20);
pub(super) const NAMESPACE: &str = "krate-org-acme";

/// A running `krate serve`.
pub(super) struct Server {
    child: Child,
    folder: PathBuf,
    origin: String,
    client: reqwest::Client,
}

impl Server {
    /// Writes the configuration into `folder` and starts the process.
    pub(super) async fn start(
        folder: &Path,
        port: u16,
        forge: &str,
        secrets: [(&str, &str); 2],
    ) -> Result<Self, Error> {
        let config = json!({
            "listen": format!("127.0.0.1:{port}"),
            "store": {"path": "krate.redb"},
            "objects": objects(forge),
            "secrets": {"forge": {"token": {"env": secrets[0].0}, "webhook": {"env": secrets[1].0}}},
        });
        let file = folder.join("krate.yaml");
        std::fs::write(&file, config.to_string())
            .map_err(|error| Error::new(format!("{}: {error}", file.display())))?;
        let client = reqwest::Client::builder()
            .timeout(PATIENCE)
            .build()
            .map_err(|error| Error::new(format!("no HTTP client: {error}")))?;
        let child = spawn(folder, secrets)?;
        let mut server = Self { child, folder: folder.to_owned(), origin: format!("http://127.0.0.1:{port}"), client };
        server.ready().await?;
        Ok(server)
    }

    /// Kills the process as a power cut would, without a word.
    pub(super) async fn kill(&mut self) -> Result<(), Error> {
        self.child.kill().await.map_err(|error| Error::new(format!("can't kill the server: {error}")))
    }

    /// Starts it again on the same store.
    pub(super) async fn restart(&mut self, secrets: [(&str, &str); 2]) -> Result<(), Error> {
        self.child = spawn(&self.folder, secrets)?;
        self.ready().await
    }

    async fn ready(&mut self) -> Result<(), Error> {
        let begin = Instant::now();
        loop {
            if let Ok(Some(status)) = self.child.try_wait() {
                let log = std::fs::read_to_string(self.folder.join("serve.log")).unwrap_or_default();
                return Err(Error::new(format!("krate serve ended at once ({status}): {}", log.trim())));
            }
            let asked = self.client.get(format!("{}/readyz", self.origin)).send().await;
            if asked.is_ok_and(|answer| answer.status().is_success()) {
                return Ok(());
            }
            if begin.elapsed() > PATIENCE {
                return Err(Error::new("krate serve doesn't get ready"));
            }
            sleep(ASK_EVERY).await;
        }
    }

    /// Posts a webhook as the forge would; whether it was acknowledged.
    pub(super) async fn post(&self, delivery: &krate_providers::simulator::Delivery) -> bool {
        let request = delivery.to_request();
        let sent = self
            .client
            .post(format!("{}/webhooks/forge", self.origin))
            .headers(request.headers().clone())
            .body(request.into_body())
            .send()
            .await;
        sent.is_ok_and(|answer| answer.status().is_success())
    }

    /// All objects of a kind.
    pub(super) async fn list(&self, kind: &str) -> Vec<Value> {
        let asked = self.client.get(format!("{}/api/v1/{kind}?namespace={NAMESPACE}", self.origin)).send().await;
        let Ok(answer) = asked else { return Vec::new() };
        let Ok(mut body) = answer.json::<Value>().await else { return Vec::new() };
        match body["items"].take() {
            Value::Array(items) => items,
            _ => Vec::new(),
        }
    }

    /// Sends a change; the answer's body, or what was wrong.
    pub(super) async fn send(&self, method: http::Method, path: &str, body: &Value) -> Result<Value, Error> {
        let asked = self
            .client
            .request(method, format!("{}/api/v1/{path}", self.origin))
            .header("krate-user", "alice")
            .json(body)
            .send()
            .await
            .map_err(|error| Error::new(format!("{path}: {error}")))?;
        let status = asked.status();
        let text = asked.text().await.unwrap_or_default();
        if !status.is_success() {
            return Err(Error::new(format!("{path}: {status}: {text}")));
        }
        Ok(serde_json::from_str(&text).unwrap_or_default())
    }
}

/// Asks until `holds`, for a while.
pub(super) async fn eventually<F: Future<Output = bool>>(mut holds: impl FnMut() -> F) -> bool {
    let begin = Instant::now();
    while begin.elapsed() < PATIENCE {
        if holds().await {
            return true;
        }
        sleep(ASK_EVERY).await;
    }
    false
}

fn spawn(folder: &Path, secrets: [(&str, &str); 2]) -> Result<Child, Error> {
    let failed = |error: std::io::Error| Error::new(format!("can't start krate serve: {error}"));
    let log = std::fs::OpenOptions::new().create(true).append(true).open(folder.join("serve.log")).map_err(failed)?;
    Command::new(std::env::current_exe().map_err(failed)?)
        .args(["serve", "--config"])
        .arg(folder.join("krate.yaml"))
        .envs(secrets)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(log)
        .kill_on_drop(true)
        .spawn()
        .map_err(failed)
}

fn objects(forge: &str) -> Value {
    let metadata = |name: &str, namespace: &str| json!({"name": name, "namespace": namespace});
    let api = krate_model::API_VERSION;
    json!([
        {"apiVersion": api, "kind": "Organization", "metadata": metadata("acme", "krate-system"),
         "spec": {"displayName": "Acme", "slug": "acme", "namespaceName": NAMESPACE}},
        {"apiVersion": api, "kind": "Repository", "metadata": metadata("site", NAMESPACE),
         "spec": {"organizationRef": "acme", "visibility": "private", "backend": {"mode": "external", "bindingRef": "site"}}},
        {"apiVersion": api, "kind": "ExternalBackendProvider", "metadata": metadata("forge", NAMESPACE),
         "spec": {"organizationRef": "acme", "providerType": "github", "displayName": "Simulated forge",
                  "apiBaseUrl": format!("{forge}/api/v3"), "allowInsecure": true,
                  "authRef": {"mode": "personal-access-token", "secretRef": {"name": "forge"}},
                  "webhook": {"secretRefs": [{"name": "first", "secretRef": {"name": "forge", "key": "webhook"}}]},
                  "capabilities": {"issueTracking": true, "gitForge": true}}},
        {"apiVersion": api, "kind": "ExternalBackendSyncPolicy", "metadata": metadata("quick", NAMESPACE),
         "spec": {"organizationRef": "acme", "backfill": {"interval": "2s", "overlap": "1m"}}},
        {"apiVersion": api, "kind": "ExternalBackendBinding", "metadata": metadata("site", NAMESPACE),
         "spec": {"organizationRef": "acme", "providerRef": "forge", "syncPolicyRef": "quick",
                  "targetRef": {"kind": "Repository", "name": "site"},
                  "externalRef": {"owner": "acme", "repository": "site"},
                  "interfaces": [{"name": "issueTracking", "mode": "bidirectional"},
                                 {"name": "gitForge", "mode": "read-only"}]}},
    ])
}
