//! An issuer in memory that speaks the real API, so that the client's own behaviour is seen call by call. It
//! keeps what it acknowledged, and nothing more.

mod lies;
mod notes;

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    pin::Pin,
    sync::{Arc, Mutex},
};

use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto::Builder,
    service::TowerToHyperService,
};
use tokio::{net::TcpListener, task::JoinSet};
use tokio_stream::{Stream, StreamExt as _};
use tonic::{Request, Response, Status, Streaming};

use crate::{
    domain::{chunk, digest::Digest, manifest::Manifest, merkle, note, ranges::Ranges},
    wire::{
        convert::timestamp,
        fault::{Fault, Reason},
        pb::{self, batch_service_server as server, upload_chunks_request::Frame},
    },
};

use self::notes::sign;
pub(super) use self::{
    lies::Lie,
    notes::{Forgery, receipt_key, signed_text},
};

/// What one batch has.
#[derive(Default)]
pub(super) struct Kept {
    pub(super) manifest: Vec<u8>,
    pub(super) chunks: BTreeMap<u32, Vec<u8>>,
    pub(super) frames: usize,
    pub(super) aborted: bool,
    receipt: Option<Vec<u8>>,
}

/// The issuer; clones share what it keeps.
#[derive(Clone, Default)]
pub(super) struct Issuer {
    pub(super) batches: Arc<Mutex<BTreeMap<String, Kept>>>,
    /// Chunks that are dropped once, as if lost after they were acknowledged.
    pub(super) lose_once: Arc<Mutex<Vec<u32>>>,
    /// Chunks that are said to have arrived damaged, once for each time they stand here.
    pub(super) damage: Arc<Mutex<Vec<u32>>>,
    /// A state that every batch is said to be in, and a reason to refuse every seal, which only a newer
    /// program knows.
    pub(super) unknown: Arc<Mutex<(Option<i32>, Option<&'static str>)>>,
    /// Whether another uploader has opened the batch.
    pub(super) fence: Arc<Mutex<bool>>,
    /// How many lists are told as they were before there was any batch.
    pub(super) late_lists: Arc<Mutex<usize>>,
    /// What is wrong with the receipts that it gives.
    pub(super) forge: Arc<Mutex<Option<Forgery>>>,
    /// What it says of records that were not accepted.
    pub(super) dispositions: Arc<Mutex<Vec<pb::Disposition>>>,
    /// What whoever serves this one puts in place of its answers.
    pub(super) lie: Option<Lie>,
}

type Answers<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

impl Issuer {
    /// Serves on one more port, as a relay would.
    pub(super) async fn serve(&self, tasks: &mut JoinSet<()>) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback has a port");
        let address = listener.local_addr().expect("bound");
        let service = server::BatchServiceServer::new(self.clone()).max_decoding_message_size(16 << 20);
        tasks.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((socket, _)) = listener.accept().await {
                let service = TowerToHyperService::new(service.clone());
                let http2 = Builder::new(TokioExecutor::new()).http2_only();
                connections.spawn(async move {
                    let _ = http2.serve_connection(TokioIo::new(socket), service).await;
                });
            }
        });
        address
    }

    fn damaged(&self, number: u32) -> Option<pb::ChunkFault> {
        let mut damage = self.damage.lock().expect("no test panics with it");
        let at = damage.iter().position(|damaged| *damaged == number)?;
        damage.swap_remove(at);
        let reason = Reason::ChunkDigestMismatch.as_str().to_owned();
        Some(pb::ChunkFault { chunk_number: number, reason, message: "changed on the way".to_owned() })
    }

    fn shown(&self, id: &str) -> Result<pb::Batch, Status> {
        let mut batch = self.with(id, |kept, manifest| view(kept, manifest))?;
        if let Some(state) = self.unknown.lock().expect("no test panics with it").0 {
            batch.state = state;
        }
        lies::of_batch(self.lie, &mut batch);
        Ok(batch)
    }

    fn with<T>(&self, id: &str, look: impl FnOnce(&mut Kept, &Manifest) -> T) -> Result<T, Status> {
        let mut batches = self.batches.lock().expect("no test panics with it");
        let kept = batches.get_mut(id).ok_or_else(|| Fault::new(Reason::NotFound, "no such batch"))?;
        let manifest = Manifest::parse(&kept.manifest).expect("it was parsed when it was opened");
        Ok(look(kept, &manifest))
    }
}

/// A failure of ours, for a reason that only a later version knows.
fn foreign(reason: &str) -> Status {
    let mut details = tonic_types::ErrorDetails::new();
    details.set_error_info(reason, crate::wire::fault::DOMAIN, std::collections::HashMap::new());
    let (code, words) = (tonic::Code::FailedPrecondition, "not thought of yet");
    <Status as tonic_types::StatusExt>::with_error_details(code, words, details)
}

