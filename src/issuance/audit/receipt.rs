//! An accepted batch has the receipt that its sender was given, byte for byte, and no other batch has one.

use crate::{
    domain::{batch::Counts, digest::Digest, manifest::Manifest, note, receipt::Receipt, totals::Totals},
    store::{self, BatchRow, RawReceipt, ReceiptBefore},
};

use super::{
    Finding, Look,
    batch::{BY_BATCH, Subject, finding},
    chunks::{BY_LIST, Books},
};

/// What puts a receipt right that is signed by a key which nobody gave.
const BY_KEY: &str = "nothing of it is changed: name the receipt.pub that the issuer had then with \
                      --receipt-pub, or its receipt.key with --receipt-key; if there never was another key, \
                      restore the row from a backup; its sender has the same bytes beside its file";

/// A receipt that is whole.
pub(super) struct Proof {
    pub(super) receipt: Receipt,
    /// Whether it was given before a restore: then neither its attempt nor its time need be the batch's.
    before: bool,
}

/// What is there of the receipt that a batch's sender was given.
struct Given {
    stored: Option<RawReceipt>,
    /// Its copy, if the batch was lost and came again.
    before: Option<ReceiptBefore>,
}

impl Look<'_> {
    /// Holds a receipt against its batch; `totals` are those of the chunks, if all are whole.
    pub(super) async fn receipt(
        &mut self,
        on: &Subject,
        manifest: &Manifest,
        books: &Books,
        totals: Option<Totals>,
    ) -> Result<(), store::Error> {
        let row = &on.row;
        let given = match self.given(row).await {
            Ok(given) => given,
            Err(error) if error.is_transient() => return Err(error),
            Err(error) => {
                self.told(&finding(row, "receipt", error.to_string(), super::FILE_REPAIR));
                return Ok(());
            }
        };
        if let Some(stored) = &given.stored {
            self.audited.receipts += 1;
            self.audited.unopened += u64::from(self.opened(on, &stored.receipt).is_none());
        }
        let what = match (&given.stored, on.accepted) {
            (None, false) => return Ok(()),
            (Some(_), false) => {
                self.too_early(on);
                return Ok(());
            }
            (None, true) => "it is gone".to_owned(),
            (Some(stored), true) => match self.believed(on, manifest, stored, given.before.as_ref()) {
                Err(what) => what,
                Ok(proof) => {
                    self.beside(on, books, &proof);
                    return Ok(());
                }
            },
        };
        let stored = given.stored.as_ref();
        let again = totals.and_then(|totals| self.again(on, manifest, books, totals, stored));
        let again = again.or_else(|| self.copy(on, manifest, books, &given));
        let of_another = stored.is_some_and(|stored| self.is_of_another_key(on, &stored.receipt));
        let repair = match again {
            Some(_) => on.repair_of_rows(),
            None if of_another => BY_KEY,
            None => "restore the row from a backup; its sender has the same bytes beside its file",
        };
        let mut repaired = false;
        if let Some((bytes, digest)) = again.filter(|_| self.auditor.repair) {
            repaired = self.auditor.store.mend_receipt(row, &bytes, &digest, self.auditor.now_ms).await?;
        }
        let found = finding(row, "receipt", what, repair);
        self.told(&Finding { repaired, ..found });
        Ok(())
    }

    /// Whether the list of the records that are no orders is the very one that the receipt was given for.
    pub(super) async fn proves(&mut self, on: &Subject, manifest: &Manifest) -> Result<bool, store::Error> {
        let mut list = Books::default();
        for number in 0..on.row.chunk_count {
            match self.at.others(&on.row, &on.places(number)).await {
                Ok(others) => list.list(&others),
                Err(error) if error.is_transient() => return Err(error),
                Err(_) => return Ok(false),
            }
        }
        let given = match self.given(&on.row).await {
            Ok(given) => given,
            Err(error) if error.is_transient() => return Err(error),
            Err(_) => return Ok(false),
        };
        let stored = given.stored.as_ref();
        let text = stored.and_then(|stored| self.opened(on, &stored.receipt));
        let receipt = text.and_then(|text| Receipt::parse(text).ok());
        let same = receipt.is_some_and(|receipt| list.is_of(&receipt, &on.row));
        // One that was damaged itself proves as much, if its text comes out as it was.
        let text = || text_again(on, manifest, &list, manifest.totals.clone());
        let is_its =
            |text: String| stored.is_some_and(|s| s.digest == Digest::of(text.as_bytes()).as_bytes());
        let again = || self.again(on, manifest, &list, manifest.totals.clone(), stored);
        let again = text().is_some_and(is_its) || again().is_some();
        Ok(same || again || self.copy(on, manifest, &list, &given).is_some())
    }

    async fn given(&mut self, row: &BatchRow) -> Result<Given, store::Error> {
        let stored = self.at.receipt(row).await?;
        Ok(Given { stored, before: self.at.receipt_before(row).await? })
    }

    /// Returns the text of a receipt that is signed by one of the keys.
    fn opened<'a>(&self, on: &Subject, note: &'a [u8]) -> Option<&'a str> {
        let own = on.vault.verifier_key();
        let mut keys = std::iter::once(&own).chain(&self.auditor.receipt_keys);
        keys.find_map(|key| note::open(note, key).ok())
    }

    /// Whether the signatures can be read and name none of the keys that are given.
    fn is_of_another_key(&self, on: &Subject, note: &[u8]) -> bool {
        let own = on.vault.verifier_key();
        let mut keys = std::iter::once(&own).chain(&self.auditor.receipt_keys);
        keys.all(|key| note::names(note, key) == Some(false))
    }

    /// Returns what the stored receipt proves, if its signature and its digest hold and it is this batch's:
    /// whatever differs from it then is damaged itself.
    pub(super) async fn proof(
        &mut self,
        on: &Subject,
        manifest: &Manifest,
    ) -> Result<Option<Proof>, store::Error> {
        let given = match self.given(&on.row).await {
            Ok(given) => given,
            Err(error) if error.is_transient() => return Err(error),
            Err(_) => return Ok(None),
        };
        let Some(stored) = &given.stored else { return Ok(None) };
        Ok(self.believed(on, manifest, stored, given.before.as_ref()).ok())
    }

    /// Returns what a receipt proves, or what is wrong with the receipt itself: it is held against its own
    /// signature and against the manifest, which its sender has signed.
    fn believed(
        &self,
        on: &Subject,
        manifest: &Manifest,
        stored: &RawReceipt,
        before: Option<&ReceiptBefore>,
    ) -> Result<Proof, String> {
        let row = &on.row;
        let text = self.opened(on, &stored.receipt);
        let text = text.ok_or("it is not signed by the key, or was changed since")?;
        if stored.digest != Digest::of(text.as_bytes()).as_bytes() {
            return Err("digest is not that of its text".to_owned());
        }
        let receipt = Receipt::parse(text).map_err(|_| "its text is unreadable")?;
        if let Some(fault) = receipt.faults().first() {
            return Err(fault.clone());
        }
        // What came again after a restore keeps its receipt, and was worked off as often as it was.
        let before = before.is_some_and(|before| before.receipt == stored.receipt);
        let attempt = if before { row.attempt } else { receipt.attempt };
        let columns = i64::try_from(row.sequence).is_ok_and(|sequence| sequence == stored.sequence)
            && i64::from(attempt) == stored.attempt;
        let checks = [
            ("batch", receipt.municipality == row.municipality && receipt.batch_id == row.batch_id),
            ("sequence", receipt.sequence == row.sequence),
            ("sequence or attempt column", columns),
            ("manifest", receipt.manifest == row.manifest_digest),
            ("previous receipt", receipt.previous_receipt == manifest.previous_receipt),
            ("declared totals", receipt.declared == manifest.totals),
        ];
        let wrong = failed(&checks);
        if wrong.is_empty() {
            return Ok(Proof { receipt, before });
        }
        Err(format!("it is not its batch's: {}", wrong.join(", ")))
    }

    /// Tells of a receipt of a batch that is not accepted: if it is whole, the batch was.
    fn too_early(&mut self, on: &Subject) {
        let row = &on.row;
        let found = match on.proof {
            Some(_) => {
                let what = format!("it is {}, and its receipt says that it was accepted", row.state);
                finding(row, "batch", what, BY_BATCH)
            }
            None => {
                let what = format!("there is one, and the batch is {}", row.state);
                finding(row, "receipt", what, super::FILE_REPAIR)
            }
        };
        self.told(&found);
    }

    /// Tells of the rows beside a receipt that is whole: they are not as they were when it was given.
    fn beside(&mut self, on: &Subject, books: &Books, proof: &Proof) {
        let row = &on.row;
        let batch = proof.differs_from_batch(row);
        if !batch.is_empty() {
            let what = format!("it is not what its receipt says, which is whole: {}", batch.join(", "));
            self.told(&finding(row, "batch", what, BY_BATCH));
        }
        let list = proof.differs_from_list(books);
        // What was told of one of its records or chunks is not told again of all of them.
        if !list.is_empty() && !self.named.contains("disposition") {
            let what = format!(
                "the list of records that are no orders is not what its receipt says, which is whole: {}",
                list.join(", ")
            );
            self.told(&finding(row, "disposition", what, BY_LIST));
        }
    }

    /// Makes the receipt again, if it comes out as the very bytes that were given, its signature with them:
    /// by another key there would be two receipts for one batch.
    fn again(
        &self,
        on: &Subject,
        manifest: &Manifest,
        books: &Books,
        computed: Totals,
        stored: Option<&RawReceipt>,
    ) -> Option<(Vec<u8>, Digest)> {
        let text = text_again(on, manifest, books, computed)?;
        let (digest, own) = (Digest::of(text.as_bytes()), on.vault.sign_note(&text));
        let stored = &stored?.receipt;
        if note::ends_like(stored, &own) {
            return Some((own, digest));
        }
        // By a former key it cannot be signed again, but the signature that stands there may be whole.
        let lines = note::signatures_of(stored)?;
        let former = [text.as_bytes(), b"\n", lines].concat();
        (self.opened(on, &former) == Some(text.as_str())).then_some((former, digest))
    }

    /// Returns the copy from before a restore, if it is the receipt that the batch must have.
    fn copy(
        &self,
        on: &Subject,
        manifest: &Manifest,
        books: &Books,
        given: &Given,
    ) -> Option<(Vec<u8>, Digest)> {
        let before = given.before.as_ref()?;
        let text = self.opened(on, &before.receipt)?;
        let digest = Digest::of(text.as_bytes());
        let stored = given.stored.as_ref();
        // A lost batch that was not given up is accepted with this receipt or not at all.
        let same = !before.given_up || stored.is_some_and(|stored| stored.digest == digest.as_bytes());
        let put = RawReceipt {
            sequence: i64::try_from(on.row.sequence).ok()?,
            attempt: i64::from(on.row.attempt),
            digest: digest.as_bytes().to_vec(),
            receipt: before.receipt.clone(),
        };
        let right = self.believed(on, manifest, &put, Some(before)).is_ok_and(|proof| {
            proof.differs_from_batch(&on.row).is_empty() && proof.differs_from_list(books).is_empty()
        });
        let listed = books.is_of(&Receipt::parse(text).ok()?, &on.row);
        (same && right && listed).then_some((put.receipt, digest))
    }
}

