//! Promise: `todoke dev` gives a developer a system that works, stays alive, and leaves nothing behind.

use super::system::{Dev, Folder, Signal, eventually, is_alive, killed, pids};

/// Records of a small file.
const RECORDS: &str = "300";

#[tokio::test]
async fn a_file_becomes_a_verified_receipt_with_nothing_but_endpoints_json() {
    let folder = Folder::new();
    let mut dev = Dev::start(&folder, &["--relays", "2"]).await;
    folder.sample("cards.csv", RECORDS).await;
    let said = folder.todoke(&["import", "cards.csv"], &folder.as_ward()).await;
    assert_eq!(said.code, Some(0), "{}", said.all());
    let key = folder.path("dev/pki/receipt.pub").display().to_string();
    let args = ["verify", "cards.csv.receipt", "--file", "cards.csv", "--key", &key];
    let said = folder.todoke(&args, &[]).await;
    assert_eq!(said.code, Some(0), "{}", said.all());
    assert_eq!(dev.stop().await, Some(0));
}

#[tokio::test]
async fn a_killed_relay_is_back_on_its_ports_as_another_process() {
    let folder = Folder::new();
    let mut dev = Dev::start(&folder, &["--relays", "1"]).await;
    let before = folder.endpoints()["relays"][0].clone();
    killed(&before["pid"]);
    let died = dev.until("died", "relay-1").await;
    assert_eq!((&died["how"], &died["again_in_s"]), (&"killed by signal 9".into(), &1.into()));
    dev.until("ready", "relay-1").await;
    let after = folder.endpoints()["relays"][0].clone();
    assert_ne!(before["pid"], after["pid"]);
    assert_eq!((&before["address"], &before["ops"]), (&after["address"], &after["ops"]));
    let said = folder.todoke(&["status"], &folder.as_ward()).await;
    assert_eq!(said.code, Some(0), "calls go over it again: {}", said.all());
    assert_eq!(dev.stop().await, Some(0));
}

#[tokio::test]
async fn a_process_that_cannot_start_again_is_spoken_of_and_tried_ever_later() {
    let folder = Folder::new();
    let mut dev = Dev::start(&folder, &["--relays", "1"]).await;
    let key = folder.path("dev/pki/relay-1.key");
    let aside = folder.path("relay-1.key");
    std::fs::rename(&key, &aside).expect("it is moved");
    killed(&folder.endpoints()["relays"][0]["pid"]);
    dev.until("died", "relay-1").await;
    let words = dev.until("not_back", "relay-1").await;
    assert!(words["why"].as_str().is_some_and(|why| why.contains("relay-1.key")), "its last words: {words}");
    assert_eq!((&words["deaths"], &words["again_in_s"]), (&2.into(), &2.into()), "twice as long");
    std::fs::rename(&aside, &key).expect("it is moved back");
    dev.until("ready", "relay-1").await;
    assert_eq!(dev.stop().await, Some(0));
}

#[tokio::test]
async fn with_no_restart_the_dead_are_left_dead() {
    let folder = Folder::new();
    let mut dev = Dev::start(&folder, &["--relays", "2", "--no-restart"]).await;
    let relay = folder.endpoints()["relays"][0].clone();
    killed(&relay["pid"]);
    let died = dev.until("died", "relay-1").await;
    assert!(died["again_in_s"].is_null(), "{died}");
    assert!(dev.hears_nothing_for(std::time::Duration::from_millis(2_500)).await, "it came back");
    let said = folder.todoke(&["status"], &folder.as_ward()).await;
    assert_eq!(said.code, Some(0), "the other relay is enough: {}", said.all());
    assert_eq!(dev.stop().await, Some(0));
}

#[tokio::test]
async fn a_folder_in_use_is_refused_with_who_uses_it() {
    let folder = Folder::new();
    let mut dev = Dev::start(&folder, &["--relays", "1"]).await;
    let dir = folder.path("dev").display().to_string();
    let said = folder.todoke(&["dev", "--dir", &dir, "--relays", "1"], &[]).await;
    assert_eq!(said.code, Some(75), "{}", said.all());
    let words = format!("uses this folder, process {}", dev.pid());
    assert!(said.stdout.contains(&words), "{}", said.all());
    assert_eq!(dev.stop().await, Some(0));
}

