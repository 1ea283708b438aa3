//! Promise: the contract of the store holds on every database that it can be opened on.
//!
//! `contract!(name, |case| { … })` makes a test of that name for each database. What only a file has is in
//! `opening`, `recovery`, `limits` and `crash`, and what only a server has in `server` and `tls`.

mod batches;
mod cards;
mod chunks;
mod copy;
mod crash;
mod ends;
mod filters;
mod items;
mod key_check;
mod layout;
mod lease;
mod limits;
mod mend;
mod migrate;
mod model;
mod opening;
mod orders;
mod pool;
mod recovery;
mod restore;
mod schema;
mod server;
mod silent;
mod slow;
mod template;
mod tls;
mod together;
mod turns;
mod work;

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::Arc,
};

use sqlx::SqlitePool;
use tempfile::TempDir;

use crate::domain::{
    batch::{BatchState, Counts},
    batch_id::BatchId,
    digest::Digest,
    disposition::{Disposition, DispositionKind},
    manifest::{BatchKind, Manifest, Policy},
    municipality::MunicipalityCode,
    totals::TotalsBuilder,
};

use super::{
    Acceptance, BatchRow, Claim, Error, NewBatch, NewChunk, NewOrder, Opened, Pool, PutChunk, Store,
    StoreOptions, Stored, WorkKey, throwaway::Throwaway,
};

macro_rules! contract {
    ($name:ident, |$case:ident| $body:block) => {
        mod $name {
            use super::*;
            async fn body($case: Case) $body
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn sqlite() {
                body(Case::sqlite().await).await;
            }
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn postgres() {
                body(Case::postgres().await).await;
            }
        }
    };
}
use contract;

/// Records in a chunk of the tests.
const CHUNK: u32 = 4;
/// Now, in the tests.
const NOW: i64 = 1_700_000_000_000;

/// A store of its own for one test.
struct Case {
    store: Store,
    options: StoreOptions,
    place: Place,
}

/// What a store lies in, for as long as the test runs.
enum Place {
    File { path: PathBuf, _dir: TempDir },
    Server(Throwaway),
}

impl Case {
    async fn sqlite() -> Self {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let path = dir.path().join("store.db");
        Self::opened(options(&path), Place::File { path, _dir: dir }).await
    }

    async fn postgres() -> Self {
        Self::postgres_with("").await
    }

    /// On a server with these lines in its configuration.
    async fn postgres_with(settings: &'static str) -> Self {
        let server = template::server(settings).await;
        let url = server.url(template::DATABASE);
        let options = StoreOptions { url, connections_max: 4, ..StoreOptions::default() };
        Self::opened(options, Place::Server(server)).await
    }

    async fn opened(options: StoreOptions, place: Place) -> Self {
        let store = Store::open(&options).await.expect("it opens");
        Self { store, options, place }
    }

    /// The file, of a case that has one.
    fn path(&self) -> &Path {
        match &self.place {
            Place::File { path, .. } => path,
            Place::Server(_) => panic!("a server has no file"),
        }
    }

    /// The connections of a case with a file: those that read, and the one that writes.
    fn file(&self) -> (&SqlitePool, &SqlitePool) {
        match &self.store.pool {
            Pool::Sqlite { read, write, .. } => (read, write),
            Pool::Postgres(_) => panic!("a server has no file"),
        }
    }

    /// Waits until what somebody left in the middle has come to its end.
    async fn calm(&self) {
        if let Pool::Postgres(server) = &self.store.pool {
            let all = (0..self.options.connections_max).map(|_| server.acquire());
            drop(futures_util::future::join_all(all).await);
        }
    }

    /// Keeps the connection that writes from everybody as long as what is returned lives; of a server's
    /// connections one.
    async fn held(&self) -> Box<dyn Send> {
        match &self.store.pool {
            Pool::Sqlite { write, .. } => Box::new(write.acquire().await.expect("it is free")),
            Pool::Postgres(server) => Box::new(server.acquire().await.expect("it is free")),
        }
    }

    /// Closes the database and opens it with other options.
    async fn reopened(self, change: impl FnOnce(&mut StoreOptions)) -> Self {
        let Self { store, mut options, place } = self;
        store.close().await;
        drop(store);
        change(&mut options);
        Self::opened(options, place).await
    }

    /// Runs SQL as each database has it, beside the store, on a connection that writes.
    async fn try_raw(&self, sqlite: &'static str, postgres: &'static str) -> Result<(), sqlx::Error> {
        match &self.store.pool {
            Pool::Sqlite { write, .. } => sqlx::raw_sql(sqlite).execute(write).await.map(|_| ()),
            Pool::Postgres(server) => {
                let mut connection = server.acquire().await.expect("it is there");
                sqlx::raw_sql(postgres).execute(&mut *connection).await.map(|_| ())
            }
        }
    }

