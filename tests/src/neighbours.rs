//! Several organizations that share one provider, and so one account's budget, in simulated time: how long their edits are on their way.
//!
//! The engine is the real one with its real loop ([`Driver::run`]). Calls and webhooks take their time, which is drawn for each by what it is about, so that what
//! one tenant does moves no draw of another. Computing takes no time.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use bytes::Bytes;
use chrono::{DateTime, TimeDelta, Utc};
use futures::executor::LocalPool;
use futures::task::LocalSpawnExt;
use krate_model::kinds::external::{ExternalBackendBinding, ExternalBackendProvider};
use krate_model::kinds::forge::Repository;
use krate_model::kinds::identity::{OrgSharingPolicy, Organization};
use krate_model::kinds::sets::ActorKind;
use krate_model::kinds::shared::{Actor, ObjectRef};
use krate_model::kinds::work::Issue;
use krate_model::store::{MemoryStore, Query, Store};
use krate_model::{Kind, Resource};
use krate_providers::contract::SendOutcome;
use krate_providers::simulator::{Delivery, Faults, Forge, IssueEdit, Limits, Network, NewIssue, Reply, Rng};
use krate_sync::driver::{Clock, Driver, Http, SendError};
use krate_sync::local::Local;
use krate_sync::records::{Changes, Loaded, get, list};
use serde_json::{Value, json};

use crate::timeline::Timeline;
use crate::world::{KnownSecrets, SECRET, TOKEN, block_on, lock, start};

/// The organization whose provider the others use.
const LENDER: &str = "forge";
/// The provider.
const PROVIDER: &str = "lent";
/// How long the first lists get, before the load begins.
const SETTLING: TimeDelta = TimeDelta::minutes(2);
/// How long is waited for what is still on its way when the load is over.
const REST: TimeDelta = TimeDelta::hours(2);

/// What one tenant does, on either side.
#[derive(Debug, Clone, Copy)]
pub struct Load {
    /// The time between two of its moves, on the average: half of it is steady, half drawn.
    pub every: TimeDelta,
    /// Issues that are edited in one move.
    pub at_once: usize,
}

/// Who lives there.
#[derive(Debug, Clone)]
pub struct Street {
    /// The load of each tenant; the first one is who may be noisy.
    pub tenants: Vec<Load>,
    /// Issues of each of them.
    pub issues: Vec<usize>,
    /// How long the load lasts.
    pub lasts: TimeDelta,
    /// Requests an hour of the account that they share.
    pub per_hour: u64,
}

/// How long edits were on their way.
#[derive(Debug, Clone, Default)]
pub struct Ways {
    /// From an edit here until it was carried out at the forge, by tenant.
    pub out: Vec<Vec<TimeDelta>>,
    /// From an edit at the forge until it showed here, by tenant.
    pub home: Vec<Vec<TimeDelta>>,
    /// Edits that never came through, by tenant.
    pub lost: Vec<usize>,
    /// Requests that the forge answered.
    pub requests: u64,
}

/// An edit: whose, of which issue, and which of them it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Mark {
    tenant: usize,
    issue: usize,
    change: usize,
}

impl Mark {
    fn text(self) -> String {
        format!("tenant {} issue {} change {}", self.tenant, self.issue, self.change)
    }

    fn read(text: &str) -> Option<Self> {
        let mut words = text.split_whitespace();
        let mut after = |word: &str| words.next().filter(|found| *found == word).and(words.next())?.parse().ok();
        Some(Self { tenant: after("tenant")?, issue: after("issue")?, change: after("change")? })
    }
}

/// What happens at a time.
enum Event {
    /// A tenant edits its next issues: here, or at the forge.
    Edit { tenant: usize, here: bool },
    /// A webhook arrives.
    Webhook(Box<Delivery>),
}

/// Edits, and when they were there.
type Arrivals = Vec<(Mark, DateTime<Utc>)>;

