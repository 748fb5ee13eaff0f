//! Running the built `krate`.

use std::ffi::OsStr;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use hmac::{Hmac, KeyInit, Mac};
use serde_json::{Value, json};
use sha2::Sha256;
use tempfile::TempDir;

/// What a run came to.
#[derive(Debug)]
pub(crate) struct Ran {
    /// Exit code.
    pub code: i32,
    /// Standard output.
    pub out: String,
    /// Standard error.
    pub err: String,
}

impl Ran {
    fn of(output: Output) -> Self {
        let text = |bytes| String::from_utf8(bytes).expect("krate prints UTF-8");
        Self {
            code: output.status.code().expect("krate ends by itself"),
            out: text(output.stdout),
            err: text(output.stderr),
        }
    }

    /// Standard output as JSON.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("no JSON ({error}): {self:?}"))
    }

    /// Fails unless it ended with this code.
    #[track_caller]
    pub(crate) fn ends(self, code: i32) -> Self {
        assert_eq!(self.code, code, "{self:?}");
        // Nothing here is a terminal.
        assert!(!self.out.contains('\u{1b}') && !self.err.contains('\u{1b}'), "escape codes in {self:?}");
        self
    }
}

/// `krate` with these arguments, not started yet.
pub(crate) fn command<S: AsRef<OsStr>>(args: impl IntoIterator<Item = S>) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_krate"));
    command.args(args).env_remove("CLICOLOR_FORCE").env_remove("FORCE_COLOR");
    command
}

/// Runs `krate`.
pub(crate) fn krate<S: AsRef<OsStr>>(args: impl IntoIterator<Item = S>) -> Ran {
    Ran::of(command(args).stdin(Stdio::null()).output().expect("krate starts"))
}

/// Runs `krate` with a text on standard input.
pub(crate) fn krate_reading<S: AsRef<OsStr>>(args: impl IntoIterator<Item = S>, input: &str) -> Ran {
    let mut command = command(args);
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("krate starts");
    child.stdin.take().expect("it is piped").write_all(input.as_bytes()).expect("krate reads");
    Ran::of(child.wait_with_output().expect("krate ends"))
}

/// A folder with a delivery's files.
pub(crate) struct Delivery {
    folder: TempDir,
}

/// The secret that [`Delivery`] is signed with.
pub(crate) const SECRET: &str = "canary-webhook-secret-5f2b";

impl Delivery {
    /// A delivery of `event`, signed as GitHub signs.
    pub(crate) fn of(event: &str, body: &str) -> Self {
        let mut mac = Hmac::<Sha256>::new_from_slice(SECRET.as_bytes()).expect("any length is a key");
        mac.update(body.as_bytes());
        let signature: String = mac.finalize().into_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
        Self::with_headers(
            &json!({
                "X-GitHub-Event": event,
                "X-GitHub-Delivery": ["72d3162e-cc78-11e3-81ab-4c9367dc0958"],
                "Content-Type": "application/json",
                "X-Hub-Signature-256": format!("sha256={signature}"),
            }),
            body,
        )
    }

    /// A delivery with these headers.
    pub(crate) fn with_headers(headers: &Value, body: &str) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        fs::write(folder.path().join("headers.json"), headers.to_string()).expect("written");
        fs::write(folder.path().join("body.json"), body).expect("written");
        Self { folder }
    }

    /// The headers' file.
    pub(crate) fn headers(&self) -> PathBuf {
        self.folder.path().join("headers.json")
    }

    /// The body's file.
    pub(crate) fn body(&self) -> PathBuf {
        self.folder.path().join("body.json")
    }

    /// `krate webhook <what>` on it, with more arguments.
    pub(crate) fn command(&self, what: &str, more: &[&str]) -> Command {
        let (headers, body) = (self.headers(), self.body());
        let files = [Path::new("--headers"), &headers, Path::new("--body"), &body];
        let mut command = command(["webhook", what, "--provider", "github"]);
        command.args(files).args(more).env("HOOK_SECRET", SECRET).stdin(Stdio::null());
        command
    }

    /// Runs that.
    pub(crate) fn run(&self, what: &str, more: &[&str]) -> Ran {
        Ran::of(self.command(what, more).output().expect("krate starts"))
    }
}

/// An issue as GitHub tells it.
pub(crate) const ISSUE_OPENED: &str = r#"{
  "action": "opened",
  "issue": {
    "id": 444500041, "node_id": "I_1", "number": 7, "title": "Crash on start", "body": "It crashes.", "state": "open",
    "url": "https://api.github.com/repos/acme/web/issues/7", "html_url": "https://github.com/acme/web/issues/7",
    "user": {"id": 1, "login": "octocat", "type": "User"}, "labels": [{"id": 2, "name": "bug", "color": "d73a4a"}], "assignees": [],
    "milestone": null, "comments": 0, "locked": false,
    "created_at": "2026-05-01T10:00:00Z", "updated_at": "2026-05-01T10:00:00Z", "closed_at": null
  },
  "repository": {"id": 5, "node_id": "R_1", "name": "web", "full_name": "acme/web", "private": false,
    "owner": {"id": 9, "login": "acme", "type": "Organization"}},
  "sender": {"id": 1, "login": "octocat", "type": "User"}
}"#;
