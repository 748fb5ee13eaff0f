//! The simulated forge, served over HTTP on loopback: GitHub's dialect below `/api/v3`, as on an Enterprise Server.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::response::Response;
use krate_providers::simulator::{Delivery, Forge, Urls};
use tokio::net::TcpListener;
use tokio::sync::Notify;

use crate::error::Error;
use crate::serve::now;

/// The longest body that the forge reads.
const MAX_BODY_BYTES: usize = 1024 * 1024;

/// A forge that answers on loopback.
#[derive(Clone)]
pub(super) struct Served {
    forge: Arc<Mutex<Forge>>,
    /// Its origin, such as `http://127.0.0.1:40123`.
    pub(super) origin: String,
    stall: Arc<Stall>,
}

/// A forge that answers no request which makes something any more: it carries out the first one, and none behind it.
#[derive(Default)]
struct Stall {
    state: Mutex<Stalled>,
    /// One was carried out, and its answer is withheld.
    struck: Notify,
}

#[derive(Default, Clone, Copy, PartialEq, Eq)]
enum Stalled {
    #[default]
    No,
    /// At the next request that makes something.
    Next,
    Yes,
}

impl Served {
    /// Serves `forge` until the runtime ends.
    pub(super) async fn start(mut forge: Forge) -> Result<Self, Error> {
        let failed = |error: std::io::Error| Error::new(format!("the simulated forge can't listen: {error}"));
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.map_err(failed)?;
        let origin = format!("http://{}", listener.local_addr().map_err(failed)?);
        forge.set_urls(Urls::enterprise(&origin));
        let served = Self { forge: Arc::new(Mutex::new(forge)), origin, stall: Arc::default() };
        let app = axum::Router::new().fallback(answer).with_state(served.clone());
        tokio::spawn(async move { axum::serve(listener, app).await });
        Ok(served)
    }

    /// The forge itself: for what people do there, and for what is true.
    pub(super) fn lock(&self) -> MutexGuard<'_, Forge> {
        lock(&self.forge)
    }

    /// Carries out the next request that makes something and withholds its answer; those behind it get none, and aren't carried out.
    pub(super) fn stall(&self) {
        *lock(&self.stall.state) = Stalled::Next;
    }

    /// Waits until an answer is withheld.
    pub(super) async fn stalled(&self) {
        self.stall.struck.notified().await;
    }

    /// Answers again. What was withheld stays so.
    pub(super) fn go_on(&self) {
        *lock(&self.stall.state) = Stalled::No;
    }

    /// The webhooks that wait to be sent.
    pub(super) fn deliveries(&self) -> Vec<Delivery> {
        self.lock().take_deliveries()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn answer(State(served): State<Served>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let body = to_bytes(body, MAX_BODY_BYTES).await.unwrap_or_default();
    let stalled = if parts.method == http::Method::POST {
        let mut state = lock(&served.stall.state);
        let before = *state;
        if before == Stalled::Next {
            *state = Stalled::Yes;
        }
        before
    } else {
        Stalled::No
    };
    if stalled == Stalled::Yes {
        // Until the client is gone, which drops this.
        std::future::pending::<()>().await;
    }
    let response = served.lock().handle(&http::Request::from_parts(parts, body), now());
    if stalled == Stalled::Next {
        served.stall.struck.notify_one();
        std::future::pending::<()>().await;
    }
    response.map(Body::from)
}
