//! A batch's own row and its manifest say the same, and the sender's signature is under it.

use std::sync::Arc;

use crate::{
    domain::{batch::BatchState, digest::Digest, manifest::Manifest, merkle},
    net::tls,
    store::{self, BatchRow, Damage, ManifestRow},
    vault::Vault,
};

use super::{
    FILE_REPAIR, Finding, Look,
    chunks::{BY_RESUME, Books, GONE},
    receipt::Proof,
};
use crate::issuance::recount::by_district;

const BY_SENDER: &str = "its sender puts it right by opening the batch again: `todoke resume FILE`";
const BY_BACKUP: &str = "restore the row from a backup";
/// What puts the row right when a whole receipt says otherwise.
pub(super) const BY_BATCH: &str = "restore the row of `batch` from a backup";

/// A batch while it is looked at.
pub(super) struct Subject {
    pub(super) row: BatchRow,
    pub(super) roots: Vec<Digest>,
    pub(super) vault: Vault,
    pub(super) key: Arc<crate::vault::DataKey>,
    pub(super) accepted: bool,
    /// The receipt, if it is whole: then what differs from it is damaged.
    pub(super) proof: Option<Proof>,
    /// Whether the receipt proves which records are no orders: only then is every other record one.
    pub(super) proved: bool,
}

/// The finding about a batch's row.
pub(super) fn finding(row: &BatchRow, table: &'static str, what: impl Into<String>, repair: &str) -> Finding {
    Finding {
        table,
        municipality: row.municipality.to_string(),
        batch_id: row.batch_id.to_string(),
        chunk: None,
        record: None,
        what: what.into(),
        repair: repair.to_owned(),
        repaired: false,
    }
}

