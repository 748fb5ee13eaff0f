//! A map whose copies share what they have in common: cloning copies a row of pointers, changing one entry copies its shard only.

use std::collections::BTreeMap;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

/// How many shards. A copy costs this many pointers, a change an entry in this many.
const SHARDS: usize = 256;

/// The map.
#[derive(Debug, Clone)]
pub(crate) struct Shards<K, V> {
    shards: Arc<[Arc<BTreeMap<K, V>>]>,
}

impl<K, V> Default for Shards<K, V> {
    fn default() -> Self {
        let empty = Arc::new(BTreeMap::new());
        Self { shards: (0..SHARDS).map(|_| Arc::clone(&empty)).collect() }
    }
}

/// FNV-1a: without a random state, so that two equal snapshots look alike.
struct Fnv(u64);

impl Hasher for Fnv {
    fn finish(&self) -> u64 {
        self.0
    }
    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }
}

fn shard_of<K: Hash>(key: &K) -> usize {
    let mut hasher = Fnv(0xcbf2_9ce4_8422_2325);
    key.hash(&mut hasher);
    // The low eight bits of the folded hash; the remainder is below 256, so the conversion holds.
    let hash = hasher.finish();
    usize::try_from((hash ^ (hash >> 32)) % 256).unwrap_or(0)
}

impl<K: Ord + Hash + Clone, V: Clone> Shards<K, V> {
    pub(crate) fn get(&self, key: &K) -> Option<&V> {
        self.shards.get(shard_of(key))?.get(key)
    }

    /// All entries, shard by shard.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&K, &V)> {
        self.shards.iter().flat_map(|shard| shard.iter())
    }

    /// Changes the entry of `key`: `None` is no entry, before and after.
    pub(crate) fn change(&mut self, key: K, change: impl FnOnce(&mut Option<V>)) {
        let Some(shard) = Arc::make_mut(&mut self.shards).get_mut(shard_of(&key)) else { return };
        let shard = Arc::make_mut(shard);
        let mut slot = shard.remove(&key);
        change(&mut slot);
        if let Some(value) = slot {
            shard.insert(key, value);
        }
    }
}
