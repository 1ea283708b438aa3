//! Promise: only operators give orders, each is carried out once under its id and answered the same again,
//! and every decision stays on record.

use todoke::wire::{
    fault::Reason,
    pb::{self, UnitState, order_unit_request::Order, pool_service_client::PoolServiceClient},
};

use super::{
    harness::{Pool, WARDS, drain, eventually, order, quick, undrain},
    puppet::Puppet,
};
use crate::issuance::harness::fault;

/// A pool of two relays that do what a test wants.
async fn two() -> (Pool, [Puppet; 2]) {
    let mut options = quick();
    options.policy.join_probes = 0;
    let pool = Pool::start(options).await;
    let puppets = [Puppet::new(&pool, "relay-1").await, Puppet::new(&pool, "relay-2").await];
    for puppet in &puppets {
        puppet.leased(&pool).await;
        pool.until(&puppet.name, UnitState::Healthy).await;
    }
    (pool, puppets)
}

#[tokio::test]
async fn an_order_is_carried_out_once_and_its_id_answers_the_same_for_ever() {
    let (pool, _puppets) = two().await;
    let first = pool.order(drain("D-1", "relay-2")).await.expect("one of two may go");
    assert_eq!(first.unit.as_ref().map(pb::Unit::state), Some(UnitState::Draining));
    pool.until("relay-2", UnitState::Draining).await;
    let again = pool.order(drain("D-1", "relay-2")).await.expect("it was carried out");
    let then = again.ordered_time.expect("it says that it is the answer of then");
    assert!(then.seconds > 0 && first.ordered_time.is_none(), "{then:?}");
    assert_eq!(
        again,
        pb::OrderUnitResponse { ordered_time: Some(then), ..first },
        "though the unit is further"
    );
    let other = pool.order(drain("D-1", "relay-1")).await.expect_err("the id stands for another one");
    assert_eq!(other.reason, Reason::RequestIdReused);

    let last = pool.order(drain("D-2", "relay-1")).await.expect_err("it is the last one");
    assert_eq!(last.reason, Reason::OrderRefused);
    let again = pool.order(drain("D-2", "relay-1")).await.expect_err("it still is, and nothing was done");
    assert_eq!((again.reason, again.message), (last.reason, last.message));
    let drained = pool.decisions("relay-2").await.into_iter().filter(|one| one.kind == "drain").count();
    assert_eq!(drained, 1, "what was done is on record once");
    assert!(pool.decisions("relay-1").await.iter().any(|one| one.kind == "refuse"), "and so is a refusal");
}

#[tokio::test]
async fn what_cannot_be_carried_out_is_refused_by_name() {
    let (pool, _puppets) = two().await;
    let why = |why: &str| Order::Drain(pb::DrainUnit { why: why.to_owned() });
    let long = "x".repeat(1_001);
    let at =
        |seconds: i64| Some(todoke::wire::convert::timestamp(pool.issuer.clock.now_ms() + seconds * 1000));
    let drill = |fault: &str, seconds| {
        Order::Drill(pb::DrillUnit { fault: fault.to_owned(), until_time: at(seconds), lasts: None })
    };
    for (id, unit, wanted, refused) in [
        ("", "relay-1", why("a test"), Reason::FieldInvalid),
        ("a_b", "relay-1", why("a test"), Reason::FieldInvalid),
        ("a-1", "no unit", why("a test"), Reason::FieldInvalid),
        ("a-2", "relay-9", why("a test"), Reason::UnitUnknown),
        ("a-3", "relay-1", why(" "), Reason::FieldInvalid),
        ("a-4", "relay-1", why(&long), Reason::FieldInvalid),
        ("a-5", "relay-1", Order::Undrain(pb::UndrainUnit::default()), Reason::OrderRefused),
        ("a-6", "relay-1", Order::SignOff(pb::SignOffUnit::default()), Reason::OrderRefused),
        ("a-7", "relay-9", Order::Register(pb::RegisterUnit::default()), Reason::FieldInvalid),
        ("a-8", "relay-1", drill("melt", 10), Reason::FieldInvalid),
        ("a-9", "relay-1", drill("hang", 601), Reason::FieldInvalid),
        ("a-10", "relay-1", drill("hang", -1), Reason::FieldInvalid),
        ("a-13", "relay-1", Order::Unregister(pb::UnregisterUnit::default()), Reason::FieldInvalid),
    ] {
        let fault = pool.order(order(id, unit, wanted)).await.expect_err("it cannot be done");
        assert_eq!(fault.reason, refused, "{id}: {fault:?}");
    }
    let mut empty = drain("a-11", "relay-1");
    empty.order = None;
    assert_eq!(pool.order(empty).await.expect_err("there is none").reason, Reason::FieldInvalid);
    let fits = "検".repeat(1_000);
    pool.order(order("a-12", "relay-1", why(&fits))).await.expect("at the limit it is carried out");
    pool.until("relay-1", UnitState::Draining).await;
}

