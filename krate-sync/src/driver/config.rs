//! Providers, bindings and policies as the store holds them, ready to be asked.

use std::any::Any;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};

use krate_model::kinds::external::{
    BindingTargetKind, ExternalBackendBinding, ExternalBackendBindingPhase, ExternalBackendProvider,
    ExternalBackendSyncPolicy, ExternalBackendSyncPolicySpec,
};
use krate_model::kinds::identity::Organization;
use krate_model::kinds::sets::Interface;
use krate_model::kinds::shared::Time;
use krate_model::observation::RepositoryIdentity;
use krate_model::store::{Key, Query, Revision, Store};
use krate_model::{Kind, Resource};
use krate_providers::registry;
use serde::Deserialize;

use crate::machines::binding::is_going;
use crate::records::{self, RecordError};
use crate::scope::{Backend, Scope};
use crate::sharing::{Found, Parts, Refusal, Sharing, judge};

/// A snapshot of the configuration.
#[derive(Clone, Default)]
pub struct Config {
    backends: BTreeMap<String, Backend>,
    scopes: BTreeMap<String, Scope>,
    /// The namespaces of each provider's bindings.
    tenants: BTreeMap<String, BTreeSet<String>>,
    /// Names of bindings by their provider and the id of the repository that they are bound to.
    by_id: BTreeMap<(String, String), Vec<String>>,
    refused: Vec<(Arc<ExternalBackendBinding>, Refusal)>,
    damaged: Vec<RecordError>,
}

/// Objects by namespace and name.
type ByKey<T> = BTreeMap<(String, String), T>;

/// The objects of the configuration as they were read last. They are read far more often than they change, and a revision names one state of one object.
#[derive(Default)]
pub(crate) struct Known(Mutex<Objects>);

type Objects = BTreeMap<Key, (Revision, Arc<dyn Any + Send + Sync>)>;

/// What every object says about whose it is.
#[derive(Deserialize)]
struct Owned {
    spec: OwnedSpec,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct OwnedSpec {
    #[serde(default)]
    organization_ref: String,
}

/// Reads a configuration: of what was read before, only what has changed since.
struct Reader<'a> {
    store: &'a dyn Store,
    before: Objects,
    now: Objects,
    damaged: Vec<RecordError>,
}

impl Reader<'_> {
    /// The objects of a kind, the oldest first: of two with one name the older one is known by it. One that can't be read is left out, so that it stops what needs
    /// it and nothing else (S46).
    async fn oldest_first<T: Resource + Send + Sync + 'static>(&mut self) -> Result<Vec<Arc<T>>, RecordError> {
        let mut all = Vec::new();
        for stored in records::list_stored(self.store, Query::new(T::KIND)).await? {
            let same = |(revision, object): (Revision, Arc<dyn Any + Send + Sync>)| {
                if revision == stored.revision { object.downcast::<T>().ok() } else { None }
            };
            let object = match self.before.remove(&stored.key).and_then(same) {
                Some(object) => object,
                None => match records::parse::<T>(&stored) {
                    Ok(loaded) => Arc::new(loaded.object),
                    // Whose namespace is whose, nobody knows then: nothing may be used (S3).
                    Err(error) if T::KIND == Kind::Organization => return Err(error),
                    Err(error) => {
                        self.damaged.push(error);
                        continue;
                    }
                },
            };
            self.now.insert(stored.key, (stored.revision, Arc::clone(&object) as _));
            all.push(object);
        }
        all.sort_by_cached_key(|object| {
            let made = object.metadata().creation_timestamp.as_ref().map(krate_model::condition::from_kube_time);
            (made, object.namespace().to_owned())
        });
        Ok(all)
    }
}

impl Config {
    /// Reads the configuration. A binding that may not be used now is no scope of it: nothing is asked of a provider in its name (S3).
    ///
    /// # Errors
    /// [`RecordError`] when the store fails, or an organization can't be read. What else can't be read is left out ([`Self::damaged`]).
    pub async fn load(store: &dyn Store, now: Time) -> Result<Self, RecordError> {
        Self::load_again(store, now, &Known::default()).await
    }

