//! A small world for the sync engine: a simulated forge behind a faulty network, a store that can die at any commit, and a clock that only moves
//! when the test says so.

use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use bytes::Bytes;
use chrono::{DateTime, TimeDelta, Utc};

use krate_model::Resource;
use krate_model::kinds::external::{
    ExternalBackendBinding, ExternalBackendProvider, ExternalBackendSyncPolicy, ExternalObjectLink,
    ExternalSyncConflict, ExternalSyncState, ExternalWebhookDelivery, ExternalWriteIntent,
};
use krate_model::kinds::forge::Repository;
use krate_model::kinds::sets::AuthMode;
use krate_model::kinds::work::{Comment, Issue, PullRequest};
use krate_model::store::{Query, Store};
use krate_providers::contract::{Credential, SendOutcome, WebhookSecret};
use krate_providers::simulator::{Delivery, Effect, Faults, Forge, Network, Reply};
use krate_sync::driver::{Clock, Config, Driver, Http, SecretError, Secrets, SendError};
use krate_sync::records::{Changes, Loaded, list};
use serde_json::json;

pub use crate::mortal::{Crash, MortalStore};

/// The namespace of everything.
pub const NAMESPACE: &str = "krate-org-acme";
/// The repository at the forge.
pub const REPOSITORY: &str = "acme/site";
/// A webhook secret that must never be seen outside.
pub const SECRET: &str = "canary-webhook-secret";
/// A token that must never be seen outside.
pub const TOKEN: &str = "canary-api-token";

/// Passes within which every history comes to rest.
const MAX_PASSES: usize = 400;

/// When the story begins.
pub fn start() -> DateTime<Utc> {
    DateTime::from_timestamp(1_780_000_000, 0).unwrap_or_default()
}

/// A clock that stands still until it is moved.
#[derive(Debug)]
pub struct ManualClock(AtomicI64);

impl ManualClock {
    /// Moves it.
    pub fn advance(&self, by: TimeDelta) {
        self.0.fetch_add(by.num_milliseconds(), Ordering::SeqCst);
    }
}

#[async_trait]
impl Clock for ManualClock {
    fn now(&self) -> DateTime<Utc> {
        DateTime::from_timestamp_millis(self.0.load(Ordering::SeqCst)).unwrap_or_default()
    }

    async fn sleep_until(&self, time: DateTime<Utc>) {
        self.0.fetch_max(time.timestamp_millis(), Ordering::SeqCst);
    }
}

/// A write that the forge carried out for the engine.
#[derive(Debug, Clone)]
pub struct Written {
    /// Method and path.
    pub line: String,
    /// What was asked for.
    pub body: serde_json::Value,
    /// What it did.
    pub effects: Vec<Effect>,
}

/// The forge as the engine reaches it.
pub struct Wire {
    network: Arc<Mutex<Network>>,
    clock: Arc<ManualClock>,
    written: Arc<Mutex<Vec<Written>>>,
}

#[async_trait]
impl Http for Wire {
    async fn send(&self, request: http::Request<Bytes>) -> Result<http::Response<Bytes>, SendError> {
        let mut network = lock(&self.network);
        let before = network.forge.effects().len();
        let reply = network.send(&request, self.clock.now());
        let effects: Vec<Effect> = network.forge.effects().iter().skip(before).cloned().collect();
        if !effects.is_empty() {
            let body = serde_json::from_slice(request.body()).unwrap_or_default();
            let line = format!("{} {}", request.method(), request.uri().path());
            lock(&self.written).push(Written { line, body, effects });
        }
        match reply {
            Reply::Response(response) => Ok(response),
            Reply::Lost => Err(SendError { outcome: SendOutcome::Unknown, message: "the connection broke".to_owned() }),
        }
    }
}

struct FixedSecrets;

#[async_trait]
impl Secrets for FixedSecrets {
    async fn webhook_secrets(&self, _: &ExternalBackendProvider) -> Result<Vec<WebhookSecret>, SecretError> {
        Ok(vec![WebhookSecret::new("first", SECRET)])
    }

    async fn credential(&self, _: &ExternalBackendProvider) -> Result<Option<Credential>, SecretError> {
        Ok(Some(Credential::new(AuthMode::PersonalAccessToken, TOKEN)))
    }
}

/// Everything together.
pub struct World {
    /// The forge and the network before it.
    pub network: Arc<Mutex<Network>>,
    /// The clock.
    pub clock: Arc<ManualClock>,
    /// The store.
    pub store: Arc<MortalStore>,
    /// The engine.
    pub driver: Driver,
    written: Arc<Mutex<Vec<Written>>>,
}

impl World {
    /// A forge with one repository and a hook, a binding of it in `mode`, and nothing read yet.
    ///
    /// # Panics
    /// When the simulator refuses what it is asked for: then the test is wrong.
    pub fn new(seed: u64, faults: Faults, mode: &str) -> Self {
        let mut forge = Forge::seeded(seed);
        forge.set_limits(krate_providers::simulator::Limits {
            creations_per_minute: usize::MAX,
            ..krate_providers::simulator::Limits::default()
        });
        forge.add_token(TOKEN, "krate-bot");
        forge.by("ada", start()).create_repository(REPOSITORY).expect("a new forge has room");
        forge
            .add_hook(REPOSITORY, "http://127.0.0.1/webhooks/gh", Some(SECRET), start())
            .expect("the repository is there");
        let network = Arc::new(Mutex::new(Network::new(forge, faults, seed)));
        Self::over(network, Arc::new(ManualClock(AtomicI64::new(start().timestamp_millis()))), seed, mode)
    }

