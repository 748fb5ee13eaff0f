//! The network between a forge and its client: what gets lost, doubled, late or wrong on the way.
//!
//! [`Network`] wraps a [`Forge`]. Requests go through [`Network::send`], webhooks come out of [`Network::arrivals`]; which of
//! them a fault strikes follows from the seed, one stream of chance for each kind of fault, or from [`Network::script`].

use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;
use chrono::{DateTime, Utc};
use http::{Request, Response, StatusCode};

use super::forge::{Forge, World};
use super::limits::after;
use super::rng::Rng;
use super::webhooks::{Delivery, guid};

/// A kind of fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Fault {
    /// A webhook never arrives.
    DropDelivery,
    /// A webhook arrives twice with the same delivery id, as after a redelivery.
    RepeatDelivery,
    /// A webhook arrives twice with different ids, as from two hooks.
    DoubleDelivery,
    /// A webhook arrives after those that were sent after it.
    ReorderDelivery,
    /// A webhook arrives later, up to [`Faults::max_delay_seconds`].
    DelayDelivery,
    /// The request is answered 502 and was not carried out.
    FailBefore,
    /// The request was carried out and is answered 502.
    FailAfter,
    /// The request is lost: not carried out, no answer.
    LoseRequest,
    /// The request was carried out, and the answer is lost.
    LoseResponse,
    /// The secondary rate limit strikes the caller.
    SecondaryLimit,
    /// After a write, reads show for a while what was before it: at most [`Faults::max_lag_seconds`].
    StaleReplica,
}

impl Fault {
    /// Every kind, in a defined order.
    pub const ALL: [Self; 11] = [
        Self::DropDelivery,
        Self::RepeatDelivery,
        Self::DoubleDelivery,
        Self::ReorderDelivery,
        Self::DelayDelivery,
        Self::FailBefore,
        Self::FailAfter,
        Self::LoseRequest,
        Self::LoseResponse,
        Self::SecondaryLimit,
        Self::StaleReplica,
    ];

    /// Its name in reports and on a command line.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::DropDelivery => "drop-delivery",
            Self::RepeatDelivery => "repeat-delivery",
            Self::DoubleDelivery => "double-delivery",
            Self::ReorderDelivery => "reorder-delivery",
            Self::DelayDelivery => "delay-delivery",
            Self::FailBefore => "fail-before",
            Self::FailAfter => "fail-after",
            Self::LoseRequest => "lose-request",
            Self::LoseResponse => "lose-response",
            Self::SecondaryLimit => "secondary-limit",
            Self::StaleReplica => "stale-replica",
        }
    }
}

/// How often each fault strikes. None does unless asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Faults {
    per_mille: BTreeMap<Fault, u16>,
    /// The longest that a webhook is late.
    pub max_delay_seconds: u32,
    /// The longest that reads lag behind a write.
    pub max_lag_seconds: u32,
}

impl Default for Faults {
    fn default() -> Self {
        Self { per_mille: BTreeMap::new(), max_delay_seconds: 600, max_lag_seconds: 10 }
    }
}

impl Faults {
    /// A network that works.
    pub fn none() -> Self {
        Self::default()
    }

    /// Every fault at `per_mille` of 1000.
    pub fn all_at(per_mille: u16) -> Self {
        Fault::ALL.into_iter().fold(Self::default(), |faults, fault| faults.with(fault, per_mille))
    }

    /// This fault at `per_mille` of 1000.
    #[must_use]
    pub fn with(mut self, fault: Fault, per_mille: u16) -> Self {
        self.per_mille.insert(fault, per_mille);
        self
    }

    /// How many of 1000 chances this fault takes.
    pub fn per_mille(&self, fault: Fault) -> u16 {
        self.per_mille.get(&fault).copied().unwrap_or(0)
    }
}

/// What the caller of [`Network::send`] sees.
#[derive(Debug)]
pub enum Reply {
    /// An answer.
    Response(Response<Bytes>),
    /// None: the connection broke or timed out, and whether the request was carried out is unknown.
    Lost,
}

