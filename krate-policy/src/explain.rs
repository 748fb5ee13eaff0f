//! A decision as a person would say it (P46), from the decision alone: what it is, why, what each step came to, and what would change it.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use crate::decision::{Decision, Outcome};
use crate::reason::{Code, Severity};
use crate::request::{Action, Request};

/// The steps of the review, in order (section 3).
const STEPS: [(u8, &str); 10] = [
    (1, "1 shape of the request"),
    (2, "2 organization"),
    (3, "3 identity"),
    (4, "4 explicit denials"),
    (5, "5 cause"),
    (6, "6 role"),
    (7, "7 needs"),
    (8, "8 limits"),
    (9, "9 approvals"),
    (10, "10 result"),
];
/// Bytes that most explanations fit in.
const USUAL_LENGTH: usize = 512;
/// A hard block up to here hides what the later steps would say (P52).
const LAST_HIDING_STEP: u8 = 3;

/// A sentence for the outcome, a line for each reason and for what gave what was needed, what each step came to, and what would change the outcome, the
/// smallest change first.
pub fn explain(request: &Request, decision: &Decision) -> String {
    let mut text = String::with_capacity(USUAL_LENGTH);
    let (may, end) = match (decision.outcome, &decision.by) {
        (Outcome::Allowed, Some(by)) => (" may ", [": ", by, " allows it.\n"]),
        (Outcome::Allowed, None) => (" may ", [".\n", "", ""]),
        (Outcome::RequiresApproval, _) => (" may ", [" once a person has agreed.\n", "", ""]),
        (Outcome::Denied, _) => (" may not ", [".\n", "", ""]),
    };
    let (who, Action { verb, kind, .. }) = (&request.subject.name, &request.action);
    text.extend([who, may, verb.as_str(), " ", kind].into_iter().chain(end));
    for reason in &decision.reasons {
        // Writing to a String can't fail.
        let _ = write!(text, "- step {}, {}: {} {}", reason.code.step(), reason.code, reason.field, reason.text);
        if !reason.name.is_empty() {
            text.extend([" (", &reason.name, ")"]);
        }
        text.push('\n');
    }
    for need in &decision.per_need {
        if let (Outcome::Allowed, Some(by)) = (need.outcome, &need.by) {
            text.extend(["- ", by, " gives what is needed\n"]);
        }
    }
    trust(&mut text, decision);
    steps(&mut text, decision);
    looked_at(&mut text, decision);
    changes(&mut text, decision);
    for missing in &decision.missing_grants {
        let _ = writeln!(text, "This grant would help, and gives no more than is asked:\n{}", missing.suggested);
    }
    text
}

/// How far the causes are trusted, and what brought them down to that.
fn trust(text: &mut String, decision: &Decision) {
    let Some(trust) = &decision.trust else { return };
    let fork = if trust.fork { ", from a fork" } else { "" };
    text.extend(["Trust: ", trust.gate.as_str(), " started it, ", trust.steering.as_str(), " steers it", fork]);
    for (at, because) in trust.because.iter().enumerate() {
        let _ = write!(text, "{}{because}", if at == 0 { ": " } else { ", " });
    }
    text.push_str(".\n");
}

/// The rules that were looked at: all that decided, by name.
fn looked_at(text: &mut String, decision: &Decision) {
    for (at, version) in decision.versions.iter().enumerate() {
        text.extend([if at == 0 { "Looked at: " } else { ", " }, &version.name]);
    }
    if !decision.versions.is_empty() {
        text.push_str(".\n");
    }
}

/// What each step came to, in one line.
fn steps(text: &mut String, decision: &Decision) {
    let hard = |step: u8| {
        decision.reasons.iter().any(|reason| reason.code.step() == step && reason.severity == Severity::Hard)
    };
    let hiding = (1..=LAST_HIDING_STEP).find(|step| hard(*step));
    for (step, name) in STEPS {
        let of_step = || decision.reasons.iter().filter(move |reason| reason.code.step() == step);
        let result = match of_step().map(|reason| reason.severity).min() {
            _ if hiding.is_some_and(|hiding| step > hiding) && step < 10 => "not looked at",
            Some(Severity::Hard) => "no",
            Some(Severity::Approval) => "asks for a person",
            Some(Severity::Warning) => "warns",
            None => "in order",
        };
        let before = if step == 1 { "Steps: " } else { "; " };
        text.extend([before, name, ": ", result]);
    }
    text.push_str(".\n");
}

