//! Promise: a stock client in another language takes a file through the relays to a receipt that it has
//! verified itself, though the relay of its upload is killed half-way, and can read why it was refused.

mod counter;
pub(crate) mod stock;

use std::{
    collections::BTreeSet,
    fmt::Write as _,
    fs::{self, File},
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::TcpStream,
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    thread,
    time::{Duration, Instant},
};

use serde_json::Value;
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
    fn start(relays: usize, more: &[&str]) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let log = File::create(folder.path().join("dev.log")).expect("the folder is writable");
        let process = Command::new(env!("CARGO_BIN_EXE_todoke"))
            .args(["dev", "--relays", &relays.to_string(), "--dir"])
            .arg(folder.path().join("system"))
            .args(more)
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
    fn sample(&self, seed: u32, records: usize) -> PathBuf {
        let file = self.folder.path().join(format!("cards-{seed}.csv"));
        let mut sample = Command::new(env!("CARGO_BIN_EXE_todoke"));
        sample.args(["sample", "--municipality", "131229", "--records", &records.to_string()]);
        sample.args(["--seed", &seed.to_string(), "--out"]).arg(&file);
        output(&mut sample);
        file
    }

    /// Runs a command of the municipality.
    fn todoke(&self, args: &[&str]) -> String {
        let mut command = Command::new(env!("CARGO_BIN_EXE_todoke"));
        output(command.args(args).args(["--as", CALLER, "--endpoints"]).arg(self.endpoints()))
    }

    /// Runs `todoke pool …` as an operator.
    fn operate(&self, args: &[&str]) -> String {
        let mut command = Command::new(env!("CARGO_BIN_EXE_todoke"));
        command.arg("pool").args(args).args(["--as", "operator/alice", "--endpoints"]);
        output(command.arg(self.endpoints()))
    }

    /// Waits until so many relays are in this state.
    fn are(&self, count: usize, state: &str) {
        let marked = format!("\"state\":\"{state}\"");
        eventually(&format!("{count} are {state}"), || {
            self.operate(&["list", "--output", "json"]).matches(&marked).count() == count
        });
    }

    /// Has an operator take out all relays of four but one, and waits until they are out.
    fn drain_three(&self) {
        self.are(4, "HEALTHY");
        for relay in ["relay-1", "relay-2", "relay-3"] {
            self.operate(&["drain", relay, "--reason", "a test"]);
        }
        self.are(3, "DRAINED");
    }

    /// What is in endpoints.json.
    fn known(&self) -> Value {
        let text = fs::read(self.endpoints()).expect("it was written");
        serde_json::from_slice(&text).expect("it is JSON")
    }

    /// Kills the relay that an upload goes through at this moment, and returns its name. How many bytes went
    /// through it, a relay says each second: the issuer stands still until then, so that the upload does not
    /// end.
    fn kill_busy_relay(&self) -> String {
        let endpoints = self.known();
        let relays = endpoints["relays"].as_array().expect("a list");
        let signal = |name: &str, of: &Value| {
            output(Command::new("sh").args(["-c", "kill -$1 $0", &of["pid"].to_string(), name]));
        };
        let text = |relay: &Value, key: &str| relay[key].as_str().expect("a text").to_owned();
        let mut busy = None;
        signal("STOP", &endpoints["issuers"][0]);
        eventually("a relay says that much went through it", || {
            busy = relays.iter().find(|relay| bytes_through(&text(relay, "ops")) > UPLOAD_BYTES_MIN);
            busy.is_some()
        });
        let busy = busy.expect("it was found");
        signal("KILL", busy);
        signal("CONT", &endpoints["issuers"][0]);
        text(busy, "id")
    }
}

/// More than went through a relay without an upload, and less than of one that is to be broken off.
const UPLOAD_BYTES_MIN: u64 = 30_000;

/// Asks a relay how many bytes of messages went through it; none, as long as it has not said.
fn bytes_through(ops: &str) -> u64 {
    let mut socket = TcpStream::connect(ops).expect("the relay's ops port is open");
    socket.set_read_timeout(Some(LIMIT)).expect("a limit");
    write!(socket, "GET /metrics HTTP/1.1\r\nhost: {ops}\r\nconnection: close\r\n\r\n").expect("it is sent");
    let mut said = String::new();
    socket.read_to_string(&mut said).expect("it answers");
    let counts = said.lines().filter(|line| line.starts_with("todoke_relay_bytes_total{"));
    let counts =
        counts.map(|line| line.rsplit(' ').next().expect("a value").parse::<u64>().expect("a count"));
    counts.sum()
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
pub(crate) fn packages() -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).with_file_name("foreign");
    output(Command::new(here("install")).arg(&folder));
    folder
}

