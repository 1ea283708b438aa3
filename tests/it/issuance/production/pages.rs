//! Promise: a lot with more cards than a step of a recall takes is called back to its last card, each counted
//! once.

use super::*;

/// More than the 1,000 of one step.
const CARDS: usize = 1_060;

on_both!(a_recall_goes_on_past_its_first_thousand_cards, async {
    let world = World::start(CARDS).await;
    world.allocate("a-1", "L-1", 1_100).await.expect("allocated");
    let mut cards = Vec::new();
    for request in ["p-1", "p-2", "p-3"] {
        cards.extend(world.pulled(request, "L-1", 500).await);
    }
    assert_eq!(cards.len(), CARDS, "in three parts");
    // The last by id are of the second step.
    cards.sort();
    let (bad, last) = (&cards[..10], &cards[1_000..]);
    let report = bad.iter().map(|id| nok(id)).chain(last.iter().map(|id| ok(id))).collect();
    world.report("r-1", "L-1", report).await.expect("recorded");
    world.ship("s-1", "L-1", &last[..5], "").await.expect("sent");
    let recalled = world.recall("x-1", "L-1").await.expect("recalled");
    let share = &recalled.shares[0];
    assert_eq!((share.recalled, share.ended_before, share.orders_waiting), (60, 10, 990));
    assert_eq!(world.recall("x-1", "L-1").await.expect("again"), recalled);
    assert_eq!(world.states(last).await, BTreeSet::from(["RECALLED".to_owned()]));
    let total = world.closes("L-1").await;
    assert_eq!((total.consumed, total.scrapped, total.remaining, total.in_transit), (60, 10, 1_030, 5));
    // What nothing was made of waits again, and none of it is forgotten.
    world.allocate("a-2", "L-2", 1_100).await.expect("another lot");
    let mut again = 0;
    for request in ["q-1", "q-2", "q-3"] {
        again += world.pull(request, "L-2", 500).await.expect("they wait").orders.len();
    }
    assert_eq!(again, 1_000, "990 that were leased, and ten in the place of bad ones");
});
