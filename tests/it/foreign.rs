//! Promise: a stock client in another language takes a file through the relays to a receipt that it has
//! verified itself, and can read why it was refused.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    thread,
    time::{Duration, Instant},
};

use tempfile::TempDir;

const CALLER: &str = "municipality/131229";
const RECORDS: usize = 300;
/// Longest time until a system is ready, and until it has stopped: a loaded machine takes its time.
const LIMIT: Duration = Duration::from_secs(60);

/// `todoke dev` as a process, in a folder of its own; stopped in order when it is dropped.
struct Dev {
    process: Child,
    folder: TempDir,
}

impl Dev {
    fn start(relays: usize) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let log = File::create(folder.path().join("dev.log")).expect("the folder is writable");
        let process = Command::new(env!("CARGO_BIN_EXE_todoke"))
            .args(["dev", "--relays", &relays.to_string(), "--dir"])
            .arg(folder.path().join("system"))
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("a second handle"))
            .stderr(log)
            .spawn()
            .expect("the binary was built for this test");
        let mut dev = Self { process, folder };
        eventually("endpoints.json is written", || {
            let ended = dev.process.try_wait().expect("it is our child");
            assert!(ended.is_none(), "todoke dev ended: {}", dev.log());
            dev.endpoints().exists()
        });
        dev
    }

    fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("dev.log")).unwrap_or_default()
    }

    fn endpoints(&self) -> PathBuf {
        self.folder.path().join("system/endpoints.json")
    }

    /// A record file of people who do not exist.
    fn sample(&self, seed: u32) -> PathBuf {
        let file = self.folder.path().join(format!("cards-{seed}.csv"));
        let mut sample = Command::new(env!("CARGO_BIN_EXE_todoke"));
        sample.args(["sample", "--municipality", "131229", "--records", &RECORDS.to_string()]);
        sample.args(["--seed", &seed.to_string(), "--out"]).arg(&file);
        output(&mut sample);
        file
    }
}

impl Drop for Dev {
    fn drop(&mut self) {
        let asked = Command::new("sh").args(["-c", "kill -INT $0", &self.process.id().to_string()]).status();
        let started = Instant::now();
        while asked.is_ok() && started.elapsed() < LIMIT {
            if self.process.try_wait().is_ok_and(|ended| ended.is_some()) {
                return;
            }
            thread::sleep(Duration::from_millis(20));
        }
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Waits until a condition holds, and names it if it never does.
fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let started = Instant::now();
    while !holds() {
        assert!(started.elapsed() < LIMIT, "not within {LIMIT:?}: {what}");
        thread::sleep(Duration::from_millis(20));
    }
}

/// Runs a command to its end; its output must say success.
fn output(command: &mut Command) -> String {
    let Output { status, stdout, stderr } =
        command.stdin(Stdio::null()).output().expect("the program is there");
    let (stdout, stderr) = (String::from_utf8_lossy(&stdout), String::from_utf8_lossy(&stderr));
    assert!(status.success(), "{command:?}: {status}\n{stdout}\n{stderr}");
    stdout.into_owned()
}

/// The folder with the packages of the foreign clients, which are installed if they are not there.
fn packages() -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).with_file_name("foreign");
    output(Command::new(here("install")).arg(&folder));
    folder
}

/// A file of `tests/foreign`.
fn here(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/foreign").join(name)
}

#[test]
fn the_guides_vectors_hold_in_python() {
    let packages = packages();
    let guide = Path::new(env!("CARGO_MANIFEST_DIR")).join("proto/README.md");
    let mut check = Command::new(packages.join("python/bin/python"));
    check.env("PYTHONDONTWRITEBYTECODE", "1").arg(here("python/check_vectors.py")).arg(guide);
    assert_eq!(output(&mut check), "records, roots, manifest and receipt are those of the guide\n");
}

#[test]
fn python_ends_with_a_verified_receipt_and_reads_why_it_was_refused() {
    let packages = packages();
    let dev = Dev::start(2);
    let said = output(
        Command::new(packages.join("python/bin/python"))
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .arg(here("python/import_file.py"))
            .arg(dev.sample(7))
            .args(["--chunk-records", "64", "--as", CALLER, "--endpoints"])
            .arg(dev.endpoints()),
    );
    for expected in [
        "300 records, 5 chunks",
        "ended as BATCH_STATE_ACCEPTED: 300 accepted, 0 rejected",
        "receipt and three inclusion proofs verified",
        "a batch that nobody opened: NOT_FOUND todoke/NOT_FOUND",
        "a batch id that is none: INVALID_ARGUMENT todoke/FIELD_INVALID [batch_id: ",
        "a manifest changed after it was signed: PERMISSION_DENIED todoke/SIGNATURE_INVALID",
        "outcome ACCEPTED\n",
    ] {
        assert!(said.contains(expected), "{expected:?} is missing in:\n{said}\n{}", dev.log());
    }
}

#[test]
fn node_ends_with_a_verified_receipt_and_reads_why_it_was_refused() {
    let packages = packages();
    let dev = Dev::start(2);
    let said = output(
        Command::new("node")
            .env("NODE_PATH", packages.join("node/node_modules"))
            .arg(here("node/import_file.js"))
            .arg(dev.endpoints())
            .arg(CALLER)
            .arg(dev.sample(8)),
    );
    for expected in [
        "BATCH_STATE_ACCEPTED, 300 of 300 accepted",
        "receipt verified",
        "a batch that nobody opened: NOT_FOUND: ",
    ] {
        assert!(said.contains(expected), "{expected:?} is missing in:\n{said}\n{}", dev.log());
    }
}
