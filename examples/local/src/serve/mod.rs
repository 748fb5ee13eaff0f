//! `krate serve`: webhook endpoint, API and worker in one process, on a store of its own or one that several processes share.
//!
//! `config` reads `krate.yaml`, `stores` opens the store, `objects` puts what it configures into the store, `ports` gives the driver the world, `hooks` and `api` answer
//! requests, `worker` does what is due, `stacks` says which agent stacks name what isn't there.

mod api;
pub(crate) mod config;
mod hooks;
mod metrics;
mod objects;
mod people;
mod ports;
mod stacks;
mod stores;
mod worker;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use axum::Router;
use axum::routing::{get, post};
use clap::ValueEnum;
use krate_model::Kind;
use krate_model::kinds::external::ExternalBackendProvider;
use krate_model::kinds::shared::Time;
use krate_model::store::{Index, Query, Store, sortable_time};
use krate_stores::Counters;
use krate_sync::driver::{Config as SyncConfig, DUE, Driver};
use krate_sync::records;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tracing_subscriber::EnvFilter;

use crate::error::{Answer, Error};
use crate::input::Document;
use crate::output;
use config::{Config, Limits, TokenRef};
use metrics::Metrics;
use people::People;
pub(crate) use ports::now;
use ports::{Client, ConfiguredSecrets, SystemClock};
use stores::Opened;
use worker::Worker;

/// Stack of each thread: an object with its intents and conflicts is a large value, above all in a build without optimization.
const THREAD_STACK_BYTES: usize = 8 * 1024 * 1024;
/// How long requests and the pass in hand may take to end.
const GRACE: Duration = Duration::from_secs(10);

/// The most records of a kind that are counted for the figures.
const MAX_COUNTED: usize = 1000;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The configuration
    #[arg(long, value_name = "FILE", default_value = "krate.yaml")]
    config: PathBuf,
    /// How to log, on standard error
    #[arg(long, value_enum, value_name = "FORMAT", default_value = "text")]
    log: LogFormat,
    /// What to log: a level, or levels by target
    #[arg(long, env = "KRATE_LOG", value_name = "FILTER", default_value = "info")]
    log_filter: String,
}

/// A form of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum LogFormat {
    /// For people
    Text,
    /// One JSON object a line
    Json,
}

/// What requests and the worker share.
pub(crate) struct App {
    pub(crate) driver: Driver,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) metrics: Metrics,
    pub(crate) limits: Limits,
    pub(crate) permits: Semaphore,
    counters: Box<dyn Fn() -> Counters + Send + Sync>,
    secrets: Arc<ConfiguredSecrets>,
    token: Option<TokenRef>,
    people: Option<People>,
    config: RwLock<Arc<SyncConfig>>,
    next_due: Mutex<Option<Time>>,
    stopping: AtomicBool,
}

impl App {
    fn new(config: Config, opened: Opened, secrets: Arc<ConfiguredSecrets>) -> Result<Self, Error> {
        let Opened { store, counters, .. } = opened;
        let http = Arc::new(Client::new()?);
        // The jitter of retries has to differ between processes, not to be secret.
        let seed = now().timestamp_micros().cast_unsigned() ^ u64::from(std::process::id());
        let driver = Driver::new(Arc::clone(&store), http, Arc::new(SystemClock), Arc::clone(&secrets) as _, seed);
        Ok(Self {
            driver,
            store,
            metrics: Metrics::new(),
            limits: config.limits,
            permits: Semaphore::new(config.limits.max_concurrent),
            counters,
            secrets,
            token: config.api.token_ref,
            people: People::new(config.api.users),
            config: RwLock::default(),
            next_due: Mutex::default(),
            stopping: AtomicBool::new(false),
        })
    }

