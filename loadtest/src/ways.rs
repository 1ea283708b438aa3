//! Ways to make a small change durable: by the real store, and in the shape that the life of a card will
//! have, one change a transaction or many.

use std::sync::Arc;

use sqlx::{Acquire as _, PgConnection, PgPool};
use todoke::{
    domain::digest::Digest,
    store::{NewChunk, PutChunk, Store},
};
use tokio::{
    sync::{mpsc, oneshot},
    task::JoinSet,
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
/// Changes of a group.
const GROUP_MAX: usize = 64;
/// Bytes of a sealed record.
const RECORD_BYTES: usize = 250;

/// Tables in the shape of a change of a card: what was asked, under its own id, and how the card stands.
pub(crate) const TABLES: &str = "
    CREATE TABLE loadtest_request (municipality_code TEXT COLLATE \"C\", request_id TEXT COLLATE \"C\",
        card TEXT COLLATE \"C\" NOT NULL, at_ms BIGINT NOT NULL, PRIMARY KEY (municipality_code, request_id));
    CREATE TABLE loadtest_card (municipality_code TEXT COLLATE \"C\", card TEXT COLLATE \"C\",
        state TEXT COLLATE \"C\" NOT NULL, at_ms BIGINT NOT NULL, PRIMARY KEY (municipality_code, card))";
const REQUEST: &str = "
    INSERT INTO loadtest_request (municipality_code, request_id, card, at_ms)
    SELECT v.code, v.request, v.card, $4
    FROM UNNEST($1::text[], $2::text[], $3::text[]) AS v (code, request, card) ON CONFLICT DO NOTHING";
const CARD: &str = "
    INSERT INTO loadtest_card (municipality_code, card, state, at_ms)
    SELECT v.code, v.card, 'ACTIVE', $3 FROM UNNEST($1::text[], $2::text[]) AS v (code, card)
    ON CONFLICT (municipality_code, card) DO UPDATE SET state = excluded.state, at_ms = excluded.at_ms";

/// One way; each caller uses one of its stores.
#[derive(Clone)]
pub(crate) enum Way {
    /// A chunk of so many records.
    Chunk { stores: Arc<Vec<Store>>, records: u32 },
    /// A batch is opened.
    Batch { stores: Arc<Vec<Store>> },
    /// A card is changed in a transaction of its own.
    Card(PgPool),
    /// A card is changed together with those of others that wait.
    Cards(mpsc::Sender<Asked>),
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

/// Municipality, request and card.
type Change = [String; 3];

/// A change with somebody who waits for it.
pub(crate) struct Asked {
    change: Change,
    outcome: oneshot::Sender<Result<(), String>>,
}

impl Asked {
    fn is_of_the_card_of(&self, other: &Asked) -> bool {
        let [code, _, card] = &self.change;
        *code == other.change[0] && *card == other.change[2]
    }
}

impl Work for Way {
    type Caller = Caller;

    async fn once(&self, caller: &mut Caller) -> Result<(), Failure> {
        match self {
            Way::Chunk { stores, records } => {
                caller.chunk(&stores[caller.number % stores.len()], *records).await
            }
            Way::Batch { stores } => caller.batch(&stores[caller.number % stores.len()]).await,
            Way::Card(pool) => {
                let mut connection = pool.acquire().await?;
                changed(&mut connection, &[caller.change()?]).await
            }
            Way::Cards(queue) => {
                let (outcome, told) = oneshot::channel();
                let asked = Asked { change: caller.change()?, outcome };
                queue.send(asked).await.map_err(Failure::while_doing("whoever commits"))?;
                told.await.map_err(Failure::while_doing("whoever commits"))?.map_err(Failure::new)
            }
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

    fn change(&self) -> Result<Change, Failure> {
        let code = municipality(self.first)?.to_string();
        Ok([code, format!("{:016}", self.done), format!("K-{:09}", self.done % CARDS)])
    }
}

/// Makes changes of different cards durable in one transaction.
async fn changed(connection: &mut PgConnection, changes: &[Change]) -> Result<(), Failure> {
    let column = |of: usize| changes.iter().map(|change| change[of].as_str()).collect::<Vec<&str>>();
    let mut transaction = connection.begin().await?;
    let query = sqlx::query(REQUEST).bind(column(0)).bind(column(1)).bind(column(2));
    query.bind(NOW_MS).execute(&mut *transaction).await?;
    let query = sqlx::query(CARD).bind(column(0)).bind(column(2));
    query.bind(NOW_MS).execute(&mut *transaction).await?;
    Ok(transaction.commit().await?)
}

/// Commits what waits, as often as something does; a card that is in the group already is for the next one.
pub(crate) fn group(tasks: &mut JoinSet<()>, pool: PgPool) -> mpsc::Sender<Asked> {
    let (send, mut queue) = mpsc::channel(GROUP_MAX);
    tasks.spawn(async move {
        let mut next = None;
        loop {
            let first = match next.take() {
                Some(first) => Some(first),
                None => queue.recv().await,
            };
            let Some(first) = first else { return };
            let mut group: Vec<Asked> = vec![first];
            while group.len() < GROUP_MAX
                && let Ok(asked) = queue.try_recv()
            {
                if group.iter().any(|other| other.is_of_the_card_of(&asked)) {
                    next = Some(asked);
                    break;
                }
                group.push(asked);
            }
            let changes: Vec<Change> = group.iter().map(|asked| asked.change.clone()).collect();
            let outcome = match pool.acquire().await {
                Ok(mut connection) => changed(&mut connection, &changes).await,
                Err(error) => Err(error.into()),
            };
            let outcome = outcome.map_err(|failure| failure.to_string());
            group.into_iter().for_each(|asked| drop(asked.outcome.send(outcome.clone())));
        }
    });
    send
}
