//! Everything that is stored is held against what was signed: what is damaged is named by table, batch and
//! place, with what puts it right, and never by a person's data.
//!
//! A batch's way through it: [`batch`] its row and manifest, [`chunks`] every chunk with the orders made of
//! it ([`entries`]), [`strays`] what belongs to none of them, [`receipt`] the proof that was given.

mod batch;
mod chunks;
mod entries;
mod receipt;
mod strays;

use std::collections::BTreeSet;

use crate::{
    domain::{batch_id::BatchId, municipality::MunicipalityCode, note::VerifierKey},
    net::tls::Roots,
    pool::policy::{Decision, Policy},
    store::{self, RawKey, Snapshot, Store},
    vault::Vault,
};

/// Batches whose keys are read together.
const PAGE: u32 = 500;

/// One thing that is not as it must be.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Finding {
    /// The table it stands in.
    pub table: &'static str,
    /// Whose.
    pub municipality: String,
    /// Of which batch.
    pub batch_id: String,
    /// In which chunk, if it is about one.
    pub chunk: Option<u32>,
    /// The record's index in the batch, if it is about one.
    pub record: Option<u64>,
    /// What is wrong.
    pub what: String,
    /// What puts it right.
    pub repair: String,
    /// Whether that was done.
    pub repaired: bool,
}

/// What was looked at and found.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize)]
pub struct Audited {
    /// Batches.
    pub batches: u64,
    /// Chunks that were read.
    pub chunks: u64,
    /// Records that were compared.
    pub records: u64,
    /// Receipts that were read.
    pub receipts: u64,
    /// Those of them that none of the keys given opens.
    pub unopened: u64,
    /// Findings.
    pub findings: u64,
    /// Those of them that were put right.
    pub repaired: u64,
}

/// What is told on the way.
#[derive(Debug)]
pub enum Told<'a> {
    /// So many chunks were looked at, of so many.
    Progress {
        /// Chunks looked at.
        chunks: u64,
        /// Chunks there are.
        of: u64,
    },
    /// Something is damaged.
    Found(&'a Finding),
}

/// Holds what is stored against what was signed.
pub struct Auditor {
    /// The database.
    pub store: Store,
    /// Opens what is sealed: as [`super::matched`] gives it.
    pub vault: Vault,
    /// What the senders' certificates must lead to.
    pub roots: Roots,
    /// Keys that receipts may be signed with, beside the vault's own.
    pub receipt_keys: Vec<VerifierKey>,
    /// Only this municipality's batches.
    pub municipality: Option<MunicipalityCode>,
    /// Only this batch.
    pub batch: Option<BatchId>,
    /// Whether what can be put right in accepted batches is.
    pub repair: bool,
    /// Now.
    pub now_ms: i64,
}

/// What one look at the database carries along.
struct Look<'a> {
    auditor: &'a Auditor,
    at: Snapshot,
    audited: Audited,
    /// The tables of the present batch in which something was found.
    named: BTreeSet<&'static str>,
    chunks_total: u64,
    tell: &'a mut (dyn FnMut(Told<'_>) + Send),
}

