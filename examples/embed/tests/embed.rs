//! The program of forty lines does what it says: a signed webhook is read and merged, a forged one is not.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

const BODY: &str = r#"{"action": "edited", "changes": {"title": {"from": "Crash"}},
  "issue": {"id": 444500041, "node_id": "I_1", "number": 7, "title": "Crash on start", "body": null, "state": "open",
    "url": "https://api.github.com/repos/acme/web/issues/7", "html_url": "https://github.com/acme/web/issues/7",
    "user": {"id": 1, "login": "octocat", "type": "User"}, "labels": [], "assignees": [], "milestone": null, "comments": 0, "locked": false,
    "created_at": "2026-05-01T10:00:00Z", "updated_at": "2026-05-01T10:00:00Z", "closed_at": null},
  "repository": {"id": 5, "node_id": "R_1", "name": "web", "full_name": "acme/web", "private": false,
    "owner": {"id": 9, "login": "acme", "type": "Organization"}},
  "sender": {"id": 1, "login": "octocat", "type": "User"}}"#;

fn signature(secret: &str) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).unwrap();
    mac.update(BODY.as_bytes());
    mac.finalize().into_bytes().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Starts the program and posts the webhook, signed with `secret`. What it printed, and what it answered.
fn post(secret: &str) -> (Child, String, String) {
    let mut child = Command::new(env!("CARGO_BIN_EXE_krate-embed"))
        .arg("127.0.0.1:0")
        .env("HOOK_SECRET", "right")
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut printed = BufReader::new(child.stdout.take().unwrap());
    let mut address = String::new();
    printed.read_line(&mut address).unwrap();
    let mut stream = TcpStream::connect(address.trim()).unwrap();
    write!(
        stream,
        "POST / HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nX-GitHub-Event: issues\r\nX-GitHub-Delivery: 1\r\n\
         X-Hub-Signature-256: sha256={}\r\nContent-Length: {}\r\n\r\n{BODY}",
        signature(secret),
        BODY.len()
    )
    .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let mut rest = String::new();
    printed.read_to_string(&mut rest).unwrap();
    (child, rest, answer)
}

#[test]
fn a_signed_webhook_is_read_and_merged() {
    let (mut child, printed, answer) = post("right");
    assert!(child.wait().unwrap().success());
    assert_eq!(printed, "updated Issue 444500041\nTakeObserved\n");
    assert!(answer.starts_with("HTTP/1.1 202"), "{answer}");
}

#[test]
fn s9_a_forged_webhook_is_not() {
    let (mut child, printed, answer) = post("wrong");
    assert!(!child.wait().unwrap().success());
    assert_eq!((&*printed, &*answer), ("", ""));
}

#[test]
fn it_stays_within_forty_lines() {
    let source = include_str!("../src/main.rs");
    assert!(source.lines().count() <= 40, "{} lines", source.lines().count());
}
