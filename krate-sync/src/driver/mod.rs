//! The loop that carries out what the records say is due. Spec: design.md section 3.
//!
//! [`Driver::run_due`] takes every record that is due now, decides with the pure functions of this crate, commits what it is about to do, does it, and
//! commits what came of it. There is no queue beside the records: after a crash the same records are due. Two drivers over one store
//! are safe: of two commits about one record one loses, and drops its work before any effect.
//!
//! It names no runtime: [`Driver::run`] is one future, which waits for the store, the clock and the world through ports.

mod approvals;
mod backfills;
mod bindings;
mod config;
mod deliveries;
mod edits;
mod endings;
mod forecast;
mod gaps;
mod hydration;
mod intents;
mod looks;
mod objects;
mod pages;
mod ports;
mod removals;
mod requests;
mod resolutions;
mod retention;
mod sending;
mod standing;
mod turns;
mod verify;
pub mod why;

use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex};

use chrono::TimeDelta;
use futures_util::future::{Either, select};
use krate_model::Kind;
use krate_model::kinds::sets::ErrorClass;
use krate_model::kinds::shared::Time;
use krate_model::store::{CommitError, Filter, Revision, Store, StoreError, Stored};
use krate_providers::contract::ProviderError;

pub use config::Config;
pub use forecast::{Basis, Forecast, ListForecast};
pub use ports::{Clock, Http, SecretError, Secrets, SendError};
use turns::{Ended, Running};
pub use verify::{Because, Difference, Verification, What};
pub use why::Why;

use crate::ingest::{AcceptError, Accepted, accept};
use crate::machines::later;
use crate::observe::ObserveError;
use crate::plan::PlanError;
use crate::quota::Purpose;
use crate::records::RecordError;

/// How often a decision is made anew when somebody else was faster.
const MAX_RACES: usize = 16;

/// The kinds of records that can be due, the most urgent first (S43).
pub const DUE: [Kind; 5] = [
    Kind::ExternalWebhookDelivery,
    Kind::ExternalSyncConflict,
    Kind::ExternalObjectLink,
    Kind::ExternalWriteIntent,
    Kind::ExternalSyncState,
];

