//! Promise: several issuers on one database are as one: any serves any call, one sweeps and one decides for
//! the pool at a time, and one that dies, is drained, stands still or comes back costs no import and no call.

use std::{
    net::SocketAddr,
    path::Path,
    sync::atomic::{AtomicBool, Ordering::Relaxed},
    time::Duration,
};

use serde_json::Value;
use todoke::store::throwaway::{DATABASE, Throwaway};
use tokio::time::{Instant, timeout};

use super::{
    issuance::beside::Beside,
    operators::until,
    system::{Dev, Folder, Running, Signal, http, killed, signal},
};

/// How long the two leases may take to find another holder: 10 s until they end, and some seconds until
/// somebody asks; and what is looked at is not new.
const TAKEN_WITHIN: Duration = Duration::from_secs(30);
/// Records of a file.
const RECORDS: &str = "1600";
/// The municipalities that import at once.
const WARDS: [&str; 3] = ["131229", "131211", "271004"];

/// What an issuer's metrics say, if it answers.
async fn metrics(issuer: &Value) -> Option<String> {
    let ops: SocketAddr = issuer["ops"].as_str()?.parse().ok()?;
    tokio::net::TcpStream::connect(ops).await.ok()?;
    timeout(Duration::from_secs(1), http(ops, "/metrics")).await.ok()
}

/// The sum of a metric's samples whose labels hold this text.
fn sum(metrics: &str, name: &str, label: &str) -> f64 {
    let samples = metrics.lines().filter(|line| line.starts_with(name) && line.contains(label));
    samples.filter_map(|line| line.rsplit_once(' ')?.1.parse::<f64>().ok()).sum()
}

/// The names of the issuers at which this metric is over 0.
async fn holders(folder: &Folder, metric: &str) -> Vec<String> {
    let mut holders = Vec::new();
    for issuer in folder.endpoints()["issuers"].as_array().expect("a list") {
        let text = metrics(issuer).await.unwrap_or_default();
        if sum(&text, metric, "") > 0.0 {
            holders.push(issuer["id"].as_str().expect("a name").to_owned());
        }
    }
    holders
}

const EPOCHS: [&str; 2] = ["todoke_pool_epoch", "todoke_sweep_epoch"];

