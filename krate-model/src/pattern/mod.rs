//! Patterns over refs, paths, names and tools: one grammar and one matcher (permission-review.md section 4, P12 to P16, P66).
//!
//! ```
//! use krate_model::pattern::{Domain, Pattern};
//!
//! let releases = Pattern::parse("refs/heads/release/{1,2}.*", Domain::Ref)?;
//! assert!(releases.matches("refs/heads/release/2.4"));
//! assert!(!releases.matches("refs/heads/release/2.4/hotfix"), "`*` stays inside its segment");
//! assert!(!releases.matches("refs/heads/Release/2.4"), "an include list takes every letter as it is (P13)");
//! assert!(releases.over_matches("refs/heads/Release/2.4"), "a deny list looks through case (P66)");
//! # Ok::<(), krate_model::pattern::PatternError>(())
//! ```
//!
//! A match takes time linear in the text, whatever the pattern (P14): the pattern becomes a machine of at most a few hundred states that
//! moves through the text once and never back.

mod cover;
mod domain;
mod filter;
mod fold;
mod grammar;
mod machine;
#[cfg(test)]
mod tests;

pub use domain::{Domain, NotInDomain};
pub use filter::{Filter, FilterError, List, Selection};

use machine::Machine;
use thiserror::Error;

/// Longest pattern, in bytes (P14).
pub const MAX_PATTERN_BYTES: usize = 512;
/// Most segments of a pattern (P14).
pub const MAX_SEGMENTS: usize = 32;
/// Most alternatives of one pair of braces.
pub const MAX_ALTERNATIVES: usize = 16;
/// Most texts that the braces of a pattern stand for, multiplied.
pub const MAX_COMBINATIONS: usize = 64;
/// Most patterns of one list (P14).
pub const MAX_PATTERNS: usize = 256;

/// Why a pattern may not be written. The text follows on "the pattern".
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum PatternError {
    /// Longer than [`MAX_PATTERN_BYTES`].
    #[error("is longer than {MAX_PATTERN_BYTES} bytes")]
    TooLong,
    /// More than [`MAX_SEGMENTS`].
    #[error("has more than {MAX_SEGMENTS} segments")]
    TooManySegments,
    /// More than [`MAX_COMBINATIONS`].
    #[error("has more than {MAX_COMBINATIONS} combinations of alternatives")]
    TooManyCombinations,
    /// What a reader can't see, or takes for something else (P16); the text says what.
    #[error("{0}")]
    Deceptive(&'static str),
    /// `a//b`, a leading or a trailing `/`, or nothing at all.
    #[error("has an empty segment")]
    EmptySegment,
    /// `\` before a character without a meaning of its own, or at the end.
    #[error("has a `\\` that escapes nothing")]
    StrayEscape,
    /// `**` that is not a whole segment.
    #[error("has `**` beside other characters; it stands alone between slashes")]
    StarsInSegment,
    /// `[`.
    #[error("has `[`; character classes are not in the grammar, write alternatives in braces")]
    CharacterClass,
    /// `!` at the start of a segment.
    #[error("begins with `!`; use the exclude list")]
    Negation,
    /// Braces in braces.
    #[error("has braces inside braces")]
    NestedBraces,
    /// `{a}`, or more than [`MAX_ALTERNATIVES`].
    #[error("has braces with fewer than 2 or more than {MAX_ALTERNATIVES} alternatives")]
    Alternatives,
    /// `}` alone.
    #[error("has `}}` without `{{`")]
    Unopened,
    /// `{` alone.
    #[error("has `{{` without `}}`")]
    Unclosed,
    /// A ref pattern that doesn't begin with `refs/` (P12).
    #[error("names no full ref; write refs/heads/… for a branch or refs/tags/… for a tag")]
    ShortRef,
    /// No text of its domain fits; the text says why.
    #[error("can never match: {0}")]
    NeverMatches(&'static str),
}

/// A pattern that was read: what [`Pattern::parse`] accepts, compiled.
#[derive(Debug, Clone)]
pub struct Pattern {
    text: Box<str>,
    machine: Machine,
    /// The same with its letters folded, for deny lists (P66).
    folded: Machine,
}

impl Pattern {
    /// Reads a pattern that is to match texts of `domain`.
    ///
    /// # Errors
    /// [`PatternError`] when the grammar, a limit, P12 or P16 forbids it, or when no text of the domain could ever match.
    pub fn parse(text: &str, domain: Domain) -> Result<Self, PatternError> {
        let segments = grammar::parse(text)?;
        domain.check_pattern(text, &segments)?;
        Ok(Self {
            text: text.into(),
            machine: Machine::new(&segments, str::to_owned),
            folded: Machine::new(&segments, |text| fold::fold(text).into_owned()),
        })
    }

    /// The pattern as it was written.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether the pattern allows `text`, for include lists: byte for byte, and a segment that could deceive a reader (P16) is matched by
    /// `**` alone.
    pub fn matches(&self, text: &str) -> bool {
        self.machine.accepts(text, fold::is_deceptive)
    }

    /// Whether the pattern catches `text`, for deny and exclude lists: as it is, and after ignorable characters are removed, compatible
    /// forms are made equal and case is folded (P66). Everything that [`Pattern::matches`] takes is caught, too.
    pub fn over_matches(&self, text: &str) -> bool {
        let never = |_: &str| false;
        self.machine.accepts(text, never) || self.folded.accepts(&fold::fold(text), never)
    }

    /// Whether every text that `other` matches is matched by this pattern too, so that `other` after it does nothing.
    ///
    /// `false` also when that would take too long to find out: a lint that keeps quiet, never a decision.
    pub fn covers(&self, other: &Self) -> bool {
        cover::covers(&self.machine, &other.machine)
    }
}

impl PartialEq for Pattern {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for Pattern {}
