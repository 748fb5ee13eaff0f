//! External backends: providers, bindings, policies, manifests, deliveries, events, sync states, intents, conflicts, links.
//! Spec: resource-kinds.md section 4 "External backends", external-sync.md.
//!
//! The phases of each kind are declared here; what moves between them is `krate-sync`'s.

// `KubeSchema` repeats each spec inside a function, where `pub` reaches nobody.
#![allow(unreachable_pub)]

mod binding;
mod conflict;
mod delivery;
mod event;
mod intent;
mod link;
mod manifest;
mod policy;
mod provider;
mod state;

pub use super::payload::{
    BodyText, Changes, Close, Labels, Merge, NewIssue, NewLineComment, NewPullRequest, NewReview, Nothing, Payload,
};
pub use binding::{
    BindingFilter, BindingInterface, BindingInterfaceStatus, BindingTarget, BindingTargetKind, BoundTarget,
    DeletionPolicy, DeliveryLogStatus, ExternalBackendBinding, ExternalBackendBindingPhase, ExternalBackendBindingSpec,
    ExternalBackendBindingStatus, FieldOverride, HookStatus, KindOverride, LostWindow, RefValue,
};
pub use conflict::{
    ExternalSyncConflict, ExternalSyncConflictPhase, ExternalSyncConflictSpec, ExternalSyncConflictStatus, Resolution,
    SeenVersions, SupersededReason,
};
pub use delivery::{
    DeliveryOutcome, Disposition, DispositionAct, ExternalWebhookDelivery, ExternalWebhookDeliveryPhase,
    ExternalWebhookDeliverySpec, ExternalWebhookDeliveryStatus, SignatureRecord,
};
pub use event::{ExternalSyncEvent, ExternalSyncEventPhase, ExternalSyncEventSpec, ExternalSyncEventStatus};
pub use intent::{
    Confirmation, ConfirmedBy, ExternalWriteIntent, ExternalWriteIntentPhase, ExternalWriteIntentSpec,
    ExternalWriteIntentStatus, IntentApproval, IntentApprovalPolicy, IntentCancel, IntentCredential, IntentResponse,
    IntentSource, IntentSourceKind, IntentWarning, WarningCode,
};
pub use link::{
    BaseField, ExternalObjectLink, ExternalObjectLinkPhase, ExternalObjectLinkSpec, ExternalObjectLinkStatus,
    NativeIdentity, OwnWrite, OwnWriteField, Tombstone, TombstoneReason, numbered_index,
};
pub use manifest::{
    ApiSupport, AuthModeSpec, CredentialKey, ExternalProviderCapabilityManifest,
    ExternalProviderCapabilityManifestPhase, ExternalProviderCapabilityManifestSpec,
    ExternalProviderCapabilityManifestStatus, ExternalRefKey, IdentitySpec, ManifestInterface, ManifestOperation,
    ManifestSource, ManifestWebhook, Paging, RateLimitKind, RateLimitModel, RateLimitScope,
};
pub use policy::{
    AgentVerdicts, BackfillPolicy, ConflictPolicy, ExternalBackendSyncPolicy, ExternalBackendSyncPolicyPhase,
    ExternalBackendSyncPolicySpec, ExternalBackendSyncPolicyStatus, FieldConflictPolicy, LossyWrites, RawPayload,
    RetryPolicy, StoragePolicy, TrustedAgent, WritePolicy,
};
pub use provider::{
    AccountId, AuthRef, Capabilities, ExternalBackendProvider, ExternalBackendProviderPhase,
    ExternalBackendProviderSpec, ExternalBackendProviderStatus, Installation, LastDelivery, ManifestRef,
    ProviderInterfaceStatus, ProviderRateLimit, ProviderTls, ProviderWebhook, RateLimitStatus, WebhookSecretRef,
    WebhookTrust,
};
pub use state::{
    BackfillMode, ExternalSyncState, ExternalSyncStatePhase, ExternalSyncStateSpec, ExternalSyncStateStatus,
};
