//! The matcher against a naive one, and the spec's tables (P12 to P16, P66).

use super::*;
use proptest::prelude::*;

fn pattern(text: &str) -> Pattern {
    Pattern::parse(text, Domain::Name).unwrap_or_else(|error| panic!("{text}: the pattern {error}"))
}

/// The grammar's meaning said as plainly as possible: every combination, segment by segment, character by character.
mod naive {
    pub(super) fn matches(pattern: &str, text: &str) -> bool {
        segments(&pattern.split('/').collect::<Vec<_>>(), &text.split('/').collect::<Vec<_>>())
    }

    fn combinations(pattern: &str) -> Vec<String> {
        let Some((before, rest)) = pattern.split_once('{') else { return vec![pattern.to_owned()] };
        let (inside, after) = rest.split_once('}').unwrap();
        let tails = combinations(after);
        inside.split(',').flat_map(|part| tails.iter().map(move |tail| format!("{before}{part}{tail}"))).collect()
    }

    fn segments(pattern: &[&str], text: &[&str]) -> bool {
        match pattern {
            [] => text.is_empty(),
            ["**"] => !text.is_empty(),
            ["**", rest @ ..] => (0..=text.len()).any(|skipped| segments(rest, &text[skipped..])),
            [first, rest @ ..] => {
                let Some((text, others)) = text.split_first() else { return false };
                // Two stars that braces bring together are two runs, not `**`.
                let fits = |alone: &String| segment(&alone.replace("**", "*"), text);
                combinations(first).iter().any(fits) && segments(rest, others)
            }
        }
    }

    fn segment(pattern: &str, text: &str) -> bool {
        let Some(first) = pattern.chars().next() else { return text.is_empty() };
        let rest = &pattern[first.len_utf8()..];
        let cut = text.char_indices().map(|(at, _)| at).chain([text.len()]);
        match first {
            '*' => cut.into_iter().any(|at| segment(rest, &text[at..])),
            '?' => text.chars().next().is_some_and(|char| segment(rest, &text[char.len_utf8()..])),
            literal => text.strip_prefix(literal).is_some_and(|text| segment(rest, text)),
        }
    }
}

/// Patterns without escapes, in a small alphabet so that texts often match.
fn patterns() -> impl Strategy<Value = String> {
    let part = proptest::collection::vec(prop_oneof!["[abé]", Just("*".to_owned()), Just("?".to_owned())], 0..3);
    let part = part.prop_map(|parts| parts.concat().replace("**", "*"));
    let braces = proptest::collection::vec(part, 2..4).prop_map(|parts| format!("{{{}}}", parts.join(",")));
    let piece = prop_oneof![4 => "[abé]", 1 => Just("*".to_owned()), 1 => Just("?".to_owned()), 1 => braces];
    let pieces = proptest::collection::vec(piece, 1..4).prop_map(|pieces| pieces.concat());
    let segment = prop_oneof![3 => pieces, 1 => Just("**".to_owned())];
    proptest::collection::vec(segment, 1..5).prop_map(|segments| segments.join("/"))
}

fn texts() -> impl Strategy<Value = String> {
    proptest::collection::vec("[abé]{0,3}", 1..6).prop_map(|segments| segments.join("/"))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2048))]

    #[test]
    fn p14_the_machine_agrees_with_the_naive_matcher(pattern in patterns(), text in texts()) {
        if let Ok(read) = Pattern::parse(&pattern, Domain::Name) {
            prop_assert_eq!(read.matches(&text), naive::matches(&pattern, &text), "{} on {}", pattern, text);
        }
    }

    #[test]
    fn p14_any_text_is_read_or_refused(pattern in "\\PC{0,40}|[*?{},/a\\\\\\[!]{0,40}", text in "\\PC{0,40}") {
        for domain in [Domain::Ref, Domain::Path, Domain::Name] {
            if let Ok(read) = Pattern::parse(&pattern, domain) {
                read.matches(&text);
                read.over_matches(&text);
            }
            let _ = domain.check(&text);
        }
    }

    #[test]
    fn p66_a_deny_list_catches_all_that_an_include_list_takes(pattern in patterns(), text in texts()) {
        if let Ok(read) = Pattern::parse(&pattern, Domain::Name) {
            prop_assert!(!read.matches(&text) || read.over_matches(&text));
            prop_assert!(!read.over_matches(&text) || read.over_matches(&text.to_uppercase()) || pattern.contains('?'));
        }
    }

    #[test]
    fn p70_what_is_covered_never_matches_alone(wide in patterns(), narrow in patterns(), text in texts()) {
        if let (Ok(wide), Ok(narrow)) = (Pattern::parse(&wide, Domain::Name), Pattern::parse(&narrow, Domain::Name)) {
            prop_assert!(wide.covers(&wide) && narrow.covers(&narrow));
            if wide.covers(&narrow) {
                prop_assert!(!narrow.matches(&text) || wide.matches(&text));
            }
        }
    }

    #[test]
    fn p12_a_literal_that_its_domain_knows_is_a_pattern_that_matches_itself(text in "refs/[a-z./@{~]{1,8}|[a-z./]{1,8}|\\.[gG]it") {
        for domain in [Domain::Ref, Domain::Path] {
            let escaped = text.replace('{', "\\{");
            match (domain.check(&text), Pattern::parse(&escaped, domain)) {
                (Ok(()), read) => prop_assert!(read.unwrap().matches(&text)),
                (Err(_), read) => prop_assert!(read.is_err(), "{text} is no {domain:?}"),
            }
        }
    }
}

