//! Providers: from configured to ready. Spec: external-sync.md section 9, S37, S42.

use krate_model::Resource;
use krate_model::audit::{AuditDraft, AuditOutcome};
use krate_model::kinds::external::{
    AccountId, ExternalBackendProvider, ExternalBackendProviderPhase as Phase, Installation, ManifestRef,
};
use krate_model::kinds::shared::ErrorInfo;

use super::{About, Ctx, Due, Move, Refused, Step, Transition, Why, condition, events, table};

/// The machine's name in refusals, audit and docs.
pub const MACHINE: &str = "provider";

events! {
    /// Somebody is about to authenticate.
    Started,
    /// The credential is good.
    Authenticated {
        /// krate's own account.
        account: Option<AccountId>,
        /// Installations of the app, where it is one.
        installations: Vec<Installation>,
    },
    /// It is known what the instance can do.
    Discovered {
        /// The manifest in force.
        manifest: ManifestRef,
    },
    /// It works, but not well.
    Worsened {
        /// What goes wrong.
        error: ErrorInfo,
    },
    /// It works well again.
    Recovered,
    /// A person set `spec.suspend`.
    Suspended,
    /// A person took it back.
    Resumed,
    /// It doesn't work, and won't until its configuration changes.
    Failed {
        /// Why.
        error: ErrorInfo,
    },
    /// A person changed the configuration.
    ConfigurationChanged,
}

/// Every allowed transition. What is not here is refused (S40).
pub const TRANSITIONS: &[Transition<Phase, EventKind>] = table! { Phase, EventKind;
    Pending: Started => Authenticating, "section 9";
    Authenticating: Authenticated => Discovering, "section 9";
    Discovering: Discovered => Ready, "section 9";
    Ready: Worsened => Degraded, "section 9";
    Degraded: Recovered => Ready, "section 9";
    Ready | Degraded: Suspended => Paused, "S37";
    Paused: Resumed => Ready | Degraded, "S37";
    Pending | Authenticating | Discovering | Ready | Degraded | Paused: Failed => Failed, "section 9";
    Failed: ConfigurationChanged => Pending, "section 9";
};

/// What a provider needs done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Effect {
    /// Record [`Event::Started`].
    Start,
    /// Prove who krate is.
    Authenticate,
    /// Find out what the instance can do.
    Discover,
    /// Record [`Event::Suspended`].
    Suspend,
    /// Record [`Event::Resumed`].
    Resume,
    /// Record [`Event::ConfigurationChanged`].
    Restart,
}

fn phase(provider: &ExternalBackendProvider) -> Phase {
    provider.status.as_ref().map_or_else(Phase::default, |status| status.phase.clone())
}

fn scoped(provider: &ExternalBackendProvider, mut draft: AuditDraft) -> AuditDraft {
    draft.provider = Some(provider.name().to_owned());
    draft
}

/// What happened to `provider`. Pure: performs nothing, reads no clock.
///
/// # Errors
/// [`Refused`] when the table has no such transition, or a guard fails; `provider` is unchanged then.
pub fn step(
    provider: &ExternalBackendProvider,
    event: Event,
    ctx: &Ctx<'_>,
) -> Result<Step<ExternalBackendProvider>, Refused> {
    let kind = event.kind();
    let this = Move::find(MACHINE, TRANSITIONS, &phase(provider), (kind, kind.as_str()))?;
    let mut next = provider.clone();
    let generation = next.generation();
    let suspend = next.spec.suspend;
    let mut reason = None;
    let mark = |conditions: &mut Vec<_>, kind: &str, holds: bool, why: &str| {
        condition(conditions, kind, holds, why, generation, ctx.now);
    };
    let status = next.status.get_or_insert_with(Default::default);
    match event {
        Event::Started => status.phase = Phase::Authenticating,
        Event::Authenticated { account, installations } => {
            mark(&mut status.conditions, "AuthReady", true, "Authenticated");
            let (holds, why) = match installations.as_slice() {
                [] => (true, "NotInstallable"),
                some if some.iter().any(|installation| !installation.suspended) => (true, "Installed"),
                _ => (false, "Suspended"),
            };
            mark(&mut status.conditions, "InstallationReady", holds, why);
            status.account = account;
            status.installations = installations;
            status.phase = Phase::Discovering;
        }
        Event::Discovered { manifest } => {
            status.manifest = Some(manifest);
            status.last_error = None;
            status.phase = Phase::Ready;
            mark(&mut status.conditions, "Ready", true, "Discovered");
        }
        Event::Worsened { error } => {
            reason = Some(error.class.to_string());
            mark(&mut status.conditions, "Ready", false, error.class.as_str());
            status.last_error = Some(error);
            status.phase = Phase::Degraded;
        }
        Event::Recovered => {
            status.last_error = None;
            status.phase = Phase::Ready;
            mark(&mut status.conditions, "Ready", true, "Recovered");
        }
        Event::Suspended => {
            this.require(suspend, || Why::Unwanted { path: "spec.suspend", found: false })?;
            status.phase = Phase::Paused;
            mark(&mut status.conditions, "Ready", false, "Suspended");
        }
        Event::Resumed => {
            this.require(!suspend, || Why::Unwanted { path: "spec.suspend", found: true })?;
            // What was wrong before the pause is still on record, and nobody has seen it go right since.
            let degraded = status.last_error.is_some();
            status.phase = if degraded { Phase::Degraded } else { Phase::Ready };
            mark(&mut status.conditions, "Ready", !degraded, "Resumed");
        }
        Event::Failed { error } => {
            reason = Some(error.class.to_string());
            if matches!(this.from, Phase::Pending | Phase::Authenticating) {
                mark(&mut status.conditions, "AuthReady", false, error.class.as_str());
            }
            mark(&mut status.conditions, "Ready", false, error.class.as_str());
            status.last_error = Some(error);
            status.phase = Phase::Failed;
        }
        Event::ConfigurationChanged => {
            this.require(status.observed_generation != Some(generation), || Why::Unchanged { generation })?;
            status.last_error = None;
            status.phase = Phase::Pending;
        }
    }
    status.observed_generation = status.observed_generation.max(Some(generation));
    let to = phase(&next);
    let outcome = if to == Phase::Failed { AuditOutcome::Failed } else { AuditOutcome::Recorded };
    let digests = next.status.as_ref().and_then(|status| status.manifest.as_ref());
    let digests = digests.map(|manifest| ("manifest", manifest.digest)).into_iter().collect();
    this.finish(next, &to, About { kind: "ProviderPhase", outcome, reason, digests }, scoped, ctx)
}

/// What `provider` waits for: an effect to perform, or nothing.
pub fn due(provider: &ExternalBackendProvider) -> Due<Effect> {
    let changed = provider.status.as_ref().and_then(|status| status.observed_generation) != Some(provider.generation());
    match phase(provider) {
        Phase::Pending => Due::Now(Effect::Start),
        Phase::Authenticating => Due::Now(Effect::Authenticate),
        Phase::Discovering => Due::Now(Effect::Discover),
        Phase::Ready | Phase::Degraded if provider.spec.suspend => Due::Now(Effect::Suspend),
        Phase::Paused if !provider.spec.suspend => Due::Now(Effect::Resume),
        Phase::Failed if changed => Due::Now(Effect::Restart),
        _ => Due::Idle,
    }
}
