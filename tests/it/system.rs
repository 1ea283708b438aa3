//! A whole system of real processes (`todoke dev`) in a folder of its own, and the other commands beside it.

mod imported;

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

pub(crate) use imported::Imported;
pub(crate) use rustix::process::Signal;
use rustix::process::{Pid, kill_process};
use serde_json::Value;
use tempfile::TempDir;
use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader, Lines},
    net::TcpStream,
    process::{Child, ChildStdout, Command},
    time::{Instant, timeout},
};

const TODOKE: &str = env!("CARGO_BIN_EXE_todoke");
/// How long anything is waited for.
const LONG: Duration = Duration::from_secs(60);

/// A folder of one test.
pub(crate) struct Folder(TempDir);

/// What a command said.
pub(crate) struct Said {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Said {
    pub(crate) fn all(&self) -> String {
        format!("code {:?}\n{}\n{}", self.code, self.stdout, self.stderr)
    }

    /// The last line of JSON that it said.
    pub(crate) fn result(&self) -> Value {
        let last = self.stdout.lines().last().unwrap_or_else(|| panic!("it says nothing: {}", self.all()));
        serde_json::from_str(last).unwrap_or_else(|_| panic!("no JSON: {}", self.all()))
    }
}

impl Folder {
    pub(crate) fn new() -> Self {
        Self(tempfile::tempdir().expect("a temporary folder"))
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    pub(crate) fn read(&self, name: &str) -> Vec<u8> {
        std::fs::read(self.path(name)).expect("it is there")
    }

    pub(crate) fn endpoints(&self) -> Value {
        serde_json::from_slice(&self.read("dev/endpoints.json")).expect("it is JSON")
    }

    /// The flags of a call as Katsushika ward.
    pub(crate) fn as_ward(&self) -> [String; 4] {
        let endpoints = self.path("dev/endpoints.json").display().to_string();
        ["--endpoints".to_owned(), endpoints, "--as".to_owned(), "municipality/131229".to_owned()]
    }

    /// A command that is about to be run in the folder.
    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = command(self.0.path());
        command.args(args);
        command
    }

    /// Runs a command to its end.
    pub(crate) async fn todoke(&self, args: &[&str], more: &[String]) -> Said {
        let output = command(self.0.path()).args(args).args(more).args(["--output", "json"]).output();
        let output = timeout(LONG, output).await.expect("it ends").expect("it runs");
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Said { code: output.status.code(), stdout: text(&output.stdout), stderr: text(&output.stderr) }
    }

    /// Writes a file of records of people who do not exist.
    pub(crate) async fn sample(&self, file: &str, records: &str) {
        self.sample_with(file, records, &[]).await;
    }

    /// The same with more flags, such as another seed.
    pub(crate) async fn sample_with(&self, file: &str, records: &str, more: &[&str]) {
        let args = ["sample", "--municipality", "131229", "--records", records, "--out", file, "--force"];
        let said = self.todoke(&[&args[..], more].concat(), &[]).await;
        assert_eq!(said.code, Some(0), "{}", said.all());
    }

    /// Fails unless a file and its receipt belong together by this key.
    pub(crate) async fn is_proved(&self, file: &str, key: &Path) {
        let (receipt, key) = (format!("{file}.receipt"), key.display().to_string());
        let said = self.todoke(&["verify", &receipt, "--file", file, "--key", &key], &[]).await;
        assert_eq!(said.code, Some(0), "{}", said.all());
    }

    /// The order ids of a CSV file without quotes, sorted.
    pub(crate) fn order_ids(&self, file: &str) -> Vec<String> {
        let text = String::from_utf8(self.read(file)).expect("UTF-8");
        let mut rows = text.lines().map(|line| line.split(','));
        let at = rows.next().and_then(|mut header| header.position(|name| name == "order_id"));
        let at = at.expect("the column");
        let mut ids: Vec<String> = rows.map(|mut row| row.nth(at).expect("its column").to_owned()).collect();
        ids.sort();
        ids
    }

