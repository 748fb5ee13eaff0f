//! The grammar: from a pattern's text to its segments.

use super::{MAX_ALTERNATIVES, MAX_COMBINATIONS, MAX_PATTERN_BYTES, MAX_SEGMENTS, PatternError, fold};
use crate::validate::text;
use std::mem;

/// One segment between slashes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Segment {
    /// `**`.
    AnyDepth,
    /// Anything else, in order.
    Pieces(Vec<Piece>),
}

/// A part of a segment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Piece {
    /// Characters that stand for themselves, without escapes.
    Literal(String),
    /// `?`.
    One,
    /// `*`.
    Run,
    /// `{a,b}`: no braces inside.
    Either(Vec<Vec<Piece>>),
}

/// Reads a pattern, or says what is wrong with its form.
pub(super) fn parse(pattern: &str) -> Result<Vec<Segment>, PatternError> {
    if pattern.len() > MAX_PATTERN_BYTES {
        return Err(PatternError::TooLong);
    }
    if let Some(problem) = text::problem(pattern, false) {
        return Err(PatternError::Deceptive(problem));
    }
    if pattern.split('/').count() > MAX_SEGMENTS {
        return Err(PatternError::TooManySegments);
    }
    let segments = pattern.split('/').map(segment).collect::<Result<Vec<_>, _>>()?;
    let combinations = segments.iter().map(combinations).fold(1, usize::saturating_mul);
    if combinations > MAX_COMBINATIONS {
        return Err(PatternError::TooManyCombinations);
    }
    Ok(segments)
}

fn segment(text: &str) -> Result<Segment, PatternError> {
    match text {
        "" => return Err(PatternError::EmptySegment),
        "**" => return Ok(Segment::AnyDepth),
        _ if text.starts_with('!') => return Err(PatternError::Negation),
        _ if fold::mixes_scripts(text) => {
            return Err(PatternError::Deceptive("mixes scripts in one segment, so it may look like another"));
        }
        _ => {}
    }
    // Inside braces `pieces` is the newest alternative, and what came before them waits here with the alternatives that are whole.
    let mut braces: Option<(Vec<Piece>, Vec<Vec<Piece>>)> = None;
    let mut pieces = Vec::new();
    let mut chars = text.chars();
    while let Some(char) = chars.next() {
        match (char, &mut braces) {
            ('\\', _) => match chars.next() {
                Some(escaped @ ('*' | '?' | '{' | '}' | ',' | '\\' | '!' | '[')) => push(&mut pieces, escaped),
                _ => return Err(PatternError::StrayEscape),
            },
            ('*', _) if pieces.last() == Some(&Piece::Run) => return Err(PatternError::StarsInSegment),
            ('*', _) => pieces.push(Piece::Run),
            ('?', _) => pieces.push(Piece::One),
            ('[', _) => return Err(PatternError::CharacterClass),
            ('{', Some(_)) => return Err(PatternError::NestedBraces),
            ('{', None) => braces = Some((mem::take(&mut pieces), Vec::new())),
            (',', Some((_, alternatives))) => alternatives.push(mem::take(&mut pieces)),
            ('}', None) => return Err(PatternError::Unopened),
            ('}', Some((before, alternatives))) => {
                alternatives.push(mem::replace(&mut pieces, mem::take(before)));
                if !(2..=MAX_ALTERNATIVES).contains(&alternatives.len()) {
                    return Err(PatternError::Alternatives);
                }
                pieces.push(Piece::Either(mem::take(alternatives)));
                braces = None;
            }
            (char, _) => push(&mut pieces, char),
        }
    }
    if braces.is_some() { Err(PatternError::Unclosed) } else { Ok(Segment::Pieces(pieces)) }
}

fn push(pieces: &mut Vec<Piece>, char: char) {
    if let Some(Piece::Literal(literal)) = pieces.last_mut() {
        literal.push(char);
    } else {
        pieces.push(Piece::Literal(char.into()));
    }
}

fn combinations(segment: &Segment) -> usize {
    let Segment::Pieces(pieces) = segment else { return 1 };
    let counts = pieces.iter().map(|piece| if let Piece::Either(parts) = piece { parts.len() } else { 1 });
    counts.fold(1, usize::saturating_mul)
}

/// The segment without braces: every combination of its alternatives.
pub(super) fn expand(pieces: &[Piece]) -> Vec<Vec<Piece>> {
    let mut all = vec![Vec::new()];
    for piece in pieces {
        let parts = match piece {
            Piece::Either(parts) => parts.clone(),
            piece => vec![vec![piece.clone()]],
        };
        all = all.iter().flat_map(|begun| parts.iter().map(|part| join(begun, part))).collect();
    }
    all
}

/// Two runs of pieces as one, literals that meet joined.
fn join(left: &[Piece], right: &[Piece]) -> Vec<Piece> {
    let mut joined = left.to_vec();
    for piece in right {
        match (joined.last_mut(), piece) {
            (Some(Piece::Literal(before)), Piece::Literal(after)) => before.push_str(after),
            _ => joined.push(piece.clone()),
        }
    }
    joined
}
