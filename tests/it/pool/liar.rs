//! Promise: a relay that says over the wire that another fails all it is asked takes nobody out by that, and
//! is itself named as the observer that sees what nobody else does; nor does it keep one out that is on
//! probation, and what a relay says of its own probes does not bring it back.

use serde_json::Value;
use todoke::wire::pb::{EvidenceBucket, EvidenceClass, ReportRequest, UnitState};

use super::{
    evicted::{four, until},
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

#[tokio::test]
async fn a_relay_that_lies_of_one_on_probation_does_not_keep_it_out_nor_do_its_own_words_bring_it_back() {
    let mut options = quick();
    (options.policy.join_probes, options.policy.probation_probes) = (0, 20);
    let (pool, puppets) = four(options).await;
    for puppet in &puppets {
        pool.until(&puppet.name, UnitState::Healthy).await;
    }
    until(&pool, &puppets, UnitState::Evicted, 20).await;
    until(&pool, &puppets, UnitState::Probation, 0).await;
    let decided = eventually("its probation is over", || async {
        let second = pool.issuer.clock.now_ms() / 1000;
        // It is the last who speaks, so that the others are known by then.
        for (who, n, bad) in [(0, 2, 0), (2, 2, 0), (1, 40, 0), (3, 2, 2)] {
            let probes = traffic(second, "relay-2", n, bad);
            let buckets = vec![EvidenceBucket { class: EvidenceClass::Probe.into(), ..probes }];
            let who: &Puppet = &puppets[who];
            who.report(ReportRequest { buckets, ..who.nothing() }).await.expect("it is taken");
        }
        let ends = ["return", "fail_probation"];
        pool.decisions("relay-2").await.into_iter().find(|one| ends.contains(&one.kind.as_str()))
    })
    .await;
    assert_eq!(decided.kind, "return", "{}", decided.why);
    let record: Value = serde_json::from_str(&decided.record_json).expect("JSON");
    let probes = record["numbers"]["n"].as_f64().expect("a number");
    assert!((20.0..40.0).contains(&probes), "of two relays: {}", decided.why);
}
