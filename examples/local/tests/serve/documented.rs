//! The configuration that `docs/configuration.md` shows is one that works.

use std::fs;
use std::path::Path;

use http::StatusCode;

use crate::harness::{Home, Ran, WEBHOOK_SECRET};
use crate::hook::Hook;

fn shown() -> String {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/configuration.md");
    let text = fs::read_to_string(file).expect("the documentation");
    let block = text.split_once("```yaml\n").and_then(|(_, rest)| rest.split_once("\n```"));
    block.expect("an example in YAML").0.to_owned()
}

#[tokio::test]
async fn the_documented_configuration_is_valid_and_serves() {
    let mut home = Home::new();
    // Another port than the documented one, and nobody of GitHub's: an address where nothing listens.
    let text =
        shown().replace("127.0.0.1:8480", "127.0.0.1:0").replace("https://api.github.com", "https://127.0.0.1:9");
    assert_ne!(text, shown());
    fs::write(home.path("objects.yaml"), text.split_once("objects:\n").expect("objects").1).expect("written");
    let valid = Ran::of(home.krate(["validate", "-f", "objects.yaml"])).await.ends(0);
    assert!(!valid.out.contains("invalid"), "{valid:?}");

    home.document = Some(text);
    home.env = vec![("GITHUB_TOKEN", "documented-token".into()), ("WEBHOOK_SECRET", WEBHOOK_SECRET.into())];
    let server = home.start().await;
    assert_eq!(server.get("/readyz").await.status, StatusCode::OK);
    for kind in ["Organization", "ExternalBackendProvider", "Repository", "ExternalBackendBinding"] {
        assert_eq!(server.list(kind).await.len(), 1, "{kind}");
    }
    let hook = Hook::issue("12121212-cc78-11e3-81ab-4c9367dc0958", 1, "Crash");
    assert_eq!(hook.post(&server).await.status, StatusCode::ACCEPTED);
    server.list_until("Issue", |issues| issues.len() == 1).await;
    server.stop().await;
}
