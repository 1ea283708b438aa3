//! Promise: when the power goes, what was acknowledged is on the disk: everything that only waited to be
//! written may be lost, in any part, and nothing that was acknowledged is. What a client says of its own
//! files is on its disk, too.
//!
//! The issuer runs under strace. From the log of its writes and syncs the test makes the files that the disk
//! is sure to hold at the moment at which the issuer was about to acknowledge chunks, or the client had heard
//! of the batch or the receipt, with none or some of the rest. The control is the same with
//! `synchronous=NORMAL`.

use std::{fs::File, process::Stdio};

use serde_json::Value;
use sqlx::{Connection as _, SqliteConnection, sqlite::SqliteConnectOptions};

use super::{
    super::system::{Dev, Folder, Signal, signal},
    disk::{Disk, Log, Rest},
    harness::{CHUNK, RECORDS, Scene, number},
};

/// How often some of the rest is on the disk, too, for each acknowledgement.
const PARTS: u64 = 6;
/// The calls that change a file, or make it sure; the log refuses those that it cannot follow.
const CALLS: &str = "trace=open,openat,openat2,creat,close,dup,dup2,dup3,write,writev,pwrite64,pwritev,\
                     pwritev2,truncate,ftruncate,fallocate,copy_file_range,sendfile,splice,msync,fsync,\
                     fdatasync,sync_file_range,rename,renameat,renameat2,link,linkat,unlink,unlinkat";

/// The words before a command whose calls about these files are written to `trace`.
fn strace(files: &[String]) -> Vec<&str> {
    let mut words = vec!["strace", "-f", "--seccomp-bpf", "-qq", "-ttt", "-T", "-xx", "-s", "1000000"];
    words.extend(files.iter().flat_map(|file| ["-P", file.as_str()]));
    words.extend(["-e", CALLS, "-o", "trace"]);
    words
}

/// A moment at which something was acknowledged.
struct Moment {
    at_us: u64,
    what: String,
    records: u64,
}

/// What the issuer's log says of acknowledged chunks, each before it is sent.
fn acknowledged(log: &str) -> impl Iterator<Item = Moment> {
    let lines = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let words = |line: &Value| line["message"].as_str().unwrap_or_default().to_owned();
    lines.filter(move |line| words(line).ends_with("chunks are acknowledged")).map(|line| Moment {
        at_us: micros(line["timestamp"].as_str().expect("a time")),
        what: "chunks".to_owned(),
        records: RECORDS - number(&line["missing"]),
    })
}

/// A moment such as `2026-11-25T22:36:07.123456Z` as µs since 1970.
fn micros(text: &str) -> u64 {
    let parts: Vec<u32> =
        text.split(['-', 'T', ':', '.', 'Z']).filter_map(|part| part.parse().ok()).collect();
    let [year, month, day, hour, minute, second, micro] = parts[..] else { panic!("a moment: {text}") };
    assert_eq!(text.len(), 27, "six decimals: {text}");
    let small = |part: u32| u8::try_from(part).expect("two digits");
    let month = time::Month::try_from(small(month)).expect("a month");
    let date = time::Date::from_calendar_date(i32::try_from(year).expect("a year"), month, small(day));
    let time = time::Time::from_hms_micro(small(hour), small(minute), small(second), micro);
    let moment = date.expect("a date").with_time(time.expect("a time")).assume_utc();
    u64::try_from(moment.unix_timestamp_nanos() / 1000).expect("after 1970")
}

/// An import over an issuer under strace.
struct Traced {
    folder: Folder,
    moments: Vec<Moment>,
    log: Log,
}

impl Traced {
    async fn import(variables: &[(&str, &str)]) -> Self {
        let folder = Folder::new();
        let database = folder.path("dev/issuer.db").display().to_string();
        let files = ["", "-wal", "-journal"].map(|ending| format!("{database}{ending}"));
        // An acknowledgement for each chunk, and now and then the log is written back and begun anew.
        let often = [
            ("TODOKE_ISSUANCE__ACK_CHUNKS_MAX", "1"),
            ("TODOKE_STORE__CHECKPOINT_PAGES", "40"),
            ("TODOKE_LOG__FILTER", "info,todoke::issuance::upload=debug"),
        ];
        let all = [often.as_slice(), variables].concat();
        let dev = Dev::start_under(&folder, &strace(&files), &["--relays", "2"], &all).await;
        let mut scene = Scene { folder, dev };
        scene.sample("cards.csv", 1).await;
        // Over one stream, so that each of its acknowledgements names all that is durable.
        let (code, result, heard) = scene.import("cards.csv", &["--streams", "1"], &[]).ends().await;
        // strace itself hears no signal: what it looks at does.
        let pid = String::from_utf8(scene.folder.read("dev/dev.lock")).expect("UTF-8");
        signal(Signal::TERM, pid.trim().parse().expect("a process id"));
        assert_eq!(scene.dev.end().await, Some(0));
        assert_eq!((code, &result["outcome"]), (Some(0), &"receipted".into()), "{result}");
        let text = String::from_utf8(scene.folder.read("trace")).expect("UTF-8");
        let heard = heard.iter().filter(|event| event["event"] == "opened" || event["event"] == "receipt");
        let heard = heard.map(|event| Moment {
            at_us: number(&event["heard_us"]),
            what: event["event"].as_str().expect("a name").to_owned(),
            records: if event["event"] == "receipt" { RECORDS } else { 0 },
        });
        let mut moments: Vec<Moment> = acknowledged(&scene.log("issuer-1")).chain(heard).collect();
        moments.sort_by_key(|moment| moment.at_us);
        Self { log: Log::read(&text, &files), folder: scene.folder, moments }
    }

