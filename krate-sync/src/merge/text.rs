//! The strategy `text`: a three-way merge by lines.
//!
//! Both sides are compared with the base; the changes of one side are put where they belong, unless they touch a line that the other side changed too.
//! Line ends are not content: when one side turned all of `\n` into `\r\n`, as web forms do, the lines stay comparable, and the merge takes
//! the new line end. The last line's end is a property of its own, so that a missing one doesn't make the last line a changed line.

use similar::{Algorithm, DiffOp, capture_diff_slices};

/// Longest stretch of lines, without what both ends share, that is compared. The comparison's cost can grow with the square of it, and what arrives is
/// not ours to trust.
const MAX_LINES: usize = 4_096;

/// What a text's lines end with.
#[derive(Clone, Copy, PartialEq, Eq)]
enum LineEnd {
    /// It has no line end at all.
    None,
    Lf,
    CrLf,
    Mixed,
}

/// A stretch of the base and the lines that a side has there instead.
struct Hunk<'l, 't> {
    start: usize,
    end: usize,
    lines: &'l [&'t str],
}

/// Both sides' changes in one text; `None` where they overlap.
pub(crate) fn merge_text(base: &str, desired: &str, observed: &str) -> Option<String> {
    let ends = [line_end(base), line_end(desired), line_end(observed)];
    let mixed = ends.contains(&LineEnd::Mixed);
    let split = |text| split(text, mixed);
    let (base_lines, desired_lines, observed_lines) = (split(base), split(desired), split(observed));
    let ours = hunks(&base_lines, &desired_lines)?;
    let theirs = hunks(&base_lines, &observed_lines)?;
    let lines = apply(&base_lines, &ours, &theirs)?;
    let ended = three_way(ends_line(base), ends_line(desired), ends_line(observed), true);
    // Of two new line ends the one wins that web forms send: the provider will make it that anyway.
    let end = match three_way(known(ends[0]), known(ends[1]), known(ends[2]), LineEnd::CrLf) {
        LineEnd::CrLf if !mixed => "\r\n",
        _ => "\n",
    };
    Some(join(&lines, end, ended))
}

fn line_end(text: &str) -> LineEnd {
    let all = text.matches('\n').count();
    let crlf = text.matches("\r\n").count();
    match (all, crlf) {
        (0, _) => LineEnd::None,
        (_, 0) => LineEnd::Lf,
        (all, crlf) if all == crlf => LineEnd::CrLf,
        _ => LineEnd::Mixed,
    }
}

fn known(end: LineEnd) -> Option<LineEnd> {
    (end != LineEnd::None).then_some(end)
}

/// What holds after both sides had their say: a side that changed it wins, `tie` where both did. `None` says nothing.
fn three_way<T: PartialEq + Copy>(base: Option<T>, desired: Option<T>, observed: Option<T>, tie: T) -> T {
    match (desired, observed) {
        (Some(ours), Some(theirs)) if ours == theirs || base == Some(theirs) => ours,
        (Some(ours), Some(theirs)) => {
            if base == Some(ours) {
                theirs
            } else {
                tie
            }
        }
        (one, other) => one.or(other).or(base).unwrap_or(tie),
    }
}

/// The lines without their ends; with `\r`, where ends differ inside one text, so that no byte is lost.
fn split(text: &str, mixed: bool) -> Vec<&str> {
    text.split_inclusive('\n')
        .map(|line| line.strip_suffix('\n').unwrap_or(line))
        .map(|line| if mixed { line } else { line.strip_suffix('\r').unwrap_or(line) })
        .collect()
}

/// Whether the last line has an end; `None` where there is no line.
fn ends_line(text: &str) -> Option<bool> {
    (!text.is_empty()).then(|| text.ends_with('\n'))
}

fn join(lines: &[&str], end: &str, ended: bool) -> String {
    let mut text = String::with_capacity(lines.iter().map(|line| line.len().saturating_add(end.len())).sum());
    for (at, line) in lines.iter().enumerate() {
        text.push_str(line);
        if ended || at.saturating_add(1) < lines.len() {
            text.push_str(end);
        }
    }
    text
}