#[test]
fn p15_the_table_of_forms() {
    for (text, fits, misses) in [
        ("a/*", &["a/b", "a/"][..], &["a", "a/b/c", "b/a"][..]),
        ("a/**", &["a/b", "a/b/c"], &["a", "ab", "b/a/c"]),
        ("**/b", &["b", "a/b", "a/a/b"], &["ab", "a/b/a"]),
        ("a/**/b", &["a/b", "a/x/b", "a/x/y/b"], &["a", "ab", "a/b/c", "xa/b"]),
        ("a?c", &["abc", "aéc"], &["ac", "a/c", "abbc"]),
        ("{a,b*,}c", &["ac", "bxc", "bc", "c"], &["dc", "abc"]),
        ("\\*\\{\\,\\!", &["*{,!"], &["a{,!"]),
        ("**", &["a", "a/b"], &[]),
        ("**/*.env", &[".env", "a/.env", "a/b/c.env"], &["env", "a.env/b"]),
    ] {
        let read = pattern(text);
        for fit in fits {
            assert!(read.matches(fit), "{text} takes {fit}");
        }
        for miss in misses {
            assert!(!read.matches(miss), "{text} does not take {miss}");
        }
    }
}

#[test]
fn p14_a_hostile_pattern_takes_linear_time() {
    // A backtracking matcher would need 2^40 steps for this; the machine needs 40 states for each character.
    let hostile = pattern(&format!("{}b", "*a".repeat(40)));
    assert!(!hostile.matches(&"a".repeat(100_000)));
    let deep = pattern(&["**/a"; 15].join("/"));
    assert!(!deep.matches(&vec!["a"; 50_000].join("/").replace("a/a", "a/b")));
}

#[test]
fn p13_include_lists_take_every_letter_as_it_is_and_decode_nothing() {
    let main = pattern("refs/heads/main");
    for other in
        ["refs/heads/Main", "refs/heads/main\u{200b}", "refs/heads/main ", "refs%2Fheads%2Fmain", "refs/heads/mаin"]
    {
        assert!(!main.matches(other), "{other:?}");
    }
}

#[test]
fn p66_deny_lists_look_through_case_width_and_what_is_invisible() {
    let release = pattern("refs/heads/release/**");
    for disguised in [
        "refs/heads/Release/1",
        "refs/heads/rel\u{200b}ease/1",
        "refs/heads/ｒelease/1",
        "refs/heads/re\u{ad}lease/1",
        "refs/heads/relea\u{17f}e/1",
        "refs／heads/release/1",
    ] {
        assert!(release.over_matches(disguised) && !release.matches(disguised), "{disguised:?}");
    }
    assert!(pattern("straße").over_matches("STRASSE"));
    assert!(!release.over_matches("refs/heads/released/1"));
}

#[test]
fn p16_what_deceives_is_refused_when_written_and_taken_by_double_star_alone() {
    for deceptive in ["mаin", "a\u{202e}b", "a\u{200d}b", "gro\u{308}ße"] {
        assert!(matches!(Pattern::parse(deceptive, Domain::Name), Err(PatternError::Deceptive(_))), "{deceptive:?}");
        let text = format!("refs/heads/{deceptive}");
        assert!(!pattern("refs/heads/*").matches(&text), "{text:?}");
        assert!(!pattern("refs/*/{*,?}").matches(&text), "{text:?}");
        assert!(pattern("refs/heads/**").matches(&text), "{text:?}");
        assert!(pattern("**/heads/**").matches(&text) && pattern("refs/*/**").matches(&text), "{text:?}");
    }
    for honest in ["größe", "ветка", "日本語-docs", "東京タワーtower", "서울-main", "λόγος", "a-1_2"]
    {
        assert!(pattern("*").matches(honest), "{honest}");
        assert!(pattern(honest).matches(honest), "{honest}");
    }
}

