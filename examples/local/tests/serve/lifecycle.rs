//! Starting, stopping, and what the process tells about itself.

use std::collections::BTreeMap;

use http::StatusCode;
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::harness::{Home, Server};
use crate::hook::Hook;

fn id(number: usize) -> String {
    format!("{number:08}-cc78-11e3-81ab-4c9367dc0958")
}

/// A request of which the server waits for the body.
async fn begun(server: &Server, hook: &Hook) -> TcpStream {
    let mut stream = TcpStream::connect(server.address()).await.expect("it listens");
    // The server answers this when it begins to read the body.
    let head = hook.head(server).replace("\r\n\r\n", "\r\nexpect: 100-continue\r\n\r\n");
    stream.write_all(head.as_bytes()).await.expect("sent");
    let mut told = [0; 25];
    stream.read_exact(&mut told).await.expect("answered");
    assert!(told.starts_with(b"HTTP/1.1 100 Continue"), "{}", String::from_utf8_lossy(&told));
    stream
}

#[tokio::test]
async fn s10_sigterm_answers_what_is_in_flight_and_keeps_what_was_acknowledged() {
    let home = Home::new();
    let mut server = home.start().await;
    for number in 1..=40 {
        let answer = Hook::issue(&id(number), 1, "Backlog").post(&server).await;
        assert_eq!(answer.status, StatusCode::ACCEPTED);
    }
    let last = Hook::issue(&id(41), 2, "In flight");
    let mut stream = begun(&server, &last).await;
    server.signal("-TERM");
    assert!(server.log.line(|line| line.contains("stopping")).await.is_some());
    // Whoever asks whether it is ready gets no answer any more.
    while let Ok(mut late) = TcpStream::connect(server.address()).await {
        let _ = late.write_all(b"GET /readyz HTTP/1.1\r\nhost: 127.0.0.1\r\nconnection: close\r\n\r\n").await;
        let mut answer = String::new();
        let _ = late.read_to_string(&mut answer).await;
        assert!(!answer.starts_with("HTTP/1.1 200"), "{answer}");
    }
    stream.write_all(&last.body).await.expect("sent");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.expect("answered, and closed");
    assert!(answer.starts_with("HTTP/1.1 202"), "{answer}");
    assert_eq!(server.ended().await.code(), Some(0), "{}", server.log.text());
    assert!(server.log.all().await.contains("stopped"));

    let server = home.start().await;
    let records = server.settled_deliveries(41).await;
    assert!(records.iter().all(|record| record["status"]["phase"] == "Succeeded"), "{records:#?}");
    server.stop().await;
}

#[tokio::test]
async fn a_sender_that_never_ends_does_not_hold_the_process() {
    let home = Home::new();
    let mut server = home.start().await;
    let _stream = begun(&server, &Hook::issue(&id(1), 1, "Endless")).await;
    server.signal("-INT");
    assert_eq!(server.ended().await.code(), Some(0), "{}", server.log.text());
    assert!(server.log.all().await.contains("cut off"));
}

#[tokio::test]
async fn it_is_ready_once_it_listens_and_prints_its_address_only() {
    let home = Home::new();
    let server = home.start().await;
    let ready = server.get("/readyz").await;
    assert_eq!(
        (ready.status, ready.json()),
        (StatusCode::OK, serde_json::json!({"store": "ok", "worker": "ok", "process": "ok"}))
    );
    let health = server.get("/healthz").await;
    assert_eq!((health.status, health.text.as_str()), (StatusCode::OK, "ok\n"));
    let address = format!("listening on {}\n", server.origin);
    let out = server.out.text();
    server.stop().await;
    assert_eq!(out, address);
}

