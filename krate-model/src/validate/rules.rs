//! The rules by number, one short sentence each: what a failure's `rule` stands for. Spec: resource-kinds.md section 5; `P…` stands in
//! permission-review.md.

use std::fmt;
use std::str::FromStr;

use serde::{Serialize, Serializer};

/// The number of a rule, such as `R12`. A number is a name and never moves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Rule {
    series: Series,
    number: u8,
}

/// Which document numbers the rule; the order is that of the letters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum Series {
    Permission,
    Resource,
}

impl Rule {
    pub(super) const fn r(number: u8) -> Self {
        Self { series: Series::Resource, number }
    }

    pub(super) const fn p(number: u8) -> Self {
        Self { series: Series::Permission, number }
    }

    /// What the rule asks for, in one sentence.
    pub fn sentence(self) -> &'static str {
        RULES.iter().find(|(rule, _)| *rule == self).map_or("", |(_, sentence)| sentence)
    }

    /// Every rule with its sentence, by number.
    pub fn all() -> impl Iterator<Item = (Self, &'static str)> {
        RULES.iter().copied()
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let letter = match self.series {
            Series::Permission => 'P',
            Series::Resource => 'R',
        };
        f.pad(&format!("{letter}{}", self.number))
    }
}

impl Serialize for Rule {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// A text that is no rule that validation knows.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{found:?} is no rule; rules are written R1 to R71, P12 or P14")]
pub struct NotARule {
    /// What was found.
    pub found: Box<str>,
}

impl FromStr for Rule {
    type Err = NotARule;