#[tokio::test]
async fn a_unit_that_is_gone_is_forgotten_once_it_is_drained_and_said_to_have_been_there() {
    let (pool, puppets) = two().await;
    let scrapped = |id: &str, unit: &str| {
        order(id, unit, Order::Unregister(pb::UnregisterUnit { why: "it is scrapped".to_owned() }))
    };
    let refused = pool.order(scrapped("u-1", "relay-2")).await.expect_err("it is in use");
    assert_eq!(refused.reason, Reason::OrderRefused);
    assert!(refused.message.contains("`todoke pool drain relay-2` first"), "{refused}");
    pool.order(drain("d-1", "relay-2")).await.expect("one of two may go");
    pool.decided("relay-2", "reset").await;
    let refused = pool.order(scrapped("u-1", "relay-2")).await.expect_err("its process reported just now");
    assert_eq!(refused.reason, Reason::OrderRefused);
    assert!(refused.message.contains("its process reports: stop it first"), "{refused}");
    let leaving = pb::ReportRequest { leaving: "SIGTERM".to_owned(), ..puppets[1].nothing() };
    puppets[1].report(leaving).await.expect("it stops");
    let gone = eventually("its process is gone", || async {
        pool.order(scrapped("u-1", "relay-2")).await.ok() // a refused id is free
    })
    .await;
    assert_eq!(gone.unit, None);
    assert!(gone.warnings[0].contains("unregistered relay-2: it is scrapped"), "{gone:?}");
    assert_eq!(Vec::from_iter(pool.units().await.into_keys()), ["relay-1"]);
    let again = pool.order(scrapped("u-1", "relay-2")).await.expect("it was carried out");
    assert_eq!((again.unit, again.warnings), (gone.unit, gone.warnings));
    let other = pool.order(scrapped("u-2", "relay-2")).await.expect_err("it is not there");
    assert_eq!(other.reason, Reason::UnitUnknown);
    let asked = pb::ExplainUnitRequest { unit: "relay-2".to_owned() };
    let said = fault(pool.ops().explain_unit(asked).await.expect_err("it is not there"));
    assert_eq!(said.reason, Reason::UnitUnknown);
    assert!(said.message.contains("operator/alice unregistered relay-2"), "{said}");
    assert!(pool.decisions("relay-2").await.iter().any(|one| one.kind == "unregister"), "it is on record");
    puppets[1].report(puppets[1].nothing()).await.expect("it is started again");
    pool.until("relay-2", UnitState::Joining).await;
}

#[tokio::test]
async fn an_attribute_is_mended_by_name_and_of_no_unit() {
    let (pool, _puppets) = two().await;
    let mended = |id: &str, unit: &str, changed: &str| {
        let (attribute, changed) = ("probe=deep".to_owned(), changed.to_owned());
        let hypothesis = if changed.is_empty() { String::new() } else { "it is the cause".to_owned() };
        order(id, unit, Order::Absolve(pb::AbsolveAttribute { attribute, changed, hypothesis }))
    };
    let refused = pool.order(mended("m-1", "relay-1", "a driver")).await.expect_err("it is no unit's");
    assert_eq!((refused.reason, &*refused.violations[0].0), (Reason::FieldInvalid, "unit"));
    let refused = pool.order(mended("m-2", "", "two\nlines")).await.expect_err("it is not one line");
    assert_eq!((refused.reason, &*refused.violations[0].0), (Reason::FieldInvalid, "absolve.changed"));
    let refused = pool.order(mended("m-3", "", "a driver")).await.expect_err("nobody accused it");
    assert_eq!(refused.reason, Reason::OrderRefused);
    assert!(refused.message.contains("probe=deep is not suspect; what is: nothing"), "{refused}");
    assert_eq!(pool.list().await.suspects, []);
    let nobody = pool.order(drain("d-9", "")).await.expect_err("a drain is of a unit");
    assert_eq!((nobody.reason, &*nobody.violations[0].0), (Reason::FieldInvalid, "unit"));
}

