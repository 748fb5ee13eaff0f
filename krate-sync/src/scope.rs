//! What the rules say about one binding: provider, binding, policy and manifest together. Spec: external-sync.md section 2.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use krate_model::kinds::external::{
    BindingInterface, BindingTargetKind, BoundTarget, ExternalBackendBinding, ExternalBackendBindingPhase as Phase,
    ExternalBackendProvider, ExternalBackendProviderPhase as ProviderPhase, ExternalBackendSyncPolicySpec,
    IntentCredential, ManifestOperation, RateLimitKind,
};
use krate_model::kinds::sets::{Interface, Mode, Operation, SourceFormat, Strategy};
use krate_model::observation::RepositoryIdentity;
use krate_model::{Kind, Resource};
use krate_providers::contract::{Provider, REPOSITORY_ID};

use crate::identity::{OWNER, REPOSITORY};
use crate::local::spec_fields;
use crate::machines::binding::is_going;
use crate::merge::{Equality, FieldRule};

/// A provider object and the adapter that speaks for it.
#[derive(Clone)]
pub struct Backend {
    /// The provider object.
    pub object: Arc<ExternalBackendProvider>,
    /// The adapter.
    pub adapter: &'static dyn Provider,
}

/// A binding with everything that decides for it.
#[derive(Clone)]
pub struct Scope {
    /// Its provider.
    pub backend: Backend,
    /// What its records call the provider: its name, or `<organization>/<name>` of a shared one (R4).
    pub provider: String,
    /// The binding.
    pub binding: Arc<ExternalBackendBinding>,
    /// The policy in force: the binding's own, then the provider's, then the defaults.
    pub policy: Arc<ExternalBackendSyncPolicySpec>,
    /// Name of the policy, where one is named and isn't there: reading goes on by the defaults, and nothing is written (R70).
    pub missing_policy: Option<String>,
}

impl Scope {
    /// Name of the provider, as the binding's records hold it.
    pub fn provider(&self) -> &str {
        &self.provider
    }

    /// Name of the binding.
    pub fn binding_name(&self) -> &str {
        self.binding.name()
    }

    /// Namespace of the binding and of all that it syncs.
    pub fn namespace(&self) -> &str {
        self.binding.namespace()
    }

    /// The organization.
    pub fn organization(&self) -> &str {
        &self.binding.spec.organization_ref
    }

    /// The repository that the binding binds.
    pub fn repository(&self) -> Option<&str> {
        let target = &self.binding.spec.target_ref;
        (target.kind == BindingTargetKind::Repository).then_some(target.name.as_str())
    }

    /// The dialect of the provider's bodies.
    pub fn body_format(&self) -> &SourceFormat {
        &self.backend.adapter.manifest().body_format
    }

    /// The binding's keys that locate objects at the provider.
    pub fn container(&self) -> BTreeMap<String, String> {
        self.binding.spec.external_ref.iter().map(|(key, value)| (key.clone(), value.as_str().to_owned())).collect()
    }

    /// The external side, once it was read.
    pub fn target(&self) -> Option<&BoundTarget> {
        self.binding.status.as_ref()?.target.as_ref()
    }

    /// Who sends its writes (S32): the account, or the Secret that holds its credential where the account isn't known.
    pub(crate) fn credential(&self) -> IntentCredential {
        let provider = &self.backend.object;
        let login = provider.status().and_then(|status| status.account.as_ref()).map(|account| account.id.clone());
        let auth = &provider.spec.auth_ref;
        let account = login.unwrap_or_else(|| format!("secret:{}", auth.secret_ref.name));
        IntentCredential { mode: auth.mode.clone(), account: Some(account) }
    }

    /// Where a request goes: the binding's keys, with the names and the id that the provider's own answer gave its target.
    pub fn located(&self) -> BTreeMap<String, String> {
        let mut container = self.container();
        if let Some(target) = self.target() {
            container.extend(target.container.clone());
            container.insert(REPOSITORY_ID.to_owned(), target.native_id.clone());
        }
        container
    }

    /// Whether the binding is about one repository, and its provider can read it.
    pub(crate) fn names_one(&self) -> bool {
        self.binding.spec.external_ref.contains_key(REPOSITORY) && self.operation(&Operation::GetRepository).is_some()
    }

    /// The interface of the binding, where it is there and enabled.
    pub fn interface(&self, name: &Interface) -> Option<&BindingInterface> {
        self.binding.spec.interfaces.iter().find(|interface| interface.name == *name && interface.enabled)
    }

