//! A map whose copies share what they have in common: cloning copies a row of pointers, changing one entry copies its shard only. It is asked by borrowed
//! keys, so that a question makes none.

use std::hash::{Hash, Hasher};
use std::sync::Arc;

/// How many shards. A copy costs this many pointers, a change an entry in this many.
const SHARDS: usize = 256;

/// A key that can be looked for without making one.
pub(crate) trait Keyed: Ord + Clone {
    /// What it is looked for by.
    type Ref<'a>: Copy + Hash;

    fn borrowed(&self) -> Self::Ref<'_>;

    fn is(&self, at: Self::Ref<'_>) -> bool;
}

impl Keyed for Box<str> {
    type Ref<'a> = &'a str;

    fn borrowed(&self) -> &str {
        self
    }

    fn is(&self, at: &str) -> bool {
        **self == *at
    }
}

/// Texts that make a key together, in one piece of memory: to compare them touches one place.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Parts<const N: usize> {
    text: Box<str>,
    ends: [usize; N],
}

impl<const N: usize> From<[&str; N]> for Parts<N> {
    fn from(parts: [&str; N]) -> Self {
        let mut end = 0;
        let ends = parts.map(|part| {
            end += part.len();
            end
        });
        Self { text: parts.concat().into(), ends }
    }
}

impl<const N: usize> Keyed for Parts<N> {
    type Ref<'a> = [&'a str; N];

    fn borrowed(&self) -> [&str; N] {
        let mut from = 0;
        self.ends.map(|end| {
            let part = self.text.get(from..end).unwrap_or_default();
            from = end;
            part
        })
    }

    fn is(&self, at: [&str; N]) -> bool {
        self.borrowed() == at
    }
}

/// The map.
#[derive(Debug, Clone)]
pub(crate) struct Shards<K, V> {
    shards: Arc<[Shard<K, V>]>,
}

type Shard<K, V> = Arc<Entries<K, V>>;

/// The entries of a shard, in the order of hashes, then of keys, so that equal maps look alike. The hashes stand by themselves: to look for one touches a line or
/// two of the caches, not one of each entry that is compared.
#[derive(Debug, Clone)]
struct Entries<K, V> {
    hashes: Vec<u64>,
    entries: Vec<(K, V)>,
}

impl<K, V> Default for Shards<K, V> {
    fn default() -> Self {
        let empty = Arc::new(Entries { hashes: Vec::new(), entries: Vec::new() });
        Self { shards: (0..SHARDS).map(|_| Arc::clone(&empty)).collect() }
    }
}

/// Eight bytes at a time, the same on every target, and without a random state: two equal snapshots look alike. Whoever makes many names of one hash slows down
/// what is looked for in one shard of their own snapshot.
struct Words(u64);

impl Words {
    const fn take(&mut self, word: u64) {
        // Fibonacci hashing's odd constant: 2^64 divided by the golden ratio.
        self.0 = (self.0 ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        self.0 ^= self.0 >> 29;
    }
}

impl Hasher for Words {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        let (words, rest) = bytes.as_chunks::<8>();
        for word in words {
            self.take(u64::from_le_bytes(*word));
        }
        // What is left is read as one word, too, that begins in what was read already: the length, taken with it, says where.
        let length = u64::try_from(bytes.len()).unwrap_or_default() << 56;
        if !rest.is_empty() {
            let word = match (bytes.last_chunk::<8>(), bytes.first_chunk::<4>(), bytes.last_chunk::<4>()) {
                (Some(last), ..) => u64::from_le_bytes(*last),
                (None, Some(first), Some(last)) => {
                    u64::from(u32::from_le_bytes(*first)) | (u64::from(u32::from_le_bytes(*last)) << 32)
                }
                _ => rest.iter().fold(0, |word, byte| (word << 8) | u64::from(*byte)),
            };
            self.take(word ^ length);
        }
    }

    /// What stands between two texts of a key; the words before and after it are mixed by themselves.
    fn write_u8(&mut self, byte: u8) {
        self.0 = self.0.wrapping_add(u64::from(byte));
    }

    // What a discriminant or a length is hashed by has another width on other targets.
    fn write_isize(&mut self, number: isize) {
        self.take(u64::try_from(number).unwrap_or_default());
    }

    fn write_usize(&mut self, number: usize) {
        self.take(u64::try_from(number).unwrap_or_default());
    }
}

fn hash_of(key: impl Hash) -> u64 {
    let mut hasher = Words(0xcbf2_9ce4_8422_2325);
    key.hash(&mut hasher);
    hasher.finish()
}