    /// Whether a signal to stop came: nobody should send anything more here.
    pub(crate) fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Acquire)
    }

    pub(crate) fn config(&self) -> Arc<SyncConfig> {
        Arc::clone(&self.config.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn set_config(&self, config: SyncConfig) {
        *self.config.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(config);
    }

    fn set_next_due(&self, next: Option<Time>) {
        *self.next_due.lock().unwrap_or_else(PoisonError::into_inner) = next;
    }

    /// What the store did since it was opened.
    pub(crate) fn counters(&self) -> Counters {
        (self.counters)()
    }

    pub(crate) fn is_working(&self) -> bool {
        self.metrics.worker_up.get() == 1
    }

    /// Brings the figures that depend on the time up to date.
    async fn measure(&self) {
        let due_by = sortable_time(now());
        for kind in DUE {
            let due = Query::new(kind).between(Index::Due, ..=due_by.as_str()).limit(MAX_COUNTED);
            match self.store.list(&due).await {
                Ok(page) => self.metrics.queued(kind.as_str(), page.items.len()),
                Err(error) => tracing::warn!("the queue can't be counted: {error}"),
            }
        }
        let next = *self.next_due.lock().unwrap_or_else(PoisonError::into_inner);
        // A record that is due as soon as it can be has no time of its own.
        let waited = next.filter(|at| *at > Time::UNIX_EPOCH).and_then(|at| (now() - at).to_std().ok());
        self.metrics.due_lag.set(waited.unwrap_or_default().as_secs_f64());
    }

    /// Everything that is configured, read and there.
    async fn check_secrets(&self) -> Result<(), Error> {
        let hint = "name where it is under secrets: {<secret>: {<key>: {env: VARIABLE}}}, and set the variable";
        if let Some(token) = &self.token {
            self.secrets.token(token).map_err(|error| Error::new(error).hint(hint))?;
        }
        for person in self.people.iter().flat_map(People::all) {
            self.secrets.token_of_person(person).map_err(|error| Error::new(error).hint(hint))?;
        }
        let query = Query::new(Kind::ExternalBackendProvider);
        for provider in
            records::list::<ExternalBackendProvider>(self.store.as_ref(), query).await.map_err(Error::new)?
        {
            self.secrets.check(&provider.object).map_err(|error| Error::new(error).hint(hint))?;
        }
        Ok(())
    }
}

/// Runs until it is told to stop.
pub(crate) fn run(args: &Args) -> Result<Answer, Error> {
    start_log(args)?;
    let (config, objects) = Config::load(&args.config)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .thread_stack_size(THREAD_STACK_BYTES)
        .worker_threads(config.workers.into())
        .enable_all()
        .build()
        .map_err(|error| Error::new(format!("the runtime: {error}")))?;
    let answer = runtime.block_on(serve(config, &objects, &args.config));
    runtime.shutdown_timeout(GRACE);
    answer.map(|()| Answer::Yes)
}

fn start_log(args: &Args) -> Result<(), Error> {
    let filter = EnvFilter::try_new(&args.log_filter)
        .map_err(|error| Error::new(format!("--log-filter: {error}")).hint("such as info, or krate=debug,warn"))?;
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_ansi(false);
    let started = match args.log {
        LogFormat::Text => log.try_init(),
        LogFormat::Json => log.json().try_init(),
    };
    started.map_err(|error| Error::new(format!("the log: {error}")))
}

async fn serve(mut config: Config, objects: &[Document], file: &Path) -> Result<(), Error> {
    // The signals are caught before anything is opened: a stop while starting ends in order, too.
    let stop = Signals::new()?;
    let listen = config.listen;
    let secrets = Arc::new(ConfiguredSecrets::new(std::mem::take(&mut config.secrets)));
    let opened = config.store.open(file.parent().unwrap_or(Path::new("")), &secrets).await?;
    let is_shared = opened.is_shared;
    let app = Arc::new(App::new(config, opened, secrets)?);
    let applied = objects::apply(app.store.as_ref(), objects).await?;
    tracing::info!(written = applied.written, unchanged = applied.unchanged, "configured objects");
    app.check_secrets().await?;
    app.set_config(SyncConfig::load(app.store.as_ref(), now()).await.map_err(Error::new)?);
    let listener = bind(listen, file).await?;
    let address = listener.local_addr().map_err(|error| Error::new(format!("{listen}: {error}")))?;
    if !is_shared {
        // The store has one process at a time: whoever was sending before is gone. Of a shared store the leases tell that, when they run out.
        app.driver.take_over().await.map_err(Error::new)?;
    }
    let worker = worker::start(&app);
    let followers = [worker::follow_config(&app), stacks::follow(&app)];
    output::line(&format!("listening on http://{address}"))?;
    let served = answer_until(listener, &app, stop).await;
    for follower in followers {
        follower.abort();
    }
    end(worker).await;
    tracing::info!("stopped");
    served
}

async fn bind(listen: SocketAddr, file: &Path) -> Result<TcpListener, Error> {
    TcpListener::bind(listen).await.map_err(|error| {
        let hint = match error.kind() {
            std::io::ErrorKind::AddrInUse => "another process listens there; stop it, or set listen to another port",
            _ => "set listen to an address of this machine",
        };
        Error::new(format!("{}: listen: {listen}: {error}", file.display())).hint(hint)
    })
}

fn router(app: &Arc<App>) -> Router {
    Router::new()
        .route("/webhooks/{provider}", post(hooks::webhook))
        .route("/healthz", get(hooks::healthz))
        .route("/readyz", get(hooks::readyz))
        .route("/metrics", get(hooks::metrics))
        .nest("/api/v1", api::router(app))
        .method_not_allowed_fallback(api::method_not_allowed)
        .fallback(api::nothing_there)
        .with_state(Arc::clone(app))
}

/// Answers requests until a signal comes, then those in flight.
async fn answer_until(listener: TcpListener, app: &Arc<App>, stop: Signals) -> Result<(), Error> {
    let stopped = Arc::clone(app);
    let (told, stopping) = tokio::sync::oneshot::channel::<()>();
    let serving = axum::serve(listener, router(app)).with_graceful_shutdown(async move {
        let signal = stop.caught().await;
        stopped.stopping.store(true, Ordering::Release);
        tracing::info!(signal, "stopping: requests in flight end first");
        // The other end waits in this function, as long as the server does.
        let _ = told.send(());
    });
    let too_long = async {
        let _ = stopping.await;
        tokio::time::sleep(GRACE).await;
    };
    tokio::select! {
        served = serving => served.map_err(|error| Error::new(format!("the listener: {error}"))),
        () = too_long => {
            tracing::warn!("some requests took too long and were cut off");
            Ok(())
        }
    }
}

/// Lets the pass in hand end. What is cut off is due again at the next start.
async fn end(worker: Worker) {
    let Worker { mut task, stop } = worker;
    let _ = stop.send(());
    if tokio::time::timeout(GRACE, &mut task).await.is_err() {
        tracing::warn!("the worker took too long; what it was at is due again at the next start");
        task.abort();
        let _ = task.await;
    }
}

/// The signals that stop the process.
struct Signals {
    #[cfg(unix)]
    terminate: tokio::signal::unix::Signal,
    #[cfg(unix)]
    interrupt: tokio::signal::unix::Signal,
}

impl Signals {
    #[cfg(unix)]
    fn new() -> Result<Self, Error> {
        use tokio::signal::unix::{SignalKind, signal};
        let catch = |kind| signal(kind).map_err(|error| Error::new(format!("signals: {error}")));
        Ok(Self { terminate: catch(SignalKind::terminate())?, interrupt: catch(SignalKind::interrupt())? })
    }

    #[cfg(unix)]
    async fn caught(mut self) -> &'static str {
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
        }
    }

    #[cfg(not(unix))]
    fn new() -> Result<Self, Error> {
        Ok(Self {})
    }

    #[cfg(not(unix))]
    async fn caught(self) -> &'static str {
        let _ = tokio::signal::ctrl_c().await;
        "interrupt"
    }
}
