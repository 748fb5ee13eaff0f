//! What a document is judged beside: the other documents, and the built-in manifests among them. Spec: resource-kinds.md R31, R32.

use std::collections::BTreeMap;

use serde_json::Value;

use super::path::text;
use crate::Kind;

/// The namespace that Organization, OrgNamespaceBinding and built-in manifests stand in, unless the installation says otherwise.
pub const DEFAULT_PLATFORM_NAMESPACE: &str = "krate-system";
/// The namespace of the Secrets and ConfigMaps that the platform lends (R10), unless the installation says otherwise.
pub const DEFAULT_SECRET_NAMESPACE: &str = "krate-secrets";

/// The documents that a document is judged beside.
///
/// A complete view holds all there is: what is not in it does not exist. A partial one (files without a server) can only say that it
/// doesn't know (R31).
#[derive(Debug, Clone)]
pub struct View {
    objects: BTreeMap<(Kind, String, String), Value>,
    is_complete: bool,
    platform_namespace: String,
    secret_namespace: String,
}

impl View {
    /// A view of a whole store.
    pub fn complete(documents: impl IntoIterator<Item = Value>) -> Self {
        Self::of(documents, true)
    }

    /// A view of some documents, such as those of the files given.
    pub fn partial(documents: impl IntoIterator<Item = Value>) -> Self {
        Self::of(documents, false)
    }

    fn of(documents: impl IntoIterator<Item = Value>, is_complete: bool) -> Self {
        let mut view = Self {
            objects: BTreeMap::new(),
            is_complete,
            platform_namespace: DEFAULT_PLATFORM_NAMESPACE.to_owned(),
            secret_namespace: DEFAULT_SECRET_NAMESPACE.to_owned(),
        };
        documents.into_iter().for_each(|document| view.insert(document));
        view
    }

    /// The same documents in an installation whose platform uses these namespaces.
    #[must_use]
    pub fn in_namespaces(mut self, platform: impl Into<String>, secrets: impl Into<String>) -> Self {
        self.platform_namespace = platform.into();
        self.secret_namespace = secrets.into();
        self
    }

    /// Adds a document, or replaces the one of the same kind, namespace and name. One without kind or name is left out.
    pub fn insert(&mut self, document: Value) {
        if let Some((kind, namespace, name)) = identity(&document) {
            self.objects.insert((kind, namespace.to_owned(), name.to_owned()), document);
        }
    }

    /// The document of that kind, namespace and name.
    pub fn get(&self, kind: Kind, namespace: &str, name: &str) -> Option<&Value> {
        self.objects.get(&(kind, namespace.to_owned(), name.to_owned()))
    }

    /// Every document of a kind, by namespace and name.
    pub fn of_kind(&self, kind: Kind) -> impl Iterator<Item = &Value> {
        self.objects
            .range((kind, String::new(), String::new())..)
            .take_while(move |(key, _)| key.0 == kind)
            .map(|(_, v)| v)
    }

    /// Every document, by kind, namespace and name.
    pub fn iter(&self) -> impl Iterator<Item = &Value> {
        self.objects.values()
    }

    /// Whether what is not here does not exist.
    pub fn is_complete(&self) -> bool {
        self.is_complete
    }

    /// The platform's namespace.
    pub fn platform_namespace(&self) -> &str {
        &self.platform_namespace
    }

    /// The namespace of what the platform lends.
    pub fn secret_namespace(&self) -> &str {
        &self.secret_namespace
    }

    /// The organization of that name.
    pub(super) fn organization(&self, name: &str) -> Option<&Value> {
        self.get(Kind::Organization, &self.platform_namespace, name)
    }

    /// The documents of a kind that are not the one of that namespace and name.
    pub(super) fn others<'v>(
        &'v self,
        kind: Kind,
        namespace: &'v str,
        name: &'v str,
    ) -> impl Iterator<Item = &'v Value> {
        self.of_kind(kind).filter(move |other| {
            text(other, "metadata.namespace") != Some(namespace) || text(other, "metadata.name") != Some(name)
        })
    }

    /// The built-in manifests.
    pub(super) fn built_in_manifests(&self) -> impl Iterator<Item = &Value> {
        self.of_kind(Kind::ExternalProviderCapabilityManifest)
            .filter(|manifest| text(manifest, "spec.source") == Some("builtin"))
    }

    /// The manifest that a provider works by: the built-in one of its type, or for `custom` the one beside it with its `adapterRef`.
    pub(super) fn manifest_of(&self, provider: &Value) -> Option<&Value> {
        let provider_type = text(provider, "spec.providerType")?;
        if provider_type != "custom" {
            return self
                .built_in_manifests()
                .find(|manifest| text(manifest, "spec.providerType") == Some(provider_type));
        }
        let (namespace, adapter) = (text(provider, "metadata.namespace"), text(provider, "spec.adapterRef")?);
        self.of_kind(Kind::ExternalProviderCapabilityManifest).find(|manifest| {
            text(manifest, "metadata.namespace") == namespace
                && text(manifest, "spec.source") == Some("declared")
                && text(manifest, "spec.adapterRef") == Some(adapter)
        })
    }
}

/// Kind, namespace and name of a document.
pub(super) fn identity(document: &Value) -> Option<(Kind, &str, &str)> {
    let kind = text(document, "kind")?.parse().ok()?;
    Some((kind, text(document, "metadata.namespace").unwrap_or_default(), text(document, "metadata.name")?))
}
