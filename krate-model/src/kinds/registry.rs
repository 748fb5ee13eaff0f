//! The registry of kinds: name, plural, short name, context, storage class, scope, priority. Spec: resource-kinds.md sections 1 and 2.
//!
//! One row a kind. Names in RBAC, files, stores, references and CRDs are made from these rows and nowhere else.

use std::fmt;
use std::str::FromStr;

/// The API group of every kind.
pub const GROUP: &str = "krate.a5c.ai";
/// The API version of every kind.
pub const VERSION: &str = "v1alpha1";
/// Group and version, as `apiVersion` has them.
pub const API_VERSION: &str = "krate.a5c.ai/v1alpha1";
/// The group that an extension server serves Records under (R40); read as [`GROUP`].
pub const RECORDS_API_VERSION: &str = "records.krate.a5c.ai/v1alpha1";
/// Annotation of a binding: a new value asks for one complete backfill (S26).
pub const BACKFILL_REQUESTED: &str = "krate.a5c.ai/backfill-requested";
/// Annotation of an object that is deleted: a reason to wait for nothing at the provider (R21), of at least [`MIN_FORCE_REASON`] characters.
pub const FORCE_DELETE: &str = "krate.a5c.ai/force-delete";
/// The fewest characters of a reason in [`FORCE_DELETE`].
pub const MIN_FORCE_REASON: usize = 20;
/// Annotation that a controller sets on a projection whose binding is gone: the binding's name.
pub const ORPHANED_FROM: &str = "krate.a5c.ai/orphaned-from";
/// The finalizer that lets what was begun end before an object is gone (R21).
pub const SYNC_FINALIZER: &str = "krate.a5c.ai/sync";

/// Whether a text says enough to force a deletion (R21).
pub fn is_force_reason(text: &str) -> bool {
    text.trim().chars().count() >= MIN_FORCE_REASON
}

/// How a kind is stored (section 1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum StorageClass {
    /// Declarative, few, reviewed: a CRD in etcd.
    Config,
    /// Made by events, many: an embedded database or Postgres.
    Record,
}

/// In which namespaces a kind stands (section 1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Home {
    /// Only in the platform's namespace.
    Platform,
    /// Only in the namespace of its organization.
    Organization,
    /// In either.
    Either,
}

/// The bounded context of a kind, which is its CRD category too.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Context {
    /// Identity and organization.
    Identity,
    /// Repository and forge.
    Forge,
    /// Issues and pull requests.
    Work,
    /// CI.
    Ci,
    /// Hooks and events.
    Hooks,
    /// External backends.
    External,
    /// Policy and grants.
    Policy,
    /// Agents.
    Agents,
    /// Memory.
    Memory,
    /// Views.
    Ui,
}

impl Context {
    /// The CRD category, such as `krate-work`.
    pub const fn category(self) -> &'static str {
        match self {
            Self::Identity => "krate-identity",
            Self::Forge => "krate-forge",
            Self::Work => "krate-work",
            Self::Ci => "krate-ci",
            Self::Hooks => "krate-hooks",
            Self::External => "krate-external",
            Self::Policy => "krate-policy",
            Self::Agents => "krate-agents",
            Self::Memory => "krate-memory",
            Self::Ui => "krate-ui",
        }
    }
}

/// How far a kind is carried (section 2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Priority {
    /// The main job needs it.
    Core,
    /// Comes with the part that uses it.
    Full,
    /// Later.
    Later,
}

/// What is known of a kind before any of its fields.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct KindInfo {
    /// The kind, such as `PullRequest`.
    pub name: &'static str,
    /// The resource name in RBAC and paths, such as `pullrequests`.
    pub plural: &'static str,
    /// The short name, where it has one.
    pub short: Option<&'static str>,
    /// The bounded context.
    pub context: Context,
    /// How it is stored.
    pub class: StorageClass,
    /// Where it stands.
    pub home: Home,
    /// How far it is carried.
    pub priority: Priority,
    /// What it is for, in a few words.
    pub purpose: &'static str,
}

macro_rules! kinds {
    ($($name:ident $plural:literal $short:expr, $context:ident $class:ident $home:ident $priority:ident $purpose:literal;)+) => {
        /// Every kind of the specification, defined here already or not.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[non_exhaustive]
        #[repr(u8)]
        pub enum Kind {
            $(#[doc = $purpose] $name,)+
        }

        impl Kind {
            /// Every kind, in the order of the spec.
            pub const ALL: &'static [Self] = &[$(Self::$name),+];

            /// The kind of exactly that name.
            fn named(text: &str) -> Option<Self> {
                match text {
                    $(stringify!($name) => Some(Self::$name),)+
                    _ => None,
                }
            }

            /// What is known of the kind.
            pub const fn info(self) -> &'static KindInfo {
                match self {
                    $(Self::$name => &KindInfo {
                        name: stringify!($name), plural: $plural, short: $short, context: Context::$context,
                        class: StorageClass::$class, home: Home::$home, priority: Priority::$priority, purpose: $purpose,
                    },)+
                }
            }
        }
    };
}