#[tokio::test]
async fn sigterm_leaves_nothing_running_and_the_folder_goes_on() {
    let folder = Folder::new();
    let mut dev = Dev::start(&folder, &["--relays", "2"]).await;
    folder.sample("cards.csv", RECORDS).await;
    let said = folder.todoke(&["import", "cards.csv"], &folder.as_ward()).await;
    assert_eq!(said.code, Some(0), "{}", said.all());
    let (before, ca) = (folder.endpoints(), folder.read("dev/pki/ca.pem"));
    assert_eq!(pids(&before).len(), 3);
    assert_eq!(dev.stop().await, Some(0));
    assert_eq!(dev.all_of("stopping", "what"), ["relays", "issuers"], "calls end before what they need does");
    assert_eq!(dev.all_of("stopped_badly", "id"), [""; 0], "each ends in order");
    assert_eq!(dev.all_of("result", "outcome"), ["stopped"], "the last line is the result");
    for pid in pids(&before) {
        assert!(!is_alive(pid), "process {pid} is left");
    }
    assert!(
        !folder.path("dev/issuer.db-wal").exists(),
        "after a stop in order one file is all of the database"
    );
    let mut dev = Dev::start(&folder, &["--relays", "2"]).await;
    let after = folder.endpoints();
    assert_eq!(ca, folder.read("dev/pki/ca.pem"));
    for at in 0..2 {
        assert_eq!(before["relays"][at]["address"], after["relays"][at]["address"], "ports are kept");
    }
    let said = folder.todoke(&["status"], &folder.as_ward()).await;
    assert!(said.stdout.contains("\"ACCEPTED\""), "the batch is still there: {}", said.all());
    assert_eq!(dev.stop().await, Some(0));
}

#[tokio::test]
async fn a_second_signal_does_not_wait_for_the_end_of_calls() {
    let folder = Folder::new();
    let mut dev = Dev::start(&folder, &["--relays", "1"]).await;
    let pids = pids(&folder.endpoints());
    dev.signal(Signal::TERM);
    dev.next_where("the relays to be stopped", |event| event["event"] == "stopping").await;
    dev.signal(Signal::INT);
    assert_eq!(dev.end().await, Some(0));
    for pid in pids {
        eventually(&format!("process {pid} to end"), || !is_alive(pid)).await;
    }
    // A relay serves late connections for a second before it drains; it had no time to come to an end.
    let log = String::from_utf8(folder.read("dev/logs/relay-1.log")).expect("UTF-8");
    assert!(!log.contains("every task is done"), "{log}");
}

/// The process that `parent` started with this sub-command, if it runs.
fn started_by(parent: u32, sub_command: &str) -> Option<u32> {
    let pids = std::fs::read_dir("/proc").expect("it is there").flatten();
    let mut pids = pids.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    pids.find(|pid| {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        let above = stat.rsplit_once(") ").and_then(|(_, rest)| rest.split(' ').nth(1)?.parse().ok());
        let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        above == Some(parent) && line.split(|byte| *byte == 0).nth(1) == Some(sub_command.as_bytes())
    })
}

#[tokio::test]
async fn a_killed_demo_takes_its_import_along() {
    let folder = Folder::new();
    let mut demo = folder.command(&["demo", "--keep", "kept"]).spawn().expect("it runs");
    let id = demo.id().expect("it runs");
    eventually("the demo to import", || started_by(id, "import").is_some()).await;
    let import = started_by(id, "import").expect("it was just there");
    demo.kill().await.expect("it is killed");
    let begun = tokio::time::Instant::now();
    eventually("the import to end", || !is_alive(import)).await;
    // Alone it would go on as long as its patience lasts, which is 30 s.
    assert!(begun.elapsed().as_secs() < 10, "{:?}", begun.elapsed());
}

#[tokio::test]
async fn a_killed_dev_takes_its_processes_along() {
    let folder = Folder::new();
    let dev = Dev::start(&folder, &["--relays", "2"]).await;
    let pids = pids(&folder.endpoints());
    assert!(pids.iter().all(|pid| is_alive(*pid)));
    dev.kill().await;
    for pid in pids {
        eventually(&format!("process {pid} to end"), || !is_alive(pid)).await;
    }
    let mut dev = Dev::start(&folder, &["--relays", "2"]).await;
    assert_eq!(dev.stop().await, Some(0));
}

#[tokio::test]
async fn what_the_pool_decided_is_made_again_from_its_folder_and_xds_is_served_on_loopback() {
    let folder = Folder::new();
    let mut dev = Dev::start(&folder, &["--relays", "2"]).await;
    let ads = folder.endpoints()["ads"].as_str().expect("where it is served").to_owned();
    tokio::net::TcpStream::connect(&ads).await.expect("it is");
    assert!(ads.starts_with("127.0.0.1:"), "{ads}");
    assert_eq!(dev.stop().await, Some(0));
    let ledger = folder.path("dev/issuer.db-pool-ledger");
    assert!(ledger.join("view").exists(), "the last view is kept");
    let ledger = ledger.display().to_string();
    let said = folder.todoke(&["pool", "replay", &ledger], &[]).await;
    assert_eq!((said.code, &said.result()["outcome"]), (Some(0), &"same".into()), "{}", said.all());
    assert!(said.result()["decisions"].as_u64() > Some(1), "both were let in: {}", said.all());
    let said = folder.todoke(&["pool", "analyse", &ledger], &[]).await;
    assert_eq!(said.code, Some(0), "{}", said.all());
    assert_eq!(said.result()["files_that_differ"], 0, "{}", said.all());
}