impl Look<'_> {
    pub(super) async fn batch(&mut self, row: BatchRow) -> Result<(), store::Error> {
        self.named.clear();
        if row.counts.sum() != Some(row.record_count) {
            self.told(&finding(&row, "batch", "its counts do not add up to its records", FILE_REPAIR));
        }
        let Some((manifest, roots)) = self.manifest(&row).await? else { return Ok(()) };
        let vault = self.auditor.vault.clone();
        let key = match vault.unwrap(row.municipality, row.batch_id, &row.wrapped_key) {
            Ok(key) => Arc::new(key),
            Err(error) => {
                self.told(&finding(&row, "batch", format!("its data key does not open: {error}"), BY_BACKUP));
                return Ok(());
            }
        };
        let accepted = matches!(row.state, BatchState::Accepted | BatchState::AcceptedWithRejects);
        let mut subject = Subject { row, roots, vault, key, accepted, proof: None, proved: false };
        subject.proof = self.proof(&subject, &manifest).await?;
        if let Some(proof) = subject.proof.as_ref().filter(|proof| proof.is_of_another_attempt(&subject.row))
        {
            let what = proof.differs_from_batch(&subject.row).join(", ");
            let what = format!("it is not what its receipt says, which is whole: {what}");
            self.told(&finding(&subject.row, "batch", what, BY_BATCH));
            return Ok(());
        }
        subject.proved = accepted && self.proves(&subject, &manifest).await?;
        let mut books = Books::default();
        for number in 0..subject.row.chunk_count {
            books = self.chunk(&subject, number, books).await?;
        }
        self.strays(&subject).await?;
        self.close(&subject, &manifest, books).await
    }

    /// Returns the manifest and its chunk roots, if both can be believed.
    async fn manifest(&mut self, row: &BatchRow) -> Result<Option<(Manifest, Vec<Digest>)>, store::Error> {
        let stored = match self.at.manifest(row).await {
            Ok(Some(stored)) => stored,
            Ok(None) => {
                self.told(&finding(row, "manifest", "it is gone", BY_SENDER));
                return Ok(None);
            }
            Err(error) if error.is_transient() => return Err(error),
            Err(error) => {
                self.told(&finding(row, "manifest", error.to_string(), BY_SENDER));
                return Ok(None);
            }
        };
        let signed = self.signature(row, &stored);
        if Digest::of(&stored.bytes) != row.manifest_digest {
            // The signature tells which of the two was changed.
            if signed {
                self.told(&finding(row, "batch", "manifest_digest is not the manifest's", BY_BACKUP));
            } else {
                self.told(&finding(row, "manifest", "its bytes are not those that were signed", BY_SENDER));
            }
            return Ok(None);
        }
        let Ok(manifest) = Manifest::parse(&stored.bytes) else {
            self.told(&finding(row, "manifest", "its text is unreadable", BY_SENDER));
            return Ok(None);
        };
        for (column, same) in [
            ("municipality_code", manifest.municipality == row.municipality),
            ("batch_id", manifest.batch_id == row.batch_id),
            ("sequence", manifest.sequence == row.sequence),
            ("record_count", manifest.totals.records == row.record_count),
            ("chunk_records", manifest.chunk_records == row.chunk_records),
            ("chunk_count", manifest.chunk_count() == row.chunk_count),
            ("seal_by_ms", manifest.seal_by_ms == row.seal_by_ms),
        ] {
            if !same {
                self.told(&finding(row, "batch", format!("{column} is not the manifest's"), BY_BACKUP));
                return Ok(None);
            }
        }
        let folds = merkle::root(&stored.chunk_roots) == manifest.totals.merkle_root
            && stored.chunk_roots.len() == manifest.chunk_count() as usize;
        if !folds {
            let what = "chunk_roots do not fold to the manifest's merkle-root";
            self.told(&finding(row, "manifest", what, BY_SENDER));
            return Ok(None);
        }
        Ok(Some((manifest, stored.chunk_roots)))
    }

    /// Whether the manifest's bytes are signed by the first certificate; tells what is wrong with either.
    fn signature(&mut self, row: &BatchRow, stored: &ManifestRow) -> bool {
        let own = stored.certificate_chain.first();
        let signed =
            own.is_some_and(|own| tls::verify_signature(own, &stored.bytes, &stored.signature).is_ok());
        let whole = Digest::of(&stored.bytes) == row.manifest_digest;
        if !signed && whole {
            let what = "signature is none of its bytes by the sender's certificate";
            self.told(&finding(row, "manifest", what, BY_SENDER));
        }
        if !signed {
            return false;
        }
        match self.auditor.roots.verify_chain(&stored.certificate_chain, row.opened_ms) {
            Ok(signer) if signer.municipality() == Some(row.municipality) => {}
            Ok(signer) => {
                let what = format!("certificate_chain is of {signer}");
                self.told(&finding(row, "manifest", what, BY_BACKUP));
            }
            Err(error) => {
                let what =
                    format!("certificate_chain was not to be believed when the batch was opened: {error}");
                let repair = "if the CA was renewed since, give the former one with --ca; else restore the \
                              row from a backup";
                self.told(&finding(row, "manifest", what, repair));
            }
        }
        true
    }

    /// Compares what the chunks came to with what the batch says of itself.
    async fn close(&mut self, on: &Subject, manifest: &Manifest, books: Books) -> Result<(), store::Error> {
        let row = &on.row;
        self.lacking(on, &books);
        if books.unread.is_empty() {
            self.counted(on, &books).await;
        }
        let (mut books, totals) = books.finish();
        let seen = books.damaged.is_empty() && books.hidden.is_empty();
        let whole = seen && books.gone.is_empty();
        if seen {
            self.districts(row, &by_district(&totals)).await?;
        }
        if whole {
            let differences = manifest.totals.differences(&totals);
            if let Some(first) = differences.first() {
                let what = format!("{}: declared {}, stored {}", first.which, first.declared, first.computed);
                self.told(&finding(row, "chunk", what, FILE_REPAIR));
            }
        }
        let mut chunks = books.damaged.clone();
        chunks.extend(&books.gone);
        let known = books.damaged.is_empty() && chunks.len() == on.lacking();
        let mut aside = false;
        if self.auditor.repair && on.accepted && !known && books.hidden.is_empty() {
            let damage =
                Damage { chunks: &chunks, districts: &by_district(&totals), now_ms: self.auditor.now_ms };
            aside = self.auditor.store.quarantine_accepted(row, &damage).await?;
        }
        for found in std::mem::take(&mut books.untold) {
            self.told(&if aside { now_aside(found) } else { found });
        }
        self.receipt(on, manifest, &books, whole.then_some(totals)).await
    }

    /// Compares what the entries came to with what the batch counts.
    async fn counted(&mut self, on: &Subject, books: &Books) {
        let row = &on.row;
        let (counts, met) = (books.counts, books.entries);
        let said = (row.counts.accepted, row.counts.rejected, row.counts.duplicate);
        if let Some(proof) = on.proof.as_ref().filter(|_| on.accepted) {
            self.entered(on, proof, counts.accepted);
        } else if said != (counts.accepted, counts.rejected, counts.duplicate) {
            let what = format!(
                "it counts {} accepted, {} rejected, {} duplicate; the rows are {}, {}, {}",
                said.0, said.1, said.2, counts.accepted, counts.rejected, counts.duplicate
            );
            // If each record has its row, nothing is to be made again: it is the count that was altered.
            let all = met == row.record_count;
            let repair = match (on.accepted, on.proved) {
                (true, true) if all => BY_BACKUP,
                (true, false) => FILE_REPAIR,
                _ => on.repair_of_rows(),
            };
            self.told(&finding(row, "batch", what, repair));
        }
        match self.at.count_entries(row).await {
            Ok(entries) if entries == met => {}
            Ok(entries) => {
                let what = format!("it has {entries} entries, and {met} at the places of its records");
                self.told(&finding(row, "card_order", what, FILE_REPAIR));
            }
            Err(error) => self.told(&finding(row, "card_order", error.to_string(), FILE_REPAIR)),
        }
    }

    /// Compares how many orders there are with what a whole receipt says, unless it was told which are wrong.
    fn entered(&mut self, on: &Subject, proof: &Proof, orders: u64) {
        let accepted = proof.receipt.counts.accepted;
        if orders != accepted && self.named.is_disjoint(&["card_order", "disposition"].into()) {
            let what = format!("its receipt says {accepted} accepted, and there are {orders} orders");
            let repair = if on.proved { on.repair_of_rows() } else { FILE_REPAIR };
            self.told(&finding(&on.row, "card_order", what, repair));
        }
    }

    /// Tells of chunks that are gone although the batch counts them; those of an accepted one were told.
    fn lacking(&mut self, on: &Subject, books: &Books) {
        let row = &on.row;
        let expected = match row.state {
            BatchState::Announced | BatchState::Receiving => row.counts.missing,
            BatchState::Discrepant => row.counts.quarantined,
            BatchState::Aborted => row.counts.missing + row.counts.quarantined,
            _ => 0,
        };
        if on.accepted || row.records_in(&books.gone) == expected {
            return;
        }
        for number in &books.gone {
            let found = finding(row, "chunk", "it is gone, and counted as stored", on.repair_of_rows());
            self.told(&Finding { chunk: Some(*number), ..found });
        }
    }

    async fn districts(
        &mut self,
        row: &BatchRow,
        stored: &std::collections::BTreeMap<String, u64>,
    ) -> Result<(), store::Error> {
        let said = match self.at.districts(row).await {
            Ok(said) => said,
            Err(error) if error.is_transient() => return Err(error),
            Err(error) => {
                self.told(&finding(row, "batch_district", error.to_string(), FILE_REPAIR));
                return Ok(());
            }
        };
        let names = said.keys().chain(stored.keys()).collect::<std::collections::BTreeSet<_>>();
        for name in names {
            let (said, stored) = (said.get(name).unwrap_or(&0), stored.get(name).unwrap_or(&0));
            if said != stored {
                let what = format!("{name}: it says {said} records, the chunks hold {stored}");
                self.told(&finding(row, "batch_district", what, FILE_REPAIR));
            }
        }
        Ok(())
    }
}