fn view(kept: &Kept, manifest: &Manifest) -> pb::Batch {
    let records = manifest.totals.records;
    let stored: u64 = kept.chunks.keys().map(|number| u64::from(manifest.chunk_len(*number))).sum();
    let done = kept.receipt.is_some();
    let state = match (done, kept.chunks.is_empty()) {
        _ if kept.aborted => pb::BatchState::Aborted,
        (true, _) => pb::BatchState::Accepted,
        (false, true) => pb::BatchState::Announced,
        (false, false) => pb::BatchState::Receiving,
    };
    let accepted = if done { records } else { 0 };
    let counts = pb::BatchCounts {
        missing: records - stored,
        stored: stored.saturating_sub(accepted),
        accepted,
        ..Default::default()
    };
    pb::Batch {
        municipality_code: manifest.municipality.to_string(),
        batch_id: manifest.batch_id.to_string(),
        sequence: manifest.sequence,
        state: i32::from(state),
        record_count: records,
        chunk_records: manifest.chunk_records,
        chunk_count: manifest.chunk_count(),
        manifest_digest: Digest::of(&kept.manifest).0.to_vec(),
        counts: Some(counts),
        seal_by_time: Some(timestamp(manifest.seal_by_ms)),
        ..Default::default()
    }
}

fn durable(kept: &Kept) -> Vec<pb::ChunkRange> {
    let ranges: Ranges = kept.chunks.keys().map(|number| u64::from(*number)).collect();
    let small = |n: u64| u32::try_from(n).expect("a chunk number");
    ranges.iter().map(|(first, last)| pb::ChunkRange { first: small(first), last: small(last) }).collect()
}

#[tonic::async_trait]
impl server::BatchService for Issuer {
    type UploadChunksStream = Answers<pb::UploadChunksResponse>;
    type WatchBatchStream = Answers<pb::WatchBatchResponse>;

    async fn open_batch(
        &self,
        request: Request<pb::OpenBatchRequest>,
    ) -> Result<Response<pb::OpenBatchResponse>, Status> {
        let request = request.into_inner();
        let manifest = Manifest::parse(&request.manifest).expect("the client writes canonical manifests");
        let id = manifest.batch_id.to_string();
        let mut batches = self.batches.lock().expect("no test panics with it");
        let created = !batches.contains_key(&id);
        let number = |kept: &Kept| Manifest::parse(&kept.manifest).expect("parsed before").sequence;
        if created && batches.values().any(|kept| number(kept) == manifest.sequence) {
            return Err(Fault::new(Reason::SequenceReused, "it is another batch's").into());
        }
        let kept = batches.entry(id).or_default();
        kept.manifest = request.manifest;
        let mut batch = view(kept, &manifest);
        lies::of_batch(self.lie, &mut batch);
        Ok(Response::new(pb::OpenBatchResponse {
            batch: Some(batch),
            uploader_epoch: 1,
            durable_chunks: durable(kept),
            created,
        }))
    }

    async fn upload_chunks(
        &self,
        request: Request<Streaming<pb::UploadChunksRequest>>,
    ) -> Result<Response<Self::UploadChunksStream>, Status> {
        let (issuer, mut frames) = (self.clone(), request.into_inner());
        let Some(Frame::Start(start)) = frames.message().await?.and_then(|first| first.frame) else {
            return Err(Fault::new(Reason::FieldInvalid, "no start").into());
        };
        let answers = frames.filter_map(move |frame| {
            let Frame::Chunk(chunk) = frame.ok()?.frame? else { return None };
            if *issuer.fence.lock().expect("no test panics with it") {
                return Some(Err(Fault::new(Reason::UploaderFenced, "another uploader").into()));
            }
            if let Some(made_up) = lies::of_chunk(issuer.lie, chunk.chunk_number) {
                return Some(Ok(made_up));
            }
            if let Some(fault) = issuer.damaged(chunk.chunk_number) {
                return Some(Ok(pb::UploadChunksResponse { faults: vec![fault], ..Default::default() }));
            }
            let leaves = chunk::leaves(&chunk.payload).expect("whole records");
            assert_eq!(merkle::root(&leaves).0.to_vec(), chunk.root);
            Some(issuer.with(&start.batch_id, |kept, _| {
                kept.frames += 1;
                kept.chunks.insert(chunk.chunk_number, chunk.payload.to_vec());
                pb::UploadChunksResponse { durable_chunks: durable(kept), ..Default::default() }
            }))
        });
        Ok(Response::new(Box::pin(answers)))
    }

    async fn seal_batch(
        &self,
        request: Request<pb::SealBatchRequest>,
    ) -> Result<Response<pb::SealBatchResponse>, Status> {
        lies::of_seal(self.lie)?;
        if let Some(reason) = self.unknown.lock().expect("no test panics with it").1 {
            return Err(foreign(reason));
        }
        let lost = std::mem::take(&mut *self.lose_once.lock().expect("no test panics with it"));
        let id = request.into_inner().batch_id;
        self.with(&id, |kept, manifest| {
            lost.iter().for_each(|number| {
                kept.chunks.remove(number);
            });
            if kept.chunks.len() < manifest.chunk_count() as usize {
                return Err(Status::from(Fault::new(Reason::BatchHasGaps, "chunks are missing")));
            }
            if kept.receipt.is_none() {
                let forgery = *self.forge.lock().expect("no test panics with it");
                kept.receipt = Some(sign(kept, manifest, forgery));
            }
            Ok(())
        })??;
        Ok(Response::new(pb::SealBatchResponse { batch: Some(self.shown(&id)?) }))
    }

