//! The gRPC face of batches: decode, call, encode; nothing else.

use std::{pin::Pin, sync::Arc};

use futures_util::Stream;
use tonic::{Request, Response, Status, Streaming};

use crate::{
    store::BatchRow,
    wire::{
        convert::page_size,
        fault::{Fault, Reason},
        pb::{self, batch_service_server::BatchService},
    },
};

use super::{
    batch_calls::{no_record, why_no_receipt},
    caller::{Caller, municipality_of},
    compare,
    core::{Core, batch_id, store_fault},
    deadline::Deadline,
    frames, open,
    outlet::Outlet,
    pages, seal, upload, view, watches,
};

/// Batches, as the API has them.
#[derive(Clone)]
pub(crate) struct Batches {
    pub(crate) core: Arc<Core>,
}

type Answer<T> = Result<Response<T>, Status>;
type Events<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

impl Batches {
    fn deadline<T>(&self, request: &Request<T>) -> Deadline {
        Deadline::of(request.metadata(), self.core.options.call_deadline)
    }

    fn view(&self, row: &BatchRow) -> pb::Batch {
        view::batch(row, &self.core.options, self.core.clock.now_ms())
    }

    /// Reads the caller's own batch that a request names.
    async fn row<T>(&self, request: &Request<T>, id: &str) -> Result<BatchRow, Fault> {
        let municipality = municipality_of(request)?;
        let id = batch_id(id)?;
        self.deadline(request).wait(self.core.batch(municipality, id)).await?
    }
}

#[tonic::async_trait]
impl BatchService for Batches {
    #[tracing::instrument(name = "open_batch", skip_all)]
    async fn open_batch(&self, request: Request<pb::OpenBatchRequest>) -> Answer<pb::OpenBatchResponse> {
        let caller = municipality_of(&request)?;
        self.deadline(&request).check()?;
        let opened = open::open(&self.core, caller, request.get_ref()).await?;
        let row = &opened.row;
        let durable =
            self.core.store.durable_chunks(row.municipality, row.batch_id).await.map_err(store_fault)?;
        Ok(Response::new(pb::OpenBatchResponse {
            batch: Some(self.view(row)),
            uploader_epoch: row.uploader_epoch,
            durable_chunks: view::chunk_ranges(&durable),
            created: opened.created,
        }))
    }

    type UploadChunksStream = Events<pb::UploadChunksResponse>;

