//! A small world for the sync engine: a simulated forge behind a faulty network, a store that can die at any commit, and a clock that only moves
//! when the test says so.

use std::cell::Cell;
use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::task::Poll;

use async_trait::async_trait;
use bytes::Bytes;
use chrono::{DateTime, TimeDelta, Utc};
use futures::FutureExt as _;

use krate_model::kinds::external::{
    ExternalBackendBinding, ExternalBackendProvider, ExternalBackendSyncPolicy, ExternalObjectLink,
    ExternalSyncConflict, ExternalSyncState, ExternalWebhookDelivery, ExternalWriteIntent,
};
use krate_model::kinds::forge::Repository;
use krate_model::kinds::sets::AuthMode;
use krate_model::kinds::work::{Comment, Issue, PullRequest};
use krate_model::store::{Index, Query, Store, Stored};
use krate_model::{Kind, Resource};
use krate_providers::contract::{Credential, SendOutcome, WebhookSecret};
use krate_providers::simulator::{Delivery, Effect, Faults, Forge, Network, Reply};
use krate_sync::driver::{Clock, Driver, Http, SecretError, Secrets, SendError};
use krate_sync::records::{Changes, Loaded, get, list};
use serde_json::json;

pub use crate::mortal::{Crash, MortalStore};
use crate::simulate::journal::Journal;
use crate::simulate::strikes::Strikes;
use crate::simulate::way::Way;

/// The namespace of everything.
pub const NAMESPACE: &str = "krate-org-acme";
/// The repository at the forge.
pub const REPOSITORY: &str = "acme/site";
/// A webhook secret that must never be seen outside.
pub const SECRET: &str = "canary-webhook-secret";
/// A token that must never be seen outside.
pub const TOKEN: &str = "canary-api-token";

/// The longest body that the receiver takes in.
pub const MAX_BODY_BYTES: usize = 1 << 18;

/// Rows of a page where a history is to have several.
const PAGE_SIZE: usize = 4;

/// More objects of a kind than any history makes.
const MAX_LISTED: usize = 10_000;
/// Passes within which every history comes to rest.
const MAX_PASSES: usize = 400;

/// When the story begins.
pub fn start() -> DateTime<Utc> {
    DateTime::from_timestamp(1_780_000_000, 0).unwrap_or_default()
}

/// The time of the world, and what the process's clock makes of it. Both stand still until they are moved.
#[derive(Debug)]
pub struct ManualClock {
    truth: AtomicI64,
    /// How far the process's clock is ahead of the world's.
    offset: AtomicI64,
}

impl ManualClock {
    fn at(time: DateTime<Utc>) -> Self {
        Self { truth: AtomicI64::new(time.timestamp_millis()), offset: AtomicI64::new(0) }
    }

    /// Lets time pass.
    pub fn advance(&self, by: TimeDelta) {
        self.truth.fetch_add(by.num_milliseconds(), Ordering::SeqCst);
    }

    /// Sets the process's clock: forward, or back.
    pub fn set_by(&self, by: TimeDelta) {
        self.offset.fetch_add(by.num_milliseconds(), Ordering::SeqCst);
    }

    /// The time of the world, which the forge goes by.
    pub fn truth(&self) -> DateTime<Utc> {
        DateTime::from_timestamp_millis(self.truth.load(Ordering::SeqCst)).unwrap_or_default()
    }
}

#[async_trait]
impl Clock for ManualClock {
    fn now(&self) -> DateTime<Utc> {
        self.truth() + TimeDelta::milliseconds(self.offset.load(Ordering::SeqCst))
    }

