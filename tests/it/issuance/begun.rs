//! What many tests begin with: a batch that is half on its way, and what is asked of it.

use todoke::{
    domain::{abort::Statement, batch_id::BatchId, manifest::Policy, municipality::MunicipalityCode},
    wire::pb,
};

use super::harness::{Batch, Issuer, Party, batch, records};

impl Party {
    /// Opens batch `n` of ten records in three chunks and sends these of them; returns it with its epoch.
    pub(super) async fn begun(&self, n: u32, prefix: &str, chunks: &[usize]) -> (Batch, u32) {
        let sent = batch(self.code(), n, Policy::AllOrNothing, &records(prefix, 10));
        let epoch = self.open(&sent).await.expect("it opens").uploader_epoch;
        let chunks = chunks.iter().map(|number| sent.chunk(*number)).collect();
        self.upload(&sent, epoch, chunks).await.end.expect("it is taken");
        (sent, epoch)
    }

    /// Sends all of such a batch and leaves it unsealed.
    pub(super) async fn sent(&self, n: u32, prefix: &str) -> Batch {
        self.begun(n, prefix, &[0, 1, 2]).await.0
    }

    /// The statement of this party that gives a batch up.
    pub(super) fn abort_request(
        &self,
        municipality: MunicipalityCode,
        batch_id: BatchId,
        reason: &str,
    ) -> pb::AbortBatchRequest {
        let statement = Statement { municipality, batch_id, reason: reason.to_owned() };
        let statement = statement.to_text().into_bytes();
        let (signature, certificate_chain) = (self.sign(&statement), self.chain.clone());
        pb::AbortBatchRequest { statement, signature, certificate_chain }
    }
}

impl Issuer {
    /// Changes every batch as told, and gives it to the workers, as if it had been sealed.
    pub(super) async fn hand_to_workers(&self, changes: &str) {
        let sql = format!(
            "UPDATE batch SET {changes};
            INSERT INTO work (municipality_code, batch_id, attempt, due_ms)
                SELECT municipality_code, batch_id, 1, 0 FROM batch"
        );
        self.damage(&sql).await;
    }
}

/// The names of the flags that are up.
pub(crate) fn flags(batch: &pb::Batch) -> Vec<&str> {
    batch.flags.iter().map(|flag| flag.name.as_str()).collect()
}