/// Where `side` differs from `base`, in order; `None` where the two are too long to compare.
fn hunks<'l, 't>(base: &[&'t str], side: &'l [&'t str]) -> Option<Vec<Hunk<'l, 't>>> {
    let head = base.iter().zip(side).take_while(|(one, other)| one == other).count();
    let (base_rest, side_rest) = (base.get(head..)?, side.get(head..)?);
    let tail = base_rest.iter().rev().zip(side_rest.iter().rev()).take_while(|(one, other)| one == other).count();
    let base_rest = base_rest.get(..base_rest.len().checked_sub(tail)?)?;
    let side_rest = side_rest.get(..side_rest.len().checked_sub(tail)?)?;
    if base_rest.len().max(side_rest.len()) > MAX_LINES {
        return None;
    }
    let mut hunks: Vec<Hunk<'l, 't>> = Vec::new();
    for op in capture_diff_slices(Algorithm::Myers, base_rest, side_rest) {
        if matches!(op, DiffOp::Equal { .. }) {
            continue;
        }
        let (old, new) = (op.old_range(), op.new_range());
        let (start, end) = (old.start.checked_add(head)?, old.end.checked_add(head)?);
        match hunks.last_mut() {
            // A removal and an insertion at one place are one change.
            Some(last) if last.end == start => {
                let first = new.start.checked_sub(last.lines.len())?;
                last.end = end;
                last.lines = side_rest.get(first..new.end)?;
            }
            _ => hunks.push(Hunk { start, end, lines: side_rest.get(new)? }),
        }
    }
    Some(hunks)
}

fn apply<'t>(base: &[&'t str], ours: &[Hunk<'_, 't>], theirs: &[Hunk<'_, 't>]) -> Option<Vec<&'t str>> {
    let mut lines = Vec::with_capacity(base.len());
    let mut at = 0;
    let (mut ours, mut theirs) = (ours.iter().peekable(), theirs.iter().peekable());
    loop {
        let next = match (ours.peek(), theirs.peek()) {
            (None, None) => break,
            (Some(one), Some(other)) if (one.start, one.end, one.lines) == (other.start, other.end, other.lines) => {
                theirs.next();
                ours.next()?
            }
            (Some(one), Some(other)) if touch(one, other) => return None,
            (Some(one), other) if other.is_none_or(|other| one.start < other.start) => ours.next()?,
            _ => theirs.next()?,
        };
        lines.extend_from_slice(base.get(at..next.start)?);
        lines.extend_from_slice(next.lines);
        at = next.end;
    }
    lines.extend_from_slice(base.get(at..)?);
    Some(lines)
}