    /// Who owns the truth about a field: the field's own mode, the kind's, the interface's. Nothing where the interface is off.
    pub fn mode(&self, interface: &Interface, kind: Kind, path: &str) -> Option<Mode> {
        let interface = self.interface(interface)?;
        let kind = interface.kinds.iter().find(|entry| entry.kind == kind.as_str());
        let field = kind.and_then(|kind| kind.fields.iter().find(|field| field.path == path));
        let mode = field
            .and_then(|field| field.mode.as_ref())
            .or_else(|| kind.and_then(|kind| kind.mode.as_ref()))
            .unwrap_or(&interface.mode);
        Some(mode.clone())
    }

    /// How every field of `kind` merges here.
    pub fn rules(&self, interface: &Interface, kind: Kind) -> Vec<FieldRule<'static>> {
        let conflicts = &self.policy.conflict_policy;
        spec_fields(kind)
            .filter_map(|field| {
                let mode = self.mode(interface, kind, field.path)?;
                let own = self
                    .interface(interface)
                    .and_then(|interface| interface.kinds.iter().find(|entry| entry.kind == kind.as_str()))
                    .and_then(|entry| entry.fields.iter().find(|entry| entry.path == field.path))
                    .and_then(|entry| entry.strategy.clone());
                let by_policy = conflicts
                    .per_field
                    .iter()
                    .find(|rule| rule.path == field.path)
                    .and_then(|rule| rule.strategy.clone());
                let mut rule = FieldRule::of(field, mode);
                if let Some(strategy) = own.or(by_policy) {
                    rule.strategy = strategy;
                } else if conflicts.text_merge && field.path == "spec.body.markdown" {
                    rule.strategy = Strategy::Text;
                }
                rule.text_merge = rule.strategy == Strategy::Text;
                if field.path == "spec.labels" && self.backend.adapter.folds_label_case() {
                    rule.equality = Equality::AsciiCaseInsensitive;
                }
                rule.path = Cow::Borrowed(field.path);
                Some(rule)
            })
            .collect()
    }

    /// What the manifest says about an operation; nothing where the provider doesn't have it (S2, S49).
    pub fn operation(&self, operation: &Operation) -> Option<&ManifestOperation> {
        let interface = operation.interface()?;
        self.backend
            .adapter
            .manifest()
            .interfaces
            .iter()
            .find(|entry| entry.name == interface && entry.supported)?
            .operations
            .iter()
            .find(|entry| entry.operation == *operation)
    }

    /// What a call of an operation costs, in what the provider's budgets count (S43).
    pub fn cost(&self, operation: &Operation) -> i64 {
        let by_points = self.backend.adapter.manifest().rate_limit_model.kind == RateLimitKind::Points;
        self.operation(operation).map_or(1, |known| if by_points { known.point_cost } else { known.rest_cost })
    }

    /// Whether provider or binding is suspended or has failed, or the binding is deleted: no write and no backfill, and deliveries go on (S37).
    pub fn is_paused(&self) -> bool {
        self.is_suspended() || self.is_provider_paused() || self.phase() == Phase::Failed
    }

    /// Whether the provider is suspended or has failed.
    pub(crate) fn is_provider_paused(&self) -> bool {
        let failed = self.backend.object.status.as_ref().is_some_and(|status| status.phase == ProviderPhase::Failed);
        self.backend.object.spec.suspend || failed
    }

    /// Whether somebody has suspended provider or binding, or deleted the binding.
    pub(crate) fn is_suspended(&self) -> bool {
        self.backend.object.spec.suspend || self.binding.spec.suspend || self.is_going()
    }

    /// Whether the binding is deleted, and only waits for what was begun to end (R21).
    pub(crate) fn is_going(&self) -> bool {
        is_going(&self.binding)
    }

    /// The binding's phase.
    pub(crate) fn phase(&self) -> Phase {
        self.binding.status.as_ref().map(|status| status.phase.clone()).unwrap_or_default()
    }

    /// Whether its target was looked at: nothing is read before (section 9).
    pub(crate) fn is_validated(&self) -> bool {
        !matches!(self.phase(), Phase::Pending | Phase::ValidatingTarget | Phase::RegisteringWebhook)
    }

    /// Whether the binding is about a repository of this name. Owners and names are compared as their providers do: in any case of ASCII letters.
    pub fn names(&self, repository: &RepositoryIdentity<'_>) -> bool {
        let key =
            |name: &str| self.binding.spec.external_ref.get(name).map(krate_model::kinds::external::RefValue::as_str);
        let same = |expected: Option<&str>, found: &str| expected.is_some_and(|text| text.eq_ignore_ascii_case(found));
        match key(REPOSITORY) {
            Some(name) => same(key(OWNER), &repository.owner) && same(Some(name), &repository.name),
            // A binding of a whole organization has an owner only.
            None => same(key(OWNER), &repository.owner),
        }
    }
}
