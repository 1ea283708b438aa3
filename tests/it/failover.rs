//! Promise: the database that `deploy/patroni` sets up loses no acknowledged write when its primary dies,
//! again and again; without synchronous replication the same test finds losses.

mod cluster;
mod imports;
mod writer;

use cluster::{Cluster, sql};
use writer::Writer;

/// How many writes are to be acknowledged before something happens, and after it.
const SOME: usize = 50;
/// How many are at stake while no standby hears of them, if they are acknowledged then.
const AT_STAKE: usize = 200;

/// What the deaths of a primary led to.
struct Deaths {
    acknowledged: usize,
    lost: Vec<u64>,
    asked_again: usize,
    /// From each death until a write was acknowledged again, in milliseconds.
    without_primary_ms: Vec<u128>,
}

/// Has the primary die so many times under writers, each second time, from the first on, when its standbys
/// have not heard of its last writes: what sends to them stands still for a moment.
async fn primary_dies(cluster: &Cluster, times: usize) -> Deaths {
    let writer = Writer::start(&cluster.file());
    let mut without_primary_ms = Vec::new();
    for time in 0..times {
        cluster.is_whole();
        writer.goes_on_by(SOME).await;
        if time % 2 == 0 {
            cluster.hold_standbys_back();
            writer.goes_on_by_or_waits(AT_STAKE).await;
        }
        let dead = cluster.kill_primary();
        without_primary_ms.push(writer.goes_on_by(SOME).await.as_millis());
        cluster.start(&dead);
    }
    cluster.is_whole();
    let (acknowledged, asked_again) = writer.stop();
    let kept = cluster.rows();
    let lost = acknowledged.iter().copied().filter(|id| !kept.contains(id)).collect();
    Deaths { acknowledged: acknowledged.len(), lost, asked_again, without_primary_ms }
}

#[tokio::test]
async fn no_acknowledged_write_is_lost_when_the_primary_of_a_synchronous_cluster_dies_five_times() {
    let cluster = Cluster::up(&[]);
    let deaths = primary_dies(&cluster, 5).await;
    let told = format!(
        "{} of {} acknowledged were lost, {} asked again, without a primary for {:?} ms",
        deaths.lost.len(),
        deaths.acknowledged,
        deaths.asked_again,
        deaths.without_primary_ms
    );
    assert!(deaths.lost.is_empty(), "{told}: {:?}", &deaths.lost[..deaths.lost.len().min(20)]);
    assert!(deaths.acknowledged >= 10 * SOME, "there was something to lose: {told}");
    assert!(deaths.asked_again >= 5, "each death met writes whose fate was unknown: {told}");
    writer::tell(&told);
}

#[tokio::test]
async fn a_primary_that_stood_still_takes_nothing_away_from_the_next_one() {
    let cluster = Cluster::up(&[]);
    let writer = Writer::start(&cluster.file());
    for _ in 0..2 {
        cluster.is_whole();
        writer.goes_on_by(SOME).await;
        let former = cluster.stop_primary();
        writer.goes_on_by(AT_STAKE).await;
        cluster.go_on(&former);
        writer.goes_on_by(AT_STAKE).await;
    }
    cluster.is_whole();
    let (acknowledged, _) = writer.stop();
    let kept = cluster.rows();
    let lost: Vec<_> = acknowledged.iter().filter(|id| !kept.contains(id)).collect();
    assert!(lost.is_empty(), "{} of {} acknowledged were lost", lost.len(), acknowledged.len());
}

#[tokio::test]
async fn without_synchronous_replication_the_same_test_finds_acknowledged_writes_lost() {
    let cluster = Cluster::up(&["--no-synchronous"]);
    let deaths = primary_dies(&cluster, 1).await;
    let told = format!("{} of {} acknowledged were lost", deaths.lost.len(), deaths.acknowledged);
    assert!(deaths.lost.len() >= AT_STAKE / 2, "{told}: the test would not see a loss");
    writer::tell(&told);
}

#[tokio::test]
async fn who_has_no_certificate_is_not_let_in_and_an_issuer_alters_no_table() {
    let cluster = Cluster::up(&[]);
    let (owner, issuer) = (cluster.url("owner"), cluster.url("database"));
    sql(&owner, "CREATE TABLE kept (id BIGINT PRIMARY KEY)").expect("the owner makes tables");
    let staged = "CREATE TEMPORARY TABLE staged (id BIGINT); INSERT INTO staged VALUES (1);
                  INSERT INTO kept SELECT id FROM staged; UPDATE kept SET id = 2; DELETE FROM kept";
    sql(&issuer, staged).expect("an issuer reads and writes rows");
    for altering in [
        "CREATE TABLE other (id BIGINT)",
        "ALTER TABLE kept ADD x BIGINT",
        "DROP TABLE kept",
        "TRUNCATE kept",
    ] {
        let said = sql(&issuer, altering).expect_err("it is not the owner");
        assert!(said.contains("permission denied") || said.contains("must be owner"), "{altering}: {said}");
    }
    let without = |url: &str, words: &[&str]| {
        let (head, query) = url.split_once('?').expect("it says how");
        let kept = query.split('&').filter(|word| !words.iter().any(|key| word.starts_with(key)));
        format!("{head}?{}", kept.collect::<Vec<_>>().join("&"))
    };
    for (url, words) in [
        (without(&issuer, &["sslcert", "sslkey"]), "requires a valid client certificate"),
        (without(&issuer, &["ssl"]) + "sslmode=disable", "no encryption"),
        (issuer.replace("todoke_issuer@", "todoke_owner@"), "certificate authentication failed"),
    ] {
        let said = sql(&url, "SELECT 1").expect_err("it is not let in");
        assert!(said.contains(words), "{words}: {said}");
    }
}

#[tokio::test]
async fn a_cluster_leaves_nothing_behind_when_who_wanted_it_is_gone() {
    let mut wanted_by = writer::who_waits();
    let cluster = Cluster::of(wanted_by.id(), &["--no-synchronous"]);
    cluster.kill_primary();
    let processes = cluster.processes();
    assert!(processes.len() > 4, "etcd and two nodes run: {processes:?}");
    wanted_by.kill().expect("it waits");
    wanted_by.wait().expect("it is killed");
    cluster.is_gone(&processes).await;
}
