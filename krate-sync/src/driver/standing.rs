//! What bindings and providers show about themselves (S3, S42).

use krate_model::Resource;
use krate_model::condition::{ConditionStatus, Finding, condition, set_condition};
use krate_model::kinds::external::{ExternalBackendBinding, ExternalBackendBindingPhase as Phase};
use krate_model::kinds::shared::Time;
use krate_model::store::Revision;

use super::{Config, Driver, DriverError};
use crate::records::{Changes, Loaded};
use crate::sharing::Refusal;

impl Driver {
    /// Says in the `Ready` condition of each binding that may not be used why that is so, and takes it back when it may (S3). What stands there already
    /// isn't written again.
    pub(super) async fn tell_refusals(&self, config: &Config, now: Time) -> Result<(), DriverError> {
        for (binding, refusal) in config.refused() {
            let message = refusal.to_string();
            self.tell_ready(binding, (ConditionStatus::False, refusal.reason(), &message), now).await?;
        }
        for scope in config.scopes() {
            let Some(status) = &scope.binding.status else { continue };
            let refused =
                condition(&status.conditions, "Ready").is_some_and(|it| Refusal::REASONS.contains(&&*it.reason));
            if refused {
                let holds = matches!(status.phase, Phase::Ready | Phase::Conflict);
                let found = if holds { ConditionStatus::True } else { ConditionStatus::Unknown };
                self.tell_ready(&scope.binding, (found, "Admitted", ""), now).await?;
            }
        }
        Ok(())
    }

    async fn tell_ready(
        &self,
        binding: &ExternalBackendBinding,
        (status, reason, message): (ConditionStatus, &str, &str),
        now: Time,
    ) -> Result<(), DriverError> {
        let read_at = binding.metadata().resource_version.as_ref().and_then(|text| text.parse().ok()).map(Revision);
        let mut loaded = Loaded { object: binding.clone(), revision: read_at, dirty: true };
        let observed_generation = Some(binding.generation());
        let finding = Finding { kind: "Ready", status, reason, message, observed_generation };
        if !set_condition(&mut loaded.object.status_mut().conditions, finding, now) {
            return Ok(());
        }
        let mut changes = Changes::at(now);
        changes.put(&loaded)?;
        match changes.commit(self.store()).await {
            // Whoever changed it has woken the next pass.
            Err(error) if !error.is_conflict() => Err(error.into()),
            _ => Ok(()),
        }
    }
}
