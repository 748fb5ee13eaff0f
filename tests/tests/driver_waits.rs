//! What the driver's loop does between two passes: it waits, for a commit or for a time.

use std::cell::Cell;
use std::future::poll_fn;
use std::task::Poll;

use krate_providers::simulator::{Faults, NewIssue};
use krate_sync::driver::Clock;
use krate_tests::world::{Crash, REPOSITORY, World, block_on, start};

#[test]
fn s46_a_store_that_cannot_be_read_is_tried_again_after_a_pause_and_not_in_a_loop() {
    let world = World::new(5, Faults::none(), "bidirectional");
    world.forge().forge.by("ada", start()).open_issue(REPOSITORY, NewIssue::titled("Crash")).expect("opened");
    world.plan_crash(Some(Crash { commit: 0, after: false }));
    assert_eq!(world.deliver(), 0, "nothing is acknowledged");
    assert!(world.is_dead());

    let before = world.clock.now();
    let passes = Cell::new(0);
    let stop = poll_fn(|_| if passes.get() < 5 { Poll::Pending } else { Poll::Ready(()) });
    block_on(world.driver.run(stop, |pass| {
        assert!(pass.is_err());
        passes.set(passes.get() + 1);
    }));
    // The clock of this world moves only while somebody waits for it.
    let waited = world.clock.now() - before;
    assert!(waited.num_seconds() >= 4, "5 passes within {waited}");
}
