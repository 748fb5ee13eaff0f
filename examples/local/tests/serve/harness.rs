//! A `krate serve` with a folder of its own: started, asked, stopped, killed, started again.

use std::ffi::OsStr;
use std::fs;
use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};
use std::time::{Duration, Instant};

use http::{HeaderMap, Method, StatusCode};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader};
use tokio::process::{Child, Command};
use tokio::sync::watch;

/// How long anything may take before a test gives up.
pub(crate) const PATIENCE: Duration = Duration::from_mins(1);
/// How often the process is asked for what it can't announce over HTTP.
const ASK_EVERY: Duration = Duration::from_millis(20);
pub(crate) const NAMESPACE: &str = "krate-org-acme";
/// What signs webhooks.
pub(crate) const WEBHOOK_SECRET: &str = "canary-webhook-secret-8f1d";
/// What the provider's API gets.
pub(crate) const PROVIDER_TOKEN: &str = "canary-provider-token-77ab";
/// What our API asks for, where a test configures it.
pub(crate) const API_TOKEN: &str = "canary-api-token-51c0";

/// The folder of a server, and what it is started with.
pub(crate) struct Home {
    folder: TempDir,
    pub(crate) config: Value,
    pub(crate) args: Vec<String>,
    /// The text of the configuration, in place of `config`.
    pub(crate) document: Option<String>,
    /// More of the environment.
    pub(crate) env: Vec<(&'static str, String)>,
}

impl Home {
    /// A provider `gh`, no binding, and an address where no provider answers.
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let config = json!({
            "listen": "127.0.0.1:0",
            "store": {"path": "krate.redb"},
            "secrets": {"gh": {"token": {"env": "TEST_PROVIDER_TOKEN"}, "webhook": {"env": "TEST_WEBHOOK_SECRET"}},
                        "api": {"token": {"env": "TEST_API_TOKEN"}}},
            "objects": [organization(), provider("http://127.0.0.1:9/api/v3")],
        });
        Self { folder, config, args: vec!["--log".into(), "json".into()], document: None, env: Vec::new() }
    }

    /// The same with other settings.
    pub(crate) fn with(mut self, settings: &Value) -> Self {
        for (name, value) in settings.as_object().expect("settings") {
            self.config[name] = value.clone();
        }
        self
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// `krate` in this folder, with the secrets in its environment.
    pub(crate) fn krate<S: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = S>) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_krate"));
        command.args(args).current_dir(self.folder.path()).stdin(Stdio::null()).kill_on_drop(true);
        for name in ["KRATE_SERVER", "KRATE_NAMESPACE", "KRATE_TOKEN", "KRATE_LOG", "CLICOLOR_FORCE", "FORCE_COLOR"] {
            command.env_remove(name);
        }
        command
            .env("TEST_WEBHOOK_SECRET", WEBHOOK_SECRET)
            .env("TEST_PROVIDER_TOKEN", PROVIDER_TOKEN)
            .env("TEST_API_TOKEN", API_TOKEN);
        command
    }

    fn serve(&self) -> Command {
        let document = self.document.clone().unwrap_or_else(|| self.config.to_string());
        fs::write(self.path("krate.yaml"), document).expect("the configuration is written");
        let mut command = self.krate(["serve", "--config", "krate.yaml"]);
        command
            .args(&self.args)
            .envs(self.env.iter().map(|(name, value)| (*name, value)))
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    /// Starts it and waits until it says where it listens.
    pub(crate) async fn start(&self) -> Server {
        let mut child = self.serve().spawn().expect("krate starts");
        let out = Lines::of(child.stdout.take().expect("it is piped"));
        let log = Lines::of(child.stderr.take().expect("it is piped"));
        let line = out.line(|line| line.starts_with("listening on ")).await;
        let origin = line.unwrap_or_else(|| panic!("krate serve doesn't start: {}", log.text()));
        let origin = origin.trim_start_matches("listening on ").to_owned();
        let http = reqwest::Client::builder().timeout(PATIENCE).build().expect("a client");
        Server { child, origin, out, log, http, token: None }
    }

    /// Starts it where it can't: exit code, standard output and error.
    pub(crate) async fn fails_to_start(&self) -> Ran {
        Ran::of(self.serve()).await
    }
}