/// Whether two changes are about the same lines. Beside each other is fine, unless one of them only inserts: then nobody can tell what comes first.
fn touch(one: &Hunk<'_, '_>, other: &Hunk<'_, '_>) -> bool {
    if one.start == one.end || other.start == other.end {
        one.start <= other.end && other.start <= one.end
    } else {
        one.start < other.end && other.start < one.end
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn lines() -> impl Strategy<Value = Vec<String>> {
        prop::collection::vec("[a-d]{0,1}", 0..7)
    }

    fn text() -> impl Strategy<Value = String> {
        (lines(), prop_oneof![Just("\n"), Just("\r\n")], any::<bool>())
            .prop_map(|(lines, end, ended)| lines.join(end) + if ended && !lines.is_empty() { end } else { "" })
    }

    fn contents(text: &str) -> Vec<&str> {
        text.lines().collect()
    }

    proptest! {
        #[test]
        fn s30_a_text_merge_doesnt_ask_whose_side_is_whose(base in text(), desired in text(), observed in text()) {
            prop_assert_eq!(merge_text(&base, &desired, &observed), merge_text(&base, &observed, &desired));
        }

        #[test]
        fn s30_a_side_that_changed_nothing_changes_nothing(base in text(), side in text()) {
            prop_assert_eq!(merge_text(&base, &side, &side), Some(side.clone()));
            prop_assert_eq!(merge_text(&base, &base, &base), Some(base.clone()));
            // Line ends of a text without any can't be told, so only the lines are compared where the base has none.
            let merged = merge_text(&base, &base, &side).unwrap();
            prop_assert_eq!(contents(&merged), contents(&side));
            if base.contains('\n') && side.contains('\n') {
                prop_assert_eq!(merged, side);
            }
        }

        /// Lines of the base are numbered, so that each has one place; each side removes some and adds marked ones.
        #[test]
        fn s27_a_text_merge_loses_no_line_and_keeps_no_removed_one(
            ours in prop::collection::vec((any::<bool>(), 0..2usize), 8),
            theirs in prop::collection::vec((any::<bool>(), 0..2usize), 8),
            crlf in any::<bool>(),
        ) {
            let side = |mark: &str, edits: &[(bool, usize)]| -> Vec<String> {
                edits.iter().enumerate().flat_map(|(at, (keeps, adds))| {
                    let kept = keeps.then(|| format!("{at}"));
                    kept.into_iter().chain((0..*adds).map(move |n| format!("{mark}{at}.{n}")))
                }).collect()
            };
            let base: Vec<String> = (0..8).map(|at| format!("{at}")).collect();
            let (desired, observed) = (side("d", &ours), side("o", &theirs));
            let end = if crlf { "\r\n" } else { "\n" };
            let whole = |lines: &[String], end: &str| lines.iter().flat_map(|line| [line, end]).collect::<String>();
            if let Some(merged) = merge_text(&whole(&base, "\n"), &whole(&desired, "\n"), &whole(&observed, end)) {
                let merged = contents(&merged);
                let mut expected: Vec<&str> = desired.iter().chain(&observed).map(String::as_str)
                    .filter(|line| !line.starts_with(char::is_numeric)).collect();
                expected.extend((0..8).filter(|at| ours[*at].0 && theirs[*at].0).map(|at| base[at].as_str()));
                expected.sort_unstable();
                let mut found = merged.clone();
                found.sort_unstable();
                prop_assert_eq!(found, expected);
                for side in [&desired, &observed] {
                    let kept: Vec<&str> = side.iter().map(String::as_str).filter(|line| merged.contains(line)).collect();
                    let order: Vec<&str> = merged.iter().copied().filter(|line| side.iter().any(|own| own == line)).collect();
                    prop_assert_eq!(order, kept);
                }
            }
        }
    }

    #[test]
    fn s27_lines_far_apart_merge_and_the_same_line_conflicts() {
        let merged = merge_text("a\nb\nc\n", "A\nb\nc\n", "a\nb\nC\n");
        assert_eq!(merged.as_deref(), Some("A\nb\nC\n"));
        assert_eq!(merge_text("a\nb\n", "A\nb\n", "a\nB\n").as_deref(), Some("A\nB\n"));
        assert_eq!(merge_text("a\nb\nc\n", "X\nb\nc\n", "Y\nb\nc\n"), None);
        assert_eq!(merge_text("a\n", "a\nours\n", "a\ntheirs\n"), None);
        assert_eq!(merge_text("a\n", "a\nboth\n", "a\nboth\n").as_deref(), Some("a\nboth\n"));
        assert_eq!(merge_text("", "ours", "theirs"), None);
    }

    #[test]
    fn s27_a_removed_line_that_the_other_side_changed_is_a_conflict() {
        assert_eq!(merge_text("a\nb\nc\n", "a\nc\n", "a\nB\nc\n"), None);
        assert_eq!(merge_text("a\nb\nc\n", "a\nc\n", "a\nb\nc\nd\n").as_deref(), Some("a\nc\nd\n"));
    }

    #[test]
    fn a_changed_line_end_is_no_changed_line() {
        let merged = merge_text("a\nb\nc\n", "a\nb\nours\n", "A\r\nb\r\nc\r\n");
        assert_eq!(merged.as_deref(), Some("A\r\nb\r\nours\r\n"));
        let mixed = merge_text("a\r\nb\nc\n", "a\r\nb\nC\n", "a\r\nb\nc\nd\n");
        assert_eq!(mixed, None, "the last line changed and something was put after it");
        let mixed = merge_text("a\r\nb\nc\nd\n", "x\r\nb\nc\nd\n", "a\r\nb\nc\nD");
        assert_eq!(mixed.as_deref(), Some("x\r\nb\nc\nD"));
    }

    #[test]
    fn a_missing_last_line_end_is_no_changed_line() {
        assert_eq!(merge_text("a\nb\nc", "A\nb\nc", "a\nb\nc\n").as_deref(), Some("A\nb\nc\n"));
        assert_eq!(merge_text("a\nb\nc\n", "A\nb\nc\n", "a\nb\nc").as_deref(), Some("A\nb\nc"));
        assert_eq!(merge_text("a\nb\nc", "A\nb\nc", "a\nb\nc\nd").as_deref(), Some("A\nb\nc\nd"));
    }

    #[test]
    fn s31_a_text_made_to_be_slow_is_a_conflict_and_a_long_one_with_a_small_change_is_none() {
        let line = |n: u32| format!("{n}\n");
        let base: String = (0..5_000).map(line).collect();
        let other: String = (10_000..15_000).map(line).collect();
        assert_eq!(merge_text(&base, &other, &format!("{base}end\n")), None);
        let ours = base.replacen("7\n", "seven\n", 1);
        let merged = merge_text(&base, &ours, &format!("{base}end\n")).unwrap();
        assert_eq!(merged, format!("{ours}end\n"));
    }
}
