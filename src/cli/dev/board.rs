//! Shows what runs where, to whoever waits for a change, and in `endpoints.json`, which is always whole
//! and is written again whenever a process is ready.

use std::{
    collections::BTreeMap,
    path::PathBuf,
    sync::{Mutex, PoisonError},
};

use serde_json::{Value, json};
use tokio::sync::watch;

use super::{
    node::{Kind, Ports},
    parties,
};
use crate::client::receipts::write_whole;

/// What is known of one process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Place {
    /// What it is.
    pub(crate) kind: Kind,
    /// Where it listens, or listened.
    pub(crate) ports: Ports,
    /// Its process id, or that of the last one.
    pub(crate) pid: u32,
    /// Whether it is ready; it was, once.
    pub(crate) alive: bool,
}

/// Everything by name.
pub(crate) type Places = BTreeMap<String, Place>;

/// The board of one system.
#[derive(Debug)]
pub(crate) struct Board {
    places: watch::Sender<Places>,
    endpoints: PathBuf,
    // Held while the file is written, so that an older state never overwrites a newer one.
    writing: Mutex<()>,
}

impl Board {
    /// An empty board that writes to this file.
    pub(crate) fn new(endpoints: PathBuf) -> Self {
        Self { places: watch::Sender::new(Places::new()), endpoints, writing: Mutex::default() }
    }

    /// Who wants to see changes.
    pub(crate) fn watch(&self) -> watch::Receiver<Places> {
        self.places.subscribe()
    }

    /// What is known now.
    pub(crate) fn places(&self) -> Places {
        self.places.borrow().clone()
    }

    /// A process is ready for calls. Before the first [`Self::write`] this only shows on the board.
    pub(crate) fn ready(&self, id: &str, place: Place) {
        self.places.send_modify(|places| {
            places.insert(id.to_owned(), place);
        });
    }

    /// A process is gone; the file keeps where it was, since that is where it comes back.
    pub(crate) fn gone(&self, id: &str) {
        self.places.send_modify(|places| {
            if let Some(place) = places.get_mut(id) {
                place.alive = false;
            }
        });
    }

    /// Writes `endpoints.json` in one step.
    ///
    /// # Errors
    /// The system's error; the old file, if any, is then untouched.
    pub(crate) fn write(&self) -> std::io::Result<()> {
        let _writing = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        let text = serde_json::to_string_pretty(&endpoints(&self.places())).expect("it is plain JSON");
        write_whole(&self.endpoints, format!("{text}\n").as_bytes())
    }
}

fn endpoints(places: &Places) -> Value {
    let of = |kind: Kind| -> Vec<Value> {
        let ours = places.iter().filter(|(_, place)| place.kind == kind);
        ours.map(|(id, place)| {
            json!({
                "id": id,
                "address": place.ports.address.to_string(),
                "ops": place.ports.ops.to_string(),
                "pid": place.pid,
            })
        })
        .collect()
    };
    let mut all = json!({
        "server_name": "todoke.internal",
        "ca": "pki/ca.pem",
        "receipt_key": "pki/receipt.pub",
        "relays": of(Kind::Relay),
        "issuers": of(Kind::Issuer),
        "clients": parties::clients(),
    });
    if let Some(ads) = places.values().find_map(|place| place.ports.ads) {
        all["ads"] = ads.to_string().into();
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::endpoints::Endpoints;

    fn place(kind: Kind, port: u16, pid: u32) -> Place {
        let at = |port| ([127, 0, 0, 1], port).into();
        let ads = (kind == Kind::Issuer).then(|| at(port + 2));
        Place { kind, ports: Ports { address: at(port), ops: at(port + 1), ads }, pid, alive: true }
    }

    #[test]
    fn what_is_written_is_what_clients_read() {
        let dir = tempfile::tempdir().expect("a folder");
        let file = dir.path().join("endpoints.json");
        let board = Board::new(file.clone());
        board.ready("issuer-1", place(Kind::Issuer, 301, 9));
        board.ready("relay-1", place(Kind::Relay, 101, 7));
        board.gone("relay-1");
        board.write().expect("it is written");
        let read = Endpoints::load(&file).expect("the client reads it");
        assert_eq!(read.relays[0].id, "relay-1");
        assert_eq!(read.relays[0].address, "127.0.0.1:101");
        assert_eq!(read.relays[0].ops.as_deref(), Some("127.0.0.1:102"));
        let text = std::fs::read_to_string(&file).expect("it is there");
        assert!(text.contains("\"ads\": \"127.0.0.1:303\""), "where stock clients learn the pool: {text}");
        assert_eq!((read.relays[0].pid, read.issuers[0].pid), (Some(7), Some(9)));
        for operator in ["alice", "bob"] {
            let files = read.client(&format!("operator/{operator}")).expect("an operator is listed");
            assert_eq!(files.cert, dir.path().join(format!("pki/{operator}.pem")));
        }
    }
}