impl Reply {
    /// The answer, where there is one.
    pub fn response(self) -> Option<Response<Bytes>> {
        match self {
            Self::Response(response) => Some(response),
            Self::Lost => None,
        }
    }
}

/// A delivery on its way.
#[derive(Debug, Clone)]
struct InFlight {
    due: DateTime<Utc>,
    /// Orders what is due at the same time.
    place: u64,
    delivery: Delivery,
}

/// A forge behind a network that has faults.
#[derive(Debug, Clone)]
pub struct Network {
    /// The forge: for native changes and for checks, which no fault touches.
    pub forge: Forge,
    faults: Faults,
    chance: BTreeMap<Fault, Rng>,
    scripted: BTreeMap<Fault, u32>,
    struck: BTreeMap<Fault, u64>,
    in_flight: VecDeque<InFlight>,
    next_place: u64,
    stale: Option<(DateTime<Utc>, Box<World>)>,
}

impl Network {
    /// Puts `forge` behind a network. The same seed strikes the same calls.
    pub fn new(forge: Forge, faults: Faults, seed: u64) -> Self {
        let chance = Fault::ALL.into_iter().map(|fault| (fault, Rng::stream(seed, fault.as_str()))).collect();
        Self {
            forge,
            faults,
            chance,
            scripted: BTreeMap::new(),
            struck: BTreeMap::new(),
            in_flight: VecDeque::new(),
            next_place: 0,
            stale: None,
        }
    }

    /// Changes the rates from now on; [`Faults::none`] lets a history end in peace. A stale replica catches up at once.
    pub fn set_faults(&mut self, faults: Faults) {
        self.faults = faults;
        self.scripted.clear();
        self.stale = None;
    }

    /// From now on and until `until`, reads show what is there now: the replica that answers them stands still. Writes go on.
    pub fn freeze_reads(&mut self, until: DateTime<Utc>) {
        self.stale = Some((until, Box::new(self.forge.world.clone())));
    }

    /// Whether reads lag behind at `now`.
    pub fn is_behind(&self, now: DateTime<Utc>) -> bool {
        !self.is_fresh(now)
    }

    /// Strikes the next call or delivery that `fault` can strike, beside what chance does.
    pub fn script(&mut self, fault: Fault) {
        let waiting = self.scripted.entry(fault).or_default();
        *waiting = waiting.saturating_add(1);
    }

    /// How often each fault struck.
    pub fn struck(&self) -> &BTreeMap<Fault, u64> {
        &self.struck
    }

    /// Sends a request over the network. Of the faults that replace the answer, at most one strikes it.
    pub fn send(&mut self, request: &Request<Bytes>, now: DateTime<Utc>) -> Reply {
        if self.strikes(Fault::LoseRequest) {
            return Reply::Lost;
        }
        if self.strikes(Fault::FailBefore) {
            return Reply::Response(bad_gateway());
        }
        if self.strikes(Fault::SecondaryLimit) {
            self.forge.limit_caller(request, now);
        }
        let writes = !matches!(*request.method(), http::Method::GET | http::Method::HEAD);
        let response = if writes {
            // Drawn for every write, so that one that is refused does not shift the schedule.
            let before = self.strikes(Fault::StaleReplica).then(|| Box::new(self.forge.world.clone()));
            let response = self.forge.handle(request, now);
            if let Some(before) = before.filter(|_| self.is_fresh(now)) {
                let lag = self.draw(Fault::StaleReplica, self.faults.max_lag_seconds);
                self.stale = Some((after(now, lag), before));
            }
            response
        } else {
            self.read(request, now)
        };
        if self.strikes(Fault::LoseResponse) {
            return Reply::Lost;
        }
        if self.strikes(Fault::FailAfter) {
            return Reply::Response(bad_gateway());
        }
        Reply::Response(response)
    }

    /// The webhooks that arrive by `now`, in the order in which they do.
    pub fn arrivals(&mut self, now: DateTime<Utc>) -> Vec<Delivery> {
        self.collect();
        let (arrived, left): (Vec<_>, Vec<_>) = self.in_flight.drain(..).partition(|flying| flying.due <= now);
        self.in_flight = left.into();
        in_order(arrived)
    }

