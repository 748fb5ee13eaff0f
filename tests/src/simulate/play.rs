//! One history, from its steps.

use std::fmt;
use std::sync::{Arc, Mutex};

use chrono::{DateTime, TimeDelta, Utc};
use krate_model::Kind;
use krate_model::kinds::external::{
    BackfillMode, ExternalBackendBinding, ExternalWebhookDelivery, ExternalWriteIntent,
};
use krate_model::store::Query;
use krate_providers::simulator::{Delivery, Rng};
use krate_sync::driver::Clock as _;
use krate_sync::records::{Changes, Loaded, bump_generation, list};
use serde_json::{Value, json};

use super::checks::{has_text, shown_by_lists, shown_by_webhooks, stuck};
use super::fault::Fault;
use super::journal::Journal;
use super::people;
use super::strikes::Strikes;
use crate::world::{Crash, MAX_BODY_BYTES, NAMESPACE, SECRET, TOKEN, World, block_on, lock};

/// One thing that happens. What it needs of chance comes from its own salt: steps can be left out, and the others stay what they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Step {
    /// What.
    pub act: Act,
    /// Its chance.
    pub salt: u64,
}

/// What can happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Act {
    /// A person does something at the forge.
    There,
    /// A person does something here.
    Here,
    /// An agent does something here.
    Agent,
    /// A person decides about a conflict.
    Decide,
    /// A person answers for a write that waits for approval.
    Answer,
    /// A person takes a write back that wasn't sent.
    Cancel,
    /// Webhooks arrive.
    Arrive,
    /// The engine works.
    Work,
    /// The engine runs by itself for a while, and what arrives meanwhile wakes it.
    Run,
    /// Time passes.
    Wait,
    /// A fault gets its chance.
    Strike(Fault),
}

impl fmt::Display for Act {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::There => f.write_str("somebody at the forge"),
            Self::Here => f.write_str("somebody here"),
            Self::Agent => f.write_str("an agent here"),
            Self::Answer => f.write_str("an answer"),
            Self::Cancel => f.write_str("a cancel"),
            Self::Decide => f.write_str("a decision"),
            Self::Arrive => f.write_str("webhooks"),
            Self::Work => f.write_str("work"),
            Self::Run => f.write_str("a while by itself"),
            Self::Wait => f.write_str("time"),
            Self::Strike(fault) => write!(f, "{fault}"),
        }
    }
}

/// How histories are made from seeds.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Things that happen in each.
    pub events: usize,
    /// The faults that may strike.
    pub faults: Vec<Fault>,
    /// Whether people edit here too.
    pub two_sided: bool,
}

impl Default for Plan {
    /// 200 events, every fault, both sides.
    fn default() -> Self {
        Self { events: 200, faults: Fault::ALL.to_vec(), two_sided: true }
    }
}

impl Plan {
    /// The steps of the history with this seed.
    ///
    /// Each history has a character of its own: which faults there are in it, and how often each thing happens. What takes two rare things, or one of them
    /// many times, would nearly never happen where all histories are the same mixture (Groce et al., "Swarm Testing", 2012).
    ///
    /// In one of eight an agent edits, too, and persons answer for its writes: they take the places of other steps, so that the other histories are what they were.
    pub fn steps(&self, seed: u64) -> Vec<Step> {
        let mut steps = self.plain_steps(seed);
        let mut rng = Rng::stream(seed, "runs");
        for step in steps.iter_mut().filter(|step| step.act == Act::Work) {
            if rng.below(4) == 0 {
                step.act = Act::Run;
            }
        }
        if self.has_agents(seed) {
            let withdrawn = self.faults.iter().copied().find(|fault| fault.is_about_approvals());
            let mut rng = Rng::stream(seed, "agents");
            for step in &mut steps {
                let chance = rng.below(12);
                step.act = match (step.act, chance) {
                    (Act::Here, 0..=3) => Act::Agent,
                    (Act::Decide, 0..=5) | (Act::Work, 0) | (Act::Wait, 0..=2) => Act::Answer,
                    (Act::Work, 1) => Act::Cancel,
                    (Act::Wait, 3 | 4) | (Act::Arrive, 0) => withdrawn.map_or(step.act, Act::Strike),
                    (act, _) => act,
                };
            }
        }
        steps
    }

