//! Bad input over HTTP: each has its own status and message, and nothing that was acknowledged is lost (S9, S12, S13).

use http::{HeaderMap, Method, StatusCode};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::harness::{Home, Server};
use crate::hook::{Hook, issue_opened, signature};

/// What a bad delivery is answered, and what the record of it says, where there is one.
struct Case {
    name: &'static str,
    hook: Hook,
    status: StatusCode,
    code: &'static str,
    says: &'static str,
}

fn cases() -> Vec<Case> {
    let good = || Hook::issue("11111111-cc78-11e3-81ab-4c9367dc0958", 1, "Crash");
    let raw = |body: &[u8]| Hook::new("issues", "22222222-cc78-11e3-81ab-4c9367dc0958", body);
    let case = |name, hook, status, code, says| Case { name, hook, status, code, says };
    let (unauthorized, bad) = (StatusCode::UNAUTHORIZED, StatusCode::BAD_REQUEST);
    let deep = format!("{}{}", "[".repeat(200), "]".repeat(200));
    vec![
        case("no signature", good().without("x-hub-signature-256"), unauthorized, "Signature", "X-Hub-Signature-256"),
        case(
            "another's signature",
            good().set("x-hub-signature-256", &signature("not the secret", &good().body)),
            unauthorized,
            "Signature",
            "fits none",
        ),
        case("a broken signature", good().set("x-hub-signature-256", "sha256=12"), unauthorized, "Signature", "64"),
        case(
            "the old SHA-1 only",
            good().without("x-hub-signature-256").set("x-hub-signature", "sha1=00"),
            unauthorized,
            "Signature",
            "X-Hub-Signature-256",
        ),
        case(
            "two signatures",
            good().again("x-hub-signature-256", &signature("other", b"")),
            unauthorized,
            "Signature",
            "more than once",
        ),
        case("no body", raw(b""), bad, "Body", "empty"),
        case("a long body", raw(&[b' '; 5000]), StatusCode::PAYLOAD_TOO_LARGE, "TooLarge", "4096"),
        case(
            "a form",
            raw(b"payload=%7B%7D").set("content-type", "application/x-www-form-urlencoded"),
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "ContentType",
            "application/json",
        ),
        case("no content type", good().without("content-type"), bad, "Header", "Content-Type"),
        case("a form that says it is JSON", raw(b"payload=%7B%7D"), bad, "Body", "JSON"),
        case("deep JSON", raw(deep.as_bytes()), bad, "Body", "deeper than 128"),
        case("no UTF-8", raw(b"{\"a\":\"\xff\"}"), bad, "Body", "UTF-8 from byte 6"),
        case("two delivery ids", good().again("x-github-delivery", "other"), bad, "Header", "X-GitHub-Delivery"),
        case("two events", good().again("x-github-event", "push"), bad, "Header", "X-GitHub-Event"),
        case("no delivery id", good().without("x-github-delivery"), bad, "Header", "X-GitHub-Delivery"),
        case("no event", good().without("x-github-event"), bad, "Header", "X-GitHub-Event"),
    ]
}

fn small() -> Home {
    Home::new().with(&json!({"limits": {"maxBodyBytes": 4096, "maxConcurrent": 2}}))
}

/// Still answers, and takes a good delivery.
async fn lives(server: &Server) {
    assert_eq!(server.get("/healthz").await.status, StatusCode::OK);
    assert_eq!(server.get("/readyz").await.status, StatusCode::OK);
}

#[tokio::test]
async fn s13_each_bad_delivery_gets_its_own_answer_and_loses_nothing() {
    let home = small();
    let server = home.start().await;
    let first = Hook::issue("00000000-0000-0000-0000-000000000001", 1, "Taken before");
    assert_eq!(first.post(&server).await.status, StatusCode::ACCEPTED);
    let mut messages = Vec::new();
    for case in cases() {
        let answer = case.hook.post(&server).await;
        let (code, message) = answer.error();
        assert_eq!((answer.status, code.as_str()), (case.status, case.code), "{}: {message}", case.name);
        assert!(message.contains(case.says), "{}: {message}", case.name);
        messages.push(message);
        lives(&server).await;
    }
    let last = Hook::issue("00000000-0000-0000-0000-000000000002", 2, "Taken after");
    assert_eq!(last.post(&server).await.status, StatusCode::ACCEPTED);
    // Two good ones; the bytes of three bad signatures are the same, and recorded once.
    let records = server.settled_deliveries(3).await;
    let good: Vec<&Value> = records.iter().filter(|record| record["status"]["phase"] == "Succeeded").collect();
    assert_eq!(good.len(), 2, "{records:#?}");
    let log = server.stop().await;
    assert!(!log.contains("panicked"), "{log}");
}

#[tokio::test]
async fn s9_a_rejected_delivery_is_recorded_by_its_digest_and_without_its_payload() {
    let home = small();
    let server = home.start().await;
    let text = "a text that nobody vouches for";
    let forged = Hook::issue("33333333-cc78-11e3-81ab-4c9367dc0958", 3, text).set("x-hub-signature-256", "sha256=00");
    assert_eq!(forged.post(&server).await.status, StatusCode::UNAUTHORIZED);
    assert_eq!(forged.post(&server).await.status, StatusCode::UNAUTHORIZED);
    let records = server.settled_deliveries(1).await;
    let record = &records[0];
    assert_eq!(record["status"]["phase"], "SignatureRejected");
    assert_eq!(record["spec"]["payload"]["storage"], "none");
    let digest = krate_model::Digest::of(&forged.body).to_string();
    assert_eq!(record["spec"]["payload"]["digest"], digest);
    // The id that a stranger claims is still free for the true delivery.
    let true_one = Hook::issue("33333333-cc78-11e3-81ab-4c9367dc0958", 3, "The true one");
    assert_eq!(true_one.post(&server).await.status, StatusCode::ACCEPTED);
    server.settled_deliveries(2).await;
    server.stop().await;
    let store = std::fs::read(home.path("krate.redb")).expect("the store");
    assert!(!store.windows(text.len()).any(|bytes| bytes == text.as_bytes()), "the rejected payload is in the store");
}