    /// Says what a database that is made of the disk lacks of what was acknowledged by some moment.
    async fn lacks(&self, disk: &Disk, rest: Rest, moment: &Moment) -> Vec<String> {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let path = disk.write(dir.path(), rest);
        let options = SqliteConnectOptions::new().filename(path).create_if_missing(true);
        let mut copy = SqliteConnection::connect_with(&options).await.expect("it opens");
        let mut lacks = Vec::new();
        let integrity: String =
            sqlx::query_scalar("PRAGMA integrity_check").fetch_one(&mut copy).await.expect("it is checked");
        if integrity != "ok" {
            lacks.push(integrity);
        }
        let batches = sqlx::query_scalar("SELECT COUNT(*) AS n FROM batch").fetch_one(&mut copy).await;
        let chunks = "SELECT COALESCE(SUM(record_count), 0) AS n FROM chunk";
        let records: Result<i64, _> = sqlx::query_scalar(chunks).fetch_one(&mut copy).await;
        let receipt: Result<Option<Vec<u8>>, _> =
            sqlx::query_scalar("SELECT receipt FROM receipt").fetch_optional(&mut copy).await;
        copy.close().await.expect("it closes");
        if !matches!(batches, Ok(1_i64)) {
            lacks.push("the batch".to_owned());
        }
        let (records, told) = (u64::try_from(records.unwrap_or_default()).expect("a count"), moment.records);
        if records < told {
            lacks.push(format!("{} of {told} records", told - records));
        }
        if moment.what == "receipt" && receipt.ok().flatten() != Some(self.folder.read("cards.csv.receipt")) {
            lacks.push("the receipt".to_owned());
        }
        lacks
    }

    /// Cuts the power at each acknowledgement, and returns of how many nothing was lost and what was lost of
    /// the others.
    async fn cut(&self, parts: u64) -> (usize, Vec<String>) {
        let (mut whole, mut lost) = (0, Vec::new());
        for moment in &self.moments {
            let disk = self.log.until(moment.at_us);
            let mut lacks = self.lacks(&disk, Rest::Lost, moment).await;
            for seed in 0..parts {
                let more = self.lacks(&disk, Rest::InParts(seed), moment).await;
                lacks.extend(more.into_iter().map(|one| format!("{one} (seed {seed})")));
            }
            if lacks.is_empty() {
                whole += 1;
            } else {
                lost.push(format!("at {}, {}: {}", moment.at_us, moment.what, lacks.join(", ")));
            }
        }
        (whole, lost)
    }
}

#[tokio::test]
async fn nothing_acknowledged_is_lost_when_the_power_goes() {
    let traced = Traced::import(&[]).await;
    let all = traced.moments.iter().filter(|moment| moment.what == "chunks" && moment.records == RECORDS);
    assert!(all.count() > 0, "the last chunk was acknowledged");
    let (whole, lost) = traced.cut(PARTS).await;
    assert!(lost.is_empty(), "{}", lost.join("\n"));
    assert!(whole >= 5, "the batch, three acknowledgements and the receipt at least, not {whole}");
}

/// The control: the test above can tell.
#[tokio::test]
async fn with_seldom_syncs_the_same_test_finds_acknowledged_chunks_lost() {
    let traced = Traced::import(&[("TEST_TODOKE_CRASH_SYNCS_SELDOM", "1")]).await;
    let (_, lost) = traced.cut(0).await;
    assert!(lost.iter().any(|lost| lost.contains("chunks") && lost.contains("records")), "{lost:?}");
}

#[tokio::test]
async fn what_a_client_says_of_its_journal_and_its_receipt_is_on_its_disk_by_then() {
    let scene = Scene::start(&[]).await;
    let path = |name: &str| scene.folder.path(name).display().to_string();
    let [journal, receipt] = ["cards.csv.todoke-journal", "cards.csv.receipt"];
    let files = [journal, receipt, "cards.csv.receipt.part"].map(path);
    let watched = [files.as_slice(), &[path("said")]].concat();
    let (said, cards) = (File::create(path("said")).expect("a file"), path("cards.csv"));
    let words = strace(&watched);
    let mut command = tokio::process::Command::new(words[0]);
    command.args(&words[1..]).args([env!("CARGO_BIN_EXE_todoke"), "import", &cards, "--output", "json"]);
    command.args(["--chunk-records", CHUNK]).args(scene.folder.as_ward()).current_dir(scene.folder.path(""));
    let status = command.stdin(Stdio::null()).stdout(said).kill_on_drop(true).status();
    let status = tokio::time::timeout(std::time::Duration::from_secs(60), status).await.expect("in time");
    assert!(status.expect("it runs").success());
    let trace = String::from_utf8(scene.folder.read("trace")).expect("UTF-8");
    let log = Log::read(&trace, &files);
    // What is said | so many lines of the journal are there: begun, opened, durable, sealed, receipt
    for (event, lines) in [("journalled", 1), ("opened", 2), ("sealing", 3), ("working", 4), ("receipt", 5)] {
        let needle = format!("\"event\":\"{event}\"");
        let says = |said: &[u8]| String::from_utf8_lossy(said).contains(&needle);
        let (at_us, _) = log.said.iter().find(|(_, said)| says(said)).unwrap_or_else(|| panic!("{event}"));
        let disk = log.until(*at_us);
        let sure = disk.sure(journal).iter().filter(|byte| **byte == b'\n').count();
        assert!(sure >= lines, "{event}: only {sure} lines are sure");
        if event == "receipt" {
            assert_eq!(disk.sure(receipt), scene.folder.read(receipt), "the receipt, whole");
            assert_eq!(disk.sure(journal), scene.folder.read(journal), "the journal, whole");
        }
    }
    scene.over().await;
}