    async fn sleep_until(&self, time: DateTime<Utc>) {
        self.advance((time - self.now()).max(TimeDelta::zero()));
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
#[derive(Clone)]
pub struct Wire {
    pub(crate) network: Arc<Mutex<Network>>,
    pub(crate) clock: Arc<ManualClock>,
    written: Arc<Mutex<Vec<Written>>>,
}

impl Wire {
    /// Carries a request to the forge, and notes what it did there.
    pub(crate) fn carry(&self, request: &http::Request<Bytes>) -> Reply {
        let mut network = lock(&self.network);
        let before = network.forge.effects().len();
        let reply = network.send(request, self.clock.truth());
        let effects: Vec<Effect> = network.forge.effects().iter().skip(before).cloned().collect();
        if !effects.is_empty() {
            let body = serde_json::from_slice(request.body()).unwrap_or_default();
            let line = format!("{} {}", request.method(), request.uri().path());
            lock(&self.written).push(Written { line, body, effects });
        }
        reply
    }
}

#[async_trait]
impl Http for Wire {
    async fn send(&self, request: http::Request<Bytes>) -> Result<http::Response<Bytes>, SendError> {
        match self.carry(&request) {
            Reply::Response(response) => Ok(response),
            Reply::Lost => Err(SendError { outcome: SendOutcome::Unknown, message: "the connection broke".to_owned() }),
        }
    }
}

/// The secrets as the process knows them.
pub struct KnownSecrets {
    webhook: Mutex<Vec<String>>,
    is_down: AtomicBool,
    was_missed: AtomicBool,
}

impl Default for KnownSecrets {
    fn default() -> Self {
        Self {
            webhook: Mutex::new(vec![SECRET.to_owned()]),
            is_down: AtomicBool::default(),
            was_missed: AtomicBool::default(),
        }
    }
}

impl KnownSecrets {
    /// Another secret is valid too, from now on.
    pub fn learn(&self, secret: &str) {
        lock(&self.webhook).push(secret.to_owned());
    }

    /// Whether they can be read.
    pub fn set_down(&self, is_down: bool) {
        self.is_down.store(is_down, Ordering::SeqCst);
    }

    /// Whether somebody wanted them since the last call, and they couldn't be read.
    pub fn was_missed(&self) -> bool {
        self.was_missed.swap(false, Ordering::SeqCst)
    }

    fn check(&self) -> Result<(), SecretError> {
        if !self.is_down.load(Ordering::SeqCst) {
            return Ok(());
        }
        self.was_missed.store(true, Ordering::SeqCst);
        Err(SecretError { path: "spec.authRef.secretRef".to_owned(), message: "it can't be read".to_owned() })
    }
}

#[async_trait]
impl Secrets for KnownSecrets {
    async fn webhook_secrets(&self, _: &ExternalBackendProvider) -> Result<Vec<WebhookSecret>, SecretError> {
        self.check()?;
        Ok(lock(&self.webhook).iter().map(|secret| WebhookSecret::new("first", secret.as_str())).collect())
    }

    async fn credential(&self, _: &ExternalBackendProvider) -> Result<Option<Credential>, SecretError> {
        self.check()?;
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
    /// The secrets as the engine knows them.
    pub secrets: Arc<KnownSecrets>,
    /// The hook at the forge.
    pub hook: u64,
    http: Arc<dyn Http>,
    wire: Wire,
    /// The way to the forge, where everything can go wrong on it.
    way: Option<Arc<Way>>,
}

impl World {
    /// A forge with one repository and a hook, a binding of it in `mode`, and nothing read yet.
    ///
    /// # Panics
    /// When the simulator refuses what it is asked for: then the test is wrong.
    pub fn new(seed: u64, faults: Faults, mode: &str) -> Self {
        let (wire, hook) = Self::forge_for(seed, faults);
        Self::over(wire.clone(), Arc::new(wire), Arc::default(), hook).configured(mode, None)
    }

    /// The same without faults, where lists have pages of so many rows.
    pub fn paged(mode: &str, page_size: usize) -> Self {
        let (wire, hook) = Self::forge_for(1, Faults::none());
        Self::over(wire.clone(), Arc::new(wire), Arc::default(), hook).configured(mode, Some(page_size))
    }

    /// A world whose every fault is `strikes`' to strike: on the way, in the store, and beside the process.
    pub fn simulated(seed: u64, strikes: &Arc<Mutex<Strikes>>, journal: &Arc<Mutex<Journal>>) -> Self {
        let (wire, hook) = Self::forge_for(seed, Faults::none());
        let (strikes, journal) = (Arc::clone(strikes), Arc::clone(journal));
        let store = Arc::new(MortalStore::struck_by(Arc::clone(&strikes)));
        let way =
            Arc::new(Way { plain: wire.clone(), strikes, journal, store: Arc::clone(&store), peer: OnceLock::new() });
        let world = Self::over(wire, Arc::clone(&way) as Arc<dyn Http>, store, hook);
        let world = world.configured("bidirectional", Some(PAGE_SIZE));
        // In one history of four the log of deliveries is watched; in the others what is lost stays lost until a list shows it.
        if seed % 4 == 3 {
            world.change(|provider: &mut ExternalBackendProvider| {
                if let Some(webhook) = &mut provider.spec.webhook {
                    webhook.delivery_log = true;
                }
            });
        }
        // In another one of four bodies merge by lines.
        if seed % 4 == 1 {
            world.change(|policy: &mut ExternalBackendSyncPolicy| policy.spec.conflict_policy.text_merge = true);
        }
        let peer = world.other_driver(Arc::new(world.wire.clone()));
        // It is set once, here.
        let _ = way.peer.set(peer);
        Self { way: Some(way), ..world }
    }

    fn forge_for(seed: u64, faults: Faults) -> (Wire, u64) {
        let mut forge = Forge::seeded(seed);
        forge.set_limits(krate_providers::simulator::Limits {
            creations_per_minute: usize::MAX,
            ..krate_providers::simulator::Limits::default()
        });
        forge.add_token(TOKEN, "krate-bot");
        forge.by("ada", start()).create_repository(REPOSITORY).expect("a new forge has room");
        let hook = forge
            .add_hook(REPOSITORY, "http://127.0.0.1/webhooks/gh", Some(SECRET), start())
            .expect("the repository is there");
        let network = Arc::new(Mutex::new(Network::new(forge, faults, seed)));
        (Wire { network, clock: Arc::new(ManualClock::at(start())), written: Arc::default() }, hook)
    }

    /// Another engine with an empty store over the same forge: what it reads is the truth.
    #[must_use]
    pub fn fresh_reader(&self) -> Self {
        let wire = Wire { written: Arc::default(), ..self.wire.clone() };
        Self::over(wire.clone(), Arc::new(wire), Arc::default(), self.hook).configured("read-only", None)
    }

    fn over(wire: Wire, http: Arc<dyn Http>, store: Arc<MortalStore>, hook: u64) -> Self {
        let secrets = Arc::new(KnownSecrets::default());
        let driver = Driver::new(
            Arc::clone(&store) as Arc<dyn Store>,
            Arc::clone(&http),
            Arc::clone(&wire.clock) as Arc<dyn Clock>,
            Arc::clone(&secrets) as Arc<dyn Secrets>,
            7,
        );
        let (network, clock) = (Arc::clone(&wire.network), Arc::clone(&wire.clock));
        Self { network, clock, store, driver, secrets, hook, http, wire, way: None }
    }

    /// The engine's way to the forge, without faults of its own.
    pub fn wire(&self) -> Wire {
        self.wire.clone()
    }

    /// The engine of another process on the same store, which reaches the forge by `http`.
    pub fn other_driver(&self, http: Arc<dyn Http>) -> Driver {
        self.driver_over(Arc::clone(&self.store) as Arc<dyn Store>, http)
    }

    /// The same where it reaches the store by `store`.
    pub fn driver_over(&self, store: Arc<dyn Store>, http: Arc<dyn Http>) -> Driver {
        let clock = Arc::clone(&self.clock) as Arc<dyn Clock>;
        let secrets = Arc::clone(&self.secrets) as Arc<dyn Secrets>;
        Driver::new(store, http, clock, secrets, 99)
    }

    /// Ends the process, and starts another one that knows nothing but what the store holds.
    pub fn start_cold(&mut self) {
        self.store.revive();
        self.driver = self.other_driver(Arc::clone(&self.http));
    }

    /// The time that the forge and everybody who looks at it goes by.
    pub fn forge_now(&self) -> DateTime<Utc> {
        self.clock.truth()
    }

    /// What the bound repository is called now.
    pub fn repository(&self) -> String {
        bound_repository(&self.forge().forge)
    }

    fn configured(self, mode: &str, page_size: Option<usize>) -> Self {
        let metadata = |name: &str| json!({"name": name, "namespace": NAMESPACE});
        let api = krate_model::API_VERSION;
        let provider: ExternalBackendProvider = serde_json::from_value(json!({
            "apiVersion": api, "kind": "ExternalBackendProvider", "metadata": metadata("gh"),
            "spec": {
                "organizationRef": "acme", "providerType": "github", "displayName": "GitHub",
                "apiBaseUrl": "https://api.github.com",
                "authRef": {"mode": "personal-access-token", "secretRef": {"name": "gh"}},
                "webhook": {
                    "secretRefs": [{"name": "first", "secretRef": {"name": "gh", "key": "webhook"}}],
                    "maxBodyBytes": MAX_BODY_BYTES,
                    // What is lost on purpose is to stay lost until a list shows it.
                    "deliveryLog": false,
                },
                "capabilities": {"issueTracking": true, "gitForge": true},
            },
        }))
        .expect("a provider");
        let policy: ExternalBackendSyncPolicy = serde_json::from_value(json!({
            "apiVersion": api, "kind": "ExternalBackendSyncPolicy", "metadata": metadata("policy"),
            "spec": {"organizationRef": "acme", "backfill": {"pageSize": page_size}},
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
        self
    }

    /// The network and the forge behind it.
    pub fn forge(&self) -> MutexGuard<'_, Network> {
        lock(&self.network)
    }

    /// Changes the one object of a kind.
    ///
    /// # Panics
    /// When the store doesn't take it.
    pub fn change<T: Resource>(&self, change: impl FnOnce(&mut T)) {
        block_on(async {
            let found = list::<T>(&self.store.inner, Query::new(T::KIND)).await;
            let mut loaded = found.expect("the store can be read").pop().expect("there is one");
            change(loaded.change());
            let mut changes = Changes::at(self.clock.now());
            changes.put(&loaded).expect("JSON");
            changes.commit(&self.store.inner).await.expect("nobody else writes it");
        });
    }

    /// Moves the clock.
    pub fn pass_time(&self, seconds: i64) {
        self.clock.advance(TimeDelta::seconds(seconds));
    }

    /// Hands over the webhooks that have arrived, and reports how many were acknowledged.
    pub fn deliver(&self) -> usize {
        let arrived = self.forge().arrivals(self.clock.truth());
        arrived.iter().filter(|delivery| self.deliver_one(delivery)).count()
    }

    /// Hands one webhook over; whether it was acknowledged.
    pub fn deliver_one(&self, delivery: &Delivery) -> bool {
        let request = delivery.to_request();
        block_on(async {
            let Ok(config) = self.driver.config().await else { return false };
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
        lock(&self.wire.written).clone()
    }

    /// One pass; failures are the driver's to retry.
    pub fn pass(&self) -> Option<krate_sync::driver::Pass> {
        block_on(self.driver.run_due()).ok()
    }

    /// Lets the process run by itself for so many passes: between them it waits for the store's watch and for the clock, and what arrives meanwhile is taken in by
    /// another process.
    pub fn run(&self, passes: usize) {
        if let Some(way) = self.way.clone() {
            self.store.happens_meanwhile(Some(async move { way.peer_takes_webhooks().await }.boxed()));
        }
        let left = Cell::new(passes);
        let stop = std::future::poll_fn(|_| if left.get() == 0 { Poll::Ready(()) } else { Poll::Pending });
        // Where it waits for a change alone, none comes.
        let _ = self.driver.run(stop, |_| left.set(left.get().saturating_sub(1))).now_or_never();
        self.store.happens_meanwhile(None);
    }

    /// Gives a record another phase, as a process of another version does; whether it was in `from`.
    pub fn set_phase<T: Resource>(&self, name: &str, from: &str, to: &str) -> bool {
        block_on(async {
            let Ok(Some(mut loaded)) = get::<T>(&self.store.inner, NAMESPACE, name).await else { return false };
            if loaded.object.phase() != from {
                return false;
            }
            let mut object = serde_json::to_value(&loaded.object).unwrap_or_default();
            object["status"]["phase"] = json!(to);
            let Ok(changed) = serde_json::from_value(object) else { return false };
            *loaded.change() = changed;
            let mut changes = Changes::at(self.clock.now());
            changes.put(&loaded).is_ok() && changes.commit(&self.store.inner).await.is_ok()
        })
    }

    /// Works until nothing is due any more within the next ten minutes, moving the clock to what is due next.
    ///
    /// # Errors
    /// What was still due, or kept failing, after very many passes.
    pub fn settle(&self) -> Result<(), String> {
        let mut last = String::new();
        let mut next_due = None;
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
            next_due = pass.next;
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
        let waits = |phase: &str| !["Succeeded", "DeadLettered", "SignatureRejected", "Ignored"].contains(&phase);
        let deliveries = self.all::<ExternalWebhookDelivery>().into_iter().filter(|delivery| waits(delivery.phase()));
        due.extend(deliveries.map(|delivery| format!("{} {:?}", delivery.name(), delivery.status)));
        due.extend(self.all::<ExternalBackendBinding>().iter().map(|b| format!("{} {:?}", b.name(), b.status)));
        let now = self.clock.now();
        Err(format!("never quiet; now {now}, next due {next_due:?}, last failure: {last}; {due:#?}"))
    }

    /// Writes that wait for a person's decision: about themselves, about a field of their object, or about a write before them.
    pub fn held(&self) -> Vec<ExternalWriteIntent> {
        let mut all = self.all::<ExternalWriteIntent>();
        let open = |conflict: &ExternalSyncConflict| conflict.phase() == "Open";
        let mut about: BTreeSet<String> =
            self.all::<ExternalSyncConflict>().into_iter().filter(open).map(|found| found.spec.resource.name).collect();
        let waits = |it: &&ExternalWriteIntent| ["Conflict", "PendingApproval"].contains(&it.phase());
        about.extend(all.iter().filter(waits).map(|it| it.spec.target.name.clone()));
        all.retain(|intent| {
            intent.phase() == "Conflict"
                || (intent.phase() == "ReadyToSend" && about.contains(&intent.spec.target.name))
        });
        all
    }

    /// Whether nothing is left to do but to read the lists again when it is time.
    fn is_quiet(&self) -> bool {
        fn all<T: Resource>(world: &World, phases: &[&str]) -> bool {
            world.all::<T>().iter().all(|object| phases.contains(&object.phase()))
        }
        let read = |link: &ExternalObjectLink| link.status.as_ref().is_none_or(|status| !status.needs_hydration);
        let held = self.held();
        all::<ExternalSyncState>(self, &["Succeeded"])
            && self.all::<ExternalWriteIntent>().iter().all(|intent| {
                ["Succeeded", "Rejected", "Failed", "PendingApproval"].contains(&intent.phase())
                    || held.contains(intent)
            })
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

    /// The objects of a kind that are in a phase, by name, as the store keeps them.
    ///
    /// # Panics
    /// When the store can't be read.
    pub(crate) fn in_phase(&self, kind: Kind, phase: &str) -> Vec<Stored> {
        let query = Query::new(kind).in_namespace(NAMESPACE).with(Index::Phase, phase).limit(MAX_LISTED);
        block_on(self.store.inner.list(&query)).expect("the store can be read").items
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

/// What the repository is called now that every world begins with.
pub(crate) fn bound_repository(forge: &Forge) -> String {
    // Ids grow: it is the first one that was made.
    forge.repositories().next().map_or_else(|| REPOSITORY.to_owned(), krate_providers::simulator::Repository::full_name)
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