/// The way to the forge: there, and back.
pub(crate) struct Road {
    network: Arc<Mutex<Network>>,
    timeline: Arc<Timeline>,
    seed: u64,
    /// How often each resource was asked for.
    asked: Mutex<BTreeMap<String, u64>>,
    /// The edits that were carried out.
    arrived: Arc<Mutex<Arrivals>>,
}

impl Road {
    pub(crate) fn new(network: &Arc<Mutex<Network>>, timeline: &Arc<Timeline>, seed: u64) -> Self {
        let (network, timeline) = (Arc::clone(network), Arc::clone(timeline));
        Self { network, timeline, seed, asked: Mutex::default(), arrived: Arc::default() }
    }
}

/// Whether a tenant is the one that has more to do than the others.
fn is_noisy(tenant: usize) -> bool {
    tenant == 0
}

/// A time between `least` and three times as much, which only `about` decides.
fn drawn(seed: u64, about: &str, least: TimeDelta) -> TimeDelta {
    let most = u64::try_from(least.num_milliseconds() * 2).unwrap_or(0);
    let extra = Rng::stream(seed, about).below(most);
    least + TimeDelta::milliseconds(i64::try_from(extra).unwrap_or(0))
}

#[async_trait]
impl Http for Road {
    async fn send(&self, request: http::Request<Bytes>) -> Result<http::Response<Bytes>, SendError> {
        let line = format!("{} {}", request.method(), request.uri().path());
        let time = {
            let mut asked = lock(&self.asked);
            let count = asked.entry(line.clone()).or_default();
            *count += 1;
            drawn(self.seed, &format!("{line} {count}"), TimeDelta::milliseconds(50))
        };
        self.timeline.sleep_until(self.timeline.now() + time).await;
        let reply = {
            let mut network = lock(&self.network);
            let before = network.forge.effects().len();
            let reply = network.send(&request, self.timeline.now());
            if network.forge.effects().len() > before {
                let body: Value = serde_json::from_slice(request.body()).unwrap_or_default();
                if let Some(mark) = body["title"].as_str().and_then(Mark::read) {
                    lock(&self.arrived).push((mark, self.timeline.now()));
                }
            }
            reply
        };
        self.timeline.sleep_until(self.timeline.now() + time).await;
        match reply {
            Reply::Response(response) => Ok(response),
            Reply::Lost => Err(SendError { outcome: SendOutcome::Unknown, message: "the connection broke".to_owned() }),
        }
    }
}

fn organization(tenant: usize) -> String {
    format!("tenant-{tenant}")
}

pub(crate) fn namespace(organization: &str) -> String {
    format!("krate-org-{organization}")
}

fn repository(tenant: usize) -> String {
    format!("{}/site", organization(tenant))
}

pub(crate) fn object<T: Resource>(organization: &str, name: &str, spec: &Value) -> Loaded<T> {
    let metadata = json!({"name": name, "namespace": namespace(organization), "generation": 1});
    let whole = json!({
        "apiVersion": krate_model::API_VERSION, "kind": T::KIND.as_str(), "metadata": metadata, "spec": spec,
    });
    Loaded::new(serde_json::from_value(whole).expect("an object of its kind"))
}

/// Everybody with the forge, the engine, and what is on its way.
struct Play {
    street: Street,
    seed: u64,
    timeline: Arc<Timeline>,
    network: Arc<Mutex<Network>>,
    store: Arc<MemoryStore>,
    driver: Driver,
    arrived: Arc<Mutex<Arrivals>>,
    /// Names of each tenant's issues here.
    names: Vec<Vec<String>>,
    agenda: BTreeMap<(DateTime<Utc>, u64), Event>,
    place: u64,
    /// Draws of each tenant's moves, on either side.
    chance: BTreeMap<(usize, bool), Rng>,
    /// Moves that each tenant has made, on either side.
    edits: BTreeMap<(usize, bool), usize>,
    /// Webhooks of each repository so far.
    sent: BTreeMap<u64, u64>,
    out: BTreeMap<Mark, DateTime<Utc>>,
    home: BTreeMap<Mark, DateTime<Utc>>,
    ways: Ways,
}