#[tokio::test]
async fn nobody_but_an_operator_gives_orders_and_nobody_else_but_auditors_looks() {
    let (pool, _puppets) = two().await;
    let issuer = &pool.issuer;
    let ward = PoolServiceClient::new(issuer.party_again(WARDS[0]).channel);
    let auditor = PoolServiceClient::new(issuer.party("auditor/a").await.channel);
    for (mut client, sees) in [(ward, false), (auditor, true)] {
        let refused = client.order_unit(drain("d-1", "relay-2")).await.expect_err("it may not");
        assert_eq!(fault(refused).reason, Reason::WrongRole);
        let listed = client.list_units(pb::ListUnitsRequest {}).await.map_err(fault).err();
        assert_eq!(listed.map(|fault| fault.reason), (!sees).then_some(Reason::WrongRole));
        let told = client.list_decisions(pb::ListDecisionsRequest::default()).await;
        assert_eq!(told.is_ok(), sees);
        let asked = pb::ExplainUnitRequest { unit: "relay-1".to_owned() };
        assert_eq!(client.explain_unit(asked).await.is_ok(), sees);
        client.get_view(pb::GetViewRequest {}).await.expect("the view is for everybody");
    }
    assert_eq!(pool.units().await["relay-2"].state(), UnitState::Healthy);
}

#[tokio::test]
async fn decisions_are_read_page_by_page_and_followed_from_any_number() {
    let (pool, _puppets) = two().await;
    pool.order(drain("d-1", "relay-2")).await.expect("one of two may go");
    pool.decided("relay-2", "reset").await;
    pool.order(undrain("u-1", "relay-2")).await.expect("it was drained");
    let all = pool.decisions("").await;
    let numbers: Vec<u64> = all.iter().map(|one| one.number).collect();
    assert!(numbers.len() >= 6 && numbers.windows(2).all(|pair| pair[1] == pair[0] + 1), "{numbers:?}");

    let (mut read, mut page_token) = (Vec::new(), String::new());
    loop {
        let asked = pb::ListDecisionsRequest { page_size: 2, page_token, ..Default::default() };
        let page = pool.ops().list_decisions(asked).await.expect("an operator may").into_inner();
        read.extend(page.decisions.iter().map(|one| one.number));
        page_token = page.next_page_token;
        if page_token.is_empty() {
            break;
        }
    }
    read.reverse();
    assert!(read.starts_with(&numbers), "{read:?} {numbers:?}");
    let asked = pb::ListDecisionsRequest { page_token: "x".to_owned(), ..Default::default() };
    let refused = fault(pool.ops().list_decisions(asked).await.expect_err("that is none"));
    assert_eq!(refused.reason, Reason::PageTokenInvalid);

    for (after, wanted) in [(0, &numbers[..]), (numbers[0], &numbers[1..])] {
        let asked = pb::WatchDecisionsRequest { after_number: Some(after) };
        let mut told = pool.ops().watch_decisions(asked).await.expect("an operator may").into_inner();
        for number in wanted {
            let decision = told.message().await.expect("it goes on").expect("it does not end").decision;
            assert_eq!(decision.map(|one| one.number), Some(*number), "after {after}");
        }
    }
    for unit in ["nope", "no unit"] {
        let asked = pb::ListDecisionsRequest { unit: unit.to_owned(), ..Default::default() };
        let refused = fault(pool.ops().list_decisions(asked).await.expect_err("there is none"));
        let asked = pb::ExplainUnitRequest { unit: unit.to_owned() };
        let as_refused = fault(pool.ops().explain_unit(asked).await.expect_err("there is none"));
        assert_eq!((refused.reason, &refused), (Reason::UnitUnknown, &as_refused));
    }
}
