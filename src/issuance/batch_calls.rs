//! What stands behind the longer calls of the batch service: gaps, places of records, repair and abort.

use crate::{
    domain::{
        abort::REASON_CHARS_MAX, batch::BatchState, batch_id::BatchId, digest::Digest,
        municipality::MunicipalityCode,
    },
    store::{Abort, BatchRow, Repair},
    wire::{
        convert::timestamp,
        fault::{Fault, Reason},
        pb,
    },
};

use super::{
    batch_service::Batches,
    compare,
    core::{batch_id, not_found, store_fault},
    deadline::Deadline,
    expected, open, pages, seal,
    sweep::HEARTBEAT,
};

impl Batches {
    pub(crate) async fn gaps(
        &self,
        row: &BatchRow,
        after: Option<u64>,
        size: usize,
    ) -> Result<pb::ListGapsResponse, Fault> {
        let (ranges, missing_count) = seal::gaps(&self.core, row).await?;
        let districts =
            if after.is_none() && missing_count > 0 { self.district_gaps(row).await? } else { Vec::new() };
        let from = ranges.partition_point(|range| after.is_some_and(|after| range.0 <= after));
        let page: Vec<_> = ranges[from..].iter().take(size).copied().collect();
        let more = from + page.len() < ranges.len();
        let next = page.last().filter(|_| more).map(|range| pages::token("gaps", &range.0.to_string()));
        Ok(pb::ListGapsResponse {
            ranges: page.into_iter().map(|(first, last)| pb::RecordRange { first, last }).collect(),
            districts,
            missing_count,
            next_page_token: next.unwrap_or_default(),
        })
    }

    async fn district_gaps(&self, row: &BatchRow) -> Result<Vec<pb::DistrictGap>, Fault> {
        let (manifest, _) = self.core.manifest(row).await?;
        let stored = self.core.store.stored_per_district(row.municipality, row.batch_id).await;
        let stored = stored.map_err(store_fault)?;
        let gaps = manifest.totals.districts.into_iter().filter_map(|(district, declared)| {
            let stored_records = stored.get(&district).copied().unwrap_or_default();
            (stored_records != declared.records).then_some(pb::DistrictGap {
                district,
                declared_households: declared.households,
                declared_records: declared.records,
                stored_records,
            })
        });
        Ok(gaps.collect())
    }

    /// Finds the place of a record that is named by its place or by its order id.
    pub(crate) async fn index_of(
        &self,
        row: &BatchRow,
        named: Option<pb::get_inclusion_proof_request::Record>,
        deadline: Deadline,
    ) -> Result<u64, Fault> {
        use pb::get_inclusion_proof_request::Record;
        let order_id = match named {
            Some(Record::Index(index)) => return Ok(index),
            Some(Record::OrderId(order_id)) => order_id,
            None => {
                return Err(Fault::new(Reason::FieldInvalid, "name the record: index or order_id")
                    .violation("record", "index or order_id"));
            }
        };
        let store = &self.core.store;
        let card =
            deadline.wait(store.card_by_order_id(row.municipality, &order_id)).await?.map_err(store_fault)?;
        if let Some(card) = card.filter(|card| card.batch_id == row.batch_id) {
            return Ok(card.index);
        }
        let mut from = 0;
        loop {
            let page =
                store.dispositions_page(row.municipality, row.batch_id, row.attempt, from, 5000, false);
            let page = deadline.wait(page).await?.map_err(store_fault)?;
            if let Some(found) = page.iter().find(|d| d.order_id == order_id) {
                return Ok(found.index);
            }
            let Some(last) = page.last() else { return Err(no_record(row)) };
            from = last.index + 1;
        }
    }

    pub(crate) async fn repair(
        &self,
        municipality: MunicipalityCode,
        request: pb::RepairBatchRequest,
    ) -> Result<BatchRow, Fault> {
        let id = batch_id(&request.batch_id)?;
        if request.request_id.is_empty() || request.request_id.len() > 64 {
            return Err(Fault::new(
                Reason::FieldInvalid,
                "request_id must be 1 to 64 bytes: use a fresh UUID",
            )
            .violation("request_id", "1 to 64 bytes"));
        }
        if request.reason.trim().is_empty() || request.reason.chars().count() > REASON_CHARS_MAX {
            let words = format!("say why, in 1 to {REASON_CHARS_MAX} characters");
            return Err(Fault::new(Reason::ReasonRequired, words));
        }
        let fingerprint = Digest::of(format!("repair\n{id}\n{}", request.reason).as_bytes());
        let now_ms = self.core.clock.now_ms();
        let begun =
            self.core.store.begin_repair(municipality, id, &request.request_id, &fingerprint, now_ms).await;
        match begun.map_err(store_fault)? {
            Repair::Started => {
                tracing::info!(municipality.code = %municipality, batch.id = %id,
                    "batch {id} is being repaired");
                self.core.changed(municipality, id);
                self.core.work.notify_waiters();
            }
            Repair::Again => {}
            Repair::Reused => {
                let words = "request_id stands for another request: use a fresh one";
                return Err(Fault::new(Reason::RequestIdReused, words));
            }
            Repair::WrongState => return Err(self.wrong_state(municipality, id, "repaired").await),
            Repair::NotFound => return Err(not_found(id)),
        }
        self.core.batch(municipality, id).await
    }