    async fn raw(&self, sqlite: &'static str, postgres: &'static str) {
        self.try_raw(sqlite, postgres).await.expect("it runs");
    }

    /// Opens batch `n` of `records` records.
    async fn open(&self, n: u32, records: u64) -> BatchRow {
        match open(&self.store, ward(), n, records).await {
            Opened::Created(row) | Opened::Again(row) => row,
            other => panic!("{other:?}"),
        }
    }

    async fn row(&self, n: u32) -> BatchRow {
        self.store.batch(ward(), id(n)).await.expect("reads").expect("it is there")
    }

    async fn put(&self, row: &BatchRow, number: u32) -> PutChunk {
        put(&self.store, row, number).await.expect("the store answers")
    }

    /// Opens, fills and seals batch `n`.
    async fn sealed(&self, n: u32, records: u64) -> BatchRow {
        let row = self.open(n, records).await;
        for number in 0..row.chunk_count {
            assert_eq!(self.put(&row, number).await, PutChunk::Stored);
        }
        assert!(self.store.mark_sealed(ward(), id(n), NOW).await.expect("the store answers"));
        self.row(n).await
    }

    /// A sealed batch of one large chunk, each record of which has a district of its own.
    async fn large(&self, n: u32, records: u64) {
        let manifest = Manifest { chunk_records: 2048, ..manifest(ward(), n, records) };
        let Opened::Created(row) = open_as(&self.store, &manifest).await else { panic!("it is new") };
        let districts: BTreeMap<String, u64> = (0..records).map(|n| (format!("district {n}"), 1)).collect();
        let chunk = NewChunk {
            number: 0,
            root: root(0),
            records: u32::try_from(records).expect("a chunk"),
            sealed: Arc::new(b"sealed".to_vec()),
            district_records: districts.clone(),
            uploader_epoch: row.uploader_epoch,
            relay: "",
            now_ms: NOW,
        };
        let put = self.store.put_chunk(ward(), id(n), chunk).await.expect("the store answers");
        assert_eq!(put, PutChunk::Stored);
        assert_eq!(self.store.stored_per_district(ward(), id(n)).await.expect("reads"), districts);
        assert!(self.store.mark_sealed(ward(), id(n), NOW).await.expect("the store answers"));
    }

    async fn claim(&self, n: u32) -> Claim {
        let key = WorkKey { municipality: ward(), batch_id: id(n) };
        let claim = self.store.claim_work(&key, "worker", NOW, 1000).await.expect("the store answers");
        claim.expect("it is free")
    }

    async fn store(&self, claim: &Claim, number: u32, orders: Vec<NewOrder>) -> Stored {
        let stored = self.store.store_orders(claim, number..number + 1, orders, Vec::new(), NOW).await;
        stored.expect("the store answers")
    }

    /// Brings a batch with these orders to its acceptance, chunk by chunk.
    async fn accepted(&self, n: u32, orders: &[NewOrder]) -> BatchRow {
        self.sealed(n, orders.len() as u64).await;
        let claim = self.claim(n).await;
        self.work_off(&claim, orders).await;
        self.accept(&claim).await;
        self.row(n).await
    }

    async fn work_off(&self, claim: &Claim, orders: &[NewOrder]) {
        for (number, chunk) in (0..).zip(orders.chunks(CHUNK as usize)) {
            let stored = self.store(claim, number, chunk.to_vec()).await;
            assert!(matches!(stored, Stored::Done { .. }), "{stored:?}");
        }
    }

    async fn accept(&self, claim: &Claim) {
        assert!(self.store.start_reconciling(claim, NOW).await.expect("the store answers"));
        let rejected = self.counts(claim.key.batch_id).await.rejected;
        let state = if rejected > 0 { BatchState::AcceptedWithRejects } else { BatchState::Accepted };
        let note = format!("receipt of {}", claim.key.batch_id).into_bytes();
        let acceptance = Acceptance { state, receipt: &note, receipt_digest: Digest::of(&note), now_ms: NOW };
        assert!(self.store.accept(claim, &acceptance).await.expect("the store answers"));
    }

    async fn counts(&self, id: BatchId) -> Counts {
        self.store.batch(ward(), id).await.expect("reads").expect("it is there").counts
    }

    /// What became of every record of a batch's present attempt.
    async fn dispositions(&self, n: u32) -> Vec<Disposition> {
        let row = self.row(n).await;
        let page = self.store.dispositions_page(ward(), id(n), row.attempt, 0, 100_000, false).await;
        page.expect("reads")
    }
}

