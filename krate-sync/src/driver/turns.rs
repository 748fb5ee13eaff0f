//! Whose turn it is: what is due is taken in turns from every organization, and what is slow is left behind running, so that one slow or busy
//! provider, binding or object never delays another (S46).

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::pin::Pin;
use std::sync::Arc;

use futures_util::future::{Either, select};
use futures_util::stream::{FuturesUnordered, StreamExt};
use krate_model::Kind;
use krate_model::kinds::shared::Time;
use krate_model::store::{Index, Key, Query, Stored, sortable_time};
use serde::Deserialize;

use super::{Config, DUE, Driver, DriverError};

/// Records of one provider that are worked on at the same time. Of those who share it, each may have as many as it leaves free: one alone half of them, two a third
/// each. So there is always room for whoever comes next.
const CONCURRENCY: usize = 32;
/// Records of one kind that are begun in one pass; what is left is due in the next one.
const BATCH: usize = 256;
/// Pages of due records that are looked through for those of providers that have room.
const MOST_PAGES: usize = 16;
/// Organizations that get a turn in one pass, where more is due than one pass takes.
const MOST_TURNS: usize = 64;

/// Work that came to its end.
pub(super) struct Ended {
    pub(super) key: Key,
    provider: Arc<str>,
    pub(super) result: Result<(), DriverError>,
}

/// Work that is due.
pub(super) struct Turn {
    pub(super) key: Key,
    pub(super) provider: Arc<str>,
    pub(super) work: Pin<Box<dyn Future<Output = Result<(), DriverError>> + Send>>,
}

/// What is being worked on, from pass to pass.
#[derive(Default)]
pub(super) struct Running {
    work: FuturesUnordered<Pin<Box<dyn Future<Output = Ended> + Send>>>,
    pub(super) busy: Busy,
    /// What ended between two passes.
    over: Vec<Ended>,
}

/// Which records are being worked on.
#[derive(Default)]
pub(super) struct Busy {
    keys: BTreeSet<Key>,
    /// How many of them are each provider's, by namespace.
    of: BTreeMap<Arc<str>, BTreeMap<Arc<str>, usize>>,
    /// The providers that several share.
    shared: BTreeSet<Arc<str>>,
}

impl Busy {
    /// Takes in which providers are shared.
    pub(super) fn share(&mut self, config: &Config) {
        let shared = config.tenants().filter(|(_, tenants)| tenants.len() > 1);
        self.shared = shared.map(|(provider, _)| provider.into()).collect();
    }

    fn has_room(&self, provider: &str, namespace: &str) -> bool {
        let Some(counts) = self.of.get(provider) else { return true };
        let free = CONCURRENCY.saturating_sub(counts.values().sum());
        if self.shared.contains(provider) { counts.get(namespace).is_none_or(|own| *own < free) } else { free > 0 }
    }

    pub(super) fn len(&self) -> usize {
        self.keys.len()
    }

    pub(super) fn has(&self, key: &Key) -> bool {
        self.keys.contains(key)
    }
}

impl Running {
    fn begin(&mut self, Turn { key, provider, work }: Turn) {
        self.busy.keys.insert(key.clone());
        let counts = self.busy.of.entry(Arc::clone(&provider)).or_default();
        let count = counts.entry(Arc::clone(&key.namespace)).or_default();
        *count = count.saturating_add(1);
        self.work.push(Box::pin(async move { Ended { key, provider, result: work.await } }));
    }

    /// The next that ends; nothing, where nothing runs.
    pub(super) async fn next(&mut self) -> Option<Ended> {
        let ended = self.work.next().await?;
        self.busy.keys.remove(&ended.key);
        if let Some(counts) = self.busy.of.get_mut(&ended.provider)
            && let Some(count) = counts.get_mut(&ended.key.namespace)
        {
            *count = count.saturating_sub(1);
            if *count == 0 {
                counts.remove(&ended.key.namespace);
            }
        }
        Some(ended)
    }

    /// Waits until something ends; for ever, where nothing runs.
    pub(super) async fn freed(&mut self) {
        match self.next().await {
            Some(ended) => self.over.push(ended),
            None => std::future::pending().await,
        }
    }

    /// What ended between two passes.
    pub(super) fn over(&mut self) -> Vec<Ended> {
        std::mem::take(&mut self.over)
    }
}

/// What a record says it is about.
#[derive(Deserialize)]
struct Record {
    spec: About,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase")]
struct About {
    #[serde(default)]
    provider_ref: String,
    #[serde(default)]
    binding_ref: Option<String>,
}

impl About {
    /// What can't be read is about nothing: whoever works on it says what is wrong with it.
    fn of(stored: &Stored) -> Self {
        serde_json::from_slice::<Record>(&stored.body).map(|record| record.spec).unwrap_or_default()
    }

    /// The provider by its own name: where another organization lends it, records name that one before it, and it is the same provider all the same.
    fn provider(&self) -> Arc<str> {
        let named = self.provider_ref.as_str();
        named.rsplit_once('/').map_or(named, |(_, name)| name).into()
    }

