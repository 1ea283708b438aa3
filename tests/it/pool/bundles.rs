//! Promise: before it drains a relay leaves what it saw in one file of a bounded size, whose name and size
//! are on record once; a disk that takes nothing costs the file and nothing else.

use std::{path::Path, process::Stdio, time::Duration};

use serde_json::Value;
use todoke::wire::{
    convert::timestamp,
    pb::{self, UnitState, order_unit_request::Order},
};
use tokio::{process::Command, task::JoinSet};

use super::{
    harness::{Pool, Relay, WARDS, ask, drain, eventually, order, quick},
    process::Process,
};
use crate::{
    issuance::harness::{Party, id},
    system::Folder,
};

/// The lines of a bundle.
fn read(path: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(path).expect("it is there");
    text.lines().map(|line| serde_json::from_str(line).expect("each line is whole")).collect()
}

fn of<'a>(lines: &'a [Value], event: &str) -> Vec<&'a Value> {
    lines.iter().filter(|line| line["event"] == event).collect()
}

/// A pool of which `relay-2` is a process with these flags, behind `before`, and serves.
async fn second(
    folder: &Folder,
    before: Option<Command>,
    flags: &[&str],
) -> (Pool, Vec<Relay>, Process, Party) {
    let pool = Pool::start(quick()).await;
    let first = pool.relays(1).await;
    let process = pool.process_with(folder, before, "relay-2", flags);
    pool.until("relay-2", UnitState::Healthy).await;
    let address = pool.units().await.remove("relay-2").and_then(|unit| unit.attributes);
    let address = address.expect("it is known").address;
    let party = Party::at(&pool.issuer.dir.path().join("pki"), WARDS[0], &address);
    eventually("it serves", || async { ask(&party).await.ok() }).await;
    (pool, first, process, party)
}

/// Has `relay-2` play that it hangs, and three calls hang there until the set is dropped.
async fn hanging(pool: &Pool, process: &Process, party: &Party) -> JoinSet<()> {
    let until_time = Some(timestamp(pool.issuer.clock.now_ms() + 300_000));
    let hang = Order::Drill(pb::DrillUnit { fault: "hang".to_owned(), until_time, lasts: None });
    pool.order(order("x-1", "relay-2", hang)).await.expect("it was started for that");
    let asks = |limit| {
        let mut request = party.request(pb::GetBatchRequest { batch_id: id(1).to_string() });
        request.set_timeout(Duration::from_secs(120));
        let mut client = party.batches();
        let limit = Duration::from_millis(limit);
        async move { tokio::time::timeout(limit, client.get_batch(request)).await.ok() }
    };
    eventually("calls hang", || async { asks(500).await.is_none().then_some(()) }).await;
    let mut hung = JoinSet::new();
    for _ in 0..3 {
        let asked = asks(120_000);
        hung.spawn(async move { drop(asked.await) });
    }
    eventually("they are in flight", || async {
        (process.figure("todoke_relay_calls_in_flight").await >= 3.0).then_some(())
    })
    .await;
    hung
}

/// How often a bundle of `relay-2` is on record.
async fn on_record(pool: &Pool) -> usize {
    pool.decisions("relay-2").await.into_iter().filter(|one| one.kind == "bundle").count()
}

#[tokio::test]
async fn a_relay_leaves_what_it_saw_before_it_drains_and_the_file_is_on_record_once() {
    let folder = Folder::new();
    let dir = folder.path("bundles");
    let flags = ["--drills", "--bundle-dir", &dir.display().to_string()];
    let (pool, _first, process, party) = second(&folder, None, &flags).await;
    let hung = hanging(&pool, &process, &party).await;
    pool.order(drain("d-1", "relay-2")).await.expect("one of two may go");
    let told = pool.decided("relay-2", "bundle").await;
    let record: Value = serde_json::from_str(&told.record_json).expect("it is JSON");
    let bundles = pool.explained("relay-2").await["bundles"].clone();
    let name = bundles[0]["name"].as_str().expect("a name").to_owned();
    let bytes = std::fs::metadata(dir.join(&name)).expect("it is there").len();
    assert_eq!((&bundles[0]["bytes"], &record["numbers"]["bytes"]), (&bytes.into(), &(bytes as f64).into()));
    assert!(told.why.contains(&name) && told.why.contains("on relay-2"), "{}", told.why);
    assert!(bytes < 1 << 20, "{bytes}");
    says_what_was(&read(&dir.join(&name)));

    assert_eq!(process.figure("todoke_relay_bundles_total{outcome=\"written\"}").await, 1.0);
    pool.decided("relay-2", "reset").await;
    assert_eq!(on_record(&pool).await, 1, "it is reported each second");
    drop(hung);
}