/// What a command came to.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Ran {
    pub(crate) async fn of(mut command: Command) -> Self {
        let output = tokio::time::timeout(PATIENCE, command.output()).await.expect("it ends").expect("krate starts");
        let text = |bytes| String::from_utf8(bytes).expect("krate prints UTF-8");
        Self { code: output.status.code(), out: text(output.stdout), err: text(output.stderr) }
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("no JSON ({error}): {self:?}"))
    }

    /// Fails unless it ended with this code.
    #[track_caller]
    pub(crate) fn ends(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "{self:?}");
        self
    }
}

/// What a process has printed so far.
pub(crate) struct Lines(watch::Receiver<String>);

impl Lines {
    fn of(stream: impl AsyncRead + Send + Unpin + 'static) -> Self {
        let (told, seen) = watch::channel(String::new());
        tokio::spawn(async move {
            let mut lines = BufReader::new(stream).lines();
            while let Ok(Some(line)) = lines.next_line().await {
                told.send_modify(|text| {
                    text.push_str(&line);
                    text.push('\n');
                });
            }
        });
        Self(seen)
    }

    pub(crate) fn text(&self) -> String {
        self.0.borrow().clone()
    }

    /// Waits for a line; `None` when the process ends, or takes too long, without it.
    pub(crate) async fn line(&self, fits: impl Fn(&str) -> bool) -> Option<String> {
        let mut seen = self.0.clone();
        let has_line = |text: &String| text.lines().any(&fits);
        let text = tokio::time::timeout(PATIENCE, seen.wait_for(has_line)).await.ok()?.ok()?;
        text.lines().find(|line| fits(line)).map(str::to_owned)
    }

    /// Everything, once the stream has ended.
    pub(crate) async fn all(&self) -> String {
        let mut seen = self.0.clone();
        // The stream's end is the sender's end.
        let _ = tokio::time::timeout(PATIENCE, seen.wait_for(|_| false)).await.expect("the stream ends");
        self.text()
    }
}

/// A running server.
pub(crate) struct Server {
    child: Child,
    pub(crate) origin: String,
    pub(crate) out: Lines,
    pub(crate) log: Lines,
    http: reqwest::Client,
    /// The token for the API.
    pub(crate) token: Option<&'static str>,
}

/// An answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) text: String,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("no JSON ({error}): {self:?}"))
    }

    /// The code and the message of an error.
    pub(crate) fn error(&self) -> (String, String) {
        let json = self.json();
        let text = |pointer: &str| json.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned();
        (text("/error/code"), text("/error/message"))
    }
}

impl Server {
    /// `127.0.0.1:PORT`.
    pub(crate) fn address(&self) -> &str {
        self.origin.trim_start_matches("http://")
    }

    pub(crate) async fn send(&self, method: Method, path: &str, headers: HeaderMap, body: Vec<u8>) -> Answer {
        // Who brings a token of their own is asked as who they are.
        let token = self.token.filter(|_| !headers.contains_key("authorization"));
        let mut request = self.http.request(method, format!("{}{path}", self.origin)).headers(headers).body(body);
        if let Some(token) = token {
            request = request.bearer_auth(token);
        }
        let answer = request.send().await.unwrap_or_else(|error| panic!("{path}: {error}"));
        let (status, headers) = (answer.status(), answer.headers().clone());
        Answer { status, headers, text: answer.text().await.expect("the answer is text") }
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.send(Method::GET, path, HeaderMap::new(), Vec::new()).await
    }