    /// The order ids of the ward's cards, as the issuer has them, sorted.
    pub(crate) async fn ordered(&self) -> Vec<String> {
        let said = self.todoke(&["card", "list", "--limit", "10000"], &self.as_ward()).await;
        assert_eq!(said.code, Some(0), "{}", said.all());
        let order_id = |line: &str| {
            let card: Value = serde_json::from_str(line).expect("JSON");
            card["order_id"].as_str().map(str::to_owned)
        };
        let mut ids: Vec<String> = said.stdout.lines().filter_map(order_id).collect();
        assert_eq!(said.result()["cards"], ids.len(), "{}", said.all());
        ids.sort();
        ids
    }
}

fn command(folder: &Path) -> Command {
    of(TODOKE, folder)
}

fn of(program: &str, folder: &Path) -> Command {
    let mut command = Command::new(program);
    command.current_dir(folder).stdin(Stdio::null()).kill_on_drop(true);
    command
}

/// A command that runs beside the test and tells as it goes.
pub(crate) struct Running {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
    heard: Vec<String>,
}

impl Running {
    pub(crate) fn start(folder: &Folder, args: &[&str], more: &[String]) -> Self {
        Self::start_in(folder, args, more, &[])
    }

    /// The same, with these variables.
    pub(crate) fn start_in(
        folder: &Folder,
        args: &[&str],
        more: &[String],
        variables: &[(&str, &str)],
    ) -> Self {
        let mut command = command(folder.0.path());
        command
            .envs(variables.iter().copied())
            .args(args)
            .args(more)
            .args(["--output", "json"])
            .stdout(Stdio::piped());
        let mut child = command.spawn().expect("it runs");
        let lines = BufReader::new(child.stdout.take().expect("it was asked for")).lines();
        Self { child, lines, heard: Vec::new() }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id().expect("it runs")
    }

    pub(crate) async fn until(&mut self, event: &str) -> Value {
        self.next_where(event, |value| value["event"] == event).await
    }

    /// Waits for a line.
    pub(crate) async fn next_where(&mut self, what: &str, is_it: impl Fn(&Value) -> bool) -> Value {
        while let Some(line) = self.line().await {
            let value: Value = serde_json::from_str(&line).expect("JSON");
            if is_it(&value) {
                return value;
            }
        }
        panic!("it ended before {what}: {:?}", self.heard)
    }

    async fn line(&mut self) -> Option<String> {
        let line = timeout(LONG, self.lines.next_line()).await.expect("in time").expect("UTF-8");
        self.heard.extend(line.clone());
        line
    }

    pub(crate) async fn hears_nothing_for(&mut self, time: Duration) -> bool {
        timeout(time, self.lines.next_line()).await.is_err()
    }

    /// Waits for its end; its words to people went to our own standard error.
    pub(crate) async fn end(mut self) -> Said {
        while self.line().await.is_some() {}
        let status = timeout(LONG, self.child.wait()).await.expect("it ends").expect("its status");
        Said { code: status.code(), stdout: self.heard.join("\n"), stderr: String::new() }
    }
}

/// A system that runs.
pub(crate) struct Dev {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
    pub(crate) heard: Vec<Value>,
}

impl Dev {
    /// Starts it in `dev` of the folder and waits until everything is ready.
    pub(crate) async fn start(folder: &Folder, more: &[&str]) -> Self {
        Self::start_by(folder, Command::new(TODOKE), more).await
    }

    /// The same, with these variables for it and for every process that it starts.
    pub(crate) async fn start_in(folder: &Folder, more: &[&str], variables: &[(&str, &str)]) -> Self {
        Self::start_under(folder, &[], more, variables).await
    }

    /// The same, run by another program, such as one that looks on.
    pub(crate) async fn start_under(
        folder: &Folder,
        program: &[&str],
        more: &[&str],
        variables: &[(&str, &str)],
    ) -> Self {
        let mut words = program.iter().copied().chain([TODOKE]);
        let mut command = Command::new(words.next().expect("todoke at least"));
        command.args(words).envs(variables.iter().copied());
        Self::start_by(folder, command, more).await
    }

    /// The same with a command of one's own, to whose words those of `todoke dev` are added: with
    /// variables, or with a program around it that becomes it in the end.
    pub(crate) async fn start_by(folder: &Folder, mut command: Command, more: &[&str]) -> Self {
        command.current_dir(folder.0.path()).stdin(Stdio::null()).kill_on_drop(true);
        command.args(["dev", "--dir", "dev", "--output", "json"]).args(more).stdout(Stdio::piped());
        let mut child = command.spawn().expect("it runs");
        let lines = BufReader::new(child.stdout.take().expect("it was asked for")).lines();
        let mut dev = Self { child, lines, heard: Vec::new() };
        dev.next_where("everything to be ready", |event| event["event"] == "started").await;
        dev
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id().expect("it runs")
    }

