//! From a thousand to a million synced pull requests in the packed in-memory store: heap, what a start costs, and what one event costs.
//!
//! Heap is counted in bytes asked of the allocator. A start is a new [`Driver`] and its first pass, which reads the configuration and finds nothing to do. An
//! event is a webhook about a pull request that is there: taken in, then applied by a pass, which also reads the configuration, writes the statuses where they
//! are due, and looks for what is due next. A question is `why` about a pull request, with all that it answers. The engine is the one that a server runs, before a simulated forge that has no pull requests.
//!
//! `KRATE_OBJECTS=1000,10000 cargo bench -p krate-benches --bench million` stops at fewer; the first size is what the others are compared with.

use std::hint::black_box;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use async_trait::async_trait;
use bytes::Bytes;
use chrono::TimeDelta;
use futures::executor::block_on;
use krate_benches::compare::{is_measured, shown};
use krate_benches::payload;
use krate_benches::pulls::{self, Bodies, PROVIDER};
use krate_model::Kind;
use krate_model::kinds::external::ExternalBackendProvider;
use krate_model::kinds::forge::Repository;
use krate_model::kinds::sets::AuthMode;
use krate_model::kinds::shared::Time;
use krate_model::store::{MemoryStore, Query, Store, Stored};
use krate_providers::contract::{Credential, SendOutcome, WebhookSecret};
use krate_providers::simulator::{Faults, Forge, Network, Reply};
use krate_sync::driver::{Clock, Driver, Http, Pass, SecretError, Secrets, SendError};
use krate_sync::records::{Changes, Loaded};
use serde_json::json;

/// Objects, where nobody says otherwise.
const SIZES: [usize; 4] = [1_000, 10_000, 100_000, 1_000_000];
/// Starts that are measured.
const STARTS: usize = 21;
/// Events that are measured.
const EVENTS: usize = 501;
/// Questions that are measured.
const QUESTIONS: usize = 101;
/// A token of the simulated forge.
const TOKEN: &str = "a token of the benches";

/// A clock that only moves when it is told to: lists that come due by time aren't measured.
struct Hand(AtomicI64);

impl Hand {
    fn advance(&self, by: TimeDelta) {
        self.0.fetch_add(by.num_milliseconds(), Ordering::SeqCst);
    }
}

#[async_trait]
impl Clock for Hand {
    fn now(&self) -> Time {
        Time::from_timestamp_millis(self.0.load(Ordering::SeqCst)).unwrap_or_default()
    }

    async fn sleep_until(&self, time: Time) {
        self.advance(time - self.now());
    }
}

/// The way to the forge.
struct Wire {
    network: Mutex<Network>,
    clock: Arc<Hand>,
}

#[async_trait]
impl Http for Wire {
    async fn send(&self, request: http::Request<Bytes>) -> Result<http::Response<Bytes>, SendError> {
        let mut network = self.network.lock().unwrap_or_else(PoisonError::into_inner);
        match network.send(&request, self.clock.now()) {
            Reply::Response(response) => Ok(response),
            Reply::Lost => Err(SendError { outcome: SendOutcome::Unknown, message: "the connection broke".to_owned() }),
        }
    }
}

struct Known;

#[async_trait]
impl Secrets for Known {
    async fn webhook_secrets(&self, _: &ExternalBackendProvider) -> Result<Vec<WebhookSecret>, SecretError> {
        Ok(vec![payload::secret()])
    }

    async fn credential(&self, _: &ExternalBackendProvider) -> Result<Option<Credential>, SecretError> {
        Ok(Some(Credential::new(AuthMode::PersonalAccessToken, TOKEN)))
    }
}

/// The engine's surroundings.
struct World {
    store: Arc<MemoryStore>,
    wire: Arc<Wire>,
    clock: Arc<Hand>,
    bodies: Bodies,
    /// Events so far.
    events: usize,
}