/// The finding about a chunk that this run has set aside.
fn now_aside(found: Finding) -> Finding {
    let what = match found.what.as_str() {
        GONE => GONE.to_owned(),
        what => format!("{what}; it is set aside now"),
    };
    Finding { what, repair: BY_RESUME.to_owned(), ..found }
}

impl Subject {
    /// The places of a chunk's records.
    pub(super) fn places(&self, number: u32) -> std::ops::Range<u64> {
        let first = u64::from(number) * u64::from(self.row.chunk_records);
        first..first + self.row.records_in(&[number])
    }

    /// How many chunks the batch knows to be missing.
    pub(super) fn lacking(&self) -> usize {
        self.row.chunk_count.saturating_sub(self.row.chunks_stored) as usize
    }

    /// What puts a row right that the batch's state leaves to others.
    pub(super) fn repair_of_rows(&self) -> &'static str {
        match self.row.state {
            BatchState::Announced | BatchState::Receiving => {
                "the seal finds it and has the sender send it again: `todoke resume FILE`"
            }
            BatchState::Sealed | BatchState::Importing | BatchState::Reconciling | BatchState::Repairing => {
                "the worker finds it and makes the batch DISCREPANT: then `todoke repair`, `todoke resume`"
            }
            BatchState::Discrepant => "`todoke repair` works the batch off again from its chunks",
            BatchState::Accepted | BatchState::AcceptedWithRejects => {
                "stop the issuer and run `todoke report verify-store --repair`"
            }
            BatchState::Aborted => "none is needed: the batch was given up",
        }
    }
}
