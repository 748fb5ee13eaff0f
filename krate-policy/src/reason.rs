//! Why a decision is what it is: one closed set of codes, each with its step and severity (permission-review.md section 3).

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use serde::{Serialize, Serializer};

/// How much a reason weighs, the heaviest first, as reasons of one step are sorted (P2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// A no that no approval lifts.
    Hard,
    /// A no that an approval can lift.
    Approval,
    /// To be read; changes nothing.
    Warning,
}

macro_rules! codes {
    ($($step:literal { $($code:ident $severity:ident)+ })+) => {
        /// Every code that a reason can have, in the order of the steps.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[non_exhaustive]
        pub enum Code {
            $($(#[doc = concat!("Step ", $step, ".")] $code,)+)+
        }

        impl Code {
            /// Every code.
            pub const ALL: &'static [Self] = &[$($(Self::$code,)+)+];

            /// The code as it stands in JSON.
            pub const fn as_str(self) -> &'static str {
                match self { $($(Self::$code => stringify!($code),)+)+ }
            }

            /// The step that gives it, 1 to 10.
            pub const fn step(self) -> u8 {
                match self { $($(Self::$code => $step,)+)+ }
            }

            /// What it weighs where nothing else is said; [`Code::UntrustedCause`] can be lifted in places (section 7).
            pub const fn severity(self) -> Severity {
                match self { $($(Self::$code => Severity::$severity,)+)+ }
            }
        }
    };
}

codes! {
    1 { InvalidRequest Hard SnapshotTooOld Hard OrganizationSuspended Hard }
    2 { CrossOrgDenied Hard }
    3 { UnknownSubject Hard SubjectSuspended Hard IdentityNotReady Hard StackNotReady Hard BrokenActorChain Hard DelegationDenied Hard }
    4 { ExplicitDeny Hard ModeForbidsWrite Hard WouldDeny Warning ExceptionApplied Warning BreakGlassUsed Warning }
    5 { CauseGone Hard CauseLoop Hard UntrustedCause Hard }
    6 {
        MissingRole Hard EscalationDenied Hard NativeRbacDenied Hard NativeRbacUnavailable Hard NativeRbacDrifted Hard
        ProviderPermissionMissing Hard
    }
    7 {
        MissingSecretGrant Hard MissingConfigGrant Hard GrantNotReady Hard GrantExpired Hard GrantRevoked Hard GrantExhausted Hard
        GrantScopeMismatch Hard SecretKeyMissing Hard MetadataUnavailable Hard ToolDenied Hard McpServerNotReady Hard
        SkillDenied Hard NetworkDenied Hard PathDenied Hard PoolDenied Hard MemoryScopeDenied Hard TargetDenied Hard
    }
    8 { BudgetExceeded Hard ConcurrencyExceeded Hard RateLimited Hard }
    9 {
        ApprovalRequired Approval QuorumNotMet Approval ApprovalStale Hard ApprovalExpired Hard ApprovalDenied Hard
        ApprovalUsed Hard ApproverNotAllowed Hard SelfApproval Hard
    }
    10 { StaleDecision Hard DecisionFailed Hard }
}

impl fmt::Display for Code {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        to.pad(self.as_str())
    }
}

impl Serialize for Code {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

/// One reason of a decision. Sorted by step, severity, code, field, name (P2).
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct Reason {
    /// What it is.
    pub code: Code,
    /// What it weighs.
    pub severity: Severity,
    /// The field of the request or of the grant that it is about; empty for the whole.
    #[serde(skip_serializing_if = "str::is_empty")]
    pub field: Cow<'static, str>,
    /// The rule or grant that decided, as `Kind/name`; empty where none did.
    #[serde(skip_serializing_if = "str::is_empty")]
    pub name: Arc<str>,
    /// For people.
    pub text: Cow<'static, str>,
}

impl Reason {
    /// A reason of that code's own severity.
    pub fn new(code: Code, field: impl Into<Cow<'static, str>>, text: impl Into<Cow<'static, str>>) -> Self {
        Self { code, severity: code.severity(), field: field.into(), name: Arc::default(), text: text.into() }
    }

    /// The same, with the rule or grant that decided.
    #[must_use]
    pub fn by(mut self, name: impl Into<Arc<str>>) -> Self {
        self.name = name.into();
        self
    }

    /// The same, to be lifted by an approval.
    #[must_use]
    pub const fn liftable(mut self) -> Self {
        self.severity = Severity::Approval;
        self
    }

    /// The same, to be read only.
    #[must_use]
    pub(crate) const fn warning(mut self) -> Self {
        self.severity = Severity::Warning;
        self
    }

    /// What reasons are sorted by (P2).
    pub(crate) fn order(&self) -> (u8, Severity, &'static str, &str, &str) {
        (self.code.step(), self.severity, self.code.as_str(), &self.field, &self.name)
    }
}