    /// The same, where some of it may be known already.
    pub(crate) async fn load_again(store: &dyn Store, now: Time, known: &Known) -> Result<Self, RecordError> {
        let before = std::mem::take(&mut *known.0.lock().unwrap_or_else(PoisonError::into_inner));
        let mut reader = Reader { store, before, now: Objects::new(), damaged: Vec::new() };
        let mut config = Self::read(&mut reader, now).await?;
        config.damaged = reader.damaged;
        *known.0.lock().unwrap_or_else(PoisonError::into_inner) = reader.now;
        Ok(config)
    }

    async fn read(reader: &mut Reader<'_>, now: Time) -> Result<Self, RecordError> {
        let mut config = Self::default();
        let sharing = Sharing::new(&reader.oldest_first::<Organization>().await?, reader.oldest_first().await?);
        let mut providers: ByKey<Backend> = ByKey::new();
        for object in reader.oldest_first::<ExternalBackendProvider>().await? {
            if config.backends.contains_key(object.name()) {
                continue;
            }
            if let Some(adapter) = registry::provider(&object.spec.provider_type) {
                let (namespace, name) = (object.namespace().to_owned(), object.name().to_owned());
                let backend = Backend { object, adapter };
                providers.insert((namespace, name.clone()), backend.clone());
                config.backends.insert(name, backend);
            }
        }
        let policies: ByKey<Arc<ExternalBackendSyncPolicy>> = reader
            .oldest_first::<ExternalBackendSyncPolicy>()
            .await?
            .into_iter()
            .map(|policy| ((policy.namespace().to_owned(), policy.name().to_owned()), policy))
            .collect();
        for binding in reader.oldest_first::<ExternalBackendBinding>().await? {
            let owner = owner_of_target(reader.store, &binding).await?;
            let scope = if config.scopes.contains_key(binding.name()) {
                Err(Refusal::NameTaken { kind: Kind::ExternalBackendBinding, name: binding.name().to_owned() })
            } else {
                scope_of(&binding, owner.as_deref(), &providers, &policies, &sharing, now)
            };
            match scope {
                Ok(scope) => {
                    if let Some(target) = scope.target() {
                        let id = (scope.backend.object.name().to_owned(), target.native_id.clone());
                        config.by_id.entry(id).or_default().push(scope.binding_name().to_owned());
                    }
                    let tenants = config.tenants.entry(scope.backend.object.name().to_owned()).or_default();
                    if !tenants.contains(scope.namespace()) {
                        tenants.insert(scope.namespace().to_owned());
                    }
                    config.scopes.insert(scope.binding_name().to_owned(), scope);
                }
                Err(refusal) => config.refused.push((binding, refusal)),
            }
        }
        Ok(config)
    }

    /// The provider of that name, where this build has its adapter.
    pub fn backend(&self, name: &str) -> Option<&Backend> {
        self.backends.get(name)
    }

    /// All providers.
    pub fn backends(&self) -> impl Iterator<Item = &Backend> {
        self.backends.values()
    }

    /// The binding of that name in that namespace: who has the same name elsewhere is another organization's (S3).
    pub fn scope(&self, namespace: &str, binding: &str) -> Option<&Scope> {
        self.scopes.get(binding).filter(|scope| scope.namespace() == namespace)
    }

    /// All bindings that aren't failed or deleted.
    pub fn scopes(&self) -> impl Iterator<Item = &Scope> {
        self.all_scopes().filter(|scope| scope.phase() != ExternalBackendBindingPhase::Failed && !scope.is_going())
    }

    /// The bindings that are deleted and still there (R21), those that may not be used as well.
    pub(crate) fn going(&self) -> impl Iterator<Item = &ExternalBackendBinding> {
        let all =
            self.scopes.values().map(|scope| &scope.binding).chain(self.refused.iter().map(|(binding, _)| binding));
        all.map(AsRef::as_ref).filter(|binding| is_going(binding))
    }

