//! Bodies that are kept packed: objects of one collection repeat each other's field names and most of each other's values, so that each is kept as what
//! distinguishes it from an earlier one, its dictionary (LZ4 blocks). Unpacking costs less than a microsecond; what one object costs is then its own.

use std::collections::BTreeMap;
use std::sync::Arc;

use lz4_flex::block::{compress_with_dict, decompress_with_dict};

use super::{Body, Collection};

/// The most that is taken of a body as dictionary. Unpacking needs it in whole, and packing reads it each time.
const MAX_DICTIONARY_BYTES: usize = 8 << 10;
/// Longer bodies are kept as they are: they hold a text of their own, or are a blob.
const MAX_PACKED_BYTES: usize = 1 << 20;
/// How many bodies a collection's first dictionary is used for. Each later one is used for as many times more: whatever the first body was, what it cost is soon
/// little beside what the others do.
const FIRST_USES: u64 = 16;
const MORE_USES: u64 = 8;

/// A body as a store keeps it.
pub(super) enum Held {
    /// As it came.
    Plain(Body),
    /// Packed against a dictionary.
    Packed {
        /// The length of the whole body, and an LZ4 block.
        block: Box<[u8]>,
        dictionary: Arc<Dictionary>,
    },
}

/// What bodies are packed against.
pub(super) struct Dictionary(Box<[u8]>);

impl Held {
    /// Bytes that are kept.
    pub(super) fn len(&self) -> usize {
        match self {
            Self::Plain(body) => body.len(),
            Self::Packed { block, .. } => block.len(),
        }
    }

    /// The body; `None` when what is kept is damaged.
    pub(super) fn body(&self) -> Option<Body> {
        match self {
            Self::Plain(body) => Some(Arc::clone(body)),
            Self::Packed { block, dictionary } => {
                let (length, block) = block.split_first_chunk()?;
                let length = usize::try_from(u32::from_le_bytes(*length)).ok()?;
                let body = decompress_with_dict(block, length, &dictionary.0).ok()?;
                (body.len() == length).then(|| body.into())
            }
        }
    }
}

/// The dictionaries in use, one for each collection.
#[derive(Default)]
pub(super) struct Packer {
    collections: BTreeMap<Collection, InUse>,
}

struct InUse {
    dictionary: Arc<Dictionary>,
    uses: u64,
    renewed_at: u64,
}

impl Packer {
    /// Packs a body, where that makes it shorter.
    pub(super) fn pack(&mut self, collection: Collection, body: Body) -> Held {
        let Some(length) = u32::try_from(body.len()).ok().filter(|_| body.len() <= MAX_PACKED_BYTES) else {
            return Held::Plain(body);
        };
        let known = self.collections.get_mut(&collection).filter(|known| known.uses < known.renewed_at);
        let Some(known) = known else {
            // The body that others are packed against is kept once more, as it is.
            let before = self.collections.get(&collection).map_or(0, |known| known.renewed_at);
            let taken = body.get(..MAX_DICTIONARY_BYTES).unwrap_or(&body);
            let renewed_at = before.saturating_mul(MORE_USES).max(FIRST_USES);
            let dictionary = Arc::new(Dictionary(taken.into()));
            self.collections.insert(collection, InUse { dictionary, uses: before, renewed_at });
            return Held::Plain(body);
        };
        known.uses = known.uses.saturating_add(1);
        let packed = compress_with_dict(&body, &known.dictionary.0);
        if packed.len().saturating_add(size_of::<u32>()) >= body.len() {
            return Held::Plain(body);
        }
        let block = [length.to_le_bytes().as_slice(), &packed].concat();
        Held::Packed { block: block.into(), dictionary: Arc::clone(&known.dictionary) }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{any, prop, prop_assert, prop_assert_eq, proptest};

    use super::*;
    use crate::Kind;

    proptest! {
        #[test]
        fn what_is_packed_comes_back(
            bodies in prop::collection::vec(("(\\{\"[a-z]{3,9}\":\"[a-z]{0,40}\"\\}){0,9}", any::<[u8; 5]>(), any::<bool>()), 0..40)
        ) {
            let mut packer = Packer::default();
            for (text, noise, is_issue) in bodies {
                let collection = Collection::Kind(if is_issue { Kind::Issue } else { Kind::Comment });
                let body: Body = [text.as_bytes(), &noise].concat().into();
                let held = packer.pack(collection, Arc::clone(&body));
                prop_assert!(held.len() <= body.len());
                prop_assert_eq!(held.body(), Some(body));
            }
        }
    }

    fn issue(number: usize) -> Body {
        let text = format!(r#"{{"kind":"Issue","spec":{{"organizationRef":"acme","title":"Number {number}"}}}}"#);
        text.into_bytes().into()
    }

    #[test]
    fn what_a_collection_has_in_common_is_kept_once() {
        let mut packer = Packer::default();
        let collection = Collection::Kind(Kind::Issue);
        // A first body that has nothing in common with the others costs no more than a few of them.
        packer.pack(collection, b"[]".as_slice().into());
        let held: Vec<Held> = (0..1_000).map(|number| packer.pack(collection, issue(number))).collect();
        let bytes: usize = held.iter().map(Held::len).sum();
        let whole: usize = (0..1_000).map(|number| issue(number).len()).sum();
        assert!(bytes * 3 < whole, "{bytes} of {whole}");
        let dictionaries: std::collections::BTreeSet<_> = held
            .iter()
            .filter_map(|held| match held {
                Held::Packed { dictionary, .. } => Some(Arc::as_ptr(dictionary)),
                Held::Plain(_) => None,
            })
            .collect();
        assert!(dictionaries.len() <= 4, "{}", dictionaries.len());
    }

    #[test]
    fn a_long_body_is_kept_and_a_damaged_one_is_told() {
        let mut packer = Packer::default();
        let collection = Collection::Kind(Kind::Issue);
        for _ in 0..2 {
            let long: Body = vec![b'a'; MAX_PACKED_BYTES + 1].into();
            assert_eq!(packer.pack(collection, Arc::clone(&long)).body(), Some(long));
        }
        packer.pack(collection, issue(1));
        let Held::Packed { block, dictionary } = packer.pack(collection, issue(2)) else { panic!("it is packed") };
        for length in 0..block.len() {
            let cut = Held::Packed { block: block[..length].into(), dictionary: Arc::clone(&dictionary) };
            assert_eq!(cut.body(), None, "cut at {length}");
        }
    }
}