#[rustfmt::skip]
kinds! {
    Organization "organizations" Some("org"), Identity Config Platform Core "tenant identity bound to a namespace";
    OrgNamespaceBinding "orgnamespacebindings" Some("onb"), Identity Config Platform Core "which namespace is which organization's, and what the platform lends it";
    OrgSharingPolicy "orgsharingpolicies" Some("osp"), Identity Config Organization Core "one side's consent to references across two organizations";
    User "users" Some("kuser"), Identity Config Organization Full "person: profile, state, linked identities";
    Team "teams" Some("kteam"), Identity Config Organization Full "members, maintainers, repository grants";
    IdentityMapping "identitymappings" Some("idm"), Identity Config Organization Full "person ⇄ provider account ⇄ sign-in subject";
    Invite "invites" None, Identity Config Organization Later "pending membership with expiry";
    AuthProvider "authproviders" None, Identity Config Organization Later "sign-in provider settings";
    Repository "repositories" Some("repo"), Forge Config Organization Core "repository identity, visibility, default branch, backend";
    SSHKey "sshkeys" None, Forge Config Organization Full "user, deploy or automation public key";
    RepositoryPermission "repositorypermissions" Some("rperm"), Forge Config Organization Full "one subject's permission on one repository";
    RefPolicy "refpolicies" Some("refpol"), Forge Config Organization Full "ref rules: deny, force push, signing, linear history";
    BranchProtection "branchprotections" Some("bprot"), Forge Config Organization Full "protected refs and what merging needs";
    AgentProject "agentprojects" Some("aprj"), Forge Config Organization Full "board or tracker project that groups issues";
    Issue "issues" None, Work Record Organization Core "work item";
    PullRequest "pullrequests" Some("pr"), Work Record Organization Core "change proposed for review";
    Review "reviews" None, Work Record Organization Core "verdict on a pull request at a commit";
    Comment "comments" None, Work Record Organization Core "one message on an issue, pull request or line";
    Pipeline "pipelines" Some("pl"), Ci Record Organization Core "one CI run";
    Job "jobs" None, Ci Record Organization Core "one job of a run; always written jobs.krate.a5c.ai";
    RunnerPool "runnerpools" Some("rpool"), Ci Config Organization Full "capacity, trust tier, allowed repositories, cache";
    WebhookSubscription "webhooksubscriptions" Some("whs"), Hooks Config Organization Later "outbound endpoint, filter, signing, retry";
    WebhookDelivery "webhookdeliveries" Some("whd"), Hooks Record Organization Later "one outbound delivery";
    AuditEvent "auditevents" Some("kaudit"), Hooks Record Either Core "who did what, when, why, with which outcome";
    ExternalBackendProvider "externalbackendproviders" Some("ebp"), External Config Organization Core "an external system instance with one credential set";
    ExternalBackendBinding "externalbackendbindings" Some("ebb"), External Config Organization Core "local target ⇄ external scope, per interface and mode";
    ExternalBackendSyncPolicy "externalbackendsyncpolicies" Some("ebsp"), External Config Organization Core "backfill, retry, write, conflict, storage policy";
    ExternalProviderCapabilityManifest "externalprovidercapabilitymanifests" Some("epcm"), External Config Either Core "what a provider type, or a discovered instance, can do";
    ExternalWebhookDelivery "externalwebhookdeliveries" Some("ewd"), External Record Organization Core "one inbound delivery and its processing";
    ExternalSyncEvent "externalsyncevents" Some("ese"), External Record Organization Core "one normalized provider event";
    ExternalSyncState "externalsyncstates" Some("ess"), External Record Organization Core "cursor, watermark and backfill of one scope";
    ExternalWriteIntent "externalwriteintents" Some("ewi"), External Record Organization Core "one wanted write at the provider";
    ExternalSyncConflict "externalsyncconflicts" Some("esc"), External Record Organization Core "one diverged field and its resolution";
    ExternalObjectLink "externalobjectlinks" Some("eol"), External Record Organization Core "native identity ⇄ local object, merge base, tombstone";
    PolicyProfile "policyprofiles" Some("pprof"), Policy Config Organization Full "organization posture, approvals, budgets, exceptions";
    PolicyTemplate "policytemplates" Some("ptmpl"), Policy Config Either Full "a rule with parameters and remediation";
    PolicyBinding "policybindings" Some("pbind"), Policy Config Organization Full "template → selector, audit or enforce";
    PolicyExceptionRequest "policyexceptionrequests" Some("pexc"), Policy Config Organization Full "temporary exception or break-glass, with approval";
    AgentServiceAccount "agentserviceaccounts" Some("asa"), Policy Config Organization Full "Kubernetes identity of an agent or runner";
    AgentRoleBinding "agentrolebindings" Some("arb"), Policy Config Organization Full "role of a subject, projected to native RBAC";
    AgentSecretGrant "agentsecretgrants" Some("asg"), Policy Config Organization Full "a subject may use keys of a Secret for a purpose";
    AgentConfigGrant "agentconfiggrants" Some("acg"), Policy Config Organization Full "the same for a ConfigMap";
    AgentCapabilityRequirement "agentcapabilityrequirements" Some("acr"), Policy Record Organization Full "computed needs of a stack, and what is missing";
    AgentApproval "agentapprovals" Some("aapp"), Policy Record Organization Core "a person's gate for one digest (write intents need it)";
    AgentStack "agentstacks" Some("as"), Agents Config Organization Full "reusable agent definition";
    AgentSubagent "agentsubagents" Some("asub"), Agents Config Organization Full "child agent with role, tools, scope";
    AgentToolProfile "agenttoolprofiles" Some("atp"), Agents Config Organization Full "tool, filesystem, network and approval policy";
    AgentMcpServer "agentmcpservers" Some("amcp"), Agents Config Organization Full "managed MCP endpoint, health, discovered tools";
    AgentSkill "agentskills" Some("ask"), Agents Config Organization Full "runbook with prompt fragments, needs, output contract";
    AgentTriggerRule "agenttriggerrules" Some("atr"), Agents Config Organization Full "event → stack routing";
    AgentContextLabel "agentcontextlabels" Some("acl"), Agents Config Organization Full "reviewed prompt fragment";
    AgentWorkspacePolicy "agentworkspacepolicies" Some("awp"), Agents Config Organization Full "how workspaces are made, kept, cleaned";
    AgentAdapter "agentadapters" Some("aad"), Agents Config Organization Full "runtime adapter and its capabilities";
    AgentTransportBinding "agenttransportbindings" Some("atb"), Agents Config Organization Full "connection of an adapter: endpoint, protocol, health";
    AgentProviderConfig "agentproviderconfigs" Some("apc"), Agents Config Organization Full "model provider: models, prices, limits";
    AgentGatewayConfig "agentgatewayconfigs" Some("agc"), Agents Config Organization Full "gateway address, authentication, reconnect";
    AgentTriggerEvent "agenttriggerevents" Some("atev"), Agents Record Organization Full "one event that may start agents, and why rules didn't";
    AgentTriggerExecution "agenttriggerexecutions" Some("ate"), Agents Record Organization Full "what one matching rule made of one event";
    AgentDispatchRun "agentdispatchruns" Some("adr"), Agents Record Organization Full "one piece of work wanted once";
    AgentDispatchAttempt "agentdispatchattempts" Some("ada"), Agents Record Organization Full "one try of a run, with snapshots and token";
    AgentSubagentRun "agentsubagentruns" Some("asr"), Agents Record Organization Full "one child of an attempt";
    AgentSession "agentsessions" Some("ases"), Agents Record Organization Full "runtime session bound to an attempt";
    AgentSessionTranscript "agentsessiontranscripts" Some("ast"), Agents Record Organization Full "one page of what was said";
    AgentSessionAttachment "agentsessionattachments" Some("asatt"), Agents Record Organization Full "file attached to a message";
    AgentContextBundle "agentcontextbundles" Some("acb"), Agents Record Organization Full "immutable context with provenance";
    AgentArtifact "agentartifacts" Some("aart"), Agents Record Organization Full "durable output by digest";
    AgentWriteBack "agentwritebacks" Some("awb"), Agents Record Organization Full "one artifact for one target by one action";
    AgentWorkspace "agentworkspaces" Some("aws"), Agents Record Organization Full "checkout with git state and ownership";
    AgentWorkspaceRuntime "agentworkspaceruntimes" Some("awrt"), Agents Record Organization Full "running surface of a workspace";
    WorkItemSessionLink "workitemsessionlinks" Some("wisl"), Agents Record Organization Full "issue or pull request ⇄ session";
    WorkItemWorkspaceLink "workitemworkspacelinks" Some("wiwl"), Agents Record Organization Full "issue or pull request ⇄ workspace";
    AgentMemoryRepository "agentmemoryrepositories" Some("amr"), Memory Config Organization Full "Git repository that holds the organization's knowledge";
    AgentMemorySource "agentmemorysources" Some("ams"), Memory Config Organization Full "who may read which paths and kinds";
    AgentMemoryOntology "agentmemoryontologies" Some("amo"), Memory Config Organization Full "vocabulary and required fields";
    AgentMemoryAssociation "agentmemoryassociations" Some("ama"), Memory Config Organization Full "memory record ⇄ resource";
    AgentMemorySnapshot "agentmemorysnapshots" Some("amsnap"), Memory Record Organization Full "memory pinned to a commit for a run";
    AgentMemoryQuery "agentmemoryqueries" Some("amq"), Memory Record Organization Full "one retrieval, its bounds and result digests";
    AgentMemoryUpdate "agentmemoryupdates" Some("amu"), Memory Record Organization Full "proposed change to memory";
    AgentRunMemoryImport "agentrunmemoryimports" Some("armi"), Memory Record Organization Full "curated import of a run's journal";
    AgentRunJournalEvent "agentrunjournalevents" Some("arje"), Memory Record Organization Full "one imported journal entry";
    View "views" None, Ui Config Organization Later "saved triage view";
    Selector "selectors" None, Ui Config Organization Later "reusable label or query selector";
}