    /// The rule of that number, in either case.
    fn from_str(text: &str) -> Result<Self, NotARule> {
        RULES
            .iter()
            .map(|(rule, _)| *rule)
            .find(|rule| rule.to_string().eq_ignore_ascii_case(text))
            .ok_or_else(|| NotARule { found: text.into() })
    }
}

macro_rules! rules {
    ($($make:ident($number:literal) $sentence:literal;)+) => {
        const RULES: &[(Rule, &str)] = &[$((Rule::$make($number), $sentence)),+];
    };
}

#[rustfmt::skip]
rules! {
    p(12) "a ref pattern matches the full ref and starts with refs/";
    p(14) "a pattern has at most 512 bytes, 32 segments and 64 combinations, and a list of them 256 entries";
    r(1) "a name is a DNS label, of a Record a DNS subdomain";
    r(2) "a resource stands in the namespace of its organization";
    r(3) "organizationRef is required, never changes, and names an organization that exists and is not suspended";
    r(4) "a reference stays in its namespace; one that leaves it is a CrossOrgRef under a sharing policy of the owner";
    r(5) "slug and namespace belong to one organization each; the platform's and Kubernetes' own namespaces to none";
    r(6) "an immutable field does not change, appear or vanish after creation";
    r(7) "only known kinds and known fields";
    r(8) "enums are exact, durations positive Go durations, times carry an offset, digests and commits are lower-case hex, integers fit 53 bits";
    r(9) "a credential is referenced, never written down";
    r(10) "a Secret or ConfigMap is named as Kubernetes names it, and of the same namespace, or one that the platform lends by name and key";
    r(11) "type, hosting, authentication, interfaces, modes and external reference are what the provider's manifest has";
    r(12) "one binding for an external scope or a target, per interface, unless all are read-only";
    r(13) "a provider that signs its webhooks has a webhook secret";
    r(14) "private keys are refused; an SSH key is one public key of a strong type without options";
    r(15) "maxReplicas is at least warmReplicas; a trusted pool lists its repositories, an untrusted one has no account with secrets";
    r(16) "a grant names its keys one by one and fits its subject";
    r(17) "an agent stack with unresolved references is admitted but not ready";
    r(18) "a trigger rule's sources, matchers and schedule fit each other";
    r(19) "Records are written by controllers; people create work items, change what merges, and write commands";
    r(20) "status changes through the status subresource only, and nothing else changes there";
    r(21) "a deletion waits for what is in flight and never deletes anything at the provider by itself";
    r(22) "an object of etcd is at most 256 KiB, a Record 1 MiB, as compact JSON";
    r(23) "names are NFC without invisible characters; no text has control characters; a set holds no value twice";
    r(24) "the CRD's own rules and these give the same answer";
    r(25) "a document has the shape of its schema: types, required fields, bounds, keys of lists";
    r(26) "a value from a newer version is kept as it is and allows nothing";
    r(27) "a condition's transition time moves only when its status does";
    r(28) "every write names its field manager";
    r(29) "every failure is reported at once, by path and rule";
    r(30) "an organization's slug equals its name and is a DNS label as it stands";
    r(31) "what could not be looked up is listed as unchecked, never as valid";
    r(32) "a reference to an object that does not exist yet is admitted, and nothing acts through it";
    r(33) "labels and annotations are indexes that no decision reads";
    r(34) "sharing takes an offer in the source's namespace and an acceptance in the target's; two organizations; revoked stays";
    r(35) "the platform's kinds stand in the platform's namespace, all others in their organization's";
    r(36) "a Record's name is derived from what it records";
    r(37) "a command is acted on once by its id, and its writer is who sent it";
    r(38) "merged is set by a merge, never by hand, and nothing leaves it";
    r(39) "a kind's phases are those of its machine";
    r(40) "the apiVersion is krate.a5c.ai/v1alpha1";
    r(41) "sets and list-maps are in byte order before they are compared";
    r(42) "a chain of actors is at most eight long, names nobody twice and ends at somebody who answers for it";
    r(43) "a mapping, permission, link or open conflict exists once";
    r(44) "audit events are only ever added";
    r(45) "the default mode of a policy is a proposal that changes no binding";
    r(46) "a pipeline is trusted only where its change is no fork's, and an untrusted one gets no trusted pool";
    r(47) "a projection has one envelope, whose identity never changes";
    r(48) "an address is https; http only to loopback and with allowInsecure; without user or fragment";
    r(49) "two bounds are in order";
    r(50) "kinds of an interface, mergeable fields of a kind, and a strategy that fits the field";
    r(51) "a write policy lists write operations, none both allowed and denied, and trusts no agent with the gravest";
    r(52) "an intent's operation, interface, target, payload and native target fit each other";
    r(53) "an event has one source and one body; a resolution has a value exactly where it needs one";
    r(54) "a principal is the name of a User, or ext: and an account id";
    r(55) "an end lies ahead when it is set";
    r(56) "owners stand in the same namespace and are set by controllers";
    r(57) "a Record is kept until its retention ends";
    r(58) "the dependants are listed before a deletion";
    r(59) "an approval is for its digest, by persons, within 168 hours";
    r(60) "an exception ends in time, accepts its risk where the policy enforces, and breaks glass for one class within an hour";
    r(61) "exactly the member that the type asks for; budgets are at least 1";
    r(62) "an edited context label is reviewed again, by somebody else";
    r(63) "a built-in manifest changes with the software; a discovered one only narrows its type's";
    r(64) "an update is not refused for what was wrong before and did not change";
    r(65) "an agent's account is of its organization; a role has no wildcard and no way up";
    r(66) "decisions compare times themselves and trust no stored phase";
    r(67) "defaults are fixed values, applied once or twice alike";
    r(68) "open content is at most 64 KiB and 64 deep";
    r(69) "the same source generates the same CRDs";
    r(70) "a binding whose policy is missing reads with defaults and writes nothing";
    r(71) "a field that goes with a mode is there exactly in that mode";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_rule_stands_once_in_order_with_a_sentence() {
        assert!(RULES.is_sorted_by(|(a, _), (b, _)| a < b));
        assert_eq!(Rule::all().filter(|(rule, _)| rule.series == Series::Resource).count(), 71);
        assert!(Rule::all().all(|(rule, sentence)| !sentence.is_empty() && rule.sentence() == sentence));
    }

    #[test]
    fn a_rule_is_read_as_it_is_written() {
        assert_eq!("r12".parse::<Rule>().unwrap().to_string(), "R12");
        assert_eq!("P12".parse::<Rule>().unwrap(), Rule::p(12));
        assert!("R99".parse::<Rule>().is_err() && "12".parse::<Rule>().is_err());
    }
}
