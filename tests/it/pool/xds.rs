//! Promise: a stock client that is told no address of a relay learns the pool by xDS over mutual TLS, and
//! calls no unit that was drained.

use std::{
    io::{BufRead as _, BufReader, Lines, Write as _},
    path::Path,
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    time::{Duration, Instant},
};

use envoy_types::pb::envoy::service::discovery::v3::aggregated_discovery_service_client as ads;
use serde_json::{Value, json};
use todoke::wire::pb::UnitState;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Response};

use super::{
    harness::{Pool, drain, eventually, quick, undrain},
    process::Process,
};
use crate::{
    foreign::{here, packages, stock},
    issuance::harness::Party,
    system::Folder,
};

/// grpcio with a bootstrap file, which makes as many calls as it is told to.
struct Stock {
    process: Child,
    told: ChildStdin,
    says: Lines<BufReader<ChildStdout>>,
    made: u64,
}

impl Drop for Stock {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Stock {
    fn start(pki: &Path, port: u16, bootstrap: &Path) -> Self {
        let file = |name: &str| pki.join(name).display().to_string();
        let known = stock::bootstrap(&format!("localhost:{port}"), pki, "131229");
        std::fs::write(bootstrap, known).expect("writable");
        let mut process = Command::new(packages().join("python/bin/python"))
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .env("GRPC_XDS_BOOTSTRAP", bootstrap)
            .arg(here("python/learn_pool.py"))
            .args([file("ca.pem"), file("131229.key"), file("131229.pem")])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("it is installed");
        let told = process.stdin.take().expect("it was asked for");
        let says = BufReader::new(process.stdout.take().expect("it was asked for")).lines();
        Self { process, told, says, made: 0 }
    }

    /// Makes calls one after another, and fails unless the issuer answered each of them.
    fn calls(&mut self, count: u64) {
        writeln!(self.told, "{count}").expect("it listens");
        let said = self.says.next().expect("it answers").expect("UTF-8");
        let said: Value = serde_json::from_str(&said).expect("it is JSON");
        assert_eq!(said, json!({"NOT_FOUND": count}), "each call is answered");
        self.made += count;
    }
}

/// How many calls each relay answered, once every call that the client made is counted.
async fn answered(relays: &[Process; 2], stock: &Stock) -> [u64; 2] {
    eventually("every call is counted once", || async {
        let counts = [relays[0].answered().await, relays[1].answered().await];
        (counts[0] + counts[1] == stock.made).then_some(counts)
    })
    .await
}

/// Makes calls until each relay had at least 20 of them: it takes the client a while to connect to both.
async fn reach_both(relays: &[Process; 2], stock: &mut Stock) {
    let (begun, before) = (Instant::now(), answered(relays, stock).await);
    loop {
        stock.calls(50);
        let now = answered(relays, stock).await;
        if (0..2).all(|at| now[at] >= before[at] + 20) {
            return;
        }
        assert!(begun.elapsed() < Duration::from_secs(60), "both were to be called: {before:?}, {now:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stock_client_learns_the_pool_and_calls_no_drained_unit() {
    let pool = Pool::start(quick()).await;
    let folder = Folder::new();
    let relays = [pool.process(&folder, "relay-1"), pool.process(&folder, "relay-2")];
    for unit in ["relay-1", "relay-2"] {
        pool.until(unit, UnitState::Healthy).await;
    }
    let pki = pool.issuer.dir.path().join("pki");
    let mut stock = Stock::start(&pki, pool.issuer.address.port(), &folder.path("bootstrap.json"));
    reach_both(&relays, &mut stock).await;

    pool.order(drain("d-1", "relay-2")).await.expect("one of two may go");
    pool.decided("relay-2", "reset").await;
    stock.calls(50); // the first ones may still have been on their way to it
    let before = answered(&relays, &stock).await;
    stock.calls(100);
    let after = answered(&relays, &stock).await;
    assert_eq!(after, [before[0] + 100, before[1]], "none go over the one that was drained");

    pool.order(undrain("u-1", "relay-2")).await.expect("it was drained");
    pool.until("relay-2", UnitState::Healthy).await;
    reach_both(&relays, &mut stock).await;
}

#[tokio::test]
async fn one_caller_has_64_streams_and_takes_no_other_s_place() {
    let pool = Pool::start(quick()).await;
    let (ward, other) = ("municipality/131016", "municipality/131024");
    let (ward, other) = (pool.issuer.party(ward).await, pool.issuer.party(other).await);
    let open = async |party: &Party| {
        let mut client = ads::AggregatedDiscoveryServiceClient::new(party.channel.clone());
        let (asks, asked) = tokio::sync::mpsc::channel(1);
        let answers = client.stream_aggregated_resources(ReceiverStream::new(asked)).await;
        answers.map(|answers| (asks, Response::into_inner(answers)))
    };
    let mut held = Vec::new();
    for _ in 0..64 {
        held.push(open(&ward).await.expect("it has room"));
    }
    let refused = open(&ward).await.expect_err("it has 64");
    assert_eq!(refused.code(), Code::ResourceExhausted);
    assert!(refused.message().contains("64 xDS streams"), "{refused:?}");
    held.push(open(&other).await.expect("another has its own"));
    drop(held.swap_remove(0));
    eventually("its place is free again", || async { open(&ward).await.ok().map(drop) }).await;
}
