//! The embedded store: the suite, and what happens to it when processes die, media fail and files are damaged.

mod differential;
mod disk;
mod faults;
mod kill;
#[path = "../story/mod.rs"]
mod story;
mod suite;

/// Checks the story, and that objects and index rows agree.
fn verify(store: &krate_stores::EmbeddedStore, acknowledged: &[u64]) {
    story::verify(store, acknowledged);
    let agreement = store.agreement().unwrap();
    assert!(agreement.is_whole(), "{agreement:?}");
}