/// Kinds that were considered and are refused, each with the way to go (section 2, R7).
pub const RESERVED: &[(&str, &str)] = &[
    ("AgentPersona", "AgentStack"),
    ("AgentSoul", "AgentStack"),
    ("AgentAppearance", "AgentStack"),
    ("AgentVoiceProfile", "AgentStack"),
    ("AgentDefinition", "AgentStack"),
    ("AgentProcessTemplate", "AgentTriggerRule"),
    ("AgentReviewArtifact", "AgentArtifact"),
    ("GitProvider", "ExternalBackendProvider"),
    ("CiProvider", "ExternalBackendProvider"),
    ("IssueTrackerProvider", "ExternalBackendProvider"),
    ("ExternalWebhookConfig", "ExternalBackendProvider"),
];

/// A text that names no kind.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{found:?} is no kind of {GROUP}{}", Hint(*.hint))]
pub struct NotAKind {
    /// What was found.
    pub found: Box<str>,
    /// The kind to use instead, or the nearest name.
    pub hint: Option<&'static str>,
}

struct Hint(Option<&'static str>);

impl fmt::Display for Hint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.map_or(Ok(()), |hint| write!(f, "; use {hint}"))
    }
}

impl Kind {
    /// The kind's name, such as `PullRequest`.
    pub const fn as_str(self) -> &'static str {
        self.info().name
    }

    /// The kind that a person means by `text`: its name, plural, singular or short name, in any case.
    ///
    /// ```
    /// use krate_model::Kind;
    /// assert_eq!(Kind::lookup("pr"), Some(Kind::PullRequest));
    /// assert_eq!(Kind::lookup("PullRequests"), Some(Kind::PullRequest));
    /// ```
    pub fn lookup(text: &str) -> Option<Self> {
        let text = text.strip_suffix(".krate.a5c.ai").unwrap_or(text);
        Self::ALL.iter().copied().find(|kind| {
            let info = kind.info();
            text.eq_ignore_ascii_case(info.name)
                || text.eq_ignore_ascii_case(info.plural)
                || info.short.is_some_and(|short| text.eq_ignore_ascii_case(short))
        })
    }
}

