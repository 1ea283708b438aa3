//! Promise: when the power goes, what was acknowledged is on the disk: everything that only waited to be
//! written may be lost, in any part, and nothing that was acknowledged is.
//!
//! The issuer runs under strace. From the log of its writes and syncs the test makes the files that the disk
//! is sure to hold at the moment at which the client had heard an acknowledgement, with none or some of the
//! rest. The control is the same with `synchronous=NORMAL`.

use serde_json::Value;
use sqlx::{Connection as _, SqliteConnection, sqlite::SqliteConnectOptions};

use super::{
    super::system::{Dev, Folder, Signal, signal},
    disk::{Disk, Log, Rest},
    harness::{RECORDS, Scene, number, told},
};

/// How often some of the rest is on the disk, too, for each acknowledgement.
const PARTS: u64 = 6;
/// The calls that change a file, or make it sure; the log refuses those that it cannot follow.
const CALLS: &str = "trace=open,openat,openat2,creat,close,dup,dup2,dup3,write,writev,pwrite64,pwritev,\
                     pwritev2,truncate,ftruncate,fallocate,copy_file_range,sendfile,splice,msync,fsync,\
                     fdatasync,sync_file_range,rename,renameat,renameat2,link,linkat,unlink,unlinkat";

/// An import over an issuer under strace.
struct Traced {
    folder: Folder,
    heard: Vec<Value>,
    log: Log,
}

impl Traced {
    async fn import(variables: &[(&str, &str)]) -> Self {
        let folder = Folder::new();
        let database = folder.path("dev/issuer.db").display().to_string();
        let files = ["", "-wal", "-journal"].map(|ending| format!("{database}{ending}"));
        let mut words = vec!["strace", "-f", "--seccomp-bpf", "-qq", "-ttt", "-T", "-xx", "-s", "1000000"];
        words.extend(files.iter().flat_map(|file| ["-P", file.as_str()]));
        words.extend(["-e", CALLS, "-o", "trace"]);
        // An acknowledgement for each chunk, and now and then the log is written back and begun anew.
        let often = [("TODOKE_ISSUANCE__ACK_CHUNKS_MAX", "1"), ("TODOKE_STORE__CHECKPOINT_PAGES", "40")];
        let all = [often.as_slice(), variables].concat();
        let dev = Dev::start_under(&folder, &words, &["--relays", "2"], &all).await;
        let mut scene = Scene { folder, dev };
        scene.sample("cards.csv", 1).await;
        let (code, result, heard) = scene.import("cards.csv", &[], &[]).ends().await;
        // strace itself hears no signal: what it looks at does.
        let pid = String::from_utf8(scene.folder.read("dev/dev.lock")).expect("UTF-8");
        signal(Signal::TERM, pid.trim().parse().expect("a process id"));
        assert_eq!(scene.dev.end().await, Some(0));
        assert_eq!((code, &result["outcome"]), (Some(0), &"receipted".into()), "{result}");
        let text = String::from_utf8(scene.folder.read("trace")).expect("UTF-8");
        Self { log: Log::read(&text, &files), folder: scene.folder, heard }
    }

    /// Says what a database that is made of the disk lacks of what the first `count` events acknowledged.
    async fn lacks(&self, disk: &Disk, rest: Rest, count: usize) -> Vec<String> {
        let acknowledged = &self.heard[..count];
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
        let (records, told) =
            (u64::try_from(records.unwrap_or_default()).expect("a count"), told(acknowledged));
        if records < told {
            lacks.push(format!("{} of {told} records", told - records));
        }
        let has_receipt = acknowledged.iter().any(|event| event["event"] == "receipt");
        if has_receipt && receipt.ok().flatten() != Some(self.folder.read("cards.csv.receipt")) {
            lacks.push("the receipt".to_owned());
        }
        lacks
    }

    /// Cuts the power at each acknowledgement, and returns of how many nothing was lost and what was lost of
    /// the others.
    async fn cut(&self, parts: u64) -> (usize, Vec<String>) {
        let (mut whole, mut lost) = (0, Vec::new());
        for (at, event) in self.heard.iter().enumerate() {
            let name = event["event"].as_str().unwrap_or_default();
            if !["opened", "uploading", "receipt"].contains(&name) {
                continue;
            }
            let disk = self.log.until(number(&event["heard_us"]));
            let mut lacks = self.lacks(&disk, Rest::Lost, at + 1).await;
            for seed in 0..parts {
                let more = self.lacks(&disk, Rest::InParts(seed), at + 1).await;
                lacks.extend(more.into_iter().map(|one| format!("{one} (seed {seed})")));
            }
            if lacks.is_empty() {
                whole += 1;
            } else {
                lost.push(format!("at event {at}, {name}: {}", lacks.join(", ")));
            }
        }
        (whole, lost)
    }
}

#[tokio::test]
async fn nothing_acknowledged_is_lost_when_the_power_goes() {
    let traced = Traced::import(&[]).await;
    assert_eq!(told(&traced.heard), RECORDS);
    let (whole, lost) = traced.cut(PARTS).await;
    assert!(lost.is_empty(), "{}", lost.join("\n"));
    assert!(whole >= 5, "the batch, three acknowledgements and the receipt at least, not {whole}");
}

/// The control: the test above can tell.
#[tokio::test]
async fn with_seldom_syncs_the_same_test_finds_acknowledged_chunks_lost() {
    let traced = Traced::import(&[("TEST_TODOKE_CRASH_SYNCS_SELDOM", "1")]).await;
    let (_, lost) = traced.cut(0).await;
    assert!(lost.iter().any(|lost| lost.contains("uploading") && lost.contains("records")), "{lost:?}");
}
