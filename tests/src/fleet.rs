//! Many repositories of one organization, synced and then verified, in simulated time: how long that takes, and what it costs of the budget.
//!
//! The engine is the real one with its real loop, before a forge that holds all of them. Calls take their time; computing takes none.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::{Arc, Mutex};

use chrono::TimeDelta;
use futures::executor::LocalPool;
use futures::task::LocalSpawnExt;
use krate_model::Kind;
use krate_model::kinds::external::{
    ExternalBackendBinding, ExternalBackendProvider, ExternalBackendSyncPolicy, ExternalSyncState,
};
use krate_model::kinds::forge::Repository;
use krate_model::kinds::identity::Organization;
use krate_model::store::{MemoryStore, Query, Store};
use krate_providers::simulator::{Faults, Forge, IssueEdit, Limits, Network, NewIssue};
use krate_sync::driver::{Clock, Driver, Verification};
use krate_sync::records::{Changes, list};
use serde_json::json;

use crate::neighbours::{Road, namespace, object};
use crate::timeline::Timeline;
use crate::world::{KnownSecrets, TOKEN, block_on, lock, start};

/// The organization.
const OWN: &str = "acme";
/// Objects that one commit makes.
const AT_ONCE: usize = 500;
/// More simulated time than the first lists of any fleet take.
const LONGEST: TimeDelta = TimeDelta::days(30);

/// What is played.
#[derive(Debug, Clone, Copy)]
pub struct Fleet {
    /// Repositories, each with a binding of its own.
    pub repositories: usize,
    /// Issues of each.
    pub issues: usize,
    /// Of how many repositories one issue was edited unseen before they are verified.
    pub changed: usize,
    /// Requests an hour of the account.
    pub per_hour: u64,
    /// Verifications at a time.
    pub at_once: usize,
}

/// What the verification of all of them came to.
#[derive(Debug, Clone, Default)]
pub struct Verified {
    /// Simulated time.
    pub took: TimeDelta,
    /// What each said.
    pub found: Vec<Verification>,
    /// What it cost of the account's budget.
    pub cost: u64,
}

impl Fleet {
    /// Syncs all, edits some unseen, and verifies all.
    ///
    /// # Panics
    /// When the engine stops, or the simulator refuses what it is asked for.
    pub fn play(&self, seed: u64) -> Verified {
        let forge = Arc::new(Mutex::new(Network::new(self.forge(seed), Faults::none(), seed)));
        let timeline = Arc::new(Timeline::from(start()));
        let store = Arc::new(MemoryStore::new());
        let road = Arc::new(Road::new(&forge, &timeline, seed));
        let clock = Arc::clone(&timeline) as Arc<dyn Clock>;
        let driver =
            Driver::new(Arc::clone(&store) as Arc<dyn Store>, road, clock, Arc::new(KnownSecrets::default()), seed);
        block_on(self.configure(store.as_ref()));
        self.sync(&driver, &timeline, store.as_ref());
        for number in 0..self.changed {
            let name = repository(number * self.repositories / self.changed.max(1));
            let mut network = lock(&forge);
            let mut ada = network.forge.by("ada", timeline.now());
            ada.edit_issue(&name, 1, IssueEdit::new().title("Edited")).expect("the issue is there");
        }
        // Another hour begins, so that what is counted is the verification's.
        timeline.advance(timeline.now() + TimeDelta::minutes(61));
        let began = timeline.now();
        let found = self.verify(&driver, &timeline);
        Verified { took: timeline.now() - began, found, cost: lock(&forge).forge.charged(TOKEN_OWNER) }
    }

    fn forge(&self, seed: u64) -> Forge {
        let mut forge = Forge::seeded(seed);
        forge.set_limits(Limits { per_hour: self.per_hour, ..Limits::default() });
        forge.add_token(TOKEN, TOKEN_OWNER);
        for number in 0..self.repositories {
            let name = repository(number);
            forge.by("ada", start()).create_repository(&name).expect("a new forge has room");
            for issue in 0..self.issues {
                let new = NewIssue::titled(format!("Issue {issue}"));
                forge.by("ada", start()).open_issue(&name, new).expect("the repository is there");
            }
        }
        forge.take_deliveries();
        forge
    }