    /// The namespaces of everything that may be due.
    pub(crate) fn namespaces(&self) -> BTreeSet<&str> {
        let bindings = self.scopes.values().map(Scope::namespace);
        bindings.chain(self.backends.values().map(|backend| backend.object.namespace())).collect()
    }

    /// Who shares each provider: the namespaces of its bindings.
    pub(crate) fn tenants(&self) -> impl Iterator<Item = (&str, &BTreeSet<String>)> {
        self.tenants.iter().map(|(provider, tenants)| (provider.as_str(), tenants))
    }

    /// All bindings that may be used, failed ones as well.
    pub(crate) fn all_scopes(&self) -> impl Iterator<Item = &Scope> {
        self.scopes.values()
    }

    /// The bindings that may not be used, each with why.
    pub fn refused(&self) -> impl Iterator<Item = (&ExternalBackendBinding, &Refusal)> {
        self.refused.iter().map(|(binding, refusal)| (binding.as_ref(), refusal))
    }

    /// The binding of a provider that syncs this interface of this repository: by the repository's id, and by its name only where the binding's id isn't
    /// known yet. Whoever takes the name of a bound repository isn't taken for it.
    pub fn scope_of(
        &self,
        provider: &str,
        repository: &RepositoryIdentity<'_>,
        interface: &Interface,
    ) -> Option<&Scope> {
        let syncs = |scope: &&Scope| {
            scope.phase() != ExternalBackendBindingPhase::Failed && scope.interface(interface).is_some()
        };
        let id = (provider.to_owned(), repository.id.to_string());
        let mut known = self.by_id.get(&id).into_iter().flatten().filter_map(|name| self.scopes.get(name));
        known.find(syncs).or_else(|| {
            self.scopes().filter(syncs).find(|scope| {
                scope.target().is_none() && scope.backend.object.name() == provider && scope.names(repository)
            })
        })
    }

    /// The binding that syncs an interface of a local repository: each interface may have another one (S52).
    pub fn scope_of_repository(&self, namespace: &str, repository: &str, interface: &Interface) -> Option<&Scope> {
        let is_there = |scope: &&Scope| scope.namespace() == namespace && scope.repository() == Some(repository);
        let usable = self.all_scopes().filter(|scope| !scope.is_going());
        usable.filter(is_there).find(|scope| scope.interface(interface).is_some())
    }

    /// What of the configuration can't be read, and is left out.
    pub fn damaged(&self) -> impl Iterator<Item = &RecordError> {
        self.damaged.iter()
    }

    /// Whether there is a binding of that name in that namespace which can't be read.
    pub(crate) fn is_damaged(&self, namespace: &str, binding: &str) -> bool {
        let at = Key::new(Kind::ExternalBackendBinding, namespace, binding);
        self.damaged.iter().any(|error| matches!(error, RecordError::Damaged { key, .. } if *key == at))
    }

    /// Why the binding of that name in that namespace may not be used now, where it may not.
    pub(crate) fn why_refused(&self, namespace: &str, binding: &str) -> Option<&Refusal> {
        let mut refused = self.refused.iter();
        refused.find(|(it, _)| it.namespace() == namespace && it.name() == binding).map(|(_, why)| why)
    }

    /// The binding that would sync an interface of a local repository, and may not be used now.
    pub(crate) fn refused_of_repository(
        &self,
        namespace: &str,
        repository: &str,
        interface: &Interface,
    ) -> Option<&str> {
        let syncs = |binding: &ExternalBackendBinding| {
            let target = &binding.spec.target_ref;
            let is_target = target.kind == BindingTargetKind::Repository && target.name == repository;
            let mut enabled = binding.spec.interfaces.iter().filter(|it| it.enabled);
            binding.namespace() == namespace && is_target && enabled.any(|it| it.name == *interface)
        };
        self.refused.iter().map(|(binding, _)| binding.as_ref()).find(|binding| syncs(binding)).map(Resource::name)
    }
}

