//! A real issuer, real senders as processes of their own, and relays between them, good or bad.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use serde_json::{Value, json};
use todoke::{
    domain::{batch_id::BatchId, identity::Role},
    net::{
        channel::{ChannelOptions, connect},
        tls::{ClientTls, ServerTls},
    },
    relay,
    runtime::Tasks,
    wire::pb::{self, batch_service_client::BatchServiceClient},
};
use tonic::transport::Channel;

use super::liar::{Liar, Malice};
use crate::{
    issuance::{
        begun::flags,
        harness::{Issuer, Party, files, issue},
    },
    system::{Folder, Said},
};

/// Records of `cards.csv`.
pub(super) const RECORDS: u64 = 64;
/// Its chunks, at `--chunk-records 4`.
pub(super) const CHUNKS: u64 = 16;

/// A system with one issuer.
pub(super) struct World {
    pub(super) folder: Folder,
    pub(super) issuer: Issuer,
    pub(super) ward: Party,
    relays: Vec<(String, SocketAddr)>,
    running: Vec<Tasks>,
    /// What the relays check their callers by.
    pub(super) doors: Vec<ServerTls>,
}

impl Drop for World {
    fn drop(&mut self) {
        self.running.iter().for_each(|tasks| tasks.hard().cancel());
    }
}

impl World {
    /// Starts an issuer and makes a file of records.
    pub(super) async fn new() -> Self {
        Self::with(|_| {}).await
    }

    pub(super) async fn with(change: impl FnOnce(&mut todoke::issuance::Options)) -> Self {
        let _counted_from_here = todoke::telemetry::prometheus();
        let issuer = Issuer::start(change).await;
        let ward = issuer.party("municipality/131229").await;
        let folder = Folder::new();
        folder.sample("cards.csv", &RECORDS.to_string()).await;
        std::fs::create_dir(folder.path("dev")).expect("a folder");
        Self { folder, issuer, ward, relays: Vec::new(), running: Vec::new(), doors: Vec::new() }
    }

    /// Adds a relay that does what `malice` says.
    pub(super) async fn liar(&mut self, malice: impl Malice) -> Liar {
        let name = format!("liar-{}", self.relays.len());
        let (liar, address) = Liar::start(&self.issuer, &name, Arc::new(malice)).await;
        self.add(name, address);
        liar
    }

    /// Adds a real relay at `listen`, and returns where it is and what ends it.
    pub(super) async fn relay_at(&mut self, listen: SocketAddr) -> (SocketAddr, Tasks) {
        let name = format!("relay-{}", self.relays.len());
        let pki = self.issuer.dir.path().join("pki");
        issue(&self.issuer.authority, &format!("relay/{name}"));
        let files = files(&pki, &name);
        let options = relay::Options {
            name: name.clone(),
            upstreams: vec![self.issuer.address.to_string()],
            shards: 1,
            caller_burst: 100_000,
            linger: Duration::from_millis(100),
            ..relay::Options::default()
        };
        let own = ServerTls::load(&files).expect("a relay's certificate");
        let upstream = ClientTls::load_for(&files, "todoke.internal", &[Role::Issuer]).expect("the same");
        self.doors.push(own.clone());
        let tasks = Tasks::new();
        let listener = tokio::net::TcpListener::bind(listen).await.expect("the port is free");
        let running = relay::start(options, listener, own, upstream, None, &tasks).expect("it starts");
        self.add(name, running.address);
        self.running.push(tasks.clone());
        (running.address, tasks)
    }

    /// Adds a real relay.
    pub(super) async fn relay(&mut self) {
        self.relay_at(([127, 0, 0, 1], 0).into()).await;
    }

    /// The ward's calls over a relay of this address.
    pub(super) fn through(&self, address: SocketAddr) -> BatchServiceClient<Channel> {
        let files = files(&self.issuer.dir.path().join("pki"), "131229");
        let tls = ClientTls::load(&files, "todoke.internal").expect("the ward's certificate");
        let channel = connect(&address.to_string(), &tls, "todoke.internal", ChannelOptions::default());
        BatchServiceClient::new(channel.expect("a channel"))
    }

    fn add(&mut self, name: String, address: SocketAddr) {
        self.relays.retain(|(_, there)| *there != address);
        self.relays.push((name, address));
        let pki = self.issuer.dir.path().join("pki");
        let path = |name: &str| pki.join(name).display().to_string();
        let relays: Vec<Value> =
            self.relays.iter().map(|(id, at)| json!({"id": id, "address": at})).collect();
        let endpoints = json!({
            "server_name": "todoke.internal", "ca": path("ca.pem"), "receipt_key": path("receipt.pub"),
            "relays": relays,
            "clients": {"municipality/131229": {"cert": path("131229.pem"), "key": path("131229.key")}},
        });
        std::fs::write(self.folder.path("dev/endpoints.json"), endpoints.to_string()).expect("writable");
    }

    /// Runs `todoke import cards.csv`.
    pub(super) async fn import(&self, more: &[&str]) -> Ended {
        self.run("import", "cards.csv", more).await
    }