    async fn configure(&self, store: &dyn Store) {
        let json = "an object is JSON";
        let mut changes = Changes::at(start());
        let named = json!({"displayName": OWN, "slug": OWN, "namespaceName": namespace(OWN)});
        changes.put(&object::<Organization>(OWN, OWN, &named)).expect(json);
        let provider = json!({
            "organizationRef": OWN, "providerType": "github", "displayName": "GitHub", "syncPolicyRef": "rarely",
            "apiBaseUrl": "https://api.github.com",
            "authRef": {"mode": "personal-access-token", "secretRef": {"name": "gh"}},
            "capabilities": {"issueTracking": true},
        });
        changes.put(&object::<ExternalBackendProvider>(OWN, "gh", &provider)).expect(json);
        // So that what is counted is the verification alone: no list is due by itself meanwhile.
        let rarely = json!({"organizationRef": OWN, "backfill": {"interval": "700h", "fullResyncInterval": "700h"}});
        changes.put(&object::<ExternalBackendSyncPolicy>(OWN, "rarely", &rarely)).expect(json);
        for number in 0..self.repositories {
            let name = format!("site-{number}");
            let site = json!({"organizationRef": OWN, "visibility": "private"});
            changes.put(&object::<Repository>(OWN, &name, &site)).expect(json);
            let binding = json!({
                "organizationRef": OWN, "providerRef": "gh",
                "targetRef": {"kind": "Repository", "name": name},
                "externalRef": {"owner": OWN, "repository": name},
                "interfaces": [{"name": "issueTracking", "mode": "bidirectional"}],
            });
            changes.put(&object::<ExternalBackendBinding>(OWN, &name, &binding)).expect(json);
            if number % AT_ONCE == AT_ONCE - 1 {
                changes.commit(store).await.expect("an empty store takes them");
                changes = Changes::at(start());
            }
        }
        changes.commit(store).await.expect("an empty store takes them");
    }

    /// Lets the engine read every list once, in passes that end with all that they have begun: of what the first lists cost nothing is measured.
    fn sync(&self, driver: &Driver, timeline: &Timeline, store: &dyn Store) {
        let is_read =
            |state: &ExternalSyncState| state.status.as_ref().is_some_and(|status| status.last_complete_at.is_some());
        loop {
            let mut pool = LocalPool::new();
            let (engine, next) = (driver.clone(), Rc::new(Cell::new(None)));
            let due = Rc::clone(&next);
            let work = async move { due.set(engine.run_due().await.expect("the store can be read").next) };
            pool.spawner().spawn_local(work).expect("the pool is there");
            until_idle(&mut pool, timeline);
            let states = block_on(list::<ExternalSyncState>(store, Query::new(Kind::ExternalSyncState)));
            let states = states.expect("they can be read");
            let read = states.iter().filter(|state| is_read(&state.object)).count();
            if read == states.len() && read >= self.repositories {
                return;
            }
            let next = next.get().filter(|next| *next < start() + LONGEST).expect("it goes on");
            timeline.advance(next.max(timeline.now()));
        }
    }

    fn verify(&self, driver: &Driver, timeline: &Timeline) -> Vec<Verification> {
        let mut pool = LocalPool::new();
        let (next, found) = (Rc::new(Cell::new(0)), Rc::new(RefCell::new(Vec::new())));
        for _ in 0..self.at_once {
            let (driver, next, found, all) = (driver.clone(), Rc::clone(&next), Rc::clone(&found), self.repositories);
            let work = async move {
                while next.get() < all {
                    let name = format!("site-{}", next.replace(next.get() + 1));
                    let verified = driver.verify(&namespace(OWN), &name).await.expect("it can be read");
                    found.borrow_mut().push(verified);
                }
            };
            pool.spawner().spawn_local(work).expect("the pool is there");
        }
        until_idle(&mut pool, timeline);
        found.take()
    }
}

/// Lets time go on until nothing waits for it any more.
fn until_idle(pool: &mut LocalPool, timeline: &Timeline) {
    loop {
        pool.run_until_stalled();
        match timeline.next() {
            Some(next) => timeline.advance(next),
            None => return,
        }
    }
}

/// Whose token it is.
const TOKEN_OWNER: &str = "krate-bot";

fn repository(number: usize) -> String {
    format!("{OWN}/site-{number}")
}