impl World {
    /// A store with a bound repository whose lists were read: there is nothing in them.
    fn new() -> Self {
        let clock = Arc::new(Hand(AtomicI64::new(1_780_000_000_000)));
        let mut forge = Forge::seeded(1);
        forge.add_token(TOKEN, "krate-bot");
        let repository = forge.by("ada", clock.now()).create_repository("acme/site").expect("a new forge has room");
        let network = Mutex::new(Network::new(forge, Faults::none(), 1));
        let wire = Arc::new(Wire { network, clock: Arc::clone(&clock) });
        // What the watch remembers is bounded for the whole store, and not part of an object.
        let store = Arc::new(MemoryStore::with_history(0).packed());
        pulls::configure(store.as_ref(), clock.now());
        let site: Repository =
            pulls::object("Repository", "site", &json!({"organizationRef": "acme", "visibility": "private"}));
        let mut changes = Changes::at(clock.now());
        changes.put(&Loaded::new(site)).expect("JSON");
        block_on(changes.commit(store.as_ref())).expect("a new name");
        let world = Self { store, wire, clock, bodies: Bodies::of(repository), events: 0 };
        let driver = world.driver();
        for _ in 0..100 {
            pass(&driver);
            world.clock.advance(TimeDelta::milliseconds(500));
        }
        world
    }

    fn driver(&self) -> Driver {
        let store = Arc::clone(&self.store) as Arc<dyn Store>;
        let clock = Arc::clone(&self.clock) as Arc<dyn Clock>;
        Driver::new(store, Arc::clone(&self.wire) as Arc<dyn Http>, clock, Arc::new(Known), 1)
    }

    /// Syncs the pull requests of these numbers; how many bytes they take.
    fn fill(&mut self, numbers: std::ops::Range<usize>) -> i64 {
        let (at, scope) = (self.clock.now(), pulls::scope(self.store.as_ref(), self.clock.now()));
        let (store, bodies) = (Arc::clone(&self.store), &mut self.bodies);
        let filled = allocation_counter::measure(|| {
            for number in numbers {
                let body = bodies.body(number, 0);
                pulls::sync(store.as_ref(), &scope, &body, at);
            }
        });
        filled.bytes_current
    }

    /// How long the questions take why a pull request is as it is, each about another one.
    fn ask(&self, driver: &Driver, questions: usize) -> Vec<f64> {
        let page = block_on(self.store.list(&Query::new(Kind::PullRequest).limit(questions))).expect("it can be read");
        let ask = |stored: &Stored| {
            let (namespace, name) = (&stored.key.namespace, &stored.key.name);
            let (took, why) = timed(|| block_on(driver.why(Kind::PullRequest, namespace, name)));
            assert_eq!(why.expect("it is there").links.len(), 1, "it is synced");
            took
        };
        page.items.iter().map(ask).collect()
    }

    /// One event about an object that is there.
    fn event(&mut self, driver: &Driver, size: usize) -> Cost {
        self.events += 1;
        self.clock.advance(TimeDelta::milliseconds(100));
        // A large step, so that neighbours in time aren't neighbours in the store.
        let number = (self.events * 7_919) % size;
        let body = self.bodies.body(number, self.events);
        let headers = payload::headers(&format!("00000000-0000-4000-8000-{:012}", self.events), &body);
        let config = block_on(driver.config()).expect("the store can be read");
        let (mut accept, mut apply) = (0.0, 0.0);
        let counted = allocation_counter::measure(|| {
            let taken = timed(|| block_on(driver.accept(&config, PROVIDER, &headers, &body)));
            assert!(!taken.1.expect("the provider is there").expect("it is signed").duplicate, "it is new");
            let applied = timed(|| pass(driver));
            assert_eq!(applied.1.done, 1, "the delivery was worked on");
            (accept, apply) = (taken.0, applied.0);
        });
        Cost { accept, apply, allocations: counted.count_total }
    }
}

/// What one event cost: nanoseconds of taking it in and of the pass that applies it, and how often both asked the allocator. The last is the same on every machine.
#[derive(Clone, Copy)]
struct Cost {
    accept: f64,
    apply: f64,
    allocations: u64,
}

fn pass(driver: &Driver) -> Pass {
    let pass = block_on(driver.run_due()).expect("the store can be read");
    assert!(pass.failed.is_empty(), "{:?}", pass.failed);
    pass
}

