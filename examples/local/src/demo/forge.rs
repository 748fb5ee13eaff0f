//! The simulated forge, served over HTTP on loopback: GitHub's dialect below `/api/v3`, as on an Enterprise Server.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::response::Response;
use krate_providers::simulator::{Delivery, Forge, Urls};
use tokio::net::TcpListener;

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
}

impl Served {
    /// Serves `forge` until the runtime ends.
    pub(super) async fn start(mut forge: Forge) -> Result<Self, Error> {
        let failed = |error: std::io::Error| Error::new(format!("the simulated forge can't listen: {error}"));
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.map_err(failed)?;
        let origin = format!("http://{}", listener.local_addr().map_err(failed)?);
        forge.set_urls(Urls::enterprise(&origin));
        let served = Self { forge: Arc::new(Mutex::new(forge)), origin };
        let app = axum::Router::new().fallback(answer).with_state(served.clone());
        tokio::spawn(async move { axum::serve(listener, app).await });
        Ok(served)
    }

    /// The forge itself: for what people do there, and for what is true.
    pub(super) fn lock(&self) -> MutexGuard<'_, Forge> {
        self.forge.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The webhooks that wait to be sent.
    pub(super) fn deliveries(&self) -> Vec<Delivery> {
        self.lock().take_deliveries()
    }
}

async fn answer(State(served): State<Served>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let body = to_bytes(body, MAX_BODY_BYTES).await.unwrap_or_default();
    let response = served.lock().handle(&http::Request::from_parts(parts, body), now());
    response.map(Body::from)
}
