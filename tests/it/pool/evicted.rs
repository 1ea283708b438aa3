//! Promise: on what a unit was evicted is said for as long as it is out, with what each operator signed; what
//! cannot be right of a unit is refused by its field, and a state that cannot be read is said to be that.

use serde_json::Value;
use todoke::{
    pool::{
        controller::Options,
        keeper::{Keeper as _, Step},
    },
    wire::{
        convert::timestamp,
        fault::{Fault, Reason},
        pb::{
            self, ReportRequest, UnitState, order_unit_request::Order, pool_service_client::PoolServiceClient,
        },
    },
};

use super::{
    harness::{Pool, attributes, drain, eventually, order, quick},
    puppet::{Puppet, traffic},
};
use crate::issuance::harness::fault;

/// Four relays that only report, whom nobody probes.
pub(super) async fn four(options: Options) -> (Pool, Vec<Puppet>) {
    let pool = Pool::start(options).await;
    let mut puppets = Vec::new();
    for n in 1..=4 {
        let puppet = Puppet::new(&pool, &format!("relay-{n}")).await;
        puppet.leased(&pool).await;
        let until_time = Some(timestamp(pool.issuer.clock.now_ms() + 600_000));
        let pause = Order::PauseProbes(pb::PauseProbes { until_time, lasts: None });
        let paused = pool.order(order(&format!("p-{n}"), &puppet.name, pause)).await.expect("it is known");
        let unit = paused.unit.expect("what came of it");
        assert!(unit.probes_paused && unit.probes_paused_until_time.is_some(), "{unit:?}");
        puppets.push(puppet);
    }
    (pool, puppets)
}

/// Each of them says what it saw of all in this second: `relay-2` fails half of its calls, as it says, too.
async fn seen(pool: &Pool, puppets: &[Puppet], bad: u32) {
    let second = pool.issuer.clock.now_ms() / 1000;
    for puppet in puppets {
        let bad = |name: &str| if name == "relay-2" { bad } else { 0 };
        let buckets = puppets.iter().map(|of| traffic(second, &of.name, 40, bad(&of.name))).collect();
        puppet.report(ReportRequest { buckets, ..puppet.nothing() }).await.expect("it is taken");
    }
}

/// Waits until it is in a state, while all go on to report.
pub(super) async fn until(pool: &Pool, puppets: &[Puppet], state: UnitState, bad: u32) {
    eventually(state.as_str_name(), || async {
        seen(pool, puppets, bad).await;
        (pool.units().await["relay-2"].state() == state).then_some(())
    })
    .await;
}

/// What is said of the second in which it was evicted.
async fn said_of_it(pool: &Pool, state: UnitState) -> Value {
    let asked = pb::ExplainUnitRequest { unit: "relay-2".to_owned() };
    let told = pool.ops().explain_unit(asked).await.expect("it is known").into_inner();
    let (text, json) = (told.text, serde_json::from_str::<Value>(&told.explanation_json).expect("JSON"));
    let number = &json["evicted_by"]["number"];
    let verdict = json["evicted_by"]["verdict"]["kind"].as_str().expect("a verdict");
    for words in [
        format!("Last evicted by decision {number}, "),
        format!("Verdict then: {verdict}: "),
        "Evidence in that second (S)".to_owned(),
        "Verdict on the units in use: ".to_owned(),
    ] {
        assert!(text.contains(&words), "{state:?} {words}: {text}");
    }
    let decides = text.lines().find(|line| line.trim_start().starts_with("* ")).expect("one decides");
    assert!(decides.contains("traffic") || decides.contains("both"), "{decides}");
    json["evicted_by"]["evidence"].clone()
}

#[tokio::test]
async fn what_a_unit_was_evicted_on_is_said_while_it_drains_is_out_and_on_probation() {
    let mut options = quick();
    let policy = &mut options.policy;
    (policy.join_probes, policy.drain_s, policy.back_off_base_s) = (0, 3, 5);
    (policy.probation_probes, policy.probation_failures_max) = (1_000, 1_000);
    let (pool, puppets) = four(options).await;
    for n in 1..=4 {
        pool.until(&format!("relay-{n}"), UnitState::Healthy).await;
    }
    until(&pool, &puppets, UnitState::Draining, 20).await;
    let first = said_of_it(&pool, UnitState::Draining).await;
    let bets = first["bets"].as_array().expect("bets");
    let decided = bets.iter().any(|bet| bet["s"].as_f64() >= bet["limit"].as_f64());
    let counted =
        bets.iter().any(|bet| bet["own"][0].as_u64() > Some(0) && bet["peers"][1].as_u64() > Some(0));
    assert!(decided && counted && bets.len() <= 12, "{first}");
    let evict = pool.decided("relay-2", "evict").await;
    let record: Value = serde_json::from_str(&evict.record_json).expect("JSON");
    assert_eq!(record["evidence"], first, "it is on record");
    for state in [UnitState::Evicted, UnitState::Probation] {
        until(&pool, &puppets, state, 0).await;
        assert_eq!(said_of_it(&pool, state).await, first, "{state:?}");
        let unit = pool.units().await.remove("relay-2").expect("it is known");
        assert_eq!(unit.lease_until_time, None, "it asks, and may not serve: {unit:?}");
    }
}