    /// Whether the history of this seed has an agent in it.
    fn has_agents(&self, seed: u64) -> bool {
        self.two_sided && (seed % 8 == 7 || self.faults.iter().all(|fault| fault.is_about_approvals()))
    }

    fn plain_steps(&self, seed: u64) -> Vec<Step> {
        let mut rng = Rng::stream(seed, "steps");
        let mut faults: Vec<Fault> = self.faults.iter().copied().filter(|fault| !fault.is_about_approvals()).collect();
        let few = match rng.below(4) {
            0 | 1 => faults.len(),
            2 => 12,
            _ => 4,
        };
        while faults.len() > few.max(1) {
            let at = rng.below(faults.len() as u64);
            faults.swap_remove(usize::try_from(at).unwrap_or(0));
        }
        let mut often = |usual: u64| usual.saturating_mul(rng.below(3).saturating_add(1));
        let (there, here) = (often(8), if self.two_sided { often(5) } else { 0 });
        let decide = if self.two_sided { often(1) } else { 0 };
        let (arrive, work, wait, strike) = (often(3), often(5), often(3), often(3));
        let weights = [there, here, decide, arrive, work, wait, strike];
        (0..self.events)
            .map(|_| {
                let act = match weighted(&mut rng, &weights) {
                    0 => Act::There,
                    1 => Act::Here,
                    2 => Act::Decide,
                    3 => Act::Arrive,
                    4 => Act::Work,
                    5 => Act::Wait,
                    _ => people::pick(&mut rng, &faults).map_or(Act::Work, |fault| Act::Strike(*fault)),
                };
                Step { act, salt: rng.next() }
            })
            .collect()
    }
}

/// A place in `weights`, each as often as it weighs.
fn weighted(rng: &mut Rng, weights: &[u64]) -> usize {
    let mut at = rng.below(weights.iter().sum());
    for (place, weight) in weights.iter().enumerate() {
        match at.checked_sub(*weight) {
            Some(left) => at = left,
            None => return place,
        }
    }
    weights.len()
}

/// A state of the world that ends by itself.
#[derive(Debug, Clone)]
enum Outage {
    Hook,
    Secret(String),
    Token,
    Secrets,
    Pause,
    /// A record that a process of a newer version has: its kind, its name, and the phase that it gives it back in.
    Newer(Kind, String, &'static str),
}

/// A history that came to rest, with what the people did.
pub struct History {
    /// Everything as it is at the end.
    pub world: World,
    /// What happened.
    pub journal: Arc<Mutex<Journal>>,
    /// The faults, and how often each struck.
    pub strikes: Arc<Mutex<Strikes>>,
    /// What was wrong on the way already.
    pub wrong: Vec<String>,
    pub(super) seed: u64,
    /// What the forge signs with.
    secret: String,
    held: Vec<(DateTime<Utc>, Delivery)>,
    taken: Vec<Delivery>,
    /// The bodies of all that was taken in.
    heard: String,
    outages: Vec<(DateTime<Utc>, Outage)>,
    throttled: usize,
}

/// Passes of a process that runs by itself for a while: one before it waits, one for what comes meanwhile, one more.
const RUN_PASSES: usize = 3;
/// What waits to be worked on, by kind and phase.
const WAITING: [(Kind, &str); 4] = [
    (Kind::ExternalWriteIntent, "ReadyToSend"),
    (Kind::ExternalWebhookDelivery, "Received"),
    (Kind::ExternalWebhookDelivery, "Queued"),
    (Kind::ExternalWebhookDelivery, "Retrying"),
];
/// The phase in which a process of a newer version has a record.
const NEWER_PHASE: &str = "HeldByANewerVersion";
/// How many webhooks a throttled burst loses.
const BURST: usize = 5;
/// How far the process's clock is ahead of the forge's at most.
const MOST_AHEAD: TimeDelta = TimeDelta::minutes(100);
/// Webhooks of which one may be sent again hours later.
const REMEMBERED: usize = 16;

/// Plays `steps`, and lets the history come to rest: what was late arrives, what was broken works again, one complete backfill runs.
///
/// # Errors
/// Why it didn't come to rest.
pub fn play(seed: u64, steps: &[Step], journal: Journal, crash: Option<Crash>) -> (History, Result<(), String>) {
    let mut history = History::begin(seed, journal);
    history.world.plan_crash(crash);
    for step in steps {
        history.step(*step);
        if history.world.is_dead() {
            history.tell(|| "    the process starts again".to_owned());
            history.world.start_cold();
        }
    }
    let rested = history.rest();
    (history, rested)
}

impl History {
    /// A world in which nothing has happened yet.
    pub(super) fn begin(seed: u64, journal: Journal) -> Self {
        let journal = Arc::new(Mutex::new(journal));
        let strikes = Arc::new(Mutex::new(Strikes::seeded(seed)));
        Self {
            world: World::simulated(seed, &strikes, &journal),
            journal,
            strikes,
            wrong: Vec::new(),
            seed,
            secret: SECRET.to_owned(),
            held: Vec::new(),
            taken: Vec::new(),
            heard: String::new(),
            outages: Vec::new(),
            throttled: 0,
        }
    }

