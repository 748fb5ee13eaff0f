//! Objects that are read again, since what was observed of them doesn't decide (S16).

use krate_model::kinds::external::ExternalObjectLink;
use krate_model::kinds::sets::{ErrorClass, Operation};
use krate_model::kinds::shared::Time;
use krate_model::store::Stored;
use krate_model::{Kind, Resource};
use krate_providers::contract::{Call, Outcome};

use super::objects::Cause;
use super::{Config, Driver, DriverError};
use crate::machines::{LIMIT_PAUSE, Policy};
use crate::mistakes::{Mistake, made};
use crate::object::ObjectState;
use crate::observe::{Applied, Shows};
use crate::order::Origin;
use crate::records::{self, Changes, Loaded};
use crate::scope::Scope;

impl Driver {
    /// S16: reads a link's object again; the answer decides.
    pub(super) async fn hydrate_link(&self, stored: &Stored, config: &Config) -> Result<(), DriverError> {
        let link = records::parse::<ExternalObjectLink>(stored)?;
        let Some(scope) = config.scope(link.object.namespace(), &link.object.spec.binding_ref) else { return Ok(()) };
        if scope.is_paused() {
            return self.postpone_link(link, scope, None).await;
        }
        let kind = Kind::lookup(&link.object.spec.local_ref.kind);
        let number = link
            .object
            .status
            .as_ref()
            .and_then(|status| status.external.as_ref())
            .and_then(|external| external.native_number);
        let result = match (kind, number) {
            (Some(kind @ (Kind::Issue | Kind::PullRequest)), Some(number)) => {
                self.read_numbered(scope, kind, number).await
            }
            (Some(Kind::Comment), _) => self.read_comment(scope, &link).await,
            // No operation reads this kind: the next backfill or webhook decides.
            _ => Ok(Some(Applied::NoChange)),
        };
        match result {
            // Something else came in while it was read, or the clock was set back a little: the question stands.
            Ok(Some(Applied::Hydrate)) => {
                match records::get::<ExternalObjectLink>(self.store(), scope.namespace(), link.object.name()).await? {
                    Some(link) => self.postpone_link(link, scope, None).await,
                    None => Ok(()),
                }
            }
            Ok(Some(_)) => self.settle_link(link, scope).await,
            // Gone, or out of sight (known to be told apart by a deletion event or a complete backfill only).
            Ok(None) if made(Mistake::MissingIsGone) => self.bury_missing(scope, &link).await,
            Ok(None) => self.settle_link(link, scope).await,
            Err(error) => {
                let failed = error.failure().ok_or(error)?;
                self.postpone_link(link, scope, failed.until).await
            }
        }
    }

    /// Comments have no read of their own: the list of their subject's comments shows them.
    pub(super) async fn read_comment(
        &self,
        scope: &Scope,
        link: &Loaded<ExternalObjectLink>,
    ) -> Result<Option<Applied>, DriverError> {
        let state = ObjectState::load(self.store(), scope.namespace(), link.object.name()).await?;
        let Some(crate::local::Local::Comment(comment)) = state.local.map(|local| local.object) else {
            return Ok(Some(Applied::NoChange));
        };
        let subject = ObjectState::load_of_local(self.store(), scope.namespace(), &comment.spec.subject).await?;
        let Some(target) = crate::plan::target_of(&subject, scope) else { return Ok(Some(Applied::NoChange)) };
        let mut cursor = None;
        let mut found = None;
        loop {
            let mut call = Call::new(Operation::ListComments, &target);
            call.cursor = cursor.as_ref();
            let answer = self.call(scope, &call).await?;
            let decoded = self.decode(scope, &call, &answer);
            let origin = Origin::Read { started_at: answer.started_at };
            let (objects, next) = match decoded.result {
                Ok(Outcome::Page { objects, next, .. }) => (objects, next),
                Ok(_) => return Ok(found),
                // What it is about is gone, and the comment with it.
                Err(error) if matches!(error.class, ErrorClass::NotFound | ErrorClass::Gone) => return Ok(None),
                Err(error) => return Err(error.into()),
            };
            for event in &objects {
                if event.native_id == link.object.spec.external.native_id {
                    found = Some(self.apply(scope, event, origin, Shows::Read, Cause::Read).await?);
                }
            }
            match next {
                Some(next) if found.is_none() => cursor = Some(next),
                _ => return Ok(found),
            }
        }
    }

    /// The question was answered, even where the answer said nothing new.
    async fn settle_link(&self, link: Loaded<ExternalObjectLink>, scope: &Scope) -> Result<(), DriverError> {
        let name = link.object.name().to_owned();
        let Some(mut link) = records::get::<ExternalObjectLink>(self.store(), scope.namespace(), &name).await? else {
            return Ok(());
        };
        let status = link.change().status_mut();
        if !status.needs_hydration {
            return Ok(());
        }
        status.needs_hydration = false;
        status.not_before = None;
        status.hydration_attempts = 0;
        let mut changes = Changes::at(self.clock.now());
        changes.put(&link)?;
        changes.commit(self.store()).await?;
        Ok(())
    }

    /// Only by mistake.
    async fn bury_missing(&self, scope: &Scope, link: &Loaded<ExternalObjectLink>) -> Result<(), DriverError> {
        let mut state = ObjectState::load(self.store(), scope.namespace(), link.object.name()).await?;
        if let Some(local) = &mut state.local {
            crate::observed::mark_deleted(local.change());
        }
        let mut changes = Changes::at(self.clock.now());
        state.write(&mut changes)?;
        changes.commit(self.store()).await?;
        Ok(())
    }

    async fn postpone_link(
        &self,
        mut link: Loaded<ExternalObjectLink>,
        scope: &Scope,
        until: Option<Time>,
    ) -> Result<(), DriverError> {
        let now = self.clock.now();
        let name = link.object.name().to_owned();
        let status = link.change().status_mut();
        status.hydration_attempts = status.hydration_attempts.saturating_add(1);
        let policy = Policy::of(&scope.policy);
        let delay = policy.backoff(self.seed, &name, status.hydration_attempts).max(policy.base_delay);
        let limited = until.map(|until| until.max(now + LIMIT_PAUSE));
        status.not_before = limited.max(Some(now + delay));
        let mut changes = Changes::at(now);
        changes.put(&link)?;
        changes.commit(self.store()).await?;
        Ok(())
    }
}
