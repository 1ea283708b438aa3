//! Promise: a relay serves only under a live lease of its present generation; one that does not obey is
//! refused by the issuer all the same, and none gets more than its share.

use std::time::Duration;

use h2::client;
use todoke::{
    net::headers,
    pool::notes::Lease,
    wire::{
        fault::Reason,
        pb::{
            self, GetViewRequest, UnitState, order_unit_request::Order,
            pool_service_client::PoolServiceClient,
        },
    },
};
use tokio::time::timeout;
use tonic::{Code, metadata::MetadataValue};
use tonic_health::pb::health_check_response::ServingStatus;

use super::{
    harness::{Pool, WARDS, ask, attributes, drain, eventually, health, order, quick, reason, undrain},
    puppet::Puppet,
};
use crate::issuance::harness::{Party, fault, files, id};

#[tokio::test]
async fn a_relay_takes_calls_from_its_first_lease_on_and_not_before() {
    let mut options = quick();
    options.self_register = false;
    let pool = Pool::start(options).await;
    let relay = pool.relay("relay-1").await;
    let ward = pool.ward(WARDS[0], &relay);
    let why = relay.serves_not().await.join("; ");
    eventually("it was told why", || async {
        let why = (relay.running.not_ready)().join("; ");
        why.contains("pool register").then_some(())
    })
    .await;
    assert_eq!(reason(ask(&ward).await), Some(Reason::RelayFenced), "{why}");
    assert_eq!(health(&ward).await, Some(ServingStatus::NotServing));
    let puppet = Puppet::new(&pool, "relay-2").await;
    assert_eq!(puppet.passes(Some(1)).await.reason, Reason::RelayFenced, "the issuer takes none either");

    let asked = pb::RegisterUnit { attributes: Some(attributes("relay-1", relay.running.address)) };
    pool.order(order("r-1", "relay-1", Order::Register(asked))).await.expect("an operator may");
    relay.serves().await;
    eventually("a call is taken", || async { ask(&ward).await.ok() }).await;
    assert_eq!(health(&ward).await, Some(ServingStatus::Serving));
    assert_eq!(pool.until("relay-1", UnitState::Healthy).await.rule, "F2", "there is no other");
}

#[tokio::test]
async fn a_drained_relay_sends_its_callers_away_and_serves_again_when_it_is_let_back() {
    let pool = Pool::start(quick()).await;
    let relays = pool.relays(2).await;
    let tls = files(&pool.issuer.dir.path().join("pki"), "131229");
    let tls = todoke::net::tls::ClientTls::load(&tls, "todoke.internal").expect("a certificate");
    let tcp = tokio::net::TcpStream::connect(relays[1].running.address).await.expect("it listens");
    let io = tokio_rustls::TlsConnector::from(tls.config()).connect(tls.server_name(), tcp).await;
    let (_calls, connection) = client::handshake(io.expect("it is let in")).await.expect("HTTP/2");
    let mut standing = tokio::task::JoinSet::new();
    standing.spawn(connection);

    pool.order(drain("d-1", "relay-2")).await.expect("one of two may go");
    let why = relays[1].serves_not().await.join("; ");
    assert!(why.contains("operator/alice drains relay-2: a test"), "{why}");
    let away = timeout(Duration::from_secs(10), standing.join_next()).await;
    let away = away.expect("the connection ends").expect("it was driven").expect("it ran");
    away.expect("in order: GOAWAY came");
    let ward = pool.ward(WARDS[0], &relays[1]);
    assert_eq!(health(&ward).await, Some(ServingStatus::NotServing));
    let refused = || async { (reason(ask(&ward).await) == Some(Reason::RelayFenced)).then_some(()) };
    eventually("it takes no call that comes all the same", refused).await;
    ask(&pool.ward(WARDS[0], &relays[0])).await.expect("the other goes on");
    eventually("it has drained", || async {
        pool.units().await["relay-2"].drained_by_operator.then_some(())
    })
    .await;

    pool.order(undrain("u-1", "relay-2")).await.expect("it was drained");
    let unit = pool.until("relay-2", UnitState::Healthy).await;
    assert_eq!(unit.generation, 2, "what it held before is void");
    relays[1].serves().await;
    eventually("a call is taken", || async { ask(&pool.ward(WARDS[0], &relays[1])).await.ok() }).await;
}

/// Asks until the relay takes no more; how many calls it took after it had said NOT_SERVING.
async fn taken_after_it_is_said(ward: &Party) -> u32 {
    let mut taken = 0;
    loop {
        let heard = health(ward).await == Some(ServingStatus::NotServing);
        let asked = ask(ward).await;
        taken += u32::from(heard && asked.is_ok());
        // Whose connection GOAWAY has ended goes on over another.
        if reason(asked) == Some(Reason::RelayFenced) {
            return taken;
        }
    }
}

