//! Promise: two processes under one relay's name at two addresses are said to the operator within seconds,
//! and nobody is sent to the address where the lease is not.

use todoke::wire::pb::{self, UnitState, order_unit_request::Order};

use super::harness::{Pool, WARDS, ask, eventually, order, quick};
use crate::{issuance::harness::id, system::Folder};

/// The raised alarms about a unit, by name.
async fn raised(pool: &Pool, unit: &str) -> String {
    pool.explained(unit).await["raised"].to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_is_sent_to_the_first_of_two_processes_and_either_remedy_ends_it() {
    let pool = Pool::start(quick()).await;
    let relays = pool.relays(3).await;
    let (folder, registered) = (Folder::new(), relays[2].running.address.to_string());
    let later = pool.process(&folder, "relay-3");
    let unit = pool.until("relay-3", UnitState::Joining).await;
    assert_eq!((unit.share_percent, unit.rule.as_str()), (0, "E6"), "{unit:?}");
    let reported = unit.reported_address;
    for part in [&registered, &reported, "End the later one", "todoke pool register relay-3 --address"] {
        assert!(unit.why.contains(part), "{part} is not in: {}", unit.why);
    }
    eventually("clients and xDS go by it", || async {
        let view = pool.controller.views().borrow().clone()?;
        let shares: Vec<u8> = view.members.iter().map(|member| member.share_percent).collect();
        (shares == [100, 100, 0]).then_some(())
    })
    .await;
    assert!(raised(&pool, "relay-3").await.contains("ELSEWHERE"));

    drop(later);
    let unit = pool.until("relay-3", UnitState::Healthy).await;
    assert_eq!((unit.share_percent, unit.reported_address.as_str()), (100, ""), "{unit:?}");
    assert!(!raised(&pool, "relay-3").await.contains("ELSEWHERE"));
    eventually("a call is taken there", || async { ask(&pool.ward(WARDS[0], &relays[2])).await.ok() }).await;

    let _moved = pool.process(&folder, "relay-3");
    let unit = pool.until("relay-3", UnitState::Joining).await;
    let about = unit.attributes.expect("it is registered");
    let new = pb::UnitAttributes { address: unit.reported_address, ..Default::default() };
    let asked = pb::RegisterUnit { attributes: Some(new.clone()) };
    pool.order(order(&id(9).to_string(), "relay-3", Order::Register(asked)))
        .await
        .expect("it takes no calls");
    let unit = pool.until("relay-3", UnitState::Healthy).await;
    assert_eq!(unit.attributes, Some(pb::UnitAttributes { address: new.address, ..about }), "it was moved");
}
