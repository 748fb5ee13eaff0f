//! Heap of synced pull requests in the in-memory store: projection, link with base, and indexes; beside the compact JSON of the pull request alone.
//!
//! Counted in bytes asked of the allocator. The engine itself writes the records, from the recorded payload with other ids, titles and numbers.

use std::collections::BTreeMap;

use futures::executor::block_on;
use krate_benches::pulls::{self, Bodies, NAMESPACE};
use krate_benches::{Candidate, compare};
use krate_model::Kind;
use krate_model::kinds::shared::Time;
use krate_model::store::{Key, MemoryStore, Query, Store};

/// The repository's id.
const REPOSITORY: u64 = 186_853_002;
/// Objects that are there before the counting begins, so that what is made once isn't counted.
const BEFORE: usize = 100;
/// Objects that are counted.
const COUNTED: usize = 2_000;

#[allow(clippy::cast_precision_loss)] // Thousands of objects of a few KB.
fn per_object(bytes: usize) -> f64 {
    bytes as f64 / COUNTED as f64
}

fn main() {
    println!("heap of a synced pull request ({COUNTED} of them; goal: at most 2.5 KB for one of 1.6 KB)");
    let mut source = Bodies::of(REPOSITORY);
    let bodies: Vec<Vec<u8>> = (0..BEFORE + COUNTED).map(|number| source.body(number, 0)).collect();
    // What the watch remembers is bounded for the whole store, and not part of an object.
    let plain = MemoryStore::with_history(0);
    measure("as it is", &plain, &bodies);
    let mut by_kind: BTreeMap<Kind, (usize, usize)> = BTreeMap::new();
    for kind in [Kind::PullRequest, Kind::ExternalObjectLink] {
        let page = block_on(plain.list(&Query::new(kind).in_namespace(NAMESPACE))).expect("the store works");
        for stored in &page.items {
            let sum = by_kind.entry(kind).or_default();
            *sum = (sum.0 + stored.body.len(), sum.1 + 1);
        }
    }
    for (kind, (bytes, count)) in by_kind {
        println!("  {:<44} {:>8} B", format!("of it the compact JSON of {kind}"), bytes / count);
    }
    let packed = MemoryStore::with_history(0).packed();
    measure("packed", &packed, &bodies);
    let keys: Vec<Key> = [Kind::PullRequest, Kind::ExternalObjectLink]
        .into_iter()
        .flat_map(|kind| block_on(plain.list(&Query::new(kind))).expect("the store works").items)
        .map(|stored| stored.key)
        .collect();
    let read = |store: &MemoryStore| {
        keys.iter().map(|key| block_on(store.get(key)).expect("it works").expect("there").body.len()).sum::<usize>()
    };
    assert_eq!(read(&plain), read(&packed));
    compare(
        &format!("reading {} objects", keys.len()),
        vec![Candidate::new("as it is", || read(&plain)), Candidate::new("packed", || read(&packed))],
    );
}

/// What a pull request costs in `store`.
fn measure(how: &str, store: &MemoryStore, bodies: &[Vec<u8>]) {
    let at = Time::UNIX_EPOCH;
    pulls::configure(store, at);
    let scope = pulls::scope(store, at);
    for body in &bodies[..BEFORE] {
        pulls::sync(store, &scope, body, at);
    }
    let before = store.usage();
    let counted = allocation_counter::measure(|| {
        for body in &bodies[BEFORE..] {
            pulls::sync(store, &scope, body, at);
        }
    });
    let after = store.usage();
    assert_eq!(after.objects - before.objects, 2 * COUNTED, "a pull request and its link each");
    let whole = per_object(usize::try_from(counted.bytes_current).expect("the store grew"));
    let held = per_object(after.body_bytes - before.body_bytes);
    println!("{how}");
    println!("  {:<44} {held:>8.0} B", "bodies as the store holds them");
    println!("  {:<44} {:>8.1}", "index entries", per_object(after.index_entries - before.index_entries));
    println!("  {:<44} {:>8.0} B", "keys, indexes, tree nodes", whole - held);
    println!("  {:<44} {whole:>8.0} B", "all of it");
}
