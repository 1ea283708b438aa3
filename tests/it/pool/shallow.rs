//! Promise: everybody asks each unit for its health once a second, which is shown and never judged by: it is
//! red of one that stands still, green of one that hangs behind it, and silent of one that is paused.

use std::time::Duration;

use todoke::wire::{
    convert::timestamp,
    pb::{self, UnitState, order_unit_request::Order},
};
use tokio::time::Instant;

use super::harness::{Pool, eventually, order, quick};
use crate::system::{Folder, Signal, signal};

/// What the health of a unit is said to be, of how many probes, and how many bad ones.
async fn shallow(pool: &Pool, unit: &str) -> (String, u64, u64) {
    let shown = pool.explained(unit).await["shallow"].clone();
    let number = |name: &str| shown[name].as_u64().expect("a number");
    (shown["colour"].as_str().expect("a word").to_owned(), number("probes"), number("bad"))
}

async fn is(pool: &Pool, unit: &str, colour: &str) -> (String, u64, u64) {
    let what = format!("the health of {unit} is {colour}");
    eventually(&what, || async { Some(shallow(pool, unit).await).filter(|(now, ..)| now == colour) }).await
}

#[tokio::test(flavor = "multi_thread")]
async fn health_is_asked_by_all_red_of_one_that_stands_still_and_silent_of_one_that_is_paused() {
    let mut options = quick();
    options.rule.budget_years = 100.0; // nobody is to be evicted while this looks on
    let pool = Pool::start(options).await;
    let _relays = pool.relays(2).await;
    let folder = Folder::new();
    let third = pool.process(&folder, "relay-3");
    pool.until("relay-3", UnitState::Healthy).await;
    for unit in ["relay-1", "relay-2", "relay-3"] {
        is(&pool, unit, "GREEN").await;
    }
    // An issuer and two relays, of whom one probe each in 15 s would be three.
    eventually("all of them ask, and again", || async {
        (shallow(&pool, "relay-3").await.1 > 15).then_some(())
    })
    .await;
    let before = (Instant::now(), third.asked("relay-1").await);
    assert!(before.1 > 0, "a relay asks others");
    signal(Signal::STOP, third.pid());
    let (_, probes, bad) = is(&pool, "relay-3", "RED").await;
    assert!(bad * 2 >= probes, "{bad} of {probes}");
    assert_eq!(shallow(&pool, "relay-1").await.0, "GREEN");
    signal(Signal::CONT, third.pid());
    let spent = before.0.elapsed().as_secs_f64();
    let asked = third.asked("relay-1").await - before.1;
    assert!(asked as f64 <= spent / 0.9 + 2.0, "{asked} times in {spent} s is more than once a second");

    let until_time = Some(timestamp(pool.issuer.clock.now_ms() + 300_000));
    let pause = Order::PauseProbes(pb::PauseProbes { until_time, lasts: None });
    pool.order(order("p-1", "relay-1", pause)).await.expect("an operator may");
    is(&pool, "relay-1", "NONE").await;
    let before = third.asked("relay-1").await;
    is(&pool, "relay-2", "GREEN").await;
    let asked = third.asked("relay-1").await - before;
    assert_eq!(asked, 0, "it is paused");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_unit_that_hangs_for_its_callers_is_green_all_the_while() {
    let pool = Pool::start(quick()).await;
    let relays = pool.relays(2).await;
    is(&pool, "relay-2", "GREEN").await;
    let until_time = Some(timestamp(pool.issuer.clock.now_ms() + 300_000));
    let drill = Order::Drill(pb::DrillUnit { fault: "hang".to_owned(), until_time, lasts: None });
    pool.order(order("x-1", "relay-2", drill)).await.expect("an operator may");
    let ward = pool.ward(super::harness::WARDS[0], &relays[1]);
    eventually("it hangs", || async {
        let hung = tokio::time::timeout(Duration::from_secs(2), super::harness::ask(&ward)).await;
        hung.is_err().then_some(())
    })
    .await;
    let before = shallow(&pool, "relay-2").await;
    eventually("its health was asked again", || async {
        let now = shallow(&pool, "relay-2").await;
        assert_eq!(now.0, "GREEN", "{now:?}");
        (now.1 >= 10 && now != before).then_some(())
    })
    .await;
}