/// What would change the outcome, the smallest change first. Only together do they make it a yes.
fn changes(text: &mut String, decision: &Decision) {
    if decision.outcome == Outcome::Allowed {
        return;
    }
    let mut all: BTreeSet<(u8, String)> = BTreeSet::new();
    for reason in decision.reasons.iter().filter(|reason| reason.severity != Severity::Warning) {
        let about = if reason.name.is_empty() { reason.field.to_string() } else { reason.name.to_string() };
        let (size, what) = remedy(reason.code);
        all.insert((size, what.replace("{}", &about)));
    }
    for approval in &decision.required_approvals {
        all.insert((0, format!("an approval of class {}, which {} asks for", approval.class, approval.by)));
    }
    let all: Vec<String> = all.into_iter().map(|(_, what)| what).collect();
    if !all.is_empty() {
        let _ = writeln!(text, "What would change it, the smallest first: {}.", all.join("; "));
    }
}

/// What changes a reason, and how much of a change that is: 0 a person's answer, 1 another request, 2 a grant, 3 a state of things, 4 a role or policy.
const fn remedy(code: Code) -> (u8, &'static str) {
    match code {
        Code::ApprovalRequired | Code::QuorumNotMet => (0, "the answer of more persons"),
        Code::ApprovalStale | Code::ApprovalExpired | Code::ApprovalUsed | Code::ApprovalDenied => {
            (0, "another approval, of exactly this")
        }
        Code::ApproverNotAllowed | Code::SelfApproval => (0, "the answer of somebody else, who could do it themselves"),
        Code::InvalidRequest => (1, "a request whose {} is as it has to be"),
        Code::SnapshotTooOld | Code::StaleDecision => (1, "asking again"),
        Code::BrokenActorChain | Code::DelegationDenied => {
            (1, "a chain in which each acts for the next, and ends at a person")
        }
        Code::CauseGone | Code::CauseLoop => (1, "a person who asks again"),
        Code::MissingSecretGrant | Code::MissingConfigGrant => (2, "a grant of what is missing"),
        Code::GrantScopeMismatch | Code::GrantExpired | Code::GrantExhausted | Code::GrantRevoked => {
            (2, "another grant than {}, or a wider one")
        }
        Code::GrantNotReady | Code::SecretKeyMissing | Code::MetadataUnavailable => {
            (3, "the target of {} with its keys")
        }
        Code::SubjectSuspended | Code::IdentityNotReady | Code::StackNotReady | Code::McpServerNotReady => {
            (3, "{} active and Ready")
        }
        Code::BudgetExceeded | Code::ConcurrencyExceeded | Code::RateLimited => (3, "waiting, or a higher limit"),
        Code::NativeRbacUnavailable => (1, "a fresh answer of Kubernetes"),
        Code::OrganizationSuspended => (3, "the organization in work again"),
        Code::ToolDenied | Code::NetworkDenied | Code::PathDenied => (4, "a tool profile that has it"),
        Code::SkillDenied | Code::PoolDenied | Code::MemoryScopeDenied | Code::TargetDenied => {
            (4, "a stack, and a rule, that list it")
        }
        Code::UntrustedCause => (4, "a cause that a member started, and nobody below steers"),
        Code::ExplicitDeny => (4, "an exception to {}, or another policy"),
        Code::ModeForbidsWrite => (4, "a binding whose mode writes"),
        Code::MissingRole | Code::EscalationDenied => (4, "a role that has it"),
        Code::NativeRbacDenied | Code::NativeRbacDrifted => (4, "the right in Kubernetes"),
        Code::ProviderPermissionMissing => (4, "the permission at the provider"),
        Code::UnknownSubject | Code::CrossOrgDenied => (4, "something that is there, and the organization's own"),
        Code::WouldDeny | Code::ExceptionApplied | Code::BreakGlassUsed | Code::DecisionFailed => (4, "nothing here"),
    }
}
