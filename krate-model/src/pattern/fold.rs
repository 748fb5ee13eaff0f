//! What a reader takes for the same: folding for deny lists (P66), and what deceives (P16).

use std::borrow::Cow;

use unicode_normalization::UnicodeNormalization;
use unicode_security::mixed_script::AugmentedScriptSet;

use crate::validate::text;

/// `text` without ignorable code points, in compatible composed form, without case.
///
/// Case goes by way of the upper case, so that letters with several lower forms (ß, ſ, ς) meet; normalizing once more joins what that
/// took apart.
pub(super) fn fold(text: &str) -> Cow<'_, str> {
    if text.is_ascii() {
        let has_case = text.bytes().any(|byte| byte.is_ascii_uppercase());
        return if has_case { text.to_ascii_lowercase().into() } else { text.into() };
    }
    let visible = text.chars().filter(|char| !is_ignorable(*char));
    let cased: String = visible.nfkc().flat_map(char::to_uppercase).flat_map(char::to_lowercase).collect();
    cased.nfkc().filter(|char| !is_ignorable(*char)).collect::<String>().into()
}

/// Whether a segment from outside could be taken for another by a reader (P16).
pub(super) fn is_deceptive(segment: &str) -> bool {
    !segment.is_ascii() && (text::problem(segment, false).is_some() || mixes_scripts(segment))
}

/// Whether letters of scripts that don't belong together stand in one segment. Han, kana, hangul and bopomofo beside Latin belong together,
/// as in Unicode's "highly restrictive" level (UTS 39, section 5.2).
pub(super) fn mixes_scripts(segment: &str) -> bool {
    if segment.is_ascii() {
        return false;
    }
    if !AugmentedScriptSet::for_str(segment).is_empty() {
        return false;
    }
    let mut rest = AugmentedScriptSet::default();
    for char in segment.chars().filter(|char| !char.is_ascii_alphabetic()) {
        rest.intersect_with(AugmentedScriptSet::for_char(char));
    }
    !(rest.hanb || rest.jpan || rest.kore)
}

/// Unicode's property `Default_Ignorable_Code_Point` (DerivedCoreProperties, Unicode 16).
fn is_ignorable(char: char) -> bool {
    matches!(char,
        '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}'..='\u{1160}' | '\u{17b4}'..='\u{17b5}' | '\u{180b}'..='\u{180f}'
        | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{3164}'
        | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{ffa0}' | '\u{fff0}'..='\u{fff8}' | '\u{1bca0}'..='\u{1bca3}'
        | '\u{1d173}'..='\u{1d17a}' | '\u{e0000}'..='\u{e0fff}')
}
