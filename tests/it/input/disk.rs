//! Promise: a full disk, at the client or under the issuer's database, ends in words and an exit code
//! that says "later"; nothing that was acknowledged is lost, and when there is room again the same file
//! comes to its receipt.
//!
//! The disks are file systems of a few pages in memory, mounted in a namespace of their own.

use std::path::Path;

use tokio::process::Command;

use super::{HEADER, Town, assert_says, good, row};
use crate::system::{Dev, Folder};

/// A command in a namespace of its own whose shell script gets `words` as its arguments.
fn apart(script: &str) -> Command {
    let mut command = Command::new("unshare");
    command.args(["--user", "--map-root-user", "--mount", "sh", "-c", script, "sh"]);
    command.arg(env!("CARGO_BIN_EXE_todoke"));
    command
}

/// Mounts a disk of 16 MiB, starts the system, and fills the disk or makes room on it when it is told.
const SERVER: &str = "mount -t tmpfs -o size=16m none disk || exit 97
    timeout 170 sh -c 'while read word <fill; do dd if=/dev/zero of=disk/ballast bs=4k; echo done >filled
        read word <room; rm disk/ballast; echo done >freed; done' >/dev/null 2>&1 </dev/null &
    exec \"$@\"";

/// Tells the script to do something and waits until it did.
async fn tell(town: &Town, what: &str, done: &str) {
    let (what, done) = (town.path(what), town.path(done));
    let told = async {
        tokio::fs::write(&what, "go\n").await.expect("somebody reads it");
        tokio::fs::read(&done).await.expect("it answers")
    };
    let answer = tokio::time::timeout(std::time::Duration::from_secs(30), told).await.expect("in time");
    assert_eq!(answer, b"done\n");
}

#[tokio::test]
async fn a_full_disk_under_the_database_is_said_and_when_there_is_room_the_file_goes_on() {
    let folder = Folder::new();
    std::fs::create_dir(folder.path("disk")).expect("a folder");
    for fifo in ["fill", "filled", "room", "freed"] {
        assert!(Command::new("mkfifo").arg(folder.path(fifo)).status().await.expect("mkfifo").success());
    }
    let database = format!("sqlite:{}", folder.path("disk/issuer.db").display());
    let dev = Dev::start_by(&folder, apart(SERVER), &["--relays", "1", "--database", &database]).await;
    let town = Town { folder, dev };
    town.folder.sample("cards.csv", "600").await;
    let says = ["the disk of the database is full", "Next: `todoke resume cards.csv`"];

    // Full before the batch is opened.
    tell(&town, "fill", "filled").await;
    let import = ["import", "cards.csv", "--chunk-records", "16", "--patience", "3s"];
    let said = town.run(&import).await;
    assert_says("full at once", &said, 75, &says);
    let before = town.batches().await;
    assert!(before.is_empty(), "reading goes on, and nothing was begun: {before:?}");
    tell(&town, "room", "freed").await;

    // Full in the middle of the upload.
    let cut = [&import[..], &["--stop-after-records", "160"]].concat();
    assert_says("cut", &town.run(&cut).await, 75, &["todoke resume cards.csv"]);
    tell(&town, "fill", "filled").await;
    let said = town.run(&["resume", "cards.csv", "--patience", "3s"]).await;
    assert_says("full on the way", &said, 75, &says);
    let batch = &town.batches().await[0];
    assert_eq!(batch["state"], "RECEIVING", "no status says complete: {batch}");
    let kept = 600 - batch["missing"].as_u64().expect("a number");
    assert!(kept >= 160, "what was acknowledged is there: {batch}");
    assert!(!town.path("cards.csv.receipt").exists());
    tell(&town, "room", "freed").await;
    town.receipted(&["resume", "cards.csv"]).await;
    assert_eq!(town.batches().await.len(), 1);
    std::fs::write(town.path("fill"), "").expect("the script ends");
    town.stop().await;
}

