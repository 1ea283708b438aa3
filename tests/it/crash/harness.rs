//! A system and its client as processes, of which one dies where a test says, and the oracle for all of them.

use std::{
    collections::BTreeSet,
    path::PathBuf,
    process::Stdio,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use serde_json::Value;
use tokio::{
    io::{AsyncBufReadExt as _, BufReader},
    process::Child,
    task::JoinHandle,
    time::timeout,
};

use super::super::system::{Dev, Folder, Said, eventually, http};

/// Records of each file; fourteen chunks, of which a client has six on their way.
pub(super) const RECORDS: u64 = 896;
pub(super) const CHUNK_RECORDS: u64 = 64;
pub(super) const CHUNK: &str = "64";
/// Chunks whose orders are stored together.
pub(super) const TOGETHER: u64 = 2;
/// How long anything is waited for.
const LONG: Duration = Duration::from_secs(60);

/// A system that runs, with files to send.
pub(super) struct Scene {
    pub(super) folder: Folder,
    pub(super) dev: Dev,
}

impl Scene {
    /// Starts a system of two relays in which nobody dies.
    pub(super) async fn start(variables: &[(&str, &str)]) -> Self {
        Self::start_at(None, variables).await
    }

    /// Starts a system of two relays of which the process dies that comes first to this point.
    pub(super) async fn start_at(at: Option<&str>, variables: &[(&str, &str)]) -> Self {
        let folder = Folder::new();
        let once = folder.path("once").display().to_string();
        let mut all = vec![
            ("TODOKE_ISSUANCE__LEASE", "500ms"),
            ("TODOKE_ISSUANCE__WORK_POLL", "100ms"),
            ("TODOKE_ISSUANCE__RECORDS_TOGETHER", "128"),
        ];
        if let Some(at) = at {
            all.extend([("TEST_TODOKE_CRASH_AT", at), ("TEST_TODOKE_CRASH_ONCE", &once)]);
        }
        all.extend(variables);
        let dev = Dev::start_in(&folder, &["--relays", "2"], &all).await;
        let scene = Self { folder, dev };
        scene.sample("cards.csv", 1).await;
        scene
    }

    pub(super) async fn sample(&self, file: &str, seed: u32) {
        let (records, seed) = (RECORDS.to_string(), seed.to_string());
        let args =
            ["sample", "--municipality", "131229", "--records", &records, "--seed", &seed, "--out", file];
        let said = self.folder.todoke(&args, &[]).await;
        assert_eq!(said.code, Some(0), "{}", said.all());
    }

    /// Begins to send a file.
    pub(super) fn import(&self, file: &str, more: &[&str], variables: &[(&str, &str)]) -> Client {
        let mut command =
            self.folder.command(&["import", file, "--chunk-records", CHUNK, "--output", "json"]);
        command.args(self.folder.as_ward()).args(more).envs(variables.iter().copied());
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it runs");
        let mut lines = BufReader::new(child.stdout.take().expect("it was asked for")).lines();
        let heard = Arc::<Mutex<Vec<Value>>>::default();
        let ours = Arc::clone(&heard);
        #[expect(clippy::disallowed_methods, reason = "it reads until the process ends")]
        let reader = tokio::spawn(async move {
            while let Ok(Some(line)) = lines.next_line().await {
                let mut event: Value = serde_json::from_str(&line).expect("JSON");
                event["heard_us"] = now_us().into();
                ours.lock().unwrap_or_else(PoisonError::into_inner).push(event);
            }
        });
        Client { child, heard, reader }
    }

    /// Begins to send a file with a client that dies at a point.
    pub(super) fn import_at(&self, at: &str, more: &[&str]) -> Client {
        let once = self.folder.path("once").display().to_string();
        let variables = [("TEST_TODOKE_CRASH_AT", at), ("TEST_TODOKE_CRASH_ONCE", once.as_str())];
        self.import("cards.csv", more, &variables)
    }

    /// Waits until a process came to its point, and returns which.
    pub(super) async fn once(&self) -> u32 {
        let text = || std::fs::read_to_string(self.folder.path("once")).unwrap_or_default();
        eventually("a process to come to its point", || text().ends_with('\n')).await;
        text().trim().parse().expect("a process id")
    }

    /// Lets the point be passed for the first time again.
    pub(super) fn again(&self) {
        std::fs::remove_file(self.folder.path("once")).expect("it happened before");
    }

    /// Waits until a process has died by SIGKILL and is back.
    pub(super) async fn is_back(&mut self, id: &str) {
        let died = self.dev.until("died", id).await;
        assert_eq!(died["how"], "killed by signal 9", "{died}");
        self.dev.until("ready", id).await;
    }

    /// Runs a command of the ward about `cards.csv`.
    pub(super) async fn about(&self, command: &str) -> Said {
        self.folder.todoke(&[command, "cards.csv"], &self.folder.as_ward()).await
    }

    /// What the issuer says of the batch of `cards.csv`, with every sum in it checked.
    pub(super) async fn status(&self) -> Value {
        let said = self.about("status").await;
        assert_eq!(said.code, Some(0), "{}", said.all());
        let batch: Value = serde_json::from_str(said.stdout.lines().next().expect("a line")).expect("JSON");
        let of = |name: &str| batch[name].as_u64().expect("a count");
        let decided = of("accepted") + of("rejected") + of("duplicate") + of("quarantined");
        assert_eq!(of("missing") + of("stored") + decided, RECORDS, "every record is somewhere: {batch}");
        let gaps = &batch["gaps"];
        let ranges = gaps["ranges"].as_array().expect("a list").iter();
        let ranges: u64 = ranges.map(|range| number(&range[1]) + 1 - number(&range[0])).sum();
        let districts = gaps["districts"].as_array().expect("a list").iter();
        let districts: u64 = districts.map(|district| number(&district[1])).sum();
        assert_eq!([number(&gaps["missing_records"]), ranges, districts], [of("missing"); 3], "{batch}");
        batch
    }

    /// Goes on with `cards.csv` to its receipt, and checks all that can be checked from outside; returns how
    /// many records were durable when the batch was opened again.
    pub(super) async fn resumes(&self) -> u64 {
        let said = self.about("resume").await;
        assert_eq!(said.code, Some(0), "{}", said.all());
        self.is_done("cards.csv", &last(&said)).await;
        let mut events = said.stdout.lines().map(|line| serde_json::from_str::<Value>(line).expect("JSON"));
        let opened = events.find(|event| event["event"] == "opened");
        number(&opened.expect("it opens the batch again")["durable_records"])
    }

    /// How many chunks came to this outcome at the issuer that runs.
    pub(super) async fn chunks(&self, outcome: &str) -> u64 {
        let ops = self.folder.endpoints()["issuers"][0]["ops"].clone();
        let page = http(ops.as_str().and_then(|ops| ops.parse().ok()).expect("an address"), "/metrics").await;
        assert!(page.starts_with("HTTP/1.1 200"), "{page}");
        let head = format!("todoke_chunks_total{{outcome=\"{outcome}\"}} ");
        let count = page.lines().find_map(|line| line.strip_prefix(head.as_str()));
        count.map_or(0, |count| count.parse().expect("a count"))
    }

    /// Checks a file whose import ended with a receipt, and that another import changes nothing.
    pub(super) async fn is_done(&self, file: &str, result: &Value) {
        assert_eq!(result["outcome"], "receipted", "{result}");
        let counts = ["records", "accepted", "rejected", "duplicate"].map(|name| number(&result[name]));
        assert_eq!(counts, [RECORDS, RECORDS, 0, 0], "{result}");
        let (receipt, key) = (format!("{file}.receipt"), self.path("dev/pki/receipt.pub"));
        let said = self.folder.todoke(&["verify", &receipt, "--file", file, "--key", &key], &[]).await;
        assert_eq!(said.code, Some(0), "{}", said.all());
        let said =
            self.folder.todoke(&["import", file, "--chunk-records", CHUNK], &self.folder.as_ward()).await;
        assert_eq!((said.code, &last(&said)["digest"]), (Some(0), &result["digest"]), "{}", said.all());
        assert_eq!(last(&said)["again"], true, "{}", said.all());
        let said = self.folder.todoke(&["reconcile", file], &self.folder.as_ward()).await;
        assert_eq!(said.code, Some(0), "both sides agree: {}", said.all());
    }

    /// Checks that the cards are those of these files, each once.
    pub(super) async fn has_the_cards_of(&self, files: &[&str]) {
        let mut expected: Vec<String> = files.iter().flat_map(|file| self.order_ids(file)).collect();
        expected.sort_unstable();
        let said = self.folder.todoke(&["card", "list", "--limit", "10000"], &self.folder.as_ward()).await;
        assert_eq!(said.code, Some(0), "{}", said.all());
        let cards = said.stdout.lines().map(|line| serde_json::from_str::<Value>(line).expect("JSON"));
        let mut cards: Vec<String> = cards
            .filter(|line| line["event"] == "card")
            .map(|card| card["order_id"].as_str().expect("a text").to_owned())
            .collect();
        cards.sort_unstable();
        assert_eq!(cards, expected, "each record is a card, once");
    }

    fn order_ids(&self, file: &str) -> BTreeSet<String> {
        let text = String::from_utf8(self.folder.read(file)).expect("UTF-8");
        let mut lines = text.lines();
        let header = lines.next().expect("a header").split(',');
        let at = header.into_iter().position(|name| name == "order_id").expect("the column");
        let ids: BTreeSet<String> =
            lines.map(|line| line.split(',').nth(at).expect("its column").to_owned()).collect();
        assert_eq!(ids.len() as u64, RECORDS);
        ids
    }

    fn path(&self, name: &str) -> String {
        self.folder.path(name).display().to_string()
    }

    pub(super) fn log(&self, id: &str) -> String {
        String::from_utf8(self.folder.read(&format!("dev/logs/{id}.log"))).expect("UTF-8")
    }

    /// Ends the system at once: what an end in order leaves is for other tests to say.
    pub(super) async fn over(self) {
        self.dev.kill().await;
    }

    pub(super) fn there(&self, name: &str) -> bool {
        let path: PathBuf = self.folder.path(name);
        path.exists()
    }
}

/// An import that runs.
pub(super) struct Client {
    child: Child,
    heard: Arc<Mutex<Vec<Value>>>,
    reader: JoinHandle<()>,
}

impl Client {
    pub(super) fn heard(&self) -> Vec<Value> {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Waits for one of these events.
    pub(super) async fn hears(&self, events: &[&str]) {
        let is_one = |heard: &Value| events.iter().any(|event| heard["event"] == *event);
        eventually(&format!("the client to say one of {events:?}"), || self.heard().iter().any(is_one)).await;
    }

    /// Waits for its end and returns its exit code and its last word.
    pub(super) async fn ends(mut self) -> (Option<i32>, Value, Vec<Value>) {
        let status = timeout(LONG, self.child.wait()).await.expect("it ends in time").expect("its status");
        timeout(LONG, &mut self.reader).await.expect("its output ends, too").expect("it was read");
        let heard = self.heard();
        (status.code(), heard.last().cloned().unwrap_or_default(), heard)
    }

    /// Kills it, and returns how many records it was told are durable.
    pub(super) async fn killed(mut self) -> u64 {
        self.child.kill().await.expect("it is killed");
        let (_, _, heard) = self.ends().await;
        told(&heard)
    }
}

fn now_us() -> u64 {
    let since = time::OffsetDateTime::now_utc().unix_timestamp_nanos() / 1000;
    u64::try_from(since).expect("after 1970")
}

/// How many records the issuer acknowledged.
pub(super) fn told(heard: &[Value]) -> u64 {
    heard.iter().filter_map(|event| event["durable_records"].as_u64()).max().unwrap_or_default()
}

/// The last line that a command said.
pub(super) fn last(said: &Said) -> Value {
    let line = said.stdout.lines().last().unwrap_or_default();
    serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {}", said.all()))
}

pub(super) fn number(value: &Value) -> u64 {
    value.as_u64().unwrap_or_else(|| panic!("a number: {value}"))
}