/// The bundle of a relay that hung, and was drained.
fn says_what_was(lines: &[Value]) {
    let head = &lines[0];
    let said = (&head["event"], &head["cause"], &head["drill"]);
    assert_eq!(said, (&"bundle".into(), &"order".into(), &"hang".into()));
    assert_eq!(head["serving"], true, "it was taken down before the relay stopped serving: {head}");
    // It hears of it each second, when its short drain may be over.
    let whys = ["operator/alice drains relay-2", "relay-2 has drained"];
    let why = head["why"].as_str().expect("words");
    assert!(whys.iter().any(|words| why.contains(words)), "{head}");
    assert!(head["process"]["resident_bytes"].as_f64().is_some_and(|bytes| bytes > 1e6), "{head}");
    assert!(head["process"]["open_fds"].as_f64().is_some_and(|fds| fds > 5.0), "{head}");
    // A probe may be in flight beside them.
    let calls: Vec<&Value> = of(lines, "call").into_iter().filter(|one| one["caller"] == "131229").collect();
    assert_eq!(calls.len(), 3, "{calls:?}");
    for call in calls {
        assert_eq!(call["method"], "/todoke.v1.BatchService/GetBatch");
        assert_eq!(call["at"], "held", "{call}");
        assert!(call["age_ms"].as_u64().is_some_and(|age| age > 0), "{call}");
    }
    let seconds = of(lines, "second");
    let some = |holds: &dyn Fn(&Value) -> bool| seconds.iter().any(|second| holds(second));
    assert!(seconds.len() > 1 && some(&|second| second["in_flight"].as_u64() >= Some(3)), "{seconds:?}");
    assert!(some(&|second| second["counts"]["calls"]["NOT_FOUND"].as_u64() > Some(0)), "{seconds:?}");
    assert!(some(&|second| second["calls"].as_u64() > Some(0)), "{seconds:?}");
    for event in ["upstream_connected", "serving", "drill", "ordered"] {
        assert!(!of(lines, event).is_empty(), "{event} is not in {lines:?}");
    }
    let came = of(lines, "connected");
    assert!(came.iter().any(|one| one["caller"] == "131229"), "{came:?}");
    assert_eq!(lines.last().expect("the end")["left_out"], 0);
}

/// A disk of one page in memory, which is full.
const FULL: &str = "mount -t tmpfs -o size=4k none disk || exit 97
    dd if=/dev/zero of=disk/ballast bs=4k >/dev/null 2>&1
    exec \"$@\"";

#[tokio::test]
async fn a_full_disk_and_a_folder_that_cannot_be_made_do_not_hinder_the_drain() {
    for (full, dir) in [(true, "disk"), (false, "file/below")] {
        let folder = Folder::new();
        std::fs::create_dir(folder.path("disk")).expect("a folder");
        std::fs::write(folder.path("file"), "no folder").expect("it is written");
        let mut unshare = Command::new("unshare");
        unshare.args(["--user", "--map-root-user", "--mount", "sh", "-c", FULL, "sh"]);
        unshare.current_dir(folder.path("")).stderr(Stdio::null()).kill_on_drop(true);
        let dir = folder.path(dir).display().to_string();
        let before = full.then_some(unshare);
        let (pool, _first, process, party) = second(&folder, before, &["--bundle-dir", &dir]).await;
        pool.order(drain("d-1", "relay-2")).await.expect("one of two may go");
        eventually("it takes no calls", || async { ask(&party).await.err() }).await;
        eventually("it says that there is no bundle", || async {
            let failed = process.figure("todoke_relay_bundles_total{outcome=\"failed\"}").await;
            (failed == 1.0).then_some(())
        })
        .await;
        pool.decided("relay-2", "reset").await;
        assert_eq!(process.figure("todoke_relay_bundles_total{outcome=\"written\"}").await, 0.0);
        assert!(!pool.decisions("relay-2").await.iter().any(|one| one.kind == "bundle"), "none is spoken of");
    }
}

#[tokio::test]
async fn a_relay_whose_lease_ends_leaves_what_it_saw_though_nobody_ordered_it() {
    let pool = Pool::start(quick()).await;
    let relays = pool.relays(1).await;
    pool.issuer.tasks.hard().cancel();
    pool.issuer.tasks.soft().cancel();
    relays[0].serves_not().await;
    let dir = pool.issuer.dir.path().join("bundles");
    let bundle = eventually("it left a bundle", || async {
        let entry = std::fs::read_dir(&dir).ok()?.next()?.ok()?;
        entry.file_name().to_str().is_some_and(|name| name.ends_with(".jsonl")).then(|| entry.path())
    })
    .await;
    let lines = read(&bundle);
    assert_eq!((&lines[0]["cause"], &lines[0]["name"]), (&"lapse".into(), &"relay-1".into()));
    assert!(!of(&lines, "issuer_silent").is_empty() && !of(&lines, "lapsed").is_empty(), "{lines:?}");
}