    fn tell(&self, line: impl FnOnce() -> String) {
        lock(&self.journal).tell(self.world.forge_now(), line);
    }

    /// Whether a webhook told of a text.
    pub fn heard(&self, text: &str) -> bool {
        has_text(&self.heard, text)
    }

    fn take(&self, fault: Fault) -> bool {
        let struck = lock(&self.strikes).take(fault);
        if struck {
            self.tell(|| format!("    fault: {}", fault.what()));
        }
        struck
    }

    fn draw(&self, bound: u64) -> u64 {
        lock(&self.strikes).draw(bound)
    }

    fn struck(&self, fault: Fault) {
        lock(&self.strikes).count(fault);
        self.tell(|| format!("    fault: {}", fault.what()));
    }

    /// An outage begins: it strikes once something meets it.
    fn outage(&self, fault: Fault) {
        lock(&self.strikes).arm(fault);
        self.tell(|| format!("    begins: {}", fault.what()));
    }

    fn step(&mut self, step: Step) {
        self.end_outages(false);
        let mut rng = Rng::seeded(step.salt);
        if lock(&self.strikes).is_armed(Fault::VersionSkew) {
            self.held_by_newer(&mut rng);
        }
        match step.act {
            Act::There => {
                // The forge's times are whole seconds, and nobody does two things in one; but see `EqualTimestamps`.
                self.world.pass_time(1);
                let now = self.world.forge_now();
                let repository = self.world.repository();
                people::there(&mut self.world.forge().forge, &repository, &mut lock(&self.journal), &mut rng, now);
            }
            Act::Here => people::here(&self.world, &mut lock(&self.journal), &mut rng, &people::alice()),
            Act::Agent => people::here(&self.world, &mut lock(&self.journal), &mut rng, &people::agent()),
            Act::Answer => people::answer(&self.world, &mut lock(&self.journal), &mut rng),
            Act::Cancel => people::cancel(&self.world, &mut lock(&self.journal), &mut rng),
            Act::Decide => people::decide(&self.world, &mut lock(&self.journal), &mut rng),
            Act::Arrive => self.arrive(),
            Act::Work => {
                let _ = self.world.pass();
            }
            Act::Run => self.world.run(RUN_PASSES),
            Act::Wait => {
                let most = if rng.below(8) == 0 { 2_400 } else { 90 };
                self.world.pass_time(i64::try_from(rng.below(most)).unwrap_or(0));
            }
            Act::Strike(fault) => self.strike(fault, &mut rng),
        }
    }

