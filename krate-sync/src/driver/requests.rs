//! Backfills that are asked for: by a person with an annotation, and by a delivery that nobody could read (S26).

use krate_model::kinds::external::{BackfillMode, ExternalBackendBinding};
use krate_model::kinds::shared::Time;
use krate_model::{BACKFILL_REQUESTED, Digest, Resource};

use super::{Config, Driver, DriverError, MAX_RACES};
use crate::machines::backfill::Event;
use crate::records::{self, Changes, Loaded};
use crate::scope::Scope;

/// The longest value of the annotation that the status repeats; a longer one it names by its digest.
const MAX_REQUEST_BYTES: usize = 1024;

impl Driver {
    /// Writes a person's wish that a binding's lists are read whole now (S26), as the annotation [`BACKFILL_REQUESTED`] does. `id` tells it from the wishes before it.
    ///
    /// # Errors
    /// [`DriverError::NotFound`] when there is no such binding. Nothing is stored then.
    pub async fn command_backfill(&self, namespace: &str, binding: &str, id: &str) -> Result<(), DriverError> {
        for _ in 0..MAX_RACES {
            match self.try_command_backfill(namespace, binding, id).await {
                Err(error) if error.is_race() => {}
                done => return done,
            }
        }
        self.try_command_backfill(namespace, binding, id).await
    }

    async fn try_command_backfill(&self, namespace: &str, binding: &str, id: &str) -> Result<(), DriverError> {
        let found = records::get::<ExternalBackendBinding>(self.store(), namespace, binding).await?;
        let mut found = found.ok_or_else(|| DriverError::NotFound { what: "binding", name: binding.to_owned() })?;
        let annotations = found.change().metadata_mut().annotations.get_or_insert_default();
        annotations.insert(BACKFILL_REQUESTED.to_owned(), id.to_owned());
        let mut changes = Changes::at(self.clock.now());
        changes.put(&found)?;
        changes.commit(self.store()).await?;
        Ok(())
    }

    /// Asks for one complete run of every list of each binding whose annotation has a new value. That and the note that it was handled are one commit:
    /// a crash asks neither twice nor not at all. While one of the lists is being read, the request waits for its end.
    pub(super) async fn answer_requests(&self, config: &Config, now: Time) -> Result<(), DriverError> {
        for scope in config.scopes() {
            let Some(request) = unanswered(&scope.binding) else { continue };
            let loaded: Option<Loaded<ExternalBackendBinding>> =
                records::get(self.store(), scope.namespace(), scope.binding_name()).await?;
            // The snapshot is older than the store: somebody may have answered meanwhile.
            let Some(mut binding) = loaded.filter(|known| unanswered(&known.object).as_ref() == Some(&request)) else {
                continue;
            };
            let mut changes = Changes::at(now);
            if !self.request_lists(scope, &BackfillMode::Complete, now, &mut changes).await? {
                continue;
            }
            binding.change().status_mut().handled_backfill_request = Some(request);
            changes.put(&binding)?;
            match changes.commit(self.store()).await {
                // Whoever changed one of them has woken the next pass.
                Err(error) if !error.is_conflict() => return Err(error.into()),
                _ => {}
            }
        }
        Ok(())
    }

    /// Puts a run of every list of a binding into `changes`, but for those that are being read; whether there are none of these.
    pub(super) async fn request_lists(
        &self,
        scope: &Scope,
        mode: &BackfillMode,
        now: Time,
        changes: &mut Changes,
    ) -> Result<bool, DriverError> {
        let mut all = true;
        for mut state in self.states_of(scope).await? {
            match self.advance(scope, &mut state, Event::Requested { mode: mode.clone(), at: now }, changes) {
                Ok(()) => changes.put(&state)?,
                Err(DriverError::Refused(_)) => all = false,
                Err(error) => return Err(error),
            }
        }
        Ok(all)
    }
}

/// The value that asks for a backfill, as the status repeats it; none where it was handled.
fn unanswered(binding: &ExternalBackendBinding) -> Option<String> {
    let asked = binding.metadata().annotations.as_ref()?.get(BACKFILL_REQUESTED).filter(|value| !value.is_empty())?;
    let asked = if asked.len() <= MAX_REQUEST_BYTES { asked.clone() } else { Digest::of(asked.as_bytes()).to_string() };
    let handled = binding.status.as_ref().and_then(|status| status.handled_backfill_request.as_ref());
    (handled != Some(&asked)).then_some(asked)
}
