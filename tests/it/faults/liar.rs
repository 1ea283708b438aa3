//! A relay that holds a relay's certificate and does what its [`Malice`] says: a real server for the
//! sender, a real client of the issuer, and in between nothing that anybody should trust.

use std::{
    net::SocketAddr,
    pin::Pin,
    sync::{Arc, Mutex},
    task::{Context, Poll},
    time::Duration,
};

use todoke::{
    net::{
        PeerIdentity, ServerLimits,
        channel::{ChannelOptions, connect},
        headers,
        serve::serve_tonic,
        tls::{ClientTls, ServerTls},
    },
    wire::pb::{
        self, batch_service_client::BatchServiceClient, batch_service_server as server,
        upload_chunks_request::Frame,
    },
};
use tokio::{
    net::TcpListener,
    sync::{mpsc, watch},
    task::JoinSet,
};
use tokio_stream::{
    Stream, StreamExt as _,
    wrappers::{IntervalStream, ReceiverStream},
};
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status, Streaming, transport::Channel};

use super::world::locked;
use crate::issuance::harness::{Issuer, files, issue};

/// Where a chunk goes.
#[derive(Default)]
pub(super) struct Through {
    /// On to the issuer.
    pub(super) on: Vec<pb::Chunk>,
    /// Back to the sender, said by the relay itself.
    pub(super) back: Vec<pb::UploadChunksResponse>,
}

/// What a relay does to what it should pass on; by default nothing.
pub(super) trait Malice: Send + Sync + 'static {
    /// Changes the request that opens a batch.
    fn open(&self, _: &mut pb::OpenBatchRequest) {}
    /// Decides where a chunk goes.
    fn chunk(&self, chunk: pb::Chunk, through: &mut Through) {
        through.on.push(chunk);
    }
    /// Whether it reads on after so many frames of a stream.
    fn reads(&self, _frames: usize) -> bool {
        true
    }
    /// What a chunk waits for before it goes anywhere.
    fn gate(&self) -> Option<watch::Receiver<bool>> {
        None
    }
    /// Lets an acknowledgement through, changed or not.
    fn ack(&self, ack: pb::UploadChunksResponse) -> Option<pb::UploadChunksResponse> {
        Some(ack)
    }
    /// Answers a seal itself, with the batch as the issuer last showed it.
    fn seal(&self, _: &pb::Batch) -> Option<pb::Batch> {
        None
    }
    /// Changes a batch that the issuer shows.
    fn batch(&self, _: &mut pb::Batch) {}
    /// Whether a watch goes on for ever, with the last that it showed.
    fn repeats(&self) -> bool {
        false
    }
    /// Changes a receipt.
    fn receipt(&self, _: &mut Vec<u8>) {}
    /// Changes a page of what was not accepted.
    fn dispositions(&self, _: &mut pb::ListDispositionsResponse) {}
    /// Refuses a call without asking the issuer.
    fn refuses(&self, _method: &str) -> Option<Status> {
        None
    }
}

/// What went through, as it came.
#[derive(Default)]
pub(super) struct Record {
    pub(super) opens: Vec<pb::OpenBatchRequest>,
    pub(super) start: Option<pb::UploadStart>,
    pub(super) chunks: Vec<pb::Chunk>,
    batch: pb::Batch,
}

/// The relay.
#[derive(Clone)]
pub(super) struct Liar {
    pub(super) record: Arc<Mutex<Record>>,
    malice: Arc<dyn Malice>,
    issuer: Channel,
    work: Arc<Mutex<JoinSet<()>>>,
}

impl Liar {
    /// Starts one with a certificate of its own, and returns where it listens.
    pub(super) async fn start(issuer: &Issuer, name: &str, malice: Arc<dyn Malice>) -> (Self, SocketAddr) {
        issue(&issuer.authority, &format!("relay/{name}"));
        let files = files(&issuer.dir.path().join("pki"), name);
        let tls = ClientTls::load(&files, "todoke.internal").expect("a relay's certificate");
        let channel =
            connect(&issuer.address.to_string(), &tls, "todoke.internal", ChannelOptions::default());
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("bound");
        let liar = Self {
            record: Arc::default(),
            malice,
            issuer: channel.expect("a channel"),
            work: Arc::default(),
        };
        let tls = ServerTls::load(&files).expect("a relay's certificate");
        let service = server::BatchServiceServer::new(liar.clone()).max_decoding_message_size(16 << 20);
        let (limits, never) = (ServerLimits::default(), CancellationToken::new());
        locked(&liar.work).spawn(async move {
            let _ = serve_tonic(listener, tls, service, limits, never).await;
        });
        (liar, address)
    }