impl Street {
    /// Plays it.
    ///
    /// # Panics
    /// When the engine stops, or the simulator refuses what it is asked for.
    pub fn play(&self, seed: u64) -> Ways {
        let mut pool = LocalPool::new();
        let mut play = Play::new(self.clone(), seed);
        let driver = play.driver.clone();
        pool.spawner()
            .spawn_local(async move { driver.run(futures::future::pending::<()>(), |_| {}).await })
            .expect("the pool is there");
        let begins = start() + SETTLING;
        while play.step(&mut pool, begins) {}
        play.learn_names();
        for tenant in 0..self.tenants.len() {
            play.plan_move(tenant, true);
            play.plan_move(tenant, false);
        }
        let ends = begins + self.lasts;
        while play.step(&mut pool, ends) {}
        play.agenda.retain(|_, event| matches!(event, Event::Webhook(_)));
        while play.waits() && play.step(&mut pool, ends + REST) {}
        play.end()
    }
}

impl Play {
    fn new(street: Street, seed: u64) -> Self {
        let mut forge = Forge::seeded(seed);
        forge.set_limits(Limits { per_hour: street.per_hour, ..Limits::default() });
        forge.add_token(TOKEN, "krate-bot");
        for (tenant, issues) in street.issues.iter().enumerate() {
            let name = repository(tenant);
            forge.by("ada", start()).create_repository(&name).expect("a new forge has room");
            for issue in 0..*issues {
                let new = NewIssue::titled(format!("Issue {issue}"));
                forge.by("ada", start()).open_issue(&name, new).expect("the repository is there");
            }
            forge.add_hook(&name, "http://127.0.0.1/webhooks/lent", Some(SECRET), start()).expect("it is there");
        }
        forge.take_deliveries();
        let network = Arc::new(Mutex::new(Network::new(forge, Faults::none(), seed)));
        let timeline = Arc::new(Timeline::from(start()));
        let store = Arc::new(MemoryStore::new());
        let road = Road::new(&network, &timeline, seed);
        let arrived = Arc::clone(&road.arrived);
        let secrets = Arc::new(KnownSecrets::default());
        let clock = Arc::clone(&timeline) as Arc<dyn Clock>;
        let driver = Driver::new(Arc::clone(&store) as Arc<dyn Store>, Arc::new(road), clock, secrets, seed);
        block_on(configure(&street, store.as_ref()));
        let tenants = street.tenants.len();
        let ways = Ways {
            out: vec![Vec::new(); tenants],
            home: vec![Vec::new(); tenants],
            lost: vec![0; tenants],
            requests: 0,
        };
        Self {
            street,
            seed,
            timeline,
            network,
            store,
            driver,
            arrived,
            names: Vec::new(),
            agenda: BTreeMap::new(),
            place: 0,
            chance: BTreeMap::new(),
            edits: BTreeMap::new(),
            sent: BTreeMap::new(),
            out: BTreeMap::new(),
            home: BTreeMap::new(),
            ways,
        }
    }

    /// Lets the engine do all that it can now, then lets time pass until the next thing happens. False where that is not before `end`.
    fn step(&mut self, pool: &mut LocalPool, end: DateTime<Utc>) -> bool {
        pool.run_until_stalled();
        self.collect();
        self.notice();
        let planned = self.agenda.first_key_value().map(|((time, _), _)| *time);
        let Some(next) = planned.into_iter().chain(self.timeline.next()).min().filter(|next| *next < end) else {
            return false;
        };
        self.timeline.advance(next);
        while let Some(first) = self.agenda.first_entry().filter(|first| first.key().0 <= next) {
            match first.remove() {
                Event::Edit { tenant, here } => {
                    self.edit(tenant, here);
                    self.plan_move(tenant, here);
                }
                Event::Webhook(delivery) => self.deliver(&delivery),
            }
        }
        true
    }