fn timed<T>(run: impl FnOnce() -> T) -> (f64, T) {
    let began = Instant::now();
    let ended = black_box(run());
    (began.elapsed().as_secs_f64() * 1e9, ended)
}

/// What was measured at a size.
#[derive(Clone, Copy)]
struct Row {
    objects: usize,
    bytes: i64,
    start: f64,
    accept: f64,
    apply: f64,
    apply_p99: f64,
    allocations: u64,
    why_p99: f64,
}

fn percentile(times: &mut [f64], percent: usize) -> f64 {
    times.sort_by(f64::total_cmp);
    times.get((times.len() * percent).div_ceil(100).saturating_sub(1)).copied().unwrap_or(f64::NAN)
}

fn sizes() -> Vec<usize> {
    if !is_measured() {
        return vec![10, 20];
    }
    match std::env::var("KRATE_OBJECTS") {
        Ok(text) => text.split(',').map(|size| size.trim().parse().expect("KRATE_OBJECTS has numbers")).collect(),
        Err(_) => SIZES.to_vec(),
    }
}

#[allow(clippy::cast_precision_loss)] // At most some GB, and some millions of objects.
fn print(row: Row) {
    let (bytes, objects) = (row.bytes as f64, row.objects as f64);
    println!(
        "  {:>9} {:>9.1} MB {:>7.0} B {:>10} {:>10} {:>10} {:>10} {:>11} {:>10}",
        row.objects,
        bytes / 1e6,
        bytes / objects,
        shown(row.start),
        shown(row.accept),
        shown(row.apply),
        shown(row.apply_p99),
        row.allocations,
        shown(row.why_p99),
    );
}

fn main() {
    let mut world = World::new();
    let (mut filled, mut bytes) = (0, 0);
    let mut rows: Vec<Row> = Vec::new();
    println!("synced pull requests with their links, bases and indexes");
    println!(
        "  {:>9} {:>12} {:>9} {:>10} {:>10} {:>10} {:>10} {:>11} {:>10}",
        "objects", "heap", "each", "start", "accept", "apply", "apply p99", "allocations", "why p99"
    );
    let (starts, events, questions) = if is_measured() { (STARTS, EVENTS, QUESTIONS) } else { (1, 3, 3) };
    for objects in sizes() {
        bytes += world.fill(filled..objects);
        filled = objects;
        let mut started: Vec<f64> = (0..starts)
            .map(|_| {
                let (took, first) = timed(|| pass(&world.driver()));
                assert_eq!(first.done, 0, "nothing was due");
                took
            })
            .collect();
        let driver = world.driver();
        pass(&driver);
        let costs: Vec<Cost> = (0..events).map(|_| world.event(&driver, objects)).collect();
        let all = |of: fn(&Cost) -> f64| -> Vec<f64> { costs.iter().map(of).collect() };
        let (mut accept, mut apply) = (all(|cost| cost.accept), all(|cost| cost.apply));
        let mut allocations: Vec<u64> = costs.iter().map(|cost| cost.allocations).collect();
        allocations.sort_unstable();
        let row = Row {
            objects,
            bytes,
            start: percentile(&mut started, 50),
            accept: percentile(&mut accept, 50),
            apply: percentile(&mut apply, 50),
            apply_p99: percentile(&mut apply, 99),
            allocations: allocations.get(allocations.len() / 2).copied().unwrap_or(0),
            why_p99: percentile(&mut world.ask(&driver, questions), 99),
        };
        print(row);
        rows.push(row);
    }
    if let (Some(first), Some(last)) = (rows.first(), rows.last()) {
        println!(
            "  {} beside {}: start {:.2}x, accept {:.2}x, apply {:.2}x, p99 {:.2}x, allocations {} to {}, why {:.2}x",
            last.objects,
            first.objects,
            last.start / first.start,
            last.accept / first.accept,
            last.apply / first.apply,
            last.apply_p99 / first.apply_p99,
            first.allocations,
            last.allocations,
            last.why_p99 / first.why_p99,
        );
    }
}