    /// Sends chunks to the issuer after the sender has gone, as the sender sent them, and returns what came
    /// back.
    pub(super) async fn replay(
        &self,
        caller: &str,
        chunks: Vec<pb::Chunk>,
    ) -> Result<Vec<pb::UploadChunksResponse>, Status> {
        let start = locked(&self.record).start.clone().expect("a stream was begun");
        let frames = std::iter::once(Frame::Start(start)).chain(chunks.into_iter().map(Frame::Chunk));
        let frames: Vec<_> = frames.map(|frame| pb::UploadChunksRequest { frame: Some(frame) }).collect();
        let mut request = Request::new(tokio_stream::iter(frames));
        request.metadata_mut().insert(headers::CALLER, caller.parse().expect("ascii"));
        self.issuer().upload_chunks(request).await?.into_inner().collect().await
    }

    pub(super) fn issuer(&self) -> BatchServiceClient<Channel> {
        BatchServiceClient::new(self.issuer.clone()).max_decoding_message_size(16 << 20)
    }

    fn allow(&self, method: &str) -> Result<(), Status> {
        self.malice.refuses(method).map_or(Ok(()), Err)
    }

    fn seen(&self, batch: Option<&mut pb::Batch>) {
        if let Some(batch) = batch {
            locked(&self.record).batch = batch.clone();
            self.malice.batch(batch);
        }
    }
}

/// Wraps a message as a relay passes it on: with who calls, by its certificate, and until when.
fn passed<T, U>(from: &Request<T>, message: U) -> Request<U> {
    let PeerIdentity(caller) = from.extensions().get().expect("every call has one");
    let mut request = Request::new(message);
    if let Some(time_out) = from.metadata().get("grpc-timeout") {
        request.metadata_mut().insert("grpc-timeout", time_out.clone());
    }
    request.metadata_mut().insert(headers::CALLER, caller.to_string().parse().expect("ascii"));
    request
}

/// Answers of a call that end the work for it when they are dropped.
pub(super) struct Answers<T> {
    answers: ReceiverStream<Result<T, Status>>,
    _work: JoinSet<()>,
}

impl<T> Stream for Answers<T> {
    type Item = Result<T, Status>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        Pin::new(&mut self.answers).poll_next(context)
    }
}

type Answer<T> = Result<Response<T>, Status>;
type Acks = mpsc::Sender<Result<pb::UploadChunksResponse, Status>>;

impl Liar {
    async fn pass_frames(
        self,
        mut frames: Streaming<pb::UploadChunksRequest>,
        on: mpsc::Sender<pb::UploadChunksRequest>,
        back: mpsc::WeakSender<Result<pb::UploadChunksResponse, Status>>,
    ) {
        let mut count = 0;
        while let Ok(Some(pb::UploadChunksRequest { frame: Some(frame) })) = frames.message().await {
            let mut through = Through::default();
            match frame {
                Frame::Start(start) => {
                    locked(&self.record).start = Some(start.clone());
                    let frame = Some(Frame::Start(start));
                    let _ = on.send(pb::UploadChunksRequest { frame }).await;
                }
                Frame::Chunk(chunk) => {
                    locked(&self.record).chunks.push(chunk.clone());
                    if let Some(mut gate) = self.malice.gate() {
                        let _ = gate.wait_for(|open| *open).await;
                    }
                    self.malice.chunk(chunk, &mut through);
                }
            }
            for chunk in through.on {
                let frame = Some(Frame::Chunk(chunk));
                let _ = on.send(pb::UploadChunksRequest { frame }).await;
            }
            for ack in through.back {
                if let Some(back) = back.upgrade() {
                    let _ = back.send(Ok(ack)).await;
                }
            }
            count += 1;
            if !self.malice.reads(count) {
                return std::future::pending().await;
            }
        }
    }

    async fn pass_acks(self, request: Request<ReceiverStream<pb::UploadChunksRequest>>, back: Acks) {
        let mut answers = match self.issuer().upload_chunks(request).await {
            Ok(answers) => answers.into_inner(),
            Err(status) => return drop(back.send(Err(status)).await),
        };
        loop {
            let ack = match answers.message().await {
                Ok(Some(ack)) => ack,
                Ok(None) => return,
                Err(status) => return drop(back.send(Err(status)).await),
            };
            if let Some(ack) = self.malice.ack(ack) {
                let _ = back.send(Ok(ack)).await;
            }
        }
    }
}

#[tonic::async_trait]
impl server::BatchService for Liar {
    type UploadChunksStream = Answers<pb::UploadChunksResponse>;
    type WatchBatchStream = Pin<Box<dyn Stream<Item = Result<pb::WatchBatchResponse, Status>> + Send>>;

    async fn open_batch(&self, request: Request<pb::OpenBatchRequest>) -> Answer<pb::OpenBatchResponse> {
        self.allow("OpenBatch")?;
        let mut message = request.get_ref().clone();
        locked(&self.record).opens.push(message.clone());
        self.malice.open(&mut message);
        let mut answer = self.issuer().open_batch(passed(&request, message)).await?;
        self.seen(answer.get_mut().batch.as_mut());
        Ok(answer)
    }

