//! What the people of a history did, and what a reader of it wants to know.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};

/// One text that a person wrote. Every text is written once, so that it can be told where it went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Edit {
    /// Whether it was written here, not at the forge.
    pub here: bool,
    /// Which object and field: `issue/7 title`, `comment/99 body`.
    pub place: String,
    /// The text.
    pub text: String,
}

/// A decision about a conflict.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision {
    /// The conflict's name.
    pub conflict: String,
    /// Whether krate's value is to stand.
    pub for_krate: bool,
    /// How many texts had been written before it.
    pub edits: usize,
    /// How many writes the forge had carried out before it.
    pub written: usize,
}

/// What happened.
#[derive(Debug, Clone, Default)]
pub struct Journal {
    /// The texts, in the order in which they were written.
    pub edits: Vec<Edit>,
    /// The labels that each issue has to have, by its number.
    pub labels: BTreeMap<u64, BTreeSet<String>>,
    /// What people decided about conflicts, in order.
    pub decisions: Vec<Decision>,
    /// Writes that a person denied or took back: the object, and all that the write would have written.
    pub unwanted: Vec<(String, String)>,
    /// Calls that were refused for a limit in one moment, at most.
    pub most_refused: usize,
    refused: (DateTime<Utc>, usize),
    /// Whether a webhook got lost: nobody took it in, and nobody sends it again.
    pub lost: bool,
    next: u64,
    timeline: Option<Vec<String>>,
}

impl Journal {
    /// One that also keeps the timeline, for a history that somebody reads.
    pub fn told() -> Self {
        Self { timeline: Some(Vec::new()), ..Self::default() }
    }

    /// A number that no text and no label had before.
    pub fn fresh(&mut self) -> u64 {
        self.next = self.next.saturating_add(1);
        self.next
    }

    /// Notes a call that was refused for a limit.
    pub fn limited(&mut self, at: DateTime<Utc>) {
        let (second, count) = self.refused;
        self.refused = (at, if second == at { count.saturating_add(1) } else { 1 });
        self.most_refused = self.most_refused.max(self.refused.1);
    }

    /// Notes a text.
    pub fn wrote(&mut self, here: bool, place: String, text: String) {
        self.edits.push(Edit { here, place, text });
    }

    /// Adds a line to the timeline, where one is kept.
    pub fn tell(&mut self, at: DateTime<Utc>, line: impl FnOnce() -> String) {
        if let Some(timeline) = &mut self.timeline {
            timeline.push(format!("{}  {}", at.format("%d %H:%M:%S"), line()));
        }
    }

    /// The timeline.
    pub fn timeline(&self) -> &[String] {
        self.timeline.as_deref().unwrap_or_default()
    }
}