/// What work on a record can meet. The record stays due.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DriverError {
    /// The store failed, or somebody else was faster each time.
    #[error(transparent)]
    Record(#[from] RecordError),
    /// An observation could not be applied.
    #[error(transparent)]
    Observe(#[from] ObserveError),
    /// A change could not be planned.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// Somebody may not answer an approval (P29, P30, P32).
    #[error(transparent)]
    Approval(#[from] krate_policy::approval::Refusal),
    /// A machine refused a transition.
    #[error(transparent)]
    Refused(#[from] crate::machines::Refused),
    /// A name could not be derived.
    #[error(transparent)]
    NotCanonical(#[from] krate_model::NotCanonical),
    /// A secret isn't there.
    #[error(transparent)]
    Secret(#[from] SecretError),
    /// A provider, binding or adapter that a record names isn't there.
    #[error("{what} {name} isn't there")]
    NotFound {
        /// What.
        what: &'static str,
        /// Its name.
        name: String,
    },
    /// A reason to force a deletion says too little (R21).
    #[error(
        "force: {characters} characters are no reason; at least {} are accepted (R21)",
        krate_model::MIN_FORCE_REASON
    )]
    NoReason {
        /// How many it has.
        characters: usize,
    },
    /// A newer conflict has taken the place of the one that was decided (S29).
    #[error("StaleResolution: {by} has taken the place of {conflict}, and shows the values of now (S29)")]
    Replaced {
        /// What was decided.
        conflict: String,
        /// What there is to decide now.
        by: String,
    },
    /// Only a dead-lettered delivery is replayed or skipped.
    #[error("delivery {name} is {phase}: only one that is DeadLettered can be replayed or skipped")]
    NotDeadLettered {
        /// The delivery.
        name: String,
        /// Its phase.
        phase: String,
    },
    /// The object's binding may not be used now: nothing that is changed would be sent.
    #[error("binding {binding} may not be used now, so that nothing can be changed under it: {why}")]
    Unusable {
        /// The binding.
        binding: String,
        /// Why.
        why: String,
    },
    /// Only a write that wasn't sent is cancelled, and only its approval withdrawn.
    #[error("write {name} is {phase}: only one that is PendingApproval or ReadyToSend can be taken back")]
    NotUnsent {
        /// The intent.
        name: String,
        /// Its phase.
        phase: String,
    },
    /// A provider's answer makes work on the record impossible for now.
    #[error(transparent)]
    Provider(#[from] krate_providers::contract::ProviderError),
    /// A call can't become a request.
    #[error(transparent)]
    Encode(#[from] krate_providers::contract::EncodeError),
}

impl From<krate_model::store::StoreError> for DriverError {
    fn from(error: krate_model::store::StoreError) -> Self {
        Self::Record(error.into())
    }
}

impl DriverError {
    fn is_race(&self) -> bool {
        matches!(self, Self::Record(error) if error.is_conflict())
    }

    /// What is wrong with the record itself or with what it needs, in the words of a provider's error: it is counted, tried again ever more rarely, and given up.
    /// Nothing where the next pass may do it: somebody else was faster, or the store failed.
    fn failure(&self) -> Option<ProviderError> {
        let class = match self {
            Self::Provider(error) => return Some(error.clone()),
            Self::Record(
                RecordError::Store(_) | RecordError::Commit(CommitError::Conflict { .. } | CommitError::Store(_)),
            ) => {
                return None;
            }
            Self::Secret(_) => ErrorClass::Transient,
            _ => ErrorClass::Validation,
        };
        Some(ProviderError::new(class, self.to_string()))
    }

    /// Whether somebody else was faster with an object of that kind.
    fn is_race_about(&self, kind: Kind) -> bool {
        matches!(self, Self::Record(RecordError::Commit(CommitError::Conflict { key, .. })) if key.collection == kind.into())
    }
}

impl Pass {
    fn take(&mut self, over: Vec<Ended>) {
        for Ended { key, result, .. } in over {
            // Each pass looks at every binding; that is no work on a record.
            let is_record = DUE.iter().any(|kind| key.collection == (*kind).into());
            self.done = self.done.saturating_add(usize::from(is_record));
            match result {
                Err(error) if !error.is_race() => self.failed.push(format!("{} {}: {error}", key.collection, key.name)),
                _ => {}
            }
        }
    }
}

/// What one pass did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Pass {
    /// Records that were worked on.
    pub done: usize,
    /// Records whose work failed, each with what was wrong; they are still due. And what of the configuration can't be read.
    pub failed: Vec<String>,
    /// When the next record is due, if any is.
    pub next: Option<Time>,
    /// When a provider's log of deliveries is looked at next, if any is.
    pub next_log: Option<Time>,
}

/// The driver. Cheap to clone.
#[derive(Clone)]
pub struct Driver {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) http: Arc<dyn Http>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) secrets: Arc<dyn Secrets>,
    /// Seed of the retries' jitter (S45).
    pub(crate) seed: u64,
    /// The newest reading of [`Driver::tick`], in microseconds.
    ticks: Arc<AtomicI64>,
    /// What was seen since the statuses were last computed.
    pub(crate) notes: Arc<Mutex<standing::Notes>>,
    /// What calls are for (S43).
    pub(crate) purpose: Purpose,
    /// The configuration as it was read last.
    known: Arc<config::Known>,
}

impl Driver {
    /// A driver over these ports.
    pub fn new(
        store: Arc<dyn Store>,
        http: Arc<dyn Http>,
        clock: Arc<dyn Clock>,
        secrets: Arc<dyn Secrets>,
        seed: u64,
    ) -> Self {
        Self {
            store,
            http,
            clock,
            secrets,
            seed,
            ticks: Arc::new(AtomicI64::new(i64::MIN)),
            notes: Arc::default(),
            purpose: Purpose::default(),
            known: Arc::default(),
        }
    }

    /// The same driver, whose calls are for `purpose`.
    pub(crate) fn spending(&self, purpose: Purpose) -> Self {
        Self { purpose, ..self.clone() }
    }

    /// The store.
    pub fn store(&self) -> &dyn Store {
        self.store.as_ref()
    }

    /// The configuration, as the store has it now. Cheaper than [`Config::load`] where it was read before.
    ///
    /// # Errors
    /// As [`Config::load`].
    pub async fn config(&self) -> Result<Config, RecordError> {
        Box::pin(Config::load_again(self.store(), self.clock.now(), &self.known)).await
    }

    /// Now, and later than every earlier reading: what was asked after something was seen is known to be newer than it, however coarse the clock (S16).
    pub(crate) fn tick(&self) -> Time {
        let now = self.clock.now().timestamp_micros();
        let next = |known: i64| Some(known.saturating_add(1).max(now));
        // The closure never refuses; without a time in range the clock's own reading has to do.
        let before = self.ticks.fetch_update(Ordering::SeqCst, Ordering::SeqCst, next).unwrap_or(i64::MIN);
        next(before).and_then(Time::from_timestamp_micros).unwrap_or_else(|| self.clock.now())
    }

    /// Takes a webhook in ([`accept`]).
    ///
    /// # Errors
    /// [`AcceptError`], or [`DriverError::NotFound`] and [`DriverError::Secret`] inside [`Err`] of the outer result.
    pub async fn accept(
        &self,
        config: &Config,
        provider: &str,
        headers: &http::HeaderMap,
        body: &[u8],
    ) -> Result<Result<Accepted, AcceptError>, DriverError> {
        let backend = config
            .backend(provider)
            .ok_or_else(|| DriverError::NotFound { what: "provider", name: provider.to_owned() })?;
        let secrets = self.secrets.webhook_secrets(&backend.object).await?;
        let now = self.clock.now();
        let accepted = accept(self.store.as_ref(), backend, &secrets, headers, body, now).await;
        match &accepted {
            // S11: a redelivery changes nothing.
            Ok(accepted) if accepted.duplicate => {}
            Ok(_) => self.note(provider, |seen| seen.deliveries.good_at = Some(now)),
            Err(AcceptError::Signature(_)) => self.note(provider, |seen| seen.deliveries.failed_at = Some(now)),
            Err(_) => {}
        }
        Ok(accepted)
    }

    /// Works on what is due now, once through every kind, and ends with the last of it.
    ///
    /// # Errors
    /// Only when the store can't be read; a record that fails is named in [`Pass::failed`], and the others go on (S46).
    pub async fn run_due(&self) -> Result<Pass, DriverError> {
        Box::pin(self.pass(&mut Running::default(), None)).await
    }

    /// One pass. With `patience`, what is slow stays in `running` when that is over.
    async fn pass(&self, running: &mut Running, patience: Option<TimeDelta>) -> Result<Pass, DriverError> {
        let now = self.clock.now();
        let patience = patience.map(|patience| later(now, patience));
        let mut config = Arc::new(self.config().await?);
        Box::pin(self.tell_refusals(&config, now)).await?;
        for (provider, tenants) in config.tenants() {
            self.with_ledger(provider, |ledger| ledger.share_between(tenants.iter().map(String::as_str)));
        }
        running.busy.share(&config);
        let before = self.store.revision().await?;
        let mut pass = Pass { failed: config.damaged().map(ToString::to_string).collect(), ..Pass::default() };
        pass.take(running.over());
        pass.take(Box::pin(self.advance_bindings(&config, now, running, patience)).await);
        if self.store.revision().await? != before {
            config = Arc::new(self.config().await?);
        }
        Box::pin(self.ensure_states(&config, now)).await?;
        Box::pin(self.answer_requests(&config, now)).await?;
        for kind in DUE {
            pass.take(Box::pin(self.take_due(kind, &config, now, running, patience)).await?);
        }
        // After what is due: what was waited for may have ended just now.
        let ending = self.end_bindings(&config, now, &mut pass).await.then_some(now);
        pass.take(Box::pin(self.look_for_gaps(&config, now, running, patience)).await);
        let look = Box::pin(self.show_all(&config, now)).await?;
        let prune = Box::pin(self.prune(&config, now)).await.unwrap_or_else(|error| {
            pass.failed.push(format!("retention: {error}"));
            None
        });
        let held = self.held_until(&config, now);
        pass.next_log = self.next_log(&config, now);
        pass.next = self
            .next_due(&config, &running.busy)
            .await?
            .into_iter()
            .chain(look)
            .chain(held)
            .chain(prune)
            .chain(ending)
            .min();
        Ok(pass)
    }

    async fn work(&self, kind: Kind, stored: &Stored, config: &Config) -> Result<(), DriverError> {
        match kind {
            Kind::ExternalWebhookDelivery => Box::pin(self.process_delivery(stored, config)).await,
            Kind::ExternalSyncConflict => Box::pin(self.settle_conflict(stored, config)).await,
            Kind::ExternalObjectLink => self.hydrate_link(stored, config).await,
            Kind::ExternalWriteIntent => Box::pin(self.spending(Purpose::Write).advance_intent(stored, config)).await,
            _ => Box::pin(self.advance_backfill(stored, config)).await,
        }
    }

    /// Works until `stop` is ready, then ends what it has begun. Between passes it waits for a commit or for the next time, never in a loop.
    pub async fn run(&self, stop: impl Future<Output = ()> + Unpin, report: impl Fn(&Result<Pass, DriverError>)) {
        let mut stop = stop;
        let filter = Filter::of(DUE.into_iter().chain([
            Kind::ExternalBackendProvider,
            Kind::ExternalBackendBinding,
            Kind::ExternalBackendSyncPolicy,
            Kind::AgentApproval,
            // They decide which bindings may be used (S3).
            Kind::Organization,
            Kind::OrgSharingPolicy,
        ]));
        let mut running = Running::default();
        loop {
            let before = self.store.revision().await.unwrap_or(Revision::ZERO);
            let pass = Box::pin(self.pass(&mut running, Some(PATIENCE))).await;
            report(&pass);
            let next = match &pass {
                Ok(pass) => pass.next.into_iter().chain(pass.next_log).min(),
                // The store can't be read: look again soon, but not at once.
                Err(_) => Some(self.clock.now() + STORE_PAUSE),
            };
            // A pass that left everything as it was leaves it so again: what is due waits for something that the pass can't bring about.
            let moved = self.store.revision().await.is_ok_and(|after| after != before);
            let more = matches!(&pass, Ok(pass) if pass.next.is_some_and(|at| at <= self.clock.now()) && pass.failed.is_empty());
            let more = more && moved;
            let pause = if moved { FAILED_PAUSE } else { STALLED_PAUSE };
            let wait = async {
                if more {
                    return;
                }
                // What was left running makes room for its provider when it ends.
                let news = select(Box::pin(self.changed(before, &filter)), Box::pin(running.freed()));
                match next {
                    Some(at) => {
                        let at = at.max(self.clock.now() + pause);
                        let _ = select(news, self.clock.sleep_until(at)).await;
                    }
                    None => drop(news.await),
                }
            };
            // The stop is asked first: with a steady backlog the wait is always over at once.
            let is_over = matches!(select(&mut stop, Box::pin(wait)).await, Either::Left(_));
            if is_over {
                while running.next().await.is_some() {}
                return;
            }
        }
    }
}

impl Driver {
    /// Waits for a commit. A store that can't be read can't tell of one: then a pause takes its place, lest the loop spin.
    async fn changed(&self, before: Revision, filter: &Filter) {
        match self.store.changes(before, filter).await {
            // History that was cut is a change, too.
            Ok(_) | Err(StoreError::WatchExpired { .. }) => {}
            Err(_) => self.clock.sleep_until(self.clock.now() + STORE_PAUSE).await,
        }
    }
}

/// How long a pass waits for what it has begun. What comes in meanwhile waits for the next pass, and so longer for a busy neighbour (S46).
const PATIENCE: TimeDelta = TimeDelta::milliseconds(10);
/// How long to wait when the store can't be read.
const STORE_PAUSE: TimeDelta = TimeDelta::seconds(1);
/// How long to wait at least after a pass that changed nothing.
const STALLED_PAUSE: TimeDelta = TimeDelta::seconds(1);
/// How long to wait at least before a record that just failed is tried again.
const FAILED_PAUSE: TimeDelta = TimeDelta::milliseconds(50);
