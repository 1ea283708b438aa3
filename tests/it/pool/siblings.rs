//! Promise: when two relays of one model are evicted one soon after the other, the model is suspect, and
//! whoever adds one more of it is told that this adds capacity and no diversity.

use todoke::wire::pb::{self, order_unit_request::Order};

use super::{
    crowd::crowd,
    harness::{Pool, attributes, order, quick},
};
use crate::system::Folder;

#[tokio::test(flavor = "multi_thread")]
async fn one_more_of_the_model_of_two_processes_that_failed_is_warned_of_and_another_is_not() {
    let (pool, folder) = (Pool::start(quick()).await, Folder::new());
    let models = ["HSM-9", "HSM-7", "HSM-7", "HSM-9"].map(|model| ["--model", model]);
    let flags: Vec<&[&str]> = models.iter().map(|flags| &flags[..]).collect();
    let processes = pool.processes(&folder, &flags).await;
    let addresses: Vec<String> = processes.iter().map(|(_, address)| address.clone()).collect();
    let _crowd = crowd(&pool, &addresses);
    for unit in ["relay-2", "relay-3"] {
        pool.drill(&format!("x-{unit}"), unit, "drop-upstream", 600).await.expect("an operator may");
    }
    for unit in ["relay-2", "relay-3"] {
        pool.decided(unit, "evict").await;
    }
    let suspects = pool.list().await.suspects;
    let model = suspects.iter().find(|one| one.attribute == "model=HSM-7");
    let mut failed = model.map(|one| one.units.clone()).unwrap_or_default();
    failed.sort();
    assert_eq!(failed, ["relay-2", "relay-3"], "{suspects:?}");
    for (at, (model, is_warned)) in [("HSM-7", true), ("HSM-11", false)].into_iter().enumerate() {
        let unit = format!("relay-{}", at + 8);
        let mut attributes = attributes(&unit, ([127, 0, 0, 1], 10 + at as u16).into());
        (attributes.model, attributes.image) = (model.to_owned(), format!("image of {model}"));
        let register = Order::Register(pb::RegisterUnit { attributes: Some(attributes) });
        let answer = pool.order(order(&format!("r-{at}"), &unit, register)).await.expect("it is new");
        let warning = "adds capacity, not diversity; shares suspect attribute model=HSM-7";
        let found = answer.warnings.iter().any(|words| words.contains(warning));
        assert!(found == is_warned && (is_warned || answer.warnings.is_empty()), "{:?}", answer.warnings);
    }
}