    /// Another engine with an empty store over the same forge: what it reads is the truth.
    #[must_use]
    pub fn fresh_reader(&self) -> Self {
        Self::over(Arc::clone(&self.network), Arc::clone(&self.clock), 0, "read-only")
    }

    fn over(network: Arc<Mutex<Network>>, clock: Arc<ManualClock>, seed: u64, mode: &str) -> Self {
        let store = Arc::new(MortalStore::default());
        let written = Arc::new(Mutex::new(Vec::new()));
        let wire = Wire { network: Arc::clone(&network), clock: Arc::clone(&clock), written: Arc::clone(&written) };
        let driver = Driver::new(
            Arc::clone(&store) as Arc<dyn Store>,
            Arc::new(wire),
            Arc::clone(&clock) as Arc<dyn Clock>,
            Arc::new(FixedSecrets),
            seed,
        );
        let world = Self { network, clock, store, driver, written };
        world.configure(mode);
        world
    }

    fn configure(&self, mode: &str) {
        let metadata = |name: &str| json!({"name": name, "namespace": NAMESPACE});
        let api = krate_model::API_VERSION;
        let provider: ExternalBackendProvider = serde_json::from_value(json!({
            "apiVersion": api, "kind": "ExternalBackendProvider", "metadata": metadata("gh"),
            "spec": {
                "organizationRef": "acme", "providerType": "github", "displayName": "GitHub",
                "apiBaseUrl": "https://api.github.com",
                "authRef": {"mode": "personal-access-token", "secretRef": {"name": "gh"}},
                "webhook": {"secretRefs": [{"name": "first", "secretRef": {"name": "gh", "key": "webhook"}}]},
                "capabilities": {"issueTracking": true, "gitForge": true},
            },
        }))
        .expect("a provider");
        let policy: ExternalBackendSyncPolicy = serde_json::from_value(json!({
            "apiVersion": api, "kind": "ExternalBackendSyncPolicy", "metadata": metadata("policy"),
            "spec": {"organizationRef": "acme"},
        }))
        .expect("a policy");
        let binding: ExternalBackendBinding = serde_json::from_value(json!({
            "apiVersion": api, "kind": "ExternalBackendBinding", "metadata": metadata("site"),
            "spec": {
                "organizationRef": "acme", "providerRef": "gh", "syncPolicyRef": "policy",
                "targetRef": {"kind": "Repository", "name": "site"},
                "externalRef": {"owner": "acme", "repository": "site"},
                "interfaces": [{"name": "issueTracking", "mode": mode}, {"name": "gitForge", "mode": mode}],
            },
        }))
        .expect("a binding");
        let repository: Repository = serde_json::from_value(json!({
            "apiVersion": api, "kind": "Repository", "metadata": metadata("site"),
            "spec": {"organizationRef": "acme", "visibility": "private"},
        }))
        .expect("a repository");
        block_on(async {
            let mut changes = Changes::at(self.clock.now());
            changes.put(&Loaded::new(provider)).expect("JSON");
            changes.put(&Loaded::new(policy)).expect("JSON");
            changes.put(&Loaded::new(binding)).expect("JSON");
            changes.put(&Loaded::new(repository)).expect("JSON");
            changes.commit(self.store.as_ref()).await.expect("an empty store takes them");
        });
    }

