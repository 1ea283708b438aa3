//! Promise: one relay that is sick or lies keeps no sender from a receipt while another relay is well, and
//! holds none longer than its patience.

use std::sync::atomic::{AtomicU32, Ordering};

use todoke::wire::pb;

use super::{liar::Malice, world::World};

/// Shows every batch as one that is worked off, now in one state and now in the other, again and again.
#[derive(Default)]
struct Drags(AtomicU32);

impl Malice for Drags {
    fn batch(&self, batch: &mut pb::Batch) {
        let open = [pb::BatchState::Announced, pb::BatchState::Receiving];
        if !open.contains(&batch.state()) {
            let states = [pb::BatchState::Importing, pb::BatchState::Reconciling];
            let turn = self.0.fetch_add(1, Ordering::Relaxed) as usize;
            batch.set_state(states[turn % states.len()]);
        }
    }

    fn repeats(&self) -> bool {
        true
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_relay_that_shows_the_same_batch_for_ever_is_heard_no_longer_than_patience_lasts() {
    let mut world = World::new().await;
    world.liar(Drags::default()).await;
    let ended = world.import(&["--patience", "3s"]).await;
    ended.is(75, "try_again");
    world.relay().await;
    let resumed = world.run("resume", "cards.csv", &[]).await;
    world.is_done(&resumed).await;
}
