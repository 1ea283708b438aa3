//! A database with so many card orders of accepted batches, in the tables that a look-up reads. The database
//! makes them itself: there are no chunks of them, and what is in place of a sealed record opens with no key.

use std::path::Path;

use sqlx::{
    AssertSqlSafe, Connection as _, SqliteConnection, raw_sql,
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous},
};
use todoke::{domain::batch_id::BatchId, store::Store};

use crate::{
    batches::{Batch, NOW_MS, municipality},
    failure::Failure,
    server::{self, Server},
};

/// Orders of a batch, if there are as many.
const BATCH_ORDERS: u32 = 5_000;
/// Municipalities that the batches are of in turn, whatever the size: so each has more with it.
const MUNICIPALITIES: usize = 20;
/// Connections of a store at a server: the default.
const CONNECTIONS: u32 = 16;

const ACCEPT: &str = "
    UPDATE batch SET state = 'ACCEPTED', missing = 0, accepted = record_count, chunks_stored = chunk_count,
        chunks_worked = chunk_count, chunks_indexed = chunk_count, finished_ms = opened_ms";

/// A store with orders in it.
pub(crate) struct Filled {
    pub(crate) store: Store,
    batches: Vec<Batch>,
    /// How many orders each batch has.
    each: u64,
}

/// One of the orders.
pub(crate) struct Order<'a> {
    pub(crate) batch: &'a Batch,
    pub(crate) place: u64,
    number: u64,
}

impl Order<'_> {
    pub(crate) fn id(&self) -> String {
        format!("K-{:09}", self.number)
    }

    /// The blind index of its person.
    pub(crate) fn person(&self) -> [u8; 32] {
        let mut index = [b'x'; 32];
        index[..8].copy_from_slice(format!("{:08}", self.number).as_bytes());
        index
    }
}

impl Filled {
    /// So many orders in a new file of SQLite in `folder`.
    pub(crate) async fn file(folder: &Path, rows: u32) -> Result<Self, Failure> {
        let file = folder.join(format!("{rows}.db"));
        let url = format!("sqlite:{}", file.display());
        let (batches, each) = batches(rows)?;
        opened(&url, &batches).await?;
        let options = SqliteConnectOptions::new().filename(&file).journal_mode(SqliteJournalMode::Wal);
        let mut database =
            SqliteConnection::connect_with(&options.synchronous(SqliteSynchronous::Off)).await?;
        raw_sql(ACCEPT).execute(&mut database).await?;
        for (batch, first) in batches.iter().zip((0..).step_by(each as usize)) {
            let text = AssertSqlSafe(for_sqlite(batch, first, each)?);
            raw_sql(text).execute(&mut database).await?;
        }
        raw_sql("PRAGMA wal_checkpoint(TRUNCATE)").execute(&mut database).await?;
        database.close().await?;
        Ok(Self { store: server::store(&url, CONNECTIONS).await?, batches, each })
    }

    /// The same in a new database of a server.
    pub(crate) async fn database(server: &mut Server, rows: u32) -> Result<Self, Failure> {
        let name = server.database().await?;
        let url = server.url(&name);
        let (batches, each) = batches(rows)?;
        opened(&url, &batches).await?;
        let mut database = server.connect(&name).await?;
        raw_sql("SET synchronous_commit = off").execute(&mut database).await?;
        raw_sql(ACCEPT).execute(&mut database).await?;
        for (batch, first) in batches.iter().zip((0..).step_by(each as usize)) {
            let text = AssertSqlSafe(for_postgres(batch, first, each)?);
            raw_sql(text).execute(&mut database).await?;
        }
        raw_sql("VACUUM (ANALYZE)").execute(&mut database).await?; // as autovacuum does in time
        database.close().await?;
        server.checkpoint().await?;
        Ok(Self { store: server::store(&url, CONNECTIONS).await?, batches, each })
    }

    /// An order that this many others of its batch follow, if its batch has as many.
    pub(crate) fn any(&self, random: u64, followed_by: u64) -> Order<'_> {
        let count = self.batches.len() as u64;
        let (batch, place) = (random % count, random / count % self.each.saturating_sub(followed_by).max(1));
        Order { batch: &self.batches[batch as usize], place, number: batch * self.each + place }
    }

    /// How many orders follow in its batch.
    pub(crate) fn after(&self, order: &Order<'_>) -> u64 {
        self.each - 1 - order.place
    }
}