    /// Lets a fault have its chance: what can strike at once does, the others wait for theirs.
    fn strike(&mut self, fault: Fault, rng: &mut Rng) {
        let now = self.world.forge_now();
        let soon = now + TimeDelta::seconds(i64::try_from(rng.below(600)).unwrap_or(0));
        match fault {
            Fault::CrashBeforeCommit | Fault::CrashAfterCommit => {
                self.world.plan_crash(Some(Crash { commit: rng.below(6), after: fault == Fault::CrashAfterCommit }));
            }
            Fault::RestartCold => {
                self.struck(fault);
                self.world.start_cold();
            }
            Fault::ClockBack | Fault::ClockForward => {
                let (most, sign) = if fault == Fault::ClockBack { (600, -1) } else { (3_600, 1) };
                let by = TimeDelta::seconds(sign * i64::try_from(rng.below(most)).unwrap_or(0));
                // What was made is looked for among what is younger than two hours before it (docs/limits.md).
                if self.world.clock.now() + by - now < MOST_AHEAD {
                    self.struck(fault);
                    self.world.clock.set_by(by);
                }
            }
            Fault::EqualTimestamps => {
                let repository = self.world.repository();
                if people::both(&mut self.world.forge().forge, &repository, &mut lock(&self.journal), rng, now) {
                    lock(&self.strikes).count(fault);
                }
            }
            Fault::RepositoryRenamed | Fault::RepositoryTransferred | Fault::NameReused => self.move_repository(fault),
            Fault::ApprovalWithdrawn => {
                if people::withdraw(&self.world, &mut lock(&self.journal), rng) {
                    self.struck(fault);
                }
            }
            Fault::HookDisabled => {
                self.outage(fault);
                self.outages.push((soon, Outage::Hook));
            }
            Fault::SecretRotated | Fault::SecretRotatedUnseen => {
                let secret = format!("canary-webhook-secret-{}", lock(&self.journal).fresh());
                self.world.forge().forge.rotate_secret(self.world.hook, &secret);
                self.secret.clone_from(&secret);
                if fault == Fault::SecretRotated {
                    self.struck(fault);
                    self.world.secrets.learn(&secret);
                } else {
                    self.outage(fault);
                    self.outages.push((soon, Outage::Secret(secret)));
                }
            }
            Fault::TokenRevoked => {
                self.outage(fault);
                self.world.forge().forge.revoke_token(TOKEN);
                self.outages.push((soon, Outage::Token));
            }
            Fault::TokenReadOnly => {
                self.outage(fault);
                self.world.forge().forge.make_token_read_only(TOKEN);
                self.outages.push((soon, Outage::Token));
            }
            Fault::SecretsUnavailable => {
                self.outage(fault);
                self.world.secrets.set_down(true);
                self.outages.push((soon, Outage::Secrets));
            }
            Fault::BindingPaused => {
                self.struck(fault);
                self.suspend(true);
                self.outages.push((soon, Outage::Pause));
            }
            Fault::RunAsked => {
                if block_on(self.world.driver.request_backfill(NAMESPACE, "site", BackfillMode::Complete)).is_ok() {
                    self.struck(fault);
                }
            }
            _ => lock(&self.strikes).arm(fault),
        }
    }

    fn move_repository(&mut self, fault: Fault) {
        // Before it was looked at once, only its name leads to it (docs/limits.md).
        let known = |binding: &ExternalBackendBinding| binding.status.as_ref().is_some_and(|s| s.target.is_some());
        if !self.world.all::<ExternalBackendBinding>().iter().any(known) {
            return;
        }
        let now = self.world.forge_now();
        let old = self.world.repository();
        let fresh = lock(&self.journal).fresh();
        let mut network = self.world.forge();
        let mut ada = network.forge.by("ada", now);
        let done = match fault {
            Fault::RepositoryTransferred => ada.transfer_repository(&old, &format!("owner-{fresh}")),
            _ => ada.rename_repository(&old, &format!("site-{fresh}")),
        };
        if done.is_err() {
            return;
        }
        if fault == Fault::NameReused && ada.create_repository(&old).is_ok() {
            // What happens there is nobody's business here.
            let _ = ada.open_issue(&old, krate_providers::simulator::NewIssue::titled("of somebody else"));
        }
        drop(network);
        self.struck(fault);
    }

