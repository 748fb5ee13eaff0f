//! The machine that a pattern becomes: states that a text is read through once (P14).

use super::grammar::{Piece, Segment};

/// What a state takes, and where it leads. Leads without taking go forward only, so one pass in order finds all that is reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum State {
    /// Takes this character.
    Char(char),
    /// Takes one character but `/`.
    One,
    /// Takes any run of characters but `/`, or leads on.
    Run,
    /// Leads to each of these.
    Fork(Box<[usize]>),
    /// Inside one of any number of whole segments; `/` leads back to the fork before it.
    Depth,
    /// Takes whatever is left.
    Rest,
    /// The end of the pattern.
    End,
}

/// A compiled pattern.
#[derive(Debug, Clone)]
pub(super) struct Machine {
    shape: Shape,
    states: Box<[State]>,
}

/// Patterns that need no machine, the most frequent ones.
#[derive(Debug, Clone)]
enum Shape {
    /// Only characters: equal or not.
    Literal(Box<str>),
    /// Characters, then a final `**`: begins with these, or not.
    Under(Box<str>),
    /// Everything else.
    General,
}

impl Machine {
    /// Compiles `segments`, each literal changed by `literal`.
    pub(super) fn new(segments: &[Segment], literal: impl Fn(&str) -> String) -> Self {
        let mut states = Vec::new();
        let mut plain = Some(String::new());
        let last = segments.len().saturating_sub(1);
        for (index, segment) in segments.iter().enumerate() {
            match segment {
                Segment::AnyDepth if index == last => {
                    states.push(State::Rest);
                }
                Segment::AnyDepth => {
                    let fork = states.len();
                    states.push(State::Fork([fork + 1, fork + 2].into()));
                    states.push(State::Depth);
                    plain = None;
                }
                Segment::Pieces(pieces) => {
                    add(pieces, &literal, &mut states);
                    plain = plain.zip(only_literal(pieces)).map(|(before, text)| before + &literal(text));
                    if index != last {
                        states.push(State::Char('/'));
                        plain = plain.map(|before| before + "/");
                    }
                }
            }
        }
        states.push(State::End);
        let shape = match (plain, segments.last()) {
            (Some(text), Some(Segment::AnyDepth)) => Shape::Under(text.into()),
            (Some(text), _) => Shape::Literal(text.into()),
            (None, _) => Shape::General,
        };
        Self { shape, states: states.into() }
    }

    /// Whether the whole text is taken. A segment that is `opaque` is taken by `**` alone.
    pub(super) fn accepts(&self, text: &str, opaque: impl Fn(&str) -> bool) -> bool {
        match &self.shape {
            // What was written is not opaque, so an equal text isn't either; what follows is `**`, which takes everything.
            Shape::Literal(literal) => **literal == *text,
            Shape::Under(prefix) => text.starts_with(&**prefix),
            Shape::General => match self.states.len() {
                0..=64 => self.run::<1>(text, opaque),
                65..=576 => self.run::<9>(text, opaque),
                // Only folding makes a pattern longer than its bytes: at most 18 characters for 3 bytes.
                _ => self.run::<64>(text, opaque),
            },
        }
    }

    fn run<const WORDS: usize>(&self, text: &str, opaque: impl Fn(&str) -> bool) -> bool {
        let mut reached = self.start::<WORDS>();
        // ASCII can't deceive, so most texts are looked at once only.
        let look = !text.is_ascii();
        for (index, segment) in text.split('/').enumerate() {
            if index > 0 {
                reached = self.step(&reached, '/', false);
            }
            let hidden = look && opaque(segment);
            for char in segment.chars() {
                reached = self.step(&reached, char, hidden);
                if reached.is_empty() {
                    return false;
                }
            }
        }
        self.is_end(&reached)
    }

    /// Where the machine stands before the first character.
    pub(super) fn start<const WORDS: usize>(&self) -> Reached<WORDS> {
        let mut reached = Reached([0; WORDS]);
        reached.add(0);
        self.follow(&mut reached);
        reached
    }

