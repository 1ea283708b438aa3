//! A whole system of real processes at the finest log level, and everything that can go wrong with one file.

use std::{path::PathBuf, process::Stdio};

use todoke::domain::{
    manifest::Policy,
    record::{Field, Record},
};
use tokio::{io::AsyncWriteExt as _, process::Command};

use super::{
    files,
    forms::{NUMBER, Net, WRONG_NUMBER},
    leaks,
};
use crate::{
    issuance::harness::{Party, batch},
    system::{Dev, Folder, eventually, http, killed, pids},
};

const HEADER: &str = "order_id,kind,household_id,district,name,substitute_name,reading,reading_source,\
                      birth_date,sex,address,delivery_address,individual_number\n";
const NAME: &str = "鸞鳳院 麒麟丸";

/// What a played scenario leaves.
pub(super) struct Scenario {
    pub(super) folder: Folder,
    /// The only files that may hold personal data.
    pub(super) inputs: Vec<PathBuf>,
    /// What every command printed, with its name.
    pub(super) outputs: Vec<(String, String)>,
    /// What was printed where personal data was asked for.
    pub(super) with_purpose: Vec<(String, String)>,
    /// What was found in files while the system ran, with its write-ahead log.
    pub(super) while_running: Vec<String>,
}

fn is_bundle(path: &std::path::Path) -> bool {
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    name.starts_with("bundle-relay-2-") && name.ends_with(".jsonl")
}

fn row(order_id: &str, number: &str) -> String {
    format!(
        "{order_id},NOTIFICATION_CARD,HH-CANARY-7731,白鳥,{NAME},らんほういん,ランホウイン　キリンマル,declared,\
         1907-12-30,2,鸞鳳坂九丁目八番地七号,瑪瑙荘三〇三号室,{number}\n"
    )
}

fn rows(prefix: &str, count: usize) -> String {
    let rows: String = (1..=count).map(|n| row(&format!("{prefix}-{n}"), NUMBER)).collect();
    format!("{HEADER}{rows}")
}

fn record(order_id: &str, name: &str) -> Record {
    let mut record = Record::default();
    let row = row(order_id, NUMBER);
    for (column, text) in HEADER.trim_end().split(',').zip(row.trim_end().split(',')) {
        record.set(Field::from_name(column).expect("a field"), text);
    }
    record.set(Field::Name, name);
    record
}

struct Stage {
    dev: Dev,
    scenario: Scenario,
}

/// Plays it on this database, or on a file in the folder; what takes a millisecond is slow there, and in the
/// log.
pub(super) async fn play(database: Option<&str>) -> Scenario {
    let folder = Folder::new();
    let mut command = Command::new(env!("CARGO_BIN_EXE_todoke"));
    command.env("TODOKE_LOG__FILTER", "trace");
    command.env("TODOKE_STORE__SLOW_MIN", "1ms");
    let on: Vec<&str> = database.iter().flat_map(|url| ["--database", url]).collect();
    let dev = Dev::start_by(&folder, command, &[&["--relays", "3"], &on[..]].concat()).await;
    let (inputs, outputs, with_purpose, while_running) = Default::default();
    let mut stage =
        Stage { dev, scenario: Scenario { folder, inputs, outputs, with_purpose, while_running } };
    stage.good_and_bad_records().await;
    stage.bad_files().await;
    stage.deaths().await;
    stage.conflict().await;
    stage.looking().await;
    if database.is_none() {
        let wal = std::fs::metadata(stage.scenario.folder.path("dev/issuer.db-wal")).expect("a log");
        assert!(wal.len() > 100_000, "the write-ahead log was looked at too");
    }
    let Stage { mut dev, mut scenario } = stage;
    assert_eq!(dev.stop().await, Some(0));
    scenario.outputs.push(("dev".to_owned(), format!("{:?}", dev.heard)));
    scenario
}

impl Stage {
    fn input(&mut self, name: &str, content: impl AsRef<[u8]>) {
        let path = self.scenario.folder.path(name);
        std::fs::write(&path, content).expect("the folder is writable");
        self.scenario.inputs.push(path);
    }

