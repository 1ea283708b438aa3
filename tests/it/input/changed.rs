//! Promise: a file that was changed after it was announced is refused, between two runs and in the middle of
//! one; what was announced can be put back and comes to its receipt, and nothing else ever does.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _, copy},
    net::{TcpListener, TcpStream},
    sync::{Notify, watch},
    task::JoinSet,
};

use super::{Town, assert_says};

/// Bytes that a client may send before the line holds still: with the start of the upload, and long before
/// its end.
const HELD_AFTER: u64 = 150_000;

async fn sample(town: &Town) -> Vec<u8> {
    town.folder.sample("cards.csv", "3000").await;
    town.folder.read("cards.csv")
}

/// The same file with a byte in its last record that begins no character.
fn broken(content: &[u8]) -> Vec<u8> {
    let mut bytes = changed(content);
    let at = bytes.iter().rposition(|byte| *byte >= 0x80).expect("a character of three bytes");
    bytes[at] = 0xff;
    bytes
}

/// The same file with another digit in the birth date of its last record.
fn changed(content: &[u8]) -> Vec<u8> {
    let mut bytes = content.to_vec();
    let line = bytes[..bytes.len() - 1].iter().rposition(|byte| *byte == b'\n').expect("lines");
    let at =
        bytes[line..].windows(4).position(|four| four[0] == b',' && four[1..].is_ascii() && four[1] == b'1');
    let at = line + at.expect("a year") + 3;
    bytes[at] = if bytes[at] == b'5' { b'6' } else { b'5' };
    bytes
}

#[tokio::test]
async fn a_file_changed_between_import_and_resume_is_refused_until_it_is_put_back() {
    let town = Town::start().await;
    let announced = sample(&town).await;
    let cut = ["import", "cards.csv", "--chunk-records", "64", "--stop-after-records", "640"];
    assert_says("cut", &town.run(&cut).await, 75, &["todoke resume cards.csv"]);
    town.write("cards.csv", changed(&announced));
    for command in ["resume", "import"] {
        let said = town.run(&[command, "cards.csv"]).await;
        assert_says(
            command,
            &said,
            1,
            &["cards.csv was changed since batch", "Put the announced content back"],
        );
    }
    let batches = town.batches().await;
    assert_eq!((batches.len(), &batches[0]["state"]), (1, &"RECEIVING".into()), "nothing more was sent");
    town.write("cards.csv", &announced);
    town.receipted(&["resume", "cards.csv"]).await;
    assert_eq!(town.batches().await.len(), 1);
    town.stop().await;
}

#[tokio::test]
async fn a_file_changed_while_it_is_sent_never_becomes_a_mixture() {
    for change in [changed, broken] {
        never_becomes_a_mixture(change).await;
    }
}

async fn never_becomes_a_mixture(change: fn(&[u8]) -> Vec<u8>) {
    let town = Town::start().await;
    let announced = sample(&town).await;
    let line =
        Line::before(town.folder.endpoints()["relays"][0]["address"].as_str().expect("an address")).await;
    let mut endpoints = town.folder.endpoints();
    endpoints["relays"][0]["address"] = line.address.to_string().into();
    town.write("dev/held.json", endpoints.to_string());
    let mut command = tokio::process::Command::new(env!("CARGO_BIN_EXE_todoke"));
    command.args(["import", "cards.csv", "--chunk-records", "16", "--endpoints", "dev/held.json"]);
    command.args(["--as", "municipality/131229", "--ack-timeout", "60s"]);
    let meddle = async {
        line.held.notified().await;
        town.write("cards.csv", change(&announced));
        line.go_on.send_replace(true);
    };
    let (said, ()) = tokio::join!(town.said(command), meddle);
    let words =
        ["the file was changed while it was being sent", "Put the announced content back", "todoke resume"];
    assert_says("changed", &said, 1, &words);
    assert!(!town.path("cards.csv.receipt").exists());
    let batch = &town.batches().await[0];
    assert_eq!(batch["state"], "RECEIVING", "no status says complete: {batch}");
    assert!(batch["missing"].as_u64().is_some_and(|missing| missing > 0), "{batch}");
    town.write("cards.csv", &announced);
    town.receipted(&["resume", "cards.csv"]).await;
    town.stop().await;
}

/// A line to a relay that holds still after so many bytes, once, until it is told to go on.
struct Line {
    address: SocketAddr,
    held: Arc<Notify>,
    go_on: watch::Sender<bool>,
    _task: JoinSet<()>,
}

impl Line {
    async fn before(relay: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("its address");
        let (held, relay) = (Arc::new(Notify::new()), relay.to_owned());
        let (go_on, gate) = watch::channel(false);
        let (told, passed) = (Arc::clone(&held), Arc::new(AtomicU64::new(0)));
        let mut task = JoinSet::new();
        task.spawn(async move {
            let mut open = JoinSet::new();
            while let Ok((client, _)) = listener.accept().await {
                let server = TcpStream::connect(&relay).await.expect("the relay is there");
                open.spawn(pass(client, server, Arc::clone(&passed), Arc::clone(&told), gate.clone()));
            }
        });
        Self { address, held, go_on, _task: task }
    }
}

async fn pass(
    client: TcpStream,
    server: TcpStream,
    passed: Arc<AtomicU64>,
    held: Arc<Notify>,
    mut gate: watch::Receiver<bool>,
) {
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_server, mut to_server) = server.into_split();
    let there = async move {
        let mut bytes = [0; 4096];
        while let Ok(count @ 1..) = from_client.read(&mut bytes).await {
            if passed.fetch_add(count as u64, Ordering::Relaxed) > HELD_AFTER {
                held.notify_one();
                let _ = gate.wait_for(|open| *open).await;
            }
            if to_server.write_all(&bytes[..count]).await.is_err() {
                break;
            }
        }
    };
    let back = async move { copy(&mut from_server, &mut to_client).await };
    let ((), _) = tokio::join!(there, back);
}