    async fn upload_chunks(
        &self,
        request: Request<Streaming<pb::UploadChunksRequest>>,
    ) -> Answer<Self::UploadChunksStream> {
        self.allow("UploadChunks")?;
        let ((on, queue), (back, answers)) = (mpsc::channel(8), mpsc::channel(8));
        let onwards = passed(&request, ReceiverStream::new(queue));
        let mut work = JoinSet::new();
        work.spawn(self.clone().pass_frames(request.into_inner(), on, back.downgrade()));
        work.spawn(self.clone().pass_acks(onwards, back));
        Ok(Response::new(Answers { answers: ReceiverStream::new(answers), _work: work }))
    }

    async fn seal_batch(&self, request: Request<pb::SealBatchRequest>) -> Answer<pb::SealBatchResponse> {
        self.allow("SealBatch")?;
        let seen = locked(&self.record).batch.clone();
        if let Some(batch) = self.malice.seal(&seen) {
            return Ok(Response::new(pb::SealBatchResponse { batch: Some(batch) }));
        }
        let mut answer = self.issuer().seal_batch(passed(&request, request.get_ref().clone())).await?;
        self.seen(answer.get_mut().batch.as_mut());
        Ok(answer)
    }

    async fn get_batch(&self, request: Request<pb::GetBatchRequest>) -> Answer<pb::GetBatchResponse> {
        self.allow("GetBatch")?;
        let mut answer = self.issuer().get_batch(passed(&request, request.get_ref().clone())).await?;
        self.seen(answer.get_mut().batch.as_mut());
        Ok(answer)
    }

    async fn watch_batch(&self, request: Request<pb::WatchBatchRequest>) -> Answer<Self::WatchBatchStream> {
        self.allow("WatchBatch")?;
        let answers = self.issuer().watch_batch(passed(&request, request.get_ref().clone())).await?;
        let (liar, again) = (self.clone(), self.clone());
        let answers = answers.into_inner().map(move |mut answer| {
            if let Ok(answer) = &mut answer {
                liar.seen(answer.batch.as_mut());
            }
            answer
        });
        if !self.malice.repeats() {
            return Ok(Response::new(Box::pin(answers)));
        }
        let times = IntervalStream::new(tokio::time::interval(Duration::from_millis(50)));
        let repeated = times.map(move |_| {
            let mut batch = locked(&again.record).batch.clone();
            again.malice.batch(&mut batch);
            Ok(pb::WatchBatchResponse { batch: Some(batch) })
        });
        Ok(Response::new(Box::pin(answers.chain(repeated))))
    }

    async fn list_batches(
        &self,
        request: Request<pb::ListBatchesRequest>,
    ) -> Answer<pb::ListBatchesResponse> {
        self.allow("ListBatches")?;
        self.issuer().list_batches(passed(&request, request.get_ref().clone())).await
    }

    async fn list_gaps(&self, request: Request<pb::ListGapsRequest>) -> Answer<pb::ListGapsResponse> {
        self.allow("ListGaps")?;
        self.issuer().list_gaps(passed(&request, request.get_ref().clone())).await
    }

    async fn list_dispositions(
        &self,
        request: Request<pb::ListDispositionsRequest>,
    ) -> Answer<pb::ListDispositionsResponse> {
        self.allow("ListDispositions")?;
        let passed = passed(&request, request.get_ref().clone());
        let mut answer = self.issuer().list_dispositions(passed).await?;
        self.malice.dispositions(answer.get_mut());
        Ok(answer)
    }

    async fn get_receipt(&self, request: Request<pb::GetReceiptRequest>) -> Answer<pb::GetReceiptResponse> {
        self.allow("GetReceipt")?;
        let mut answer = self.issuer().get_receipt(passed(&request, request.get_ref().clone())).await?;
        self.malice.receipt(&mut answer.get_mut().receipt);
        Ok(answer)
    }

    async fn get_inclusion_proof(
        &self,
        _: Request<pb::GetInclusionProofRequest>,
    ) -> Answer<pb::GetInclusionProofResponse> {
        Err(Status::unimplemented("no test asks a relay of this kind"))
    }

    async fn compare_receipts(
        &self,
        request: Request<pb::CompareReceiptsRequest>,
    ) -> Answer<pb::CompareReceiptsResponse> {
        self.allow("CompareReceipts")?;
        self.issuer().compare_receipts(passed(&request, request.get_ref().clone())).await
    }

    async fn repair_batch(&self, _: Request<pb::RepairBatchRequest>) -> Answer<pb::RepairBatchResponse> {
        Err(Status::unimplemented("no test asks a relay of this kind"))
    }

    async fn abort_batch(&self, _: Request<pb::AbortBatchRequest>) -> Answer<pb::AbortBatchResponse> {
        Err(Status::unimplemented("no test asks a relay of this kind"))
    }
}