    /// Runs a command as the ward and returns its exit code; what it printed is kept.
    async fn run(&mut self, words: &[&str]) -> Option<i32> {
        let (code, shown) = self.shown(words, "").await;
        self.scenario.outputs.push((words.join(" "), shown));
        code
    }

    async fn shown(&self, words: &[&str], input: &str) -> (Option<i32>, String) {
        let mut command = Command::new(env!("CARGO_BIN_EXE_todoke"));
        command.args(words).current_dir(self.scenario.folder.path("")).kill_on_drop(true);
        if !["verify", "config"].contains(&words[0]) && !words.contains(&"--no-server") {
            command.args(self.scenario.folder.as_ward());
        }
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("it runs");
        let mut stdin = child.stdin.take().expect("it was asked for");
        let _ = stdin.write_all(input.as_bytes()).await;
        drop(stdin);
        let ended = tokio::time::timeout(std::time::Duration::from_secs(60), child.wait_with_output()).await;
        let output = ended.expect("in time").expect("it ends");
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        (output.status.code(), format!("{}\n{}", text(&output.stdout), text(&output.stderr)))
    }

    async fn good_and_bad_records(&mut self) {
        self.input("clean.csv", rows("C", 5));
        assert_eq!(self.run(&["import", "clean.csv"]).await, Some(0));
        assert_eq!(self.run(&["import", "clean.csv", "--output", "json"]).await, Some(0));
        // Rejects, also of cells that hold what belongs into another.
        let wrong = row("R-2", WRONG_NUMBER);
        let sex = row("R-3", NUMBER).replace(",2,", &format!(",{NAME},"));
        let date = row("R-4", NUMBER).replace("1907-12-30", NAME);
        let rejects = format!("{}{wrong}{sex}{date}", rows("R", 1));
        self.input("rejects.csv", encoding_rs::SHIFT_JIS.encode(&rejects).0);
        let words = ["import", "rejects.csv", "--encoding", "cp932", "--policy", "accept-valid:3"];
        assert_eq!(self.run(&words).await, Some(0));
        // Duplicates, one of them with other content: a discrepancy, repaired in vain, then given up.
        let other = row("D-1", NUMBER).replace("瑪瑙荘三〇三号室", "瑪瑙荘");
        self.input("doubled.csv", format!("{}{}{other}{wrong}", rows("D", 2), row("C-1", NUMBER)));
        assert_eq!(self.run(&["import", "doubled.csv"]).await, Some(1));
        let batch = self.newest().await;
        assert_eq!(self.run(&["repair", "--batch", &batch, "--reason", "once more"]).await, Some(0));
        assert_eq!(self.run(&["resume", "doubled.csv"]).await, Some(1));
        assert_eq!(self.run(&["abort", "--batch", &batch, "--reason", "faulty"]).await, Some(0));
    }

    async fn newest(&mut self) -> String {
        let (_, shown) = self.shown(&["status", "--output", "json"], "").await;
        let first: serde_json::Value =
            serde_json::from_str(shown.lines().next().expect("a line")).expect("JSON");
        first["batch_id"].as_str().expect("an id").to_owned()
    }

    async fn bad_files(&mut self) {
        let good = rows("B", 2);
        let long = good.replace("麒麟丸", &"麒麟丸".repeat(500));
        let kind = good.replace("NOTIFICATION_CARD", "鸞鳳院");
        let files: [(&str, Vec<u8>); 9] = [
            ("headless.csv", good.replacen(HEADER, "", 1).into_bytes()),
            ("cut.csv", good.as_bytes()[..good.len() - 20].to_vec()),
            ("long.csv", long.into_bytes()),
            ("kind.csv", kind.into_bytes()),
            ("id.csv", good.replace("B-2", NAME).into_bytes()),
            ("nul.csv", good.replace("麒麟丸", "麒麟丸\0").into_bytes()),
            ("quote.csv", good.replace("麒麟丸", "麒\"麟丸").into_bytes()),
            ("cells.csv", good.replace("八番地", ",八番地").into_bytes()),
            ("encoding.csv", encoding_rs::SHIFT_JIS.encode(&good).0.into_owned()),
        ];
        for (name, content) in files {
            // Whole texts, so that the net can be held against each input.
            std::fs::write(self.scenario.folder.path(name), content).expect("the folder is writable");
            assert_eq!(self.run(&["import", name]).await, Some(1), "{name}");
            std::fs::remove_file(self.scenario.folder.path(name)).expect("it was there");
        }
    }