impl Proof {
    /// Whether the batch's row is of another attempt, so that nothing of what became of its records is found.
    pub(super) fn is_of_another_attempt(&self, row: &BatchRow) -> bool {
        self.receipt.attempt != row.attempt && !self.before
    }

    /// Names what the batch's row says otherwise.
    pub(super) fn differs_from_batch(&self, row: &BatchRow) -> Vec<&'static str> {
        let receipt = &self.receipt;
        failed(&[
            ("attempt", !self.is_of_another_attempt(row)),
            ("outcome", receipt.outcome == row.state),
            ("counts", receipt.counts == row.counts),
            ("committed time", Some(receipt.committed_ms) == row.finished_ms || self.before),
        ])
    }

    /// Names what the records that are no orders come to otherwise, if they could be read.
    fn differs_from_list(&self, books: &Books) -> Vec<&'static str> {
        let unread = !books.unread.is_empty();
        failed(&[
            ("codes", self.receipt.codes == books.codes || unread),
            ("reject-root", self.receipt.reject_root == books.rejects.root() || unread),
        ])
    }
}

fn failed(checks: &[(&'static str, bool)]) -> Vec<&'static str> {
    checks.iter().filter(|(_, holds)| !holds).map(|(what, _)| *what).collect()
}

/// Returns the text that a batch's receipt must have.
fn text_again(on: &Subject, manifest: &Manifest, books: &Books, computed: Totals) -> Option<String> {
    let row = &on.row;
    let receipt = Receipt {
        municipality: row.municipality,
        batch_id: row.batch_id,
        sequence: row.sequence,
        attempt: row.attempt,
        outcome: row.state,
        manifest: row.manifest_digest,
        previous_receipt: manifest.previous_receipt,
        declared: manifest.totals.clone(),
        computed,
        counts: row.counts,
        codes: books.codes.clone(),
        reject_root: books.rejects.root(),
        committed_ms: row.finished_ms?,
    };
    receipt.faults().is_empty().then(|| receipt.to_text())
}

impl Books {
    /// Whether a receipt is about this batch and this list of records that are no orders.
    fn is_of(&self, receipt: &Receipt, row: &BatchRow) -> bool {
        let Counts { rejected, duplicate, quarantined, .. } = receipt.counts;
        let batch = receipt.municipality == row.municipality
            && receipt.batch_id == row.batch_id
            && receipt.manifest == row.manifest_digest;
        let (listed, root) = (self.rejects.count(), self.rejects.root());
        batch
            && receipt.faults().is_empty()
            && rejected.checked_add(duplicate).and_then(|sum| sum.checked_add(quarantined)) == Some(listed)
            && receipt.codes == self.codes
            && receipt.reject_root == root
    }
}