    /// Suspends or resumes the binding, as a person does: until it is done.
    fn suspend(&self, suspend: bool) {
        let store = self.world.store.as_ref();
        for _ in 0..16 {
            if self.world.is_dead() {
                store.revive();
            }
            let done = block_on(async {
                let query = Query::new(Kind::ExternalBackendBinding).in_namespace(NAMESPACE);
                let Ok(found) = list::<ExternalBackendBinding>(store, query).await else { return false };
                let mut changes = Changes::at(krate_sync::driver::Clock::now(self.world.clock.as_ref()));
                for mut binding in found {
                    let binding: &mut Loaded<ExternalBackendBinding> = &mut binding;
                    binding.change().spec.suspend = suspend;
                    bump_generation(&mut binding.object);
                    if changes.put(binding).is_err() {
                        return false;
                    }
                }
                changes.commit(store).await.is_ok()
            });
            if done {
                return;
            }
        }
    }

    /// A process of a newer version takes a record over that waits, if there is any (R26).
    fn held_by_newer(&mut self, rng: &mut Rng) {
        let mut all = Vec::new();
        for (kind, phase) in WAITING {
            let found = self.world.in_phase(kind, phase);
            all.extend(found.into_iter().map(|stored| (kind, stored.key.name.to_string(), phase)));
        }
        let Some((kind, name, phase)) = people::pick(rng, &all).cloned() else { return };
        if self.change_phase(kind, &name, phase, NEWER_PHASE) && self.take(Fault::VersionSkew) {
            let soon = self.world.forge_now() + TimeDelta::seconds(i64::try_from(rng.below(600)).unwrap_or(0));
            self.outages.push((soon, Outage::Newer(kind, name, phase)));
        }
    }

    fn change_phase(&self, kind: Kind, name: &str, from: &str, to: &str) -> bool {
        match kind {
            Kind::ExternalWriteIntent => self.world.set_phase::<ExternalWriteIntent>(name, from, to),
            _ => self.world.set_phase::<ExternalWebhookDelivery>(name, from, to),
        }
    }

    fn end_outages(&mut self, all: bool) {
        let now = self.world.forge_now();
        if self.outages.iter().any(|(_, outage)| matches!(outage, Outage::Hook)) {
            // A disabled hook sends nothing, and nobody is told.
            let unsent = self.world.forge().forge.take_deliveries();
            if !unsent.is_empty() {
                self.lose();
                self.take(Fault::HookDisabled);
            }
        }
        if self.world.secrets.was_missed() {
            self.take(Fault::SecretsUnavailable);
        }
        let (over, left): (Vec<_>, Vec<_>) = self.outages.drain(..).partition(|(until, _)| all || *until <= now);
        self.outages = left;
        for (_, outage) in over {
            self.tell(|| format!("    over: {outage:?}"));
            match outage {
                Outage::Hook => {}
                Outage::Secret(secret) => self.world.secrets.learn(&secret),
                Outage::Token => self.world.forge().forge.add_token(TOKEN, "krate-bot"),
                Outage::Secrets => self.world.secrets.set_down(false),
                Outage::Pause => self.suspend(false),
                Outage::Newer(kind, name, phase) => {
                    if !self.change_phase(kind, &name, NEWER_PHASE, phase) {
                        self.wrong.push(format!("R26: {kind} {name} had a phase of a newer version, and was changed"));
                    }
                }
            }
        }
    }