    async fn deaths(&mut self) {
        self.input("many.csv", rows("M", 1_200));
        let cut = ["import", "many.csv", "--chunk-records", "16", "--stop-after-records"];
        assert_eq!(self.run(&[&cut[..], &["320"]].concat()).await, Some(75));
        killed(&self.scenario.folder.endpoints()["relays"][0]["pid"]);
        assert_eq!(self.run(&["resume", "many.csv", "--stop-after-records", "640"]).await, Some(75));
        killed(&self.scenario.folder.endpoints()["issuers"][0]["pid"]);
        assert_eq!(self.run(&["resume", "many.csv"]).await, Some(0));
        self.dev.until("ready", "issuer-1").await;
        let alive = |pid: &u32| crate::system::is_alive(*pid);
        eventually("all to be back", || pids(&self.scenario.folder.endpoints()).iter().all(alive)).await;
    }

    /// The same batch from two senders, of whom one says another name: refused, and the batch is flagged.
    async fn conflict(&mut self) {
        let endpoints = self.scenario.folder.endpoints();
        let relay = endpoints["relays"][1]["address"].as_str().expect("an address");
        let ward = Party::at(&self.scenario.folder.path("dev/pki"), "municipality/131229", relay);
        let of = |name: &str| vec![record("X-1", name), record("X-2", name)];
        let sent = batch(ward.code(), 40, Policy::AllOrNothing, &of(NAME));
        let other = batch(ward.code(), 40, Policy::AllOrNothing, &of("鸞鳳院 別人"));
        let opened = ward.open(&sent).await.expect("it opens");
        let refused = ward.upload(&sent, opened.uploader_epoch, vec![other.chunk(0)]).await.end;
        self.keep("conflict", format!("{:?}", refused.expect_err("other content")));
        let refused = ward.open(&other).await.expect_err("other content");
        self.keep("reused", format!("{refused:?}"));
        self.keep("messages", format!("{:?}\n{:?}", sent.chunk(0), of(NAME)));
    }

    /// A relay that hangs over an upload is drained, and leaves what it recorded in a file.
    async fn bundle(&mut self, endpoints: &serde_json::Value) {
        let (folder, node) = (&self.scenario.folder, &endpoints["relays"][1]);
        let relay = node["address"].as_str().expect("an address");
        let ops = node["ops"].as_str().and_then(|ops| ops.parse().ok()).expect("an ops port");
        let ward = Party::at(&folder.path("dev/pki"), "municipality/131229", relay);
        let sent = batch(ward.code(), 41, Policy::AllOrNothing, &[record("Y-1", NAME), record("Y-2", NAME)]);
        let opened = ward.open(&sent).await.expect("it opens");
        self.operate(&["drill", "relay-2", "--fault", "hang", "--for", "5m"]).await;
        let uploading = async {
            // Until the drill begins, the chunk is stored, and stored already.
            loop {
                let uploaded = ward.upload(&sent, opened.uploader_epoch, vec![sent.chunk(0)]).await;
                if uploaded.end.is_err() {
                    return uploaded.end;
                }
            }
        };
        let draining = async {
            // A second after the hanging upload began, a figure speaks of it, and goes on to.
            let (mut seen, mut looks) = (0, 0);
            while seen < 3 {
                assert!(looks < 60, "no call hangs");
                looks += 1;
                let page = http(ops, "/metrics").await;
                // Probes hang beside it.
                let figure = page.lines().find_map(|line| line.strip_prefix("todoke_relay_calls_in_flight "));
                let hangs = figure.is_some_and(|figure| figure != "0");
                seen = if hangs { seen + 1 } else { 0 };
                tokio::time::sleep(std::time::Duration::from_millis(1_100)).await;
            }
            self.operate(&["drain", "relay-2", "--reason", "a look"]).await;
        };
        let (ended, ()) = tokio::join!(uploading, draining);
        let bundles =
            || files(&self.scenario.folder.path("dev")).into_iter().filter(|path| is_bundle(path)).collect();
        eventually("the relay to leave a bundle", || !Vec::is_empty(&bundles())).await;
        let bundle: Vec<PathBuf> = bundles();
        let text = std::fs::read_to_string(&bundle[0]).expect("it is ours");
        assert!(text.contains("/todoke.v1.BatchService/UploadChunks"), "a hanging upload is in it: {text}");
        self.keep("hung upload", format!("{ended:?}"));
    }