    /// Everything that is still on its way, whenever it would have arrived.
    pub fn drain(&mut self) -> Vec<Delivery> {
        self.collect();
        in_order(self.in_flight.drain(..).collect())
    }

    /// When the next webhook arrives; `None` where none is on its way.
    pub fn next_arrival(&mut self) -> Option<DateTime<Utc>> {
        self.collect();
        self.in_flight.iter().map(|flying| flying.due).min()
    }

    /// Takes what the forge queued and decides its fate.
    fn collect(&mut self) {
        for delivery in self.forge.take_deliveries() {
            if self.strikes(Fault::DropDelivery) {
                continue;
            }
            let repeat = self.strikes(Fault::RepeatDelivery).then(|| delivery.clone());
            let double = self.strikes(Fault::DoubleDelivery).then(|| delivery.clone());
            self.fly(delivery);
            if let Some(repeat) = repeat {
                self.fly(repeat);
            }
            if let Some(double) = double {
                let id = self.chance.get_mut(&Fault::DoubleDelivery).map(guid).unwrap_or_default();
                self.fly(double.renamed(id));
            }
        }
    }

    fn fly(&mut self, delivery: Delivery) {
        // Places are two apart: a reordered one goes behind the next three.
        self.next_place = self.next_place.saturating_add(2);
        let behind = if self.strikes(Fault::ReorderDelivery) { 7 } else { 0 };
        let delayed = self.strikes(Fault::DelayDelivery);
        let delay = if delayed { self.draw(Fault::DelayDelivery, self.faults.max_delay_seconds) } else { 0 };
        let place = self.next_place.saturating_add(behind);
        self.in_flight.push_back(InFlight { due: after(delivery.at, delay), place, delivery });
    }

    fn read(&mut self, request: &Request<Bytes>, now: DateTime<Utc>) -> Response<Bytes> {
        if self.is_fresh(now) {
            self.stale = None;
        }
        let Some((_, old)) = &mut self.stale else { return self.forge.handle(request, now) };
        std::mem::swap(&mut self.forge.world, old);
        let response = self.forge.handle(request, now);
        std::mem::swap(&mut self.forge.world, old);
        response
    }

    fn is_fresh(&self, now: DateTime<Utc>) -> bool {
        self.stale.as_ref().is_none_or(|&(until, _)| now >= until)
    }

    fn strikes(&mut self, fault: Fault) -> bool {
        let by_chance = self.chance.get_mut(&fault).is_some_and(|rng| rng.strikes(self.faults.per_mille(fault)));
        let waiting = self.scripted.entry(fault).or_default();
        let by_script = *waiting > 0;
        *waiting = waiting.saturating_sub(1);
        if by_chance || by_script {
            let count = self.struck.entry(fault).or_default();
            *count = count.saturating_add(1);
        }
        by_chance || by_script
    }

    /// From 1 to `most` seconds.
    fn draw(&mut self, fault: Fault, most: u32) -> i64 {
        let drawn = self.chance.get_mut(&fault).map_or(0, |rng| rng.below(u64::from(most)));
        i64::try_from(drawn).unwrap_or(0).saturating_add(1)
    }
}

fn in_order(mut flying: Vec<InFlight>) -> Vec<Delivery> {
    flying.sort_by_key(|flying| (flying.due, flying.place));
    flying.into_iter().map(|flying| flying.delivery).collect()
}

fn bad_gateway() -> Response<Bytes> {
    // A proxy's page, not the API's JSON: a client must not parse it as such.
    let mut response = Response::new(Bytes::from_static(b"<html><body><h1>502 Bad Gateway</h1></body></html>"));
    *response.status_mut() = StatusCode::BAD_GATEWAY;
    let html = http::HeaderValue::from_static("text/html");
    response.headers_mut().insert(http::header::CONTENT_TYPE, html);
    response
}