    /// All objects of a kind.
    pub(crate) async fn list(&self, kind: &str) -> Vec<Value> {
        let mut all = Vec::new();
        let mut path = format!("/api/v1/{kind}?limit=500");
        loop {
            let answer = self.get(&path).await;
            assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
            let mut page = answer.json();
            match page["items"].take() {
                Value::Array(items) => all.extend(items),
                other => panic!("{kind}: {other}"),
            }
            let Some(next) = page.pointer("/metadata/continue").and_then(Value::as_str) else { return all };
            path = format!("/api/v1/{kind}?limit=500&continue={next}");
        }
    }

    /// Asks for the objects of a kind until they are as wanted.
    pub(crate) async fn list_until(&self, kind: &str, wanted: impl Fn(&[Value]) -> bool) -> Vec<Value> {
        self.list_within(PATIENCE, kind, wanted).await
    }

    /// The same with more patience.
    pub(crate) async fn list_within(
        &self,
        patience: Duration,
        kind: &str,
        wanted: impl Fn(&[Value]) -> bool,
    ) -> Vec<Value> {
        let begin = Instant::now();
        loop {
            let found = self.list(kind).await;
            if wanted(&found) {
                return found;
            }
            assert!(begin.elapsed() < patience, "not in time: {kind} {found:#?}\n{}", self.log.text());
            tokio::time::sleep(ASK_EVERY).await;
        }
    }

    /// Every delivery record, once each is at its end.
    pub(crate) async fn settled_deliveries(&self, count: usize) -> Vec<Value> {
        let ended = ["Succeeded", "DeadLettered", "SignatureRejected"];
        let is_done = |delivery: &Value| ended.iter().any(|phase| delivery["status"]["phase"] == **phase);
        self.list_until("ExternalWebhookDelivery", |all| all.len() == count && all.iter().all(is_done)).await
    }

    /// Tells the process to stop.
    pub(crate) fn signal(&self, signal: &str) {
        let id = self.child.id().expect("it runs").to_string();
        let sent = std::process::Command::new("kill").args([signal, &id]).status().expect("there is kill");
        assert!(sent.success(), "kill {signal}");
    }

    /// Waits for its end.
    pub(crate) async fn ended(&mut self) -> ExitStatus {
        tokio::time::timeout(PATIENCE, self.child.wait()).await.expect("it ends in time").expect("it can be waited for")
    }

    /// Stops it in order.
    pub(crate) async fn stop(mut self) -> String {
        self.signal("-TERM");
        let status = self.ended().await;
        assert_eq!(status.code(), Some(0), "{}", self.log.text());
        self.log.all().await
    }

    /// Ends it as a power cut would.
    pub(crate) async fn kill(mut self) {
        self.child.kill().await.expect("it runs");
    }
}

/// An object of the configuration.
pub(crate) fn object(kind: &str, name: &str, spec: Value) -> Value {
    let namespace = if kind == "Organization" { "krate-system" } else { NAMESPACE };
    let metadata = json!({"name": name, "namespace": namespace});
    let mut object = json!({"apiVersion": "krate.a5c.ai/v1alpha1", "kind": kind, "metadata": metadata});
    object["spec"] = spec;
    object
}

fn organization() -> Value {
    object("Organization", "acme", json!({"displayName": "Acme", "slug": "acme", "namespaceName": NAMESPACE}))
}

/// The provider `gh` with its API there.
pub(crate) fn provider(api: &str) -> Value {
    let secret = |key: &str| json!({"name": "gh", "key": key});
    let spec = json!({
        "organizationRef": "acme", "providerType": "github", "displayName": "GitHub",
        "apiBaseUrl": api, "allowInsecure": true,
        "authRef": {"mode": "personal-access-token", "secretRef": {"name": "gh"}},
        "webhook": {"secretRefs": [{"name": "first", "secretRef": secret("webhook")}]},
        "capabilities": {"issueTracking": true, "gitForge": true, "cicd": true},
    });
    object("ExternalBackendProvider", "gh", spec)
}
