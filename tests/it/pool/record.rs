//! Promise: when the issuer that judges is killed, the next one goes on with the same decisions, and what
//! either of them recorded gives its part of them again.

use std::{io::BufReader, path::Path, time::Duration};

use todoke::{
    pool::{
        controller::{Controller, Options},
        disk::Disk,
        keeper::{Keeper as _, KeptDecision},
        ledger,
        rule::Judge,
    },
    runtime::Tasks,
    vault::Vault,
    wire::pb::{self, UnitState},
};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::{
    harness::{Pool, controller_with, drain, eventually, quick, undrain},
    puppet::Puppet,
};
use crate::issuance::harness::{files, issue};

/// Another issuer on the same database, with a record of its own; dropping `running` kills it.
struct Other {
    controller: Controller,
    running: JoinSet<()>,
    tasks: Tasks,
}

impl Other {
    fn start(pool: &Pool, name: &str, options: Options) -> Self {
        issue(&pool.issuer.authority, &format!("issuer/{name}"));
        let pki = pool.issuer.dir.path().join("pki");
        let vault = Vault::open(&pki.join("kek.key"), &pki.join("receipt.key")).expect("a vault");
        let (tls, store, clock) = (files(&pki, name), &pool.issuer.store, &pool.issuer.clock);
        let tasks = Tasks::new();
        let disk = Disk::open(pool.issuer.dir.path().join(name), 16 << 20, &vault.verifier_key(), &tasks);
        let controller = controller_with((name, &tls), options, store, &vault, clock, disk);
        let mut running = JoinSet::new();
        running.spawn(controller.clone().run(CancellationToken::new()));
        Self { controller, running, tasks }
    }

    /// All relays report to it once, as they do each second.
    async fn hears(&self, relays: &[Puppet]) {
        for relay in relays {
            let identity = format!("relay/{}", relay.name).parse().expect("an identity");
            let _ = self.controller.report(&identity, relay.nothing()).await;
        }
    }

    /// Waits until it decides, under a later epoch than this.
    async fn takes_over(&self, before: u64, relays: &[Puppet]) -> u64 {
        eventually("the next issuer takes over", || async {
            self.hears(relays).await;
            Some(self.controller.standing().epoch).filter(|epoch| *epoch > before)
        })
        .await
    }

    async fn ordered(&self, relays: &[Puppet], order: pb::OrderUnitRequest) -> pb::Unit {
        self.hears(relays).await;
        let alice = "operator/alice".parse().expect("an identity");
        let done = self.controller.order(&alice, order).await.expect("it decides");
        done.unit.expect("what came of it")
    }
}

async fn kept(pool: &Pool, epoch: Option<u64>) -> Vec<KeptDecision> {
    let all = pool.issuer.store.after(0, 10_000).await.expect("it is read");
    all.into_iter().filter(|one| epoch.is_none_or(|epoch| one.epoch == epoch)).collect()
}

/// What an issuer recorded, once all is there that it decided: its decisions, each made again.
async fn recorded(pool: &Pool, name: &str, epoch: u64) {
    let folder = pool.issuer.dir.path().join(name);
    let wanted: Vec<String> = kept(pool, Some(epoch)).await.into_iter().map(|one| one.record).collect();
    assert!(!wanted.is_empty(), "{name} decided");
    eventually(&format!("{name}'s record is written"), || async {
        (written(&folder).len() >= wanted.len()).then_some(())
    })
    .await;
    assert_eq!(written(&folder), wanted, "{name} recorded what it decided");
    let mut same = 0;
    for piece in ledger::list(&folder).expect("it is there") {
        let lines = BufReader::new(std::fs::File::open(piece.path).expect("it is there"));
        let mut judge = Judge::new(todoke::pool::rule::Parameters::default(), 0);
        let report = ledger::replay(lines, &mut judge).expect("every line is right");
        assert_eq!(report.difference, None, "{name}");
        same += report.same;
    }
    assert_eq!(same, wanted.len() as u64, "{name}: each was made again");
}

/// The decisions in a folder's files, as they are kept in the database.
fn written(folder: &Path) -> Vec<String> {
    let pieces = ledger::list(folder).expect("it is there").into_iter();
    let text: String = pieces.filter_map(|piece| std::fs::read_to_string(piece.path).ok()).collect();
    let decision = |line: &str| Some(line.strip_prefix("{\"decision\":")?.strip_suffix('}')?.to_owned());
    text.lines().filter_map(decision).collect()
}

#[tokio::test]
async fn the_next_issuer_goes_on_where_a_killed_one_stopped_and_both_records_are_made_again() {
    let mut options = quick();
    options.policy.join_probes = 0;
    let pool = Pool::start(options.clone()).await;
    let mut relays = Vec::new();
    for name in ["relay-1", "relay-2", "relay-3"] {
        let relay = Puppet::new(&pool, name).await;
        relay.leased(&pool).await;
        pool.until(name, UnitState::Healthy).await;
        relays.push(relay);
    }
    let first = pool.controller.standing().epoch;
    let mut second = Other::start(&pool, "issuer-2", options.clone());
    pool.issuer.tasks.soft().cancel();
    let epoch = second.takes_over(first, &relays).await;
    let drained = second.ordered(&relays, drain("d-1", "relay-1")).await;
    assert_eq!(drained.state(), UnitState::Draining);

    let third = Other::start(&pool, "issuer-3", options);
    second.running.shutdown().await; // as SIGKILL does: it gives nothing up
    let last = third.takes_over(epoch, &relays).await;
    let again = third.ordered(&relays, drain("d-1", "relay-1")).await;
    assert_eq!(again.state(), UnitState::Draining, "it was carried out, and is not a second time");
    let back = third.ordered(&relays, undrain("u-1", "relay-1")).await;
    assert_ne!(back.state(), UnitState::Draining, "{back:?}");

    let all = kept(&pool, None).await;
    let numbers: Vec<u64> = all.iter().map(|one| one.number).collect();
    assert_eq!(numbers, (1..=all.len() as u64).collect::<Vec<_>>(), "none is missing, none stands twice");
    assert!(all.is_sorted_by_key(|one| one.epoch), "one after the other");
    let drains = all.iter().filter(|one| one.kind == "drain").count();
    assert_eq!(drains, 1, "{all:?}");
    recorded(&pool, "issuer-2", epoch).await;
    recorded(&pool, "issuer-3", last).await;
    for other in [&second, &third] {
        other.tasks.soft().cancel();
        other.tasks.join(Duration::from_secs(5)).await;
    }
}