#[tokio::test]
async fn each_line_of_the_json_log_is_json() {
    let home = Home::new();
    let server = home.start().await;
    Hook::issue(&id(1), 1, "line\nbreak \"quoted\"").post(&server).await;
    Hook::issue(&id(2), 1, "x").set("x-hub-signature-256", "sha256=\t00").post(&server).await;
    server.settled_deliveries(2).await;
    let log = server.stop().await;
    let lines: Vec<Value> = log
        .lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("no JSON ({error}): {line}")))
        .collect();
    for line in &lines {
        for member in ["timestamp", "level", "target"] {
            assert!(line[member].is_string(), "{member}: {line}");
        }
        assert!(line["fields"]["message"].is_string(), "{line}");
    }
    let rejected = lines.iter().find(|line| line["fields"]["reason"] == "signature").expect("the rejection is logged");
    assert_eq!((&rejected["fields"]["provider"], &rejected["fields"]["status"]), (&"gh".into(), &401.into()));
    assert!(lines.iter().any(|line| line["fields"]["signal"] == "SIGTERM"), "{log}");
}

/// Samples by name and labels, as Prometheus reads them; the text is refused where it is no exposition.
fn samples(text: &str) -> BTreeMap<String, f64> {
    let mut all = BTreeMap::new();
    let mut types = BTreeMap::new();
    let is_name = |name: &str| {
        !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b':')
    };
    let (body, end) = text.split_at(text.len() - "# EOF\n".len());
    assert_eq!(end, "# EOF\n");
    for line in body.lines() {
        if let Some(comment) = line.strip_prefix("# ") {
            let mut words = comment.splitn(3, ' ');
            let (what, name) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
            assert!(["HELP", "TYPE", "UNIT"].contains(&what) && is_name(name), "{line}");
            if what == "TYPE" {
                types.insert(name.to_owned(), words.next().unwrap_or_default().to_owned());
            }
            continue;
        }
        let (series, value) = line.rsplit_once(' ').unwrap_or_else(|| panic!("no sample: {line}"));
        let name = series.split('{').next().unwrap_or_default();
        assert!(is_name(name) && (series == name || series.ends_with('}')), "{line}");
        let value: f64 = value.parse().unwrap_or_else(|_| panic!("no number: {line}"));
        let family = types.keys().filter(|family| name.starts_with(family.as_str())).max_by_key(|family| family.len());
        let kind = family.map(|family| types[family].as_str());
        assert!(matches!(kind, Some("counter" | "gauge" | "histogram")), "{line}: no type");
        assert!(kind != Some("counter") || name.ends_with("_total"), "{line}");
        assert!(all.insert(series.to_owned(), value).is_none(), "twice: {line}");
    }
    all
}

#[tokio::test]
async fn metrics_count_what_happened() {
    let home = Home::new();
    let server = home.start().await;
    let hook = Hook::issue(&id(1), 1, "Crash");
    for hook in [&hook, &hook, &Hook::issue(&id(2), 2, "Slow"), &hook.clone().without("x-hub-signature-256")] {
        hook.post(&server).await;
    }
    server.settled_deliveries(3).await;
    let answer = server.get("/metrics").await;
    let kind = answer.headers.get("content-type").and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    assert!(kind.starts_with("application/openmetrics-text"), "{kind}");
    let samples = samples(&answer.text);
    let value = |series: &str| *samples.get(series).unwrap_or_else(|| panic!("{series} in {samples:#?}"));
    let counted = |name: f64, expected: f64| assert!((name - expected).abs() < f64::EPSILON, "{name} {expected}");
    counted(value("krate_deliveries_total{outcome=\"accepted\",reason=\"\"}"), 2.0);
    counted(value("krate_deliveries_total{outcome=\"duplicate\",reason=\"\"}"), 1.0);
    counted(value("krate_deliveries_total{outcome=\"rejected\",reason=\"signature\"}"), 1.0);
    counted(value("krate_answer_seconds_count"), 4.0);
    counted(value("krate_answer_seconds_bucket{le=\"+Inf\"}"), 4.0);
    assert!(value("krate_answer_seconds_sum") > 0.0);
    counted(value("krate_queue_depth{kind=\"ExternalWebhookDelivery\"}"), 0.0);
    counted(value("krate_worker_up"), 1.0);
    assert!(value("krate_passes_total") >= 1.0);
    assert!(value("krate_records_total") >= 2.0);
    assert!(value("krate_store{what=\"commits\"}") >= 4.0);
    assert!(samples.contains_key("krate_due_lag_seconds"));
    server.stop().await;
}
