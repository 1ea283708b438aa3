//! Ways to make a small change durable by the store, one change a transaction or many.

use std::{convert::Infallible, sync::Arc};

use todoke::{
    domain::{
        digest::Digest,
        item::{ItemKey, ItemKind},
    },
    store::{Asked, Changed, Decided, Found, NewChunk, PutChunk, Store},
};

use crate::{
    batches::{Batch, NOW_MS, municipality},
    failure::Failure,
    generator::Work,
};

/// Chunks of a batch; then a caller opens the next one.
const CHUNKS: u64 = 4096;
/// Municipalities that one caller opens batches of: 64 of them have as many as there are.
pub(crate) const MUNICIPALITIES_EACH: usize = 27;
/// Cards that one caller changes in turn.
const CARDS: u64 = 1000;
/// Bytes of a sealed record.
const RECORD_BYTES: usize = 250;

/// One way; each caller uses one of its stores.
#[derive(Clone)]
pub(crate) enum Way {
    /// A chunk of so many records.
    Chunk { stores: Arc<Vec<Store>>, records: u32 },
    /// A batch is opened.
    Batch { stores: Arc<Vec<Store>> },
    /// A card is changed.
    Card { stores: Arc<Vec<Store>> },
}

/// Somebody who changes something.
pub(crate) struct Caller {
    /// Which one of its side it is.
    pub(crate) number: usize,
    /// The first municipality that is its own.
    pub(crate) first: usize,
    /// How much it has done.
    pub(crate) done: u64,
}

impl Work for Way {
    type Caller = Caller;

    async fn once(&self, caller: &mut Caller) -> Result<(), Failure> {
        match self {
            Way::Chunk { stores, records } => {
                caller.chunk(&stores[caller.number % stores.len()], *records).await
            }
            Way::Batch { stores } => caller.batch(&stores[caller.number % stores.len()]).await,
            Way::Card { stores } => caller.card(&stores[caller.number % stores.len()]).await,
        }?;
        caller.done += 1;
        Ok(())
    }
}

impl Caller {
    async fn chunk(&self, store: &Store, records: u32) -> Result<(), Failure> {
        let batch = Batch {
            municipality: municipality(self.first)?,
            sequence: self.done / CHUNKS + 1,
            records: CHUNKS * u64::from(records),
            chunk_records: records,
        };
        let number = (self.done % CHUNKS) as u32;
        if number == 0 {
            batch.open(store).await?;
        }
        let chunk = NewChunk {
            number,
            root: Digest::of(&number.to_be_bytes()),
            records,
            sealed: Arc::new(vec![number as u8; RECORD_BYTES * records as usize]),
            district_records: [("白鳥".to_owned(), u64::from(records))].into(),
            uploader_epoch: 1,
            relay: "relay-1",
            now_ms: NOW_MS,
        };
        let stored = store.put_chunk(batch.municipality, batch.id()?, chunk).await;
        match stored.map_err(Failure::while_doing("store a chunk"))? {
            PutChunk::Stored => Ok(()),
            other => Err(Failure::new(format!("a chunk is {other:?}"))),
        }
    }

    async fn batch(&self, store: &Store) -> Result<(), Failure> {
        let (turn, each) = (self.done as usize, MUNICIPALITIES_EACH);
        let municipality = municipality(self.first + turn % each)?;
        let sequence = (turn / each) as u64 + 1;
        Batch { municipality, sequence, records: 1, chunk_records: 2048 }.open(store).await
    }

    async fn card(&self, store: &Store) -> Result<(), Failure> {
        let id = format!("K-{:09}", self.done % CARDS).parse().map_err(Failure::while_doing("a card"))?;
        let asked = Asked {
            key: ItemKey { municipality: municipality(self.first)?, kind: ItemKind::Card, id },
            with: Vec::new(),
            request_id: format!("{:016}", self.done),
            fingerprint: Digest::of(&self.done.to_be_bytes()),
            actor: "municipality/131229".to_owned(),
            holds: Vec::new(),
            now_ms: NOW_MS,
        };
        match store.change_item(asked, suspended).await.map_err(Failure::while_doing("change a card"))? {
            Changed::Done(_) => Ok(()),
            other => Err(Failure::new(format!("a change is {other:?}"))),
        }
    }
}

/// An active card is suspended, and a suspended one resumed.
fn suspended(found: &Found) -> Result<Decided, Infallible> {
    let active = found.item.as_ref().is_none_or(|item| item.state == "ACTIVE");
    let (state, event) = if active { ("SUSPENDED", "SUSPEND") } else { ("ACTIVE", "RESUME") };
    Ok(Decided {
        events: vec![(NOW_MS, format!("{{\"command\":\"{event}\"}}"))],
        state: state.to_owned(),
        since_ms: NOW_MS,
        office: "01".to_owned(),
        cards: 1,
        details: "{}".to_owned(),
        ..Decided::default()
    })
}