    /// What has arrived is handed over, with what strikes it on its way.
    pub(super) fn arrive(&mut self) {
        let now = self.world.forge_now();
        let mut arrived = self.world.forge().arrivals(now);
        let (due, left): (Vec<_>, Vec<_>) = self.held.drain(..).partition(|(until, _)| *until <= now);
        self.held = left;
        arrived.extend(due.into_iter().map(|(_, delivery)| delivery));
        let mut last = Vec::new();
        for delivery in arrived {
            if self.take(Fault::DeliveryReordered) {
                last.push(delivery);
            } else {
                self.on_its_way(delivery);
            }
        }
        for delivery in last {
            self.on_its_way(delivery);
        }
        if !self.taken.is_empty() && self.take(Fault::DeliveryReplayed) {
            let mut rng = Rng::seeded(self.draw(u64::MAX));
            if let Some(old) = people::pick(&mut rng, &self.taken).cloned() {
                self.hand_over(&old);
            }
        }
    }

    fn on_its_way(&mut self, delivery: Delivery) {
        if self.throttled > 0 {
            self.throttled = self.throttled.saturating_sub(1);
            return self.lose();
        }
        if self.take(Fault::DeliveryThrottled) {
            self.throttled = BURST - 1;
            return self.lose();
        }
        for lost in [Fault::DeliveryDropped, Fault::DeliveryTooBig] {
            if self.take(lost) {
                return self.lose();
            }
        }
        if self.take(Fault::DeliveryDelayed) {
            let late = self.draw(2_400).saturating_add(1);
            let until = self.world.forge_now() + TimeDelta::seconds(i64::try_from(late).unwrap_or(1));
            return self.held.push((until, delivery));
        }
        let secret = self.secret.clone();
        let secret = Some(secret.as_str());
        let body: Value = serde_json::from_slice(&delivery.body).unwrap_or_default();
        if self.take(Fault::DeliveryRefusedBig) {
            let big = " ".repeat(MAX_BODY_BYTES + 1);
            self.lose();
            return self.refused(&delivery.with_body(big, secret));
        }
        if self.take(Fault::DeliveryForged) {
            self.refused(&delivery.clone().renamed(self.guid()).with_body(delivery.body.clone(), Some("guessed")));
        }
        if self.take(Fault::DeliveryUnsigned) {
            self.refused(&delivery.clone().with_body(delivery.body.clone(), None));
        }
        if self.take(Fault::DeliveryTampered) {
            let mut tampered = delivery;
            let mut bytes = tampered.body.to_vec();
            bytes.push(b' ');
            tampered.body = bytes.into();
            self.lose();
            return self.refused(&tampered);
        }
        if self.take(Fault::DeliveryUnknownEvent) {
            let mut unknown = delivery.clone().renamed(self.guid());
            unknown.headers.insert("x-github-event", http::HeaderValue::from_static("galaxy_brain"));
            self.hand_over(&unknown);
        }
        if self.take(Fault::DeliveryForeign) {
            let mut foreign = body.clone();
            if let Some(repository) = foreign.pointer_mut("/repository") {
                repository["id"] = json!(7);
                repository["name"] = json!("elsewhere");
                repository["full_name"] = json!("nobody/elsewhere");
                repository["owner"]["login"] = json!("nobody");
            }
            self.hand_over(&delivery.clone().renamed(self.guid()).with_body(foreign.to_string(), secret));
        }
        if self.take(Fault::DeliveryUnknownAction) {
            let mut unknown = body.clone();
            unknown["action"] = json!("galvanized");
            self.hand_over(&delivery.clone().renamed(self.guid()).with_body(unknown.to_string(), secret));
        }
        if self.take(Fault::DeliveryUnreadable) {
            let mut unreadable = body;
            if let Some(members) = unreadable.as_object_mut() {
                members.insert("issue".to_owned(), json!({"id": "none"}));
                members.insert("comment".to_owned(), json!(7));
            }
            self.lose();
            return self.hand_over(&delivery.with_body(unreadable.to_string(), secret));
        }
        let delivery = if self.take(Fault::DeliveryUnknownField) {
            let mut unknown = body;
            unknown["galaxy"] = json!({"brain": [1, null, {"deep": true}]});
            for part in ["/issue", "/comment", "/repository"] {
                if let Some(part) = unknown.pointer_mut(part) {
                    part["galaxy"] = json!("brain");
                }
            }
            delivery.with_body(unknown.to_string(), secret)
        } else {
            delivery
        };
        self.hand_over(&delivery);
        if self.take(Fault::DeliveryRepeated) {
            self.hand_over(&delivery);
        }
        if self.take(Fault::DeliveryDoubled) {
            self.hand_over(&delivery.clone().renamed(self.guid()));
        }
        if self.take(Fault::DeliveryAfterRestart) {
            self.world.start_cold();
        }
        if self.taken.len() >= REMEMBERED {
            self.taken.remove(0);
        }
        self.taken.push(delivery);
    }

