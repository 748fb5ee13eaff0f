//! GitHub against the simulator; and providers and backends that break a promise each, which the suite has to notice.

use bytes::Bytes;
use chrono::DateTime;
use http::{HeaderMap, Request, Response};
use krate_model::kinds::external::ExternalProviderCapabilityManifestSpec;
use krate_model::kinds::sets::{Idempotency, Operation};
use krate_model::kinds::shared::Time;
use url::Url;

use crate::contract::{
    Call, Credential, DecodeError, Decoded, DeliveryHead, EncodeError, Endpoint, HeadError, Normalization, Provider,
    SignatureError, Verified, WebhookSecret,
};
use crate::github::GitHub;
use crate::suite::{Backend, Recorded, Simulated, Subject, prove, webhooks};

fn now() -> Time {
    DateTime::from_timestamp(1_700_000_000, 0).unwrap()
}

fn simulated() -> Simulated {
    Simulated::seeded(11, now()).unwrap()
}

#[test]
fn s49_github_keeps_the_contract_on_the_simulator() {
    assert_eq!(prove(&GitHub, &mut simulated(), now()), Vec::<String>::new());
}

/// GitHub with another manifest, and with calls that are changed on the way.
struct Broken {
    manifest: ExternalProviderCapabilityManifestSpec,
    call: fn(&mut Call<'_>),
}

impl Broken {
    fn with(change: impl FnOnce(&mut ExternalProviderCapabilityManifestSpec)) -> Self {
        let mut manifest = GitHub.manifest().clone();
        change(&mut manifest);
        Self { manifest, call: |_| {} }
    }

    fn calling(call: fn(&mut Call<'_>)) -> Self {
        Self { call, ..Self::with(|_| {}) }
    }
}

impl Provider for Broken {
    fn provider_type(&self) -> &'static str {
        "github"
    }

    fn manifest(&self) -> &ExternalProviderCapabilityManifestSpec {
        &self.manifest
    }

    fn verify(
        &self,
        headers: &HeaderMap,
        body: &[u8],
        secrets: &[WebhookSecret],
        now: Time,
    ) -> Result<Verified, SignatureError> {
        GitHub.verify(headers, body, secrets, now)
    }

    fn head(&self, headers: &HeaderMap, body: &[u8]) -> Result<DeliveryHead, HeadError> {
        GitHub.head(headers, body)
    }

    fn normalize<'a>(&self, event_type: &str, body: &'a [u8]) -> Result<Normalization<'a>, DecodeError> {
        GitHub.normalize(event_type, body)
    }

    fn encode(&self, endpoint: &Endpoint<'_>, call: &Call<'_>) -> Result<Request<Bytes>, EncodeError> {
        let mut call = call.clone();
        (self.call)(&mut call);
        GitHub.encode(endpoint, &call)
    }

    fn decode<'a>(&self, call: &Call<'_>, response: &'a Response<Bytes>, received_at: Time) -> Decoded<'a> {
        GitHub.decode(call, response, received_at)
    }
}

fn assert_noticed(provider: &Broken, what: &str) {
    let broken = prove(provider, &mut simulated(), now());
    assert!(broken.iter().any(|line| line.contains(what)), "{what}: {broken:#?}");
}

#[test]
fn s34_a_create_that_hides_no_key_is_noticed() {
    let provider = Broken::calling(|call| call.marker = None);
    assert_noticed(&provider, "createIssue: looking finds it 0 times by its key");
    assert_noticed(&provider, "createComment: looking finds it 0 times by its key");
    assert_noticed(&provider, "createPullRequest: looking finds it 0 times by its key");
}

#[test]
fn s34_a_create_that_claims_to_be_idempotent_is_noticed() {
    let provider = Broken::with(|manifest| {
        for declared in manifest.interfaces.iter_mut().flat_map(|interface| &mut interface.operations) {
            // Its repeat is another issue; the marker is the only way to find the first.
            if declared.operation == Operation::CreateIssue {
                declared.idempotency = Idempotency::Native;
            }
            if declared.operation == Operation::UpdateIssue {
                declared.idempotency = Idempotency::Precondition;
            }
        }
    });
    assert_noticed(&provider, "createIssue: a repeat has");
    assert_noticed(&provider, "updateIssue: a repeat is not refused by its precondition");
}

#[test]
fn s25_a_known_version_that_is_not_sent_is_noticed() {
    let provider = Broken::calling(|call| call.known = None);
    assert_noticed(&provider, "getIssue: the manifest says conditional");
}

#[test]
fn s21_a_list_that_does_not_go_on_is_noticed() {
    let provider = Broken::calling(|call| call.cursor = None);
    assert_noticed(&provider, "listIssues: by pages");
}

/// A backend without cases.
struct Empty(Simulated);
impl Backend for Empty {
    fn api_base(&self) -> Url {
        self.0.api_base()
    }
    fn credential(&self) -> Credential {
        self.0.credential()
    }
    fn secret(&self) -> WebhookSecret {
        self.0.secret()
    }
    fn answer(&mut self, request: &Request<Bytes>, now: Time) -> Response<Bytes> {
        self.0.answer(request, now)
    }
    fn effects(&self) -> usize {
        self.0.effects()
    }
    fn deliveries(&mut self) -> Vec<Request<Bytes>> {
        self.0.deliveries()
    }
    fn subject(&mut self, _: &Operation, _: Time) -> Option<Subject> {
        None
    }
}

#[test]
fn s49_an_operation_without_a_case_and_a_confirmation_that_never_comes_are_noticed() {
    let provider = Broken::with(|manifest| {
        for declared in manifest.interfaces.iter_mut().flat_map(|interface| &mut interface.operations) {
            declared.confirmed_by.iter_mut().for_each(|event| "release".clone_into(event));
        }
    });
    assert_noticed(&provider, "closeIssue: no webhook of [\"release\"] came");

    let broken = prove(&GitHub, &mut Empty(simulated()), now());
    assert!(broken.iter().all(|line| line.ends_with("declared, and has no case")) && broken.len() > 10, "{broken:#?}");
}

#[test]
fn s12_a_payload_against_the_manifests_word_is_noticed() {
    let recorded = [Recorded { name: "one", event_type: "issues", body: b"{}" }];
    let broken = webhooks(&GitHub, &recorded);
    assert!(broken.iter().any(|line| line.starts_with("one: can't be read: ")), "{broken:#?}");
    assert!(broken.contains(&"push: declared, and no payload is recorded".to_owned()), "{broken:#?}");
    let body = br#"{"ref":"refs/heads/main","before":"1","after":"2","repository":{"id":1,"name":"r"}}"#;
    let pushed = [Recorded { name: "two", event_type: "push", body }];
    assert!(!webhooks(&GitHub, &pushed).iter().any(|line| line.starts_with("two")));
    let yields_nothing = Broken::with(|manifest| {
        for webhook in manifest.interfaces.iter_mut().flat_map(|interface| &mut interface.webhooks) {
            webhook.yields.clear();
        }
    });
    let broken = webhooks(&yields_nothing, &pushed);
    assert!(broken.contains(&"two: event 0 is about a Ref, which is not declared".to_owned()), "{broken:#?}");
}
