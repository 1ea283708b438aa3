//! Promise: a relay that says over the wire that another fails all it is asked takes nobody out by that, and
//! is itself named as the observer that sees what nobody else does.

use todoke::wire::pb::{EvidenceBucket, EvidenceClass, ReportRequest, UnitState};

use super::{
    evicted::four,
    harness::{Pool, eventually, quick},
    puppet::{Puppet, traffic},
};

/// Says what it saw in this second of all others: probes that are good, but that the liar's of one are bad.
async fn says(pool: &Pool, puppets: &[Puppet], who: &Puppet) {
    let second = pool.issuer.clock.now_ms() / 1000;
    let probes = |of: &Puppet| {
        let bad = if who.name == "relay-4" && of.name == "relay-2" { 40 } else { 0 };
        EvidenceBucket { class: EvidenceClass::Probe.into(), ..traffic(second, &of.name, 40, bad) }
    };
    let buckets = puppets.iter().filter(|of| of.name != who.name).map(probes).collect();
    who.report(ReportRequest { buckets, ..who.nothing() }).await.expect("it is taken");
}

#[tokio::test]
async fn a_relay_that_lies_of_another_is_named_as_an_observer_and_takes_nobody_out() {
    let mut options = quick();
    options.policy.join_probes = 0;
    let (pool, puppets) = four(options).await;
    for puppet in &puppets {
        pool.until(&puppet.name, UnitState::Healthy).await;
    }
    eventually("the liar is named", || async {
        for who in &puppets {
            says(&pool, &puppets, who).await;
        }
        let verdict = pool.list().await.verdict;
        (verdict.starts_with("OBSERVER") && verdict.contains("relay-4")).then_some(())
    })
    .await;
    for puppet in &puppets {
        let kinds: Vec<String> = pool.decisions(&puppet.name).await.into_iter().map(|one| one.kind).collect();
        let spoken = kinds.iter().any(|kind| ["evict", "steer_away"].contains(&kind.as_str()));
        assert!(!spoken, "{}: {kinds:?}", puppet.name);
    }
}