    fn lose(&self) {
        lock(&self.journal).lost = true;
    }

    fn guid(&self) -> String {
        let (a, b) = (self.draw(u64::MAX), self.draw(1 << 48));
        format!("{:08x}-{:04x}-4{:03x}-8{:03x}-{b:012x}", a >> 32, a >> 16 & 0xffff, a >> 4 & 0xfff, a & 0xfff)
    }

    fn hand_over(&mut self, delivery: &Delivery) {
        let taken = self.world.deliver_one(delivery);
        if taken {
            // What was there before is no news of it (docs/limits.md).
            let mut body: Value = serde_json::from_slice(&delivery.body).unwrap_or_default();
            body["changes"] = Value::Null;
            self.heard.push_str(&body.to_string());
        } else {
            self.lose();
            if self.outages.iter().any(|(_, outage)| matches!(outage, Outage::Secret(_))) {
                self.take(Fault::SecretRotatedUnseen);
            }
        }
        self.tell(|| {
            let action = delivery.action.unwrap_or("");
            let answer = if taken { "taken" } else { "refused" };
            format!("  webhook: {} {action} {} -> {answer}", delivery.event, delivery.id.get(..8).unwrap_or(""))
        });
        if self.world.is_dead() {
            self.world.start_cold();
        }
    }

    /// What must not be taken in (S9).
    fn refused(&mut self, delivery: &Delivery) {
        if self.world.deliver_one(delivery) {
            self.wrong.push(format!("S9: a delivery was taken in that must be refused: {}", delivery.id));
        }
        if self.world.is_dead() {
            self.world.start_cold();
        }
    }

    /// What arrives late arrives before the end; what was lost stays lost.
    pub(super) fn rest(&mut self) -> Result<(), String> {
        self.end_outages(true);
        lock(&self.strikes).disarm();
        self.world.plan_crash(None);
        self.world.store.come_up();
        self.throttled = 0;
        self.tell(|| "everything works again".to_owned());
        for (until, _) in &mut self.held {
            *until = DateTime::UNIX_EPOCH;
        }
        self.arrive();
        self.world.settle()?;
        self.answer_all()?;
        self.wrong.extend(shown_by_webhooks(self));
        self.world.pass_time(3_600);
        self.arrive();
        self.world.settle()?;
        self.wrong.extend(stuck(&self.world));
        self.wrong.extend(shown_by_lists(self));
        self.tell(|| "a complete run of all lists".to_owned());
        block_on(self.world.driver.request_backfill(NAMESPACE, "site", BackfillMode::Complete))
            .map_err(|error| format!("the backfill was refused: {error}"))?;
        self.world.settle()?;
        self.answer_all()
    }

    /// Nothing is left to wait for an answer.
    fn answer_all(&self) -> Result<(), String> {
        for _ in 0..MOST_ANSWERS {
            if !people::approve_all(&self.world, &mut lock(&self.journal)) {
                return Ok(());
            }
            self.world.settle()?;
        }
        Err("S32: what was answered is asked again and again".to_owned())
    }
}

/// Rounds of answers that a history needs to end.
const MOST_ANSWERS: usize = 20;