    fn plan(&mut self, time: DateTime<Utc>, event: Event) {
        self.place += 1;
        self.agenda.insert((time, self.place), event);
    }

    fn plan_move(&mut self, tenant: usize, here: bool) {
        let seed = self.seed;
        let stream = || Rng::stream(seed, &format!("tenant {tenant} {here}"));
        let half = self.street.tenants[tenant].every / 2;
        let most = u64::try_from(half.num_milliseconds() * 2).unwrap_or(0);
        let extra = self.chance.entry((tenant, here)).or_insert_with(stream).below(most);
        let wait = half + TimeDelta::milliseconds(i64::try_from(extra).unwrap_or(0));
        self.plan(self.timeline.now() + wait, Event::Edit { tenant, here });
    }

    /// What each issue is called here.
    fn learn_names(&mut self) {
        for (tenant, count) in self.street.issues.iter().enumerate() {
            let query = Query::new(Kind::Issue).in_namespace(namespace(&organization(tenant)));
            let found = block_on(list::<Issue>(self.store.as_ref(), query)).expect("the store can be read");
            let mut numbered: Vec<(Option<i64>, String)> = found
                .into_iter()
                .map(|issue| {
                    let external = issue.object.status.as_ref().and_then(|status| status.external.as_ref());
                    (external.and_then(|external| external.native_number), issue.object.name().to_owned())
                })
                .collect();
            numbered.sort();
            assert_eq!(numbered.len(), *count, "the first lists of tenant {tenant} were read");
            self.names.push(numbered.into_iter().map(|(_, name)| name).collect());
        }
    }

    /// The tenant's next issues get another title here, or another text at the forge.
    fn edit(&mut self, tenant: usize, here: bool) {
        for _ in 0..self.street.tenants[tenant].at_once {
            let count = self.edits.entry((tenant, here)).or_default();
            *count += 1;
            let issues = self.street.issues[tenant];
            let mark = Mark { tenant, issue: *count % issues, change: *count };
            let text = mark.text();
            if here {
                self.out.insert(mark, self.timeline.now());
                let about = ObjectRef::new("Issue", self.names[tenant][mark.issue].as_str());
                let retitle = |local: &mut Local| {
                    if let Local::Issue(issue) = local {
                        issue.spec.title.clone_from(&text);
                    }
                };
                let person = Actor::new(ActorKind::User, "grace");
                let home = namespace(&organization(tenant));
                block_on(self.driver.edit(&home, &about, &person, &retitle)).expect("it is taken in");
            } else {
                // Nobody asks about those of who is noisy, and they are many.
                if !is_noisy(tenant) {
                    self.home.insert(mark, self.timeline.now());
                }
                let number = u64::try_from(mark.issue + 1).unwrap_or(0);
                let edit = IssueEdit::new().body(text);
                let mut network = lock(&self.network);
                let mut ada = network.forge.by("ada", self.timeline.now());
                ada.edit_issue(&repository(tenant), number, edit).expect("the issue is there");
            }
        }
    }

    /// Sends the webhooks that the forge has queued on their way.
    fn collect(&mut self) {
        let now = self.timeline.now();
        let arrivals = lock(&self.network).arrivals(now);
        for delivery in arrivals {
            let count = self.sent.entry(delivery.repository).or_default();
            *count += 1;
            let about = format!("webhook {} {count}", delivery.repository);
            let time = drawn(self.seed, &about, TimeDelta::milliseconds(300));
            self.plan(now + time, Event::Webhook(Box::new(delivery)));
        }
    }

    fn deliver(&self, delivery: &Delivery) {
        let request = delivery.to_request();
        block_on(async {
            let config = self.driver.config().await.expect("the store can be read");
            let accepted = self.driver.accept(&config, PROVIDER, request.headers(), request.body()).await;
            accepted.expect("the provider is there").expect("it is signed");
        });
    }

