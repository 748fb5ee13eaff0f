//! Text hygiene: what a name and what a body may hold (R23), and what provider text is.

use unicode_normalization::is_nfc;

/// Fields that hold sentences of people: tab and newline may stand in them, and they need not be NFC.
const PROSE: &[&str] = &[
    "comment",
    "description",
    "developer",
    "expression",
    "justification",
    "manifest",
    "markdown",
    "message",
    "promptFragment",
    "promptTemplate",
    "reason",
    "remediation",
    "renderWarnings",
    "riskAcceptance",
    "rolePrompt",
    "summary",
    "system",
];

/// Fields whose text a provider wrote; in a Record that a controller writes it is kept as it came (R9, S6).
const FROM_PROVIDER: &[&str] = &[
    "account",
    "assignees",
    "author",
    "base",
    "description",
    "displayName",
    "event",
    "fields",
    "head",
    "inputs",
    "issueType",
    "json",
    "labels",
    "login",
    "markdown",
    "message",
    "milestone",
    "name",
    "path",
    "priority",
    "ref",
    "requestedReviewers",
    "steps",
    "summary",
    "title",
    "topics",
    "workflow",
    "workflowState",
];

/// Whether `name` is a field of sentences.
pub(super) fn is_prose(name: &str) -> bool {
    PROSE.binary_search(&name).is_ok()
}

/// Whether `name` is a field that may hold a provider's text.
pub(super) fn is_provider_text(name: &str) -> bool {
    FROM_PROVIDER.binary_search(&name).is_ok()
}

/// What is wrong with a text: of a name, or of a prose.
pub(crate) fn problem(text: &str, is_prose: bool) -> Option<&'static str> {
    if text.is_ascii() {
        // Most text; only controls can be wrong with it.
        return text.bytes().any(|byte| is_control(char::from(byte), is_prose)).then_some(CONTROL);
    }
    if text.chars().any(|char| is_control(char, is_prose)) {
        return Some(CONTROL);
    }
    if is_prose {
        return None;
    }
    if text.chars().any(is_invisible) {
        return Some("holds a bidirectional control or a zero-width character, which a reader can't see");
    }
    (!is_nfc(text)).then_some("is not in Unicode's composed form (NFC), so an equal-looking text would differ")
}

const CONTROL: &str = "holds a control character";

fn is_control(char: char, is_prose: bool) -> bool {
    match char {
        // A provider's line ends are CRLF; a body keeps them.
        '\t' | '\n' | '\r' => !is_prose,
        _ => char < ' ' || char == '\u{7f}',
    }
}

/// Bidirectional controls and characters without width.
pub(super) fn is_invisible(char: char) -> bool {
    matches!(char,
        '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{2064}'
        | '\u{2066}'..='\u{206f}' | '\u{feff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn field_lists_are_sorted_for_the_search() {
        assert!(PROSE.is_sorted() && FROM_PROVIDER.is_sorted());
    }

    #[test]
    fn r23_names_show_what_they_hold() {
        for good in ["bug", "größe", "日本語", "a b", ""] {
            assert_eq!(problem(good, false), None, "{good:?}");
        }
        for bad in ["a\tb", "a\nb", "a\0b", "bug\u{202e}gub", "a\u{200b}b", "\u{feff}a", "gro\u{308}ße", "a\u{7f}"] {
            assert!(problem(bad, false).is_some(), "{bad:?}");
        }
    }

    #[test]
    fn r23_bodies_keep_lines_and_tabs_but_no_other_controls() {
        for good in ["a\tb\r\nc", "gro\u{308}ße", "a\u{200d}b"] {
            assert_eq!(problem(good, true), None, "{good:?}");
        }
        for bad in ["a\0b", "a\u{1b}[31mb", "ä\u{8}"] {
            assert!(problem(bad, true).is_some(), "{bad:?}");
        }
    }
}