    /// Where it stands after `char`.
    pub(super) fn step<const WORDS: usize>(&self, from: &Reached<WORDS>, char: char, hidden: bool) -> Reached<WORDS> {
        let mut to = Reached([0; WORDS]);
        for index in from.iter() {
            match self.states.get(index) {
                Some(State::Rest) => to.add(index),
                Some(State::Depth) if char == '/' => to.add(index.saturating_sub(1)),
                Some(State::Depth) => to.add(index),
                _ if hidden => {}
                Some(State::Char(wanted)) if *wanted == char => to.add(index + 1),
                Some(State::One) if char != '/' => to.add(index + 1),
                Some(State::Run) if char != '/' => to.add(index),
                _ => {}
            }
        }
        self.follow(&mut to);
        to
    }

    /// Whether the text may end here.
    pub(super) fn is_end<const WORDS: usize>(&self, reached: &Reached<WORDS>) -> bool {
        reached.has(self.states.len().saturating_sub(1))
    }

    /// The characters that the pattern names.
    pub(super) fn chars(&self) -> impl Iterator<Item = char> {
        self.states.iter().filter_map(|state| if let State::Char(char) = state { Some(*char) } else { None })
    }

    /// How many states there are.
    pub(super) fn len(&self) -> usize {
        self.states.len()
    }

    /// Adds what is reached without taking anything.
    fn follow<const WORDS: usize>(&self, reached: &mut Reached<WORDS>) {
        for word in 0..WORDS {
            let mut seen = 0u64;
            // A lead goes forward, perhaps within this word: look until nothing new is in it.
            while let Some(bit) = reached.word(word, !seen) {
                seen |= 1 << bit;
                let index = word * 64 + bit;
                match self.states.get(index) {
                    Some(State::Run | State::Rest) => reached.add(index + 1),
                    Some(State::Fork(targets)) => targets.iter().for_each(|target| reached.add(*target)),
                    _ => {}
                }
            }
        }
    }
}

/// The literal that is all of `pieces`, if they are that.
fn only_literal(pieces: &[Piece]) -> Option<&str> {
    if let [Piece::Literal(text)] = pieces { Some(text) } else { None }
}

fn add(pieces: &[Piece], literal: &impl Fn(&str) -> String, states: &mut Vec<State>) {
    for piece in pieces {
        match piece {
            Piece::Literal(text) => states.extend(literal(text).chars().map(State::Char)),
            Piece::One => states.push(State::One),
            Piece::Run => states.push(State::Run),
            Piece::Either(parts) => {
                // fork, part, lead out, part, lead out …; the leads are known when all parts are there.
                let fork = states.len();
                states.push(State::Fork([].into()));
                let (mut begins, mut leads) = (Vec::new(), Vec::new());
                for part in parts {
                    begins.push(states.len());
                    add(part, literal, states);
                    leads.push(states.len());
                    states.push(State::Fork([].into()));
                }
                let after = states.len();
                let targets = leads.into_iter().map(|lead| (lead, vec![after])).chain([(fork, begins)]);
                for (from, to) in targets {
                    if let Some(state) = states.get_mut(from) {
                        *state = State::Fork(to.into());
                    }
                }
            }
        }
    }
}

/// The states that a text has led to.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Reached<const WORDS: usize>([u64; WORDS]);

impl<const WORDS: usize> Reached<WORDS> {
    fn add(&mut self, index: usize) {
        if let Some(word) = self.0.get_mut(index / 64) {
            *word |= 1 << (index % 64);
        }
    }

    fn has(&self, index: usize) -> bool {
        self.0.get(index / 64).is_some_and(|word| word & (1 << (index % 64)) != 0)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0 == [0; WORDS]
    }

    /// The lowest state in the word, of those in `mask`.
    fn word(&self, word: usize, mask: u64) -> Option<usize> {
        let bits = self.0.get(word).copied().unwrap_or_default() & mask;
        (bits != 0).then(|| bits.trailing_zeros() as usize)
    }

    fn iter(&self) -> impl Iterator<Item = usize> {
        self.0.iter().enumerate().flat_map(|(word, bits)| {
            let mut left = *bits;
            std::iter::from_fn(move || {
                (left != 0).then(|| {
                    let bit = left.trailing_zeros() as usize;
                    left &= left - 1;
                    word * 64 + bit
                })
            })
        })
    }
}
