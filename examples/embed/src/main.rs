//! Somebody else's program: receives one GitHub webhook, prints what it says, and merges the title with the one it holds:
//! `HOOK_SECRET=… krate-embed 127.0.0.1:8080`; the address it listens at is its first line.
use std::io::{BufRead, BufReader, Read, Write};

use krate_model::kinds::sets::{Mode, Strategy};
use krate_model::observation::Normalized;
use krate_providers::contract::{BodyLimits, Normalization, Provider, WebhookSecret};
use krate_providers::github::GitHub;
use krate_sync::merge::{Base, FieldRule, FieldValue, merge_field};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let listener = std::net::TcpListener::bind(std::env::args().nth(1).ok_or("usage: krate-embed ADDRESS")?)?;
    println!("{}", listener.local_addr()?);
    let mut request = BufReader::new(listener.accept()?.0);
    let (mut headers, mut line) = (http::HeaderMap::new(), String::new());
    while request.read_line(&mut line)? > 2 {
        if let Some((name, value)) = line.trim().split_once(": ") {
            headers.append(http::HeaderName::from_bytes(name.as_bytes())?, value.parse()?);
        }
        line.clear();
    }
    let mut body = Vec::new();
    let length = headers.get("content-length").ok_or("no Content-Length")?.to_str()?.parse()?;
    (&mut request).take(BodyLimits::DEFAULT.max_bytes as u64 + 1).take(length).read_to_end(&mut body)?;

    let secret = WebhookSecret::new("hook", std::env::var("HOOK_SECRET")?);
    GitHub.verify(&headers, &body, &[secret], std::time::SystemTime::now().into())?;
    BodyLimits::DEFAULT.check(&body)?;
    let head = GitHub.head(&headers, &body)?;
    let Normalization::Events(events) = GitHub.normalize(&head.event_type, &body)? else { return Ok(()) };
    let rule = FieldRule::new("spec.title", Strategy::Scalar, Mode::Bidirectional);
    for event in &events {
        println!("{} {} {}", event.action, event.resource_kind, event.native_id);
        if let Normalized::Issue(issue) = &event.normalized {
            let (held, told) = (FieldValue::text("Crash"), FieldValue::optional(issue.title.as_deref()));
            println!("{:?}", merge_field(&rule, &Base::Value("Crash".into()), &held, &told));
        }
    }
    Ok(request.get_mut().write_all(b"HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n")?)
}