#[test]
fn p12_a_pattern_that_can_never_match_is_refused_with_the_reason() {
    for never in [
        "refs/heads/../main",
        "refs/heads/.a",
        "refs/heads/x.lock",
        "refs/heads/a b",
        "refs/heads/a~*",
        "refs/heads/a@\\{b",
    ] {
        let error = Pattern::parse(never, Domain::Ref).unwrap_err();
        assert!(matches!(error, PatternError::NeverMatches(_)), "{never}: {error}");
    }
    for never in ["a/../b", "./a", ".git/config", "a/.GIT/hooks", ".g\u{200c}it", "git~1/x", ".git. /x"] {
        assert!(Pattern::parse(never, Domain::Path).is_err(), "{never}");
        assert!(Domain::Path.check(never).is_err(), "{never}");
    }
    // One alternative that can match is enough.
    assert!(Pattern::parse("refs/heads/{..,main}", Domain::Ref).is_ok());
    assert_eq!(Pattern::parse("heads/main", Domain::Ref), Err(PatternError::ShortRef));
    assert!(Pattern::parse("refs/heads/*.lock*", Domain::Ref).is_ok());
    for good in ["refs/heads/main", "refs/pull/42/head", "refs/merge-requests/7/head", "refs/changes/45/12345/2"] {
        assert_eq!(Domain::Ref.check(good), Ok(()), "{good}");
    }
    for bad in
        ["main", "refs/heads/main ", "refs/heads/", "refs//heads", "refs/heads/a.", "refs/heads/a..b", "/refs/heads/a"]
    {
        assert!(Domain::Ref.check(bad).is_err(), "{bad}");
    }
    for good in ["a", ".github/workflows/ci.yml", ".gitignore", "src/..a"] {
        assert_eq!(Domain::Path.check(good), Ok(()), "{good}");
    }
}

#[test]
fn p15_exclude_wins_and_an_empty_list_matches_nothing() {
    let filter = Filter::new(Some(&["refs/heads/**"]), &["refs/heads/release/**"], Domain::Ref).unwrap();
    assert_eq!(
        filter.select("refs/heads/a"),
        Selection::Included(&Pattern::parse("refs/heads/**", Domain::Ref).unwrap())
    );
    assert!(matches!(filter.select("refs/heads/Release/1"), Selection::Excluded(_)));
    assert_eq!(filter.select("refs/tags/v1"), Selection::Unmatched);
    let empty = Filter::new::<&str>(Some(&[]), &[], Domain::Ref).unwrap();
    assert_eq!(empty.select("refs/heads/a"), Selection::Unmatched);
    let absent = Filter::new::<&str>(None, &[], Domain::Ref).unwrap();
    assert_eq!(absent.select("refs/heads/a"), Selection::Unlisted);
    let error = Filter::new(Some(&["refs/heads/a", "main"]), &[], Domain::Ref).unwrap_err();
    assert_eq!(error, FilterError::Pattern { list: List::Include, index: 1, error: PatternError::ShortRef });
}

#[test]
fn p70_a_pattern_under_a_wider_one_is_named() {
    let include = ["refs/heads/**", "refs/heads/release/*", "refs/tags/{v1,v2}", "refs/tags/v1"];
    let filter = Filter::new(Some(&include), &[], Domain::Ref).unwrap();
    let named: Vec<_> =
        filter.unreachable().into_iter().map(|(under, wider)| (under.as_str(), wider.as_str())).collect();
    assert_eq!(named, [("refs/heads/release/*", "refs/heads/**"), ("refs/tags/v1", "refs/tags/{v1,v2}")]);
    for (wide, narrow, covered) in [
        ("*", "a*b", true),
        ("a*b", "*", false),
        ("**", "a/b/c", true),
        ("a/**/b", "a/*/b", true),
        ("a/*/b", "a/**/b", false),
        ("??", "{ab,cd}", true),
        ("?", "{a,}", false),
    ] {
        assert_eq!(pattern(wide).covers(&pattern(narrow)), covered, "{wide} over {narrow}");
    }
}