fn options(path: &std::path::Path) -> StoreOptions {
    StoreOptions { url: format!("sqlite:{}", path.display()), ..StoreOptions::default() }
}

fn ward() -> MunicipalityCode {
    "131229".parse().expect("Katsushika")
}

fn other_ward() -> MunicipalityCode {
    "011002".parse().expect("Sapporo")
}

fn id(n: u32) -> BatchId {
    format!("0192f0c1-2345-7abc-8def-{n:012x}").parse().expect("version 7")
}

fn manifest(municipality: MunicipalityCode, n: u32, records: u64) -> Manifest {
    let mut totals = TotalsBuilder::default().finish();
    totals.records = records;
    Manifest {
        municipality,
        batch_id: id(n),
        sequence: u64::from(n),
        previous_receipt: None,
        kind: BatchKind::CardOrders,
        policy: Policy::AllOrNothing,
        chunk_records: CHUNK,
        totals,
        seal_by_ms: NOW + 86_400_000,
    }
}

async fn open(store: &Store, municipality: MunicipalityCode, n: u32, records: u64) -> Opened {
    open_as(store, &manifest(municipality, n, records)).await
}

async fn open_as(store: &Store, manifest: &Manifest) -> Opened {
    let bytes = manifest.to_text().into_bytes();
    let roots: Vec<Digest> = (0..manifest.chunk_count()).map(root).collect();
    let new = NewBatch {
        open_max: 100,
        ahead_max: u64::MAX,
        manifest,
        manifest_bytes: &bytes,
        signature: b"signature",
        certificate_chain: &[b"own".to_vec(), b"authority".to_vec()],
        chunk_roots: &roots,
        wrapped_key: b"wrapped".to_vec(),
        now_ms: NOW,
    };
    store.open_batch(&new).await.expect("the store answers")
}

fn root(number: u32) -> Digest {
    Digest::of(&number.to_be_bytes())
}

/// Puts chunk `number` as whoever opened the batch as `row`.
async fn put(store: &Store, row: &BatchRow, number: u32) -> Result<PutChunk, Error> {
    put_root(store, row, number, root(number)).await
}

async fn put_root(store: &Store, row: &BatchRow, number: u32, root: Digest) -> Result<PutChunk, Error> {
    let left = row.record_count.saturating_sub(u64::from(number) * u64::from(CHUNK));
    let records = u32::try_from(left.min(u64::from(CHUNK))).expect("small");
    let district = if number.is_multiple_of(2) { "白鳥" } else { "亀有" };
    let districts = BTreeMap::from([(district.to_owned(), u64::from(records))]);
    let chunk = NewChunk {
        number,
        root,
        records,
        sealed: Arc::new(format!("sealed {number}").into_bytes()),
        district_records: districts,
        uploader_epoch: row.uploader_epoch,
        relay: "relay-1",
        now_ms: NOW + 1,
    };
    store.put_chunk(row.municipality, row.batch_id, chunk).await
}

/// An order whose content follows from its id.
fn order(index: u64, order_id: &str) -> NewOrder {
    order_of(index, order_id, order_id)
}

/// An order with other content than its id suggests.
fn order_of(index: u64, order_id: &str, content: &str) -> NewOrder {
    NewOrder {
        index,
        order_id: order_id.to_owned(),
        leaf: Digest::of(content.as_bytes()),
        kind: "NOTIFICATION_CARD".to_owned(),
        district: "白鳥".to_owned(),
        person_index: index.is_multiple_of(2).then(|| Digest::of(order_id.as_bytes()).0),
        protected: index == 1,
        accommodations: "BRAILLE".to_owned(),
        sealed: format!("sealed {content}").into_bytes(),
    }
}

/// Orders `prefix-0`, `prefix-1` and so on.
fn orders(prefix: &str, count: u64) -> Vec<NewOrder> {
    (0..count).map(|index| order(index, &format!("{prefix}-{index}"))).collect()
}

fn done(accepted: u64, duplicate: u64, rejected: u64) -> Stored {
    Stored::Done { accepted, duplicate, rejected }
}

/// Place, kind, code, and place of the other.
type Brief<'a> = (u64, DispositionKind, Option<&'a str>, Option<(BatchId, u64)>);

/// The dispositions, briefly.
fn brief(dispositions: &[Disposition]) -> Vec<Brief<'_>> {
    dispositions.iter().map(|d| (d.index, d.kind, d.code.as_deref(), d.duplicate_of)).collect()
}
