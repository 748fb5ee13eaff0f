//! SPDX licence expressions, as far as crates use them: names, `AND`, `OR`, `WITH`, parentheses, and the old form with a slash.

use std::fmt;

/// A licence expression.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Licence {
    /// One licence, with its exception if it has one: `Apache-2.0 WITH LLVM-exception`.
    Named(String),
    /// All of them bind.
    All(Vec<Licence>),
    /// Whoever uses it picks one.
    Any(Vec<Licence>),
}

/// Text that is no licence expression.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotAnExpression(String);

impl fmt::Display for NotAnExpression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} is no licence expression", self.0)
    }
}

impl Licence {
    /// Reads an expression.
    pub fn parse(text: &str) -> Result<Self, NotAnExpression> {
        // `MIT/Apache-2.0` was the way to say OR before SPDX expressions were asked for.
        let spaced = text.replace('(', " ( ").replace(')', " ) ").replace('/', " OR ");
        let words: Vec<&str> = spaced.split_whitespace().collect();
        let mut rest = &words[..];
        let licence = any(&mut rest).filter(|_| rest.is_empty());
        licence.ok_or_else(|| NotAnExpression(text.to_owned()))
    }

    /// Whether the licences in `allowed` are enough to use it.
    pub fn is_met_by(&self, allowed: &[String]) -> bool {
        match self {
            Self::Named(name) => allowed.contains(name),
            Self::All(parts) => parts.iter().all(|part| part.is_met_by(allowed)),
            Self::Any(parts) => parts.iter().any(|part| part.is_met_by(allowed)),
        }
    }
}

fn any(rest: &mut &[&str]) -> Option<Licence> {
    let mut parts = vec![all(rest)?];
    while take(rest, "OR") {
        parts.push(all(rest)?);
    }
    Some(if parts.len() == 1 { parts.remove(0) } else { Licence::Any(parts) })
}

fn all(rest: &mut &[&str]) -> Option<Licence> {
    let mut parts = vec![one(rest)?];
    while take(rest, "AND") {
        parts.push(one(rest)?);
    }
    Some(if parts.len() == 1 { parts.remove(0) } else { Licence::All(parts) })
}

fn one(rest: &mut &[&str]) -> Option<Licence> {
    if take(rest, "(") {
        let inner = any(rest)?;
        return take(rest, ")").then_some(inner);
    }
    let name = word(rest)?;
    if take(rest, "WITH") {
        return Some(Licence::Named(format!("{name} WITH {}", word(rest)?)));
    }
    Some(Licence::Named(name.to_owned()))
}

fn word<'a>(rest: &mut &[&'a str]) -> Option<&'a str> {
    let (first, others) = rest.split_first()?;
    if matches!(*first, "AND" | "OR" | "WITH" | "(" | ")") {
        return None;
    }
    *rest = others;
    Some(first)
}

fn take(rest: &mut &[&str], expected: &str) -> bool {
    match rest.split_first() {
        Some((first, others)) if *first == expected => {
            *rest = others;
            true
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn met(expression: &str, allowed: &[&str]) -> bool {
        let allowed: Vec<String> = allowed.iter().map(|name| (*name).to_owned()).collect();
        Licence::parse(expression).unwrap().is_met_by(&allowed)
    }

    #[test]
    fn a_choice_needs_one_and_a_conjunction_needs_all() {
        assert!(met("MIT OR GPL-3.0-only", &["MIT"]));
        assert!(!met("MIT AND GPL-3.0-only", &["MIT"]));
        assert!(met("(MIT OR Apache-2.0) AND Unicode-3.0", &["Apache-2.0", "Unicode-3.0"]));
        assert!(!met("(MIT OR Apache-2.0) AND Unicode-3.0", &["Apache-2.0", "MIT"]));
        assert!(met("Unlicense/MIT", &["MIT"]));
    }

    #[test]
    fn and_binds_closer_than_or() {
        assert!(met("MIT OR Apache-2.0 AND NCSA", &["MIT"]));
        assert!(!met("MIT AND NCSA OR Apache-2.0 AND NCSA", &["MIT", "Apache-2.0"]));
    }

    #[test]
    fn an_exception_is_part_of_the_name() {
        assert!(!met("Apache-2.0 WITH LLVM-exception", &["Apache-2.0"]));
        assert!(met("Apache-2.0 WITH LLVM-exception", &["Apache-2.0 WITH LLVM-exception"]));
    }

    #[test]
    fn what_is_no_expression_is_refused() {
        for text in ["", "MIT OR", "(MIT", "MIT Apache-2.0", "AND MIT", "MIT WITH"] {
            assert_eq!(Licence::parse(text), Err(NotAnExpression(text.to_owned())), "{text}");
        }
    }
}
