//! A decision as a person would say it (P46), from the decision alone.

use std::fmt::Write as _;

use crate::decision::{Decision, Outcome};
use crate::request::Request;

/// A sentence for the outcome, then one line a reason, then what would help.
pub fn explain(request: &Request, decision: &Decision) -> String {
    let who = &request.subject.name;
    let what = format!("{} {}", request.action.verb, request.action.kind);
    let mut text = match (decision.outcome, &decision.by) {
        (Outcome::Allowed, Some(by)) => format!("{who} may {what}: {by} allows it.\n"),
        (Outcome::Allowed, None) => format!("{who} may {what}.\n"),
        (Outcome::RequiresApproval, _) => format!("{who} may {what} once a person has agreed.\n"),
        (Outcome::Denied, _) => format!("{who} may not {what}.\n"),
    };
    for reason in &decision.reasons {
        let by = if reason.name.is_empty() { String::new() } else { format!(" ({})", reason.name) };
        // Writing to a String can't fail.
        let _ = writeln!(text, "- step {}, {}: {} {}{by}", reason.code.step(), reason.code, reason.field, reason.text);
    }
    for need in &decision.per_need {
        if let (Outcome::Allowed, Some(by)) = (need.outcome, &need.by) {
            let _ = writeln!(text, "- {by} gives what is needed");
        }
    }
    for approval in &decision.required_approvals {
        let _ = writeln!(text, "An approval of class {} would change it.", approval.class);
    }
    for missing in &decision.missing_grants {
        let _ = writeln!(text, "This grant would help, and gives no more than is asked:\n{}", missing.suggested);
    }
    text
}