/// The batches that so many orders are spread over, and how many each has.
fn batches(rows: u32) -> Result<(Vec<Batch>, u64), Failure> {
    let count = rows.div_ceil(BATCH_ORDERS);
    let each = u64::from(rows / count);
    let one = |number: usize| {
        Ok(Batch {
            municipality: municipality(number % MUNICIPALITIES)?,
            sequence: (number / MUNICIPALITIES) as u64 + 1,
            records: each,
            chunk_records: BATCH_ORDERS,
        })
    };
    Ok(((0..count as usize).map(one).collect::<Result<_, Failure>>()?, each))
}

async fn opened(url: &str, batches: &[Batch]) -> Result<(), Failure> {
    let store = server::store(url, CONNECTIONS).await?;
    for batch in batches {
        batch.open(&store).await?;
    }
    store.close().await;
    Ok(())
}

fn for_postgres(batch: &Batch, first: u64, each: u64) -> Result<String, Failure> {
    let (code, id, sequence) = (batch.municipality, batch.id()?, batch.sequence);
    let numbers = format!("generate_series({first}::bigint, {first} + {each} - 1) AS n");
    let text = |digits: usize| format!("lpad(n::text, {digits}, '0')");
    let (order, person, leaf) = (text(9), text(8), text(32));
    Ok(format!(
        "INSERT INTO order_key (municipality_code, order_id, batch_id, attempt, record_index)
            SELECT '{code}', 'K-' || {order}, '{id}', 1, n - {first} FROM {numbers};
        INSERT INTO card_person (municipality_code, person_key, sequence, attempt, record_index)
            SELECT '{code}', convert_to({person}, 'UTF8'), {sequence}, 1, n - {first} FROM {numbers};
        INSERT INTO card_order (municipality_code, batch_id, attempt, record_index, order_id, leaf, kind,
                district, person_index, protected, accommodations, ordered_ms, sealed)
            SELECT '{code}', '{id}', 1, n - {first}, 'K-' || {order}, convert_to({leaf}, 'UTF8'),
                'NOTIFICATION_CARD', '白鳥', convert_to(rpad({person}, 32, 'x'), 'UTF8'), false, '', {NOW_MS},
                decode(repeat(md5(n::text), 16), 'hex')
            FROM {numbers}"
    ))
}

fn for_sqlite(batch: &Batch, first: u64, each: u64) -> Result<String, Failure> {
    let (code, id, sequence) = (batch.municipality, hex(batch.id()?), batch.sequence);
    let numbers = format!(
        "WITH RECURSIVE numbers (n) AS
            (SELECT {first} UNION ALL SELECT n + 1 FROM numbers WHERE n + 1 < {first} + {each})"
    );
    let person = "printf('%08d', n)";
    Ok(format!(
        "BEGIN;
        {numbers} INSERT INTO order_key (municipality_code, order_id, batch_id, attempt, record_index)
            SELECT '{code}', printf('K-%09d', n), {id}, 1, n - {first} FROM numbers;
        {numbers} INSERT INTO card_person (municipality_code, person_key, sequence, attempt, record_index)
            SELECT '{code}', CAST({person} AS BLOB), {sequence}, 1, n - {first} FROM numbers;
        {numbers} INSERT INTO card_order (municipality_code, batch_id, attempt, record_index, order_id, leaf,
                kind, district, person_index, protected, accommodations, ordered_ms, sealed)
            SELECT '{code}', {id}, 1, n - {first}, printf('K-%09d', n), CAST(printf('%032d', n) AS BLOB),
                'NOTIFICATION_CARD', '白鳥', CAST({person} || 'xxxxxxxxxxxxxxxxxxxxxxxx' AS BLOB), 0, '',
                {NOW_MS}, randomblob(256)
            FROM numbers;
        COMMIT"
    ))
}

/// A batch id as SQLite writes one.
fn hex(id: BatchId) -> String {
    format!("X'{}'", id.uuid().as_simple())
}
