//! The driver's ports on a real machine: requests by reqwest, the system's clock, secrets from the environment and from files.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use http::{Request, Response};
use krate_model::Resource;
use krate_model::kinds::external::ExternalBackendProvider;
use krate_model::kinds::sets::AuthMode;
use krate_model::kinds::shared::Time;
use krate_providers::contract::{Credential, SendOutcome, WebhookSecret};
use krate_sync::driver::{Clock, Http, SecretError, Secrets, SendError};

use super::config::{ApiUser, Source, TokenRef};
use crate::error::Error;

/// The longest answer of a provider that is read.
const MAX_ANSWER_BYTES: usize = 64 * 1024 * 1024;
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
const ANSWER_TIMEOUT: Duration = Duration::from_mins(1);

/// Carries requests by reqwest.
pub(crate) struct Client(reqwest::Client);

impl Client {
    pub(crate) fn new() -> Result<Self, Error> {
        let client = reqwest::Client::builder()
            .connect_timeout(CONNECT_TIMEOUT)
            .timeout(ANSWER_TIMEOUT)
            // A redirect would carry the credential to an address that nobody configured.
            .redirect(reqwest::redirect::Policy::none())
            .user_agent(concat!("krate/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(|error| Error::new(format!("the HTTP client: {error}")))?;
        Ok(Self(client))
    }

    async fn answer(&self, request: reqwest::Request) -> Result<Response<Bytes>, SendError> {
        let mut answer = self.0.execute(request).await.map_err(|error| failed(&error))?;
        let (status, headers) = (answer.status(), std::mem::take(answer.headers_mut()));
        let mut body = BytesMut::new();
        while let Some(chunk) = answer.chunk().await.map_err(|error| unknown(&error))? {
            if body.len().saturating_add(chunk.len()) > MAX_ANSWER_BYTES {
                let message = format!("the answer is longer than {MAX_ANSWER_BYTES} bytes");
                return Err(SendError { outcome: SendOutcome::Unknown, message });
            }
            body.extend_from_slice(&chunk);
        }
        let mut response = Response::new(body.freeze());
        *response.status_mut() = status;
        *response.headers_mut() = headers;
        Ok(response)
    }
}

#[async_trait]
impl Http for Client {
    async fn send(&self, request: Request<Bytes>) -> Result<Response<Bytes>, SendError> {
        let request = reqwest::Request::try_from(request).map_err(|error| failed(&error))?;
        self.answer(request).await
    }
}

/// A request that got no answer. Without a connection nothing can have happened (S34).
fn failed(error: &reqwest::Error) -> SendError {
    let outcome = if error.is_connect() || error.is_builder() { SendOutcome::NotSent } else { SendOutcome::Unknown };
    SendError { outcome, message: what(error) }
}

fn unknown(error: &reqwest::Error) -> SendError {
    SendError { outcome: SendOutcome::Unknown, message: what(error) }
}

/// What went wrong, in our words: the client's own may hold the address with what stands in it.
fn what(error: &reqwest::Error) -> String {
    let text = match error {
        _ if error.is_connect() && error.is_timeout() => "no connection in time",
        _ if error.is_connect() => "no connection",
        _ if error.is_timeout() => "no answer in time",
        _ if error.is_builder() => "the request can't be made",
        _ if error.is_body() || error.is_decode() => "the answer was cut off",
        _ => "the connection broke",
    };
    text.to_owned()
}

/// The system's clock.
pub(crate) struct SystemClock;

/// Now.
pub(crate) fn now() -> Time {
    SystemTime::now().into()
}

#[async_trait]
impl Clock for SystemClock {
    fn now(&self) -> Time {
        now()
    }

    async fn sleep_until(&self, time: Time) {
        sleep_until(time, now).await;
    }
}

/// The longest sleep without a look at the clock.
const STEP: Duration = Duration::from_secs(30);

/// Sleeps in steps: when the system's clock jumps, the time is found out again within one.
async fn sleep_until(time: Time, now: impl Fn() -> Time) {
    while let Ok(left) = (time - now()).to_std() {
        if left.is_zero() {
            return;
        }
        tokio::time::sleep(left.min(STEP)).await;
    }
}

/// Secrets where the configuration says they are.
pub(crate) struct ConfiguredSecrets(BTreeMap<String, BTreeMap<String, Source>>);

impl ConfiguredSecrets {
    pub(crate) fn new(sources: BTreeMap<String, BTreeMap<String, Source>>) -> Self {
        Self(sources)
    }

    /// The value of a key; `path` is the field that asks for it.
    fn read(&self, path: &str, name: &str, key: &str) -> Result<Vec<u8>, SecretError> {
        let missing = |message: String| SecretError { path: path.to_owned(), message };
        let Some(source) = self.0.get(name).and_then(|keys| keys.get(key)) else {
            return Err(missing(format!("secrets.{name}.{key} isn't in the configuration")));
        };
        let (value, place) = match source {
            Source::Env(variable) => (
                std::env::var_os(variable).map(std::ffi::OsString::into_encoded_bytes),
                format!("the environment variable {variable}"),
            ),
            Source::File(file) => {
                (std::fs::read(file).ok().map(without_line_end), format!("the file {}", file.display()))
            }
        };
        match value {
            Some(value) if !value.is_empty() => Ok(value),
            Some(_) => Err(missing(format!("secrets.{name}.{key}: {place} is empty"))),
            None => Err(missing(format!("secrets.{name}.{key}: {place} can't be read"))),
        }
    }

    /// The API's token.
    pub(crate) fn token(&self, reference: &TokenRef) -> Result<Vec<u8>, SecretError> {
        self.read("api.tokenRef", &reference.name, &reference.key)
    }

    /// The token of a person.
    pub(crate) fn token_of_person(&self, person: &ApiUser) -> Result<Vec<u8>, SecretError> {
        let path = format!("api.users[name={}].tokenRef", person.name);
        self.read(&path, &person.token_ref.name, &person.token_ref.key)
    }

    /// The store's URL.
    pub(crate) fn store_url(&self, reference: &TokenRef) -> Result<Vec<u8>, SecretError> {
        self.read("store.urlRef", &reference.name, &reference.key)
    }

    fn all_webhook_secrets(&self, provider: &ExternalBackendProvider) -> Result<Vec<WebhookSecret>, SecretError> {
        let references = provider.spec.webhook.iter().flat_map(|webhook| &webhook.secret_refs);
        references
            .map(|reference| {
                let path = format!("{}: spec.webhook.secretRefs[name={}]", provider.name(), reference.name);
                let value = self.read(&path, &reference.secret_ref.name, &reference.secret_ref.key)?;
                Ok(WebhookSecret::new(reference.name.as_str(), value))
            })
            .collect()
    }

    fn token_of(&self, provider: &ExternalBackendProvider) -> Result<Option<Credential>, SecretError> {
        let auth = &provider.spec.auth_ref;
        let path = format!("{}: spec.authRef", provider.name());
        let key = match auth.mode {
            AuthMode::WebhookOnly => return Ok(None),
            AuthMode::PersonalAccessToken | AuthMode::OauthUser => "token",
            _ => {
                let message = format!("mode {} isn't served yet; personal-access-token is", auth.mode);
                return Err(SecretError { path, message });
            }
        };
        let key = auth.keys.get(key).map_or(key, String::as_str);
        let value = self.read(&path, &auth.secret_ref.name, key)?;
        let token =
            String::from_utf8(value).map_err(|_| SecretError { path, message: "the token isn't UTF-8".to_owned() })?;
        Ok(Some(Credential::new(auth.mode.clone(), token)))
    }

    /// Whether everything that a provider refers to is there.
    pub(crate) fn check(&self, provider: &ExternalBackendProvider) -> Result<(), SecretError> {
        self.all_webhook_secrets(provider)?;
        self.token_of(provider)?;
        Ok(())
    }
}

fn without_line_end(mut value: Vec<u8>) -> Vec<u8> {
    if value.last() == Some(&b'\n') {
        value.pop();
        if value.last() == Some(&b'\r') {
            value.pop();
        }
    }
    value
}

#[async_trait]
impl Secrets for ConfiguredSecrets {
    async fn webhook_secrets(&self, provider: &ExternalBackendProvider) -> Result<Vec<WebhookSecret>, SecretError> {
        self.all_webhook_secrets(provider)
    }

    async fn credential(&self, provider: &ExternalBackendProvider) -> Result<Option<Credential>, SecretError> {
        self.token_of(provider)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicI64, Ordering};

    use chrono::TimeDelta;
    use tokio::time::Instant;

    use super::*;

    /// Sleeps until ten minutes from now, on a clock that jumps by so many seconds after the first step; how long it took.
    async fn slept(jump: i64) -> Duration {
        let begin = Instant::now();
        let looks = AtomicI64::new(0);
        let clock = || {
            let passed = TimeDelta::from_std(begin.elapsed()).unwrap();
            let jumped = if looks.fetch_add(1, Ordering::Relaxed) > 0 { jump } else { 0 };
            Time::UNIX_EPOCH + passed + TimeDelta::seconds(jumped)
        };
        sleep_until(Time::UNIX_EPOCH + TimeDelta::minutes(10), clock).await;
        begin.elapsed()
    }

    #[tokio::test(start_paused = true)]
    async fn a_clock_that_jumps_is_noticed_within_a_step() {
        let tolerance = Duration::from_secs(1);
        assert!(slept(0).await.abs_diff(Duration::from_mins(10)) < tolerance);
        assert!(slept(24 * 3600).await <= STEP + tolerance);
        assert!(slept(-300).await.abs_diff(Duration::from_mins(15)) < tolerance);
    }
}