    /// Runs a command on a file, as the ward.
    pub(super) async fn run(&self, command: &str, file: &str, more: &[&str]) -> Ended {
        let mut args = vec![command, file, "--chunk-records", "4"];
        for (flag, value) in [("--patience", "20s"), ("--ack-timeout", "1s")] {
            if !more.contains(&flag) {
                args.extend([flag, value]);
            }
        }
        args.extend(more);
        Ended::of(self.folder.todoke(&args, &self.folder.as_ward()).await)
    }

    /// The batch as the issuer has it, asked without any relay between.
    pub(super) async fn batch(&self, ended: &Ended) -> pb::Batch {
        self.ward.get(ended.batch_id()).await.expect("the issuer has it")
    }

    /// Fails unless the batch of `ended` is accepted whole, once, and proved to the sender.
    pub(super) async fn is_done(&self, ended: &Ended) {
        assert_eq!(ended.said.code, Some(0), "{}", ended.said.all());
        let batch = self.batch(ended).await;
        assert_eq!(batch.state(), pb::BatchState::Accepted);
        assert_eq!(batch.counts.expect("counts").accepted, RECORDS);
        assert_eq!(self.rows("chunk").await, CHUNKS, "each chunk once");
        assert_eq!(self.rows("card_order").await, RECORDS, "each record once");
        assert_eq!(self.rows("receipt").await, 1);
        self.is_proved("cards.csv").await;
    }

    /// Fails unless a file and its receipt belong together by the issuer's key.
    pub(super) async fn is_proved(&self, file: &str) {
        self.folder.is_proved(file, &self.issuer.dir.path().join("pki/receipt.pub")).await;
    }

    /// Fails unless nothing anywhere says complete and the issuer flags the batch by itself, asked by nobody,
    /// within 120 s of its last progress.
    pub(super) async fn is_flagged(&self, ended: &Ended) {
        assert_ne!(ended.said.code, Some(0), "{}", ended.said.all());
        assert!(!self.folder.path("cards.csv.receipt").exists(), "no receipt was written");
        assert_eq!(self.rows("receipt").await, 0, "and there is none");
        // Only the sweeper counts this; an answer to GetBatch would derive its flags while it is written.
        let raised = "todoke_flags_raised_total{flag=\"stalled\"}";
        let before = counted(raised);
        self.issuer.clock.advance(61_000);
        crate::system::eventually("the sweeper to flag it", || counted(raised) > before).await;
        let batch = self.batch(ended).await;
        let open = [pb::BatchState::Announced, pb::BatchState::Receiving];
        assert!(open.contains(&batch.state()), "{:?}", batch.state());
        assert_eq!(flags(&batch), ["stalled"]);
    }

    /// How many rows a table of the issuer has.
    pub(super) async fn rows(&self, table: &str) -> u64 {
        self.issuer.rows(table).await
    }
}

/// How a run of the CLI ended.
pub(super) struct Ended {
    pub(super) said: Said,
    pub(super) result: Value,
    lines: Vec<Value>,
}

impl Ended {
    pub(super) fn of(said: Said) -> Self {
        let lines: Vec<Value> =
            said.stdout.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
        let result = lines.last().cloned().unwrap_or_default();
        Self { said, result, lines }
    }

    pub(super) fn batch_id(&self) -> BatchId {
        let id = |line: &Value| line["batch_id"].as_str().and_then(|id| id.parse().ok());
        self.lines.iter().find_map(id).unwrap_or_else(|| panic!("no batch: {}", self.said.all()))
    }

    /// Fails unless it says which of its records are missing, and of which districts, `missing` in all.
    pub(super) fn names_what_is_missing(&self, missing: u64) {
        let gaps = &self.result["gaps"];
        let pairs = |field: &str| gaps[field].as_array().cloned().unwrap_or_default();
        let number = |value: &Value| value.as_u64().expect("a number");
        assert_eq!(gaps["missing_records"], missing, "{}", self.said.all());
        let ranged: u64 = pairs("ranges").iter().map(|r| number(&r[1]) - number(&r[0]) + 1).sum();
        let of_districts: u64 = pairs("districts").iter().map(|d| number(&d[1])).sum();
        assert_eq!((ranged, of_districts), (missing, missing), "{}", self.said.all());
    }

    /// Fails unless the process ended with this code and outcome.
    pub(super) fn is(&self, code: i32, outcome: &str) {
        assert_eq!(self.said.code, Some(code), "{}", self.said.all());
        assert_eq!(self.result["outcome"], outcome, "{}", self.said.all());
    }

    /// What it told under this name, in order.
    pub(super) fn events(&self, event: &str) -> Vec<&Value> {
        self.lines.iter().filter(|line| line["event"] == event).collect()
    }

    /// Whether it told of such an event.
    pub(super) fn told(&self, event: &str) -> bool {
        !self.events(event).is_empty()
    }
}

/// What this process has counted so far under the name and labels of `line`.
pub(super) fn counted(line: &str) -> u64 {
    let text = todoke::telemetry::prometheus().render();
    let number = text.lines().find_map(|l| l.strip_prefix(line)?.strip_prefix(' '));
    number.map_or(0, |number| number.parse().expect("a whole number"))
}

/// Nobody panics while they hold one; if they do, the test has failed already.
pub(super) fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().expect("nobody panicked")
}