    /// The network and the forge behind it.
    pub fn forge(&self) -> MutexGuard<'_, Network> {
        lock(&self.network)
    }

    /// Moves the clock.
    pub fn pass_time(&self, seconds: i64) {
        self.clock.advance(TimeDelta::seconds(seconds));
    }

    /// Hands over the webhooks that have arrived, and reports how many were acknowledged.
    pub fn deliver(&self) -> usize {
        let arrived = self.forge().arrivals(self.clock.now());
        arrived.iter().filter(|delivery| self.deliver_one(delivery)).count()
    }

    /// Hands one webhook over; whether it was acknowledged.
    pub fn deliver_one(&self, delivery: &Delivery) -> bool {
        let request = delivery.to_request();
        block_on(async {
            let Ok(config) = Config::load(self.store.as_ref(), self.clock.now()).await else { return false };
            let accepted = self.driver.accept(&config, "gh", request.headers(), request.body()).await;
            matches!(accepted, Ok(Ok(_)))
        })
    }

    /// Lets the process die at a commit.
    pub fn plan_crash(&self, crash: Option<Crash>) {
        self.store.plan_crash(crash);
    }

    /// Whether the process is dead.
    pub fn is_dead(&self) -> bool {
        self.store.is_dead()
    }

    /// Starts the process again.
    pub fn restart(&self) {
        self.store.revive();
        self.plan_crash(None);
    }

    /// What the forge carried out for the engine, in order.
    pub fn written(&self) -> Vec<Written> {
        lock(&self.written).clone()
    }

    /// One pass; failures are the driver's to retry.
    pub fn pass(&self) -> Option<krate_sync::driver::Pass> {
        block_on(self.driver.run_due()).ok()
    }

    /// Works until nothing is due any more within the next ten minutes, moving the clock to what is due next.
    ///
    /// # Errors
    /// What was still due, or kept failing, after very many passes.
    pub fn settle(&self) -> Result<(), String> {
        let mut last = String::new();
        for passes in 0..MAX_PASSES {
            let Ok(pass) = block_on(self.driver.run_due()) else {
                // The process died: the next one goes on.
                self.store.revive();
                continue;
            };
            if self.store.is_dead() {
                self.store.revive();
                continue;
            }
            if !pass.failed.is_empty() {
                last = pass.failed.join("; ");
            }
            match pass.next {
                Some(next) if next - self.clock.now() <= TimeDelta::minutes(10) => {
                    let wait = (next - self.clock.now()).max(TimeDelta::milliseconds(50));
                    self.clock.advance(wait);
                    // Lists whose turns come in between each other are never all far away.
                    if passes > MAX_PASSES / 4 && self.is_quiet() {
                        return Ok(());
                    }
                }
                _ => return Ok(()),
            }
        }
        let states = self.all::<ExternalSyncState>();
        let links = self.all::<ExternalObjectLink>();
        let mut due: Vec<String> = states.iter().map(|state| format!("{} {:?}", state.name(), state.status)).collect();
        due.extend(
            self.all::<ExternalWriteIntent>().iter().map(|intent| format!("{} {:?}", intent.name(), intent.status)),
        );
        let unread = links.iter().filter(|link| link.status.as_ref().is_some_and(|status| status.needs_hydration));
        due.extend(unread.map(|link| format!("{} {:?}", link.name(), link.status)));
        Err(format!("never quiet; last failure: {last}; {due:#?}"))
    }

    /// Whether nothing is left to do but to read the lists again when it is time.
    fn is_quiet(&self) -> bool {
        fn all<T: Resource>(world: &World, phases: &[&str]) -> bool {
            world.all::<T>().iter().all(|object| phases.contains(&object.phase()))
        }
        let read = |link: &ExternalObjectLink| link.status.as_ref().is_none_or(|status| !status.needs_hydration);
        all::<ExternalSyncState>(self, &["Succeeded"])
            && all::<ExternalWriteIntent>(self, &["Succeeded", "Rejected", "Failed", "Conflict", "PendingApproval"])
            && all::<ExternalWebhookDelivery>(self, &["Succeeded", "DeadLettered", "SignatureRejected"])
            && all::<ExternalSyncConflict>(self, &["Open", "Resolved", "Ignored", "Superseded"])
            && self.all::<ExternalObjectLink>().iter().all(read)
    }

    /// All objects of a kind, by name.
    ///
    /// # Panics
    /// When the store holds something else.
    pub fn all<T: krate_model::Resource>(&self) -> Vec<T> {
        let query = Query::new(T::KIND).in_namespace(NAMESPACE);
        let found = block_on(list::<T>(&self.store.inner, query)).expect("the store can be read");
        found.into_iter().map(|loaded| loaded.object).collect()
    }

    /// What the projections show of the forge, in a form that two worlds can be compared by.
    pub fn shown(&self) -> Vec<String> {
        let mut shown = Vec::new();
        for issue in self.all::<Issue>() {
            let number = number(issue.status.as_ref().and_then(|status| status.external.as_ref()));
            let body = issue.spec.body.as_ref().map_or("", |body| body.markdown.as_str());
            let phase = issue.status.as_ref().map(|status| status.phase.to_string()).unwrap_or_default();
            if phase != "Deleted" {
                shown.push(format!("issue {number:?} {phase} {:?} {body:?} {:?}", issue.spec.title, issue.spec.labels));
            }
        }
        for pull in self.all::<PullRequest>() {
            let number = number(pull.status.as_ref().and_then(|status| status.external.as_ref()));
            let phase = pull.status.as_ref().map(|status| status.phase.to_string()).unwrap_or_default();
            shown.push(format!("pull {number:?} {phase} {:?} {:?}", pull.spec.title, pull.spec.labels));
        }
        for comment in self.all::<Comment>() {
            let id = comment.status.as_ref().and_then(|status| status.external.as_ref()).map(|e| e.native_id.clone());
            let phase = comment.status.as_ref().map(|status| status.phase.to_string()).unwrap_or_default();
            if phase != "Deleted" {
                shown.push(format!("comment {id:?} {:?}", comment.spec.body.markdown));
            }
        }
        shown.sort();
        shown
    }
}

fn number(external: Option<&krate_model::kinds::shared::ExternalEnvelope>) -> Option<i64> {
    external.and_then(|external| external.native_number)
}

/// Runs a future that needs no runtime.
pub fn block_on<F: Future>(future: F) -> F::Output {
    futures::executor::block_on(future)
}

pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