    #[tracing::instrument(name = "upload_chunks", skip_all)]
    async fn upload_chunks(
        &self,
        request: Request<Streaming<pb::UploadChunksRequest>>,
    ) -> Answer<Self::UploadChunksStream> {
        let caller = Caller::of(&request)?;
        let deadline = Deadline::of_stream(request.metadata());
        let place = self.core.streams.take(caller.municipality()?)?;
        let mut inbound = request.into_inner();
        let first = tokio::time::timeout(self.core.options.upload_idle, inbound.message());
        let first = deadline.wait(first).await?.map_err(|_| {
            Fault::new(Reason::DeadlineExceeded, "the first frame did not come: send it at once")
        })?;
        let first = first.map_err(|status| {
            frames::unreadable(&status, self.core.options.message_bytes_max).map_or(status, Status::from)
        })?;
        let start = frames::start_of(first)?;
        let upload = upload::Upload::begin(&self.core, &caller, start, deadline).await?;
        let (acks, events) = Outlet::new(upload::ACKS_WAITING_MAX);
        #[expect(
            clippy::disallowed_methods,
            reason = "owned by its call: it ends with the stream, idle or deadline"
        )]
        tokio::spawn(async move {
            let _place = place;
            upload.run(inbound, acks).await;
        });
        Ok(Response::new(Box::pin(events)))
    }

    #[tracing::instrument(name = "seal_batch", skip_all)]
    async fn seal_batch(&self, request: Request<pb::SealBatchRequest>) -> Answer<pb::SealBatchResponse> {
        let municipality = municipality_of(&request)?;
        let deadline = self.deadline(&request);
        let request = request.into_inner();
        let id = batch_id(&request.batch_id)?;
        let row = seal::seal(&self.core, municipality, id, &request.manifest_digest, deadline).await?;
        Ok(Response::new(pb::SealBatchResponse { batch: Some(self.view(&row)) }))
    }

    #[tracing::instrument(name = "get_batch", skip_all)]
    async fn get_batch(&self, request: Request<pb::GetBatchRequest>) -> Answer<pb::GetBatchResponse> {
        let row = self.row(&request, &request.get_ref().batch_id).await?;
        Ok(Response::new(pb::GetBatchResponse { batch: Some(self.view(&row)) }))
    }

    #[tracing::instrument(name = "list_batches", skip_all)]
    async fn list_batches(
        &self,
        request: Request<pb::ListBatchesRequest>,
    ) -> Answer<pb::ListBatchesResponse> {
        let municipality = municipality_of(&request)?;
        let deadline = self.deadline(&request);
        let request = request.into_inner();
        let size = page_size(request.page_size, 50, 500)?;
        let before = pages::number("batches", &request.page_token)?;
        let store = &self.core.store;
        let listed = async {
            let rows = store.list_batches(municipality, before, size).await?;
            let holes = store.sequence_holes(municipality, 1000).await?;
            let newest = store.list_batches(municipality, None, 1).await?;
            Ok((rows, holes, newest))
        };
        let (rows, holes, newest) = deadline.wait(listed).await?.map_err(store_fault)?;
        let standing = deadline.wait(self.standing(municipality)).await??;
        let full = rows.len() == size as usize;
        let next = rows.last().filter(|_| full).map(|row| pages::token("batches", &row.sequence.to_string()));
        Ok(Response::new(pb::ListBatchesResponse {
            batches: rows.iter().map(|row| self.view(row)).collect(),
            next_page_token: next.unwrap_or_default(),
            sequence_holes: holes,
            last_sequence: newest.first().map_or(0, |row| row.sequence).max(standing.last_sequence),
            ..standing
        }))
    }

    type WatchBatchStream = Events<pb::WatchBatchResponse>;

    #[tracing::instrument(name = "watch_batch", skip_all)]
    async fn watch_batch(&self, request: Request<pb::WatchBatchRequest>) -> Answer<Self::WatchBatchStream> {
        let row = self.row(&request, &request.get_ref().batch_id).await?;
        let place = self.core.watchers.take(row.municipality)?;
        let deadline = Deadline::of_stream(request.metadata());
        let (events, stream) = Outlet::new(1);
        let core = Arc::clone(&self.core);
        #[expect(
            clippy::disallowed_methods,
            reason = "owned by its call: it ends when nobody reads or by deadline"
        )]
        tokio::spawn(async move { watches::send(core, row, deadline, place, events).await });
        Ok(Response::new(Box::pin(stream)))
    }

    #[tracing::instrument(name = "list_gaps", skip_all)]
    async fn list_gaps(&self, request: Request<pb::ListGapsRequest>) -> Answer<pb::ListGapsResponse> {
        let size = page_size(request.get_ref().page_size, 1000, 1000)? as usize;
        let after = pages::number("gaps", &request.get_ref().page_token)?;
        let row = self.row(&request, &request.get_ref().batch_id).await?;
        Ok(Response::new(self.gaps(&row, after, size).await?))
    }

    #[tracing::instrument(name = "list_dispositions", skip_all)]
    async fn list_dispositions(
        &self,
        request: Request<pb::ListDispositionsRequest>,
    ) -> Answer<pb::ListDispositionsResponse> {
        let size = page_size(request.get_ref().page_size, 1000, 5000)?;
        let from = pages::number("dispositions", &request.get_ref().page_token)?.unwrap_or(0);
        let only = request.get_ref().only_not_accepted;
        let row = self.row(&request, &request.get_ref().batch_id).await?;
        let page =
            self.core.store.dispositions_page(row.municipality, row.batch_id, row.attempt, from, size, only);
        let page = self.deadline(&request).wait(page).await?.map_err(store_fault)?;
        let full = page.len() == size as usize;
        let next =
            page.last().filter(|_| full).map(|d| pages::token("dispositions", &(d.index + 1).to_string()));
        Ok(Response::new(pb::ListDispositionsResponse {
            dispositions: page.into_iter().map(view::disposition).collect(),
            next_page_token: next.unwrap_or_default(),
        }))
    }

    #[tracing::instrument(name = "get_receipt", skip_all)]
    async fn get_receipt(&self, request: Request<pb::GetReceiptRequest>) -> Answer<pb::GetReceiptResponse> {
        let row = self.row(&request, &request.get_ref().batch_id).await?;
        let receipt = self.core.store.receipt(row.municipality, row.batch_id);
        let receipt = self.deadline(&request).wait(receipt).await?.map_err(store_fault)?;
        let receipt = receipt.ok_or_else(|| {
            Fault::new(Reason::ReceiptNotReady, why_no_receipt(&row)).with("state", row.state.as_str())
        })?;
        Ok(Response::new(pb::GetReceiptResponse { receipt }))
    }

    #[tracing::instrument(name = "get_inclusion_proof", skip_all)]
    async fn get_inclusion_proof(
        &self,
        request: Request<pb::GetInclusionProofRequest>,
    ) -> Answer<pb::GetInclusionProofResponse> {
        let row = self.row(&request, &request.get_ref().batch_id).await?;
        let deadline = self.deadline(&request);
        let index = self.index_of(&row, request.into_inner().record, deadline).await?;
        let proof = deadline.wait(seal::inclusion(&self.core, &row, index)).await??;
        let (leaf, path) = proof.ok_or_else(|| no_record(&row))?;
        Ok(Response::new(pb::GetInclusionProofResponse {
            index,
            record_count: row.record_count,
            leaf_hash: leaf.as_bytes().to_vec(),
            path: path.iter().map(|digest| digest.as_bytes().to_vec()).collect(),
        }))
    }

    #[tracing::instrument(name = "repair_batch", skip_all)]
    async fn repair_batch(
        &self,
        request: Request<pb::RepairBatchRequest>,
    ) -> Answer<pb::RepairBatchResponse> {
        let municipality = municipality_of(&request)?;
        self.deadline(&request).check()?;
        let row = self.repair(municipality, request.into_inner()).await?;
        Ok(Response::new(pb::RepairBatchResponse { batch: Some(self.view(&row)) }))
    }

    #[tracing::instrument(name = "abort_batch", skip_all)]
    async fn abort_batch(&self, request: Request<pb::AbortBatchRequest>) -> Answer<pb::AbortBatchResponse> {
        let municipality = municipality_of(&request)?;
        self.deadline(&request).check()?;
        let row = self.abort(municipality, request.get_ref()).await?;
        Ok(Response::new(pb::AbortBatchResponse { batch: Some(self.view(&row)) }))
    }

    #[tracing::instrument(name = "compare_receipts", skip_all)]
    async fn compare_receipts(
        &self,
        request: Request<pb::CompareReceiptsRequest>,
    ) -> Answer<pb::CompareReceiptsResponse> {
        let municipality = municipality_of(&request)?;
        self.deadline(&request).check()?;
        Ok(Response::new(compare::compare(&self.core, municipality, request.get_ref()).await?))
    }
}
