//! Batches that the store takes without a client: municipalities, ids and manifests made up from numbers.

use sqlx::types::Uuid;
use todoke::{
    domain::{
        batch_id::BatchId,
        digest::Digest,
        manifest::{BatchKind, Manifest, Policy},
        municipality::MunicipalityCode,
        totals::TotalsBuilder,
    },
    store::{NewBatch, Opened, Store},
};

use crate::failure::Failure;

/// When everything happens.
pub(crate) const NOW_MS: i64 = 1_800_000_000_000;

/// Municipality `number`, which need not exist; there are 47,000.
pub(crate) fn municipality(number: usize) -> Result<MunicipalityCode, Failure> {
    let text = format!("{:02}{:03}", number / 1000 % 47 + 1, number % 1000);
    let digits: [u8; 5] = text.as_bytes().try_into().map_err(Failure::while_doing("five digits"))?;
    let check = MunicipalityCode::check_digit(digits.map(|digit| digit - b'0'));
    format!("{text}{check}").parse().map_err(Failure::while_doing("a municipality"))
}

/// What a batch is to have.
pub(crate) struct Batch {
    pub(crate) municipality: MunicipalityCode,
    /// Its place among the batches of the municipality, from 1.
    pub(crate) sequence: u64,
    pub(crate) records: u64,
    pub(crate) chunk_records: u32,
}

impl Batch {
    /// The same for the same place.
    pub(crate) fn id(&self) -> Result<BatchId, Failure> {
        let (version, variant) = (7 << 76, 2 << 62);
        let id = Uuid::from_u128(0x0192_f0c1_2345 << 80 | version | variant | u128::from(self.sequence));
        BatchId::new(id).map_err(Failure::while_doing("a batch id"))
    }

    /// Opens it; it must not have been there.
    pub(crate) async fn open(&self, store: &Store) -> Result<(), Failure> {
        let mut totals = TotalsBuilder::default().finish();
        totals.records = self.records;
        let manifest = Manifest {
            municipality: self.municipality,
            batch_id: self.id()?,
            sequence: self.sequence,
            previous_receipt: None,
            kind: BatchKind::CardOrders,
            policy: Policy::AllOrNothing,
            chunk_records: self.chunk_records,
            totals,
            seal_by_ms: NOW_MS + 86_400_000,
        };
        let bytes = manifest.to_text().into_bytes();
        let new = NewBatch {
            manifest: &manifest,
            manifest_bytes: &bytes,
            signature: &[5; 70],
            certificate_chain: &[vec![3; 600], vec![4; 500]],
            chunk_roots: &[Digest::of(&bytes)],
            wrapped_key: vec![1; 60],
            now_ms: NOW_MS,
            open_max: u32::MAX,
            ahead_max: u64::MAX,
        };
        match store.open_batch(&new).await.map_err(Failure::while_doing("open a batch"))? {
            Opened::Created(_) => Ok(()),
            _ => Err(Failure::new("the database has batches in it: name one that is empty")),
        }
    }
}