#[tokio::test]
async fn s12_an_unknown_event_ends_ignored_by_name_and_an_undecodable_one_is_kept() {
    let home = small();
    let server = home.start().await;
    let unknown = Hook::new("brand_new_event", "44444444-cc78-11e3-81ab-4c9367dc0958", "{\"action\":\"made\"}");
    assert_eq!(unknown.post(&server).await.status, StatusCode::ACCEPTED);
    let records = server.settled_deliveries(1).await;
    assert_eq!(records[0]["spec"]["eventType"], "brand_new_event");
    assert_eq!(records[0]["status"]["outcome"], "Ignored");

    let mut broken = issue_opened(5, "x");
    broken["issue"]["number"] = json!("five");
    let broken = Hook::new("issues", "55555555-cc78-11e3-81ab-4c9367dc0958", broken.to_string());
    assert_eq!(broken.post(&server).await.status, StatusCode::ACCEPTED);
    let is_retrying = |all: &[Value]| all.iter().any(|record| record["status"]["phase"] == "Retrying");
    let records = server.list_until("ExternalWebhookDelivery", is_retrying).await;
    let record = records.iter().find(|record| record["status"]["phase"] == "Retrying").expect("it is there");
    assert_eq!(record["status"]["error"]["path"], "issue.number", "{record:#}");
    server.stop().await;
}

#[tokio::test]
async fn wrong_paths_and_methods_are_told_so() {
    let home = small();
    let server = home.start().await;
    let hook = Hook::issue("66666666-cc78-11e3-81ab-4c9367dc0958", 6, "Crash");
    let at = |method, path, hook: Hook| server.send(method, path, hook.headers, hook.body);
    let nobody = at(Method::POST, "/webhooks/nobody", hook.clone()).await;
    assert_eq!((nobody.status, nobody.error().0.as_str()), (StatusCode::NOT_FOUND, "UnknownProvider"));
    let empty = || Hook { headers: HeaderMap::new(), body: Vec::new() };
    for (method, path) in [
        (Method::GET, "/webhooks/gh"),
        (Method::PUT, "/webhooks/gh"),
        (Method::POST, "/healthz"),
        (Method::DELETE, "/api/v1/Issue"),
    ] {
        let answer = at(method.clone(), path, empty()).await;
        assert_eq!(answer.status, StatusCode::METHOD_NOT_ALLOWED, "{method} {path}");
        assert_eq!(answer.error().0, "Method", "{method} {path}");
        assert!(answer.headers.contains_key("allow"), "{method} {path}");
    }
    for path in ["/", "/webhooks", "/webhooks/gh/more", "/api/v1", "/api/v2/Issue", "/api/v1/Nonsense"] {
        let answer = at(Method::GET, path, empty()).await;
        assert_eq!(answer.status, StatusCode::NOT_FOUND, "{path}");
        assert!(!answer.error().1.is_empty(), "{path}");
    }
    server.stop().await;
}

#[tokio::test]
async fn one_request_too_many_is_asked_to_come_again() {
    let home = small();
    let server = home.start().await;
    // Two senders hold both places: their heads are there, their bodies aren't yet.
    let mut slow = Vec::new();
    for number in 1..=2 {
        let hook = Hook::issue(&format!("7777777{number}-cc78-11e3-81ab-4c9367dc0958"), number, "Slow");
        let mut stream = TcpStream::connect(server.address()).await.expect("it listens");
        // The server answers this when it has begun to read the body: then the place is taken.
        let head = hook.head(&server).replace("\r\n\r\n", "\r\nexpect: 100-continue\r\nconnection: close\r\n\r\n");
        stream.write_all(head.as_bytes()).await.expect("sent");
        let mut told = [0; 25];
        stream.read_exact(&mut told).await.expect("answered");
        assert!(told.starts_with(b"HTTP/1.1 100 Continue"), "{}", String::from_utf8_lossy(&told));
        slow.push((stream, hook));
    }
    let hook = Hook::issue("88888888-cc78-11e3-81ab-4c9367dc0958", 8, "One too many");
    let busy = hook.post(&server).await;
    assert_eq!((busy.status, busy.error().0.as_str()), (StatusCode::SERVICE_UNAVAILABLE, "Busy"));
    assert_eq!(busy.headers.get("retry-after").and_then(|value| value.to_str().ok()), Some("1"));
    // Whether it is well can still be asked.
    lives(&server).await;
    for (stream, hook) in &mut slow {
        stream.write_all(&hook.body).await.expect("sent");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.expect("answered");
        assert!(answer.starts_with("HTTP/1.1 202"), "{answer}");
    }
    assert_eq!(hook.post(&server).await.status, StatusCode::ACCEPTED);
    assert_eq!(server.settled_deliveries(3).await.len(), 3);
    server.stop().await;
}