/// Waits until one issuer holds each lease, which is none of these, and fails if ever two do.
async fn one_of_each(folder: &Folder, but: &[&str]) {
    let begun = Instant::now();
    loop {
        let [pool, sweep] = [holders(folder, EPOCHS[0]).await, holders(folder, EPOCHS[1]).await];
        assert!(pool.len() <= 1 && sweep.len() <= 1, "two at once: {pool:?} {sweep:?}");
        let taken = |held: &[String]| held.first().is_some_and(|name| !but.contains(&name.as_str()));
        if taken(&pool) && taken(&sweep) {
            return;
        }
        assert!(begun.elapsed() < TAKEN_WITHIN, "nobody took over: {pool:?} {sweep:?}");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

fn of_ward(folder: &Folder, ward: &str) -> [String; 4] {
    let mut flags = folder.as_ward();
    flags[3] = format!("municipality/{ward}");
    flags
}

/// Makes small calls until it is told to end; the longest that one took, and how many there were.
async fn small_calls(folder: &Folder, ends: &AtomicBool) -> (Duration, usize) {
    let (mut longest, mut count) = (Duration::ZERO, 0);
    while !ends.load(Relaxed) {
        let begun = Instant::now();
        let said = folder.todoke(&["status"], &of_ward(folder, "011002")).await;
        assert_eq!(said.code, Some(0), "{}", said.all());
        (longest, count) = (longest.max(begun.elapsed()), count + 1);
    }
    (longest, count)
}

fn issuer(folder: &Folder, id: &str) -> Value {
    let issuers = folder.endpoints()["issuers"].as_array().cloned().unwrap_or_default();
    issuers.into_iter().find(|issuer| issuer["id"] == id).expect("it is listed")
}

fn pid(issuer: &Value) -> u32 {
    u32::try_from(issuer["pid"].as_u64().expect("a pid")).expect("small")
}

#[tokio::test]
async fn imports_end_by_themselves_while_issuers_are_killed_drained_and_added() {
    let folder = Folder::new();
    let several = ["--issuers", "3", "--relays", "2", "--database", "postgres"];
    let mut dev = Dev::start(&folder, &several).await;
    until(&folder, &["relay-1", "relay-2"], "HEALTHY").await;
    one_of_each(&folder, &[]).await;
    let mut imports = Vec::new();
    for ward in WARDS {
        let (file, out) = (format!("{ward}.csv"), ["--records", RECORDS, "--force"]);
        let sample = [&["sample", "--municipality", ward, "--out", &file][..], &out].concat();
        let said = folder.todoke(&sample, &[]).await;
        assert_eq!(said.code, Some(0), "{}", said.all());
        let args = ["import", &file, "--chunk-records", "8"];
        imports.push(Running::start(&folder, &args, &of_ward(&folder, ward)));
    }
    let ends = AtomicBool::new(false);
    let troubled = async {
        imports[0].until("uploading").await;
        let first = holders(&folder, EPOCHS[0]).await.pop().expect("one decides");
        killed(&issuer(&folder, &first)["pid"]);
        dev.until("died", &first).await;
        let second = ["issuer-1", "issuer-2", "issuer-3"].into_iter().find(|id| *id != first).expect("two");
        signal(Signal::TERM, pid(&issuer(&folder, second)));
        let died = dev.until("died", second).await;
        assert_eq!(died["how"], "exit code 0", "it ended in order");
        dev.until("ready", second).await;
        one_of_each(&folder, &[]).await;
        for import in imports {
            let said = import.end().await;
            assert_eq!(said.code, Some(0), "{}", said.all());
        }
        ends.store(true, Relaxed);
    };
    let (calls, ()) = tokio::join!(small_calls(&folder, &ends), troubled);
    assert!(calls.1 > 0, "none was made");
    for ward in WARDS {
        let file = format!("{ward}.csv");
        folder.is_proved(&file, &folder.path("dev/pki/receipt.pub")).await;
    }
    assert_eq!(folder.ordered().await, folder.order_ids("131229.csv"), "each record is one card");
    assert_eq!(dev.stop().await, Some(0));
}

/// How many small calls an issuer has answered.
async fn answered(issuer: &Value) -> f64 {
    sum(&metrics(issuer).await.expect("it answers"), "todoke_store_seconds_count", "\"list_batches\"")
}

#[tokio::test]
async fn an_issuer_that_stands_still_is_left_by_all_and_used_again_when_it_goes_on() {
    let folder = Folder::new();
    let several = ["--issuers", "2", "--relays", "2", "--database", "postgres"];
    let mut dev = Dev::start(&folder, &several).await;
    until(&folder, &["relay-1", "relay-2"], "HEALTHY").await;
    one_of_each(&folder, &[]).await;
    let stopped = holders(&folder, EPOCHS[0]).await.pop().expect("one decides");
    let stands = issuer(&folder, &stopped);
    let status = async || {
        let begun = Instant::now();
        let said = folder.todoke(&["status"], &of_ward(&folder, "011002")).await;
        assert_eq!(said.code, Some(0), "{}", said.all());
        begun.elapsed()
    };
    signal(Signal::STOP, pid(&stands));
    let (begun, mut late) = (Instant::now(), Vec::new());
    while begun.elapsed() < Duration::from_secs(10) {
        let is_late = begun.elapsed() > Duration::from_secs(3); // one of before may wait for four
        let took = status().await;
        if is_late {
            late.push(took);
        }
    }
    assert!(late.iter().all(|took| took.as_secs() < 2), "no call waits for it any more: {late:?}");
    folder.sample("cards.csv", "300").await;
    let said = folder.todoke(&["import", "cards.csv"], &folder.as_ward()).await;
    assert_eq!(said.code, Some(0), "{}", said.all());
    one_of_each(&folder, &[stopped.as_str()]).await;
    until(&folder, &["relay-1", "relay-2"], "HEALTHY").await;

    signal(Signal::CONT, pid(&stands));
    let (begun, before) = (Instant::now(), answered(&stands).await);
    while answered(&stands).await < before + 5.0 {
        status().await;
        assert!(begun.elapsed() < Duration::from_secs(60), "it gets no calls again");
    }
    one_of_each(&folder, &[]).await;
    assert_eq!(dev.stop().await, Some(0));
}

/// Has every round of this issuer's sweeper fail, at its last word.
fn failing(name: &str) -> String {
    format!(
        "CREATE FUNCTION fails() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
            IF EXISTS (SELECT 1 FROM lease WHERE name = 'sweeper' AND owner = '{name}') THEN
                RAISE EXCEPTION 'a test';
            END IF;
            RETURN NEW;
        END $$;
        CREATE TRIGGER fails BEFORE INSERT OR UPDATE ON heartbeat FOR EACH ROW EXECUTE FUNCTION fails()"
    )
}

#[tokio::test]
async fn a_sweeper_whose_rounds_fail_leaves_them_to_another_issuer_that_can() {
    let server = Throwaway::prepared(Path::new(env!("CARGO_TARGET_TMPDIR")), "").await;
    let server = server.unwrap_or_else(|trouble| panic!("{trouble}"));
    let (folder, url) = (Folder::new(), server.url(DATABASE));
    let several = ["--issuers", "2", "--relays", "1", "--database", &url];
    let mut dev = Dev::start_in(&folder, &several, &[("TODOKE_ISSUANCE__SWEEP_EVERY", "500ms")]).await;
    one_of_each(&folder, &[]).await;
    let first = holders(&folder, EPOCHS[1]).await.pop().expect("one sweeps");
    let second = if first == "issuer-1" { "issuer-2" } else { "issuer-1" };
    let mut beside = Beside::server(&server).await;
    beside.damage(&failing(&first)).await;
    let begun = Instant::now();
    while holders(&folder, EPOCHS[1]).await != [second] {
        assert!(begun.elapsed() < TAKEN_WITHIN, "{first} keeps the lease, and its rounds fail");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let beats = "SELECT beats FROM heartbeat WHERE name = 'sweeper'";
    let before: Vec<(i64,)> = beside.read(beats.to_owned()).await;
    let begun = Instant::now();
    while beside.read::<(i64,)>(beats.to_owned()).await == before {
        assert!(begun.elapsed() < TAKEN_WITHIN, "{second} finishes no round");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    beside.close().await;
    assert_eq!(dev.stop().await, Some(0));
}