#[tokio::test]
async fn a_well_relay_that_is_drained_takes_calls_while_its_callers_hear_of_it() {
    let mut options = quick();
    options.policy.drain_s = 5;
    let pool = Pool::start(options).await;
    let relays = pool.relays(2).await;
    let ward = pool.ward(WARDS[0], &relays[1]);
    // A busy machine may pause between the two for as long as calls are taken: then it is tried again.
    for turn in 1..=5 {
        pool.order(drain(&format!("d-{turn}"), "relay-2")).await.expect("one of two may go");
        if timeout(Duration::from_secs(60), taken_after_it_is_said(&ward)).await.expect("it ends") > 0 {
            return;
        }
        pool.order(undrain(&format!("u-{turn}"), "relay-2")).await.expect("it was drained");
        pool.until("relay-2", UnitState::Healthy).await;
        relays[1].serves().await;
    }
    panic!("none was taken after it had said NOT_SERVING");
}

#[tokio::test]
async fn a_relay_that_ignores_its_orders_is_refused_by_the_issuer() {
    let mut options = quick();
    options.policy.join_probes = 0;
    let pool = Pool::start(options).await;
    let (obeys, ignores) = (Puppet::new(&pool, "relay-1").await, Puppet::new(&pool, "relay-2").await);
    obeys.leased(&pool).await;
    assert_eq!(ignores.leased(&pool).await, 1);
    let ignores = &ignores;
    let taken = |generation| async move { ignores.passes(generation).await.reason };
    eventually("its calls are taken", || async { (taken(Some(1)).await == Reason::NotFound).then_some(()) })
        .await;
    assert_eq!(taken(None).await, Reason::RelayFenced, "a call under no lease at all");
    assert_eq!(taken(Some(9)).await, Reason::RelayFenced, "one that nobody gave");
    let mut twice = Puppet::passed(GetViewRequest::default(), Some(1));
    twice.metadata_mut().append(headers::LEASE, 1.into());
    let refused = fault(ignores.client().get_view(twice).await.expect_err("which one is it?"));
    assert_eq!(refused.reason, Reason::IdentityForged, "{refused}");
    let as_operator = || {
        let mut request = Puppet::passed((), Some(1));
        let alice = MetadataValue::from_static("operator/alice");
        request.metadata_mut().insert(headers::CALLER, alice);
        request
    };
    let order = pb::OrderUnitRequest {
        request_id: "lie-1".to_owned(),
        unit: "relay-1".to_owned(),
        order: Some(Order::Drain(pb::DrainUnit { why: "it is in my way".to_owned() })),
    };
    let request = as_operator().map(|()| order);
    let refused = fault(ignores.client().order_unit(request).await.expect_err("no operator said so"));
    assert_eq!(refused.reason, Reason::WrongRole, "{refused}");
    let listed = ignores.client().list_units(as_operator().map(|()| pb::ListUnitsRequest {})).await;
    assert_eq!(fault(listed.expect_err("no operator asked")).reason, Reason::WrongRole);
    pool.order(drain("d-1", "relay-2")).await.expect("one of two may go");
    let fenced = || async { (taken(Some(1)).await == Reason::RelayFenced).then_some(()) };
    eventually("nothing of it is taken", fenced).await;

    pool.order(undrain("u-1", "relay-2")).await.expect("it was drained");
    assert_eq!(ignores.leased(&pool).await, 2);
    eventually("its calls are taken again", || async {
        (taken(Some(2)).await == Reason::NotFound).then_some(())
    })
    .await;
    assert_eq!(taken(Some(1)).await, Reason::GenerationStale, "one of its old connections");
    let mut older = ignores.nothing();
    older.incarnation = 0;
    let older = ignores.report(older).await.expect_err("a newer process reports");
    assert_eq!(older.reason, Reason::GenerationStale);
}

#[tokio::test]
async fn what_a_relay_that_ignores_its_orders_holds_open_ends_when_its_drain_is_over() {
    let mut options = quick();
    (options.policy.join_probes, options.relay_calls_max) = (0, 2);
    let pool = Pool::start(options).await;
    let (obeys, ignores) = (Puppet::new(&pool, "relay-1").await, Puppet::new(&pool, "relay-2").await);
    obeys.leased(&pool).await;
    let generation = ignores.leased(&pool).await;
    let first = ignores.watches(generation).await.expect("a place is free");
    let second = ignores.watches(generation).await.expect("another is");

    pool.order(drain("d-1", "relay-2")).await.expect("one of two may go");
    for (mut standing, which) in [(first, "first"), (second, "second")] {
        let ends = async {
            loop {
                match standing.message().await {
                    Ok(Some(_)) => (),
                    Ok(None) => panic!("the {which} is no whole answer"),
                    Err(status) => return fault(status),
                }
            }
        };
        let end = timeout(Duration::from_secs(20), ends).await;
        assert_eq!(end.expect("it ends").reason, Reason::RelayFenced, "the {which}");
    }
    pool.order(undrain("u-1", "relay-2")).await.expect("it was drained");
    let generation = ignores.leased(&pool).await;
    let again = [ignores.watches(generation).await, ignores.watches(generation).await];
    assert!(again.iter().all(Result::is_ok), "its whole share is free: {again:?}");
}