/// Mounts a disk of 64 KiB and takes two files through a full journal's and a full receipt's disk.
const CLIENT: &str = "mount -t tmpfs -o size=64k none small || exit 97
    full() { dd if=/dev/zero of=small/ballast bs=4k 2>/dev/null; }
    run() { \"$@\"; echo \"ended $?\"; }
    todoke=$1; shift
    full; run $todoke import a.csv --journal small/journal \"$@\"; ls small
    rm small/ballast; run $todoke import a.csv --journal small/journal \"$@\"
    full; run $todoke import b.csv --receipt small/receipt \"$@\"; ls small
    rm small/ballast; run $todoke resume b.csv --receipt small/receipt \"$@\"
    cp small/receipt b.csv.receipt";

#[tokio::test]
async fn a_full_disk_of_the_client_is_named_and_when_there_is_room_the_same_command_ends_with_the_receipt() {
    let town = Town::start().await;
    std::fs::create_dir(town.path("small")).expect("a folder");
    town.write("a.csv", good("A"));
    town.write("b.csv", good("B"));
    let mut command = apart(CLIENT);
    command.args(town.folder.as_ward());
    let said = town.said(command).await;
    let ends: Vec<&str> = said.stdout.lines().filter(|line| line.starts_with("ended")).collect();
    assert_eq!(ends, ["ended 75", "ended 0", "ended 75", "ended 0"], "{}", said.all());
    let journal = "small/journal: No space left on device";
    assert_says(
        "the journal",
        &said,
        0,
        &[journal, "The journal must be writable", "Free the disk, or pass --journal"],
    );
    let receipt = "small/receipt: No space left on device";
    assert_says("the receipt", &said, 0, &[receipt, "Free the disk", "then run the command again"]);
    assert!(said.stdout.contains("ended 75\nballast\n"), "no journal is left: {}", said.all());
    assert!(!said.stdout.contains("receipt.part"), "nothing half is left: {}", said.all());
    assert_eq!(town.batches().await.len(), 2, "one batch a file");
    town.receipted(&["import", "b.csv"]).await;
    town.stop().await;
}

/// Mounts a disk of 4 MiB for the journal, and makes the client die in its first pass, then the disk too
/// small for the households, then large enough again.
const HOUSEHOLDS: &str = "mount -t tmpfs -o size=4m none small || exit 97
    size() { mount -o remount,size=$1 small || exit 97; }
    run() { \"$@\"; echo \"ended $? with $(ls -A small)\"; }
    import() { run $todoke import many.csv --journal small/journal \"$@\"; }
    todoke=$1; point=$2; shift 2
    (export TEST_TODOKE_CRASH_AT=$point TEST_TODOKE_CRASH_ONCE=once; import \"$@\")
    size 256k; import \"$@\"
    size 4m; import \"$@\"";

#[tokio::test]
async fn households_that_memory_does_not_hold_are_counted_on_the_disk_and_nothing_is_left_of_them_there() {
    let town = Town::start().await;
    std::fs::create_dir(town.path("small")).expect("a folder");
    // The second run holds new households, and some of the first run again.
    let household =
        |n: u32| row(&format!("M-{n}")).replace(&format!("H-M-{n}"), &format!("H-{}", n % 18_000));
    town.write("many.csv", HEADER.to_owned() + &(0..20_000).map(household).collect::<String>());
    let mut command = apart(HOUSEHOLDS);
    command.arg("households-spilled").args(town.folder.as_ward());
    let said = town.said(command).await;
    let ends: Vec<&str> = said.stdout.lines().filter(|line| line.starts_with("ended")).collect();
    assert_eq!(ends, ["ended 137 with ", "ended 75 with ", "ended 0 with journal"], "{}", said.all());
    let full = "small: No space left on device";
    assert_says("the households", &said, 0, &[full, "Free the disk, then run the command again"]);
    let batches = town.batches().await;
    assert_eq!(batches.len(), 1, "nothing was begun before: {batches:?}");
    // This counts them in memory.
    town.receipted(&["resume", "many.csv"]).await;
    town.stop().await;
}

/// A command whose files may not grow beyond `bytes`, as on a disk that is full from there on.
fn limited(bytes: usize) -> Command {
    let mut command = Command::new("env");
    command.args(["--ignore-signal=XFSZ", "prlimit", &format!("--fsize={bytes}")]);
    command.arg(env!("CARGO_BIN_EXE_todoke"));
    command
}

fn length(path: &Path) -> usize {
    std::fs::read(path).map(|bytes| bytes.len()).unwrap_or_default()
}

/// Cuts the journal of `measure.csv` in the entry of its receipt. The receipt is longer than the four lines
/// before, so they are made longer than it: by the line of one who opened the batch again, many times.
async fn cut_at_its_last_line(town: &Town, journal: &[u8], ends: &[usize]) {
    let (name, receipt) = ("measure.csv.todoke-journal", town.folder.read("measure.csv.receipt"));
    let opened = &journal[ends[0]..ends[1]];
    let again = opened.repeat(receipt.len() / opened.len() + 1);
    let prepared = [&journal[..ends[1]], &again, &journal[ends[1]..ends[3]]].concat();
    town.write(name, &prepared);
    town.remove("measure.csv.receipt");
    // This run says that it opened the batch, too.
    let limit = prepared.len() + opened.len() + 9;
    let mut command = limited(limit);
    command.args(town.as_ward(&["resume", "measure.csv"]));
    let said = town.said(command).await;
    assert_says("receipt", &said, 75, &["File too large", "The journal must be writable"]);
    assert_eq!(town.folder.read("measure.csv.receipt"), receipt, "it was written before");
    assert_eq!(length(&town.path(name)), limit, "and its entry was begun");
    town.receipted(&["resume", "measure.csv"]).await;
    assert!(town.folder.read(name).ends_with(&journal[ends[3]..]), "the entry, whole");
    town.receipted(&["import", "measure.csv"]).await; // what was cut is no part of it any more
    assert_eq!(town.batches().await.len(), 2, "one batch a file");
}

#[tokio::test]
async fn a_journal_that_is_cut_at_any_of_its_lines_is_gone_on_with() {
    let town = Town::start().await;
    // The second manifest names the receipt before it, as all others do.
    for name in ["first.csv", "measure.csv"] {
        town.write(name, good(&name[..5]));
        town.receipted(&["import", name]).await;
    }
    let journal = town.folder.read("measure.csv.todoke-journal");
    let ends: Vec<usize> =
        (1..).zip(&journal).filter(|(_, byte)| **byte == b'\n').map(|(at, _)| at).collect();
    assert_eq!(
        ends.len(),
        5,
        "begun, opened, durable, sealed, receipt: {}",
        String::from_utf8_lossy(&journal)
    );
    cut_at_its_last_line(&town, &journal, &ends).await;
    for (n, limit) in [0, ends[0] / 2, ends[0] + 9, ends[1] + 9, ends[2] + 9].into_iter().enumerate() {
        let (file, before) = (format!("cards-{n}.csv"), town.batches().await.len());
        town.write(&file, good(&format!("cut-{n}")));
        let mut command = limited(limit);
        command.args(town.as_ward(&["import", &file]));
        let said = town.said(command).await;
        let name = format!("limit {limit}");
        assert_says(&name, &said, 75, &["File too large", "The journal must be writable"]);
        let begun = town.batches().await.len() - before;
        assert_eq!(begun, usize::from(limit > ends[0]), "{name}: only what was journalled is opened");
        assert!(length(&town.path(&format!("{file}.todoke-journal"))) <= limit, "{name}");
        let command = if begun == 0 { "import" } else { "resume" };
        town.receipted(&[command, &file]).await;
        assert_eq!(town.batches().await.len(), before + 1, "{name}: one batch");
    }
    town.stop().await;
}