    /// Whether its binding may be used now. What is due under another one waits until it may, and holds up nothing: each pass would only find it again.
    fn is_usable(&self, stored: &Stored, config: &Config) -> bool {
        self.binding_ref.as_ref().is_none_or(|binding| config.scope(&stored.key.namespace, binding).is_some())
    }
}

impl Driver {
    /// Works through `turns`, each provider's within its room. With `patience`, what is still running at that time goes on by itself, and what hasn't begun is due in
    /// the next pass: however much of it there is, the next pass isn't far away for others (S46).
    pub(super) async fn take(&self, turns: Vec<Turn>, running: &mut Running, patience: Option<Time>) -> Vec<Ended> {
        let mut waiting = VecDeque::from(turns);
        let mut own = BTreeSet::new();
        let mut over = Vec::new();
        loop {
            for turn in std::mem::take(&mut waiting) {
                if running.busy.has_room(&turn.provider, &turn.key.namespace) {
                    own.insert(turn.key.clone());
                    running.begin(turn);
                } else {
                    waiting.push_back(turn);
                }
            }
            if own.is_empty() && waiting.is_empty() {
                return over;
            }
            let next = Box::pin(running.next());
            let ended = match patience {
                None => next.await,
                Some(patience) => match select(next, self.clock.sleep_until(patience)).await {
                    Either::Left((ended, _)) => ended,
                    Either::Right(_) => None,
                },
            };
            let Some(ended) = ended else { return over };
            own.remove(&ended.key);
            over.push(ended);
        }
    }

    /// Works on what is due of a kind.
    pub(super) async fn take_due(
        &self,
        kind: Kind,
        config: &Arc<Config>,
        now: Time,
        running: &mut Running,
        patience: Option<Time>,
    ) -> Result<Vec<Ended>, DriverError> {
        let due = self.due(kind, config, now, &running.busy).await?.into_iter();
        let turns = due.map(|(provider, stored)| {
            let (driver, config, key) = (self.clone(), Arc::clone(config), stored.key.clone());
            let work = Box::pin(async move { driver.work(kind, &stored, &config).await });
            Turn { key, provider, work }
        });
        Ok(self.take(turns.collect(), running, patience).await)
    }

    /// What is due of a kind, the oldest first. Where it is more than a pass takes, each organization has its turn: the flood of one doesn't hold up another.
    async fn due(
        &self,
        kind: Kind,
        config: &Config,
        now: Time,
        busy: &Busy,
    ) -> Result<Vec<(Arc<str>, Stored)>, DriverError> {
        let upto = sortable_time(now);
        let query = Query::new(kind).between(Index::Due, ..=upto.as_str()).limit(BATCH);
        let (first, more) = self.due_page(query.clone(), config, busy).await?;
        if !more {
            return Ok(first);
        }
        let turns = self.next_turns(&config.namespaces(), MOST_TURNS);
        let share = BATCH.div_ceil(turns.len().max(1));
        let mut due = Vec::new();
        for namespace in turns {
            due.extend(self.due_page(query.clone().in_namespace(namespace).limit(share), config, busy).await?.0);
        }
        // What room is left goes to the oldest, whoever's it is.
        let taken: BTreeSet<Key> = due.iter().map(|(_, stored)| stored.key.clone()).collect();
        let room = BATCH.saturating_sub(due.len());
        due.extend(first.into_iter().filter(|(_, stored)| !taken.contains(&stored.key)).take(room));
        Ok(due)
    }

    /// The records of a query that nobody works on, of providers that have room; and whether there may be more.
    async fn due_page(
        &self,
        mut query: Query,
        config: &Config,
        busy: &Busy,
    ) -> Result<(Vec<(Arc<str>, Stored)>, bool), DriverError> {
        let limit = query.limit;
        let mut found = Vec::new();
        let mut pages = 0_usize;
        while pages < MOST_PAGES {
            let page = self.store.list(&query).await?;
            let free = page.items.into_iter().filter(|stored| !busy.has(&stored.key));
            let free = free.map(|stored| (About::of(&stored), stored));
            let mut usable = free.filter(|(about, stored)| about.is_usable(stored, config)).peekable();
            // Pages of nothing else than what waits for its binding aren't counted: however much it is, what comes after it has its turn.
            pages = pages.saturating_add(usize::from(usable.peek().is_some()));
            let usable = usable.map(|(about, stored)| (about.provider(), stored));
            found.extend(usable.filter(|(provider, stored)| busy.has_room(provider, &stored.key.namespace)));
            match page.next {
                Some(next) if found.len() < limit => query = query.after(next),
                next => {
                    found.truncate(limit);
                    return Ok((found, next.is_some()));
                }
            }
        }
        Ok((found, true))
    }

    /// When the next record of any kind is due that isn't worked on already.
    pub(super) async fn next_due(&self, config: &Config, busy: &Busy) -> Result<Option<Time>, DriverError> {
        let mut next: Option<Time> = None;
        for kind in DUE {
            let mut query = Query::new(kind).between(Index::Due, ""..).limit(busy.len().saturating_add(1));
            loop {
                let page = self.store.list(&query).await?;
                let is_next = |stored: &&Stored| !busy.has(&stored.key) && About::of(stored).is_usable(stored, config);
                match (page.items.iter().find(is_next), page.next) {
                    (Some(first), _) => {
                        next = next.into_iter().chain(due_time(first)).min();
                        break;
                    }
                    (None, Some(after)) => query = query.limit(BATCH).after(after),
                    (None, None) => break,
                }
            }
        }
        Ok(next)
    }
}

/// When a record is due, from its body: the times that its index entry was made from.
fn due_time(stored: &Stored) -> Option<Time> {
    let body: serde_json::Value = serde_json::from_slice(&stored.body).ok()?;
    let text = body.pointer("/status/notBefore").and_then(serde_json::Value::as_str);
    Some(text.and_then(krate_model::kinds::shared::parse_time).unwrap_or(Time::UNIX_EPOCH))
}
