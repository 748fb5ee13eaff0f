//! The worker: what the driver does in the background, told once per change.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use krate_model::Kind;
use krate_model::store::{Filter, Revision, Store, StoreError};
use krate_sync::driver::{DriverError, Pass};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use super::App;

/// Between two tries at a store that can't be read.
const STORE_PAUSE: Duration = Duration::from_secs(1);

/// The worker's task, and how to stop it.
pub(crate) struct Worker {
    pub(crate) task: JoinHandle<()>,
    pub(crate) stop: oneshot::Sender<()>,
}

/// Starts the worker.
pub(crate) fn start(app: &Arc<App>) -> Worker {
    let (stop, stopped) = oneshot::channel::<()>();
    let app = Arc::clone(app);
    app.metrics.worker_up.set(1);
    let task = tokio::spawn(async move {
        let _up = Up(Arc::clone(&app));
        let told = Told::default();
        let stopped = Box::pin(async move {
            // A dropped sender means the same: nobody waits for the work any more.
            let _ = stopped.await;
        });
        app.driver.run(stopped, |pass| told.pass(&app, pass)).await;
    });
    Worker { task, stop }
}

/// Says that the worker is down, also when it panicked.
struct Up(Arc<App>);

impl Drop for Up {
    fn drop(&mut self) {
        self.0.metrics.worker_up.set(0);
    }
}

/// What was logged already: a record that keeps failing is logged once.
#[derive(Default)]
struct Told(Mutex<BTreeSet<String>>);

impl Told {
    fn pass(&self, app: &App, pass: &Result<Pass, DriverError>) {
        let failed: BTreeSet<String> = match pass {
            Ok(pass) => {
                app.metrics.pass(pass.done, pass.failed.len());
                app.set_next_due(pass.next);
                pass.failed.iter().cloned().collect()
            }
            Err(error) => BTreeSet::from([error.to_string()]),
        };
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for failure in failed.difference(&known) {
            tracing::warn!("{failure}");
        }
        for over in known.difference(&failed) {
            tracing::info!("no longer: {over}");
        }
        *known = failed;
    }
}

/// Keeps the configuration that webhooks are judged by in step with the store.
pub(crate) fn follow_config(app: &Arc<App>) -> JoinHandle<()> {
    let filter = Filter::of([
        Kind::ExternalBackendProvider,
        Kind::ExternalBackendBinding,
        Kind::ExternalBackendSyncPolicy,
        Kind::Organization,
        Kind::OrgSharingPolicy,
    ]);
    let app = Arc::clone(app);
    tokio::spawn(async move {
        loop {
            let read_at = app.store.revision().await.unwrap_or(Revision::ZERO);
            match app.driver.config().await {
                Ok(config) => app.set_config(config),
                Err(error) => tracing::warn!("the configuration can't be read: {error}"),
            }
            changed(app.store.as_ref(), read_at, &filter).await;
        }
    })
}

/// Waits until something is written after `read_at` that the filter lets through, or may have been.
pub(super) async fn changed(store: &dyn Store, read_at: Revision, filter: &Filter) {
    match store.changes(read_at, filter).await {
        // History that was cut may have held a change.
        Ok(_) | Err(StoreError::WatchExpired { .. }) => {}
        // Nothing tells when the store can be read again but trying.
        Err(_) => tokio::time::sleep(STORE_PAUSE).await,
    }
}