    async fn get_batch(
        &self,
        request: Request<pb::GetBatchRequest>,
    ) -> Result<Response<pb::GetBatchResponse>, Status> {
        let batch = self.shown(&request.into_inner().batch_id)?;
        Ok(Response::new(pb::GetBatchResponse { batch: Some(batch) }))
    }

    async fn list_batches(
        &self,
        _: Request<pb::ListBatchesRequest>,
    ) -> Result<Response<pb::ListBatchesResponse>, Status> {
        let batches = self.batches.lock().expect("no test panics with it");
        let mut found: Vec<pb::Batch> = Vec::new();
        let mut last = (0, Vec::new());
        let late = std::mem::take(&mut *self.late_lists.lock().expect("no test panics with it"));
        *self.late_lists.lock().expect("no test panics with it") = late.saturating_sub(1);
        for kept in batches.values().filter(|_| late == 0) {
            let manifest = Manifest::parse(&kept.manifest).expect("parsed before");
            if let Some(note) = kept.receipt.as_ref().filter(|_| manifest.sequence > last.0) {
                let text = note::text_of(note).expect("a note");
                last = (manifest.sequence, Digest::of(text.as_bytes()).0.to_vec());
            }
            found.push(view(kept, &manifest));
        }
        found.sort_by_key(|batch| std::cmp::Reverse(batch.sequence));
        let last_sequence = found.first().map_or(0, |batch| batch.sequence);
        let mut list = pb::ListBatchesResponse {
            batches: found,
            last_sequence,
            last_receipt_digest: last.1,
            ..Default::default()
        };
        lies::of_list(self.lie, &mut list);
        Ok(Response::new(list))
    }

    async fn watch_batch(
        &self,
        request: Request<pb::WatchBatchRequest>,
    ) -> Result<Response<Self::WatchBatchStream>, Status> {
        let batch = self.shown(&request.into_inner().batch_id)?;
        let once = tokio_stream::once(Ok(pb::WatchBatchResponse { batch: Some(batch) }));
        Ok(Response::new(Box::pin(once)))
    }

    async fn list_gaps(
        &self,
        request: Request<pb::ListGapsRequest>,
    ) -> Result<Response<pb::ListGapsResponse>, Status> {
        lies::of_gaps(self.lie)?;
        let missing_count = self.with(&request.into_inner().batch_id, |kept, manifest| {
            view(kept, manifest).counts.unwrap_or_default().missing
        })?;
        Ok(Response::new(pb::ListGapsResponse { missing_count, ..Default::default() }))
    }

    async fn list_dispositions(
        &self,
        request: Request<pb::ListDispositionsRequest>,
    ) -> Result<Response<pb::ListDispositionsResponse>, Status> {
        let asked = request.into_inner();
        let (from, size) = (asked.page_token.parse().unwrap_or(0), asked.page_size as usize);
        let all = self.dispositions.lock().expect("no test panics with it");
        let dispositions: Vec<pb::Disposition> = all.iter().skip(from).take(size).cloned().collect();
        let next = from + dispositions.len();
        let next_page_token = if next < all.len() { next.to_string() } else { String::new() };
        Ok(Response::new(pb::ListDispositionsResponse { dispositions, next_page_token }))
    }

    async fn get_receipt(
        &self,
        request: Request<pb::GetReceiptRequest>,
    ) -> Result<Response<pb::GetReceiptResponse>, Status> {
        let receipt = self.with(&request.into_inner().batch_id, |kept, _| kept.receipt.clone())?;
        let mut receipt = receipt.ok_or_else(|| Fault::new(Reason::ReceiptNotReady, "not yet"))?;
        lies::of_receipt(self.lie, &mut receipt);
        Ok(Response::new(pb::GetReceiptResponse { receipt }))
    }

    async fn get_inclusion_proof(
        &self,
        _: Request<pb::GetInclusionProofRequest>,
    ) -> Result<Response<pb::GetInclusionProofResponse>, Status> {
        Err(Status::unimplemented("no test asks"))
    }

    async fn repair_batch(
        &self,
        _: Request<pb::RepairBatchRequest>,
    ) -> Result<Response<pb::RepairBatchResponse>, Status> {
        Err(Status::unimplemented("no test asks"))
    }

    async fn abort_batch(
        &self,
        _: Request<pb::AbortBatchRequest>,
    ) -> Result<Response<pb::AbortBatchResponse>, Status> {
        Err(Status::unimplemented("no test asks"))
    }

    async fn compare_receipts(
        &self,
        _: Request<pb::CompareReceiptsRequest>,
    ) -> Result<Response<pb::CompareReceiptsResponse>, Status> {
        Err(Status::unimplemented("no test asks"))
    }
}