    pub(crate) async fn abort(
        &self,
        municipality: MunicipalityCode,
        request: &pb::AbortBatchRequest,
    ) -> Result<BatchRow, Fault> {
        let statement = open::statement(&self.core, municipality, request)?;
        let (id, now_ms) = (statement.batch_id, self.core.clock.now_ms());
        let aborted = self.core.store.abort(
            municipality,
            id,
            &request.statement,
            &request.signature,
            &statement.reason,
            now_ms,
        );
        match aborted.await.map_err(store_fault)? {
            Abort::Done => {
                tracing::info!(municipality.code = %municipality, batch.id = %id,
                    "batch {id} aborted by its owner");
                self.core.changed(municipality, id);
            }
            Abort::Again => {}
            Abort::WrongState => return Err(self.wrong_state(municipality, id, "aborted").await),
            Abort::NotFound => return Err(not_found(id)),
        }
        self.core.batch(municipality, id).await
    }

    /// What ListBatches says of a municipality beside its batches: what is lost and what is expected.
    pub(crate) async fn standing(
        &self,
        municipality: MunicipalityCode,
    ) -> Result<pb::ListBatchesResponse, Fault> {
        let (core, now_ms) = (&self.core, self.core.clock.now_ms());
        let store = &core.store;
        let last = store.last_receipt(municipality).await.map_err(store_fault)?;
        let highest_lost = store.highest_lost(municipality).await.map_err(store_fault)?;
        // The receipt of a lost batch was given, and later ones name it.
        let last = last.into_iter().chain(highest_lost).max_by_key(|(sequence, _)| *sequence);
        let lost = store.lost_of(municipality, compare::LOST_MAX).await.map_err(store_fault)?;
        let swept = store.heartbeat(HEARTBEAT).await.map_err(store_fault)?;
        Ok(pb::ListBatchesResponse {
            last_sequence: highest_lost.map_or(0, |(sequence, _)| sequence),
            last_receipt_sequence: last.map_or(0, |(sequence, _)| sequence),
            last_receipt_digest: last.map(|(_, digest)| digest.as_bytes().to_vec()).unwrap_or_default(),
            reconcile_first: store.waits_for_comparison(municipality).await.map_err(store_fault)?,
            expected_batches: expected::of(core, municipality).await?,
            lost_batches: lost.iter().map(compare::lost_batch).collect(),
            sweep_time: swept.map(timestamp),
            answer_time: Some(timestamp(now_ms)),
            ..Default::default()
        })
    }

    async fn wrong_state(&self, municipality: MunicipalityCode, id: BatchId, what: &str) -> Fault {
        match self.core.batch(municipality, id).await {
            Ok(row) => {
                Fault::new(Reason::BatchState, format!("batch {id} is {} and cannot be {what}", row.state))
                    .with("state", row.state.as_str())
            }
            Err(fault) => fault,
        }
    }
}

/// Why a batch has no receipt, and what to do about it where waiting does not help.
pub(crate) fn why_no_receipt(row: &BatchRow) -> String {
    let (id, state) = (row.batch_id, row.state);
    match state {
        BatchState::Discrepant => format!(
            "batch {id} is {state} and gets no receipt as it is: GetBatch (`todoke status`) says what \
             disagrees, RepairBatch has it worked off again, AbortBatch gives it up"
        ),
        BatchState::Aborted => {
            format!("batch {id} was given up and never gets a receipt: its records go into a new batch")
        }
        _ => format!("batch {id} is {state} and has no receipt yet"),
    }
}

/// The fault of a record that is not there.
pub(crate) fn no_record(row: &BatchRow) -> Fault {
    let words = match row.state {
        BatchState::Announced | BatchState::Receiving => "holds no such record yet; it announces",
        _ => "holds no such record; it has",
    };
    let words = format!("batch {} {words} {}, counted from 0", row.batch_id, row.record_count);
    Fault::new(Reason::RecordNotFound, words)
}
