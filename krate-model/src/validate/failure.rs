//! What validation answers: every failure at once, each with path, rule, code and what would be accepted (R29).

use std::fmt;

use serde::{Serialize, Serializer};

use super::nearest::nearest;
use super::rules::Rule;
use super::secrets::looks_like;

/// Why a value is refused: Kubernetes' causes, so that an admission webhook passes them on unchanged (R29).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Code {
    /// The value is missing.
    Required,
    /// The value is malformed, or doesn't fit another value.
    Invalid,
    /// The value is not one of a closed set.
    NotSupported,
    /// The value stands elsewhere already.
    Duplicate,
    /// The value might be right elsewhere, or from somebody else.
    Forbidden,
    /// The text, or the object, is too long.
    TooLong,
    /// The list or map has too many entries.
    TooMany,
    /// The value names something that isn't there.
    NotFound,
    /// The value has the wrong JSON type.
    TypeInvalid,
}

impl Code {
    /// The code as Kubernetes writes it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Required => "FieldValueRequired",
            Self::Invalid => "FieldValueInvalid",
            Self::NotSupported => "FieldValueNotSupported",
            Self::Duplicate => "FieldValueDuplicate",
            Self::Forbidden => "FieldValueForbidden",
            Self::TooLong => "FieldValueTooLong",
            Self::TooMany => "FieldValueTooMany",
            Self::NotFound => "FieldValueNotFound",
            Self::TypeInvalid => "FieldValueTypeInvalid",
        }
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl Serialize for Code {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

/// What would be accepted instead.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize)]
#[serde(untagged)]
pub enum Accepted {
    /// The value that was probably meant.
    One(String),
    /// Any of these.
    OneOf(Vec<String>),
}

impl Accepted {
    /// Any of `values`.
    pub fn one_of<T: AsRef<str>>(values: impl IntoIterator<Item = T>) -> Self {
        Self::OneOf(values.into_iter().map(|value| value.as_ref().to_owned()).collect())
    }
}

impl fmt::Display for Accepted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::One(value) => f.write_str(value),
            Self::OneOf(values) => {
                for (at, value) in values.iter().enumerate() {
                    f.write_str(if at == 0 { "" } else { ", " })?;
                    f.write_str(value)?;
                }
                Ok(())
            }
        }
    }
}

/// One thing that is wrong with a document.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Failure {
    /// Where: `spec.a.b`, `[3]`, `[name=gitForge]`, `["a.b/c"]`; empty for the whole object.
    pub path: String,
    /// The rule that refuses it.
    pub rule: Rule,
    /// Kubernetes' cause.
    pub code: Code,
    /// What is wrong and what to do, for people. Never holds a value that may be secret.
    pub message: String,
    /// What would be accepted, where that can be said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub accepted: Option<Accepted>,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = if self.path.is_empty() { "(whole object)" } else { &self.path };
        write!(f, "{path}: {} ({})", self.message, self.rule)?;
        match &self.accepted {
            Some(Accepted::One(value)) => write!(f, "; did you mean {value}?"),
            Some(values) => write!(f, "; accepted: {values}"),
            None => Ok(()),
        }
    }
}

/// A reference to an object that doesn't exist yet: admitted, and nothing acts through it until it does (R32).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Unresolved {
    /// Where the reference stands.
    pub path: String,
    /// Kind of the object that is missing.
    pub kind: String,
    /// Its name.
    pub name: String,
}

/// Something that could not be looked up, and so is neither valid nor invalid (R31).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Unchecked {
    /// Where.
    pub path: String,
    /// The rule that was not checked.
    pub rule: Rule,
    /// What was missing.
    pub reason: String,
}

/// The answer to one document.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Report {
    /// Every failure, ordered by path, then rule (R29).
    pub failures: Vec<Failure>,
    /// References that wait for their object (R32).
    pub unresolved: Vec<Unresolved>,
    /// What could not be looked up (R31).
    pub unchecked: Vec<Unchecked>,
}

impl Report {
    /// Whether nothing is wrong with what was checked.
    pub fn is_valid(&self) -> bool {
        self.failures.is_empty()
    }

    pub(super) fn sort(&mut self) {
        self.failures.sort_by(|a, b| (&a.path, a.rule, a.code, &a.message).cmp(&(&b.path, b.rule, b.code, &b.message)));
        self.failures.dedup();
        self.unresolved.sort();
        self.unresolved.dedup();
        self.unchecked.sort();
        self.unchecked.dedup();
    }
}

/// `text`, unless something in it looks like a credential (R29): a last guard behind the checks, which name what they find.
fn shown(text: String) -> String {
    if looks_like(&text, "").is_some() { "(hidden: it may be secret)".to_owned() } else { text }
}

/// Where the checks put what they find.
#[derive(Debug, Default)]
pub(super) struct Findings {
    pub(super) report: Report,
}

impl Findings {
    /// A failure without a better value to offer.
    pub(super) fn fail(&mut self, path: impl fmt::Display, rule: Rule, code: Code, message: impl Into<String>) {
        self.push(path, rule, code, message, None);
    }

    /// A failure with the value that was probably meant, where there is one.
    pub(super) fn fail_near(
        &mut self,
        path: impl fmt::Display,
        rule: Rule,
        code: Code,
        message: impl Into<String>,
        nearest: Option<impl Into<String>>,
    ) {
        self.push(path, rule, code, message, nearest.map(|value| Accepted::One(value.into())));
    }

    /// A failure with everything that would be accepted.
    pub(super) fn fail_set<T: AsRef<str>>(
        &mut self,
        path: impl fmt::Display,
        rule: Rule,
        message: impl Into<String>,
        accepted: impl IntoIterator<Item = T>,
    ) {
        self.push(path, rule, Code::NotSupported, message, Some(Accepted::one_of(accepted)));
    }

    /// A name that is none of `known`: the nearest one is offered, or all of them.
    pub(super) fn fail_unknown<'k>(
        &mut self,
        path: impl fmt::Display,
        rule: Rule,
        code: Code,
        message: impl Into<String>,
        found: &str,
        known: impl IntoIterator<Item = &'k str>,
    ) {
        let known: Vec<&str> = known.into_iter().collect();
        let accepted = match nearest(found, known.iter().copied()) {
            Some(meant) => Accepted::One(meant.to_owned()),
            None => Accepted::one_of(known),
        };
        self.push(path, rule, code, message, Some(accepted));
    }

    /// A failure, with all that is known of it.
    pub(super) fn push(
        &mut self,
        path: impl fmt::Display,
        rule: Rule,
        code: Code,
        message: impl Into<String>,
        accepted: Option<Accepted>,
    ) {
        let (path, message) = (shown(path.to_string()), shown(message.into()));
        let accepted = accepted.filter(|accepted| looks_like(&accepted.to_string(), "").is_none());
        self.report.failures.push(Failure { path, rule, code, message, accepted });
    }

    /// A reference whose object isn't there yet.
    pub(super) fn unresolved(&mut self, path: impl fmt::Display, kind: &str, name: &str) {
        self.report.unresolved.push(Unresolved {
            path: shown(path.to_string()),
            kind: kind.to_owned(),
            name: shown(name.to_owned()),
        });
    }

    /// Something that nobody could look up.
    pub(super) fn unchecked(&mut self, path: impl fmt::Display, rule: Rule, reason: impl Into<String>) {
        let (path, reason) = (shown(path.to_string()), shown(reason.into()));
        self.report.unchecked.push(Unchecked { path, rule, reason });
    }
}