#[tokio::test]
async fn what_two_operators_signed_of_a_quarantined_unit_is_kept_and_shown() {
    let mut options = quick();
    (options.policy.join_probes, options.policy.slow_quarantine) = (0, 900);
    let (pool, puppets) = four(options).await;
    until(&pool, &puppets, UnitState::Quarantined, 20).await;
    said_of_it(&pool, UnitState::Quarantined).await;
    let sign = |id: &str, changed: &str| {
        let (changed, hypothesis) = (changed.to_owned(), "it is the cause".to_owned());
        order(id, "relay-2", Order::SignOff(pb::SignOffUnit { changed, hypothesis }))
    };
    let mut bob = PoolServiceClient::new(pool.issuer.party("operator/bob").await.channel);
    pool.order(sign("s-1", "a new fan")).await.expect("she signs");
    let pending = bob.order_unit(sign("s-2", "a new disk")).await.expect("he signs").into_inner().pending;
    assert!(pending.contains("operator/alice signed other words: a new fan"), "{pending}");
    let explained = pool.explained("relay-2").await;
    let signed: Vec<&str> = explained["signatures"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|one| one["intervention"]["changed"].as_str())
        .collect();
    assert_eq!(signed, ["a new fan", "a new disk"], "{explained}");
    bob.order_unit(sign("s-3", "a new fan")).await.expect("the same as hers");
    let release = pool.decided("relay-2", "release").await;
    let both = ["a new fan", "operator/bob signed other words: a new disk"];
    assert!(both.iter().all(|words| release.why.contains(words)), "{}", release.why);
}

#[tokio::test]
async fn a_unit_is_not_registered_where_nobody_or_another_is_reached_nor_told_of_in_two_lines() {
    let pool = Pool::start(quick()).await;
    let puppet = Puppet::new(&pool, "relay-1").await;
    puppet.leased(&pool).await;
    let register = |id: &str, unit: &str, address: &str| {
        let mut attributes = attributes(unit, ([127, 0, 0, 1], 9).into());
        attributes.address = address.to_owned();
        order(id, unit, Order::Register(pb::RegisterUnit { attributes: Some(attributes) }))
    };
    for (n, address) in
        ["127.0.0.1", "http://127.0.0.1:10", "127.0.0.1:x", "::1:10", "127.0.0.1:9"].iter().enumerate()
    {
        let refused = pool.order(register(&format!("r-{n}"), "relay-9", address)).await;
        let refused = refused.expect_err("nobody could reach it");
        assert_eq!(refused.reason, Reason::FieldInvalid, "{address}: {refused:?}");
        assert_eq!(refused.violations[0].0, "register.attributes.address", "{refused:?}");
    }
    let refused = pool.order(register("r-9", "relay-9", "127.0.0.1:9")).await.expect_err("it is relay-1's");
    assert!(refused.message.contains("the address of relay-1: give relay-9 its own"), "{refused:?}");
    pool.order(register("r-10", "relay-9", "127.0.0.1:10")).await.expect("it is free");
    let mut lines = drain("d-1", "relay-9");
    lines.order = Some(Order::Drain(pb::DrainUnit { why: "two\nlines".to_owned() }));
    let refused = pool.order(lines).await.expect_err("it is not one line");
    assert_eq!((refused.reason, &*refused.violations[0].0), (Reason::FieldInvalid, "drain.why"));
    // It says that it is reached elsewhere.
    let nine = Puppet::new(&pool, "relay-9").await;
    nine.report(nine.nothing()).await.expect("it may report");
    let explained = eventually("it is decided by what it says", || async {
        Some(pool.explained("relay-9").await).filter(|told| !told["reported_address"].is_null())
    })
    .await;
    let (about, said) = (&explained["about"]["address"], &explained["reported_address"]);
    assert_eq!((about, said), (&"127.0.0.1:10".into(), &"127.0.0.1:9".into()), "{explained}");
}

#[tokio::test]
async fn a_state_that_cannot_be_read_is_said_to_be_that_and_not_an_empty_pool() {
    let pool = Pool::start(quick()).await;
    let puppet = Puppet::new(&pool, "relay-1").await;
    puppet.leased(&pool).await;
    let (store, now_ms) = (&pool.issuer.store, pool.issuer.clock.now_ms());
    let epoch = pool.controller.standing().epoch;
    // Another issuer decides for once, and what it leaves is cut.
    let epoch = eventually("another decides", || async {
        store.give_up("issuer-1", epoch, now_ms).await.expect("it is written");
        store.take("issuer-9", 0, pool.issuer.clock.now_ms(), 600_000).await.expect("it is read")
    })
    .await;
    let step = Step { owner: "issuer-9", epoch, now_ms, state: "{\"units\":", decisions: &[], order: None };
    store.keep(&step).await.expect("it is written").expect("it has the lease");
    let refused = eventually("it is found out", || async {
        let listed = pool.ops().list_units(pb::ListUnitsRequest {}).await;
        listed.err().map(fault)
    })
    .await;
    let says = |fault: &Fault| {
        let words = ["cannot be read", "no relay gets a lease", "todoke report verify-store"];
        fault.reason == Reason::Internal && words.iter().all(|words| fault.message.contains(words))
    };
    assert!(says(&refused) && !refused.reason.safe_to_retry(), "{refused:?}");
    let asked = pb::ExplainUnitRequest { unit: "relay-1".to_owned() };
    let refused = fault(pool.ops().explain_unit(asked).await.expect_err("nothing is known"));
    assert!(says(&refused), "{refused:?}");
    let refused = pool.order(drain("d-1", "relay-1")).await.expect_err("nobody decides");
    assert!(says(&refused), "{refused:?}");
}
