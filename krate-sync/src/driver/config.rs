//! Providers, bindings and policies as the store holds them, ready to be asked.

use std::collections::BTreeMap;
use std::sync::Arc;

use krate_model::kinds::external::{
    ExternalBackendBinding, ExternalBackendBindingPhase, ExternalBackendProvider, ExternalBackendSyncPolicy,
    ExternalBackendSyncPolicySpec,
};
use krate_model::observation::RepositoryIdentity;
use krate_model::store::{Query, Store};
use krate_model::{Kind, Resource};
use krate_providers::registry;

use crate::records::{self, RecordError};
use crate::scope::{Backend, Scope};

/// A snapshot of the configuration.
#[derive(Clone, Default)]
pub struct Config {
    backends: BTreeMap<String, Backend>,
    scopes: BTreeMap<String, Scope>,
}

impl Config {
    /// Reads the configuration.
    ///
    /// # Errors
    /// [`RecordError`] when the store fails or holds something else.
    pub async fn load(store: &dyn Store) -> Result<Self, RecordError> {
        let mut config = Self::default();
        for loaded in records::list::<ExternalBackendProvider>(store, Query::new(Kind::ExternalBackendProvider)).await?
        {
            if let Some(adapter) = registry::provider(&loaded.object.spec.provider_type) {
                let name = loaded.object.name().to_owned();
                config.backends.insert(name, Backend { object: Arc::new(loaded.object), adapter });
            }
        }
        let policies =
            records::list::<ExternalBackendSyncPolicy>(store, Query::new(Kind::ExternalBackendSyncPolicy)).await?;
        let policies: BTreeMap<String, Arc<ExternalBackendSyncPolicySpec>> = policies
            .into_iter()
            .map(|loaded| (loaded.object.name().to_owned(), Arc::new(loaded.object.spec)))
            .collect();
        for loaded in records::list::<ExternalBackendBinding>(store, Query::new(Kind::ExternalBackendBinding)).await? {
            let binding = loaded.object;
            let Some(backend) = binding.spec.provider_ref.as_ref().and_then(|name| config.backends.get(name)) else {
                continue;
            };
            let named = binding.spec.sync_policy_ref.as_ref().or(backend.object.spec.sync_policy_ref.as_ref());
            let policy = named.and_then(|name| policies.get(name)).cloned();
            let scope = Scope {
                backend: backend.clone(),
                policy_missing: named.is_some() && policy.is_none(),
                policy: policy
                    .unwrap_or_else(|| Arc::new(ExternalBackendSyncPolicySpec::new(&binding.spec.organization_ref))),
                binding: Arc::new(binding),
            };
            config.scopes.insert(scope.binding_name().to_owned(), scope);
        }
        Ok(config)
    }

    /// The provider of that name, where this build has its adapter.
    pub fn backend(&self, name: &str) -> Option<&Backend> {
        self.backends.get(name)
    }

    /// The binding of that name.
    pub fn scope(&self, binding: &str) -> Option<&Scope> {
        self.scopes.get(binding)
    }

    /// All bindings that aren't failed.
    pub fn scopes(&self) -> impl Iterator<Item = &Scope> {
        self.scopes.values().filter(|scope| {
            scope.binding.status.as_ref().is_none_or(|status| status.phase != ExternalBackendBindingPhase::Failed)
        })
    }

    /// The binding of a provider that is about this repository.
    pub fn scope_of(&self, provider: &str, repository: &RepositoryIdentity<'_>) -> Option<&Scope> {
        self.scopes().find(|scope| scope.provider() == provider && scope.names(repository))
    }

    /// The binding that syncs the objects of a local repository.
    pub fn scope_of_repository(&self, namespace: &str, repository: &str) -> Option<&Scope> {
        self.scopes().find(|scope| scope.namespace() == namespace && scope.repository() == Some(repository))
    }
}
