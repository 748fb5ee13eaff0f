//! What a pattern is matched against, and what such a text may hold (P12).

use super::grammar::{Piece, Segment, expand};
use super::{PatternError, fold};
use thiserror::Error;

/// What kind of text it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Domain {
    /// A full ref such as `refs/heads/main`, by Git's rules for ref names (`git check-ref-format`).
    Ref,
    /// A path in a repository: relative, without empty, `.`, `..` or `.git` segments.
    Path,
    /// A name of anything else: a repository, a tool, a trigger source.
    Name,
}

/// Why a text is none of its domain; the text follows on "the ref", "the path" or "the name".
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("{0}")]
pub struct NotInDomain(&'static str);

impl Domain {
    /// Checks that `text` is one of this domain. Who asks about another text gets an error, not an answer (P12).
    ///
    /// # Errors
    /// [`NotInDomain`] with the rule that it breaks.
    pub fn check(self, text: &str) -> Result<(), NotInDomain> {
        if self == Self::Ref && !text.starts_with("refs/") {
            return Err(NotInDomain("does not begin with refs/"));
        }
        if self == Self::Ref && is_plain_ref(text) {
            return Ok(());
        }
        self.check_segments(text)
    }

    fn check_segments(self, text: &str) -> Result<(), NotInDomain> {
        let mut segments = text.split('/').peekable();
        while let Some(segment) = segments.next() {
            // A text is the pattern that matches it alone.
            let alone = [Some(segment)];
            let pieces: &[_] = if segment.is_empty() { &[] } else { &alone };
            if let Some(problem) = self.problem(pieces, segments.peek().is_none()) {
                return Err(NotInDomain(problem));
            }
        }
        Ok(())
    }

    /// P12, and that some text of the domain can match.
    pub(super) fn check_pattern(self, text: &str, segments: &[Segment]) -> Result<(), PatternError> {
        if self == Self::Ref && !text.starts_with("refs/") {
            return Err(PatternError::ShortRef);
        }
        let last = segments.len().saturating_sub(1);
        for (index, segment) in segments.iter().enumerate() {
            let Segment::Pieces(pieces) = segment else { continue };
            let problems = expand(pieces).into_iter().map(|pieces| {
                let literals: Vec<_> = pieces.iter().map(literal).collect();
                self.problem(&literals, index == last)
            });
            // One combination that can match is enough; else the first one says why not.
            let problems: Option<Vec<_>> = problems.collect();
            if let Some(first) = problems.and_then(|problems| problems.first().copied()) {
                return Err(PatternError::NeverMatches(first));
            }
        }
        Ok(())
    }

    /// Why no text that fits `pieces` (without braces) is a segment of this domain. A piece is its text, or `None` where it stands for several.
    fn problem(self, pieces: &[Option<&str>], is_last: bool) -> Option<&'static str> {
        if pieces.is_empty() {
            return Some("has an empty segment");
        }
        match self {
            Self::Ref => ref_problem(pieces, is_last),
            Self::Path => path_problem(pieces),
            Self::Name => None,
        }
    }
}

const fn literal(piece: &Piece) -> Option<&str> {
    if let Piece::Literal(text) = piece { Some(text.as_str()) } else { None }
}

/// Whether it is made of what breaks no rule of refs: letters, digits, `-` and `_`, in segments that aren't empty. Nearly all are, and are asked about in each review.
fn is_plain_ref(text: &str) -> bool {
    let mut before = b'/';
    for byte in text.bytes() {
        let is_plain = byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
        if !is_plain && (byte != b'/' || before == b'/') {
            return false;
        }
        before = byte;
    }
    before != b'/'
}

fn ref_problem(pieces: &[Option<&str>], is_last: bool) -> Option<&'static str> {
    let starts = |with: char| matches!(pieces.first(), Some(Some(text)) if text.starts_with(with));
    let ends = |with: &str| matches!(pieces.last(), Some(Some(text)) if text.ends_with(with));
    let literals = || pieces.iter().flatten().map(|text| text.as_bytes());
    // All of them are ASCII, so that bytes are enough to find them.
    let forbidden = |byte: &u8| *byte <= b' ' || b"\x7f~^:?*[\\".contains(byte);
    if literals().any(|text| text.iter().any(forbidden)) {
        return Some("holds a space, a control character or one of ~ ^ : ? * [ \\, which no ref has");
    }
    if literals().any(|text| text.windows(2).any(|pair| pair == b".." || pair == b"@{")) {
        return Some("holds `..` or `@{`, which no ref has");
    }
    if starts('.') || ends(".lock") {
        return Some("has a segment that begins with `.` or ends with `.lock`, which no ref has");
    }
    (is_last && ends(".")).then_some("ends with `.`, which no ref does")
}

fn path_problem(pieces: &[Option<&str>]) -> Option<&'static str> {
    if pieces.iter().flatten().any(|text| text.contains('\0')) {
        return Some("holds a NUL, which no path has");
    }
    let [Some(segment)] = pieces else { return None };
    match *segment {
        "." | ".." => Some("has a `.` or `..` segment"),
        segment if is_git_folder(segment) => Some("has a `.git` segment, which belongs to Git alone"),
        _ => None,
    }
}

/// Whether a file system could take the segment for `.git`: in any case, with ignorable characters (HFS+), with dots and spaces at the
/// end, or by its short name (NTFS). The forms are those that Git itself refuses (`core.protectHFS`, `core.protectNTFS`).
fn is_git_folder(segment: &str) -> bool {
    let folded = fold::fold(segment);
    let stem = folded.split(':').next().unwrap_or_default().trim_end_matches(['.', ' ']);
    matches!(stem, ".git" | "git~1")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn p12_a_plain_ref_is_one_by_every_rule(text in "[a-c0/._-]{0,12}|\\PC{0,8}") {
            let text = format!("refs/{text}");
            prop_assert!(!is_plain_ref(&text) || Domain::Ref.check_segments(&text).is_ok(), "{text:?}");
            prop_assert_eq!(Domain::Ref.check(&text).is_ok(), Domain::Ref.check_segments(&text).is_ok());
        }
    }
}