/// The organization of a binding's target, where the target is there. An organization is its own.
async fn owner_of_target(store: &dyn Store, binding: &ExternalBackendBinding) -> Result<Option<String>, RecordError> {
    let target = &binding.spec.target_ref;
    let Some(kind) = target_kind(binding).filter(|kind| *kind != Kind::Organization) else { return Ok(None) };
    let Some(stored) = store.get(&Key::new(kind, binding.namespace(), target.name.as_str())).await? else {
        return Ok(None);
    };
    // What can't be read belongs to nobody, and so not to the binding's organization.
    let owned = serde_json::from_slice::<Owned>(&stored.body).map(|owned| owned.spec.organization_ref);
    Ok(Some(owned.unwrap_or_default()))
}

fn target_kind(binding: &ExternalBackendBinding) -> Option<Kind> {
    binding.spec.target_ref.kind.as_str().parse().ok()
}

/// The binding with its parts, where it may be used.
fn scope_of(
    binding: &Arc<ExternalBackendBinding>,
    target_owner: Option<&str>,
    providers: &ByKey<Backend>,
    policies: &ByKey<Arc<ExternalBackendSyncPolicy>>,
    sharing: &Sharing,
    now: Time,
) -> Result<Scope, Refusal> {
    let spec = &binding.spec;
    let own = binding.namespace();
    let not_found = |path, part, name: &str| Refusal::NotFound { path, part, name: name.to_owned() };
    let home = |organization: &str| sharing.namespace(organization).unwrap_or_default().to_owned();
    let shared = spec.shared_provider_ref.as_ref().filter(|it| it.kind == Kind::ExternalBackendProvider.as_str());
    let (path, at) = match (&spec.provider_ref, shared) {
        (Some(name), _) => ("spec.providerRef", (own.to_owned(), name.clone())),
        (None, Some(shared)) => ("spec.sharedProviderRef", (home(&shared.organization), shared.name.clone())),
        (None, None) => return Err(not_found("spec.providerRef", "provider", "")),
    };
    let backend = providers.get(&at).ok_or_else(|| not_found(path, "provider", &at.1))?;
    let shared_policy =
        spec.shared_sync_policy_ref.as_ref().filter(|it| it.kind == Kind::ExternalBackendSyncPolicy.as_str());
    // The binding's own, then the provider's, which lies where the provider does.
    let named = match (&spec.sync_policy_ref, shared_policy) {
        (Some(name), _) => Some((own.to_owned(), name.clone())),
        (None, Some(shared)) => Some((home(&shared.organization), shared.name.clone())),
        (None, None) => {
            let name = backend.object.spec.sync_policy_ref.clone();
            name.map(|name| (backend.object.namespace().to_owned(), name))
        }
    };
    let policy = named.as_ref().and_then(|at| policies.get(at));
    let target = target_owner.zip(target_kind(binding)).map(|(organization, kind)| Found {
        kind,
        namespace: own,
        name: &spec.target_ref.name,
        organization,
        labels: None,
    });
    let found_policy = policy.map(|policy| Found::of(policy.as_ref(), &policy.spec.organization_ref));
    judge(binding, &Parts { target, provider: &backend.object, policy: found_policy }, sharing, now)?;
    let policy =
        policy.map_or_else(|| ExternalBackendSyncPolicySpec::new(&spec.organization_ref), |it| it.spec.clone());
    Ok(Scope {
        backend: backend.clone(),
        provider: match shared {
            Some(shared) if spec.provider_ref.is_none() => format!("{}/{}", shared.organization, shared.name),
            _ => backend.object.name().to_owned(),
        },
        missing_policy: named.filter(|at| !policies.contains_key(at)).map(|(_, name)| name),
        policy: Arc::new(policy),
        binding: Arc::clone(binding),
    })
}