    /// Takes down what has come through since. A later edit of an issue that has stands for the earlier ones.
    fn notice(&mut self) {
        for (mark, at) in std::mem::take(&mut *lock(&self.arrived)) {
            settle(&mut self.out, mark, at, &mut self.ways.out);
        }
        let now = self.timeline.now();
        let mut waiting: Vec<(usize, usize)> = self.home.keys().map(|mark| (mark.tenant, mark.issue)).collect();
        waiting.dedup();
        for (tenant, issue) in waiting {
            let (home, name) = (namespace(&organization(tenant)), &self.names[tenant][issue]);
            let found = block_on(get::<Issue>(self.store.as_ref(), &home, name)).expect("the store can be read");
            let body = found.and_then(|issue| issue.object.spec.body);
            if let Some(mark) = body.as_ref().and_then(|body| Mark::read(&body.markdown)) {
                settle(&mut self.home, mark, now, &mut self.ways.home);
            }
        }
    }

    /// Whether an edit of those who aren't noisy is still on its way.
    fn waits(&self) -> bool {
        self.out.keys().chain(self.home.keys()).any(|mark| !is_noisy(mark.tenant))
    }

    fn end(mut self) -> Ways {
        for mark in self.out.keys().chain(self.home.keys()) {
            self.ways.lost[mark.tenant] += 1;
        }
        self.ways.requests = lock(&self.network).forge.requests();
        self.ways
    }
}

fn settle(waiting: &mut BTreeMap<Mark, DateTime<Utc>>, mark: Mark, at: DateTime<Utc>, ways: &mut [Vec<TimeDelta>]) {
    let first = Mark { change: 0, ..mark };
    let through: Vec<Mark> = waiting.range(first..=mark).map(|(mark, _)| *mark).collect();
    for mark in through {
        if let Some(since) = waiting.remove(&mark) {
            ways[mark.tenant].push(at - since);
        }
    }
}

/// One organization with a provider, and others that may use it, each with a binding of its own repository (S3).
async fn configure(street: &Street, store: &dyn Store) {
    let mut changes = Changes::at(start());
    let json = "an object is JSON";
    let named = |name: &str| json!({"displayName": name, "slug": name, "namespaceName": namespace(name)});
    changes.put(&object::<Organization>(LENDER, LENDER, &named(LENDER))).expect(json);
    let provider = json!({
        "organizationRef": LENDER, "providerType": "github", "displayName": "GitHub",
        "apiBaseUrl": "https://api.github.com",
        "authRef": {"mode": "personal-access-token", "secretRef": {"name": "gh"}},
        "webhook": {"secretRefs": [{"name": "first", "secretRef": {"name": "gh", "key": "webhook"}}]},
        "capabilities": {"issueTracking": true, "gitForge": true},
    });
    changes.put(&object::<ExternalBackendProvider>(LENDER, PROVIDER, &provider)).expect(json);
    for tenant in 0..street.tenants.len() {
        let own = organization(tenant);
        changes.put(&object::<Organization>(&own, &own, &named(&own))).expect(json);
        for (side, at) in [("offer", LENDER), ("accept", own.as_str())] {
            let consent = json!({
                "side": side, "sourceOrg": LENDER, "targetOrg": own,
                "allowedRefs": [{"kind": "ExternalBackendProvider", "names": [PROVIDER], "verbs": ["reference"]}],
            });
            changes.put(&object::<OrgSharingPolicy>(at, &format!("{side}-{own}"), &consent)).expect(json);
        }
        let site = json!({"organizationRef": own, "visibility": "private"});
        changes.put(&object::<Repository>(&own, "site", &site)).expect(json);
        let binding = json!({
            "organizationRef": own,
            "sharedProviderRef": {"organization": LENDER, "kind": "ExternalBackendProvider", "name": PROVIDER},
            "targetRef": {"kind": "Repository", "name": "site"},
            "externalRef": {"owner": own, "repository": "site"},
            "interfaces": [{"name": "issueTracking", "mode": "bidirectional"}],
        });
        changes.put(&object::<ExternalBackendBinding>(&own, &own, &binding)).expect(json);
    }
    changes.commit(store).await.expect("an empty store takes them");
}