impl Auditor {
    /// Looks at everything, one chunk in memory at a time.
    ///
    /// # Errors
    /// [`store::Error`] if the database cannot be read at all; damage is no error.
    pub async fn run(&self, tell: &mut (dyn FnMut(Told<'_>) + Send)) -> Result<Audited, store::Error> {
        let mut at = self.store.snapshot().await?;
        let chunks_total = at.announced().await?;
        let (audited, named) = (Audited::default(), BTreeSet::new());
        let mut look = Look { auditor: self, at, audited, named, chunks_total, tell };
        if self.batch.is_none() && self.municipality.is_none() {
            look.file().await;
            look.lost().await;
            look.pool().await;
        }
        let mut after: Option<RawKey> = None;
        loop {
            let page = look.at.batches(after.as_ref(), PAGE).await?;
            let Some(last) = page.last().cloned() else { break };
            for key in page {
                // Of this moment, so that what an issuer does meanwhile is seen whole or not at all.
                drop(look.at); // it holds a connection
                look.at = self.store.snapshot().await?;
                look.key(&key).await?;
            }
            after = Some(last);
        }
        Ok(look.audited)
    }
}

impl Look<'_> {
    /// Tells of what SQLite finds in the file itself: rows that no index leads to, or one that leads nowhere.
    async fn file(&mut self) {
        let found = self.at.integrity().await;
        let lines = found.unwrap_or_else(|error| vec![format!("it cannot be checked: {error}")]);
        let key = RawKey { code: b"-".to_vec(), id: Vec::new() };
        for line in lines {
            self.found_at("file", &key, &format!("integrity_check: {line}"), WHOLE_FILE);
        }
    }

    /// Tells of rows that no batch owns.
    async fn lost(&mut self) {
        match self.at.lost().await {
            Ok(lost) => {
                for (table, key) in lost {
                    let repair = "restore the batch's row, or this one, from a backup";
                    self.found_at(table, &key, "belongs to no batch", repair);
                }
            }
            Err(error) => {
                let key = RawKey { code: b"-".to_vec(), id: Vec::new() };
                self.found_at("batch", &key, &format!("cannot be read: {error}"), FILE_REPAIR);
            }
        }
    }

    /// Tells of rows of the relay pool that cannot be read.
    async fn pool(&mut self) {
        let is_state = |text: &str| serde_json::from_str::<Policy>(text).is_ok();
        let is_record = |text: &str| serde_json::from_str::<Decision>(text).is_ok();
        let key = RawKey { code: b"-".to_vec(), id: Vec::new() };
        match self.at.damaged_pool(is_state, is_record).await {
            Ok(damaged) => {
                for (table, number) in damaged {
                    let (what, repair) = match table {
                        "pool_state" => ("the state of the relay pool cannot be read".to_owned(), POOL_STATE),
                        _ => (format!("decision {number} of the relay pool cannot be read"), FILE_REPAIR),
                    };
                    self.found_at(table, &key, &what, repair);
                }
            }
            Err(error) => self.found_at("pool_state", &key, &format!("cannot be read: {error}"), FILE_REPAIR),
        }
    }

    async fn key(&mut self, key: &RawKey) -> Result<(), store::Error> {
        let code = str::from_utf8(&key.code).ok();
        let code: Option<MunicipalityCode> = code.and_then(|code| code.parse().ok());
        let id = uuid::Uuid::from_slice(&key.id).ok().and_then(|id| BatchId::new(id).ok());
        let (Some(municipality), Some(batch)) = (code, id) else {
            if self.auditor.municipality.is_none() && self.auditor.batch.is_none() {
                self.found_at("batch", key, "municipality_code or batch_id is none", FILE_REPAIR);
            }
            return Ok(());
        };
        let wanted = self.auditor.municipality.is_none_or(|only| only == municipality)
            && self.auditor.batch.is_none_or(|only| only == batch);
        if !wanted {
            return Ok(());
        }
        self.audited.batches += 1;
        match self.at.batch(municipality, batch).await {
            Ok(Some(row)) => self.batch(row).await,
            Ok(None) => Ok(()),
            Err(error) if error.is_transient() => Err(error),
            Err(error) => {
                self.found_at("batch", key, &format!("its row is unreadable: {error}"), FILE_REPAIR);
                Ok(())
            }
        }
    }

    fn found_at(&mut self, table: &'static str, key: &RawKey, what: &str, repair: &str) {
        self.told(&Finding {
            table,
            municipality: key
                .code
                .iter()
                .filter(|byte| byte.is_ascii_alphanumeric())
                .take(6)
                .map(|byte| char::from(*byte))
                .collect(),
            batch_id: uuid::Uuid::from_slice(&key.id)
                .map_or_else(|_| hex::encode(&key.id), |id| id.to_string()),
            chunk: None,
            record: None,
            what: what.to_owned(),
            repair: repair.to_owned(),
            repaired: false,
        });
    }

    fn told(&mut self, finding: &Finding) {
        self.named.insert(finding.table);
        self.audited.findings += 1;
        self.audited.repaired += u64::from(finding.repaired);
        (self.tell)(Told::Found(finding));
    }
}

/// What puts a file right whose tables and indexes say different things.
const WHOLE_FILE: &str = "look at the disk, and restore the last backup that is whole; do not REINDEX or \
                          dump the file, which would take altered rows for right ones";
/// What puts the pool's state right: relays register by themselves, and only orders of operators are lost.
const POOL_STATE: &str = "restore the row from a backup; or stop the issuer, `DELETE FROM pool_state`, and \
                          start it: relays register anew. Drain again what `todoke pool decisions` says was \
                          drained or quarantined";
/// What puts a row right of which there is no second copy.
const FILE_REPAIR: &str =
    "restore the row from a backup; `PRAGMA integrity_check` tells whether the file is whole";
