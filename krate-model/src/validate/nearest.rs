//! The known name that was probably meant (R7, R11).

/// The candidate that differs least from `text`, if any is near enough to be meant.
///
/// Equal but for case, `-` and `_` is nearest of all; a name that the other starts or ends with (`repo`, `repository`) is near too.
pub(super) fn nearest<'c>(text: &str, candidates: impl IntoIterator<Item = &'c str>) -> Option<&'c str> {
    // Names are short; a long text is compared by nobody.
    if text.is_empty() || text.len() > 64 {
        return None;
    }
    let wanted = folded(text);
    let bound = (wanted.len() / 3).clamp(1, 4);
    candidates
        .into_iter()
        .filter(|candidate| candidate.len() <= 64)
        .filter_map(|candidate| {
            let name = folded(candidate);
            let distance = distance(&wanted, &name);
            let shorter = wanted.len().min(name.len());
            let extends = shorter >= 3 && (starts(&name, &wanted) || starts(&wanted, &name));
            (distance <= bound || extends)
                .then_some((distance.min(if extends { bound } else { usize::MAX }), candidate))
        })
        .min()
        .map(|(_, candidate)| candidate)
}

fn folded(text: &str) -> Vec<char> {
    text.chars().filter(|char| !matches!(char, '-' | '_')).map(|char| char.to_ascii_lowercase()).collect()
}

fn starts(long: &[char], short: &[char]) -> bool {
    long.starts_with(short) || long.ends_with(short)
}

/// Edits between two names; two neighbours exchanged are one edit.
fn distance(a: &[char], b: &[char]) -> usize {
    let width = b.len() + 1;
    let mut before: Vec<usize> = Vec::new();
    let mut above: Vec<usize> = (0..width).collect();
    for (row, &left) in a.iter().enumerate() {
        let mut current = Vec::with_capacity(width);
        current.push(row + 1);
        for (column, &right) in b.iter().enumerate() {
            let cost = |cells: &[usize], at: usize| cells.get(at).copied().unwrap_or(usize::MAX - 1);
            let replaced = cost(&above, column) + usize::from(left != right);
            let mut best = replaced.min(cost(&above, column + 1) + 1).min(cost(&current, column) + 1);
            let swapped = row > 0 && column > 0 && a.get(row - 1) == Some(&right) && b.get(column - 1) == Some(&left);
            if swapped {
                best = best.min(cost(&before, column - 1) + 1);
            }
            current.push(best);
        }
        before = std::mem::replace(&mut above, current);
    }
    above.last().copied().unwrap_or(a.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn r7_the_nearest_name_is_the_one_meant() {
        let fields = ["title", "body", "state", "labels", "assignees", "repository", "installationId", "secretRef"];
        for (found, meant) in [
            ("titel", Some("title")),
            ("Title", Some("title")),
            ("repo", Some("repository")),
            ("secret_ref", Some("secretRef")),
            ("label", Some("labels")),
            ("zzz", None),
            ("", None),
        ] {
            assert_eq!(nearest(found, fields), meant, "{found}");
        }
        assert_eq!(nearest("githb", ["gitlab", "github", "gitea"]), Some("github"));
    }
}