/// The upper eight bits: below 256, so the conversion holds.
fn shard_of(hash: u64) -> usize {
    usize::try_from(hash >> 56).unwrap_or(0)
}

impl<K: Keyed, V: Clone> Shards<K, V> {
    pub(crate) fn get(&self, at: K::Ref<'_>) -> Option<&V> {
        let hash = hash_of(at);
        let Entries { hashes, entries } = &**self.shards.get(shard_of(hash))?;
        let from = hashes.partition_point(|known| *known < hash);
        let same = hashes.get(from..)?.iter().take_while(|known| **known == hash);
        same.zip(entries.get(from..)?).find(|(_, (key, _))| key.is(at)).map(|(_, (_, value))| value)
    }

    /// All entries, shard by shard.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&K, &V)> {
        self.shards.iter().flat_map(|shard| &shard.entries).map(|(key, value)| (key, value))
    }

    /// Changes the entry of `key`: `None` is no entry, before and after.
    pub(crate) fn change(&mut self, key: K, change: impl FnOnce(&mut Option<V>)) {
        let hash = hash_of(key.borrowed());
        let Some(shard) = Arc::make_mut(&mut self.shards).get_mut(shard_of(hash)) else { return };
        let Entries { hashes, entries } = Arc::make_mut(shard);
        let smaller = hashes.partition_point(|known| *known < hash);
        let same = hashes.iter().zip(entries.iter()).skip(smaller).take_while(|(known, _)| **known == hash);
        let at = smaller + same.take_while(|(_, (known, _))| *known < key).count();
        let is_there = entries.get(at).is_some_and(|(known, _)| *known == key);
        let mut slot = is_there.then(|| {
            hashes.remove(at);
            entries.remove(at).1
        });
        change(&mut slot);
        if let Some(value) = slot {
            hashes.insert(at, hash);
            entries.insert(at, (key, value));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    /// A key of which all have one hash.
    #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
    struct Same(u8);

    #[derive(Clone, Copy)]
    struct Nothing(u8);

    impl Hash for Nothing {
        fn hash<H: Hasher>(&self, _: &mut H) {}
    }

    impl Keyed for Same {
        type Ref<'a> = Nothing;

        fn borrowed(&self) -> Nothing {
            Nothing(self.0)
        }

        fn is(&self, at: Nothing) -> bool {
            self.0 == at.0
        }
    }

    fn text() -> impl Strategy<Value = String> {
        prop_oneof!["[a-c]{0,2}", "[a-c]{7,9}", "[a-c]{15,17}"]
    }

    proptest! {
        /// P48: what was changed is what a plain map has, and an earlier copy stays as it was.
        #[test]
        fn p48_shards_are_a_map(steps in prop::collection::vec((text(), text(), any::<Option<u8>>()), 0..60)) {
            let (mut shards, mut plain) = (Shards::<Parts<2>, u8>::default(), BTreeMap::new());
            for (one, other, value) in steps {
                let before = shards.clone();
                let was = plain.get(&(one.clone(), other.clone())).copied();
                shards.change([one.as_str(), other.as_str()].into(), |slot| {
                    assert_eq!(*slot, was);
                    *slot = value;
                });
                prop_assert_eq!(before.get([&one, &other]).copied(), was);
                match value {
                    Some(value) => plain.insert((one.clone(), other.clone()), value),
                    None => plain.remove(&(one.clone(), other.clone())),
                };
                prop_assert_eq!(shards.iter().count(), plain.len());
                for ((one, other), value) in &plain {
                    prop_assert_eq!(shards.get([one, other]), Some(value));
                }
            }
        }

        #[test]
        fn p48_keys_of_one_hash_are_told_apart(steps in prop::collection::vec((0_u8..6, any::<Option<u8>>()), 0..40)) {
            let (mut shards, mut plain) = (Shards::<Same, u8>::default(), BTreeMap::new());
            for (key, value) in steps {
                shards.change(Same(key), |slot| *slot = value);
                match value {
                    Some(value) => plain.insert(key, value),
                    None => plain.remove(&key),
                };
                for key in 0..6 {
                    prop_assert_eq!(shards.get(Nothing(key)), plain.get(&key));
                }
            }
            let order: Vec<u8> = shards.iter().map(|(key, _)| key.0).collect();
            prop_assert!(order.is_sorted(), "equal maps look alike: {:?}", order);
        }
    }
}