#[tokio::test]
async fn the_later_of_two_processes_of_one_name_has_the_lease_and_neither_calls_for_itself() {
    let mut options = quick();
    options.policy.join_probes = 0;
    let pool = Pool::start(options).await;
    let twice = Puppet::new(&pool, "relay-1").await;
    assert_eq!(twice.leased(&pool).await, 1);
    let mut newer = twice.nothing();
    newer.incarnation += 1;
    let lease = twice.report(newer).await.expect("it takes over").lease;
    let lease = Lease::open(&lease, &pool.issuer.verifier).expect("a lease");
    assert_eq!(lease.generation, 2, "what the process before it holds is void");
    assert_eq!(twice.passes(Some(2)).await.reason, Reason::NotFound, "its first call is taken");
    let stale = twice.passes(Some(1)).await;
    assert_eq!((stale.reason, stale.reason.code()), (Reason::GenerationStale, Code::Unavailable), "{stale}");
    let before = twice.report(twice.nothing()).await.expect_err("it is given up");
    assert_eq!(before.reason, Reason::GenerationStale);

    let itself = twice.party.batches().get_batch(pb::GetBatchRequest { batch_id: id(1).to_string() }).await;
    assert_eq!(
        fault(itself.expect_err("it is no caller")).reason,
        Reason::WrongRole,
        "no lease lets that in"
    );
}

#[tokio::test]
async fn a_relay_has_its_share_of_calls_at_once_and_not_one_more() {
    let mut options = quick();
    options.relay_calls_max = 2;
    let pool = Pool::start(options).await;
    let puppet = Puppet::new(&pool, "relay-1").await;
    let generation = puppet.leased(&pool).await;
    let first = puppet.watches(generation).await.expect("a place is free");
    let _second = puppet.watches(generation).await.expect("another is");
    let one_more = puppet.watches(generation).await.expect_err("both are taken");
    assert_eq!(one_more.reason, Reason::LaneFull);
    assert_eq!(puppet.passes(Some(generation)).await.reason, Reason::LaneFull, "any call counts");
    puppet.report(puppet.nothing()).await.expect("but its report is none");
    drop(first);
    eventually("the place is free again", || async {
        (puppet.passes(Some(generation)).await.reason == Reason::NotFound).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_deep_probe_fails_as_calls_do_but_through_a_relay_that_is_out_and_is_to_show_that_it_is_well() {
    let pool = Pool::start(quick()).await;
    let relays = pool.relays(2).await;
    let (pki, address) = (pool.issuer.dir.path().join("pki"), relays[1].running.address);
    let observer = Party::at(&pki, "relay/relay-1", &address.to_string());
    let probe = || async {
        let mut client = PoolServiceClient::new(observer.channel.clone());
        let asked = client.probe(pb::ProbeRequest { nonce: vec![7] }).await;
        asked.err().map(|status| fault(status).reason)
    };
    let ward = pool.ward(WARDS[0], &relays[1]);
    assert_eq!(probe().await, None);
    pool.order(drain("d-1", "relay-2")).await.expect("one of two may go");
    eventually("callers are refused", || async {
        (reason(ask(&ward).await) == Some(Reason::RelayFenced)).then_some(())
    })
    .await;
    assert_eq!(probe().await, None, "while it drains");
    pool.decided("relay-2", "reset").await;
    assert_eq!(probe().await, None, "while it is out");
    pool.order(undrain("u-1", "relay-2")).await.expect("it was drained");
    pool.until("relay-2", UnitState::Healthy).await;

    // Another process is started under its name, at the same address by its own word.
    let later = Puppet {
        name: "relay-2".to_owned(),
        party: Party::at(&pki, "relay/relay-2", &pool.issuer.address.to_string()),
    };
    let attributes = Some(attributes("relay-2", address));
    later
        .report(pb::ReportRequest { attributes, incarnation: 2, ..later.nothing() })
        .await
        .expect("it reports");
    let found = probe().await;
    assert!(matches!(found, Some(Reason::GenerationStale | Reason::RelayFenced)), "{found:?}");
    eventually("its process knows that it has no lease", || async {
        (probe().await == Some(Reason::RelayFenced)).then_some(())
    })
    .await;
    assert_eq!(reason(ask(&ward).await), Some(Reason::RelayFenced), "and callers are refused alike");
}