/// A file of `tests/foreign`.
pub(crate) fn here(name: &str) -> PathBuf {
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
    let dev = Dev::start(2, &[]);
    let said = output(
        Command::new(packages.join("python/bin/python"))
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .arg(here("python/import_file.py"))
            .arg(dev.sample(7, RECORDS))
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
    let dev = Dev::start(2, &[]);
    let said = output(
        Command::new("node")
            .env("NODE_PATH", packages.join("node/node_modules"))
            .arg(here("node/import_file.js"))
            .arg(dev.endpoints())
            .arg(CALLER)
            .arg(dev.sample(8, RECORDS)),
    );
    for expected in [
        "BATCH_STATE_ACCEPTED, 300 of 300 accepted",
        "receipt verified",
        "a batch that nobody opened: NOT_FOUND: ",
    ] {
        assert!(said.contains(expected), "{expected:?} is missing in:\n{said}\n{}", dev.log());
    }
}

/// What is in a file's column `order_id`, which the sample writes first and without quotes.
fn order_ids(file: &Path) -> BTreeSet<String> {
    let text = fs::read_to_string(file).expect("it was written");
    text.lines().skip(1).map(|line| line.split(',').next().unwrap_or_default().to_owned()).collect()
}

/// Runs a client over 1,920 records in 240 chunks, one on its way at a time, and kills the relay of its
/// upload when a sixth of them is durable. It must go on over the other relay, with what is missing and
/// nothing else, to a receipt, and each card must be there once.
fn goes_on_over_another_relay(dev: &Dev, file: &Path, client: &mut Command) {
    let mut running = client.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().expect("it is there");
    let lines = BufReader::new(running.stdout.take().expect("it was asked for")).lines();
    let (mut said, mut killed) = (String::new(), None);
    for line in lines.map(|line| line.expect("UTF-8")) {
        let _ = writeln!(said, "{line}");
        let durable =
            line.strip_prefix("durable: ").and_then(|rest| rest.split(' ').next()?.parse::<u32>().ok());
        if killed.is_none() && durable.is_some_and(|chunks| chunks >= 40) {
            killed = Some(dev.kill_busy_relay());
        }
    }
    let status = running.wait().expect("it is our child");
    assert!(status.success() && killed.is_some(), "{status}, killed {killed:?}:\n{said}\n{}", dev.log());
    let sending = |line: &str| line.strip_suffix(" to send")?.rsplit(' ').next()?.parse::<u32>().ok();
    let sent: Vec<u32> = said.lines().filter_map(sending).collect();
    assert!(said.contains("tried 1 times: "), "it noticed nothing:\n{said}");
    assert!(sent[0] == 240 && *sent.last().expect("the first") <= 200, "{sent:?} chunks to send:\n{said}");
    let batch = said.split_once("opened ").and_then(|(_, rest)| rest.split(':').next()).expect("it is named");
    assert_eq!(said.matches(&format!("opened {batch}:")).count(), sent.len(), "one batch:\n{said}");
    let listed = dev.todoke(&["card", "list", "--limit", "5000", "--output", "json"]);
    let lines = listed.lines().map(|line| serde_json::from_str(line).expect("one JSON object a line"));
    let cards: Vec<Value> = lines.filter(|line: &Value| line["event"] == "card").collect();
    let ids = cards.iter().map(|card| card["order_id"].as_str().expect("each has one").to_owned());
    assert_eq!((cards.len(), ids.collect::<BTreeSet<_>>()), (1920, order_ids(file)), "each card once");
    let status = dev.todoke(&["status", "--output", "json"]);
    assert!(status.contains("ACCEPTED") && status.contains(batch), "{status}");
}

#[test]
fn python_goes_on_over_another_relay_when_the_one_of_its_upload_is_killed() {
    let packages = packages();
    let dev = Dev::start(2, &["--no-restart"]);
    let file = dev.sample(9, 1920);
    let mut client = Command::new(packages.join("python/bin/python"));
    client.env("PYTHONDONTWRITEBYTECODE", "1").arg(here("python/import_file.py")).arg(&file);
    client
        .args(["--chunk-records", "8", "--window", "1", "--as", CALLER, "--endpoints"])
        .arg(dev.endpoints());
    goes_on_over_another_relay(&dev, &file, &mut client);
}

#[test]
fn node_goes_on_over_another_relay_when_the_one_of_its_upload_is_killed() {
    let packages = packages();
    let dev = Dev::start(2, &["--no-restart"]);
    let file = dev.sample(10, 1920);
    let mut client = Command::new("node");
    client.env("NODE_PATH", packages.join("node/node_modules")).env("CHUNK_RECORDS", "8").env("WINDOW", "1");
    client.arg(here("node/import_file.js")).arg(dev.endpoints()).arg(CALLER).arg(&file);
    goes_on_over_another_relay(&dev, &file, &mut client);
}

#[test]
fn the_guides_script_believes_a_receipt_and_a_proof_and_nothing_that_was_changed() {
    let packages = packages();
    let dev = Dev::start(1, &[]);
    let file = dev.sample(11, RECORDS).display().to_string();
    dev.todoke(&["import", &file]);
    let some = order_ids(Path::new(&file)).into_iter().nth(123).expect("there are 300");
    dev.todoke(&["prove", &file, "--order-id", &some]);
    let guide = fs::read_to_string(here("../../proto/README.md")).expect("it is there");
    let script = guide.split("```python\nimport base64").nth(1).and_then(|rest| rest.split("```").next());
    let script = format!("import base64{}", script.expect("the guide shows it"));
    let verify = |receipt: &str, proof: &str| {
        let changed = dev.folder.path().join("changed");
        fs::write(changed.with_extension("receipt"), receipt).expect("writable");
        fs::write(changed.with_extension("proof"), proof).expect("writable");
        let mut python = Command::new(packages.join("python/bin/python"));
        python.args(["-c", &script]).arg(changed.with_extension("receipt"));
        python.arg(dev.folder.path().join("system/pki/receipt.pub")).arg(changed.with_extension("proof"));
        let done = python.output().expect("it is installed");
        let said = [done.stdout, done.stderr].concat();
        (done.status.success(), String::from_utf8_lossy(&said).into_owned())
    };
    let receipt = fs::read_to_string(format!("{file}.receipt")).expect("the import wrote it");
    let proof = fs::read_to_string(format!("{file}.proof")).expect("it was just written");
    let (believed, said) = verify(&receipt, &proof);
    assert!(believed && said.contains("300 records, 300 accepted") && said.contains("is in it"), "{said}");

    let index: u64 =
        proof.split("index ").nth(1).and_then(|rest| rest.lines().next()?.parse().ok()).expect("one");
    let path = proof.lines().find(|line| line.starts_with("path ")).expect("300 records have one");
    let stranger = guide.split("```text\ntodoke receipt v1").nth(1).and_then(|rest| rest.split("```").next());
    let stranger = format!("todoke receipt v1{}", stranger.expect("the guide shows one"));
    for (receipt, proof, words) in [
        (receipt.replace("\naccepted 300\n", "\naccepted 299\n"), proof.clone(), "InvalidSignature"),
        (stranger, proof.clone(), "did not sign it"),
        (
            receipt.clone(),
            proof.replace(&format!("index {index}\n"), &format!("index {}\n", index ^ 1)),
            "not in",
        ),
        (receipt.clone(), proof.replace("\nrecords 300\n", "\nrecords 301\n"), "another batch"),
        (receipt.clone(), proof.replacen(&format!("{path}\n"), "", 1), "is not in the batch"),
        (receipt.clone(), format!("{proof}{path}\n"), "not"),
    ] {
        let (believed, said) = verify(&receipt, &proof);
        assert!(!believed && said.contains(words), "{words}: {said}\n{receipt}\n{proof}");
    }
}

/// Has a client that comes when three of four relays were taken out import a file, which it must do over the
/// fourth.
fn finds_the_one_relay_in_use(dev: &Dev, client: &mut Command, expected: &str) {
    dev.drain_three();
    let said = output(client);
    assert!(said.contains(expected), "{expected:?} is missing in:\n{said}\n{}", dev.log());
}

#[test]
fn python_finds_the_one_relay_of_four_that_was_not_taken_out() {
    let packages = packages();
    let dev = Dev::start(4, &[]);
    let mut client = Command::new(packages.join("python/bin/python"));
    client.env("PYTHONDONTWRITEBYTECODE", "1").arg(here("python/import_file.py"));
    client.arg(dev.sample(12, RECORDS)).args(["--as", CALLER, "--endpoints"]).arg(dev.endpoints());
    finds_the_one_relay_in_use(&dev, &mut client, "ended as BATCH_STATE_ACCEPTED: 300 accepted, 0 rejected");
}

#[test]
fn node_finds_the_one_relay_of_four_that_was_not_taken_out() {
    let packages = packages();
    let dev = Dev::start(4, &[]);
    let mut client = Command::new("node");
    client.env("NODE_PATH", packages.join("node/node_modules")).arg(here("node/import_file.js"));
    client.arg(dev.endpoints()).arg(CALLER).arg(dev.sample(13, RECORDS));
    finds_the_one_relay_in_use(&dev, &mut client, "BATCH_STATE_ACCEPTED, 300 of 300 accepted");
}