impl serde::Serialize for Kind {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl FromStr for Kind {
    type Err = NotAKind;
    fn from_str(text: &str) -> Result<Self, NotAKind> {
        Self::named(text).ok_or_else(|| NotAKind {
            found: text.into(),
            hint: RESERVED
                .iter()
                .find(|(reserved, _)| *reserved == text)
                .map(|(_, instead)| *instead)
                .or_else(|| Self::lookup(text).map(Self::as_str)),
        })
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn r7_a_reserved_kind_is_refused_with_the_way_to_go() {
        let error = "GitProvider".parse::<Kind>().unwrap_err();
        assert_eq!(error.to_string(), "\"GitProvider\" is no kind of krate.a5c.ai; use ExternalBackendProvider");
        assert_eq!("issue".parse::<Kind>().unwrap_err().hint, Some("Issue"));
        assert_eq!("Nonsense".parse::<Kind>().unwrap_err().hint, None);
    }

    #[test]
    fn names_plurals_and_short_names_are_unique_together() {
        let mut seen = BTreeSet::new();
        for kind in Kind::ALL {
            let info = kind.info();
            let singular = info.name.to_lowercase();
            for name in [Some(singular.as_str()), Some(info.plural), info.short].into_iter().flatten() {
                assert!(seen.insert(name.to_owned()), "{name} stands twice");
            }
        }
        assert_eq!(Kind::ALL.len(), 82);
    }
}