    /// Waits for an event of one process.
    pub(crate) async fn until(&mut self, event: &str, id: &str) -> Value {
        let what = format!("{event} of {id}");
        self.next_where(&what, |value| value["event"] == event && value["id"] == id).await
    }

    pub(crate) async fn next_where(&mut self, what: &str, is_it: impl Fn(&Value) -> bool) -> Value {
        loop {
            let line = timeout(LONG, self.lines.next_line()).await;
            let line = line.unwrap_or_else(|_| panic!("{what} in time")).expect("UTF-8");
            let line = line.unwrap_or_else(|| panic!("it ended before {what}: {:?}", self.heard));
            let value: Value = serde_json::from_str(&line).expect("JSON");
            self.heard.push(value.clone());
            if is_it(&value) {
                return value;
            }
        }
    }

    pub(crate) async fn hears_nothing_for(&mut self, time: Duration) -> bool {
        timeout(time, self.lines.next_line()).await.is_err()
    }

    pub(crate) fn signal(&self, which: Signal) {
        signal(which, self.pid());
    }

    /// Asks it to stop and returns its exit code.
    pub(crate) async fn stop(&mut self) -> Option<i32> {
        self.signal(Signal::TERM);
        self.end().await
    }

    /// Waits for its end and returns its exit code.
    pub(crate) async fn end(&mut self) -> Option<i32> {
        let next = async |lines: &mut Lines<_>| timeout(LONG, lines.next_line()).await.expect("in time");
        while let Some(line) = next(&mut self.lines).await.expect("UTF-8") {
            self.heard.push(serde_json::from_str(&line).expect("JSON"));
        }
        timeout(LONG, self.child.wait()).await.expect("it ends").expect("its status").code()
    }

    /// What all events of this name said under `field`, in order.
    pub(crate) fn all_of(&self, event: &str, field: &str) -> Vec<&str> {
        let ours = self.heard.iter().filter(|value| value["event"] == event);
        ours.filter_map(|value| value[field].as_str()).collect()
    }

    /// Kills it, as a machine does that is out of memory.
    pub(crate) async fn kill(mut self) {
        self.child.kill().await.expect("it is killed");
    }
}

/// The numbers of all processes of a system.
pub(crate) fn pids(endpoints: &Value) -> Vec<u32> {
    let nodes = ["relays", "issuers"].map(|kind| endpoints[kind].as_array().cloned().unwrap_or_default());
    nodes.concat().iter().map(|node| number(&node["pid"])).collect()
}

fn number(pid: &Value) -> u32 {
    u32::try_from(pid.as_u64().expect("a pid")).expect("small")
}

/// Whether a process runs; one that ended and was not yet collected by anybody does not.
pub(crate) fn is_alive(pid: u32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(") ").is_some_and(|(_, state)| !state.starts_with('Z'))
}

/// Kills a process of an `endpoints.json`.
pub(crate) fn killed(pid: &Value) {
    signal(Signal::KILL, number(pid));
}

/// Sends a signal to one process.
pub(crate) fn signal(which: Signal, pid: u32) {
    let process = Pid::from_raw(i32::try_from(pid).expect("small")).expect("not 0");
    kill_process(process, which).unwrap_or_else(|error| panic!("{which:?} to {pid}: {error}"));
}

/// Asks an ops port for a page.
pub(crate) async fn http(address: SocketAddr, path: &str) -> String {
    let mut socket = TcpStream::connect(address).await.expect("it listens");
    let request = format!("GET {path} HTTP/1.1\r\nHost: ops\r\nConnection: close\r\n\r\n");
    socket.write_all(request.as_bytes()).await.expect("it reads");
    let mut answer = String::new();
    socket.read_to_string(&mut answer).await.expect("it answers");
    answer
}

/// Waits until a condition holds.
pub(crate) async fn eventually(what: &str, holds: impl Fn() -> bool) {
    within(LONG, what, holds).await;
}

/// The same, for so long at the most.
pub(crate) async fn within(limit: Duration, what: &str, mut holds: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !holds() {
        assert!(begun.elapsed() < limit, "waited for {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
