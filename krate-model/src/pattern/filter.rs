//! Include and exclude lists (P15).

use super::{Domain, MAX_PATTERNS, Pattern, PatternError};
use thiserror::Error;

/// Which list of a filter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum List {
    /// What one must be in.
    Include,
    /// What none may be in.
    Exclude,
}

/// Why a filter may not be written.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum FilterError {
    /// One of its patterns; `index` counts from 0.
    #[error("pattern {index} of the {list:?} list {error}")]
    Pattern {
        /// Which list.
        list: List,
        /// Which of its patterns.
        index: usize,
        /// What is wrong with it.
        error: PatternError,
    },
    /// More than [`MAX_PATTERNS`].
    #[error("the {0:?} list holds more than {MAX_PATTERNS} patterns")]
    TooMany(List),
}

/// Two lists that were read. Exclude wins over include (P15).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Filter {
    include: Option<Box<[Pattern]>>,
    exclude: Box<[Pattern]>,
}

/// What a filter says of a text, with the pattern that decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Selection<'f> {
    /// In the include list, and not excluded.
    Included(&'f Pattern),
    /// In the exclude list.
    Excluded(&'f Pattern),
    /// In neither list.
    Unmatched,
    /// There is no include list: what that means is the field's to say, and for grants it is a no (P15).
    Unlisted,
}

impl Filter {
    /// Reads both lists; an absent include list is told from an empty one, which matches nothing.
    ///
    /// # Errors
    /// [`FilterError`] for the first pattern that may not be written.
    pub fn new<T: AsRef<str>>(include: Option<&[T]>, exclude: &[T], domain: Domain) -> Result<Self, FilterError> {
        let read = |patterns: &[T], list: List| {
            if patterns.len() > MAX_PATTERNS {
                return Err(FilterError::TooMany(list));
            }
            let patterns = patterns.iter().enumerate().map(|(index, pattern)| {
                let error = |error| FilterError::Pattern { list, index, error };
                Pattern::parse(pattern.as_ref(), domain).map_err(error)
            });
            patterns.collect::<Result<Box<[_]>, _>>()
        };
        let include = include.map(|patterns| read(patterns, List::Include)).transpose()?;
        Ok(Self { include, exclude: read(exclude, List::Exclude)? })
    }

    /// What the lists say of `text`. The exclude list over-matches, the include list never does (P66).
    pub fn select(&self, text: &str) -> Selection<'_> {
        if let Some(pattern) = self.exclude.iter().find(|pattern| pattern.over_matches(text)) {
            return Selection::Excluded(pattern);
        }
        match &self.include {
            None => Selection::Unlisted,
            Some(include) => {
                include.iter().find(|pattern| pattern.matches(text)).map_or(Selection::Unmatched, Selection::Included)
            }
        }
    }

    /// Patterns of the include list that do nothing, because one before them matches all that they match: `(which, covered by)` (P70).
    pub fn unreachable(&self) -> Vec<(&Pattern, &Pattern)> {
        let include = self.include.as_deref().unwrap_or_default();
        let mut found = Vec::new();
        for (index, pattern) in include.iter().enumerate() {
            let before = include.iter().take(index);
            found.extend(before.filter(|wider| wider.covers(pattern)).take(1).map(|wider| (pattern, wider)));
        }
        found
    }
}
