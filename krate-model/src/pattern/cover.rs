//! Whether one pattern matches all that another does: both machines walk the same texts, side by side.

use super::machine::{Machine, Reached};
use std::collections::BTreeSet;

/// Pairs of places that are looked at before the question is given up.
const MAX_PAIRS: usize = 4096;
const WORDS: usize = 9;

/// Whether `wide` takes every text that `narrow` takes; `false` when that is not found within [`MAX_PAIRS`].
pub(super) fn covers(wide: &Machine, narrow: &Machine) -> bool {
    if wide.len().max(narrow.len()) > WORDS * 64 {
        return false;
    }
    let mut alphabet: BTreeSet<char> = wide.chars().chain(narrow.chars()).chain(['/']).collect();
    // One character that neither names stands for all such.
    alphabet.extend(('\u{e000}'..='\u{f8ff}').find(|char| !alphabet.contains(char)));
    let begin: (Reached<WORDS>, Reached<WORDS>) = (wide.start(), narrow.start());
    let mut seen = BTreeSet::from([begin.clone()]);
    let mut open = vec![begin];
    while let Some((wide_at, narrow_at)) = open.pop() {
        if narrow.is_end(&narrow_at) && !wide.is_end(&wide_at) {
            return false;
        }
        for char in &alphabet {
            let next = narrow.step(&narrow_at, *char, false);
            if next.is_empty() {
                continue;
            }
            let pair = (wide.step(&wide_at, *char, false), next);
            if seen.insert(pair.clone()) {
                if seen.len() > MAX_PAIRS {
                    return false;
                }
                open.push(pair);
            }
        }
    }
    true
}