    /// Gives an order as an operator; one that comes before the other relay serves is given again.
    async fn operate(&self, words: &[&str]) {
        let folder = &self.scenario.folder;
        let endpoints = folder.path("dev/endpoints.json").display().to_string();
        let alice = ["--endpoints".to_owned(), endpoints, "--as".to_owned(), "operator/alice".to_owned()];
        for _ in 0..60 {
            let said = folder.todoke(&[&["pool"], words].concat(), &alice).await;
            if said.code == Some(0) {
                return;
            }
            assert!(said.all().contains("ORDER_REFUSED"), "{}", said.all());
            tokio::time::sleep(std::time::Duration::from_secs(1)).await;
        }
        panic!("{words:?} was refused for a minute");
    }

    fn keep(&mut self, name: &str, shown: String) {
        self.scenario.outputs.push((name.to_owned(), shown));
    }

    async fn looking(&mut self) {
        let key = self.scenario.folder.path("dev/pki/receipt.pub").display().to_string();
        for words in [
            &["status"][..],
            &["status", "many.csv", "--output", "json"],
            &["prove", "clean.csv", "--order-id", "C-3"],
            &["prove", "clean.csv", "--order-id", "C-4", "--from-server", "--out", "server.proof"],
            &["verify", "clean.csv.receipt", "--file", "clean.csv", "--key", &key],
            &["verify", "server.proof", "--receipt", "clean.csv.receipt", "--key", &key],
            &["card", "list"],
            &["card", "get", "--order-id", "C-1"],
        ] {
            assert_eq!(self.run(words).await, Some(0), "{words:?}: {:?}", self.scenario.outputs.last());
        }
        assert_eq!(self.run(&["reconcile", "clean.csv", "many.csv"]).await, Some(1), "holes");
        assert_eq!(self.run(&["card", "get", "--order-id", NAME]).await, Some(1), "no such order");
        self.scenario.outputs.pop();
        let get = ["card", "get", "--order-id", "C-1", "--purpose", "counter"];
        let by_number = ["card", "get", "--individual-number", "--purpose", "inquiry"];
        for (words, input) in [(&get[..], ""), (&by_number[..], NUMBER)] {
            let (code, shown) = self.shown(words, input).await;
            assert_eq!(code, Some(0), "{shown}");
            self.scenario.with_purpose.push((words.join(" "), shown));
        }
        let (code, shown) = self.shown(&by_number, WRONG_NUMBER).await;
        assert_eq!(code, Some(1), "{shown}");
        self.keep("no such number", shown);
        let endpoints = self.scenario.folder.endpoints();
        for kind in ["relays", "issuers"] {
            for node in endpoints[kind].as_array().expect("nodes") {
                let ops = node["ops"].as_str().expect("an ops port");
                for page in ["/metrics", "/readyz"] {
                    let text = http(ops.parse().expect("an address"), page).await;
                    assert!(text.starts_with("HTTP/1.1 200"), "{page} of {ops}: {text}");
                    self.keep(&format!("{page} of {}", node["id"]), text);
                }
            }
        }
        self.bundle(&endpoints).await;
        for pid in pids(&endpoints) {
            let limits = std::fs::read_to_string(format!("/proc/{pid}/limits")).expect("it runs");
            let core = limits.lines().find(|line| line.starts_with("Max core file size")).expect("a limit");
            let words: Vec<&str> = core.split_whitespace().collect();
            assert_eq!(words[4..6], ["0", "0"], "process {pid} leaves no core dump");
        }
        let folder = self.scenario.folder.path("");
        self.scenario.while_running = leaks(&Net::default(), &folder, &self.scenario.inputs);
    }
}
